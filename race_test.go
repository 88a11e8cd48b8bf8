//go:build race

package tokencache_test

// many is how many callers a storm has. The race detector gives up above 8,128 goroutines.
const many = 2_000
