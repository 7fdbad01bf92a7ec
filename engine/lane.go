package engine

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"farthing/refusal"
)

// slowLane paces look-ups that find on disk what was booked before, as those of events that are sent again do. Each
// costs some 10 µs of a core and cold memory, twenty times what a new event costs its sender's goroutine, so clients that
// repeat old events would take the machine from all others, in large requests or in many small ones.
//
// What counts is the work of all requests together: work is paid for with time, lanePace times as much as it took, while
// others have work. There are two clocks, so that neither kind of request waits for the other:
//
//   - A small request looks first and pays then, because a filter's false maybe must not wait: an event is known to be
//     a repeat only after it was looked for. It is answered when its work is paid for.
//   - A large one waits for its turn, of which there is one, and pays after each part.
//
// Requests that are mostly new pass: their repeats are few by their share. What waits holds a half of the budgets
// at most; beyond that repeats are refused like any other load (429). When the engine closes, nobody waits any more.
type slowLane struct {
	turn          chan struct{} // a token: somebody is at a large look
	inside        atomic.Int64  // requests that wait for the turn or until their work is paid for
	events, bytes atomic.Int64  // and what these hold of the budgets
	refused       atomic.Uint64 // requests that had no room to wait
	others        atomic.Int64  // requests that are no repeats and wait for their answer
	seen          atomic.Int64  // when the last of them got it
	small, large  paidClock
	began         time.Time
	ended         chan struct{} // closed: nobody waits any more
	end           sync.Once
}

const (
	// laneFree is how many look-ups on disk a small request has at most.
	laneFree = 64
	// laneShare is which share of a request may be such look-ups without the lane: false maybes, one in a
	// thousand an epoch, grow with it, and new events must not wait for those that repeat.
	laneShare = 16
	// laneStep is how many go between two payments: under a millisecond.
	laneStep = 64
	// lanePace is how long work takes with its pause, in times of itself: each clock leaves repeats a tenth of a core.
	lanePace = 10
	// laneRequest is what a small request costs beside its look-ups: being handed through, and the memory of a block.
	laneRequest = 100 * time.Microsecond
	// laneLookMax bounds what counts for one look-up, should the disk be slow: then it is not the cores that are short.
	laneLookMax = time.Millisecond
	// laneBurst is how much time a clock that nobody used for long is ahead: a few repeats do not wait at all.
	laneBurst = 20 * time.Millisecond
	// laneWaitMax is how long a small request would wait at most.
	laneWaitMax = time.Second
	// laneBusy is how long others count as working after their last answer: senders take a moment to come again.
	laneBusy = 20 * time.Millisecond
	// laneLook is how often who waits looks whether others are still there.
	laneLook = 100 * time.Millisecond
)

var (
	errLaneFull = errors.New("too many repeats wait")
	errDraining = errors.New("the engine closes")
)

func newSlowLane() *slowLane {
	return &slowLane{turn: make(chan struct{}, 1), began: time.Now(), ended: make(chan struct{})}
}

func (l *slowLane) now() int64 { return int64(time.Since(l.began)) }

// busy reports whether others have work.
func (l *slowLane) busy() bool {
	return l.others.Load() > 0 || l.seen.Load() != 0 && l.now()-l.seen.Load() < int64(laneBusy)
}

// arrives and leaves are called around the wait for an answer of a request that is no repeat.
func (l *slowLane) arrives() { l.others.Add(1) }
func (l *slowLane) leaves() {
	l.seen.Store(l.now())
	l.others.Add(-1)
}

// close ends all waiting. Whoever still has look-ups before it is refused: they could take long.
func (l *slowLane) close() { l.end.Do(func() { close(l.ended) }) }

func (l *slowLane) closed() bool {
	select {
	case <-l.ended:
		return true
	default:
		return false
	}
}

// wait returns when the given time has come, others have no work any more, or nobody waits any more.
func (l *slowLane) wait(until int64) {
	for d := until - l.now(); d > 0 && l.busy(); d = until - l.now() {
		timer := time.NewTimer(min(time.Duration(d), laneLook))
		select {
		case <-timer.C:
		case <-l.ended:
			timer.Stop()
			return
		}
	}
}

// paidClock says until when the work that was done is paid for.
type paidClock struct {
	mu     sync.Mutex
	due    int64
	worked int64 // in all, while others had work
}

