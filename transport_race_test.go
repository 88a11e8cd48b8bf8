//go:build race

package tokencache_test

// The race detector bears 8128 goroutines, and a POST takes five.
const manyPosts = 1000
