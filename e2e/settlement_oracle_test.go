package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// The oracle of settlement is written from the contract alone: who has a line, what a line
// says, what a result moves. One command after the other, in decimals.

const operatorID = "operator"

// party is a participant, with what the open window has of it.
type party struct {
	id, currency, kind string
	minimum            decimal.Decimal // payout
	carried            decimal.Decimal // carried_out of its last line
	flows
}

// flows are what moved a participant in one window.
type flows struct {
	debits, credits decimal.Decimal // gross
	returned        decimal.Decimal
	events          uint64
	moved           bool

	// What the statement tells apart, in the account's sign: plus is credit.
	topups, voided decimal.Decimal
	usage          map[usageKey]usageSum // without a day; payers alone
	bills          []*bill               // that it paid
}

// position is what a participant has with the operator.
func (p *party) position() decimal.Decimal {
	return p.carried.Add(p.returned).Add(p.credits).Sub(p.debits)
}

// due is the signed amount that settling moves now: pay is positive.
func (p *party) due() decimal.Decimal {
	minor := map[string]int32{"JPY": 0, "USD": 2}
	digits, known := minor[p.currency]
	if !known {
		panic("the oracle does not know the minor unit of " + p.currency)
	}
	at := p.position()
	switch {
	case p.kind == "customer" && at.IsNegative(), p.kind == "provider" && at.IsPositive() && at.GreaterThanOrEqual(p.minimum):
		return at.Truncate(digits)
	}
	return decimal.Zero
}

// bill is what one event costs, and whom.
type bill struct {
	event         client.Event
	payer, payee  string
	input, output decimal.Decimal // components' amounts
	fee           decimal.Decimal
}

func (c *bill) amount() decimal.Decimal { return c.input.Add(c.output) }

// settledLine is a line as it must be, and what became of its amount.
type settledLine struct {
	client.Line
	batch                        *settledBatch
	party                        *party
	flows                        flows
	open, paid, failed, returned decimal.Decimal
	last                         string // status of the last result
}

// settledBatch is one window in one currency.
type settledBatch struct {
	window   uint64
	currency string
	id       string // what the server calls it
	events   uint64
	lines    []*settledLine
}

// settlementOracle books what is sent, window by window.
type settlementOracle struct {
	parties map[string]*party
	house   map[string]*party // the operator, by currency
	window  uint64            // that is open
	batches []*settledBatch
	cash    map[string]decimal.Decimal // debits less credits
}

func newSettlementOracle() *settlementOracle {
	return &settlementOracle{parties: map[string]*party{}, house: map[string]*party{}, window: 1, cash: map[string]decimal.Decimal{}}
}

func (o *settlementOracle) openAccount(a client.Account) {
	p := &party{id: a.ID, currency: a.Currency, kind: a.Kind}
	if a.MinimumPayout != "" {
		p.minimum = decimal.RequireFromString(a.MinimumPayout)
	}
	o.parties[a.ID] = p
	if o.house[a.Currency] == nil {
		o.house[a.Currency] = &party{id: operatorID, currency: a.Currency, kind: operatorID}
	}
}

// transfer moves an amount; zero moves nothing and is no transfer.
func transfer(from, to *party, amount decimal.Decimal) {
	if amount.IsZero() {
		return
	}
	from.debits, from.moved = from.debits.Add(amount), true
	to.credits, to.moved = to.credits.Add(amount), true
}

// use books an event: amount − fee to the payee, the fee to the operator.
func (o *settlementOracle) use(c *bill) {
	payer, payee := o.parties[c.payer], o.parties[c.payee]
	transfer(payer, payee, c.amount().Sub(c.fee))
	transfer(payer, o.house[payer.currency], c.fee)
	payer.events++
	payer.moved = true
	payer.bills = append(payer.bills, c)
	payer.count(c)
}

// void takes an event back.
func (o *settlementOracle) void(c *bill) {
	payer, payee := o.parties[c.payer], o.parties[c.payee]
	transfer(payee, payer, c.amount().Sub(c.fee))
	transfer(o.house[payer.currency], payer, c.fee)
	payer.voided = payer.voided.Add(c.amount())
}

// count adds an event to the payer's usage of the window.
func (p *party) count(c *bill) {
	if p.usage == nil {
		p.usage = map[usageKey]usageSum{}
	}
	for component, amount := range map[string]decimal.Decimal{"input": c.input, "output": c.output} {
		if quantity := c.event.Usage[component]; quantity != 0 {
			key := usageKey{model: c.event.Model, component: component}
			sum := p.usage[key]
			p.usage[key] = usageSum{sum.quantity + quantity, sum.amount.Add(amount)}
		}
	}
}

// topUp is money that came in.
func (o *settlementOracle) topUp(account string, amount decimal.Decimal) {
	p := o.parties[account]
	transfer(o.house[p.currency], p, amount)
	p.topups = p.topups.Add(amount)
	o.cash[p.currency] = o.cash[p.currency].Add(amount)
}

