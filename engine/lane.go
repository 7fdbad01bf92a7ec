package engine

import (
	"sync/atomic"
	"time"
)

// slowLane is where look-ups go that have to ask the disk about many identities, as those of a batch
// that is sent again do. Each costs some 10 µs of a core and cold memory, twenty times what a new
// event costs its sender's goroutine, so a client that repeats old batches would take the machine
// from all others. In the lane there is one at a time, and as long as others have work it pauses after
// each part. It never refuses: what is repeated waits.
type slowLane struct {
	turn   chan struct{} // a token: somebody is in it
	inside atomic.Int64  // who is in it or waits for it
}

const (
	// laneFree is how many look-ups on disk a request has without the lane: a few repeats.
	laneFree = 64
	// laneShare is which share of a large request may be such look-ups: false maybes, one in a
	// thousand an epoch, grow with it, and new events must not wait for those that repeat.
	laneShare = 16
	// laneStep is how many go between two pauses: under a millisecond.
	laneStep = 64
	// lanePause is how long a pause is, in times of the work before it. Together with the bound of
	// one it leaves repeats about a tenth of a core while others have work.
	lanePause = 9
	// lanePauseMax bounds a pause, should the disk be slow: then it is not the cores that are short.
	lanePauseMax = 50 * time.Millisecond
)

func newSlowLane() slowLane { return slowLane{turn: make(chan struct{}, 1)} }

// laneTurn is one caller's stay.
type laneTurn struct {
	e     *Engine
	in    bool
	since time.Time
}

// enter waits for the lane if there is much to ask about so many identities; true: it waited.
func (t *laneTurn) enter(n, of int) bool {
	if t.in || n <= max(laneFree, of/laneShare) || t.e.o.world.stages != nil {
		return false
	}
	t.e.lane.inside.Add(1)
	t.e.lane.turn <- struct{}{}
	t.in = true
	return true
}

func (t *laneTurn) begin() {
	if t.in {
		t.since = time.Now()
	}
}

// end pauses if others have work and what was asked for was mostly there: new events of a ledger whose
// filters do not fit memory are not held up.
func (t *laneTurn) end(hits, asked int) {
	if !t.in || 2*hits < asked || t.e.admission.requests.Load() <= t.e.lane.inside.Load() || t.e.admission.closed.Load() {
		return
	}
	timer := time.NewTimer(min(lanePause*time.Since(t.since), lanePauseMax))
	defer timer.Stop()
	<-timer.C
}

func (t *laneTurn) leave() {
	if t.in {
		t.in = false
		<-t.e.lane.turn
		t.e.lane.inside.Add(-1)
	}
}
