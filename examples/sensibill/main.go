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
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/tokencache/tokencache/tokentest"
)

const (
	exitOK = iota
	exitBroken
	exitUsage
)

const usage = `Usage of sensibill:

It plays against an emulator that it starts itself. With these set it plays against the sandbox, where a registered
user logs in, calls /users/me and is logged out:

  SENSIBILL_CLIENT_KEY, SENSIBILL_CLIENT_SECRET, SENSIBILL_REDIRECT_URI, SENSIBILL_ACCESS_ID, SENSIBILL_ACCESS_SECRET
  SENSIBILL_CREDENTIAL_TYPE, SENSIBILL_BASE_URL   optional

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// run is the program without its process.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("sensibill", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	asJSON := flags.Bool("json", false, "print the transcript as one JSON array")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	}
	p, err := remote(getenv)
	if err == nil && p == nil {
		p, err = emulated()
	}
	if err != nil {
		fmt.Fprintln(stderr, "sensibill:", err)
		return exitUsage
	}
	defer p.close()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	text := stdout
	if *asJSON {
		text = io.Discard
	}
	p.play(ctx, text)
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(p.transcript()); err != nil {
			p.broken = append(p.broken, err.Error())
		}
	}
	for _, b := range p.broken {
		fmt.Fprintln(stderr, "broken:", b)
	}
	if len(p.broken) > 0 {
		return exitBroken
	}
	return exitOK
}

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
	if len(p.broken) == 0 {
		fmt.Fprintf(text, "The server saw what it should have: %d requests.\n", seen)
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
