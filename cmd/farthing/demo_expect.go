package main

import (
	"fmt"
	"time"

	"github.com/shopspring/decimal"
)

// demoCounts counts quantities; what they cost is computed of the sums, in
// decimals. That is exact where a price is linear, and where it is graduated it
// is the point: a month's calls cost T(Q), in whatever order they came.
type demoCounts struct {
	tokens map[demoTokens]uint64
	calls  map[demoMonth]uint64
}

// demoTokens names a sum of tokens of one price.
type demoTokens struct {
	account, model, component string
	long                      bool // at the price for much input
}

// demoMonth names a customer's calls of a month, in UTC.
type demoMonth struct {
	account string
	year    int
	month   time.Month
}

func newDemoCounts() demoCounts {
	return demoCounts{map[demoTokens]uint64{}, map[demoMonth]uint64{}}
}

// add counts an event.
func (c demoCounts) add(w *demoWorld, e *demoEvent) {
	c.each(w, e, func(n *uint64, by uint64) { *n += by })
}

// remove takes an event out that was added.
func (c demoCounts) remove(w *demoWorld, e *demoEvent) {
	c.each(w, e, func(n *uint64, by uint64) { *n -= by })
}

// each changes every sum that an event is part of.
func (c demoCounts) each(w *demoWorld, e *demoEvent, change func(n *uint64, by uint64)) {
	if e.Type == "api.calls" {
		at := e.Time.UTC()
		key := demoMonth{e.Subject, at.Year(), at.Month()}
		n := c.calls[key]
		change(&n, 1)
		c.calls[key] = n
		return
	}
	input := e.components["input"] + e.components["cached_input"] + e.components["cache_write"]
	prices := w.byName[e.Model].prices
	for component, quantity := range e.components {
		above := prices[component].above
		key := demoTokens{e.Subject, e.Model, component, above > 0 && input > above}
		n := c.tokens[key]
		change(&n, quantity)
		c.tokens[key] = n
	}
}

// merge adds all that o counted.
func (c demoCounts) merge(o demoCounts) {
	for key, n := range o.tokens {
		c.tokens[key] += n
	}
	for key, n := range o.calls {
		c.calls[key] += n
	}
}

// demoRow names a row of usage; the model of a call is "".
type demoRow struct{ account, model, component string }

// demoUsed is how much of a row was used, and what that costs.
type demoUsed struct{ quantity, amount decimal.Decimal }

// usage is what was counted, row by row, with what it costs.
func (c demoCounts) usage(w *demoWorld) map[demoRow]demoUsed {
	rows := map[demoRow]demoUsed{}
	add := func(row demoRow, n uint64, amount decimal.Decimal) {
		u := rows[row]
		rows[row] = demoUsed{u.quantity.Add(decimal.NewFromUint64(n)), u.amount.Add(amount)}
	}
	for key, n := range c.tokens {
		price := w.byName[key.model].prices[key.component]
		unit := price.unit
		if key.long {
			unit = price.long
		}
		add(demoRow{key.account, key.model, key.component}, n, unit.Mul(decimal.NewFromUint64(n)))
	}
	for key, n := range c.calls {
		add(demoRow{key.account, "", "call"}, n, w.calls[w.currency(key.account)].cost(n))
	}
	return rows
}

// owed is what was counted comes to, by account: what a customer owes and what
// a provider earns.
func (c demoCounts) owed(w *demoWorld) map[string]decimal.Decimal {
	owed := map[string]decimal.Decimal{}
	for row, used := range c.usage(w) {
		payee := demoAtlas
		if row.model == "" {
			payee = w.calls[w.currency(row.account)].payee
		}
		owed[w.payer(row.account)] = owed[w.payer(row.account)].Add(used.amount)
		owed[payee] = owed[payee].Add(used.amount)
	}
	return owed
}

// demoExpected is what all that was sent must come to.
type demoExpected struct {
	tally   demoTally
	retries int
	events  map[string]uint64          // account → events it pays for
	given   map[string]decimal.Decimal // account → top-ups and grants
	// gross are all events, net those that were not taken back.
	gross, net demoCounts
}

func expectedOf(w *demoWorld, senders []*demoSender) *demoExpected {
	e := &demoExpected{events: map[string]uint64{}, given: map[string]decimal.Decimal{}, gross: newDemoCounts(), net: newDemoCounts()}
	for account, amount := range w.topups {
		e.given[account] = amount.Decimal
	}
	for _, s := range senders {
		e.tally.add(s.tally)
		e.retries += s.retries
		e.gross.merge(s.counts)
		for account, n := range s.events {
			e.events[account] += n
		}
	}
	e.net.merge(e.gross)
	return e
}

// captured adds what the organisation's agents used and what it was given.
func (e *demoExpected) captured(w *demoWorld, events []*demoEvent, given decimal.Decimal) {
	for _, event := range events {
		e.gross.add(w, event)
		e.net.add(w, event)
		e.events[w.payer(event.Subject)]++
	}
	e.given[demoOrg] = given
}

// void takes an event back and returns what its payer gets back: of a counted
// price, what the month's last call costs.
func (e *demoExpected) void(w *demoWorld, event *demoEvent) decimal.Decimal {
	payer := w.payer(event.Subject)
	before := e.net.owed(w)[payer]
	e.net.remove(w, event)
	return before.Sub(e.net.owed(w)[payer])
}

// rate is what an event costs by itself, at prices that count nothing.
func (w *demoWorld) rate(e *demoEvent) decimal.Decimal {
	if e.Type == "api.calls" {
		panic(fmt.Sprintf("BUG: what the call %s costs depends on others", e.ID))
	}
	alone := newDemoCounts()
	alone.add(w, e)
	return alone.owed(w)[w.payer(e.Subject)]
}
