package peers

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/peer"
)

// setup returns a setup whose fetches return the token that the test API accepts.
func setup() peer.Setup {
	return peer.Setup{
		Fetch: func(context.Context) (peer.Token, error) {
			return peer.Token{Value: "the-token", Expiry: time.Now().Add(time.Hour)}, nil
		},
		Window: time.Minute, Margin: time.Second, Base: http.DefaultTransport,
	}
}

func TestEveryPeerReturnsTheToken(t *testing.T) {
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			if p.Tokens == nil && !p.HasClient() {
				t.Error("the peer has neither tokens nor a client")
			}
			if p.Tokens == nil {
				return
			}
			for range 2 {
				if got, err := p.Tokens(setup())(context.Background()); got != "the-token" || err != nil {
					t.Errorf("token: got %q, %v", got, err)
				}
			}
			user := p.NewUsers(setup(), func(string) peer.Fetch { return setup().Fetch })
			if got, err := user(context.Background(), "alice"); got != "the-token" || err != nil {
				t.Errorf("token of a user: got %q, %v", got, err)
			}
		})
	}
}

func TestEveryClientSendsTheToken(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer the-token" {
			w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+r.Host+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.Copy(w, r.Body)
	}))
	defer server.Close()
	for _, p := range All() {
		if !p.HasClient() {
			continue
		}
		t.Run(p.Name, func(t *testing.T) {
			resp, err := p.NewClient(setup()).Do(newRequest(t, server.URL))
			if err == nil {
				resp.Body.Close()
			}
			if err == nil && resp.StatusCode != http.StatusOK {
				t.Errorf("status: got %d, want 200", resp.StatusCode)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

func newRequest(t *testing.T, address string) *http.Request {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	return req
}