// charge enters work of so many look-ups that ended now, and returns when it is paid for.
func (c *paidClock) charge(now int64, looks int, worked time.Duration, busy bool) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !busy {
		c.due = min(c.due, now) // nobody to share with
		return 0
	}
	worked = min(worked, time.Duration(looks)*laneLookMax)
	c.worked += int64(worked)
	c.due = max(c.due, now-int64(worked)-int64(laneBurst)) + lanePace*int64(worked)
	return c.due
}

func (c *paidClock) ahead(now int64) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Duration(c.due - now)
}

// laneTurn is one caller's stay. nil: it passes, as reads do.
type laneTurn struct {
	e     *Engine
	r     *Request // whose budget it holds; nil: of none
	in    bool     // it has the turn
	pays  bool     // there are too many look-ups in it for one that is mostly new
	since time.Time
	due   int64 // when what it did is paid for
}

// enter is called before so many of the identities of a request are looked for on disk; it waits for the turn if
// these are many. True: it waited.
func (t *laneTurn) enter(n, of int) (waited bool, err error) {
	if t == nil || t.in || t.e.o.world.stages != nil || t.e.o.world.patient || t.r != nil && t.r.abandoned {
		return false, nil
	}
	l := t.e.lane
	t.pays = n > of/laneShare
	switch {
	case !t.pays:
		return false, nil
	case n <= laneFree:
		if l.busy() && l.small.ahead(l.now()) > laneWaitMax {
			return false, errLaneFull
		}
		return false, nil
	case l.closed():
		return false, errDraining
	case !t.take():
		return false, errLaneFull
	}
	select {
	case l.turn <- struct{}{}:
		t.in = true
		return true, nil
	case <-l.ended:
		t.give()
		return false, errDraining
	}
}

// take counts the caller in, unless repeats hold half of a budget already.
func (t *laneTurn) take() bool {
	l, m := t.e.lane, &t.e.admission.max
	if !takeUpTo(&l.inside, 0, 1, m.requests/2) {
		return false
	}
	if t.r == nil {
		return true
	}
	if !takeUpTo(&l.events, 0, t.r.eventsMax, m.events/2) {
		l.inside.Add(-1)
		return false
	}
	if !takeUpTo(&l.bytes, 0, t.r.bytesMax, m.bytes/2) {
		l.inside.Add(-1)
		l.events.Add(-t.r.eventsMax)
		return false
	}
	return true
}

func (t *laneTurn) give() {
	l := t.e.lane
	l.inside.Add(-1)
	if t.r != nil {
		l.events.Add(-t.r.eventsMax)
		l.bytes.Add(-t.r.bytesMax)
	}
}

func (t *laneTurn) begin() {
	if t != nil && t.pays {
		t.since = time.Now()
	}
}

// done charges a part of the look-ups if what was asked for was mostly there: new events of a ledger whose
// filters do not fit memory are not held up. Who has the turn pays at once.
func (t *laneTurn) done(hits, asked int, more bool) error {
	if t == nil || !t.pays || 2*hits < asked {
		return nil
	}
	l, worked := t.e.lane, time.Since(t.since)
	if !t.in {
		t.due = l.small.charge(l.now(), asked, worked+laneRequest, l.busy())
		return nil
	}
	l.wait(l.large.charge(l.now(), asked, worked, l.busy()))
	if more && l.closed() {
		return errDraining
	}
	return nil
}

// settle waits until the look-ups of a small request are paid for.
func (t *laneTurn) settle() error {
	l := t.e.lane
	if t.due <= l.now() || !l.busy() || l.closed() {
		return nil
	}
	if !t.take() {
		return errLaneFull
	}
	defer t.give()
	l.wait(t.due)
	return nil
}

func (t *laneTurn) leave() {
	if t.in {
		t.in = false
		<-t.e.lane.turn
		t.give()
	}
}

// unlooked is what a caller is told whose look failed.
func (e *Engine) unlooked(err error) *refusal.Refusal {
	switch {
	case errors.Is(err, errLaneFull):
		e.lane.refused.Add(1)
		return overloaded()
	case errors.Is(err, errDraining):
		return draining()
	}
	return e.damaged(err) // without the runs nobody knows what is new
}

// Stopping says that Close comes soon: requests that wait because they repeat old events do not any more. They are answered, or
// refused as those that come later.
func (e *Engine) Stopping() { e.lane.close() }
