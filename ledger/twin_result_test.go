package ledger

import (
	"testing"

	"github.com/shopspring/decimal"

	"farthing/money"
)

// settle is the twin's side of Settle.
func (w *twin) settle(r Ref, signed decimal.Decimal) {
	amount := signed.Abs()
	from, to := Cash, InTransit // of a collection: what is outside is more, what is under way less
	if signed.IsPositive() {
		from, to = InTransit, Cash
	} else {
		w.accounts[r].transit = w.accounts[r].transit.Sub(amount)
	}
	w.flow(0, w.operators(r, from, amount), w.operators(r, to, amount))
}

// resultBack is the twin's side of GiveBack.
func (w *twin) resultBack(r Ref, signed decimal.Decimal, class Class) {
	a, amount := w.accounts[r], signed.Abs()
	if signed.IsPositive() {
		w.flow(0, w.operators(r, class, amount), []twinSide{{a, Payable, amount}})
	} else {
		if class == InTransit {
			a.transit = a.transit.Sub(amount)
		}
		a.bought = a.bought.Sub(amount)
		w.flow(0, a.purse(amount), w.operators(r, class, amount))
	}
	a.returned = a.returned.Add(signed)
	w.operator[a.currency].returned = w.operator[a.currency].returned.Sub(signed)
}

// closed is a line that was closed, and what became of its amount.
type closed struct {
	ref        Ref
	sign       decimal.Decimal
	open, paid money.Amount
}

// result tells what became of a part of a line, or of all of it, in any order that makes sense.
func (h *history) result() {
	if len(h.sent) == 0 {
		return
	}
	line := &h.sent[h.rng.IntN(len(h.sent))]
	signed := func(a money.Amount) money.Amount { return h.exact(a.Decimal().Mul(line.sign)) }
	switch h.rng.IntN(3) {
	case 0:
		if a := h.most(line.open); !a.IsZero() {
			line.open, line.paid = line.open.MustSub(a), line.paid.MustAdd(a)
			h.l.Settle(line.ref, signed(a))
			h.w.settle(line.ref, signed(a).Decimal())
			h.happened("paid", true)
			h.happened("partially-paid", !line.open.IsZero())
		}
	case 1:
		if a := h.most(line.open); !a.IsZero() {
			line.open = line.open.MustSub(a)
			h.giveBack(line, signed(a), InTransit)
			h.happened("failed", true)
		}
	default:
		if a := h.most(line.paid); !a.IsZero() {
			line.paid = line.paid.MustSub(a)
			h.giveBack(line, signed(a), Cash)
			h.happened("returned", true)
		}
	}
}

func (h *history) giveBack(line *closed, signed money.Amount, from Class) {
	row := h.l.Rows.At(uint32(line.ref))
	h.happened("back-from-spent", signed.Sign() < 0 && row.Paid.Credit().Cmp(signed.Abs()) < 0)
	h.happened("back-from-held", signed.Sign() < 0 && row.Paid.Credit().MustSub(row.Held).Cmp(signed.Abs()) < 0)
	h.l.GiveBack(line.ref, signed, from)
	h.w.resultBack(line.ref, signed.Decimal(), from)
}

