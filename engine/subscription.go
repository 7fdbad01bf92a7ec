package engine

import (
	"encoding/binary"
	"math"
	"strconv"

	"farthing/ledger"
	"farthing/money"
	"farthing/period"
	"farthing/refusal"
)

// subscription is what a subscription began as; it never changes. What it is now is in its row.
type subscription struct {
	id      string
	account ledger.Ref
	cycle   period.Cycle // its anchor is the given one or that of the start
	starts  int64
	seq     uint64
	time    int64
}

// Bounds of subscriptions.
const (
	plansMax          = 1000 // of an account, that have not ended
	startsMax         = 10 * 366 * nanosPerDay
	carriedPeriodsMax = 100 // with it how many grants of one subscription are open
)

func (p *subscription) append(dst []byte) []byte {
	dst = appendRef(appendBytes(dst, p.id), p.account)
	dst = append(dst, byte(p.cycle.Unit), p.cycle.Anchor)
	dst = binary.AppendUvarint(dst, uint64(p.starts))
	dst = binary.AppendUvarint(dst, p.seq)
	return binary.AppendUvarint(dst, uint64(p.time))
}

// subscriptionInfo reads what append wrote. A cycle that is none does not decode: the calendar
// panics for it.
func (r *reader) subscriptionInfo() *subscription {
	p := &subscription{id: r.str(), account: r.ref(), cycle: period.Cycle{Unit: period.Unit(r.byte()), Anchor: r.byte()}, starts: int64(r.uvarint()),
		seq: r.uvarint(), time: int64(r.uvarint())}
	if p.cycle.Valid() != nil || p.starts < 0 {
		r.fail()
	}
	return p
}

// grantName is the id of what a period gives. No caller can give a grant such an id: # is in
// none of theirs.
func (p *subscription) grantName(number uint64) string {
	return p.id + "#" + strconv.FormatUint(number, 10)
}

// whole is the cycle's period that a time lies in. At the begin of 1970 there is none: then it
// begins there.
func (p *subscription) whole(at int64) (begin, end int64) {
	begin = max(0, at-32*nanosPerDay)
	for end = p.cycle.Next(begin); end <= at; end = p.cycle.Next(end) {
		begin = end
	}
	return begin, end
}

// share is the part of an amount for the time between two moments of one period: all of it
// for the whole one, else cut to the currency's minor units.
func (p *subscription) share(amount money.Amount, from, to int64, digits int) money.Amount {
	begin, end := p.whole(from)
	if to-from >= end-begin {
		return amount
	}
	return period.Prorate(amount, to-from, end-begin, digits)
}

// planTerms is what a subscription gives and costs in a period.
type planTerms struct {
	allowance, price money.Amount
	carried          money.Amount // how much of older grants lives on at a boundary
	periods          uint32       // for how many periods a grant lives on; 0: it does not
	priority         uint32
	scope            uint32 // its number; 0 in a command, which spells it out
}

func (t *planTerms) append(dst []byte) []byte {
	dst = t.carried.AppendBinary(t.price.AppendBinary(t.allowance.AppendBinary(dst)))
	dst = binary.AppendUvarint(dst, uint64(t.periods))
	dst = binary.AppendUvarint(dst, uint64(t.priority))
	return binary.AppendUvarint(dst, uint64(t.scope))
}

func (r *reader) planTerms() planTerms {
	return planTerms{allowance: r.amount(), price: r.amount(), carried: r.amount(), periods: r.uint32(), priority: r.uint32(), scope: r.uint32()}
}

// uint32 reads a number that has to fit: one that is cut would be another number.
func (r *reader) uint32() uint32 {
	n := r.uvarint()
	if n > math.MaxUint32 {
		r.fail()
	}
	return uint32(n)
}

