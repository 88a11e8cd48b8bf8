package tokencache

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"time"
	"unique"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/rejection"
)

// Values of entry.until that are not a time.
const (
	dead    = math.MinInt64     // never to be served again
	suspect = math.MinInt64 + 1 // rejected, and a flight is renewing it: callers wait for that flight
	check   = math.MinInt64 + 2 // look at both clocks before the next use
)

// wallCheck is the running time, in nanoseconds, after which an entry's times are compared with both clocks again.
const wallCheck = int64(100 * time.Millisecond)

// endless in oauth2.Token.ExpiresIn tells a token that never expires from one whose answer does not say.
const endless = int64(NeverExpires / time.Second)

// An entry is one token with its times. It never changes after it is published, except that it dies; every source of
// its key holds the same pointer, so it dies everywhere at once. What a hit looks at lies together, for services with so
// many users that an entry is in no cache of the processor.
type entry struct {
	rejection.Record
	token    oauth2.Token // as it is handed out: without the refresh token
	until    atomic.Int64 // monotonic: hits pass before this; or one of the values above
	used     atomic.Int64 // monotonic: the last time somebody looked it up, to within wallCheck
	expires  int64        // monotonic: from here on it is never sent
	fresh    int64        // monotonic: from here on it is stale
	header   string       // "Bearer " and the access token
	refresh  string
	owner    unique.Handle[owner]
	ends     int64        // monotonic: from here on it has surely ended at the server, which counts from its answer
	before   uint64       // the number of its predecessor among the superseded, 0 for none
	repeat   int64        // monotonic: do not ask for a successor before this, the server repeats itself
	replays  atomic.Int32 // repeated requests that carry it and are not answered yet
	spent    atomic.Bool  // the refresh token may have been consumed
	doubtful atomic.Bool  // it is spent, and may live on: nobody has said
	orphaned atomic.Bool  // it is superseded, and no other entry has its refresh token
}

type age int

const (
	expired age = iota
	stale
	fresh
)

// age compares the entry's times with both clocks.
func (e *entry) age(now clock.Instant) age {
	left := e.expires - now.Mono
	if e.expires == clock.Never {
		return fresh
	}
	if !e.token.Expiry.IsZero() {
		left = min(left, int64(e.token.Expiry.Sub(now.Wall.Round(0))))
	}
	switch {
	case left <= 0:
		return expired
	case left <= e.expires-e.fresh:
		return stale
	}
	return fresh
}

// serve lets hits pass without a look at the wall clock until the given monotonic time, unless the entry is dead or
// suspect.
func (e *entry) serve(until int64) {
	old := e.until.Load()
	if old != dead && old != suspect {
		e.until.CompareAndSwap(old, until)
	}
}

func (e *entry) kill() { e.until.Store(dead) }

func (e *entry) alive() bool { return e.until.Load() != dead }

// setSuspect and clearSuspect bracket the flight that renews a rejected entry.
func (e *entry) setSuspect() {
	for old := e.until.Load(); old != dead; old = e.until.Load() {
		if e.until.CompareAndSwap(old, suspect) {
			return
		}
	}
}

func (e *entry) clearSuspect() { e.until.CompareAndSwap(suspect, check) }

// full is the token with its refresh token, unless that may have been consumed.
func (e *entry) full() *oauth2.Token {
	if e == nil {
		return nil
	}
	tok := e.token
	if !e.spent.Load() {
		tok.RefreshToken = e.refresh
	}
	return &tok
}

// remaining is how long the entry still lives; negative for an expired one, [clock.Never] for one without an end.
func (e *entry) remaining(now clock.Instant) time.Duration {
	if e.expires == clock.Never {
		return clock.Never
	}
	return time.Duration(e.expires - now.Mono)
}

// lives is how long the token may still live at the server.
func (e *entry) lives(now clock.Instant) time.Duration {
	if e.ends == clock.Never {
		return clock.Never
	}
	return time.Duration(e.ends - now.Mono)
}

var errNoToken = errors.New("tokencache: the grant returned no token and no error")

