package moov_test

import (
	"testing"
	"time"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/moov/moovtest"
)

// refreshing is a grant that uses the refresh token issued with client_credentials.
var refreshing = tokencache.ClientCredentialsGrant{Scopes: []string{read}, UseRefreshToken: true}

func TestRefreshTokenIsNotUsedByDefault(t *testing.T) {
	setup{options: withOrigin}.run(t, func(w *world) {
		src := w.cache.ClientCredentials(read)
		first := w.token(src)
		time.Sleep(16 * time.Minute)
		if w.token(src) == first {
			w.Error("an expired token was returned")
		}
		w.wantGrants("client_credentials", "client_credentials")
	})
}

func TestRefreshTokenIsUsedIfTheGrantAsksForIt(t *testing.T) {
	for _, rotate := range []bool{false, true} {
		setup{behavior: moovtest.Behavior{Rotate: rotate}, options: withOrigin}.run(t, func(w *world) {
			src := w.cache.Source(refreshing)
			for range 3 {
				w.wantStatus(src, "GET", "/accounts", 200)
				time.Sleep(16 * time.Minute)
			}
			w.wantGrants("client_credentials", "refresh_token", "refresh_token")
			for _, x := range w.exchanges(tokenPath) {
				wantEqual(w, "status", x.Status, 200)
			}
			wantEqual(w, "scope of a refresh", w.exchanges(tokenPath)[1].Body["scope"], "")
		})
	}
}

func TestRefusedRefreshTokenFallsBackToClientCredentials(t *testing.T) {
	for _, status := range []int{422, 400} {
		for _, rotate := range []bool{false, true} {
			b := moovtest.Behavior{RefreshLifetime: 10 * time.Minute, RefuseRefresh400: status == 400, Rotate: rotate}
			setup{behavior: b, options: withOrigin}.run(t, func(w *world) {
				src := w.cache.Source(refreshing)
				w.token(src)
				time.Sleep(16 * time.Minute)
				w.wantStatus(src, "GET", "/accounts", 200)
				w.wantGrants("client_credentials", "refresh_token", "client_credentials")
				wantEqual(w, "refusal", w.exchanges(tokenPath)[1].Status, status)
			})
		}
	}
}
