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

// server is the authorization server and API of the examples.
func server(b tokentest.Behaviour) *tokentest.Server { return tokentest.New(b) }

func Example() {
	srv := server(tokentest.Behaviour{})
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
	srv := server(tokentest.Behaviour{})
	defer srv.Close()
	cache := exampleCache(srv)
	existing := &http.Client{Timeout: 10 * time.Second}

	existing.Transport = &tokencache.Transport{
		Source: cache.ClientCredentials("accounts.read"),
		Base:   existing.Transport,
	}
	srv.RevokeAll() // a 401 is healed
	resp, err := existing.Get(srv.URL + "/accounts")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
	// Output: 200 OK
}

// One client serves many users: the source travels in the request's context.
func ExampleWithSource() {
	srv := server(tokentest.Behaviour{})
	defer srv.Close()
	cache := exampleCache(srv)
	client := &http.Client{Transport: &tokencache.Transport{}}

	alice := cache.Password("alice", "wonderland")
	ctx := tokencache.WithSource(context.Background(), alice)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/profile", nil)
	if err != nil {
		log.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	fmt.Println(resp.Status, string(body))
	// Output: 200 OK {"body_bytes":0,"path":"/profile","subject":"alice"}
}

// A user's session goes on from a saved refresh token; rotated ones are saved before anybody uses the new token.
func ExampleCache_RefreshToken() {
	srv := server(tokentest.Behaviour{Rotate: true, DetectReuse: true})
	defer srv.Close()
	var mu sync.Mutex // guards database
	database := map[string]*oauth2.Token{}

	cache, err := tokencache.New(tokencache.Config{
		TokenURL: srv.TokenURL(), ClientID: "client", Auth: tokencache.ClientSecretBasic("secret"),
		Hooks: tokencache.Hooks{NewToken: func(_ context.Context, f tokencache.Fetch, tok *oauth2.Token) {
			if f.Grant == "refresh_token" {
				mu.Lock()
				defer mu.Unlock()
				database[f.Subject] = tok
			}
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	saved, err := cache.RequestToken(context.Background(), map[string][]string{ // what a login would have left
		"grant_type": {"password"}, "username": {"alice"}, "password": {"wonderland"},
	})
	if err != nil {
		log.Fatal(err)
	}
	saved.Expiry = time.Now() // the access token has expired since

	tok, err := cache.RefreshToken("session-4711", saved).Token()
	fmt.Println(tok.Valid(), err, database["session-4711"].RefreshToken != saved.RefreshToken)
	// Output: true <nil> true
}

// Parameters beyond scopes are fields of the grants, and part of what tells tokens apart.
func ExampleClientCredentialsGrant() {
	srv := server(tokentest.Behaviour{})
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

// A foreign token source gets the same treatment: one fetch for all callers, renewal, a memory for failures.
func ExampleTokenSourceGrant() {
	cache, err := tokencache.New(tokencache.Config{
		TokenURL: "https://as.example.com/token", ClientID: "client", Auth: tokencache.NoClientAuth(),
	})
	if err != nil {
		log.Fatal(err)
	}
	foreign := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "from-elsewhere"})

	tok, err := cache.Source(tokencache.TokenSourceGrant("vault", foreign)).Token()
	fmt.Println(tok.AccessToken, err)
	// Output: from-elsewhere <nil>
}

// Errors can be told apart, and a wrong password is not sent again and again until the user is locked out.
func ExampleError() {
	srv := server(tokentest.Behaviour{})
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
