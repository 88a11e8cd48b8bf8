package spent

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/tokencache/tokencache/internal/clock"
)

const (
	lostFirst   = 5 * time.Second // after a request whose answer was lost; each further delay is twice as long
	lostMost    = 5 * time.Minute
	unclearMost = 3                   // unclear answers in a row that are a refusal
	doubtMemory = 30 * 24 * time.Hour // after the last failure
)

// unclearDelays are the delays after the unclear answers before the last.
var unclearDelays = [unclearMost - 1]time.Duration{time.Second, 10 * time.Second}

// A Doubt is what is known of a refresh token that may have been consumed or may be good. It does not
// change.
type Doubt struct {
	Err   error     // the latest failure
	Lost  bool      // the answer to a request was lost: the server may have issued other tokens
	Until time.Time // it is not sent before

	until   int64 // monotonic
	lost    int   // answers
	unclear int   // answers in a row
}

// Active reports whether the token is not to be sent yet.
func (d *Doubt) Active(now clock.Instant) bool { return now.Mono < d.until }

// Doubt returns what is known of a token in doubt, or nil.
func (m *Memory) Doubt(token string) *Doubt {
	if m.doubts.Len() == 0 {
		return nil
	}
	d, _ := m.doubts.Get(m.doubtKey(token))
	return d
}

// Lose records that the answer to a request with the token was lost.
func (m *Memory) Lose(token string, err error, now clock.Instant) {
	d := m.failed(token, err)
	d.Lost, d.unclear = true, 0
	d.lost++
	d.wait(min(lostFirst<<min(d.lost-1, 16), lostMost), now)
	m.doubts.Set(m.doubtKey(token), d, doubtMemory)
}

// Fail records that the server failed to answer a request with the token.
func (m *Memory) Fail(token string, err error) {
	d := m.failed(token, err)
	d.unclear = 0
	m.doubts.Set(m.doubtKey(token), d, doubtMemory)
}

// Unclear records an answer that is a refusal or the server's own failure. The third in a row is
// taken for a refusal, which Unclear reports.
func (m *Memory) Unclear(token string, err error, now clock.Instant) (refused bool) {
	d := m.failed(token, err)
	if d.unclear++; d.unclear == unclearMost {
		return true
	}
	d.wait(unclearDelays[d.unclear-1], now)
	m.doubts.Set(m.doubtKey(token), d, doubtMemory)
	return false
}

// Settle forgets the doubt about a token.
func (m *Memory) Settle(token string) {
	if token != "" && m.doubts.Len() > 0 {
		m.doubts.Delete(m.doubtKey(token))
	}
}

// failed returns a copy of the doubt about a token, with another error.
func (m *Memory) failed(token string, err error) *Doubt {
	d := Doubt{until: math.MinInt64}
	if old := m.Doubt(token); old != nil {
		d = *old
	}
	d.Err = err
	return &d
}

func (d *Doubt) wait(delay time.Duration, now clock.Instant) {
	d.until, d.Until = now.Mono+int64(delay), now.Wall.Add(delay).Round(0)
}

func (m *Memory) doubtKey(token string) string {
	return string(binary.LittleEndian.AppendUint64(nil, m.salt.Hash(token)))
}
