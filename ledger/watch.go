package ledger

import "farthing/money"

// Watch sets, by currency index, from which amount on a participant's position is remembered to have
// passed (Passed); zero: never. nil ends it. It is no part of the books: nothing that they say
// depends on it.
func (l *Ledger) Watch(thresholds []money.Amount) { l.thresholds = thresholds }

// Passed reports whether a movement since the last call has left a position at its threshold or
// above.
func (l *Ledger) Passed() bool {
	passed := l.passed
	l.passed = false
	return passed
}

// Due is what a line of now would collect from a participant or pay to it, but for what is below a
// minor unit: a customer's receivable; a provider's payable from its minimum payout on.
func (l *Ledger) Due(r Ref) money.Amount {
	p, row := l.people[r], l.Rows.At(uint32(r))
	switch p.Kind {
	case Customer:
		return row.Due.Debit()
	case Provider:
		if payable := row.Due.Credit(); payable.Sign() > 0 && payable.Cmp(p.MinimumPayout) >= 0 {
			return payable
		}
	case Operator: // is never paid or collected
	}
	return money.Amount{}
}

// Passes reports whether a participant's position is at its threshold or above.
func (l *Ledger) Passes(r Ref) bool {
	t := l.thresholds[l.people[r].Currency.Index()]
	return !t.IsZero() && l.Due(r).Cmp(t) >= 0
}

// grew is called for every movement that lets a position grow.
func (l *Ledger) grew(r Ref) {
	if l.thresholds != nil && !l.passed {
		l.passed = l.Passes(r)
	}
}
