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
	alice       = "alice+receipts@example.com"
	alicesWord  = "wonder+land%21=: /é"
	bankersWord = "another-wonderland" // alice's, of the type BankType
	bob         = "bob@example.com"
	bobsWord    = "builder-builder"
)

// A world is an emulator and a cache that uses it.
type world struct {
	*testing.T
	*sensibilltest.Emulator
	options sensibill.Options
	cache   *tokencache.Cache
}

// inBubble runs a test in fake time. change may be nil.
func inBubble(t *testing.T, b sensibilltest.Behaviour, change func(*sensibill.Options, *tokencache.Config), test func(w *world)) {
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

// inBothForms runs a test with the code in the body and with the code in a redirect.
func inBothForms(t *testing.T, b sensibilltest.Behaviour, test func(w *world)) {
	for _, redirect := range []bool{false, true} {
		t.Run(fmt.Sprintf("redirect=%v", redirect), func(t *testing.T) {
			inBubble(t, b, func(o *sensibill.Options, _ *tokencache.Config) { o.Redirect = redirect }, test)
		})
	}
}

func (w *world) user(accessID, secret string) *tokencache.Source {
	return w.cache.Source(sensibill.User(w.options, sensibilltest.ClientKey, accessID, secret))
}

func (w *world) alice() *tokencache.Source { return w.user(alice, alicesWord) }

// token returns a source's token, which must be had.
func (w *world) token(src *tokencache.Source) *oauth2.Token {
	w.Helper()
	tok, err := src.TokenContext(context.Background())
	if err != nil {
		w.Fatalf("token: %v", err)
	}
	return tok
}

// refusal returns the error of a source, of which there must be one.
func (w *world) refusal(src *tokencache.Source) error {
	w.Helper()
	_, err := src.TokenContext(context.Background())
	if err == nil {
		w.Fatal("there is a token, want an error")
	}
	return err
}

// client is an http.Client of the API with a source's token.
func (w *world) client(src *tokencache.Source) *http.Client {
	return &http.Client{Transport: &tokencache.Transport{Source: src, Base: w.Client().Transport}}
}

// me asks the API whose token it is: "type/name", or the status.
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

func (w *world) wantMe(src *tokencache.Source, who string) {
	w.Helper()
	if got := w.me(context.Background(), w.client(src)); got != who {
		w.Errorf("users/me: got %q, want %q", got, who)
	}
}

// wantCounts checks how many requests of each kind of login there were.
func (w *world) wantCounts(grants, codes, refreshes int) {
	w.Helper()
	got := map[string]int{}
	for _, x := range w.Transcript() {
		if strings.HasSuffix(x.Path, "/accessToken") {
			got[x.Body["grant_type"]]++
		}
	}
	if w.Count("authorizationGrant") != grants || got["authorization_code"] != codes || got["refresh_token"] != refreshes {
		w.Errorf("requests for an authorization grant %d, for its token %d, to refresh %d; want %d, %d, %d",
			w.Count("authorizationGrant"), got["authorization_code"], got["refresh_token"], grants, codes, refreshes)
	}
}

// roundTripper is a function as a transport.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// answering answers the requests to one endpoint itself and leaves the others to base.
func answering(base http.RoundTripper, endpoint string, status int, contentType, body string) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		if !strings.HasSuffix(req.URL.Path, "/"+endpoint) {
			return base.RoundTrip(req)
		}
		return &http.Response{
			StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
			Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)),
		}, nil
	})
}

// failsWith returns an Error and what Sensibill said in it.
func failsWith(t *testing.T, err error) (*tokencache.Error, sensibill.Failure) {
	t.Helper()
	f, ok := sensibill.FailureOf(err)
	if !ok {
		t.Fatalf("got %v, want an error of a request", err)
	}
	return asError(err), f
}
