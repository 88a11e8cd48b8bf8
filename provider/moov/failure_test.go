package moov_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/moov"
	"github.com/tokencache/tokencache/provider/moov/moovtest"
)

// failure returns the error of a token request that must fail.
func failure(t *testing.T, src *tokencache.Source) *tokencache.Error {
	t.Helper()
	tok, err := src.Token()
	var e *tokencache.Error
	if !errors.As(err, &e) {
		t.Fatalf("got token %v and error %v, want a *tokencache.Error", tok, err)
	}
	return e
}

// A wantError is the expected content of an error.
type wantError struct {
	status      int
	code        string
	description string // a part of it; empty if it must be empty
	permanent   bool
	retryAfter  time.Duration
	is          error // nil if not checked
}

func (want wantError) check(t *testing.T, e *tokencache.Error) {
	t.Helper()
	wantEqual(t, "status", e.StatusCode, want.status)
	wantEqual(t, "code", e.Code, want.code)
	wantEqual(t, "permanent", e.Permanent, want.permanent)
	wantEqual(t, "retry after", e.RetryAfter, want.retryAfter)
	wantEqual(t, "length of the request ID", len(e.RequestID), 36)
	if !strings.Contains(e.Description, want.description) || want.description == "" && e.Description != "" {
		t.Errorf("description: got %q, want %q", e.Description, want.description)
	}
	if want.is != nil && !errors.Is(e, want.is) {
		t.Errorf("%v is not %v", e, want.is)
	}
	if !strings.Contains(e.Error(), e.RequestID) {
		t.Errorf("the request ID is not in the text of %v", e)
	}
}

func TestRefusalsOfTheTokenEndpointAreTyped(t *testing.T) {
	limited := func(header string, in time.Duration) moovtest.Behavior {
		return moovtest.Behavior{RetryHeader: header, RetryIn: in}
	}
	for _, row := range []struct {
		name   string
		setup  setup
		scopes []string
		fail   []int
		want   wantError
	}{
		{
			"400, no origin",
			setup{},
			[]string{read},
			nil,
			wantError{400, "", "origin or referer", true, 0, nil},
		},
		{
			"403, no origin",
			setup{behavior: moovtest.Behavior{OriginStatus: 403}},
			[]string{read},
			nil,
			wantError{403, "", "origin or referer", true, 0, nil},
		},
		{
			"400, origin with a path",
			setup{options: moov.Options{Origin: moovtest.Origin + "/app"}},
			[]string{read},
			nil,
			wantError{400, "", "origin or referer", true, 0, nil},
		},
		{
			"400, another origin",
			setup{options: moov.Options{Origin: "https://elsewhere.example", Referer: moovtest.Origin}},
			[]string{read},
			nil,
			wantError{400, "", "origin or referer", true, 0, nil},
		},
		{
			"422, no scope",
			setup{options: withOrigin},
			nil, nil,
			wantError{422, "invalid_scope", "scope: is required", true, 0, nil},
		},
		{
			"422, unknown scope",
			setup{options: withOrigin},
			[]string{"accounts"},
			nil,
			wantError{422, "invalid_scope", "scope: unknown scope accounts", true, 0, nil},
		},
		{
			"401, wrong key",
			setup{options: withOrigin, secret: "wrong"},
			[]string{read},
			nil,
			wantError{401, "", "invalid credentials", true, 0, tokencache.ErrInvalidClient},
		},
		{
			"401, wrong key, no body",
			setup{behavior: moovtest.Behavior{Empty401: true}, options: withOrigin, secret: "wrong"},
			[]string{read},
			nil,
			wantError{401, "", "", true, 0, tokencache.ErrInvalidClient},
		},
		{
			"404, malformed version",
			setup{options: moov.Options{Origin: moovtest.Origin, Version: "2026.07"}},
			[]string{read},
			nil,
			wantError{404, "", "X-Moov-Version", true, 0, nil},
		},
		{
			"429, seconds",
			setup{behavior: limited("Retry-After", time.Minute), options: withOrigin},
			[]string{read},
			[]int{429, 429, 429},
			wantError{429, "", "", false, time.Minute, tokencache.ErrUnavailable},
		},
		{
			"429, milliseconds",
			setup{behavior: limited("X-Retry-In", 62500*time.Millisecond), options: withOrigin},
			[]string{read},
			[]int{429, 429, 429},
			wantError{429, "", "", false, 62500 * time.Millisecond, tokencache.ErrUnavailable},
		},
		{
			"429, without a header",
			setup{behavior: limited("none", 0), options: withOrigin},
			[]string{read},
			[]int{429, 429, 429},
			wantError{429, "", "", false, 0, tokencache.ErrUnavailable},
		},
		{
			"500",
			setup{options: withOrigin},
			[]string{read},
			[]int{500, 500, 500},
			wantError{500, "", "", false, 0, tokencache.ErrUnavailable},
		},
		{
			"504",
			setup{options: withOrigin},
			[]string{read},
			[]int{504, 504, 504},
			wantError{504, "", "", false, 0, tokencache.ErrUnavailable},
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.setup.run(t, func(w *world) {
				w.api.Fail(tokenPath, row.fail...)
				src := w.cache.ClientCredentials(row.scopes...)
				row.want.check(w.T, failure(w.T, src))
				before := w.api.Count(tokenPath)
				if err := error(failure(w.T, src)); before != w.api.Count(tokenPath) {
					w.Errorf("the failure was not held off: %v", err)
				}
			})
		})
	}
}

