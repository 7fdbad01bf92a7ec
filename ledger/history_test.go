package ledger

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/money"
)

// TestLedgerAgainstTwin runs random histories on both: creations, usage with and without payee,
// fee and scopes and in either direction, corrections of it, all that happens to grants, plans
// and holds, top-ups, cuts, and closing lines that come late and one by one.
func TestLedgerAgainstTwin(t *testing.T) {
	done := map[string]int{}
	for seed := range uint64(36) {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			h := newHistory(t, seed, "USD", "JPY", "KWD")
			for range 500 {
				h.step()
				h.w.compare(t, h.l, len(h.lines) == 0)
			}
			for what, n := range h.done {
				done[what] += n
			}
		})
	}
	names := strings.Fields(`create top-up cut close usage correct give expire lapse extend refund refund-grant move charge-plan credit-plan
		hold hold-refused hold-more release capture capture-negative
		usage-negative usage-from-grants usage-of-scope usage-past-expired usage-past-reserved provider-indebted back-to-loss
		back-to-grants back-to-closed-grant back-to-expired-grant back-to-part-of-grants back-beyond-own
		paid partially-paid failed returned back-from-spent back-from-held
		capture-of-scope capture-unordered capture-from-expired excess-from-grants excess-from-pool excess-on-debt excess-out-of-room lost lost-beyond-own-share`)
	for _, what := range names {
		if done[what] < 5 {
			t.Errorf("poor histories: %s happened %d times", what, done[what])
		}
		delete(done, what)
	}
	if len(done) > 0 {
		t.Errorf("not asked for: %v", slices.Sorted(maps.Keys(done)))
	}
}

type history struct {
	t          *testing.T
	rng        *rand.Rand
	l          *Ledger
	w          *twin
	now        int64
	currencies []money.Currency
	lines      []twinLine // of the window that was cut, not closed yet
	sent       []closed   // lines with an amount
	booked     []past
	holds      []openHold
	parts      [8]Part        // memory that is given to every call
	done       map[string]int // how often something happened
}

// past is usage that was booked, to be corrected.
type past struct {
	payer, payee Ref
	amount, fee  money.Amount
	own          twinSplit // what it was taken from and not given back yet
}

type openHold struct {
	payer Ref
	has   Reserved
	twin  twinHold
}

func newHistory(t *testing.T, seed uint64, codes ...string) *history {
	h := &history{t: t, rng: rand.New(rand.NewPCG(seed, 2)), l: New(1), done: map[string]int{},
		w: &twin{operator: map[money.Currency]*twinAccount{}, window: 1}}
	for _, code := range codes {
		h.currencies = append(h.currencies, currency(t, code))
	}
	return h
}

// happened notes what happened, if it did.
func (h *history) happened(what string, did bool) {
	if did {
		h.done[what]++
	}
}

// amount favours those of a few minor units, which meet and exhaust each other; others are dust,
// large, or have all their decimals.
func (h *history) amount() money.Amount {
	switch h.rng.IntN(8) {
	case 0:
		return money.FromWords(0, h.rng.Uint64()>>h.rng.IntN(64))
	case 1:
		return money.FromWords(0, h.rng.Uint64N(1e18))
	case 2:
		if h.rng.IntN(4) == 0 {
			return money.FromWords(int64(h.rng.IntN(1000)), h.rng.Uint64())
		}
	}
	return money.FromWords(0, (1+h.rng.Uint64N(20))*1e17)
}

// most is a random amount up to a, often a itself.
func (h *history) most(a money.Amount) money.Amount {
	if h.rng.IntN(2) == 0 {
		return a
	}
	return least(a, h.amount())
}

// part is a random part of an amount.
func (h *history) part(a money.Amount) money.Amount {
	part, _ := a.MulFraction(money.FromWords(0, uint64(h.rng.Int64N(1e18+1))))
	return part
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
	h.now += h.rng.Int64N(3)
	payer, ok := h.pick(Customer, money.Currency{})
	switch n := h.rng.IntN(64); {
	case !ok || n == 0 || len(h.w.accounts) < 9:
		h.create()
	case n < 4:
		a := h.amount()
		h.l.TopUp(payer, a)
		h.w.topUp(payer, a.Decimal())
		h.happened("top-up", true)
	case n == 4:
		h.cut()
	case n < 11:
		h.closeOne()
	case n < 18:
		h.correct()
	case n < 31:
		h.credit(payer, n-18)
	case n < 45:
		h.holding(payer, n-31)
	case n < 49:
		h.result()
	default:
		h.usage(payer)
	}
}

