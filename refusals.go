package tokencache

import (
	"context"
	"encoding/binary"
	"net/url"
	"sync"
)

// A server counts the refusals of a password by user, whatever else is asked for. So a refused password is remembered for
// all keys that send it, and only one request at a time carries it.

// turns lets one request with the same password be under way.
type turns struct {
	mu    sync.Mutex // never held while waiting
	taken map[uint64]chan struct{}
}

// take waits for the turn of a password. release is to be called when what came of the request is remembered.
func (t *turns) take(ctx context.Context, hash uint64) (release func(), err error) {
	for {
		t.mu.Lock()
		busy := t.taken[hash]
		if busy == nil {
			break
		}
		t.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	defer t.mu.Unlock()
	if t.taken == nil {
		t.taken = make(map[uint64]chan struct{})
	}
	mine := make(chan struct{})
	t.taken[hash] = mine
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.taken, hash)
		close(mine)
	}, nil
}

// attemptPassword is attempt for a token request.
func (c *core) attemptPassword(ctx context.Context, n *notes, params url.Values) (done func(error), err error) {
	if !params.Has("password") {
		return func(error) {}, nil
	}
	return c.attempt(ctx, n, c.passwordHash(params.Get("username"), params.Get("password")))
}

// attempt brackets a request that carries a user's credentials. It returns an error instead if they are held off.
func (c *core) attempt(ctx context.Context, n *notes, hash uint64) (done func(error), err error) {
	if n == nil {
		return func(error) {}, nil
	}
	n.password, n.secret = true, hash
	release, err := c.passwords.take(ctx, n.secret)
	if err != nil {
		return nil, err
	}
	if err := c.refusedPassword(n.key, n.secret); err != nil {
		release()
		return nil, err
	}
	return func(err error) {
		defer release()
		// Not errors.As: what kept the request from being sent can be the failure of another one.
		e, sent := err.(*Error)
		switch {
		case err == nil:
			n.accepted = true
			c.failures.Delete(passwordKey(hash))
		case sent && countsAsAttempt(e):
			now := c.clock.Now()
			refusal := c.failureOf(passwordKey(hash)).next(classCredentials, err, 0, now)
			refusal.hash, refusal.ask = hash, now.Mono+int64(passwordAskedEvery)
			c.storeFailure(passwordKey(hash), refusal, now)
		}
	}, nil
}

// refusedPassword answers from memory if this very password was refused and is in hold-off. The key that asks learns it.
func (c *core) refusedPassword(key string, hash uint64) error {
	now := c.clock.Now()
	f := c.failureOf(passwordKey(hash))
	if f == nil || !f.active(now) {
		return nil
	}
	own := *f
	own.ask = now.Mono + int64(passwordAskedEvery)
	c.storeFailure(key, &own, now)
	return f.error()
}

// forgetPassword lets the password that a source is known to send be tried again.
func (c *core) forgetPassword(s *source) {
	if f := c.failureOf(s.key()); f != nil && f.hash != 0 {
		c.failures.Delete(passwordKey(f.hash))
	}
	g, ok := s.grant.(PasswordGrant)
	if ok && g.PasswordFunc == nil {
		c.failures.Delete(passwordKey(c.passwordHash(g.Username, g.Password.Reveal())))
	}
}

func (c *core) passwordHash(user, password string) uint64 {
	return c.salt.Hash(user + "\x00" + password)
}

// passwordKey is where the refusals of a password are remembered. No key of a source is as long.
func passwordKey(hash uint64) string {
	return string(binary.LittleEndian.AppendUint64([]byte("password "), hash))
}
