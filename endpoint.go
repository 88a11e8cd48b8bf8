package tokencache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/clock"
	"github.com/tokencache/tokencache/internal/entry"
	"github.com/tokencache/tokencache/internal/flight"
	"github.com/tokencache/tokencache/internal/origin"
	"github.com/tokencache/tokencache/internal/scrub"
	"github.com/tokencache/tokencache/internal/wire"
)

// An endpoint is an authorization server as the Config describes it. It makes requests and reads
// answers into tokens and errors, and remembers nothing.
type endpoint struct {
	cfg    *Config
	client *wire.Client
	clock  *clock.Clock
	server *server

	// clientToken returns the client's own token, for Dialect.Revocation.
	clientToken func(context.Context) (*oauth2.Token, error)
}

// An operation is what an error says was being done, and what it must not say.
type operation struct {
	name  string
	grant string
	scrub *scrub.Scrubber
}

// tokenRequest makes a token request with the client's authentication, and a scrubber that knows
// every secret in it.
func (e *endpoint) tokenRequest(ctx context.Context, params url.Values) (*http.Request, *scrub.Scrubber, error) {
	form := cloneValues(e.cfg.Params)
	for name, values := range params {
		form[name] = values
	}
	return e.request(ctx, e.cfg.TokenURL, form)
}

// revocationRequest makes a request that revokes a token. The request is nil if the dialect knows
// that this kind of token cannot be revoked.
func (e *endpoint) revocationRequest(ctx context.Context, token, hint string) (*http.Request, *scrub.Scrubber, error) {
	revocation := e.cfg.Dialect.Revocation
	if revocation == nil {
		return e.request(ctx, e.cfg.RevokeURL, url.Values{"token": {token}, "token_type_hint": {hint}})
	}
	r := &RevocationRequest{URL: e.cfg.RevokeURL, Token: token, Hint: hint, ClientToken: e.clientToken}
	req, err := flight.Protect(ctx, func() (*http.Request, error) { return revocation(ctx, r) })
	if err != nil || req == nil {
		return nil, nil, scrub.For(nil, nil, token).Err(err)
	}
	return req.Clone(ctx), scrub.For(req.Header, wire.Params(req), token), nil
}

func (e *endpoint) canRevoke() bool { return e.cfg.RevokeURL != "" || e.cfg.Dialect.Revocation != nil }

func (e *endpoint) request(ctx context.Context, to string, form url.Values) (*http.Request, *scrub.Scrubber, error) {
	header, given := http.Header{}, cloneValues(form)
	r := &ClientAuthRequest{
		ClientID: e.cfg.ClientID, URL: to, TokenURL: e.cfg.TokenURL, Header: header, Params: form,
	}
	if err := e.cfg.Auth(ctx, r); err != nil {
		return nil, nil, fmt.Errorf("tokencache: authenticating the client: %w", err)
	}
	if header, form = r.Header, r.Params; header == nil {
		header = http.Header{}
	}
	scrubber := scrub.For(header, form, e.addedSecrets(header, given, form)...)
	body, contentType := e.cfg.Dialect.encode(form)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(body))
	if err != nil {
		return nil, nil, errors.New("tokencache: the request cannot be made; check the URL in the Config")
	}
	req.Header = header
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	return req, scrubber, nil
}

// addedSecrets returns the values that the client's authentication has added, without the public
// ones.
func (e *endpoint) addedSecrets(header http.Header, before, after url.Values) []string {
	var added []string
	for _, values := range header {
		added = append(added, values...)
	}
	for name, values := range after {
		if before.Has(name) || name == "client_assertion_type" {
			continue
		}
		added = append(added, slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == e.cfg.ClientID })...)
	}
	return added
}

