// Sensibill shows what tokencache and Sensibill say to each other:
//
//	go run ./examples/sensibill
//
// It registers a user with the client's token, logs users in with both forms of the first step's answer, has tokens
// renewed, is refused, and ends every token at the shutdown. It prints each request and its answer without secrets, and
// exits with status 1 if the server did not see what it should have. With -json it prints the same as one JSON array.
//
// By default the server is an emulator. With SENSIBILL_CLIENT_KEY, SENSIBILL_CLIENT_SECRET, SENSIBILL_REDIRECT_URI,
// SENSIBILL_ACCESS_ID and SENSIBILL_ACCESS_SECRET set it is the sandbox, where a user who is registered logs in, calls
// /users/me and is logged out; SENSIBILL_CREDENTIAL_TYPE and SENSIBILL_BASE_URL are optional.
package main

import (
	"context"
	"fmt"
	"io"

	"github.com/tokencache/tokencache/examples/internal/show"
	"github.com/tokencache/tokencache/tokentest"
)

var shown = show.Program{
	Name: "sensibill",
	Usage: `It plays against an emulator that it starts itself. With these set it plays against the sandbox, where a registered
user logs in, calls /users/me and is logged out:

  SENSIBILL_CLIENT_KEY, SENSIBILL_CLIENT_SECRET, SENSIBILL_REDIRECT_URI, SENSIBILL_ACCESS_ID, SENSIBILL_ACCESS_SECRET
  SENSIBILL_CREDENTIAL_TYPE, SENSIBILL_BASE_URL   optional
`,
	Start: func(getenv func(string) string) (show.Session, error) {
		p, err := remote(getenv)
		if err == nil && p == nil {
			p, err = emulated()
		}
		if err != nil {
			return show.Session{}, err
		}
		return show.Session{
			Play:       func(ctx context.Context, text io.Writer) []string { p.play(ctx, text); return p.broken },
			Transcript: p.transcript, Close: p.close,
		}, nil
	},
}

func main() { show.Main(shown) }

// play goes through the stages, and compares what the server saw in each with what it should have seen.
func (p *program) play(ctx context.Context, text io.Writer) {
	seen := 0
	for i, s := range p.stages {
		fmt.Fprintf(text, "%d. %s\n\n", i+1, s.title)
		if err := s.play(ctx); err != nil {
			p.broken = append(p.broken, fmt.Sprintf("%s: %v", s.title, err))
		}
		fresh := p.transcript()[seen:]
		seen += len(fresh)
		for _, x := range fresh {
			fmt.Fprintf(text, "%s\n\n", x)
		}
		if got := summary(fresh); !s.expects(got) {
			p.broken = append(p.broken, fmt.Sprintf("%s: the server saw %q, want %q", s.title, got, s.want))
		}
	}
}

// summary is what is compared of a transcript.
func summary(list []tokentest.Exchange) []string {
	var out []string
	for _, x := range list {
		line := fmt.Sprintf("%s %s", x.Method, x.Path)
		if grant := x.Body["grant_type"]; grant != "" {
			line += " " + grant
		}
		out = append(out, fmt.Sprintf("%s: %d", line, x.Status))
	}
	return out
}
