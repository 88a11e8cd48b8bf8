// No secret is in an error, a log, or any formatting of a type of this library (promise 9 in
// README.md).

package tokencache_test

import (
	"bytes"
	"context"
	"encoding"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"html"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/tokentest"
)

func TestNoTypeShowsASecret(t *testing.T) {
	for name, v := range secretValues(t) {
		t.Run(name, func(t *testing.T) { wantNoSecret(t, name, v) })
	}
}

// core is the middle of every secret in these tests. Around it are characters that encodings escape.
const core = "Zq7Kx2Vw9T"

const (
	clientSecret = `c+/%41 "` + core + `'<&>é:\=`
	userPassword = `p:&;=` + core + `"世😀\n/~*(!)`
	refreshValue = "r-._~+/" + core + "=="
	accessValue  = "a-._~+/" + core + "="
)

// secretValues returns a value of every exported type, with as many secrets in it as it can hold.
func secretValues(t *testing.T) map[string]any {
	t.Helper()
	cfg := secretConfig(roundTripperFunc(secretAnswer.RoundTrip)) // a function, because formatting a Config formats the user's HTTPClient
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	saved := &oauth2.Token{AccessToken: accessValue, RefreshToken: refreshValue}
	secret := func(context.Context) (string, error) { return userPassword, nil }
	alice, session := cache.Password("alice", userPassword), cache.Session("session", saved)
	for _, src := range []*tokencache.Source{alice, session, cache.ClientCredentials()} {
		if tok, err := src.Token(); err != nil || tok.AccessToken != accessValue {
			t.Fatal(tok, err)
		}
	}
	_, err = cache.PasswordFunc("alice", secret).Token()
	if err != nil {
		t.Fatal(err)
	}
	password := tokencache.PasswordGrant{Username: "alice", Password: tokencache.NewSecret(userPassword)}
	refresh := tokencache.RefreshTokenGrant{Session: "s", Token: tokencache.NewSecret(refreshValue)}
	return map[string]any{
		"Config": cfg, "*Config": &cfg,
		"Auth": cfg.Auth, "raw": tokencache.ClientSecretBasicRaw(clientSecret), "post": tokencache.ClientSecretPost(clientSecret),
		"Cache": cache, "Source": alice, "session": session,
		"Transport": tokencache.Transport{Source: alice}, "*Transport": &tokencache.Transport{Source: alice},
		"client": alice.Client(), "*client": *alice.Client(),
		"context":       tokencache.WithSource(context.Background(), alice),
		"Secret":        tokencache.NewSecret(userPassword),
		"PasswordGrant": password, "*PasswordGrant": &password,
		"PasswordFunc":      tokencache.PasswordGrant{Username: "alice", PasswordFunc: secret},
		"RefreshTokenGrant": refresh, "*RefreshTokenGrant": &refresh,
		"ClientCredentialsGrant": tokencache.ClientCredentialsGrant{},
		"TokenSourceGrant":       sourceGrant("x", oauth2.StaticTokenSource(saved)),
		"Dialect": tokencache.Dialect{Lifetime: func(map[string]any, time.Time) time.Duration {
			_ = clientSecret
			return 0
		}},
		"Hooks": tokencache.Hooks{NewToken: func(context.Context, tokencache.FetchInfo, *oauth2.Token) error { _ = saved; return nil }},
	}
}

// secretConfig returns a Config with a secret, for a server that rt stands for.
func secretConfig(rt http.RoundTripper) tokencache.Config {
	return tokencache.Config{
		TokenURL: "https://as.example.com/token", RevokeURL: "https://as.example.com/revoke", ClientID: "client",
		Auth: tokencache.ClientSecretBasic(clientSecret), HTTPClient: &http.Client{Transport: rt},
	}
}

var secretAnswer = fixedAnswer{status: 200, body: string(must(json.Marshal(map[string]any{
	"access_token": accessValue, "refresh_token": refreshValue, "expires_in": 3600,
})))}

