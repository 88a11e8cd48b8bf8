// Fuzz tests of what a server may answer: whatever it is, the library does not panic, shows no
// secret (promise 9 in README.md) and keeps its limits.

package tokencache_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

func FuzzTokenAnswer(f *testing.F) {
	addAnswers(f, tokenAnswers)
	f.Fuzz(func(t *testing.T, status uint16, contentType, body, secret string, form uint8) {
		body, secret, escaped := echoing(body, secret, form)
		params := grantParams("password")
		params.Set("password", secret)
		a := fixedAnswer{status: 200 + int(status)%100, header: http.Header{"Content-Type": {contentType}}, body: body}
		begin := time.Now()
		tok, err := a.asks(t, params, nil)
		again, err2 := a.asks(t, params, nil)
		if (tok == nil) == (err == nil) || fmt.Sprint(err) != fmt.Sprint(err2) || tok != nil && again.AccessToken != tok.AccessToken {
			t.Fatalf("%v, %v, then %v, %v", tok, err, again, err2)
		}
		if err != nil {
			checkFuzzedError(t, err, secret, escaped)
			return
		}
		if len(body) > 1<<20 || tok.AccessToken == "" || strings.ContainsAny(tok.AccessToken, "\r\n\x00") || tok.Type() != "Bearer" {
			t.Errorf("accepted %q from %d bytes", tok.AccessToken, len(body))
		}
		if tok.Extra("refresh_token") != nil || tok.Extra("access_token") != nil {
			t.Error("a token is an extra field")
		}
		if left := tok.Expiry.Sub(begin); !tok.Expiry.IsZero() && (left <= 0 || left > tenYears+time.Minute) {
			t.Errorf("expires in %v", left)
		}
	})
}

func FuzzErrorAnswer(f *testing.F) {
	addAnswers(f, errorAnswers)
	addAnswers(f, tokenAnswers)
	f.Fuzz(func(t *testing.T, status uint16, contentType, body, secret string, form uint8) {
		body, secret, escaped := echoing(body, secret, form)
		params := grantParams([]string{"password", "refresh_token", "client_credentials"}[int(status)%3])
		params.Set("password", secret)
		a := fixedAnswer{status: 300 + int(status)%300, header: http.Header{"Content-Type": {contentType}}, body: body}
		tok, err := a.asks(t, params, nil)
		var e *tokencache.Error
		if tok != nil || !errors.As(err, &e) {
			t.Fatalf("%v, %v", tok, err)
		}
		if e.StatusCode != a.status && len(body) <= 1<<20 || len(e.Code) > 103 || len(e.Description) > 503 {
			t.Errorf("%+v", e)
		}
		checkFuzzedError(t, err, secret, escaped)
	})
}

// checkFuzzedError checks that an error is one line, is not too long and does not show the secret.
func checkFuzzedError(t *testing.T, err error, secret, escaped string) {
	t.Helper()
	text := err.Error()
	if !strings.HasPrefix(text, "tokencache: token request (") || strings.ContainsAny(text, "\r\n\x00") || len(text) > 2000 {
		t.Errorf("message: %q", text)
	}
	shown := []string{text}
	var r *oauth2.RetrieveError
	if errors.As(err, &r) {
		if r.Response == nil || r.Response.Request != nil || len(r.Body) > 8<<10 {
			t.Errorf("%+v, %d bytes", r.Response, len(r.Body))
		}
		shown = append(shown, r.Error(), r.ErrorCode, r.ErrorDescription, r.ErrorURI, string(r.Body))
	}
	for _, text := range shown {
		if strings.Contains(text, secret) || strings.Contains(text, escaped) {
			t.Errorf("%q is in %q", secret, text)
		}
	}
}

// tokenAnswers are token answers as real servers send them, and invalid ones. SECRET stands for a
// secret that the server repeats.
var tokenAnswers = []string{
	`{"access_token":"yvMbx_TgwdYE0hgOVb8N4ZOvxOukqfjz","token_type":"bearer","refresh_token":"0b9KjiBVlZLz7a4HshSAIcFuscStiXT1","expires_in":3600,"scope":"all"}`,
	`{"access_token":"fnsXpguIBkChhCsN8bVty9Y68AsUvJYy","token_type":"bearer","expires_in":3599,"scope":"all"}`,
	`{"token_type":"Bearer","access_token":"eyJ.eyJ.x","refresh_token":"eyJ.eyJ.y","expires_in":1736964352,"scope":"/accounts.read /accounts.write"}`,
	`{"token_type":"opaque","access_token":"abc","refresh_token":"def","expires_in":900,"scope":"/accounts.read"}`,
	`{"token_id":"oRXB","access_token":"vVYG","refresh_token":"kLDm","token_type":"bearer","expires_in":10800,"refresh_expires_in":21600}`,
	`{"token_id":"oRXB","access_token":"vVYG","expires_in":10800}`,
	`{"access_token":"c9SQxWWhmdVRlyh0zh8gZDTkubVF","expires_in":"3599"}`,
	`{"access_token":"a","expires_in":43199,"expires_at":"2026-11-22T16:00:00Z","refresh_token_expires_in":5,"refresh_token_expires_at":"2026-11-22T16:00:00Z"}`,
	`{"success":true,"data":{"access_token":"a","access_token_ttl":"2026-11-22 16:00:00+00"}}`,
	`{"accessToken":"a","expiresIn":300,"refreshExpiresIn":600}`,
	`{"access_token":"a","expires_in":0,"nonce":"2026","app_id":"APP","api_domain":"https://www.example.com"}`,
	`{"idToken":"a"}`,
	`access_token=a&token_type=bearer&expires_in=5184000`,
	"\ufeff{\"access_token\":\"a\"}",
	`{"access_token":"a","access_token":"b"}`,
	`{"access_token":"SECRET","token_type":"SECRET"}`,
	`{"error":"bad_verification_code","error_description":"SECRET"}`,
	`[]`, `null`, ``, `<html>log in</html>`, `{"access_token":"a\n"}`, `{"access_token":"a","expires_in":1e400}`,
}

