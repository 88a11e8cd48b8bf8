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
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
)

// core is in the middle of every secret of these tests, with characters around it that every encoding escapes.
const core = "Zq7Kx2Vw9T"

const (
	clientSecret = `c+/%41 "` + core + `'<&>é:\=`
	userPassword = `p:&;=` + core + `"世😀\n/~*(!)`
	refreshValue = "r-._~+/" + core + "=="
	accessValue  = "a-._~+/" + core + "="
)

// leak names the form in which text shows a secret, empty if it does not.
func leak(text string) string {
	forms := map[string]string{
		"plain": core, "hex": hex.EncodeToString([]byte(core)), "Hex": strings.ToUpper(hex.EncodeToString([]byte(core))),
		"decimal": strings.Trim(fmt.Sprint([]byte(core)), "[]"), "Go syntax": strings.Trim(fmt.Sprintf("%#v", []byte(core)), "[]byte{}"),
	}
	for shift := range 3 {
		// The middle of base64 depends on nothing but the alignment.
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

// renderings are all the ways in which a program could show a value.
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

// wantNoSecret checks every rendering of a value, and of every error in its chain that is ours or x/oauth2's.
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

// secretConfig is a configuration full of secrets for a server that answers with a.
func secretConfig(rt http.RoundTripper) tokencache.Config {
	return tokencache.Config{
		TokenURL: "https://as.example.com/token", RevokeURL: "https://as.example.com/revoke", ClientID: "client",
		Auth: tokencache.ClientSecretBasic(clientSecret), HTTPClient: &http.Client{Transport: rt},
	}
}

// secretParams are the parameters of a token request full of secrets.
func secretParams() url.Values {
	return url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {userPassword}, "refresh_token": {refreshValue}}
}

var secretAnswer = fixedAnswer{status: 200, body: string(must(json.Marshal(map[string]any{
	"access_token": accessValue, "refresh_token": refreshValue, "expires_in": 3600,
})))}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// secretValues are all exported types of the library, with as many secrets in them as they can hold.
func secretValues(t *testing.T) map[string]any {
	t.Helper()
	cfg := secretConfig(watching(secretAnswer.RoundTrip)) // a function, since what is the user's shows itself
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	saved := &oauth2.Token{AccessToken: accessValue, RefreshToken: refreshValue}
	secret := func(context.Context) (string, error) { return userPassword, nil }
	alice, session := cache.Password("alice", userPassword), cache.RefreshToken("session", saved)
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
		"TokenSourceGrant":       tokencache.TokenSourceGrant("x", oauth2.StaticTokenSource(saved)),
		"Dialect": tokencache.Dialect{Lifetime: func(map[string]any, time.Time) time.Duration {
			_ = clientSecret
			return 0
		}},
		"Hooks": tokencache.Hooks{NewToken: func(context.Context, tokencache.Fetch, *oauth2.Token) { _ = saved }},
	}
}

// Row Y: nothing of ours shows a secret.
func TestNoTypeShowsASecret(t *testing.T) {
	for name, v := range secretValues(t) {
		t.Run(name, func(t *testing.T) { wantNoSecret(t, name, v) })
	}
}

// The check itself: it finds what it looks for.
func TestLeaksAreFound(t *testing.T) {
	type Careless struct{ Secret string }
	for way, text := range renderings(Careless{clientSecret}) {
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

const panicWith = "TOKENCACHE_TEST_PANIC"

// The text of a panic is written by the runtime, which a process cannot watch in itself.
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

// refusal is the error of a token request full of secrets that rt answers.
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
