package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/tokencache/tokencache/tokentest"
)

const clientSecret = "s3cr:t+of the client"

// A remoteRun is a run against the user's own server.
type remoteRun struct {
	*testing.T
	srv            *tokentest.Server
	status         int
	stdout, stderr string
}

// runRemote runs the program with the flags for a new server, and more. $URL in a flag is replaced
// by the server's URL.
func runRemote(t *testing.T, b tokentest.Behavior, more ...string) *remoteRun {
	t.Helper()
	b.ClientSecret = clientSecret
	srv := tokentest.New(b)
	t.Cleanup(srv.Close)
	t.Setenv("QUICKSTART_SECRET", clientSecret)
	t.Setenv("QUICKSTART_WRONG", clientSecret+"!")
	args := []string{
		"-token-url", "$URL/token", "-revoke-url", "$URL/revoke", "-client-id", "client",
		"-client-secret-env", "QUICKSTART_SECRET", "-scope", "accounts.read  payments.write",
	}
	args = append(args, more...)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "$URL", srv.URL)
	}
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), args, &stdout, &stderr)
	r := &remoteRun{t, srv, status, stdout.String(), stderr.String()}
	r.wantNoSecret()
	return r
}

func (r *remoteRun) wantNoSecret() {
	r.Helper()
	secrets := []string{clientSecret}
	for _, t := range r.srv.Tokens() {
		secrets = append(secrets, t.Value)
	}
	for _, secret := range secrets {
		if strings.Contains(r.stdout+r.stderr, secret) {
			r.Errorf("a secret was printed:\n%s\n%s", r.stdout, r.stderr)
		}
	}
}

func (r *remoteRun) want(what string, got, want any) {
	r.Helper()
	if got != want {
		r.Errorf("%s: got %v, want %v (stdout %q, stderr %q)", what, got, want, r.stdout, r.stderr)
	}
}

func (r *remoteRun) wantText(where, text string) {
	r.Helper()
	if !strings.Contains(where, text) {
		r.Errorf("no %q in %q", text, where)
	}
}

func TestRemoteServer(t *testing.T) {
	r := runRemote(t, tokentest.Behavior{}, "-get", "$URL/accounts?key=hidden", "-n", "30")
	r.want("exit status", r.status, exitOK)
	r.want("stderr", r.stderr, "")
	r.want("token requests", r.srv.Count("token"), 1)
	r.want("scope", r.srv.Requests()[0].Form.Get("scope"), "accounts.read payments.write")
	r.want("API requests", r.srv.Count("api"), 30)
	r.want("revocations", r.srv.Count("revoke"), 1)
	r.want("live tokens", len(r.srv.Live()), 0)
	r.wantText(r.stdout, "3600 s")
	r.wantText(r.stdout, "API answers 200")
	wantReadable(t, r.stdout)
}

func TestRemoteServerJSON(t *testing.T) {
	r := runRemote(t, tokentest.Behavior{}, "-get", "$URL/accounts", "-json")
	r.want("exit status", r.status, exitOK)
	object := oneObject(t, r.stdout)
	for name, want := range map[string]float64{
		"goroutines": 20, "goroutines_with_token": 20, "token_requests": 1, "token_lifetime_seconds": 3600,
		"get_requests": 20, "revoked_on_shutdown": 1, "not_revoked_on_shutdown": 0,
	} {
		r.want(name, object[name], want)
	}
	r.want("answers", object["get_answers"].(map[string]any)["200"], 20.0)
}

func TestRemoteServerWithoutURLToGet(t *testing.T) {
	r := runRemote(t, tokentest.Behavior{ClientAuth: "client_secret_post"}, "-client-auth", "post")
	r.want("exit status", r.status, exitOK)
	r.want("API requests", r.srv.Count("api"), 0)
	r.want("token requests", r.srv.Count("token"), 1)
	r.want("live tokens", len(r.srv.Live()), 0)
}

func TestRemoteServerFails(t *testing.T) {
	always := func(*http.Request) bool { return true }
	for _, row := range []struct {
		name   string
		server tokentest.Behavior
		args   []string
		want   string
	}{
		{"wrong secret", tokentest.Behavior{}, []string{"-client-secret-env", "QUICKSTART_WRONG"}, "client was refused"},
		{"API answers 401", tokentest.Behavior{Unauthorized: always}, []string{"-get", "$URL/?key=hidden"}, "refused the token"},
		{"API is not there", tokentest.Behavior{}, []string{"-get", "http://127.0.0.1:1/?key=hidden"}, "request failed"},
		{"no URL", tokentest.Behavior{}, []string{"-get", "http://[::1/?key=hidden"}, "request failed"},
		{"no revocation", tokentest.Behavior{}, []string{"-revoke-url", "$URL/nothing"}, "shutdown"},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := runRemote(t, row.server, row.args...)
			r.want("exit status", r.status, exitBroken)
			r.wantText(r.stderr, row.want)
			if strings.Contains(r.stdout+r.stderr, "hidden") {
				r.Errorf("the query was printed: %q %q", r.stdout, r.stderr)
			}
			r.want("requests with a secret", r.srv.Count("token") <= 3, true)
		})
	}
}

func TestInvalidFlags(t *testing.T) {
	for _, row := range []struct {
		name string
		args []string
	}{
		{"empty variable", []string{"-client-secret-env", "QUICKSTART_NOTHING"}},
		{"no variable", []string{"-client-secret-env", ""}},
		{"authentication", []string{"-client-auth", "magic"}},
		{"no client", []string{"-client-id", ""}},
		{"plain http", []string{"-token-url", "http://as.example.com/token"}},
		{"no token URL", []string{"-token-url", ""}},
		{"goroutines", []string{"-n", "0"}},
		{"argument", []string{"more"}},
		{"flag", []string{"-unknown"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := runRemote(t, tokentest.Behavior{}, row.args...)
			r.want("exit status", r.status, exitUsage)
			r.want("stdout", r.stdout, "")
			r.want("has an error message", r.stderr != "", true)
			r.want("requests", len(r.srv.Requests()), 0)
		})
	}
}
