package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tokencache/tokencache/examples/internal/show"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/finapi"
	"github.com/tokencache/tokencache/provider/finapi/finapitest"
)

// environment returns a getenv function with only these variables.
func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

// runProgram runs the program and returns what it printed and its exit status.
func runProgram(t *testing.T, getenv func(string) string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errOut bytes.Buffer
	status = example.Run(t.Context(), args, getenv, &out, &errOut)
	return out.String(), errOut.String(), status
}

// The requests are those in the documentation of authorization, of the creation of a user, and of
// revocation.
func TestTheFlowOfTheDocumentation(t *testing.T) {
	text, stderr, status := runProgram(t, environment())
	if status != show.OK || stderr != "" {
		t.Fatalf("exit status %d: %s\n%s", status, stderr, text)
	}
	at := 0
	for _, line := range []string{
		"POST /oauth/token  {client_id=client-id client_secret=[redacted] grant_type=client_credentials}",
		"200 OK  {access_token=[redacted] expires_in=",
		"scope=all token_type=bearer}",
		"POST /api/v1/users  Authorization: [redacted]  {email=email@localhost.de id=username isAutoUpdateEnabled=false " +
			"password=[redacted] phone=+49 99 999999-999}",
		"201 Created  {email=email@localhost.de id=username isAutoUpdateEnabled=false password=[redacted] phone=+49 99 999999-999}",
		"POST /oauth/token  {client_id=client-id client_secret=[redacted] grant_type=password password=[redacted] username=username}",
		"200 OK  {access_token=[redacted] expires_in=",
		"GET /api/v1/users  Authorization: [redacted]",
		"grant_type=refresh_token refresh_token=[redacted]}",
		"POST /oauth/revoke?token=[redacted]&token_type_hint=refresh_token  Authorization: [redacted]",
		"POST /oauth/revoke?token=[redacted]&token_type_hint=access_token  Authorization: [redacted]",
		"The server received the 10 expected requests.",
	} {
		i := strings.Index(text[at:], line)
		if i < 0 {
			t.Fatalf("no %q after the previous line in:\n%s", line, text)
		}
		at += i + len(line)
	}
	if strings.Contains(text, "client-secret") {
		t.Errorf("the secret is shown in:\n%s", text)
	}
}

func TestTheFlowInV2(t *testing.T) {
	text, stderr, status := runProgram(t, environment("FINAPI_VERSION", "2"))
	if status != show.OK || !strings.Contains(text, "POST /api/v2/oauth/revoke  Authorization: [redacted]  {token=[redacted] token_type_hint=refresh_token}") {
		t.Fatalf("exit status %d: %s\n%s", status, stderr, text)
	}
}

func TestTheTranscriptAsJSON(t *testing.T) {
	out, stderr, status := runProgram(t, environment(), "-json")
	if status != show.OK {
		t.Fatalf("exit status %d: %s", status, stderr)
	}
	var transcript []emulator.Exchange
	decoder := json.NewDecoder(strings.NewReader(out))
	if err := decoder.Decode(&transcript); err != nil {
		t.Fatal(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		t.Errorf("the output continues after the JSON: %v", err)
	}
	if len(transcript) < 9 || transcript[0].Body["client_secret"] != "[redacted]" || len(transcript[0].Header) == 0 ||
		strings.Contains(out, "client-secret") {
		t.Errorf("got %s", out)
	}
}

// Another emulator stands in for finAPI behind the recording proxy.
func TestARemoteServer(t *testing.T) {
	for _, version := range []finapi.Version{finapi.V1, finapi.V2} {
		api := finapitest.New(finapitest.Behavior{Version: version, ClientSecret: "another-secret"})
		defer api.Close()
		text, stderr, status := runProgram(t, environment("FINAPI_BASE_URL", api.URL, "FINAPI_CLIENT_ID", "client-id",
			"FINAPI_CLIENT_SECRET", "another-secret", "FINAPI_VERSION", string(rune('1'+int(version)))))
		if status != show.OK || strings.Contains(text, "another-secret") {
			t.Errorf("exit status %d: %s\n%s", status, stderr, text)
		}
		if live := api.Live(); len(live) != 0 {
			t.Errorf("%d tokens are still valid", len(live))
		}
	}
}

func TestUnexpectedRequestsAreReported(t *testing.T) {
	for _, row := range []struct {
		name     string
		behavior finapitest.Behavior
	}{
		{"no refresh token", finapitest.Behavior{NoRefreshTokens: true}},
		{"revocations lost", finapitest.Behavior{Drop: func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "revoke") }}},
		{"another secret", finapitest.Behavior{ClientSecret: "no"}},
		{"the user exists", finapitest.Behavior{Users: map[string]string{"username": "taken"}}},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := emulated(finapitest.New(row.behavior))
			defer srv.Close()
			if broken := runSteps(t.Context(), srv, io.Discard); len(broken) == 0 {
				t.Error("no difference was reported")
			}
		})
	}
}

func TestWrongUsage(t *testing.T) {
	for _, row := range []struct {
		getenv func(string) string
		args   []string
	}{
		{environment(), []string{"-nonsense"}},
		{environment(), []string{"argument"}},
		{environment("FINAPI_CLIENT_ID", "id"), nil},
		{environment("FINAPI_BASE_URL", "https://finapi.example.com"), nil},
		{environment("FINAPI_BASE_URL", "://", "FINAPI_CLIENT_ID", "id", "FINAPI_CLIENT_SECRET", "the-secret"), nil},
		{environment("FINAPI_VERSION", "3"), nil},
	} {
		if _, stderr, status := runProgram(t, row.getenv, row.args...); status != show.Usage || stderr == "" || strings.Contains(stderr, "the-secret") {
			t.Errorf("%q: exit status %d, %q", row.args, status, stderr)
		}
	}
}
