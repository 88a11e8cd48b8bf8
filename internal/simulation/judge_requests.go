package simulation

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// requested judges a token request that is about to be sent.
func (j *judge) requested(r *tokenRequest) {
	r.key = j.keyOf(r.form)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("token request %s %s", r.key, r.form.Get("grant_type"))
	if j.underWay[r.key]++; j.underWay[r.key] > 1 {
		j.violated(oneFetch, "%d for %s", j.underWay[r.key], r.key)
	}
	if refresh := r.form.Get("refresh_token"); refresh != "" {
		j.refreshing(r, refresh)
	}
	if attempt := loginOf(r); attempt.password != "" && j.refused[attempt] >= 2 {
		j.violated(passwordTwice, "%q by %s", attempt.password, r.key)
	}
}

// keyOf returns the key that a token request is for: its scope, or else the scope of its refresh
// token.
func (j *judge) keyOf(form url.Values) string {
	if scope := form.Get("scope"); scope != "" {
		return scope
	}
	info, _ := j.srv.Introspect(form.Get("refresh_token"))
	return info.Scope
}

func loginOf(r *tokenRequest) login { return login{r.form.Get("username"), r.form.Get("password")} }

// answered records the answer to a token request.
func (j *judge) answered(r *tokenRequest) {
	a := r.answer()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("answer to %s %s: %d %s reached %v %s %s",
		r.key, r.form.Get("grant_type"), r.status, a.Code, r.reached, short(a.AccessToken), short(a.RefreshToken))
	j.underWay[r.key]--
	j.concerns(r)
	if attempt := loginOf(r); attempt.password != "" {
		switch {
		case r.status == http.StatusOK && a.AccessToken != "":
			delete(j.refused, attempt)
			delete(j.errored, attempt)
			delete(j.refusals, attempt)
			j.logins[attempt] = passed{r.sent, time.Now()}
		default:
			j.countRefusals(attempt, r)
		}
		j.countWrong(attempt, a)
	}
	if r.status == http.StatusOK && a.AccessToken != "" {
		j.issued(r, a)
	}
	if refresh := r.form.Get("refresh_token"); refresh != "" {
		j.refreshed(r, refresh, a)
	}
}

// countWrong counts wrong passwords as the server does, but each password by itself. j.mu is held.
func (j *judge) countWrong(attempt login, a tokenAnswer) {
	switch {
	case a.AccessToken != "":
		delete(j.wrong, attempt)
	case strings.Contains(a.Description, "wrong"):
		if j.wrong[attempt]++; j.wrong[attempt] >= j.history.server.LockAfter {
			j.violated(noLockOut, "%s by %q", attempt.user, attempt.password)
		}
	}
}

// reset forgets the refused passwords of a key's user, and the failures of its server: Reset permits to
// send them again.
func (j *judge) reset(key int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	ofUser := func(attempt login, _ int) bool { return attempt.user == j.history.keys[key].user }
	maps.DeleteFunc(j.refused, ofUser)
	maps.DeleteFunc(j.wrong, ofUser)
	for _, t := range j.refreshes {
		if t.key == scopeOf(key) {
			t.failedAt = time.Time{}
		}
	}
}
