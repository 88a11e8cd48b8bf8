package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/sensibill"
	"github.com/tokencache/tokencache/provider/sensibill/sensibilltest"
)

// A demo is a server, a cache that uses it, and the steps to run.
type demo struct {
	options   sensibill.Options
	clientKey string
	cache     *tokencache.Cache
	base      http.RoundTripper
	server    *emulator.Emulator
	showBody  func(path string) bool // whether to show the answer to a request; nil: always
	steps     []step
	broken    []string
}

// A step is one part of the demo, with the requests that the server should receive, in this order.
// Each is a pattern of package path for "METHOD /path grant: status".
type step struct {
	title string
	do    func(ctx context.Context) error
	want  []string
}

// expects reports whether the requests are the expected ones. A * matches a slash, too.
func (s step) expects(got []string) bool {
	return slices.EqualFunc(got, s.want, func(got, want string) bool {
		ok, err := path.Match(strings.ReplaceAll(want, "/", "|"), strings.ReplaceAll(got, "/", "|"))
		return ok && err == nil
	})
}

func (d *demo) close() { d.server.Close() }

// transcript returns the exchanges so far, without the answers that must not be shown.
func (d *demo) transcript() []emulator.Exchange {
	list := d.server.Transcript()
	for i := range list {
		if d.showBody != nil && !d.showBody(list[i].Path) {
			list[i].Answer = nil
		}
	}
	return list
}

// setUp creates the cache.
func (d *demo) setUp(o sensibill.Options, clientKey, clientSecret string) (err error) {
	d.options, d.clientKey, d.base = o, clientKey, d.server.Client().Transport
	cfg := sensibill.Config(o, clientKey, clientSecret)
	cfg.HTTPClient = d.server.Client()
	d.cache, err = tokencache.New(cfg)
	return err
}

// emulated returns a demo that uses an emulator.
func emulated() (*demo, error) {
	e := sensibilltest.New(sensibilltest.Behavior{})
	d := &demo{server: e.Emulator}
	o := sensibill.Options{BaseURL: e.BaseURL(), RedirectURI: sensibilltest.RedirectURI, CredentialType: sensibilltest.BankType}
	if err := d.setUp(o, sensibilltest.ClientKey, sensibilltest.ClientSecret); err != nil {
		e.Close()
		return nil, err
	}
	const (
		grant   = "GET /api/v1/authorizationGrant: "
		code    = "POST /api/v1/accessToken authorization_code: "
		refresh = "POST /api/v1/accessToken refresh_token: "
		me      = "GET /api/v1/users/me: "
		end     = "POST /api/v1/invalidate: "
	)
	carol := d.user(d.options, "carol@example.com", "carols+secret=1")
	bob := sensibilltest.DefaultUsers()[1]
	redirected := o
	redirected.Redirect, redirected.CredentialType = true, "sensibill"
	d.steps = []step{
		{
			"The client registers a user with its own token", d.register("carol@example.com", "carols+secret=1"),
			[]string{"POST /api/v1/accessToken client_credentials: 200", "POST /api/v1/users: 200"},
		},
		{
			"The user logs in: credentials for a code, the code for a token (redirect=false)", d.call(carol, 200),
			[]string{grant + "200", code + "200", me + "200"},
		},
		{
			"Another user logs in: the code is in a redirect, which is not followed (redirect=true)",
			d.call(d.user(redirected, bob.AccessID, bob.AccessSecret), 200),
			[]string{grant + "302", code + "200", me + "200"},
		},
		{"The next request uses the cached token", d.call(carol, 200), []string{me + "200"}},
		{
			"The access token becomes invalid: it is refreshed, and the request is repeated", d.after(e.EndAccessTokens, d.call(carol, 200)),
			[]string{me + "401", refresh + "200", me + "200"},
		},
		{
			"The refresh token becomes invalid, too: the user logs in again",
			d.after(e.EndAccessTokens, d.after(e.EndRefreshTokens, d.call(carol, 200))),
			[]string{me + "401", refresh + "400", grant + "200", code + "200", me + "200"},
		},
		{
			"A wrong password, used a hundred times, is sent once",
			d.refused(d.user(o, "carol@example.com", "wrong+secret=1"), 401, tokencache.ErrInvalidGrant),
			[]string{grant + "401"},
		},
		{
			"A credential type that the client may not use", d.refused(d.user(foreign(o), "carol@example.com", "carols+secret=1"), 400, nil),
			[]string{grant + "400"},
		},
		// There are three current tokens, and two that were replaced before they expired.
		{"Shutdown: every token is invalidated; those that are invalid already answer 401", d.shutdown(func() error {
			if access, _ := e.Live(); access != 0 {
				return fmt.Errorf("%d access tokens are still valid", access)
			}
			return nil
		}), slices.Repeat([]string{end + "[24]0[01]"}, 5)},
	}
	return d, nil
}

func foreign(o sensibill.Options) sensibill.Options {
	o.CredentialType = "foreign_bank"
	return o
}

func (d *demo) user(o sensibill.Options, accessID, accessSecret string) *tokencache.Source {
	return d.cache.Source(sensibill.User(o, d.clientKey, accessID, accessSecret))
}

// after returns a function that calls first and then the other.
func (d *demo) after(first func(), then func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		first()
		return then(ctx)
	}
}

// send sends a request to the API with the token of src. It fails unless the status is want.
func (d *demo) send(ctx context.Context, src *tokencache.Source, method, endpoint string, body []byte, want int) error {
	req, err := http.NewRequestWithContext(ctx, method, d.options.BaseURL+endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := &http.Client{Transport: &tokencache.Transport{Source: src, Base: d.base}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s: got %s, want %d", method, endpoint, resp.Status, want)
	}
	return nil
}

func (d *demo) call(src *tokencache.Source, want int) func(context.Context) error {
	return func(ctx context.Context) error { return d.send(ctx, src, http.MethodGet, "/users/me", nil, want) }
}

func (d *demo) register(accessID, accessSecret string) func(context.Context) error {
	return func(ctx context.Context) error {
		body, err := json.Marshal(map[string]string{
			"credentialType": d.options.CredentialType, "accessID": accessID, "accessSecret": accessSecret,
		})
		if err != nil {
			return err
		}
		return d.send(ctx, d.cache.ClientCredentials(), http.MethodPost, "/users", body, http.StatusOK)
	}
}

// refused returns a function that asks for a token 100 times. Each time the first step must fail
// with status and, unless kind is nil, with the error kind.
func (d *demo) refused(src *tokencache.Source, status int, kind error) func(context.Context) error {
	return func(ctx context.Context) error {
		for range 100 {
			_, err := src.TokenContext(ctx)
			f, ok := sensibill.FailureOf(err)
			if !ok || f.Step != sensibill.StepAuthorizationGrant || f.Status != status || kind != nil && !errors.Is(err, kind) {
				return fmt.Errorf("got the error %v, want a refusal with status %d", err, status)
			}
		}
		return nil
	}
}

func (d *demo) shutdown(check func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := d.cache.Shutdown(ctx); err != nil {
			return err
		}
		if _, err := d.cache.ClientCredentials().TokenContext(ctx); !errors.Is(err, tokencache.ErrClosed) {
			return fmt.Errorf("after Shutdown: got %v, want ErrClosed", err)
		}
		return check()
	}
}
