package moovtest

import (
	"slices"
	"time"
)

// Behaviour says what an [Emulator] does. The zero value is what Moov documents; it can be changed with
// [Emulator.Update].
type Behaviour struct {
	// ClientID and ClientSecret are the API key. Default: those of Moov's documentation.
	ClientID, ClientSecret string

	// Origins are the domains that the API key allows. Default: https://your-domain.com.
	Origins []string

	// NoOrigin lets token requests pass without Origin and Referer, which the OpenAPI specification does not mention.
	NoOrigin bool

	// OriginOnRevoke demands them of revocation requests too. Not documented.
	OriginOnRevoke bool

	// OriginStatus is the answer to a request with neither. Not documented. Default: 400.
	OriginStatus int

	// Lifetime of access tokens. Not documented any more. Default: 15 minutes, from an old example.
	Lifetime time.Duration

	// ExpiresIn is what expires_in says; nil leaves it out. Default: [Timestamp], as in the specification.
	ExpiresIn func(issued, expires time.Time) any

	// TokenType of every answer; older documentation has "opaque". Default: Bearer.
	TokenType string

	// RefreshLifetime is how long refresh tokens live. Not documented. Default: without an end.
	RefreshLifetime time.Duration

	// Rotate replaces a refresh token when it is used. Not documented. Default: the answer repeats it.
	Rotate bool

	// RefuseRefresh400 answers 400 {"error": ...} to a refresh token that is dead, in place of the 422 that the
	// specification has for a parameter. Not documented which.
	RefuseRefresh400 bool

	// RevokeRelated ends the tokens that were issued together with a revoked one. Not documented. Default: only itself.
	RevokeRelated bool

	// RefuseUnknown answers 422 to the revocation of a token that does not exist. Not documented. Default: 204, as
	// RFC 7009 has it.
	RefuseUnknown bool

	// SingleUse lets the API accept an access token once: an old page calls them so and does not explain it.
	SingleUse bool

	// Empty401 leaves out the body of answers 401 and 403. Not documented. Default: {"error": ...}.
	Empty401 bool

	// RetryHeader is what an answer 429 carries: Retry-After in seconds, X-Retry-In in milliseconds, or "none". The
	// documentation had one after the other and then neither. Default: Retry-After.
	RetryHeader string

	// RetryIn is what it says, if the rate limit was not exceeded. Default: 1 second.
	RetryIn time.Duration

	// RateLimit is the number of requests that may arrive in any one second; negative: any. Default: 40, 10 is what test
	// accounts have.
	RateLimit int
}

// The API key of Moov's documentation.
const (
	ClientID     = "5clTR_MdVrrkgxw2"
	ClientSecret = "dNC-hg7sVm22jc3g_Eogtyu0_1Mqh_4-"
	Origin       = "https://your-domain.com"
)

// Timestamp is expires_in as the specification has it: the Unix time at which the token expires.
func Timestamp(_, expires time.Time) any { return expires.Unix() }

// Seconds is expires_in as RFC 6749, the official Go client and older documentation have it.
func Seconds(issued, expires time.Time) any { return int64(expires.Sub(issued) / time.Second) }

// Always makes expires_in the same in every answer.
func Always(v any) func(issued, expires time.Time) any {
	return func(time.Time, time.Time) any { return v }
}

// withDefaults returns a copy with every default filled in.
func (b Behaviour) withDefaults() Behaviour {
	b.Origins = slices.Clone(b.Origins)
	if b.ClientID == "" {
		b.ClientID = ClientID
	}
	if b.ClientSecret == "" {
		b.ClientSecret = ClientSecret
	}
	if len(b.Origins) == 0 {
		b.Origins = []string{Origin}
	}
	if b.OriginStatus == 0 {
		b.OriginStatus = 400
	}
	if b.Lifetime == 0 {
		b.Lifetime = 15 * time.Minute
	}
	if b.ExpiresIn == nil {
		b.ExpiresIn = Timestamp
	}
	if b.TokenType == "" {
		b.TokenType = "Bearer"
	}
	if b.RetryHeader == "" {
		b.RetryHeader = "Retry-After"
	}
	if b.RetryIn == 0 {
		b.RetryIn = time.Second
	}
	if b.RateLimit == 0 {
		b.RateLimit = 40
	}
	return b
}
