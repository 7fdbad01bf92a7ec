package engine

import "farthing/journal"

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
	Windows               int    // sealed
	SealedStream          uint64 // last sealed stream_seq
	PublishedStream       uint64 // last confirmed stream_seq
	OldestUnpublishedTime int64  // of the cut of the oldest unpublished batch, ns; 0: none
	Accounts              int
	Shapes                int
	Sources               int
	PriceVersions         int
	Unpriced              int64 // events on the unpriced list
	Runs                  int
	Store                 journal.Metrics
	Start                 Start // how it came up
}

// Stats returns the current figures. It never waits for the sequencer.
func (e *Engine) Stats() Stats {
	a, t := e.admission, e.published.Load()
	s := Stats{RingDepth: e.ring.depth(), Requests: a.requests.Load(), Events: a.events.Load(), Bytes: a.bytes.Load(),
		Durable: e.marks.durable.load(), Evidenced: e.marks.evidenced.load(), Indexed: e.marks.indexed.load(),
		Checkpointed: e.marks.checkpointed.load(), Sealed: e.marks.sealed.load(),
		Windows: len(t.windows), SealedStream: lastStreamOf(t.windows), Accounts: len(t.people), Shapes: len(t.shapes),
		Sources: len(t.sources) - 1, PriceVersions: len(t.versions), Unpriced: e.unpriced.Load(), Runs: len(e.runs.load().runs), Store: e.store.Metrics()}
	s.PublishedStream, s.Start = e.confirmed.Load(), e.started.out
	s.OldestUnpublishedTime = oldestUnpublished(t.windows, s.PublishedStream)
	return s
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
