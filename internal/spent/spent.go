// Package spent remembers, by keyed hashes, what became of refresh tokens: which must not be sent
// again, which ones a session began with, and which are in doubt.
package spent

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/table"
)

// An ID identifies a session.
type ID [16]byte

// A Memory remembers tokens by session. Sessions do not push each other out; each has bounds of its
// own. It is made by New and is safe for concurrent use. Times are monotonic, in nanoseconds.
type Memory struct {
	salt   *fingerprint.Salt
	doubts *table.Table[*Doubt] // by hash

	mu       sync.Mutex // guards what follows
	sessions map[ID]*session
	spent    map[uint64]struct{} // the spent tokens of all sessions, and access tokens that were revoked with them
	ended    []ending            // sessions that have ended, the first to be forgotten first
}

// An ending is when a session ended.
type ending struct {
	id ID
	at int64
}

// New returns an empty Memory whose hashes are keyed by salt.
func New(salt *fingerprint.Salt) *Memory {
	return &Memory{
		salt: salt, doubts: table.New[*Doubt](), sessions: make(map[ID]*session), spent: make(map[uint64]struct{}),
	}
}

// ID returns the ID of the session with the given name.
func (m *Memory) ID(name string) ID {
	var key fingerprint.Key
	key.Add("session")
	key.Add(name)
	return ID(key.Sum(m.salt))
}

// Try remembers that the source with the given key tries to begin a session with a saved token, and
// reports whether it does so for the first time.
func (m *Memory) Try(id, key ID, token string, now int64) (first bool) {
	hash := m.salt.Hash(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.session(id, now)
	first = s.find(hash, short(key)) < 0
	_, forgotten := s.login(hash, short(key))
	m.forget(forgotten)
	return first
}

// Begin remembers that a session begins with a saved token, in place of those that were tried before.
// Then the session has not ended.
func (m *Memory) Begin(id, key ID, token string, now int64) {
	hash := m.salt.Hash(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.session(id, now)
	s.ended, s.refusal = never, nil
	l, forgotten := s.login(hash, short(key))
	l.begun = true
	m.forget(forgotten)
}

// Spend remembers that a session has a later token, so that this one must not be sent again.
func (m *Memory) Spend(id ID, token string, now int64) {
	hash := m.salt.Hash(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.session(id, now)
	s.ended, s.refusal = never, nil
	m.spend(s, hash)
}

// Replace remembers that a later login has replaced a token. One that the session began with stays
// as it is: another source may use it.
func (m *Memory) Replace(id ID, token string, now int64) {
	hash := m.salt.Hash(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.session(id, now)
	if !slices.ContainsFunc(s.logins, func(l login) bool { return l.hash == hash }) {
		m.spend(s, hash)
	}
}

// Refuse remembers that the server has refused a token, and why. The session has ended.
func (m *Memory) Refuse(id ID, token string, why error, now int64) {
	hash := m.salt.Hash(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.session(id, now)
	m.spend(s, hash)
	s.refusal = why
	m.end(id, s, now)
}

// RefuseLogin remembers that the server has refused a token that was to begin the session anew. That
// neither ends the session nor makes one that has ended go on.
func (m *Memory) RefuseLogin(id ID, token string, now int64) {
	hash := m.salt.Hash(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.spend(m.session(id, now), hash)
}

// End ends a session for the source with the given key: none of the tokens that it began with may
// be sent again, nor may the given ones.
func (m *Memory) End(id, key ID, tokens []string, now int64) {
	hashes := make([]uint64, len(tokens))
	for i, token := range tokens {
		hashes[i] = m.salt.Hash(token)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.session(id, now)
	for _, hash := range append(hashes, s.of(short(key))...) {
		m.spend(s, hash)
	}
	m.end(id, s, now)
}

// Spent reports whether a token must not be sent again, whichever session it belongs to.
func (m *Memory) Spent(token string) bool {
	hash := m.salt.Hash(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	_, spent := m.spent[hash]
	return spent
}

// Knows reports whether a saved token is no new login of a source: it is spent, or the session has
// begun with it, or with one that was tried later.
func (m *Memory) Knows(id, key ID, token string) bool {
	hash := m.salt.Hash(token)
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, spent := m.spent[hash]; spent {
		return true
	}
	s := m.sessions[id]
	return s != nil && s.knows(hash, short(key))
}

// Refusal returns why the server has refused the token of a session, if that is what ended it, and nil
// otherwise.
func (m *Memory) Refusal(id ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sessions[id]; s != nil {
		return s.refusal
	}
	return nil
}

// session returns the session with the given ID, after it has forgotten those that ended long ago. The
// caller holds the lock, as for the methods below.
func (m *Memory) session(id ID, now int64) *session {
	for len(m.ended) > 0 && now-m.ended[0].at > int64(endedFor) {
		first := m.ended[0]
		m.ended = m.ended[1:]
		if s := m.sessions[first.id]; s != nil && s.ended == first.at {
			m.forget(s.spentTokens()...)
			delete(m.sessions, first.id)
		}
	}
	s := m.sessions[id]
	if s == nil {
		s = &session{ended: never}
		m.sessions[id] = s
	}
	return s
}

func (m *Memory) spend(s *session, hash uint64) {
	m.forget(s.spend(hash))
	m.spent[hash] = struct{}{}
}

func (m *Memory) end(id ID, s *session, now int64) {
	s.ended = now
	m.ended = append(m.ended, ending{id, now})
}

// forget forgets spent tokens; 0 is none.
func (m *Memory) forget(hashes ...uint64) {
	for _, hash := range hashes {
		delete(m.spent, hash)
	}
}

func short(key ID) uint64 { return binary.LittleEndian.Uint64(key[:]) }
