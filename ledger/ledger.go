package ledger

import (
	"fmt"
	"slices"

	"farthing/cow"
	"farthing/money"
)

// Ledger is the books. The zero value is not usable: call New.
type Ledger struct {
	Rows cow.Table[Row] // by Ref; an operator's row stays empty, its figures are in Totals

	people []*Participant
	totals []Totals // by currency index
	used   []int    // indexes of totals in use, sorted
	window uint64   // the open one
}

// New returns empty books whose open window is the given one.
func New(window uint64) *Ledger {
	return &Ledger{totals: make([]Totals, money.Currencies()), window: window}
}

// Participants returns the participants by Ref. The slice only grows and its
// entries never change: a copy of the header may be read by others.
func (l *Ledger) Participants() []*Participant { return l.people }

// Participant returns one participant's attributes.
func (l *Ledger) Participant(r Ref) *Participant { return l.people[r] }

// Totals returns the books of a currency for reading.
func (l *Ledger) Totals(c money.Currency) *Totals { return &l.totals[c.Index()] }

// Window returns the open window's number.
func (l *Ledger) Window() uint64 { return l.window }

// Create adds a participant, and its currency's operator before it if this is the
// currency's first. It returns the participant's Ref.
func (l *Ledger) Create(p *Participant) Ref {
	t := &l.totals[p.Currency.Index()]
	if !t.Used {
		t.Used = true
		l.used = append(l.used, p.Currency.Index())
		slices.Sort(l.used)
		t.Operator = l.add(&Participant{ID: OperatorID, Currency: p.Currency, Kind: Operator,
			Sequence: p.Sequence, Time: p.Time})
	}
	return l.add(p)
}

// OperatorID is the account id of the operator in every currency.
const OperatorID = "operator"

func (l *Ledger) add(p *Participant) Ref {
	l.people = append(l.people, p)
	return Ref(l.Rows.Append(Row{Window: l.window}))
}

// Split says how an amount was taken from the payer's sources in burn order; what went back
// to them is negative.
type Split struct{ Paid, Receivable money.Amount }

// Usage is the movement of one rating: the payer is debited amount − fee in favour of the
// payee, then fee in favour of the operator. A negative amount moves the other way. Payee is
// the operator's Ref when the operator earns it; then there is no fee.
type Usage struct {
	Payer, Payee Ref
	Amount, Fee  money.Amount // of one sign, |fee| <= |amount|
}

// Fits reports whether amount can still be moved in currency c, in either direction: every
// balance and every figure of a window is bounded by the sum of all movements, so this one
// guard keeps all of them in range.
func (l *Ledger) Fits(c money.Currency, amount money.Amount) bool {
	sum, ok := l.totals[c.Index()].Moved.Add(amount.Abs())
	return ok && sum.Cmp(headroom) < 0
}

// headroom is 2^120 units of 10^-18: 1.3·10^18 currency units in total, with room for
// the sums of a batch over all accounts.
var headroom = money.FromWords(1<<56, 0)

// PostUsage posts an event's rating, whose amount must fit, and returns how it was taken.
// Paid credit burns first, then the receivable grows: usage that has happened is always
// booked. An event may make its period cheaper (a volume price); then it gives back.
func (l *Ledger) PostUsage(u Usage) Split {
	l.Rows.Mut(uint32(u.Payer)).event(l.window)
	l.totals[l.people[u.Payer].Currency.Index()].Events++
	return l.Correct(u)
}

// Correct posts what a correction of booked usage moves, and is no event. What goes back to
// the payer (a negative amount) repays what is owed and is paid credit for the rest, as a
// top-up: an account never has both, so this is where it came from as far as it is still open.
func (l *Ledger) Correct(u Usage) Split {
	payer := l.Rows.Mut(uint32(u.Payer))
	t := &l.totals[l.people[u.Payer].Currency.Index()]
	payer.open(l.window)
	t.Moved = t.Moved.MustAdd(u.Amount.Abs())
	if u.Amount.Sign() < 0 {
		return l.giveBack(u, payer, t)
	}
	split := burn(payer, u.Amount)
	payer.Paid.debit(split.Paid)
	payer.Due.debit(split.Receivable)
	payer.GrossDebits = payer.GrossDebits.MustAdd(u.Amount)
	t.Class[Paid].debit(split.Paid)
	t.Class[Receivable].debit(split.Receivable)
	operator := u.Fee
	if u.Payee == t.Operator {
		operator = u.Amount
		t.Class[Revenue].credit(u.Amount)
	} else {
		l.creditProvider(u.Payee, u.Amount.MustSub(u.Fee), t)
		t.Class[Fees].credit(u.Fee)
	}
	t.GrossCredits = t.GrossCredits.MustAdd(operator)
	return split
}

// giveBack is Correct for an amount below zero. The payee is debited whatever it has: what
// it owes then stays in its account and rolls over.
func (l *Ledger) giveBack(u Usage, payer *Row, t *Totals) Split {
	amount, fee := u.Amount.Neg(), u.Fee.Neg()
	split := l.repay(payer, t, amount)
	payer.GrossCredits = payer.GrossCredits.MustAdd(amount)
	operator := fee
	if u.Payee == t.Operator {
		operator = amount
		t.Class[Revenue].debit(amount)
	} else {
		l.debitProvider(u.Payee, amount.MustSub(fee), t)
		t.Class[Fees].debit(fee)
	}
	t.GrossDebits = t.GrossDebits.MustAdd(operator)
	return Split{Paid: split.Paid.Neg(), Receivable: split.Receivable.Neg()}
}

