package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/money"
)

// twin is the plainest possible ledger: one list of postings per account, summed up
// whenever somebody asks. It knows the rules from the contract, not from the code.
type twin struct {
	accounts []*twinAccount
	operator map[money.Currency]*twinAccount
	window   uint64
}

type twinAccount struct {
	currency money.Currency
	kind     Kind
	minimum  decimal.Decimal
	postings []twinPosting
	events   []uint64        // the window of each
	carried  decimal.Decimal // carried_out of the last line
}

type twinPosting struct {
	class  Class
	credit decimal.Decimal // negative: debit
	window uint64          // 0: a closing transfer, nobody's gross
}

func (a *twinAccount) post(w uint64, class Class, credit decimal.Decimal) {
	a.postings = append(a.postings, twinPosting{class, credit, w})
}

// sides sums the postings that keep(p) wants: what was debited and what was credited.
func (a *twinAccount) sides(keep func(*twinPosting) bool) (debits, credits decimal.Decimal) {
	for i := range a.postings {
		if p := &a.postings[i]; keep(p) && p.credit.IsNegative() {
			debits = debits.Sub(p.credit)
		} else if keep(p) {
			credits = credits.Add(p.credit)
		}
	}
	return debits, credits
}

func (a *twinAccount) balance(class Class) decimal.Decimal {
	debits, credits := a.sides(func(p *twinPosting) bool { return p.class == class })
	return credits.Sub(debits)
}

func (a *twinAccount) posted() decimal.Decimal {
	debits, credits := a.sides(func(*twinPosting) bool { return true })
	return credits.Sub(debits)
}

func (a *twinAccount) gross(w uint64) (debits, credits decimal.Decimal, events uint64) {
	debits, credits = a.sides(func(p *twinPosting) bool { return p.window == w })
	for _, at := range a.events {
		if at == w {
			events++
		}
	}
	return debits, credits, events
}

func (w *twin) create(p *Participant) {
	if w.operator[p.Currency] == nil {
		w.operator[p.Currency] = &twinAccount{currency: p.Currency, kind: Operator}
		w.accounts = append(w.accounts, w.operator[p.Currency])
	}
	w.accounts = append(w.accounts, &twinAccount{currency: p.Currency, kind: p.Kind, minimum: p.MinimumPayout.Decimal()})
}

// take debits a customer in burn order.
func (w *twin) take(payer *twinAccount, amount decimal.Decimal) {
	paid := decimal.Min(payer.balance(Paid), amount)
	payer.post(w.window, Paid, paid.Neg())
	payer.post(w.window, Receivable, amount.Sub(paid).Neg())
}

// move is what usage or a correction of it does, of usage the event counts. Below zero it
// repays like a top-up.
func (w *twin) move(u *past, event bool) {
	payer, payee, amount, fee := u.payer, u.payee, u.amount.Decimal(), u.fee.Decimal()
	a, b := w.accounts[payer], w.accounts[payee]
	if amount.IsNegative() {
		w.repay(w.window, a, amount.Neg())
	} else {
		w.take(a, amount)
	}
	if event {
		a.events = append(a.events, w.window)
	}
	if b.kind == Operator {
		b.post(w.window, Revenue, amount)
		return
	}
	b.post(w.window, Payable, amount.Sub(fee))
	w.operator[a.currency].post(w.window, Fees, fee)
}

func (w *twin) repay(window uint64, a *twinAccount, amount decimal.Decimal) {
	repaid := decimal.Min(a.balance(Receivable).Neg(), amount)
	a.post(window, Receivable, repaid)
	a.post(window, Paid, amount.Sub(repaid))
}

func (w *twin) topUp(r Ref, amount decimal.Decimal) {
	w.repay(w.window, w.accounts[r], amount)
	w.operator[w.accounts[r].currency].post(w.window, Cash, amount.Neg())
}

// twinLine is what a window's end does to one account.
type twinLine struct {
	ref             Ref
	signed, carried decimal.Decimal
}

// net makes the lines of the window that is open, as the contract's equation has them.
func (w *twin) net() []twinLine {
	var out []twinLine
	for i, a := range w.accounts {
		debits, credits, _ := a.gross(w.window)
		line := twinLine{ref: Ref(i)}
		digits := int32(a.currency.Digits())
		switch {
		case a.kind == Customer:
			line.signed = a.balance(Receivable).Truncate(digits)
		case a.kind == Provider && a.balance(Payable).IsPositive() && a.balance(Payable).Cmp(a.minimum) >= 0:
			line.signed = a.balance(Payable).Truncate(digits)
		}
		line.carried = a.carried.Add(credits).Sub(debits).Sub(line.signed)
		out = append(out, line)
	}
	return out
}

func (w *twin) close(l twinLine) {
	a := w.accounts[l.ref]
	a.carried = l.carried
	operator := w.operator[a.currency]
	switch {
	case l.signed.IsNegative():
		operator.post(0, InTransit, l.signed)
		w.repay(0, a, l.signed.Neg())
	case l.signed.IsPositive():
		operator.post(0, InTransit, l.signed)
		a.post(0, Payable, l.signed.Neg())
	}
}

