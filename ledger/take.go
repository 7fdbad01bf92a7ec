package ledger

import (
	"slices"

	"farthing/money"
)

// Part is what was taken from a grant; negative: given back to it.
type Part struct {
	Grant  uint32
	Amount money.Amount
}

// Split says how an amount was taken from its sources: the payer's grants in burn order, its
// pool of paid credit, its receivable; and what the operator paid in its stead. What went back
// to them is negative.
type Split struct {
	Paid, Receivable money.Amount
	Lost             money.Amount
	Parts            []Part
}

// Pool is what was taken from paid credit and receivable together.
func (s *Split) Pool() money.Amount { return s.Paid.MustAdd(s.Receivable) }

// Equal compares two splits.
func (s *Split) Equal(o *Split) bool {
	return s.Paid == o.Paid && s.Receivable == o.Receivable && s.Lost == o.Lost && slices.Equal(s.Parts, o.Parts)
}

// Clone returns a copy with parts of its own.
func (s *Split) Clone() Split {
	out := *s
	out.Parts = slices.Clone(s.Parts)
	return out
}

// Usage is the movement of one rating: the payer is debited amount − fee in favour of the
// payee, then fee in favour of the operator. A negative amount moves the other way. Payee is
// the operator's Ref when the operator earns it; then there is no fee.
type Usage struct {
	Payer, Payee Ref          // Payer is a root
	Amount, Fee  money.Amount // of one sign, |fee| <= |amount|
	Now          int64        // of the posting: a grant that has expired is not burned
	Scopes       Scopes       // those that the usage matches
	// Own is what the rating was taken from that is taken back; nil: nothing in particular.
	Own *Split
	// Back is what taking an event's rating back has given to its grants (below zero), when this
	// is its new one: that may be burned again though the grant has expired.
	Back []Part
	Lost money.Amount // what the operator pays of a correction
}

// PostUsage posts an event's rating, whose amount must fit, and writes how it was taken to split, whose parts' memory it uses.
// Grants that it matches burn first, then paid credit, then the receivable grows: usage that
// has happened is always booked. An event may make its period cheaper (a volume price); then
// it gives back.
func (l *Ledger) PostUsage(u *Usage, split *Split) {
	row, t := l.mutable(u.Payer)
	row.Events++
	t.Events++
	l.post(u, row, t, split)
}

// CountEvent counts a usage event that a root pays for in the open window.
func (l *Ledger) CountEvent(payer Ref) {
	row, t := l.mutable(payer)
	row.Events++
	t.Events++
}

// Correct posts what a correction of booked usage moves, and is no event. What it takes back goes
// to the rating's own sources (giveBack), and comes from the pool as far as that had been given to.
func (l *Ledger) Correct(u *Usage, split *Split) {
	row, t := l.mutable(u.Payer)
	l.post(u, row, t, split)
}

// post writes to the split in place: a copy of what was just written in smaller pieces waits for the processor's store buffer.
func (l *Ledger) post(u *Usage, row *Row, t *Totals, split *Split) {
	if u.Amount.Sign() < 0 {
		l.giveBack(u, row, t, split)
		return
	}
	split.Parts, split.Lost = split.Parts[:0], least(u.Lost, u.Amount)
	rest, pool := u.Amount.MustSub(split.Lost), money.Amount{}
	if u.Own != nil {
		pool = upTo(u.Own.Pool().Neg(), rest)
	}
	rest = rest.MustSub(pool)
	if row.Grants != 0 {
		split.Parts, rest = l.freeParts(row, rest, u.Scopes, u.Now, u.Back, split.Parts)
	}
	l.take(u, row, t, split, pool.MustAdd(rest))
}

// take posts a positive rating: from the split's parts and losses, and pool from paid credit as
// far as it goes, the rest as debt.
func (l *Ledger) take(u *Usage, row *Row, t *Totals, split *Split, pool money.Amount) {
	for _, part := range split.Parts {
		l.burn(row, t, part)
	}
	split.Paid = least(row.Paid.Credit(), pool)
	split.Receivable = pool.MustSub(split.Paid)
	row.Paid.debit(split.Paid)
	row.Due.debit(split.Receivable)
	l.grew(u.Payer)
	t.Class[Paid].debit(split.Paid)
	t.Class[Receivable].debit(split.Receivable)
	row.GrossDebits = row.GrossDebits.MustAdd(u.Amount.MustSub(split.Lost))
	operator := u.Fee
	if u.Payee == t.Operator {
		operator = u.Amount
		t.Class[Revenue].credit(u.Amount)
	} else {
		l.creditProvider(u.Payee, u.Amount.MustSub(u.Fee), t)
		t.Class[Fees].credit(u.Fee)
	}
	t.Moved = t.Moved.MustAdd(u.Amount)
	t.GrossCredits = t.GrossCredits.MustAdd(operator)
	if !split.Lost.IsZero() {
		t.Class[OperatorLoss].debit(split.Lost)
		t.inside(operator, split.Lost)
		t.GrossDebits = t.GrossDebits.MustAdd(split.Lost)
	}
}

