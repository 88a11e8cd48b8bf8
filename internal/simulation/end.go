package simulation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// end shuts the cache down, and leaves nothing behind.
func (w *simWorld) end() {
	w.network.refuse(0)
	w.srv.ClearFaults()
	if err := w.shutdown(step{what: "Shutdown", limit: 10 * time.Minute}); err != nil {
		time.Sleep(w.plan.config.timeout + 2*time.Second) // what is still under way, as the error says
	}
	w.judge.atTheEnd()
	w.network.CloseIdleConnections()
	w.srv.Close()
}

// shutdown shuts the cache down and judges what is left.
func (w *simWorld) shutdown(s step) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	w.judge.closes()
	began := time.Now()
	err := w.cache.Shutdown(ctx)
	if took := time.Since(began); took > s.limit {
		w.judge.complain(withinDeadline, "Shutdown with %v took %v", s.limit, took)
	}
	w.judge.shutDown(err)
	return err
}

// revoke ends a key's tokens and judges what is left.
func (w *simWorld) revoke(ctx context.Context, key int, src *tokencache.Source) error {
	began := time.Now()
	err := src.Revoke(ctx)
	w.judge.revoked(scopeOf(key), began, err)
	return err
}

// watch tells the judge which tokens flights hand out. Hooks panic now and then.
func (w *simWorld) watch() tokencache.Hooks {
	panics := func() {
		if every := int64(w.plan.config.panicEvery); every > 0 && w.hooks.Add(1)%every == 0 {
			w.faults.Add(1)
			panic("a hook's own fault")
		}
	}
	return tokencache.Hooks{
		NewToken: func(_ context.Context, _ tokencache.FetchInfo, tok *oauth2.Token) {
			time.Sleep(w.plan.config.hookLatency)
			w.judge.published(tok.AccessToken)
			panics()
		},
		FetchStarted: func(context.Context, tokencache.FetchInfo) { panics() },
		FetchDone:    func(context.Context, tokencache.FetchInfo) { panics() },
		Rejected:     func(context.Context, tokencache.RejectionInfo) { panics() },
		HoldOff:      func(context.Context, tokencache.HoldOffInfo) { panics() },
		Revoked:      func(context.Context, tokencache.RevocationInfo) { panics() },
	}
}

// closes learns that the cache is being closed.
func (j *judge) closes() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed.IsZero() {
		j.closed = time.Now()
	}
}

// shutDown judges the end of a Shutdown: what the server was not asked to revoke has to be in the error.
func (j *judge) shutDown(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("Shutdown: %v", err)
	missing := j.unasked(func(key string) bool { return !strings.HasPrefix(key, "session") }, time.Now())
	if len(missing) > namedBy(err) {
		j.violated(allRevoked, "%v, error: %v", missing, err)
	}
}

// namedBy is the number of tokens that Shutdown's error accounts for.
func namedBy(err error) (count int) {
	switch {
	case err == nil:
		return 0
	case strings.Contains(err.Error(), "still "): // under way, or another Shutdown is at work
		return 1 << 30
	}
	_, _ = fmt.Sscanf(err.Error(), "tokencache: shutdown: %d failed", &count)
	return count
}

// revoked judges the end of a Revoke.
func (j *judge) revoked(key string, began time.Time, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("Revoke %s: %v", key, err)
	if errors.Is(err, tokencache.ErrClosed) {
		return
	}
	left := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if err != nil {
		j.forgiven[key] = time.Now().Add(2*j.plan.config.timeout + time.Second)
	}
	if left {
		return // it goes on
	}
	for value, t := range j.tokens {
		if t.key == key && t.dead.IsZero() && !t.obtained.After(began) && !t.learnt.After(began) {
			t.dead = time.Now()
			j.note("Revoke ends %s", short(value))
		}
	}
	if err == nil {
		missing := j.unasked(func(of string) bool { return of == key }, began)
		if len(missing) > 0 {
			j.violated(revokedByRevoke, "%v", missing)
		}
	}
}

// unasked returns the tokens that live, came before a time, and that the server was not asked to revoke. j.mu is held.
func (j *judge) unasked(of func(key string) bool, before time.Time) (missing []string) {
	for _, t := range j.srv.Live() {
		learnt, known := j.delivered[t.Value]
		if seen := j.tokens[t.Value]; seen != nil && !seen.ends.IsZero() && !seen.ends.After(time.Now()) {
			continue // it has ended, as far as the library was told
		}
		if known && !learnt.After(before) && of(j.ownerOf(t.Scope)) && !t.RevokeAsked && j.forgiven[t.Scope].Before(t.Issued) {
			missing = append(missing, short(t.Value)+" of "+t.Scope)
		}
	}
	return missing
}

// ownerOf marks the scopes of sessions, which are their users'.
func (j *judge) ownerOf(scope string) string {
	for i, k := range j.plan.keys {
		if scopeOf(i) == scope && k.kind == kindSession {
			return "session " + scope
		}
	}
	return scope
}
