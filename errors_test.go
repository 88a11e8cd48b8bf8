// What callers can tell from an error, for the answers of real servers, and that a secret does not
// change it (promise 9 in README.md).

package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestErrorAnswers(t *testing.T) {
	html := media("text/html")
	for _, row := range []struct {
		name, grant       string
		answer            fixedAnswer
		code, description string
		kind              error // nil: none of the sentinels
		permanent         bool
	}{
		{
			"RFC 6749", "password",
			fixedAnswer{status: 400, body: `{"error":"invalid_grant","error_description":"wrong password","error_uri":"https://as.example.com/e"}`},
			"invalid_grant", "wrong password", tokencache.ErrInvalidGrant, true,
		},
		{
			"RFC 6749 as a form", "password",
			fixedAnswer{400, media("application/x-www-form-urlencoded"), "error=invalid_grant&error_description=wrong+password", nil},
			"invalid_grant", "wrong password", tokencache.ErrInvalidGrant, true,
		},
		{"invalid client", "client_credentials", fixedAnswer{status: 401, body: `{"error":"invalid_client"}`}, "invalid_client", "", tokencache.ErrInvalidClient, true},
		{"invalid client with 400", "password", fixedAnswer{status: 400, body: `{"error":"invalid_client"}`}, "invalid_client", "", tokencache.ErrInvalidClient, true},
		{"invalid scope", "password", fixedAnswer{status: 400, body: `{"error":"invalid_scope"}`}, "invalid_scope", "", nil, true},
		{
			"camel case", "client_credentials",
			fixedAnswer{status: 401, body: `{"error":"unauthorized","errorDescription":"An Authentication object was not found"}`},
			"unauthorized", "", tokencache.ErrInvalidClient, true,
		},
		{
			"finAPI, bad user", "password",
			fixedAnswer{status: 400, body: `{"errors":[{"message":"Falsches Passwort","code":"BAD_REQUEST","type":"BUSINESS"}],"date":"2018-01-01 00:00:00.000","requestId":"selfgen-1","endpoint":"https://finapi.io","authContext":"1/2","bank":null}`},
			"", "", tokencache.ErrInvalidGrant, true,
		},
		{
			"finAPI, locked", "password",
			fixedAnswer{status: 423, body: `{"errors":[{"message":"The requested resource is locked","code":"LOCKED","type":"TECHNICAL"}]}`},
			"", "", tokencache.ErrLocked, true,
		},
		{"Moov, free text", "client_credentials", fixedAnswer{status: 400, body: `{"error":"expected a scope"}`}, "expected a scope", "", nil, true},
		{"Moov, fields", "refresh_token", fixedAnswer{status: 422, body: `{"scope":"is required","refresh_token":"is malformed"}`}, "", "", tokencache.ErrUnavailable, false},
		{"Moov, nested", "client_credentials", fixedAnswer{status: 422, body: `{"token":{"hint":"unknown"}}`}, "", "", nil, true},
		{
			"Sensibill", "authorization_code",
			fixedAnswer{status: 401, body: `{"name":"AuthorizationError","correlationID":"4692-1557955193","message":"not authorized","extras":{"code":"cannot_authenticate"}}`},
			"", "", tokencache.ErrInvalidGrant, true,
		},
		{"figo", "client_credentials", fixedAnswer{status: 400, body: `{"error":{"code":30000,"description":"bad","name":"x"},"status":400}`}, "", "", nil, true},
		{"a number", "client_credentials", fixedAnswer{status: 400, body: `{"error":42}`}, "", "", nil, true},
		{"empty 400", "client_credentials", fixedAnswer{status: 400}, "", "", tokencache.ErrInvalidClient, true},
		{"empty 401", "client_credentials", fixedAnswer{status: 401}, "", "", tokencache.ErrInvalidClient, true},
		{"empty 403", "client_credentials", fixedAnswer{status: 403}, "", "", tokencache.ErrInvalidClient, true},
		{"empty 400 to a password", "password", fixedAnswer{status: 400}, "", "", tokencache.ErrInvalidGrant, true},
		{"empty 403 to a password", "password", fixedAnswer{status: 403}, "", "", tokencache.ErrInvalidGrant, true},
		{"HTML 403 to a password", "password", fixedAnswer{403, html, htmlPage, nil}, "", "", nil, true},
		{"empty 404 to a password", "password", fixedAnswer{status: 404}, "", "", nil, false},
		{"empty object", "client_credentials", fixedAnswer{status: 400, body: `{}`}, "", "", nil, false},
		{"HTML 404", "client_credentials", fixedAnswer{404, html, htmlPage, nil}, "", "", nil, false},
		{"text 404", "client_credentials", fixedAnswer{404, media("text/plain; charset=utf-8"), "404 page not found\n", nil}, "", "", nil, false},
		{"one word", "client_credentials", fixedAnswer{400, media("text/plain"), "Blocked", nil}, "", "", nil, false},
		{"HTML as text", "client_credentials", fixedAnswer{400, media("text/plain"), `<a href="x">bad</a>`, nil}, "", "", nil, false},
		{"HTML 500", "password", fixedAnswer{500, html, htmlPage, nil}, "", "", tokencache.ErrUnavailable, false},
		{"array", "client_credentials", fixedAnswer{status: 400, body: `["bad"]`}, "", "", nil, false},
		{"invalid request for a refresh", "refresh_token", fixedAnswer{status: 400, body: `{"error":"invalid_request"}`}, "invalid_request", "", tokencache.ErrUnavailable, false},
		{"Authlib, bad password", "password", fixedAnswer{status: 400, body: `{"error":"invalid_request"}`}, "invalid_request", "", tokencache.ErrInvalidGrant, true},
		{"invalid request", "client_credentials", fixedAnswer{status: 400, body: `{"error":"invalid_request"}`}, "invalid_request", "", nil, true},
		{"bad password, 401", "password", fixedAnswer{status: 401, body: `{"error":"access_denied"}`}, "access_denied", "", tokencache.ErrInvalidGrant, true},
		{"invalid grant, 401", "refresh_token", fixedAnswer{status: 401, body: `{"error":"invalid_grant"}`}, "invalid_grant", "", tokencache.ErrInvalidGrant, true},
		{"bad password, 500", "password", fixedAnswer{status: 500, body: `{"error":"server_error"}`}, "server_error", "", tokencache.ErrUnavailable, false},
		{"busy, 400", "client_credentials", fixedAnswer{status: 400, body: `{"error":"temporarily_unavailable"}`}, "temporarily_unavailable", "", tokencache.ErrUnavailable, false},
		{"429", "client_credentials", fixedAnswer{status: 429}, "", "", tokencache.ErrUnavailable, false},
		{"502", "client_credentials", fixedAnswer{502, html, htmlPage, nil}, "", "", tokencache.ErrUnavailable, false},
		{"503", "refresh_token", fixedAnswer{status: 503, body: `{"error":"temporarily_unavailable"}`}, "temporarily_unavailable", "", tokencache.ErrUnavailable, false},
		{"504", "password", fixedAnswer{status: 504}, "", "", tokencache.ErrUnavailable, false},
		{"lost refresh", "refresh_token", fixedAnswer{status: 502}, "", "", tokencache.ErrUnavailable, false},
		{"no connection", "client_credentials", fixedAnswer{err: errors.New("connection refused")}, "", "", tokencache.ErrUnavailable, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			tok, err := row.answer.asks(t, grantParams(row.grant), nil)
			var e *tokencache.Error
			if tok != nil || !errors.As(err, &e) {
				t.Fatalf("token %v, error %v", tok, err)
			}
			if e.StatusCode != row.answer.status || e.Code != row.code || e.Description != row.description || e.Permanent != row.permanent {
				t.Errorf("%d, %q, %q, permanent %v", e.StatusCode, e.Code, e.Description, e.Permanent)
			}
			wantKind(t, err, row.kind)
			if row.answer.err == nil {
				wantRetrieveError(t, err, row.answer)
			}
			begin := fmt.Sprintf("tokencache: token request (%s) to https://as.example.com/token failed: ", row.grant)
			if !strings.HasPrefix(err.Error(), begin) || strings.Count(err.Error(), "tokencache: ") != 1 {
				t.Errorf("message: %v", err)
			}
		})
	}
}

