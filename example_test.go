package tokencache_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

// server starts the authorization server and API of the examples.
func server(b tokentest.Behavior) *tokentest.Server { return tokentest.New(b) }

func Example() {
	srv := server(tokentest.Behavior{})
	defer srv.Close()

	cache, err := tokencache.New(tokencache.Config{
		TokenURL:  srv.TokenURL(),
		RevokeURL: srv.RevokeURL(),
		ClientID:  "client",
		Auth:      tokencache.ClientSecretBasic("secret"),
	})
	if err != nil {
		log.Fatal(err)
	}
	client := cache.ClientCredentials("accounts.read").Client()

	resp, err := client.Get(srv.URL + "/accounts")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println(cache.Shutdown(ctx), len(srv.Live()))
	// Output:
	// 200 OK
	// <nil> 0
}

// An existing client keeps its transport, its timeout and its cookie jar.
func ExampleTransport() {
	srv := server(tokentest.Behavior{})
	defer srv.Close()
	cache := exampleCache(srv)
	existing := &http.Client{Timeout: 10 * time.Second}

	existing.Transport = &tokencache.Transport{
		Source: cache.ClientCredentials("accounts.read"),
		Base:   existing.Transport,
	}
	for range 2 {
		resp, err := existing.Get(srv.URL + "/accounts")
		if err != nil {
			log.Fatal(err)
		}
		resp.Body.Close()
		fmt.Println(resp.Status)
		srv.RevokeAll() // the API answers 401 to the next request, which is repeated with a new token
	}
	fmt.Println(srv.Count("token"), "token requests")
	// Output:
	// 200 OK
	// 200 OK
	// 2 token requests
}

// One client can serve many users: each request has a source in its context.
func ExampleWithSource() {
	srv := server(tokentest.Behavior{})
	defer srv.Close()
	cache := exampleCache(srv)
	users := &http.Client{Transport: &tokencache.Transport{}}

	alice := cache.Password("alice", "wonderland")
	ctx := tokencache.WithSource(context.Background(), alice)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/profile", nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := users.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body))
	// Output: 200 OK {"body_bytes":0,"path":"/profile","subject":"alice"}
}

// A user's session continues from a saved refresh token. A rotated one is saved in Hooks.NewToken,
// before the new access token is used.
func ExampleCache_Session() {
	srv := server(tokentest.Behavior{Rotate: true, DetectReuse: true})
	defer srv.Close()
	var mu sync.Mutex // guards database
	database := map[string]*oauth2.Token{}

	cache, err := tokencache.New(tokencache.Config{
		TokenURL: srv.TokenURL(), ClientID: "client", Auth: tokencache.ClientSecretBasic("secret"),
		Hooks: tokencache.Hooks{NewToken: func(_ context.Context, f tokencache.FetchInfo, tok *oauth2.Token) error {
			if f.Grant == "refresh_token" {
				mu.Lock()
				defer mu.Unlock()
				database[f.Subject] = tok
			}
			return nil
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	saved, err := cache.RequestToken(context.Background(), map[string][]string{ // as after a login
		"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"},
	})
	if err != nil {
		log.Fatal(err)
	}
	saved.Expiry = time.Now() // the access token has expired since

	tok, err := cache.Session("session-4711", saved).Token()
	fmt.Println(tok.Valid(), err, database["session-4711"].RefreshToken != saved.RefreshToken)
	// Output: true <nil> true
}

// Further parameters are a field of the grant. Sources with different parameters have different
// tokens.
func ExampleClientCredentialsGrant() {
	srv := server(tokentest.Behavior{})
	defer srv.Close()
	cache := exampleCache(srv)

	src := cache.Source(tokencache.ClientCredentialsGrant{
		Scopes: []string{"accounts.read"},
		Params: map[string][]string{"audience": {"https://api.example.com"}},
	})
	_, err := src.Token()
	fmt.Println(err, srv.Requests()[0].Form.Get("audience"))
	// Output: <nil> https://api.example.com
}

// The cache fetches, renews and shares the tokens of any oauth2.TokenSource like those of its own
// grants.
func ExampleFuncGrant() {
	cache, err := tokencache.New(tokencache.Config{
		TokenURL: "https://as.example.com/token", ClientID: "client", Auth: tokencache.NoClientAuth(),
	})
	if err != nil {
		log.Fatal(err)
	}
	foreign := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "from-elsewhere"})

	tok, err := cache.Source(sourceGrant("vault", foreign)).Token()
	fmt.Println(tok.AccessToken, err)
	// Output: from-elsewhere <nil>
}

// An Error tells what failed. A refused password is held off, so that the user is not locked out.
func ExampleError() {
	srv := server(tokentest.Behavior{})
	defer srv.Close()
	cache := exampleCache(srv)
	src := cache.Password("alice", "typo")

	for range 1000 {
		_, err := src.Token()
		if errors.Is(err, tokencache.ErrHeldOff) {
			continue // answered from memory
		}
		var failed *tokencache.Error
		if errors.As(err, &failed) && errors.Is(err, tokencache.ErrInvalidGrant) {
			fmt.Println(failed.StatusCode, failed.Code, failed.Permanent)
		}
	}
	fmt.Println(srv.Count("token"), "token request")
	// Output:
	// 400 invalid_grant true
	// 1 token request
}

func exampleCache(srv *tokentest.Server) *tokencache.Cache {
	cache, err := tokencache.New(tokencache.Config{
		TokenURL: srv.TokenURL(), RevokeURL: srv.RevokeURL(), ClientID: "client",
		Auth: tokencache.ClientSecretBasic("secret"),
	})
	if err != nil {
		log.Fatal(err)
	}
	return cache
}