// compare checks everything that the ledger says against the twin.
func (w *twin) compare(t *testing.T, l *Ledger, settled bool) {
	t.Helper()
	if err := l.Balanced(); err != nil {
		t.Fatal(err)
	}
	for i, a := range w.accounts {
		debits, credits, events := a.gross(w.window)
		var posted, carried, grossDebits, grossCredits money.Amount
		var count uint64
		if totals := l.Totals(a.currency); a.kind == Operator {
			posted, carried, grossDebits, grossCredits = totals.OperatorPosted(), totals.CarriedIn, totals.GrossDebits, totals.GrossCredits
		} else {
			row := l.Rows.At(uint32(i))
			posted, carried = row.Posted(a.kind), row.CarriedIn
			grossDebits, grossCredits, count = row.Gross(l.Window())
		}
		same := func(what string, got money.Amount, want decimal.Decimal) {
			t.Helper()
			if !got.Decimal().Equal(want) {
				t.Fatalf("account %d (%s %s): %s is %s, the twin has %s", i, a.currency, a.kind, what, got, want)
			}
		}
		same("posted", posted, a.posted())
		same("carried_in", carried, a.carried)
		same("gross_debits", grossDebits, debits)
		same("gross_credits", grossCredits, credits)
		if count != events {
			t.Fatalf("account %d: %d events, the twin has %d", i, count, events)
		}
		if settled { // what is in transit left the window's account, so it is in no line
			same("carried_in + gross", posted, a.carried.Add(credits).Sub(debits).Add(a.balance(InTransit)))
		}
	}
	w.compareClasses(t, l)
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
					want = want.Add(a.balance(class))
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

// TestLedgerAgainstTwin runs random histories on both: creations, usage with and without
// payee and fee and in either direction, corrections of it, top-ups, cuts, and closing lines
// that come late and one by one.
func TestLedgerAgainstTwin(t *testing.T) {
	indebted := 0
	for seed := range uint64(10) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 2)), l: New(1), w: &twin{operator: map[money.Currency]*twinAccount{}, window: 1}}
			for _, code := range []string{"USD", "JPY", "KWD"} {
				h.currencies = append(h.currencies, currency(t, code))
			}
			for range 300 {
				h.step()
				h.w.compare(t, h.l, len(h.lines) == 0)
			}
			if h.events == 0 || h.topUps == 0 || h.closed == 0 || h.returned == 0 {
				t.Fatalf("a poor history: %d events, %d top-ups, %d lines closed, %d given back", h.events, h.topUps, h.closed, h.returned)
			}
			indebted += h.indebted
		})
	}
	if indebted == 0 {
		t.Error("no provider gave back what it did not have")
	}
}

type history struct {
	t                      *testing.T
	rng                    *rand.Rand
	l                      *Ledger
	w                      *twin
	currencies             []money.Currency
	lines                  []twinLine // of the window that was cut, not closed yet
	booked                 []past
	events, topUps, closed int
	returned, indebted     int // corrections below zero; of them such that a provider then owed
}

// past is usage that was booked, to be corrected.
type past struct {
	payer, payee Ref
	amount, fee  money.Amount
	split        Split
}

// amount favours small ones and those with all their decimals.
func (h *history) amount() money.Amount {
	lo := h.rng.Uint64() >> h.rng.IntN(64)
	if h.rng.IntN(10) == 0 {
		return money.FromWords(int64(h.rng.IntN(1000)), lo)
	}
	return money.FromWords(0, lo)
}

// pick returns a random participant of a kind, of the given currency unless it is zero.
func (h *history) pick(k Kind, c money.Currency) (Ref, bool) {
	people := h.l.Participants()
	if len(people) == 0 {
		return 0, false
	}
	start := h.rng.IntN(len(people))
	for i := range people {
		n := (start + i) % len(people)
		if p := people[n]; p.Kind == k && (c.IsZero() || p.Currency == c) {
			return Ref(n), true
		}
	}
	return 0, false
}

func (h *history) step() {
	payer, ok := h.pick(Customer, money.Currency{})
	switch n := h.rng.IntN(20); {
	case !ok || n == 0:
		h.create()
	case n < 4:
		a := h.amount()
		h.l.TopUp(payer, a)
		h.w.topUp(payer, a.Decimal())
		h.topUps++
	case n == 4 && len(h.lines) == 0:
		h.lines = h.w.net()
		h.l.Cut()
		h.w.window++
	case n < 10 && len(h.lines) > 0:
		h.closeOne()
	case n < 14 && len(h.booked) > 0:
		h.correct()
	default:
		h.usage(payer)
	}
}

