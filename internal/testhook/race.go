//go:build race

package testhook

// Race reports whether the race detector is on.
const Race = true