// TestGiveBackOfLines shows what is moved when a collection and a payout fail, and when they come back
// after they were paid.
func TestGiveBackOfLines(t *testing.T) {
	for _, from := range []Class{InTransit, Cash} {
		b := newBooks(t)
		usd := currency(t, "USD")
		totals := b.l.Totals(usd)
		b.l.posted(&Usage{Payer: b.acme, Payee: b.prov, Amount: amt(t, "5"), Fee: amt(t, "1")})
		b.l.Cut()
		b.l.Close(b.acme, amt(t, "-5"), money.Amount{})
		b.l.Close(b.prov, amt(t, "4"), money.Amount{})
		b.l.TopUp(b.acme, amt(t, "3"))
		acme, prov := b.l.Rows.At(uint32(b.acme)), b.l.Rows.At(uint32(b.prov))
		if left := acme.Refundable(); !left.IsZero() {
			t.Fatalf("%s is paid back of what may have to make up for a collection", left)
		}
		if from == Cash {
			b.l.Settle(b.acme, amt(t, "-5"))
			b.l.Settle(b.prov, amt(t, "4"))
			if acme.Refundable() != amt(t, "3") || !totals.Class[InTransit].Credit().IsZero() || totals.Class[Cash].Debit() != amt(t, "4") || !acme.Transit.IsZero() {
				t.Fatalf("paid: %+v, %+v", totals, acme)
			}
		}
		b.l.GiveBack(b.acme, amt(t, "-5"), from)
		thresholds := make([]money.Amount, money.Currencies())
		thresholds[usd.Index()] = amt(t, "4")
		b.l.Watch(thresholds)
		b.l.GiveBack(b.prov, amt(t, "4"), from)
		b.balanced()
		if !b.l.Passed() {
			t.Error("what came back counts for the threshold")
		}
		if acme.Due.Debit() != amt(t, "2") || !acme.Paid.Credit().IsZero() || acme.Bought != amt(t, "3") || !acme.Transit.IsZero() {
			t.Errorf("acme, from %s: %+v", from, acme)
		}
		if prov.Due.Credit() != amt(t, "4") || b.l.Returned(b.prov) != amt(t, "4") || b.l.Returned(b.acme) != amt(t, "-5") || b.l.Returned(b.op) != amt(t, "1") {
			t.Errorf("from %s: %+v, returned %v", from, prov, b.l.returned)
		}
		if debits, credits, _ := acme.Gross(2); !debits.IsZero() || credits != amt(t, "3") {
			t.Errorf("results are nobody's gross: %s, %s", debits, credits)
		}
		if !totals.Class[InTransit].Credit().IsZero() || totals.Class[Cash].Debit() != amt(t, "3") {
			t.Errorf("from %s: in transit %s, cash %s", from, totals.Class[InTransit].Credit(), totals.Class[Cash].Debit())
		}
		if _, returned := b.l.Cut(); len(returned) != 3 || b.l.HasReturned() {
			t.Errorf("the cut takes them along: %v", returned)
		}
	}
}

// TestNothingIsPaidBackTwice: a payment comes back through the bank after it was refunded. What the
// customer tops up then makes up for that, and is not there to be paid back.
func TestNothingIsPaidBackTwice(t *testing.T) {
	b := newBooks(t)
	b.l.posted(&Usage{Payer: b.acme, Payee: b.prov, Amount: amt(t, "10")})
	b.l.Cut()
	b.l.Close(b.acme, amt(t, "-10"), money.Amount{})
	b.l.Settle(b.acme, amt(t, "-10"))
	b.l.corrected(&Usage{Payer: b.acme, Payee: b.prov, Amount: amt(t, "-10")})
	acme := b.l.Rows.At(uint32(b.acme))
	if acme.Refundable() != amt(t, "10") {
		t.Fatalf("%+v", acme)
	}
	b.l.Refund(b.acme, amt(t, "10"))
	b.l.GiveBack(b.acme, amt(t, "-10"), Cash)
	b.l.TopUp(b.acme, amt(t, "10"))
	b.l.corrected(&Usage{Payer: b.acme, Payee: b.prov, Amount: amt(t, "-3")})
	b.balanced()
	if acme.Paid.Credit() != amt(t, "3") || !acme.Refundable().IsZero() {
		t.Fatalf("of %s credit %s is paid back; the customer paid nothing in all", acme.Paid.Credit(), acme.Refundable())
	}
	b.l.TopUp(b.acme, amt(t, "2"))
	if acme.Refundable() != amt(t, "2") {
		t.Fatalf("%s of 2 is paid back", acme.Refundable())
	}
	if row, _, err := DecodeRow(acme.Append(nil)); err != nil || row != *acme {
		t.Fatalf("%+v, %v", row, err)
	}
}