// respondWith returns a handler that always answers the same.
func respondWith(status int, header http.Header, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Request-Id", strings.Repeat("x", 36))
		w.Header().Set("Content-Type", "application/json")
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	})
}

// errorFrom returns the error of a token request that h answers.
func errorFrom(t *testing.T, h http.Handler) (failed *tokencache.Error) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := emulator.NewPipe(h)
		defer srv.Close()
		cfg := moov.Config(moov.Options{BaseURL: srv.URL}, "id", "secret")
		cfg.HTTPClient = srv.Client()
		failed = failure(t, newCache(t, cfg).ClientCredentials(read))
	})
	return failed
}

func TestErrorBodiesAreRead(t *testing.T) {
	wait := func(value string) http.Header { return http.Header{"X-Retry-In": {value}} }
	for _, row := range []struct {
		name   string
		status int
		header http.Header
		body   string
		want   wantError
	}{
		{"a code", 400, nil, `{"error":"invalid_request"}`, wantError{400, "invalid_request", "", true, 0, nil}},
		{"a code of RFC 6749", 400, nil, `{"error":"invalid_client"}`, wantError{400, "invalid_client", "", true, 0, tokencache.ErrInvalidClient}},
		{"a sentence", 400, nil, `{"error":"The client is not set up."}`, wantError{400, "", "The client is not set up.", true, 0, nil}},
		{"empty text", 400, nil, `{"error":""}`, wantError{400, "", "", true, 0, nil}},
		{
			"two parameters", 422, nil, `{"scope":"is required","grant_type":"is unknown"}`,
			wantError{422, "invalid_scope", "grant_type: is unknown; scope: is required", true, 0, nil},
		},
		{"an unknown parameter", 422, nil, `{"audience":"is malformed"}`, wantError{422, "invalid_request", "audience: is malformed", true, 0, nil}},
		{
			"refresh token of a request without one", 422, nil, `{"refresh_token":"is malformed"}`,
			wantError{422, "invalid_request", "refresh_token: is malformed", true, 0, nil},
		},
		{
			"nested", 409, nil, `{"account":{"name":"is taken","tags":[1]},"error":{"code":7}}`,
			wantError{409, "", "account.name: is taken; account.tags: [1]; error.code: 7", true, 0, nil},
		},
		{"no object", 422, nil, `["scope"]`, wantError{422, "", "", false, 0, nil}},
		{"no JSON", 400, nil, `<html>`, wantError{400, "", "", false, 0, nil}},
		{"a duration with a unit", 503, wait("1500ms"), "", wantError{503, "", "", false, 1500 * time.Millisecond, tokencache.ErrUnavailable}},
		{
			"the longer of two", 503,
			http.Header{"X-Retry-In": {"500"}, "Retry-After": {"60"}},
			"",
			wantError{503, "", "", false, time.Minute, tokencache.ErrUnavailable},
		},
		{"a negative duration", 503, wait("-5s"), "", wantError{503, "", "", false, 0, tokencache.ErrUnavailable}},
		{"no duration", 503, wait("soon"), "", wantError{503, "", "", false, 0, tokencache.ErrUnavailable}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.want.check(t, errorFrom(t, respondWith(row.status, row.header, row.body)))
		})
	}
}

