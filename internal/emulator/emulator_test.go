package emulator_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tokencache/tokencache/internal/emulator"
)

// handler answers a token request, drops /drop, and quotes the token in a 401 to anything else.
var handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/drop":
		panic(http.ErrAbortHandler)
	case "/token":
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"access_token":"at-123456","expires_in":3600,"errors":[{"code":"LOCKED"}]}`)
	default:
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, "Invalid access token: at-123456 "+r.URL.Query().Get("q"))
	}
})

// onBothNetworks runs a test against an emulator on each network.
func onBothNetworks(t *testing.T, run func(t *testing.T, e *emulator.Emulator)) {
	t.Run("pipe", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			e := emulator.NewPipe(handler)
			defer e.Close()
			run(t, e)
		})
	})
	t.Run("loopback", func(t *testing.T) {
		e := emulator.New(handler)
		defer e.Close()
		run(t, e)
	})
}

// exchange sends a request and ignores the answer.
func exchange(t *testing.T, e *emulator.Emulator, method, target, contentType, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, e.URL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.SetBasicAuth("client", "basic-secret")
	resp, err := e.Client().Do(req)
	if err != nil {
		return
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
}

func TestTheTranscriptHasEverythingButSecrets(t *testing.T) {
	onBothNetworks(t, func(t *testing.T, e *emulator.Emulator) {
		const form, js = "application/x-www-form-urlencoded", "application/json"
		exchange(t, e, "POST", "/token", form, "grant_type=password&username=alice&password=wonderland&client_secret=s3cret-s3cret")
		exchange(t, e, "POST", "/token?token=rt-7654321", js, `{"refresh_token":"rt-7654321","n":1,"extras":{"code":"cannot"},"code":"once-only"}`)
		exchange(t, e, "GET", "/api?q=wonderland", js, "")
		exchange(t, e, "POST", "/drop", js, "")

		list := e.Transcript()
		if len(list) != 4 {
			t.Fatalf("got %d exchanges, want 4", len(list))
		}
		encoded, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		text := string(encoded)
		for _, x := range list {
			text += "\n" + x.String()
		}
		for _, secret := range []string{"wonderland", "s3cret", "rt-7654321", "at-123456", "basic-secret", "once-only"} {
			if strings.Contains(text, secret) {
				t.Errorf("the transcript shows %q:\n%s", secret, text)
			}
		}
		for _, got := range []struct{ what, got, want string }{
			{"username", list[0].Body["username"], "alice"},
			{"password", list[0].Body["password"], "[redacted]"},
			{"token", list[0].Answer["access_token"], "[redacted]"},
			{"expires_in", list[0].Answer["expires_in"], "3600"},
			{"error code", list[0].Answer["errors.0.code"], "LOCKED"},
			{"nested code", list[1].Body["extras.code"], "cannot"},
			{"query", list[1].Query["token"], "[redacted]"},
			{"quoted token", list[2].Answer["(text)"], "Invalid access token: [redacted] [redacted]"},
			{"statuses", fmt.Sprint(list[0].Status, list[2].Status, list[3].Status), "200 401 0"},
		} {
			if got.got != got.want {
				t.Errorf("%s: got %q, want %q", got.what, got.got, got.want)
			}
		}
		if !strings.Contains(strings.Join(list[0].Header, ","), "Authorization,") {
			t.Errorf("header: got %v, want the names, sorted", list[0].Header)
		}
	})
}
