package tokencache_test

// How sessions end, and what is remembered of them.

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/testhook"
	"github.com/tokencache/tokencache/tokentest"
)

// endedWorld runs a test with a server that rotates refresh tokens.
func endedWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	inBubble(t, tokentest.Behavior{Rotate: true, Lifetime: time.Hour}, nil, test)
}

// refusedRenewal has the server refuse the renewal of a source's token, which is still served.
func (w *world) refusedRenewal(src *tokencache.Source) {
	w.Helper()
	w.token(src)
	time.Sleep(57 * time.Minute)
	w.srv.Fail("token", -1, invalidGrant)
	w.token(src)
	time.Sleep(time.Second)
	w.token(src)
}

// wantEnded checks that a source answers with the refusal, and that no request is sent for it.
func (w *world) wantEnded(src *tokencache.Source) {
	w.Helper()
	fetches, calls := w.fetches(), w.srv.Count("api")
	for range 30 { // also when nothing is held off any more
		var e *tokencache.Error
		if _, err := src.Token(); !errors.Is(err, tokencache.ErrInvalidGrant) || !errors.As(err, &e) || e.StatusCode != http.StatusBadRequest {
			w.Fatalf("got %v, want the server's refusal", err)
		}
		if _, err := w.client(src).Get(w.srv.URL + "/a"); !errors.Is(err, tokencache.ErrInvalidGrant) {
			w.Fatalf("a request: %v, want ErrInvalidGrant", err)
		}
		time.Sleep(time.Minute)
	}
	w.wantFetches(fetches)
	if got := w.srv.Count("api"); got != calls {
		w.Errorf("%d requests were sent", got-calls)
	}
}

func TestEndedSessionShows(t *testing.T) {
	t.Run("refused, then rejected", func(t *testing.T) {
		endedWorld(t, func(w *world) {
			src := w.cache.Session("session", w.login())
			w.refusedRenewal(src)
			w.srv.RevokeAll()
			if got := w.get(w.client(src), "/a"); got != http.StatusUnauthorized {
				w.Errorf("the first caller got %d, want the API's 401", got)
			}
			w.wantEnded(src)
		})
	})
	t.Run("rejected, then refused", func(t *testing.T) {
		endedWorld(t, func(w *world) {
			src := w.cache.Session("session", w.login())
			w.token(src)
			w.srv.RevokeAll()
			w.srv.Fail("token", -1, invalidGrant)
			if got := w.get(w.client(src), "/a"); got != http.StatusUnauthorized {
				w.Errorf("the first caller got %d, want the API's 401", got)
			}
			w.wantEnded(src)
		})
	})
	t.Run("by Source.Rejected", func(t *testing.T) {
		endedWorld(t, func(w *world) {
			src := w.cache.Session("session", w.login())
			w.refusedRenewal(src)
			tok, _ := src.Token()
			if _, err := src.Rejected(w.Context(), tok, "https://api.example.com/operation"); !errors.Is(err, tokencache.ErrInvalidGrant) {
				w.Errorf("got %v, want ErrInvalidGrant", err)
			}
			w.wantEnded(src)
		})
	})
	t.Run("rejected again after the renewal, then refused", func(t *testing.T) {
		endedWorld(t, func(w *world) {
			src := w.cache.Session("session", w.login())
			w.srv.Update(func(b *tokentest.Behavior) { b.Unauthorized = rejects("/closed") })
			_ = w.get(w.client(src), "/closed")
			time.Sleep(57 * time.Minute)
			w.srv.Fail("token", -1, invalidGrant)
			w.token(src)
			synctest.Wait()
			w.wantEnded(src)
		})
	})
	t.Run("of a password", func(t *testing.T) {
		endedWorld(t, func(w *world) {
			src := w.cache.Password("alice", "wonderland")
			w.refusedRenewal(src)
			w.srv.RevokeAll()
			if got := w.get(w.client(src), "/a"); got != http.StatusUnauthorized {
				w.Errorf("the first caller got %d, want the API's 401", got)
			}
			if _, err := src.Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
				w.Errorf("got %v, want ErrInvalidGrant", err)
			}
		})
	})
	t.Run("not refused", func(t *testing.T) {
		endedWorld(t, func(w *world) {
			src := w.cache.Session("session", w.login())
			w.token(src)
			w.srv.Fail("token", 1, tokentest.Fault{Status: http.StatusServiceUnavailable})
			w.srv.Update(func(b *tokentest.Behavior) { b.Unauthorized = rejects("/closed") })
			_ = w.get(w.client(src), "/closed")
			if got := w.get(w.client(src), "/a"); got != http.StatusOK {
				w.Errorf("another path: %d, want 200", got)
			}
		})
	})
	t.Run("not rejected", func(t *testing.T) {
		endedWorld(t, func(w *world) {
			src := w.cache.Session("session", w.login())
			w.refusedRenewal(src)
			if got := w.get(w.client(src), "/a"); got != http.StatusOK {
				w.Errorf("the token that is valid: %d, want 200", got)
			}
		})
	})
	t.Run("without a refresh token", func(t *testing.T) {
		endedWorld(t, func(w *world) {
			saved := w.fullLogin()
			saved.RefreshToken = ""
			src := w.cache.Session("session", saved)
			w.srv.Update(func(b *tokentest.Behavior) { b.Unauthorized = rejects("/closed") })
			_ = w.get(w.client(src), "/closed")
			if got := w.get(w.client(src), "/a"); got != http.StatusOK {
				w.Errorf("another path: %d, want 200", got)
			}
		})
	})
	t.Run("not the client's own", func(t *testing.T) {
		endedWorld(t, func(w *world) {
			src := w.cache.ClientCredentials()
			w.refusedRenewal(src)
			w.srv.Update(func(b *tokentest.Behavior) { b.Unauthorized = rejects("/closed") })
			_ = w.get(w.client(src), "/closed")
			if got := w.get(w.client(src), "/a"); got != http.StatusOK {
				w.Errorf("another path: %d, want 200", got)
			}
		})
	})
}

