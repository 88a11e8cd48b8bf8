package tokencache

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/challenge"
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
	// Source supplies the tokens. A source in the request's context takes its place, see [WithSource];
	// if every request has one, Source may be nil. After a 401 the token is renewed if the source is a
	// *[Source], or has its methods TokenContext, Rejected and Accepted as a type that embeds one does;
	// then its method Token is not called. Any other source supplies tokens and nothing more.
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
	own, ok := src.(*Source)
	if !ok {
		return t.foreign(req, src)
	}
	state, err := own.load()
	if err != nil {
		return nil, refuse(req, err)
	}
	e, err := state.entry(req.Context())
	if err != nil {
		return nil, refuse(req, err)
	}
	var sent time.Time
	if state.onTrial(e) {
		sent = time.Now()
	}
	resp, err := t.send(req, req.Body, e.Header(), spare)
	if err != nil {
		return nil, err
	}
	if !t.rejects(resp) {
		if state.onTrial(e) {
			state.accepted(e, origin.Target(req), sent)
		}
		return resp, nil
	}
	return t.unauthorized(req, resp, ownToken{state, e})
}

// CloseIdleConnections closes those of Base, if it can.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// A carried token is one that a request was sent with.
type carried interface {
	header() string
	rejected(ctx context.Context, target string) (carried, error) // the token that replaces it
	repeated(send func() (*http.Response, error)) (*http.Response, error)
	answered(target string, rejected bool, sent time.Time) // the outcome of a repeated request
}

// unauthorized has a rejected token renewed, and repeats the request if that is possible.
func (t *Transport) unauthorized(req *http.Request, resp *http.Response, tok carried) (*http.Response, error) {
	target := origin.Target(req)
	ctx := req.Context()
	if !replay.Hold(resp) {
		// The renewal could be waiting for this response's connection.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, replay.HoldTime)
		defer cancel()
	}
	next, err := tok.rejected(ctx, target)
	if err != nil || next.header() == tok.header() {
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
	sent := time.Now()
	resp, err = next.repeated(func() (*http.Response, error) { return t.send(req, body, next.header(), true) })
	if err == nil {
		next.answered(target, t.rejects(resp), sent)
	}
	return resp, err
}

// ownToken is the token of a *Source.
type ownToken struct {
	source *source
	entry  *entry.Entry
}

func (o ownToken) header() string { return o.entry.Header() }

func (o ownToken) rejected(ctx context.Context, target string) (carried, error) {
	next, err := o.source.replace(ctx, o.entry, target)
	return ownToken{o.source, next}, err
}

// repeated is counted, because a renewal waits for the answer.
func (o ownToken) repeated(send func() (*http.Response, error)) (*http.Response, error) {
	o.entry.BeginReplay()
	defer o.entry.EndReplay()
	return send()
}

func (o ownToken) answered(target string, rejected bool, sent time.Time) {
	if rejected {
		o.source.rejected(o.entry, target)
	} else {
		o.source.accepted(o.entry, target, sent)
	}
}

// A renewer is a source that can be told of rejections, as a *Source can: one that wraps it, say.
type renewer interface {
	TokenContext(ctx context.Context) (*oauth2.Token, error)
	Rejected(ctx context.Context, tok *oauth2.Token, target string) (*oauth2.Token, error)
	Accepted(tok *oauth2.Token, target string, sent time.Time)
}

// foreignToken is the token of a renewer.
type foreignToken struct {
	source renewer
	token  *oauth2.Token
}

func (f foreignToken) header() string { return "Bearer " + f.token.AccessToken }

func (f foreignToken) rejected(ctx context.Context, target string) (carried, error) {
	_, err := f.source.Rejected(ctx, f.token, target)
	if err != nil {
		return f, err
	}
	next, err := f.source.TokenContext(ctx) // as it sends the token, which can be made of the successor
	if err == nil {
		err = entry.Check(next)
	}
	return foreignToken{f.source, next}, err
}

func (f foreignToken) repeated(send func() (*http.Response, error)) (*http.Response, error) {
	return send()
}

func (f foreignToken) answered(target string, rejected bool, sent time.Time) {
	if !rejected { // otherwise it is told at the next request
		f.source.Accepted(f.token, target, sent)
	}
}

// foreign sends a request with the token of a source that is not a *Source.
func (t *Transport) foreign(req *http.Request, src oauth2.TokenSource) (*http.Response, error) {
	source, renews := src.(renewer)
	var tok *oauth2.Token
	var err error
	if renews {
		tok, err = source.TokenContext(req.Context())
	} else {
		tok, err = src.Token()
	}
	if err == nil {
		err = entry.Check(tok)
	}
	if err != nil {
		return nil, refuse(req, err)
	}
	sent := time.Now()
	resp, err := t.send(req, req.Body, "Bearer "+tok.AccessToken, true)
	switch {
	case err != nil || !renews:
		return resp, err
	case t.rejects(resp):
		return t.unauthorized(req, resp, foreignToken{source, tok})
	}
	source.Accepted(tok, origin.Target(req), sent)
	return resp, nil
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
