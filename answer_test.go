// How answers to token requests are read (RFC 6749 section 5.1), and which lifetime a token has by
// its expires_in (part of promise 4 in README.md).

package tokencache_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestTokenAnswers(t *testing.T) {
	const (
		asJSON = `{"access_token":"a","refresh_token":"r","token_type":"bearer","expires_in":3600,"scope":"x y"}`
		asForm = "access_token=a&refresh_token=r&token_type=bearer&expires_in=3600&scope=x+y"
	)
	for _, row := range []struct {
		name   string
		answer fixedAnswer
	}{
		{"200", fixedAnswer{status: 200, body: asJSON}},
		{"201", fixedAnswer{status: 201, body: asJSON}},
		{"202", fixedAnswer{status: 202, body: asJSON}},
		{"299", fixedAnswer{status: 299, body: asJSON}},
		{"parameters", fixedAnswer{200, media("application/json;charset=UTF-8"), asJSON, nil}},
		{"JSON as JWT", fixedAnswer{200, media("application/jwt"), asJSON, nil}},
		{"JSON as form", fixedAnswer{200, media("application/x-www-form-urlencoded"), asJSON, nil}},
		{"JSON as text", fixedAnswer{200, media("text/plain"), asJSON, nil}},
		{"JSON as HTML", fixedAnswer{200, media("text/html"), asJSON, nil}},
		{"JSON without a type", fixedAnswer{200, media(""), asJSON, nil}},
		{"JSON with an invalid type", fixedAnswer{200, media(";;="), asJSON, nil}},
		{"form", fixedAnswer{200, media("application/x-www-form-urlencoded"), asForm, nil}},
		{"form with a charset", fixedAnswer{200, media("APPLICATION/x-www-form-urlencoded; charset=utf-8"), asForm, nil}},
		{"form as text", fixedAnswer{200, media("text/plain; charset=utf-8"), asForm, nil}},
		{"BOM", fixedAnswer{status: 200, body: "\ufeff" + asJSON}},
		{"white space", fixedAnswer{status: 200, body: "\r\n\t " + asJSON + "\r\n"}},
		{"duplicate fields", fixedAnswer{status: 200, body: `{"access_token":"old","access_token":"a",` + asJSON[1:]}},
	} {
		t.Run(row.name, func(t *testing.T) {
			tok, err := row.answer.asks(t, grantParams("password"), nil)
			if err != nil {
				t.Fatal(err)
			}
			if tok.AccessToken != "a" || tok.RefreshToken != "r" || tok.TokenType != "Bearer" || tok.ExpiresIn != 3600 || tok.Expiry.IsZero() {
				t.Errorf("token: %+v", tok)
			}
			if tok.Extra("scope") != "x y" || tok.Extra("refresh_token") != nil || tok.Extra("access_token") != nil {
				t.Errorf("extra fields: scope %v, refresh token %v, access token %v", tok.Extra("scope"), tok.Extra("refresh_token"), tok.Extra("access_token"))
			}
		})
	}
}

// media returns a header with a request ID and, unless it is empty, the given Content-Type.
func media(contentType string) http.Header {
	h := http.Header{"X-Request-Id": {"id-1"}}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	return h
}

