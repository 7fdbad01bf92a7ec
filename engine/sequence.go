package engine

import (
	"runtime"
	"time"

	"farthing/journal"
	"farthing/ledger"
	"farthing/meter"
	"farthing/refusal"
)

// sequencer is the one writer of state. Its goroutine takes requests from the ring,
// decides duplicate or new, rates, posts, and appends commands to the open group; it
// never waits for the disk, only for room.
type sequencer struct {
	e     *Engine
	state *state
	ids   *identities
	g     *group // being filled
	// current is the request being executed.
	current *Request

	// Scratch of the event under way.
	rec           eventRecord
	amounts       ratingAmounts
	ahead         lookahead
	scratch       []byte
	planned       holdPlan
	endScratch    []byte
	dueRows       []uint32              // scratch
	abandoned     []dueHold             // due, and to be captured as they were reported
	recentSources [recentSources]uint32 // interned ones by sourceSlot; 0: none

	closing []*closeWait // window closes that wait for their turn or their seal
	windowTimer
	tick     <-chan time.Time
	ticker   *time.Ticker
	stopSeen bool // run saw that stopping was asked
	checkpoints
}

// run is the sequencer's goroutine. It ends, with everything handed to the committer,
// once stopping is asked, nothing is queued and the last checkpoint was copied.
func (s *sequencer) run() {
	defer close(s.e.toCommit)
	idle := true // the committer can take a group
	s.timer()    // ticks missed while the ledger was closed count before what comes now
	for {
		if s.g.empty() {
			s.g.time, s.g.begun = 0, 0 // what was looked at and booked nothing is no part of the group
		}
		if s.finalTaken { // a command now would be left for the next start to replay
			s.stepCheckpoint()
		} else {
			s.step()
		}
		s.stopSeen = s.e.stopping()
		if s.g.empty() && s.stopSeen && s.e.ring.empty() && s.finished() {
			return
		}
		if idle && (!s.g.empty() || (s.wantCheckpoint && s.e.writerFree.Load())) {
			s.handOff()
			idle = false
			continue
		}
		idle = s.wait(idle) || idle
	}
}

// step does what is due, executes what is queued and goes on with what runs in the background.
func (s *sequencer) step() {
	if !s.due() { // what is due comes before what arrives now: that may fill the group every time
		s.expireHolds(s.nowOf())
		s.drain()
	}
	s.background()
}

// drain executes what is queued until the group is full or nothing is left.
func (s *sequencer) drain() {
	for s.g.bytes < s.e.o.GroupBytes {
		r := s.e.ring.pop()
		if r == nil {
			break
		}
		s.execute(r)
	}
	s.e.ring.report()
}

func (s *sequencer) execute(r *Request) {
	if s.g.time == 0 {
		s.g.time = max(s.state.time, s.e.now())
	}
	if s.g.begun == 0 {
		s.g.begun = s.e.mono()
	}
	s.current = r
	s.state.now = s.g.time
	switch {
	case r.op != nil:
		if r.op(s) {
			return // kept by the sequencer, answered later
		}
	case s.stale(r.runs, r.forgotten):
		r.again = true
	case len(r.holds.Ops) > 0:
		s.holdOps(r)
	default:
		s.ingest(r)
	}
	s.g.waiters = append(s.g.waiters, r)
}

// wait sleeps until there is something to do; true when the committer became idle. With
// a snapshot to go on with it only looks.
func (s *sequencer) wait(idle bool) bool {
	ready := s.e.idle
	if idle {
		ready = nil // the token was taken already
	}
	if s.copying() || s.looksOn() {
		return s.peek(ready, runtime.Gosched, stages.yield)
	}
	if s.g.bytes >= s.e.o.GroupBytes {
		receive(s.e, ready) // a full group takes nothing more
		return true
	}
	if s.e.o.world.stages != nil {
		return s.peek(ready, nil, stages.park)
	}
	if !s.e.ring.sleep() {
		s.e.ring.woken()
		return false
	}
	select {
	case <-s.e.ring.wake:
		return false
	case <-ready:
		s.e.ring.woken()
		return true
	case <-s.tick:
	case <-s.room():
	case <-s.e.writerIdle:
	case <-s.stopSignal():
	}
	s.e.ring.woken()
	return false
}

