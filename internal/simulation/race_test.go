//go:build race

package simulation

// simulationPart is the part of the simulation that is repeated under the race detector, which makes it ten times slower.
const simulationPart = 10