func TestUnusableTokenAnswers(t *testing.T) {
	form := media("application/x-www-form-urlencoded")
	for _, row := range []struct {
		name   string
		answer fixedAnswer
		says   string
	}{
		{"empty", fixedAnswer{status: 200}, "neither a JSON object nor form-encoded"},
		{"no content", fixedAnswer{status: 204}, "neither a JSON object nor form-encoded"},
		{"HTML", fixedAnswer{200, media("text/html"), "<html>log in</html>", nil}, "neither a JSON object nor form-encoded"},
		{"array", fixedAnswer{status: 200, body: `[{"access_token":"a"}]`}, "neither a JSON object nor form-encoded"},
		{"text", fixedAnswer{status: 200, body: `"a"`}, "neither a JSON object nor form-encoded"},
		{"null", fixedAnswer{status: 200, body: `null`}, "neither a JSON object nor form-encoded"},
		{"cut", fixedAnswer{status: 200, body: `{"access_token":"a"`}, "neither a JSON object nor form-encoded"},
		{"two objects", fixedAnswer{status: 200, body: `{"access_token":"a"}{"access_token":"b"}`}, "neither a JSON object nor form-encoded"},
		{"form as JSON", fixedAnswer{status: 200, body: "access_token=a"}, "neither a JSON object nor form-encoded"},
		{"broken form", fixedAnswer{200, form, "access_token=%zz", nil}, "neither a JSON object nor form-encoded"},
		{"plain text", fixedAnswer{200, media("text/plain"), "logged in", nil}, "neither a JSON object nor form-encoded"},
		{"a word", fixedAnswer{200, media("text/plain"), "OK", nil}, "neither a JSON object nor form-encoded"},
		{"no token", fixedAnswer{status: 200, body: `{"token_type":"bearer"}`}, "no access_token"},
		{"empty token", fixedAnswer{status: 200, body: `{"access_token":""}`}, "no access_token"},
		{"null token", fixedAnswer{status: 200, body: `{"access_token":null}`}, "no access_token"},
		{"token is a number", fixedAnswer{status: 200, body: `{"access_token":1}`}, "no access_token"},
		{"other case", fixedAnswer{status: 200, body: `{"Access_Token":"a"}`}, "no access_token"},
		{"wrapped", fixedAnswer{status: 200, body: `{"data":{"access_token":"a"}}`}, "no access_token"},
		{"form without a token", fixedAnswer{200, form, "token_type=bearer", nil}, "no access_token"},
		{"line break", fixedAnswer{status: 200, body: `{"access_token":"hid\nden"}`}, "control character at byte 3"},
		{"NUL", fixedAnswer{status: 200, body: `{"access_token":"hidden\u0000"}`}, "control character at byte 6"},
		{"line break in a form", fixedAnswer{200, form, "access_token=hidden%0d%0aX:+y", nil}, "control character at byte 6"},
		{"space", fixedAnswer{status: 200, body: `{"access_token":" hidden"}`}, "begins or ends with a space"},
		{"too large", fixedAnswer{status: 200, body: `{"access_token":"` + strings.Repeat("a", 1<<20) + `"}`}, "larger than 1048576 bytes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			tok, err := row.answer.asks(t, grantParams("client_credentials"), nil)
			var e *tokencache.Error
			if tok != nil || !errors.As(err, &e) {
				t.Fatalf("token %v, error %v", tok, err)
			}
			if !strings.HasPrefix(err.Error(), "tokencache: token request (client_credentials) to https://as.example.com/token failed: ") ||
				!strings.Contains(err.Error(), row.says) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("error: %v", err)
			}
			if e.Permanent {
				t.Error("permanent")
			}
		})
	}
}

func TestTokenAnswerMayHaveOneMebibyte(t *testing.T) {
	body := `{"access_token":"","x":""}`
	body = `{"access_token":"a","x":"` + strings.Repeat("x", 1<<20-len(body)-1) + `"}`
	if len(body) != 1<<20 {
		t.Fatal(len(body))
	}
	if _, err := (fixedAnswer{status: 200, body: body}).asks(t, grantParams("client_credentials"), nil); err != nil {
		t.Error(err)
	}
}

func TestTokenInARefusalIsNotUsed(t *testing.T) {
	for _, status := range []int{199, 300, 304, 307, 400, 401, 422, 500, 503} {
		tok, err := (fixedAnswer{status: status, body: `{"access_token":"hidden","refresh_token":"hidden"}`}).asks(t, grantParams("password"), nil)
		var e *tokencache.Error
		if tok != nil || !errors.As(err, &e) || e.StatusCode != status {
			t.Errorf("%d: token %v, error %v", status, tok, err)
		}
	}
}