// peek takes the committer's token if it is there, and lets others go on if not.
func (s *sequencer) peek(ready <-chan struct{}, giveWay func(), stepped func(stages)) bool {
	select {
	case <-ready:
		return true
	default:
	}
	if w := s.e.o.world.stages; w != nil {
		stepped(w)
	} else {
		giveWay()
	}
	return false
}

// stopSignal is the stop channel until run has seen it: a closed channel would turn waiting
// into spinning. What counts is what run saw before it decided to wait; asking anew here
// would lose a stop that came in between, and nothing else would wake the sequencer.
func (s *sequencer) stopSignal() <-chan struct{} {
	if s.stopSeen {
		return nil
	}
	return s.e.stop
}

// handOff checks and completes the group, gives it to the committer and takes a free
// one, waiting for the indexer if there is none.
func (s *sequencer) handOff() {
	g := s.g
	g.full = g.bytes >= s.e.o.GroupBytes || !s.e.ring.empty()
	if g.first != 0 {
		if err := s.state.ledger.Balanced(); err != nil {
			panic("BUG: the books do not balance: " + err.Error())
		}
		g.frozen = s.ids.freeze(g.last, s.state.time)
	}
	if s.finalTaken && g.frozen == nil {
		g.frozen = s.ids.freezeOpen(s.state.seq, s.state.time) // so that the next start has nothing to replay
	}
	s.startCheckpoint(g)
	g.tables = s.state.tables
	s.e.unpriced.Store(int64(s.state.unpriced.open))
	send(s.e, s.e.toCommit, g)
	s.g, _ = receive(s.e, s.e.free)
	s.g.reset()
	s.ids.drop(s.e.dropBelow.Load())
}

// begin starts a command: it gets the next sequence and the group's time.
func (s *sequencer) begin() *journal.BlockInput {
	if s.g.time == 0 {
		s.g.time = max(s.state.time, s.e.now())
	}
	s.state.seq++
	s.state.time = s.g.time
	if s.g.first == 0 {
		s.g.first = s.state.seq
	}
	s.g.last = s.state.seq
	b := s.g.body(s.state.seq)
	b.Last = s.state.seq
	return b
}

// command appends a command that is no event.
func (s *sequencer) command(kind byte, payload []byte) {
	b := s.begin()
	b.Body = appendBytes(append(b.Body, kind), payload)
	s.g.bytes += len(payload) + 4
}

// stale reports whether a look at the runs, of a version and with so much forgotten, has to be repeated: of
// what is in memory it did not see all, or what it saw may have been booked anew since.
func (s *sequencer) stale(version, forgotten uint64) bool {
	return version < s.ids.oldest() || forgotten < s.e.runs.load().forgotten
}

// ingest executes the events of a request, each for itself.
func (s *sequencer) ingest(r *Request) {
	known, events := r.known, r.batch.Events
	s.findShapes(r)
	for from := 0; from < len(events); from += lookaheadStep {
		step := events[from:min(from+lookaheadStep, len(events))]
		s.prepare(r, step)
		for i := range step {
			e := &step[i]
			var old seen
			var found bool
			if len(known) > 0 && known[0].event == from+i {
				old, found, known = known[0].seen, true, known[1:]
			} else {
				old, found = s.ids.find(e.Identity, r.batch.IdentityBytes(e), r.runs)
			}
			if found {
				s.repeated(r, e, old)
				continue
			}
			s.rec.usageRow = s.ahead.rows[i]
			if refused := s.event(r, e, s.ahead.payers[i]); refused != nil {
				r.reject(e, refused)
			}
		}
	}
	r.result.Sequence = max(r.result.Sequence, s.state.seq)
}

// repeated answers an event whose identity is booked.
func (s *sequencer) repeated(r *Request, e *meter.Event, old seen) {
	if old.content != e.Content {
		r.reject(e, refusal.New(refusal.IDConflict, "id_conflict",
			"this source and id were booked at sequence %d with other content; use a new id", old.seq))
		return
	}
	r.result.Duplicates++
}

func (r *Request) reject(e *meter.Event, why *refusal.Refusal) {
	r.result.Rejected = append(r.result.Rejected,
		meter.Reject{Index: e.Index, ID: string(r.batch.Bytes(e.ID)), Refusal: *why})
}

