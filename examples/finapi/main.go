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
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

const (
	exitOK     = 0
	exitBroken = 1 // the server saw something else
	exitUsage  = 2
)

const usage = `Usage of finapi:

It plays against an emulator that it starts itself. With these set it plays against finAPI, where a user is created
and left behind:

  FINAPI_BASE_URL, FINAPI_CLIENT_ID, FINAPI_CLIENT_SECRET
  FINAPI_VERSION     2 for a mandator of Access V2

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// run is the program without its process.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("finapi", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	asJSON := flags.Bool("json", false, "print the transcript as one JSON array instead of text")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "finapi: unexpected argument %q\n", flags.Arg(0))
		return exitUsage
	}
	srv, err := serverFor(getenv)
	if err != nil {
		fmt.Fprintf(stderr, "finapi: %v\n", err)
		return exitUsage
	}
	defer srv.Close()
	text := stdout
	if *asJSON {
		text = io.Discard
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	broken := play(ctx, srv, text)
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(srv.Transcript()); err != nil {
			broken = append(broken, err.Error())
		}
	}
	for _, what := range broken {
		fmt.Fprintln(stderr, "finapi:", what)
	}
	if len(broken) > 0 {
		return exitBroken
	}
	fmt.Fprintln(text, "\nThe server saw what it should have.")
	return exitOK
}
