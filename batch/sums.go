package batch

import (
	"fmt"

	"farthing/money"
)

// Sums are the totals over the lines of a batch.
type Sums struct {
	Paid         money.Amount // of the pay lines
	Collected    money.Amount // of the collect lines
	GrossDebits  money.Amount // equals GrossCredits
	GrossCredits money.Amount
	Returned     money.Amount // always 0: the operator's line holds the other side
	CarriedIn    money.Amount
	CarriedOut   money.Amount
	Events       uint64 // equals the events of the cut; not part of the record's sums
}

// add adds a line. Errors: ErrOverflow, ErrRange.
func (s *Sums) add(l *Line) error {
	ok := true
	plus := func(to *money.Amount, a money.Amount) {
		sum, fits := to.Add(a)
		*to, ok = sum, ok && fits
	}
	switch l.Direction {
	case Pay:
		plus(&s.Paid, l.Amount)
	case Collect:
		plus(&s.Collected, l.Amount)
	case None:
	}
	plus(&s.GrossDebits, l.GrossDebits)
	plus(&s.GrossCredits, l.GrossCredits)
	plus(&s.Returned, l.Returned)
	plus(&s.CarriedIn, l.CarriedIn)
	plus(&s.CarriedOut, l.CarriedOut)
	if !ok {
		return fmt.Errorf("%w: sums at account %q", ErrOverflow, l.Account)
	}
	if s.Events += l.Events; s.Events > numberMax {
		return fmt.Errorf("%w: events at account %q", ErrRange, l.Account)
	}
	return nil
}

// check proves what must hold over a batch: every debit has its credit, what
// is returned to one is missing at another, and the carried sums change by
// exactly what is collected and paid. The last follows from the others and the
// line equations; it is checked because a manifest can be read without lines.
func (s *Sums) check() error {
	switch {
	case s.GrossDebits != s.GrossCredits:
		return fmt.Errorf("%w: gross debits %v, gross credits %v", ErrUnbalanced, s.GrossDebits, s.GrossCredits)
	case !s.Returned.IsZero():
		return fmt.Errorf("%w: returned sums to %v", ErrUnbalanced, s.Returned)
	case s.Paid.Sign() < 0, s.Collected.Sign() < 0, s.GrossDebits.Sign() < 0:
		return fmt.Errorf("%w: negative sum", ErrUnbalanced)
	}
	sum := total{ok: true}
	sum.add(s.CarriedIn)
	sum.sub(s.CarriedOut)
	sum.add(s.Collected)
	sum.sub(s.Paid)
	if !sum.ok || !sum.amount.IsZero() {
		return fmt.Errorf("%w: carried in %v, carried out %v, paid %v, collected %v",
			ErrUnbalanced, s.CarriedIn, s.CarriedOut, s.Paid, s.Collected)
	}
	return nil
}
