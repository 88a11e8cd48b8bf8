package spent_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/tokencache/tokencache/internal/fingerprint"
	"github.com/tokencache/tokencache/internal/spent"
)

const (
	loginsMost = 16
	spentMost  = 128
	month      = int64(30 * 24 * time.Hour)
)

// Two sources of one session have keys of their own.
var one, two = spent.ID{1}, spent.ID{2}

func newMemory(t *testing.T) *spent.Memory {
	t.Helper()
	salt, err := fingerprint.NewSalt()
	if err != nil {
		t.Fatal(err)
	}
	return spent.New(&salt)
}

func numbered(kind string, i int) string { return fmt.Sprint(kind, " ", i) }

func TestSpentTokensAreRemembered(t *testing.T) {
	m := newMemory(t)
	alice := m.ID("alice")
	if alice != m.ID("alice") || alice == m.ID("bob") {
		t.Error("the ID of a session is not that of its name")
	}
	if m.Spent("a") {
		t.Error("a token is spent before it was")
	}
	m.Spend(alice, "a", 0)
	m.Spend(alice, "", 0)
	m.Spend(alice, "a", 0)
	if !m.Spent("a") || !m.Spent("") || m.Spent("b") {
		t.Error("want exactly the spent tokens, whichever session asks")
	}
	if !m.Knows(alice, one, "a") || !m.Knows(m.ID("bob"), one, "a") || m.Knows(alice, one, "b") {
		t.Error("a spent token is taken for a new login, or a new one is not")
	}
}

func TestHashesAreKeyedBySalt(t *testing.T) {
	var a, b fingerprint.Salt
	b[0] = 1
	m := spent.New(&a)
	id := m.ID("session")
	m.Spend(id, "token", 0)
	a = b
	if m.Spent("token") || m.ID("session") == id {
		t.Error("a token or session is recognized with another salt")
	}
	a = fingerprint.Salt{}
	if !m.Spent("token") || m.ID("session") != id {
		t.Error("a token or session is not recognized with its salt")
	}
}

func TestLastSpentTokensOfASessionAreRemembered(t *testing.T) {
	m := newMemory(t)
	id := m.ID("session")
	for i := range 3 * spentMost {
		m.Spend(id, numbered("token", i), 0)
		if i > 0 {
			m.Spend(id, numbered("token", i-1), 0) // is known
		}
		for j := range i + 1 {
			if got, want := m.Spent(numbered("token", j)), j > i-spentMost; got != want {
				t.Fatalf("after token %d, token %d is spent: %t", i, j, got)
			}
		}
	}
}

func TestSessionsDoNotPushEachOtherOut(t *testing.T) {
	m := newMemory(t)
	m.Begin(m.ID("alice"), one, "login", 0)
	m.Spend(m.ID("alice"), "login", 0)
	m.Spend(m.ID("alice"), "first", 0)
	for i := range 20_000 {
		m.Spend(m.ID(numbered("session", i%100)), numbered("token", i), 0)
	}
	if !m.Spent("login") || !m.Spent("first") {
		t.Error("other sessions have pushed a spent token out")
	}
}

func TestTokensOfTheLastLoginsAreRememberedForGood(t *testing.T) {
	m := newMemory(t)
	id := m.ID("session")
	for i := range loginsMost {
		m.Begin(id, one, numbered("login", i), 0)
		m.Begin(id, one, numbered("login", 0), 0) // is known
		m.Spend(id, numbered("login", i), 0)
	}
	for i := range 10 * spentMost {
		m.Spend(id, numbered("token", i), 0)
	}
	for i := range loginsMost {
		if !m.Spent(numbered("login", i)) {
			t.Errorf("login %d is forgotten", i)
		}
	}
	m.Begin(id, one, "another", 0) // the first makes room, and is one of the spent tokens from now on
	if !m.Spent(numbered("login", 0)) || m.Spent(numbered("token", 9*spentMost)) || !m.Spent(numbered("token", 9*spentMost+1)) {
		t.Error("the oldest login is not remembered in place of the oldest spent token")
	}
	m.Begin(id, one, "unspent", 0)
	for i := range loginsMost {
		m.Begin(id, one, numbered("later", i), 0)
	}
	oldest := 9*spentMost + loginsMost // the 16 logins that were spent have taken the place of as many tokens
	if !m.Spent(numbered("token", oldest)) || m.Spent(numbered("token", oldest-1)) {
		t.Error("a login that was never spent has taken the place of a spent token")
	}
	if m.Spent("unspent") || m.Knows(id, one, "unspent") {
		t.Error("a login that was never spent is remembered after 16 others")
	}
}

// A saved token is known once the session has begun with it, or with one that was tried later.
func TestWhichSavedTokenIsANewLogin(t *testing.T) {
	m := newMemory(t)
	id := m.ID("session")
	wantKnown := func(when string, want map[string]bool) {
		t.Helper()
		for token, known := range want {
			if got := m.Knows(id, one, token); got != known {
				t.Errorf("%s, %s is known: %t", when, token, got)
			}
		}
	}
	for _, first := range []bool{true, false} {
		for _, token := range []string{"first", "second", "third"} {
			if got := m.Try(id, one, token, 0); got != first {
				t.Errorf("%s is tried for the first time: %t", token, got)
			}
		}
	}
	wantKnown("while all are tried", map[string]bool{"first": false, "second": false, "third": false})
	m.Begin(id, one, "second", 0)
	wantKnown("after the second has begun", map[string]bool{"first": true, "second": true, "third": false, "fourth": false})
	m.Begin(id, one, "third", 0)
	wantKnown("after the third has begun", map[string]bool{"first": true, "second": true, "third": true})
	if m.Knows(id, two, "third") || m.Spent("third") || !m.Try(id, two, "third", 0) {
		t.Error("a source with other scopes has not begun with it, and may send it")
	}
	m.Try(id, one, "fourth", 0)
	m.Begin(id, two, "fifth", 0)
	wantKnown("after another source has begun with the fifth", map[string]bool{"fourth": false, "fifth": false})
}

