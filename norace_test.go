//go:build !race

package tokencache_test

// many is how many callers a storm has.
const many = 10_000
