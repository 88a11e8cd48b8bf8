// A token does not follow a redirect to another origin (promise 8 in README.md).

package tokencache_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

var redirectRows = []struct {
	name    string
	origins string // Transport.Origins
	urls    string // of the requests, in order
	want    string // for each request, whether it carried a token
}{
	{"same origin", "", "https://a/1 https://a/2 https://a/3", "yes yes yes"},
	{"explicit default port", "", "https://a/1 https://a:443/2 https://A/3", "yes yes yes"},
	{"default port of http", "", "http://a/1 http://a:80/2", "yes yes"},
	{"another host", "", "https://a/1 https://b/2", "yes no"},
	{"a subdomain", "", "https://a/1 https://x.a/2", "yes no"},
	{"a parent domain", "", "https://x.a/1 https://a/2", "yes no"},
	{"another port", "", "https://a/1 https://a:8443/2", "yes no"},
	{"to plain http", "", "https://a/1 http://a/2", "yes no"},
	{"to https", "", "http://a/1 https://a/2", "yes no"},
	{"to https, same port", "", "http://a:443/1 https://a/2", "yes no"},
	{"there and back", "", "https://a/1 https://b/2 https://a/3", "yes no no"},
	{"back later", "", "https://a/1 https://a/2 https://b/3 https://c/4 https://a/5 https://a/6", "yes yes no no no no"},
	{"back over another port", "", "https://a/1 https://a:8443/2 https://a/3", "yes no no"},
	{"back over plain http", "", "https://a/1 http://a/2 https://a/3", "yes no no"},
	{"stays at the other host", "", "https://a/1 https://b/2 https://b/3", "yes no no"},

	{"from listed to listed", "https://a https://b", "https://a/1 https://b/2 https://a/3", "yes yes yes"},
	{"from listed to not listed", "https://a https://b", "https://a/1 https://c/2", "yes no"},
	{"back from not listed", "https://a https://b", "https://a/1 https://c/2 https://b/3 https://a/4", "yes no no no"},
	{"from not listed to listed", "https://a", "https://c/1 https://a/2", "no no"},
	{"listed with port, path and capitals", "HTTPS://A:443/v1", "https://a/1 https://a/2", "yes yes"},
	{"listed without the port", "https://a", "https://a/1 https://a:8443/2", "yes no"},
	{"listed with https", "https://a", "https://a/1 http://a/2", "yes no"},
	{"another origin listed", "https://b", "https://a/1 https://a/2", "no no"},
	{"a list without a valid origin", "a", "https://a/1", "no"},
}

func TestTokenDoesNotFollowRedirects(t *testing.T) {
	for _, row := range redirectRows {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				for _, code := range []int{301, 302, 303, 307, 308} {
					for _, src := range []*tokencache.Source{w.cache.ClientCredentials(), w.cache.Password("alice", "wonderland")} {
						r := &route{urls: strings.Fields(row.urls), code: code, reject: -1}
						tr := &tokencache.Transport{Source: src, Origins: strings.Fields(row.origins), AllowHTTP: true}
						if status := r.follow(w, tr); status != 200 || r.tokens() != row.want {
							w.Errorf("%d: status %d, tokens %s; want %s", code, status, r.tokens(), row.want)
						}
					}
				}
			})
		})
	}
}

// A route is a base that redirects from each of its URLs to the next and answers 200 at the last
// one.
type route struct {
	urls   []string
	code   int
	reject int // index of the URL that answers 401 once; negative for none

	at       int
	rejected bool
	hops     []hop
}

// A hop is one request that reached a route.
type hop struct {
	url, authorization, body string
}

func (r *route) RoundTrip(req *http.Request) (*http.Response, error) {
	h := hop{url: req.URL.String(), authorization: req.Header.Get("Authorization")}
	if req.Body != nil {
		body, _ := io.ReadAll(req.Body)
		req.Body.Close()
		h.body = string(body)
	}
	r.hops = append(r.hops, h)
	if r.at == r.reject && !r.rejected {
		r.rejected = true
		return respond(req, 401, nil), nil
	}
	if r.at++; r.at == len(r.urls) {
		return respond(req, 200, nil), nil
	}
	return respond(req, r.code, http.Header{"Location": {r.urls[r.at]}}), nil
}

// tokens returns for each hop "yes" if it carried a token, "no" if it carried no credentials, and
// any other Authorization as it is.
func (r *route) tokens() string {
	var out []string
	for _, h := range r.hops {
		switch {
		case h.authorization == "":
			out = append(out, "no")
		case strings.HasPrefix(h.authorization, "Bearer "):
			out = append(out, "yes")
		default:
			out = append(out, h.authorization)
		}
	}
	return strings.Join(out, " ")
}

// follow sends a request with a body to the first URL of a route and returns the final status.
func (r *route) follow(w *world, tr *tokencache.Transport) int {
	w.Helper()
	tr.Base = r
	client := &http.Client{Transport: tr}
	return w.status(client.Post(r.urls[0], "text/plain", strings.NewReader("body")))
}

