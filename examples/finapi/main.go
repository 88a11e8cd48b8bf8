// Command finapi shows how tokencache talks to finAPI: it authorizes the client, creates a user, authorizes the user, calls
// a service as the user, refreshes the user's token, revokes it, and shuts down. It prints every request and answer without
// secrets:
//
//	go run ./examples/finapi
//	go run ./examples/finapi -json
//
// By default that happens against an emulator that it starts itself. With FINAPI_BASE_URL, FINAPI_CLIENT_ID and
// FINAPI_CLIENT_SECRET it happens there, where a user is created and left behind; FINAPI_VERSION=2 is for a mandator of
// Access V2.
//
// The exit status is 0 only if the server saw what it should have.
package main

import (
	"context"
	"io"

	"github.com/tokencache/tokencache/examples/internal/show"
)

var shown = show.Program{
	Name: "finapi",
	Usage: `It plays against an emulator that it starts itself. With these set it plays against finAPI, where a user is created
and left behind:

  FINAPI_BASE_URL, FINAPI_CLIENT_ID, FINAPI_CLIENT_SECRET
  FINAPI_VERSION     2 for a mandator of Access V2
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
