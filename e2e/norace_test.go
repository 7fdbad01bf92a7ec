//go:build !race

package e2e

// raceEnabled says that the race detector, which slows everything down, is on.
const raceEnabled = false
