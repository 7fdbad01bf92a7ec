package ledger

import (
	"testing"

	"farthing/money"
)

// TestWatch: every movement that lets a position grow says when it reaches its threshold, and
// nothing else does.
func TestWatch(t *testing.T) {
	l, usd := New(1), currency(t, "USD")
	create := func(id string, kind Kind, minimum string) Ref {
		return l.Create(&Participant{ID: id, Currency: usd, Kind: kind, Parent: NoRef, Unlimited: true, MinimumPayout: amt(t, minimum)})
	}
	acme, prov, slow := create("acme", Customer, "0"), create("prov", Provider, "0"), create("slow", Provider, "20")
	thresholds := make([]money.Amount, money.Currencies())
	thresholds[usd.Index()] = amt(t, "10")
	f := func(what string, want bool, move func()) {
		t.Helper()
		move()
		if got := l.Passed(); got != want {
			t.Errorf("%s: passed %v; acme owes %s, prov is owed %s, slow %s", what, got, l.Due(acme), l.Due(prov), l.Due(slow))
		}
		if l.Passed() {
			t.Errorf("%s: it is said twice", what)
		}
	}
	use := func(payee Ref, text string) func() {
		return func() { l.posted(&Usage{Payer: acme, Payee: payee, Amount: amt(t, text)}) }
	}
	closed := func(r Ref, text string) func() {
		return func() { l.Close(r, amt(t, text), money.Amount{}) }
	}
	operator := l.Totals(usd).Operator
	f("before anybody watches", false, use(operator, "50"))
	l.Watch(thresholds)
	f("what is owed is repaid", false, func() { l.TopUp(acme, amt(t, "41")) })
	f("just below", false, use(operator, "0.999999999999999999"))
	f("an event", true, use(operator, "0.000000000000000001"))
	f("closed", false, closed(acme, "-10"))
	f("a subscription", true, func() { l.ChargePlan(acme, amt(t, "10")) })
	f("closed again", false, closed(acme, "-10"))
	f("a capture", true, func() {
		l.captured(&Usage{Payer: acme, Payee: operator, Amount: amt(t, "10")}, Reserved{}, Excess{Unlimited: true})
	})
	f("topped up", false, func() { l.TopUp(acme, amt(t, "1000")) })
	f("paid for", false, use(prov, "9"))
	f("the payee", true, use(prov, "1"))
	f("taken back", false, use(prov, "-1"))
	f("below the minimum payout", false, use(slow, "19"))
	f("at the minimum payout", true, use(slow, "1"))
	f("paid out", false, closed(slow, "20"))
	f("a result", true, func() { l.GiveBack(slow, amt(t, "20"), InTransit) })
	f("in transit", false, closed(slow, "20"))
	l.Watch(nil)
	f("when nobody watches any more", false, use(prov, "100"))
}
