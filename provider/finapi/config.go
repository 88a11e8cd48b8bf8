package finapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/tokencache/tokencache"
)

// The base URLs of finAPI Access, and of Web Form 2.0, which accepts Access tokens.
const (
	SandboxURL        = "https://sandbox.finapi.io"
	LiveURL           = "https://live.finapi.io"
	WebFormSandboxURL = "https://webform-sandbox.finapi.io"
	WebFormLiveURL    = "https://webform-live.finapi.io"
)

// A Version is a version of finAPI Access. A mandator belongs to one version; the other answers
// 403.
type Version int

const (
	V1 Version = iota // /oauth/token and /oauth/revoke; a revocation has its parameters in the query
	V2                // /api/v2/oauth/token and /api/v2/oauth/revoke; both take forms
)

// Options selects a finAPI environment. It holds no secrets. The zero value is Access V1 in the
// sandbox.
type Options struct {
	// BaseURL is the base URL of Access, without the path of a version. Default: SandboxURL.
	BaseURL string

	// Version is the mandator's version of Access. Default: V1.
	Version Version

	// RequestID returns the X-Request-Id of a token or revocation request. ctx is that of the first
	// caller waiting for the request. RequestID must be safe for concurrent use. If it returns more
	// than 255 bytes, the request fails before it is sent; if it returns "", no header is sent.
	// Default: finAPI chooses the ID.
	RequestID func(ctx context.Context) string

	// AcceptLanguage is the language of error messages, such as "en". Default: none sent; finAPI
	// answers in German.
	AcceptLanguage string
}

func (o Options) base() string {
	if o.BaseURL == "" {
		return SandboxURL
	}
	return strings.TrimRight(o.BaseURL, "/")
}

func (o Options) endpoint(name string) string {
	if o.Version == V2 {
		return o.base() + "/api/v2/oauth/" + name
	}
	return o.base() + "/oauth/" + name
}

// Config returns the configuration of a cache for one finAPI client. The caller may change it
// before passing it to [tokencache.New], for example to set HTTPClient, Hooks, Logger, or a MaxAge
// for tokens that never expire.
func Config(o Options, clientID, clientSecret string) tokencache.Config {
	cfg := tokencache.Config{
		TokenURL: o.endpoint("token"), RevokeURL: o.endpoint("revoke"),
		ClientID: clientID, Auth: tokencache.ClientSecretPost(clientSecret),
		Dialect: dialect(o),
	}
	if o.AcceptLanguage != "" {
		cfg.Header = http.Header{"Accept-Language": {o.AcceptLanguage}}
	}
	if o.RequestID != nil {
		cfg.HeaderFunc = o.requestHeader
	}
	return cfg
}

func (o Options) requestHeader(ctx context.Context) (http.Header, error) {
	id := o.RequestID(ctx)
	if len(id) > 255 {
		return nil, fmt.Errorf("finapi: the request ID has %d bytes; finAPI accepts at most 255", len(id))
	}
	if id == "" {
		return nil, nil
	}
	return http.Header{"X-Request-Id": {id}}, nil
}

// Origins returns the origins that accept the tokens: Access, and Web Form 2.0 if BaseURL is
// SandboxURL or LiveURL. Use it for [tokencache.Transport.Origins], so that one client serves both
// and no other host receives a token.
func Origins(o Options) []string {
	switch base := o.base(); base {
	case SandboxURL:
		return []string{base, WebFormSandboxURL}
	case LiveURL:
		return []string{base, WebFormLiveURL}
	default:
		return []string{base}
	}
}
