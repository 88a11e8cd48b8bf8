// Package spent remembers, by keyed hashes, which refresh tokens must not be sent again, and which saved
// access tokens must not be used.
package spent

import (
	"sync"

	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/table"
)

// remembered is how many tokens a Session remembers; the oldest are forgotten first.
const remembered = 4096

// A Memory remembers tokens for a whole process, and for each session by itself. It is made by New and
// is safe for concurrent use.
type Memory struct {
	Session  // tokens of all sessions
	sessions *table.Table[*Session]
}

// New returns an empty Memory whose hashes are keyed by salt.
func New(salt *fingerprint.Salt) *Memory {
	return &Memory{Session: Session{salt: salt}, sessions: table.New[*Session]()}
}

// Of returns the memory of the session with the given key.
func (m *Memory) Of(key string) *Session {
	if s, ok := m.sessions.Get(key); ok {
		return s
	}
	return m.sessions.GetOrAdd(key, &Session{salt: m.salt})
}

// A Session remembers tokens of one session. It is safe for concurrent use.
type Session struct {
	salt  *fingerprint.Salt
	mu    sync.Mutex
	spent map[uint64]struct{}
	order []uint64
}

// Add remembers a token.
func (s *Session) Add(token string) {
	hash := s.salt.Hash(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.spent[hash]; ok {
		return
	}
	if s.spent == nil {
		s.spent = make(map[uint64]struct{})
	}
	if len(s.order) == remembered {
		delete(s.spent, s.order[0])
		s.order = s.order[1:]
	}
	s.spent[hash] = struct{}{}
	s.order = append(s.order, hash)
}

// Has reports whether a token is remembered.
func (s *Session) Has(token string) bool {
	hash := s.salt.Hash(token)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.spent[hash]
	return ok
}
