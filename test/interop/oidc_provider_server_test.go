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

// An oidcProvider is panva's oidc-provider in a process of its own. It serves the paths that the fosite server serves, so
// that all that a server is asked over HTTP is asked of this one in the same way.
type oidcProvider struct {
	*server
}

// A registration is a client that the server knows.
type registration struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// newOIDCProvider starts a server whose access tokens live as long as it is told, and stops it when the test ends.
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
	cmd := exec.Command(needNode(t), "server.mjs", string(settings))
	cmd.Dir = oidcProviderDir
	url := "http://127.0.0.1:" + startServer(t, cmd)
	return &oidcProvider{&server{T: t, http: &httptest.Server{URL: url}}}
}

// needNode returns the path of Node. Without it, or without the server's packages, the test fails in CI, where both have to
// be there, and is skipped on a user's machine.
func needNode(t *testing.T) string {
	t.Helper()
	missing := t.Skipf
	if os.Getenv("CI") == "true" {
		missing = t.Fatalf
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("Node is not installed, so nothing is tested against oidc-provider: %v", err)
	}
	packages := filepath.Join(oidcProviderDir, "node_modules", "oidc-provider")
	if _, err := os.Stat(packages); err != nil {
		missing("oidc-provider is not installed, so nothing is tested against it; make test installs it: %v", err)
	}
	return node
}

// startServer returns the port that the server says it listens on.
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
	overdue := time.AfterFunc(time.Minute, func() { _ = cmd.Process.Kill() })
	var ready struct{ Port json.Number }
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	overdue.Stop()
	if err == nil {
		err = json.Unmarshal(line, &ready)
	}
	stop := func() {
		stdin.Close()
		overdue := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer overdue.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("oidc-provider: %v; it said:\n%s", err, stderr.String())
		}
	}
	if err != nil {
		stop()
		t.Fatalf("oidc-provider did not say its port: %v; it said:\n%s", err, stderr.String())
	}
	t.Cleanup(stop)
	return ready.Port.String()
}

// oidcCounts is what the server counted: requests by grant type or path, refusals of the token endpoint by error code and
// those of the API under its path.
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

// want checks how many requests there have been, by grant type or path.
func (p *oidcProvider) want(what string, n int) {
	p.Helper()
	if got := p.counts().Requests; got[what] != n {
		p.Errorf("%s requests: got %d, want %d", what, got[what], n)
	}
}

// wantRefused checks how many token requests ended in the given error code.
func (p *oidcProvider) wantRefused(code string, n int) {
	p.Helper()
	if got := p.counts().Refused; got[code] != n {
		p.Errorf("answers with %s: got %d, want %d (all: %v)", code, got[code], n, got)
	}
}

// end ends one access token, without telling anybody.
func (p *oidcProvider) end(accessToken string) {
	p.Helper()
	resp, err := http.Post(p.http.URL+"/test/end", "text/plain", strings.NewReader(accessToken))
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		p.Fatalf("ending a token: status %d, error %v", resp.StatusCode, err)
	}
}