func (h *history) create() {
	p := &Participant{ID: fmt.Sprint("p", len(h.w.accounts)), Currency: h.currencies[h.rng.IntN(len(h.currencies))], Kind: Customer, Parent: NoRef}
	if h.rng.IntN(3) == 0 {
		p.Kind = Provider
		if h.rng.IntN(2) == 0 {
			p.MinimumPayout = h.amount()
		}
	}
	h.l.Create(p)
	// Who joins after a cut has no line in the closed window.
	h.w.create(p)
	h.happened("create", true)
}

// cut closes the window, when the one before it is settled. Its figures must agree, the
// operator's as Cut returns them.
func (h *history) cut() {
	if len(h.lines) > 0 {
		return
	}
	h.lines = h.w.net()
	totals, returned := h.l.Cut()
	grossAgree(h.t, h.l, h.w.window, totals)
	sums := map[money.Currency]money.Amount{}
	for i, a := range h.w.accounts {
		h.w.same(h.t, i, "returned at the cut", returned[Ref(i)], a.returned)
		sums[a.currency], a.returned = sums[a.currency].MustAdd(returned[Ref(i)]), decimal.Zero
	}
	for c, sum := range sums {
		if !sum.IsZero() {
			h.t.Fatalf("%s: returned amounts come to %s", c, sum)
		}
	}
	h.w.window++
	h.happened("cut", true)
}

func (h *history) closeOne() {
	if len(h.lines) == 0 {
		return
	}
	line := h.lines[0]
	h.lines = h.lines[1:]
	h.l.Close(line.ref, h.exact(line.signed), h.exact(line.carried))
	h.w.close(line)
	if !line.signed.IsZero() {
		h.sent = append(h.sent, closed{line.ref, decimal.NewFromInt(int64(line.signed.Sign())), h.exact(line.signed.Abs()), money.Amount{}})
	}
	h.happened("close", true)
}

