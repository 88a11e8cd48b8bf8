package tokencache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/challenge"
	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
	"github.com/tokencache/tokencache/internal/origin"
	"github.com/tokencache/tokencache/internal/replay"
	"github.com/tokencache/tokencache/internal/scrub"
)

// A Transport is an [http.RoundTripper] that sends every request with the access token of a source,
// in an Authorization header (RFC 6750 section 2.1), and renews the token when an API answers 401.
// It is used as a literal, is safe for concurrent use, and must not be changed once it is in use.
//
//   - A request that already has an Authorization header is sent unchanged.
//   - If there is no token, the request is not sent and RoundTrip returns the source's error.
//   - After a 401 the token is renewed once for all requests that were rejected with it, and the
//     request is repeated once with the new token if it has no body or has GetBody. Otherwise, and
//     if the renewal fails or is held off, the caller gets the complete 401; the next request has
//     the new token.
//   - A token is not sent after a redirect to another origin, nor after anything that follows from
//     it, and not over plain http.
//
// RoundTrip blocks while a token is fetched, until the request's context ends; with a source that
// is not a *[Source], until its Token method returns. The request is not modified and its body is
// closed exactly once. The response's Request is the caller's, without the token.
type Transport struct {
	// Source supplies the tokens. A source in the request's context takes its place, see
	// [WithSource]; if every request has one, Source may be nil. Only the token of a *[Source] is
	// renewed after a 401; any other source supplies tokens and nothing more.
	Source oauth2.TokenSource

	// Base makes the requests. Default: http.DefaultTransport.
	Base http.RoundTripper

	// Origins are the only origins that tokens are sent to, such as "https://api.example.com"; the
	// scheme is required. Requests to other origins are sent without a token. Redirects between the
	// listed origins keep it. Default: every origin that a request addresses directly.
	Origins []string

	// AllowHTTP allows tokens over plain http to hosts that are not loopback, where everybody on the
	// way can read them. Default: such requests are not sent.
	AllowHTTP bool

	// Unauthorized reports whether a response means that the token was rejected. It must not read
	// the body. Default: status 401, unless a challenge says insufficient_scope (RFC 6750 section
	// 3.1).
	Unauthorized func(*http.Response) bool
}

// Client returns an [http.Client] whose requests carry this source's token, through a [Transport]
// over [http.DefaultTransport].
func (s *Source) Client() *http.Client {
	return &http.Client{Transport: &Transport{Source: s}}
}

type sourceKey struct{}

// contextSource tells a nil source in a context from none.
type contextSource struct{ oauth2.TokenSource }

// WithSource returns a context whose requests are sent with the tokens of src instead of those of
// Transport.Source, so that one client can serve many users.
func WithSource(ctx context.Context, src oauth2.TokenSource) context.Context {
	return context.WithValue(ctx, sourceKey{}, contextSource{src})
}

// RoundTrip sends the request with a token. See [Transport].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	authorized, spare := replay.Inspect(req.Header)
	if authorized {
		return t.roundTrip(req, req)
	}
	carries, err := t.policy().CarriesToken(req)
	if err != nil {
		return nil, refuse(req, err)
	}
	if !carries {
		return t.roundTrip(req, req)
	}
	src, err := t.source(req)
	if err != nil {
		return nil, refuse(req, err)
	}
	state, err := stateOf(src)
	if err != nil {
		return nil, refuse(req, err)
	}
	if state == nil {
		return t.foreign(req, src)
	}
	e, err := state.entry(req.Context())
	if err != nil {
		return nil, refuse(req, err)
	}
	resp, err := t.send(req, req.Body, e.Header(), spare)
	if err != nil {
		return nil, err
	}
	if !t.rejects(resp) {
		if e.Rejections.OnTrial() {
			e.Rejections.Answered(origin.Target(req), false, clock.Monotonic())
		}
		return resp, nil
	}
	return t.unauthorized(req, resp, state, e)
}

