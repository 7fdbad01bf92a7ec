package engine

import (
	"errors"
	"fmt"
	"sort"

	"farthing/journal"
	"farthing/meter"
	"farthing/refusal"
)

// repriceSlice is how many events one visit to the sequencer rates anew, at most half a
// millisecond of it: ingest goes on between visits.
const repriceSlice = 256

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
	if err := errors.Join(e.rateUnpriced(), e.runRerates()); err != nil && !errors.Is(err, errStopped) {
		e.damaged(err) // logged; the next start or version tries again
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
	p := repricing{e: e, version: version, from: job.from, to: job.to, upTo: job.begun, job: number, post: true, stopped: e.repriceStopping}
	if err := p.run(); err != nil {
		return fmt.Errorf("rerate %s: %w", job.id, err)
	}
	var left uint64
	e.internal(func(s *sequencer) {
		if left = job.lifted; left != 0 {
			return
		}
		s.command(kindRerated, job.append(nil))
		if err := s.state.applyRerated(number); err != nil {
			panic("BUG: " + err.Error())
		}
	})
	if left != 0 {
		return fmt.Errorf("rerate %s: %d events were taken back and cannot be rated anew", job.id, left)
	}
	return nil
}

// applyRerated ends a rerate.
func (s *state) applyRerated(n uint32) error {
	if int(n) >= len(s.rerates) || s.rerates[n].done != 0 || s.rerates[n].lifted != 0 {
		return fmt.Errorf("a rerate ends that is not under way or has events left")
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
	from, to int64  // event times, to exclusive
	upTo     uint64 // sequence of the last command to look at
	always   bool   // under the version whatever the book says, unpriced events too
	post     bool
	job      uint32 // when posting
	stopped  func() bool
	progress func(done, total uint64) error // may be nil; an error stops

	// What a rehearsal counted instead of the counters, and what it found.
	overlay  map[counterKey]int64
	outcomes []outcome
	found    func(*outcome)
	refused  uint64 // events that the version does not price
	counted  bool   // some event counts in a period: there is a second pass
	told     uint64 // the progress told last
}

// outcome is what one event comes to. Amounts are by the shape's components.
type outcome struct {
	event      *eventRecord
	components []meter.PlanComponent
	was, would ratingAmounts
	second     bool // the event was told of before
}

// run goes over the events: once, and where quantities of a period count a second time for
// what was lifted the first.
func (p *repricing) run() error {
	if !p.post {
		p.overlay = map[counterKey]int64{}
	}
	if err := p.walk(false); err != nil {
		return err
	}
	if p.post { // a rerate before a crash may have lifted events that this one did not meet
		p.e.internal(func(s *sequencer) { p.counted = s.state.rerates[p.job].lifted > 0 })
	}
	if !p.counted {
		return nil
	}
	return p.walk(true)
}

var errEnough = errors.New("enough")

func (p *repricing) walk(second bool) error {
	first, err := p.start()
	if err != nil {
		return err
	}
	t := p.e.published.Load()
	book := bookOf(t)
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
			if !p.always && !second && book.InForce(cur.event.time) != p.version.Version {
				continue // another version's: no need to ask
			}
			slice = append(slice, standing{origin: cur.seq, last: cur.seq, event: cur.event.clone()})
			if len(slice) == repriceSlice {
				if err := p.slice(slice, second); err != nil {
					return err
				}
				slice = slice[:0]
			}
		}
		if err := cur.err(); err != nil {
			return err
		}
		return p.tell(b.Last, second)
	})
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	return p.slice(slice, second)
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
	seq := sort.Search(int(p.upTo), func(i int) bool {
		b, err := p.e.store.BlockAt(uint64(i) + 1)
		if err != nil {
			failed = err
			return true
		}
		return b.Time >= p.from-int64(aheadMax)
	})
	return uint64(seq) + 1, failed
}

