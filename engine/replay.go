package engine

import (
	"fmt"

	"github.com/zeebo/xxh3"

	"farthing/journal"
	"farthing/ledger"
	"farthing/meter"
)

// replayer applies durable blocks: to the state what it has not seen yet, and to the
// caller's hooks whatever they ask for. It is the same code for a restart and for verify.
type replayer struct {
	state *state
	cur   cursor
	// identity is told of every event's identity, its hash and its content.
	identity func(hash uint64, id []byte, s seen) error
	// after is called after each command; the state is as of it when the command is newer.
	after func(c *cursor) error
	// closing and beforeSeal, if set, see these commands before they are applied.
	closing    func(*closingSlice) error
	beforeSeal func(sealCommand) error

	scratch []byte
	amounts ratingAmounts
}

// block applies the commands of a block.
func (p *replayer) block(b *journal.Block) (err error) {
	defer func() { refuseBroken(recover(), &err, "sequence %d", p.cur.seq) }()
	p.cur.reset(b.Body, b.First, b.Time, &p.state.tables)
	for p.cur.next() {
		if p.cur.seq > p.state.seq {
			p.state.seq, p.state.time = p.cur.seq, b.Time
			if err := p.apply(); err != nil {
				return fmt.Errorf("sequence %d: %w", p.cur.seq, err)
			}
		}
		if p.identity != nil {
			if err := p.tellIdentities(); err != nil {
				return err
			}
		}
		if err := p.after(&p.cur); err != nil {
			return err
		}
	}
	if err := p.cur.err(); err != nil {
		return err
	}
	if p.cur.seq != b.Last {
		return fmt.Errorf("sequence %d: the block ends at %d, its commands at %d", b.First, b.Last, p.cur.seq)
	}
	return nil
}

// refuseBroken makes an error of a panic over bytes from the disk. Commands and checkpoints that decode, and that no sequencer could have
// written, run into assertions made for the sequencer; here it is the disk that is wrong, and who starts is told where.
func refuseBroken(panicked any, err *error, where string, args ...any) {
	if panicked != nil {
		*err = fmt.Errorf("%s: %w: it contradicts what came before: %v", fmt.Sprintf(where, args...), journal.ErrCorrupt, panicked)
	}
}

// apply applies the current command to the state.
func (p *replayer) apply() error {
	c, s := &p.cur, p.state
	if len(s.following) > 0 && s.following[0].kind() != c.kind {
		return fmt.Errorf("what follows from the command before is missing")
	}
	if c.isEvent() {
		return p.applyEvent(&c.event)
	}
	r := reader{p: c.payload}
	switch c.kind {
	case kindGenesis:
		return fmt.Errorf("a second genesis")
	case kindSource:
		s.applySource(append([]byte(nil), c.payload...))
		return nil
	case kindShape:
		_, err := s.applyShape(string(c.payload))
		return err
	case kindAccount:
		return p.applyAccount(&r)
	case kindPrices:
		return p.applyPrices(&r)
	case kindTopUp:
		return p.applyTopUp(&r)
	case kindCut, kindClosing, kindSeal, kindKey:
		return p.applySettlement(c.kind, &r)
	case kindBase:
		return p.applyBase(&r)
	case kindAmend, kindRerate, kindRerated:
		return p.applyChange(c.kind, &r)
	case kindForget:
		return s.applyForget(c.payload)
	case kindHold, kindExtend, kindCapture, kindRelease, kindExpire:
		return p.applyHolds(c.kind, c.payload)
	default:
		return p.applyBooking(c.kind, c.payload)
	}
}

// applySettlement applies what closes a window, and the key that signs.
func (p *replayer) applySettlement(kind byte, r *reader) (err error) {
	s := p.state
	switch kind {
	case kindCut:
		cut := r.cut()
		if s.pending != nil || cut.window != s.ledger.Window() {
			return fmt.Errorf("cut of window %d is out of order", cut.window)
		}
		s.applyCut(cut)
	case kindClosing:
		if slice := r.closing(); !r.bad {
			err = p.applyClosing(slice)
		}
	case kindSeal:
		if seal := r.seal(); !r.bad {
			err = p.applySeal(seal)
		}
	case kindKey:
		if public := r.key(); !r.bad {
			err = s.applyKey(public)
		}
	}
	if err != nil {
		return err
	}
	return r.end()
}

func (p *replayer) applyClosing(c *closingSlice) error {
	if p.closing != nil {
		if err := p.closing(c); err != nil {
			return err
		}
	}
	return p.state.applyClosing(c)
}

func (p *replayer) applySeal(c sealCommand) error {
	if p.beforeSeal != nil {
		if err := p.beforeSeal(c); err != nil {
			return err
		}
	}
	for i := range c.batches {
		if err := p.state.checkSigner(&c.batches[i]); err != nil {
			return err
		}
	}
	p.state.dropSnapshot()
	return p.state.applySeal(c)
}

// The checks below are the sequencer's own: a journal that says what no sequencer would
// have written is refused by name, not believed.

