package tokencache

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
)

// A token of the client that is being revoked authenticates that itself where the client's token does (see
// Dialect.Revocation): another one would have to be revoked after it.

type revocationKey struct{}

// revoking returns the context in which the request that revokes e is made.
func revoking(ctx context.Context, e *entry.Entry) context.Context {
	if e.Owner().Client == "" {
		return ctx
	}
	return context.WithValue(ctx, revocationKey{}, e)
}

// underRevocation returns the token of s's key that is being revoked in ctx, dead or not; nil if there is none, or if it has
// expired.
func (s *source) underRevocation(ctx context.Context) *entry.Entry {
	if e, ok := ctx.Value(revocationKey{}).(*entry.Entry); ok && e.Owner().Client == s.key() && e.Header() != "" && e.Age(s.core.clock.Now()) != entry.Expired {
		return e
	}
	return nil
}

// A revocation that a token of this cache authenticates (see Dialect.Revocation) can meet a 401: replicas share tokens,
// and the first one to shut down revokes them for all. Then another token is fetched for it.

const (
	revocationTries = 3                // of one revocation, each with another token
	disownMost      = 3                // tokens that may turn out useless, until one is accepted
	disownEvery     = 10 * time.Second // or until this time has passed
)

// A disowner bounds what a revocation endpoint that accepts no token costs.
type disowner struct {
	mu   sync.Mutex // never held while waiting
	vain int        // tokens that were killed since one was accepted
	last int64      // monotonic: when the last of them was
}

func (d *disowner) accepted() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.vain = 0
}

// disown kills the token with which a revocation was authenticated in vain, unless it has been replaced already, and
// reports whether the revocation is worth a further try.
func (c *core) disown(authorization string) bool {
	if c.cfg.Dialect.Revocation == nil || !strings.HasPrefix(authorization, "Bearer ") {
		return false
	}
	d := &c.disowner
	d.mu.Lock()
	defer d.mu.Unlock()
	now := clock.Monotonic()
	if d.vain > 0 && now-d.last >= int64(disownEvery) {
		d.vain = 0
	}
	e := c.shelf.Find(authorization)
	if e == nil {
		return true
	}
	if d.vain >= disownMost {
		return false
	}
	d.vain, d.last = d.vain+1, now
	e.Kill()
	return true
}
