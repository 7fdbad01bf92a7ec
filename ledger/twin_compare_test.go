package ledger

import (
	"slices"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/money"
)

// compare checks everything that the ledger says against the twin.
func (w *twin) compare(t *testing.T, l *Ledger, settled bool) {
	t.Helper()
	if err := l.Balanced(); err != nil {
		t.Fatal(err)
	}
	for i, a := range w.accounts {
		gross, events := a.grossOf(w.window), a.events[w.window]
		var posted, carried, grossDebits, grossCredits money.Amount
		var count uint64
		if totals := l.Totals(a.currency); a.kind == Operator {
			posted, carried, grossDebits, grossCredits, count = totals.OperatorPosted(), totals.CarriedIn, totals.GrossDebits, totals.GrossCredits, totals.Events
			if row := l.Rows.At(uint32(i)); *row != (Row{Window: row.Window}) {
				t.Fatalf("the operator's row is not empty: %+v", row)
			}
		} else {
			row := l.Rows.At(uint32(i))
			posted, carried = row.Posted(a.kind), row.CarriedIn
			grossDebits, grossCredits, count = row.Gross(l.Window())
			w.compareRow(t, i, row)
		}
		same := func(what string, got money.Amount, want decimal.Decimal) {
			t.Helper()
			w.same(t, i, what, got, want)
		}
		same("posted", posted, a.posted())
		same("carried_in", carried, a.carried)
		same("returned", l.Returned(Ref(i)), a.returned)
		same("gross_debits", grossDebits, gross.debits)
		same("gross_credits", grossCredits, gross.credits)
		if count != events {
			t.Fatalf("account %d: %d events, the twin has %d", i, count, events)
		}
		if settled { // what lines moved is not in what the operator carries
			same("carried_in + returned + gross", posted, a.carried.Add(a.returned).Add(gross.credits).Sub(gross.debits).Add(a.closed))
		}
	}
	w.compareGrants(t, l)
	w.compareClasses(t, l)
	grossAgree(t, l, l.Window(), l.AllTotals())
}

func (w *twin) same(t *testing.T, account int, what string, got money.Amount, want decimal.Decimal) {
	t.Helper()
	if a := w.accounts[account]; !got.Decimal().Equal(want) {
		t.Fatalf("account %d (%s %s): %s is %s, the twin has %s", account, a.currency, a.kind, what, got, want)
	}
}

// compareRow compares what a row says of its credit.
func (w *twin) compareRow(t *testing.T, i int, row *Row) {
	t.Helper()
	a := w.accounts[i]
	same := func(what string, got money.Amount, want decimal.Decimal) {
		t.Helper()
		w.same(t, i, what, got, want)
	}
	if a.kind == Provider {
		same("payable", row.Due.Credit(), a.balance[Payable])
		if other := (Row{Due: row.Due, GrossDebits: row.GrossDebits, GrossCredits: row.GrossCredits, CarriedIn: row.CarriedIn, Window: row.Window}); *row != other {
			t.Fatalf("account %d: a provider has nothing but a payable: %+v", i, row)
		}
		return
	}
	var granted decimal.Decimal
	for _, g := range w.open(Ref(i)) {
		granted = granted.Add(g.left)
	}
	same("paid", row.Paid.Credit(), a.balance[Paid])
	same("receivable", row.Due.Debit(), a.balance[Receivable].Neg())
	same("granted", row.Granted, granted)
	same("held", row.Held, a.held)
	same("in_transit", row.Transit, a.transit)
	same("refundable", row.Refundable(), a.refundable())
	same("free", row.Free(money.FromWords(0, 7)), a.free(money.FromWords(0, 7).Decimal()))
	if row.Paid.Credit().Sign() < 0 || row.Due.Debit().Sign() < 0 {
		t.Fatalf("account %d: %s paid, %s owed", i, row.Paid.Credit(), row.Due.Debit())
	}
}

