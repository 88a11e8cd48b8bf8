package finapitest

import (
	"maps"
	"net/http"
	"time"

	"github.com/tokencache/tokencache/provider/finapi"
)

// A Behavior configures an [Emulator]. The zero value is Access V1 as documented, with one client
// and one user. Drop and API must be safe for concurrent use.
type Behavior struct {
	// Version is the mandator's version of Access. The other version answers 403. Default: V1.
	Version finapi.Version

	// ClientID and ClientSecret are the credentials of the one client. Default: "client-id" and
	// "client-secret".
	ClientID, ClientSecret string

	// Users maps user IDs to passwords. Default: "alice" with "wonderland".
	Users map[string]string

	// Unverified are the users whose token requests are answered 403. Default: none.
	Unverified map[string]bool

	// MaxLoginAttempts is the number of consecutive wrong passwords that locks a user and revokes the
	// user's tokens. Assumed: the last of them is still answered 400, every later request 423.
	// Default: no limit.
	MaxLoginAttempts int

	// ClientLifetime, UserLifetime and RefreshLifetime are the lifetimes of the client's access
	// tokens, the users' access tokens, and the users' refresh tokens. A negative lifetime never ends;
	// for an access token, expires_in is then 0. Default: one hour, one hour, and no end. The last is
	// not documented.
	ClientLifetime, UserLifetime, RefreshLifetime time.Duration

	// WholeLifetime makes expires_in the whole lifetime even when an existing token is issued again.
	// It is unknown which value finAPI sends. Default: expires_in is the remaining lifetime, rounded
	// down to seconds.
	WholeLifetime bool

	// RevokedAgain issues a revoked token again until it would have expired. It is unknown whether
	// finAPI does that. Default: the same credentials get a new token.
	RevokedAgain bool

	// NoRefreshTokens omits refresh_token from every answer. One of finAPI's two documentations shows
	// it for the password grant, the other does not. Default: it is sent.
	NoRefreshTokens bool

	// Refresh is the refresh_token in the answer to a refresh request: "same"; "new", which revokes
	// the old one; or "none". Not documented. Default: "same".
	Refresh string

	// Code400 is the error code for a wrong password or an invalid refresh token. Not documented.
	// Default: "BAD_REQUEST".
	Code400 string

	// Error401 is the error for a wrong client ID or secret. Not documented. Default:
	// "invalid_client".
	Error401 string

	// Misspelled sends error_description as errorDescription, as in one example of the documentation.
	Misspelled bool

	// Latency is how long the token endpoint waits before it acts. Default: 0.
	Latency time.Duration

	// Drop reports whether to close the connection of a request without acting on it or answering.
	// Default: never.
	Drop func(*http.Request) bool

	// API handles the services for users, once the token is accepted. Default: 200 and {}.
	API http.Handler
}

func (b Behavior) withDefaults() *Behavior {
	text := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	text(&b.ClientID, "client-id")
	text(&b.ClientSecret, "client-secret")
	text(&b.Refresh, "same")
	text(&b.Code400, "BAD_REQUEST")
	text(&b.Error401, "invalid_client")
	life := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	life(&b.ClientLifetime, time.Hour)
	life(&b.UserLifetime, time.Hour)
	life(&b.RefreshLifetime, -1)
	if b.Users == nil {
		b.Users = map[string]string{"alice": "wonderland"}
	}
	b.Users = maps.Clone(b.Users)
	b.Unverified = maps.Clone(b.Unverified)
	return &b
}
