// What Transport adds to a request, and to which requests (promise 8 in README.md). It never
// modifies the caller's request (promise 11).

package tokencache_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestRequestCarriesToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		for range 2 {
			if got := w.post(w.client(src), "/a", "body"); got != 200 {
				w.Errorf("status: got %d, want 200", got)
			}
		}
		w.wantFetches(1)
		for _, r := range apiLog(w) {
			if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Bearer "+w.token(src) {
				w.Errorf("Authorization: got %q", got)
			}
		}
	})
}

func TestNilBaseIsDefaultTransport(t *testing.T) {
	onLoopback(t, tokentest.Behavior{}, nil, func(w *world) {
		client := w.cache.ClientCredentials().Client()
		defer client.CloseIdleConnections()
		if got := w.get(client, "/a"); got != 200 {
			w.Errorf("status: got %d, want 200", got)
		}
	})
}

func TestPlainHTTP(t *testing.T) {
	for _, row := range []struct {
		url     string
		origins string
		allow   bool
		want    string
	}{
		{"https://api.example.com/", "", false, "token"},
		{"http://api.example.com/", "", false, "refused"},
		{"http://api.example.com/", "", true, "token"},
		{"http://api.example.com/", "http://api.example.com", false, "refused"},
		{"http://api.example.com/", "http://api.example.com", true, "token"},
		{"http://api.example.com/", "https://api.example.com", false, "no token"},
		{"http://localhost:8080/", "", false, "token"},
		{"http://LOCALHOST/", "", false, "token"},
		{"http://127.0.0.1/", "", false, "token"},
		{"http://127.200.0.9/", "", false, "token"},
		{"http://[::1]:80/", "", false, "token"},
		{"http://127.0.0.1.example.com/", "", false, "refused"},
		{"http://localhost.example.com/", "", false, "refused"},
		{"http://10.0.0.1/", "", false, "refused"},
		{"http://0.0.0.0/", "", false, "refused"},
		{"ftp://api.example.com/", "", false, "refused"},
		{"http:///path", "", false, "refused"},
	} {
		t.Run(row.url, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				got := "refused"
				tr := &tokencache.Transport{
					Source: w.cache.ClientCredentials(), Origins: strings.Fields(row.origins), AllowHTTP: row.allow,
					Base: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
						if got = "token"; r.Header.Get("Authorization") == "" {
							got = "no token"
						}
						return respond(r, 200, nil), nil
					}),
				}
				body := newCountedBody("body")
				_, err := tr.RoundTrip(newRequest(t, "POST", row.url, body))
				if got != row.want || (err != nil) != (got == "refused") {
					w.Errorf("got %s (%v), want %s", got, err, row.want)
				}
				if n := body.closed.Load(); n != 1 {
					w.Errorf("body closed %d times", n)
				}
				if got != "token" {
					w.wantFetches(0)
				}
			})
		})
	}
}

// The names of the rows say why there is no token.
func TestRequestWithoutATokenIsNotSent(t *testing.T) {
	const secret = "s3cr3t"
	for _, row := range []struct {
		name   string
		source func(w *world) oauth2.TokenSource
		want   string
	}{
		{"the server refuses the client", func(w *world) oauth2.TokenSource {
			w.srv.Fail("token", 1, tokentest.Fault{Status: 401, Body: `{"error":"invalid_client"}`})
			return w.cache.ClientCredentials()
		}, "client was refused"},
		{"held off", func(w *world) oauth2.TokenSource {
			w.srv.Fail("token", -1, tokentest.Fault{Status: 400, Body: `{"error":"invalid_scope"}`})
			_, _ = w.cache.ClientCredentials().Token()
			return w.cache.ClientCredentials()
		}, "held off"},
		{"closed cache", func(w *world) oauth2.TokenSource {
			w.cache.Close()
			return w.cache.ClientCredentials()
		}, "closed"},
		{"line break in the server's token", func(w *world) oauth2.TokenSource {
			w.srv.Update(func(b *tokentest.Behavior) { b.Extra["access_token"] = secret + "\r\nX: y" })
			return w.cache.ClientCredentials()
		}, "control character"},
		{"line break in a foreign token", func(*world) oauth2.TokenSource { return foreignToken(secret + "\nX: y") }, "control character"},
		{"nil Source", func(*world) oauth2.TokenSource { return nil }, "Source is nil"},
		{"nil *Source", func(*world) oauth2.TokenSource { return (*tokencache.Source)(nil) }, "not made by New"},
		{"zero Source", func(*world) oauth2.TokenSource { return &tokencache.Source{} }, "not made by New"},
		{"nil foreign token", func(*world) oauth2.TokenSource { return fixedSource{} }, "no token"},
		{"empty foreign token", func(*world) oauth2.TokenSource { return foreignToken("") }, "no token"},
		{"foreign error", func(*world) oauth2.TokenSource { return fixedSource{err: errors.New("out of tokens")} }, "out of tokens"},
		{"foreign token of another type", func(*world) oauth2.TokenSource {
			return fixedSource{tok: &oauth2.Token{AccessToken: secret, TokenType: "MAC"}}
		}, "only Bearer"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				tr := &tokencache.Transport{Source: row.source(w), Base: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					w.Error("the request was sent")
					return respond(r, 200, nil), nil
				})}
				body := newCountedBody("body")
				resp, err := tr.RoundTrip(newRequest(t, "POST", "https://api.example.com/", body))
				if resp != nil || err == nil || !strings.Contains(err.Error(), row.want) || strings.Contains(err.Error(), secret) {
					w.Errorf("got %v, %v; want an error with %q", resp, err, row.want)
				}
				if got := body.closed.Load(); got != 1 {
					w.Errorf("body closed %d times", got)
				}
			})
		})
	}
}