func (h *history) exact(d decimal.Decimal) money.Amount {
	h.t.Helper()
	a, err := money.FromDecimal(d)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

// split is the ledger's form of a twin's split.
func (h *history) split(s *twinSplit) Split {
	out := Split{Paid: h.exact(s.paid), Receivable: h.exact(s.receivable), Lost: h.exact(s.lost)}
	for _, p := range s.parts {
		out.Parts = append(out.Parts, Part{p.grant, h.exact(p.amount)})
	}
	return out
}

// scopes are three words' worth of scope numbers, of which the grants of a history use some.
var historyScopes = []uint32{1, 2, 64, 65, 150}

// scopes is a random set, for the ledger and for the twin. It may be shorter than the numbers.
func (h *history) scopes() (s Scopes, m map[uint32]bool) {
	s, m = make(Scopes, h.rng.IntN(4)), map[uint32]bool{}
	for _, n := range historyScopes {
		if word := int(n-1) / 64; word < len(s) && h.rng.IntN(2) == 0 {
			s[word] |= 1 << ((n - 1) % 64)
			m[n] = true
		}
	}
	return s, m
}

// rating makes a usage of a customer's, for the ledger and for the twin.
func (h *history) rating(payer Ref) (Usage, twinUsage) {
	c := h.l.Participant(payer).Currency
	u := Usage{Payer: payer, Payee: h.l.Totals(c).Operator, Amount: h.amount(), Now: h.now}
	if h.rng.IntN(6) == 0 { // a price that made its period cheaper
		u.Amount = u.Amount.Neg()
	}
	if prov, ok := h.pick(Provider, c); ok && h.rng.IntN(3) > 0 {
		u.Payee = prov
		if h.rng.IntN(2) == 0 {
			u.Fee = h.part(u.Amount)
		}
	}
	v := twinUsage{payer: payer, payee: u.Payee, amount: u.Amount.Decimal(), fee: u.Fee.Decimal(), now: h.now}
	u.Scopes, v.scopes = h.scopes()
	return u, v
}

// same checks that two splits are one, that a split makes up its amount and has its sign.
func (h *history) same(u *Usage, got Split, want *twinSplit) {
	h.t.Helper()
	if s := h.split(want); !got.Equal(&s) {
		h.t.Fatalf("%s was moved as %+v, by the twin as %+v", u.Amount, got, s)
	}
	all := []money.Amount{got.Paid, got.Receivable, got.Lost}
	for _, p := range got.Parts {
		all = append(all, p.Amount)
	}
	var sum money.Amount
	for _, a := range all {
		sum = sum.MustAdd(a)
		if a.Sign()*u.Amount.Sign() < 0 {
			h.t.Fatalf("%s was moved as %+v", u.Amount, got)
		}
	}
	if sum != u.Amount {
		h.t.Fatalf("%s was moved as %+v", u.Amount, got)
	}
}

func (h *history) usage(payer Ref) {
	u, v := h.rating(payer)
	var expired, reserved bool
	for _, g := range h.w.open(payer) {
		expired = expired || (v.matches(g) && v.now >= g.expires)
		reserved = reserved || (v.matches(g) && g.held.IsPositive())
	}
	got := h.l.posted(&u)
	h.w.event(payer)
	want := h.w.usage(&v)
	h.same(&u, got, &want)
	h.booked = append(h.booked, past{payer, u.Payee, u.Amount, u.Fee, want})
	h.happened("usage", true)
	h.happened("usage-negative", u.Amount.Sign() < 0)
	h.happened("usage-from-grants", len(want.parts) > 0)
	h.happened("usage-past-expired", expired && want.pool().IsPositive())
	h.happened("usage-past-reserved", reserved && want.pool().IsPositive())
	for _, p := range want.parts {
		h.happened("usage-of-scope", h.w.grants[p.grant].scope != 0)
	}
}

// correct takes usage back that was booked, whole or in another amount, or charges anew. It
// goes back to what it was taken from, or (a correction that does not know it) to the pool.
func (h *history) correct() {
	if len(h.booked) == 0 {
		return
	}
	b := &h.booked[h.rng.IntN(len(h.booked))]
	u := Usage{Payer: b.payer, Payee: b.payee, Amount: b.amount.Neg(), Fee: b.fee.Neg(), Now: h.now}
	switch h.rng.IntN(6) {
	case 0:
		u.Amount, u.Fee = h.amount(), money.Amount{}
	case 1, 2: // tiers make taking back differ from what was charged
		u.Amount, u.Fee = h.part(u.Amount), money.Amount{}
	case 3:
		u.Amount, u.Fee = u.Amount.MustAdd(u.Amount), u.Fee.MustAdd(u.Fee)
	}
	v := twinUsage{payer: u.Payer, payee: u.Payee, amount: u.Amount.Decimal(), fee: u.Fee.Decimal(), now: h.now}
	u.Scopes, v.scopes = h.scopes()
	own := h.split(&b.own)
	if h.rng.IntN(6) > 0 {
		u.Own, v.own = &own, &b.own
	}
	h.noteBack(&v)
	got := h.l.corrected(&u)
	want := h.w.usage(&v)
	h.same(&u, got, &want)
	h.happened("correct", true)
	payee := h.w.accounts[u.Payee]
	h.happened("provider-indebted", u.Amount.Sign() < 0 && payee.balance[Payable].IsNegative())
	if v.own != nil && u.Amount.Sign() < 0 {
		b.own.lost, b.own.paid, b.own.receivable = b.own.lost.Add(want.lost), b.own.paid.Add(want.paid), b.own.receivable.Add(want.receivable)
		for _, p := range want.parts {
			b.own.add(p.grant, p.amount)
		}
		h.happened("back-to-loss", want.lost.IsNegative())
		h.happened("back-to-grants", len(want.parts) > 0)
		var of int
		for _, p := range b.own.parts {
			h.happened("back-to-expired-grant", h.w.grants[p.grant].expires <= h.now)
			if p.amount.IsPositive() {
				of++
			}
		}
		h.happened("back-to-part-of-grants", len(want.parts) > 0 && of > 0)
	}
}

// noteBack notes what is special about a correction that is about to happen.
func (h *history) noteBack(v *twinUsage) {
	if v.own == nil || !v.amount.IsNegative() {
		return
	}
	all := decimal.Max(decimal.Zero, v.own.pool()).Add(v.own.lost)
	for _, p := range v.own.parts {
		all = all.Add(p.amount)
		h.happened("back-to-closed-grant", p.amount.IsPositive() && h.w.grants[p.grant].left.IsZero())
	}
	h.happened("back-beyond-own", len(v.own.parts) > 0 && v.amount.Neg().GreaterThan(all))
}