func (h *history) create() {
	p := &Participant{ID: fmt.Sprint("p", len(h.w.accounts)), Currency: h.currencies[h.rng.IntN(len(h.currencies))], Kind: Customer}
	if h.rng.IntN(3) == 0 {
		p.Kind = Provider
		if h.rng.IntN(2) == 0 {
			p.MinimumPayout = h.amount()
		}
	}
	h.l.Create(p)
	// Who joins after a cut has no line in the closed window.
	h.w.create(p)
}

func (h *history) usage(payer Ref) {
	c := h.l.Participant(payer).Currency
	u := past{payer: payer, payee: h.l.Totals(c).Operator, amount: h.amount()}
	if h.rng.IntN(5) == 0 { // a price that made its period cheaper
		u.amount = u.amount.Neg()
	}
	if prov, ok := h.pick(Provider, c); ok && h.rng.IntN(3) > 0 {
		u.payee = prov
		if h.rng.IntN(2) == 0 {
			u.fee = h.part(u.amount)
		}
	}
	u.split = h.l.PostUsage(Usage{Payer: u.payer, Payee: u.payee, Amount: u.amount, Fee: u.fee})
	h.same(&u)
	h.w.move(&u, true)
	h.booked = append(h.booked, u)
	h.events++
}

// part is a random part of an amount.
func (h *history) part(a money.Amount) money.Amount {
	part, _ := a.MulFraction(money.FromWords(0, uint64(h.rng.Int64N(1e18+1))))
	return part
}

// correct takes usage back that was booked, whole or in another amount, or charges anew.
func (h *history) correct() {
	u := h.booked[h.rng.IntN(len(h.booked))]
	switch h.rng.IntN(4) {
	case 0:
		u.amount = h.amount()
		u.fee = money.Amount{}
	case 1: // tiers make taking back differ from what was charged
		u.amount = h.part(u.amount.Neg())
		u.fee = money.Amount{}
	case 2:
		u.amount = u.amount.Neg().MustAdd(u.amount.Neg())
		u.fee = u.fee.Neg().MustAdd(u.fee.Neg())
	default:
		u.amount, u.fee = u.amount.Neg(), u.fee.Neg()
	}
	u.split = h.l.Correct(Usage{Payer: u.payer, Payee: u.payee, Amount: u.amount, Fee: u.fee})
	h.same(&u)
	h.w.move(&u, false)
	if u.amount.Sign() < 0 {
		h.returned++
		if b := h.w.accounts[u.payee]; b.kind == Provider && b.balance(Payable).IsNegative() {
			h.indebted++
		}
	}
}

// same checks that the parts of a split make up its amount and have its sign.
func (h *history) same(u *past) {
	h.t.Helper()
	if sum := u.split.Paid.MustAdd(u.split.Receivable); sum != u.amount || u.split.Paid.Sign()*u.amount.Sign() < 0 || u.split.Receivable.Sign()*u.amount.Sign() < 0 {
		h.t.Fatalf("%s was moved as %+v", u.amount, u.split)
	}
}

func (h *history) closeOne() {
	line := h.lines[0]
	h.lines = h.lines[1:]
	signed, err := money.FromDecimal(line.signed)
	if err != nil {
		h.t.Fatal(err)
	}
	carried, err := money.FromDecimal(line.carried)
	if err != nil {
		h.t.Fatal(err)
	}
	h.l.Close(line.ref, signed, carried)
	h.w.close(line)
	h.closed++
}

// TestCodecRoundTrip encodes and decodes random rows and totals, one after the other in
// one buffer, and restores a ledger from them.
func TestCodecRoundTrip(t *testing.T) {
	h := &history{t: t, rng: rand.New(rand.NewPCG(9, 9)), l: New(1), w: &twin{operator: map[money.Currency]*twinAccount{}, window: 1}}
	h.currencies = []money.Currency{currency(t, "USD"), currency(t, "KWD")}
	for range 500 {
		h.step()
	}
	var buf []byte
	for i := range h.l.Rows.Len() {
		buf = h.l.Rows.At(i).Append(buf)
	}
	all := h.l.AllTotals()
	for i := range all {
		buf = all[i].Append(buf)
	}
	restored := New(1)
	for i := range h.l.Rows.Len() {
		row, rest, err := DecodeRow(buf)
		if err != nil || row != *h.l.Rows.At(i) {
			t.Fatalf("row %d: %+v %v", i, row, err)
		}
		restored.Rows.Restore(i, row)
		buf = rest
	}
	totals := make([]Totals, len(all))
	for i := range all {
		var err error
		if totals[i], buf, err = DecodeTotals(buf); err != nil || totals[i] != all[i] {
			t.Fatalf("totals %d: %+v %v", i, totals[i], err)
		}
	}
	if len(buf) != 0 {
		t.Fatalf("%d bytes are left", len(buf))
	}
	restored.Restore(h.l.Participants(), totals, h.l.Window())
	h.l = restored
	h.w.compare(t, h.l, false)
	for range 200 {
		h.step()
		h.w.compare(t, h.l, false)
	}
}
