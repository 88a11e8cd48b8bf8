// Command moov shows how tokencache talks to Moov: it creates an access token, uses, refreshes and revokes it, and prints
// every request and answer without its secrets.
//
// By default that happens against an emulator that it starts itself. With MOOV_CLIENT_ID and MOOV_CLIENT_SECRET, the
// public and the secret key of an API key, it happens against Moov; MOOV_ORIGIN is a domain that the key allows,
// MOOV_BASE_URL (https://api.moov.io) and MOOV_VERSION are optional.
//
// The exit status is 0 only if the server saw what it should have.
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
	"github.com/tokencache/tokencache/provider/moov"
	"github.com/tokencache/tokencache/tokentest"
)

var shown = show.Program{
	Name: "moov",
	Usage: `It plays against an emulator that it starts itself. With these set it plays against Moov:

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
			Play:       func(ctx context.Context, text io.Writer) []string { return play(ctx, srv, text) },
			Transcript: srv.Transcript, Close: srv.Close,
		}, nil
	},
}

func main() { show.Main(shown) }

// A step is one part of the flow, and the requests that the server should see in it.
type step struct {
	title string
	do    func(ctx context.Context) error
	want  []seen
	more  bool // the last one may be seen several times
}

// seen is what is compared of a request and its answer.
type seen struct {
	request string // method and path
	about   string // grant type or token type hint
	status  int
}

func (s seen) String() string {
	return strings.Join(strings.Fields(fmt.Sprintf("%s %s %d", s.request, s.about, s.status)), " ")
}

var (
	created   = seen{"POST /oauth2/token", "client_credentials", http.StatusOK}
	refreshed = seen{"POST /oauth2/token", "refresh_token", http.StatusOK}
	called    = seen{"GET /accounts", "", http.StatusOK}
	endedRT   = seen{"POST /oauth2/revoke", "refresh_token", http.StatusNoContent}
	endedAT   = seen{"POST /oauth2/revoke", "access_token", http.StatusNoContent}
)

// play plays all steps and returns what was not as it should be.
func play(ctx context.Context, srv *server, text io.Writer) (broken []string) {
	cfg := moov.Config(srv.options, srv.clientID, srv.secret())
	cfg.HTTPClient = srv.Client()
	cache, err := tokencache.New(cfg)
	if err != nil {
		return []string{err.Error()}
	}
	fmt.Fprintf(text, "Moov is %s.\n", srv.name)
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
		if complaint := s.judge(now); complaint != "" {
			broken = append(broken, fmt.Sprintf("step %d: %s", i+1, complaint))
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
			[]seen{created, called},
			false,
		},
		{
			"Call it again: the token is still there",
			srv.accounts(refreshing),
			[]seen{called},
			false,
		},
		{
			"Drop the token: with UseRefreshToken the next one comes from its refresh token (create_access_token, refresh_token)",
			func(ctx context.Context) error {
				tok, err := refreshing.TokenContext(ctx)
				if err != nil {
					return err
				}
				refreshing.Invalidate(tok)
				return srv.accounts(refreshing)(ctx)
			},
			[]seen{refreshed, called},
			false,
		},
		{
			"Another set of scopes is another token",
			srv.accounts(plain),
			[]seen{created, called},
			false,
		},
		{
			"Revoke the token of that other set (revoke_access_token)",
			plain.Revoke,
			[]seen{endedRT, endedAT},
			false,
		},
		{
			"Shut down: what is left is revoked, the token that was dropped too",
			func(ctx context.Context) error {
				if err := cache.Shutdown(ctx); err != nil {
					return err
				}
				if _, err := plain.TokenContext(ctx); !errors.Is(err, tokencache.ErrClosed) {
					return fmt.Errorf("after Shutdown: got %v, want ErrClosed", err)
				}
				return srv.left()
			},
			[]seen{endedRT, endedAT},
			true,
		},
	}
}

// judge compares what the server saw in a step with what it should have seen.
func (s step) judge(got []tokentest.Exchange) string {
	var saw []seen
	counts := make(map[seen]int)
	for _, x := range got {
		o := seen{x.Method + " " + x.Path, x.Body["grant_type"] + x.Body["token_type_hint"], x.Status}
		saw = append(saw, o)
		counts[o]++
	}
	for i, w := range s.want {
		if counts[w] == 0 || !s.more && (len(saw) != len(s.want) || saw[i] != w) {
			return fmt.Sprintf("the server saw %q, want %q", saw, s.want)
		}
		delete(counts, w)
	}
	if len(counts) > 0 {
		return fmt.Sprintf("the server saw %q, want nothing but %q", saw, s.want)
	}
	return ""
}
