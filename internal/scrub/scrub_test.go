package scrub_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/tokencache/tokencache/internal/scrub"
)

const token = "cccbce46-xhtz-43k6-8fbf-9b4cbdc6b2fb"

// knowing returns a Scrubber of secrets.
func knowing(secrets ...string) *scrub.Scrubber { return scrub.For(nil, nil, secrets...) }

// A row says what a Scrubber that knows some secrets makes of a text. An empty want is the text itself.
type row struct {
	name    string
	secrets []string
	text    string
	want    string
}

// run checks rows.
func run(t *testing.T, scrubText func(s *scrub.Scrubber, text string) string, rows []row) {
	t.Helper()
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			t.Helper()
			want := r.want
			if want == "" {
				want = r.text
			}
			s := knowing(r.secrets...)
			got := scrubText(s, r.text)
			if got != want {
				t.Fatalf("%q gives %q, want %q", r.text, got, want)
			}
			if again := scrubText(s, got); again != got {
				t.Errorf("a second time it gives %q", again)
			}
		})
	}
}

func text(s *scrub.Scrubber, t string) string { return s.Text(t) }
func body(s *scrub.Scrubber, t string) string { return string(s.Body([]byte(t))) }

func TestShownSecretIsReplacedInPlace(t *testing.T) {
	run(t, text, []row{
		{"finAPI's 401", []string{token}, "Invalid access token: " + token, "Invalid access token: [redacted]"},
		{"Moov's 422", []string{token}, "token: unknown token " + token, "token: unknown token [redacted]"},
		{"in a word", []string{"wonderland"}, "xwonderlandx", "x[redacted]x"},
		{"twice", []string{"wonderland"}, "wonderland, wonderland.", "[redacted], [redacted]."},
		{"two", []string{"wonderland", "cheshire"}, "cheshire in wonderland", "[redacted] in [redacted]"},
		{"with escapes around", []string{"wonderland"}, `100%25 "wonderland" \n &amp;`, `100%25 "[redacted]" \n &amp;`},
		{"that looks escaped", []string{`a%41&amp;\n+b`}, `<a%41&amp;\n+b>`, "<[redacted]>"},
		{"bytes that are no text", []string{"\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"}, "x\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8x", "x[redacted]x"},
		{"the whole text", []string{"wonderland"}, "wonderland", "[redacted]"},
		{"a part of it", []string{"wonderland"}, "wonderlan", ""},
		{"in another case", []string{"wonderland"}, "Wonderland", ""},
		{"no secret known", nil, "wonderland %41 \\n &amp;", ""},
		{"an empty secret", []string{""}, "wonderland", ""},
		{"no text", []string{"wonderland"}, "", ""},
	})
}

func TestOverlappingSecretsLeaveNoPart(t *testing.T) {
	run(t, text, []row{
		{"one begins another", []string{"wonderland", "wonderland-2026"}, "wonderland-2026 wonderland-2025", "[redacted] [redacted]-2025"},
		{"one inside of another", []string{"wonderland", "my-wonderland-2026"}, "my-wonderland-2026", "[redacted]"},
		{"one into another", []string{"abcdefgh1234", "1234567890ab"}, "x abcdefgh1234567890ab x", "x [redacted] x"},
		{"one into itself", []string{"abcdabcd"}, "abcdabcdabcd abcd", "[redacted] abcd"},
		{"next to each other", []string{"wonderland", "cheshire"}, "wonderlandcheshire", "[redacted]"},
		{"a long run", []string{"aaaaaaaaa"}, strings.Repeat("a", 100) + "b", "[redacted]b"},
	})
}

