// Package holdoff answers failures from memory: it remembers what failed and when it may be tried
// again, for one key, for one password, and for all keys. It knows the schedule; what a failure means
// is decided elsewhere.
package holdoff

import (
	"encoding/binary"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/table"
)

// Classes of failures.
const (
	Transient   = "transient"   // it may go away by itself
	Permanent   = "permanent"   // a structured refusal
	Credentials = "credentials" // a user's password was answered with anything but a token
)

const (
	transientFirst    = time.Second
	transientMost     = time.Minute
	permanentFirst    = time.Minute
	permanentMost     = 5 * time.Minute
	credentialsFirst  = 5 * time.Minute // and until Forget after the second
	retryAfterMost    = 5 * time.Minute
	memory            = 10 * time.Minute    // how long after its hold-off a failure makes the next one longer
	credentialsMemory = 30 * 24 * time.Hour // the same for passwords, which a nightly job may try again
	askEvery          = 10 * time.Second    // how often a function may be asked for another password
)

// A Verdict says what a failure means.
type Verdict struct {
	Class      string
	Err        error
	RetryAfter time.Duration // how long the server asked to be left alone
	Secret     uint64        // hash of the password or refresh token that was sent, 0 for none
	Served     time.Duration // for how long there is a valid token all the same
}

// A Failure is remembered. It does not change.
type Failure struct {
	Err   error
	Until time.Time // when its hold-off ends; zero: when it is forgotten

	class  string
	count  int
	until  int64  // monotonic, or clock.Never
	ask    int64  // monotonic: when a function may be asked for another password
	secret uint64 // hash of what was refused
}

func (f *Failure) active(now clock.Instant) bool { return f != nil && now.Mono < f.until }

// next returns the failure that follows f, which may be nil.
func (f *Failure) next(v Verdict, now clock.Instant) *Failure {
	n := &Failure{class: v.Class, count: 1, Err: v.Err, secret: v.Secret, ask: now.Mono + int64(askEvery)}
	if f != nil {
		n.count = f.count + 1
	}
	var delay time.Duration
	switch v.Class {
	case Credentials:
		delay = credentialsFirst
		if n.count > 1 {
			n.until = clock.Never
			return n
		}
	case Permanent:
		delay = doubled(permanentFirst, permanentMost, n.count)
	default:
		delay = doubled(transientFirst, transientMost, n.count)
		if v.Served > 0 { // the token has to be renewed before its end
			delay = min(delay, max(v.Served/2, transientFirst))
		}
	}
	delay = max(delay, min(v.RetryAfter, retryAfterMost))
	n.until, n.Until = now.Mono+int64(delay), now.Wall.Add(delay).Round(0)
	return n
}

func doubled(first, most time.Duration, count int) time.Duration {
	return min(first<<min(count-1, 16), most)
}

// postponed returns f with another time to ask for a password.
func (f *Failure) postponed(now clock.Instant) *Failure {
	p := *f
	p.ask = now.Mono + int64(askEvery)
	return &p
}

// A Memory remembers the failures of keys and passwords. It is made by New and is safe for concurrent
// use.
type Memory struct {
	Outage Outage // the hold-off of all keys
	Turns  Turns  // one request at a time carries the same secret

	failures *table.Table[*Failure] // by key, or by passwordKey
}

// New returns a Memory without failures.
func New() *Memory { return &Memory{failures: table.New[*Failure]()} }

func (m *Memory) of(key string) *Failure {
	f, _ := m.failures.Get(key)
	return f
}

func (m *Memory) store(key string, f *Failure, now clock.Instant) {
	ttl := table.Forever
	if f.until != clock.Never {
		ttl = time.Duration(f.until-now.Mono) + memory
		if f.class == Credentials {
			ttl += credentialsMemory
		}
	}
	m.failures.Set(key, f, ttl)
}

// Check returns the failure that a key is held off for, or nil. If asks is set, the key may have
// another password than the one that was refused: then it may try every ten seconds.
func (m *Memory) Check(key string, asks bool, now clock.Instant) *Failure {
	f := m.of(key)
	if !f.active(now) {
		return nil
	}
	if !asks || f.class != Credentials || now.Mono < f.ask {
		return f
	}
	m.store(key, f.postponed(now), now)
	return nil
}

// Remember records a failure of a key. If it is the refusal of a password that was recorded already,
// the key shares that password's hold-off.
func (m *Memory) Remember(key string, v Verdict, now clock.Instant) *Failure {
	if refused := m.of(passwordKey(v.Secret)); v.Class == Credentials && refused != nil {
		shared := *refused
		shared.Err = v.Err
		m.store(key, &shared, now)
		return &shared
	}
	old := m.of(key)
	if old != nil && v.Secret == 0 {
		v.Secret = old.secret
	}
	if old != nil && (old.class != v.Class || old.secret != v.Secret) {
		old = nil
	}
	f := old.next(v, now)
	m.store(key, f, now)
	return f
}

// Forget ends the hold-off of a key, and reports whether there was a failure.
func (m *Memory) Forget(key string) bool {
	known := m.of(key) != nil
	m.failures.Delete(key)
	return known
}

// ForgetOther ends the hold-off of a key whose refresh token failed, unless it was this one.
func (m *Memory) ForgetOther(key string, secret uint64) {
	if f := m.of(key); f != nil && f.secret != secret && (f.class == Permanent || f.class == Transient && f.secret != 0) {
		m.failures.Delete(key)
	}
}

// A server counts the refusals of a password by user, whatever else is asked for. So a refused
// password is remembered for all keys that send it.

// CheckPassword returns the failure that a password is held off for, or nil. The key shares the
// hold-off from then on.
func (m *Memory) CheckPassword(key string, hash uint64, now clock.Instant) *Failure {
	f := m.of(passwordKey(hash))
	if !f.active(now) {
		return nil
	}
	m.store(key, f.postponed(now), now)
	return f
}

// RefusePassword records that a password was refused.
func (m *Memory) RefusePassword(hash uint64, err error, retryAfter time.Duration, now clock.Instant) {
	v := Verdict{Class: Credentials, Err: err, RetryAfter: retryAfter, Secret: hash}
	m.store(passwordKey(hash), m.of(passwordKey(hash)).next(v, now), now)
}

// ForgetPassword ends the hold-off of a password.
func (m *Memory) ForgetPassword(hash uint64) { m.failures.Delete(passwordKey(hash)) }

// ForgetPasswordOf ends the hold-off of the password that a key was refused for.
func (m *Memory) ForgetPasswordOf(key string) {
	if f := m.of(key); f != nil && f.secret != 0 {
		m.ForgetPassword(f.secret)
	}
}

// passwordKey is where the refusals of a password are remembered. It is longer than the keys of
// sources are.
func passwordKey(hash uint64) string {
	return string(binary.LittleEndian.AppendUint64([]byte("password "), hash))
}
