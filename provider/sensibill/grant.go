package sensibill

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// A Grant is the login of one user, which exchanges the user's credentials for a code, and the code
// for a token. Renewals use the refresh token. If it is refused or its refresh_expires_in has
// passed, the user logs in again. Make a Grant with [User].
type Grant struct {
	Options                        // those given to [Config]; CredentialType may differ
	ClientKey    string            // the one given to [Config]
	AccessID     string            // the user's name
	AccessSecret tokencache.Secret // the user's password
}

// User returns the grant of one user, for [tokencache.Cache.Source].
func User(o Options, clientKey, accessID, accessSecret string) Grant {
	return Grant{o, clientKey, accessID, tokencache.NewSecret(accessSecret)}
}

// Name returns "authorization_code".
func (g Grant) Name() string { return "authorization_code" }

// Subject returns the user's name, for hooks.
func (g Grant) Subject() string { return g.AccessID }

// Inputs calls add with everything that the token depends on.
func (g Grant) Inputs(add func(name, value string)) {
	add("base", g.url(""))
	add("redirect_uri", g.RedirectURI)
	add("credential_type", g.credentialType())
	add("access_id", g.AccessID)
	add("access_secret", g.AccessSecret.Reveal())
}

// Obtain returns a new token: by a refresh if possible, otherwise by a login.
func (g Grant) Obtain(ctx context.Context, c *tokencache.Cache, replaced *oauth2.Token) (*oauth2.Token, error) {
	if refreshExpired(replaced, time.Now()) {
		replaced = nil
	}
	return c.RefreshOr(ctx, replaced, nil, func(ctx context.Context) (*oauth2.Token, error) {
		code, err := g.authorize(ctx, c)
		if err != nil {
			return nil, err
		}
		return c.RequestToken(ctx, url.Values{"grant_type": {g.Name()}, "code": {code}, "redirect_uri": {g.RedirectURI}})
	})
}

// refreshExpired reports whether the refresh_expires_in of a token has passed. It reports false if
// that is unknown.
func refreshExpired(tok *oauth2.Token, now time.Time) bool {
	if tok == nil || tok.Expiry.IsZero() || tok.ExpiresIn <= 0 {
		return false
	}
	seconds, err := strconv.ParseFloat(fmt.Sprint(tok.Extra("refresh_expires_in")), 64)
	issued := tok.Expiry.Add(-time.Duration(tok.ExpiresIn) * time.Second)
	return err == nil && seconds > 0 && now.Sub(issued).Seconds() >= seconds
}

// authorize is the first step. Its request carries the user's password, so it is sent once, and no
// redirect is followed.
func (g Grant) authorize(ctx context.Context, c *tokencache.Cache) (code string, err error) {
	redirect, err := url.Parse(g.RedirectURI)
	if err != nil || !redirect.IsAbs() {
		return "", errors.New("sensibill: Options.RedirectURI is not an absolute URL; Sensibill requires one even for redirect=false")
	}
	if g.AccessID == "" || strings.Contains(g.AccessID, ":") || g.AccessSecret.Reveal() == "" {
		return "", errors.New("sensibill: AccessID or AccessSecret is empty, or AccessID has a colon, which RFC 2617 section 2 forbids")
	}
	endpoint := g.url(StepAuthorizationGrant)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"?"+url.Values{
		"client_id": {g.ClientKey}, "response_type": {"code"}, "redirect_uri": {g.RedirectURI},
		"credential_type": {g.credentialType()}, "redirect": {strconv.FormatBool(g.Redirect)},
	}.Encode(), nil)
	if err != nil {
		return "", errors.New("sensibill: Options.BaseURL is not a URL")
	}
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(g.AccessID, g.AccessSecret.Reveal())
	resp, err := c.Send(ctx, "authorization grant", req)
	if err != nil {
		return "", err
	}
	if code = codeIn(resp, req.URL, redirect); code == "" {
		e := &tokencache.Error{Op: "authorization grant", Grant: g.Name(), URL: endpoint, StatusCode: resp.StatusCode, Permanent: true}
		return "", fmt.Errorf("%w: neither the body nor a redirect to Options.RedirectURI has a code", e)
	}
	return code, nil
}

// codeIn returns the code in the body, or in a redirect to the redirect URI. It returns "" if there
// is none.
func codeIn(resp *http.Response, from, redirect *url.URL) string {
	if resp.StatusCode < 300 {
		var answer struct{ Code string }
		body, _ := io.ReadAll(resp.Body)  // from memory
		_ = json.Unmarshal(body, &answer) // a body that is not JSON has no code
		return answer.Code
	}
	to, err := from.Parse(resp.Header.Get("Location"))
	if err != nil || to.Scheme != redirect.Scheme || !strings.EqualFold(to.Host, redirect.Host) || to.Path != redirect.Path {
		return ""
	}
	return to.Query().Get("code")
}