func (l *Ledger) creditProvider(r Ref, amount money.Amount, t *Totals) {
	row := l.Rows.Mut(uint32(r))
	row.open(l.window)
	row.Due.credit(amount)
	row.GrossCredits = row.GrossCredits.MustAdd(amount)
	t.Class[Payable].credit(amount)
}

func (l *Ledger) debitProvider(r Ref, amount money.Amount, t *Totals) {
	row := l.Rows.Mut(uint32(r))
	row.open(l.window)
	row.Due.debit(amount)
	row.GrossDebits = row.GrossDebits.MustAdd(amount)
	t.Class[Payable].debit(amount)
}

// burn says how amount is taken: from paid credit as far as it goes, the rest as debt.
func burn(r *Row, amount money.Amount) Split {
	paid := r.Paid.Credit()
	if paid.IsZero() {
		return Split{Receivable: amount}
	}
	if paid.Cmp(amount) >= 0 {
		return Split{Paid: amount}
	}
	return Split{Paid: paid, Receivable: amount.MustSub(paid)}
}

func (b *Balance) debit(a money.Amount)  { b.Debits = b.Debits.MustAdd(a) }
func (b *Balance) credit(a money.Amount) { b.Credits = b.Credits.MustAdd(a) }

// TopUp credits a customer against cash: what it owes is repaid first, the rest is
// paid credit. The amount must fit.
func (l *Ledger) TopUp(r Ref, amount money.Amount) Split {
	row := l.Rows.Mut(uint32(r))
	t := &l.totals[l.people[r].Currency.Index()]
	row.open(l.window)
	split := l.repay(row, t, amount)
	row.GrossCredits = row.GrossCredits.MustAdd(amount)
	t.Class[Cash].debit(amount)
	t.Moved = t.Moved.MustAdd(amount)
	t.GrossDebits = t.GrossDebits.MustAdd(amount)
	return split
}

// repay credits a customer's receivable as far as it goes and its paid credit for the rest.
func (l *Ledger) repay(row *Row, t *Totals, amount money.Amount) Split {
	split := Split{Receivable: row.Due.Debit()}
	if split.Receivable.Cmp(amount) > 0 {
		split.Receivable = amount
	}
	split.Paid = amount.MustSub(split.Receivable)
	row.Due.credit(split.Receivable)
	row.Paid.credit(split.Paid)
	t.Class[Receivable].credit(split.Receivable)
	t.Class[Paid].credit(split.Paid)
	return split
}

// Cut closes the open window: movements from here on belong to the next one. The
// operator's figures of the closed window, which no row holds, are returned per
// currency index; rows keep theirs until they are touched.
func (l *Ledger) Cut() []Totals {
	closed := append([]Totals(nil), l.totals...)
	for i := range l.totals {
		t := &l.totals[i]
		t.GrossDebits, t.GrossCredits, t.Events = money.Amount{}, money.Amount{}, 0
	}
	l.window++
	return closed
}

// Close posts the closing transfer of one line: signed is positive for a payout,
// negative for a collection, zero for none; carried is the line's carried_out. It
// belongs to the window that was closed, so it is no gross of the open one. It
// cannot fail: what a customer has repaid since the cut becomes paid credit.
func (l *Ledger) Close(r Ref, signed, carried money.Amount) Split {
	p := l.people[r]
	t := &l.totals[p.Currency.Index()]
	if p.Kind == Operator {
		t.CarriedIn = carried
		return Split{}
	}
	row := l.Rows.Mut(uint32(r))
	row.CarriedIn = carried
	t.Moved = t.Moved.MustAdd(signed.Abs())
	switch {
	case signed.Sign() < 0:
		amount := signed.Neg()
		t.Class[InTransit].debit(amount)
		return l.repay(row, t, amount)
	case signed.Sign() > 0:
		t.Class[InTransit].credit(signed)
		row.Due.debit(signed)
		t.Class[Payable].debit(signed)
		return Split{Receivable: signed}
	}
	return Split{}
}

// Balanced checks that in every currency debits and credits both equal the sum of
// all movements; the error names the first currency where they do not. It is asked
// after every group.
func (l *Ledger) Balanced() error {
	for _, i := range l.used {
		t := &l.totals[i]
		if debits, credits := t.Sum(); debits != credits || debits != t.Moved {
			return fmt.Errorf("%s: debits %s, credits %s, moved %s", money.CurrencyAt(i).Code(), debits, credits, t.Moved)
		}
	}
	return nil
}

// Currencies returns the indexes of the currencies in use, sorted.
func (l *Ledger) Currencies() []int { return l.used }

// Restore puts participants and totals back as a checkpoint had them; the rows are
// restored into Rows by the caller.
func (l *Ledger) Restore(people []*Participant, totals []Totals, window uint64) {
	l.people, l.window = people, window
	copy(l.totals, totals)
	for i := range l.totals {
		if l.totals[i].Used {
			l.used = append(l.used, i)
		}
	}
}

// AllTotals returns a copy of the books of every currency, by currency index.
func (l *Ledger) AllTotals() []Totals { return append([]Totals(nil), l.totals...) }
