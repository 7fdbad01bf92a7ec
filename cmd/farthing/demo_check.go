package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"farthing/bench/audit"
	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// errDemo: what the server shows is not what was sent.
var errDemo = errors.New("the demo does not add up")

// demoSettled is everything read back at the end.
type demoSettled struct {
	batches []audit.Batch
	trial   []client.Trial
	posted  map[string]decimal.Decimal
	held    map[string]decimal.Decimal
	usage   map[demoRow]demoUsed // of all customers and days
}

func readSettled(ctx context.Context, c *client.Client, w *demoWorld) (demoSettled, error) {
	s := demoSettled{posted: map[string]decimal.Decimal{}, held: map[string]decimal.Decimal{}, usage: map[demoRow]demoUsed{}}
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
		s.posted[account], s.held[account] = b.Posted.Decimal, b.Held.Decimal
	}
	for _, customer := range slices.Concat(w.customers, w.plan.accounts()) {
		if err := s.readUsage(ctx, c, customer.ID); err != nil {
			return s, err
		}
	}
	s.trial, err = c.TrialBalance(ctx)
	return s, err
}

// readUsage adds a customer's usage. The demo may run across midnight.
func (s demoSettled) readUsage(ctx context.Context, c *client.Client, account string) error {
	rows, err := c.Usage(ctx, account, "", "")
	for _, u := range rows {
		row := demoRow{account, u.Dimensions["model"], u.Component}
		sum := s.usage[row]
		s.usage[row] = demoUsed{sum.quantity.Add(u.Quantity.Decimal), sum.amount.Add(u.Amount.Decimal)}
	}
	return err
}

// demoCheck is one thing that must hold, for the list at the end.
type demoCheck struct {
	what  string
	fault error // nil: it holds
}

// check compares what was read back with what was sent, to the last digit.
func (s demoSettled) check(d *demo) {
	totals, faults := audit.Windows(s.batches, d.world.kinds())
	d.check("every batch line satisfies the equation, chains to the one before and is cut right", errors.Join(faults...))
	gross, net := d.want.gross.owed(d.world), d.want.net.owed(d.world)
	d.check("gross amounts and events of all windows equal what was sent and taken back", s.checkGross(d, gross, net, totals))
	d.check("every balance equals top-ups, grants, usage and settlements", s.checkPosted(d, net, totals))
	d.check("nothing is held any more, anywhere", s.checkHeld())
	d.check("every customer's usage equals what was sent, model by model and component by component", s.checkUsage(d.want.net.usage(d.world)))
	d.check("debits equal credits in every currency", s.checkTrial())
}

// checkGross compares the sums of all lines. What is taken back moves the other way.
func (s demoSettled) checkGross(d *demo, gross, net map[string]decimal.Decimal, totals map[audit.Key]audit.Totals) error {
	var faults []error
	for account, kind := range d.world.kinds() {
		got := totals[audit.Key{Account: account, Currency: d.world.currency(account)}]
		back := gross[account].Sub(net[account])
		debits, credits := gross[account], d.want.given[account].Add(back)
		if kind == "provider" {
			debits, credits = back, gross[account]
		}
		if !got.Debits.Equal(debits) || !got.Credits.Equal(credits) || got.Events != d.want.events[account] {
			faults = append(faults, fmt.Errorf("%w: %s: debits %s, credits %s, %d events; want %s, %s, %d",
				errDemo, account, got.Debits, got.Credits, got.Events, debits, credits, d.want.events[account]))
		}
	}
	return errors.Join(faults...)
}

func (s demoSettled) checkPosted(d *demo, net map[string]decimal.Decimal, totals map[audit.Key]audit.Totals) error {
	var faults []error
	for account, kind := range d.world.kinds() {
		settled := totals[audit.Key{Account: account, Currency: d.world.currency(account)}].Settled
		balance := d.want.given[account].Sub(net[account])
		if kind == "provider" {
			balance = net[account]
		}
		if balance = balance.Sub(settled); !s.posted[account].Equal(balance) {
			faults = append(faults, fmt.Errorf("%w: %s has %s, want %s", errDemo, account, s.posted[account], balance))
		}
	}
	return errors.Join(faults...)
}

func (s demoSettled) checkHeld() error {
	var faults []error
	for account, held := range s.held {
		if !held.IsZero() {
			faults = append(faults, fmt.Errorf("%w: %s has %s held", errDemo, account, held))
		}
	}
	return errors.Join(faults...)
}

// checkUsage compares rows both ways; one that was not sent counts as zero.
func (s demoSettled) checkUsage(want map[demoRow]demoUsed) error {
	rows := maps.Clone(want)
	for row := range s.usage {
		rows[row] = want[row]
	}
	var faults []error
	for row, used := range rows {
		if got := s.usage[row]; !got.quantity.Equal(used.quantity) || !got.amount.Equal(used.amount) {
			faults = append(faults, fmt.Errorf("%w: %v used %s for %s, want %s for %s", errDemo, row, got.quantity, got.amount, used.quantity, used.amount))
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