func (p *replayer) applyAccount(r *reader) error {
	person := r.participant()
	if err := r.end(); err != nil {
		return err
	}
	if refused := checkParticipant(person); refused != nil {
		return fmt.Errorf("account %q: %w", person.ID, refused)
	}
	if _, there := p.state.findAccount([]byte(person.ID)); there {
		return fmt.Errorf("account %s is created twice", person.ID)
	}
	if refused := p.state.checkParent(person); refused != nil {
		return fmt.Errorf("account %q: %w", person.ID, refused)
	}
	p.state.applyAccount(person)
	return nil
}

func (p *replayer) applyTopUp(r *reader) error {
	u := r.topUp()
	if err := r.end(); err != nil {
		return err
	}
	if int(u.account) >= len(p.state.people) || p.state.topUps[u.id] != nil {
		return fmt.Errorf("top-up %q is of no account or booked twice", u.id)
	}
	if refused := p.state.checkTopUp(u); refused != nil {
		return fmt.Errorf("top-up %q: %w", u.id, refused)
	}
	p.state.applyTopUp(u)
	return nil
}

func (p *replayer) applyPrices(r *reader) error {
	id, body := r.str(), r.bytes()
	if err := r.end(); err != nil {
		return err
	}
	if p.state.byVersion[id] != nil {
		return fmt.Errorf("price version %s is put twice", id)
	}
	v, refused := meter.ReadVersion(id, body)
	if refused == nil {
		refused = p.state.checkVersion(v, nil)
	}
	if refused != nil {
		return fmt.Errorf("price version %q: %w", id, refused)
	}
	p.state.applyPrices(v)
	return nil
}

// applyEvent rates the event anew and compares with what the journal says came of it.
func (p *replayer) applyEvent(e *eventRecord) error {
	s := p.state
	if s.people[e.account].Kind != ledger.Customer {
		return fmt.Errorf("event %s is charged to account %s, which is no customer", e.id, s.people[e.account].ID)
	}
	if err := p.checkHeld(e.hold, e.account); err != nil {
		return err
	}
	if e.reason != priced {
		if why := s.whyUnpriced(e); why != e.reason {
			return fmt.Errorf("event %s is kept as unpriced (%q), the book says %q", e.id, e.reason, why)
		}
		if len(e.split.Parts) > 0 || !e.split.Lost.IsZero() {
			return fmt.Errorf("event %s has no price and takes something", e.id)
		}
		s.applyEvent(e, nil, nil)
		return nil
	}
	v := s.rates.book.InForce(e.time)
	if v == nil || v.Index != e.version {
		return fmt.Errorf("event %s was rated with another price version than the book says", e.id)
	}
	slot := s.slot(e.shape, v, s.people[e.account].Currency)
	if slot.reason != priced {
		return fmt.Errorf("event %s has no price: %s", e.id, slot.reason)
	}
	amount, split := e.amount, e.split.Clone()
	before := counterText(e)
	if refused := s.rate(slot, e, &p.amounts, s.ledger.Window()); refused != nil {
		return fmt.Errorf("event %s: %w", e.id, refused)
	}
	if got := counterText(e); got != before {
		return fmt.Errorf("event %s: the journal counts from %s, the counters stand at %s", e.id, before, got)
	}
	if e.amount != amount {
		return fmt.Errorf("event %s: the journal says %s, its price makes %s", e.id, amount, e.amount)
	}
	s.applyEvent(e, slot, &p.amounts)
	if !e.split.Equal(&split) {
		return fmt.Errorf("event %s: the journal takes %s from paid credit, the books %s", e.id, split.Paid, e.split.Paid)
	}
	return nil
}

// whyUnpriced tells why the book does not price an event; priced: it does.
func (s *state) whyUnpriced(e *eventRecord) unpricedReason {
	v := s.rates.book.InForce(e.time)
	if v == nil {
		return noVersion
	}
	shape, err := meter.ParseShape(e.raw)
	if err != nil {
		return noPrice
	}
	slot := s.resolve(&shape, v, s.people[e.account].Currency)
	return slot.reason
}

// counterText is what an event counted from, for comparing and showing; empty when nothing counts.
func counterText(e *eventRecord) string {
	if e.counted == 0 {
		return ""
	}
	return string(appendCounters(nil, e))
}

// tellIdentities tells of the identities of the current command, their hashes and contents.
func (p *replayer) tellIdentities() error {
	return p.cur.identities(p.state.genesis.seed, &p.scratch, func(id []byte, content uint64) error {
		return p.identity(xxh3.HashSeed(id, p.state.genesis.seed), id, seen{p.cur.seq, content})
	})
}

// contentHash is the content hash of a journaled event: that of package meter's Event.
func contentHash(e *eventRecord, t *tables, seed uint64) uint64 {
	return meter.ContentHash([]byte(t.people[e.account].ID), e.shapeBytes(t), e.quantities[:e.components], seed)
}

// fullShape is the shape of a priced event with all its dimensions.
func fullShape(e *eventRecord, t *tables) meter.Shape {
	shape := t.shapes[e.shape].shape
	return shape.With(parseExtras(e.extras))
}

// balancedAt checks the books at the end of a group.
func balancedAt(l *ledger.Ledger, seq uint64) error {
	if err := l.Balanced(); err != nil {
		return fmt.Errorf("sequence %d: the books do not balance: %w", seq, err)
	}
	return nil
}
