package simulation

import "time"

// A seenToken is an access token, as its answer described it.
type seenToken struct {
	key         string
	learned     time.Time // when its answer arrived
	login       bool      // a login obtained it
	fromLogin   bool      // and no caller got it from the cache yet
	expires     time.Time // by the monotonic clock; zero: unknown
	wallExpires time.Time // by the wall clock; zero: unknown
	published   time.Time // by the latest flight that obtained it
	dead        time.Time // since when; zero: it is not
}

// issued records the tokens of an answer. j.mu is held.
func (j *judge) issued(r *tokenRequest, a tokenAnswer) {
	j.deliver(a.AccessToken)
	if a.RefreshToken != "" {
		j.deliver(a.RefreshToken)
		j.refreshes[a.RefreshToken] = &seenRefresh{key: r.key, access: a.AccessToken, resent: j.refresh(a.RefreshToken).resent}
	} else if refresh := r.form.Get("refresh_token"); refresh != "" {
		j.refresh(refresh).access = a.AccessToken
	}
	t := j.tokens[a.AccessToken]
	if t == nil {
		t = &seenToken{key: r.key, learned: time.Now()}
		j.tokens[a.AccessToken] = t
	}
	lifetime := time.Duration(a.ExpiresIn) * time.Second
	if lifetime == 0 {
		lifetime = j.history.config.maxAge
	}
	if lifetime > 0 {
		t.expires = later(t.expires, r.sent.Add(lifetime))
		t.wallExpires = later(t.wallExpires, r.wall.Add(lifetime))
	}
}

// deliver notes when a token arrived for the first time. j.mu is held.
func (j *judge) deliver(token string) {
	if _, known := j.delivered[token]; !known {
		j.delivered[token] = time.Now()
	}
}

// loggedIn records the token of a login. The application saves it with its wall-clock
// expiry, and the cache may get it much later, so that no expiry by the monotonic clock is known.
func (j *judge) loggedIn(r *tokenRequest, a tokenAnswer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := &seenToken{key: r.key, learned: time.Now(), login: true, fromLogin: true}
	if a.ExpiresIn > 0 {
		t.wallExpires = r.wall.Add(time.Duration(a.ExpiresIn) * time.Second)
	}
	j.tokens[a.AccessToken] = t
	j.refreshes[a.RefreshToken] = &seenRefresh{key: r.key, access: a.AccessToken}
	j.note("logged in %s: %s %s", r.key, short(a.AccessToken), short(a.RefreshToken))
}

// published notes that a flight publishes a token: the other tokens of its key are dead.
func (j *judge) published(value string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, now := j.tokens[value], time.Now()
	if t == nil {
		return // only planted bugs publish a token that was in no answer
	}
	j.note("published %s for %s", short(value), t.key)
	for other, old := range j.tokens {
		if old.key == t.key && other != value && old.dead.IsZero() && !old.fromLogin {
			old.dead = now
		}
	}
	t.published, t.dead = now, time.Time{}
}

// replaced notes that Rejected has returned another token.
func (j *judge) replaced(value string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if t := j.tokens[value]; t != nil {
		t.dead = time.Now()
		j.note("Rejected ends %s", short(value))
	}
}

// used judges a token that a caller has got, or that is about to be sent.
func (j *judge) used(key, value string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	t, now := j.tokens[value], time.Now()
	switch {
	case t == nil:
		j.violated(neverUnknown, "%s", short(value))
		return
	case t.key != key:
		j.violated(neverUnknown, "%s of %s for %s", short(value), t.key, key)
	case !t.dead.IsZero() && t.dead.Before(now):
		j.violated(neverDead, "%s since %v", short(value), now.Sub(t.dead))
	}
	t.fromLogin = false
	if t.published.Equal(now) {
		return // those who waited for the flight use the token once, even if it has expired since
	}
	if !t.expires.IsZero() && !now.Before(t.expires) {
		j.violated(neverExpired, "%s since %v", short(value), now.Sub(t.expires))
	}
	// The library reads the wall clock at most every 100 ms.
	if !t.wallExpires.IsZero() && !j.wall.earliest(100*time.Millisecond).Before(t.wallExpires) {
		j.violated(neverPastWall, "%s since %v", short(value), j.wall.now().Sub(t.wallExpires))
	}
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
