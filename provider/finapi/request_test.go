package finapi_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/finapi"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

func TestEveryTokenRequestCarriesTheClientCredentials(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		w.flow()
		w.wantGrants("client_credentials password refresh_token")
		for _, x := range w.requests("/oauth/token") {
			if x.Body["client_id"] != "client-id" || x.Body["client_secret"] != "[redacted]" {
				w.Errorf("the client credentials are not in the body of %s", x)
			}
			if slices.Contains(x.Header, "Authorization") {
				w.Errorf("the client credentials are sent twice in %s", x)
			}
		}
	})
}

func TestTokenParametersAreInTheBody(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		w.flow()
		for _, x := range w.requests("/oauth/token") {
			if len(x.Query) != 0 {
				w.Errorf("parameters in the URL: %s", x)
			}
		}
	})
}

func TestTokenRequestsAreForms(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		w.flow() // the emulator answers 415 to anything else
		for _, x := range w.requests("/oauth/token") {
			if x.Status != http.StatusOK || !slices.Contains(x.Header, "Content-Type") {
				w.Errorf("got %s, want a form and 200", x)
			}
		}
	})
}

func TestTheClientIsAuthorizedWithClientCredentials(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		w.wantCall(w.cache.ClientCredentials(), "/api/v1/clientConfiguration", http.StatusOK)
		w.wantGrants("client_credentials")
	})
}

func TestAUserIsAuthorizedWithThePassword(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		w.wantCall(w.cache.Password("alice", "wonderland"), "/api/v1/users", http.StatusOK)
		x := w.requests("/oauth/token")[0]
		if x.Body["grant_type"] != "password" || x.Body["username"] != "alice" || x.Body["password"] != "[redacted]" {
			w.Errorf("got %s", x)
		}
	})
}

func TestEveryServiceCallCarriesAnAccessToken(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		alice := w.cache.Password("alice", "wonderland")
		for range 3 {
			w.wantCall(alice, "/api/v1/accounts", http.StatusOK) // 401 without one
		}
	})
}

func TestTheSchemeIsBearerThoughTokenTypeIsLowerCase(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		var sent string
		w.srv.Update(func(b *finapitest.Behavior) {
			b.API = http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { sent = r.Header.Get("Authorization") })
		})
		alice := w.cache.Password("alice", "wonderland")
		w.wantCall(alice, "/api/v1/accounts", http.StatusOK)
		if want := "Bearer " + w.token(alice); sent != want {
			w.Errorf("the Authorization header is not Bearer and the token (%d bytes, want %d)", len(sent), len(want))
		}
		if got := w.requests("/oauth/token")[0].Answer["token_type"]; got != "bearer" {
			w.Errorf("the emulator answers token_type %q, want bearer", got)
		}
	})
}

func TestTheAccessTokenIsNeverARequestParameter(t *testing.T) {
	bothVersions(t, finapitest.Behavior{}, func(w *world) {
		w.flow()
		for _, x := range w.srv.Transcript() {
			if _, ok := x.Query["access_token"]; ok {
				w.Errorf("the access token is in the query: %s", x)
			}
			if _, ok := x.Body["access_token"]; ok {
				w.Errorf("the access token is in the body: %s", x)
			}
		}
	})
}

func TestATokenIsRequestedOnceAndReused(t *testing.T) {
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		for range 100 {
			w.wantCall(w.cache.Password("alice", "wonderland"), "/api/v1/accounts", http.StatusOK)
		}
		w.wantGrants("password")
	})
}

func TestOneClientServesAccessAndWebForm(t *testing.T) {
	for _, o := range []struct {
		options finapi.Options
		want    []string
	}{
		{finapi.Options{}, []string{"https://sandbox.finapi.io", "https://webform-sandbox.finapi.io"}},
		{finapi.Options{BaseURL: "https://live.finapi.io/"}, []string{"https://live.finapi.io", "https://webform-live.finapi.io"}},
		{finapi.Options{BaseURL: "https://finapi.example.com"}, []string{"https://finapi.example.com"}},
	} {
		if got := finapi.Origins(o.options); !slices.Equal(got, o.want) {
			t.Errorf("Origins(%v): got %v, want %v", o.options, got, o.want)
		}
	}
	inBubble(t, finapitest.Behavior{}, nil, func(w *world) {
		webForm, other := finapitest.NewPipe(finapitest.Behavior{}), finapitest.NewPipe(finapitest.Behavior{})
		defer webForm.Close()
		defer other.Close()
		client := &http.Client{Transport: &tokencache.Transport{
			Source: w.cache.Password("alice", "wonderland"), Base: w.srv.Client().Transport,
			Origins: append(finapi.Origins(w.srv.Options()), webForm.URL),
		}}
		for _, host := range []string{w.srv.URL, webForm.URL, other.URL} {
			resp, err := client.Get(host + "/api/webForms")
			if err != nil {
				w.Fatal(err)
			}
			resp.Body.Close()
		}
		sawToken := func(e *finapitest.Emulator) bool {
			return slices.ContainsFunc(e.Transcript(), func(x emulator.Exchange) bool {
				return x.Path == "/api/webForms" && slices.Contains(x.Header, "Authorization")
			})
		}
		if !sawToken(w.srv) || !sawToken(webForm) || sawToken(other) {
			w.Errorf("token sent to Access, Web Form, another host: %v, %v, %v; want true, true, false",
				sawToken(w.srv), sawToken(webForm), sawToken(other))
		}
	})
}

func TestTheURLsOfBothVersions(t *testing.T) {
	for _, row := range []struct {
		options       finapi.Options
		token, revoke string
	}{
		{finapi.Options{}, "https://sandbox.finapi.io/oauth/token", "https://sandbox.finapi.io/oauth/revoke"},
		{
			finapi.Options{BaseURL: finapi.LiveURL, Version: finapi.V2},
			"https://live.finapi.io/api/v2/oauth/token", "https://live.finapi.io/api/v2/oauth/revoke",
		},
		{
			finapi.Options{BaseURL: "http://localhost:8080/proxy/"},
			"http://localhost:8080/proxy/oauth/token", "http://localhost:8080/proxy/oauth/revoke",
		},
	} {
		cfg := finapi.Config(row.options, "id", "secret")
		if cfg.TokenURL != row.token || cfg.RevokeURL != row.revoke {
			t.Errorf("%v: got %s and %s, want %s and %s", row.options, cfg.TokenURL, cfg.RevokeURL, row.token, row.revoke)
		}
		if _, err := tokencache.New(cfg); err != nil {
			t.Error(err)
		}
	}
}
