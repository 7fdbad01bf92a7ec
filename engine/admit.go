package engine

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"farthing/meter"
	"farthing/refusal"
)

// Request is one caller's work on its way through the engine and back. It is reused:
// nothing may be kept from it after Release.
//
// Ownership: the caller's goroutine, until the ring; the sequencer, until its group is
// durable; then the caller's again, told by done.
type Request struct {
	batch  meter.Batch
	holds  HoldBatch
	buffer []byte

	// What Acquire took from the budget, and its place in the queue.
	eventsMax, bytesMax int64
	ticket              flowTicket

	runs      uint64   // version of the run set the caller looked at
	forgotten uint64   // and what was forgotten in it
	looked    uint64   // the last sequence that it covered
	hashes    []uint64 // scratch of the look
	turn      laneTurn // of the look
	known     []known  // identities found there, by event index, ascending
	repeats   bool     // these are most of its own

	// op is the work of a request that is no ingest; it runs on the sequencer. True:
	// do not answer with this group, the sequencer keeps the request for later.
	op func(*sequencer) bool

	// Of operations on holds: their results; and that they capture what was abandoned.
	results   []HoldResult
	abandoned bool

	result  IngestResult
	again   bool // the run set moved on: look again
	refused *refusal.Refusal
	done    chan struct{}
}

// known is an identity found in a run.
type known struct {
	event int
	seen  seen
}

// Batch is where the caller puts the events.
func (r *Request) Batch() *meter.Batch { return &r.batch }

// Holds is where the caller puts operations on holds; their events go into Batch.
func (r *Request) Holds() *HoldBatch { return &r.holds }

// EventsMax is how many events the budget was taken for. A body cannot hold more: each
// takes at least minEventBytes.
func (r *Request) EventsMax() int { return int(r.eventsMax) }

// Buffer is memory for the request's body, kept with the request.
func (r *Request) Buffer() *[]byte { return &r.buffer }

// bufferKeep is the largest buffer kept for reuse: larger ones are rare and would pin
// 8 MiB per request.
const (
	bufferKeep = 1 << 20
	eventsKeep = 4096
)

// admission is the budget of what may be on its way at once. Everything a request
// could need is taken before its body is read, or nothing: what was admitted is
// never dropped.
type admission struct {
	flow                    *flow
	health                  *health
	requests, events, bytes atomic.Int64
	max                     struct{ requests, events, bytes int64 }
	pool                    sync.Pool // of *Request
	// closed refuses new requests; inflight counts admitted ones so that closing can wait.
	closed   atomic.Bool
	inflight sync.WaitGroup
	mu       sync.RWMutex // orders closed against inflight.Add
}

func newAdmission(o *Options, h *health) *admission {
	a := &admission{flow: newFlow(o.QueueTarget, o.GroupBytes), health: h}
	a.flow.patient = o.world.patient
	a.max.requests, a.max.events, a.max.bytes = o.RequestsMax, o.EventsMax, o.BytesMax
	a.pool.New = func() any { return &Request{done: make(chan struct{}, 1)} }
	return a
}

// minEventBytes is less than the shortest event takes in any format, so that a body's
// size bounds its events.
const minEventBytes = 32

// eventsIn bounds the events of a body.
func eventsIn(bodyBytes int) int64 {
	return min(int64(bodyBytes)/minEventBytes+1, meter.MaxBatchEvents)
}

// take takes the budget for a body, or nothing.
func (a *admission) take(bodyBytes int) *Request {
	if !a.enter() {
		return nil
	}
	events := eventsIn(bodyBytes)
	if _, class := costOf(int64(bodyBytes)); !a.flow.room(class) || !a.takeBudget(events, int64(bodyBytes)) {
		a.inflight.Done()
		return nil
	}
	r := a.pool.Get().(*Request)
	r.eventsMax, r.bytesMax = events, int64(bodyBytes)
	a.flow.take(&r.ticket, int64(bodyBytes))
	return r
}