// tell reports progress over both passes.
func (p *repricing) tell(seq uint64, second bool) error {
	if p.stopped() {
		return errStopped
	}
	if p.progress == nil {
		return nil
	}
	done := min(seq, p.upTo)
	if p.counted {
		if done /= 2; second {
			done += p.upTo / 2
		}
	}
	p.told = max(p.told, done) // that there is a second pass shows only on the way
	return p.progress(p.told, p.upTo)
}

// slice rates a slice of events anew: those that still stand as they were booked at once,
// the amended ones after reading how they stand.
func (p *repricing) slice(list []standing, second bool) error {
	blocks := blockReader{e: p.e}
	for len(list) > 0 {
		if p.stopped() {
			return errStopped
		}
		var moved []standing
		p.outcomes = p.outcomes[:0]
		p.e.internal(func(s *sequencer) {
			s.state.counters.overlay = p.overlay
			for i := range list {
				if last, _ := s.state.amends.last(list[i].origin); last != list[i].last {
					moved = append(moved, standing{last: last})
					continue
				}
				p.one(s, &list[i], second)
			}
			s.state.counters.overlay = nil
		})
		for i := range p.outcomes {
			p.found(&p.outcomes[i])
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
func (p *repricing) one(s *sequencer, st *standing, second bool) {
	e := &st.event
	switch {
	case st.op == amendVoid:
		return
	case !p.always && e.reason == priced && e.version == p.version.Version.Index:
		return // it stands under this version
	case !p.always && e.reason != priced && e.reason != lifted:
		return // unpriced ones are rated on their own
	case !p.always && e.reason != lifted && s.state.rates.book.InForce(e.time) != p.version.Version:
		return // another version's
	}
	a := st.amend(amendRerated)
	a.job = p.job
	var w amendWork
	_, refused := s.resolveAmendment(a, &w, p.version.Version)
	if refused == nil {
		if p.always {
			w.window = w.ratedIn
		}
		if !second {
			trial := *a
			refused = s.state.rateAmendment(&trial, &w)
		}
	}
	if refused != nil {
		if !second {
			p.refused++
		}
		return
	}
	counted := w.newSlot.plan.Counted != 0 || (w.oldSlot != nil && w.oldSlot.plan.Counted != 0)
	if !p.always && !counted && e.reason == priced && w.unchanged() {
		return // nothing would move
	}
	p.counted = p.counted || counted || e.reason == lifted
	if p.post {
		p.postOne(s, st, a, counted, second)
	} else if counted || !second {
		p.rehearse(s, a, &w, counted, second)
	}
}

// postOne posts the first or the second half of a counted event, or the whole of another.
func (p *repricing) postOne(s *sequencer, st *standing, a *amendment, counted, second bool) {
	var refused *refusal.Refusal
	switch isLifted := st.event.reason == lifted; {
	case second && isLifted:
		refused = s.amend(a)
	case second || isLifted:
	case counted:
		lift := st.amend(amendLifted)
		lift.job = p.job
		refused = s.amend(lift)
	default:
		refused = s.amend(a)
	}
	if refused != nil {
		s.e.o.Logger.Error("a rerate leaves an event as it stands", "sequence", st.origin, "reason", refused.Reason)
	}
}

// rehearse finds what postOne would post, and counts it in the overlay.
func (p *repricing) rehearse(s *sequencer, a *amendment, w *amendWork, counted, second bool) {
	st := s.state
	e := a.new
	out := outcome{event: &e, components: w.newSlot.plan.Components, second: second}
	newSlot := w.newSlot
	if counted && !second {
		w.newSlot = nil // lifted only
	}
	if second {
		w.oldSlot = nil
	}
	if st.rateAmendment(a, w) != nil {
		return // told of in the first pass
	}
	if w.oldSlot != nil {
		st.uncount(w.oldSlot, &a.old, w.ratedIn)
		for i := range e.components {
			out.was[i] = w.oldAmounts[i].Neg()
		}
	}
	if w.newSlot != nil {
		st.count(newSlot, &a.new, w.window)
		out.would = w.newAmounts
	}
	p.outcomes = append(p.outcomes, out)
}