// wantNoSecret checks every rendering of a value, and of each Error, oauth2.RetrieveError and
// url.Error in its chain.
func wantNoSecret(t *testing.T, name string, v any) {
	t.Helper()
	for way, text := range renderings(v) {
		if form := leak(text); form != "" {
			t.Errorf("%s under %s shows a secret (%s): %.300s", name, way, form, text)
		}
	}
	err, _ := v.(error)
	var e *tokencache.Error
	if errors.As(err, &e) && any(e) != v {
		wantNoSecret(t, name+", Error", e)
		wantNoSecret(t, name+", Error as a value", *e)
	}
	var r *oauth2.RetrieveError
	if errors.As(err, &r) && any(r) != v {
		wantNoSecret(t, name+", RetrieveError", r)
		wantNoSecret(t, name+", RetrieveError as a value", *r)
		wantNoSecret(t, name+", its body", string(r.Body))
		wantNoSecret(t, name+", its response", *r.Response)
	}
	var u *url.Error
	if errors.As(err, &u) && any(u) != v {
		wantNoSecret(t, name+", url.Error", u)
	}
}

// renderings returns a value in all the ways in which a program could show it.
func renderings(v any) map[string]string {
	type holder struct{ hidden any }
	out := map[string]string{}
	for name, value := range map[string]any{
		"": v, " in an unexported field": holder{v}, " behind a pointer": &holder{v}, " in a slice": []any{v}, " in a map": map[string]any{"x": v},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			out[verb+name] = fmt.Sprintf(verb, value)
		}
	}
	note := func(name string, data []byte, err error) { out[name] = fmt.Sprintf("%s %v", data, err) }
	data, err := json.Marshal(v)
	note("JSON", data, err)
	data, err = xml.Marshal(v)
	note("XML", data, err)
	var buf bytes.Buffer
	err = gob.NewEncoder(&buf).Encode(v)
	note("gob", buf.Bytes(), err)
	if m, ok := v.(encoding.TextMarshaler); ok {
		data, err = m.MarshalText()
		note("text", data, err)
	}
	debug := &slog.HandlerOptions{Level: slog.LevelDebug}
	for name, handler := range map[string]func() slog.Handler{
		"slog text": func() slog.Handler { return slog.NewTextHandler(&buf, debug) },
		"slog JSON": func() slog.Handler { return slog.NewJSONHandler(&buf, debug) },
	} {
		buf.Reset()
		slog.New(handler()).Debug("x", "v", v, slog.Any("held", holder{v}))
		out[name] = buf.String()
	}
	return out
}

// leak returns the name of the form in which a text shows a secret, or "" if it shows none.
func leak(text string) string {
	forms := map[string]string{
		"plain": core, "hex": hex.EncodeToString([]byte(core)), "Hex": strings.ToUpper(hex.EncodeToString([]byte(core))),
		"decimal": strings.Trim(fmt.Sprint([]byte(core)), "[]"), "Go syntax": strings.Trim(fmt.Sprintf("%#v", []byte(core)), "[]byte{}"),
	}
	for shift := range 3 {
		// The middle of the base64 depends only on the alignment.
		encoded := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("x", shift) + core))
		forms[fmt.Sprint("base64, shift ", shift)] = encoded[4:12]
	}
	for name, form := range forms {
		if strings.Contains(text, form) {
			return name
		}
	}
	return ""
}