// check bounds what a plan says, its scope excepted.
func (t *planTerms) check(s *state, account ledger.Ref) *refusal.Refusal {
	invalid := func(reason, format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.Invalid, reason, format, args...)
	}
	for _, a := range [...]money.Amount{t.allowance, t.price, t.carried} {
		if a.Sign() < 0 || a.Cmp(amountMax) > 0 {
			return invalid("invalid_amount", "allowance, price and rollover.max must be 0 to %s", amountMax)
		}
	}
	switch {
	case t.allowance.IsZero() && t.price.IsZero():
		return invalid("invalid_amount", "allowance and price cannot both be 0")
	case t.priority > grantPriorityMax:
		return invalid("invalid_priority", "priority must be at most %d", grantPriorityMax)
	case t.periods > carriedPeriodsMax || t.carried.IsZero() != (t.periods == 0):
		return invalid("invalid_periods", "rollover.periods must be 1 to %d", carriedPeriodsMax)
	case !s.ledger.Fits(s.people[account].Currency, t.allowance.MustAdd(t.price)):
		return overflow()
	}
	return nil
}

type planState uint8

const (
	planActive planState = iota
	planEnding           // no further period begins
	planEnded            // at once; one that is ending ends with its period, without a command
	numPlanStates
)

// planRow is a subscription's state.
type planRow struct {
	state      planState
	hasNext    bool
	plan       planTerms // of the current period; of the first one before it began
	next       planTerms // from the next period on if hasNext
	number     uint64    // of the current period, from 1; 0: not begun
	start, end int64     // of it
	grant      uint32    // that it gave, + 1; 0: none
	charged    money.Amount
	credited   money.Amount // of all periods that were cut short
}

func (p *planRow) append(dst []byte) []byte {
	dst = appendBool(append(dst, byte(p.state)), p.hasNext)
	dst = p.next.append(p.plan.append(dst))
	for _, n := range [...]uint64{p.number, uint64(p.start), uint64(p.end), uint64(p.grant)} {
		dst = binary.AppendUvarint(dst, n)
	}
	return p.credited.AppendBinary(p.charged.AppendBinary(dst))
}

func (r *reader) planRow() planRow {
	p := planRow{state: planState(r.byte()), hasNext: r.bool(), plan: r.planTerms(), next: r.planTerms(), number: r.uvarint(),
		start: int64(r.uvarint()), end: int64(r.uvarint()), grant: r.uint32(), charged: r.amount(), credited: r.amount()}
	if p.state >= numPlanStates {
		r.fail()
	}
	return p
}

// begins is the plan that the next period begins with.
func (p *planRow) begins() planTerms {
	if p.hasNext {
		return p.next
	}
	return p.plan
}

// enterPlan takes a subscription into the tables; its row has the same number.
func (s *state) enterPlan(p *subscription) {
	n := uint32(len(s.plans))
	s.plans = append(s.plans, p)
	s.planID[p.id] = n
	s.plansOf[p.account] = append(s.plansOf[p.account], n)
}

// schedulePlan puts a subscription's next period on the agenda.
func (s *state) schedulePlan(n uint32) {
	if at := s.nextPeriod(n); at != ledger.Never {
		s.agenda.add(at, duePeriod, n)
	}
}

// nextPeriod is when a subscription's next period begins; ledger.Never: there is none.
func (s *state) nextPeriod(n uint32) int64 {
	row, p := s.planRows.At(n), s.plans[n]
	switch {
	case row.state != planActive || s.marks(p.account)&markClosed != 0:
		return ledger.Never
	case row.number == 0:
		return p.starts
	}
	return row.end
}

// planStateAt is a subscription's state at a time.
func (s *state) planStateAt(n uint32, now int64) planState {
	row := s.planRows.At(n)
	if s.marks(s.plans[n].account)&markClosed != 0 || row.state == planEnding && now >= row.end {
		return planEnded
	}
	return row.state
}

// openPlans counts an account's subscriptions that have not ended.
func (s *state) openPlans(account ledger.Ref, now int64) (count int) {
	for _, n := range s.plansOf[account] {
		if s.planStateAt(n, now) != planEnded {
			count++
		}
	}
	return count
}
