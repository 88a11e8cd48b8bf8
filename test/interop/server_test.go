package interop_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/storage"
	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

const (
	clientID     = "service"
	clientSecret = "correct horse"
	user         = "peter"
	password     = "battery staple"
	offline      = "offline" // the scope that makes fosite issue a refresh token
	scope        = "accounts.read"
)

// A server is fosite with its token, revocation and introspection endpoints, and an API that
// accepts its access tokens.
type server struct {
	*testing.T
	http     *httptest.Server
	provider fosite.OAuth2Provider

	mu       sync.Mutex // serializes requests: fosite's MemoryStore has data races
	store    *storage.MemoryStore
	requests map[string]int // token requests by grant type, other requests by path
	refused  map[string]int // token requests that were refused, by error code
}

func newServer(t *testing.T) *server {
	t.Helper()
	config := &fosite.Config{
		GlobalSecret:        []byte("the secret that signs all tokens"),
		AccessTokenLifespan: time.Hour,
		HashCost:            4,
	}
	s := &server{T: t, store: storage.NewMemoryStore(), requests: map[string]int{}, refused: map[string]int{}}
	s.provider = compose.Compose(config, s.store, compose.NewOAuth2HMACStrategy(config),
		compose.OAuth2ClientCredentialsGrantFactory,
		//lint:ignore SA1019 the grant is deprecated, but tokencache supports it
		compose.OAuth2ResourceOwnerPasswordCredentialsFactory,
		compose.OAuth2RefreshTokenGrantFactory,
		compose.OAuth2TokenRevocationFactory,
		compose.OAuth2TokenIntrospectionFactory,
	)
	s.addClient(config, clientID, clientSecret)
	s.store.Users[user] = storage.MemoryUserRelation{Username: user, Password: password}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", s.locked(s.token))
	mux.HandleFunc("POST /revoke", s.locked(s.revoke))
	mux.HandleFunc("POST /introspect", s.locked(s.introspect))
	mux.HandleFunc("/api/", s.locked(s.api))
	s.http = httptest.NewServer(mux)
	t.Cleanup(s.http.Close)
	return s
}

func (s *server) addClient(config *fosite.Config, id, secret string) {
	s.Helper()
	hash, err := (&fosite.BCrypt{Config: config}).Hash(context.Background(), []byte(secret))
	if err != nil {
		s.Fatal(err)
	}
	s.store.Clients[id] = &fosite.DefaultClient{
		ID: id, Secret: hash, Scopes: []string{scope, offline},
		GrantTypes: fosite.Arguments{"client_credentials", "password", "refresh_token"},
	}
}

func (s *server) locked(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		handle(w, r)
	}
}

func (s *server) token(w http.ResponseWriter, r *http.Request) {
	s.requests[r.PostFormValue("grant_type")]++
	req, err := s.provider.NewAccessRequest(r.Context(), r, &fosite.DefaultSession{})
	if err != nil {
		s.refused[fosite.ErrorToRFC6749Error(err).ErrorField]++
		s.provider.WriteAccessError(r.Context(), w, req, err)
		return
	}
	for _, scope := range req.GetRequestedScopes() {
		req.GrantScope(scope)
	}
	resp, err := s.provider.NewAccessResponse(r.Context(), req)
	if err != nil {
		s.refused[fosite.ErrorToRFC6749Error(err).ErrorField]++
		s.provider.WriteAccessError(r.Context(), w, req, err)
		return
	}
	s.provider.WriteAccessResponse(r.Context(), w, req, resp)
}

func (s *server) revoke(w http.ResponseWriter, r *http.Request) {
	s.requests["/revoke"]++
	s.provider.WriteRevocationResponse(r.Context(), w, s.provider.NewRevocationRequest(r.Context(), r))
}

func (s *server) introspect(w http.ResponseWriter, r *http.Request) {
	resp, err := s.provider.NewIntrospectionRequest(r.Context(), r, &fosite.DefaultSession{})
	if err != nil {
		s.provider.WriteIntrospectionError(r.Context(), w, err)
		return
	}
	s.provider.WriteIntrospectionResponse(r.Context(), w, resp)
}

// api accepts every valid access token and echoes the request's body.
func (s *server) api(w http.ResponseWriter, r *http.Request) {
	s.requests["/api/"]++
	use, _, err := s.provider.IntrospectToken(r.Context(), fosite.AccessTokenFromRequest(r), fosite.AccessToken, &fosite.DefaultSession{})
	if err != nil || use != fosite.AccessToken {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		http.Error(w, "no", http.StatusUnauthorized)
		return
	}
	_, _ = io.Copy(w, r.Body)
}

// revokeAccessTokens revokes all access tokens at the server, but no refresh token, without the
// cache's knowledge.
func (s *server) revokeAccessTokens() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.store.AccessTokens)
}

