// Package day sends traffic at a fixed rate through the days of a token, good and bad. Latency counts from when a request
// was due, so that a stall is felt by all who would have come.
package day

import (
	"net/http"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/stat"
)

// rate is the requests per second.
const rate = 500

// coldCallers is the number of goroutines of a cold start.
const coldCallers = 10_000

// slow is the time of a token request.
const slow = 300 * time.Millisecond

// A Scenario is one kind of day.
type Scenario struct {
	Name     string
	Lifetime time.Duration
	Length   time.Duration // 0: all requests at once, with no token
	Window   time.Duration
	Margin   time.Duration

	down, up, revoke time.Duration // since the beginning; 0: never
}

// seconds rounds up, since that is what expires_in counts in.
func seconds(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

// Calm has a token that outlives it.
func Calm(length time.Duration) Scenario {
	return Scenario{Name: "no expiry", Lifetime: time.Hour, Length: length, Window: 5 * time.Minute, Margin: 10 * time.Second}
}

// Expiries has a token that expires twelve times.
func Expiries(length time.Duration) Scenario {
	life := max(seconds(length/12), 2*time.Second)
	return Scenario{Name: "expiries", Lifetime: life, Length: length, Window: life / 5, Margin: life / 20}
}

// Outage has an endpoint that is down for a sixth of the token's life: from before the first peer wants to renew, until
// well before the token ends.
func Outage(length time.Duration) Scenario {
	life := seconds(length)
	down := life * 775 / 1000
	return Scenario{
		Name: "endpoint down", Lifetime: life, Length: life * 5 / 4, Window: life / 5, Margin: life / 6,
		down: down, up: down + life/6,
	}
}

// Revocation has a token that is revoked in the middle.
func Revocation(length time.Duration) Scenario {
	s := Calm(length)
	s.Name, s.revoke = "revocation", length/2
	return s
}

// ColdStart has no token and many callers.
func ColdStart() Scenario {
	s := Calm(0)
	s.Name = "cold start"
	return s
}

// An Outcome is what came of a scenario.
type Outcome struct {
	Day                     string
	Samples                 []Sample
	Requests, Waited, Fails int
	Fetches                 int
	P50, P99, P999, Max     float64 // milliseconds
}

// Run runs a scenario with one peer.
func (s Scenario) Run(p peer.Peer) Outcome {
	site := newSite(s.Lifetime, slow)
	defer site.close()
	base := &http.Transport{MaxConnsPerHost: 512, MaxIdleConnsPerHost: 512}
	defer base.CloseIdleConnections()
	client := clientOf(p, peer.Setup{
		Fetch: site.fetch, Window: s.Window, Margin: s.Margin, Base: marking{base},
		Endpoint: &peer.Endpoint{TokenURL: site.tokenURL, ClientID: "client", ClientSecret: "secret"},
	})
	address := site.apiURL + "/accounts"

	if s.Length == 0 {
		l := newLoad(client, address, coldCallers)
		begin := l.begin
		l.atOnce()
		return l.outcome(s.Name, site.seen(begin))
	}
	newLoad(client, address, 1).atOnce() // the token is there, and a connection
	l := newLoad(client, address, int(s.Length.Seconds()*rate))
	var timers []*time.Timer
	for at, event := range map[time.Duration]func(){s.down: site.down, s.up: site.up, s.revoke: site.revokeAll} {
		if at > 0 {
			timers = append(timers, time.AfterFunc(at, event))
		}
	}
	l.steady(rate)
	for _, t := range timers {
		t.Stop()
	}
	return l.outcome(s.Name, site.seen(l.begin))
}

func (l *load) outcome(day string, fetches []fetch) Outcome {
	l.judge(fetches)
	out := Outcome{Day: day, Samples: l.samples, Requests: len(l.samples), Fetches: len(fetches)}
	latencies := make([]float64, len(l.samples))
	for i, s := range l.samples {
		latencies[i] = float64(s.Latency) / float64(time.Millisecond)
		if s.Waited {
			out.Waited++
		}
		if s.Failed {
			out.Fails++
		}
	}
	out.P50, out.P99 = stat.Quantile(latencies, 0.5), stat.Quantile(latencies, 0.99)
	out.P999, out.Max = stat.Quantile(latencies, 0.999), stat.Quantile(latencies, 1)
	return out
}

// clientOf makes a plain client around a peer that only has tokens.
func clientOf(p peer.Peer, s peer.Setup) peer.Doer {
	if p.HasClient() {
		return p.NewClient(s)
	}
	return &http.Client{Transport: plain{p.Tokens(s), s.Base}}
}

type plain struct {
	token peer.TokenFunc
	base  http.RoundTripper
}

func (t plain) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := t.token(req.Context())
	if err != nil {
		return nil, err
	}
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", "Bearer "+token)
	return t.base.RoundTrip(out)
}
