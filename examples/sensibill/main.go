// Command sensibill shows how tokencache works with Sensibill:
//
//	go run ./examples/sensibill
//
// It registers a user with the client's token, logs users in with both forms of the first step's
// answer, refreshes tokens, shows refused logins, and invalidates every token at the shutdown. It
// prints every request and answer without secrets; with -json, as one JSON array.
//
// By default it uses an emulator that it starts itself. With SENSIBILL_CLIENT_KEY,
// SENSIBILL_CLIENT_SECRET, SENSIBILL_REDIRECT_URI, SENSIBILL_ACCESS_ID and SENSIBILL_ACCESS_SECRET
// set it uses the sandbox: a registered user logs in, calls /users/me, and the token is
// invalidated. SENSIBILL_CREDENTIAL_TYPE and SENSIBILL_BASE_URL are optional.
//
// The exit status is 0 only if the server received the expected requests.
package main

import (
	"context"
	"fmt"
	"io"

	"github.com/tokencache/tokencache/examples/internal/show"
	"github.com/tokencache/tokencache/internal/emulator"
)

var example = show.Program{
	Name: "sensibill",
	Usage: `By default it uses an emulator that it starts itself. With these variables set it uses the sandbox, where
a registered user logs in and calls /users/me:

  SENSIBILL_CLIENT_KEY, SENSIBILL_CLIENT_SECRET, SENSIBILL_REDIRECT_URI
  SENSIBILL_ACCESS_ID, SENSIBILL_ACCESS_SECRET
  SENSIBILL_CREDENTIAL_TYPE, SENSIBILL_BASE_URL   optional
`,
	Start: func(getenv func(string) string) (show.Session, error) {
		d, err := remote(getenv)
		if err == nil && d == nil {
			d, err = emulated()
		}
		if err != nil {
			return show.Session{}, err
		}
		return show.Session{
			Run:        func(ctx context.Context, text io.Writer) []string { d.run(ctx, text); return d.broken },
			Transcript: d.transcript, Close: d.close,
		}, nil
	},
}

func main() { show.Main(example) }

// run runs all steps and prints their requests. It records how they differ from the expected ones.
func (d *demo) run(ctx context.Context, text io.Writer) {
	seen := 0
	for i, s := range d.steps {
		fmt.Fprintf(text, "%d. %s\n\n", i+1, s.title)
		if err := s.do(ctx); err != nil {
			d.broken = append(d.broken, fmt.Sprintf("%s: %v", s.title, err))
		}
		latest := d.transcript()[seen:]
		seen += len(latest)
		for _, x := range latest {
			fmt.Fprintf(text, "%s\n\n", x)
		}
		if got := summary(latest); !s.expects(got) {
			d.broken = append(d.broken, fmt.Sprintf("%s: the server received %q, want %q", s.title, got, s.want))
		}
	}
}

// summary returns the parts of the exchanges that are compared.
func summary(list []emulator.Exchange) []string {
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
