package main

import "io"

func pictures(options, io.Writer) error { return nil }

var _ = versions
