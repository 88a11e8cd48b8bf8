package simulation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tokencache/tokencache"
)

// closing notes that the cache is about to be closed.
func (j *judge) closing() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed.IsZero() {
		j.closed = time.Now()
	}
}

// shutDown judges a Shutdown that has returned: tokens that it did not ask the server to revoke are
// in its error. It leaves sessions alone, because the cache cannot log in again.
func (j *judge) shutDown(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("Shutdown: %v", err)
	missing := j.notRevoked(func(key string) bool { return !strings.HasPrefix(key, "session") }, time.Now())
	if len(missing) > countedBy(err) {
		j.violated(allRevoked, "%v, error: %v", missing, err)
	}
}

// countedBy returns how many tokens the error of a Shutdown counts.
func countedBy(err error) (count int) {
	switch {
	case err == nil:
		return 0
	case strings.Contains(err.Error(), "still "): // something is under way, another Shutdown perhaps
		return math.MaxInt
	}
	_, _ = fmt.Sscanf(err.Error(), "tokencache: shutdown: %d failed", &count)
	return count
}

// revoked judges a Revoke that has returned.
func (j *judge) revoked(key string, began time.Time, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.note("Revoke %s: %v", key, err)
	if errors.Is(err, tokencache.ErrClosed) {
		return
	}
	if err != nil {
		j.excused[key] = time.Now().Add(2*j.history.config.timeout + time.Second)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return // the caller has left, and the revocation goes on
	}
	for value, t := range j.tokens {
		if t.key == key && t.dead.IsZero() && !t.published.After(began) && !t.learned.After(began) {
			t.dead = time.Now()
			j.note("Revoke ends %s", short(value))
		}
	}
	if err == nil {
		missing := j.notRevoked(func(of string) bool { return of == key }, began)
		if len(missing) > 0 {
			j.violated(revokedByRevoke, "%v", missing)
		}
	}
}

// notRevoked returns the live tokens that were delivered until a time and that the server was not
// asked to revoke. j.mu is held.
func (j *judge) notRevoked(of func(key string) bool, until time.Time) (missing []string) {
	for _, t := range j.srv.Live() {
		delivered, known := j.delivered[t.Value]
		if seen := j.tokens[t.Value]; seen != nil && !seen.expires.IsZero() && !seen.expires.After(time.Now()) {
			continue // it has expired, as far as the library knows
		}
		inTime := known && !delivered.After(until)
		if inTime && of(j.keyOfScope(t.Scope)) && !t.RevokeAsked && j.excused[t.Scope].Before(t.Issued) {
			missing = append(missing, short(t.Value)+" of "+t.Scope)
		}
	}
	return missing
}

// keyOfScope returns the scope, with "session " before it if the key is a session.
func (j *judge) keyOfScope(scope string) string {
	for i, k := range j.history.keys {
		if scopeOf(i) == scope && k.kind == kindSession {
			return "session " + scope
		}
	}
	return scope
}
