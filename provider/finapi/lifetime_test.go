package finapi_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

func TestTheLifetimeComesFromExpiresIn(t *testing.T) {
	for _, lifetime := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour, 57 * 365 * 24 * time.Hour} {
		inBubble(t, finapitest.Behavior{ClientLifetime: lifetime}, nil, func(w *world) {
			tok, err := w.cache.ClientCredentials().Token()
			if err != nil {
				w.Fatal(err)
			}
			if got := time.Until(tok.Expiry); got != lifetime {
				w.Errorf("got a lifetime of %v, want %v", got, lifetime)
			}
		})
	}
}

func TestExpiresInZeroMeansNever(t *testing.T) {
	inBubble(t, finapitest.Behavior{ClientLifetime: -1}, nil, func(w *world) {
		app := w.cache.ClientCredentials()
		for range 20 {
			w.wantCall(app, "/api/v1/clientConfiguration", http.StatusOK)
			time.Sleep(365 * 24 * time.Hour)
		}
		w.wantGrants("client_credentials")
		if got := w.requests("/oauth/token")[0].Answer["expires_in"]; got != "0" {
			w.Errorf("the emulator answers expires_in %s, want 0", got)
		}
		w.srv.RevokeAll()
		w.wantCall(app, "/api/v1/clientConfiguration", http.StatusOK)
		w.wantGrants("client_credentials client_credentials")
		if err := w.cache.Shutdown(w.Context()); err != nil {
			w.Error(err)
		}
		w.wantNoLiveTokens()
	})
}

func TestMaxAgeLimitsATokenThatNeverExpires(t *testing.T) {
	limit := func(cfg *tokencache.Config) { cfg.MaxAge = time.Hour }
	inBubble(t, finapitest.Behavior{ClientLifetime: -1}, limit, func(w *world) {
		w.token(w.cache.ClientCredentials())
		time.Sleep(2 * time.Hour)
		w.token(w.cache.ClientCredentials())
		w.wantGrants("client_credentials client_credentials")
	})
}

// finAPI issues the same token until it expires, so an early renewal gains nothing. It is unknown
// whether expires_in is the remaining or the whole lifetime.
func TestFewRequestsWhileTheSameTokenIsAboutToExpire(t *testing.T) {
	for _, whole := range []bool{false, true} {
		b := finapitest.Behavior{WholeLifetime: whole}
		inBubble(t, b, nil, func(w *world) {
			app := w.cache.ClientCredentials()
			w.token(app)
			time.Sleep(50 * time.Minute)
			for range 1200 { // twenty minutes, twice a second
				w.wantCall(app, "/api/v1/clientConfiguration", http.StatusOK)
				time.Sleep(time.Second / 2)
			}
			if n := w.srv.Count("/oauth/token"); n > 20 {
				w.Errorf("%d token requests around one expiry", n)
			}
			expired := 0
			for _, x := range w.requests("/clientConfiguration") {
				if x.Status == http.StatusUnauthorized {
					expired++
				}
			}
			// If expires_in is always the whole lifetime, it takes one 401 to find out.
			if most := map[bool]int{false: 0, true: 1}[whole]; expired > most {
				w.Errorf("an expired token was sent %d times, want at most %d", expired, most)
			}
		})
	}
}

// Another replica gets its first token shortly before that expires. With less than a second left,
// expires_in is 0.
func TestAReplicaThatStartsJustBeforeTheExpiryServesEveryRequest(t *testing.T) {
	for _, left := range []time.Duration{3 * time.Second, 1500 * time.Millisecond, 500 * time.Millisecond} {
		inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
			w.token(w.cache.ClientCredentials())
			time.Sleep(time.Hour - left)
			other := w.newReplica(w.srv.Options(), nil)
			before := w.srv.Count("/oauth/token")
			for range 1000 {
				w.wantCall(other.cache.ClientCredentials(), "/api/v1/clientConfiguration", http.StatusOK)
				time.Sleep(10 * time.Millisecond)
			}
			if n := w.srv.Count("/oauth/token") - before; n > 6 {
				w.Errorf("%v left: %d token requests in ten seconds", left, n)
			}
			expired := 0
			for _, x := range w.requests("/clientConfiguration") {
				if x.Status == http.StatusUnauthorized {
					expired++
				}
			}
			if most := map[bool]int{true: 1}[left < time.Second]; expired > most {
				w.Errorf("%v left: an expired token was sent %d times, want at most %d", left, expired, most)
			}
		})
	}
}
