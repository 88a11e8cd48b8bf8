package tokencache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache/internal/entry"
)

// readToken reads a token answer (RFC 6749 section 5.1), JSON or form-encoded, whatever the 2xx status.
func (c *core) readToken(op operation, to *url.URL, ans *answer) (*oauth2.Token, error) {
	fail := func(err error) error {
		return &Error{Op: op.name, Grant: op.grant, URL: op.bare(to), from: c.mark, StatusCode: ans.status, RequestID: requestID(op.scrub, ans.header),
			cause: op.scrub.err(err), reached: true}
	}
	fields, err := parseFields(ans.header, ans.body)
	if err != nil {
		return nil, fail(err)
	}
	access, _ := fields["access_token"].(string)
	refresh, _ := fields["refresh_token"].(string)
	op.scrub.know(access)
	op.scrub.know(refresh)
	if access == "" {
		if code, _ := fields["error"].(string); code != "" {
			return nil, c.failure(op, to, ans) // some servers refuse with 200
		}
		return nil, fail(errors.New("the answer has no access_token"))
	}
	if err := c.checkTokenType(fields["token_type"], op.scrub); err != nil {
		return nil, fail(err)
	}
	tok := &oauth2.Token{AccessToken: access, RefreshToken: refresh, TokenType: "Bearer"}
	if err := entry.Check(tok); err != nil {
		return nil, fail(err)
	}
	lifetime := c.cfg.Dialect.Lifetime
	if lifetime == nil {
		lifetime = Lifetime
	}
	switch life := lifetime(fields, ans.sent.Wall); {
	case life == 0:
	case life == NeverExpires:
		tok.ExpiresIn = entry.Endless
	default:
		tok.Expiry = ans.sent.Wall.Add(life)
		tok.ExpiresIn = int64(life / time.Second)
	}
	if extra := extraFields(fields); extra != nil {
		tok = tok.WithExtra(extra)
	}
	return tok, nil
}

// checkTokenType accepts Bearer in any case, or nothing at all, and refuses everything else by name.
func (c *core) checkTokenType(v any, scrub *scrubber) error {
	t, isText := v.(string)
	if v == nil || isText && (t == "" || strings.EqualFold(t, "bearer")) {
		return nil
	}
	if isText && slices.ContainsFunc(c.cfg.Dialect.TokenTypes, func(known string) bool { return strings.EqualFold(known, t) }) {
		return nil
	}
	switch v.(type) {
	case map[string]any, []any:
		return errors.New("the token_type is not text")
	}
	// Scrubbed before it is cut, since half a secret is not recognized.
	return fmt.Errorf("the token type %s is not supported; see Dialect.TokenTypes", quoteShort(scrub.text(fmt.Sprint(v))))
}

var errNotAnObject = errors.New("the answer is neither a JSON object nor form-encoded")

