package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/tokencache/tokencache"
)

// remoteFlags are the flags for the user's own server.
type remoteFlags struct {
	tokenURL, revokeURL, clientID, secretEnv, auth, scope, get string
	goroutines                                                 int
}

var remoteNames = []string{"revoke-url", "client-id", "client-secret-env", "client-auth", "scope", "get", "n"}

func (rf *remoteFlags) register(flags *flag.FlagSet) {
	flags.StringVar(&rf.tokenURL, "token-url", "", "token endpoint of your server; default: start a local server")
	flags.StringVar(&rf.revokeURL, "revoke-url", "", "revocation endpoint of your server, if it has one")
	flags.StringVar(&rf.clientID, "client-id", "", "client identifier")
	flags.StringVar(&rf.secretEnv, "client-secret-env", "", "name of the environment variable that holds the client secret")
	flags.StringVar(&rf.auth, "client-auth", "basic", "how the client authenticates: basic, basic-raw, post or none")
	flags.StringVar(&rf.scope, "scope", "", "scopes, separated by spaces")
	flags.StringVar(&rf.get, "get", "", "URL to get with the token")
	flags.IntVar(&rf.goroutines, "n", 20, "number of goroutines that get the token and the URL")
}

// given returns the name of a remote flag that was set, or "".
func (rf *remoteFlags) given(flags *flag.FlagSet) (name string) {
	flags.Visit(func(f *flag.Flag) {
		for _, known := range remoteNames {
			if f.Name == known {
				name = known
			}
		}
	})
	return name
}

// clientAuth returns the client authentication. The secret comes from the environment, since the
// arguments of a process are public.
func (rf *remoteFlags) clientAuth() (tokencache.ClientAuth, error) {
	if rf.auth == "none" {
		return tokencache.NoClientAuth(), nil
	}
	method, ok := map[string]func(string) tokencache.ClientAuth{
		"basic":     tokencache.ClientSecretBasic,
		"basic-raw": tokencache.ClientSecretBasicRaw,
		"post":      tokencache.ClientSecretPost,
	}[rf.auth]
	if !ok {
		return nil, fmt.Errorf("-client-auth %q is not basic, basic-raw, post or none", rf.auth)
	}
	if rf.secretEnv == "" {
		return nil, errors.New("-client-secret-env is required")
	}
	secret := os.Getenv(rf.secretEnv)
	if secret == "" {
		return nil, errors.New("the environment variable named by -client-secret-env is empty")
	}
	return method(secret), nil
}

// remote fetches a token from the user's server, uses it, and shuts down. It returns an error only
// for invalid flags.
func remote(ctx context.Context, rf remoteFlags, text io.Writer) (result, error) {
	if rf.goroutines < 1 {
		return nil, fmt.Errorf("-n %d is less than 1", rf.goroutines)
	}
	r := &remoteReport{Goroutines: rf.goroutines}
	auth, err := rf.clientAuth()
	if err != nil {
		return nil, err
	}
	cache, err := tokencache.New(tokencache.Config{
		TokenURL: rf.tokenURL, RevokeURL: rf.revokeURL, ClientID: rf.clientID, Auth: auth, Hooks: r.hooks(),
	})
	if err != nil {
		return nil, err
	}
	start := time.Now()
	src := cache.ClientCredentials(strings.Fields(rf.scope)...)
	base := http.DefaultTransport.(*http.Transport).Clone()
	base.MaxIdleConns, base.MaxIdleConnsPerHost = 0, rf.goroutines
	defer base.CloseIdleConnections()
	client := &http.Client{Transport: &tokencache.Transport{Source: src, Base: base}}
	together(rf.goroutines, func(int) {
		if r.fetch(ctx, src) && rf.get != "" {
			r.get(ctx, client, rf.get)
		}
	})
	r.end(ctx, cache)
	r.Seconds = seconds(time.Since(start))
	r.print(text)
	return r, nil
}

func (r *remoteReport) fetch(ctx context.Context, src *tokencache.Source) bool {
	tok, err := src.TokenContext(ctx)
	r.locked(func() {
		if err != nil {
			r.fail("no token", err)
			return
		}
		r.GotToken++
		if !tok.Expiry.IsZero() {
			r.TokenSeconds = max(r.TokenSeconds, time.Until(tok.Expiry).Round(time.Second).Seconds())
		}
	})
	return err == nil
}

// get sends a request and counts the answer. A 401 that remains after a renewal is a failure.
func (r *remoteReport) get(ctx context.Context, client *http.Client, address string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	status, err := get(ctx, client, address)
	r.locked(func() {
		r.Gets++
		if err != nil {
			r.fail("request failed", err)
			return
		}
		if r.Answers == nil {
			r.Answers = make(map[string]int)
		}
		r.Answers[fmt.Sprint(status)]++
		if status == http.StatusUnauthorized {
			r.fail("the API refused the token", errors.New("401 Unauthorized"))
		}
	})
}

func get(ctx context.Context, client *http.Client, address string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// end shuts the cache down, even after an interrupt.
func (r *remoteReport) end(ctx context.Context, cache *tokencache.Cache) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := cache.Shutdown(ctx); err != nil {
		r.fail("shutdown", err)
	}
}
