package ledger

import (
	"strings"
	"testing"

	"farthing/money"
)

func currency(t testing.TB, code string) money.Currency {
	t.Helper()
	c, ok := money.Lookup(code)
	if !ok {
		t.Fatalf("no currency %s", code)
	}
	return c
}

func amt(t testing.TB, text string) money.Amount {
	t.Helper()
	a, err := money.Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return a
}

// books is a ledger with one customer and one provider in USD.
type books struct {
	t              testing.TB
	l              *Ledger
	acme, prov, op Ref
}

func newBooks(t testing.TB) *books {
	b := &books{t: t, l: New(1)}
	usd := currency(t, "USD")
	b.acme = b.l.Create(&Participant{ID: "acme", Currency: usd, Kind: Customer, Parent: NoRef, Billing: Postpaid})
	b.prov = b.l.Create(&Participant{ID: "prov", Currency: usd, Kind: Provider, Parent: NoRef})
	b.op = b.l.Totals(usd).Operator
	return b
}

func (b *books) balanced() {
	b.t.Helper()
	if err := b.l.Balanced(); err != nil {
		b.t.Fatal(err)
	}
}

// TestCreateMakesOneOperatorPerCurrency shows who gets which number.
func TestCreateMakesOneOperatorPerCurrency(t *testing.T) {
	l := New(7)
	usd, jpy := currency(t, "USD"), currency(t, "JPY")
	refs := []Ref{
		l.Create(&Participant{ID: "a", Currency: usd, Kind: Customer, Parent: NoRef, Sequence: 4, Time: 9}),
		l.Create(&Participant{ID: "b", Currency: usd, Kind: Provider, Parent: NoRef}),
		l.Create(&Participant{ID: "c", Currency: jpy, Kind: Customer, Parent: NoRef}),
	}
	if refs[0] != 1 || refs[1] != 2 || refs[2] != 4 {
		t.Fatalf("refs %v", refs)
	}
	people := l.Participants()
	if len(people) != 5 || l.Rows.Len() != 5 {
		t.Fatalf("%d participants, %d rows", len(people), l.Rows.Len())
	}
	for ref, want := range map[Ref]money.Currency{0: usd, 3: jpy} {
		p := l.Participant(ref)
		if p.ID != OperatorID || p.Kind != Operator || p.Currency != want || l.Totals(want).Operator != ref {
			t.Fatalf("operator %d: %+v", ref, p)
		}
	}
	if p := people[0]; p.Sequence != 4 || p.Time != 9 {
		t.Fatalf("the operator was made with its currency's first participant: %+v", p)
	}
	if got := l.Currencies(); len(got) != 2 || got[0] != jpy.Index() || got[1] != usd.Index() {
		t.Fatalf("currencies in use: %v", got)
	}
	if l.Rows.At(1).Window != 7 || l.Window() != 7 {
		t.Fatal("a new row belongs to the open window")
	}
}

// TestCreateKnowsTheTree shows root and depth of accounts with parents.
func TestCreateKnowsTheTree(t *testing.T) {
	l := New(1)
	usd := currency(t, "USD")
	parents := []Ref{NoRef, 1, 2, NoRef, 2, 4}
	wantRoot := []Ref{1, 1, 1, 4, 1, 4}
	wantDepth := []uint8{1, 2, 3, 1, 3, 2}
	for i, parent := range parents {
		r := l.Create(&Participant{ID: "p", Currency: usd, Kind: Customer, Parent: parent})
		if p := l.Participant(r); int(r) != i+1 || p.Root != wantRoot[i] || p.Depth != wantDepth[i] {
			t.Errorf("account %d under %d: root %d, depth %d", r, parent, p.Root, p.Depth)
		}
	}
	if p := l.Participant(0); p.Root != 0 || p.Depth != 1 {
		t.Errorf("the operator: %+v", p)
	}
}