func TestNewLoginReplacesAnEndedSession(t *testing.T) {
	endedWorld(t, func(w *world) {
		src := w.cache.Session("session", w.login())
		w.refusedRenewal(src)
		w.srv.RevokeAll()
		_ = w.get(w.client(src), "/a")
		w.wantEnded(src)
		w.srv.ClearFaults()
		fresh := w.cache.Session("session", w.login())
		if got := w.get(w.client(fresh), "/a"); got != http.StatusOK {
			w.Errorf("the new login: %d, want 200", got)
		}
		if got := w.get(w.client(src), "/a"); got != http.StatusOK {
			w.Errorf("the session's other source: %d, want 200", got)
		}
	})
}

func TestRefusedLoginDoesNotEndTheSessionThatItWouldReplace(t *testing.T) {
	endedWorld(t, func(w *world) {
		src := w.cache.Session("session", w.login())
		w.token(src)
		w.srv.Update(func(b *tokentest.Behavior) { b.Unauthorized = rejects("/closed") })
		_ = w.get(w.client(src), "/closed") // renewed, and rejected again
		bogus := &oauth2.Token{RefreshToken: "unknown"}
		_, _ = w.cache.Session("session", bogus).Token()
		if _, err := w.cache.Session("session", bogus, "accounts").Token(); !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			w.Errorf("the refused token with another scope: %v, want ErrRefreshTokenSpent", err)
		}
		if got := w.get(w.client(src), "/a"); got != http.StatusOK {
			w.Errorf("the session: %d, want 200", got)
		}
	})
}

// A session that nobody asks for any more leaves when its access token has ended.
func TestRefusedSessionsDoNotFillTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := minimal()
		cfg.HTTPClient = &http.Client{Transport: fixedAnswer{status: http.StatusBadRequest, body: `{"error":"invalid_grant"}`}}
		cache, err := tokencache.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		ask := func(from, to int) {
			for i := from; i < to; i++ {
				saved := hourToken(fmt.Sprint("access ", i))
				saved.RefreshToken = fmt.Sprint("refresh ", i)
				if _, err := cache.Session(fmt.Sprint("session ", i), saved).Token(); err != nil {
					t.Fatal(err)
				}
			}
		}
		ask(0, 1500)
		time.Sleep(57 * time.Minute)
		ask(0, 1500) // each is to be renewed, and refused
		synctest.Wait()
		time.Sleep(time.Hour)
		ask(1500, 2100)
		if got, _ := testhook.Sizes(cache); got > 1000 {
			t.Errorf("%d tokens are remembered, want the 600 that are valid", got)
		}
	})
}

func TestFirstSavedTokenIsNeverSentAgain(t *testing.T) {
	inBubble(t, tokentest.Behavior{Rotate: true, DetectReuse: true, Lifetime: 5 * time.Minute}, nil, func(w *world) {
		first := w.login()
		src := w.cache.Session("session", first)
		for range 4200 { // two weeks
			w.token(src)
			time.Sleep(5 * time.Minute)
		}
		w.token(w.cache.Session("session", first))
		w.token(src)
		w.wantNoReuse()
	})
}