// Some servers answer every request with 200, and have the error only in the body.
func TestRefusalWithStatus200(t *testing.T) {
	a := fixedAnswer{status: 200, header: media("application/json"), body: `{"error":"invalid_grant","error_description":"bad code"}`}
	tok, err := a.asks(t, grantParams("authorization_code"), nil)
	var e *tokencache.Error
	if tok != nil || !errors.As(err, &e) || e.Code != "invalid_grant" || e.Description != "bad code" || !errors.Is(err, tokencache.ErrInvalidGrant) {
		t.Errorf("token %v, error %v", tok, err)
	}
}

func TestTokenType(t *testing.T) {
	for _, row := range []struct {
		name, field string
		known       []string
		refused     string // part of the error; empty if the type is accepted
	}{
		{"absent", ``, nil, ""},
		{"null", `,"token_type":null`, nil, ""},
		{"empty", `,"token_type":""`, nil, ""},
		{"Bearer", `,"token_type":"Bearer"`, nil, ""},
		{"lower case", `,"token_type":"bearer"`, nil, ""},
		{"upper case", `,"token_type":"BEARER"`, nil, ""},
		{"known to the dialect", `,"token_type":"Opaque"`, []string{"jwt", "opaque"}, ""},
		{"DPoP", `,"token_type":"DPoP"`, nil, `"DPoP"`},
		{"unknown to the dialect", `,"token_type":"mac"`, []string{"opaque"}, `"mac"`},
		{"number", `,"token_type":42`, nil, `"42"`},
		{"true", `,"token_type":true`, []string{"true"}, `"true"`},
		{"object", `,"token_type":{"hidden":"hidden"}`, nil, "not text"},
		{"array", `,"token_type":["hidden"]`, nil, "not text"},
		{"long", `,"token_type":"` + strings.Repeat("x", 1000) + `hidden"`, nil, `xxx..."`},
	} {
		t.Run(row.name, func(t *testing.T) {
			answer := fixedAnswer{status: 200, body: `{"access_token":"access-1"` + row.field + `}`}
			tok, err := answer.asks(t, grantParams("client_credentials"), func(cfg *tokencache.Config) { cfg.Dialect.TokenTypes = row.known })
			switch {
			case row.refused == "" && (err != nil || tok.Type() != "Bearer"):
				t.Errorf("token %v, error %v", tok, err)
			case row.refused != "" && (err == nil || !strings.Contains(err.Error(), row.refused) || strings.Contains(err.Error(), "hidden")):
				t.Errorf("error: %v", err)
			}
		})
	}
}

// The values in Token.Extra have the types of encoding/json: numbers are float64, at every depth.
func TestExtraFields(t *testing.T) {
	body := `{"access_token":"a","refresh_token":"r","token_type":"bearer","expires_in":60,
		"token_id":"id","refresh_expires_in":21600,"nested":{"list":[1,"x",null,true]},"big":1e400}`
	tok, err := (fixedAnswer{status: 200, body: body}).asks(t, grantParams("client_credentials"), nil)
	if err != nil {
		t.Fatal(err)
	}
	nested, _ := tok.Extra("nested").(map[string]any)
	list, _ := nested["list"].([]any)
	if tok.Extra("token_id") != "id" || tok.Extra("refresh_expires_in") != 21600.0 || len(list) != 4 || list[0] != 1.0 {
		t.Errorf("extra: %v %v %v", tok.Extra("token_id"), tok.Extra("refresh_expires_in"), list)
	}
	for _, name := range []string{"access_token", "refresh_token", "token_type", "expires_in"} {
		if v := tok.Extra(name); v != nil {
			t.Errorf("%s is an extra field: %v", name, v)
		}
	}
}

// A token from a source has the extra fields, but no field with the refresh token.
func TestTokenOfASourceHasExtraFieldsButNoRefreshToken(t *testing.T) {
	cfg := minimal()
	cfg.HTTPClient = &http.Client{Transport: fixedAnswer{status: 200, body: `{"access_token":"a","refresh_token":"r","token_id":"id"}`}}
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	foreign := (&oauth2.Token{AccessToken: "a", RefreshToken: "r"}).WithExtra(map[string]any{"refresh_token": "r", "id_token": "i", "more": "r"})
	for _, src := range []*tokencache.Source{
		cache.Password("alice", "wonderland"),
		cache.Source(sourceGrant("foreign", oauth2.StaticTokenSource(foreign))),
	} {
		tok, err := src.Token()
		if err != nil {
			t.Fatal(err)
		}
		if tok.RefreshToken != "" || tok.Extra("refresh_token") != nil || tok.Extra("more") != nil {
			t.Errorf("token: %#v", tok)
		}
		if tok.Extra("token_id") == nil && tok.Extra("id_token") == nil {
			t.Error("the token has no extra fields")
		}
	}
}

