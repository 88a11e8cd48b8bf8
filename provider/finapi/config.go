package finapi

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/tokencache/tokencache"
)

// The base URLs of finAPI Access and of Web Form 2.0, which accepts the tokens of Access.
const (
	SandboxURL        = "https://sandbox.finapi.io"
	LiveURL           = "https://live.finapi.io"
	WebFormSandboxURL = "https://webform-sandbox.finapi.io"
	WebFormLiveURL    = "https://webform-live.finapi.io"
)

// A Version of finAPI Access. A mandator is bound to one; the other answers 403.
type Version int

const (
	V1 Version = iota // /oauth/token and /oauth/revoke, whose parameters are in the query
	V2                // /api/v2/oauth/token and /api/v2/oauth/revoke, with forms
)

// Options say which finAPI is meant. They hold no secret; the zero value is Access V1 in the sandbox.
type Options struct {
	// BaseURL is where Access is, without the path of a version. Default: SandboxURL.
	BaseURL string

	// Version is the mandator's version of Access. Default: V1.
	Version Version

	// RequestID returns the X-Request-Id of a token or revocation request, given the context of its first caller; it runs
	// concurrently. More than 255 bytes stop the request before it is sent, none are left out. Default: finAPI's own.
	RequestID func(ctx context.Context) string

	// AcceptLanguage is the language of error messages, "en" for example. Default: finAPI's own, German.
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

// Config returns the configuration of a cache for one finAPI client. It can be changed further before it is given to
// [tokencache.New]: set MaxAge as a limit for tokens that never expire, HTTPClient, Hooks or Logger.
func Config(o Options, clientID, clientSecret string) tokencache.Config {
	cfg := tokencache.Config{
		TokenURL: o.endpoint("token"), RevokeURL: o.endpoint("revoke"),
		ClientID: clientID, Auth: tokencache.ClientSecretPost(clientSecret),
		Dialect: Dialect(o),
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
		return nil, fmt.Errorf("finapi: the request ID has %d bytes, finAPI accepts 255", len(id))
	}
	if id == "" {
		return nil, nil
	}
	return http.Header{"X-Request-Id": {id}}, nil
}

// Origins returns the origins that the tokens are for: Access, and Web Form 2.0 if BaseURL is SandboxURL or LiveURL. It is
// for [tokencache.Transport.Origins], so that one client serves both and no other host sees a token.
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
