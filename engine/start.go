package engine

import (
	"log/slog"
	"time"

	"farthing/journal"
)

// StartPart is a part of a start and how long it took. Parts that run beside each other each count in full.
type StartPart struct {
	Name string
	Took time.Duration
}

// Start is how an engine came up.
type Start struct {
	Took  time.Duration
	Parts []StartPart
	// Replayed is how many commands were newer than the checkpoint: 0 after a clean stop.
	Replayed uint64
	// Reread is how many commands were read again for the identities that no run had yet, the replayed ones included.
	Reread uint64
}

// The parts of a start.
const (
	partCheck      = "check"      // read-only open and its checks
	partStore      = "store"      // open for writing: the log is read once more
	partOrphans    = "orphans"    // tables without a marker
	partFilters    = "filters"    // runs of identities
	partCheckpoint = "checkpoint" // with its deltas
	partReplay     = "replay"
)

// start measures one.
type startClock struct {
	began time.Time
	out   Start
}

// part notes a part that began at the given time.
func (c *startClock) part(name string, began time.Time) {
	c.out.Parts = append(c.out.Parts, StartPart{name, time.Since(began)})
}

// opened notes the parts of the store's own.
func (c *startClock) opened(t journal.OpenTimes) {
	c.out.Parts = append(c.out.Parts, StartPart{partCheck, t.Check}, StartPart{partStore, t.Open})
}

// log tells an operator what the start did.
func (c *startClock) log(l *slog.Logger) {
	c.out.Took = time.Since(c.began)
	args := []any{"took", c.out.Took.Round(time.Millisecond), "replayed", c.out.Replayed, "reread", c.out.Reread}
	for _, p := range c.out.Parts {
		args = append(args, p.Name, p.Took.Round(time.Millisecond))
	}
	l.Info("ledger opened", args...)
}
