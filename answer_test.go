package tokencache_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// media is a header with the given Content-Type, without one if it is empty.
func media(contentType string) http.Header {
	h := http.Header{"X-Request-Id": {"id-1"}}
	if contentType != "" {
		h.Set("Content-Type", contentType)
	}
	return h
}

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
		{"JSON as nothing", fixedAnswer{200, media(""), asJSON, nil}},
		{"JSON as nonsense", fixedAnswer{200, media(";;="), asJSON, nil}},
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

func TestLargestTokenAnswer(t *testing.T) {
	body := `{"access_token":"","x":""}`
	body = `{"access_token":"a","x":"` + strings.Repeat("x", 1<<20-len(body)-1) + `"}`
	if len(body) != 1<<20 {
		t.Fatal(len(body))
	}
	if _, err := (fixedAnswer{status: 200, body: body}).asks(t, grantParams("client_credentials"), nil); err != nil {
		t.Error(err)
	}
}

func TestTokenType(t *testing.T) {
	for _, row := range []struct {
		name, field string
		known       []string
		refused     string // what the error calls it, empty: accepted
	}{
		{"absent", ``, nil, ""},
		{"null", `,"token_type":null`, nil, ""},
		{"empty", `,"token_type":""`, nil, ""},
		{"Bearer", `,"token_type":"Bearer"`, nil, ""},
		{"lower case", `,"token_type":"bearer"`, nil, ""},
		{"upper case", `,"token_type":"BEARER"`, nil, ""},
		{"known", `,"token_type":"Opaque"`, []string{"jwt", "opaque"}, ""},
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

// Extra is as encoding/json makes it: numbers are float64, at every depth.
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
			t.Errorf("%s is extra: %v", name, v)
		}
	}
}

// A source hands out the extra fields too, and never a refresh token.
func TestTokenOfASourceHasNoRefreshToken(t *testing.T) {
	cfg := minimal()
	cfg.HTTPClient = &http.Client{Transport: fixedAnswer{status: 200, body: `{"access_token":"a","refresh_token":"r","token_id":"id"}`}}
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	foreign := (&oauth2.Token{AccessToken: "a", RefreshToken: "r"}).WithExtra(map[string]any{"refresh_token": "r", "id_token": "i", "more": "r"})
	for _, src := range []*tokencache.Source{
		cache.Password("alice", "wonderland"),
		cache.Source(tokencache.TokenSourceGrant("foreign", oauth2.StaticTokenSource(foreign))),
	} {
		tok, err := src.Token()
		if err != nil {
			t.Fatal(err)
		}
		if tok.RefreshToken != "" || tok.Extra("refresh_token") != nil || tok.Extra("more") != nil {
			t.Errorf("token: %#v", tok)
		}
		if tok.Extra("token_id") == nil && tok.Extra("id_token") == nil {
			t.Error("the extra fields are gone")
		}
	}
}

func TestTokenInAFailureIsNotUsed(t *testing.T) {
	for _, status := range []int{199, 300, 304, 307, 400, 401, 422, 500, 503} {
		tok, err := (fixedAnswer{status: status, body: `{"access_token":"hidden","refresh_token":"hidden"}`}).asks(t, grantParams("password"), nil)
		var e *tokencache.Error
		if tok != nil || !errors.As(err, &e) || e.StatusCode != status {
			t.Errorf("%d: token %v, error %v", status, tok, err)
		}
	}
}

// Some servers answer 200 to everything, and put their refusal into the body.
func TestRefusalWithStatus200(t *testing.T) {
	a := fixedAnswer{status: 200, header: media("application/json"), body: `{"error":"invalid_grant","error_description":"bad code"}`}
	tok, err := a.asks(t, grantParams("authorization_code"), nil)
	var e *tokencache.Error
	if tok != nil || !errors.As(err, &e) || e.Code != "invalid_grant" || e.Description != "bad code" || !errors.Is(err, tokencache.ErrInvalidGrant) {
		t.Errorf("token %v, error %v", tok, err)
	}
}