// event books a new event. The order of checks is part of the contract: identity was
// first; then age, account, quantities against the price, size.
func (s *sequencer) event(r *Request, e *meter.Event, p payer) *refusal.Refusal {
	slot, refused := s.examine(r, e, p)
	if refused != nil {
		return refused
	}
	s.rec.hold = heldRef{}
	s.bookEvent(r, e, slot)
	r.result.Accepted++
	if s.rec.reason != priced {
		r.result.Unpriced++
	}
	if len(s.state.following) > 0 {
		s.follow()
	}
	return nil
}

// examine checks a new event and rates it into the record; nil and no refusal: it has no price.
func (s *sequencer) examine(r *Request, e *meter.Event, p payer) (*rateSlot, *refusal.Refusal) {
	rec := &s.rec
	rec.time, rec.hadTime = e.Time, e.Time != meter.NoTime
	if !rec.hadTime {
		rec.time = s.g.time
	} else if refused := s.age(e.Time); refused != nil {
		return nil, refused
	}
	if refused := s.pays(r, e, p); refused != nil {
		return nil, refused
	}
	rec.account, rec.payer = p.ref, p
	return s.price(r, e)
}

// bookEvent books an event that was examined. Nothing in it may refuse.
func (s *sequencer) bookEvent(r *Request, e *meter.Event, slot *rateSlot) {
	rec := &s.rec
	rec.source, rec.id, rec.usage = r.batch.Bytes(e.Source), r.batch.Bytes(e.ID), r.batch.Bytes(e.Raw)
	if rec.reason != priced { // it takes nothing
		rec.split = ledger.Split{Parts: rec.split.Parts[:0]}
	}
	source := s.source(rec.source)
	b := s.begin()
	s.state.applyEvent(rec, slot, &s.amounts)
	before := len(b.Body)
	b.Body = appendEvent(b.Body, rec, source, s.g.time)
	s.g.bytes += len(b.Body) - before
	s.ids.add(e.Identity, r.batch.IdentityBytes(e), seen{s.state.seq, e.Content})
}

// age refuses what is older than the dedup window or too far ahead.
func (s *sequencer) age(at int64) *refusal.Refusal {
	if at < s.g.time-int64(s.e.o.DedupWindow) {
		return refusal.New(refusal.Invalid, "event_too_old", "the event is older than the dedup window of %v", s.e.o.DedupWindow)
	}
	if until := s.e.runs.load().forgottenTime(); until > 0 && at <= until { // only under a window that was made longer
		return refusal.New(refusal.Invalid, "event_too_old", "the event is of a time before %s, of which identities are forgotten", timeOf(until+1))
	}
	if at > s.g.time+int64(aheadMax) {
		return refusal.New(refusal.Invalid, "event_too_far_ahead", "the event's time is more than %v ahead of the server's", aheadMax)
	}
	if at < 0 {
		return refusal.New(refusal.Invalid, "invalid_time", "the event's time is before 1970")
	}
	return nil
}

// pays checks the participant that was found for the event's subject.
func (s *sequencer) pays(r *Request, e *meter.Event, p payer) *refusal.Refusal {
	if p.ref == nobodyRef {
		return refusal.New(refusal.NotFound, "unknown_account", "there is no account %s", r.batch.Bytes(e.Subject))
	}
	if p.kind != ledger.Customer {
		return refusal.New(refusal.Invalid, "not_a_customer", "account %s is no customer", r.batch.Bytes(e.Subject))
	}
	return s.state.checkOpen(p.ref)
}

// price resolves the event's shape and rates it into rec and amounts. An event without
// a price is kept as it came.
func (s *sequencer) price(r *Request, e *meter.Event) (*rateSlot, *refusal.Refusal) {
	rec, st, shared := &s.rec, s.state, r.batch.ShapeOf(e)
	rec.components = int(shared.Components)
	for i := range rec.components {
		rec.quantities[i] = r.batch.Quantity(e, i)
	}
	rec.extras, rec.raw, rec.reason, rec.counted = nil, nil, priced, 0
	raw := r.batch.Bytes(shared.Bytes)
	version := st.rates.book.InForce(rec.time)
	if version == nil {
		rec.reason, rec.raw = noVersion, raw
		return nil, nil
	}
	slot, fresh := s.shape(rec, s.ahead.shapes[e.Shape], shared.Hash, raw, version)
	if rec.reason != priced {
		rec.raw = raw
		return slot, nil
	}
	if refused := st.rate(slot, rec, &s.amounts, st.ledger.Window()); refused != nil {
		return nil, refused
	}
	rec.version = version.Index
	if fresh != nil {
		return slot, s.intern(rec, fresh, shared.Hash, raw)
	}
	return slot, nil
}

