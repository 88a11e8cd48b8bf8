package tokencache

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
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
	"code", "code_verifier", "device_code", "id_token_hint", "otp", "pin",
}

// A scrubber replaces known secrets in whatever a server or a transport sends back.
type scrubber struct{ secrets []string }

// scrubberFor knows the credentials in a request's header and parameters.
func scrubberFor(header http.Header, params url.Values, more ...string) *scrubber {
	s := &scrubber{}
	for name, values := range params {
		named := namesSecret(name) && !strings.HasSuffix(name, "_type") && !strings.HasSuffix(name, "_hint")
		if !named && !slices.Contains(secretParams, name) {
			continue
		}
		for _, v := range values {
			s.know(v)
		}
	}
	for name, values := range header {
		if !namesSecret(name) {
			continue
		}
		for _, v := range values {
			s.knowHeader(v)
		}
	}
	for _, v := range more {
		s.know(v)
	}
	return s
}

// namesSecret reports whether a header field is likely to carry credentials.
func namesSecret(field string) bool {
	field = strings.ToLower(field)
	return slices.ContainsFunc([]string{"auth", "cookie", "token", "secret", "key", "password", "assertion"}, func(part string) bool {
		return strings.Contains(field, part)
	})
}

// knowHeader adds a field's value, the credentials after a scheme, and what Basic credentials consist of.
func (s *scrubber) knowHeader(v string) {
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

// know adds a secret, and its base64.
func (s *scrubber) know(secret string) {
	for _, form := range []string{secret, base64.RawStdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret))} {
		if form != "" && !slices.Contains(s.secrets, form) {
			s.secrets = append(s.secrets, form)
		}
	}
	// The longest first: one secret can be the beginning of another.
	slices.SortFunc(s.secrets, func(a, b string) int { return len(b) - len(a) })
}

// text replaces the secrets in t, however they are escaped.
func (s *scrubber) text(t string) string {
	var starts [256]bool
	for _, kind := range escapes {
		for _, c := range []byte(kind) {
			starts[c] = true
		}
	}
	for _, secret := range s.secrets {
		starts[secret[0]] = true
	}
	var b strings.Builder
	kept := 0
	for i := 0; i < len(t); {
		n := 0
		if starts[t[i]] {
			n = s.match(t[i:])
		}
		if n == 0 {
			i++
			continue
		}
		b.WriteString(t[kept:i] + redacted)
		i += n
		kept = i
	}
	if kept == 0 {
		return t
	}
	return b.String() + t[kept:]
}

// match returns how much of t's beginning spells a secret, 0 if it does not.
func (s *scrubber) match(t string) int {
	for _, secret := range s.secrets {
		if n := spells(t, secret); n > 0 {
			return n
		}
	}
	return 0
}

// err keeps an error as it is if its text holds no secret, and otherwise keeps only its scrubbed text and what it is.
func (s *scrubber) err(err error) error {
	if err == nil {
		return nil
	}
	if text := s.text(err.Error()); text != err.Error() {
		return &scrubbedError{text, func(target error) bool { return errors.Is(err, target) }}
	}
	return err
}

// scrubbedError can be compared with its original, but neither hands it out nor shows it.
type scrubbedError struct {
	text string
	is   func(target error) bool
}

func (e *scrubbedError) Error() string        { return e.text }
func (e *scrubbedError) Is(target error) bool { return e.is(target) }

// namedSecret finds the values of well-known fields where a text is not valid JSON: in forms, URLs and cut answers.
var namedSecret = regexp.MustCompile(`(?i)\b(access_token|refresh_token|id_token|token|password|client_secret|client_assertion)` +
	`(=|"\s*:\s*")[^&\s"'<>]+`)

// body scrubs an answer that is kept for the caller: known secrets, and the values of fields that hold credentials by
// their name.
func (s *scrubber) body(body []byte) []byte {
	const keep = 8 << 10
	var v any
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if dec.Decode(&v) == nil && !dec.More() {
		if scrubbed, changed := s.json(v); changed {
			body, _ = json.Marshal(scrubbed)
		}
	}
	text := namedSecret.ReplaceAllString(s.text(string(body)), "${1}${2}"+redacted)
	return []byte(text[:min(len(text), keep)])
}

// json scrubs a JSON value, and hides what is a credential by its name. An OAuth error answer's "code" is a name, not
// an authorization code, and stays.
func (s *scrubber) json(v any) (scrubbed any, changed bool) {
	switch v := v.(type) {
	case string:
		text := s.text(v)
		return text, text != v
	case []any:
		for i := range v {
			e, hidden := s.json(v[i])
			v[i], changed = e, changed || hidden
		}
		return v, changed
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, e := range v {
			plain := s.text(name)
			e, hidden := s.json(e)
			if _, isText := e.(string); isText && name != "code" && slices.Contains(secretParams, strings.ToLower(name)) {
				e, hidden = redacted, true
			}
			out[plain], changed = e, changed || hidden || plain != name
		}
		return out, changed
	}
	return v, false
}

// addedSecrets are the values that the client's authentication has added, save those that everybody may know.
func (c *core) addedSecrets(header http.Header, before, after url.Values) []string {
	var added []string
	for _, values := range header {
		added = append(added, values...)
	}
	for name, values := range after {
		if before.Has(name) || name == "client_assertion_type" {
			continue
		}
		added = append(added, slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == c.cfg.ClientID })...)
	}
	return added
}

// paramsOf are the parameters in a request's query and, as far as it can be had again, its body.
func paramsOf(req *http.Request) url.Values {
	params := req.URL.Query()
	if req.GetBody == nil {
		return params
	}
	body, err := req.GetBody()
	if err != nil {
		return params
	}
	defer body.Close()
	text, _ := io.ReadAll(io.LimitReader(body, answerMost))
	fields, _ := parseFields(req.Header, text)
	for name, v := range fields {
		if s, ok := v.(string); ok {
			params.Add(name, s)
		}
	}
	return params
}