// close settles the window and returns its batches, by currency.
func (o *settlementOracle) close() []*settledBatch {
	var closed []*settledBatch
	for currency, house := range o.house {
		b := &settledBatch{window: o.window, currency: currency}
		for _, p := range o.parties {
			if p.currency == currency && (p.moved || !p.due().IsZero()) {
				b.lines = append(b.lines, p.line(b))
			}
		}
		if len(b.lines) == 0 {
			continue
		}
		b.lines = append(b.lines, house.line(b))
		slices.SortFunc(b.lines, func(x, y *settledLine) int { return strings.Compare(x.Account, y.Account) })
		for i, l := range b.lines {
			l.Line.Line = i + 1
			b.events += l.Events
		}
		closed = append(closed, b)
	}
	slices.SortFunc(closed, func(x, y *settledBatch) int { return strings.Compare(x.currency, y.currency) })
	o.batches = append(o.batches, closed...)
	o.window++
	return closed
}

// line cuts the participant's line and opens its next window.
func (p *party) line(b *settledBatch) *settledLine {
	due := p.due()
	money := func(d decimal.Decimal) client.Money { return client.Money{Decimal: d} }
	l := &settledLine{batch: b, party: p, flows: p.flows, open: due.Abs()}
	l.Line = client.Line{Account: p.id, Direction: directionOf(due), Amount: money(due.Abs()), GrossDebits: money(p.debits), GrossCredits: money(p.credits),
		Returned: money(p.returned), CarriedIn: money(p.carried), CarriedOut: money(p.position().Sub(due)), Events: p.events}
	p.carried, p.flows = l.CarriedOut.Decimal, flows{}
	return l
}

func directionOf(signed decimal.Decimal) string {
	return map[int]string{1: "pay", -1: "collect", 0: "none"}[signed.Sign()]
}

// Refusals of results, by their codes.
var (
	errResultConflict = errors.New("result_conflict")
	errInvalidAmount  = errors.New("invalid_amount")
)

// result books what became of a line and returns the amount that moved. asked nil is all that
// the status can be about.
func (o *settlementOracle) result(l *settledLine, status string, asked *decimal.Decimal) (decimal.Decimal, error) {
	about := l.open
	if status == "returned" {
		about = l.paid
	}
	if !about.IsPositive() {
		return decimal.Zero, fmt.Errorf("%w: %s of line %d, which is %s", errResultConflict, status, l.Line.Line, l.status())
	}
	amount := about
	if asked != nil {
		amount = *asked
	}
	whole := status == "paid" || status == "failed"
	if !amount.IsPositive() || amount.GreaterThan(about) || whole && !amount.Equal(about) {
		return decimal.Zero, fmt.Errorf("%w: %s of %s, there is %s", errInvalidAmount, status, amount, about)
	}
	switch status {
	case "paid", "partially_paid":
		l.open, l.paid = l.open.Sub(amount), l.paid.Add(amount)
		o.bank(l, amount)
	case "failed":
		l.open, l.failed = l.open.Sub(amount), l.failed.Add(amount)
		o.giveBack(l, amount)
	case "returned":
		l.paid, l.returned = l.paid.Sub(amount), l.returned.Add(amount)
		o.bank(l, amount.Neg())
		o.giveBack(l, amount)
	default:
		panic("no such status: " + status)
	}
	l.last = status
	return amount, nil
}

// bank moves money of a line: a payout leaves the operator's cash, a collection comes in.
func (o *settlementOracle) bank(l *settledLine, amount decimal.Decimal) {
	if l.Direction == "pay" {
		amount = amount.Neg()
	}
	o.cash[l.batch.currency] = o.cash[l.batch.currency].Add(amount)
}

// giveBack: a payout that did not arrive is owed again, a collection that failed is owed by the
// customer again. It stands in the next line.
func (o *settlementOracle) giveBack(l *settledLine, amount decimal.Decimal) {
	if l.Direction == "collect" {
		amount = amount.Neg()
	}
	house := o.house[l.batch.currency]
	l.party.returned, l.party.moved = l.party.returned.Add(amount), true
	house.returned = house.returned.Sub(amount)
}

// status is the word for how a line stands.
func (l *settledLine) status() string {
	switch {
	case l.Direction == "none":
		return "none"
	case l.open.IsPositive() && l.paid.IsPositive():
		return "partially_paid"
	case l.open.IsPositive():
		return "open"
	case l.paid.IsPositive():
		return "paid"
	}
	return l.last
}

// transit sums what of a batch waits for results.
func (b *settledBatch) transit() (lines int, pay, collect decimal.Decimal) {
	for _, l := range b.lines {
		switch {
		case !l.open.IsPositive():
			continue
		case l.Direction == "pay":
			pay = pay.Add(l.open)
		default:
			collect = collect.Add(l.open)
		}
		lines++
	}
	return lines, pay, collect
}
