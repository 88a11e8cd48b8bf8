package simulation

import (
	"context"
	"io"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// source returns a source of a key: sometimes one that other callers have too, sometimes a new one.
func (w *world) source(key int) *tokencache.Source {
	w.mu.Lock()
	defer w.mu.Unlock()
	k, scope := w.history.keys[key], scopeOf(key)
	if src := w.sources[key]; src != nil && w.serial.Add(1)%2 == 0 {
		return src
	}
	var grant tokencache.Grant
	switch k.kind {
	case kindClient:
		grant = tokencache.ClientCredentialsGrant{Scopes: []string{scope}}
	case kindClientRefresh:
		grant = tokencache.ClientCredentialsGrant{Scopes: []string{scope}, UseRefreshToken: true}
	case kindPassword:
		password := tokencache.NewSecret(k.password)
		grant = tokencache.PasswordGrant{Username: k.user, Password: password, Scopes: []string{scope}}
	case kindPasswordFunc:
		ask := func(context.Context) (string, error) { return w.password(k.user), nil }
		grant = tokencache.PasswordGrant{Username: k.user, PasswordFunc: ask, Scopes: []string{scope}}
	case kindSession:
		w.sources[key] = w.cache.RefreshToken("session "+scope, w.saved[key], scope)
		return w.sources[key]
	}
	if w.bug.grant != nil {
		grant = w.bug.grant(grant)
	}
	src := w.cache.Source(grant)
	w.sources[key] = src
	return src
}

func scopeOf(key int) string { return "key" + strconv.Itoa(key) }

// logIn starts a session from scratch, without the library, as a login page does.
func (w *world) logIn(key int) {
	k := w.history.keys[key]
	r := &tokenRequest{key: scopeOf(key), sent: time.Now(), wall: w.wall.now()}
	resp, err := w.srv.Client().PostForm(w.srv.TokenURL(), url.Values{
		"grant_type": {"password"}, "username": {k.user}, "password": {w.password(k.user)}, "scope": {r.key},
		"client_id": {"client"}, "client_secret": {"secret"},
	})
	if err != nil {
		return
	}
	defer resp.Body.Close()
	r.body, err = io.ReadAll(resp.Body)
	a := r.answer()
	if err != nil || a.RefreshToken == "" {
		return
	}
	tok := &oauth2.Token{AccessToken: a.AccessToken, RefreshToken: a.RefreshToken}
	if a.ExpiresIn > 0 {
		tok.Expiry = r.wall.Add(time.Duration(a.ExpiresIn) * time.Second)
	}
	w.judge.loggedIn(r, a)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.saved[key], w.sources[key] = tok, nil
}

func (w *world) password(user string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passwords[user]
}

// learnPassword tells the callers a user's password, which the server may have changed.
func (w *world) learnPassword(user string) {
	w.srv.Update(func(b *tokentest.Behaviour) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.passwords[user] = b.Users[user]
	})
}

// subject returns whose tokens the server issues for a key.
func (w *world) subject(key int) string {
	if k := w.history.keys[key]; k.kind != kindClient && k.kind != kindClientRefresh {
		return k.user
	}
	return "client"
}
