//go:build race

package engine

// raceEnabled says that the race detector, which allocates by itself, is on.
const raceEnabled = true