// prepare adds the configured header fields to a request, or refuses to send it. op's scrubber learns
// their values.
func (e *endpoint) prepare(ctx context.Context, op operation, req *http.Request) error {
	if req.URL.Scheme != "https" && !e.cfg.AllowHTTP && !origin.Loopback(req.URL.Hostname()) {
		return fmt.Errorf("tokencache: %s: no credentials are sent to %s over plain %s; use https, or set Config.AllowHTTP",
			op.name, req.URL.Host, req.URL.Scheme)
	}
	if req.Header == nil {
		req.Header = http.Header{}
	}
	op.setFields(req.Header, e.cfg.Header)
	if e.cfg.HeaderFunc == nil {
		return nil
	}
	header, err := e.cfg.HeaderFunc(ctx)
	if err == nil {
		err = checkHeader(header)
	}
	if err != nil {
		return fmt.Errorf("tokencache: Config.HeaderFunc: %w", err)
	}
	op.setFields(req.Header, header)
	return nil
}

func (op operation) setFields(h, fields http.Header) {
	op.scrub.KnowFields(fields)
	for name, values := range fields {
		h[http.CanonicalHeaderKey(name)] = values
	}
}

// send sends a prepared request.
func (e *endpoint) send(ctx context.Context, op operation, req *http.Request) (*wire.Answer, error) {
	ans, err := e.client.Do(ctx, req, e.clock.Now)
	if lost := (*wire.LostError)(nil); errors.As(err, &lost) {
		failed := e.unanswered(op, req.URL, lost.Err, lost.Reached)
		failed.StatusCode, failed.unseen = lost.Status, lost.Unseen
		return nil, failed
	}
	return ans, err
}

// unanswered returns the error of a request without a complete answer.
func (e *endpoint) unanswered(op operation, to *url.URL, err error, reached bool) *Error {
	return &Error{
		Op: op.name, Grant: op.grant, URL: op.bare(to), server: e.server, kind: ErrUnavailable,
		Err: op.scrub.Err(err), reached: reached,
	}
}

// bare returns a URL without query, user info and secrets. A token can be a part of the path.
func (op operation) bare(u *url.URL) string {
	path := u.EscapedPath()
	if clean := op.scrub.Text(u.Path); clean != u.Path {
		path = op.scrub.Line(clean, descriptionSize)
	}
	return op.scrub.Text(u.Scheme+"://"+u.Host) + path
}

const (
	descriptionSize = 500 // bytes of a server's texts that are kept
	codeSize        = 100
	requestIDSize   = 255
	tokenTypeSize   = 40
)

// token reads a token answer (RFC 6749 section 5.1).
func (e *endpoint) token(op operation, to *url.URL, ans *wire.Answer) (*oauth2.Token, error) {
	tok, err := e.readToken(op, ans)
	if err == nil {
		return tok, nil
	}
	if errors.Is(err, errRefusal) {
		return nil, e.refusal(op, to, ans)
	}
	return nil, &Error{
		Op: op.name, Grant: op.grant, URL: op.bare(to), server: e.server, StatusCode: ans.Status,
		RequestID: op.scrub.Line(ans.Header.Get("X-Request-Id"), requestIDSize), Err: op.scrub.Err(err), reached: true,
	}
}

// errRefusal says that an answer is a refusal with a status of success.
var errRefusal = errors.New("a refusal")

func (e *endpoint) readToken(op operation, ans *wire.Answer) (*oauth2.Token, error) {
	fields, err := wire.Fields(ans.Header, ans.Body)
	if err != nil {
		return nil, err
	}
	access, _ := fields["access_token"].(string)
	refresh, _ := fields["refresh_token"].(string)
	op.scrub.Know(access)
	op.scrub.Know(refresh)
	if access == "" {
		if code, _ := fields["error"].(string); code != "" {
			return nil, errRefusal
		}
		return nil, errors.New("the answer has no access_token")
	}
	if err := e.checkTokenType(fields["token_type"], op.scrub); err != nil {
		return nil, err
	}
	tok := &oauth2.Token{AccessToken: access, RefreshToken: refresh, TokenType: "Bearer"}
	if err := entry.Check(tok); err != nil {
		return nil, err
	}
	switch life := e.cfg.Dialect.lifetime(fields, ans.Sent.Wall); {
	case life == 0:
	case life == NeverExpires:
		tok.ExpiresIn = entry.Endless
	default:
		tok.Expiry = ans.Sent.Wall.Add(life)
		tok.ExpiresIn = int64(life / time.Second)
	}
	if extra := extraFields(fields); extra != nil {
		tok = tok.WithExtra(extra)
	}
	return tok, nil
}