// TestLeakFindsSecrets tests the check itself.
func TestLeakFindsSecrets(t *testing.T) {
	type showsAll struct{ Secret string }
	for way, text := range renderings(showsAll{clientSecret}) {
		if leak(text) == "" && way != "text" {
			t.Errorf("not found under %s: %s", way, text)
		}
	}
	for shift := range 3 {
		if leak(base64.StdEncoding.EncodeToString([]byte(clientSecret[shift:]))) == "" {
			t.Errorf("not found in base64 from %d", shift)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// The runtime writes the text of a panic, so another process has to read it.
func TestNoPanicShowsASecret(t *testing.T) {
	values := secretValues(t)
	values["Error"] = refusal(t, fixedAnswer{status: 400, body: userPassword})
	if name := os.Getenv(panicWith); name != "" {
		panic(values[name])
	}
	for _, name := range []string{"Config", "Auth", "Cache", "Source", "*Transport", "Secret", "PasswordGrant", "RefreshTokenGrant", "Error"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestNoPanicShowsASecret$")
		cmd.Env = append(os.Environ(), panicWith+"="+name)
		out, err := cmd.CombinedOutput()
		if err == nil || !bytes.Contains(out, []byte("panic: ")) {
			t.Errorf("%s: %v, %s", name, err, out)
		}
		if form := leak(string(out)); form != "" {
			t.Errorf("a panic with %s shows a secret (%s): %s", name, form, out)
		}
	}
}

const panicWith = "TOKENCACHE_TEST_PANIC"

// Hooks and logs of a cache from its first fetch to Shutdown show no secret, except in the token
// that NewToken is given.
func TestHooksAndLogStayClean(t *testing.T) {
	var log bytes.Buffer
	var seen []any
	see := func(v any) { seen = append(seen, v) }
	inBubble(t, tokentest.Behavior{Users: map[string]string{"alice": userPassword}, ClientSecret: clientSecret}, func(cfg *tokencache.Config) {
		cfg.Auth = tokencache.ClientSecretBasic(clientSecret)
		cfg.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		cfg.Hooks = tokencache.Hooks{
			NewToken:     func(_ context.Context, f tokencache.FetchInfo, _ *oauth2.Token) error { see(f); panic(userPassword) },
			FetchStarted: func(ctx context.Context, f tokencache.FetchInfo) context.Context { see(f); return ctx },
			FetchDone:    func(_ context.Context, f tokencache.FetchInfo) { see(f) },
			Rejected:     func(_ context.Context, r tokencache.RejectionInfo) { see(r) },
			HoldOff:      func(_ context.Context, h tokencache.HoldOffInfo) { see(h) },
			Revoked:      func(_ context.Context, r tokencache.RevocationInfo) { see(r) },
			HookFailed:   func(_ context.Context, err error) { see(err) },
		}
	}, func(w *world) {
		ctx := context.Background()
		alice, mallory := w.cache.Password("alice", userPassword), w.cache.Password("alice", userPassword+"2")
		w.token(alice)
		w.srv.RevokeAll()
		w.get(w.client(alice), "/")
		w.srv.Fail("token", 1, tokentest.Fault{Status: 500, Body: `{"error":` + string(must(json.Marshal(userPassword+"2"))) + `}`})
		_, err := mallory.Token()
		see(err)
		_, err = mallory.Token()
		see(err)
		w.token(w.cache.ClientCredentials())
		w.srv.Fail("revoke", 1, tokentest.Fault{Status: 500, Body: clientSecret})
		see(alice.Revoke(ctx))
		time.Sleep(time.Minute)
		see(w.cache.Shutdown(ctx))
		for _, tok := range w.srv.Tokens() {
			if strings.Contains(log.String(), tok.Value) || strings.Contains(fmt.Sprintf("%+v", seen), tok.Value) {
				w.Errorf("the %s is in the log or the hooks", tok.Kind)
			}
		}
	})
	kinds := map[string]bool{}
	for _, v := range seen {
		kinds[fmt.Sprintf("%T", v)] = true
		wantNoSecret(t, fmt.Sprintf("%T", v), v)
	}
	if len(kinds) < 7 || strings.Count(log.String(), "\n") < 10 {
		t.Errorf("not every hook was called, or too little was logged: %v, %s", kinds, log.String())
	}
	wantNoSecret(t, "log", log.String())
}

func TestHandedOutTokenHasNoRefreshToken(t *testing.T) {
	inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
		tok, err := w.cache.Password("alice", "wonderland").Token()
		if err != nil || tok.RefreshToken != "" || tok.Extra("refresh_token") != nil {
			w.Errorf("got %+v, %v", tok, err)
		}
		foreign := oauth2.StaticTokenSource((&oauth2.Token{AccessToken: "a", RefreshToken: "r"}).WithExtra(map[string]any{"refresh_token": "r", "scope": "s"}))
		tok, err = w.cache.Source(sourceGrant("foreign", foreign)).Token()
		if err != nil || tok.RefreshToken != "" || tok.Extra("refresh_token") != nil || tok.Extra("scope") != "s" {
			w.Errorf("got %+v, %v", tok, err)
		}
	})
}

// Whatever a server repeats of a request, in any form and place, does not get into an error.
func TestEchoedSecretsStayInside(t *testing.T) {
	secrets := map[string]string{
		"client secret": clientSecret, "password": userPassword, "refresh token": refreshValue,
		"encoded client secret": url.QueryEscape(clientSecret),
		"Basic header":          base64.StdEncoding.EncodeToString([]byte("client:" + url.QueryEscape(clientSecret))),
		"Basic credentials":     "client:" + url.QueryEscape(clientSecret),
	}
	for what, secret := range secrets {
		for form, escape := range echoes {
			t.Run(what+"/"+form, func(t *testing.T) {
				echo := escape(strings.ReplaceAll(secret, "😀", ""))
				if form != "JSON, every BMP character" {
					echo = escape(secret)
				} else if strings.Contains(secret, "😀") {
					return // without it this is another secret
				}
				text := string(must(json.Marshal("not " + echo + " again")))
				line := strings.NewReplacer("\n", "", "\r", "").Replace(echo)
				for place, a := range map[string]fixedAnswer{
					"description": {status: 400, body: `{"error":"invalid_grant","error_description":` + text + `}`},
					"code":        {status: 401, body: `{"error":` + text + `}`},
					"URI":         {status: 400, body: `{"error":"x","error_uri":` + text + `}`},
					"field":       {status: 422, body: `{"deep":[{"field":` + text + `}]}`},
					"field name":  {status: 422, body: `{` + text + `:1}`},
					"page":        {500, media("text/html"), "<p>" + echo + "</p>", nil},
					"header":      {status: 400, header: http.Header{"X-Request-Id": {line}, "X-Debug": {line}, "Location": {"/?" + line}}},
					"token type":  {status: 200, body: `{"access_token":"a","token_type":` + text + `}`},
					"refusal":     {status: 200, body: `{"error":` + text + `}`},
					"transport":   {err: errors.New("cannot send " + echo)},
				} {
					wantNoSecret(t, place, refusal(t, a))
				}
			})
		}
	}
}

// The fields that Config.Header and Config.HeaderFunc add are recognized as well, except what is
// public.
func TestEchoOfConfiguredFieldsStaysInside(t *testing.T) {
	const key = "k-4711/0815+x"
	for _, row := range []struct {
		field, value string
		secret       bool
	}{
		{"X-Api-Key", key, true},
		{"X-Api-Key", "k1", true},
		{"x-api-key", key, true},
		{"Ocp-Apim-Subscription", key, true},
		{"X-Tenant", key, true},
		{"Cookie", "session=" + key, true},
		{"X-Proxy-Auth", "Basic " + base64.StdEncoding.EncodeToString([]byte("user:"+key)), true},
		{"Accept-Language", "de-CH,de;q=0.9", false},
		{"User-Agent", "accounts/1.0", false},
		{"Origin", "https://app.example.com", false},
		{"Referer", "https://app.example.com/", false},
		{"X-Request-Id", "request-4711", false},
		{"X-Moov-Version", "v2024.01.00", false},
		{"X-Tenant", "q7", false},
	} {
		for place, set := range map[string]func(*tokencache.Config, http.Header){
			"Header": func(cfg *tokencache.Config, h http.Header) { cfg.Header = h },
			"HeaderFunc": func(cfg *tokencache.Config, h http.Header) {
				cfg.HeaderFunc = func(context.Context) (http.Header, error) { return h, nil }
			},
		} {
			t.Run(place+" "+row.field+" "+row.value, func(t *testing.T) {
				for form, escape := range echoes {
					text := string(must(json.Marshal("field " + escape(row.value) + " is not known")))
					for answer, a := range map[string]fixedAnswer{
						"description": {status: 400, body: `{"error":"invalid_request","error_description":` + text + `}`},
						"header":      {status: 400, header: http.Header{"X-Request-Id": {row.value}}},
						"transport":   {err: errors.New("cannot send " + row.value)},
					} {
						cfg := secretConfig(a)
						set(&cfg, http.Header{row.field: {row.value}})
						cache := must(tokencache.New(cfg))
						_, err := cache.RequestToken(context.Background(), secretParams())
						req := must(http.NewRequest("GET", "https://as.example.com/", nil))
						_, sent := cache.Send(context.Background(), "step", req)
						for _, err := range []error{err, sent} {
							shown := fmt.Sprintf("%v %+v %s", err, err, must(json.Marshal(err)))
							if e := (*tokencache.Error)(nil); errors.As(err, &e) {
								shown += e.RequestID
							}
							hides := !strings.Contains(shown, row.value) && !strings.Contains(shown, key)
							if row.secret && !hides || !row.secret && hides && form == "raw" {
								t.Errorf("%s, %s: got %s", answer, form, shown)
							}
						}
					}
				}
			})
		}
	}
}

// secretParams returns parameters of a token request that has every kind of secret.
func secretParams() url.Values {
	return url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {userPassword}, "refresh_token": {refreshValue}}
}

