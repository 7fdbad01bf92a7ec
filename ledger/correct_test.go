package ledger

import "testing"

// correction is one row of the tables below: what a customer has before usage and gets
// between usage and its correction, and what then goes where.
type correction struct {
	before, usage, since, back string // back is below zero: it goes to the payer
	paid, receivable           string // how the correction was split
	posted                     string // the customer's after all
}

func (c *correction) run(t *testing.T, payee func(*books) Ref, fee, backFee string) *books {
	t.Helper()
	b := newBooks(t)
	put := func(text string) {
		switch a := amt(t, text); a.Sign() {
		case 1:
			b.l.TopUp(b.acme, a)
		case -1:
			b.l.posted(&Usage{Payer: b.acme, Payee: b.op, Amount: a.Neg()})
		}
	}
	put(c.before)
	b.l.posted(&Usage{Payer: b.acme, Payee: payee(b), Amount: amt(t, c.usage), Fee: amt(t, fee)})
	put(c.since)
	got := b.l.corrected(&Usage{Payer: b.acme, Payee: payee(b), Amount: amt(t, c.back), Fee: amt(t, backFee)})
	if got.Paid != amt(t, c.paid) || got.Receivable != amt(t, c.receivable) {
		t.Errorf("%+v: %s to paid, %s to the receivable", c, got.Paid, got.Receivable)
	}
	if posted := b.l.Rows.At(uint32(b.acme)).Posted(Customer); posted != amt(t, c.posted) {
		t.Errorf("%+v: posted %s", c, posted)
	}
	b.balanced()
	return b
}

// TestCorrectionsRepay is the table of where taking usage back goes: to the receivable as far
// as something is owed, the rest to paid credit.
func TestCorrectionsRepay(t *testing.T) {
	f := func(c correction) {
		t.Helper()
		for _, payee := range []func(*books) Ref{func(b *books) Ref { return b.op }, func(b *books) Ref { return b.prov }} {
			b := c.run(t, payee, "0", "0")
			if _, credits, events := b.l.Rows.At(uint32(b.acme)).Gross(1); events > 2 || credits.Cmp(amt(t, c.back).Neg()) < 0 {
				t.Errorf("%+v: a correction is no event (%d), its gross is %s", c, events, credits)
			}
		}
	}
	// before, usage, since, back → to paid, to the receivable, posted
	f(correction{"10", "4", "0", "-4", "-4", "0", "10"})
	f(correction{"0", "4", "0", "-4", "0", "-4", "0"})
	f(correction{"3", "4", "0", "-4", "-3", "-1", "3"})
	f(correction{"3", "4", "1", "-4", "-4", "0", "4"}) // what was owed is repaid: credit
	f(correction{"3", "4", "0.5", "-4", "-3.5", "-0.5", "3.5"})
	f(correction{"4", "4", "-6", "-4", "0", "-4", "-2"}) // what was owed since comes first
	f(correction{"0", "4", "-6", "-4", "0", "-4", "-6"})
	f(correction{"3", "4", "-6", "-4", "0", "-4", "-3"})
	f(correction{"0", "4", "9", "-4", "-4", "0", "9"})   // topped up far beyond
	f(correction{"10", "4", "0", "-5", "-5", "0", "11"}) // more than it took, nothing owed
	f(correction{"3", "4", "-6", "-9", "-2", "-7", "2"}) // the rest repays like a top-up
	f(correction{"3", "4", "-1", "-9", "-7", "-2", "7"})
	f(correction{"3", "4", "0", "-2", "-1", "-1", "1"}) // a part: the receivable first
	f(correction{"3", "4", "0", "-0.5", "0", "-0.5", "-0.5"})
	f(correction{"3", "4", "0", "0", "0", "0", "-1"})
	f(correction{"3", "4", "0", "2", "0", "2", "-3"}) // taking back may charge: in burn order
	f(correction{"9", "4", "0", "2", "2", "0", "3"})
	f(correction{"5", "4", "0", "2", "1", "1", "-1"})
	f(correction{"0", "0", "0", "-3", "-3", "0", "3"})
	f(correction{"0.000000000000000001", "0.000000000000000002", "0", "-0.000000000000000002", "-0.000000000000000001", "-0.000000000000000001", "0.000000000000000001"})
}

// TestCorrectionsOfTheEarners shows what providers and the operator give back, below zero too.
func TestCorrectionsOfTheEarners(t *testing.T) {
	f := func(payee func(*books) Ref, fee, back, backFee, provider, provDebits, revenue, fees, operatorDebits string) {
		t.Helper()
		c := correction{"20", "10", "0", back, back, "0", amt(t, "10").MustSub(amt(t, back)).String()}
		b := c.run(t, payee, fee, backFee)
		prov, totals := b.l.Rows.At(uint32(b.prov)), b.l.Totals(currency(t, "USD"))
		debits, _, events := prov.Gross(1)
		if prov.Posted(Provider) != amt(t, provider) || debits != amt(t, provDebits) || events != 0 {
			t.Errorf("%s of %s back: the provider has %s, gross debits %s, %d events", back, c.usage, prov.Posted(Provider), debits, events)
		}
		if totals.Class[Revenue].Credit() != amt(t, revenue) || totals.Class[Fees].Credit() != amt(t, fees) || totals.Events != 1 {
			t.Errorf("%s of %s back: %+v", back, c.usage, totals)
		}
		// The top-up of 20 is the operator's debit too.
		if got := totals.GrossDebits.MustSub(amt(t, "20")); got != amt(t, operatorDebits) {
			t.Errorf("%s of %s back: the operator's gross debits are %s", back, c.usage, got)
		}
	}
	operator := func(b *books) Ref { return b.op }
	provider := func(b *books) Ref { return b.prov }
	f(operator, "0", "-10", "0", "0", "0", "0", "0", "10")
	f(operator, "0", "-13", "0", "0", "0", "-3", "0", "13")
	f(provider, "0", "-10", "0", "0", "10", "0", "0", "0")
	f(provider, "1", "-10", "-1", "0", "9", "0", "0", "1")
	f(provider, "1", "-13", "-1.3", "-2.7", "11.7", "0", "-0.3", "1.3") // the provider owes, the next line carries it
	f(provider, "10", "-10", "-10", "0", "0", "0", "0", "10")
}
