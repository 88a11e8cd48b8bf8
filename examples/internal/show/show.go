// Package show is the common part of the programs that show the requests of a provider package: the
// flags, the output as text or JSON, and the exit status.
package show

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

	"github.com/tokencache/tokencache/internal/emulator"
)

// The exit statuses.
const (
	OK     = iota
	Broken // the server did not receive the expected requests
	Usage  // wrong flags, arguments or environment
)

// A Program is a program that shows the requests of a provider package.
type Program struct {
	Name  string
	Usage string // printed by -h, before the flags

	// Start reads the environment and starts a session. An error is about the environment.
	Start func(getenv func(string) string) (Session, error)
}

// A Session is one run of a program.
type Session struct {
	// Run sends the requests, prints them, and returns how they differ from the expected ones.
	Run func(ctx context.Context, text io.Writer) (broken []string)

	Transcript func() []emulator.Exchange
	Close      func()
}

// Main runs a program and exits with its status.
func Main(p Program) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := p.Run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// Run runs a program and returns its exit status.
func (p Program) Run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet(p.Name, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprintf(stderr, "Usage of %s:\n\n%s\n", p.Name, p.Usage); flags.PrintDefaults() }
	asJSON := flags.Bool("json", false, "print the transcript as one JSON array instead of text")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return OK
	case err != nil:
		return Usage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "%s: unexpected argument %q\n", p.Name, flags.Arg(0))
		return Usage
	}
	s, err := p.Start(getenv)
	if err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return Usage
	}
	defer s.Close()
	text := stdout
	if *asJSON {
		text = io.Discard
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	broken := s.Run(ctx, text)
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(s.Transcript()); err != nil {
			broken = append(broken, err.Error())
		}
	}
	for _, what := range broken {
		fmt.Fprintf(stderr, "%s: %s\n", p.Name, what)
	}
	if len(broken) > 0 {
		return Broken
	}
	fmt.Fprintf(text, "\nThe server received the %d expected requests.\n", len(s.Transcript()))
	return OK
}