// TestBurnOrder is the table of how usage is taken and how top-ups repay.
func TestBurnOrder(t *testing.T) {
	f := func(before, amount, wantPaid, wantReceivable, wantPosted string) {
		t.Helper()
		b := newBooks(t)
		switch a := amt(t, before); a.Sign() {
		case 1:
			b.l.TopUp(b.acme, a)
		case -1:
			b.l.posted(&Usage{Payer: b.acme, Payee: b.op, Amount: a.Neg()})
		}
		split := b.l.posted(&Usage{Payer: b.acme, Payee: b.prov, Amount: amt(t, amount)})
		if split.Paid != amt(t, wantPaid) || split.Receivable != amt(t, wantReceivable) {
			t.Errorf("%s from %s: %s from paid, %s owed", amount, before, split.Paid, split.Receivable)
		}
		if got := b.l.Rows.At(uint32(b.acme)).Posted(Customer); got != amt(t, wantPosted) {
			t.Errorf("%s from %s: posted %s, want %s", amount, before, got, wantPosted)
		}
		b.balanced()
	}
	f("0", "5", "0", "5", "-5")
	f("10", "5", "5", "0", "5")
	f("5", "5", "5", "0", "0")
	f("3", "5", "3", "2", "-2")
	f("-2", "5", "0", "5", "-7")
	f("0", "0", "0", "0", "0")
	f("3", "0", "0", "0", "3")
	f("0.000000000000000001", "0.000000000000000002", "0.000000000000000001", "0.000000000000000001", "-0.000000000000000001")

	g := func(owed, amount, wantReceivable, wantPaid, wantPosted string) {
		t.Helper()
		b := newBooks(t)
		b.l.posted(&Usage{Payer: b.acme, Payee: b.op, Amount: amt(t, owed)})
		b.l.TopUp(b.acme, amt(t, amount))
		row := b.l.Rows.At(uint32(b.acme))
		if row.Paid.Credits != amt(t, wantPaid) || !row.Paid.Debits.IsZero() || row.Due.Credits != amt(t, wantReceivable) || row.Due.Debits != amt(t, owed) {
			t.Errorf("top-up of %s on %s owed: %s to paid, %s repaid", amount, owed, row.Paid.Credits, row.Due.Credits)
		}
		if got := b.l.Rows.At(uint32(b.acme)).Posted(Customer); got != amt(t, wantPosted) {
			t.Errorf("top-up of %s on %s owed: posted %s, want %s", amount, owed, got, wantPosted)
		}
		b.balanced()
	}
	g("0", "5", "0", "5", "5")
	g("2", "5", "2", "3", "3")
	g("5", "5", "5", "0", "0")
	g("7", "5", "5", "0", "-2")
}

// TestWhoEarns shows where an event's amount goes with and without payee and fee.
func TestWhoEarns(t *testing.T) {
	f := func(payee func(*books) Ref, amount, fee, provider, revenue, fees, operatorGross string) {
		t.Helper()
		b := newBooks(t)
		b.l.posted(&Usage{Payer: b.acme, Payee: payee(b), Amount: amt(t, amount), Fee: amt(t, fee)})
		totals := b.l.Totals(currency(t, "USD"))
		prov := b.l.Rows.At(uint32(b.prov))
		_, provCredits, provEvents := prov.Gross(1)
		if got := prov.Posted(Provider); got != amt(t, provider) || provCredits != got || provEvents != 0 {
			t.Errorf("provider has %s, gross %s, events %d", got, provCredits, provEvents)
		}
		if totals.Class[Revenue].Credit() != amt(t, revenue) || totals.Class[Fees].Credit() != amt(t, fees) ||
			totals.GrossCredits != amt(t, operatorGross) || totals.Events != 1 || totals.OperatorPosted() != amt(t, operatorGross) {
			t.Errorf("%s with fee %s: %+v", amount, fee, totals)
		}
		if debits, credits, events := b.l.Rows.At(uint32(b.acme)).Gross(1); debits != amt(t, amount) || !credits.IsZero() || events != 1 {
			t.Errorf("payer's gross: %s %s %d", debits, credits, events)
		}
		b.balanced()
	}
	operator := func(b *books) Ref { return b.op }
	provider := func(b *books) Ref { return b.prov }
	f(operator, "5", "0", "0", "5", "0", "5")
	f(provider, "5", "0", "5", "0", "0", "0")
	f(provider, "5", "0.5", "4.5", "0", "0.5", "0.5")
	f(provider, "5", "5", "0", "0", "5", "5")
	f(provider, "0", "0", "0", "0", "0", "0")
}

