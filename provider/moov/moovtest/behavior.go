package moovtest

import (
	"slices"
	"time"
)

// Behavior configures an [Emulator]. The zero value is what Moov documents. ExpiresIn must not
// call methods of the emulator.
type Behavior struct {
	// ClientID and ClientSecret are the API key. Default: the constants of this package.
	ClientID, ClientSecret string

	// Origins are the domains that the API key allows. Default: https://your-domain.com.
	Origins []string

	// NoOrigin accepts token requests without Origin and Referer. The OpenAPI specification does not
	// mention these headers.
	NoOrigin bool

	// OriginOnRevoke requires Origin or Referer on revocation requests, too. Not documented.
	OriginOnRevoke bool

	// OriginStatus is the status for a request without an allowed Origin or Referer. Not documented.
	// Default: 400.
	OriginStatus int

	// Lifetime is the lifetime of access tokens. No longer documented. Default: 15 minutes, from an
	// old example.
	Lifetime time.Duration

	// ExpiresIn returns the value of expires_in, or nil to omit the field. Default: [Timestamp], as in
	// the specification.
	ExpiresIn func(issued, expires time.Time) any

	// TokenType is the token_type of every answer. Older documentation has "opaque". Default:
	// "Bearer".
	TokenType string

	// RefreshLifetime is the lifetime of refresh tokens. Not documented. Default: they never expire.
	RefreshLifetime time.Duration

	// Rotate replaces a refresh token when it is used. Not documented. Default: the answer repeats it.
	Rotate bool

	// RefuseRefresh400 answers 400 {"error": ...} to an invalid refresh token, instead of the 422 that
	// the specification has for an invalid parameter. It is not documented which applies.
	RefuseRefresh400 bool

	// RevokeRelated makes a revocation also revoke the tokens issued together with the token. Not
	// documented. Default: only the token itself.
	RevokeRelated bool

	// RefuseUnknown answers 422 to the revocation of an unknown token. Not documented. Default: 204, a
	// success as in RFC 7009 section 2.2.
	RefuseUnknown bool

	// SingleUse makes the API accept each access token only once. An old page of the documentation
	// calls access tokens single-use, without an explanation.
	SingleUse bool

	// Empty401 omits the body of 401 and 403 answers. Not documented. Default: {"error": ...}.
	Empty401 bool

	// RetryHeader is the header of a 429 answer: "Retry-After" in seconds, "X-Retry-In" in
	// milliseconds, or "none". The documentation had first one, then the other, then neither. Default:
	// "Retry-After".
	RetryHeader string

	// RetryIn is the value of RetryHeader in a 429 caused by [Emulator.Fail]. Default: 1 second.
	RetryIn time.Duration

	// RateLimit is the number of requests accepted within one second; negative means no limit. Test
	// accounts have 10. Default: 40.
	RateLimit int
}

// The API key and the origin in Moov's documentation.
const (
	ClientID     = "5clTR_MdVrrkgxw2"
	ClientSecret = "dNC-hg7sVm22jc3g_Eogtyu0_1Mqh_4-"
	Origin       = "https://your-domain.com"
)

// Timestamp returns expires_in as in the specification: the Unix time at which the token expires.
func Timestamp(_, expires time.Time) any { return expires.Unix() }

// Seconds returns expires_in as in RFC 6749, the official Go client and older documentation: the
// lifetime in seconds.
func Seconds(issued, expires time.Time) any { return int64(expires.Sub(issued) / time.Second) }

// Always returns a function for [Behavior.ExpiresIn] that always returns v.
func Always(v any) func(issued, expires time.Time) any {
	return func(time.Time, time.Time) any { return v }
}

// withDefaults returns a copy with every default filled in.
func (b Behavior) withDefaults() Behavior {
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
