package worlds

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// A fault is what an API rejects although the token is valid.
type fault func(c *client, req *request, tok *token) bool

func everything(*client, *request, *token) bool { return true }

// one rejects what is sent to one target.
func one(bad string) fault {
	return func(_ *client, req *request, _ *token) bool { return req.target == bad }
}

// someTargets rejects what is sent to about one target in n.
func someTargets(n uint32) fault {
	return func(_ *client, req *request, _ *token) bool { return scattered(req.target)%n == 0 }
}

// operation rejects every n-th request, as if for what is in it.
func operation(n int) fault {
	return func(_ *client, req *request, _ *token) bool { return req.number%n == n-1 }
}

// scatteredOperation rejects so many percent of the requests, in no order.
func scatteredOperation(percent uint32) fault {
	return func(_ *client, req *request, _ *token) bool { return scattered(fmt.Sprint(req.number))%100 < percent }
}

// oneServer rejects what is sent to the first of the servers.
func oneServer(_ *client, req *request, _ *token) bool { return req.server == 0 }

// lateServer is a first server that learns of a token late.
func lateServer(late time.Duration) fault {
	return func(c *client, req *request, tok *token) bool {
		return req.server == 0 && c.now-tok.issued < int64(late)
	}
}

// young rejects tokens that were issued just now.
func young(late time.Duration) fault {
	return func(c *client, _ *request, tok *token) bool { return c.now-tok.issued < int64(late) }
}

// atRandom rejects so many percent of the requests without a reason.
func atRandom(percent int) fault {
	return func(c *client, _ *request, _ *token) bool { return c.rand.IntN(100) < percent }
}

// someKeys rejects one key in n.
func someKeys(n int) fault {
	return func(_ *client, req *request, _ *token) bool { return req.key.number%n == n-1 }
}

// anyOf rejects what one of the faults does.
func anyOf(faults []fault) fault {
	return func(c *client, req *request, tok *token) bool {
		for _, f := range faults {
			if f(c, req, tok) {
				return true
			}
		}
		return false
	}
}

func scattered(s string) uint32 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(s))
	return uint32(h.Sum64() >> 20)
}

// targets chooses the target of a request by its number.
type targets func(r *rand.Rand, i int) string

func methods(_ *rand.Rand, i int) string { return []string{"GET", "POST"}[i%2] + " https://api/" }

// paths are n paths in turn.
func paths(n int) targets {
	return func(_ *rand.Rand, i int) string { return fmt.Sprintf("GET https://api/%d", i%n) }
}

// mixedPaths are n paths in no order.
func mixedPaths(n int) targets {
	return func(r *rand.Rand, _ int) string { return fmt.Sprintf("GET https://api/%d", r.IntN(n)) }
}

// ownPaths are a path of its own for each request.
func ownPaths(_ *rand.Rand, i int) string { return fmt.Sprintf("GET https://api/own/%d", i) }

// origins are n origins in turn.
func origins(n int) targets {
	return func(_ *rand.Rand, i int) string { return fmt.Sprintf("GET https://api%d/", i%n) }
}
