package worlds

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

// A World is an API with its faults, the requests that a client sends to it, and revocations.
type World struct {
	Name string
	Most int // token requests that a good rule may cause, without the first of each key

	keys     int           // default: 1
	rate     float64       // requests a second, of all keys
	length   time.Duration // of all requests
	burst    int           // so many requests at once instead of one
	stream   bool          // requests cannot be repeated
	servers  int           // requests go to them in turn
	target   targets       // default: one for all requests
	rejects  fault         // default: nothing
	random   bool          // what is rejected has no reason
	single   bool          // only the newest token of a key is valid
	api      time.Duration // how long an answer takes, on average; default: 20 ms
	lifetime time.Duration // after which tokens are renewed without a rejection; default: never

	revoked []float64 // when all tokens are revoked, as parts of length; negative: at random
	further int       // revocations after each of those, 300 ms apart
	wrong   int       // 401s that callers may see although a renewal would have helped; negative: any number
}

// An Outcome is the result of playing a world.
type Outcome struct {
	TokenRequests int           // without the first of each key
	Wrong         int           // 401s that callers saw although a renewal would have helped
	Healed        time.Duration // how long it took to replace a revoked token, at most, if a caller saw a 401
	Late          int           // revocations for which that was too long
}

// Worst returns the worse of both in each respect.
func (o Outcome) Worst(p Outcome) Outcome {
	return Outcome{
		max(o.TokenRequests, p.TokenRequests), max(o.Wrong, p.Wrong), max(o.Healed, p.Healed), max(o.Late, p.Late),
	}
}

// failedMost is how many good requests may fail until a revocation is healed, however long it takes.
const failedMost = 5

// patience is how long a revocation may take, however many requests fail: ten seconds, and one
// renewal.
func (w *World) patience() time.Duration { return 10*time.Second + replaysWait + 4*w.answerTime() }

// Check returns an error if an outcome is not that of a good rule.
func (w *World) Check(o Outcome) error {
	var errs []error
	if o.TokenRequests > w.Most {
		errs = append(errs, fmt.Errorf("%d token requests, want at most %d", o.TokenRequests, w.Most))
	}
	if w.wrong >= 0 && o.Wrong > w.wrong {
		errs = append(errs, fmt.Errorf("%d good requests failed, want at most %d", o.Wrong, w.wrong))
	}
	if o.Late > 0 {
		errs = append(errs, fmt.Errorf("%d revocations were healed too late, after up to %v", o.Late, o.Healed))
	}
	return errors.Join(errs...)
}

// schedule plans everything that does not depend on the client.
func (w *World) schedule(c *client) {
	r := rand.New(rand.NewPCG(uint64(c.rand.Uint32()), 2))
	number := int(w.rate * w.length.Seconds())
	gap := float64(w.length) / float64(number)
	offset := r.Float64()
	for i := range number {
		for range max(w.burst, 1) {
			req := &request{key: c.keys[i%len(c.keys)], target: "POST https://api/", number: i}
			if w.target != nil {
				req.target = w.target(r, i)
			}
			if w.servers > 0 {
				req.server = i % w.servers
			}
			c.at(int64((float64(i)+offset)*gap)+1, func() { c.start(req) })
		}
	}
	for at := w.lifetime; at > 0 && at < w.length; at += w.lifetime {
		c.forAll(at, c.expire)
	}
	for _, part := range w.revoked {
		if part < 0 {
			part = 0.1 + 0.7*r.Float64()
		}
		for i := range w.further + 1 {
			c.forAll(time.Duration(part*float64(w.length))+time.Duration(i)*300*time.Millisecond, c.revoke)
		}
	}
}

// forAll does something to all keys at a time.
func (c *client) forAll(at time.Duration, do func(*key)) {
	c.at(int64(at), func() {
		for _, k := range c.keys {
			do(k)
		}
	})
}

func (w *World) accepts(c *client, req *request, tok *token) bool {
	return w.rejects == nil || !w.rejects(c, req, tok)
}

func (w *World) answerTime() time.Duration {
	if w.api == 0 {
		return 20 * time.Millisecond
	}
	return w.api
}

// latency returns how long an answer takes: the average, give or take a half.
func (w *World) latency(c *client) time.Duration {
	return w.answerTime()/2 + time.Duration(c.rand.Int64N(int64(w.answerTime())))
}
