package wire_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tokencache/tokencache/internal/wire"
)

const (
	asJSON = "application/json"
	asForm = "application/x-www-form-urlencoded"
)

func contentType(media string) http.Header {
	if media == "" {
		return http.Header{}
	}
	return http.Header{"Content-Type": {media}}
}

func TestFields(t *testing.T) {
	type fields = map[string]any
	a := fields{"a": "x"}
	for _, row := range []struct {
		name, media, body string
		want              fields // nil for an error
	}{
		{"JSON", asJSON, `{"a":"x"}`, a},
		{"JSON of all types", asJSON, `{"t":true,"n":null,"o":{"p":1},"l":["x"]}`, fields{"t": true, "n": nil, "o": fields{"p": json.Number("1")}, "l": []any{"x"}}},
		{"large number", asJSON, `{"n":12345678901234567890}`, fields{"n": json.Number("12345678901234567890")}},
		{"empty object", asJSON, `{}`, fields{}},
		{"JSON with a charset", asJSON + "; charset=utf-8", `{"a":"x"}`, a},
		{"JSON without a media type", "", `{"a":"x"}`, a},
		{"JSON as HTML", "text/html", `{"a":"x"}`, a},
		{"JSON as text", "text/plain", `{"a":"x"}`, a},
		{"JSON as a form", asForm, `{"a":"x"}`, a},
		{"JSON with = as a form", asForm, `{"a":"x="}`, fields{"a": "x="}},
		{"JSON in white space", asJSON, " \r\n{\"a\":\"x\"}\n\t", a},
		{"JSON in white space as a form", asForm, "\n{\"a\":\"x\"}\n", a},
		{"JSON with a byte order mark", asJSON, "\ufeff {\"a\":\"x\"}", a},
		{"JSON with a byte order mark as a form", asForm, "\ufeff{\"a\":\"x\"}", a},
		{"two byte order marks", asJSON, "\ufeff\ufeff{\"a\":\"x\"}", nil},
		{"byte order mark at the end", asJSON, "{\"a\":\"x\"}\ufeff", nil},

		{"nothing", asJSON, "", nil},
		{"nothing without a media type", "", "", nil},
		{"null", asJSON, "null", nil},
		{"list", asJSON, `[{"a":"x"}]`, nil},
		{"text", asJSON, `"a"`, nil},
		{"number", asJSON, "1", nil},
		{"broken off", asJSON, `{"a":"x"`, nil},
		{"no JSON", asJSON, "<html></html>", nil},
		{"another object after it", asJSON, `{"a":"x"} {"a":"x"}`, nil},
		{"text after it", asJSON, `{"a":"x"}x`, nil},
		{"a bracket after it", asJSON, `{"a":"x"}]`, nil},
		{"a number after it", asJSON, `{"a":"x"} 1`, nil},

		{"form", asForm, "a=x&b=y+z%26", fields{"a": "x", "b": "y z&"}},
		{"form with a charset", asForm + ";charset=UTF-8", "a=x", a},
		{"form with a bad parameter", asForm + "; charset", "a=x", a},
		{"form in capitals", "Application/X-WWW-Form-Urlencoded", "a=x", a},
		{"form as text", "text/plain", "a=x", a},
		{"form in white space", asForm, "\r\na=x\r\n", a},
		{"form with a byte order mark", asForm, "\ufeffa=x", a},
		{"form with numbers", asForm, "n=1", fields{"n": "1"}},
		{"form with a name twice", asForm, "a=x&a=y", a},
		{"form with empty values", asForm, "a=&b", fields{"a": "", "b": ""}},
		{"form without a media type", "", "a=x", nil},
		{"form as JSON", asJSON, "a=x", nil},
		{"form as HTML", "text/html", "a=x", nil},
		{"form as nonsense", "/;=", "a=x", nil},
		{"empty form", asForm, "", nil},
		{"form without =", asForm, "a", nil},
		{"form with a space", asForm, "a=x y", nil},
		{"form with a tab", asForm, "a=x\ty", nil},
		{"form of two lines", asForm, "a=x\nb=y", nil},
		{"form of two old lines", asForm, "a=x\rb=y", nil},
		{"HTML as a form", asForm, `<a=x>`, nil},
		{"form with a bad escape", asForm, "a=%zz", nil},
		{"form with a semicolon", asForm, "a=x;b=y", nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := wire.Fields(contentType(row.media), []byte(row.body))
			if (err == nil) != (row.want != nil) || !reflect.DeepEqual(got, row.want) {
				t.Errorf("got  %v, %v\nwant %v", got, err, row.want)
			}
			if err != nil && (len(row.body) > 3 && strings.Contains(err.Error(), row.body)) {
				t.Errorf("the error quotes the body: %v", err)
			}
		})
	}
}

// A trackedBody is a body that knows whether it was closed.
type trackedBody struct {
	io.Reader
	closed bool
}

func (b *trackedBody) Close() error { b.closed = true; return nil }

