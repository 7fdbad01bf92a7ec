package main

import (
	"context"
	"errors"
	"fmt"

	"farthing/bench/audit"
	"farthing/bench/client"

	"github.com/jedib0t/go-pretty/v6/table"
)

// demoResults is what the bank says of two lines of the first window in USD.
type demoResults struct {
	paid, failed client.Result
}

// bank books the results: a provider was paid, a customer's payment failed.
func (d *demo) bank(ctx context.Context) error {
	manifests, err := d.client.Settlements(ctx)
	if err != nil {
		return err
	}
	for _, m := range manifests {
		if m.Currency != "USD" {
			continue
		}
		open, err := d.client.OpenLines(ctx, m.BatchID)
		if err != nil {
			return err
		}
		if pay, collect := d.pick(open, "pay"), d.pick(open, "collect"); pay != nil && collect != nil {
			return d.results.book(ctx, d.client, m.BatchID, pay.Line, collect.Line)
		}
	}
	return fmt.Errorf("%w: no batch in USD has a line that pays and one that collects", errDemo)
}

// pick returns the first open line of a direction. The organisation's is left alone: its purse
// counts on what it has.
func (d *demo) pick(open []client.LineState, direction string) *client.LineState {
	for i := range open {
		if open[i].Direction == direction && open[i].Account != demoOrg {
			return &open[i]
		}
	}
	return nil
}

func (r *demoResults) book(ctx context.Context, c *client.Client, batchID string, pay, collect int) (err error) {
	if r.paid, err = c.Result(ctx, batchID, pay, client.NewResult{ID: "demo-paid", Status: "paid", Reference: "wire 1"}); err != nil {
		return err
	}
	r.failed, err = c.Result(ctx, batchID, collect, client.NewResult{ID: "demo-failed", Status: "failed", Reference: "card declined"})
	return err
}

// check wants the failed amount in the next line of its account, below zero, and nothing of the
// paid one.
func (r *demoResults) check(batches []audit.Batch) error {
	if r.paid.State == nil || r.failed.State == nil {
		return fmt.Errorf("%w: a result that was booked anew does not say how its line stands", errDemo)
	}
	var faults []error
	window := uint64(0)
	for _, b := range batches {
		if b.Manifest.BatchID == r.failed.BatchID {
			window = b.Manifest.Window
		}
	}
	if p := r.paid.State; p.Status != "paid" || !p.Paid.Equal(p.Amount.Decimal) {
		faults = append(faults, fmt.Errorf("%w: the paid line is %+v", errDemo, *p))
	}
	came := client.M("0").Decimal
	for _, b := range batches {
		for _, l := range b.Lines {
			if b.Manifest.Window <= window || b.Manifest.Currency != "USD" {
				continue
			}
			switch l.Account {
			case r.failed.State.Account:
				came = came.Add(l.Returned.Decimal)
			case audit.Operator:
			default:
				if !l.Returned.IsZero() {
					faults = append(faults, fmt.Errorf("%w: %s has %s returned in window %d", errDemo, l.Account, l.Returned, b.Manifest.Window))
				}
			}
		}
	}
	if !came.Equal(r.failed.State.Amount.Neg()) {
		faults = append(faults, fmt.Errorf("%w: %s of %s failed, its next lines have %s returned", errDemo, r.failed.State.Amount, r.failed.State.Account, came))
	}
	return errors.Join(faults...)
}

// statement reads the statement in which the failed amount came back: the last one.
func (d *demo) statement(ctx context.Context) (client.Statement, error) {
	account := d.results.failed.State.Account
	lines, err := d.client.Statements(ctx, account)
	if err != nil {
		return client.Statement{}, err
	}
	if len(lines) == 0 {
		return client.Statement{}, fmt.Errorf("%w: %s has no statements", errDemo, account)
	}
	return d.client.Statement(ctx, account, lines[len(lines)-1].Window)
}

// checkStatement adds the statement up, and holds it against the line of the batch.
func checkStatement(s *client.Statement, batches []audit.Batch) error {
	sum := s.Opening.Decimal
	for _, rows := range [][]client.StatementUsage{s.Usage, s.Corrections} {
		for _, row := range rows {
			sum = sum.Add(row.Amount.Decimal)
		}
	}
	for _, items := range [][]client.StatementItem{s.Fees, s.Losses, s.Credits, s.Charges, s.Returned, s.Payments} {
		for _, item := range items {
			sum = sum.Add(item.Amount.Decimal)
		}
	}
	if !sum.Equal(s.Closing.Decimal) {
		return fmt.Errorf("%w: the statement of %s makes %s, and says %s", errDemo, s.Account, sum, s.Closing)
	}
	for _, b := range batches {
		if b.Manifest.BatchID != s.Line.BatchID {
			continue
		}
		for _, l := range b.Lines {
			if l.Account != s.Account {
				continue
			}
			if l.Line != s.Line.Line || !l.CarriedIn.Equal(s.Opening.Decimal) || !l.CarriedOut.Equal(s.Closing.Decimal) || l.Events != s.Events {
				return fmt.Errorf("%w: the statement of %s begins with %s and ends with %s, its line with %s and %s", errDemo, s.Account, s.Opening, s.Closing, l.CarriedIn, l.CarriedOut)
			}
			return nil
		}
	}
	return fmt.Errorf("%w: the statement of %s is of a line that does not exist", errDemo, s.Account)
}

// results prints what the bank said.
func (p *demoPrinter) results(r *demoResults) {
	var rows []table.Row
	for _, x := range []client.Result{r.paid, r.failed} {
		if x.State != nil {
			rows = append(rows, table.Row{x.State.Account, x.State.Direction, x.Amount, x.Status, x.State.Status})
		}
	}
	p.table("What the bank said of two lines", table.Row{"account", "line", "amount", "result", "line then"}, rows, 3)
}

// statement prints a statement.
func (p *demoPrinter) statement(s *client.Statement) {
	var rows []table.Row
	rows = append(rows, table.Row{"opening", "", "", "", s.Opening})
	usage := func(what string, list []client.StatementUsage) {
		for _, u := range list {
			model, quantity := u.Meter, ""
			if u.Model != nil {
				model = *u.Model
			}
			if u.Quantity != nil {
				quantity = u.Quantity.String()
			}
			if u.Kind != "usage" {
				what = u.Kind
			}
			rows = append(rows, table.Row{what, model, u.Component, quantity, u.Amount})
		}
	}
	items := func(what string, list []client.StatementItem) {
		for _, i := range list {
			rows = append(rows, table.Row{what, i.Reason, "", "", i.Amount})
		}
	}
	usage("usage", s.Usage)
	items("fees", s.Fees)
	items("losses", s.Losses)
	items("credits", s.Credits)
	items("charges", s.Charges)
	usage("correction", s.Corrections)
	items("returned", s.Returned)
	items("payment", s.Payments)
	rows = append(rows, table.Row{"closing", "", "", "", s.Closing})
	p.table(fmt.Sprintf("Statement of %s, window %d, in %s", s.Account, s.Window, s.Currency),
		table.Row{"", "model, reason", "component", "quantity", "amount"}, rows, 4, 5)
	fmt.Fprintf(p.w, "(GET /v1/accounts/%s/statements/%d, for people with ?format=html or csv; opening and all items make closing)\n", s.Account, s.Window)
}
