// After a renewal, a request that was answered 401 is repeated once, or the 401 is returned complete
// (promises 5 and 11 in README.md).

package tokencache_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestReplayRepeatsTheRequest(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"no body": nil, "NoBody": http.NoBody, "GetBody": strings.NewReader("body"),
	} {
		t.Run(name, func(t *testing.T) {
			rejectedWorld(t, tokentest.Behavior{}, func(w *world, src *tokencache.Source) {
				req := newRequest(t, "POST", w.srv.URL+"/a?b=c", body)
				req.Header.Set("Idempotency-Key", "key-1")
				req.Header["X-Several"] = []string{"1", "2"}
				if got := w.status(w.client(src).Do(req)); got != 200 {
					w.Errorf("status: got %d, want 200", got)
				}
				log := apiLog(w)
				if len(log) != 2 {
					w.Fatalf("requests: got %d, want 2", len(log))
				}
				if log[0].Token == log[1].Token {
					w.Error("the replay carried the rejected token")
				}
				for i := range log {
					log[i].Header = log[i].Header.Clone()
					log[i].Header.Del("Authorization")
				}
				if !reflect.DeepEqual(log[0].Header, log[1].Header) || string(log[0].Body) != string(log[1].Body) ||
					log[0].Query != log[1].Query || log[0].Method != log[1].Method {
					w.Errorf("first %+v\nreplay %+v", log[0], log[1])
				}
				if got := log[1].Header.Get("Idempotency-Key"); got != "key-1" {
					w.Errorf("Idempotency-Key: got %q", got)
				}
			})
		})
	}
}

func TestRejectedReplayIsNotRepeated(t *testing.T) {
	rejectedWorld(t, tokentest.Behavior{Unauthorized: rejectsAll, Answer401: "no"}, func(w *world, src *tokencache.Source) {
		resp, err := w.client(src).Post(w.srv.URL+"/a", "text/plain", strings.NewReader("body"))
		if err != nil {
			w.Fatal(err)
		}
		defer resp.Body.Close()
		if body, err := io.ReadAll(resp.Body); resp.StatusCode != 401 || string(body) != "no" || err != nil {
			w.Errorf("got %d %q %v", resp.StatusCode, body, err)
		}
		w.wantFetches(1)
		if got := len(apiLog(w)); got != 2 {
			w.Errorf("requests: got %d, want 2", got)
		}
	})
}

// The replay is a copy of the caller's request, not of the first copy, which the base may have
// changed.
func TestReplayIsCopiedFromTheCallersRequest(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		sent := 0
		greedy := mutatingBase(&sent)
		tr := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			if got := r.Header["X-Several"]; r.Method != "POST" || len(got) != 2 || len(r.Header["Authorization"]) != 1 || r.Header["X-Added"] != nil {
				w.Errorf("request %d: %s %v", sent+1, r.Method, r.Header)
			}
			return greedy(r)
		})}
		req := newRequest(t, "POST", "https://api.example.com/", strings.NewReader("body"))
		req.Header = headerWithSpareCapacity()
		w.status(tr.RoundTrip(req))
	})
}

func TestRequestIsNotReplayedWithTheSameToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{SameToken: true, Unauthorized: rejectsAll}, nil, func(w *world) {
		w.post(w.client(w.cache.ClientCredentials()), "/a", "body")
		if got := len(apiLog(w)); got != 1 {
			w.Errorf("requests: got %d, want 1", got)
		}
	})
}

// Without GetBody, the caller gets the 401, and the next request has a new token.
func TestBodyThatCannotBeReplayed(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		client := w.client(w.cache.ClientCredentials())
		stream := func(n int) int {
			w.srv.ResetLog()
			body := io.MultiReader(strings.NewReader("body"))
			got := w.status(client.Do(newRequest(t, "POST", w.srv.URL+"/a", body)))
			if sent := len(apiLog(w)); sent != n {
				w.Errorf("requests: got %d, want %d", sent, n)
			}
			return got
		}
		stream(1)
		for i := range 5 {
			w.srv.RevokeAll()
			if got := stream(1); got != 401 {
				w.Errorf("revocation %d: got %d, want the original 401", i+1, got)
			}
			w.wantFetches(1)
			if got := stream(1); got != 200 {
				w.Errorf("revocation %d: the next request got %d, want 200", i+1, got)
			}
			w.wantFetches(0)
		}
	})
}

