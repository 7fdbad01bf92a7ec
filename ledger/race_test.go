//go:build race

package ledger

// raceEnabled says that the race detector, which allocates by itself, is on.
const raceEnabled = true
