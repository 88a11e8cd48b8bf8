package simulation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// A plant is a bug that is planted between the library and what it uses or serves. The zero plant is none.
type plant struct {
	name, breaks string
	client, api  func(http.RoundTripper) http.RoundTripper
	config       func(*tokencache.Config)
	wall         func() time.Time
	token        func(context.Context, *simWorld, int, *tokencache.Source) (*oauth2.Token, error)
	grant        func(tokencache.Grant) tokencache.Grant
}

func (plant) wrap(with func(http.RoundTripper) http.RoundTripper, base http.RoundTripper) http.RoundTripper {
	if with == nil {
		return base
	}
	return with(base)
}

// planted has at least one bug for each invariant.
var planted = []plant{
	{name: "a predecessor is sent", breaks: neverDead, api: func(base http.RoundTripper) http.RoundTripper {
		first := &sync.Map{}
		return change(base, func(req *http.Request) {
			old, _ := first.LoadOrStore(req.Header.Get("X-Key"), req.Header["Authorization"])
			req.Header["Authorization"] = old.([]string)
		})
	}},
	{name: "a token is kept after Invalidate and Revoke", breaks: neverDead, token: keepsToken},
	{name: "the end is not looked at", breaks: neverExpired, token: keepsToken},
	{name: "lifetimes are taken for longer", breaks: neverExpired, config: func(cfg *tokencache.Config) {
		cfg.Dialect.Lifetime = func(fields map[string]any, start time.Time) time.Duration {
			return 3 * tokencache.Lifetime(fields, start)
		}
	}},
	{name: "the wall clock is not looked at", breaks: neverPastWall, wall: time.Now},
	{name: "keys are mixed up", breaks: neverUnknown, api: func(base http.RoundTripper) http.RoundTripper {
		return change(base, func(req *http.Request) { req.Header.Set("X-Key", "another") })
	}},
	{name: "every source has a key of its own", breaks: oneFetch, grant: func(g tokencache.Grant) tokencache.Grant {
		return saltedGrant{g, fmt.Sprint(salt.Add(1))}
	}},
	{name: "a lost refresh request is sent again", breaks: refreshOnce, client: again("refresh_token", func(status int) bool { return status == 0 })},
	{name: "a failed refresh request is sent again", breaks: refreshOnce, client: again("refresh_token", func(status int) bool { return status == 500 })},
	{name: "a refused password is sent again", breaks: passwordTwice, client: again("password", func(status int) bool { return status == 400 })},
	{name: "a refused password is sent again", breaks: noLockOut, client: again("password", func(status int) bool { return status == 400 })},
	{name: "the context is ignored", breaks: withinDeadline, token: func(ctx context.Context, _ *simWorld, _ int, src *tokencache.Source) (*oauth2.Token, error) {
		return src.TokenContext(context.WithoutCancel(ctx))
	}},
	{name: "a failure is not passed on", breaks: callsEnd, token: func(ctx context.Context, _ *simWorld, _ int, src *tokencache.Source) (*oauth2.Token, error) {
		tok, err := src.TokenContext(ctx)
		if errors.Is(err, tokencache.ErrUnavailable) {
			select {}
		}
		return tok, err
	}},
	{name: "a hook leaves a goroutine behind", breaks: nothingLeft, config: func(cfg *tokencache.Config) {
		cfg.Hooks.Revoked = func(context.Context, tokencache.RevocationInfo) { go func() { select {} }() }
	}},
	{name: "nothing is revoked", breaks: allRevoked, config: func(cfg *tokencache.Config) {
		cfg.Dialect.Revocation = func(context.Context, *tokencache.Cache, string, string) (*http.Request, error) { return nil, nil }
	}},
	{name: "Revoke asks for nothing", breaks: revokedByRevoke, config: func(cfg *tokencache.Config) {
		cfg.Dialect.Revocation = func(context.Context, *tokencache.Cache, string, string) (*http.Request, error) { return nil, nil }
	}},
	{name: "replaced tokens are not revoked", breaks: allRevoked, client: onlyNewest},
	{name: "a body is sent without its end", breaks: bodyIntact, api: func(base http.RoundTripper) http.RoundTripper {
		return change(base, func(req *http.Request) {
			if req.Body != nil && req.ContentLength > 1 {
				req.ContentLength--
				req.Body = struct {
					io.Reader
					io.Closer
				}{io.LimitReader(req.Body, req.ContentLength), req.Body}
			}
		})
	}},
	{name: "a closed cache fails in its own way", breaks: closedIsClosed, token: func(ctx context.Context, _ *simWorld, _ int, src *tokencache.Source) (*oauth2.Token, error) {
		tok, err := src.TokenContext(ctx)
		if errors.Is(err, tokencache.ErrClosed) {
			err = errors.New("closed")
		}
		return tok, err
	}},
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// change makes a base that gets other requests than were sent.
func change(base http.RoundTripper, how func(*http.Request)) http.RoundTripper {
	return roundTripFunc(func(req *http.Request) (*http.Response, error) {
		out := req.Clone(req.Context())
		how(out)
		return base.RoundTrip(out)
	})
}

// keepsToken hands out the token that the callers of a key have had before.
func keepsToken(ctx context.Context, w *simWorld, key int, src *tokencache.Source) (*oauth2.Token, error) {
	w.mu.Lock()
	tok := w.latest[key]
	w.mu.Unlock()
	if tok != nil {
		return tok, nil
	}
	return src.TokenContext(ctx)
}

// again sends requests of a grant type a second time when the first ended in a certain way.
func again(grantType string, wanted func(status int) bool) func(http.RoundTripper) http.RoundTripper {
	return func(base http.RoundTripper) http.RoundTripper {
		return roundTripFunc(func(req *http.Request) (*http.Response, error) {
			body, _ := io.ReadAll(req.Body)
			send := func() (*http.Response, error) {
				out := req.Clone(req.Context())
				out.Body = io.NopCloser(bytes.NewReader(body))
				return base.RoundTrip(out)
			}
			resp, err := send()
			status := 0
			if err == nil {
				status = resp.StatusCode
			}
			form, _ := url.ParseQuery(string(body))
			if form.Get("grant_type") == grantType && wanted(status) {
				return send()
			}
			return resp, err
		})
	}
}

// onlyNewest answers requests to revoke an access token that is not the last one issued, and does not pass them on.
func onlyNewest(base http.RoundTripper) http.RoundTripper {
	var newest atomic.Value
	return roundTripFunc(func(req *http.Request) (*http.Response, error) {
		body, _ := io.ReadAll(req.Body)
		form, _ := url.ParseQuery(string(body))
		if last, _ := newest.Load().(string); req.URL.Path == "/revoke" && form.Get("token") != last {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody}, nil
		}
		out := req.Clone(req.Context())
		out.Body = io.NopCloser(bytes.NewReader(body))
		resp, err := base.RoundTrip(out)
		if err == nil {
			answer := tokenRequest{}
			answer.body, _ = io.ReadAll(resp.Body)
			resp.Body = io.NopCloser(bytes.NewReader(answer.body))
			if a := answer.answer(); a.AccessToken != "" {
				newest.Store(a.AccessToken)
			}
		}
		return resp, err
	})
}

var salt atomic.Int64

// saltedGrant has a key that no other has.
type saltedGrant struct {
	tokencache.Grant
	salt string
}

func (g saltedGrant) Inputs(add func(name, value string)) {
	g.Grant.Inputs(add)
	add("salt", g.salt)
}