// A gateway in front of another authorization server needs a token of its own. Its 401 may be that
// server's answer to a password, which must not be sent twice.
func TestTokenRequestOfAnotherCacheIsNotReplayed(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		gateway := w.cache.ClientCredentials("gateway")
		w.token(gateway)
		as := tokentest.NewPipe(tokentest.Behavior{})
		defer as.Close()
		as.Fail("token", -1, tokentest.Fault{Status: 401, Body: `{"error":"invalid_grant"}`})
		users := newWorld(t, as, func(cfg *tokencache.Config) {
			cfg.Auth = tokencache.ClientSecretPost("secret")
			cfg.HTTPClient = &http.Client{Transport: &tokencache.Transport{Source: gateway, Base: w.srv.Client().Transport}}
		})
		_, _ = users.cache.Password("alice", "wrong").Token()
		users.wantFetches(1)
	})
}

// rejectedWorld runs a test with a source whose token the server has revoked.
func rejectedWorld(t *testing.T, b tokentest.Behavior, test func(w *world, src *tokencache.Source)) {
	t.Helper()
	inBubble(t, b, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		w.srv.RevokeAll()
		w.srv.ResetLog()
		test(w, src)
	})
}

// The caller gets the same 401 as without the library.
func TestOriginal401IsComplete(t *testing.T) {
	const held = 64 << 10
	outcomes := map[string]func(w *world){
		"body cannot be replayed": func(*world) {},
		"renewal fails":           func(w *world) { w.srv.Fail("token", -1, tokentest.Fault{Status: 503}) },
	}
	for outcome, prepare := range outcomes {
		for _, size := range []int{0, 1, held - 1, held, held + 1, 1 << 20} {
			for _, missing := range []int{0, 10} {
				t.Run(fmt.Sprintf("%s, %d bytes, %d missing", outcome, size, missing), func(t *testing.T) {
					rejectedWorld(t, tokentest.Behavior{}, func(w *world, src *tokencache.Source) {
						fault := tokentest.Fault{Status: 401, Body: strings.Repeat("0123456789abcdef", size/16+1)[:size], Header: http.Header{
							"Content-Length":   {fmt.Sprint(size + missing)},
							"Www-Authenticate": {`Bearer realm="a"`, `Bearer error="invalid_token"`},
							"X-Several":        {"1", "2"},
						}}
						prepare(w)
						w.srv.Fail("api", 2, fault)
						want := readAnswer(w, w.srv.Client().Transport)
						got := readAnswer(w, w.client(src).Transport)
						if !reflect.DeepEqual(got, want) {
							w.Errorf("got %.500v (%d bytes)\nwant %.500v (%d bytes)", got, len(got.Body), want, len(want.Body))
						}
						if missing > 0 && got.Err == nil {
							w.Error("reading the truncated body returned no error")
						}
					})
				})
			}
		}
	}
}

// A fullAnswer is what a caller sees of a response.
type fullAnswer struct {
	Status string
	Header http.Header
	Length int64
	Body   string
	Err    error
}

func readAnswer(w *world, rt http.RoundTripper) fullAnswer {
	w.Helper()
	req := newRequest(w.T, "POST", w.srv.URL+"/a", io.MultiReader(strings.NewReader("body")))
	resp, err := rt.RoundTrip(req)
	if err != nil {
		w.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	resp.Header.Del("Date")
	return fullAnswer{resp.Status, resp.Header, resp.ContentLength, string(body), err}
}

func Test401WithABlockingBodyIsReturned(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		base := roundTripperFunc(func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 401, Header: http.Header{}, Body: blockingBody{make(chan struct{})}}, nil
		})
		req := newRequest(t, "POST", w.srv.URL, io.MultiReader(strings.NewReader("cannot be replayed")))
		begin := time.Now()
		resp, err := (&tokencache.Transport{Source: w.cache.ClientCredentials(), Base: base}).RoundTrip(req)
		if err != nil || resp.StatusCode != 401 || time.Since(begin) > time.Second {
			w.Fatalf("got %v, %v after %v", resp, err, time.Since(begin))
		}
		resp.Body.Close()
	})
}

