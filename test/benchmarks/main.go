// Command benchmarks measures tokencache side by side with other libraries.
//
//	go run .                   everything, as Markdown; about an hour and a half
//	go run . -quick            everything in short, under two minutes
//	go run . -only behaviours  one part: behaviours, speed, users, day
//	go run . -json             the tables as JSON
//	go run . -page FILE        puts the tables into a page, too
//	go run . -pictures DIR     draws the pictures, and nothing else
//
// The exit status is not 0 if tokencache misses a row of the behaviour table.
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
	row, peer            string // one row with one peer, for a process of its own
}

// A part is one kind of measurement.
type part struct {
	name string
	run  func(o options, progress io.Writer) ([]report.Table, error)
}

func parts() []part {
	return []part{
		{"behaviours", behaviours},
		{"speed", speedTables},
		{"users", usersTable},
		{"day", dayTables},
	}
}

func main() {
	var o options
	flag.StringVar(&o.only, "only", "", "run only this part")
	flag.BoolVar(&o.quick, "quick", false, "short runs, to see that everything works")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.StringVar(&o.page, "page", "", "put the tables into this page")
	flag.StringVar(&o.pictures, "pictures", "", "draw the pictures into this directory")
	flag.DurationVar(&o.duration, "duration", time.Minute, "length of one run of the day of a token")
	flag.IntVar(&o.repeat, "repeat", 3, "runs of each of the first two days of a token")
	flag.StringVar(&o.row, "row", "", "run this row with the peer of -peer, and print what it did")
	flag.StringVar(&o.peer, "peer", "", "see -row")
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
		fmt.Fprintf(out, "%s\n\n", setting())
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
