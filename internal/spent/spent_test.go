package spent_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/spent"
)

const remembered = 4096

func newMemory(t *testing.T) *spent.Memory {
	t.Helper()
	salt, err := fingerprint.NewSalt()
	if err != nil {
		t.Fatal(err)
	}
	return spent.New(&salt)
}

func TestAddedTokensAreRemembered(t *testing.T) {
	m := newMemory(t)
	for name, s := range map[string]*spent.Session{"process": &m.Session, "session": m.Of("key")} {
		t.Run(name, func(t *testing.T) {
			if s.Has("a") {
				t.Error("a token is remembered before it was added")
			}
			s.Add("a")
			s.Add("b")
			s.Add("")
			for _, token := range []string{"a", "b", ""} {
				if !s.Has(token) {
					t.Errorf("%q is not remembered", token)
				}
			}
			if s.Has("c") {
				t.Error("a token is remembered that was not added")
			}
		})
	}
}

func TestSessionsAndTheProcessRememberApart(t *testing.T) {
	m := newMemory(t)
	m.Add("process")
	m.Of("alice").Add("alice")
	m.Of("bob").Add("bob")
	for name, s := range map[string]*spent.Session{"process": &m.Session, "alice": m.Of("alice"), "bob": m.Of("bob"), "new": m.Of("carol")} {
		for _, token := range []string{"process", "alice", "bob"} {
			if got := s.Has(token); got != (token == name) {
				t.Errorf("the memory of %s: %s is remembered: %t", name, token, got)
			}
		}
	}
	if alice := m.Of("alice"); m.Of("alice") != alice {
		t.Error("a session has two memories")
	}
}

// The whole process and its sessions share one salt.
func TestHashesAreKeyedBySalt(t *testing.T) {
	var a, b fingerprint.Salt
	b[0] = 1
	m := spent.New(&a)
	m.Add("token")
	m.Of("key").Add("token")
	a = b
	if m.Has("token") || m.Of("key").Has("token") {
		t.Error("a token is recognized with another salt")
	}
	a = fingerprint.Salt{}
	if !m.Has("token") || !m.Of("key").Has("token") {
		t.Error("a token is not recognized with its salt")
	}
}

func TestOldestTokensAreForgottenFirst(t *testing.T) {
	s := &newMemory(t).Session
	token := func(i int) string { return fmt.Sprint("token ", i) }
	for i := range remembered {
		s.Add(token(i))
	}
	s.Add(token(0)) // is known; it stays the oldest, and nothing makes room for it
	for i := range remembered {
		if !s.Has(token(i)) {
			t.Fatalf("token %d of %d is forgotten", i, remembered)
		}
	}
	for more := range 3 {
		s.Add(token(remembered + more))
		if s.Has(token(more)) {
			t.Errorf("%d tokens later the oldest is still remembered", more+1)
		}
		if !s.Has(token(more+1)) || !s.Has(token(remembered+more)) {
			t.Errorf("%d tokens later more than the oldest is forgotten", more+1)
		}
	}
	s.Add(token(0))
	if !s.Has(token(0)) || s.Has(token(3)) {
		t.Error("a forgotten token is not added like any other")
	}
}

func TestConcurrentCallersShareTheMemoryOfASession(t *testing.T) {
	const callers, sessions = 8, 500
	m := newMemory(t)
	var got [callers][sessions]*spent.Session
	start := make(chan struct{})
	var all sync.WaitGroup
	for caller := range callers {
		all.Go(func() {
			<-start
			for i := range sessions {
				s := m.Of(fmt.Sprint("session ", i))
				s.Add(fmt.Sprint("token of ", caller))
				got[caller][i] = s
			}
		})
	}
	close(start)
	all.Wait()
	for i := range sessions {
		s := m.Of(fmt.Sprint("session ", i))
		for caller := range callers {
			if got[caller][i] != s || !s.Has(fmt.Sprint("token of ", caller)) {
				t.Errorf("session %d: caller %d got another memory", i, caller)
			}
		}
	}
}

func TestConcurrentTokensAreAllRemembered(t *testing.T) {
	m := newMemory(t)
	var all sync.WaitGroup
	for caller := range 8 {
		all.Go(func() {
			for i := range 200 {
				token := fmt.Sprint(i, " of ", caller/2) // each token is added by two callers
				m.Add(token)
				if !m.Has(token) {
					t.Errorf("%s was added and is not remembered", token)
				}
			}
		})
	}
	all.Wait()
	for i := range 200 {
		for caller := range 8 {
			if token := fmt.Sprint(i, " of ", caller/2); !m.Has(token) {
				t.Errorf("%s is not remembered", token)
			}
		}
	}
}
