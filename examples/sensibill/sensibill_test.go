package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/tokencache/tokencache/examples/internal/show"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/sensibill/sensibilltest"
)

// runProgram runs the program with an environment and returns what it printed and its exit status.
func runProgram(t *testing.T, env map[string]string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errOut bytes.Buffer
	status = example.Run(t.Context(), args, func(name string) string { return env[name] }, &out, &errOut)
	return out.String(), errOut.String(), status
}

// secrets must never be printed.
var secrets = []string{"carols+secret=1", "wrong+secret=1", "builder-builder", sensibilltest.ClientSecret}

func wantNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%q is printed", secret)
		}
	}
}

func TestTheExpectedRequestsAreReceived(t *testing.T) {
	stdout, stderr, status := runProgram(t, nil)
	if status != show.OK || stderr != "" {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	if !strings.Contains(stdout, "The server received the 24 expected requests.") {
		t.Errorf("no summary in:\n%s", stdout)
	}
	wantNoSecret(t, stdout)
}

func TestTheTranscriptAsJSON(t *testing.T) {
	stdout, stderr, status := runProgram(t, nil, "-json")
	if status != show.OK || stderr != "" || strings.Count(stdout, "\n") != 1 {
		t.Errorf("exit status %d: %s", status, stderr)
	}
	var list []emulator.Exchange
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || len(list) != 24 {
		t.Fatalf("got %d exchanges, %v; want 24", len(list), err)
	}
	grant := list[2]
	if grant.Method != "GET" || grant.Path != "/api/v1/authorizationGrant" || grant.Status != 200 ||
		grant.Query["redirect"] != "false" || !slices.Contains(grant.Header, "Authorization") {
		t.Errorf("the first step: got %+v", grant)
	}
	wantNoSecret(t, stdout)
}

// An emulator stands in for Sensibill.
func TestARemoteServer(t *testing.T) {
	e := sensibilltest.New(sensibilltest.Behavior{})
	defer e.Close()
	bob := sensibilltest.DefaultUsers()[1]
	for _, row := range []struct {
		name, variable, value string
		status                int
		want                  string
	}{
		{"success", "CREDENTIAL_TYPE", "sensibill", show.OK, ""},
		{"wrong password", "ACCESS_SECRET", "wrong+secret=1", show.Broken, "authorizationGrant failed: 401"},
		{"wrong client", "CLIENT_SECRET", "wrong+secret=1", show.Broken, "accessToken failed: 401"},
		{"plain http", "BASE_URL", "http://sensibill.example.com/api/v1", show.Usage, "https"},
		{"incomplete", "ACCESS_ID", "", show.Usage, "SENSIBILL_ACCESS_ID"},
	} {
		t.Run(row.name, func(t *testing.T) {
			env := map[string]string{
				"SENSIBILL_BASE_URL": e.BaseURL(), "SENSIBILL_REDIRECT_URI": sensibilltest.RedirectURI,
				"SENSIBILL_CLIENT_KEY": sensibilltest.ClientKey, "SENSIBILL_CLIENT_SECRET": sensibilltest.ClientSecret,
				"SENSIBILL_ACCESS_ID": bob.AccessID, "SENSIBILL_ACCESS_SECRET": bob.AccessSecret,
			}
			env["SENSIBILL_"+row.variable] = row.value
			stdout, stderr, status := runProgram(t, env)
			if status != row.status || !strings.Contains(stderr, row.want) {
				t.Errorf("exit status %d, want %d: %s", status, row.status, stderr)
			}
			wantNoSecret(t, stdout+stderr)
			if strings.Contains(stdout, "accessID=") {
				t.Errorf("the user's data is printed:\n%s", stdout)
			}
		})
	}
	if access, _ := e.Live(); access != 0 {
		t.Errorf("%d tokens are still valid", access)
	}
}

func TestUnexpectedRequestsAreReported(t *testing.T) {
	d, err := emulated()
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	d.steps = d.steps[:2]
	d.steps[1].do = d.steps[0].do // registers the user again, instead of logging in
	d.run(t.Context(), &bytes.Buffer{})
	if len(d.broken) != 2 || !strings.Contains(d.broken[1], "the server received") {
		t.Errorf("got %q, want two differences", d.broken)
	}
}
