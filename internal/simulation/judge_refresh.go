package simulation

import "time"

// A seenRefresh is a refresh token, and what the answers to its requests say of it.
type seenRefresh struct {
	key       string
	access    string    // the access token that came with it last
	spent     bool      // it was replaced, or refused
	doubt     bool      // a request with it failed so that it may be either good or consumed
	failedAt  time.Time // when the server last said that it had failed; zero: it has not, or Reset was called
	lost      int       // answers
	lostAt    time.Time // when the last answer was lost
	unclear   int       // answers in a row that can be a refusal
	unclearAt time.Time // when the last of them arrived
	resent    int       // how often it was sent in doubt
}

func (j *judge) refresh(token string) *seenRefresh {
	t := j.refreshes[token]
	if t == nil {
		t = &seenRefresh{}
		j.refreshes[token] = t
	}
	return t
}

// refreshing judges a request that carries a refresh token. j.mu is held.
func (j *judge) refreshing(r *tokenRequest, token string) {
	t, now := j.refresh(token), time.Now()
	if t.doubt {
		t.resent++
	}
	switch {
	case t.spent:
		j.violated(refreshOnce, "%s is spent", short(token))
	case !t.failedAt.IsZero() && now.Before(t.failedAt.Add(time.Second)):
		j.violated(refreshOnce, "%s %v after an error", short(token), now.Sub(t.failedAt))
	case t.unclear > 0 && now.Before(t.unclearAt.Add([]time.Duration{0, time.Second, 10 * time.Second}[t.unclear])):
		j.violated(refreshOnce, "%s %v after unclear answer %d", short(token), now.Sub(t.unclearAt), t.unclear)
	case t.lost > 0 && now.Before(t.lostAt.Add(min(5*time.Second<<min(t.lost-1, 10), 5*time.Minute))):
		j.violated(refreshOnce, "%s %v after lost answer %d", short(token), now.Sub(t.lostAt), t.lost)
	case t.lost > 0 && (r.reason == "stale" || r.reason == "cold" || r.reason == "expired") && j.serves(t.access):
		j.violated(refreshLast, "%s", short(token))
	}
}

// serves reports whether the cache can surely serve an access token. j.mu is held.
func (j *judge) serves(value string) bool {
	t, now := j.tokens[value], time.Now()
	if t == nil || !t.dead.IsZero() || t.published.IsZero() && !t.login || j.wall.steppedSince(t.learned) {
		return false
	}
	if t.login && t.wallExpires.IsZero() && j.history.config.maxAge > 0 {
		return false // it counts from when the cache got it
	}
	return (t.expires.IsZero() || now.Before(t.expires)) && (t.wallExpires.IsZero() || j.wall.now().Before(t.wallExpires))
}

// refreshed records the answer to a request that carried a refresh token. j.mu is held.
func (j *judge) refreshed(r *tokenRequest, token string, a tokenAnswer) {
	t := j.refresh(token)
	t.key = r.key
	if r.status == 200 && a.AccessToken != "" {
		*t = seenRefresh{key: r.key, access: t.access, resent: t.resent, spent: a.RefreshToken != "" && a.RefreshToken != token}
		return
	}
	fate := r.fate(a)
	t.doubt = t.doubt || fate != ""
	if fate != "" && fate != "unclear" {
		t.unclear = 0
	}
	switch {
	case fate != "" && j.history.config.neverResend:
		t.spent = true
	case fate == "refused":
		t.spent = true
	case fate == "failed":
		t.failedAt = time.Now()
	case fate == "lost":
		t.lost++
		t.lostAt = time.Now()
	case fate == "unclear":
		t.unclear++
		t.unclearAt, t.spent = time.Now(), t.unclear == 3
	}
}

// fate says what a failed request says of its refresh token: "" if it is good.
func (r *tokenRequest) fate(a tokenAnswer) string {
	tooBusy := r.status == 408 || r.status == 425 || r.status == 429 || r.status == 503
	switch {
	case r.status == 0 && !r.reached, tooBusy, refusesEarly(a.Code), a.Code == "temporarily_unavailable":
		return ""
	case a.Code == "invalid_grant":
		return "refused"
	case r.status == 0, r.status == 502, r.status == 504, r.status < 300 && a.Code == "":
		return "lost"
	case r.status >= 500, a.Code == "server_error", r.status == 423:
		return "failed"
	case a.Code == "invalid_request", len(r.body) == 0 && (r.status == 400 || r.status == 401 || r.status == 403):
		return "unclear"
	case a.Code != "":
		return "refused"
	}
	return "failed"
}
