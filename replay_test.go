package tokencache_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestReplayRepeatsTheRequest(t *testing.T) {
	for name, body := range map[string]io.Reader{
		"no body": nil, "NoBody": http.NoBody, "GetBody": strings.NewReader("body"),
	} {
		t.Run(name, func(t *testing.T) {
			rejectedWorld(t, tokentest.Behaviour{}, func(w *world, src *tokencache.Source) {
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

func TestReplayIsRejected(t *testing.T) {
	rejectedWorld(t, tokentest.Behaviour{Unauthorized: rejectsAll, Answer401: "no"}, func(w *world, src *tokencache.Source) {
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

func TestSameTokenIsNotReplayed(t *testing.T) {
	inBubble(t, tokentest.Behaviour{SameToken: true, Unauthorized: rejectsAll}, nil, func(w *world) {
		w.post(w.client(w.cache.ClientCredentials()), "/a", "body")
		if got := len(apiLog(w)); got != 1 {
			w.Errorf("requests: got %d, want 1", got)
		}
	})
}

func TestBodyThatCannotBeReplayed(t *testing.T) { // row U
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
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

func TestRenewalFails(t *testing.T) { // row V
	var failed []tokencache.Fetch
	rejections := 0
	hooks := func(cfg *tokencache.Config) {
		cfg.Hooks.Rejected = func(context.Context, tokencache.Rejection) { rejections++ }
		cfg.Hooks.FetchDone = func(_ context.Context, f tokencache.Fetch) {
			if f.Err != nil {
				failed = append(failed, f)
			}
		}
	}
	inBubble(t, tokentest.Behaviour{Unauthorized: rejects("/broken")}, hooks, func(w *world) {
		src := w.cache.ClientCredentials()
		client, tok := w.client(src), w.token(src)
		w.srv.Fail("token", -1, tokentest.Fault{Status: 500, Latency: time.Second})
		if got := w.post(client, "/broken", "body"); got != 401 {
			w.Errorf("status: got %d, want 401", got)
		}
		if len(failed) != 1 || failed[0].Reason != "rejected" {
			w.Errorf("hooks: got %+v", failed)
		}
		var oauthErr *tokencache.Error
		if len(failed) > 0 && (!errors.As(failed[0].Err, &oauthErr) || oauthErr.StatusCode != 500) {
			w.Errorf("hooks: got %v", failed[0].Err)
		}
		begin := time.Now()
		wantOK(w, "accepting path", burst(w, client, "/fine", 20), 20)
		if took := time.Since(begin); took != 0 || w.token(src) != tok {
			w.Errorf("the token was not in service: %v", took)
		}
		w.post(client, "/broken", "body")
		if rejections != 2 {
			w.Errorf("rejections: got %d, want 2; the token is still under suspicion", rejections)
		}
	})
}

// Callers that come while a rejected token is being renewed wait, and have the old one when that fails.
func TestRenewalFailsWhileOthersWait(t *testing.T) { // row V
	inBubble(t, tokentest.Behaviour{Unauthorized: rejects("/broken")}, nil, func(w *world) {
		client := w.client(w.cache.ClientCredentials())
		w.post(client, "/fine", "body")
		w.srv.Fail("token", -1, tokentest.Fault{Drop: true, Latency: time.Second})
		go w.post(client, "/broken", "body")
		time.Sleep(time.Millisecond)
		wantOK(w, "accepting path", burst(w, client, "/fine", 20), 20)
	})
}

// Nobody sends a rejected token while its successor is on the way.
func TestCallersWaitForTheRenewal(t *testing.T) {
	rejectedWorld(t, tokentest.Behaviour{TokenLatency: time.Second}, func(w *world, src *tokencache.Source) {
		client := w.client(src)
		go w.post(client, "/a", "body")
		time.Sleep(time.Millisecond)
		w.srv.ResetLog()
		wantOK(w, "burst", burst(w, client, "/a", 20), 20)
		for _, r := range apiLog(w) {
			if r.Revoked {
				w.Errorf("%s was sent with the revoked token", r.Path)
			}
		}
		w.wantFetches(0)
	})
}

func TestContextEndsWhileRejectedTokenIsRenewed(t *testing.T) {
	rejectedWorld(t, tokentest.Behaviour{TokenLatency: time.Second, Answer401: "no"}, func(w *world, src *tokencache.Source) {
		ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
		defer cancel()
		begin := time.Now()
		resp, err := w.client(src).Do(newRequest(t, "GET", w.srv.URL+"/a", nil).WithContext(ctx))
		if err != nil {
			w.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if took := time.Since(begin); resp.StatusCode != 401 || string(body) != "no" || err != nil || took != 50*time.Millisecond {
			w.Errorf("got %d %q %v after %v", resp.StatusCode, body, err, took)
		}
		wantOK(w, "afterwards", burst(w, w.client(src), "/a", 1), 1)
		w.wantFetches(1)
	})
}

func TestWhatCountsAsRejection(t *testing.T) {
	always := func(*http.Response) bool { return true }
	never := func(*http.Response) bool { return false }
	for _, row := range []struct {
		name         string
		status       int
		challenges   []string
		unauthorized func(*http.Response) bool
		fetches      int
	}{
		{"401", 401, nil, nil, 1},
		{"invalid_token", 401, []string{`Bearer error="invalid_token"`}, nil, 1},
		{"insufficient_scope", 401, []string{`Bearer realm="x", error="insufficient_scope", scope="a b"`}, nil, 0},
		{"insufficient_scope among others", 401, []string{`Basic realm="error=x"`, `Digest a=b, bearer Error = insufficient_scope`}, nil, 0},
		{"insufficient_scope of another scheme", 401, []string{`DPoP error="insufficient_scope"`}, nil, 1},
		{"403", 403, nil, nil, 0},
		{"403 insufficient_scope", 403, []string{`Bearer error="insufficient_scope"`}, nil, 0},
		{"Unauthorized says no", 401, nil, never, 0},
		{"Unauthorized says yes", 403, nil, always, 1},
		{"Unauthorized has the last word", 401, []string{`Bearer error="insufficient_scope"`}, always, 1},
		{"200 that is none", 200, nil, always, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
				src := w.cache.ClientCredentials()
				w.token(src)
				w.srv.ResetLog()
				sent := 0
				tr := &tokencache.Transport{Source: src, Unauthorized: row.unauthorized, Base: baseFunc(func(r *http.Request) (*http.Response, error) {
					sent++
					return respond(r, row.status, http.Header{"Www-Authenticate": row.challenges}), nil
				})}
				resp, err := tr.RoundTrip(newRequest(t, "GET", "https://api.example.com/", nil))
				if err != nil || resp.StatusCode != row.status || sent != 1+row.fetches {
					w.Errorf("got %v, %v after %d requests", resp, err, sent)
				}
				w.wantFetches(row.fetches)
			})
		})
	}
}

func TestClosedCacheReturnsThe401(t *testing.T) {
	inBubble(t, tokentest.Behaviour{}, nil, func(w *world) {
		tr := &tokencache.Transport{Source: w.cache.ClientCredentials(), Base: baseFunc(func(r *http.Request) (*http.Response, error) {
			w.cache.Close()
			return respond(r, 401, nil), nil
		})}
		if resp, err := tr.RoundTrip(newRequest(t, "GET", "https://api.example.com/", nil)); err != nil || resp.StatusCode != 401 {
			w.Errorf("got %v, %v", resp, err)
		}
		w.wantFetches(1)
	})
}
