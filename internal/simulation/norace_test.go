//go:build !race

package simulation_test

const slowdown = 1
