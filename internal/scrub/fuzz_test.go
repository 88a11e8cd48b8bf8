package scrub_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/tokencache/tokencache/internal/scrub"
)

// answers are what servers answer, with SECRET where one may show what it was sent.
var answers = []string{
	`{"access_token":"yvMbx_TgwdYE0hgOVb8N4ZOvxOukqfjz","token_type":"bearer","refresh_token":"0b9KjiBVlZLz7a4HshSA","expires_in":3600,"scope":"all"}`,
	`{"token_type":"Bearer","access_token":"eyJ.eyJ.x","refresh_token":"eyJ.eyJ.y","expires_in":1736964352,"scope":"/accounts.read /accounts.write"}`,
	`{"token_id":"oRXB","access_token":"vVYG","refresh_token":"kLDm","token_type":"bearer","expires_in":10800,"refresh_expires_in":21600}`,
	`{"error":"invalid_token","error_description":"Invalid access token: SECRET"}`,
	`{"error":"unauthorized","errorDescription":"An Authentication object was not found in the SecurityContext"}`,
	`{"errors":[{"message":"The requested resource is locked","code":"LOCKED","type":"TECHNICAL"}],"date":"2018-01-01 00:00:00.000","requestId":"selfgen-ddf0","endpoint":"https://finapi.io","authContext":"1/2","bank":null}`,
	`{"scope":"is required","refresh_token":"SECRET"}`,
	`{"token":"is required","token_type_hint":"SECRET"}`,
	`{"name":"AuthorizationError","correlationID":"4692-1557955193.458-10.3.123.11-468","message":"SECRET","extras":{"code":"cannot_authenticate"}}`,
	`{"error":{"code":30000,"description":"see https://as.example.com/?x=SECRET&y=%2F","name":"x"}}`,
	`{"error":"x","detail":"{\"SECRET\":\"SECRET\"}"}`,
	`error=invalid_grant&error_description=SECRET+is+wrong&access_token=abc`,
	`{"access_token":"SECRET","x":"a \"quoted\" word`,
	"<html>\r\n<h1>502 Bad Gateway</h1>\r\n<p>SECRET &amp; &lt;more&gt;</p>\r\n</html>",
	`Post "https://as.example.com/token?x=SECRET": dial tcp: lookup as.example.com: no such host`,
	`404 page not found`, ``, `[`, `SECRET`,
}

// secrets are what the answers of the seeds show.
var secrets = []string{token, `c+/%41 "Zq7Kx2Vw9T'<&>é:\=`, `p:&;="世😀\n/~*(!)`, "a\\\\<\n%4100", "[redacted", "redacted]x", "aaaaaaaaaa", "pin"}

// encoders write a text as URLs, programs, JSON and pages do.
var encoders = []func(string) string{
	func(s string) string { return s },
	url.QueryEscape,
	url.PathEscape,
	html.EscapeString,
	func(s string) string { return trimQuotes(strconv.Quote(s)) },
	func(s string) string { return trimQuotes(strconv.QuoteToASCII(s)) },
	func(s string) string { b, _ := json.Marshal(s); return trimQuotes(string(b)) },
	func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			fmt.Fprintf(&b, "%%%02x", s[i])
		}
		return b.String()
	},
}

func trimQuotes(s string) string { return s[1 : len(s)-1] }

// encode writes a secret in up to three ways, one around the other. Beside it are spaces, so that
// it is not a part of an escape.
func encode(secret string, way uint16) string {
	for range 3 {
		secret = encoders[int(way)%len(encoders)](secret)
		way /= uint16(len(encoders))
	}
	return " " + secret + " "
}

var (
	percents    = regexp.MustCompile(`%[0-9A-Fa-f]{2}`)
	backslashes = regexp.MustCompile(`(?s)(?:\\u[0-9A-Fa-f]{4})+|\\x[0-9A-Fa-f]{2}|\\U[0-9A-Fa-f]{8}|\\.`)
)

// decoded is an independent reading of t, by the n-th kind of escape.
func decoded(t string, n int) string {
	switch n {
	case 0:
		return percents.ReplaceAllStringFunc(t, func(s string) string { c, _ := strconv.ParseUint(s[1:], 16, 8); return string([]byte{byte(c)}) })
	case 1:
		return backslashes.ReplaceAllStringFunc(t, func(s string) string {
			if s[1] == 'u' && len(s) > 2 {
				var text string
				_ = json.Unmarshal([]byte(`"`+s+`"`), &text)
				return text
			}
			if text, err := strconv.Unquote(`"` + s + `"`); err == nil {
				return text
			}
			return s[1:]
		})
	case 2:
		return html.UnescapeString(t)
	}
	return t
}

