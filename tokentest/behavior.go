package tokentest

import (
	"maps"
	"net/http"
	"time"
)

// Behaviour says what a [Server] does. It is plain data; the zero value is a
// server that follows the RFCs.
//
// The functions and the handler in it run concurrently, and may call the
// methods of the server except Close.
type Behaviour struct {
	// ClientID and ClientSecret are the one client that the server knows.
	// Default "client" and "secret".
	ClientID, ClientSecret string

	// ClientAuth is how the client has to authenticate:
	// "client_secret_basic" (form-encoded first, RFC 6749 section 2.3.1),
	// "client_secret_basic_raw" (not encoded), "client_secret_post" or "none"
	// (a client_id in the body and no secret).
	// Default "": each of the first three.
	ClientAuth string

	// Users are the passwords of the password grant, by user name.
	// Default {"alice": "wonderland"}.
	Users map[string]string

	// LockAfter is the number of wrong passwords in a row that locks a user:
	// that one is still answered 400, later ones 423, right or wrong, and all
	// the user's tokens are revoked. Default 0: never.
	LockAfter int

	// Lifetime of access tokens; if negative they never expire and expires_in
	// is not sent. Default one hour.
	Lifetime time.Duration

	// ExpiresIn returns what expires_in says about a token that has this much
	// left to live, or nil to leave it out. For a token that never expires,
	// remaining is negative. Default: whole seconds, rounded up.
	ExpiresIn func(remaining time.Duration) any

	// TokenType is the token_type of every answer; the API takes it as an
	// authentication scheme beside Bearer. Default "Bearer".
	TokenType string

	// Extra fields of every token answer. They replace the fields of the same
	// name, and a nil value leaves a field out. Default none.
	Extra map[string]any

	// RefreshTokens makes client_credentials answers carry a refresh token, as
	// those of the password and refresh_token grants do. Default false.
	RefreshTokens bool

	// NoRefreshTokens makes no answer carry a refresh token, and prevents
	// rotation; those that exist keep working. Default false.
	NoRefreshTokens bool

	// Rotate makes a refresh answer carry a new refresh token and spends the
	// one presented. Default false: the answer repeats the one presented.
	Rotate bool

	// DetectReuse makes a refresh token that is presented after it was spent
	// revoke its whole family, access tokens included. Default false.
	DetectReuse bool

	// SameToken makes the client_credentials and password grants return the
	// same access token for the same parameters as long as it is alive, with
	// an expires_in that counts down. Default false.
	SameToken bool

	// SingleToken revokes the access tokens of a subject (the client, or a
	// user) whenever it gets a new one. Default false.
	SingleToken bool

	// TokenLatency, RevokeLatency and APILatency are what an endpoint waits
	// between having read a request and acting on it. A client that leaves
	// meanwhile has had no effect. Default 0.
	TokenLatency, RevokeLatency, APILatency time.Duration

	// Unauthorized picks requests that the API answers 401 whatever their
	// token. It must not read the body. Default none.
	Unauthorized func(*http.Request) bool

	// API answers the requests whose token was accepted, except /redirect.
	// Default: 200 and {"path": ..., "subject": ..., "body_bytes": ...}, after
	// having read the body.
	API http.Handler

	// Answer401 is the body of the API's 401, which always has the header
	// WWW-Authenticate: Bearer error="invalid_token".
	// Default {"error":"invalid_token"}.
	Answer401 string
}

// withDefaults returns a copy that shares no map with b and has every default
// filled in.
func (b Behaviour) withDefaults() *Behaviour {
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

// Update changes the server's behaviour while it runs. A request sees all of a
// change or none of it, and one that waits out a latency sees it when it
// acts. The Behaviour that change gets has its defaults filled in; a field set
// to its zero value gets its default again. change must not call Update.
func (s *Server) Update(change func(*Behaviour)) {
	s.updating.Lock()
	defer s.updating.Unlock()
	b := s.behaviour.Load().withDefaults()
	change(b)
	s.behaviour.Store(b.withDefaults())
}