const htmlPage = "<html><body><h1>500 Internal Server Error</h1></body></html>"

// wantKind checks that err is the given sentinel and no other one, except that a spent refresh
// token is an invalid grant as well; a nil kind is none of them.
func wantKind(t *testing.T, err, kind error) {
	t.Helper()
	for _, sentinel := range sentinels {
		if errors.Is(err, sentinel) != (kind != nil && errors.Is(kind, sentinel)) {
			t.Errorf("errors.Is(err, %q) is %v: %v", sentinel, errors.Is(err, sentinel), err)
		}
	}
}

var sentinels = []error{
	tokencache.ErrClosed, tokencache.ErrHeldOff, tokencache.ErrInvalidClient, tokencache.ErrInvalidGrant,
	tokencache.ErrLocked, tokencache.ErrUnavailable, tokencache.ErrRefreshTokenSpent,
}

// wantRetrieveError checks the RetrieveError that code written for x/oauth2 looks for.
func wantRetrieveError(t *testing.T, err error, a fixedAnswer) {
	t.Helper()
	var r *oauth2.RetrieveError
	if !errors.As(err, &r) || r.Response == nil {
		t.Fatalf("no oauth2.RetrieveError with a Response in %v", err)
	}
	if r.Response.StatusCode != a.status || r.Response.Request != nil || r.Response.Body == nil || r.Response.Header == nil {
		t.Errorf("response: %+v", r.Response)
	}
	if body := string(r.Body); body != a.body && !strings.Contains(body, "[redacted]") {
		t.Errorf("body %q, want %q", body, a.body)
	}
	if r.Error() == "" {
		t.Error("the RetrieveError has no text")
	}
}

