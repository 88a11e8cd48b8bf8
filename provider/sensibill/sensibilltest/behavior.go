package sensibilltest

import (
	"cmp"
	"net/http"
	"time"
)

// The client and the users that there are if a [Behaviour] names no others. The key and the secret have the characters that
// tell one encoding from another.
const (
	ClientKey    = "c2Vuc2liaWxs+Y2xpZW50/a2V5=="
	ClientSecret = "top+secret/of:the%20client=="
	RedirectURI  = "https://test-bank.example.com/callback?from=sensibill"
	BankType     = "some_bank" // a credential type beside "sensibill"
)

// A User is someone who can log in.
type User struct {
	CredentialType string // default "sensibill"
	AccessID       string
	AccessSecret   string
}

// DefaultUsers returns the users that there are by default.
func DefaultUsers() []User {
	return []User{
		{"sensibill", "alice+receipts@example.com", "wonder+land%21=: /é"},
		{"sensibill", "bob@example.com", "builder-builder"},
		{BankType, "alice+receipts@example.com", "another-wonderland"},
	}
}

// Behaviour says what an [Emulator] does. The zero value is what the documents say, or what is likeliest.
type Behaviour struct {
	ClientKey, ClientSecret string   // default: the constants of this package
	RedirectURIs            []string // registered for the client; default: RedirectURI
	CredentialTypes         []string // allowed to the client; default: "sensibill" and BankType
	Users                   []User   // default: DefaultUsers

	AccessLifetime  time.Duration // default: 3 hours, as in the documents' example
	RefreshLifetime time.Duration // default: 6 hours, as in the documents' example
	CodeLifetime    time.Duration // not documented; default: 10 minutes, the most that RFC 6749 section 4.1.2 recommends
	Latency         time.Duration // of authorizationGrant and accessToken; default: none

	// What follows is not documented, or depends on the client's settings.

	RedirectStatus      int    // of redirect=true; default: 302
	ReusableCodes       bool   // a code can be used again; default: once
	KeepRefreshToken    bool   // refreshing leaves the refresh token as it is; default: it is replaced and ends
	RefusedRefresh      int    // status for a refresh token that is unknown or has ended; default: 400
	SameToken           bool   // a user who logs in again gets the same token as long as it lives; default: another one
	RefreshOutlives     bool   // invalidating an access token leaves its refresh token alive; default: it ends too
	AcceptForm          bool   // accessToken takes forms as well as JSON; default: 400
	EmptyErrors         bool   // refusals have no body; default: the error object of the other endpoints
	NoTokenType         bool   // answers have no token_type, like those of jwtAuthenticate; default: "bearer"
	TokenType           string // another token_type; default: "bearer"
	NoRefreshToken      bool   // users' tokens come without one, like those of jwtAuthenticate; default: with one
	NoRefreshExpiry     bool   // answers have no refresh_expires_in; default: they have
	MaximumFailedLogins int    // so many wrong secrets in a row lock a user; default: 0, never
	RedirectElsewhere   string // redirects go there instead of the redirect_uri; default: they do not

	// Fault picks requests that go wrong before anything is looked at: with a status they are answered so, with a
	// negative number the connection is closed without an answer. Default: 0, none.
	Fault func(r *http.Request) int
}

func (b Behaviour) withDefaults() Behaviour {
	b.ClientKey = cmp.Or(b.ClientKey, ClientKey)
	b.ClientSecret = cmp.Or(b.ClientSecret, ClientSecret)
	b.AccessLifetime = cmp.Or(b.AccessLifetime, 3*time.Hour)
	b.RefreshLifetime = cmp.Or(b.RefreshLifetime, 6*time.Hour)
	b.CodeLifetime = cmp.Or(b.CodeLifetime, 10*time.Minute)
	b.RedirectStatus = cmp.Or(b.RedirectStatus, http.StatusFound)
	b.RefusedRefresh = cmp.Or(b.RefusedRefresh, http.StatusBadRequest)
	b.TokenType = cmp.Or(b.TokenType, "bearer")
	if b.RedirectURIs == nil {
		b.RedirectURIs = []string{RedirectURI}
	}
	if b.CredentialTypes == nil {
		b.CredentialTypes = []string{"sensibill", BankType}
	}
	if b.Users == nil {
		b.Users = DefaultUsers()
	}
	return b
}
