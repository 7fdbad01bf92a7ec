package main

import (
	"context"
	"errors"
	"fmt"

	"farthing/bench/audit"
	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// errDemo: what the server shows is not what was sent.
var errDemo = errors.New("the demo does not add up")

// demoExpected is what all senders together sent.
type demoExpected struct {
	tally   demoTally
	retries int
	owed    map[string]decimal.Decimal
	priced  map[string]uint64
}

func expectedOf(senders []*demoSender) demoExpected {
	e := demoExpected{owed: map[string]decimal.Decimal{}, priced: map[string]uint64{}}
	for _, s := range senders {
		e.tally.add(s.tally)
		e.retries += s.retries
		for account, amount := range s.owed {
			e.owed[account] = e.owed[account].Add(amount)
		}
		for account, n := range s.priced {
			e.priced[account] += n
		}
	}
	return e
}

// demoSettled is everything read back at the end.
type demoSettled struct {
	batches []audit.Batch
	trial   []client.Trial
	posted  map[string]decimal.Decimal
}

func readSettled(ctx context.Context, c *client.Client, w *demoWorld) (demoSettled, error) {
	s := demoSettled{posted: map[string]decimal.Decimal{}}
	manifests, err := c.Settlements(ctx)
	if err != nil {
		return s, err
	}
	for _, m := range manifests {
		lines, err := c.Lines(ctx, m.BatchID)
		if err != nil {
			return s, err
		}
		s.batches = append(s.batches, audit.Batch{Manifest: m, Lines: lines})
	}
	for account := range w.kinds() {
		b, err := c.Balance(ctx, account)
		if err != nil {
			return s, err
		}
		s.posted[account] = b.Posted.Decimal
	}
	s.trial, err = c.TrialBalance(ctx)
	return s, err
}

// demoCheck is one thing that must hold, for the list at the end.
type demoCheck struct {
	what  string
	fault error // nil: it holds
}

// checks compares what was read back with what was sent, to the last digit.
func (s demoSettled) checks(w *demoWorld, want demoExpected) []demoCheck {
	totals, faults := audit.Windows(s.batches, w.kinds())
	return []demoCheck{
		{"every batch line satisfies the equation, chains to the one before and is cut right", errors.Join(faults...)},
		{"gross amounts and events of all windows equal what was sent", s.checkGross(w, want, totals)},
		{"every balance equals top-ups, usage and settlements", s.checkPosted(w, want, totals)},
		{"debits equal credits in every currency", s.checkTrial()},
	}
}

func (s demoSettled) checkGross(w *demoWorld, want demoExpected, totals map[audit.Key]audit.Totals) error {
	var faults []error
	for account, kind := range w.kinds() {
		got := totals[audit.Key{Account: account, Currency: w.currency(account)}]
		debits, credits := want.owed[account], w.topups[account].Decimal
		if kind == "provider" {
			debits, credits = decimal.Zero, want.owed[account]
		}
		if !got.Debits.Equal(debits) || !got.Credits.Equal(credits) || got.Events != want.priced[account] {
			faults = append(faults, fmt.Errorf("%w: %s: debits %s, credits %s, %d events; want %s, %s, %d",
				errDemo, account, got.Debits, got.Credits, got.Events, debits, credits, want.priced[account]))
		}
	}
	return errors.Join(faults...)
}

func (s demoSettled) checkPosted(w *demoWorld, want demoExpected, totals map[audit.Key]audit.Totals) error {
	var faults []error
	for account, kind := range w.kinds() {
		settled := totals[audit.Key{Account: account, Currency: w.currency(account)}].Settled
		balance := w.topups[account].Sub(want.owed[account])
		if kind == "provider" {
			balance = want.owed[account]
		}
		if balance = balance.Sub(settled); !s.posted[account].Equal(balance) {
			faults = append(faults, fmt.Errorf("%w: %s has %s, want %s", errDemo, account, s.posted[account], balance))
		}
	}
	return errors.Join(faults...)
}

func (s demoSettled) checkTrial() error {
	if len(s.trial) != 2 {
		return fmt.Errorf("%w: %d currencies in the trial balance, want 2", errDemo, len(s.trial))
	}
	for _, row := range s.trial {
		if !row.Debits.Equal(row.Credits.Decimal) || !row.Debits.IsPositive() {
			return fmt.Errorf("%w: %s debits %s, credits %s", errDemo, row.Currency, row.Debits, row.Credits)
		}
	}
	return nil
}

// currency of a participant.
func (w *demoWorld) currency(account string) string {
	if c := w.currencyOf(account); c != "" {
		return c
	}
	return "USD" // both providers
}
