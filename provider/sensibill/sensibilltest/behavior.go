package sensibilltest

import (
	"cmp"
	"net/http"
	"time"
)

// The client that exists by default. The key and the secret have characters whose encoding differs
// between Basic, forms and URLs.
const (
	ClientKey    = "c2Vuc2liaWxs+Y2xpZW50/a2V5=="
	ClientSecret = "top+secret/of:the%20client=="
	RedirectURI  = "https://test-bank.example.com/callback?from=sensibill"
	BankType     = "some_bank" // the second credential type, besides "sensibill"
)

// A User is a user who can log in.
type User struct {
	CredentialType string // default: "sensibill"
	AccessID       string
	AccessSecret   string
}

// DefaultUsers returns the users that exist by default.
func DefaultUsers() []User {
	return []User{
		{"sensibill", "alice+receipts@example.com", "wonder+land%21=: /é"},
		{"sensibill", "bob@example.com", "builder-builder"},
		{BankType, "alice+receipts@example.com", "another-wonderland"},
	}
}

// Behavior configures an [Emulator]. The zero value is what the documentation says or, where it is
// silent, what is most likely. Fault must be safe for concurrent use.
type Behavior struct {
	ClientKey, ClientSecret string   // default: the constants of this package
	RedirectURIs            []string // registered for the client; default: RedirectURI
	CredentialTypes         []string // allowed to the client; default: "sensibill" and BankType
	Users                   []User   // default: DefaultUsers

	AccessLifetime  time.Duration // default: 3 hours, as in the documentation's example
	RefreshLifetime time.Duration // default: 6 hours, as in the documentation's example
	CodeLifetime    time.Duration // not documented; default: 10 minutes (RFC 6749 section 4.1.2)
	Latency         time.Duration // of authorizationGrant and accessToken; default: none

	// The fields below are not documented, or depend on the client's settings.

	RedirectStatus      int    // of redirect=true; default: 302
	ReusableCodes       bool   // a code can be used again; default: once
	KeepRefreshToken    bool   // a refresh keeps the refresh token; default: it is replaced
	RefusedRefresh      int    // status for an invalid refresh token; default: 400
	SameToken           bool   // a second login returns the same token; default: a new one
	RefreshOutlives     bool   // invalidate keeps the refresh token; default: it ends, too
	AcceptForm          bool   // accessToken accepts forms, too; default: 400
	EmptyErrors         bool   // refusals have no body; default: the error object of the other endpoints
	NoTokenType         bool   // no token_type, as with jwtAuthenticate; default: there is one
	TokenType           string // the token_type; default: "bearer"
	NoRefreshToken      bool   // no refresh token, as with jwtAuthenticate; default: there is one
	NoRefreshExpiry     bool   // no refresh_expires_in; default: there is one
	MaximumFailedLogins int    // consecutive wrong secrets that lock a user; default: no limit
	RedirectElsewhere   string // the target of redirects; default: the redirect_uri

	// Fault makes requests fail before they are handled. It returns the status to answer with, a
	// negative number to close the connection without an answer, or 0 to handle the request. Default:
	// none.
	Fault func(r *http.Request) int
}

func (b Behavior) withDefaults() Behavior {
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