// errorAnswers are the same for errors.
var errorAnswers = []string{
	`{"error":"invalid_token","error_description":"Invalid access token: SECRET"}`,
	`{"error":"unauthorized","error_description":"An Authentication object was not found in the SecurityContext"}`,
	`{"error":"unauthorized","errorDescription":"An Authentication object was not found in the SecurityContext"}`,
	`{"errors":[{"message":"The requested resource is locked","code":"LOCKED","type":"TECHNICAL"}],"date":"2018-01-01 00:00:00.000","requestId":"selfgen-ddf0","endpoint":"https://finapi.io","authContext":"1/2","bank":"00000000"}`,
	`{"errors":[{"message":null,"code":"BAD_REQUEST","type":"BUSINESS","multiStepAuthentication":null}],"bank":null}`,
	`{"error":"free text"}`,
	`{"scope":"is required","refresh_token":"SECRET"}`,
	`{"token":"is required","token_type_hint":"unknown"}`,
	`{"name":"AuthorizationError","correlationID":"4692-1557955193.458-10.3.123.11-468","message":"no","extras":{"code":"cannot_authenticate"}}`,
	`{"error":{"code":30000,"description":"SECRET","name":"x"}}`,
	`{"error":"access_denied"}`, `{"error":"invalid_request"}`, `{"error":"invalid_grant"}`, `{"error":"invalid_client"}`,
	`error=invalid_grant&error_description=SECRET`,
	`{"access_token":"SECRET"`, `<html><h1>502</h1>SECRET</html>`, `404 page not found`, ``, `[`, `{"error":1e999}`,
}

var mediaTypes = []string{"application/json", "application/x-www-form-urlencoded", "text/plain; charset=utf-8", "text/html", ""}

// addAnswers adds every body with every media type to the corpus.
func addAnswers(f *testing.F, bodies []string) {
	for i, body := range bodies {
		for j, media := range mediaTypes {
			f.Add(uint16(100*i+j), media, body, userPassword, uint8(i+j))
		}
	}
	f.Add(uint16(0), "", bodies[0], `abc\\<`+"\n%4100", uint8(3))
}

// echoing replaces SECRET in a body with an escaped secret. It uses userPassword in place of a
// secret that is short, resembles "[redacted]" or is part of an error code, since those can appear
// in errors.
func echoing(body, secret string, form uint8) (echo, used, escaped string) {
	if len(secret) < 8 || strings.Contains("[redacted]", secret[:1]) || strings.ContainsAny(secret, "[]") ||
		!utf8.ValidString(secret) || strings.Contains(strings.Join(oauthCodes, " "), secret) {
		secret = userPassword
	}
	escaped = encoders[int(form)%len(encoders)](secret)
	text, _ := json.Marshal(escaped)
	if strings.HasPrefix(body, "{") {
		return strings.ReplaceAll(body, "SECRET", string(text[1:len(text)-1])), secret, escaped
	}
	return strings.ReplaceAll(body, "SECRET", escaped), secret, escaped
}

// encoders are the ways in which a fuzzed answer may escape a secret.
var encoders = []func(string) string{
	func(s string) string { return s }, url.QueryEscape, url.PathEscape, html.EscapeString,
	func(s string) string { s = strconv.Quote(s); return s[1 : len(s)-1] },
}

func FuzzRetryAfter(f *testing.F) {
	for _, text := range []string{"", "0", "7", "-1", "1.5", " 120 ", "4294967296", "Fri, 31 Dec 1999 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:59:59 1999", "Wed, 31 Dec 9999 23:59:59 GMT"} {
		f.Add(text)
	}
	read := func(t *testing.T, text string) time.Duration {
		_, err := (fixedAnswer{status: 429, header: http.Header{"Retry-After": {text}}}).asks(t, grantParams("client_credentials"), nil)
		var e *tokencache.Error
		if !errors.As(err, &e) {
			t.Fatal(err)
		}
		return e.RetryAfter
	}
	f.Fuzz(func(t *testing.T, text string) {
		d := read(t, text)
		if d < 0 {
			t.Fatalf("%q gives %v", text, d)
		}
		seconds := d / time.Second
		if again := read(t, fmt.Sprint(int64(seconds))); again != min(seconds, math.MaxUint32)*time.Second {
			t.Errorf("%q gives %v, and the same as seconds %v", text, d, again)
		}
	})
}