// parseFields reads the fields of an answer. The media type decides between JSON and form, unless it is plainly wrong.
func parseFields(header http.Header, body []byte) (map[string]any, error) {
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	isForm := media == "application/x-www-form-urlencoded" || media == "text/plain"
	if isForm && !bytes.HasPrefix(body, []byte("{")) {
		// A proxy's error page or line of text is no form, whatever it is called.
		if !bytes.ContainsRune(body, '=') || bytes.ContainsAny(body, " \t\r\n<") {
			return nil, errNotAnObject
		}
		values, err := url.ParseQuery(string(body))
		if err != nil {
			return nil, errNotAnObject
		}
		fields := make(map[string]any, len(values))
		for name := range values {
			fields[name] = values.Get(name)
		}
		return fields, nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var fields map[string]any
	if err := dec.Decode(&fields); err != nil || fields == nil {
		return nil, errNotAnObject
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotAnObject
	}
	return fields, nil
}

// extraFields are the fields for oauth2.Token.Extra, nil if there are none. Numbers are float64, as encoding/json has
// them by default.
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

// failure makes an error of an answer that is a refusal (RFC 6749 section 5.2). A token is never read from one.
func (c *core) failure(op operation, to *url.URL, ans *answer) error {
	e := &Error{Op: op.name, Grant: op.grant, URL: op.bare(to), from: c.mark, StatusCode: ans.status, RequestID: ans.header.Get("X-Request-Id"),
		RetryAfter: parseRetryAfter(ans.header, ans.sent.Wall), reached: true}
	fields, err := parseFields(ans.header, ans.body)
	structured := err == nil && len(fields) > 0
	e.Code, _ = fields["error"].(string)
	e.Description, _ = fields["error_description"].(string)
	uri, _ := fields["error_uri"].(string)
	e.Permanent = isPermanent(ans.status, structured) && e.Code != "temporarily_unavailable" && e.Code != "server_error"
	if ans.status >= 300 && ans.status <= 399 {
		e.Permanent = true
		e.cause = errors.New("the server redirects; credentials are not sent elsewhere, so put the final URL into the Config")
	}
	if c.cfg.Dialect.Failure != nil {
		c.cfg.Dialect.Failure(e, ans.header, ans.body)
	}
	if e.kind == nil {
		e.kind = kindOf(e)
	}
	e.Description = clean(op.scrub, e.Description, 500)
	e.Code = clean(op.scrub, e.Code, 100)
	e.RequestID = clean(op.scrub, e.RequestID, 255)
	e.retrieve = &oauth2.RetrieveError{
		Response: &http.Response{StatusCode: ans.status, Status: strconv.Itoa(ans.status) + " " + http.StatusText(ans.status),
			Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: scrubHeader(op.scrub, ans.header), Body: http.NoBody},
		Body: op.scrub.body(ans.body), ErrorCode: e.Code, ErrorDescription: e.Description, ErrorURI: clean(op.scrub, uri, 500),
	}
	return e
}

// isPermanent tells a structured refusal from something that may go away: statuses that say so, 5xx, and the HTML or
// empty 4xx of something in between.
func isPermanent(status int, structured bool) bool {
	switch {
	case isBusy(status):
		return false
	case status == http.StatusLocked:
		return true
	case status < 300:
		return structured
	case status >= 400 && status <= 499:
		return structured || status == http.StatusUnauthorized || status == http.StatusForbidden
	}
	return false
}

// kindOf finds the sentinel for an answer. Servers disagree about statuses, so the code comes first.
func kindOf(e *Error) error {
	switch {
	case e.Code == "invalid_client":
		return ErrInvalidClient
	case e.Code == "invalid_grant":
		return ErrInvalidGrant
	case e.StatusCode == http.StatusLocked:
		return ErrLocked
	case isBusy(e.StatusCode) || e.StatusCode >= 500 || e.Code == "temporarily_unavailable" || e.Code == "server_error":
		return ErrUnavailable
	case e.Grant == "client_credentials" && e.StatusCode == http.StatusUnauthorized:
		return ErrInvalidClient
	case e.Op != "revocation" && refusesUser(e):
		return ErrInvalidGrant
	}
	return nil
}

// refusesUser reports whether a refusal with an unusual code can only mean the password, the refresh token or the code.
func refusesUser(e *Error) bool {
	switch e.Code {
	case "unauthorized_client", "unsupported_grant_type", "invalid_scope":
		return false
	case "invalid_request":
		return e.Grant == "refresh_token"
	}
	byUser := e.Grant == "password" || e.Grant == "refresh_token" || e.Grant == "authorization_code"
	return byUser && e.Permanent && (e.StatusCode == http.StatusBadRequest || e.StatusCode == http.StatusUnauthorized)
}

// clean makes what a server sent fit for a log line: no secret, no control characters, not too long.
func clean(scrub *scrubber, s string, most int) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, scrub.text(s))
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

func requestID(scrub *scrubber, h http.Header) string {
	return clean(scrub, h.Get("X-Request-Id"), 255)
}

// scrubHeader keeps an answer's header for the caller.
func scrubHeader(scrub *scrubber, h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if name == "Set-Cookie" {
			continue
		}
		for _, v := range values {
			out[name] = append(out[name], namedSecret.ReplaceAllString(scrub.text(v), "${1}${2}"+redacted))
		}
	}
	return out
}

// withoutRequest takes the request, which holds every credential, out of a foreign library's error.
func withoutRequest(err error) error {
	var r *oauth2.RetrieveError
	if ours := (*Error)(nil); errors.As(err, &ours) || !errors.As(err, &r) {
		return err
	}
	scrub := &scrubber{}
	e := &Error{Op: "token request", Grant: "token_source", from: elsewhere, Code: r.ErrorCode, Description: clean(scrub, r.ErrorDescription, 500), reached: true}
	safe := &oauth2.RetrieveError{Body: scrub.body(r.Body), ErrorCode: r.ErrorCode, ErrorDescription: r.ErrorDescription, ErrorURI: r.ErrorURI}
	if r.Response != nil {
		resp := *r.Response
		resp.Request = nil
		safe.Response = &resp
		e.StatusCode = resp.StatusCode
		e.RetryAfter = parseRetryAfter(resp.Header, time.Now())
		e.Permanent = isPermanent(resp.StatusCode, r.ErrorCode != "")
	}
	e.retrieve, e.kind = safe, kindOf(e)
	return e
}
