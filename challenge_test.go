package tokencache_test

import (
	"net/http"
	"reflect"
	"testing"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestChallenges(t *testing.T) {
	type params = map[string]string
	one := func(scheme string, p params) []tokencache.Challenge {
		return []tokencache.Challenge{{Scheme: scheme, Params: p}}
	}
	scope := params{"error": "insufficient_scope"}
	for _, row := range []struct {
		name   string
		fields []string
		want   []tokencache.Challenge
	}{
		{"none", nil, nil},
		{"empty", []string{"", " ", ",,"}, nil},
		{"bare scheme", []string{"Bearer"}, one("bearer", nil)},
		{"quoted", []string{`Bearer error="insufficient_scope"`}, one("bearer", scope)},
		{"token", []string{`Bearer error=insufficient_scope`}, one("bearer", scope)},
		{"any case", []string{`BEARER Error="insufficient_scope"`}, one("bearer", scope)},
		{"several parameters", []string{`Bearer realm="a, b=c", error="insufficient_scope",scope="x y"`},
			one("bearer", params{"realm": "a, b=c", "error": "insufficient_scope", "scope": "x y"})},
		{"escapes", []string{`Bearer realm="say \"a\\b\" \n"`}, one("bearer", params{"realm": `say "a\b" n`})},
		{"bad white space", []string{"Bearer \trealm = \"a\" ,\terror\t=\tx"}, one("bearer", params{"realm": "a", "error": "x"})},
		{"empty elements", []string{`, ,Bearer , error="x",, realm="a",`}, one("bearer", params{"error": "x", "realm": "a"})},
		{"empty value", []string{`Bearer realm=""`}, one("bearer", params{"realm": ""})},
		{"repeated parameter", []string{`Bearer error="a", error="b"`}, one("bearer", params{"error": "a"})},
		{"two in one field", []string{`Basic realm="a", Bearer error="insufficient_scope"`},
			[]tokencache.Challenge{{"basic", params{"realm": "a"}}, {"bearer", scope}}},
		{"two bare", []string{`Negotiate, Bearer error="insufficient_scope"`}, []tokencache.Challenge{{"negotiate", nil}, {"bearer", scope}}},
		{"two fields", []string{`Basic realm="a"`, `Bearer error="insufficient_scope"`},
			[]tokencache.Challenge{{"basic", params{"realm": "a"}}, {"bearer", scope}}},
		{"RFC 9110", []string{`Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\""`},
			[]tokencache.Challenge{{"basic", params{"realm": "simple"}}, {"newauth", params{"realm": "apps", "type": "1", "title": `Login to "apps"`}}}},
		{"token68", []string{`Negotiate abcd-._~+/==, Bearer error="insufficient_scope"`}, []tokencache.Challenge{{"negotiate", nil}, {"bearer", scope}}},
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
			if got := tokencache.ParseChallenges(row.fields); !reflect.DeepEqual(got, row.want) {
				t.Errorf("got  %q\nwant %q", got, row.want)
			}
		})
	}
}

// RFC 6750 section 3.1: a token that lacks a scope is not renewed, however the server says so.
func TestInsufficientScopeIsNotRenewed(t *testing.T) {
	for _, row := range []struct {
		name   string
		fields []string
		want   int
	}{
		{"insufficient_scope", []string{`Bearer realm="a", error="insufficient_scope"`}, 1},
		{"beside another scheme", []string{`Basic realm="a"`, `Negotiate abc==, Bearer error=insufficient_scope`}, 1},
		{"invalid_token", []string{`Bearer error="invalid_token"`}, 2},
		{"of another scheme", []string{`DPoP error="insufficient_scope"`}, 2},
		{"in a realm", []string{`Bearer realm="error=\"insufficient_scope\""`}, 2},
		{"none", nil, 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			api := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header()["Www-Authenticate"] = row.fields
				w.WriteHeader(http.StatusUnauthorized)
			})
			inBubble(t, tokentest.Behaviour{API: api}, nil, func(w *world) {
				if got := w.get(w.client(w.cache.ClientCredentials()), "/"); got != 401 {
					w.Errorf("status %d", got)
				}
				w.wantFetches(row.want)
			})
		})
	}
}
