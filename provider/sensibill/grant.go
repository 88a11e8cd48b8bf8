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

// User returns the grant of one user, for [tokencache.Cache.Source]. It exchanges the user's
// credentials, accessID and accessSecret, for a code, and the code for a token. Renewals use the
// refresh token. If it is refused or its refresh_expires_in has passed, the user logs in again. o and
// clientKey are those given to [Config]; CredentialType may differ.
func User(o Options, clientKey, accessID, accessSecret string) tokencache.Grant {
	return grant{o, clientKey, accessID, tokencache.NewSecret(accessSecret)}
}

type grant struct {
	Options
	clientKey    string
	accessID     string
	accessSecret tokencache.Secret
}

const grantType = "authorization_code"

// Describe names the user, and everything else that the token depends on.
func (g grant) Describe(d *tokencache.GrantInfo) {
	d.Name, d.Subject = grantType, g.accessID
	d.Input("base", g.url(""))
	d.Input("redirect_uri", g.RedirectURI)
	d.Input("credential_type", g.credentialType())
	d.Input("access_secret", g.accessSecret.Reveal())
}

// Obtain returns a new token: by a refresh if possible, otherwise by a login.
func (g grant) Obtain(ctx context.Context, r *tokencache.GrantRequest) (*oauth2.Token, error) {
	replaced := r.Replaced
	if refreshExpired(replaced, time.Now()) {
		replaced = nil
	}
	return r.Cache.RefreshOr(ctx, replaced, nil, func(ctx context.Context) (*oauth2.Token, error) {
		code, err := g.authorize(ctx, r.Cache)
		if err != nil {
			return nil, err
		}
		return r.Cache.RequestToken(ctx, url.Values{"grant_type": {grantType}, "code": {code}, "redirect_uri": {g.RedirectURI}})
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
func (g grant) authorize(ctx context.Context, c *tokencache.Cache) (code string, err error) {
	redirect, err := url.Parse(g.RedirectURI)
	if err != nil || !redirect.IsAbs() {
		return "", errors.New("sensibill: Options.RedirectURI is not an absolute URL; Sensibill requires one even for redirect=false")
	}
	if g.accessID == "" || strings.Contains(g.accessID, ":") || g.accessSecret.Reveal() == "" {
		return "", errors.New("sensibill: AccessID or AccessSecret is empty, or AccessID has a colon, which RFC 2617 section 2 forbids")
	}
	endpoint := g.url(StepAuthorizationGrant)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint+"?"+url.Values{
		"client_id": {g.clientKey}, "response_type": {"code"}, "redirect_uri": {g.RedirectURI},
		"credential_type": {g.credentialType()}, "redirect": {strconv.FormatBool(g.Redirect)},
	}.Encode(), nil)
	if err != nil {
		return "", errors.New("sensibill: Options.BaseURL is not a URL")
	}
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(g.accessID, g.accessSecret.Reveal())
	resp, err := c.Send(ctx, "authorization grant", req)
	if err != nil {
		return "", err
	}
	if code = codeIn(resp, req.URL, redirect); code == "" {
		return "", &tokencache.Error{
			Op: "authorization grant", Grant: grantType, URL: endpoint, StatusCode: resp.StatusCode, Permanent: true,
			Err: errors.New("neither the body nor a redirect to Options.RedirectURI has a code"),
		}
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