func TestRequestIDAndRetryAfter(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		for _, row := range []struct {
			retryAfter string
			want       time.Duration
		}{
			{"", 0},
			{"0", 0},
			{"7", 7 * time.Second},
			{" 7 ", 7 * time.Second},
			{"4294967296", 4294967295 * time.Second},
			{"99999999999999999999999", 4294967295 * time.Second},
			{"-7", 0},
			{"7.5", 0},
			{"soon", 0},
			{time.Now().Add(90 * time.Second).UTC().Format(http.TimeFormat), 90 * time.Second},
			{time.Now().Add(90 * time.Second).UTC().Format(time.RFC850), 90 * time.Second},
			{time.Now().Add(90 * time.Second).UTC().Format(time.ANSIC), 90 * time.Second},
			{time.Now().Add(-90 * time.Second).UTC().Format(http.TimeFormat), 0},
		} {
			w.srv.Fail("token", 1, tokentest.Fault{Status: 429, Header: http.Header{
				"Retry-After": {row.retryAfter}, "X-Request-Id": {"id-1\t" + strings.Repeat("x", 1000)},
			}})
			_, err := w.cache.RequestToken(context.Background(), grantParams("client_credentials"))
			var e *tokencache.Error
			if !errors.As(err, &e) || e.RetryAfter != row.want {
				w.Errorf("Retry-After %q: %v", row.retryAfter, err)
				continue
			}
			if !strings.HasPrefix(e.RequestID, "id-1 x") || len(e.RequestID) > 300 || !strings.Contains(err.Error(), "(request ID id-1 x") {
				w.Errorf("request ID %q in %v", e.RequestID, err)
			}
		}
	})
}

// A server can neither forge a line of a log nor flood the log.
func TestErrorTextIsOneShortLine(t *testing.T) {
	a := fixedAnswer{status: 400, body: `{"error":"bad\nlevel=INFO","error_description":"` + strings.Repeat(`é\r\n`, 10_000) + `"}`}
	_, err := a.asks(t, grantParams("password"), nil)
	if text := err.Error(); strings.ContainsAny(text, "\r\n") || len(text) > 1000 || strings.ToValidUTF8(text, "") != text {
		t.Errorf("%d bytes: %q", len(text), text)
	}
	var r *oauth2.RetrieveError
	if errors.As(err, &r); len(r.Body) > 8<<10 {
		t.Errorf("a body of %d bytes is kept", len(r.Body))
	}
}

