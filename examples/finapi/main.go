// Command finapi shows how tokencache works with finAPI. It authorizes the client, creates a user,
// authorizes the user, calls a service as the user, refreshes the user's token, revokes it, and
// shuts down. It prints every request and answer without secrets:
//
//	go run ./examples/finapi
//	go run ./examples/finapi -json
//
// By default it uses an emulator that it starts itself. With FINAPI_CLIENT_ID and
// FINAPI_CLIENT_SECRET set it uses finAPI at FINAPI_BASE_URL (default: the sandbox), and creates a
// user there that it does not delete. FINAPI_VERSION=2 selects Access V2.
//
// The exit status is 0 only if the server received the expected requests.
package main

import (
	"context"
	"io"

	"github.com/tokencache/tokencache/examples/internal/show"
)

var example = show.Program{
	Name: "finapi",
	Usage: `By default it uses an emulator that it starts itself. With these variables set it uses finAPI, and creates
a user there that it does not delete:

  FINAPI_CLIENT_ID, FINAPI_CLIENT_SECRET
  FINAPI_BASE_URL    default: the sandbox
  FINAPI_VERSION     2 for a mandator of Access V2; default: 1
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
