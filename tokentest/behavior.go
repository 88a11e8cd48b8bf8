package tokentest

import (
	"maps"
	"net/http"
	"time"
)

// Behavior configures a [Server]. The zero value is a server that follows the RFCs.
//
// Its functions and its handler must be safe for concurrent use. They may call any method of the
// server except Close.
type Behavior struct {
	// ClientID and ClientSecret are the credentials of the one client. Default: "client" and "secret".
	ClientID, ClientSecret string

	// ClientAuth is how the client must authenticate: "client_secret_basic" (form-encoded, RFC 6749
	// section 2.3.1), "client_secret_basic_raw" (not encoded), "client_secret_post" or "none" (a
	// client_id in the body and no secret). Default: any of the first three.
	ClientAuth string

	// Users maps user names to passwords, for the password grant. Default: "alice" with "wonderland".
	Users map[string]string

	// LockAfter is the number of consecutive wrong passwords that locks a user and revokes the user's
	// tokens. The last of them is still answered 400, every later password 423. Default: never.
	LockAfter int

	// Lifetime is the lifetime of access tokens. If it is negative, they never expire and expires_in
	// is not sent. Default: one hour.
	Lifetime time.Duration

	// ExpiresIn returns the expires_in of a token with this remaining lifetime, or nil to omit the
	// field. For a token that never expires, remaining is negative. Default: whole seconds, rounded
	// up.
	ExpiresIn func(remaining time.Duration) any

	// TokenType is the token_type of every answer. The API accepts it as an authentication scheme,
	// besides Bearer. Default: "Bearer".
	TokenType string

	// Extra holds additional fields of token answers. They replace fields of the same name; a nil
	// value omits a field. Default: none.
	Extra map[string]any

	// RefreshTokens adds a refresh token to the answers to client_credentials. The answers to the
	// password and refresh_token grants always have one, unless NoRefreshTokens is set.
	RefreshTokens bool

	// NoRefreshTokens omits the refresh token from all answers, and disables rotation. Existing
	// refresh tokens stay valid.
	NoRefreshTokens bool

	// Rotate replaces the refresh token in each refresh, and spends the old one. Default: the answer
	// repeats the old one.
	Rotate bool

	// DetectReuse revokes the whole family of a spent refresh token that is used again, including the
	// access tokens.
	DetectReuse bool

	// SameToken makes the client_credentials and password grants return the same access token for the
	// same parameters while it is valid, with an expires_in that counts down.
	SameToken bool

	// SingleToken revokes the access tokens of a subject (the client, or a user) whenever it gets a
	// new one.
	SingleToken bool

	// TokenLatency, RevokeLatency and APILatency are how long an endpoint waits after reading a
	// request and before acting on it. If the client goes away in the meantime, the request has no
	// effect. Default: 0.
	TokenLatency, RevokeLatency, APILatency time.Duration

	// Unauthorized reports whether the API answers a request with 401 whatever its token. It must not
	// read the body. Default: never.
	Unauthorized func(*http.Request) bool

	// API handles the requests whose token was accepted, except /redirect. Default: it reads the body
	// and answers 200 and {"path": ..., "subject": ..., "body_bytes": ...}.
	API http.Handler

	// Answer401 is the body of the API's 401, which always has the header WWW-Authenticate: Bearer
	// error="invalid_token". Default: {"error":"invalid_token"}.
	Answer401 string
}

// withDefaults returns a copy with the defaults filled in. The copy shares no map with b.
func (b Behavior) withDefaults() *Behavior {
	if b.ClientID == "" {
		b.ClientID = "client"
	}
	if b.ClientSecret == "" {
		b.ClientSecret = "secret"
	}
	if b.Users == nil {
		b.Users = map[string]string{"alice": "wonderland"}
	}
	b.Users = maps.Clone(b.Users)
	if b.Lifetime == 0 {
		b.Lifetime = time.Hour
	}
	if b.TokenType == "" {
		b.TokenType = "Bearer"
	}
	if b.Extra == nil {
		b.Extra = map[string]any{}
	}
	b.Extra = maps.Clone(b.Extra)
	if b.Answer401 == "" {
		b.Answer401 = `{"error":"invalid_token"}`
	}
	return &b
}

// Update changes the behavior of the running server. change receives the current Behavior with its
// defaults filled in; a field that it sets to the zero value gets its default. change must not call
// Update. A request sees all of a change or none of it; a request that waits out a latency sees the
// behavior at the end of the wait.
func (s *Server) Update(change func(*Behavior)) {
	s.updating.Lock()
	defer s.updating.Unlock()
	b := s.behavior.Load().withDefaults()
	change(b)
	s.behavior.Store(b.withDefaults())
}
