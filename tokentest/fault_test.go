package tokentest_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

func TestFaults(t *testing.T) {
	runRows(t, []row{
		{"Status", tokentest.Behavior{}, func(h harness) {
			h.Fail("token", 2, tokentest.Fault{
				Status: 503,
				Header: http.Header{"retry-after": {"7"}, "Content-Type": {"text/html"}},
				Body:   "<p>busy</p>",
			})
			for range 2 {
				r := h.token(clientForm)
				h.wantStatus("token", r, 503)
				want(h, "Retry-After", r.header.Get("Retry-After"), "7")
				want(h, "Content-Type", r.header.Get("Content-Type"), "text/html")
				want(h, "body", r.text, "<p>busy</p>")
			}
			want(h, "issued", len(h.Tokens()), 0)
			h.wantStatus("third", h.token(clientForm), 200)
			want(h, "logged status", h.Requests()[0].Status, 503)
			want(h, "logged form", h.Requests()[0].Form.Get("grant_type"), "client_credentials")
		}},
		{"Drop", tokentest.Behavior{}, func(h harness) {
			access := h.access(clientForm)
			h.Fail("api", 1, tokentest.Fault{Drop: true})
			h.wantStatus("api", h.api("/", access, "x"), 0)
			want(h, "used", h.Tokens()[0].Used, 0)
			want(h, "logged status", h.Requests()[1].Status, 0)
			h.wantStatus("api", h.api("/", access, "x"), 200)
		}},
		{"After and Drop", tokentest.Behavior{Rotate: true}, func(h harness) {
			r := h.token(aliceForm)
			h.Fail("token", 1, tokentest.Fault{After: true, Drop: true})
			h.wantStatus("lost answer", h.refresh(r.field("refresh_token")), 0)
			want(h, "issued", len(h.Tokens()), 4)
			h.wantRefused("spent", h.refresh(r.field("refresh_token")), 400, "invalid_grant")
		}},
		{"After and Status", tokentest.Behavior{}, func(h harness) {
			access := h.access(clientForm)
			h.Fail("revoke", 1, tokentest.Fault{After: true, Status: 500})
			h.wantStatus("revoke", h.revoke(access), 500)
			h.wantStatus("api", h.api("/", access, ""), 401)
		}},
		{"Status at revoke", tokentest.Behavior{}, func(h harness) {
			access := h.access(clientForm)
			h.Fail("revoke", 1, tokentest.Fault{Status: 500})
			h.wantStatus("revoke", h.revoke(access), 500)
			h.wantStatus("api", h.api("/", access, ""), 200)
			want(h, "asked", h.Tokens()[0].RevokeAsked, true)
		}},
		{"Latency", tokentest.Behavior{TokenLatency: time.Second}, func(h harness) {
			h.Fail("token", 1, tokentest.Fault{Latency: time.Minute})
			h.Fail("token", 1, tokentest.Fault{Latency: time.Minute, After: true})
			for _, issuedEarly := range []int{0, 1} {
				before := len(h.Tokens())
				start := time.Now()
				time.AfterFunc(30*time.Second, func() {
					want(h, "issued after 30 s", len(h.Tokens())-before, issuedEarly)
				})
				h.wantStatus("token", h.token(clientForm), 200)
				want(h, "took", time.Since(start), 61*time.Second)
			}
		}},
		{"redirect", tokentest.Behavior{}, func(h harness) {
			h.Fail("token", 1, tokentest.Fault{Status: 307, Header: http.Header{"Location": {h.URL + "/elsewhere"}}})
			h.wantStatus("token", h.token(clientForm), 401)
			want(h, "host saw the body", string(h.Requests()[1].Body), clientForm)
		}},
		{"truncated", tokentest.Behavior{}, func(h harness) {
			h.Fail("token", 1, tokentest.Fault{Status: 200, Header: http.Header{"Content-Length": {"100"}}, Body: `{"access`})
			r := h.token(clientForm)
			want(h, "unexpected EOF", strings.Contains(r.text, "unexpected EOF"), true)
		}},
		{"without limit", tokentest.Behavior{}, func(h harness) {
			h.Fail("token", -1, tokentest.Fault{Status: 500})
			h.Fail("revoke", 0, tokentest.Fault{Status: 500})
			for range 5 {
				h.wantStatus("token", h.token(clientForm), 500)
			}
			h.wantStatus("another endpoint", h.revoke("x"), 200)
			h.ClearFaults()
			h.wantStatus("token", h.token(clientForm), 200)
		}},
		{"in order", tokentest.Behavior{}, func(h harness) {
			h.Fail("token", 1, tokentest.Fault{Status: 500})
			h.Fail("token", 1, tokentest.Fault{})
			h.Fail("token", 1, tokentest.Fault{Status: 502})
			for _, status := range []int{500, 200, 502, 200} {
				h.wantStatus("token", h.token(clientForm), status)
			}
		}},
	})
}

func TestLatency(t *testing.T) {
	b := tokentest.Behavior{Lifetime: -1, TokenLatency: time.Second, RevokeLatency: time.Minute, APILatency: time.Hour}
	runRows(t, []row{
		{"every endpoint", b, func(h harness) {
			start := time.Now()
			access := h.access(clientForm)
			want(h, "token", time.Since(start), time.Second)
			start = time.Now()
			h.wantStatus("api", h.api("/", access, ""), 200)
			want(h, "api", time.Since(start), time.Hour)
			start = time.Now()
			h.wantStatus("revoke", h.revoke(access), 200)
			want(h, "revoke", time.Since(start), time.Minute)
		}},
		{"the client goes away", b, func(h harness) {
			ctx, cancel := context.WithTimeout(h.Context(), time.Second/2)
			defer cancel()
			req := h.request("POST", h.TokenURL(), clientForm).WithContext(ctx)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.SetBasicAuth("client", "secret")
			_, err := h.Client().Do(req)
			want(h, "left", errors.Is(err, context.DeadlineExceeded), true)
			time.Sleep(time.Hour)
			want(h, "arrived", h.Count("token"), 1)
			want(h, "issued", len(h.Tokens()), 0)
			want(h, "status", h.Requests()[0].Status, 0)
		}},
		{"Close", b, func(h harness) {
			done := make(chan reply)
			go func() { done <- h.token(clientForm) }()
			synctest.Wait()
			start := time.Now()
			h.Close()
			h.wantStatus("cut off", <-done, 0)
			want(h, "took", time.Since(start), 0)
		}},
	})
}