func TestDialectReadsErrorAnswers(t *testing.T) {
	a := fixedAnswer{status: 423, body: `{"errors":[{"code":"LOCKED"}],"requestId":"selfgen-1"}`}
	_, err := a.asks(t, grantParams("password"), func(cfg *tokencache.Config) {
		cfg.Dialect.Failure = func(e *tokencache.Error, header http.Header, body []byte) {
			if e.StatusCode != 423 || !e.Permanent || header == nil || string(body) != a.body {
				t.Errorf("given %+v and %q", e, body)
			}
			e.Code, e.Description, e.RequestID = "invalid_grant", "password\nwonderland refused", "selfgen-1"
		}
	})
	var e *tokencache.Error
	if !errors.As(err, &e) || e.RequestID != "selfgen-1" || e.Description != "password [redacted] refused" {
		t.Errorf("error: %v", err)
	}
	wantKind(t, err, tokencache.ErrInvalidGrant)
}

// An error from memory wraps the original error and says until when it is held off.
func TestHeldOffErrorWrapsTheOriginal(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.Password("alice", "wrong")
		_, _ = src.Token()
		_, err := src.Token()
		var e *tokencache.Error
		var r *oauth2.RetrieveError
		if !errors.Is(err, tokencache.ErrHeldOff) || !errors.Is(err, tokencache.ErrInvalidGrant) || !errors.As(err, &e) || !errors.As(err, &r) {
			w.Errorf("error: %v", err)
		}
		if !strings.HasPrefix(err.Error(), "tokencache: held off until 2000-01-01T00:05:00Z after: token request (password)") {
			w.Errorf("message: %v", err)
		}
		if err := w.cache.Close(); err != nil {
			w.Error(err)
		}
		_, err = src.Token()
		wantKind(w.T, err, tokencache.ErrClosed)
	})
}

// A secret that is an error code, or a part of one, does not change how an answer is read.
func TestSecretLikeAnErrorCodeChangesNothing(t *testing.T) {
	for _, code := range oauthCodes {
		for name, outcome := range map[string]func(t *testing.T, code, secret string) string{
			"password": outcomeOfAPassword, "session": outcomeOfASession, "renewal": outcomeOfARenewal, "revocation": outcomeOfARevocation,
		} {
			t.Run(name+"/"+code, func(t *testing.T) {
				want := outcome(t, code, "looking-glass")
				for _, secret := range []string{code, code[:9]} {
					if got := outcome(t, code, secret); got != want {
						t.Errorf("with the secret %q:\n%s\nwith another one:\n%s", secret, got, want)
					}
				}
			})
		}
	}
}

// oauthCodes are the error codes of RFC 6749 (sections 5.2 and 4.1.2.1), RFC 6750 and RFC 7009.
var oauthCodes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope",
	"access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable",
	"invalid_token", "insufficient_scope", "unsupported_token_type",
}

// outcomeOf runs a test with the given client secret and returns what it has noted, with the number
// of token requests.
func outcomeOf(t *testing.T, b tokentest.Behavior, secret string, test func(w *world, note func(string, error))) string {
	t.Helper()
	var lines []string
	b.ClientSecret = secret
	inBubble(t, b, func(cfg *tokencache.Config) { cfg.Auth = tokencache.ClientSecretBasic(secret) }, func(w *world) {
		test(w, func(what string, err error) {
			text := strings.ReplaceAll(describe(err), w.srv.URL, "https://as.example.com")
			lines = append(lines, fmt.Sprintf("%s: %s; token requests: %d", what, text, w.fetches()))
		})
	})
	return strings.Join(lines, "\n")
}

