package engine

import (
	"errors"
	"fmt"
	"sort"

	"farthing/journal"
	"farthing/meter"
)

// repriceSlice is how many events one visit to the sequencer rates anew, about half a
// millisecond of it: ingest goes on between visits.
const repriceSlice = 128

// pokeRepricer tells the repricer that there may be something to do.
func (e *Engine) pokeRepricer() {
	select {
	case e.repricePoke <- struct{}{}:
	default: // it was told already
	}
}

// repriceLoop is the repricer's goroutine: it rates unpriced events once a version prices
// them, and carries out rerates. It goes behind durable and posts through the ring like
// everybody else. It ends at a slice when told to stop; the next start goes on.
func (e *Engine) repriceLoop() {
	defer close(e.repriceDone)
	for e.o.world.stages != nil { // where nobody asks whether it is idle
		if !e.told(e.repricePoke, e.repriceStop) {
			return
		}
		e.reprice()
	}
	for {
		select {
		case <-e.repriceStop:
			return
		case <-e.repricePoke:
			e.reprice()
		case idle := <-e.repriceIdle:
			select {
			case <-e.repricePoke:
				e.reprice()
			default:
			}
			close(idle)
		}
	}
}

func (e *Engine) reprice() {
	for _, job := range [...]func() error{e.rateUnpriced, e.runRerates} {
		if err := job(); err != nil && !errors.Is(err, errStopped) {
			_ = e.damaged(err) // logged, and nobody waits for an answer; the next start or version tries again
		}
	}
}

var errStopped = errors.New("stopping")

func (e *Engine) repriceStopping() bool {
	select {
	case <-e.repriceStop:
		return true
	default:
		return false
	}
}

// rateUnpriced goes over the unpriced list once and rates what the book prices by now.
func (e *Engine) rateUnpriced() error {
	blocks := blockReader{e: e}
	for row, done := uint32(0), false; !done; {
		if e.repriceStopping() {
			return errStopped
		}
		var seqs []uint64
		e.internal(func(s *sequencer) {
			seqs, row, done = s.state.unpriced.scan(row, repriceSlice, usageVisit, s.state.ratable)
		})
		if err := e.rateLate(seqs, &blocks); err != nil {
			return err
		}
	}
	return nil
}

// rateLate rates a slice of unpriced events with the versions in force at their time. One
// that still has no price stays on the list.
func (e *Engine) rateLate(seqs []uint64, blocks *blockReader) error {
	if len(seqs) == 0 {
		return nil
	}
	list := make([]standing, 0, len(seqs))
	for _, seq := range seqs {
		st, err := blocks.standing(seq)
		if err != nil {
			return err
		}
		list = append(list, st)
	}
	e.internal(func(s *sequencer) {
		for i := range list {
			if _, open := s.state.unpriced.find(list[i].origin); open {
				_ = s.amend(list[i].amend(amendRated)) // refused: it stays as it is, and the list says why
			}
		}
	})
	return nil
}

// runRerates carries out the rerate that is under way, if there is one.
func (e *Engine) runRerates() error {
	var job *rerateJob
	var number uint32
	var version *PriceVersion
	e.internal(func(s *sequencer) {
		if n := len(s.state.rerates); n > 0 && s.state.rerates[n-1].done == 0 {
			number, job = uint32(n-1), s.state.rerates[n-1]
			version = s.state.versions[job.version]
		}
	})
	if job == nil {
		return nil
	}
	// Of the job only what never changes is read here.
	p := repricing{e: e, version: version, book: job.book, from: job.from, to: job.to, upTo: job.begun, job: number, post: true,
		stopped: e.repriceStopping}
	if err := p.run(); err != nil {
		return fmt.Errorf("rerate %s: %w", job.id, err)
	}
	e.internal(func(s *sequencer) {
		s.command(kindRerated, job.append(nil))
		if err := s.state.applyRerated(number); err != nil {
			panic("BUG: " + err.Error())
		}
	})
	return nil
}

// applyRerated ends a rerate.
func (s *state) applyRerated(n uint32) error {
	if int(n) >= len(s.rerates) || s.rerates[n].done != 0 {
		return fmt.Errorf("a rerate ends that is not under way")
	}
	s.rerates[n].done, s.rerates[n].doneTime = s.seq, s.time
	return nil
}

// repricing goes over the events of a stretch of time in the order of the journal and rates
// each anew, to post the difference or only to tell it. It belongs to one goroutine; its
// visits to the sequencer are short.
type repricing struct {
	e        *Engine
	version  *PriceVersion
	book     meter.Book // that decides which events are the version's
	from, to int64      // event times, to exclusive
	upTo     uint64     // sequence of the last command to look at
	always   bool       // under the version whatever the book says, unpriced events too
	post     bool
	job      uint32 // when posting
	stopped  func() bool
	progress func(done, total uint64) error // may be nil; an error stops

	// What a rehearsal counted instead of the counters, and what it found. In removed events
	// are only taken out: what that moves in all is what they cost now, whereas in overlay each
	// is rated anew at once, as a rerate does it, so that what they move together is right.
	overlay  map[counterKey][]count
	removed  map[counterKey][]count
	outcomes []outcome
	found    func(*outcome) error
	refused  uint64 // events that the version does not price
}

// outcome is what one event comes to. Amounts are by the shape's components.
type outcome struct {
	event      *eventRecord
	components []meter.PlanComponent
	was, would ratingAmounts
}

var errEnough = errors.New("enough")

