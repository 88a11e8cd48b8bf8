package rejection_test

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/tokencache/tokencache/internal/rejection"
)

// A rule decides which rejections are a reason to renew a token.
type rule interface {
	accepted(tok *token, target string, sent, now int64)
	rejected(tok *token, target string, now int64)
	permits(tok *token, req *request, now int64) bool
	renewed(next, prev *token, target string, now int64)
}

// newRule is the rule of this package.
type newRule struct{ *rejection.Rule }

func (r newRule) accepted(tok *token, target string, sent, now int64) {
	if r.OnTrial(&tok.record) {
		r.Accepted(&tok.record, target, sent, now)
	}
}

func (r newRule) rejected(tok *token, target string, now int64) {
	r.Rejected(&tok.record, target, now)
}

func (r newRule) permits(tok *token, req *request, now int64) bool {
	_, ok := r.Permit(&tok.record, req.target, now)
	return ok
}

func (r newRule) renewed(next, prev *token, target string, now int64) {
	r.Renewed(&next.record, &prev.record, target, now)
}

// allKnowing renews only what is revoked, and only for requests that a new token would help.
type allKnowing struct{ *client }

func (allKnowing) accepted(*token, string, int64, int64) {}
func (allKnowing) rejected(*token, string, int64)        {}
func (r allKnowing) permits(tok *token, req *request, now int64) bool {
	return tok.revoked && r.world.accepts(r.client, req, &token{key: tok.key, issued: now - int64(time.Hour)}, now)
}
func (allKnowing) renewed(_, _ *token, _ string, _ int64) {}

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

	revokedAt int64 // of the revocation that has not healed yet; 0: none
	failed    int   // good requests since
}

// A request is one of the client's.
type request struct {
	key    *key
	target string
	server int
	number int
}

// A client sends the requests of a world, as Transport does: one renewal per key at a time, for which
// callers wait; each request repeated at most once; no renewal while repeated requests are under way.
type client struct {
	world *world
	rule  rule
	rand  *rand.Rand // chances of the world, the same for every rule
	now   int64
	keys  []*key
	queue events
	count int // events, which numbers them

	tokens int           // token requests, without the first of each key
	wrong  int           // 401s to good requests
	healed time.Duration // the longest time until a revocation was healed
	late   int           // revocations that healed too late
}

// play lets a client live through a world.
func play(w *world, seed uint64, newRule func(*client) rule) *client {
	c := &client{world: w, rand: rand.New(rand.NewPCG(seed, 1))}
	c.rule = newRule(c)
	for i := range max(w.keys, 1) {
		k := &key{number: i}
		k.current = &token{key: k}
		c.keys = append(c.keys, k)
	}
	w.schedule(c)
	for len(c.queue) > 0 {
		e := heap.Pop(&c.queue).(event)
		c.now = e.at
		e.do()
	}
	for _, k := range c.keys {
		if k.revokedAt != 0 && k.failed > 0 {
			c.heal(k)
		}
	}
	return c
}

// at schedules what is to be done at a time.
func (c *client) at(at int64, do func()) {
	c.count++
	heap.Push(&c.queue, event{at, c.count, do})
}

func (c *client) after(d time.Duration, do func()) { c.at(c.now+int64(d), do) }

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
		accepted := !tok.revoked && c.world.accepts(c, req, tok, c.now)
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
	switch {
	case k.current != tok || k.renewing:
	case c.rule.permits(tok, req, c.now):
		c.renew(k, req.target)
	default:
		c.fails(req)
		return
	}
	c.whenRenewed(k, func() {
		next := k.current
		if !c.world.replays(req) {
			c.fails(req)
			return
		}
		k.replays++
		c.send(req, next, func(sent int64, accepted bool) {
			k.replays--
			if accepted {
				c.rule.accepted(next, req.target, sent, c.now)
				return
			}
			c.rule.rejected(next, req.target, c.now)
			c.fails(req)
		})
	})
}

// fails counts the 401s that callers see although a renewal would have helped.
func (c *client) fails(req *request) {
	k := req.key
	fresh := &token{key: k, issued: c.now - int64(time.Hour)}
	if !k.current.revoked || c.world.random || !c.world.accepts(c, req, fresh, c.now) {
		return
	}
	c.wrong++
	k.failed++
}

// replace renews a token before it expires, as is done without a rejection.
func (c *client) replace(k *key) {
	if k.renewing {
		return
	}
	prev := k.current
	k.current = &token{key: k, issued: c.now, before: prev.accepted}
	c.rule.renewed(k.current, prev, "", c.now)
	if k.revokedAt != 0 {
		c.heal(k)
	}
}

const replaysWait = 250 * time.Millisecond

func (c *client) renew(k *key, target string) {
	k.renewing = true
	c.whenReplayed(k, c.now+int64(replaysWait), func() {
		c.tokens++
		c.after(c.world.latency(c), func() {
			prev := k.current
			next := &token{key: k, issued: c.now, before: prev.accepted}
			if c.world.single {
				c.revoke(k, false)
			}
			c.after(c.world.latency(c), func() {
				if prev.revoked && k.revokedAt != 0 {
					c.heal(k)
				}
				k.current = next
				c.rule.renewed(next, prev, target, c.now)
				k.renewing = false
				waiting := k.waiting
				k.waiting = nil
				for _, do := range waiting {
					do()
				}
			})
		})
	})
}

func (c *client) whenReplayed(k *key, end int64, do func()) {
	if k.replays == 0 || c.now >= end {
		do()
		return
	}
	c.after(time.Millisecond, func() { c.whenReplayed(k, end, do) })
}

// revoke ends the current token of a key. genuine says that somebody has revoked it, after somebody
// had accepted it or the one before it; at a server that lets only one token live, issuing another one
// ends it as well.
func (c *client) revoke(k *key, genuine bool) {
	k.current.revoked = true
	if genuine && k.revokedAt == 0 && (k.current.accepted || k.current.before) {
		k.revokedAt, k.failed = c.now, 0
	}
}

// heal ends what a revocation began: late is one that took more than ten seconds and five good
// requests.
func (c *client) heal(k *key) {
	took := time.Duration(c.now - k.revokedAt)
	c.healed = max(c.healed, took)
	if took > c.world.patience() && k.failed > 5 {
		c.late++
	}
	k.revokedAt, k.failed = 0, 0
}

// An event is something that happens at a time. Those at the same time happen in order of number.
type event struct {
	at     int64
	number int
	do     func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].number < q[j].number
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(e any)   { *q = append(*q, e.(event)) }
func (q *events) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	*q = (*q)[:last]
	return e
}
