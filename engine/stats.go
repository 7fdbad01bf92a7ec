package engine

import (
	"time"

	"farthing/journal"
)

// Stats is a look at the engine for metrics; the numbers are of about the same moment.
type Stats struct {
	RingDepth             int    // requests queued before the sequencer
	Requests              int64  // admitted and not answered yet
	Events, Bytes         int64  // budget they hold
	Durable               uint64 // watermarks, as sequences
	Evidenced             uint64
	Indexed               uint64
	Checkpointed          uint64
	Sealed                uint64
	Dropped               uint64 // exported and dropped
	DroppedBytes          uint64 // since the start
	LastDrop              int64  // time of the last one since the start, ns; 0: none
	KeptBecauseOf         string // what kept the last round from dropping more; empty: there was none
	Windows               int    // sealed
	SealedStream          uint64 // last sealed stream_seq
	PublishedStream       uint64 // last confirmed stream_seq
	OldestUnpublishedTime int64  // of the cut of the oldest unpublished batch, ns; 0: none
	Accounts              int
	Shapes                int
	Sources               int
	PriceVersions         int
	Unpriced              int64         // events on the unpriced list
	Runs                  int           // live runs of identities
	LargeRuns             int           // of them merged ones
	ForgottenRuns         int           // for reads only
	Forgotten             uint64        // sequence up to which identities may be booked again
	FilterBytes           int64         // of the filters in memory
	RunsWithoutFilter     int           // asked on disk about every event
	Merges                uint64        // of identity runs, since the start
	StatementRuns         int           // that reads by account ask
	StatementMerges       uint64        // of them, since the start
	QueueCost, QueueLimit int64         // bytes of bodies that are queued, and the bound that follows from the rate
	QueueRefused          int64         // requests refused because of it
	RepeatsWaiting        int64         // requests that wait because they repeat old events
	RepeatsRefused        uint64        // because too many wait
	DiskFree, DiskTotal   uint64        // bytes of the file system; 0: it does not tell
	CommitAge             time.Duration // of the commit under way, as of at most 100 ms ago
	Store                 journal.Metrics
	Start                 Start // how it came up
}

// Stats returns the current figures. It never waits for the sequencer.
func (e *Engine) Stats() Stats {
	a, t := e.admission, e.published.Load()
	s := Stats{RingDepth: e.ring.depth(), Requests: a.requests.Load(), Events: a.events.Load(), Bytes: a.bytes.Load(),
		Durable: e.marks.durable.load(), Evidenced: e.marks.evidenced.load(), Indexed: e.marks.indexed.load(),
		Checkpointed: e.marks.checkpointed.load(), Sealed: e.marks.sealed.load(),
		Dropped: e.marks.dropped.load(), DroppedBytes: e.retained.freed.Load(), LastDrop: e.retained.lastDrop.Load(),
		Windows: len(t.windows), SealedStream: lastStreamOf(t.windows), Accounts: len(t.people), Shapes: len(t.shapes),
		Sources: len(t.sources) - 1, PriceVersions: len(t.versions), Unpriced: e.unpriced.Load(), Store: e.store.Metrics()}
	if why := e.retained.heldBy.Load(); why != nil {
		s.KeptBecauseOf = *why
	}
	s.runs(e)
	f, h := a.flow, e.health
	s.QueueCost, s.QueueLimit, s.QueueRefused = f.queuedCost(), f.limit.Load(), f.refusals.Load()
	s.RepeatsWaiting, s.RepeatsRefused = e.lane.inside.Load(), e.lane.refused.Load()
	s.DiskFree, s.DiskTotal, s.CommitAge = h.free.Load(), h.total.Load(), time.Duration(h.commit.Load())
	s.PublishedStream, s.Start = e.confirmed.Load(), e.started.out
	s.OldestUnpublishedTime = oldestUnpublished(t.windows, s.PublishedStream)
	return s
}

// runs fills in the figures of identity runs.
func (s *Stats) runs(e *Engine) {
	set := e.runs.load()
	set.live(func(r *runInfo) {
		s.Runs++
		if r.large {
			s.LargeRuns++
		}
		if r.filter.blocks == nil {
			s.RunsWithoutFilter++
		}
	})
	s.ForgottenRuns, s.Forgotten, s.FilterBytes, s.Merges = len(set.archived), e.forgottenTo(), set.filterBytes(), e.merges.Load()
	s.StatementRuns, s.StatementMerges = len(set.statements), e.statementMerges.Load()
}

// filtersEvicted tells the operator that the filters have outgrown their memory.
func (e *Engine) filtersEvicted(runs int) {
	e.o.Logger.Warn("the filters of identities do not fit their memory: runs are asked on disk about every event, which is slower", "runs", runs,
		"bytes_max", e.o.DedupMemoryBytes)
}

// oldestUnpublished is the time of the first window with a batch above a stream_seq.
func oldestUnpublished(windows []*window, published uint64) int64 {
	for i := len(windows) - 1; i >= 0; i-- {
		if lastStreamOf(windows[:i]) <= published {
			if lastStreamOf(windows[i:i+1]) > published {
				return windows[i].time
			}
			return 0
		}
	}
	return 0
}