// checkTokenType accepts Bearer in any case, what the dialect knows, and nothing at all.
func (e *endpoint) checkTokenType(v any, scrubber *scrub.Scrubber) error {
	t, isText := v.(string)
	if v == nil || isText && (t == "" || strings.EqualFold(t, "bearer")) {
		return nil
	}
	if isText && slices.ContainsFunc(e.cfg.Dialect.TokenTypes, func(known string) bool { return strings.EqualFold(known, t) }) {
		return nil
	}
	switch v.(type) {
	case map[string]any, []any:
		return errors.New("the token_type is not text")
	}
	return fmt.Errorf("the token type %q is not supported; see Dialect.TokenTypes", scrubber.Line(fmt.Sprint(v), tokenTypeSize))
}

// extraFields returns the fields for oauth2.Token.Extra, nil if there are none. Numbers become
// float64, as encoding/json has them by default.
func extraFields(fields map[string]any) map[string]any {
	var extra map[string]any
	for name, v := range fields {
		switch name {
		case "access_token", "refresh_token", "token_type", "expires_in":
			continue
		}
		if extra == nil {
			extra = make(map[string]any)
		}
		extra[name] = plainNumbers(v)
	}
	return extra
}

func plainNumbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = plainNumbers(v[name])
		}
	}
	return v
}

// oauthCodes are the error codes of RFC 6749 (sections 5.2 and 4.1.2.1), RFC 6750 and RFC 7009. They
// are not scrubbed, even if a secret is spelled like one: a constant reveals nothing, and how a
// failure is classified depends on it.
var oauthCodes = []string{
	"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type",
	"invalid_scope", "access_denied", "unsupported_response_type", "server_error", "temporarily_unavailable",
	"invalid_token", "insufficient_scope", "unsupported_token_type",
}

// refusal makes an error of an answer that is a refusal (RFC 6749 section 5.2). The answer is judged
// before it is scrubbed. A token in it is not used.
func (e *endpoint) refusal(op operation, to *url.URL, ans *wire.Answer) *Error {
	failed := &Error{
		Op: op.name, Grant: op.grant, URL: op.bare(to), server: e.server, StatusCode: ans.Status,
		RequestID:  ans.Header.Get("X-Request-Id"),
		RetryAfter: wire.RetryAfter(ans.Header, ans.Sent.Wall), reached: true,
	}
	fields, err := wire.Fields(ans.Header, ans.Body)
	structured := err == nil && len(fields) > 0
	failed.Code, _ = fields["error"].(string)
	failed.Description, _ = fields["error_description"].(string)
	uri, _ := fields["error_uri"].(string)
	failed.empty = len(ans.Body) == 0
	failed.Permanent = (isPermanent(ans.Status, structured) || refusesSilently(failed)) && failed.Code != "temporarily_unavailable" && failed.Code != "server_error"
	if ans.Status >= 300 && ans.Status <= 399 {
		failed.Permanent = true
		failed.Err = errors.New("the server redirects; credentials are not sent elsewhere, so put the final URL into the Config")
	}
	if e.cfg.Dialect.Failure != nil {
		where := *failed
		e.cfg.Dialect.Failure(failed, ans.Header, ans.Body)
		failed.Op, failed.Grant, failed.URL = where.Op, where.Grant, where.URL
		failed.Err = op.scrub.Err(failed.Err)
	}
	if failed.kind == nil {
		failed.kind = kindOf(failed)
	}
	failed.Description = op.scrub.Line(failed.Description, descriptionSize)
	if !slices.Contains(oauthCodes, failed.Code) {
		failed.Code = op.scrub.Line(failed.Code, codeSize)
	}
	failed.RequestID = op.scrub.Line(failed.RequestID, requestIDSize)
	failed.retrieve = &oauth2.RetrieveError{
		Response: bareResponse(ans.Status, op.scrub.Header(ans.Header), http.NoBody), Body: op.scrub.Body(ans.Body),
		ErrorCode: failed.Code, ErrorDescription: failed.Description, ErrorURI: op.scrub.Line(uri, descriptionSize),
	}
	return failed
}