// run goes over the events.
func (p *repricing) run() error {
	if !p.post {
		p.overlay, p.removed = map[counterKey][]count{}, map[counterKey][]count{}
	}
	first, err := p.start()
	if err != nil {
		return err
	}
	t := p.e.published.Load()
	var cur cursor
	var slice []standing
	err = p.e.store.Blocks(first, func(b *journal.Block) error {
		if b.First > p.upTo {
			return errEnough
		}
		cur.reset(b.Body, b.First, b.Time, t)
		for cur.next() && cur.seq <= p.upTo {
			if !cur.isEvent() || cur.event.time < p.from || cur.event.time >= p.to {
				continue
			}
			if !p.always && p.book.InForce(cur.event.time) != p.version.Version {
				continue
			}
			slice = append(slice, standing{origin: cur.seq, last: cur.seq, event: cur.event.clone()})
			if len(slice) == repriceSlice {
				if err := p.slice(slice); err != nil {
					return err
				}
				slice = slice[:0]
			}
		}
		if err := cur.err(); err != nil {
			return err
		}
		return p.tell(b.Last)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return p.slice(slice)
}

// bookOf is the price book as of published tables.
func bookOf(t *tables) (book meter.Book) {
	for _, v := range t.versions {
		book.Add(v.Version)
	}
	return book
}

// start finds the first block that can hold an event of the stretch: none is recorded more
// than aheadMax before its time.
func (p *repricing) start() (uint64, error) {
	var failed error
	base := p.e.store.Base().Seq
	seq := sort.Search(int(p.upTo-base), func(i int) bool {
		b, err := p.e.store.BlockAt(base + uint64(i) + 1)
		if err != nil {
			failed = err
			return true
		}
		return b.Time >= p.from-int64(aheadMax)
	})
	return base + uint64(seq) + 1, failed
}

// tell reports progress.
func (p *repricing) tell(seq uint64) error {
	if p.stopped() {
		return errStopped
	}
	if p.progress == nil {
		return nil
	}
	return p.progress(min(seq, p.upTo), p.upTo)
}

// slice rates a slice of events anew: those that still stand as they were booked at once,
// the amended ones after reading how they stand.
func (p *repricing) slice(list []standing) error {
	blocks := blockReader{e: p.e}
	for len(list) > 0 {
		if p.stopped() {
			return errStopped
		}
		var moved []standing
		p.outcomes = p.outcomes[:0]
		p.e.internal(func(s *sequencer) {
			s.state.counters.overlay = p.overlay
			defer func() { s.state.counters.overlay = nil }()
			for i := range list {
				if last, _ := s.state.amends.last(list[i].origin); last != list[i].last {
					moved = append(moved, standing{last: last})
					continue
				}
				p.one(s, &list[i])
			}
		})
		for i := range p.outcomes {
			if err := p.found(&p.outcomes[i]); err != nil {
				return err
			}
		}
		for i := range moved {
			st, err := blocks.standing(moved[i].last)
			if err != nil {
				return err
			}
			moved[i] = st
		}
		list = moved
	}
	return nil
}

// one rates one event anew, on the sequencer.
func (p *repricing) one(s *sequencer, st *standing) {
	e := &st.event
	switch {
	case st.op == amendVoid:
		return
	case !p.always && (e.reason != priced || e.version == p.version.Version.Index):
		return // unpriced ones are rated on their own; this one stands under the version
	}
	a := st.amend(amendRerated)
	a.job = p.job
	var w amendWork
	fresh, refused := s.resolveAmendment(a, &w, p.version.Version)
	if refused == nil {
		if p.always {
			w.window = w.ratedIn
		}
		refused = s.state.rateAmendment(a, &w)
	}
	switch {
	case refused != nil:
		p.refused++
	case !p.always && w.unchanged():
		// nothing would move
	case p.post:
		if s.book(a, &w, fresh) != nil {
			p.refused++
		}
	default:
		p.rehearsed(s.state, a, &w)
	}
}

// rehearsed notes what an amendment would make of an event, and counts it in the overlays.
func (p *repricing) rehearsed(s *state, a *amendment, w *amendWork) {
	e := a.new
	out := outcome{event: &e, components: w.newSlot.plan.Components, would: w.newAmounts}
	if w.oldSlot != nil {
		was, ok := p.cost(s, a, w)
		if !ok {
			p.refused++ // voided since it was counted: the rehearsal is of a moment ago
			return
		}
		for i := range e.components {
			// would − was is what the amendment moves: the new amount, and the old one taken back.
			out.was[i] = was[i].Neg()
			moved, ok := w.newAmounts[i].Add(w.oldAmounts[i])
			if ok {
				out.would[i], ok = out.was[i].Add(moved)
			}
			if !ok {
				p.refused++
				return
			}
		}
		s.count(w.oldSlot, &a.old, w.ratedIn, -1)
	}
	s.count(w.newSlot, &a.new, w.window, 1)
	p.outcomes = append(p.outcomes, out)
}

// cost is what taking the event out moves where events are only taken out.
func (p *repricing) cost(s *state, a *amendment, w *amendWork) (was ratingAmounts, ok bool) {
	s.counters.overlay = p.removed
	defer func() { s.counters.overlay = p.overlay }()
	old := a.old
	old.later = nil // its own
	if s.reverse(w.oldSlot, &old, &was, w.ratedIn) != nil {
		return was, false
	}
	s.count(w.oldSlot, &old, w.ratedIn, -1)
	return was, true
}