// refusal returns the error of a token request with secretParams that rt answers.
func refusal(t *testing.T, rt http.RoundTripper) error {
	t.Helper()
	cache, err := tokencache.New(secretConfig(rt))
	if err != nil {
		t.Fatal(err)
	}
	_, err = cache.RequestToken(context.Background(), secretParams())
	if err == nil {
		t.Fatal("no error")
	}
	return err
}

// echoes are the forms in which a server may repeat what it was sent.
var echoes = map[string]func(string) string{
	"raw":                      func(s string) string { return s },
	"query":                    url.QueryEscape,
	"path":                     url.PathEscape,
	"percent, lower case":      eachByte(false, "%%%02x"),
	"percent, every character": eachByte(true, "%%%02X"),
	"encodeURIComponent": func(s string) string {
		return strings.NewReplacer("%21", "!", "%2A", "*", "%28", "(", "%29", ")", "%27", "'", "%7E", "~", "+", "%20").Replace(url.QueryEscape(s))
	},
	"JSON": func(s string) string { return unquoted(string(must(json.Marshal(s)))) },
	"JSON, PHP": func(s string) string {
		return strings.ReplaceAll(unquoted(string(must(json.Marshal(s)))), "/", `\/`)
	},
	"JSON, every BMP character": func(s string) string { return eachRune(true, `\u%04x`)(strings.ReplaceAll(s, "😀", "")) },
	"Go syntax":                 func(s string) string { return unquoted(fmt.Sprintf("%+q", s)) },
	"HTML":                      html.EscapeString,
	"HTML, named":               strings.NewReplacer(`"`, "&quot;", "'", "&apos;", "&", "&amp;", "<", "&lt;", ">", "&gt;", "é", "&eacute;").Replace,
	"HTML, hexadecimal":         eachRune(false, "&#x%x;"),
	"base64":                    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"base64 for URLs":           func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
}

