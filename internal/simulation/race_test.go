//go:build race

package simulation_test

// The tests divide their number of histories by slowdown, which is about what the race detector
// costs.
const slowdown = 10