// Servers send expires_in as a number of seconds, as a Unix time, or as text.
func TestLifetime(t *testing.T) {
	now := requestSent.Unix()
	for _, row := range []struct {
		expiresIn string // as JSON; empty if absent
		want      time.Duration
	}{
		{"", unspecified},
		{"null", unspecified},
		{"true", unspecified},
		{"{}", unspecified},
		{"[3600]", unspecified},
		{`""`, unspecified},
		{`"soon"`, unspecified},
		{`"1h"`, unspecified},
		{`"NaN"`, unspecified},
		{`"Inf"`, unspecified},
		{"0", unspecified},
		{`"0"`, unspecified},
		{"-0.0", unspecified},
		{"-1", unspecified},
		{`"-3600"`, unspecified},
		{"1", time.Second},
		{"3600", time.Hour},
		{"3600.0", time.Hour},
		{"3.6e3", time.Hour},
		{`"3600"`, time.Hour},
		{`" 3600 "`, time.Hour},
		{`"3599.5"`, 3599*time.Second + 500*time.Millisecond},
		{"0.25", 250 * time.Millisecond},
		{"1e-12", time.Nanosecond},
		{"315360000", tenYears},
		{"315360001", unspecified},
		{"1576797207", unspecified}, // fifty years, or a day in 2019
		{"1e12", unspecified},
		{"1e400", unspecified},
		{`"1e400"`, unspecified},
		{"-1e400", unspecified},
		{"123456789012345678901234567890", unspecified},
		{fmt.Sprint(now + 900), 900 * time.Second},
		{strconv.Quote(fmt.Sprint(now + 900)), 900 * time.Second},
		{fmt.Sprintf("%d.0", now+900), 900 * time.Second},
		{fmt.Sprint(now + 1), time.Second},
		{fmt.Sprint(now), time.Second},
		{fmt.Sprint(now - 3600), time.Second},
		{fmt.Sprint(now - 86399), time.Second},
		{fmt.Sprint(now - 86400), unspecified},
		{fmt.Sprint(now + int64(tenYears/time.Second) - 1), tenYears - time.Second},
		{fmt.Sprint(now + int64(tenYears/time.Second)), unspecified},
		{fmt.Sprint((now + 900) * 1000), unspecified}, // milliseconds
	} {
		t.Run(row.expiresIn, func(t *testing.T) {
			fields := map[string]any{}
			if row.expiresIn != "" {
				fields["expires_in"] = decodeJSON(t, row.expiresIn)
			}
			if got := tokencache.Lifetime(fields, requestSent); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
			body := `{"access_token":"a"}`
			if row.expiresIn != "" {
				body = `{"access_token":"a","expires_in":` + row.expiresIn + `}`
			}
			if _, err := (fixedAnswer{status: 200, body: body}).asks(t, grantParams("client_credentials"), nil); err != nil {
				t.Errorf("the token was not accepted: %v", err)
			}
		})
	}
}

// requestSent is when the token requests of these tests were sent, in 2026.
var requestSent = time.Unix(1_795_320_000, 0)

const (
	tenYears    = 10 * 365 * 24 * time.Hour
	unspecified = time.Duration(0)
)

// decodeJSON decodes JSON as the library does, with numbers as json.Number.
func decodeJSON(t *testing.T, text string) any {
	t.Helper()
	if _, err := strconv.ParseFloat(text, 64); err == nil || text == "1e400" || text == "-1e400" {
		return json.Number(text)
	}
	var v any
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestLifetimeCountsFromTheRequest(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: 10 * time.Second}, nil, func(w *world) {
		begin := time.Now()
		tok, err := w.cache.ClientCredentials().Token()
		if err != nil || tok.Expiry.Sub(begin) != time.Hour || tok.ExpiresIn != 3600 {
			w.Errorf("token %v, %d: %v", tok.Expiry.Sub(begin), tok.ExpiresIn, err)
		}
	})
}

