package tokencache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/tokencache/tokencache/internal/origin"
)

// A Config says which client at which authorization server a [Cache] is for. TokenURL, ClientID and
// Auth are required; the zero value of every other field is its default.
//
// The URLs, Params and Header are plain data that formatting shows: secrets belong in Auth.
type Config struct {
	// TokenURL is the token endpoint (RFC 6749 section 3.2).
	TokenURL string

	// RevokeURL is the revocation endpoint (RFC 7009). Default: none; nothing is revoked unless
	// Dialect.Revocation is set.
	RevokeURL string

	// ClientID is the client identifier (RFC 6749 section 2.2).
	ClientID string

	// Auth authenticates the client. A public client uses [NoClientAuth].
	Auth ClientAuth

	// AllowHTTP allows plain http to a host that is not loopback, which shows every credential to
	// the network. Default: refused.
	AllowHTTP bool

	// Params are added to every token request, "audience" for example. A grant's own parameters take
	// precedence. Default: none.
	Params url.Values

	// Header is added to every token and revocation request, in place of fields of the same name. Its
	// values are taken out of errors unless they are public, see SECURITY.md; so are those of
	// HeaderFunc. Default: none.
	Header http.Header

	// HeaderFunc returns further header fields for a token or revocation request, such as a request
	// ID. Its context has the values of the first caller that waits for the token. The header must
	// not change which token the server returns, since it is not a part of the key. An error stops
	// the request before it is sent. Default: none.
	HeaderFunc func(ctx context.Context) (http.Header, error)

	// HTTPClient sends the token and revocation requests, through its Transport, with its Jar and
	// within its Timeout. It must not need a token of this cache, for a proxy say, since it would
	// wait for itself; a token of another Cache is fine. Redirects are not followed. Default: a
	// client with http.DefaultTransport.
	HTTPClient *http.Client

	// Timeout bounds one flight: all requests and waits of one fetch. Default: 30 s.
	Timeout time.Duration

	// RenewalWindow is how long before its end a token is renewed in the background, at most a
	// fifth of the token's lifetime. Up to 10 % of jitter is added or taken. Default: 5 minutes.
	RenewalWindow time.Duration

	// MaxAge is the lifetime of tokens whose answer has no believable expires_in. Default: none;
	// they are used until an API rejects them.
	MaxAge time.Duration

	// MaxIdle is how long a token with a refresh token may be unused before it is revoked and
	// forgotten, if its grant can do without. Idle tokens are looked for when the number of tokens
	// has doubled, from 1024 on. Default: no limit.
	MaxIdle time.Duration

	// NeverResendRefreshToken makes a refresh token in doubt count as consumed: after a request with it
	// that got no answer, or an error that does not say that nobody has looked at the token. Then it is
	// not sent again, see [ErrRefreshTokenSpent]. This is for servers at which the reuse of a refresh
	// token ends more than its session, or raises an alarm. Default: a token in doubt is sent again when
	// nothing can be lost by it.
	NeverResendRefreshToken bool

	// MaxConcurrent is how many requests to the authorization server may be under way at once. No
	// user and no key has more than a quarter of them, but each may have one. Further requests wait,
	// until their context ends. Default: 64.
	MaxConcurrent int

	// Dialect is what the server does differently from the RFCs. Default: nothing.
	Dialect Dialect

	// Hooks are called when something happens. Default: none.
	Hooks Hooks

	// Logger receives the same events as log records. Default: none.
	Logger *slog.Logger
}

const (
	defaultTimeout       = 30 * time.Second
	defaultRenewalWindow = 5 * time.Minute
	defaultMaxConcurrent = 64
)

// withDefaults checks the configuration and returns a copy with the defaults filled in.
func (cfg Config) withDefaults() (Config, error) {
	if err := cfg.validate(); err != nil {
		return cfg, err
	}
	cfg.Params = cloneValues(cfg.Params)
	cfg.Header = cfg.Header.Clone()
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.RenewalWindow == 0 {
		cfg.RenewalWindow = defaultRenewalWindow
	}
	if cfg.MaxConcurrent == 0 {
		cfg.MaxConcurrent = defaultMaxConcurrent
	}
	return cfg, nil
}

func (cfg *Config) validate() error {
	if err := checkURL("TokenURL", cfg.TokenURL, cfg.AllowHTTP); err != nil {
		return err
	}
	if cfg.RevokeURL != "" {
		if err := checkURL("RevokeURL", cfg.RevokeURL, cfg.AllowHTTP); err != nil {
			return err
		}
	}
	if cfg.ClientID == "" {
		return errors.New("tokencache: Config.ClientID is empty")
	}
	if cfg.Auth == nil {
		return errors.New("tokencache: Config.Auth is nil: it is missing, or its client secret is empty; a public client uses NoClientAuth()")
	}
	for _, d := range []struct {
		field string
		value time.Duration
	}{{"Timeout", cfg.Timeout}, {"RenewalWindow", cfg.RenewalWindow}, {"MaxAge", cfg.MaxAge}, {"MaxIdle", cfg.MaxIdle}} {
		if d.value < 0 {
			return fmt.Errorf("tokencache: Config.%s is negative (%v)", d.field, d.value)
		}
	}
	if cfg.MaxConcurrent < 0 {
		return fmt.Errorf("tokencache: Config.MaxConcurrent is negative (%d)", cfg.MaxConcurrent)
	}
	if err := checkHeader(cfg.Header); err != nil {
		return fmt.Errorf("tokencache: Config.Header: %w", err)
	}
	return nil
}

// checkURL refuses an endpoint that is not an absolute http(s) URL, or to which credentials must
// not be sent. It does not show user info.
func checkURL(field, raw string, allowHTTP bool) error {
	if raw == "" {
		return fmt.Errorf("tokencache: Config.%s is empty", field)
	}
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return fmt.Errorf("tokencache: Config.%s is not a URL", field)
	case u.User != nil:
		return fmt.Errorf("tokencache: Config.%s has user info; credentials belong in Config.Auth", field)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return fmt.Errorf("tokencache: Config.%s %q is not an absolute http or https URL", field, raw)
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return fmt.Errorf("tokencache: Config.%s has a fragment, which RFC 6749 section 3.2 forbids", field)
	case u.Scheme == "http" && !allowHTTP && !origin.Loopback(u.Hostname()):
		return fmt.Errorf("tokencache: Config.%s %q is plain http; use https, or set Config.AllowHTTP", field, raw)
	}
	return nil
}

// checkHeader refuses fields that would break the library's own promises: one authentication, and
// no repetition by net/http, which repeats requests with an idempotency key on its own.
func checkHeader(h http.Header) error {
	for name, values := range h {
		switch http.CanonicalHeaderKey(name) {
		case "Authorization":
			return errors.New("the Authorization header belongs to Config.Auth")
		case "Idempotency-Key", "X-Idempotency-Key":
			return fmt.Errorf("%s is refused, because net/http would repeat the request by itself", name)
		}
		if slices.ContainsFunc(values, func(v string) bool { return strings.ContainsFunc(v, isControl) }) {
			return fmt.Errorf("%s has a control character", name)
		}
	}
	return nil
}

// isControl reports whether a header field must not contain r (RFC 9110 section 5.5).
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func cloneValues(v url.Values) url.Values {
	out := make(url.Values, len(v)+4)
	for name, values := range v {
		out[name] = append([]string(nil), values...)
	}
	return out
}
