package main

import (
	"io"

	"github.com/tokencache/tokencache/benchmarks/report"
)

func pictures(options, io.Writer) error { return nil }

var _ = versions
