package main

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/tokencache/tokencache/examples/internal/show"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/moov/moovtest"
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

func TestFlowAgainstTheEmulator(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := example.Run(t.Context(), nil, environment(), &stdout, &stderr); status != show.OK || stderr.Len() > 0 {
		t.Fatalf("exit status %d: %s", status, stderr.String())
	}
	text := stdout.String()
	for _, want := range []string{
		"POST /oauth2/token  Authorization: [redacted]  {grant_type=client_credentials scope=/accounts.read /accounts.write}",
		"{grant_type=refresh_token refresh_token=[redacted]}",
		"POST /oauth2/revoke  Authorization: [redacted]  {token=[redacted] token_type_hint=access_token}",
		"204 No Content",
		"The server received the 13 expected requests.",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
	wantNoSecret(t, text)
}

func TestTranscriptAsJSON(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if status := example.Run(t.Context(), []string{"-json"}, environment(), &stdout, &stderr); status != show.OK {
		t.Fatalf("exit status %d: %s", status, stderr.String())
	}
	var list []emulator.Exchange
	if err := json.Unmarshal(stdout.Bytes(), &list); err != nil || strings.Count(stdout.String(), "\n") != 1 {
		t.Fatalf("not one line of JSON (%v):\n%s", err, stdout.String())
	}
	for _, x := range list {
		if strings.HasPrefix(x.Path, "/oauth2/") && !(slices.Contains(x.Header, "Origin") && slices.Contains(x.Header, "X-Moov-Version")) {
			t.Errorf("no Origin or version in %v", x)
		}
	}
	if len(list) < 12 {
		t.Errorf("got %d exchanges", len(list))
	}
	wantNoSecret(t, stdout.String())
}

func wantNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{moovtest.ClientSecret, "eyJ", "Basic "} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is shown in:\n%s", secret, text)
		}
	}
}

// Another emulator stands in for Moov behind the recording proxy.
func TestFlowAgainstARemoteServer(t *testing.T) {
	for _, b := range []moovtest.Behavior{{}, {Rotate: true, ExpiresIn: moovtest.Seconds, OriginOnRevoke: true, RevokeRelated: true}} {
		b.ClientID, b.ClientSecret, b.Origins = "my-public-key", "my-secret-key", []string{"https://example.com"}
		api := moovtest.New(b)
		env := environment("MOOV_CLIENT_ID", b.ClientID, "MOOV_CLIENT_SECRET", b.ClientSecret,
			"MOOV_ORIGIN", "https://example.com", "MOOV_BASE_URL", api.URL)
		var stdout, stderr bytes.Buffer
		if status := example.Run(t.Context(), nil, env, &stdout, &stderr); status != show.OK {
			t.Errorf("exit status %d: %s", status, stderr.String())
		}
		for _, private := range []string{b.ClientSecret, "by=bearer"} {
			if strings.Contains(stdout.String(), private) {
				t.Errorf("%q is shown in:\n%s", private, stdout.String())
			}
		}
		if n := len(api.Live()); n != 0 || api.Count("/oauth2/token") != 3 {
			t.Errorf("%d live tokens, %d token requests", n, api.Count("/oauth2/token"))
		}
		api.Close()
	}
}

func TestUnexpectedRequestsAreReported(t *testing.T) {
	for _, row := range []struct {
		name     string
		behavior moovtest.Behavior
		change   func(*moovtest.Emulator)
		want     string
	}{
		{"nothing", moovtest.Behavior{}, nil, ""},
		{"wrong origin", moovtest.Behavior{Origins: []string{"https://elsewhere.example"}}, nil, "step 1"},
		{"token endpoint busy", moovtest.Behavior{}, func(e *moovtest.Emulator) { e.Fail("/oauth2/token", 503) }, "step 1"},
		{"API down", moovtest.Behavior{}, func(e *moovtest.Emulator) { e.Fail("/accounts", 200, 500) }, "step 2"},
		{"refresh refused", moovtest.Behavior{RefreshLifetime: 1}, nil, "step 3"},
		{"revocation refused", moovtest.Behavior{}, func(e *moovtest.Emulator) { e.Fail("/oauth2/revoke", 500) }, "step 5"},
		{"revocation refused at the end", moovtest.Behavior{}, func(e *moovtest.Emulator) { e.Fail("/oauth2/revoke", 204, 204, 500) }, "step 6"},
	} {
		t.Run(row.name, func(t *testing.T) {
			api := moovtest.New(row.behavior)
			defer api.Close()
			if row.change != nil {
				row.change(api)
			}
			broken := runSteps(t.Context(), emulated(api), io.Discard)
			if text := strings.Join(broken, "\n"); !strings.HasPrefix(text, row.want) || (text == "") != (row.want == "") {
				t.Errorf("got %q, want %q", broken, row.want)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, row := range []struct {
		args []string
		env  []string
		want int
	}{
		{[]string{"-h"}, nil, show.OK},
		{[]string{"-nonsense"}, nil, show.Usage},
		{[]string{"more"}, nil, show.Usage},
		{nil, []string{"MOOV_CLIENT_ID", "id"}, show.Usage},
		{nil, []string{"MOOV_CLIENT_SECRET", "s3cret-s3cret"}, show.Usage},
		{nil, []string{"MOOV_CLIENT_ID", "id", "MOOV_CLIENT_SECRET", "s3cret-s3cret", "MOOV_BASE_URL", "api.moov.io"}, show.Usage},
	} {
		var stderr bytes.Buffer
		if got := example.Run(t.Context(), row.args, environment(row.env...), io.Discard, &stderr); got != row.want {
			t.Errorf("%v %v: exit status %d, want %d", row.args, row.env, got, row.want)
		}
		if strings.Contains(stderr.String(), "s3cret") || stderr.Len() == 0 {
			t.Errorf("%v: got the message %q", row.args, stderr.String())
		}
	}
}