// TestCloseOfLines shows the closing transfers, what is carried, and that a repayment
// between cut and close turns into credit instead of getting lost.
func TestCloseOfLines(t *testing.T) {
	b := newBooks(t)
	b.l.posted(&Usage{Payer: b.acme, Payee: b.prov, Amount: amt(t, "5.009"), Fee: amt(t, "0.5")})
	closed, _ := b.l.Cut()
	usd := currency(t, "USD")
	if c := closed[usd.Index()]; c.Events != 1 || c.GrossCredits != amt(t, "0.5") {
		t.Fatalf("the closed window's figures: %+v", c)
	}
	totals := b.l.Totals(usd)
	if totals.Events != 0 || !totals.GrossCredits.IsZero() || !totals.GrossDebits.IsZero() || b.l.Window() != 2 {
		t.Fatalf("the open window's figures: %+v", totals)
	}
	b.l.TopUp(b.acme, amt(t, "3")) // repays 3 of what the line will collect
	before := *b.l.Rows.At(uint32(b.acme))
	b.l.Close(b.acme, amt(t, "-5"), amt(t, "-0.009"))
	acme := b.l.Rows.At(uint32(b.acme))
	repaid, paid := acme.Due.Credits.MustSub(before.Due.Credits), acme.Paid.Credits.MustSub(before.Paid.Credits)
	if repaid != amt(t, "2.009") || paid != amt(t, "2.991") || acme.Transit != amt(t, "5") {
		t.Errorf("collection: %s repaid, %s to paid, %s in transit", repaid, paid, acme.Transit)
	}
	prov := b.l.Rows.At(uint32(b.prov))
	if b.l.Close(b.prov, amt(t, "4.5"), amt(t, "0.009")); prov.Due.Debits != amt(t, "4.5") || !prov.Transit.IsZero() {
		t.Errorf("payout: %+v", prov)
	}
	operator := *b.l.Rows.At(uint32(b.op))
	if b.l.Close(b.op, money.Amount{}, amt(t, "0.5")); *b.l.Rows.At(uint32(b.op)) != operator {
		t.Error("an operator's figures are in no row")
	}
	b.balanced()
	if acme.Posted(Customer) != amt(t, "2.991") || prov.Posted(Provider) != amt(t, "0.009") ||
		acme.CarriedIn != amt(t, "-0.009") || prov.CarriedIn != amt(t, "0.009") || totals.CarriedIn != amt(t, "0.5") {
		t.Errorf("acme %+v, prov %+v, operator %+v", acme, prov, totals)
	}
	// A closing transfer is nobody's gross; the top-up is of the open window.
	if debits, credits, _ := acme.Gross(2); !debits.IsZero() || credits != amt(t, "3") {
		t.Errorf("acme's gross: %s %s", debits, credits)
	}
	if debits, credits, events := prov.Gross(2); !debits.IsZero() || !credits.IsZero() || events != 0 {
		t.Errorf("prov's gross: %s %s", debits, credits)
	}
	if got := totals.Class[InTransit].Debit(); got != amt(t, "0.5") {
		t.Errorf("in transit: %s", got)
	}
	b.l.Close(b.prov, money.Amount{}, amt(t, "1"))
	if prov.CarriedIn != amt(t, "1") {
		t.Error("a line without amount carries too")
	}
	b.balanced()
}

