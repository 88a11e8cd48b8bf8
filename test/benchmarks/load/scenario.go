// Package load measures latency under a steady load while a token expires, is revoked, or cannot be
// renewed. The latency of a request counts from when it was due, so that a stall counts for every
// request that should have been sent during it.
package load

import (
	"net/http"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
	"github.com/tokencache/tokencache/test/benchmarks/stat"
)

const (
	rate         = 500                    // requests per second
	coldCallers  = 10_000                 // concurrent requests of a cold start
	tokenLatency = 300 * time.Millisecond // time that a token request takes
)

// A Scenario describes the load, the token's lifetime, and what goes wrong.
type Scenario struct {
	Name     string
	Lifetime time.Duration // of each token
	Length   time.Duration // 0 means all requests at once, without a token
	Window   time.Duration // see peer.Setup
	Margin   time.Duration // see peer.Setup

	// When the token endpoint goes down and comes up again, and when all tokens are revoked,
	// counted from the start; 0 means never.
	down, up, revoke time.Duration
}

// roundUp rounds d up to whole seconds, the unit of expires_in.
func roundUp(d time.Duration) time.Duration { return (d + time.Second - 1).Truncate(time.Second) }

// NoExpiry returns a scenario in which the token does not expire.
func NoExpiry(length time.Duration) Scenario {
	return Scenario{Name: "no expiry", Lifetime: time.Hour, Length: length, Window: 5 * time.Minute, Margin: 10 * time.Second}
}

// Expiries returns a scenario in which the token expires about twelve times.
func Expiries(length time.Duration) Scenario {
	life := max(roundUp(length/12), 2*time.Second)
	return Scenario{Name: "expiries", Lifetime: life, Length: length, Window: life / 5, Margin: life / 20}
}

// Outage returns a scenario in which the token endpoint is down for a sixth of the token's
// lifetime. The outage starts before any peer renews the token and ends well before the token
// expires.
func Outage(length time.Duration) Scenario {
	life := roundUp(length)
	down := life * 775 / 1000
	return Scenario{
		Name: "endpoint down", Lifetime: life, Length: life * 5 / 4, Window: life / 5, Margin: life / 6,
		down: down, up: down + life/6,
	}
}

// Revocation returns a scenario in which the token is revoked halfway through.
func Revocation(length time.Duration) Scenario {
	s := NoExpiry(length)
	s.Name, s.revoke = "revocation", length/2
	return s
}

// ColdStart returns a scenario in which many requests start at once, without a token.
func ColdStart() Scenario {
	s := NoExpiry(0)
	s.Name = "cold start"
	return s
}

// An Outcome is the result of running a scenario with one peer.
type Outcome struct {
	Scenario                 string
	Samples                  []Sample
	Requests, Waited, Failed int
	Fetches                  int     // token requests
	P50, P99, P999, Max      float64 // latencies in milliseconds
}

// Run runs the scenario with one peer.
func (s Scenario) Run(p peer.Peer) Outcome {
	b := newBackend(s.Lifetime, tokenLatency)
	defer b.close()
	base := &http.Transport{MaxConnsPerHost: 512, MaxIdleConnsPerHost: 512}
	defer base.CloseIdleConnections()
	client := newClient(p, peer.Setup{
		Fetch: b.fetch, Window: s.Window, Margin: s.Margin, Base: sendRecorder{base},
		Endpoint: &peer.Endpoint{TokenURL: b.tokenURL, ClientID: "client", ClientSecret: "secret"},
	})
	address := b.apiURL + "/accounts"

	if s.Length == 0 {
		g := newGenerator(client, address, coldCallers)
		begin := g.begin
		g.atOnce()
		return g.outcome(s.Name, b.fetchesSince(begin))
	}
	newGenerator(client, address, 1).atOnce() // fetches the token and opens a connection
	g := newGenerator(client, address, int(s.Length.Seconds()*rate))
	var timers []*time.Timer
	for at, event := range map[time.Duration]func(){s.down: b.down, s.up: b.up, s.revoke: b.revokeAll} {
		if at > 0 {
			timers = append(timers, time.AfterFunc(at, event))
		}
	}
	g.steady(rate)
	for _, t := range timers {
		t.Stop()
	}
	return g.outcome(s.Name, b.fetchesSince(g.begin))
}

// outcome summarizes the samples. fetches are the token requests during the run.
func (g *generator) outcome(scenario string, fetches []fetch) Outcome {
	g.markWaited(fetches)
	out := Outcome{Scenario: scenario, Samples: g.samples, Requests: len(g.samples), Fetches: len(fetches)}
	latencies := make([]float64, len(g.samples))
	for i, s := range g.samples {
		latencies[i] = float64(s.Latency) / float64(time.Millisecond)
		if s.Waited {
			out.Waited++
		}
		if s.Failed {
			out.Failed++
		}
	}
	out.P50, out.P99 = stat.Quantile(latencies, 0.5), stat.Quantile(latencies, 0.99)
	out.P999, out.Max = stat.Quantile(latencies, 0.999), stat.Quantile(latencies, 1)
	return out
}

// newClient returns the peer's client. If the peer only caches tokens, newClient puts a plain
// client around it.
func newClient(p peer.Peer, s peer.Setup) peer.Doer {
	if p.HasClient() {
		return p.NewClient(s)
	}
	return &http.Client{Transport: bearerTransport{p.Tokens(s), s.Base}}
}

type bearerTransport struct {
	token peer.TokenFunc
	base  http.RoundTripper
}

func (t bearerTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	token, err := t.token(req.Context())
	if err != nil {
		return nil, err
	}
	out := req.Clone(req.Context())
	out.Header.Set("Authorization", "Bearer "+token)
	return t.base.RoundTrip(out)
}