// takeBudget takes the memory of a request, or nothing.
func (a *admission) takeBudget(events, bytes int64) bool {
	if !takeUpTo(&a.requests, 0, 1, a.max.requests) {
		return false
	}
	if !takeUpTo(&a.events, 0, events, a.max.events) {
		a.requests.Add(-1)
		return false
	}
	if !takeUpTo(&a.bytes, 0, bytes, a.max.bytes) {
		a.requests.Add(-1)
		a.events.Add(-events)
		return false
	}
	return true
}

// grow takes what a larger body needs beyond what r has, or nothing.
func (a *admission) grow(r *Request, bodyBytes int) bool {
	events, bytes := eventsIn(bodyBytes)-r.eventsMax, int64(bodyBytes)-r.bytesMax
	if bytes <= 0 {
		return true
	}
	if !takeUpTo(&a.events, r.eventsMax, events, a.max.events) {
		return false
	}
	if !takeUpTo(&a.bytes, r.bytesMax, bytes, a.max.bytes) {
		a.events.Add(-events)
		return false
	}
	a.flow.grow(&r.ticket, bytes)
	r.eventsMax += events
	r.bytesMax += bytes
	return true
}

// enter counts the caller in unless the engine is closing.
func (a *admission) enter() bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	if a.closed.Load() {
		return false
	}
	a.inflight.Add(1)
	return true
}

// takeUpTo adds n to the counter, of which the caller has own already, unless it would pass limit. Whoever is alone
// always has room, so that one request larger than the whole budget can still go through.
func takeUpTo(counter *atomic.Int64, own, n, limit int64) bool {
	for {
		v := counter.Load()
		if v+n > limit && v > own {
			return false
		}
		if counter.CompareAndSwap(v, v+n) {
			return true
		}
	}
}

// give gives the budget of a request back and keeps the request for reuse.
func (a *admission) give(r *Request) {
	a.flow.leave(&r.ticket)
	a.requests.Add(-1)
	a.events.Add(-r.eventsMax)
	a.bytes.Add(-r.bytesMax)
	if cap(r.buffer) > bufferKeep {
		r.buffer = nil
	}
	r.batch.Trim(eventsKeep)
	if cap(r.result.Rejected) > eventsKeep {
		r.result.Rejected = nil
	}
	r.holds.trim(eventsKeep)
	if cap(r.hashes) > eventsKeep {
		r.hashes = nil
	}
	if cap(r.results) > eventsKeep {
		r.results = nil
	}
	clear(r.results)
	r.known, r.repeats, r.op, r.again, r.refused, r.results = r.known[:0], false, nil, false, nil, r.results[:0]
	r.result = IngestResult{Rejected: r.result.Rejected[:0]}
	a.pool.Put(r)
	a.inflight.Done()
}

// close refuses new requests.
func (a *admission) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed.Store(true)
}

// wait waits for the admitted requests; nobody is admitted any more.
func (a *admission) wait() { a.inflight.Wait() }

// Acquire takes the budget for a body of the given size (the most it could be, when
// unknown) before it is read. Nil: no room now, or the engine takes no changes, of which Unready
// tells the reason.
func (e *Engine) Acquire(bodyBytes int) *Request {
	if e.health.unready() != nil {
		return nil
	}
	r := e.admission.take(bodyBytes)
	if r != nil {
		r.batch.Reset(e.seed)
		r.holds.reset(e.seed)
	}
	return r
}

// Grow takes the budget for a body that turns out larger than it was acquired for; false:
// no room now, and nothing was taken.
func (e *Engine) Grow(r *Request, bodyBytes int) bool { return e.admission.grow(r, bodyBytes) }

// Release gives the budget back. The answer must have been written.
func (e *Engine) Release(r *Request) { e.admission.give(r) }

