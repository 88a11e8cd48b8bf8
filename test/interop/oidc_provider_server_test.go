package interop_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const oidcProviderDir = "oidc-provider"

// An oidcProvider is panva's oidc-provider in a child process. It serves the same paths as the
// fosite server, so that server's methods that use HTTP work with it too.
type oidcProvider struct {
	*server
}

// A registration is a client that is registered with the server.
type registration struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// newOIDCProvider starts a server whose access tokens have the given lifetime. It stops when the
// test ends.
func newOIDCProvider(t *testing.T, lifetime time.Duration, others ...registration) *oidcProvider {
	t.Helper()
	settings, err := json.Marshal(map[string]any{
		"clients": append([]registration{{clientID, clientSecret}}, others...),
		"scopes":  []string{scope, offline},
		"user":    user, "password": password,
		"offline":  offline,
		"lifetime": int(lifetime / time.Second),
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(requireNode(t), "server.mjs", string(settings))
	cmd.Dir = oidcProviderDir
	url := "http://127.0.0.1:" + startServer(t, cmd)
	return &oidcProvider{&server{T: t, http: &httptest.Server{URL: url}}}
}

// requireNode returns the path of Node.js. If Node.js or the server's packages are not installed,
// it fails the test in CI and skips it elsewhere.
func requireNode(t *testing.T) string {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("Node.js is not installed, which the tests against oidc-provider need: %v", err)
	}
	packages := filepath.Join(oidcProviderDir, "node_modules", "oidc-provider")
	if _, err := os.Stat(packages); err != nil {
		missing("oidc-provider is not installed; make test installs it: %v", err)
	}
	return node
}

// startServer starts the server and returns the port that it listens on.
func startServer(t *testing.T, cmd *exec.Cmd) (port string) {
	t.Helper()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timeout := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	var ready struct{ Port json.Number }
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	timeout.Stop()
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	stop := func() {
		stdin.Close()
		timeout := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer timeout.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("oidc-provider: %v; standard error:\n%s", err, stderr.String())
		}
	}
	if err != nil {
		stop()
		t.Fatalf("oidc-provider did not report its port: %v; standard error:\n%s", err, stderr.String())
	}
	t.Cleanup(stop)
	return ready.Port.String()
}

// oidcCounts holds the server's counters: requests by grant type or path, and refusals by error
// code for the token endpoint or by path for the API.
type oidcCounts struct{ Requests, Refused map[string]int }

func (p *oidcProvider) counts() oidcCounts {
	p.Helper()
	resp, err := http.Get(p.http.URL + "/test/counts")
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	var counts oidcCounts
	if err := json.NewDecoder(resp.Body).Decode(&counts); err != nil {
		p.Fatal(err)
	}
	return counts
}

// want checks the number of requests with a grant type or path.
func (p *oidcProvider) want(what string, n int) {
	p.Helper()
	if got := p.counts().Requests; got[what] != n {
		p.Errorf("%s requests: got %d, want %d", what, got[what], n)
	}
}

// wantRefused checks the number of token requests that failed with the given error code.
func (p *oidcProvider) wantRefused(code string, n int) {
	p.Helper()
	if got := p.counts().Refused; got[code] != n {
		p.Errorf("answers with %s: got %d, want %d (all: %v)", code, got[code], n, got)
	}
}

// revokeAccessToken revokes one access token at the server, without the cache's knowledge.
func (p *oidcProvider) revokeAccessToken(accessToken string) {
	p.Helper()
	resp, err := http.Post(p.http.URL+"/test/revoke", "text/plain", strings.NewReader(accessToken))
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		p.Fatalf("revoking a token: status %d, error %v", resp.StatusCode, err)
	}
}
