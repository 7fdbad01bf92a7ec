package engine

import (
	"fmt"

	"farthing/ledger"
)

// applyChange applies a command that changes what earlier events cost, or that begins or
// ends such changes.
func (p *replayer) applyChange(kind byte, r *reader) error {
	switch kind {
	case kindAmend:
		return p.applyAmendment(r)
	case kindRerate:
		return p.applyRerate(r)
	default: // kindRerated
		return p.applyRerated(r)
	}
}

// applyAmendment computes an amendment anew and compares with what the journal says it moved.
func (p *replayer) applyAmendment(r *reader) error {
	var said amendment
	r.amendment(&said, p.cur.t)
	if err := r.end(); err != nil {
		return err
	}
	a := said
	a.old.split, a.new.split = ledger.Split{}, ledger.Split{}
	a.old.later, a.new.later = nil, nil // their own
	w, err := p.checkAmendment(&a)
	if err != nil {
		return fmt.Errorf("amendment of sequence %d: %w", a.origin, err)
	}
	if refused := p.state.rateAmendment(&a, w); refused != nil {
		return fmt.Errorf("amendment of sequence %d: %w", a.origin, refused)
	}
	p.state.applyAmendment(&a, w)
	for _, half := range [...]struct {
		name      string
		said, got *eventRecord
	}{{"taken back", &said.old, &a.old}, {"charged", &said.new, &a.new}} {
		if half.said.amount != half.got.amount || !half.said.split.Equal(&half.got.split) || counterText(half.said) != counterText(half.got) {
			return fmt.Errorf("amendment of sequence %d: the journal says %s was %s (%s with paid credit), its price and counters make %s (%s)", a.origin,
				half.said.amount, half.name, half.said.split.Paid, half.got.amount, half.got.split.Paid)
		}
	}
	return nil
}

// checkAmendment checks that an amendment follows what stands, and resolves its prices.
func (p *replayer) checkAmendment(a *amendment) (*amendWork, error) {
	s, e := p.state, &a.old
	if a.origin < 2 || a.prev < a.origin || a.origin >= s.seq {
		return nil, fmt.Errorf("it amends sequence %d of an event at %d", a.prev, a.origin)
	}
	last, op := s.amends.last(a.origin)
	_, onList := s.unpriced.find(a.origin)
	switch {
	case s.people[e.account].Kind != ledger.Customer:
		return nil, fmt.Errorf("account %s is no customer", s.people[e.account].ID)
	case last != a.prev || op == amendVoid:
		return nil, fmt.Errorf("it amends sequence %d, the event stands at %d", a.prev, last)
	case onList != (e.reason != priced), (a.op == amendRated) != onList && a.op != amendVoid:
		return nil, fmt.Errorf("an event cannot become this from what it is (%q)", e.reason)
	case a.op == amendVoid && s.voids[a.id] != nil:
		return nil, fmt.Errorf("void %q is booked twice", a.id)
	case a.op == amendRerated && !s.ofRerate(a):
		return nil, fmt.Errorf("it belongs to no rerate under way")
	}
	w := &amendWork{window: s.ledger.Window(), ratedIn: s.windowOf(a.prev)}
	currency := s.people[e.account].Currency
	if e.reason == priced {
		w.takeOld(s.slotOf(e.shape, s.versions[e.version].Version, currency))
		if w.oldSlot.reason != priced {
			return nil, fmt.Errorf("its version never priced it: %s", w.oldSlot.reason)
		}
	}
	if a.op.rates() {
		v := s.versionFor(a)
		if v == nil || v.Index != a.new.version {
			return nil, fmt.Errorf("it was rated with another price version than the book says")
		}
		if w.takeNew(s.slotOf(a.new.shape, v, currency)); w.newSlot.reason != priced {
			return nil, fmt.Errorf("it has no price: %s", w.newSlot.reason)
		}
	}
	return w, nil
}

// ofRerate reports whether a rerate under way rates the event of an amendment.
func (s *state) ofRerate(a *amendment) bool {
	if int(a.job) >= len(s.rerates) {
		return false
	}
	j, e := s.rerates[a.job], &a.old
	return j.done == 0 && a.origin <= j.begun && e.time >= j.from && e.time < j.to && j.book.InForce(e.time) == s.versions[j.version].Version
}

func (p *replayer) applyRerate(r *reader) error {
	job := r.rerate()
	if err := r.end(); err != nil {
		return err
	}
	if int(job.version) >= len(p.state.versions) {
		return fmt.Errorf("rerate %q names no version", job.id)
	}
	if _, there := p.state.rerateID[job.id]; there {
		return fmt.Errorf("rerate %q begins twice", job.id)
	}
	if refused := p.state.checkRerate(job); refused != nil {
		return fmt.Errorf("rerate %q: %w", job.id, refused)
	}
	p.state.applyRerate(job)
	return nil
}

func (p *replayer) applyRerated(r *reader) error {
	job := r.rerate()
	if err := r.end(); err != nil {
		return err
	}
	n, ok := p.state.rerateID[job.id]
	if !ok || !p.state.rerates[n].same(job) {
		return fmt.Errorf("rerate %q ends that never began", job.id)
	}
	return p.state.applyRerated(n)
}
