package audit

import (
	"fmt"
	"sort"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// Operator is the account id of the operator's line.
const Operator = "operator"

// Batch is a sealed batch as read back.
type Batch struct {
	Manifest client.Manifest
	Lines    []client.Line
}

// Key names an account's position: the operator has one per currency.
type Key struct{ Account, Currency string }

// Totals are the sums of one account's lines over all windows.
type Totals struct {
	Debits, Credits decimal.Decimal // gross
	Settled         decimal.Decimal // signed amounts, paid out positive, without what came back
	CarriedOut      decimal.Decimal // of the last line
	Events          uint64
}

// Windows checks the batches, all of one partition, in any order. kinds says
// which accounts are customers and which providers; a line of any other account
// but the operator is a fault. Every fault is returned, at most one per line
// and rule.
func Windows(batches []Batch, kinds map[string]string) (map[Key]Totals, []error) {
	ordered := append([]Batch(nil), batches...)
	sort.SliceStable(ordered, func(i, j int) bool { return ordered[i].Manifest.Window < ordered[j].Manifest.Window })
	c := &checker{kinds: kinds, totals: map[Key]Totals{}, last: map[string]client.Manifest{}}
	for _, b := range ordered {
		c.batch(b)
	}
	return c.totals, c.faults
}

type checker struct {
	kinds  map[string]string
	totals map[Key]Totals
	last   map[string]client.Manifest // by currency
	faults []error
}

// check notes a fault of batch m unless ok.
func (c *checker) check(ok bool, m client.Manifest, format string, args ...any) {
	if !ok {
		c.faults = append(c.faults, fmt.Errorf("window %d %s: %s", m.Window, m.Currency, fmt.Sprintf(format, args...)))
	}
}

func (c *checker) batch(b Batch) {
	m := b.Manifest
	if before, ok := c.last[m.Currency]; ok {
		c.check(before.Window < m.Window, m, "two batches of one window and currency")
		c.check(before.LastSequence < m.FirstSequence, m, "begins at %d, the one before ended at %d", m.FirstSequence, before.LastSequence)
	}
	c.last[m.Currency] = m
	var debits, credits, returned decimal.Decimal
	events, operators := uint64(0), 0
	for i, line := range b.Lines {
		c.check(i == 0 || b.Lines[i-1].Account < line.Account, m, "line %d is not sorted by account", line.Line)
		c.check(i == 0 || b.Lines[i-1].Line+1 == line.Line, m, "line numbers jump to %d", line.Line)
		c.line(m, line)
		debits, credits = debits.Add(line.GrossDebits.Decimal), credits.Add(line.GrossCredits.Decimal)
		returned = returned.Add(line.Returned.Decimal)
		events += line.Events
		if line.Account == Operator {
			operators++
		}
	}
	c.check(operators == 1, m, "the operator has %d lines", operators)
	c.check(debits.Equal(credits), m, "gross debits %s, credits %s", debits, credits)
	c.check(returned.IsZero(), m, "returned sums to %s", returned)
	c.check(events == m.Events, m, "the lines count %d events, the manifest %d", events, m.Events)
}

func (c *checker) line(m client.Manifest, l client.Line) {
	key := Key{l.Account, m.Currency}
	t := c.totals[key]
	position := l.CarriedIn.Add(l.Returned.Decimal).Add(l.GrossCredits.Decimal).Sub(l.GrossDebits.Decimal)
	c.check(position.Equal(l.Signed().Add(l.CarriedOut.Decimal)), m, "%s: %s to settle, but amount %s and carried out %s", l.Account, position, l.Signed(), l.CarriedOut)
	c.check(l.CarriedIn.Equal(t.CarriedOut), m, "%s: carried in %s, carried out before %s", l.Account, l.CarriedIn, t.CarriedOut)
	want, known := c.due(l.Account, m.Currency, position)
	c.check(known, m, "%s: a stranger", l.Account)
	c.check(l.Signed().Equal(want), m, "%s: %s %s of %s, want %s", l.Account, l.Direction, l.Amount, position, want)
	c.check(l.Direction == directionOf(l.Signed()) && !l.Amount.IsNegative(), m, "%s: direction %s of %s", l.Account, l.Direction, l.Amount)
	t.Debits, t.Credits = t.Debits.Add(l.GrossDebits.Decimal), t.Credits.Add(l.GrossCredits.Decimal)
	t.Settled, t.CarriedOut = t.Settled.Add(l.Signed()).Sub(l.Returned.Decimal), l.CarriedOut.Decimal
	t.Events += l.Events
	c.totals[key] = t
}

// due is the signed amount that a position now moves, of accounts without a
// minimum payout: a customer is collected what it owes, a provider paid what
// it is owed, in whole minor units cut towards zero.
func (c *checker) due(account, currency string, position decimal.Decimal) (due decimal.Decimal, known bool) {
	if account == Operator {
		return decimal.Zero, true
	}
	cut := position.Truncate(minorUnits(currency))
	switch c.kinds[account] {
	case "customer":
		return decimal.Min(cut, decimal.Zero), true
	case "provider":
		return decimal.Max(cut, decimal.Zero), true
	}
	return decimal.Zero, false
}

func directionOf(signed decimal.Decimal) string {
	switch signed.Sign() {
	case 1:
		return "pay"
	case -1:
		return "collect"
	}
	return "none"
}

// minorUnits is the currency's number of decimals in ISO 4217, of the
// currencies that our programs use.
func minorUnits(currency string) int32 {
	switch currency {
	case "JPY":
		return 0
	case "KWD":
		return 3
	}
	return 2
}
