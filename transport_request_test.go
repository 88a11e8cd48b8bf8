package tokencache_test

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// roomyHeader returns a header whose slices have spare capacity, with something in it that must stay.
func roomyHeader() http.Header {
	h := http.Header{"None": nil, "Empty": {}}
	for _, name := range []string{"Accept", "X-Request-Id", "X-Several"} {
		values := []string{"1", "2", "spare", "spare"}
		h[name] = values[:2]
	}
	return h
}

// wholeHeader is a copy of a header, with the spare capacity of its slices.
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

// withoutFuncs is a copy of a request's struct that can be compared.
func withoutFuncs(req *http.Request) *http.Request {
	out := *req
	out.GetBody = nil
	return &out
}

// greedyBase does to a request what a base may do to one of its own, and answers 401 to the first.
func greedyBase(sent *int) baseFunc {
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

func TestCallersRequestIsNotModified(t *testing.T) { // promise 11
	ours := func(w *world) oauth2.TokenSource { return w.cache.ClientCredentials() }
	foreign := func(*world) oauth2.TokenSource { return foreignToken("abc") }
	none := func(*world) oauth2.TokenSource { return nil }
	for _, row := range []struct {
		name   string
		source func(*world) oauth2.TokenSource
		header http.Header
		sent   int
	}{
		{"replayed", ours, roomyHeader(), 2},
		{"nil header", ours, nil, 2},
		{"empty header", ours, http.Header{}, 2},
		{"foreign source", foreign, roomyHeader(), 1},
		{"no source", none, roomyHeader(), 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				sent := 0
				tr := &tokencache.Transport{Source: row.source(w), Base: greedyBase(&sent)}
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

// A replay starts from the caller's request, not from what the base made of the first copy.
func TestReplayIsACopyOfItsOwn(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		sent := 0
		greedy := greedyBase(&sent)
		tr := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: baseFunc(func(r *http.Request) (*http.Response, error) {
			if got := r.Header["X-Several"]; r.Method != "POST" || len(got) != 2 || len(r.Header["Authorization"]) != 1 || r.Header["X-Added"] != nil {
				w.Errorf("request %d: %s %v", sent+1, r.Method, r.Header)
			}
			return greedy(r)
		})}
		req := newRequest(t, "POST", "https://api.example.com/", strings.NewReader("body"))
		req.Header = roomyHeader()
		w.status(tr.RoundTrip(req))
	})
}

func TestResponseNamesTheCallersRequest(t *testing.T) { // promise 9
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
		{"with an Authorization of its own", 200, replayable, http.Header{"Authorization": {"mine"}}},
	} {
		for _, foreign := range []bool{false, true} {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				tr := &tokencache.Transport{Source: w.cache.ClientCredentials()}
				if foreign {
					tr.Source = foreignToken("abc")
				}
				tr.Base = baseFunc(func(r *http.Request) (*http.Response, error) {
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
					w.Errorf("%s: the response's request is not the caller's, or has the token: %q", row.name, auth)
				}
			})
		}
	}
}

func TestPlainHTTP(t *testing.T) { // promise 8
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
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				got := "refused"
				tr := &tokencache.Transport{
					Source: w.cache.ClientCredentials(), Origins: strings.Fields(row.origins), AllowHTTP: row.allow,
					Base: baseFunc(func(r *http.Request) (*http.Response, error) {
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

func TestBaseThatReturnsNothingIsAnError(t *testing.T) {
	silent := roundTrip(func(*http.Request) (*http.Response, error) { return nil, nil })
	src := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "token"})
	resp, err := (&tokencache.Transport{Source: src, Base: silent}).RoundTrip(newRequest(t, "GET", "https://api.example.com/", nil))
	if resp != nil || err == nil || !strings.Contains(err.Error(), "Base") {
		t.Errorf("got %v, %v", resp, err)
	}
}

func TestRequestWithoutURL(t *testing.T) {
	body := newCountedBody("body")
	if _, err := (&tokencache.Transport{}).RoundTrip(&http.Request{Body: body}); err == nil || body.closed.Load() != 1 {
		t.Errorf("got %v, body closed %d times", err, body.closed.Load())
	}
}
