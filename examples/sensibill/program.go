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
	"github.com/tokencache/tokencache/provider/sensibill"
	"github.com/tokencache/tokencache/provider/sensibill/sensibilltest"
	"github.com/tokencache/tokencache/tokentest"
)

// A program is what is played, and against whom.
type program struct {
	options   sensibill.Options
	clientKey string
	cache     *tokencache.Cache
	base      http.RoundTripper
	server    *tokentest.Emulator
	showBody  func(path string) bool // nil: every answer's
	stages    []stage
	broken    []string
}

// A stage is a part of the program, and the requests that the server should see, in this order: "METHOD /path grant:
// status", with wildcards where either would do.
type stage struct {
	title string
	play  func(ctx context.Context) error
	want  []string
}

func (s stage) expects(got []string) bool {
	return slices.EqualFunc(got, s.want, func(got, want string) bool {
		ok, err := path.Match(strings.ReplaceAll(want, "/", "|"), strings.ReplaceAll(got, "/", "|"))
		return ok && err == nil
	})
}

func (p *program) close() { p.server.Close() }

// transcript is what the server saw and said so far.
func (p *program) transcript() []tokentest.Exchange {
	list := p.server.Transcript()
	for i := range list {
		if p.showBody != nil && !p.showBody(list[i].Path) {
			list[i].Answer = nil
		}
	}
	return list
}

// setUp makes the cache.
func (p *program) setUp(o sensibill.Options, clientKey, clientSecret string) (err error) {
	p.options, p.clientKey, p.base = o, clientKey, p.server.Client().Transport
	cfg := sensibill.Config(o, clientKey, clientSecret)
	cfg.HTTPClient = p.server.Client()
	p.cache, err = tokencache.New(cfg)
	return err
}

// emulated is the program against the emulator.
func emulated() (*program, error) {
	e := sensibilltest.New(sensibilltest.Behaviour{})
	p := &program{server: e.Emulator}
	o := sensibill.Options{BaseURL: e.BaseURL(), RedirectURI: sensibilltest.RedirectURI, CredentialType: sensibilltest.BankType}
	if err := p.setUp(o, sensibilltest.ClientKey, sensibilltest.ClientSecret); err != nil {
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
	carol := p.user(p.options, "carol@example.com", "carols+secret=1")
	bob := sensibilltest.DefaultUsers()[1]
	redirected := o
	redirected.Redirect, redirected.CredentialType = true, "sensibill"
	p.stages = []stage{
		{
			"The client registers a user with a token of its own", p.register("carol@example.com", "carols+secret=1"),
			[]string{"POST /api/v1/accessToken client_credentials: 200", "POST /api/v1/users: 200"},
		},
		{
			"The user logs in: the credentials for a code, the code for a token (redirect=false)", p.call(carol, 200),
			[]string{grant + "200", code + "200", me + "200"},
		},
		{
			"Another user, whose code comes in a redirect that is not followed (redirect=true)",
			p.call(p.user(redirected, bob.AccessID, bob.AccessSecret), 200),
			[]string{grant + "302", code + "200", me + "200"},
		},
		{"The next request takes the token that there is", p.call(carol, 200), []string{me + "200"}},
		{
			"The server ends the token: it is refreshed, and the request repeated", p.after(e.EndAccessTokens, p.call(carol, 200)),
			[]string{me + "401", refresh + "200", me + "200"},
		},
		{
			"The server ends the refresh token too: both steps again",
			p.after(e.EndAccessTokens, p.after(e.EndRefreshTokens, p.call(carol, 200))),
			[]string{me + "401", refresh + "400", grant + "200", code + "200", me + "200"},
		},
		{
			"A wrong password, used a hundred times, is sent once",
			p.refused(p.user(o, "carol@example.com", "wrong+secret=1"), 401, tokencache.ErrInvalidGrant),
			[]string{grant + "401"},
		},
		{
			"A credential type that the client may not log in", p.refused(p.user(foreign(o), "carol@example.com", "carols+secret=1"), 400, nil),
			[]string{grant + "400"},
		},
		// Three current tokens, and two that were replaced before their time.
		{"Shutdown: every token ends itself; those that the server has ended answer 401", p.shutdown(func() error {
			if access, _ := e.Live(); access != 0 {
				return fmt.Errorf("%d access tokens are still alive", access)
			}
			return nil
		}), slices.Repeat([]string{end + "[24]0[01]"}, 5)},
	}
	return p, nil
}

func foreign(o sensibill.Options) sensibill.Options {
	o.CredentialType = "foreign_bank"
	return o
}

func (p *program) user(o sensibill.Options, accessID, accessSecret string) *tokencache.Source {
	return p.cache.Source(sensibill.User(o, p.clientKey, accessID, accessSecret))
}

// after does something at the server first.
func (p *program) after(first func(), then func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		first()
		return then(ctx)
	}
}

// send sends one request to the API with a source's token and wants a status.
func (p *program) send(ctx context.Context, src *tokencache.Source, method, endpoint string, body []byte, want int) error {
	req, err := http.NewRequestWithContext(ctx, method, p.options.BaseURL+endpoint, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := &http.Client{Transport: &tokencache.Transport{Source: src, Base: p.base}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != want {
		return fmt.Errorf("%s %s was answered %s, want %d", method, endpoint, resp.Status, want)
	}
	return nil
}

func (p *program) call(src *tokencache.Source, want int) func(context.Context) error {
	return func(ctx context.Context) error { return p.send(ctx, src, http.MethodGet, "/users/me", nil, want) }
}

func (p *program) register(accessID, accessSecret string) func(context.Context) error {
	return func(ctx context.Context) error {
		body, err := json.Marshal(map[string]string{
			"credentialType": p.options.CredentialType, "accessID": accessID, "accessSecret": accessSecret,
		})
		if err != nil {
			return err
		}
		return p.send(ctx, p.cache.ClientCredentials(), http.MethodPost, "/users", body, http.StatusOK)
	}
}

// refused wants every call to fail in the first step with a status and an error, if that is not nil.
func (p *program) refused(src *tokencache.Source, status int, kind error) func(context.Context) error {
	return func(ctx context.Context) error {
		for range 100 {
			_, err := src.TokenContext(ctx)
			f, ok := sensibill.FailureOf(err)
			if !ok || f.Step != sensibill.StepAuthorizationGrant || f.Status != status || kind != nil && !errors.Is(err, kind) {
				return fmt.Errorf("got the error %v", err)
			}
		}
		return nil
	}
}

func (p *program) shutdown(check func() error) func(context.Context) error {
	return func(ctx context.Context) error {
		if err := p.cache.Shutdown(ctx); err != nil {
			return err
		}
		if _, err := p.cache.ClientCredentials().TokenContext(ctx); !errors.Is(err, tokencache.ErrClosed) {
			return fmt.Errorf("after the shutdown: got the error %v, want ErrClosed", err)
		}
		return check()
	}
}