// showsSecret reports whether a reader who undoes escapes finds the secret in t.
func showsSecret(t, secret string) bool {
	for way := range 4 * 4 * 4 {
		reading := decoded(decoded(decoded(t, way%4), way/4%4), way/16)
		if strings.Contains(reading, secret) || strings.Contains(strings.ReplaceAll(reading, "+", " "), strings.ReplaceAll(secret, "+", " ")) {
			return true
		}
	}
	return false
}

// isLong reports whether a secret is looked for everywhere, and can be told from Redacted.
func isLong(secret string) bool { return len(secret) >= 8 && !strings.Contains(scrub.Redacted, secret) }

func FuzzText(f *testing.F) {
	for i, answer := range answers {
		for j, secret := range secrets {
			f.Add(answer, secret, secrets[(i+j)%len(secrets)], uint16(i*j*7919))
		}
	}
	f.Fuzz(func(t *testing.T, text, secret, second string, way uint16) {
		shown := encode(secret, way)
		text = strings.ReplaceAll(text, "SECRET", shown)
		s := knowing(secret, second)
		got := s.Text(text)
		for _, secret := range []string{secret, second} {
			if isLong(secret) && showsSecret(got, secret) {
				t.Errorf("%q is in %q, from %q", secret, got, text)
			}
		}
		if isLong(secret) && utf8.ValidString(secret) && strings.Contains(got, shown) {
			t.Errorf("%q, which is %q, is in %q, from %q", shown, secret, got, text)
		}
		if again := s.Text(got); again != got {
			t.Errorf("%q gives %q, and that gives %q", text, got, again)
		}
		if got != text && !strings.Contains(got, scrub.Redacted) {
			t.Errorf("%q gives %q", text, got)
		}
		if secret, second = "\U0010ffff"+secret+"12345678", "\U0010ffff"+second+"12345678"; showsSecret(text, secret) || showsSecret(text, second) {
			return
		}
		if got := knowing(secret, second).Text(text); got != text {
			t.Errorf("%q, which shows neither %q nor %q, gives %q", text, secret, second, got)
		}
	})
}

func FuzzBody(f *testing.F) {
	for i, answer := range answers {
		for j, secret := range secrets {
			f.Add([]byte(answer), secret, uint16(i*j*7919))
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, secret string, way uint16) {
		shown := encode(secret, way)
		if json.Valid(body) {
			quoted, _ := json.Marshal(shown)
			body = bytes.ReplaceAll(body, []byte("SECRET"), []byte(trimQuotes(string(quoted))))
		} else {
			body = bytes.ReplaceAll(body, []byte("SECRET"), []byte(shown))
		}
		before := slices.Clone(body)
		s := knowing(secret)
		got := s.Body(body)
		if !bytes.Equal(body, before) || len(got) > 8<<10 {
			t.Fatalf("%q gives %d bytes, and is %q", before, len(got), body)
		}
		for text := range texts(got) {
			if isLong(secret) && showsSecret(text, secret) {
				t.Errorf("%q is in %q, from %q", secret, got, body)
			}
		}
		if again := s.Body(got); len(got) < 8<<10 && !bytes.Equal(again, got) {
			t.Errorf("%q gives %q, and that gives %q", body, got, again)
		}
		if !bytes.Equal(got, body) && len(got) < 8<<10 && !bytes.Contains(got, []byte(scrub.Redacted)) {
			t.Errorf("%q gives %q", body, got)
		}
		if json.Valid(body) && len(got) < 8<<10 && !json.Valid(got) && !bytes.Contains(body, []byte(secret)) {
			t.Errorf("%q gives %q, which is no JSON", body, got)
		}
	})
}

// texts are the strings of a JSON value, or the lines of anything else.
func texts(body []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		var v any
		if json.Unmarshal(body, &v) != nil {
			strings.SplitSeq(string(body), "\n")(yield)
			return
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		dec.UseNumber()
		for tok, err := dec.Token(); err == nil; tok, err = dec.Token() {
			if text, ok := tok.(string); ok && !yield(text) {
				return
			}
		}
	}
}

func BenchmarkText(b *testing.B) {
	s := knowing(token, "correct horse battery staple", "client:secret/of+the?client", "0b9KjiBVlZLz7a4HshSAIcFuscStiXT1")
	for name, line := range map[string]string{
		"plain":   `{"error":"invalid_token","error_description":"Invalid access token"} `,
		"secrets": "Invalid access token: " + token + " ",
		"escapes": `see &lt;a href=\"https://as.example.com/?x=%2Fa+b%252F\"&gt;\u00e9&amp;amp; `,
	} {
		b.Run(name, func(b *testing.B) {
			text := strings.Repeat(line, 1<<20/len(line))
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				s.Text(text)
			}
		})
	}
}
