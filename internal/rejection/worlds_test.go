package rejection_test

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A world is an API with its faults, the requests that a client sends to it, and the revocations.
type world struct {
	name   string
	keys   int           // default: 1
	rate   float64       // requests a second, of all keys
	length time.Duration // of all requests
	burst  int           // so many requests at once instead of one; default: 1

	target  func(r *rand.Rand, i int) string // default: one path
	servers int                              // in turn; default: 1
	rejects func(c *client, req *request, tok *token, now int64) bool
	random  bool // what it rejects has no reason
	single  bool // only the newest token of a key is valid
	stream  bool // requests cannot be repeated

	api     time.Duration // how long an answer takes; default: 20 ms
	life    time.Duration // after which tokens are renewed in any case
	revoked []float64     // when all tokens are revoked, as a part of length
	again   int           // and how often at once after that, 300 ms apart
	anytime bool          // revoked is random

	most int // token requests, without the first of each key
}

func (w *world) schedule(c *client) {
	r := rand.New(rand.NewPCG(uint64(c.rand.Uint32()), 2))
	number := int(w.rate * w.length.Seconds())
	gap := float64(w.length) / float64(number)
	offset := r.Float64()
	for i := range number {
		at := int64((float64(i)+offset)*gap) + 1
		for range max(w.burst, 1) {
			req := &request{key: c.keys[i%len(c.keys)], target: "POST https://api/", number: i}
			if w.target != nil {
				req.target = w.target(r, i)
			}
			if w.servers > 0 {
				req.server = i % w.servers
			}
			c.at(at, func() { c.start(req) })
		}
	}
	if w.life > 0 {
		for at := w.life; at < w.length; at += w.life {
			c.at(int64(at), func() {
				for _, k := range c.keys {
					c.replace(k)
				}
			})
		}
	}
	for _, part := range w.revoked {
		if w.anytime {
			part = 0.1 + 0.7*r.Float64()
		}
		for i := range w.again + 1 {
			c.at(int64(part*float64(w.length))+int64(i)*int64(300*time.Millisecond), func() {
				for _, k := range c.keys {
					c.revoke(k, true)
				}
			})
		}
	}
}

func (w *world) accepts(c *client, req *request, tok *token, now int64) bool {
	return w.rejects == nil || !w.rejects(c, req, tok, now)
}

func (w *world) replays(*request) bool { return !w.stream }

func (w *world) latency(c *client) time.Duration {
	api := w.api
	if api == 0 {
		api = 20 * time.Millisecond
	}
	return api/2 + time.Duration(c.rand.Int64N(int64(api)))
}

// patience is how long a revocation may take to be healed: ten seconds, and one renewal.
func (w *world) patience() time.Duration { return 10*time.Second + 4*w.latencyMost() }

func (w *world) latencyMost() time.Duration { return 2 * max(w.api, 20*time.Millisecond) }

// What an API rejects.
type fault func(c *client, req *request, tok *token, now int64) bool

func everything(*client, *request, *token, int64) bool { return true }

func target(bad string) fault {
	return func(_ *client, req *request, _ *token, _ int64) bool { return req.target == bad }
}

// operation rejects one in n requests, by what is in them.
func operation(n int) fault {
	return func(_ *client, req *request, _ *token, _ int64) bool { return req.number%n == n-1 }
}

// server rejects what is sent to the first of the servers.
func server(_ *client, req *request, _ *token, _ int64) bool { return req.server == 0 }

// slowServer learns of a token late.
func slowServer(late time.Duration) fault {
	return func(_ *client, req *request, tok *token, now int64) bool {
		return req.server == 0 && now-tok.issued < int64(late)
	}
}

// young rejects tokens that were issued just now.
func young(late time.Duration) fault {
	return func(_ *client, _ *request, tok *token, now int64) bool { return now-tok.issued < int64(late) }
}

func atRandom(percent int) fault {
	return func(c *client, _ *request, _ *token, _ int64) bool { return c.rand.IntN(100) < percent }
}

// users rejects one key in n.
func users(n int) fault {
	return func(_ *client, req *request, _ *token, _ int64) bool { return req.key.number%n == n-1 }
}

// paths returns one of n paths in turn.
func paths(n int) func(*rand.Rand, int) string {
	return func(_ *rand.Rand, i int) string { return fmt.Sprintf("GET https://api/%d", i%n) }
}

// ownPaths returns a path of its own for each request.
func ownPaths(_ *rand.Rand, i int) string { return fmt.Sprintf("GET https://api/own/%d", i) }

// originsOf returns one of n origins in turn.
func originsOf(n int) func(*rand.Rand, int) string {
	return func(_ *rand.Rand, i int) string { return fmt.Sprintf("GET https://api%d/", i%n) }
}