// CloseIdleConnections closes those of Base, if it can.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// unauthorized has a rejected token renewed, and repeats the request if that is possible.
func (t *Transport) unauthorized(req *http.Request, resp *http.Response, s *source, e *entry.Entry) (*http.Response, error) {
	target := origin.Target(req)
	e.Rejections.Answered(target, true, clock.Monotonic())
	ctx := req.Context()
	if !replay.Hold(resp) {
		// The renewal could be waiting for this response's connection.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, replay.HoldTime)
		defer cancel()
	}
	next, err := s.replace(ctx, e, target)
	if err != nil || next == nil || next.Header() == e.Header() {
		return resp, nil
	}
	if flight.Within(ctx) {
		return resp, nil // a token request of another cache may carry what must not be sent twice
	}
	body, ok := replay.Body(req)
	if !ok {
		return resp, nil
	}
	resp.Body.Close()
	resp, err = t.repeat(req, body, next)
	if err == nil {
		next.Rejections.Answered(target, t.rejects(resp), clock.Monotonic())
	}
	return resp, err
}

// repeat sends the request once more. A renewal waits for its answer.
func (t *Transport) repeat(req *http.Request, body io.ReadCloser, e *entry.Entry) (*http.Response, error) {
	e.BeginReplay()
	defer e.EndReplay()
	return t.send(req, body, e.Header(), true)
}

// foreign sends a request with the token of a source that is not a *Source.
func (t *Transport) foreign(req *http.Request, src oauth2.TokenSource) (*http.Response, error) {
	tok, err := src.Token()
	if err == nil {
		err = entry.Check(tok)
	}
	if err != nil {
		return nil, refuse(req, err)
	}
	return t.send(req, req.Body, "Bearer "+tok.AccessToken, true)
}

// send sends a copy of the request with the given body and Authorization header; clip as for
// replay.Copy.
func (t *Transport) send(req *http.Request, body io.ReadCloser, authorization string, clip bool) (*http.Response, error) {
	resp, err := t.roundTrip(replay.Copy(req, body, authorization, clip), req)
	if err != nil {
		err = scrub.For(http.Header{"Authorization": {authorization}}, nil).Err(err)
	}
	return resp, err
}

// roundTrip has the base send out in place of req. The response names req, whatever the base put
// there: chains of redirects are followed through it.
func (t *Transport) roundTrip(out, req *http.Request) (*http.Response, error) {
	resp, err := t.base().RoundTrip(out)
	if resp != nil {
		resp.Request = req
	} else if err == nil {
		err = errors.New("tokencache: Transport.Base returned neither a response nor an error")
	}
	return resp, err
}

// refuse closes the body of a request that is not sent.
func refuse(req *http.Request, err error) error {
	if req.Body != nil {
		req.Body.Close()
	}
	return err
}

func (t *Transport) policy() origin.Policy {
	return origin.Policy{Origins: t.Origins, AllowHTTP: t.AllowHTTP}
}

func (t *Transport) base() http.RoundTripper {
	if t.Base != nil {
		return t.Base
	}
	return http.DefaultTransport
}

func (t *Transport) source(req *http.Request) (oauth2.TokenSource, error) {
	if src, ok := req.Context().Value(sourceKey{}).(contextSource); ok {
		if src.TokenSource == nil {
			return nil, errors.New("tokencache: WithSource was given a nil source")
		}
		return src.TokenSource, nil
	}
	if t.Source == nil {
		return nil, errors.New("tokencache: Transport.Source is nil and the request's context has no source (see WithSource)")
	}
	return t.Source, nil
}

// stateOf returns the state of a source of ours, nil for any other.
func stateOf(src oauth2.TokenSource) (*source, error) {
	if s, ok := src.(*Source); ok {
		return s.load()
	}
	return nil, nil
}

func (t *Transport) rejects(resp *http.Response) bool {
	if t.Unauthorized != nil {
		return t.Unauthorized(resp)
	}
	return resp.StatusCode == http.StatusUnauthorized && !insufficientScope(resp.Header)
}

// insufficientScope reports whether another token of the same grant would be rejected as well.
func insufficientScope(h http.Header) bool {
	return slices.ContainsFunc(challenge.Parse(h), func(c challenge.Challenge) bool {
		return c.Scheme == "bearer" && c.Params["error"] == "insufficient_scope"
	})
}