// With another scope it is another token of the same session.
func TestSavedTokenIsRememberedWhateverScopeItIsUsedFor(t *testing.T) {
	inBubble(t, tokentest.Behavior{Rotate: true, DetectReuse: true, Lifetime: time.Minute}, nil, func(w *world) {
		mine := w.login()
		w.token(w.cache.Session("mine", mine))
		var others []*tokencache.Source
		for i := range 50 {
			others = append(others, w.cache.Session(fmt.Sprint("other ", i), w.login()))
		}
		for range 100 {
			for _, other := range others {
				w.token(other)
			}
			time.Sleep(time.Minute)
		}
		if _, err := w.cache.Session("mine", mine, "accounts").Token(); !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
			w.Errorf("after 5,000 refreshes of other sessions: %v, want ErrRefreshTokenSpent", err)
		}
		w.wantNoReuse()
	})
}

// A mint is an authorization server without a network, whose every answer has new tokens.
type mint struct{ issued int }

func (m *mint) RoundTrip(req *http.Request) (*http.Response, error) {
	m.issued++
	body := fmt.Sprintf(`{"access_token":"a-%d","refresh_token":"r-%d","expires_in":10}`, m.issued, m.issued)
	return fixedAnswer{status: http.StatusOK, body: body}.RoundTrip(req)
}

func TestSessionCostsAtMostSixKilobytes(t *testing.T) {
	const sessions, rotations, most = 300, 150, 6 << 10
	synctest.Test(t, func(t *testing.T) {
		cfg := minimal()
		cfg.RevokeURL = "https://as.example.com/revoke"
		cfg.HTTPClient = &http.Client{Transport: &mint{}}
		cache, err := tokencache.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		for range rotations {
			for i := range sessions {
				saved := &oauth2.Token{RefreshToken: fmt.Sprint("saved ", i)}
				if _, err := cache.Session(fmt.Sprint("session ", i), saved).Token(); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(11 * time.Second)
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if got := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / sessions; got > most {
			t.Errorf("%d bytes per session, want at most %d", got, most)
		}
		runtime.KeepAlive(cache)
	})
}

// twoLogins makes a source for every request, in turn from two saved tokens of one session.
func twoLogins(w *world, requests int) (saved [2]*oauth2.Token) {
	saved = [2]*oauth2.Token{w.fullLogin(), w.fullLogin()}
	for i := range requests {
		w.token(w.cache.Session("session", saved[i%2]))
	}
	return saved
}

func TestTwoLoginsOfOneSessionDoNotFillTheMemory(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: time.Hour}, nil, func(w *world) {
		twoLogins(w, 10_000)
		if current, superseded := testhook.Sizes(w.cache); current != 1 || superseded > 2 {
			w.Errorf("%d current and %d superseded tokens are remembered, want one of each login", current, superseded)
		}
	})
}

// The application may have saved the rotated token before the user logged in again.
func TestRotatedTokenOfAnEarlierLoginIsIgnored(t *testing.T) {
	var rotated *oauth2.Token
	save := func(cfg *tokencache.Config) {
		cfg.Hooks.NewToken = func(_ context.Context, _ tokencache.FetchInfo, tok *oauth2.Token) error {
			rotated = tok
			return nil
		}
	}
	inBubble(t, tokentest.Behavior{Rotate: true}, save, func(w *world) {
		w.token(w.cache.Session("session", w.login()))
		again := w.fullLogin()
		want := w.token(w.cache.Session("session", again))
		if got := w.token(w.cache.Session("session", rotated)); got != want || want != again.AccessToken {
			w.Error("the token of the earlier login has replaced the one of the later")
		}
		src := w.cache.Session("session", nil)
		if err := src.Revoke(w.Context()); err != nil {
			w.Fatal(err)
		}
		w.wantDead()
		for _, saved := range []*oauth2.Token{rotated, again} {
			if _, err := w.cache.Session("session", saved).Token(); !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
				w.Errorf("after Revoke: %v, want ErrRefreshTokenSpent", err)
			}
		}
	})
}

func TestRevokeSendsOneRequestForEachToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{Lifetime: time.Hour}, nil, func(w *world) {
		saved := twoLogins(w, 10_000)
		if err := w.cache.Session("session", saved[0]).Revoke(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantDead()
		if got := w.srv.Count("revoke"); got != 4 {
			w.Errorf("%d revocations for 4 tokens", got)
		}
		var tokens []string
		for _, r := range w.srv.Requests() {
			if r.Endpoint == "revoke" {
				tokens = append(tokens, r.Form.Get("token"))
			}
		}
		slices.Sort(tokens)
		if len(slices.Compact(tokens)) != 4 {
			w.Error("a token was revoked twice")
		}
		for _, tok := range saved {
			if _, err := w.cache.Session("session", tok).Token(); !errors.Is(err, tokencache.ErrRefreshTokenSpent) {
				w.Errorf("after Revoke: %v, want ErrRefreshTokenSpent", err)
			}
		}
	})
}

// What a Revoke costs does not depend on the tokens of others.
func TestRevokeCostsWhatItsOwnTokensCost(t *testing.T) {
	const others, most = 20_000, 256 << 10
	serial := 0
	cfg := minimal()
	cfg.RevokeURL = "https://as.example.com/revoke"
	cfg.HTTPClient = &http.Client{Transport: fixedAnswer{status: http.StatusOK}}
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for i := range others {
		g := newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) {
			serial++
			return hourToken(fmt.Sprint("token ", serial)), nil
		})
		g.name = fmt.Sprint("user ", i)
		src := cache.Source(g)
		tok, err := src.Token()
		if err == nil {
			_, err = src.Rejected(t.Context(), tok, "https://api.example.com/operation")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, superseded := testhook.Sizes(cache); superseded != others {
		t.Fatalf("%d superseded tokens, want %d", superseded, others)
	}
	mine := cache.Source(newScripted(func(context.Context, int64, *oauth2.Token) (*oauth2.Token, error) { return hourToken("mine"), nil }))
	if _, err := mine.Token(); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := mine.Revoke(t.Context()); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > most {
		t.Errorf("%d bytes were allocated, want at most %d", got, most)
	}
}

// The user logs in again at once.
func TestNewLoginReplacesASessionThatHasJustEnded(t *testing.T) {
	endedWorld(t, func(w *world) {
		src := w.cache.Session("session", w.login())
		w.refusedRenewal(src)
		w.srv.RevokeAll()
		_ = w.get(w.client(src), "/a")
		w.srv.ClearFaults()
		w.token(w.cache.Session("session", w.login()))
		w.token(src)
	})
}

// The earlier login is held off, the new one is not, also when its first access token has expired.
func TestNewLoginIsNotHeldOffForAnEarlierOne(t *testing.T) {
	inBubble(t, tokentest.Behavior{Rotate: true, Lifetime: time.Minute}, nil, func(w *world) {
		src := w.cache.Session("session", w.fullLogin())
		w.token(src)
		w.srv.RevokeAll()
		w.srv.Fail("token", -1, invalidGrant)
		for range 10 {
			_, _ = src.Token()
			time.Sleep(time.Minute)
		}
		w.srv.ClearFaults()
		fresh := w.cache.Session("session", w.fullLogin())
		w.token(fresh)
		time.Sleep(time.Minute)
		w.token(fresh)
	})
}

func TestEndedSessionShowsAfterARefusedLogin(t *testing.T) {
	endedWorld(t, func(w *world) {
		src := w.cache.Session("session", w.login())
		w.refusedRenewal(src)
		w.srv.RevokeAll()
		_ = w.get(w.client(src), "/a")
		if _, err := w.cache.Session("session", &oauth2.Token{RefreshToken: "unknown"}).Token(); !errors.Is(err, tokencache.ErrInvalidGrant) {
			w.Errorf("the new login: %v, want ErrInvalidGrant", err)
		}
		w.wantEnded(src)
	})
}

// A caller with a new login can meet the fetch of an earlier one.
func TestNewLoginDoesNotGetTheOutcomeOfAnEarlierOne(t *testing.T) {
	for name, fault := range map[string]tokentest.Fault{
		"refused": {Status: http.StatusBadRequest, Body: `{"error":"invalid_grant"}`, Latency: 3 * time.Second},
		"renewed": {Latency: 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, rotating, nil, func(w *world) {
				src := w.cache.Session("session", w.login())
				w.token(src)
				login := w.fullLogin()
				time.Sleep(10 * time.Second)
				login.Expiry = time.Time{}
				w.srv.Fail("token", 1, fault)
				go func() { _, _ = src.Token() }()
				time.Sleep(time.Second)
				got := callers(100, w.cache.Session("session", login), background)
				for _, o := range got {
					if o.err != nil || o.token != login.AccessToken {
						w.Fatalf("got %v, %v; want the token of the new login", o.token, o.err)
					}
				}
			})
		})
	}
}