// worlds are those of the table.
func worlds() (all []*world) {
	getAndPost := func(_ *rand.Rand, i int) string {
		if i%2 == 0 {
			return "GET https://api/"
		}
		return "POST https://api/"
	}
	half := fault(func(_ *client, req *request, _ *token, _ int64) bool { return req.number%2 == 1 })
	halfRandom := fault(func(_ *client, req *request, _ *token, _ int64) bool {
		return (uint32(req.number)*2654435761)>>16&1 == 1
	})
	percent := func(n uint32) fault {
		return func(_ *client, req *request, _ *token, _ int64) bool {
			return (uint32(req.number)*2654435761)>>12%100 < n
		}
	}
	thirtySeconds, minute, tenMinutes := 30*time.Second, time.Minute, 10*time.Minute
	broken := []*world{
		{name: "L everything, 50 in sequence", rate: 20, length: 2500 * time.Millisecond, rejects: everything, most: 3},
		{name: "L2 one path of two", rate: 40, length: 2500 * time.Millisecond, target: paths(2), rejects: target("GET https://api/1"), most: 3},
		{name: "L4 one path of two, one valid token", rate: 300, length: 3 * time.Second, target: paths(2), rejects: target("GET https://api/1"), single: true, most: 5},
		{name: "W1 POST, but not GET", rate: 20, length: thirtySeconds, target: getAndPost, rejects: target("POST https://api/"), most: 15},
		{name: "W2 one operation of four", rate: 10, length: thirtySeconds, rejects: operation(4), most: 15},
		{name: "W2 one operation of two", rate: 10, length: thirtySeconds, rejects: operation(2), most: 15},
		{name: "W3 one of two servers learns late", rate: 10, length: minute, servers: 2, rejects: slowServer(2 * time.Second), most: 30},
		{name: "W4 one of twenty servers", rate: 100, length: minute, servers: 20, rejects: server, most: 30},
		{name: "W4 one of twenty servers, slowly", rate: 2, length: tenMinutes, servers: 20, rejects: server, most: 80},
		{name: "W5 5 % at random", rate: 100, length: minute, rejects: atRandom(5), random: true, most: 30},
		{name: "W5 20 % at random", rate: 100, length: minute, rejects: atRandom(20), random: true, most: 30},
		{name: "W5 50 % at random", rate: 100, length: minute, rejects: atRandom(50), random: true, most: 30},
		{name: "W6 everything, 2,000 users", keys: 2000, rate: 2000. / 60, length: tenMinutes, rejects: everything, most: 100},
		{name: "W7 paths of their own, 2 %", rate: 10, length: tenMinutes, target: ownPaths, rejects: percent(2), most: 80},
		{name: "W9 paths of their own, half in turn", rate: 10, length: tenMinutes, target: ownPaths, rejects: half, most: 30},
		{name: "W9 paths of their own, half at random", rate: 10, length: tenMinutes, target: ownPaths, rejects: halfRandom, most: 30},
		{name: "W10 tokens too young", rate: 10, length: 2 * time.Hour, rejects: young(500 * time.Millisecond), life: time.Hour - time.Second, most: 20},
		{name: "everything, for an hour", rate: 1, length: time.Hour, rejects: everything, most: 80},
		{name: "everything, 200 origins", rate: 100, length: minute, target: originsOf(200), rejects: everything, most: 15},
		{name: "one origin of three", rate: 30, length: minute, target: originsOf(3), rejects: target("GET https://api0/"), most: 15},
		{name: "a user in twenty", keys: 200, rate: 200. / 6, length: tenMinutes, rejects: users(20), most: 100},
	}
	calm := []*world{
		{name: "J 50 at once, revoked", rate: 1, burst: 50, length: 2 * time.Second, revoked: []float64{0.5}, most: 1},
		{name: "N revoked twice, 20 at once", rate: 10, burst: 20, length: 2 * time.Second, revoked: []float64{0.4, 0.5}, most: 2},
		{name: "revoked three times in a second", rate: 100, length: 10 * time.Second, revoked: []float64{0.5}, again: 2, most: 3},
		{name: "revoked, a request in ten seconds", rate: 0.1, length: 10 * time.Minute, revoked: []float64{0.1, 0.3, 0.5, 0.7, 0.9}, most: 5},
		{name: "revoked, a path per request", rate: 10, length: time.Minute, target: ownPaths, revoked: []float64{0.2, 0.5, 0.8}, most: 3},
		{name: "revoked, one valid token", rate: 100, length: time.Minute, single: true, revoked: []float64{0.2, 0.5, 0.8}, most: 3},
		{name: "revoked, three origins", rate: 100, length: time.Minute, target: originsOf(3), revoked: []float64{0.2, 0.5, 0.8}, most: 3},
		{name: "U requests that cannot be repeated", rate: 1, length: time.Minute, stream: true, revoked: []float64{0.2, 0.4, 0.6, 0.8}, most: 4},
		{name: "2,000 users revoked", keys: 2000, rate: 2000. / 60, length: 5 * time.Minute, revoked: []float64{0.5}, most: 2000},
		{name: "W8 2,000 users revoked, one in twenty rejected", keys: 2000, rate: 2000. / 60, length: 10 * time.Minute, rejects: users(20), revoked: []float64{0.5}, most: 2100},
	}
	all = append(all, calm...)
	all = append(all, broken...)
	for _, b := range broken {
		once := *b
		once.name += ", revoked"
		once.revoked, once.anytime = []float64{0}, true
		once.most += 3 * max(b.keys, 1)
		often := once
		often.name += " three times"
		often.again = 2
		often.most += 9 * max(b.keys, 1)
		all = append(all, &once, &often)
	}
	return all
}
