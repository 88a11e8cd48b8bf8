package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// A fixedAnswer is an authorization server without a network: it answers every request alike, or fails with err.
type fixedAnswer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (a fixedAnswer) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_, _ = io.Copy(io.Discard, req.Body)
		req.Body.Close()
	}
	if a.err != nil {
		return nil, a.err
	}
	header := a.header.Clone()
	if header == nil {
		header = http.Header{"Content-Type": {"application/json"}}
	}
	return &http.Response{
		StatusCode: a.status, Header: header, Body: io.NopCloser(strings.NewReader(a.body)),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, ContentLength: int64(len(a.body)), Request: req,
	}, nil
}

// asks sends one token request with the given parameters to a server that answers a.
func (a fixedAnswer) asks(t testing.TB, params url.Values, change func(*tokencache.Config)) (*oauth2.Token, error) {
	t.Helper()
	cfg := minimal()
	cfg.HTTPClient = &http.Client{Transport: a}
	if change != nil {
		change(&cfg)
	}
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return cache.RequestToken(context.Background(), params)
}

// grantParams are the parameters of a token request of the given type.
func grantParams(grantType string) url.Values {
	return url.Values{"grant_type": {grantType}, "username": {"alice"}, "password": {"wonderland"}, "refresh_token": {"r-1"}}
}

// Row R: credentials do not follow a redirect.
func TestRedirectsAreNotFollowed(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				other := tokentest.NewPipe(tokentest.Behaviour{})
				defer other.Close()
				src := w.cache.Password("alice", "wonderland")
				redirect := func(path string) tokentest.Fault {
					return tokentest.Fault{Status: status, Header: http.Header{"Location": {other.URL + path}}}
				}
				w.srv.Fail("token", 1, redirect("/token"))
				_, err := src.Token()
				wantRedirectError(t, err, status)
				w.wantFetches(1)

				src.Reset()
				w.token(src)
				w.srv.Fail("revoke", -1, redirect("/revoke"))
				wantRedirectError(t, src.Revoke(context.Background()), status)
				if seen := other.Requests(); len(seen) > 0 {
					w.Errorf("the other host saw %d requests", len(seen))
				}
			})
		})
	}
}

func wantRedirectError(t *testing.T, err error, status int) {
	t.Helper()
	var e *tokencache.Error
	if !errors.As(err, &e) || e.StatusCode != status || !e.Permanent || !strings.Contains(err.Error(), "redirect") {
		t.Errorf("error: %v", err)
	}
}

func TestConfiguredHeadersAreOnEveryRequest(t *testing.T) {
	type ctxKey struct{}
	inBubble(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) {
		cfg.Header = http.Header{"Origin": {"https://shop.example.com"}, "accept": {"application/jwt"}}
		cfg.HeaderFunc = func(ctx context.Context) (http.Header, error) {
			id, _ := ctx.Value(ctxKey{}).(string)
			return http.Header{"x-request-id": {id}}, nil
		}
	}, func(w *world) {
		ctx := context.WithValue(context.Background(), ctxKey{}, "id-1")
		src := w.cache.ClientCredentials()
		_, err := src.TokenContext(ctx)
		if err = errors.Join(err, src.Revoke(ctx)); err != nil {
			w.Fatal(err)
		}
		for _, r := range w.srv.Requests() {
			for name, want := range map[string]string{"Origin": "https://shop.example.com", "X-Request-Id": "id-1", "Accept": "application/jwt"} {
				if got := r.Header.Values(name); len(got) != 1 || got[0] != want {
					w.Errorf("%s: %s %q, want %q", r.Endpoint, name, got, want)
				}
			}
		}
	})
}

func TestHeaderFuncThatFailsSendsNothing(t *testing.T) {
	broken := errors.New("no request ID")
	for name, fn := range map[string]func(context.Context) (http.Header, error){
		"error":                 func(context.Context) (http.Header, error) { return nil, broken },
		"second authentication": func(context.Context) (http.Header, error) { return http.Header{"authorization": {"x"}}, nil },
		"idempotency key":       func(context.Context) (http.Header, error) { return http.Header{"Idempotency-Key": {"x"}}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) { cfg.HeaderFunc = fn }, func(w *world) {
				_, err := w.cache.ClientCredentials().Token()
				if err == nil || !strings.HasPrefix(err.Error(), "tokencache: Config.HeaderFunc: ") {
					w.Errorf("error: %v", err)
				}
				w.wantFetches(0)
			})
		})
	}
}

func TestSendWorksWithoutAHeader(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) { cfg.Header = http.Header{"X-Tenant": {"t1"}} }, func(w *world) {
		to, _ := url.Parse(w.srv.URL + "/directory")
		_, err := w.cache.Send(context.Background(), "directory", &http.Request{URL: to})
		var e *tokencache.Error
		if !errors.As(err, &e) || e.StatusCode != 401 || e.Op != "directory" {
			w.Errorf("error: %v", err)
		}
		if got := w.srv.Requests()[0].Header.Get("X-Tenant"); got != "t1" {
			w.Errorf("X-Tenant: %q", got)
		}
	})
}

func TestSendReturnsTheAnswer(t *testing.T) {
	a := fixedAnswer{status: 302, header: http.Header{"Location": {"https://app.example.com/?code=c"}}, body: "see there"}
	cfg := minimal()
	cfg.HTTPClient = &http.Client{Transport: a}
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	req, _ := http.NewRequest("GET", "https://as.example.com/authorize", nil)
	resp, err := cache.Send(context.Background(), "authorization", req)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != 302 || resp.Status != "302 Found" || string(body) != "see there" || resp.Header.Get("Location") == "" || resp.Request != nil {
		t.Errorf("answer: %v %q", resp, body)
	}
}

// A revocation request that has no body is sent as that, and not chunked: some servers refuse it otherwise.
func TestPostWithoutABodyIsNotChunked(t *testing.T) {
	seen := make(chan *http.Request, 1)
	inBubble(t, tokentest.Behaviour{}, func(cfg *tokencache.Config) {
		cfg.Dialect.Revocation = func(ctx context.Context, _ *tokencache.Cache, token, _ string) (*http.Request, error) {
			req, err := http.NewRequestWithContext(ctx, "POST", cfg.RevokeURL+"?token="+token, nil)
			return req, err
		}
		base := cfg.HTTPClient.Transport
		cfg.HTTPClient = &http.Client{Transport: watching(func(req *http.Request) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Path, "/revoke") {
				seen <- req
			}
			return base.RoundTrip(req)
		})}
	}, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		_ = src.Revoke(context.Background()) // tokentest wants a form
		var wire strings.Builder
		if err := (<-seen).Write(&wire); err != nil {
			w.Fatal(err)
		}
		if strings.Contains(wire.String(), "Transfer-Encoding") || !strings.Contains(wire.String(), "Content-Length: 0\r\n") {
			w.Errorf("sent %s", wire.String())
		}
	})
}

type watching func(*http.Request) (*http.Response, error)

func (f watching) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
