//go:build !race

package tokencache_test

const manyPosts = 10_000
