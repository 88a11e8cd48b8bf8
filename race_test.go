//go:build race

package tokencache_test

// many is how many callers a storm has. The race detector gives up above 8,128 goroutines.
const many = 2_000

// simulationPart is the part of the simulation that is repeated under the race detector, which makes it ten times slower.
const simulationPart = 10