// eachRune returns a function that formats each character of a text, or only those that are not
// ASCII letters or digits.
func eachRune(all bool, format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for _, r := range s {
			if !all && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9') {
				b.WriteRune(r)
			} else {
				fmt.Fprintf(&b, format, r)
			}
		}
		return b.String()
	}
}

// eachByte is eachRune for bytes.
func eachByte(all bool, format string) func(string) string {
	return func(s string) string {
		var b strings.Builder
		for i := range len(s) {
			b.WriteString(eachRune(all, format)(string(rune(s[i]))))
		}
		return b.String()
	}
}

func unquoted(s string) string { return s[1 : len(s)-1] }

// The secrets in a request of Cache.Send are recognized like those of a token request.
func TestEchoOfARequestOfSendStaysInside(t *testing.T) {
	cache := must(tokencache.New(secretConfig(fixedAnswer{400, media("text/html"), "<p>" + userPassword + " " + clientSecret, nil})))
	form := url.Values{"password": {userPassword}}.Encode()
	object := string(must(json.Marshal(map[string]string{"password": userPassword, "x": "y"})))
	for name, req := range map[string]*http.Request{
		"query": must(http.NewRequest("GET", "https://as.example.com/?"+form, nil)),
		"form":  must(http.NewRequest("POST", "https://as.example.com/", strings.NewReader(form))),
		"JSON":  must(http.NewRequest("POST", "https://as.example.com/", strings.NewReader(object))),
		"Basic": must(http.NewRequest("POST", "https://as.example.com/", nil)),
	} {
		switch name {
		case "Basic":
			req.SetBasicAuth("alice", userPassword)
		case "form":
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		req.Header.Set("X-Client-Secret", clientSecret)
		_, err := cache.Send(context.Background(), "step", req)
		wantNoSecret(t, name, err)
	}
}

// A custom ClientAuth may put its secrets into any header field or parameter.
func TestEchoOfCustomClientAuthStaysInside(t *testing.T) {
	cfg := secretConfig(fixedAnswer{400, media("text/html"), "<p>" + clientSecret + refreshValue, nil})
	cfg.Auth = func(_ context.Context, r *tokencache.ClientAuthRequest) error {
		r.Header.Set("X-Api-Key", clientSecret)
		r.Params.Set("client_key", refreshValue)
		return nil
	}
	_, err := must(tokencache.New(cfg)).RequestToken(context.Background(), grantParams("client_credentials"))
	wantNoSecret(t, "error", err)
}

// Parameters that hold credentials are recognized by their names.
func TestEchoOfAnUncommonParameterStaysInside(t *testing.T) {
	for _, name := range []string{"subject_token", "actor_token", "mfa_token", "id_token_hint", "device_secret", "api_key", "otp"} {
		inBubble(t, tokentest.Behavior{}, nil, func(w *world) {
			const value = "Zm9vYmFyLXN1YmplY3Q-4711"
			w.srv.Fail("token", 1, tokentest.Fault{Status: 400, Body: `{"error":"invalid_grant","error_description":"` + value + ` has expired"}`})
			_, err := w.cache.RequestToken(w.Context(), url.Values{"grant_type": {"urn:exchange"}, name: {value}})
			if err == nil || strings.Contains(err.Error(), value) {
				w.Errorf("%s: %v", name, err)
			}
		})
	}
}

// A token in an error answer is a secret, although nobody uses it.
func TestTokensInARefusalStayInside(t *testing.T) {
	token := string(must(json.Marshal(accessValue)))
	for name, a := range map[string]fixedAnswer{
		"JSON":     {status: 500, body: `{"access_token":` + token + `,"nested":{"Refresh_Token":` + token + `}}`},
		"cut JSON": {status: 500, body: `{"id_token" : ` + token + `,"x":`},
		"form":     {500, media("application/x-www-form-urlencoded"), "access_token=" + url.QueryEscape(accessValue) + "&error=x", nil},
		"page":     {500, media("text/html"), "<a href='/?access_token=" + accessValue + "'>", nil},
		"type":     {status: 200, body: `{"access_token":` + token + `,"token_type":` + token + `}`},
		"unusable": {status: 200, body: `{"access_token":"` + accessValue + `\n"}`},
	} {
		t.Run(name, func(t *testing.T) { wantNoSecret(t, name, refusal(t, a)) })
	}
}

// A password of one letter is replaced only where it stands alone, not inside of words.
func TestShortSecretIsNotReplacedInsideOfWords(t *testing.T) {
	ask := func(password, description string) (*tokencache.Error, error) {
		t.Helper()
		a := fixedAnswer{status: 400, body: `{"error":"invalid_grant","error_description":` + string(must(json.Marshal(description))) + `}`}
		params := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {password}}
		_, err := a.asks(t, params, nil)
		var e *tokencache.Error
		if !errors.As(err, &e) {
			t.Fatalf("password %q: %v", password, err)
		}
		return e, err
	}
	const description = "The credentials did not match; failed attempts are counted"
	_, want := ask("looking-glass", description)
	for _, password := range []string{"a", "e", "i"} {
		e, err := ask(password, description)
		if err.Error() != want.Error() || e.Code != "invalid_grant" || e.Description != description || !e.Permanent {
			t.Errorf("password %q: code %q, permanent %v, message %v, want %v", password, e.Code, e.Permanent, err, want)
		}
		wantKind(t, err, tokencache.ErrInvalidGrant)

		e, err = ask(password, "Got '"+password+"', which did not match")
		if e.Description != "Got '[redacted]', which did not match" || !strings.Contains(err.Error(), e.Description) {
			t.Errorf("echo of the password %q: %v", password, err)
		}
		wantKind(t, err, tokencache.ErrInvalidGrant)
	}
}