// describe returns everything that callers can tell from an error, in one line.
func describe(err error) string {
	var b strings.Builder
	var e *tokencache.Error
	if errors.As(err, &e) {
		fmt.Fprintf(&b, "%d, code %q, permanent %v;", e.StatusCode, e.Code, e.Permanent)
	}
	var r *oauth2.RetrieveError
	if errors.As(err, &r) {
		fmt.Fprintf(&b, " RetrieveError with code %q;", r.ErrorCode)
	}
	for _, sentinel := range sentinels {
		if errors.Is(err, sentinel) {
			b.WriteString(" " + sentinel.Error() + ";")
		}
	}
	fmt.Fprint(&b, " ", err)
	return b.String()
}

// refusalWith returns an answer that refuses a request with an error code.
func refusalWith(code string) tokentest.Fault {
	return tokentest.Fault{Status: http.StatusBadRequest, Body: `{"error":"` + code + `"}`}
}

// outcomeOfAPassword shows whether the password counts as refused: it is then held off for longer,
// and for all keys that send it.
func outcomeOfAPassword(t *testing.T, code, secret string) string {
	return outcomeOf(t, tokentest.Behavior{}, "client secret", func(w *world, note func(string, error)) {
		w.srv.Fail("token", -1, refusalWith(code))
		src := w.cache.Password("alice", secret)
		_, err := src.Token()
		note("first", err)
		_, err = w.cache.Password("alice", secret, "another.scope").Token()
		note("another key", err)
		time.Sleep(2 * time.Minute)
		_, err = src.Token()
		note("after two minutes", err)
	})
}

// outcomeOfASession shows whether the refresh token is spent: it is then not sent again.
func outcomeOfASession(t *testing.T, code, secret string) string {
	return outcomeOf(t, tokentest.Behavior{}, secret, func(w *world, note func(string, error)) {
		w.srv.Fail("token", 1, refusalWith(code))
		src := w.cache.Session("session", &oauth2.Token{RefreshToken: secret})
		_, err := src.Token()
		note("first", err)
		time.Sleep(10 * time.Minute)
		_, err = src.Token()
		note("after ten minutes", err)
	})
}

// outcomeOfARenewal shows whether the password is sent after the refresh was refused.
func outcomeOfARenewal(t *testing.T, code, secret string) string {
	return outcomeOf(t, tokentest.Behavior{}, secret, func(w *world, note func(string, error)) {
		src := w.cache.Password("alice", "wonderland")
		w.token(src)
		w.srv.Fail("token", 1, refusalWith(code))
		time.Sleep(2 * time.Hour)
		_, err := src.Token()
		note("renewal", err)
		time.Sleep(10 * time.Minute)
		_, err = src.Token()
		note("after ten minutes", err)
	})
}

// outcomeOfARevocation shows whether the refusal is an error: unsupported_token_type is not (RFC
// 7009 section 2.2.1).
func outcomeOfARevocation(t *testing.T, code, secret string) string {
	return outcomeOf(t, tokentest.Behavior{}, secret, func(w *world, note func(string, error)) {
		src := w.cache.ClientCredentials()
		w.token(src)
		w.srv.Fail("revoke", 1, refusalWith(code))
		note("revocation", src.Revoke(context.Background()))
	})
}

// A code that no RFC defines can contain a secret.
func TestSecretInAnUnknownErrorCodeIsReplaced(t *testing.T) {
	a := fixedAnswer{status: 400, body: `{"error":"wonderland is wrong"}`}
	_, err := a.asks(t, grantParams("password"), nil)
	var e *tokencache.Error
	if !errors.As(err, &e) || e.Code != "[redacted] is wrong" {
		t.Errorf("error: %v", err)
	}
	wantKind(t, err, tokencache.ErrInvalidGrant)
}

func TestURLOfAnErrorIsOneLine(t *testing.T) {
	_, err := (fixedAnswer{status: 400, body: `{"error":"invalid_request"}`}).asks(t, grantParams("client_credentials"), func(cfg *tokencache.Config) {
		cfg.TokenURL = "https://as.example.com/a%0Ab%3Fc%20d"
	})
	var e *tokencache.Error
	if !errors.As(err, &e) || e.URL != "https://as.example.com/a%0Ab%3Fc%20d" {
		t.Errorf("got %v, want the URL as it was sent", err)
	}
}