func TestTokenThatALoginReplacesIsSpentUnlessItIsOneItself(t *testing.T) {
	m := newMemory(t)
	id := m.ID("session")
	m.Begin(id, one, "login", 0)
	m.Replace(id, "login", 0)
	m.Replace(id, "rotated", 0)
	if m.Spent("login") || !m.Spent("rotated") {
		t.Error("want the rotated token to be spent, and the login to be known only")
	}
}

func TestEndedSessionSpendsTheTokensOfItsSource(t *testing.T) {
	m := newMemory(t)
	id := m.ID("session")
	m.Begin(id, one, "mine", 0)
	m.Begin(id, two, "of other scopes", 0)
	m.End(id, one, []string{"current", "saved"}, 0)
	for token, want := range map[string]bool{"mine": true, "current": true, "saved": true, "of other scopes": false} {
		if got := m.Spent(token); got != want {
			t.Errorf("%s is spent: %t", token, got)
		}
	}
}

func TestRefusalIsRememberedUntilTheNextLogin(t *testing.T) {
	m, why := newMemory(t), errors.New("why")
	id := m.ID("session")
	m.Refuse(id, "refused", why, 0)
	if !m.Spent("refused") || m.Refusal(id) != why || m.Refusal(m.ID("another")) != nil {
		t.Error("want the refusal of that session")
	}
	m.Begin(id, one, "next", 0)
	if !m.Spent("refused") || m.Refusal(id) != nil {
		t.Error("want the token to be spent, and the refusal to be forgotten")
	}
	m.Refuse(id, "next", why, 0)
	m.Spend(id, "of other scopes", 0) // lives on with them
	if m.Refusal(id) != nil {
		t.Error("a session that goes on has ended")
	}
}

func TestRefusedLoginChangesNothingForItsSession(t *testing.T) {
	m, why := newMemory(t), errors.New("why")
	ended, lives, other := m.ID("ended"), m.ID("lives"), m.ID("other")
	m.Refuse(ended, "token", why, 0)
	m.RefuseLogin(ended, "login", 1)
	m.RefuseLogin(lives, "login of another", 1)
	if !m.Spent("login") || !m.Spent("login of another") || m.Refusal(ended) != why || m.Refusal(lives) != nil {
		t.Error("want the logins to be spent, and the refusal of the ended session alone")
	}
	m.Spend(other, "x", month+1)
	if m.Spent("token") || m.Spent("login") || !m.Spent("login of another") {
		t.Error("want the ended session to be forgotten, and no other")
	}
}

func TestEndedSessionIsForgottenAfterThirtyDays(t *testing.T) {
	for name, end := range map[string]func(m *spent.Memory, id spent.ID, now int64){
		"refused": func(m *spent.Memory, id spent.ID, now int64) { m.Refuse(id, "token", errors.New("why"), now) },
		"revoked": func(m *spent.Memory, id spent.ID, now int64) { m.End(id, one, []string{"token"}, now) },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(t)
			ended, lives, back := m.ID("ended"), m.ID("lives"), m.ID("back")
			m.Begin(ended, one, "login", -month)
			m.Spend(ended, "login", -month)
			m.Spend(lives, "old", -month)
			end(m, ended, 0)
			end(m, back, 0)
			m.Begin(back, one, "login of back", 1)
			m.Spend(back, "login of back", 1)
			m.Spend(lives, "a month later", month)
			if !m.Spent("token") || !m.Spent("login") {
				t.Error("forgotten before thirty days are over")
			}
			m.Spend(lives, "a nanosecond later", month+1)
			if m.Spent("login") || m.Knows(ended, one, "login") || m.Refusal(ended) != nil {
				t.Error("remembered after thirty days")
			}
			if !m.Spent("old") || !m.Spent("login of back") {
				t.Error("a session that has not ended is forgotten")
			}
			end(m, back, 2*month)
			m.Spend(lives, "later", 3*month)
			if !m.Spent("login of back") {
				t.Error("a session that has ended again is forgotten too early")
			}
		})
	}
}

// 6 kB are for the whole session, with its entry.
func TestMemoryOfASessionIsBounded(t *testing.T) {
	const sessions, most = 200, 5 << 10
	m := newMemory(t)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range sessions {
		id := m.ID(numbered("session", i))
		for j := range 2 * loginsMost {
			m.Begin(id, one, numbered("login", j)+numbered(" of", i), 0)
		}
		for j := range 5000 {
			m.Spend(id, numbered("token", j)+numbered(" of", i), 0)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / sessions; got > most {
		t.Errorf("%d bytes per session, want at most %d", got, most)
	}
	runtime.KeepAlive(m)
}

func TestMemoryIsSafeForConcurrentUse(t *testing.T) {
	m := newMemory(t)
	var all sync.WaitGroup
	for caller := range 8 {
		all.Go(func() {
			id := m.ID(numbered("session", caller/2)) // each is used by two callers
			for i := range 100 {
				token := numbered("token", i) + numbered(" of", caller)
				m.Try(id, one, token, int64(i))
				m.Begin(id, one, token, int64(i))
				m.Spend(id, token, int64(i))
				if !m.Spent(token) || !m.Knows(id, one, token) {
					t.Errorf("%s was spent and is not remembered", token)
				}
				m.Refusal(id)
				m.End(m.ID(numbered("other", caller)), two, []string{token}, int64(i))
			}
		})
	}
	all.Wait()
}
