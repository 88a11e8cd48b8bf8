//go:build !race

package simulation

const simulationPart = 1
