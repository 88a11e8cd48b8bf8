package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/finapi"
)

// A step is one part of the flow, with the requests that the server should receive.
type step struct {
	title    string
	do       func(ctx context.Context) error
	want     []string // method, path, grant type or token type hint, status
	anyOrder bool     // the requests may come in any order, and several times
}

// runSteps runs all steps. It returns how the requests differ from the expected ones.
func runSteps(ctx context.Context, srv *server, text io.Writer) (broken []string) {
	var serial atomic.Int64
	srv.options.RequestID = func(context.Context) string { return fmt.Sprint("example-", serial.Add(1)) }
	cfg := finapi.Config(srv.options, srv.clientID, srv.secret())
	cfg.HTTPClient = srv.Client()
	cache, err := tokencache.New(cfg)
	if err != nil {
		return []string{err.Error()}
	}
	fmt.Fprintf(text, "The server is %s.\n", srv.name)
	before := 0
	for i, s := range steps(cache, srv) {
		fmt.Fprintf(text, "\n%d. %s\n", i+1, s.title)
		if err := s.do(ctx); err != nil {
			broken = append(broken, fmt.Sprintf("step %d: %v", i+1, err))
		}
		transcript := srv.Transcript()
		var saw []string
		for _, x := range transcript[before:] {
			fmt.Fprintf(text, "   %s\n", strings.ReplaceAll(x.String(), "\n", "\n   "))
			saw = append(saw, summary(x))
		}
		before = len(transcript)
		if s.anyOrder {
			slices.Sort(saw)
			saw = slices.Compact(saw)
		}
		if !slices.Equal(saw, s.want) {
			broken = append(broken, fmt.Sprintf("step %d: the server received %q, want %q", i+1, saw, s.want))
		}
	}
	return broken
}

// summary returns the parts of an exchange that are compared.
func summary(x emulator.Exchange) string {
	about := x.Body["grant_type"] + x.Body["token_type_hint"] + x.Query["token_type_hint"]
	return strings.Join(strings.Fields(fmt.Sprint(x.Method, " ", x.Path, " ", about, " ", x.Status)), " ")
}

func steps(cache *tokencache.Cache, srv *server) []step {
	app, user := cache.ClientCredentials(), cache.Password(srv.user, srv.password())
	oauth, users := "/oauth/", "/api/v1/users"
	if srv.options.Version == finapi.V2 {
		oauth, users = "/api/v2/oauth/", "/api/v2/users"
	}
	// One client for the application and for every user.
	client := &http.Client{Transport: &tokencache.Transport{
		Source: app, Base: srv.Client().Transport, Origins: finapi.Origins(srv.options),
	}}
	callService := func(ctx context.Context) error {
		return call(tokencache.WithSource(ctx, user), client, http.MethodGet, srv.URL+users, nil)
	}
	authorize := func(src *tokencache.Source) func(context.Context) error {
		return func(ctx context.Context) error { _, err := src.TokenContext(ctx); return err }
	}
	return []step{
		{
			"Get authorized as a client", authorize(app),
			[]string{"POST " + oauth + "token client_credentials 200"},
			false,
		},
		{"Create a user with the client's token", func(ctx context.Context) error {
			return call(ctx, client, http.MethodPost, srv.URL+users, map[string]any{
				"id": srv.user, "password": srv.password(), "email": "email@localhost.de",
				"phone": "+49 99 999999-999", "isAutoUpdateEnabled": false,
			})
		}, []string{"POST " + users + " 201"}, false},
		{
			"Get authorized as the user", authorize(user),
			[]string{"POST " + oauth + "token password 200"},
			false,
		},
		{
			"Call a service as the user", callService,
			[]string{"GET " + users + " 200"},
			false,
		},
		{"Report the token as rejected and call the service again: the token is refreshed", func(ctx context.Context) error {
			tok, err := user.TokenContext(ctx)
			if err != nil {
				return err
			}
			if _, err := user.Rejected(ctx, tok, "GET "+srv.URL+users); err != nil {
				return err
			}
			return callService(ctx)
		}, []string{"POST " + oauth + "token refresh_token 200", "GET " + users + " 200"}, false},
		{
			"Revoke the user's tokens; the client's token authenticates the requests", user.Revoke,
			[]string{"POST " + oauth + "revoke access_token 200", "POST " + oauth + "revoke refresh_token 200"},
			true,
		},
		{"Shut down: the remaining tokens are revoked, the client's own token last", func(ctx context.Context) error {
			if err := cache.Shutdown(ctx); err != nil {
				return err
			}
			if _, err := app.TokenContext(ctx); !errors.Is(err, tokencache.ErrClosed) {
				return fmt.Errorf("after Shutdown: got %v, want ErrClosed", err)
			}
			return srv.checkNoLiveTokens()
		}, []string{"POST " + oauth + "revoke access_token 200"}, true},
	}
}

// call sends a request with the token of the source in ctx or, without one, of the client.
func call(ctx context.Context, client *http.Client, method, url string, body any) error {
	var content io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, content)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
