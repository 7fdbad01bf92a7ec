package engine

import (
	"fmt"

	"farthing/batch"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// statementRowsMax bounds the rows of usage of a statement: models are the clients' words. What
// is more is summed up in one row of each kind.
const statementRowsMax = 10_000

// Kinds of usage rows.
const (
	plainUsage = "usage"
	lateUsage  = "late"
)

// statementSum adds up what a window's commands moved on one account. It keeps sums and no
// commands, so its size depends on the kinds of usage alone. Beside the rows that are shown it
// keeps the gross figures by the ledger's rules: rows and figures have to agree with the line
// each for itself.
type statementSum struct {
	ref      ledger.Ref
	name     string
	operator bool
	view     statementView
	plans    map[earnerKey]*meter.Plan

	rows     map[statementKey]*statementRow
	order    []*statementRow
	sections map[itemKey]*statementItem
	seq      uint64 // of the command being added
	gross    struct{ debits, credits money.Amount }
	total    money.Amount // of all rows and items
	events   uint64
	overflow bool
}

// statementKey names a row of usage.
type statementKey struct {
	kind, meter, model, component string
	hasModel, rest                bool
}

type statementRow struct {
	statementKey
	events   uint64
	quantity money.Amount // millionths
	amount   money.Amount
}

// section is a part of a statement that has items.
type section uint8

const (
	sectionFees section = iota
	sectionLosses
	sectionCredits
	sectionCharges
	sectionReturned
)

type itemKey struct {
	section section
	reason  string
}

// statementItem is an item, and the command that it counted last: one that takes from several
// sources is one.
type statementItem struct {
	StatementItem
	seq uint64
}

// statementRating is one rating of a command: posted, or taken back.
type statementRating struct {
	event  *eventRecord
	kind   string
	reason string // of the fee's and the loss's items: "fee", "void_fee" …
	back   bool
	counts bool // as an event in its row
}

func newStatementSum(ref ledger.Ref, p *ledger.Participant) *statementSum {
	return &statementSum{ref: ref, name: p.ID, operator: p.Kind == ledger.Operator, plans: map[earnerKey]*meter.Plan{},
		rows: map[statementKey]*statementRow{}, sections: map[itemKey]*statementItem{}}
}

// add adds b to a; an overflow is noted and found at the end.
func (s *statementSum) add(a *money.Amount, b money.Amount) {
	if !addTo(a, b) {
		s.overflow = true
	}
}

// command adds what the current command moved.
func (s *statementSum) command(c *cursor) error {
	s.seq = c.seq
	switch {
	case c.isEvent():
		if c.event.reason != priced {
			return nil
		}
		return s.event(c, statementRating{event: &c.event, kind: plainUsage, counts: true})
	case c.kind == kindAmend:
		return s.amendment(c)
	case c.kind == kindClosing:
		return nil // of the window before; the line says what closes this one
	}
	for _, leg := range s.view.legs(c) {
		s.transfer(leg)
	}
	return nil
}

// event adds a rating that counts among the events of the line.
func (s *statementSum) event(c *cursor, r statementRating) error {
	if c.t.people[r.event.account].Root == s.ref {
		s.events++
	}
	return s.rating(c, r)
}

func (s *statementSum) amendment(c *cursor) error {
	a, err := c.amendment()
	if err != nil {
		return err
	}
	if a.op == amendRated {
		return s.event(c, statementRating{event: &a.new, kind: lateUsage, counts: true})
	}
	kind := "rerate"
	if a.op == amendVoid {
		kind = "void"
	}
	if a.old.reason == priced {
		r := statementRating{event: &a.old, kind: kind, reason: kind + "_", back: true, counts: !a.op.rates()}
		if err := s.rating(c, r); err != nil {
			return err
		}
	}
	if !a.op.rates() {
		return nil
	}
	return s.rating(c, statementRating{event: &a.new, kind: kind, reason: kind + "_", counts: true})
}

// rating adds one rating as the ledger posted it: the payer is debited what was not lost, the
// payee has the amount without the fee, the operator the fee.
func (s *statementSum) rating(c *cursor, r statementRating) error {
	e := r.event
	who := s.view.earners.of(e, c.t)
	fee, lost := who.feeOf(e.amount), e.split.Lost
	switch {
	case c.t.people[e.account].Root == s.ref:
		s.item(sectionLosses, r.reason+"loss", lost)
		s.moved(e.amount.MustSub(lost).Neg())
		return s.parts(c, r, true)
	case s.operator:
		s.item(sectionLosses, r.reason+"loss", lost.Neg())
		if who.payee == s.ref {
			s.earned(e.amount, lost)
			return s.parts(c, r, false)
		}
		s.item(sectionFees, r.reason+"fee", fee)
		s.earned(fee, lost)
	case who.payee == s.ref:
		s.item(sectionFees, r.reason+"fee", fee.Neg())
		s.moved(e.amount.MustSub(fee))
		return s.parts(c, r, false)
	}
	return nil
}

// moved adds to the gross figures.
func (s *statementSum) moved(amount money.Amount) {
	if amount.Sign() > 0 {
		s.add(&s.gross.credits, amount)
	} else {
		s.add(&s.gross.debits, amount.Neg())
	}
}

// earned adds to the operator's gross what it earned and lost of one rating. As far as its
// loss covers its own earning, that is a move inside one participant.
func (s *statementSum) earned(amount, lost money.Amount) {
	own := amount
	if lost.Abs().Cmp(amount.Abs()) < 0 {
		own = lost
	}
	s.moved(amount.MustSub(own))
	s.moved(own.MustSub(lost))
}

// parts adds the components of a rating to their rows.
func (s *statementSum) parts(c *cursor, r statementRating, paid bool) error {
	e := r.event
	var amounts ratingAmounts
	if err := s.amounts(c, r, &amounts); err != nil {
		return err
	}
	shape := &c.t.shapes[e.shape].shape
	key := statementKey{kind: r.kind, meter: shape.Type}
	key.model, key.hasModel = modelOf(shape.Dimensions)
	if !key.hasModel && len(e.extras) > 0 {
		key.model, key.hasModel = modelOf(parseExtras(e.extras))
	}
	for i, name := range shape.Components {
		key.component = name
		row := s.row(key)
		quantity, amount := money.FromWords(0, uint64(e.quantities[i])), amounts[i]
		if r.back {
			quantity = quantity.Neg()
		}
		if paid {
			amount = amount.Neg()
		}
		if r.counts {
			row.events++
		}
		s.add(&row.quantity, quantity)
		s.add(&row.amount, amount)
		s.add(&s.total, amount)
	}
	return nil
}

func modelOf(dims []meter.Dimension) (string, bool) {
	for i := range dims {
		if dims[i].Key == "model" {
			return dims[i].Value, true
		}
	}
	return "", false
}

// row finds or makes a row; when there are too many, it is the one that sums up the rest.
func (s *statementSum) row(k statementKey) *statementRow {
	row := s.rows[k]
	if row == nil && len(s.rows) >= statementRowsMax {
		k = statementKey{kind: k.kind, rest: true}
		row = s.rows[k]
	}
	if row == nil {
		row = &statementRow{statementKey: k}
		s.rows[k] = row
		s.order = append(s.order, row)
	}
	return row
}

// amounts derives what each component of a rating came to. They have to add up to what was
// booked.
func (s *statementSum) amounts(c *cursor, r statementRating, amounts *ratingAmounts) error {
	e := *r.event
	plan, err := s.plan(&e, c)
	if err != nil {
		return err
	}
	rate := plan.Rate
	if r.back {
		rate = plan.Reverse
	}
	sum, refused := rate(&e.quantities, &e.before, amounts)
	if refused != nil {
		return fmt.Errorf("sequence %d: %w", c.seq, refused)
	}
	e.amount = sum
	if !c.t.shift(&e, amounts, r.back) || e.amount != r.event.amount {
		return fmt.Errorf("sequence %d: its components do not add up to %s", c.seq, r.event.amount)
	}
	return nil
}

func (s *statementSum) plan(e *eventRecord, c *cursor) (*meter.Plan, error) {
	key := earnerKey{e.version, e.shape, c.t.people[e.account].Currency}
	if p := s.plans[key]; p != nil {
		return p, nil
	}
	version := c.t.versions[e.version].Version
	plan, none := version.Plan(&c.t.shapes[e.shape].shape, key.currency)
	if none != meter.Planned {
		return nil, fmt.Errorf("sequence %d was rated with version %s, which does not price it", c.seq, version.ID)
	}
	s.plans[key] = &plan
	return &plan, nil
}

// transfer adds a transfer that is no event's.
func (s *statementSum) transfer(t EventTransfer) {
	amount := t.Amount
	switch {
	case t.Debit == t.Credit:
		return // inside one participant
	case t.Debit == s.name:
		amount = amount.Neg()
	case t.Credit != s.name:
		return
	}
	switch {
	case isResult(t.Reason):
		s.item(sectionReturned, t.Reason, amount)
		return
	case amount.Sign() < 0:
		s.item(sectionCharges, t.Reason, amount)
	default:
		s.item(sectionCredits, t.Reason, amount)
	}
	s.moved(amount)
}

// isResult reports whether a transfer is one of a line's result, which is no gross.
func isResult(reason string) bool {
	return reason == ResultFailed.String() || reason == ResultReturned.String()
}

// item adds to an item; nothing is no item.
func (s *statementSum) item(in section, reason string, amount money.Amount) {
	if amount.IsZero() {
		return
	}
	k := itemKey{in, reason}
	item := s.sections[k]
	if item == nil {
		item = &statementItem{StatementItem: StatementItem{Reason: reason}}
		s.sections[k] = item
	}
	if item.seq != s.seq {
		item.seq = s.seq
		item.Count++
	}
	s.add(&item.Amount, amount)
	s.add(&s.total, amount)
}

// check compares the sums with the line.
func (s *statementSum) check(l *batch.Line) error {
	returned, closing := money.Amount{}, l.CarriedIn
	for k, item := range s.sections {
		if k.section == sectionReturned {
			s.add(&returned, item.Amount)
		}
	}
	s.add(&closing, s.total)
	s.add(&closing, l.Signed().Neg())
	differ := func(what string, derived, booked any) error {
		return fmt.Errorf("line %d: %s is %v, the commands of the window make %v", l.Line, what, booked, derived)
	}
	switch {
	case s.overflow:
		return fmt.Errorf("line %d: a sum is out of range", l.Line)
	case s.gross.debits != l.GrossDebits:
		return differ("gross_debits", s.gross.debits, l.GrossDebits)
	case s.gross.credits != l.GrossCredits:
		return differ("gross_credits", s.gross.credits, l.GrossCredits)
	case returned != l.Returned:
		return differ("returned", returned, l.Returned)
	case s.events != l.Events:
		return differ("events", s.events, l.Events)
	case closing != l.CarriedOut:
		return differ("carried_out", closing, l.CarriedOut)
	}
	return nil
}
