package sensibill_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/oauth2"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/provider/sensibill"
	"github.com/tokencache/tokencache/provider/sensibill/sensibilltest"
)

// The users of the emulator.
const (
	alice          = "alice+receipts@example.com"
	alicesPassword = "wonder+land%21=: /é"
	bankPassword   = "another-wonderland" // alice's, for the credential type BankType
	bob            = "bob@example.com"
	bobsPassword   = "builder-builder"
)

// A world is an emulator and a cache that uses it.
type world struct {
	*testing.T
	*sensibilltest.Emulator
	options sensibill.Options
	cache   *tokencache.Cache
}

// inBubble runs test in a synctest bubble. change, unless nil, is applied to the configuration.
func inBubble(t *testing.T, b sensibilltest.Behavior, change func(*sensibill.Options, *tokencache.Config), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e := sensibilltest.NewPipe(b)
		defer e.Close()
		test(newWorld(t, e, change))
		synctest.Wait()
	})
}

func newWorld(t *testing.T, e *sensibilltest.Emulator, change func(*sensibill.Options, *tokencache.Config)) *world {
	t.Helper()
	o := sensibill.Options{BaseURL: e.BaseURL(), RedirectURI: sensibilltest.RedirectURI}
	cfg := sensibill.Config(o, sensibilltest.ClientKey, sensibilltest.ClientSecret)
	cfg.HTTPClient = e.Client()
	if change != nil {
		change(&o, &cfg)
	}
	cache, err := tokencache.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &world{t, e, o, cache}
}

// bothForms runs test with the code in the body and with the code in a redirect.
func bothForms(t *testing.T, b sensibilltest.Behavior, test func(w *world)) {
	for _, redirect := range []bool{false, true} {
		t.Run(fmt.Sprintf("redirect=%v", redirect), func(t *testing.T) {
			inBubble(t, b, func(o *sensibill.Options, _ *tokencache.Config) { o.Redirect = redirect }, test)
		})
	}
}

func (w *world) user(accessID, secret string) *tokencache.Source {
	return w.cache.Source(sensibill.User(w.options, sensibilltest.ClientKey, accessID, secret))
}

// A login holds the arguments of sensibill.User.
type login struct {
	options                           sensibill.Options
	clientKey, accessID, accessSecret string
}

// alices returns the login of alice.
func (w *world) alices() login {
	return login{w.options, sensibilltest.ClientKey, alice, alicesPassword}
}

func (w *world) source(l login) *tokencache.Source {
	return w.cache.Source(sensibill.User(l.options, l.clientKey, l.accessID, l.accessSecret))
}

func (w *world) alice() *tokencache.Source { return w.user(alice, alicesPassword) }

// token returns the token of src. It fails the test if there is none.
func (w *world) token(src *tokencache.Source) *oauth2.Token {
	w.Helper()
	tok, err := src.TokenContext(context.Background())
	if err != nil {
		w.Fatalf("token: %v", err)
	}
	return tok
}

// refusal returns the error of src. It fails the test if there is a token.
func (w *world) refusal(src *tokencache.Source) error {
	w.Helper()
	_, err := src.TokenContext(context.Background())
	if err == nil {
		w.Fatal("got a token, want an error")
	}
	return err
}

// reset ends the hold-off of src.
func (w *world) reset(src *tokencache.Source) {
	w.Helper()
	if err := src.Reset(context.Background()); err != nil {
		w.Error(err)
	}
}

// client returns an http.Client whose requests carry the token of src.
func (w *world) client(src *tokencache.Source) *http.Client {
	return &http.Client{Transport: &tokencache.Transport{Source: src, Base: w.Client().Transport}}
}

// me asks the API for the owner of the token. It returns "type/name", or the status.
func (w *world) me(ctx context.Context, client *http.Client) string {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.BaseURL()+"/users/me", nil)
	if err != nil {
		return err.Error()
	}
	resp, err := client.Do(req)
	if err != nil {
		return err.Error()
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(resp.Body)
	var answer struct{ ID string }
	if json.Unmarshal(body, &answer) != nil || resp.StatusCode != http.StatusOK {
		return resp.Status
	}
	return answer.ID
}

func (w *world) wantMe(src *tokencache.Source, want string) {
	w.Helper()
	if got := w.me(context.Background(), w.client(src)); got != want {
		w.Errorf("users/me: got %q, want %q", got, want)
	}
}

// wantCounts checks the numbers of first steps, second steps and refreshes.
func (w *world) wantCounts(grants, codes, refreshes int) {
	w.Helper()
	got := map[string]int{}
	for _, x := range w.Transcript() {
		if strings.HasSuffix(x.Path, "/accessToken") {
			got[x.Body["grant_type"]]++
		}
	}
	if w.Count("authorizationGrant") != grants || got["authorization_code"] != codes || got["refresh_token"] != refreshes {
		w.Errorf("got %d authorization grants, %d codes exchanged, %d refreshes; want %d, %d, %d",
			w.Count("authorizationGrant"), got["authorization_code"], got["refresh_token"], grants, codes, refreshes)
	}
}

// roundTrip is a function that is an http.RoundTripper.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// respondWith answers the requests to one endpoint and passes the others to base.
func respondWith(base http.RoundTripper, endpoint string, status int, contentType, body string) http.RoundTripper {
	return roundTrip(func(req *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(req.URL.Path, "/"+endpoint) {
			return base.RoundTrip(req)
		}
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)),
		}, nil
	})
}

// failureOf returns the Error and the Failure behind err.
func failureOf(t *testing.T, err error) (*tokencache.Error, sensibill.Failure) {
	t.Helper()
	f, ok := sensibill.FailureOf(err)
	if !ok {
		t.Fatalf("got %v, want a *tokencache.Error", err)
	}
	return asError(err), f
}