var errExpiredToken = errors.New("tokencache: the grant returned a token that had expired before it was asked for")

// newEntry makes an entry of the token that a grant obtained in a flight that began at start and replaces prev, which
// may be nil.
func (c *core) newEntry(s *source, tok *oauth2.Token, start clock.Instant, prev *entry) (*entry, error) {
	if tok == nil || tok.AccessToken == "" {
		return nil, errNoToken
	}
	if err := validBearer(tok); err != nil {
		return nil, err
	}
	if !tok.Expiry.IsZero() && !tok.Expiry.After(start.Wall) {
		return nil, errExpiredToken
	}
	e := &entry{
		header: "Bearer " + tok.AccessToken, refresh: tok.RefreshToken, owner: s.owner(),
		fresh: clock.Never, expires: clock.Never,
	}
	now := c.clock.Now()
	e.until.Store(check)
	e.used.Store(now.Mono)
	e.token = public(tok)
	e.token.AccessToken = e.header[len("Bearer "):]
	repeated := prev != nil && prev.header == e.header
	switch {
	case !tok.Expiry.IsZero():
		// By the clocks as they were then: the wall clock can have been set meanwhile.
		e.expires = clock.Later(start.Mono, tok.Expiry.Sub(start.Wall))
	case c.cfg.MaxAge > 0 && tok.ExpiresIn != endless:
		e.expires = clock.Later(start.Mono, c.cfg.MaxAge)
		e.token.Expiry = start.Wall.Add(c.cfg.MaxAge).Round(0)
	}
	if repeated {
		// What is left is sent in whole seconds, rounded up or down: only more than that is a longer life.
		if prev.expires != clock.Never && (e.expires == clock.Never || e.expires-prev.expires <= int64(time.Second)) {
			e.expires, e.token.Expiry = prev.expires, prev.token.Expiry
		}
		e.repeat = start.Mono + int64(time.Second)
	}
	if e.ends = clock.Never; e.expires != clock.Never {
		e.ends = clock.Later(e.expires, time.Duration(now.Mono-start.Mono))
		e.fresh = e.expires - c.window(e.expires-start.Mono)
		if repeated {
			e.fresh = min(max(e.fresh, e.repeat), e.expires)
		}
	}
	return e, nil
}

// window is how long before its end a token of the given lifetime turns stale, in nanoseconds: the configured window or
// a fifth of the lifetime, whichever is smaller, with 10 % jitter so that a fleet does not renew in step.
func (c *core) window(lifetime int64) int64 {
	if lifetime <= 0 {
		return 0
	}
	w := float64(min(int64(c.cfg.RenewalWindow), lifetime/5))
	return int64(w * (0.9 + 0.2*rand.Float64()))
}

// validBearer refuses a token that cannot be sent in a header, without showing it.
func validBearer(tok *oauth2.Token) error {
	if t := tok.Type(); t != "Bearer" {
		return fmt.Errorf("tokencache: token type %s is not supported, only Bearer is", quoteShort(t))
	}
	if i := strings.IndexFunc(tok.AccessToken, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return fmt.Errorf("tokencache: the access token has a control character at byte %d and cannot be sent in a header", i)
	}
	if strings.TrimSpace(tok.AccessToken) != tok.AccessToken {
		return errors.New("tokencache: the access token begins or ends with a space and cannot be sent in a header")
	}
	return nil
}

// public is the token as callers may see it. The extra fields of a token that another library made can hold its
// refresh token; of those only the harmless well-known ones are kept.
func public(tok *oauth2.Token) oauth2.Token {
	t := *tok
	if tok.Extra("refresh_token") != nil {
		extra := map[string]any{}
		for _, name := range []string{"id_token", "scope"} {
			if v := tok.Extra(name); v != nil && v != "" {
				extra[name] = v
			}
		}
		t = *tok.WithExtra(extra)
	}
	t.RefreshToken = ""
	t.TokenType = "Bearer"
	t.Expiry = t.Expiry.Round(0)
	return t
}
