package batch

import (
	"fmt"
	"sort"
	"strings"

	"github.com/shopspring/decimal"

	"farthing/money"
)

// book is the dumb twin of the books that netting works on: a few decimals per
// account, moved in the plainest way. It makes the positions for a Netter and says
// by itself what the lines must be.
type book struct {
	accounts map[string]*bookAccount
	currency money.Currency
	window   uint64
	events   uint64
}

type bookAccount struct {
	kind               Kind
	credit, receivable decimal.Decimal // customer
	payable, minimum   decimal.Decimal // provider
	carried, returned  decimal.Decimal
	debits, credits    decimal.Decimal
	events             uint64
	lastAmount         decimal.Decimal // of its last line
	lastDirection      Direction
}

func newBook(currency string) *book {
	cur, ok := money.Lookup(currency)
	if !ok {
		panic("no currency " + currency)
	}
	b := &book{accounts: map[string]*bookAccount{}, currency: cur, window: 1}
	b.accounts[OperatorAccount] = &bookAccount{kind: Operator}
	return b
}

func (b *book) open(id string, kind Kind, minimum decimal.Decimal) {
	b.accounts[id] = &bookAccount{kind: kind, minimum: minimum}
}

func (b *book) account(id string) *bookAccount {
	a := b.accounts[id]
	if a == nil {
		panic("no account " + id)
	}
	return a
}

// move changes the balance of a by a signed amount: positive is for its good.
func (a *bookAccount) move(amount decimal.Decimal) {
	switch a.kind {
	case Provider:
		a.payable = a.payable.Add(amount)
	case Customer:
		posted := a.credit.Sub(a.receivable).Add(amount)
		a.credit, a.receivable = decimal.Max(posted, decimal.Zero), decimal.Max(posted.Neg(), decimal.Zero)
	}
}

func (b *book) transfer(from, to string, amount decimal.Decimal) {
	f, t := b.account(from), b.account(to)
	f.debits, t.credits = f.debits.Add(amount), t.credits.Add(amount)
	f.move(amount.Neg())
	t.move(amount)
}

func (b *book) usage(payer, payee string, amount decimal.Decimal) {
	b.account(payer).events++
	b.events++
	b.transfer(payer, payee, amount)
}

// giveBack is a failed or returned result for the whole of the last line.
func (b *book) giveBack(id string) {
	a := b.account(id)
	amount := a.lastAmount
	if a.lastDirection == Collect {
		amount = amount.Neg()
	}
	a.lastAmount = decimal.Zero
	a.move(amount)
	a.returned = a.returned.Add(amount)
	op := b.account(OperatorAccount)
	op.returned = op.returned.Sub(amount)
}

func (b *book) ids() []string {
	var ids []string
	for id := range b.accounts {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	return ids
}

func exact(d decimal.Decimal) money.Amount {
	a, err := money.FromDecimal(d)
	if err != nil {
		panic(err)
	}
	return a
}

// positions lists the accounts in the order of their ids.
func (b *book) positions() []Position {
	var list []Position
	for _, id := range b.ids() {
		a := b.accounts[id]
		list = append(list, Position{
			Account: id, Kind: a.kind, CarriedIn: exact(a.carried), Returned: exact(a.returned),
			GrossDebits: exact(a.debits), GrossCredits: exact(a.credits), Events: a.events,
			Receivable: exact(a.receivable), Payable: exact(a.payable), MinimumPayout: exact(a.minimum),
		})
	}
	return list
}

// due says what is to be paid or collected at a close.
func (a *bookAccount) due(digits int32) (decimal.Decimal, Direction) {
	amount, direction := decimal.Zero, None
	switch {
	case a.kind == Customer:
		amount, direction = a.receivable.Truncate(digits), Collect
	case a.kind == Provider && a.payable.IsPositive() && !a.payable.LessThan(a.minimum):
		amount, direction = a.payable.Truncate(digits), Pay
	}
	if amount.IsZero() {
		direction = None
	}
	return amount, direction
}

// want says in decimals what the lines of a close must be.
func (b *book) want() []string {
	var lines []string
	others := 0
	for _, id := range b.ids() {
		a := b.accounts[id]
		amount, direction := a.due(int32(b.currency.Digits()))
		signed := amount
		if direction == Collect {
			signed = signed.Neg()
		}
		out := a.carried.Add(a.returned).Add(a.credits).Sub(a.debits).Sub(signed)
		still := a.debits.IsZero() && a.credits.IsZero() && a.returned.IsZero() && a.events == 0 && amount.IsZero()
		if still && a.kind != Operator {
			continue
		}
		if a.kind != Operator {
			others++
		}
		lines = append(lines, fmt.Sprintf("%d %s %s %s in %s returned %s credits %s debits %s out %s events %d",
			len(lines)+1, id, direction, amount, a.carried, a.returned, a.credits, a.debits, out, a.events))
	}
	if others == 0 {
		return nil
	}
	return lines
}

// settle books the lines of a close and opens the next window.
func (b *book) settle(lines []Line) {
	for i := range lines {
		l := &lines[i]
		a := b.account(l.Account)
		a.move(l.Signed().Neg().Decimal())
		a.carried, a.lastAmount, a.lastDirection = l.CarriedOut.Decimal(), l.Amount.Decimal(), l.Direction
	}
	for _, a := range b.accounts {
		a.debits, a.credits, a.returned, a.events = decimal.Zero, decimal.Zero, decimal.Zero, 0
	}
	b.window++
	b.events = 0
}

func showLine(l *Line) string {
	return fmt.Sprintf("%d %s %s %s in %s returned %s credits %s debits %s out %s events %d",
		l.Line, l.Account, l.Direction, l.Amount, l.CarriedIn, l.Returned, l.GrossCredits, l.GrossDebits, l.CarriedOut, l.Events)
}

func showLines(lines []Line) []string {
	var out []string
	for i := range lines {
		out = append(out, showLine(&lines[i]))
	}
	return out
}

func showSums(s *Sums) string {
	return fmt.Sprintf("sums: paid %s collected %s gross %s in %s out %s events %d",
		s.Paid, s.Collected, s.GrossDebits, s.CarriedIn, s.CarriedOut, s.Events)
}

// cut is a plausible cut for the window at hand.
func (b *book) cut() Cut {
	return Cut{
		Ledger: "ledger-1", Partition: 0, Window: b.window, Currency: b.currency,
		First: b.window * 1000, Last: b.window*1000 + 999, Time: 1_700_000_000_123_000_000, Events: b.events,
		MerkleRoot: LeafHash([]byte("events")), FirstStreamSeq: b.window * 100,
	}
}

// records returns the canonical bytes of the lines.
func records(s *Scope, lines []Line) [][]byte {
	var out [][]byte
	for i := range lines {
		out = append(out, lines[i].AppendJSON(nil, s))
	}
	return out
}

func join(lines []string) string { return strings.Join(lines, "\n") }
