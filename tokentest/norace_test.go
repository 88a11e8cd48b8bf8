//go:build !race

package tokentest_test

const callers = 10_000
