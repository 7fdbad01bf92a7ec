package e2e

import (
	"context"
	"testing"

	"farthing/bench/audit"
	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// readBatches reads every sealed batch over HTTP.
func readBatches(ctx context.Context, t *testing.T, c *client.Client) []audit.Batch {
	t.Helper()
	manifests, err := c.Settlements(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var batches []audit.Batch
	for _, m := range manifests {
		lines, err := c.Lines(ctx, m.BatchID)
		if err != nil {
			t.Fatal(err)
		}
		batches = append(batches, audit.Batch{Manifest: m, Lines: lines})
	}
	return batches
}

// checkLines compares the windows' lines with the oracle. Which event falls in
// which window depends on where the cut fell, so each line is held to its
// equation and its chain, and the sums over all windows to the oracle.
func checkLines(t *testing.T, o *oracle, batches []audit.Batch) map[audit.Key]audit.Totals {
	t.Helper()
	kinds := map[string]string{}
	for id, a := range o.accounts {
		kinds[id] = a.kind
	}
	totals, faults := audit.Windows(batches, kinds)
	for _, fault := range faults {
		t.Error(fault)
	}
	events := uint64(0)
	for _, b := range batches {
		events += b.Manifest.Events
	}
	if events != o.events {
		t.Errorf("the manifests count %d events, want %d", events, o.events)
	}
	for id, want := range o.accounts {
		got := totals[audit.Key{Account: id, Currency: "USD"}]
		debits, credits := want.gross()
		if !got.Debits.Equal(debits) || !got.Credits.Equal(credits) {
			t.Errorf("%s: lines debit %s and credit %s, want %s and %s", id, got.Debits, got.Credits, debits, credits)
		}
		paidFor := want.events
		if want.kind == "provider" {
			paidFor = 0
		}
		if got.Events != paidFor {
			t.Errorf("%s: lines count %d events, want %d", id, got.Events, paidFor)
		}
	}
	return totals
}

// checkBalances compares posted and statement of every account with the oracle
// and with what the lines settled.
func checkBalances(ctx context.Context, t *testing.T, c *client.Client, o *oracle, totals map[audit.Key]audit.Totals) {
	t.Helper()
	for id, a := range o.accounts {
		debits, credits := a.gross()
		total := totals[audit.Key{Account: id, Currency: "USD"}]
		want := credits.Sub(debits).Sub(total.Settled)
		got, err := c.Balance(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Posted.Equal(want) || !got.Held.IsZero() {
			t.Errorf("%s: posted %s, held %s, want %s, 0", id, got.Posted, got.Held, want)
		}
		if !total.CarriedOut.Equal(want) {
			t.Errorf("%s: the last line carries out %s, posted is %s", id, total.CarriedOut, want)
		}
		transfers, err := c.Transfers(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		sum := decimal.Zero
		for _, tr := range transfers {
			sum = sum.Add(tr.Amount.Decimal)
		}
		if !sum.Equal(want) {
			t.Errorf("%s: the statement's %d transfers sum to %s, want %s", id, len(transfers), sum, want)
		}
	}
}

// checkUsage compares each customer's usage by model, component and day.
func checkUsage(ctx context.Context, t *testing.T, c *client.Client, o *oracle) {
	t.Helper()
	for id, a := range o.accounts {
		if a.kind != "customer" {
			continue
		}
		rows, err := c.Usage(ctx, id, "", "")
		if err != nil {
			t.Fatal(err)
		}
		seen := map[usageKey]bool{}
		for _, row := range rows {
			key := usageKey{row.Dimensions["model"], row.Component, row.Day}
			want, ok := a.rows[key]
			quantity := decimal.NewFromUint64(want.quantity)
			if !ok || seen[key] || !row.Quantity.Equal(quantity) || !row.Amount.Equal(want.amount) {
				t.Errorf("%s: usage %+v: %s at %s, want %s at %s (row repeated: %v)", id, key, row.Quantity, row.Amount, quantity, want.amount, seen[key])
			}
			seen[key] = true
		}
		if len(rows) != len(a.rows) {
			t.Errorf("%s: %d usage rows, want %d", id, len(rows), len(a.rows))
		}
	}
}

// sampled is the number of events that are read one by one.
const sampled = 100

// checkEvents reads some events: each component's quantity × price = amount,
// transfers from the payer to the model's provider that sum to the whole, and
// the batch of a window that is closed.
func checkEvents(ctx context.Context, t *testing.T, c *client.Client, o *oracle, s *scenario, batches []audit.Batch) {
	t.Helper()
	known := map[string]bool{}
	for _, b := range batches {
		known[b.Manifest.BatchID] = true
	}
	for i := 0; i < len(s.events); i += max(1, len(s.events)/sampled) {
		e := s.events[i]
		got, err := c.Booked(ctx, e.Source, e.ID)
		if err != nil {
			t.Fatal(err)
		}
		m := o.models[e.Model]
		want := m.cost(e)
		components, moved := decimal.Zero, decimal.Zero
		for _, part := range got.Components {
			if product := part.Quantity.Mul(part.Price.Decimal); !product.Equal(part.Amount.Decimal) {
				t.Errorf("%s: %s %s at %s is %s, not %s", e.ID, part.Quantity, part.Component, part.Price, product, part.Amount)
			}
			components = components.Add(part.Amount.Decimal)
		}
		for _, tr := range got.Transfers {
			if tr.Debit != e.Subject || tr.Credit != m.provider {
				t.Errorf("%s: a transfer from %s to %s", e.ID, tr.Debit, tr.Credit)
			}
			moved = moved.Add(tr.Amount.Decimal)
		}
		if !got.Priced || got.Subject != e.Subject || !got.Amount.Equal(want) || !components.Equal(want) || !moved.Equal(want) {
			t.Errorf("%s: amount %s, components %s, transfers %s, want %s: %+v", e.ID, got.Amount, components, moved, want, got)
		}
		if !known[got.BatchID] {
			t.Errorf("%s: settled in no known batch: %q", e.ID, got.BatchID)
		}
	}
}

// checkTrial checks that debits equal credits and that anything was booked.
func checkTrial(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	rows, err := c.TrialBalance(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || rows[0].Currency != "USD" || !rows[0].Debits.Equal(rows[0].Credits.Decimal) || !rows[0].Debits.IsPositive() {
		t.Errorf("trial balance %+v", rows)
	}
}

// checkNothingLeft closes one more window: there is nothing to settle, so it
// has no batch.
func (f *flow) checkNothingLeft(ctx context.Context) {
	f.t.Helper()
	if closed := f.closeWindow(ctx); len(closed.Batches) != 0 {
		f.t.Errorf("an empty window has batches: %+v", closed.Batches)
	}
}
