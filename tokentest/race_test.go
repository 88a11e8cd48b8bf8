//go:build race

package tokentest_test

// The race detector bears 8128 goroutines.
const callers = 1000
