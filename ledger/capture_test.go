package ledger

import (
	"slices"
	"testing"
)

// TestCapturesTakeWhatIsReserved is the table of what a capture takes of a hold that was added
// to: its grants in burn order, its part of the pool, and nothing of a scope that the event does
// not match, which is only released.
func TestCapturesTakeWhatIsReserved(t *testing.T) {
	f := func(amount, want string, scopes ...uint32) {
		t.Helper()
		p := newPurse(t, "10", []gift{{name: "a", amount: "3", priority: 5}})
		h := p.hold("4", 1)
		p.give(gift{name: "b", amount: "2", priority: 4, scope: 1})
		p.give(gift{name: "c", amount: "1", priority: 4, expires: 9})
		more := p.hold("4", 1)
		h.Parts, h.Pool = append(h.Parts, more.Parts...), h.Pool.MustAdd(more.Pool)
		slices.SortFunc(h.Parts, func(a, b Part) int { return p.l.Compare(a.Grant, b.Grant) })
		if got := p.text(h.Parts, h.Pool); got != "c 1, b 2, a 3, paid 2" {
			t.Fatalf("reserved %s", got)
		}
		p.now = 9 // c has expired: what is reserved of it may still be captured
		split := p.l.captured(p.usage(amount, scopes...), h, Excess{Unlimited: true})
		if got := p.split(&split); got != want {
			t.Errorf("a capture of %s: took %s, want %s", amount, got, want)
		}
		p.released()
	}
	f("0", "", 1)
	f("0.5", "c 0.5", 1)
	f("1", "c 1", 1)
	f("2", "c 1, b 1", 1)
	f("4", "c 1, b 2, a 1", 1)
	f("7", "c 1, b 2, a 3, paid 1", 1)
	f("17", "c 1, b 2, a 3, paid 10, owed 1", 1)
	f("2", "c 1, a 1")
	f("7", "c 1, a 3, paid 3")
	f("2", "c 1, a 1", 2)
	f("-2", "paid -2", 1)
}

// released checks that nothing is held and the books balance.
func (p *purse) released() {
	p.t.Helper()
	for n, name := range p.names {
		if g := p.l.Grants.At(uint32(n)); !g.Held.IsZero() {
			p.t.Errorf("%s of %s is still held", g.Held, name)
		}
	}
	if row := p.l.Rows.At(uint32(p.acme)); !row.Held.IsZero() {
		p.t.Errorf("%s of the pool is still held", row.Held)
	}
	p.balanced()
}

// TestExcess is the table of what a capture takes beyond its hold: free credit, grants then pool,
// within the room of limits and the overdraft; then what the policy puts on the receivable; the
// rest is the operator's loss.
func TestExcess(t *testing.T) {
	f := func(amount, room, overdraft, beyond, want string) {
		t.Helper()
		// 2 of a and 1 of the pool are held; free: 1 of a, 2 of b (which expires), 3 of the pool.
		p := newPurse(t, "4", []gift{{name: "a", amount: "3"}, {name: "b", amount: "2", priority: 1, expires: 9}, {name: "s", amount: "8", scope: 1}})
		h := Reserved{Parts: []Part{{0, amt(t, "2")}}, Pool: amt(t, "1")}
		p.l.Hold(p.acme, h)
		var x Excess
		if x.Bounded = room != ""; x.Bounded {
			x.Room = amt(t, room)
		}
		if x.Overdraft.Unlimited = overdraft == "all"; !x.Overdraft.Unlimited {
			x.Overdraft.Limit = amt(t, overdraft)
		}
		if x.Unlimited = beyond == "all"; !x.Unlimited {
			x.Beyond = amt(t, beyond)
		}
		split := p.l.captured(p.usage(amount), h, x)
		if got := p.split(&split); got != want {
			t.Errorf("%s with room %q, overdraft %s, beyond %s: took %s, want %s", amount, room, overdraft, beyond, got, want)
		}
		p.released()
	}
	// No more than the hold: no policy is asked.
	f("3", "0", "0", "0", "a 2, paid 1")
	// Free credit: grants, then the pool, then the overdraft.
	f("4", "", "0", "0", "a 3, paid 1")
	f("6", "", "0", "0", "a 3, b 2, paid 1")
	f("9", "", "0", "0", "a 3, b 2, paid 4")
	f("11", "", "2", "0", "a 3, b 2, paid 4, owed 2")
	f("11", "", "all", "0", "a 3, b 2, paid 4, owed 2")
	// Beyond it: cap, up to an amount, all.
	f("10", "", "0", "0", "a 3, b 2, paid 4, lost 1")
	f("12", "", "2", "0", "a 3, b 2, paid 4, owed 2, lost 1")
	f("10", "", "0", "5", "a 3, b 2, paid 4, owed 1")
	f("15", "", "1", "3", "a 3, b 2, paid 4, owed 4, lost 2")
	f("15", "", "1", "all", "a 3, b 2, paid 4, owed 6")
	// The room is for the whole rating, what the hold gave included.
	f("9", "9", "0", "0", "a 3, b 2, paid 4")
	f("9", "5", "0", "0", "a 3, b 1, paid 1, lost 4")
	f("9", "3", "0", "0", "a 2, paid 1, lost 6")
	f("9", "2", "0", "0", "a 2, paid 1, lost 6")
	f("9", "-7", "all", "0", "a 2, paid 1, lost 6")
	f("9", "7", "all", "0", "a 3, b 2, paid 2, lost 2")
	f("9", "5", "0", "3", "a 3, b 1, paid 4, lost 1")
	f("9", "5", "0", "all", "a 3, b 1, paid 4, owed 1")
	f("9.000000000000000001", "", "0", "0", "a 3, b 2, paid 4, lost 0.000000000000000001")
}