// For the race detector: a base whose bodies must not be read and closed at the same time.
func TestSlow401IsNotReadAndClosedAtTheSameTime(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		slow := new(slowBody)
		base := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
			if slow.used {
				return respond(req, 200, nil), nil
			}
			slow.used = true
			resp := respond(req, 401, nil)
			resp.Body = slow
			return resp, nil
		})
		client := &http.Client{Transport: &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: base}}
		if status := w.get(client, "/"); status != 200 || slow.reads >= 0 {
			w.Errorf("status %d, closed: %t; want 200 and true", status, slow.reads < 0)
		}
	})
}

// A slowBody takes a second for every Read. It uses reads without a lock.
type slowBody struct {
	used  bool
	reads int // negative when it is closed
}

func (b *slowBody) Read(p []byte) (int, error) {
	b.reads++
	time.Sleep(time.Second)
	return copy(p, "x"), nil
}

func (b *slowBody) Close() error { b.reads = -1; return nil }

// A blockingBody blocks every Read until it is closed.
type blockingBody struct{ closed chan struct{} }

func (b blockingBody) Read([]byte) (int, error) { <-b.closed; return 0, io.ErrClosedPipe }

func (b blockingBody) Close() error { close(b.closed); return nil }

func Test401WithANilBodyIsReplayed(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		calls := 0
		base := roundTripperFunc(func(*http.Request) (*http.Response, error) {
			calls++
			return &http.Response{StatusCode: map[bool]int{true: 401, false: 204}[calls == 1]}, nil
		})
		rt := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: base}
		if resp, err := rt.RoundTrip(newRequest(t, "GET", w.srv.URL+"/a", nil)); err != nil || resp.StatusCode != 204 {
			w.Errorf("got %v, %v", resp, err)
		}
	})
}

// TestRequestWithoutATokenIsNotSent and TestPlainHTTP check this for requests that are not sent.
func TestBodyIsClosedOnce(t *testing.T) {
	getBody := func(bodies *[]*countedBody) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) {
			b := newCountedBody("body")
			*bodies = append(*bodies, b)
			return b, nil
		}
	}
	noBody := func(*[]*countedBody) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return nil, errors.New("no second body") }
	}
	for _, row := range []struct {
		name    string
		answers string // one letter for each request: r for 401, o for 200, e for an error
		getBody func(*[]*countedBody) func() (io.ReadCloser, error)
		bodies  int
		want    string
	}{
		{"accepted", "o", nil, 1, "200"},
		{"the base fails", "e", getBody, 1, "the base failed"},
		{"401, no replay", "r", nil, 1, "401"},
		{"401, GetBody fails", "r", noBody, 1, "401"},
		{"401, replay", "ro", getBody, 2, "200"},
		{"401, replay rejected", "rr", getBody, 2, "401"},
		{"401, replay fails", "re", getBody, 2, "the base failed"},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
				sent := 0
				tr := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					answer := (row.answers + "ooo")[sent]
					sent++
					resp := respond(r, map[byte]int{'r': 401, 'o': 200}[answer], nil)
					if answer == 'e' {
						return nil, errBase
					}
					return resp, nil
				})}
				bodies := []*countedBody{newCountedBody("body")}
				req := newRequest(t, "POST", "https://api.example.com/", bodies[0])
				if row.getBody != nil {
					req.GetBody = row.getBody(&bodies)
				}
				resp, err := tr.RoundTrip(req)
				got := fmt.Sprint(err)
				if err == nil {
					got = fmt.Sprint(resp.StatusCode)
				}
				if got != row.want || sent != len(row.answers) || len(bodies) != row.bodies {
					w.Errorf("got %q after %d requests with %d bodies", got, sent, len(bodies))
				}
				for i, b := range bodies {
					if n := b.closed.Load(); n != 1 {
						w.Errorf("body %d was closed %d times", i, n)
					}
				}
			})
		})
	}
}

