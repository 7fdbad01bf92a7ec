package ledger

import (
	"fmt"
	"slices"

	"farthing/cow"
	"farthing/money"
)

// Ledger is the books. The zero value is not usable: call New.
type Ledger struct {
	Rows   cow.Table[Row]   // by Ref; an operator's row stays empty, its figures are in Totals
	Grants cow.Table[Grant] // in order of their giving

	people []*Participant
	totals []Totals // by currency index
	used   []int    // indexes of totals in use, sorted
	window uint64   // the open one

	returned Returned // of the open window
	back     []Back   // what that is the sum of

	thresholds []money.Amount // see Watch
	passed     bool
}

// New returns empty books whose open window is the given one.
func New(window uint64) *Ledger {
	return &Ledger{totals: make([]Totals, money.Currencies()), window: window, returned: Returned{}}
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
		t.Operator = l.add(&Participant{ID: OperatorID, Currency: p.Currency, Kind: Operator, Parent: NoRef,
			Sequence: p.Sequence, Time: p.Time})
	}
	return l.add(p)
}

// OperatorID is the account id of the operator in every currency.
const OperatorID = "operator"

func (l *Ledger) add(p *Participant) Ref {
	p.Root, p.Depth = Ref(len(l.people)), 1
	if p.Parent != NoRef {
		p.Root, p.Depth = l.people[p.Parent].Root, l.people[p.Parent].Depth+1
	}
	l.people = append(l.people, p)
	return Ref(l.Rows.Append(Row{Window: l.window}))
}

// Fits reports whether amount can still be moved in currency c, in either direction: every
// balance and every figure of a window is bounded by the sum of all movements, so this one
// guard keeps all of them in range.
func (l *Ledger) Fits(c money.Currency, amount money.Amount) bool {
	return l.within(c, amount, headroom)
}

// FitsClosing reports whether a closing transfer can be posted. What it closes was moved before,
// so it needs no room of its own: a window that could not be closed would stay open for ever.
// An amount is closed again only if it was given back, which FitsResult refuses early enough: only a
// journal that no sequencer wrote says that it does not fit.
func (l *Ledger) FitsClosing(c money.Currency, amount money.Amount) bool {
	return l.within(c, amount, closingRoom)
}

// FitsResult reports whether a result of a line can be posted. What settles an amount always fits.
// What gives one back is refused once it went around so often that closing and settling all that
// there is would come near the end of the room: an event makes two participants owe or be owed at
// most what is below headroom, so that is 2 headrooms to close, and 2 to settle, above givingRoom.
func (l *Ledger) FitsResult(c money.Currency, amount money.Amount, givesBack bool) bool {
	if givesBack {
		return l.within(c, amount, givingRoom)
	}
	return l.within(c, amount, resultRoom)
}

func (l *Ledger) within(c money.Currency, amount, room money.Amount) bool {
	sum, ok := l.totals[c.Index()].Moved.Add(amount.Abs())
	return ok && sum.Cmp(room) < 0
}

// The rooms above headroom, in units: 2^123, 2^124, 2^126.
var (
	givingRoom  = money.FromWords(1<<59, 0)
	closingRoom = money.FromWords(1<<60, 0)
	resultRoom  = money.FromWords(1<<62, 0)
)

// headroom is 2^120 units of 10^-18: 1.3·10^18 currency units in total, with room for
// the sums of a batch over all accounts.
var headroom = money.FromWords(1<<56, 0)

func (b *Balance) debit(a money.Amount)  { b.Debits = b.Debits.MustAdd(a) }
func (b *Balance) credit(a money.Amount) { b.Credits = b.Credits.MustAdd(a) }

// TopUp credits a customer against cash: what it owes is repaid first, the rest is
// paid credit. The amount must fit.
func (l *Ledger) TopUp(r Ref, amount money.Amount) {
	l.credit(r, amount, Cash)
	l.Rows.Mut(uint32(r)).bought(amount)
}

// credit gives a customer an amount against a class of the operator's, like a top-up.
func (l *Ledger) credit(r Ref, amount money.Amount, from Class) {
	row, t := l.mutable(r)
	l.repay(row, t, amount)
	row.GrossCredits = row.GrossCredits.MustAdd(amount)
	t.operatorPays(from, amount)
}

// mutable returns a participant's row, its window's figures open, and its currency's books.
func (l *Ledger) mutable(r Ref) (*Row, *Totals) {
	row := l.Rows.Mut(uint32(r))
	row.open(l.window)
	return row, l.totalsOf(r)
}

// totalsOf is the books of a participant's currency. Most ledgers have one, and need not look at who it is.
func (l *Ledger) totalsOf(r Ref) *Totals {
	if len(l.used) == 1 {
		return &l.totals[l.used[0]]
	}
	return &l.totals[l.people[r].Currency.Index()]
}

// operatorPays and operatorGets are the operator's side of a movement with a participant.
func (t *Totals) operatorPays(c Class, amount money.Amount) {
	t.Class[c].debit(amount)
	t.GrossDebits = t.GrossDebits.MustAdd(amount)
	t.Moved = t.Moved.MustAdd(amount)
}

func (t *Totals) operatorGets(c Class, amount money.Amount) {
	t.Class[c].credit(amount)
	t.GrossCredits = t.GrossCredits.MustAdd(amount)
	t.Moved = t.Moved.MustAdd(amount)
}

func least(a, b money.Amount) money.Amount {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

// repay credits a customer's receivable as far as it goes and its paid credit for the rest.
func (l *Ledger) repay(row *Row, t *Totals, amount money.Amount) (paid, receivable money.Amount) {
	receivable = least(row.Due.Debit(), amount)
	paid = amount.MustSub(receivable)
	row.Due.credit(receivable)
	row.Paid.credit(paid)
	t.Class[Receivable].credit(receivable)
	t.Class[Paid].credit(paid)
	return paid, receivable
}

// Cut closes the open window: movements from here on belong to the next one. The
// operator's figures of the closed window, which no row holds, are returned per
// currency index, and what it gave back of lines; rows keep theirs until they are touched.
func (l *Ledger) Cut() ([]Totals, Returned) {
	closed, returned := append([]Totals(nil), l.totals...), l.returned
	l.returned, l.back = Returned{}, nil
	for i := range l.totals {
		t := &l.totals[i]
		t.GrossDebits, t.GrossCredits, t.Events = money.Amount{}, money.Amount{}, 0
	}
	l.window++
	return closed, returned
}

// Close posts the closing transfer of one line: signed is positive for a payout,
// negative for a collection, zero for none; carried is the line's carried_out. It
// belongs to the window that was closed, so it is no gross of the open one. It
// cannot fail: what a customer has repaid since the cut becomes paid credit.
func (l *Ledger) Close(r Ref, signed, carried money.Amount) {
	p := l.people[r]
	t := &l.totals[p.Currency.Index()]
	if p.Kind == Operator {
		t.CarriedIn = carried
		return
	}
	row := l.Rows.Mut(uint32(r))
	row.CarriedIn = carried
	t.Moved = t.Moved.MustAdd(signed.Abs())
	switch {
	case signed.Sign() < 0:
		amount := signed.Neg()
		t.Class[InTransit].debit(amount)
		row.Transit = row.Transit.MustAdd(amount)
		row.bought(amount)
		l.repay(row, t, amount)
	case signed.Sign() > 0:
		t.Class[InTransit].credit(signed)
		row.Due.debit(signed)
		t.Class[Payable].debit(signed)
	}
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
