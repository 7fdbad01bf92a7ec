package ledger

import "farthing/money"

// Returned is the amounts of lines that a window has given back, by participant: what a provider
// was not paid is above zero, what a customer was not collected is below. The operator's is minus
// the sum of all others'. Few participants have one, so it is no part of their rows.
type Returned map[Ref]money.Amount

// Returned is what of lines the open window has given back to a participant.
func (l *Ledger) Returned(r Ref) money.Amount { return l.returned[r] }

// HasReturned reports whether the open window has given anything back.
func (l *Ledger) HasReturned() bool { return len(l.returned) > 0 }

// Settle moves an amount of a line from in transit to cash: signed is positive for a payout,
// negative for a collection, as in Close. At most what is in transit of the line; it cannot fail
// (FitsResult).
func (l *Ledger) Settle(r Ref, signed money.Amount) {
	t := &l.totals[l.people[r].Currency.Index()]
	amount := signed.Abs()
	t.Moved = t.Moved.MustAdd(amount)
	if signed.Sign() > 0 {
		t.Class[InTransit].debit(amount)
		t.Class[Cash].credit(amount)
		return
	}
	t.Class[Cash].debit(amount)
	t.Class[InTransit].credit(amount)
	l.Rows.Mut(uint32(r)).arrived(amount)
}

// GiveBack gives an amount of a line back to its participant, from in transit or, if it had been
// settled, from cash. It is no gross but stands in `returned` of the next line. A customer gives
// it from paid credit as far as that goes and owes the rest; a provider is owed it again.
func (l *Ledger) GiveBack(r Ref, signed money.Amount, from Class) {
	t := &l.totals[l.people[r].Currency.Index()]
	row := l.Rows.Mut(uint32(r))
	amount := signed.Abs()
	t.Moved = t.Moved.MustAdd(amount)
	if signed.Sign() > 0 {
		t.Class[from].debit(amount)
		row.Due.credit(amount)
		t.Class[Payable].credit(amount)
	} else {
		t.Class[from].credit(amount)
		if from == InTransit {
			row.arrived(amount)
		}
		row.Bought = row.Bought.MustSub(amount) // whatever became of it meanwhile
		paid := least(row.Paid.Credit(), amount)
		row.Paid.debit(paid)
		row.Due.debit(amount.MustSub(paid))
		t.Class[Paid].debit(paid)
		t.Class[Receivable].debit(amount.MustSub(paid))
	}
	l.grew(r)
	l.enterBack(Back{r, signed})
	l.grew(r)
}

// addReturned keeps no entry of nothing: one that has none has no line for it.
func (l *Ledger) addReturned(r Ref, signed money.Amount) {
	if sum := l.returned[r].MustAdd(signed); !sum.IsZero() {
		l.returned[r] = sum
		return
	}
	delete(l.returned, r)
}

// arrived takes a collection out of transit.
func (r *Row) arrived(amount money.Amount) {
	if r.Transit = r.Transit.MustSub(amount); r.Transit.Sign() < 0 {
		panic("BUG: more arrives than is in transit")
	}
}

// Back is an amount of a line that was given back.
type Back struct {
	Account Ref
	Signed  money.Amount
}

// GivenBack lists what the open window gave back, in order: what Returned adds up. Entries do not
// change, so a copy of the header may be read while more is appended; the next window has a list
// of its own.
func (l *Ledger) GivenBack() []Back { return l.back }

// RestoreGivenBack puts the open window's list back as a checkpoint had it. Participants and
// totals were restored before.
func (l *Ledger) RestoreGivenBack(list []Back) {
	for _, b := range list {
		l.enterBack(b)
	}
}

func (l *Ledger) enterBack(b Back) {
	l.back = append(l.back, b)
	l.addReturned(b.Account, b.Signed)
	l.addReturned(l.totals[l.people[b.Account].Currency.Index()].Operator, b.Signed.Neg())
}
