package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/sensibill"
)

// remote returns a demo that uses the server named by the environment, or nil if it names none. The
// requests go through a recording proxy on loopback. Only the answers of the authentication
// endpoints are shown, since others contain the user's data.
func remote(getenv func(string) string) (*demo, error) {
	required := []string{"CLIENT_KEY", "CLIENT_SECRET", "REDIRECT_URI", "ACCESS_ID", "ACCESS_SECRET"}
	env, missing := map[string]string{}, []string{}
	for _, name := range append([]string{"BASE_URL", "CREDENTIAL_TYPE"}, required...) {
		if v := getenv("SENSIBILL_" + name); v != "" {
			env[name] = v
		}
	}
	for _, name := range required {
		if env[name] == "" {
			missing = append(missing, "SENSIBILL_"+name)
		}
	}
	switch {
	case len(env) == 0:
		return nil, nil
	case len(missing) > 0:
		return nil, fmt.Errorf("missing environment variables: %s", strings.Join(missing, ", "))
	}
	target, err := url.Parse(cmp.Or(env["BASE_URL"], sensibill.SandboxURL))
	if err != nil || target.Host == "" || target.Scheme != "https" && target.Hostname() != "127.0.0.1" {
		return nil, errors.New("SENSIBILL_BASE_URL is not an https URL")
	}
	d := &demo{server: emulator.New(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
		// On a new connection, net/http does not repeat a request.
		Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
	})}
	base := strings.TrimSuffix(target.Path, "/")
	d.showBody = func(path string) bool {
		endpoint := strings.TrimPrefix(path, base+"/")
		return endpoint == sensibill.StepAuthorizationGrant || endpoint == sensibill.StepAccessToken || endpoint == "invalidate"
	}
	o := sensibill.Options{BaseURL: d.server.URL + base, RedirectURI: env["REDIRECT_URI"], CredentialType: env["CREDENTIAL_TYPE"]}
	if err := d.setUp(o, env["CLIENT_KEY"], env["CLIENT_SECRET"]); err != nil {
		d.close()
		return nil, err
	}
	user := d.user(o, env["ACCESS_ID"], env["ACCESS_SECRET"])
	me := "GET " + base + "/users/me: 200"
	d.steps = []step{
		{"The user logs in: credentials for a code, the code for a token", d.call(user, http.StatusOK), []string{
			"GET " + base + "/authorizationGrant: [23]0?", "POST " + base + "/accessToken authorization_code: 200", me,
		}},
		{"The next request uses the cached token", d.call(user, http.StatusOK), []string{me}},
		{"Shutdown: the token is invalidated", d.shutdown(func() error { return nil }), []string{"POST " + base + "/invalidate: 200"}},
	}
	return d, nil
}
