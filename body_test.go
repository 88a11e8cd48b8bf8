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

// rejectedWorld is a world whose source has a revoked token.
func rejectedWorld(t *testing.T, b tokentest.Behaviour, test func(w *world, src *tokencache.Source)) {
	t.Helper()
	inBubble(t, b, nil, func(w *world) {
		src := w.cache.ClientCredentials()
		w.token(src)
		w.srv.RevokeAll()
		w.srv.ResetLog()
		test(w, src)
	})
}

var errBase = errors.New("the base failed")

// The paths on which a request is refused before it is sent are in TestNoTokenNothingSent and TestPlainHTTP.
func TestBodyIsClosedOnce(t *testing.T) { // promise 11
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
		answers string // of the API: one letter a request, r for 401, o for 200, e for an error
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
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				sent := 0
				tr := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: baseFunc(func(r *http.Request) (*http.Response, error) {
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

// On the way of net/http itself: the body is closed by a goroutine of the connection.
func TestBodyIsClosedOnceByNetHTTP(t *testing.T) {
	rejectedWorld(t, tokentest.Behaviour{}, func(w *world, src *tokencache.Source) {
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

// A fullAnswer is all of a response that a caller can see.
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

// What comes back is what comes back without the library.
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
					rejectedWorld(t, tokentest.Behaviour{}, func(w *world, src *tokencache.Source) {
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
							w.Error("the body did not break off")
						}
					})
				})
			}
		}
	}
}

// Whether the caller closes it or a replay takes its place.
func TestClosed401IsReleased(t *testing.T) {
	for _, size := range []int64{0, 10, 64 << 10, 1 << 20} {
		for name, body := range map[string]io.Reader{"closed": newCountedBody("body"), "replayed": strings.NewReader("body")} {
			rejectedWorld(t, tokentest.Behaviour{}, func(w *world, src *tokencache.Source) {
				var opened, closed int
				tr := &tokencache.Transport{Source: src, Base: baseFunc(func(r *http.Request) (*http.Response, error) {
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

// API and authorization server share a bounded pool of connections.
func TestHeld401DoesNotHoldTheConnection(t *testing.T) { // row AA
	onOnePool(t, 8<<10, func(w *world, answered map[int]int) {
		if answered[200] != 20 {
			w.Errorf("answers: got %v, want 20 times 200", answered)
		}
	})
}

// A 401 that is too large to be held may come back as it is, but not at the price of the renewal.
func TestLarge401DoesNotHoldTheConnection(t *testing.T) { // promise 11
	onOnePool(t, 1<<20, func(w *world, answered map[int]int) {
		if answered[200]+answered[401] != 20 {
			w.Errorf("answers: got %v, want 200 or 401", answered)
		}
	})
}

// onOnePool sends 20 requests that are answered 401 with a body of the given size. They must cause one renewal.
func onOnePool(t *testing.T, size int, check func(w *world, answered map[int]int)) {
	t.Helper()
	onePool := &http.Transport{MaxConnsPerHost: 4}
	defer onePool.CloseIdleConnections()
	share := func(cfg *tokencache.Config) {
		cfg.HTTPClient, cfg.Timeout = &http.Client{Transport: onePool}, 5*time.Second
	}
	onLoopback(t, tokentest.Behaviour{Answer401: strings.Repeat("x", size)}, share, func(w *world) {
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
		w.token(w.cache.ClientCredentials()) // the renewal may outlive those who did not wait for it
		w.wantFetches(1)
		check(w, answered)
	})
}
