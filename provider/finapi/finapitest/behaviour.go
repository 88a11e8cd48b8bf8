package finapitest

import (
	"maps"
	"net/http"
	"time"

	"github.com/tokencache/tokencache/provider/finapi"
)

// A Behaviour says what an [Emulator] does. It is plain data; the zero value is Access V1 as it is documented, with one
// client and one user.
type Behaviour struct {
	// Version is the mandator's version. Requests to the other one are answered 403. Default: V1.
	Version finapi.Version

	// ClientID and ClientSecret are the one client. Default: "client-id", "client-secret".
	ClientID, ClientSecret string

	// Users are the passwords by user ID. Default: alice, "wonderland".
	Users map[string]string

	// Unverified are users whose token requests are answered 403. Default: none.
	Unverified map[string]bool

	// MaxLoginAttempts is how many wrong passwords in a row lock a user, which ends all of the user's tokens. Assumed: the
	// last of them is still answered 400, whatever follows 423. Default: no limit.
	MaxLoginAttempts int

	// ClientLifetime, UserLifetime and RefreshLifetime are the validity periods of the client's access tokens, the users'
	// and their refresh tokens; negative: for ever, which is an expires_in of 0. Default: an hour, an hour, for ever (the
	// last is unknown).
	ClientLifetime, UserLifetime, RefreshLifetime time.Duration

	// WholeLifetime makes expires_in the whole validity period, where the same token is handed out again, instead of what
	// is left of it. Which one finAPI sends is unknown. Default: what is left, in whole seconds, rounded down to 0.
	WholeLifetime bool

	// RevokedAgain makes a revoked token be handed out again until it would have expired. Whether finAPI does is unknown.
	// Default: the same credentials get a new token.
	RevokedAgain bool

	// NoRefreshTokens leaves refresh_token out of every answer: one of finAPI's two documentations shows it for the
	// password grant, the other does not. Default: it is there.
	NoRefreshTokens bool

	// Refresh says which refresh_token the answer to a refresh request has, which is unknown: "same", "new", which ends
	// the old one, or "none". Default: "same".
	Refresh string

	// Code400 is the code of a wrong password and of a dead refresh token, which is unknown. Default: "BAD_REQUEST".
	Code400 string

	// Error401 is the error of a wrong client ID or secret, which is unknown. Default: "invalid_client".
	Error401 string

	// Misspelt spells error_description as errorDescription, as one example of finAPI does. Default: false.
	Misspelt bool

	// Latency is what the token endpoint waits before it acts. Default: 0.
	Latency time.Duration

	// Drop picks requests whose connection is closed without an answer, before anything is done. Default: none.
	Drop func(*http.Request) bool

	// API answers the services for users. Default: 200 and {}.
	API http.Handler
}

func (b Behaviour) withDefaults() *Behaviour {
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