// compareGrants compares every grant, and every account's chain: the grants that have something
// left, each once, in burn order.
func (w *twin) compareGrants(t *testing.T, l *Ledger) {
	t.Helper()
	if int(l.Grants.Len()) != len(w.grants) {
		t.Fatalf("%d grants, the twin has %d", l.Grants.Len(), len(w.grants))
	}
	for i, want := range w.grants {
		g := l.Grants.At(uint32(i))
		if !g.Left().Decimal().Equal(want.left) || !g.Held.Decimal().Equal(want.held) || !g.Free().Decimal().Equal(want.free()) ||
			!g.Expired.Decimal().Equal(want.expired) {
			t.Fatalf("grant %d: %s left, %s held, %s free, %s expired; the twin has %+v", i, g.Left(), g.Held, g.Free(), g.Expired, want)
		}
		if g.Account != want.account || g.Kind != want.kind || g.Priority != want.priority || g.Expires != want.expires || g.Scope != want.scope {
			t.Fatalf("grant %d: %+v, the twin has %+v", i, g, want)
		}
		if g.Linked != want.left.IsPositive() || (!g.Linked && g.Next != 0) {
			t.Fatalf("grant %d with %s left: %+v", i, g.Left(), g)
		}
	}
	for r, a := range w.accounts {
		var chain, want []uint32
		all := a.held
		var left, held decimal.Decimal
		for n := l.Rows.At(uint32(r)).Grants; n != 0 && len(chain) <= len(w.grants); n = l.Grants.At(n - 1).Next {
			chain = append(chain, n-1)
		}
		for _, g := range w.grants {
			if g.account == Ref(r) {
				all = all.Add(g.held)
			}
		}
		for _, g := range w.open(Ref(r)) {
			want = append(want, g.number)
			if g.scope == 0 {
				left, held = left.Add(g.left), held.Add(g.held)
			}
		}
		if !slices.Equal(chain, want) {
			t.Fatalf("account %d: chain %v, the twin has %v", r, chain, want)
		}
		w.same(t, r, "held on all", l.Held(Ref(r)), all)
		gotLeft, gotHeld := l.Unscoped(Ref(r))
		w.same(t, r, "unscoped grants", gotLeft, left)
		w.same(t, r, "held on unscoped grants", gotHeld, held)
	}
}

// compareClasses compares the trial balance; the operator's collections and payouts in
// transit are the twin's other side of the closing transfers.
func (w *twin) compareClasses(t *testing.T, l *Ledger) {
	t.Helper()
	for c := range w.operator {
		var sum decimal.Decimal
		for class := range NumClasses {
			want := decimal.Decimal{}
			for _, a := range w.accounts {
				if a.currency == c {
					want = want.Add(a.balance[class])
				}
			}
			got := l.Totals(c).Class[class].Credit().Decimal()
			if !got.Equal(want) {
				t.Fatalf("%s %s: %s, the twin has %s", c, class, got, want)
			}
			sum = sum.Add(got)
		}
		if !sum.IsZero() {
			t.Fatalf("%s: all accounts come to %s", c, sum)
		}
	}
}

// grossAgree checks what a settlement batch is checked for: in a window's figures, as lines say
// them, all debits of a currency are all its credits, and its events are those of its payers.
// The operator's figures are in totals.
func grossAgree(t *testing.T, l *Ledger, window uint64, totals []Totals) {
	t.Helper()
	for _, c := range l.Currencies() {
		debits, credits, events := totals[c].GrossDebits, totals[c].GrossCredits, uint64(0)
		for i, p := range l.Participants() {
			if p.Currency.Index() == c && p.Kind != Operator {
				d, k, n := l.Rows.At(uint32(i)).Gross(window)
				debits, credits, events = debits.MustAdd(d), credits.MustAdd(k), events+n
			}
		}
		if debits != credits || events != totals[c].Events {
			t.Fatalf("%s, window %d: gross debits %s, gross credits %s; %d events of %d", money.CurrencyAt(c), window, debits, credits, events, totals[c].Events)
		}
	}
}
