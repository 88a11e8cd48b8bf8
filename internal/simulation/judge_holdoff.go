package simulation

import (
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/tokencache/tokencache"
)

// passed says when a login got a token: when it was asked for, and when it arrived.
type passed struct{ sent, arrived time.Time }

// countRefusals counts the refusals of a password in an answer without a token. Errors of the server's
// own are refusals too if another password got a token between two of them. j.mu is held.
func (j *judge) countRefusals(attempt login, r *tokenRequest) {
	last, errored := j.errored[attempt]
	before := j.refused[attempt]
	switch code := r.answer().Code; {
	case refusesEarly(code), r.status == 0 && !r.reached, r.busy() && r.status != http.StatusBadGateway && r.status != http.StatusGatewayTimeout:
		return // nobody has looked at it
	case r.failsWithError():
		if errored && j.another(attempt, last) {
			j.refused[attempt] += 2
		}
		j.errored[attempt] = time.Now()
	case r.refusesPassword():
		j.refused[attempt]++
		delete(j.errored, attempt)
	default:
		delete(j.errored, attempt)
	}
	if j.refusals[attempt] += j.refused[attempt] - before; j.refusals[attempt] >= 2 {
		j.twice[attempt.user] = true
	}
}

// another reports whether another password was sent since the given time, and has got a token.
func (j *judge) another(attempt login, since time.Time) bool {
	for other, at := range j.logins {
		if other != attempt && !at.sent.Before(since) && at.arrived.Before(time.Now()) {
			return true
		}
	}
	return false
}

// concerns records whom a failed request concerns. j.mu is held.
func (j *judge) concerns(r *tokenRequest) {
	a, now := r.answer(), time.Now()
	client := r.form.Get("grant_type") == "client_credentials"
	refused := r.status < 500 && !r.busy() && a.Code != "" || r.form.Has("password") && r.refusesPassword()
	if r.status != http.StatusOK {
		j.failed[r.key], j.failed[r.form.Get("username")] = true, true
	}
	switch {
	case r.status == http.StatusOK && a.AccessToken != "", refused:
		maps.DeleteFunc(j.suspects, func(_ string, sent time.Time) bool { return sent.Before(r.sent) })
		return
	case r.status != 0 && r.status < 500 && !r.busy():
		return
	}
	j.suspects[r.key] = r.sent
	maps.DeleteFunc(j.suspects, func(_ string, sent time.Time) bool { return now.Sub(sent) > 10*time.Minute })
	if r.status == 0 && !r.reached || client && (r.status == 0 || r.busy()) || len(j.suspects) >= 3 {
		j.allUntil = now.Add(5 * time.Minute)
	}
}

// heldOff judges an error from memory: whose failure it is, and whether it is for ever. j.mu is held.
func (j *judge) heldOff(s step, err error) {
	var held *tokencache.HeldOffError
	var failed *tokencache.Error
	if !errors.As(err, &held) || !errors.As(err, &failed) {
		return
	}
	k := j.history.keys[s.key]
	ofUser := strings.HasPrefix(k.kind, kindPassword)
	if held.Until.IsZero() && !j.twice[k.user] {
		j.violated(foreverRefused, "%s: %v", s.what, err)
	}
	own := j.failed[scopeOf(s.key)] || ofUser && j.failed[k.user]
	if errors.Is(err, tokencache.ErrUnavailable) && !own && time.Now().After(j.allUntil) {
		j.violated(ownFailure, "%s of key %d: %v", s.what, s.key, err)
	}
}
