package holdoff

import (
	"encoding/binary"
	"sync"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
)

// A server counts the refusals of a password by user, whatever else is asked for. So the failures of a
// password are remembered for all keys that send it. Only two refusals hold it off for ever.

// CheckPassword returns the failure that a password is held off for, or nil. The key shares the
// hold-off from then on.
func (m *Memory) CheckPassword(key string, hash uint64, now clock.Instant) *Failure {
	f := m.passwords.of(passwordKey(hash))
	if !f.active(now) {
		return nil
	}
	m.store(key, f.postponed(now), now)
	return f
}

// RefusePassword records that a password was refused.
func (m *Memory) RefusePassword(hash uint64, err error, retryAfter time.Duration, now clock.Instant) {
	m.failPassword(Verdict{Class: Credentials, Err: err, RetryAfter: retryAfter, Secret: hash}, false, now)
}

// DoubtPassword records that a password may have counted as wrong, but was not refused. answered says
// that the server answered, with an error of its own.
func (m *Memory) DoubtPassword(hash uint64, err error, retryAfter time.Duration, answered bool, now clock.Instant) {
	m.failPassword(Verdict{Class: InDoubt, Err: err, RetryAfter: retryAfter, Secret: hash}, answered, now)
}

func (m *Memory) failPassword(v Verdict, answered bool, now clock.Instant) {
	key := passwordKey(v.Secret)
	f := m.passwords.of(key).next(v, now)
	f.answered = answered
	m.passwords.store(key, f, now)
}

// RefusedByErrors is called when a server has answered a password with an error of its own. It reports
// whether that is how the server refuses passwords: the same happened to this password before, and
// another one has got a token since. Then the failure before counts as a refusal too.
func (m *Memory) RefusedByErrors(hash uint64, now clock.Instant) bool {
	f := m.passwords.of(passwordKey(hash))
	if f == nil || f.class != InDoubt || !f.answered || !m.logins.ofAnother(hash, f.at) {
		return false
	}
	refused := *f
	refused.refusals++
	m.passwords.store(passwordKey(hash), &refused, now)
	return true
}

// AcceptPassword records that a password got a token in a request that was sent at the given monotonic
// time, and ends its hold-off.
func (m *Memory) AcceptPassword(hash uint64, sent int64) {
	m.logins.add(hash, sent)
	m.ForgetPassword(hash)
}

// ForgetPassword ends the hold-off of a password.
func (m *Memory) ForgetPassword(hash uint64) { m.passwords.Delete(passwordKey(hash)) }

// ForgetPasswordOf ends the hold-off of the password that a key failed with.
func (m *Memory) ForgetPasswordOf(key string) {
	if f := m.of(key); f != nil && f.secret != 0 {
		m.ForgetPassword(f.secret)
	}
}

// passwordKey is where the failures of a password are remembered.
func passwordKey(hash uint64) string {
	return string(binary.LittleEndian.AppendUint64(nil, hash))
}

// logins remembers the last two different passwords that got a token. The zero logins is none; it is
// safe for concurrent use.
type logins struct {
	mu     sync.Mutex // guards what follows
	newest [2]login   // the last one first
}

type login struct {
	hash  uint64
	sent  int64
	known bool
}

func (l *logins) add(hash uint64, sent int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.newest[0].hash != hash {
		l.newest[1] = l.newest[0]
	}
	l.newest[0] = login{hash, sent, true}
}

// ofAnother reports whether another password than the given one got a token in a request that was sent
// at the given monotonic time or later.
func (l *logins) ofAnother(hash uint64, since int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, other := range l.newest {
		if other.known && other.hash != hash && other.sent >= since {
			return true
		}
	}
	return false
}
