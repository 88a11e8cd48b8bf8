// Command moov shows how tokencache works with Moov. It creates, uses, refreshes and revokes an
// access token, and prints every request and answer without secrets:
//
//	go run ./examples/moov
//	go run ./examples/moov -json
//
// By default it uses an emulator that it starts itself. With MOOV_CLIENT_ID and MOOV_CLIENT_SECRET
// set, the public and the secret key of an API key, it uses Moov. MOOV_ORIGIN is a domain that the
// key allows. MOOV_BASE_URL (default: https://api.moov.io) and MOOV_VERSION are optional.
//
// The exit status is 0 only if the server received the expected requests.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/tokencache/tokencache"
	"github.com/tokencache/tokencache/examples/internal/show"
	"github.com/tokencache/tokencache/internal/emulator"
	"github.com/tokencache/tokencache/provider/moov"
)

var example = show.Program{
	Name: "moov",
	Usage: `By default it uses an emulator that it starts itself. With these variables set it uses Moov:

  MOOV_CLIENT_ID, MOOV_CLIENT_SECRET   the public and the secret key of an API key
  MOOV_ORIGIN                          a domain that the key allows
  MOOV_BASE_URL, MOOV_VERSION          optional
`,
	Start: func(getenv func(string) string) (show.Session, error) {
		srv, err := serverFor(getenv)
		if err != nil {
			return show.Session{}, err
		}
		return show.Session{
			Run:        func(ctx context.Context, text io.Writer) []string { return runSteps(ctx, srv, text) },
			Transcript: srv.Transcript, Close: srv.Close,
		}, nil
	},
}

func main() { show.Main(example) }

// A step is one part of the flow, with the requests that the server should receive.
type step struct {
	title    string
	do       func(ctx context.Context) error
	want     []exchange
	anyOrder bool // the requests may come in any order, and several times
}

// An exchange holds the parts of an emulator.Exchange that are compared.
type exchange struct {
	request string // method and path
	detail  string // grant type or token type hint
	status  int
}

func (x exchange) String() string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %d", x.request, x.detail, x.status)), " ")
}

var (
	created        = exchange{"POST /oauth2/token", "client_credentials", http.StatusOK}
	refreshed      = exchange{"POST /oauth2/token", "refresh_token", http.StatusOK}
	called         = exchange{"GET /accounts", "", http.StatusOK}
	revokedRefresh = exchange{"POST /oauth2/revoke", "refresh_token", http.StatusNoContent}
	revokedAccess  = exchange{"POST /oauth2/revoke", "access_token", http.StatusNoContent}
)

// runSteps runs all steps. It returns how the requests differ from the expected ones.
func runSteps(ctx context.Context, srv *server, text io.Writer) (broken []string) {
	cfg := moov.Config(srv.options, srv.clientID, srv.secret())
	cfg.HTTPClient = srv.Client()
	cache, err := tokencache.New(cfg)
	if err != nil {
		return []string{err.Error()}
	}
	fmt.Fprintf(text, "The server is %s.\n", srv.name)
	before := 0
	for i, s := range steps(cache, srv) {
		fmt.Fprintf(text, "\n%d. %s\n", i+1, s.title)
		if err := s.do(ctx); err != nil {
			broken = append(broken, fmt.Sprintf("step %d: %v", i+1, err))
		}
		transcript := srv.Transcript()
		now := transcript[before:]
		before = len(transcript)
		for _, x := range now {
			fmt.Fprintf(text, "   %s\n", strings.ReplaceAll(x.String(), "\n", "\n   "))
		}
		if difference := s.compare(now); difference != "" {
			broken = append(broken, fmt.Sprintf("step %d: %s", i+1, difference))
		}
	}
	return broken
}

func steps(cache *tokencache.Cache, srv *server) []step {
	scopes := []string{"/accounts.read", "/accounts.write"}
	refreshing := cache.Source(tokencache.ClientCredentialsGrant{Scopes: scopes, UseRefreshToken: true})
	plain := cache.ClientCredentials("/accounts.read")
	return []step{
		{
			"Create an access token (create_access_token, client_credentials), and call the API with it",
			srv.accounts(refreshing),
			[]exchange{created, called},
			false,
		},
		{
			"Call it again: the token is in the cache",
			srv.accounts(refreshing),
			[]exchange{called},
			false,
		},
		{
			"Report the token as rejected: with UseRefreshToken it is refreshed (create_access_token, refresh_token)",
			func(ctx context.Context) error {
				tok, err := refreshing.TokenContext(ctx)
				if err != nil {
					return err
				}
				if _, err := refreshing.Rejected(ctx, tok, "GET "+srv.URL+"/accounts"); err != nil {
					return err
				}
				return srv.accounts(refreshing)(ctx)
			},
			[]exchange{refreshed, called},
			false,
		},
		{
			"Another set of scopes has another token",
			srv.accounts(plain),
			[]exchange{created, called},
			false,
		},
		{
			"Revoke the token of the other set (revoke_access_token)",
			plain.Revoke,
			[]exchange{revokedRefresh, revokedAccess},
			false,
		},
		{
			"Shut down: the remaining tokens are revoked, including the replaced one",
			func(ctx context.Context) error {
				if err := cache.Shutdown(ctx); err != nil {
					return err
				}
				if _, err := plain.TokenContext(ctx); !errors.Is(err, tokencache.ErrClosed) {
					return fmt.Errorf("after Shutdown: got %v, want ErrClosed", err)
				}
				return srv.checkNoLiveTokens()
			},
			[]exchange{revokedRefresh, revokedAccess},
			true,
		},
	}
}

// compare compares the requests of a step with the expected ones. It returns "" if they are equal.
func (s step) compare(transcript []emulator.Exchange) string {
	var got []exchange
	counts := make(map[exchange]int)
	for _, t := range transcript {
		x := exchange{t.Method + " " + t.Path, t.Body["grant_type"] + t.Body["token_type_hint"], t.Status}
		got = append(got, x)
		counts[x]++
	}
	for i, w := range s.want {
		if counts[w] == 0 || !s.anyOrder && (len(got) != len(s.want) || got[i] != w) {
			return fmt.Sprintf("the server received %q, want %q", got, s.want)
		}
		delete(counts, w)
	}
	if len(counts) > 0 {
		return fmt.Sprintf("the server received %q, want only %q", got, s.want)
	}
	return ""
}