// Here net/http follows the redirects. On the server's network, only the port decides who answers.
func TestTokenDoesNotFollowRedirectsOfNetHTTP(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		other := tokentest.NewPipe(tokentest.Behavior{})
		defer other.Close()
		u, _ := url.Parse(w.srv.URL)
		client := w.client(w.cache.ClientCredentials())
		for _, to := range []string{"http://localhost:" + u.Port() + "/x", other.URL + "/x"} {
			w.get(client, "/redirect?to="+url.QueryEscape(to))
		}
		if got := w.get(client, "/redirect?to="+url.QueryEscape(w.srv.URL+"/x")); got != 200 {
			w.Errorf("same origin: status %d", got)
		}
		for _, r := range slices.Concat(apiLog(w), other.Requests()) {
			if carries := r.Header.Get("Authorization") != ""; carries != (r.Host == u.Host) {
				w.Errorf("%s%s: carried a token: %v", r.Host, r.Path, carries)
			}
		}
	})
}

// A base may set Response.Request to a request that does not know the redirects before it.
func TestTokenDoesNotFollowRedirectsThatTheBaseHides(t *testing.T) {
	for name, replace := range map[string]func(*http.Request) *http.Request{
		"no request": func(*http.Request) *http.Request { return nil },
		"a new request": func(req *http.Request) *http.Request {
			return &http.Request{Method: req.Method, URL: req.URL, Header: http.Header{}}
		},
		"a request to another URL": func(*http.Request) *http.Request {
			return &http.Request{Method: "GET", URL: &url.URL{Scheme: "https", Host: "a"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				r := &route{urls: strings.Fields("https://a/1 https://a/2 https://b/3 https://b/4 https://a/5"), code: 302, reject: -1}
				tr := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: roundTripperFunc(func(req *http.Request) (*http.Response, error) {
					resp, err := r.RoundTrip(req)
					resp.Request = replace(req)
					return resp, err
				})}
				w.status((&http.Client{Transport: tr}).Get(r.urls[0]))
				if got, want := r.tokens(), "yes yes no no no"; got != want {
					w.Errorf("tokens: got %s, want %s", got, want)
				}
			})
		})
	}
}

func TestRedirectedRequestWithAuthorizationGetsNoToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		r := &route{urls: strings.Fields("https://a/1 https://a/2 https://b/3 https://b/4"), code: 302, reject: -1}
		req := newRequest(t, "GET", r.urls[0], nil)
		req.Header.Set("Authorization", "mine")
		client := &http.Client{Transport: &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: r}}
		w.status(client.Do(req))
		if got, want := r.tokens(), "mine mine no no"; got != want {
			w.Errorf("Authorization: got %s, want %s", got, want)
		}
		w.wantFetches(0)
	})
}

// A 401 from another origin says nothing about a token that it did not receive.
func TestRejectionByAnotherOriginDoesNotRenew(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		r := &route{urls: strings.Fields("https://a/1 https://b/2"), code: 302, reject: 1}
		if status := r.follow(w, &tokencache.Transport{Source: w.cache.ClientCredentials()}); status != 401 {
			w.Errorf("status: got %d, want 401", status)
		}
		w.wantFetches(1)
	})
}

func TestTokenOfAReplayDoesNotFollowRedirects(t *testing.T) {
	for urls, want := range map[string]string{
		"https://a/1 https://a/2":           "yes yes yes",
		"https://a/1 https://b/2":           "yes yes no",
		"https://a/1 https://b/2 https://a": "yes yes no no",
	} {
		inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
			src := w.cache.ClientCredentials()
			old := "Bearer " + w.token(src)
			r := &route{urls: strings.Fields(urls), code: 307, reject: 0}
			if status := r.follow(w, &tokencache.Transport{Source: src}); status != 200 || r.tokens() != want {
				w.Errorf("status %d, tokens %s; want %s", status, r.tokens(), want)
			}
			for i, h := range r.hops[1:] {
				if h.authorization == old {
					w.Errorf("request %d carried the rejected token", i+1)
				}
			}
		})
	}
}

func TestRedirectsAndReplaysCarryTheBody(t *testing.T) {
	for _, code := range []int{307, 308} {
		for reject := -1; reject < 3; reject++ { // rejected by none, or by the URL of this index
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				r := &route{urls: strings.Fields("https://a/1 https://a/2 https://a/3"), code: code, reject: reject}
				if status := r.follow(w, &tokencache.Transport{Source: w.cache.ClientCredentials()}); status != 200 {
					w.Errorf("%d, rejected at %d: status %d", code, reject, status)
				}
				for _, h := range r.hops {
					if h.body != "body" {
						w.Errorf("%d, rejected at %d: %s got the body %q", code, reject, h.url, h.body)
					}
				}
				if reject >= 0 {
					w.wantFetches(2)
				}
			})
		}
	}
}
