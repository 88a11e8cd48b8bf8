package main

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"github.com/tokencache/tokencache/provider/sensibill"
	"github.com/tokencache/tokencache/tokentest"
)

// remote is the program against a real server; nil if the environment names none. Its requests pass through a proxy on
// loopback in this process, which keeps the transcript. Answers of the API other than those of authentication are
// somebody's data, and left out of it.
func remote(getenv func(string) string) (*program, error) {
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
		return nil, fmt.Errorf("the environment lacks %s", strings.Join(missing, ", "))
	}
	target, err := url.Parse(cmp.Or(env["BASE_URL"], sensibill.SandboxURL))
	if err != nil || target.Host == "" || target.Scheme != "https" && target.Hostname() != "127.0.0.1" {
		return nil, fmt.Errorf("SENSIBILL_BASE_URL is no https URL")
	}
	p := &program{server: tokentest.NewEmulator(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: target.Scheme, Host: target.Host}) },
		// A connection that is used once is one on which net/http repeats nothing.
		Transport: &http.Transport{DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment},
	})}
	base := strings.TrimSuffix(target.Path, "/")
	p.showBody = func(path string) bool {
		endpoint := strings.TrimPrefix(path, base+"/")
		return endpoint == sensibill.StepAuthorizationGrant || endpoint == sensibill.StepAccessToken || endpoint == "invalidate"
	}
	o := sensibill.Options{BaseURL: p.server.URL + base, RedirectURI: env["REDIRECT_URI"], CredentialType: env["CREDENTIAL_TYPE"]}
	if err := p.setUp(o, env["CLIENT_KEY"], env["CLIENT_SECRET"]); err != nil {
		p.close()
		return nil, err
	}
	user := p.user(o, env["ACCESS_ID"], env["ACCESS_SECRET"])
	me := "GET " + base + "/users/me: 200"
	p.stages = []stage{
		{"The user logs in: the credentials for a code, the code for a token", p.call(user, http.StatusOK), []string{
			"GET " + base + "/authorizationGrant: [23]0?", "POST " + base + "/accessToken authorization_code: 200", me,
		}},
		{"The next request takes the token that there is", p.call(user, http.StatusOK), []string{me}},
		{"Shutdown: the token ends itself", p.shutdown(func() error { return nil }), []string{"POST " + base + "/invalidate: 200"}},
	}
	return p, nil
}
