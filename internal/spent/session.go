package spent

import (
	"math"
	"slices"
	"time"
)

const (
	loginsMost = 16                  // tokens that a session began with, which are remembered for good
	spentMost  = 128                 // other spent tokens of a session, the oldest of which are forgotten first
	endedFor   = 30 * 24 * time.Hour // how long a session that has ended is remembered
)

// never is the value of session.ended until the session has ended.
const never = math.MinInt64

// A session is what is remembered of one: at most about 1.7 kB, and about 20 bytes for each of its
// spent tokens in the index of all sessions.
type session struct {
	logins  []login
	spent   []uint64 // hashes; from next on the oldest, once there are spentMost
	next    int
	ended   int64
	refusal error // why the server has refused its token, if that is what ended it
}

// A login is a saved token that a source has tried to begin the session with.
type login struct {
	hash  uint64
	key   uint64 // of the source
	begun bool   // it has
	spent bool
}

// login returns a login, which is remembered from then on. forgotten is the hash of a spent token
// that is forgotten for it, or 0.
func (s *session) login(hash, key uint64) (l *login, forgotten uint64) {
	if i := s.find(hash, key); i >= 0 {
		return &s.logins[i], 0
	}
	if len(s.logins) == loginsMost {
		first := s.logins[0]
		s.logins = slices.Delete(s.logins, 0, 1)
		if first.spent {
			forgotten = s.push(first.hash)
		}
	}
	s.logins = append(s.logins, login{hash: hash, key: key})
	return &s.logins[len(s.logins)-1], forgotten
}

func (s *session) find(hash, key uint64) int {
	return slices.IndexFunc(s.logins, func(l login) bool { return l.hash == hash && l.key == key })
}

// knows reports whether the session has begun with a login of a source, or with a later one.
func (s *session) knows(hash, key uint64) bool {
	i := s.find(hash, key)
	return i >= 0 && slices.ContainsFunc(s.logins[i:], func(l login) bool { return l.key == key && l.begun })
}

// spend remembers a spent token. It returns the hash of one that is forgotten for it, or 0.
func (s *session) spend(hash uint64) (forgotten uint64) {
	known := slices.Contains(s.spent, hash)
	for i := range s.logins {
		if l := &s.logins[i]; l.hash == hash {
			l.spent, known = true, true
		}
	}
	if known {
		return 0
	}
	return s.push(hash)
}

func (s *session) push(hash uint64) (forgotten uint64) {
	if len(s.spent) < spentMost {
		s.spent = append(s.spent, hash)
		return 0
	}
	forgotten = s.spent[s.next]
	s.spent[s.next] = hash
	s.next = (s.next + 1) % spentMost
	return forgotten
}

// of returns the hashes of the logins of a source.
func (s *session) of(key uint64) (hashes []uint64) {
	for _, l := range s.logins {
		if l.key == key {
			hashes = append(hashes, l.hash)
		}
	}
	return hashes
}

// spentTokens returns the hashes of all spent tokens.
func (s *session) spentTokens() []uint64 {
	hashes := slices.Clone(s.spent)
	for _, l := range s.logins {
		if l.spent {
			hashes = append(hashes, l.hash)
		}
	}
	return hashes
}