// A token is replaced when the lifetime in the answer ends, or after MaxAge if the answer has none.
func TestTokenIsReplacedWhenItsLifetimeEnds(t *testing.T) {
	bubbleStart := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()
	for _, row := range []struct {
		expiresIn any
		maxAge    time.Duration
		replaced  time.Duration // after this time; 0 is never
	}{
		{3600, 0, time.Hour},
		{"3600", time.Minute, time.Hour},
		{3599.5, 0, 3599500 * time.Millisecond},
		{bubbleStart + 900, 0, 900 * time.Second},
		{fmt.Sprint(bubbleStart + 900), 0, 900 * time.Second},
		{nil, 0, 0},
		{nil, 2 * time.Hour, 2 * time.Hour},
		{0, 0, 0},
		{0, 2 * time.Hour, 2 * time.Hour},
		{-1, 0, 0},
		{1e12, 0, 0},
		{1e12, 2 * time.Hour, 2 * time.Hour},
		{1576797207, time.Hour, time.Hour},
		{true, time.Hour, time.Hour},
		{map[string]any{}, time.Hour, time.Hour},
	} {
		t.Run(fmt.Sprint(row.expiresIn, row.maxAge), func(t *testing.T) {
			inBubble(t, tokentest.Behavior{Lifetime: -1, ExpiresIn: func(time.Duration) any { return row.expiresIn }},
				func(cfg *tokencache.Config) { cfg.MaxAge, cfg.RenewalWindow = row.maxAge, 1 },
				func(w *world) {
					src := w.cache.ClientCredentials()
					w.token(src)
					if row.replaced == 0 {
						time.Sleep(100_000 * time.Hour)
						w.token(src)
						w.wantFetches(1)
						return
					}
					time.Sleep(row.replaced - 2)
					w.token(src)
					w.wantFetches(1)
					time.Sleep(2 * time.Nanosecond)
					w.token(src)
					w.wantFetches(2)
				})
		})
	}
}

func TestDialectReadsTheLifetime(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: -1, Extra: map[string]any{"ttl": 60}}, func(cfg *tokencache.Config) {
		cfg.RenewalWindow = 1
		cfg.Dialect.Lifetime = func(fields map[string]any, start time.Time) time.Duration {
			seconds, _ := fields["ttl"].(json.Number).Int64()
			if start.IsZero() {
				return unspecified
			}
			return time.Duration(seconds) * time.Second
		}
	}, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		time.Sleep(time.Minute)
		w.token(src)
		w.wantFetches(2)
	})
}

func FuzzLifetime(f *testing.F) {
	for _, text := range []string{"", "0", "3600", "3600.0", "3599.7", "-1", "1e12", "1e400", "1e-12", "1576797207", "1736964352", "1795320900", "NaN", "inf", "0x1p-2", "43199", " 900 "} {
		f.Add(text, int64(1_795_320_000))
	}
	f.Fuzz(func(t *testing.T, text string, at int64) {
		start := time.Unix(at%(1<<35), 0)
		life := tokencache.Lifetime(map[string]any{"expires_in": text}, start)
		if life < 0 || life > tenYears {
			t.Fatalf("%q at %v gives %v", text, start, life)
		}
		if trimmed := strings.TrimSpace(text); tokencache.Lifetime(map[string]any{"expires_in": json.Number(trimmed)}, start) != life {
			t.Errorf("%q and the same number have different lifetimes", text)
		}
		seconds, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
		plain := err == nil && seconds > 0 && seconds <= tenYears.Seconds()
		if plain && (life <= 0 || math.Abs(life.Seconds()-seconds) > 1e-6) {
			t.Errorf("%q at %v gives %v", text, start, life)
		}
		if err != nil && life != 0 {
			t.Errorf("%q gives %v", text, life)
		}
	})
}