// A fixedSource is a foreign token source that always returns the same token and error.
type fixedSource struct {
	tok *oauth2.Token
	err error
}

func (s fixedSource) Token() (*oauth2.Token, error) { return s.tok, s.err }

func foreignToken(value string) oauth2.TokenSource {
	return fixedSource{tok: &oauth2.Token{AccessToken: value}}
}

// A countedBody counts how often it is closed.
type countedBody struct {
	io.Reader
	closed atomic.Int32
}

func newCountedBody(text string) *countedBody { return &countedBody{Reader: strings.NewReader(text)} }

func (b *countedBody) Close() error {
	b.closed.Add(1)
	return nil
}

// A request that has its own Authorization reaches the base as it is, whatever the spelling of the
// field's name.
func TestRequestWithAuthorizationIsSentAsIs(t *testing.T) {
	for _, header := range []http.Header{
		{"Authorization": {"Basic abc"}},
		{"Authorization": {"one", "two"}},
		{"Authorization": {""}},
		{"Authorization": nil},
		{"authorization": {"Basic abc"}},
		{"AUTHORIZATION": {"Basic abc"}},
	} {
		inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
			req := newRequest(t, "GET", "https://api.example.com/", nil)
			req.Header = header
			var seen *http.Request
			tr := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				seen = r
				return respond(r, 401, nil), nil
			})}
			resp, err := tr.RoundTrip(req)
			if err != nil || resp.StatusCode != 401 || seen != req || len(req.Header) != 1 {
				w.Errorf("%v: got %v, %v; base saw %v", header, resp, err, seen.Header)
			}
			w.wantFetches(0)
		})
	}
}

func TestRequestWithNilHeaderGetsToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		for _, src := range []oauth2.TokenSource{w.cache.ClientCredentials(), foreignToken("abc")} {
			req := newRequest(t, "GET", "https://api.example.com/", nil)
			req.Header = nil
			var seen string
			tr := &tokencache.Transport{Source: src, Base: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				seen = r.Header.Get("Authorization")
				return respond(r, 200, nil), nil
			})}
			if _, err := tr.RoundTrip(req); err != nil || !strings.HasPrefix(seen, "Bearer ") || req.Header != nil {
				w.Errorf("got %v, Authorization %q, the caller's header %v", err, seen, req.Header)
			}
		}
	})
}

func TestSourceInContextIsUsedFirst(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		app, alice := w.cache.ClientCredentials(), w.cache.Password("alice", "wonderland")
		subject := func(own, inContext oauth2.TokenSource) string {
			w.srv.ResetLog()
			client := &http.Client{Transport: &tokencache.Transport{Source: own, Base: w.srv.Client().Transport}}
			req := newRequest(t, "GET", w.srv.URL+"/a", nil)
			w.status(client.Do(req.WithContext(tokencache.WithSource(context.Background(), inContext))))
			if log := apiLog(w); len(log) > 0 {
				return log[0].Subject
			}
			return "nobody"
		}
		for _, row := range []struct {
			own, inContext oauth2.TokenSource
			want           string
		}{
			{app, alice, "alice"},
			{alice, app, "client"},
			{nil, alice, "alice"},
			{app, foreignToken(w.token(alice)), "alice"},
		} {
			if got := subject(row.own, row.inContext); got != row.want {
				w.Errorf("%T in the context, %T in the Transport: got a token of %q, want %q", row.inContext, row.own, got, row.want)
			}
		}
	})
}