var errBase = errors.New("the base failed")

// In net/http, a goroutine of the connection closes the body.
func TestBodyIsClosedOnceByNetHTTP(t *testing.T) {
	rejectedWorld(t, tokentest.Behavior{}, func(w *world, src *tokencache.Source) {
		for _, url := range []string{w.srv.URL, w.srv.URL, "http://127.0.0.1:1"} {
			body := newCountedBody("body")
			if resp, err := w.client(src).Do(newRequest(t, "POST", url, body)); err == nil {
				resp.Body.Close()
			}
			synctest.Wait()
			if n := body.closed.Load(); n != 1 {
				w.Errorf("%s: body closed %d times", url, n)
			}
		}
	})
}

// The body of a 401 is closed when the caller closes it, or when a replay takes its place.
func TestBodyOf401IsClosed(t *testing.T) {
	for _, size := range []int64{0, 10, 64 << 10, 1 << 20} {
		for name, body := range map[string]io.Reader{"closed": newCountedBody("body"), "replayed": strings.NewReader("body")} {
			rejectedWorld(t, tokentest.Behavior{}, func(w *world, src *tokencache.Source) {
				var opened, closed int
				tr := &tokencache.Transport{Source: src, Base: roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					resp := respond(r, 401, nil)
					resp.Body = closerFunc{io.LimitReader(zeros{}, size), func() { closed++ }}
					opened++
					return resp, nil
				})}
				resp, err := tr.RoundTrip(newRequest(t, "POST", "https://api.example.com", body))
				if err != nil {
					w.Fatal(err)
				}
				resp.Body.Close()
				if closed != opened {
					w.Errorf("%s, %d bytes: %d bodies were opened and %d closed", name, size, opened, closed)
				}
			})
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type closerFunc struct {
	io.Reader
	closed func()
}

func (c closerFunc) Close() error {
	c.closed()
	return nil
}

// The API and the authorization server share a small pool of connections. Requests that wait for the
// renewal must not keep it from getting one.
func TestHeld401DoesNotHoldTheConnection(t *testing.T) {
	postThroughOnePool(t, 8<<10, func(w *world, answered map[int]int) {
		if answered[200] != 20 {
			w.Errorf("answers: got %v, want 20 times 200", answered)
		}
	})
}

// A 401 that is too large to be buffered may be returned as it is, but must not keep the renewal
// from getting a connection.
func TestLarge401DoesNotHoldTheConnection(t *testing.T) {
	postThroughOnePool(t, 1<<20, func(w *world, answered map[int]int) {
		if answered[200]+answered[401] != 20 {
			w.Errorf("answers: got %v, want 200 or 401", answered)
		}
	})
}

// postThroughOnePool sends 20 requests at once that are answered 401 with a body of the given size.
// They must cause one renewal. check is given the number of responses by status.
func postThroughOnePool(t *testing.T, size int, check func(w *world, answered map[int]int)) {
	t.Helper()
	onePool := &http.Transport{MaxConnsPerHost: 4}
	defer onePool.CloseIdleConnections()
	share := func(cfg *tokencache.Config) {
		cfg.HTTPClient, cfg.Timeout = &http.Client{Transport: onePool}, 5*time.Second
	}
	onLoopback(t, tokentest.Behavior{Answer401: strings.Repeat("x", size)}, share, func(w *world) {
		tr := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: onePool}
		w.post(&http.Client{Transport: tr}, "/a", "body")
		w.srv.RevokeAll()
		w.srv.ResetLog()
		var wg sync.WaitGroup
		var mu sync.Mutex // guards answered
		answered := make(map[int]int)
		for range 20 {
			wg.Go(func() {
				got := w.post(&http.Client{Transport: tr}, "/a", "body")
				mu.Lock()
				defer mu.Unlock()
				answered[got]++
			})
		}
		wg.Wait()
		w.token(w.cache.ClientCredentials()) // waits for the renewal, which may outlast the requests
		w.wantFetches(1)
		check(w, answered)
	})
}