// The body of a 422 can have the field names of a token answer.
func TestNoTokenIsReadFromAnErrorBody(t *testing.T) {
	const body = `{"access_token":"is missing","refresh_token":"is required","scope":"is required","token_type":"Bearer","expires_in":900}`
	e := errorFrom(t, respondWith(422, nil, body))
	wantError{422, "invalid_scope", "access_token: is missing; expires_in: 900; refresh_token: is required", true, 0, nil}.check(t, e)
}

func TestShortRateLimitIsWaitedOutInTheFetch(t *testing.T) {
	for header, wait := range map[string]time.Duration{"Retry-After": 3 * time.Second, "X-Retry-In": 2500 * time.Millisecond} {
		setup{behavior: moovtest.Behavior{RetryHeader: header, RetryIn: wait}, options: withOrigin}.run(t, func(w *world) {
			w.api.Fail(tokenPath, 429)
			begin := time.Now()
			w.token(w.cache.ClientCredentials(read))
			wantEqual(w, header, time.Since(begin), wait)
			w.wantGrants("client_credentials", "client_credentials")
		})
	}
}

func TestFetchesKeepToTheRateLimit(t *testing.T) {
	setup{options: withOrigin, change: oneAtATime}.run(t, func(w *world) {
		begin := time.Now()
		for i := range 100 {
			w.token(w.cache.ClientCredentials(fmt.Sprintf("/accounts/%d/cards.read", i)))
		}
		wantEqual(w, "duration", time.Since(begin).Round(time.Second), 2*time.Second)
		wantEqual(w, "token requests", w.api.Count(tokenPath), 102)
	})
}

func TestValidTokenIsServedWhileTheServerFails(t *testing.T) {
	for _, status := range []int{500, 504, 429, 0} {
		setup{options: withOrigin}.run(t, func(w *world) {
			src := w.cache.ClientCredentials(read)
			w.token(src)
			time.Sleep(13 * time.Minute) // stale
			w.api.Fail(tokenPath, status)
			for range 10 {
				w.wantStatus(src, "GET", "/accounts", 200)
			}
			synctest.Wait()
			wantEqual(w, "token requests", w.api.Count(tokenPath), 2)
		})
	}
}

func TestMissingScopeDoesNotRenewTheToken(t *testing.T) {
	for _, empty := range []bool{false, true} {
		setup{behavior: moovtest.Behavior{Empty401: empty}, options: withOrigin}.run(t, func(w *world) {
			src := w.cache.ClientCredentials(read)
			for range 5 {
				w.wantStatus(src, "POST", "/accounts", 403)
			}
			w.wantGrants("client_credentials")
		})
	}
}

func TestRefusalThatQuotesTheRefreshTokenIsRedacted(t *testing.T) {
	for _, old := range []bool{false, true} {
		setup{behavior: moovtest.Behavior{RefuseRefresh400: old}, options: withOrigin}.run(t, func(w *world) {
			const refresh = "eyJhbGc0eSI6TQSIsImN0kpXVCIsImtp6IkpXVsImtpZC0a"
			src := w.cache.Source(tokencache.RefreshTokenGrant{Session: "s", Token: tokencache.NewSecret(refresh)})
			e := failure(w.T, src)
			wantEqual(w, "code", e.Code, map[bool]string{false: "invalid_grant", true: ""}[old])
			if !errors.Is(e, tokencache.ErrInvalidGrant) || !strings.Contains(e.Description, "[redacted] is invalid") {
				w.Errorf("got %v", e)
			}
			if text := fmt.Sprintf("%v %+v %#v %s", e, e, e, errors.Unwrap(e)); strings.Contains(text, refresh) {
				w.Errorf("the refresh token is shown in %s", text)
			}
		})
	}
}

func TestNoFormattingOfAConfigurationShowsTheSecret(t *testing.T) {
	for _, o := range []moov.Options{{}, {SecretInBody: true}} {
		cfg := moov.Config(o, "id", moovtest.ClientSecret)
		if text := fmt.Sprintf("%v %+v %#v", cfg, cfg, cfg); strings.Contains(text, moovtest.ClientSecret) {
			t.Errorf("the secret is shown in %s", text)
		}
	}
}
