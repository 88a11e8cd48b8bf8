//go:build race

package tokentest_test

// The race detector supports at most 8128 goroutines.
const callers = 1000
