// Command quickstart shows what tokencache does for a service, in numbers:
//
//	go run ./examples/quickstart
//
// It starts an authorization server and an API on loopback, sends them the traffic of a service,
// and has the server count the requests. The scenarios are a cold start, renewals under steady
// traffic, a revoked token, a user and the client sharing one http.Client, and the shutdown. If
// tokencache breaks one of its promises, the program names it and exits with status 1.
//
// With -token-url it uses your own server: it fetches a token with the client credentials grant,
// uses it, and revokes it.
//
//	CLIENT_SECRET=... go run ./examples/quickstart \
//		-token-url https://as.example.com/oauth/token -revoke-url https://as.example.com/oauth/revoke \
//		-client-id my-service -client-secret-env CLIENT_SECRET \
//		-scope "accounts.read" -get https://api.example.com/accounts
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs the program and returns its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	flags.SetOutput(stderr)
	asJSON := flags.Bool("json", false, "print one JSON object instead of text")
	p := defaultPlan
	flags.DurationVar(&p.steady, "steady", p.steady, "duration of the steady traffic")
	var rf remoteFlags
	rf.register(flags)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		return exitUsage
	case flags.NArg() > 0:
		fmt.Fprintf(stderr, "quickstart: unexpected argument %q\n", flags.Arg(0))
		return exitUsage
	}
	text := stdout
	if *asJSON {
		text = io.Discard
	}

	var res result
	if rf.tokenURL != "" {
		r, err := remote(ctx, rf, text)
		if err != nil {
			fmt.Fprintln(stderr, "quickstart:", err)
			return exitUsage
		}
		res = r
	} else if name := rf.given(flags); name != "" {
		fmt.Fprintf(stderr, "quickstart: -%s requires -token-url\n", name)
		return exitUsage
	} else {
		res = onLoopback(ctx, p, text)
	}
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(res); err != nil {
			fmt.Fprintln(stderr, "quickstart:", err)
			return exitBroken
		}
	}
	return verdict(res, stderr)
}

// A result is the outcome of a run. It encodes as one JSON object.
type result interface{ broken() []string }

// verdict prints the broken promises and returns the exit status.
func verdict(res result, stderr io.Writer) int {
	broken := res.broken()
	for _, promise := range broken {
		fmt.Fprintln(stderr, "broken:", promise)
	}
	if len(broken) > 0 {
		return exitBroken
	}
	return exitOK
}

// onLoopback runs the scenarios against a server that it starts.
func onLoopback(ctx context.Context, p plan, text io.Writer) result {
	srv := tokentest.New(p.behavior())
	defer srv.Close()
	// Keep one connection per goroutine. With net/http's default of 2 idle connections per host, every
	// burst would use up ports.
	base := &http.Transport{MaxIdleConnsPerHost: p.goroutines + 24, IdleConnTimeout: time.Minute}
	defer base.CloseIdleConnections()
	return runScenarios(ctx, srv, base, p, text)
}
