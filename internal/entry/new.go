package entry

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
	"unique"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
)

const bearer = "Bearer "

var (
	errNoToken = errors.New("tokencache: the grant returned no token and no error")
	errExpired = errors.New("tokencache: the grant returned a token that had expired before it was asked for")
)

// Terms are how long tokens are used.
type Terms struct {
	MaxAge        time.Duration // the lifetime of a token whose answer does not say; 0: until it is rejected
	RenewalWindow time.Duration // how long before its end a token is stale, at most
}

// New makes an entry of a token that was asked for at start and has arrived at now. prev is the entry
// that it replaces, or nil. A token that cannot be sent, or has expired, is an error.
func New(tok *oauth2.Token, owner Owner, start, now clock.Instant, prev *Entry, terms Terms) (*Entry, error) {
	if err := Check(tok); err != nil {
		return nil, err
	}
	if !tok.Expiry.IsZero() && !tok.Expiry.After(start.Wall) {
		return nil, errExpired
	}
	e := &Entry{
		header: bearer + tok.AccessToken, refresh: tok.RefreshToken, owner: unique.Make(owner),
		stale: clock.Never, expires: clock.Never,
	}
	e.until.Store(check)
	e.used.Store(now.Mono)
	e.token = public(tok)
	e.token.AccessToken = e.AccessToken()
	switch {
	case !tok.Expiry.IsZero():
		// By the clocks as they were then: the wall clock can have been set meanwhile.
		e.expires = clock.Later(start.Mono, tok.Expiry.Sub(start.Wall))
	case terms.MaxAge > 0 && tok.ExpiresIn != Endless:
		e.expires = clock.Later(start.Mono, terms.MaxAge)
		e.token.Expiry = start.Wall.Add(terms.MaxAge).Round(0)
	}
	if repeated := prev != nil && prev.header == e.header; repeated {
		e.repeat(prev, start)
	}
	if e.ends = clock.Never; e.expires != clock.Never {
		e.ends = clock.Later(e.expires, time.Duration(now.Mono-start.Mono))
		e.stale = e.expires - window(e.expires-start.Mono, terms.RenewalWindow)
		if e.notBefore != 0 {
			e.stale = min(max(e.stale, e.notBefore), e.expires)
		}
	}
	return e, nil
}

// NewRefresh makes an entry of a saved token that was never used, so that it can be revoked.
func NewRefresh(saved *oauth2.Token, owner Owner) *Entry {
	e := &Entry{refresh: saved.RefreshToken, owner: unique.Make(owner), expires: clock.Never, ends: clock.Never, stale: clock.Never}
	if saved.AccessToken != "" {
		e.header = bearer + saved.AccessToken
	}
	return e
}

// repeat adapts the times to those of the same token before. A server that counts down sends whole
// seconds, rounded up or down: only what is later by more than a second is a longer life.
func (e *Entry) repeat(prev *Entry, start clock.Instant) {
	if prev.expires != clock.Never && (e.expires == clock.Never || e.expires-prev.expires <= int64(time.Second)) {
		e.expires, e.token.Expiry = prev.expires, prev.token.Expiry
	}
	e.notBefore = start.Mono + int64(time.Second)
}

// window returns how long before its end a token of the given lifetime is stale, in nanoseconds: most,
// or a fifth of the lifetime if that is less, with 10 % of jitter so that a fleet does not renew in
// step.
func window(lifetime int64, most time.Duration) int64 {
	if lifetime <= 0 {
		return 0
	}
	w := float64(min(int64(most), lifetime/5))
	return int64(w * (0.9 + 0.2*rand.Float64()))
}

// Check returns an error for a token that cannot be sent in a header, without showing it.
func Check(tok *oauth2.Token) error {
	if tok == nil || tok.AccessToken == "" {
		return errNoToken
	}
	if t := tok.Type(); t != "Bearer" {
		return fmt.Errorf("tokencache: token type %.40q is not supported, only Bearer is", t)
	}
	control := func(r rune) bool { return r < ' ' || r == 0x7f }
	if i := strings.IndexFunc(tok.AccessToken, control); i >= 0 {
		return fmt.Errorf("tokencache: the access token has a control character at byte %d and cannot be sent in a header", i)
	}
	if strings.TrimSpace(tok.AccessToken) != tok.AccessToken {
		return errors.New("tokencache: the access token begins or ends with a space and cannot be sent in a header")
	}
	return nil
}

// public returns the token as callers may see it. The extra fields of a token from another library can
// hold its refresh token; then only the well-known ones are kept.
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