func TestParams(t *testing.T) {
	for _, row := range []struct {
		name, query, media, body string
		want                     url.Values
	}{
		{"nothing", "", "", "", url.Values{}},
		{"query", "a=x&a=y", "", "", url.Values{"a": {"x", "y"}}},
		{"form", "", asForm, "a=x&b=y", url.Values{"a": {"x"}, "b": {"y"}}},
		{"form with a name twice", "", asForm, "a=x&a=y", url.Values{"a": {"x", "y"}}},
		{"both", "a=x&b=y", asForm, "a=z", url.Values{"a": {"x", "z"}, "b": {"y"}}},
		{"JSON", "", asJSON, `{"a":"x","n":1,"o":{"p":"q"}}`, url.Values{"a": {"x"}}},
		{"form in white space", "", asForm, "\ufeff a=x\n", url.Values{"a": {"x"}}},
		{"something else", "a=x", "text/html", "<html>", url.Values{"a": {"x"}}},
		{"a bad form", "a=x", asForm, "b=%zz", url.Values{"a": {"x"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			body := &trackedBody{Reader: strings.NewReader(row.body)}
			req := &http.Request{
				URL: &url.URL{RawQuery: row.query}, Header: contentType(row.media),
				GetBody: func() (io.ReadCloser, error) { return body, nil },
			}
			if got := wire.Params(req); !reflect.DeepEqual(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
			if !body.closed {
				t.Error("the body was not closed")
			}
		})
	}
}

func TestParamsOfABodyThatCannotBeHad(t *testing.T) {
	for name, getBody := range map[string]func() (io.ReadCloser, error){
		"no GetBody":    nil,
		"GetBody fails": func() (io.ReadCloser, error) { return nil, errors.New("no body") },
	} {
		t.Run(name, func(t *testing.T) {
			body := &trackedBody{Reader: strings.NewReader("a=y")}
			req := &http.Request{URL: &url.URL{RawQuery: "a=x"}, Header: contentType(asForm), Body: body, GetBody: getBody}
			if got, want := wire.Params(req), (url.Values{"a": {"x"}}); !maps.EqualFunc(got, want, func(a, b []string) bool { return reflect.DeepEqual(a, b) }) {
				t.Errorf("got %v, want those of the query", got)
			}
			if rest, _ := io.ReadAll(body); len(rest) != 3 {
				t.Error("the body of the request itself was read")
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC)
	for _, row := range []struct {
		text string
		want time.Duration
	}{
		{"", 0},
		{"0", 0},
		{"7", 7 * time.Second},
		{" 120\t", 2 * time.Minute},
		{"007", 7 * time.Second},
		{"4294967295", math.MaxUint32 * time.Second},
		{"4294967296", math.MaxUint32 * time.Second},
		{"99999999999999999999999999", math.MaxUint32 * time.Second},
		{"-1", 0},
		{"+1", 0},
		{"1.5", 0},
		{"1e3", 0},
		{"0x10", 0},
		{"7 s", 0},
		{"soon", 0},
		{"Tue, 06 May 2031 07:08:10 GMT", time.Second},
		{" Tue, 06 May 2031 07:09:39 GMT ", 90 * time.Second},
		{"Tue, 06 May 2031 07:08:09 GMT", 0},
		{"Tue, 06 May 2031 07:08:08 GMT", 0},
		{"Fri, 31 Dec 1999 23:59:59 GMT", 0},
		{"Tuesday, 06-May-31 07:08:19 GMT", 10 * time.Second},
		{"Tue May  6 07:08:19 2031", 10 * time.Second},
		{"Fri, 31 Dec 9999 23:59:59 GMT", math.MaxInt64},
		{"2031-05-06T07:08:19Z", 0},
	} {
		t.Run(row.text, func(t *testing.T) {
			if got := wire.RetryAfter(http.Header{"Retry-After": {row.text}}, now); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
	if got := wire.RetryAfter(nil, now); got != 0 {
		t.Errorf("without a header: %v", got)
	}
	if got := wire.RetryAfter(http.Header{"Retry-After": {"7", "8"}}, now); got != 7*time.Second {
		t.Errorf("of two: %v, want the first", got)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, text := range []string{
		"", "0", "7", "-1", "1.5", " 120 ", "4294967296", "Fri, 31 Dec 1999 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT",
		"Fri Dec 31 23:59:59 1999", "Wed, 31 Dec 9999 23:59:59 GMT",
	} {
		f.Add(text, int64(1_795_320_000))
	}
	f.Fuzz(func(t *testing.T, text string, at int64) {
		now := time.Unix(at%(1<<35), 0)
		d := wire.RetryAfter(http.Header{"Retry-After": {text}}, now)
		if d < 0 {
			t.Fatalf("%q gives %v", text, d)
		}
		seconds := d / time.Second
		again := wire.RetryAfter(http.Header{"Retry-After": {fmt.Sprint(int64(seconds))}}, now)
		if again != min(seconds, math.MaxUint32)*time.Second {
			t.Errorf("%q gives %v, and as seconds %v", text, d, again)
		}
		if moved := wire.RetryAfter(http.Header{"Retry-After": {text}}, now.Add(time.Second)); moved > d {
			t.Errorf("%q gives %v, and a second later %v", text, d, moved)
		}
	})
}
