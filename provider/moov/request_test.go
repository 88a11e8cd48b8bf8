package moov_test

import (
	"context"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/moov"
	"github.com/tokencache/tokencache/provider/moov/moovtest"
)

func TestZeroOptionsAreTheDocumentedDefaults(t *testing.T) {
	cfg := moov.Config(moov.Options{}, "id", "secret")
	wantEqual(t, "token URL", cfg.TokenURL, "https://api.moov.io/oauth2/token")
	wantEqual(t, "revocation URL", cfg.RevokeURL, "https://api.moov.io/oauth2/revoke")
	wantEqual(t, "header", len(cfg.Header), 0)
	wantEqual(t, "JSON", cfg.Dialect.JSON, false)
	newCache(t, cfg)
}

// mediaTypes counts the requests of a cache by their Content-Type.
type mediaTypes map[string]int

func (m mediaTypes) record(cfg *tokencache.Config) {
	base := cfg.HTTPClient.Transport
	cfg.HTTPClient = &http.Client{Transport: roundTrip(func(req *http.Request) (*http.Response, error) {
		m[req.Header.Get("Content-Type")]++
		return base.RoundTrip(req)
	})}
}

// roundTrip is a function that is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

func TestCredentialsInBasicOrInTheBodyOfFormOrJSON(t *testing.T) {
	for _, o := range []moov.Options{
		{},
		{JSON: true},
		{SecretInBody: true},
		{JSON: true, SecretInBody: true},
	} {
		o.Origin = moovtest.Origin
		media := mediaTypes{}
		setup{options: o, change: media.record}.run(t, func(w *world) {
			src := w.cache.ClientCredentials(read)
			w.wantStatus(src, "GET", "/accounts", 200)
			if err := src.Revoke(context.Background()); err != nil {
				w.Error(err)
			}
			for _, x := range append(w.exchanges(tokenPath), w.exchanges(revokePath)...) {
				if x.Status != 200 && x.Status != 204 {
					w.Errorf("%+v: %v", o, x)
				}
				wantEqual(w, "Basic", slices.Contains(x.Header, "Authorization"), !o.SecretInBody)
				_, id := x.Body["client_id"]
				wantEqual(w, "client_id in the body", id, o.SecretInBody)
				wantEqual(w, "client_secret in the body", x.Body["client_secret"] != "", o.SecretInBody)
			}
			want := mediaTypes{"application/x-www-form-urlencoded": 3}
			if o.JSON {
				want = mediaTypes{"application/json": 3}
			}
			if !maps.Equal(media, want) {
				w.Errorf("%+v: media types %v, want %v", o, media, want)
			}
		})
	}
}

// Basic has the key as it is, without the form-encoding of RFC 6749 section 2.3.1.
func TestBasicIsNotFormEncoded(t *testing.T) {
	const secret = "a+b/c=="
	setup{behavior: moovtest.Behavior{ClientSecret: secret}, options: withOrigin, secret: secret}.run(t, func(w *world) {
		w.wantStatus(w.cache.ClientCredentials(read), "GET", "/accounts", 200)
	})
}

func TestScopesAreSpaceDelimitedAndPartOfTheKey(t *testing.T) {
	setup{options: withOrigin}.run(t, func(w *world) {
		both := w.token(w.cache.ClientCredentials(read, write))
		wantEqual(w, "the same scopes in another order", w.token(w.cache.ClientCredentials(write, read)), both)
		w.wantGrants("client_credentials")
		wantEqual(w, "scope", w.exchanges(tokenPath)[0].Body["scope"], "/accounts.read /accounts.write")
		if w.token(w.cache.ClientCredentials(read)) == both {
			w.Error("another set of scopes got the same token")
		}
		w.token(w.cache.Source(tokencache.ClientCredentialsGrant{Scopes: []string{read}, Params: url.Values{"audience": {"https://api.moov.io"}}}))
		w.wantGrants("client_credentials", "client_credentials", "client_credentials")
		wantEqual(w, "audience", w.exchanges(tokenPath)[2].Body["audience"], "https://api.moov.io")
	})
}

func TestGrantedScopeIsInTheToken(t *testing.T) {
	setup{options: withOrigin}.run(t, func(w *world) {
		tok, err := w.cache.ClientCredentials(read, write).Token()
		if err != nil {
			w.Fatal(err)
		}
		wantEqual(w, "scope", tok.Extra("scope"), any("/accounts.read /accounts.write"))
	})
}

func TestOriginRefererAndVersionAreSentToTheOAuthEndpoints(t *testing.T) {
	for _, row := range []struct {
		options moov.Options
		want    []string
	}{
		{moov.Options{Origin: moovtest.Origin}, []string{"Origin"}},
		{moov.Options{Origin: moovtest.Origin + "/"}, []string{"Origin"}},
		{moov.Options{Referer: moovtest.Origin}, []string{"Referer"}},
		{moov.Options{Origin: moovtest.Origin, Referer: "https://elsewhere.example"}, []string{"Origin", "Referer"}},
		{moov.Options{Origin: moovtest.Origin, Version: "v2026.07.00"}, []string{"Origin", "X-Moov-Version"}},
		{moov.Options{Referer: moovtest.Origin, Version: "v2025.10.00", JSON: true}, []string{"Referer", "X-Moov-Version"}},
	} {
		setup{behavior: moovtest.Behavior{OriginOnRevoke: true}, options: row.options}.run(t, func(w *world) {
			w.wantStatus(w.cache.ClientCredentials(read), "GET", "/accounts", 200)
			if err := w.cache.Shutdown(context.Background()); err != nil {
				w.Error(err)
			}
			for _, x := range append(w.exchanges(tokenPath), w.exchanges(revokePath)...) {
				for _, name := range []string{"Origin", "Referer", "X-Moov-Version"} {
					wantEqual(w, x.Path+" "+name, slices.Contains(x.Header, name), slices.Contains(row.want, name))
				}
			}
			wantEqual(w, "revocations", len(w.exchanges(revokePath)), 2)
		})
	}
}

func TestDocumentedTokenTypesAreBearer(t *testing.T) {
	for _, name := range []string{"Bearer", "bearer", "opaque", "JWT"} {
		setup{behavior: moovtest.Behavior{TokenType: name}, options: withOrigin}.run(t, func(w *world) {
			w.wantStatus(w.cache.ClientCredentials(read), "GET", "/accounts", 200)
		})
	}
}

// Moov's API also accepts Basic, for what an access token cannot do.
func TestRequestsWithBasicAreSentUnchanged(t *testing.T) {
	setup{options: withOrigin}.run(t, func(w *world) {
		basic := &http.Request{Header: http.Header{}}
		basic.SetBasicAuth(moovtest.ClientID, moovtest.ClientSecret)
		src := w.cache.ClientCredentials(read)
		wantEqual(w, "status", w.send(src, "DELETE", "/accounts", basic.Header), 200)
		basic.SetBasicAuth(moovtest.ClientID, "wrong")
		wantEqual(w, "status", w.send(src, "DELETE", "/accounts", basic.Header), 401)
		w.wantGrants()
		wantEqual(w, "requests", len(w.exchanges("/accounts")), 2)
		wantEqual(w, "accepted as", w.exchanges("/accounts")[0].Answer["by"], "basic")
	})
}