// TestLossAndGross shows that what the operator loses covers its own share first, which is
// nobody's gross, and the provider's after that.
func TestLossAndGross(t *testing.T) {
	f := func(fee, beyond, lost, operatorDebits, operatorCredits string) {
		t.Helper()
		p := newPurse(t, "0", nil)
		u := p.usage("10")
		u.Payee, u.Fee = p.prov, amt(t, fee)
		p.l.captured(u, Reserved{}, Excess{Beyond: amt(t, beyond)})
		totals := p.l.Totals(currency(t, "USD"))
		if totals.Class[OperatorLoss].Debit() != amt(t, lost) || totals.GrossDebits != amt(t, operatorDebits) || totals.GrossCredits != amt(t, operatorCredits) {
			t.Errorf("fee %s, %s paid: %s lost, gross %s and %s", fee, beyond, totals.Class[OperatorLoss].Debit(), totals.GrossDebits, totals.GrossCredits)
		}
		if got := p.l.Rows.At(uint32(p.prov)).Posted(Provider); got != u.Amount.MustSub(u.Fee) {
			t.Errorf("fee %s, %s paid: the provider gets %s", fee, beyond, got)
		}
		grossAgree(t, p.l, 1, p.l.AllTotals())
		p.balanced()
	}
	f("3", "10", "0", "0", "3")
	f("3", "9", "1", "0", "2")
	f("3", "7", "3", "0", "0")
	f("3", "5", "5", "2", "0")
	f("3", "0", "10", "7", "0")
	f("0", "4", "6", "6", "0")
	f("10", "4", "6", "0", "4")
}

// TestRefusedHold shows how much there is when a hold does not fit.
func TestRefusedHold(t *testing.T) {
	f := func(amount, paid, overdraft string, ok bool, left string) {
		t.Helper()
		p := newPurse(t, paid, []gift{{name: "a", amount: "5", held: "2"}, {name: "s", amount: "7", scope: 1}})
		before := *p.l.Rows.At(uint32(p.acme))
		_, got, fits := p.l.Reserve(p.acme, amt(t, amount), nil, 0, Overdraft{Limit: amt(t, overdraft)}, nil)
		if fits != ok || got != amt(t, left) {
			t.Errorf("a hold of %s with %s paid, overdraft %s: %v, %s left", amount, paid, overdraft, fits, got)
		}
		if *p.l.Rows.At(uint32(p.acme)) != before || p.l.Grants.At(0).Held != amt(t, "2") {
			t.Error("a plan reserves nothing")
		}
	}
	f("3", "0", "0", true, "0")
	f("3.000000000000000001", "0", "0", false, "3")
	f("7", "4", "0", true, "0")
	f("8", "4", "0", false, "7")
	f("9", "4", "2", true, "0")
	f("9.5", "4", "2", false, "9")
	f("3", "-9", "0", false, "0") // what is owed comes out of the grant
	f("2", "-1", "0", true, "0")
	f("3", "-1", "0", false, "2")
	f("3", "-9", "9", true, "0")
	f("4", "-1", "0", false, "2")
	f("4", "-9", "1", false, "0")
	f("4", "-9", "10", true, "0")
}

// TestCountHolds counts open holds up and down.
func TestCountHolds(t *testing.T) {
	b := newBooks(t)
	row := b.l.Rows.At(uint32(b.acme))
	for _, step := range []struct {
		by   int64
		want uint64
	}{{1, 1}, {2, 3}, {-1, 2}, {0, 2}, {-2, 0}} {
		if b.l.CountHolds(b.acme, step.by); row.Holds != step.want {
			t.Fatalf("%d after %d", row.Holds, step.by)
		}
	}
	if b.l.Rows.At(uint32(b.prov)).Holds != 0 {
		t.Error("another account has them")
	}
}

// TestBugsPanic shows what the ledger does not do, whoever asks for it.
func TestBugsPanic(t *testing.T) {
	f := func(what string, bug func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: no panic", what)
			}
		}()
		bug()
	}
	b := newBooks(t)
	f("fewer than no holds", func() { b.l.CountHolds(b.acme, -1) })
	b.l.Give(Grant{Account: b.acme, Kind: PromoKind, Expires: Never}, amt(t, "3"))
	three, one := Reserved{Parts: []Part{{0, amt(t, "3")}}}, Reserved{Parts: []Part{{0, amt(t, "1")}}}
	f("a release from a grant that reserves nothing", func() { b.l.Release(b.acme, one) })
	b = newBooks(t)
	b.l.Give(Grant{Account: b.acme, Kind: PaidKind, Expires: Never}, amt(t, "3"))
	b.l.Hold(b.acme, three)
	f("a refund of what is reserved", func() { b.l.RefundGrant(0, amt(t, "1")) })
	b.l.Release(b.acme, three)
	f("a release of what the pool does not reserve", func() { b.l.Release(b.acme, Reserved{Pool: amt(t, "1")}) })
	b = newBooks(t)
	b.l.Give(Grant{Account: b.acme, Kind: PromoKind, Expires: Never}, amt(t, "3"))
	b.l.Hold(b.acme, one)
	f("a hold of what is reserved", func() { b.l.Hold(b.acme, three) })
}

// hold reserves an amount for usage that matches the given scopes.
func (p *purse) hold(amount string, scopes ...uint32) Reserved {
	p.t.Helper()
	u := p.usage(amount, scopes...)
	h, left, ok := p.l.Reserve(p.acme, u.Amount, u.Scopes, p.now, Overdraft{}, nil)
	if !ok {
		p.t.Fatalf("a hold of %s is refused, %s left", amount, left)
	}
	p.l.Hold(p.acme, h)
	return h
}