func TestNilSourceInContextIsAnError(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		ctx := tokencache.WithSource(w.Context(), nil)
		req := newRequest(t, "GET", w.srv.URL+"/a", nil).WithContext(ctx)
		if resp, err := w.client(w.cache.ClientCredentials()).Do(req); err == nil {
			w.Errorf("got %s, want an error, not the token of another source", resp.Status)
		}
	})
}

func TestTokenOfAForeignSourceIsNotRenewed(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		client := &http.Client{Transport: &tokencache.Transport{Source: foreignToken("unknown"), Base: w.srv.Client().Transport}}
		if got := w.get(client, "/a"); got != 401 {
			w.Errorf("status: got %d, want 401", got)
		}
		if got := len(apiLog(w)); got != 1 {
			w.Errorf("requests: got %d, want 1", got)
		}
	})
}

func TestRequestFailsWhenItsContextEndsDuringTheFetch(t *testing.T) {
	inBubble(t, tokentest.Behavior{TokenLatency: time.Second}, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		body, begin := newCountedBody("body"), time.Now()
		req := newRequest(t, "POST", w.srv.URL+"/a", body).WithContext(ctx)
		_, err := w.client(src).Transport.RoundTrip(req)
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != 50*time.Millisecond {
			w.Errorf("got %v after %v", err, took)
		}
		if got := body.closed.Load(); got != 1 {
			w.Errorf("body closed %d times", got)
		}
		w.token(src)
		w.wantFetches(1)
		if got := len(apiLog(w)); got != 0 {
			w.Errorf("requests: got %d, want none", got)
		}
	})
}

func TestCallersRequestIsNotModified(t *testing.T) {
	own := func(w *world) oauth2.TokenSource { return w.cache.ClientCredentials() }
	foreign := func(*world) oauth2.TokenSource { return foreignToken("abc") }
	none := func(*world) oauth2.TokenSource { return nil }
	for _, row := range []struct {
		name   string
		source func(*world) oauth2.TokenSource
		header http.Header
		sent   int
	}{
		{"replayed", own, headerWithSpareCapacity(), 2},
		{"nil header", own, nil, 2},
		{"empty header", own, http.Header{}, 2},
		{"foreign source", foreign, headerWithSpareCapacity(), 1},
		{"no source", none, headerWithSpareCapacity(), 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				sent := 0
				tr := &tokencache.Transport{Source: row.source(w), Base: mutatingBase(&sent)}
				req := newRequest(t, "POST", "https://api.example.com/a?b=c", strings.NewReader("body"))
				req.Header = row.header
				before, url, header := withoutFuncs(req), *req.URL, wholeHeader(req.Header)
				_, _ = tr.RoundTrip(req)
				after := withoutFuncs(req)
				if !reflect.DeepEqual(after, before) || after.Body != before.Body || req.GetBody == nil || *req.URL != url {
					w.Errorf("after %+v\nbefore %+v", after, before)
				}
				if got := wholeHeader(req.Header); !reflect.DeepEqual(got, header) {
					w.Errorf("header after %v\nbefore %v", got, header)
				}
				if sent != row.sent {
					w.Errorf("requests: got %d, want %d", sent, row.sent)
				}
			})
		})
	}
}

// headerWithSpareCapacity returns a header whose slices have spare capacity, with values in it that
// must not be overwritten.
func headerWithSpareCapacity() http.Header {
	h := http.Header{"None": nil, "Empty": {}}
	for _, name := range []string{"Accept", "X-Request-Id", "X-Several"} {
		values := []string{"1", "2", "spare", "spare"}
		h[name] = values[:2]
	}
	return h
}

// wholeHeader returns a copy of a header that includes the spare capacity of its slices.
func wholeHeader(h http.Header) map[string][]string {
	if h == nil {
		return nil
	}
	whole := make(map[string][]string)
	for name, values := range h {
		whole[name] = append([]string{name}, values[:cap(values)]...)
	}
	return whole
}

// withoutFuncs returns a shallow copy of a request that reflect.DeepEqual can compare.
func withoutFuncs(req *http.Request) *http.Request {
	out := *req
	out.GetBody = nil
	return &out
}

