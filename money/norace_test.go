//go:build !race

package money

// raceEnabled says that the race detector, which allocates by itself, is on.
const raceEnabled = false
