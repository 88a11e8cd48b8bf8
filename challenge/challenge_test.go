package challenge_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/tokencache/tokencache/challenge"
)

func TestChallenges(t *testing.T) {
	type params = map[string]string
	one := func(scheme string, p params) []challenge.Challenge {
		return []challenge.Challenge{{Scheme: scheme, Params: p}}
	}
	scope := params{"error": "insufficient_scope"}
	for _, row := range []struct {
		name   string
		fields []string
		want   []challenge.Challenge
	}{
		{"none", nil, nil},
		{"empty", []string{"", " ", ",,"}, nil},
		{"bare scheme", []string{"Bearer"}, one("bearer", nil)},
		{"quoted", []string{`Bearer error="insufficient_scope"`}, one("bearer", scope)},
		{"token", []string{`Bearer error=insufficient_scope`}, one("bearer", scope)},
		{"any case", []string{`BEARER Error="insufficient_scope"`}, one("bearer", scope)},
		{
			"several parameters",
			[]string{`Bearer realm="a, b=c", error="insufficient_scope",scope="x y"`},
			one("bearer", params{"realm": "a, b=c", "error": "insufficient_scope", "scope": "x y"}),
		},
		{"escapes", []string{`Bearer realm="say \"a\\b\" \n"`}, one("bearer", params{"realm": `say "a\b" n`})},
		{"bad white space", []string{"Bearer \trealm = \"a\" ,\terror\t=\tx"}, one("bearer", params{"realm": "a", "error": "x"})},
		{"empty elements", []string{`, ,Bearer , error="x",, realm="a",`}, one("bearer", params{"error": "x", "realm": "a"})},
		{"empty value", []string{`Bearer realm=""`}, one("bearer", params{"realm": ""})},
		{"repeated parameter", []string{`Bearer error="a", error="b"`}, one("bearer", params{"error": "a"})},
		{
			"two in one field",
			[]string{`Basic realm="a", Bearer error="insufficient_scope"`},
			[]challenge.Challenge{{"basic", params{"realm": "a"}}, {"bearer", scope}},
		},
		{"two bare", []string{`Negotiate, Bearer error="insufficient_scope"`}, []challenge.Challenge{{"negotiate", nil}, {"bearer", scope}}},
		{
			"two fields",
			[]string{`Basic realm="a"`, `Bearer error="insufficient_scope"`},
			[]challenge.Challenge{{"basic", params{"realm": "a"}}, {"bearer", scope}},
		},
		{
			"RFC 9110",
			[]string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`},
			[]challenge.Challenge{{"basic", params{"realm": "simple"}}, {"newauth", params{"realm": "apps", "type": "1", "title": `Login to "apps"`}}},
		},
		{"token68", []string{`Negotiate abcd-._~+/==, Bearer error="insufficient_scope"`}, []challenge.Challenge{{"negotiate", nil}, {"bearer", scope}}},
		{"token68 at the end", []string{`Negotiate YWJj=`}, one("negotiate", nil)},
		{"scheme in a value", []string{`Basic realm="Bearer error=insufficient_scope"`}, one("basic", params{"realm": "Bearer error=insufficient_scope"})},
		{"open quote", []string{`Bearer error="insufficient_scope`}, one("bearer", scope)},
		{"open escape", []string{`Bearer error="x\`}, one("bearer", params{"error": `x\`})},
		{"parameter first", []string{`error="insufficient_scope"`}, nil},
		{"garbage", []string{`"Bearer" error="insufficient_scope"`}, nil},
		{"garbage after", []string{`Bearer error="x" ; realm="a"`}, one("bearer", params{"error": "x"})},
		{"garbage does not reach the next field", []string{`@@@`, `Bearer error="x"`}, one("bearer", params{"error": "x"})},
		{"not ASCII", []string{"Bearer realm=\"é\", error=\"x\""}, one("bearer", params{"realm": "é", "error": "x"})},
		{"single quotes", []string{`Bearer error='insufficient_scope'`}, one("bearer", params{"error": "'insufficient_scope'"})},
	} {
		t.Run(row.name, func(t *testing.T) {
			if got := challenge.Parse(http.Header{"Www-Authenticate": row.fields}); !reflect.DeepEqual(got, row.want) {
				t.Errorf("got  %q\nwant %q", got, row.want)
			}
		})
	}
}

func FuzzChallenge(f *testing.F) {
	for _, field := range []string{
		`Bearer realm="a, b", error="insufficient_scope", scope=x`, `Basic realm="tokentest"`, `Bearer error="invalid_token"`,
		`Negotiate YWJj==, Bearer error="x"`, `Newauth realm="apps", type=1, title="Login to \"apps\"", Basic realm="simple"`, `Bearer error="\`, `,=,`,
	} {
		f.Add(field)
	}
	f.Fuzz(func(t *testing.T, field string) {
		all := challenge.Parse(http.Header{"Www-Authenticate": {field}})
		var b strings.Builder
		for i, c := range all {
			if c.Scheme == "" || c.Scheme != strings.ToLower(c.Scheme) {
				t.Errorf("scheme %q", c.Scheme)
			}
			b.WriteString(map[bool]string{true: ", "}[i > 0] + c.Scheme)
			sep := " "
			for name, value := range c.Params {
				if name == "" || name != strings.ToLower(name) {
					t.Errorf("parameter %q", name)
				}
				b.WriteString(sep + name + `="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(value) + `"`)
				sep = ", "
			}
		}
		if again := challenge.Parse(http.Header{"Www-Authenticate": {b.String()}}); !reflect.DeepEqual(again, all) {
			t.Errorf("%q gives %q, and %q gives %q", field, all, b.String(), again)
		}
	})
}
