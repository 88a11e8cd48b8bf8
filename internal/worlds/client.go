package worlds

import (
	"math/rand/v2"
	"time"

	"github.com/tokencache/tokencache/internal/rejection"
)

// A token is one that the server has issued.
type token struct {
	key      *key
	issued   int64
	revoked  bool
	accepted bool // somebody has accepted it
	before   bool // somebody had accepted the one before it
	record   rejection.Record
}

// A key is one of the client's.
type key struct {
	number   int
	current  *token
	renewing bool
	replays  int
	waiting  []func() // for the renewal

	revokedAt int64 // of the revocation that is not healed yet; 0: none
	failed    int   // good requests since
}

// A request is one of the client's.
type request struct {
	key    *key
	target string
	server int
	number int
}

// A client sends the requests of a world as a Transport does: one renewal per key at a time, for which
// callers wait; each request repeated at most once; no renewal while requests are being repeated.
type client struct {
	world *World
	rule  rule
	rand  *rand.Rand
	keys  []*key
	events
	outcome Outcome
}

// Play has a client live through a world under a rule. The same seed is the same world.
func Play(w *World, seed uint64, r Rule) Outcome {
	c := &client{world: w, rand: rand.New(rand.NewPCG(seed, 1))}
	c.rule = r(c)
	for i := range max(w.keys, 1) {
		k := &key{number: i}
		k.current = &token{key: k}
		c.keys = append(c.keys, k)
	}
	w.schedule(c)
	c.run()
	for _, k := range c.keys {
		if k.revokedAt != 0 && k.failed > 0 {
			c.heal(k)
		}
	}
	return c.outcome
}

// start sends a request, with a new token if the present one is being renewed.
func (c *client) start(req *request) {
	c.whenRenewed(req.key, func() {
		tok := req.key.current
		c.send(req, tok, func(sent int64, accepted bool) {
			if accepted {
				c.rule.accepted(tok, req.target, sent, c.now)
				return
			}
			c.rule.rejected(tok, req.target, c.now)
			c.unauthorized(req, tok)
		})
	})
}

// send has the server judge a request with a token.
func (c *client) send(req *request, tok *token, answer func(sent int64, accepted bool)) {
	sent := c.now
	latency := c.world.latency(c)
	c.after(latency/2, func() {
		accepted := !tok.revoked && c.world.accepts(c, req, tok)
		tok.accepted = tok.accepted || accepted
		c.after(latency/2, func() { answer(sent, accepted) })
	})
}

func (c *client) whenRenewed(k *key, do func()) {
	if k.renewing {
		k.waiting = append(k.waiting, do)
		return
	}
	do()
}

// unauthorized renews a rejected token if the rule permits it, and repeats the request.
func (c *client) unauthorized(req *request, tok *token) {
	k := req.key
	if k.current == tok && !k.renewing {
		if !c.rule.permits(tok, req, c.now) {
			c.fails(req)
			return
		}
		c.renew(k, req.target)
	}
	c.whenRenewed(k, func() {
		if c.world.stream {
			c.fails(req)
			return
		}
		c.repeat(req, k.current)
	})
}

func (c *client) repeat(req *request, tok *token) {
	req.key.replays++
	c.send(req, tok, func(sent int64, accepted bool) {
		req.key.replays--
		if accepted {
			c.rule.accepted(tok, req.target, sent, c.now)
			return
		}
		c.rule.rejected(tok, req.target, c.now)
		c.fails(req)
	})
}

// fails counts the 401s that callers see although a renewal would have helped.
func (c *client) fails(req *request) {
	if req.key.current.revoked && !c.world.random && c.isGood(req) {
		c.outcome.Wrong++
		req.key.failed++
	}
}

// replaysWait is how long a renewal waits for repeated requests.
const replaysWait = 250 * time.Millisecond

func (c *client) renew(k *key, target string) {
	k.renewing = true
	c.whenReplayed(k, c.now+int64(replaysWait), func() {
		c.outcome.TokenRequests++
		c.after(c.world.latency(c), func() { c.issue(k, target) })
	})
}

// issue is what the server does with a token request, and what the client does with the answer.
func (c *client) issue(k *key, target string) {
	prev := k.current
	next := &token{key: k, issued: c.now, before: prev.accepted}
	if c.world.single {
		prev.revoked = true
	}
	c.after(c.world.latency(c), func() {
		k.renewing = false
		c.publish(k, prev, next, target)
		waiting := k.waiting
		k.waiting = nil
		for _, do := range waiting {
			do()
		}
	})
}

// publish makes a token the current one. target is whose rejection asked for it, or empty.
func (c *client) publish(k *key, prev, next *token, target string) {
	if k.revokedAt != 0 {
		c.heal(k)
	}
	k.current = next
	c.rule.renewed(next, prev, target, c.now)
}

func (c *client) whenReplayed(k *key, end int64, do func()) {
	if k.replays == 0 || c.now >= end {
		do()
		return
	}
	c.after(time.Millisecond, func() { c.whenReplayed(k, end, do) })
}

// expire renews a token without a rejection, as is done before its end.
func (c *client) expire(k *key) {
	if !k.renewing {
		c.publish(k, k.current, &token{key: k, issued: c.now, before: k.current.accepted}, "")
	}
}

// revoke ends the current token of a key at the server. Only a revocation of a token that somebody had
// accepted, or the one before it, has to be recognized.
func (c *client) revoke(k *key) {
	k.current.revoked = true
	if k.revokedAt == 0 && (k.current.accepted || k.current.before) {
		k.revokedAt, k.failed = c.now, 0
	}
}

// heal ends what a revocation began.
func (c *client) heal(k *key) {
	took := time.Duration(c.now - k.revokedAt)
	if k.failed > 0 {
		c.outcome.Healed = max(c.outcome.Healed, took)
	}
	if took > c.world.patience() && k.failed > failedMost {
		c.outcome.Late++
	}
	k.revokedAt, k.failed = 0, 0
}
