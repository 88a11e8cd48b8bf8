package rows

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

// An issuer stands for the authorization server. It issues tokens through a function call.
type issuer struct {
	lifetime atomic.Int64 // of the tokens in nanoseconds; 0 means that it does not say
	latency  atomic.Int64 // of a fetch in nanoseconds
	down     atomic.Bool  // every fetch fails
	single   atomic.Bool  // a new token revokes all earlier ones
	fetches  atomic.Int64
	issued   atomic.Int64

	mu    sync.Mutex // guards valid
	valid map[string]bool
}

func newIssuer(lifetime, latency time.Duration) *issuer {
	is := &issuer{valid: make(map[string]bool)}
	is.lifetime.Store(int64(lifetime))
	is.latency.Store(int64(latency))
	return is
}

var errDown = errors.New("the authorization server is down")

// fetch issues a token. It is the peers' Fetch.
func (is *issuer) fetch(ctx context.Context) (peer.Token, error) {
	is.fetches.Add(1)
	if d := time.Duration(is.latency.Load()); d > 0 {
		select {
		case <-time.After(d):
		case <-ctx.Done():
			return peer.Token{}, ctx.Err()
		}
	}
	if is.down.Load() {
		return peer.Token{}, errDown
	}
	tok := peer.Token{Value: fmt.Sprintf("token-%d", is.issued.Add(1))}
	if life := is.lifetime.Load(); life > 0 {
		tok.Expiry = time.Now().Add(time.Duration(life))
	}
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.single.Load() {
		clear(is.valid)
	}
	is.valid[tok.Value] = true
	return tok, nil
}

func (is *issuer) revokeAll() {
	is.mu.Lock()
	defer is.mu.Unlock()
	clear(is.valid)
}

func (is *issuer) accepts(token string) bool {
	is.mu.Lock()
	defer is.mu.Unlock()
	return is.valid[token]
}

// count returns the number of fetches since the last call.
func (is *issuer) count() int { return int(is.fetches.Swap(0)) }

// setup returns the peers' setup, with a window of a fifth of the lifetime and hardly any margin.
func (is *issuer) setup() peer.Setup {
	life := time.Duration(is.lifetime.Load())
	return peer.Setup{Fetch: is.fetch, Window: life / 5, Margin: max(life/100, 1)}
}