func TestSecretLikeTheReplacementIsStable(t *testing.T) {
	run(t, text, []row{
		{"a letter of it", []string{"e"}, "[redacted] e", "[redacted] [redacted]"},
		{"its bracket", []string{"[", "]"}, "[redacted] [ ]", "[redacted] [redacted] [redacted]"},
		{"a word of it", []string{"redact", "acted"}, "[redacted]", ""},
		{"most of it", []string{"redacted"}, "[redacted]", ""},
		{"all of it", []string{"[redacted]"}, "[redacted]", ""},
		{"its end and more", []string{"redacted]abc"}, "[redacted]abc", "[[redacted]"},
		{"its end and more, made by replacing", []string{"wonderland", "acted]abc"}, "wonderlandabc", "[redacted]"},
		{"its begin and less", []string{"x[redacted]"}, "xx[redacted]", "[redacted]"},
		{"a short one that comes to stand alone", []string{"wonderland", "b"}, "wonderlandb", "[redacted]"},
	})
}

func TestShortSecretMustStandAlone(t *testing.T) {
	run(t, text, []row{
		{"alone", []string{"a"}, "that is a password", "that is [redacted] password"},
		{"whole", []string{"a"}, "a", "[redacted]"},
		{"first", []string{"a"}, "a, b", "[redacted], b"},
		{"last", []string{"pass"}, "it is pass", "it is [redacted]"},
		{"after one that is not alone", []string{"pin"}, "pine, pin", "pine, [redacted]"},
		{"an error code", []string{"grant"}, "invalid_grant", ""},
		{"in front of a letter", []string{"secret"}, "secrets", ""},
		{"behind a letter", []string{"rain"}, "drain", ""},
		{"next to a digit", []string{"1234"}, "12345 1234", "12345 [redacted]"},
		{"next to a letter of another script", []string{"bad"}, "ébad 世bad badé bad", "ébad 世bad badé [redacted]"},
		{"next to a combining accent", []string{"cafe"}, "cafe\u0301 cafe", "cafe\u0301 [redacted]"},
		{"of 7 bytes", []string{"wonders"}, "wonderss", ""},
		{"of 8 bytes", []string{"wonderss"}, "wondersss", "[redacted]s"},
		{"behind an escape", []string{"secret"}, "pw=x%20secret", "[redacted]"},
		{"escaped", []string{"p&w"}, "p&amp;w", "[redacted]"},
		{"escaped, in a word", []string{"p&w"}, "shop&amp;win", ""},
		{"its base64, which is a word", []string{"1"}, "MQ", ""},
		{"its base64, which is none", []string{"secret"}, "c2VjcmV0", "[redacted]"},
	})
}

func TestBase64OfASecretIsASecret(t *testing.T) {
	secret := "??>>~~wonder"
	run(t, text, []row{
		{"standard", []string{secret}, "(" + base64.StdEncoding.EncodeToString([]byte(secret)) + ")", "([redacted])"},
		{"for URLs", []string{secret}, "(" + base64.URLEncoding.EncodeToString([]byte(secret)) + ")", "([redacted])"},
		{"padded", []string{token + "x"}, base64.StdEncoding.EncodeToString([]byte(token + "x")), "[redacted]=="},
		{"escaped", []string{secret}, url.QueryEscape(base64.StdEncoding.EncodeToString([]byte(secret))), "[redacted]"},
	})
}

