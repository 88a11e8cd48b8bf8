// Command benchmarks compares tokencache with other libraries and prints the results as Markdown.
//
//	go run .                   run everything, which takes about 90 minutes
//	go run . -quick            run everything briefly, in less than two minutes
//	go run . -only behaviours  run one part: behaviours, rejections, speed, users or day (load)
//	go run . -json             print JSON instead
//	go run . -page FILE        also insert the tables into a page
//	go run . -pictures DIR     draw the pictures and do nothing else
//
// The exit status is 1 if tokencache fails a row of the behavior table.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/tokencache/tokencache/test/benchmarks/report"
)

type options struct {
	only, page, pictures string
	quick, json          bool
	duration             time.Duration
	repeat               int
	row, peer            string // set in a child process that runs one row with one peer
}

// A part is one kind of measurement, which -only selects by name.
type part struct {
	name string
	run  func(o options, progress io.Writer) ([]report.Table, error)
}

func parts() []part {
	return []part{
		{"behaviours", behaviorTable},
		{"rejections", rejectionsTable},
		{"speed", speedTables},
		{"users", usersTable},
		{"day", loadTables},
	}
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "run only this part")
	flag.BoolVar(&o.quick, "quick", false, "run briefly, to check that everything works")
	flag.BoolVar(&o.json, "json", false, "print the tables as JSON")
	flag.StringVar(&o.page, "page", "", "also insert the tables into this `file`")
	flag.StringVar(&o.pictures, "pictures", "", "draw the pictures into this `directory` and exit")
	flag.DurationVar(&o.duration, "duration", time.Minute, "length of a run under load")
	flag.IntVar(&o.repeat, "repeat", 3, "number of runs under load without and across expiries")
	flag.StringVar(&o.row, "row", "", "run only this `row`, with the peer given by -peer, and print the result")
	flag.StringVar(&o.peer, "peer", "", "`name` of the peer for -row")
	flag.Parse()
	if o.quick {
		o.duration, o.repeat = min(o.duration, 2*time.Second), 1
	}
	if err := run(o, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

func run(o options, out, progress io.Writer) error {
	switch {
	case o.row != "":
		return runRow(o, out)
	case o.pictures != "":
		return pictures(o, progress)
	}
	var tables []report.Table
	var failures []error
	known := false
	if !o.json {
		fmt.Fprintf(out, "%s\n\n", environment())
	}
	for _, p := range parts() {
		if o.only != "" && o.only != p.name {
			continue
		}
		known = true
		fmt.Fprintln(progress, "==", p.name)
		some, err := p.run(o, progress)
		if err != nil {
			failures = append(failures, err)
		}
		for _, t := range some {
			tables = append(tables, t)
			if !o.json {
				fmt.Fprintln(out, t)
			}
		}
	}
	if !known {
		return fmt.Errorf("no part %q", o.only)
	}
	if o.json {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		if err := e.Encode(tables); err != nil {
			return err
		}
	}
	if o.page != "" {
		failures = append(failures, report.IntoPage(o.page, tables))
	}
	return errors.Join(failures...)
}

func bold(s string) string { return "**" + strings.TrimSpace(s) + "**" }
