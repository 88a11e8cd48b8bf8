package origin_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/tokencache/tokencache/internal/origin"
)

func parse(t *testing.T, rawURL string) *url.URL {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// chain returns the last request of a chain of redirects, linked as http.Client links them.
func chain(t *testing.T, urls string) *http.Request {
	t.Helper()
	var req *http.Request
	for _, u := range strings.Fields(urls) {
		next := &http.Request{URL: parse(t, u)}
		if req != nil {
			next.Response = &http.Response{Request: req}
		}
		req = next
	}
	return req
}

// decide says what a policy decides about a request: yes, no, or refused.
func decide(t *testing.T, p origin.Policy, req *http.Request) string {
	t.Helper()
	carries, err := p.CarriesToken(req)
	switch {
	case err != nil && carries:
		t.Errorf("a token and the error %v", err)
	case err != nil:
		return "refused"
	case carries:
		return "yes"
	}
	return "no"
}

func TestTokenIsSentOverHTTPSOrToThisMachine(t *testing.T) {
	for _, row := range []struct {
		name  string
		url   string
		allow bool
		want  string
	}{
		{"https", "https://a/1", false, "yes"},
		{"plain http", "http://a/1", false, "refused"},
		{"plain http, allowed", "http://a/1", true, "yes"},
		{"another scheme", "ftp://a/1", false, "refused"},
		{"no host", "http:///1", false, "refused"},
		{"loopback name", "http://localhost:8080/", false, "yes"},
		{"loopback name in capitals", "http://LOCALHOST/", false, "yes"},
		{"loopback IPv4", "http://127.0.0.1:80/", false, "yes"},
		{"loopback IPv6", "http://[::1]:80/", false, "yes"},
		{"begins like loopback", "http://127.0.0.1.example.com/", false, "refused"},
		{"loopback as user", "http://localhost@a/", false, "refused"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := decide(t, origin.Policy{AllowHTTP: row.allow}, chain(t, row.url)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestRefusalNamesTheHostAndTheWayOut(t *testing.T) {
	_, err := origin.Policy{}.CarriesToken(chain(t, "http://user:secret@a:8080/path?q=secret"))
	if err == nil {
		t.Fatal("no error")
	}
	text := err.Error()
	for _, part := range []string{"tokencache: ", " a:8080 ", " http;", "AllowHTTP"} {
		if !strings.Contains(text, part) {
			t.Errorf("%q does not contain %q", text, part)
		}
	}
	if strings.Contains(text, "secret") {
		t.Errorf("%q shows more than the host", text)
	}
}

func TestRequestWithoutURLIsRefused(t *testing.T) {
	if got := decide(t, origin.Policy{AllowHTTP: true}, &http.Request{}); got != "refused" {
		t.Errorf("got %s, want an error", got)
	}
}

func TestTokenIsSentToTheListedOriginsAlone(t *testing.T) {
	for _, row := range []struct {
		name    string
		origins string
		url     string
		want    string
	}{
		{"listed", "https://a", "https://a/1", "yes"},
		{"the second", "https://b https://a", "https://a/1", "yes"},
		{"not listed", "https://b", "https://a/1", "no"},
		{"capitals, port and path", "HTTPS://A:443/v1", "https://a/1", "yes"},
		{"another path", "https://a/v1", "https://a/v2", "yes"},
		{"listed port", "https://a:8443", "https://a:8443/1", "yes"},
		{"another port", "https://a", "https://a:8443/1", "no"},
		{"another scheme", "https://a", "http://a/1", "no"},
		{"a subdomain", "https://a", "https://x.a/1", "no"},
		{"a prefix", "https://a", "https://a.evil/1", "no"},
		{"no scheme", "a", "https://a/1", "no"},
		{"empty", "://", "https://a/1", "no"},
		{"plain http is refused although listed", "http://a", "http://a/1", "refused"},
		{"loopback over plain http", "http://localhost:80", "http://localhost/1", "yes"},
		{"IPv6", "http://[::1]", "http://[::1]:80/1", "yes"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := decide(t, origin.Policy{Origins: strings.Fields(row.origins)}, chain(t, row.url)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestTokenDoesNotFollowAChainThatLeaves(t *testing.T) {
	for _, row := range []struct {
		name    string
		origins string
		urls    string
		want    string
	}{
		{"same origin", "", "https://a/1 https://a/2 https://A:443/3", "yes"},
		{"another host", "", "https://a/1 https://b/2", "no"},
		{"another port", "", "https://a/1 https://a:8443/2", "no"},
		{"to https", "", "http://a/1 https://a/2", "no"},
		{"and back", "", "https://a/1 https://b/2 https://a/3", "no"},
		{"stays at the other host", "", "https://a/1 https://b/2 https://b/3", "no"},
		{"back much later", "", "https://a/1 https://b/2 https://a/3 https://a/4 https://a/5", "no"},
		{"among the listed", "https://a https://b", "https://a/1 https://b/2 https://a/3", "yes"},
		{"to one not listed", "https://a", "https://a/1 https://b/2", "no"},
		{"from one not listed", "https://a", "https://b/1 https://a/2", "no"},
		{"over one not listed", "https://a https://b", "https://a/1 https://c/2 https://b/3 https://a/4", "no"},
		// It would be refused if it were addressed directly; behind a chain that left it goes
		// without a token.
		{"to plain http", "", "https://a/1 http://a/2", "no"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := decide(t, origin.Policy{Origins: strings.Fields(row.origins)}, chain(t, row.urls)); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
		})
	}
}

func TestChainThatCannotBeFollowedIsTakenToHaveLeft(t *testing.T) {
	for name, before := range map[string]*http.Request{"no request": nil, "no URL": {}} {
		t.Run(name, func(t *testing.T) {
			for _, origins := range [][]string{nil, {"https://a"}} {
				req := chain(t, "https://a/1")
				req.Response = &http.Response{Request: before}
				if got := decide(t, origin.Policy{Origins: origins}, req); got != "no" {
					t.Errorf("origins %q: got %s, want no", origins, got)
				}
			}
		})
	}
}

func TestSameOrigin(t *testing.T) {
	for _, row := range []struct {
		a, b string
		want bool
	}{
		{"https://a", "https://a/path?query#fragment", true},
		{"https://a", "https://user@a", true},
		{"https://a", "https://A", true},
		{"https://a", "https://a:443", true},
		{"http://a", "http://a:80", true},
		{"https://a:8443", "https://a:8443", true},
		{"https://[2001:DB8::1]", "https://[2001:db8::1]:443", true},
		{"https://a", "http://a", false},
		{"https://a:80", "http://a:80", false},
		{"https://a", "https://b", false},
		{"https://a", "https://a.", false},
		{"https://a", "https://x.a", false},
		{"https://a", "https://a:80", false},
		{"http://a", "http://a:443", false},
		{"https://a:8443", "https://a:8444", false},
	} {
		t.Run(row.a+" "+row.b, func(t *testing.T) {
			a, b := parse(t, row.a), parse(t, row.b)
			if got := origin.Same(a, b); got != row.want {
				t.Errorf("got %t, want %t", got, row.want)
			}
			if got := origin.Same(b, a); got != row.want {
				t.Errorf("the other way round: got %t, want %t", got, row.want)
			}
		})
	}
}

func TestTargetIsMethodOriginAndPath(t *testing.T) {
	for _, row := range []struct{ method, url, want string }{
		{"GET", "https://a", "GET https://a"},
		{"", "https://a", "GET https://a"},
		{"POST", "https://a:8443/v1/users?page=1#top", "POST https://a:8443/v1/users"},
		{"DELETE", "https://user:secret@a/v1", "DELETE https://a/v1"},
		{"GET", "https://a/b%20c", "GET https://a/b c"},
	} {
		t.Run(row.want, func(t *testing.T) {
			req := chain(t, row.url)
			req.Method = row.method
			if got := origin.Target(req); got != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.255.255.254": true, "::1": true, "0:0::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.": false, "a.localhost": false, "localhost.example.com": false, "127.0.0.1.example.com": false,
		"126.255.255.255": false, "128.0.0.1": false, "0.0.0.0": false, "::": false, "::2": false, "10.0.0.1": false, "127.1": false,
	} {
		t.Run(host, func(t *testing.T) {
			if got := origin.Loopback(host); got != want {
				t.Errorf("got %t, want %t", got, want)
			}
		})
	}
}