// revokeAll revokes all tokens at the server, without the cache's knowledge.
func (s *server) revokeAll() {
	s.revokeAccessTokens()
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.store.RefreshTokenRequestIDs {
		if err := s.store.RevokeRefreshToken(context.Background(), id); err != nil {
			s.Error(err)
		}
	}
}

// want checks the number of requests with a grant type or path.
func (s *server) want(what string, n int) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.requests[what] != n {
		s.Errorf("%s requests: got %d, want %d", what, s.requests[what], n)
	}
}

// wantRefused checks the number of token requests that failed with the given error code.
func (s *server) wantRefused(code string, n int) {
	s.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused[code] != n {
		s.Errorf("answers with %s: got %d, want %d (all: %v)", code, s.refused[code], n, s.refused)
	}
}

// active reports whether the introspection endpoint (RFC 7662) calls the token active.
func (s *server) active(token, hint string) bool {
	s.Helper()
	form := url.Values{"token": {token}, "token_type_hint": {hint}}
	req, err := http.NewRequest(http.MethodPost, s.http.URL+"/introspect", strings.NewReader(form.Encode()))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(url.QueryEscape(clientID), url.QueryEscape(clientSecret))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer resp.Body.Close()
	var answer struct{ Active *bool }
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || resp.StatusCode != http.StatusOK || answer.Active == nil {
		s.Fatalf("introspection: status %d, error %v", resp.StatusCode, err)
	}
	return *answer.Active
}

// wantActive checks whether tok's access token, and its refresh token if there is one, are active.
func (s *server) wantActive(what string, tok *oauth2.Token, want bool) {
	s.Helper()
	if got := s.active(tok.AccessToken, "access_token"); got != want {
		s.Errorf("%s: access token active: got %v, want %v", what, got, want)
	}
	if tok.RefreshToken == "" {
		return
	}
	if got := s.active(tok.RefreshToken, "refresh_token"); got != want {
		s.Errorf("%s: refresh token active: got %v, want %v", what, got, want)
	}
}

// cache returns a cache for the server. It is closed when the test ends. change may be nil.
func (s *server) cache(change func(*tokencache.Config)) *tokencache.Cache {
	s.Helper()
	cfg := tokencache.Config{
		TokenURL: s.http.URL + "/token", RevokeURL: s.http.URL + "/revoke", ClientID: clientID,
		Auth: tokencache.ClientSecretBasic(clientSecret),
	}
	if change != nil {
		change(&cfg)
	}
	cache, err := tokencache.New(cfg)
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { cache.Close() })
	return cache
}

// login obtains a user's token as an application does that saves it for later: not through a
// source.
func (s *server) login() *oauth2.Token {
	s.Helper()
	tok, err := s.cache(nil).RequestToken(context.Background(), url.Values{
		"grant_type": {"password"}, "username": {user}, "password": {password}, "scope": {offline},
	})
	if err != nil {
		s.Fatal(err)
	}
	if tok.RefreshToken == "" {
		s.Fatal("the server issued no refresh token")
	}
	return tok
}

// get returns the source's token. It fails the test on an error.
func (s *server) get(src *tokencache.Source) *oauth2.Token {
	s.Helper()
	tok, err := src.Token()
	if err != nil {
		s.Fatal(err)
	}
	return tok
}

// reject tells the source that the API has rejected a token, and returns the one that replaces it. It
// fails the test on an error.
func (s *server) reject(src *tokencache.Source, tok *oauth2.Token) *oauth2.Token {
	s.Helper()
	next, err := src.Rejected(context.Background(), tok, s.target())
	if err != nil {
		s.Error(err)
		return tok
	}
	return next
}

// reset has the cache forget the renewals before, which are bounded.
func (s *server) reset(src *tokencache.Source) {
	s.Helper()
	if err := src.Reset(context.Background()); err != nil {
		s.Error(err)
	}
}

// renew replaces the source's token as if the API had rejected it, and had accepted the new one.
func (s *server) renew(src *tokencache.Source) {
	s.Helper()
	s.reset(src)
	src.Accepted(s.reject(src, s.get(src)), s.target(), time.Now())
}

// target returns what post sends its requests to, as a Transport calls it.
func (s *server) target() string { return "POST " + s.http.URL + "/api/transfers" }

// post sends a request to the API and reports whether it echoed the body. If not, the test fails.
func (s *server) post(client *http.Client) bool {
	s.Helper()
	const body = "transfer 5"
	resp, err := client.Post(s.http.URL+"/api/transfers", "text/plain", strings.NewReader(body))
	if err != nil {
		s.Error(err)
		return false
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || string(got) != body {
		s.Errorf("API: status %d, body %q, error %v", resp.StatusCode, got, err)
		return false
	}
	return true
}

// concurrently calls fn from n goroutines at the same time and waits for all of them.
func concurrently(n int, fn func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			fn(i)
		})
	}
	close(start)
	wg.Wait()
}