// shape finds the price slot for shape bytes (n is their number if they were interned when
// the request began; unknownShape if nobody looked) and sets the record's shape, extras and
// reason. The usual case is one look-up; a shape that is not interned is returned as
// well, to be interned once nothing can refuse the event any more.
func (s *sequencer) shape(rec *eventRecord, n uint32, hash uint64, raw []byte, v *meter.Version) (*rateSlot, *meter.Shape) {
	st := s.state
	currency := st.payer(rec).currency
	ok := n != unknownShape
	if !ok {
		n, ok = st.rates.lookup(hash, raw) // an earlier event of the request may have brought it
	}
	if !ok {
		if w := st.rates.wide[hash]; w != nil && w.raw == string(raw) {
			n, rec.extras, ok = w.shape, w.extras, true
		}
	}
	if ok {
		slot := st.slot(n, v, currency)
		rec.shape, rec.reason = n, slot.reason
		return slot, nil
	}
	shape, err := meter.ParseShape(raw)
	if err != nil {
		panic("BUG: a batch holds a shape that does not parse")
	}
	slot := st.resolve(&shape, v, currency)
	rec.reason = slot.reason
	return &slot, &shape
}

// intern gives what counts of a priced shape a number and remembers how the whole splits.
// Shapes without a price are never interned: they could be anything a client makes up.
func (s *sequencer) intern(rec *eventRecord, shape *meter.Shape, hash uint64, raw []byte) *refusal.Refusal {
	st := s.state
	kept, extras := st.splitShape(shape)
	bytes := kept.Append(nil)
	n, ok := st.rates.lookup(st.hashOf(bytes), bytes)
	if !ok {
		if len(st.shapes) >= shapesMax {
			return refusal.New(refusal.Invalid, "too_many_shapes",
				"this ledger has seen %d combinations of meter, components and dimensions and takes no more", shapesMax)
		}
		s.command(kindShape, bytes)
		var err error
		if n, err = st.applyShape(string(bytes)); err != nil {
			panic("BUG: a shape does not parse after splitting")
		}
	}
	if len(extras) > 0 {
		if len(st.rates.wide) >= wideMax {
			clear(st.rates.wide)
		}
		w := &wideShape{raw: string(raw), shape: n, extras: appendExtras(nil, extras)}
		st.rates.wide[hash], rec.extras = w, w.extras
	}
	rec.shape = n
	return nil
}

// source returns the number of a source, interning it first if there is room; 0: spell it out.
func (s *sequencer) source(name []byte) uint32 {
	recent := &s.recentSources[sourceSlot(name)]
	if n := *recent; n != 0 && string(s.state.sources[n]) == string(name) {
		return n
	}
	if n, ok := s.state.sourceID[string(name)]; ok {
		*recent = n
		return n
	}
	if len(s.state.sources) >= sourcesMax {
		return 0
	}
	s.command(kindSource, name)
	return s.state.applySource(append([]byte(nil), name...))
}

// recentSources is how many sources are found without a map: a ledger has few that send at a time.
const recentSources = 256

// sourceSlot mixes the end of a name, in which those of a fleet differ.
func sourceSlot(name []byte) uint8 {
	h := uint32(len(name))
	for _, c := range name[max(0, len(name)-4):] {
		h = h*31 + uint32(c)
	}
	return uint8(h ^ h>>8)
}

// background does what is due between groups: a bounded part of running snapshots, the
// timer, window closes that can go on.
func (s *sequencer) background() {
	s.state.collect(snapshotStep)
	s.stepCheckpoint()
	s.timer()
	s.watchPositions()
	s.introduceKey()
	s.closeNext()
	s.settle()
	s.tidyLater()
	s.retainLater()
}

// mono is monotonic time since the start, in nanoseconds; never 0.
func (e *Engine) mono() int64 {
	if e.o.Now != nil {
		return e.o.Now() + 1
	}
	return int64(time.Since(e.startMono)) + 1
}

// now is the wall clock at start plus monotonic time, in nanoseconds since the epoch.
func (e *Engine) now() int64 {
	if e.o.Now != nil {
		return e.o.Now()
	}
	return e.startWall + int64(time.Since(e.startMono))
}
