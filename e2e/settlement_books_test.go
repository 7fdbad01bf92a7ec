package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// checkBooks holds accounts, the state of every line, what is in transit and the trial balance
// against the oracle; what the bank moved is cash.
func (o *settlementOracle) checkBooks(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	o.checkAccounts(ctx, t, c)
	rows, err := c.TrialBalance(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range o.trialFaults(rows, o.checkTransit(ctx, t, c)) {
		t.Error(fault)
	}
}

// checkTransit reads how every line stands, which must be as the oracle has it, and what is in
// transit. It returns what the bank moved by the server's word, with the top-ups.
func (o *settlementOracle) checkTransit(ctx context.Context, t *testing.T, c *client.Client) map[string]decimal.Decimal {
	t.Helper()
	moved := map[string]decimal.Decimal{}
	for _, b := range o.batches {
		for _, l := range b.lines {
			moved[b.currency] = moved[b.currency].Add(l.flows.topups)
			if l.Direction == "none" {
				continue
			}
			got, err := c.LineState(ctx, b.id, l.Line.Line)
			if err != nil {
				t.Fatal(err)
			}
			if !l.equal(&got) {
				t.Errorf("window %d %s: line %d stands as %+v, want %s, open %s, paid %s, failed %s, returned %s", b.window, b.currency, l.Line.Line, got, l.status(), l.open, l.paid, l.failed, l.returned)
			}
			paid := got.Paid.Decimal
			if l.Direction == "pay" {
				paid = paid.Neg()
			}
			moved[b.currency] = moved[b.currency].Add(paid)
		}
	}
	items, err := c.InTransit(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range o.transitFaults(items) {
		t.Error(fault)
	}
	return moved
}

// transitFaults holds what is in transit, oldest first, against the oracle.
func (o *settlementOracle) transitFaults(items []client.InTransit) (faults []error) {
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("in transit: "+format, args...))
	}
	byID := map[string]client.InTransit{}
	for i, item := range items {
		byID[item.BatchID] = item
		if i > 0 && (item.Window < items[i-1].Window || item.AgeSeconds > items[i-1].AgeSeconds) {
			fault("window %d, %d s old, comes after window %d, %d s old", item.Window, item.AgeSeconds, items[i-1].Window, items[i-1].AgeSeconds)
		}
	}
	waiting := 0
	for _, b := range o.batches {
		lines, pay, collect := b.transit()
		if lines == 0 {
			continue
		}
		waiting++
		got := byID[b.id]
		if got.Window != b.window || got.Currency != b.currency || got.Lines != lines || !got.Pay.Equal(pay) || !got.Collect.Equal(collect) {
			fault("%+v, want window %d %s, %d lines, pay %s, collect %s", got, b.window, b.currency, lines, pay, collect)
		}
	}
	if len(items) != waiting {
		fault("%d batches, want %d", len(items), waiting)
	}
	return faults
}

// checkStatements reads the statement of every line and holds it against the oracle.
func (o *settlementOracle) checkStatements(ctx context.Context, t *testing.T, c *client.Client) (read int) {
	t.Helper()
	for _, b := range o.batches {
		for _, l := range b.lines {
			if l.Account == operatorID {
				continue
			}
			got, err := c.Statement(ctx, l.Account, b.window)
			if err != nil {
				t.Fatal(err)
			}
			for _, fault := range l.statementFaults(&got) {
				t.Error(fault)
			}
			read++
		}
	}
	return read
}

// statementFaults: the parts lead from the opening to the closing balance of the line, and are
// each what the oracle booked.
func (l *settledLine) statementFaults(s *client.Statement) (faults []error) {
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("statement of %s for window %d: %s", l.Account, l.batch.window, fmt.Sprintf(format, args...)))
	}
	if s.Account != l.Account || s.Window != l.batch.window || s.Currency != l.batch.currency || s.Kind != l.party.kind || s.Events != l.Events {
		fault("is that of %s (%s), window %d, %s, %d events", s.Account, s.Kind, s.Window, s.Currency, s.Events)
	}
	if s.Line.BatchID != l.batch.id || s.Line.Line != l.Line.Line || !l.equal(&s.Line) {
		fault("its line stands as %+v", s.Line)
	}
	sums := map[string]decimal.Decimal{"usage": sumUsage(s.Usage), "corrections": sumUsage(s.Corrections), "fees": sumItems(s.Fees), "losses": sumItems(s.Losses),
		"credits": sumItems(s.Credits), "charges": sumItems(s.Charges), "returned": sumItems(s.Returned), "payments": sumItems(s.Payments)}
	total := s.Opening.Decimal
	for _, sum := range sums {
		total = total.Add(sum)
	}
	if !total.Equal(s.Closing.Decimal) {
		fault("its parts come to %s, it closes with %s", total, s.Closing)
	}
	f := func(what string, got, want decimal.Decimal) {
		if !got.Equal(want) {
			fault("%s is %s, want %s", what, got, want)
		}
	}
	f("opening", s.Opening.Decimal, l.CarriedIn.Decimal)
	f("closing", s.Closing.Decimal, l.CarriedOut.Decimal)
	f("payment", sums["payments"], l.Signed().Neg())
	f("returned", sums["returned"], l.Returned.Decimal)
	f("losses", sums["losses"], decimal.Zero)
	f("charges", sums["charges"], decimal.Zero)
	f("credits", sums["credits"], l.flows.topups)
	if l.party.kind == "customer" {
		f("usage", sums["usage"], l.GrossDebits.Neg())
		f("corrections", sums["corrections"], l.flows.voided)
		faults = append(faults, l.usageFaults(s.Usage)...)
	} else {
		earned := sums["usage"].Add(sums["corrections"]).Add(sums["fees"])
		f("what was earned", earned, l.GrossCredits.Sub(l.GrossDebits.Decimal))
	}
	return faults
}

func sumUsage(rows []client.StatementUsage) (sum decimal.Decimal) {
	for _, r := range rows {
		sum = sum.Add(r.Amount.Decimal)
	}
	return sum
}

func sumItems(items []client.StatementItem) (sum decimal.Decimal) {
	for _, i := range items {
		sum = sum.Add(i.Amount.Decimal)
	}
	return sum
}

// usageFaults compares a customer's usage by model and component.
func (l *settledLine) usageFaults(rows []client.StatementUsage) (faults []error) {
	var got, want []string
	for _, r := range rows {
		model, quantity := "", ""
		if r.Model != nil && r.Quantity != nil {
			model, quantity = *r.Model, r.Quantity.String()
		}
		got = append(got, fmt.Sprintf("%s %s: %s for %s", model, r.Component, quantity, r.Amount))
	}
	for key, sum := range l.flows.usage {
		want = append(want, fmt.Sprintf("%s %s: %d for %s", key.model, key.component, sum.quantity, sum.amount.Neg()))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		faults = append(faults, fmt.Errorf("usage of %s in window %d is\n\t%s, want\n\t%s", l.Account, l.batch.window, strings.Join(got, "\n\t"), strings.Join(want, "\n\t")))
	}
	return faults
}