// mutatingBase changes each request in every way that a base could, and answers 401 to the first.
func mutatingBase(sent *int) roundTripperFunc {
	return func(r *http.Request) (*http.Response, error) {
		resp := respond(r, 401, nil)
		if *sent++; *sent > 1 {
			resp.StatusCode = 200
		}
		for name := range r.Header {
			r.Header[name] = append(r.Header[name], "appended")
		}
		r.Header.Del("Accept")
		r.Header.Set("X-Added", "1")
		r.Header.Add("X-Several", "3")
		r.Method, r.Host, r.Close, r.ContentLength, r.Body = "PUT", "elsewhere", true, 99, nil
		r.URL, r.Trailer, r.TransferEncoding = nil, http.Header{"A": nil}, []string{"chunked"}
		return resp, nil
	}
}

// Response.Request must be the caller's request, since the copy that was sent has the token.
func TestResponseHasTheCallersRequest(t *testing.T) {
	stream := func() io.Reader { return io.MultiReader(strings.NewReader("body")) }
	replayable := func() io.Reader { return strings.NewReader("body") }
	for _, row := range []struct {
		name   string
		status int
		body   func() io.Reader
		header http.Header
	}{
		{"accepted", 200, replayable, http.Header{}},
		{"replayed", 401, replayable, http.Header{}},
		{"401", 401, stream, http.Header{}},
		{"redirect", 302, replayable, http.Header{}},
		{"with its own Authorization", 200, replayable, http.Header{"Authorization": {"mine"}}},
	} {
		for _, foreign := range []bool{false, true} {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				tr := &tokencache.Transport{Source: w.cache.ClientCredentials()}
				if foreign {
					tr.Source = foreignToken("abc")
				}
				tr.Base = roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					resp := respond(r, row.status, nil)
					resp.Request = r.Clone(context.Background())
					return resp, nil
				})
				req := newRequest(t, "POST", "https://api.example.com/", row.body())
				req.Header = row.header
				resp, err := tr.RoundTrip(req)
				if err != nil {
					w.Fatal(err)
				}
				if auth := resp.Request.Header.Get("Authorization"); resp.Request != req || strings.HasPrefix(auth, "Bearer") {
					w.Errorf("%s: Response.Request is not the caller's request, or has the token: %q", row.name, auth)
				}
			})
		}
	}
}

func TestBaseThatReturnsNilIsAnError(t *testing.T) {
	silent := roundTripperFunc(func(*http.Request) (*http.Response, error) { return nil, nil })
	src := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"})
	resp, err := (&tokencache.Transport{Source: src, Base: silent}).RoundTrip(newRequest(t, "GET", "https://api.example.com/", nil))
	if resp != nil || err == nil || !strings.Contains(err.Error(), "Base") {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestRequestWithoutURLIsAnError(t *testing.T) {
	body := newCountedBody("body")
	if _, err := (&tokencache.Transport{}).RoundTrip(&http.Request{Body: body}); err == nil || body.closed.Load() != 1 {
		t.Errorf("got %v, body closed %d times", err, body.closed.Load())
	}
}

func TestCloseIdleConnectionsReachesTheBase(t *testing.T) {
	base := &closingBase{}
	(&http.Client{Transport: &tokencache.Transport{Base: base}}).CloseIdleConnections()
	if base.closed != 1 {
		t.Errorf("base: got %d calls, want 1", base.closed)
	}
	(&tokencache.Transport{Base: roundTripperFunc(nil)}).CloseIdleConnections() // this base has no such method
}

// A closingBase counts the calls of CloseIdleConnections.
type closingBase struct {
	roundTripperFunc
	closed int
}

func (b *closingBase) CloseIdleConnections() { b.closed++ }

// respond reads and closes the request's body and returns a response.
func respond(r *http.Request, status int, header http.Header) *http.Response {
	if r.Body != nil {
		_, _ = io.Copy(io.Discard, r.Body)
		r.Body.Close()
	}
	if header == nil {
		header = http.Header{}
	}
	return &http.Response{StatusCode: status, Header: header, Body: http.NoBody, Request: r}
}

func newRequest(t *testing.T, method, url string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// apiLog returns the requests that reached the API.
func apiLog(w *world) []tokentest.Request {
	var out []tokentest.Request
	for _, r := range w.srv.Requests() {
		if r.Endpoint == "api" {
			out = append(out, r)
		}
	}
	return out
}
