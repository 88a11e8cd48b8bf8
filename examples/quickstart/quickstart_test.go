package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

// A testRun is a run of all scenarios in a synctest bubble. Its fields say how it differs from the
// default.
type testRun struct {
	plan   plan
	change func(*tokentest.Server)
	base   func(http.RoundTripper) http.RoundTripper
}

// run returns the report, what the program printed to stdout and stderr, and its exit status.
func (s testRun) run(t *testing.T) (r *report, text, errText string, status int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := tokentest.NewPipe(s.plan.behavior())
		defer srv.Close()
		base := srv.Client().Transport
		if s.base != nil {
			base = s.base(base)
		}
		if s.change != nil {
			s.change(srv)
		}
		var out, stderr bytes.Buffer
		r = runScenarios(t.Context(), srv, base, s.plan, &out).(*report)
		status = verdict(r, &stderr)
		text, errText = out.String(), stderr.String()
	})
	return r, text, errText, status
}

// goodReport returns the report of the default plan in fake time.
func goodReport() report {
	return report{
		ColdGoroutines: 1000, ColdTokenRequests: 1, ColdOK: 1000,
		SteadySeconds: 12.623, SteadyRequests: 5000, SteadyDuring: 240, Renewals: 3, renewalsDue: 2,
		StormRequests: 1000, StormRejected: 1000, StormTokenRequests: 1, StormOK: 1000, StormBodies: 1000,
		UserRequests: 200, UserOK: 200, UserTokenRequests: 1, ClientRequests: 200, ClientOK: 200,
		LiveBefore: 4, Revoked: 7, LiveAfter: 0, ClosedAfter: true,
		Promises: 18,
	}
}

func TestEveryPromiseIsKept(t *testing.T) {
	r, text, errText, status := testRun{plan: defaultPlan}.run(t)
	want := goodReport()
	if d := r.SteadyDuring - want.SteadyDuring; d < -10 || d > 10 {
		t.Errorf("requests that arrived during a renewal: got %d, want about %d", r.SteadyDuring, want.SteadyDuring)
	}
	want.SteadyDuring, want.Seconds = r.SteadyDuring, r.Seconds
	if !reflect.DeepEqual(*r, want) {
		t.Errorf("report:\n got %+v\nwant %+v", *r, want)
	}
	if r.Seconds >= 20 {
		t.Errorf("it took %v s, want less than 20", r.Seconds)
	}
	if status != exitOK || errText != "" {
		t.Errorf("exit status %d, stderr %q", status, errText)
	}
	if !strings.Contains(text, "18 of 18 checks passed") {
		t.Errorf("no summary in:\n%s", text)
	}
	wantReadable(t, text)
}

func wantReadable(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if line = strings.TrimSuffix(line, "\n"); len(line) > 80 || strings.ContainsAny(line, "\t\x1b") {
			t.Errorf("does not fit a terminal of 80 columns: %q", line)
		}
	}
}

func TestBrokenPromiseIsNamed(t *testing.T) {
	small := defaultPlan
	small.goroutines, small.users, small.steady = 50, 10, 11*time.Second
	slow := small
	slow.lifetime, slow.latency = time.Second, 600*time.Millisecond
	for _, row := range []struct {
		name    string
		test    testRun
		promise string
	}{
		{"token endpoint busy once", testRun{plan: small, change: func(srv *tokentest.Server) {
			srv.Fail("token", 1, tokentest.Fault{Status: 503, Header: http.Header{"Retry-After": {"1"}}})
		}}, "any number of callers cause one token request"},
		{"token endpoint down", testRun{plan: small, change: func(srv *tokentest.Server) {
			srv.Fail("token", -1, tokentest.Fault{Status: 503})
		}}, "all callers get the token"},
		{"renewal slower than its window", testRun{plan: slow}, "no request waits for a renewal"},
		{"expires_in is wrong", testRun{plan: small, change: func(srv *tokentest.Server) {
			srv.Update(func(b *tokentest.Behavior) { b.ExpiresIn = func(time.Duration) any { return 3600 } })
		}}, "an expired token is never sent"},
		{"API fails", testRun{plan: small, change: func(srv *tokentest.Server) {
			srv.Fail("api", 50, tokentest.Fault{})
			srv.Fail("api", 1, tokentest.Fault{Status: 500})
		}}, "renewals are invisible to callers"},
		{"repeated requests are rejected", testRun{plan: small, base: only("/payments", func(req *http.Request) {
			req.Header.Set("Authorization", "Bearer forged")
		})}, "a rejected request succeeds with a new token"},
		{"bodies are damaged", testRun{plan: small, base: only("/payments", func(req *http.Request) {
			req.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), req.Body))
			req.ContentLength++
		})}, "a repeated request has its whole body"},
		{"the user is unknown", testRun{plan: small, change: func(srv *tokentest.Server) {
			srv.Update(func(b *tokentest.Behavior) { b.Users = map[string]string{} })
		}}, "a user's request carries the user's token"},
		{"revocation fails", testRun{plan: small, change: func(srv *tokentest.Server) {
			srv.Fail("revoke", -1, tokentest.Fault{Status: 500})
		}}, "after shutdown no token is live"},
		{"revocation requests are lost", testRun{plan: small, base: func(base http.RoundTripper) http.RoundTripper {
			return roundTrip(func(req *http.Request) (*http.Response, error) {
				if req.URL.Path == "/revoke" {
					return nil, errors.New("no connection")
				}
				return base.RoundTrip(req)
			})
		}}, "shutdown revokes every live token"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r, text, errText, status := row.test.run(t)
			if status != exitBroken {
				t.Errorf("exit status %d, want %d", status, exitBroken)
			}
			if !strings.Contains(errText, "broken: "+row.promise+" (") {
				t.Errorf("stderr: got %q, want %q", errText, row.promise)
			}
			if got := strings.Count(text, "BROKEN"); got != len(r.Broken) {
				t.Errorf("BROKEN is %d times in the text, want %d:\n%s", got, len(r.Broken), text)
			}
		})
	}
}