// TestHeadroom shows the guard that keeps every balance in range.
func TestHeadroom(t *testing.T) {
	b := newBooks(t)
	usd := currency(t, "USD")
	all := headroom.MustSub(money.FromWords(0, 1))
	if !b.l.Fits(usd, all) || b.l.Fits(usd, headroom) || b.l.Fits(usd, money.FromWords(1<<62, 0)) {
		t.Fatal("an empty ledger holds one unit less than the headroom")
	}
	b.l.TopUp(b.acme, all)
	if b.l.Fits(usd, money.FromWords(0, 1)) || !b.l.Fits(usd, money.Amount{}) {
		t.Fatal("a full ledger takes nothing but zero")
	}
	if !b.l.Fits(currency(t, "EUR"), all) {
		t.Fatal("another currency has its own room")
	}
	// What is booked still settles: closing transfers need no room.
	b.l.posted(&Usage{Payer: b.acme, Payee: b.prov, Amount: money.Amount{}})
	b.l.Cut()
	b.l.Close(b.acme, all.Neg(), money.Amount{})
	b.balanced()
	// So do results, until giving back is refused; what is in transit then is settled, and what is
	// owed on both sides then is closed and settled as well.
	settle := func() {
		t.Helper()
		if !b.l.FitsResult(usd, all, false) {
			t.Fatal("what was closed has no room for its result")
		}
		b.l.Settle(b.acme, all.Neg())
	}
	shut := func() {
		t.Helper()
		if !b.l.FitsClosing(usd, all) {
			t.Fatal("what was given back has no room to be closed")
		}
		b.l.Close(b.acme, all.Neg(), money.Amount{})
	}
	rounds := 0
	for settle(); b.l.FitsResult(usd, all, true); settle() {
		b.l.GiveBack(b.acme, all.Neg(), Cash)
		b.balanced()
		rounds++
		shut()
	}
	if rounds == 0 {
		t.Fatal("nothing was given back")
	}
	shut()
	settle()
	b.balanced()
}

// TestBalancedNamesTheCurrency breaks the books and looks at the words.
func TestBalancedNamesTheCurrency(t *testing.T) {
	f := func(change func(*Totals)) {
		t.Helper()
		b := newBooks(t)
		b.l.posted(&Usage{Payer: b.acme, Payee: b.prov, Amount: amt(t, "5")})
		change(b.l.Totals(currency(t, "USD")))
		if err := b.l.Balanced(); err == nil || !strings.HasPrefix(err.Error(), "USD: ") {
			t.Errorf("got %v", err)
		}
	}
	f(func(t *Totals) { t.Class[Cash].debit(money.FromWords(0, 1)) })
	f(func(t *Totals) { t.Class[Revenue].credit(money.FromWords(0, 1)) })
	f(func(t *Totals) { t.Moved = money.Amount{} })
	f(func(t *Totals) { // both sides agree with each other, not with what was moved
		t.Class[Cash].debit(money.FromWords(0, 1))
		t.Class[Revenue].credit(money.FromWords(0, 1))
	})
}

// TestNames shows the contract's words.
func TestNames(t *testing.T) {
	got := []string{Customer.String(), Provider.String(), Operator.String(), Kind(0).String(),
		Prepaid.String(), Postpaid.String(), PaidKind.String(), PromoKind.String(), SubscriptionKind.String(), GrantKind(0).String(), NoBilling.String()}
	want := "customer provider operator unknown prepaid postpaid paid promo subscription unknown "
	if strings.Join(got, " ") != want {
		t.Errorf("got %q", got)
	}
	var classes []string
	for c := range NumClasses {
		classes = append(classes, c.String())
	}
	if strings.Join(classes, " ") != "paid receivable paid_grants promo_grants subscription_grants payable revenue fees cash in_transit "+
		"promo_expense subscription_income operator_loss" {
		t.Errorf("got %q", classes)
	}
}