// A text that shows a secret to those who undo its escapes is replaced as a whole.
func TestEscapedSecretTakesTheTextWithIt(t *testing.T) {
	odd := `p:&;="世😀` + "\n/~*(é!)"
	rows := []row{
		{"query", []string{odd}, url.QueryEscape(odd), "[redacted]"},
		{"path", []string{odd}, url.PathEscape(odd), "[redacted]"},
		{"lower case", []string{"a/b/c/d/e/f"}, "a%2fb%2Fc%2fd%2fe%2ff", "[redacted]"},
		{"plus for a space", []string{"correct horse"}, "correct+horse", "[redacted]"},
		{"plus that stays", []string{"a+b/c d+efg"}, "a+b%2Fc%20d+efg", "[redacted]"},
		{"JSON", []string{odd}, `"p:\u0026;=\"世\uD83D\uDE00\n\/~*(\u00e9!)"`, "[redacted]"},
		{"Go syntax", []string{odd}, fmt.Sprintf("%+q", odd), "[redacted]"},
		{"C syntax", []string{"\a\b\f\n\r\t\v\\x"}, `\a\b\f\n\r\t\v\\\x78`, "[redacted]"},
		{"bytes", []string{"\xff\xfewonder"}, `\xff\xFEwonder`, "[redacted]"},
		{"half a surrogate pair", []string{"a\ufffdAbcdefg"}, `a\ud83d\u0041bcdefg`, "[redacted]"},
		{"HTML", []string{`a<b>"c"&d`}, "a&lt;b&gt;&#34;c&quot;&#x26;d", "[redacted]"},
		{"HTML by long names", []string{"∳wonder"}, "&CounterClockwiseContourIntegral;wonder", "[redacted]"},
		{"shown and escaped", []string{"a/b/c/d/e"}, "a/b/c/d/e a%2Fb%2Fc%2Fd%2Fe", "[redacted]"},
		{"with a percent sign that stays", []string{"100% a/b/c"}, "100% a%2Fb%2Fc", "[redacted]"},
		{"with a backslash that stays", []string{`\u12 a/b/c`}, `\u12 a\/b\/c`, "[redacted]"},
		{"behind what is no escape", []string{"a/b/c/d/e"}, `%zz% 100% %a%2Fb%2Fc%2Fd%2Fe`, "[redacted]"},
		{"behind what is no escape of a program", []string{"a/b/c/d/e"}, `\u12 \xg \U0001 a\/b\/c\/d\/e\`, "[redacted]"},
		{"at a cut escape", []string{"a/b/c/d/e"}, `a%2Fb%2Fc%2Fd%2Fe%2`, "[redacted]"},
		{"escapes but no secret", []string{odd}, `100%25 \"x\" \u00e9 \ud83d\ude00 &amp; a+b %`, ""},
	}
	run(t, text, rows)
}

func TestNestedEscapesAreUndone(t *testing.T) {
	const secret = `a/b"c"&d<e>`
	inJSON := func(s string) string { b, _ := json.Marshal(s); return string(b) }
	inHTML := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "%", "&#37;", `\`, "&bsol;").Replace
	run(t, text, []row{
		{"JSON in JSON", []string{secret}, inJSON(inJSON(secret)), "[redacted]"},
		{"a URL in HTML", []string{secret}, inHTML(url.QueryEscape(secret)), "[redacted]"},
		{"HTML in a URL", []string{secret}, url.QueryEscape(inHTML(secret)), "[redacted]"},
		{"HTML in JSON in a URL", []string{secret}, url.QueryEscape(inJSON(inHTML(secret))), "[redacted]"},
		{"a URL in HTML in JSON", []string{secret}, inJSON(inHTML(url.QueryEscape(secret))), "[redacted]"},
		{"a URL three times", []string{secret}, url.QueryEscape(url.QueryEscape(url.QueryEscape(secret))), "[redacted]"},
		{"a URL that a space follows", []string{"correct horse"}, "correct%252Bhorse", "[redacted]"},
	})
}

func TestJSONIsScrubbedStringByString(t *testing.T) {
	run(t, body, []row{
		{
			"in place",
			[]string{token},
			`{"error":"invalid_token","error_description":"Invalid access token: ` + token + `"}`,
			`{"error":"invalid_token","error_description":"Invalid access token: [redacted]"}`,
		},
		{"escaped", []string{"a/b/c/d/e"}, `{"x":"at a%2Fb%2Fc%2Fd%2Fe", "y" : "z"}`, `{"x":"[redacted]", "y" : "z"}`},
		{"escaped as JSON is", []string{`pass"word"`}, `{"x":"is pass\"word\"!","y":["\\"]}`, `{"x":"is [redacted]!","y":["\\"]}`},
		{"what is left is JSON again", []string{token}, `{"x":"\"` + token + `\"\n\\"}`, `{"x":"\"[redacted]\"\n\\"}`},
		{"in a name", []string{token}, `{"` + token + `":1}`, `{"[redacted]":1}`},
		{"deep", []string{token}, ` [ {"x" : [ "` + token + `", null, 1e999 ] } ] `, ` [ {"x" : [ "[redacted]", null, 1e999 ] } ] `},
		{"twice", []string{token}, `{"x":"` + token + `","x":"` + token + `"}`, `{"x":"[redacted]","x":"[redacted]"}`},
		{"JSON in a string", []string{`pass"word"`}, `{"x":"{\"y\":\"pass\\\"word\\\"\"}"}`, `{"x":"[redacted]"}`},
		{"a number", []string{"1234567890"}, `{"x":1234567890}`, `{"x":[redacted]}`},
		{"a number, where that makes a secret", []string{"1234567890", ":[redacte"}, `{"x":1234567890}`, "[redacted]"},
		{"with JSON in the secret", []string{`{"key":"abc"}`}, `{"x":{"key":"abc"}}`, `{"x":[redacted]}`},
		{"a line break in the secret", []string{"wonder\nland"}, `{"x":"wonder\nland","y":"a"}`, `{"x":"[redacted]","y":"a"}`},
		{"behind a byte order mark", []string{"a/b/c/d/e"}, "\ufeff" + `{"x":"a\/b\/c\/d\/e","y":"a"}`, "\ufeff" + `{"x":"[redacted]","y":"a"}`},
		{"a string", []string{token}, `"` + token + `"`, `"[redacted]"`},
		{"nothing", []string{token}, `{ "b":"<&>\u00e9", "a":[ 1.0 , true ] }` + "\n", ""},
	})
}

func TestOtherBodiesAreScrubbedLineByLine(t *testing.T) {
	run(t, body, []row{
		{"in place", []string{token}, "<p>\n" + token + "\n</p>", "<p>\n[redacted]\n</p>"},
		{"escaped", []string{"a<b>c<d>"}, "<p>\na&lt;b&gt;c&lt;d&gt;\n</p>\n", "<p>\n[redacted]\n</p>\n"},
		{"over two lines", []string{"a<b>c\n<d>"}, "<p>\na<b>c\n<d>\n</p>\n", "<p>\n[redacted]\n</p>\n"},
		{"over two lines, escaped", []string{"a<b>c\n<d>"}, "<p>\na&lt;b&gt;c\n&lt;d&gt;\n</p>\n", "[redacted]"},
		{"JSON that was cut", []string{`pass"word"`}, `{"x":"pass\"word\"","y":`, "[redacted]"},
		{"JSON, two of it", []string{`pass"word"`}, `{"x":"pass\"word\""}` + "\n" + `{"y":1}`, "[redacted]\n" + `{"y":1}`},
		{"nothing", []string{token}, "404 page\r\nnot found\n", ""},
		{"no body", []string{token}, "", ""},
	})
}

// Credentials that nobody knows yet are told by the names of their fields.
func TestCredentialsAreHiddenByName(t *testing.T) {
	run(t, body, []row{
		{"JSON", nil, `{"access_token":"a b","expires_in":1,"x":{"Refresh_Token" : "c"}}`, `{"access_token":"[redacted]","expires_in":1,"x":{"Refresh_Token" : "[redacted]"}}`},
		{"JSON, an escaped name", nil, `{"access\u005ftoken":"a"}`, `{"access\u005ftoken":"[redacted]"}`},
		{
			"JSON, each name", nil, `{"id_token":"a","token":"a","password":"a","client_secret":"a","assertion":"a","client_assertion":"a","code_verifier":"a","device_code":"a","id_token_hint":"a","otp":"a","pin":"a"}`,
			strings.ReplaceAll(`{"id_token":"a","token":"a","password":"a","client_secret":"a","assertion":"a","client_assertion":"a","code_verifier":"a","device_code":"a","id_token_hint":"a","otp":"a","pin":"a"}`, `"a"`, `"[redacted]"`),
		},
		{"JSON, no text", nil, `{"token":{"hint":"unknown"},"pin":["a"],"otp":1}`, ""},
		{"JSON, an error's code", nil, `{"errors":[{"code":"LOCKED"}],"Code":"x","token_type_hint":"unknown"}`, ""},
		{"JSON in JSON", nil, `{"x":"{\"id_token\":\"a\",\"y\":\"b\"}"}`, `{"x":"{\"id_token\":\"[redacted]\",\"y\":\"b\"}"}`},
		{"JSON that was cut", nil, `{"id_token" : "a \"b\" c","x":`, `{"id_token" : "[redacted]","x":`},
		{"a form", nil, "access_token=a%2B&x=1&Password=b", "access_token=[redacted]&x=1&Password=[redacted]"},
		{"a page", nil, "<a href='/?id_token=a'>", "<a href='/?id_token=[redacted]'>"},
		{"another name", nil, "my_token=a&token_type=b&code=c", ""},
		{"where that makes a secret", []string{"token=[redact"}, "token=x", "[redacted]ed]"},
	})
}

func TestBodyIsCut(t *testing.T) {
	for _, part := range []string{"x", `"`, "\n"} {
		long := strings.Repeat(part, 8<<10-4)
		if got := body(knowing(token), long+token); got != long+"[red" {
			t.Errorf("%q gives %d bytes, at last %q", part, len(got), got[len(got)-8:])
		}
	}
	long := `["` + strings.Repeat("x", 8<<10-10)
	if got := body(knowing(`1234","5678","9012`), long+`1234","5678","9012"]`); got != long+"[redacte" {
		t.Errorf("got %d bytes, at last %q", len(got), got[len(got)-20:])
	}
	many := strings.Repeat("\n", 8<<10-4)
	if got := body(knowing(token), many+token+strings.Repeat("\n", 1<<20)); got != many+"[red" {
		t.Errorf("got %d bytes, at last %q", len(got), got[len(got)-8:])
	}
}

func TestHeaderIsScrubbedValueByValue(t *testing.T) {
	h := http.Header{
		"X-Debug": {"saw " + token, "a%2Fb%2Fc%2Fd%2Fe", "fine"}, "Location": {"/?access_token=x&y=z"},
		"Set-Cookie": {"session=x"}, "set-cookie": {"session=x"},
	}
	got := knowing(token, "a/b/c/d/e").Header(h)
	want := http.Header{"X-Debug": {"saw [redacted]", "[redacted]", "fine"}, "Location": {"/?access_token=[redacted]&y=z"}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if h["X-Debug"][0] != "saw "+token {
		t.Error("the header itself was changed")
	}
	if got := knowing().Header(nil); got == nil || len(got) != 0 {
		t.Errorf("no header gives %v", got)
	}
}

func TestLineIsShortAndPlain(t *testing.T) {
	run(t, func(s *scrub.Scrubber, t string) string { return s.Line(t, 20) }, []row{
		{"no secret", []string{"wonderland"}, "in wonderland", "in [redacted]"},
		{"no control characters", nil, "a\nb\tc\x00d\x7fe\u0085f\u2028g\u202eh", "a b c d e f g h"},
		{"no secret with control characters", []string{"wonder\nland"}, "in wonder\nland", "in [redacted]"},
		{"no secret made by spaces", []string{"correct horse"}, "correct\nhorse", "[redacted]"},
		{"as long as it may be", nil, strings.Repeat("x", 20), ""},
	})
	for in, want := range map[string]string{
		strings.Repeat("x", 21):       strings.Repeat("x", 20) + "...",
		strings.Repeat("x", 19) + "é": strings.Repeat("x", 19) + "...",
		"0123456789wonderland":        "0123456789[redacted]",
		"0123456789 wonderland":       "0123456789 [redacted...",
		"x\xffx":                      "x\ufffdx",
	} {
		if got := knowing("wonderland").Line(in, 20); got != want {
			t.Errorf("%q gives %q, want %q", in, got, want)
		}
	}
}

func TestErrorWithoutSecretsStays(t *testing.T) {
	s := knowing("wonderland")
	err := fmt.Errorf("cannot: %w", fs.ErrNotExist)
	if got := s.Err(err); got != err {
		t.Errorf("got %v, want the same error", got)
	}
	if got := s.Err(nil); got != nil {
		t.Errorf("no error gives %v", got)
	}
}

type careless struct{ text string }

func (c careless) Error() string { return c.text }

func TestErrorWithASecretKeepsItsTextAndWhatItIs(t *testing.T) {
	s := knowing("wonderland", "a/b/c/d/e")
	original := errors.Join(fs.ErrNotExist, careless{"in wonderland"}, careless{"at a%2Fb%2Fc%2Fd%2Fe"})
	err := s.Err(original)
	if want := "file does not exist\nin [redacted]\n[redacted]"; err.Error() != want {
		t.Errorf("got %q, want %q", err, want)
	}
	if !errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrExist) {
		t.Error("it is not what the original is")
	}
	if errors.As(err, new(careless)) || errors.Unwrap(err) != nil {
		t.Error("the original can be had")
	}
	if shown := fmt.Sprintf("%v %+v %#v %q", err, err, err, err); strings.Contains(shown, "wonderland") {
		t.Errorf("it shows in %s", shown)
	}
}

func TestCredentialsOfARequestAreKnown(t *testing.T) {
	basic := func(user, password string) string {
		return base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	}
	for _, r := range []struct {
		name   string
		header http.Header
		params url.Values
		secret string
		known  bool
	}{
		{"password", nil, url.Values{"password": {"x", "wonderland"}}, "wonderland", true},
		{"code", nil, url.Values{"code": {"wonderland"}}, "wonderland", true},
		{"pin", nil, url.Values{"pin": {"1234"}}, "1234", true},
		{"subject token", nil, url.Values{"subject_token": {"wonderland"}}, "wonderland", true},
		{"API key", nil, url.Values{"Api_Key": {"wonderland"}}, "wonderland", true},
		{"token type", nil, url.Values{"subject_token_type": {"wonderland"}}, "wonderland", false},
		{"hint", nil, url.Values{"token_type_hint": {"access_token"}}, "access_token", false},
		{"hint that is a token", nil, url.Values{"id_token_hint": {"wonderland"}}, "wonderland", true},
		{"user name", nil, url.Values{"username": {"wonderland"}}, "wonderland", false},
		{"bearer", http.Header{"Authorization": {"Bearer wonderland"}}, nil, "wonderland", true},
		{"key", http.Header{"X-Api-Key": {"wonderland"}}, nil, "wonderland", true},
		{"cookie", http.Header{"Cookie": {"a=b", "session=wonderland"}}, nil, "session=wonderland", true},
		{"user agent", http.Header{"User-Agent": {"wonderland"}}, nil, "wonderland", false},
		{"Basic", http.Header{"Authorization": {"Basic " + basic("alice", "wonderland")}}, nil, "wonderland", true},
		{"Basic, encoded", http.Header{"Authorization": {"Basic " + basic("alice", "wonder%2Bland")}}, nil, "wonder+land", true},
		{"Basic, as it is", http.Header{"Authorization": {"Basic " + basic("alice", "100%wonder")}}, nil, "100%wonder", true},
		{"Basic, both", http.Header{"Authorization": {"Basic " + basic("alice", "wonderland")}}, nil, "alice:wonderland", true},
		{"Basic, its base64", http.Header{"Authorization": {"Basic " + basic("alice", "wonderland")}}, nil, basic("alice", "wonderland"), true},
		{"Basic, the user", http.Header{"Authorization": {"Basic " + basic("alice.smith", "wonderland")}}, nil, "alice.smith", false},
	} {
		t.Run(r.name, func(t *testing.T) {
			got := scrub.For(r.header, r.params).Text("<" + r.secret + ">")
			if want := map[bool]string{true: "<[redacted]>", false: "<" + r.secret + ">"}[r.known]; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestScrubberLearns(t *testing.T) {
	var s scrub.Scrubber
	if got := s.Text("wonderland"); got != "wonderland" {
		t.Errorf("the zero Scrubber gives %q", got)
	}
	s.Know("wonderland")
	s.Know("wonderland")
	if got := s.Text("wonderland"); got != scrub.Redacted {
		t.Errorf("got %q", got)
	}
	if got := scrub.For(nil, nil, "wonderland", "cheshire").Text("cheshire"); got != scrub.Redacted {
		t.Errorf("got %q", got)
	}
}