// roundTrip is a function that is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// only returns a function that wraps a transport and changes the requests for one path.
func only(path string, change func(*http.Request)) func(http.RoundTripper) http.RoundTripper {
	return func(base http.RoundTripper) http.RoundTripper {
		return roundTrip(func(req *http.Request) (*http.Response, error) {
			if req.URL.Path == path {
				req = req.Clone(req.Context())
				change(req)
			}
			return base.RoundTrip(req)
		})
	}
}

func TestEveryNumberIsChecked(t *testing.T) {
	rowsOf := func(r *report) (all []row) {
		for _, s := range (&environment{}).scenarios() {
			all = append(all, s.rows(r)...)
		}
		return all
	}
	for _, row := range []struct {
		name   string
		change func(*report)
		want   int
	}{
		{"nothing", func(r *report) {}, 0},
		{"more renewals than due", func(r *report) { r.Renewals = 4 }, 0},
		{"slow request", func(r *report) { r.SteadyLongest = 900 }, 0},
		{"cold token requests", func(r *report) { r.ColdTokenRequests = 2 }, 1},
		{"cold answers", func(r *report) { r.ColdOK-- }, 1},
		{"renewals", func(r *report) { r.Renewals = 1 }, 1},
		{"during", func(r *report) { r.SteadyDuring = 0 }, 1},
		{"blocked", func(r *report) { r.SteadyBlocked = 1 }, 1},
		{"rejected", func(r *report) { r.SteadyRejected = 1 }, 1},
		{"failures", func(r *report) { r.SteadyFailures = 1 }, 1},
		{"storm rejected", func(r *report) { r.StormRejected-- }, 1},
		{"storm token requests", func(r *report) { r.StormTokenRequests = 2 }, 1},
		{"storm answers", func(r *report) { r.StormOK-- }, 1},
		{"storm bodies", func(r *report) { r.StormBodies-- }, 1},
		{"user token requests", func(r *report) { r.UserTokenRequests = 2 }, 1},
		{"user answers", func(r *report) { r.UserOK-- }, 1},
		{"client answers", func(r *report) { r.ClientOK-- }, 1},
		{"revoked", func(r *report) { r.Revoked = 3 }, 1},
		{"forgotten", func(r *report) { r.Forgotten = 1 }, 1},
		{"live after", func(r *report) { r.LiveAfter = 1 }, 1},
		{"not closed after", func(r *report) { r.ClosedAfter = false }, 1},
		{"two", func(r *report) { r.LiveAfter, r.ColdOK = 1, 0 }, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := goodReport()
			row.change(&r)
			r.check(rowsOf(&r))
			status := verdict(&r, io.Discard)
			if len(r.Broken) != row.want || (status == exitOK) != (row.want == 0) {
				t.Errorf("got %q, exit status %d, want %d broken promises", r.Broken, status, row.want)
			}
		})
	}
}

// On real sockets, with a shorter steady phase.
func TestJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := run(t.Context(), []string{"-json", "-steady", "6s"}, &stdout, &stderr); status != exitOK {
		t.Errorf("exit status %d: %s", status, stderr.String())
	}
	for name, want := range map[string]float64{
		"cold_goroutines": 1000, "cold_token_requests": 1, "cold_ok": 1000,
		"steady_failures": 0, "steady_blocked_on_renewal": 0, "steady_rejected": 0,
		"storm_requests": 1000, "storm_token_requests": 1, "storm_rejected": 1000, "storm_ok": 1000, "storm_bodies_intact": 1000,
		"user_requests": 200, "user_ok": 200, "client_ok": 200, "user_token_requests": 1,
		"live_tokens_before_shutdown": 4, "live_tokens_after_shutdown": 0, "promises": 18,
	} {
		if got, ok := oneObject(t, stdout.String())[name].(float64); !ok || got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	for name, least := range map[string]float64{"steady_requests": 500, "renewals": 1, "revoked_on_shutdown": 4} {
		if got, _ := oneObject(t, stdout.String())[name].(float64); got < least {
			t.Errorf("%s: got %v, want %v or more", name, got, least)
		}
	}
}

// oneObject decodes an output that is exactly one JSON object.
func oneObject(t *testing.T, output string) map[string]any {
	t.Helper()
	var object map[string]any
	dec := json.NewDecoder(strings.NewReader(output))
	if err := dec.Decode(&object); err != nil {
		t.Fatalf("%v in %q", err, output)
	}
	if dec.More() || strings.Count(output, "\n") != 1 {
		t.Fatalf("more than one line with one object: %q", output)
	}
	return object
}