// Each JSON string, header value and line of an answer is scrubbed by itself.
func TestRestOfAnAnswerWithASecretIsKept(t *testing.T) {
	const secret = "looking/glass&1"
	params := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {secret}}
	for _, row := range []struct {
		name, contentType, body string
		description, kept       string // in the error, and of the body
	}{
		{
			"escaped, in another field", "application/json", `{"error":"invalid_grant","error_description":"wrong password","sent":"pw=looking%2Fglass%261"}`,
			"wrong password", `{"error":"invalid_grant","error_description":"wrong password","sent":"[redacted]"}`,
		},
		{
			"escaped, in a nested field", "application/json", `{"error":"invalid_grant","error_description":"wrong password","x":[{"sent":"a looking%2Fglass%261","y":"z"}]}`,
			"wrong password", `{"error":"invalid_grant","error_description":"wrong password","x":[{"sent":"[redacted]","y":"z"}]}`,
		},
		{
			"plain, in the description", "application/json", `{"error":"invalid_grant","error_description":"the password looking/glass&1 is wrong","sent":"x"}`,
			"the password [redacted] is wrong", `{"error":"invalid_grant","error_description":"the password [redacted] is wrong","sent":"x"}`,
		},
		{
			"escaped, in the description", "application/json", `{"error":"invalid_grant","error_description":"the password looking%2Fglass%261 is wrong","sent":"x"}`,
			"[redacted]", `{"error":"invalid_grant","error_description":"[redacted]","sent":"x"}`,
		},
		{
			"plain and escaped", "application/json", `{"error":"invalid_grant","error_description":"looking/glass&1 is looking%2Fglass%261"}`,
			"[redacted]", `{"error":"invalid_grant","error_description":"[redacted]"}`,
		},
		{
			"lines", "text/plain", "wrong password\npw=looking%2Fglass%261\nthe password looking/glass&1 is wrong\n",
			"", "wrong password\n[redacted]\nthe password [redacted] is wrong\n",
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			header := media(row.contentType)
			header.Set("X-Request-Id", "id-1")
			header["X-Debug"] = []string{"pw=looking%2Fglass%261", "second", "pw: " + secret}
			_, err := fixedAnswer{400, header, row.body, nil}.asks(t, params, nil)
			var e *tokencache.Error
			var r *oauth2.RetrieveError
			if !errors.As(err, &e) || !errors.As(err, &r) {
				t.Fatalf("error: %v", err)
			}
			if e.Description != row.description || e.RequestID != "id-1" || !strings.Contains(err.Error(), row.description) {
				t.Errorf("description %q, request ID %q: %v", e.Description, e.RequestID, err)
			}
			if string(r.Body) != row.kept {
				t.Errorf("body %q, want %q", r.Body, row.kept)
			}
			if got := r.Response.Header["X-Debug"]; !slices.Equal(got, []string{"[redacted]", "second", "pw: [redacted]"}) {
				t.Errorf("header values %q", got)
			}
		})
	}
}

