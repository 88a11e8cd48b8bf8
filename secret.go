package tokencache

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// A Secret holds a string that no formatting, encoding or logging can show, not even through the fields of another
// struct. The zero Secret holds the empty string. It is safe for concurrent use.
type Secret struct{ reveal func() string }

// NewSecret returns a Secret that holds s.
func NewSecret(s string) Secret { return Secret{func() string { return s }} }

// Reveal returns the string.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

const redacted = "[redacted]"

// secretParams are the parameters of requests and fields of answers whose values are credentials.
var secretParams = []string{
	"access_token", "refresh_token", "id_token", "token", "password", "client_secret", "assertion", "client_assertion",
	"code", "code_verifier", "device_code",
}

// A scrubber replaces known secrets in whatever a server or a transport sends back.
type scrubber struct{ secrets []string }

// scrubberFor knows the credentials in a request's header and parameters.
func scrubberFor(header http.Header, params url.Values, more ...string) *scrubber {
	s := &scrubber{}
	for _, name := range secretParams {
		for _, v := range params[name] {
			s.know(v)
		}
	}
	for _, v := range header["Authorization"] {
		s.know(v)
		_, credentials, _ := strings.Cut(v, " ")
		s.know(credentials)
		if plain, err := base64.StdEncoding.DecodeString(credentials); err == nil {
			s.know(string(plain))
			_, password, _ := strings.Cut(string(plain), ":")
			s.know(password)
			if decoded, err := url.QueryUnescape(password); err == nil {
				s.know(decoded)
			}
		}
	}
	for _, v := range more {
		s.know(v)
	}
	// The longest first: one secret can be a part of another.
	slices.SortFunc(s.secrets, func(a, b string) int { return len(b) - len(a) })
	s.secrets = slices.Compact(s.secrets)
	return s
}

// know adds a secret in every escaped form in which a server may echo it.
func (s *scrubber) know(secret string) {
	if secret == "" {
		return
	}
	quoted, _ := json.Marshal(secret)
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(secret) // a string always encodes
	s.secrets = append(s.secrets, secret, url.QueryEscape(secret), url.PathEscape(secret), html.EscapeString(secret),
		strings.Trim(string(quoted), `"`), strings.Trim(strings.TrimSpace(plain.String()), `"`),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.URLEncoding.EncodeToString([]byte(secret)),
		base64.RawURLEncoding.EncodeToString([]byte(secret)))
}

func (s *scrubber) text(t string) string {
	for _, secret := range s.secrets {
		t = strings.ReplaceAll(t, secret, redacted)
	}
	return t
}

// err keeps an error as it is if its text holds no secret, and otherwise keeps only its scrubbed text and what it is.
func (s *scrubber) err(err error) error {
	if err == nil {
		return nil
	}
	if text := s.text(err.Error()); text != err.Error() {
		return &scrubbedError{text, err}
	}
	return err
}

// scrubbedError can be compared with its original, but does not hand it out.
type scrubbedError struct {
	text string
	was  error
}

func (e *scrubbedError) Error() string        { return e.text }
func (e *scrubbedError) Is(target error) bool { return errors.Is(e.was, target) }

// body scrubs an answer that is kept for the caller: known secrets, and the values of JSON fields that hold credentials
// by their name.
func (s *scrubber) body(body []byte) []byte {
	const keep = 8 << 10
	var v any
	if json.Unmarshal(body, &v) == nil && hideFields(v) {
		body, _ = json.Marshal(v)
	}
	text := s.text(string(body))
	return []byte(text[:min(len(text), keep)])
}

// hideFields replaces the string values of secretParams in v and reports whether there were any. An OAuth error
// answer's "code" is a name, not an authorization code, and stays.
func hideFields(v any) bool {
	hidden := false
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			hidden = hideFields(e) || hidden
		}
	case map[string]any:
		for name, e := range v {
			if _, isText := e.(string); isText && name != "code" && slices.Contains(secretParams, strings.ToLower(name)) {
				v[name] = redacted
				hidden = true
				continue
			}
			hidden = hideFields(e) || hidden
		}
	}
	return hidden
}
