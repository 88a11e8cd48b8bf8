package emulator

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const redacted = "[redacted]"

// secretFields are the names of fields that hold secrets, in lower case and without underscores.
// "code" holds a secret only at the top level; a nested one is an error code.
var secretFields = map[string]bool{
	"accesstoken":     true,
	"refreshtoken":    true,
	"token":           true,
	"tokenid":         true,
	"idtoken":         true,
	"clientsecret":    true,
	"accesssecret":    true,
	"password":        true,
	"assertion":       true,
	"clientassertion": true,
	"jwt":             true,
	"code":            true,
}

func isSecret(path string) bool {
	name := path[strings.LastIndexByte(path, '.')+1:]
	if name == "code" && name != path {
		return false
	}
	return secretFields[strings.ToLower(strings.ReplaceAll(name, "_", ""))]
}

// minSecretLen is the length from which a secret is also redacted outside its own field. Shorter
// values would match too much ordinary text.
const minSecretLen = 6

// secrets is the set of secret values seen so far.
type secrets map[string]bool

func (s secrets) learn(value string) {
	if len(value) >= minSecretLen && value != redacted {
		s[value] = true
	}
}

// learnHeader learns the credentials of a request's Authorization header.
func (s secrets) learnHeader(r *http.Request) {
	if _, password, ok := r.BasicAuth(); ok {
		s.learn(password)
		if raw, err := url.QueryUnescape(password); err == nil {
			s.learn(raw)
		}
	}
	if _, value, ok := strings.Cut(r.Header.Get("Authorization"), " "); ok {
		s.learn(value)
	}
}

// redact learns the values of the secret fields and replaces them in place.
func (s secrets) redact(fields map[string]string) map[string]string {
	for path, value := range fields {
		if isSecret(path) && value != "" {
			s.learn(value)
			fields[path] = redacted
		}
	}
	return fields
}

// scrub replaces every secret in text, the longest first, since a secret can be part of another.
func (s secrets) scrub(text string) string {
	longestFirst := func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }
	for _, secret := range slices.SortedFunc(maps.Keys(s), longestFirst) {
		text = strings.ReplaceAll(text, secret, redacted)
	}
	return text
}

// scrubAll returns a copy of fields with every secret replaced.
func (s secrets) scrubAll(fields map[string]string) map[string]string {
	if len(fields) == 0 {
		return nil
	}
	out := make(map[string]string, len(fields))
	for name, value := range fields {
		out[s.scrub(name)] = s.scrub(value)
	}
	return out
}

// flatten returns the fields of a form or of JSON, or the whole body as "(text)".
func flatten(contentType string, body []byte) map[string]string {
	if len(body) == 0 {
		return nil
	}
	mediaType, _, _ := mime.ParseMediaType(contentType)
	if mediaType == "application/x-www-form-urlencoded" {
		if form, err := url.ParseQuery(string(body)); err == nil {
			return joined(form)
		}
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var value any
	out := make(map[string]string)
	if decoder.Decode(&value) != nil || decoder.More() {
		out["(text)"] = string(body)
		return out
	}
	flattenJSON(out, "", value)
	return out
}

// flattenJSON adds the leaves of a JSON value to out, by their paths.
func flattenJSON(out map[string]string, path string, value any) {
	prefix := path
	if prefix != "" {
		prefix += "."
	}
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			flattenJSON(out, prefix+name, inner)
		}
	case []any:
		for i, inner := range v {
			flattenJSON(out, prefix+strconv.Itoa(i), inner)
		}
	default:
		if path == "" {
			path = "(text)"
		}
		text, isText := v.(string)
		if !isText {
			encoded, _ := json.Marshal(v) // a number, a boolean or null
			text = string(encoded)
		}
		out[path] = text
	}
}

// joined returns one value for each name.
func joined(values url.Values) map[string]string {
	out := make(map[string]string, len(values))
	for name, list := range values {
		out[name] = strings.Join(list, ",")
	}
	return out
}
