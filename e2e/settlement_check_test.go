package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// differences holds a batch's lines, in the order in which they came, against the oracle's, field
// by field. At most one fault for each line.
func (b *settledBatch) differences(got []client.Line) (faults []error) {
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("window %d %s: %s", b.window, b.currency, fmt.Sprintf(format, args...)))
	}
	if len(got) != len(b.lines) {
		fault("%d lines, want %d", len(got), len(b.lines))
	}
	for i := range min(len(got), len(b.lines)) {
		if want, is := lineText(b.lines[i].Line), lineText(got[i]); is != want {
			fault("a line is\n\t%s, want\n\t%s", is, want)
		}
	}
	return faults
}

// lineText is equal for equal lines: decimals are minimal.
func lineText(l client.Line) string {
	return fmt.Sprintf("%d %s %s %s: in %s + returned %s + %s - %s, out %s, %d events",
		l.Line, l.Account, l.Direction, l.Amount, l.CarriedIn, l.Returned, l.GrossCredits, l.GrossDebits, l.CarriedOut, l.Events)
}

// settledManifest is a manifest as it is shown, with what the client leaves out.
type settledManifest struct {
	client.Manifest
	Ledger    string                  `json:"ledger"`
	Lines     int                     `json:"lines"`
	LinesHash string                  `json:"lines_hash"`
	Sums      map[string]client.Money `json:"sums"`
}

// sums are what the manifest must sum its lines to.
func (b *settledBatch) sums() map[string]decimal.Decimal {
	out := map[string]decimal.Decimal{}
	for _, l := range b.lines {
		for name, amount := range map[string]client.Money{"carried_in": l.CarriedIn, "carried_out": l.CarriedOut, "gross_credits": l.GrossCredits,
			"gross_debits": l.GrossDebits, "returned": l.Returned} {
			out[name] = out[name].Add(amount.Decimal)
		}
		for name, direction := range map[string]string{"paid": "pay", "collected": "collect"} {
			if l.Direction != direction {
				out[name] = out[name].Add(decimal.Zero)
				continue
			}
			out[name] = out[name].Add(l.Amount.Decimal)
		}
	}
	return out
}

// manifestFaults holds a manifest against the oracle's batch and against the one before it. raw
// and before are the canonical bytes; before is nil for the first of its currency.
func (b *settledBatch) manifestFaults(raw, before []byte) (faults []error) {
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("manifest of window %d %s: %s", b.window, b.currency, fmt.Sprintf(format, args...)))
	}
	var m settledManifest
	if err := json.Unmarshal(raw, &m); err != nil {
		fault("%v in %s", err, raw)
		return faults
	}
	if m.BatchID != b.id || m.Window != b.window || m.Currency != b.currency || m.Events != b.events || m.Lines != len(b.lines) {
		fault("%s, window %d, %s, %d events, %d lines; want %s, %d events, %d lines", m.BatchID, m.Window, m.Currency, m.Events, m.Lines, b.id, b.events, len(b.lines))
	}
	scope, err := json.Marshal([]any{m.Ledger, m.Partition, m.Window, m.Currency, m.FirstSequence, m.LastSequence})
	if id := sha256.Sum256(scope); err != nil || m.BatchID != hex.EncodeToString(id[:]) {
		fault("the batch id is not the hash of %s", scope)
	}
	want := b.sums()
	for name, sum := range want {
		if got, ok := m.Sums[name]; !ok || !got.Equal(sum) {
			fault("%s sums to %s, want %s", name, got, sum)
		}
	}
	if len(m.Sums) != len(want) {
		fault("the sums are %v", m.Sums)
	}
	if !want["gross_debits"].Equal(want["gross_credits"]) || !want["returned"].IsZero() {
		fault("the oracle's own sums do not balance: %v", want) // a check of the oracle
	}
	previous := hex.EncodeToString(make([]byte, sha256.Size))
	if before != nil {
		hash := sha256.Sum256(before)
		previous = hex.EncodeToString(hash[:])
	}
	if string(m.Previous) != `"`+previous+`"` {
		fault("previous is %s, want %s", m.Previous, previous)
	}
	return faults
}

// checkTopic holds every record that the independent consumer applied against the oracle.
func (o *settlementOracle) topicFaults(s *settlements) (faults []error) {
	before := map[string][]byte{}
	for _, b := range o.batches {
		var lines []client.Line
		for _, raw := range s.lines[b.id] {
			var l client.Line
			if err := json.Unmarshal(raw, &l); err != nil {
				faults = append(faults, fmt.Errorf("%w in %s", err, raw))
			}
			lines = append(lines, l)
		}
		faults = append(faults, b.differences(lines)...)
		faults = append(faults, b.manifestFaults(s.sealed[b.id], before[b.currency])...)
		before[b.currency] = s.sealed[b.id]
	}
	if len(s.sealed) != len(o.batches) {
		faults = append(faults, fmt.Errorf("%d manifests, want %d", len(s.sealed), len(o.batches)))
	}
	return faults
}

// checkAccounts compares what every participant has.
func (o *settlementOracle) checkAccounts(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	for id, p := range o.parties {
		got, err := c.Balance(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if !got.Posted.Equal(p.position()) || !got.Held.IsZero() || got.Currency != p.currency {
			t.Errorf("%s: posted %s %s, held %s, want %s %s, 0", id, got.Posted, got.Currency, got.Held, p.position(), p.currency)
		}
	}
}

// classTotal is one class of accounts in the trial balance.
type classTotal struct {
	Debits  client.Money `json:"debits"`
	Credits client.Money `json:"credits"`
}

func (c classTotal) balance() decimal.Decimal { return c.Debits.Sub(c.Credits.Decimal) }

// trialFaults holds cash, what is in transit and what is owed against the oracle; moved is what
// the bank moved, by its own book.
func (o *settlementOracle) trialFaults(rows []client.Trial, moved map[string]decimal.Decimal) (faults []error) {
	if len(rows) != len(o.house) {
		faults = append(faults, fmt.Errorf("the trial balance has %d currencies, want %d", len(rows), len(o.house)))
	}
	for _, row := range rows {
		fault := func(format string, args ...any) {
			faults = append(faults, fmt.Errorf("trial balance of %s: %s", row.Currency, fmt.Sprintf(format, args...)))
		}
		var classes map[string]classTotal
		if err := json.Unmarshal(row.Accounts, &classes); err != nil {
			fault("%v", err)
		}
		if !row.Debits.Equal(row.Credits.Decimal) || !row.Debits.IsPositive() {
			fault("debits %s, credits %s", row.Debits, row.Credits)
		}
		pay, collect := decimal.Zero, decimal.Zero
		for _, b := range o.batches {
			if b.currency == row.Currency {
				_, p, c := b.transit()
				pay, collect = pay.Add(p), collect.Add(c)
			}
		}
		payable, customers := decimal.Zero, decimal.Zero
		for _, p := range o.parties {
			switch {
			case p.currency != row.Currency:
			case p.kind == "provider":
				payable = payable.Add(p.position())
			default:
				customers = customers.Add(p.position())
			}
		}
		f := func(what string, got, want decimal.Decimal) {
			if !got.Equal(want) {
				fault("%s is %s, want %s", what, got, want)
			}
		}
		f("cash", classes["cash"].balance(), o.cash[row.Currency])
		f("cash", classes["cash"].balance(), moved[row.Currency])
		f("in transit", classes["in_transit"].balance(), collect.Sub(pay))
		f("payable", classes["payable"].balance(), payable.Neg())
		f("what customers have", classes["paid"].balance().Add(classes["receivable"].balance()), customers.Neg())
	}
	return faults
}