// Ingest books the events of the request's batch and returns when all that the answer
// depends on is durable. Each event stands alone: refused ones are listed.
func (e *Engine) Ingest(r *Request) (IngestResult, *refusal.Refusal) {
	if len(r.batch.Events) > 0 {
		if !e.admission.flow.current(&r.ticket) {
			return IngestResult{}, overloaded()
		}
		for {
			if refused := e.lookup(r); refused != nil {
				return IngestResult{}, refused
			}
			e.submit(r)
			if !r.again {
				break
			}
		}
		if r.refused != nil {
			return IngestResult{}, r.refused
		}
	} else {
		r.result.Sequence = e.store.Head().Seq
	}
	r.result.Rejected = append(r.result.Rejected, r.batch.Rejects...)
	slices.SortFunc(r.result.Rejected, func(a, b meter.Reject) int { return int(a.Index) - int(b.Index) })
	return r.result, nil
}

// lookup finds the batch's identities in the runs, on the caller's goroutine. One that is sent back goes over the runs that
// are new, or over all if more was forgotten: a look from the beginning may take longer than a generation lives.
func (e *Engine) lookup(r *Request) *refusal.Refusal {
	before := r.known
	if !r.again {
		before, r.looked = before[:0], 0
	}
	turn := &r.turn
	*turn = laneTurn{e: e, r: r}
	defer turn.leave()
	set, err := e.runs.look(func(set *runSet) error {
		p := prober{e: e, set: set, turn: turn, hashes: r.hashes}
		if r.known = before; set.forgotten == r.forgotten {
			p.after = r.looked
		} else {
			r.known = before[:0]
		}
		err := p.probe(r.probes(), r.probed, func(i int, s seen) { r.known = append(r.known, known{i, s}) })
		r.hashes = p.hashes
		return err
	})
	r.again = false
	r.runs, r.forgotten, r.looked = set.version, set.forgotten, set.indexed
	r.known = newestKnown(r.known)
	r.repeats = 2*len(r.known) >= r.probes()
	if err == nil {
		err = turn.settle()
	}
	if err != nil {
		return e.unlooked(err)
	}
	return nil
}

// newestKnown sorts by event and leaves one of each. There are two where a run has both bookings of an identity that was
// forgotten in between, as the runs of an imported ledger may.
func newestKnown(list []known) []known {
	if len(list) < 2 {
		return list
	}
	slices.SortFunc(list, func(a, b known) int { return cmp.Or(a.event-b.event, cmp.Compare(b.seen.seq, a.seen.seq)) })
	return slices.CompactFunc(list, func(a, b known) bool { return a.event == b.event })
}

// submit hands the request to the sequencer and waits for its answer.
func (e *Engine) submit(r *Request) {
	if !r.repeats {
		e.lane.arrives()
		defer e.lane.leaves()
	}
	e.queue(r)
	receive(e, r.done)
}

func (e *Engine) queue(r *Request) {
	e.admission.flow.enqueue(&r.ticket)
	if !e.ring.push(r) {
		panic("BUG: the ring is full although every request has a place")
	}
}

// overloaded is the refusal of what there is no room for. A second is longer than all that is
// queued takes, and spreads who comes back; asking sooner costs the server little.
func overloaded() *refusal.Refusal {
	return refusal.New(refusal.Overloaded, "overloaded", "too many requests are on their way; retry after a moment")
}

// do runs op on the sequencer and returns when what it saw or did is durable. A refusal:
// the engine is closing, has no room, or could not answer because its disk does not.
func (e *Engine) do(op func(*sequencer) bool) *refusal.Refusal {
	if refused := e.health.unanswering(); refused != nil {
		return refused
	}
	r := e.admission.take(0)
	if r == nil {
		if e.admission.closed.Load() {
			return draining()
		}
		return overloaded()
	}
	r.op = op
	e.submit(r)
	refused := r.refused
	e.admission.give(r)
	return refused
}