// inside takes out of the operator's gross what it earned from itself: what it lost covers its
// own share of a rating first. A move inside one participant is nobody's gross.
func (t *Totals) inside(earned, lost money.Amount) {
	own := least(earned, lost)
	t.GrossCredits = t.GrossCredits.MustSub(own)
	t.GrossDebits = t.GrossDebits.MustSub(own)
}

// giveBack is Correct for an amount below zero: first to the operator what it had lost, then to
// the pool what came from it (which repays what is owed now and is paid credit for the rest, as
// a top-up), then to the grants, the last burned first; what is more than all of it to the pool.
// The payee is debited whatever it has: what it owes then stays in its account and rolls over.
func (l *Ledger) giveBack(u *Usage, row *Row, t *Totals, split *Split) {
	amount, fee := u.Amount.Neg(), u.Fee.Neg()
	split.Parts, split.Lost = split.Parts[:0], money.Amount{}
	pool := amount
	if u.Own != nil {
		split.Lost = upTo(u.Own.Lost, pool)
		pool = l.giveGrants(u.Own, row, t, pool.MustSub(split.Lost), split)
	}
	paid, receivable := l.repay(row, t, pool)
	split.Paid, split.Receivable = paid.Neg(), receivable.Neg()
	row.GrossCredits = row.GrossCredits.MustAdd(amount.MustSub(split.Lost))
	operator := fee
	if u.Payee == t.Operator {
		operator = amount
		t.Class[Revenue].debit(amount)
	} else {
		l.debitProvider(u.Payee, amount.MustSub(fee), t)
		t.Class[Fees].debit(fee)
	}
	t.Moved = t.Moved.MustAdd(amount)
	t.GrossDebits = t.GrossDebits.MustAdd(operator)
	if !split.Lost.IsZero() {
		t.Class[OperatorLoss].credit(split.Lost)
		t.GrossCredits = t.GrossCredits.MustAdd(split.Lost)
		t.inside(split.Lost, operator)
		split.Lost = split.Lost.Neg()
	}
}

// giveGrants gives an amount back to the grants it came from, after the pool's own part, and
// returns what remains for the pool.
func (l *Ledger) giveGrants(own *Split, row *Row, t *Totals, amount money.Amount, split *Split) (pool money.Amount) {
	pool = upTo(own.Pool(), amount)
	rest := amount.MustSub(pool)
	for i := len(own.Parts) - 1; i >= 0 && rest.Sign() > 0; i-- {
		part := Part{own.Parts[i].Grant, upTo(own.Parts[i].Amount, rest)}
		if part.Amount.IsZero() {
			continue
		}
		rest = rest.MustSub(part.Amount)
		l.unburn(row, t, part)
		split.Parts = append(split.Parts, Part{part.Grant, part.Amount.Neg()})
	}
	return pool.MustAdd(rest)
}

// upTo returns as much of amount as have allows; have below zero allows nothing.
func upTo(have, amount money.Amount) money.Amount {
	if have.Sign() <= 0 {
		return money.Amount{}
	}
	return least(have, amount)
}

func (l *Ledger) creditProvider(r Ref, amount money.Amount, t *Totals) {
	row := l.Rows.Mut(uint32(r))
	row.open(l.window)
	row.Due.credit(amount)
	row.GrossCredits = row.GrossCredits.MustAdd(amount)
	t.Class[Payable].credit(amount)
	l.grew(r)
}

func (l *Ledger) debitProvider(r Ref, amount money.Amount, t *Totals) {
	row := l.Rows.Mut(uint32(r))
	row.open(l.window)
	row.Due.debit(amount)
	row.GrossDebits = row.GrossDebits.MustAdd(amount)
	t.Class[Payable].debit(amount)
}