// The errors of a transport may show the request. The errors of this library do not.
func TestErrorsOfTheTransportShowNoSecret(t *testing.T) {
	failing := func(req *http.Request) (*http.Response, error) {
		dump, _ := httputil.DumpRequestOut(req, true)
		return nil, &url.Error{Op: "Post", URL: req.URL.String(), Err: careless{req.URL.String() + " " + string(dump), req}}
	}
	wantNoSecret(t, "token request", refusal(t, roundTripperFunc(failing)))

	answering := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		if req.URL.Path == "/token" {
			return secretAnswer.RoundTrip(req)
		}
		return failing(req)
	})
	for name, revocation := range map[string]func(context.Context, *tokencache.RevocationRequest) (*http.Request, error){
		"RFC 7009": nil,
		"query": func(ctx context.Context, r *tokencache.RevocationRequest) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, "GET", "https://as.example.com/revoke?t="+url.QueryEscape(r.Token), nil)
		},
		"path": func(ctx context.Context, r *tokencache.RevocationRequest) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, "DELETE", "https://as.example.com/tokens/"+url.PathEscape(r.Token), nil)
		},
		"header": func(ctx context.Context, r *tokencache.RevocationRequest) (*http.Request, error) {
			req, err := http.NewRequestWithContext(ctx, "POST", "https://as.example.com/revoke", nil)
			req.Header.Set("Authorization", "Bearer "+r.Token)
			return req, err
		},
		"no request": func(ctx context.Context, r *tokencache.RevocationRequest) (*http.Request, error) {
			return http.NewRequestWithContext(ctx, "GET", "https://as.example.com/\x7f?t="+r.Token, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := secretConfig(answering)
			cfg.Dialect.Revocation = revocation
			cache := must(tokencache.New(cfg))
			src := cache.Password("alice", userPassword)
			must(src.Token())
			must(cache.ClientCredentials().Token())
			err := errors.Join(src.Revoke(context.Background()), cache.Shutdown(context.Background()))
			if err == nil {
				t.Error("no error")
			}
			wantNoSecret(t, "revocation", err)
		})
	}
	t.Run("API", func(t *testing.T) {
		cache := must(tokencache.New(secretConfig(answering)))
		foreign := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: accessValue})
		for _, src := range []oauth2.TokenSource{cache.ClientCredentials(), foreign} {
			client := &http.Client{Transport: &tokencache.Transport{Source: src, Base: roundTripperFunc(failing)}}
			_, err := client.Get("https://api.example.com/")
			wantNoSecret(t, "API", errors.Unwrap(err))
		}
	})
}

// A careless is an error that holds and shows the whole request.
type careless struct {
	Dump string
	Req  *http.Request
}

func (c careless) Error() string { return c.Dump }
