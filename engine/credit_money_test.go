package engine

import (
	"fmt"
	"testing"

	"farthing/refusal"
)

// operate does operations on holds that are not refused.
func (r *planRig) operate(ops ...*creditOp) []HoldResult {
	r.t.Helper()
	got := creditOperate(r.t, r.e, ops)
	for i := range got {
		if got[i].Refusal != nil {
			r.t.Fatalf("%s: %v", ops[i].text(), got[i].Refusal)
		}
	}
	return got
}

func unitCall(id, kind string, units int) *call {
	return &call{source: "s", id: id, subject: "acme", kind: kind, usage: [][2]string{{"u", fmt.Sprint(units)}}}
}

func unitBook(id, from, component string) (string, string) {
	return id, fmt.Sprintf(`{"effective_from":%q,"prices":[{"meter":"m","currency":"USD","match":{},"components":{"u":%s}}]}`, from, component)
}

// TestEstimateOfACountedPrice places a hold for usage whose price depends on what the month has
// used: the journal's decision is that of the month of the hold.
func TestEstimateOfACountedPrice(t *testing.T) {
	r := newPlanRig(t, "2026-01-20")
	r.prices(unitBook("v", "2026-01-01T00:00:00Z", `{"included":"5","unit":"1"}`))
	r.pay("t", "100")
	r.post(*unitCall("e", "m", 4))
	if got := r.operate(&creditOp{kind: PlaceHold, hold: "h", account: "acme", event: unitCall("x", "m", 10)}); got[0].Amount.String() != "9" {
		t.Fatalf("held %s, 9 of 10 units cost 1", got[0].Amount)
	}
	r.reopen()
}

// TestNetOfACaptureAtALoss shows what the payer is charged for an event of which the operator
// paid a part.
func TestNetOfACaptureAtALoss(t *testing.T) {
	r := newPlanRig(t, "2026-01-20")
	r.prices(unitBook("v", "2026-01-01T00:00:00Z", `"1"`))
	r.pay("t", "10")
	r.excess("cap")
	r.operate(&creditOp{kind: PlaceHold, hold: "h", account: "acme", amount: "10"}, &creditOp{kind: CaptureHold, hold: "h", event: unitCall("e", "m", 15)})
	f := func(want string) {
		t.Helper()
		if e, no := r.e.Event("s", "e"); no != nil || e.Net.String() != want {
			t.Fatalf("%v: net %s, want %s", no, e.Net, want)
		}
	}
	f("10")
	if _, _, no := r.e.Void(VoidSpec{ID: "v", Source: "s", Event: "e"}); no != nil {
		t.Fatal(no)
	}
	f("0")
}

func (r *planRig) excess(policy string) {
	r.t.Helper()
	if _, _, no := r.e.PutSettings(SettingsSpec{Account: "acme", Excess: policy, Abandoned: "void"}); no != nil {
		r.t.Fatal(no)
	}
}

// promo gives a promotional grant.
func (r *planRig) promo(id, sum, expires string) {
	r.t.Helper()
	g := GrantSpec{ID: id, Account: "acme", Kind: "promo", Amount: amount(r.t, sum)}
	if expires != "" {
		g.Expires = planTime(r.t, expires)
	}
	if _, _, no := r.e.Grant(g); no != nil {
		r.t.Fatal(no)
	}
}

func (r *planRig) rerate(version string) {
	r.t.Helper()
	if _, _, no := r.e.Rerate(RerateSpec{ID: "to-" + version, Version: version}); no != nil {
		r.t.Fatal(no)
	}
	r.e.repriced()
}

func (r *planRig) has(want string) {
	r.t.Helper()
	if got := r.posted("acme"); got != want {
		r.t.Fatalf("posted %s, want %s", got, want)
	}
}

// TestRerateUsesAnExpiredGrantAgain rates an event anew whose grant has expired since: what it
// had from the grant it has again, up to the new price; only the rest of that is lost.
func TestRerateUsesAnExpiredGrantAgain(t *testing.T) {
	r := newPlanRig(t, "2026-01-20")
	r.prices(unitBook("v", "2026-01-01T00:00:00Z", `"1"`))
	r.pay("t", "100")
	r.promo("g", "10", "2026-01-25")
	r.post(*unitCall("e", "m", 10))
	r.at("2026-01-26")
	r.prices(unitBook("less", "2026-01-02T00:00:00Z", `"0.9"`))
	r.rerate("less")
	r.has("100")
	r.grants("10 0 expired 2026-01-25")
	r.prices(unitBook("more", "2026-01-03T00:00:00Z", `"1.5"`))
	r.rerate("more") // 9 are given back to the grant and used again
	r.has("94")
	if _, _, no := r.e.Void(VoidSpec{ID: "v", Source: "s", Event: "e"}); no != nil {
		t.Fatal(no)
	}
	r.has("100")
}

// TestRerateKeepsALoss rates an event anew that was captured at a loss: its payer pays no more
// than the capture took, and what it does not need goes back to it.
func TestRerateKeepsALoss(t *testing.T) {
	r := newPlanRig(t, "2026-01-20")
	r.prices(unitBook("v", "2026-01-01T00:00:00Z", `"1"`))
	r.pay("t", "10")
	r.excess("cap")
	r.operate(&creditOp{kind: PlaceHold, hold: "h", account: "acme", amount: "10"}, &creditOp{kind: CaptureHold, hold: "h", event: unitCall("e", "m", 15)})
	for i, c := range []struct{ unit, want string }{{"0.9", "0"}, {"2", "0"}, {"0.5", "2.5"}} {
		id := fmt.Sprint("v", i)
		r.prices(unitBook(id, fmt.Sprintf("2026-01-0%dT00:00:00Z", i+2), `"`+c.unit+`"`))
		r.rerate(id)
		r.has(c.want)
	}
}

// TestClosedAccountIsLeftAlone voids an event of a closed account, and finds a price for another:
// nothing moves on an account that nobody can pay or settle any more.
func TestClosedAccountIsLeftAlone(t *testing.T) {
	r := newPlanRig(t, "2026-01-20")
	r.prices(unitBook("v", "2026-01-01T00:00:00Z", `"1"`))
	r.pay("t", "10")
	r.post(*unitCall("e", "m", 10), *unitCall("late", "m2", 10))
	if _, _, no := r.e.SetStatus(StatusSpec{ID: "c", Account: "acme", Action: "close"}); no != nil {
		t.Fatal(no)
	}
	_, _, no := r.e.Void(VoidSpec{ID: "v", Source: "s", Event: "e"})
	refused(t, no, refusal.AccountConflict, "account_closed")
	r.prices("v2", `{"effective_from":"2026-01-02T00:00:00Z","prices":[{"meter":"m2","currency":"USD","match":{},"components":{"u":"3"}},
		{"meter":"m","currency":"USD","match":{},"components":{"u":"3"}}]}`)
	r.e.repriced()
	r.rerate("v2")
	r.has("0")
}

// TestVoidOfWhatGaveBack voids an event that made its period cheaper: what it gave to the pool
// comes from there, not from a grant.
func TestVoidOfWhatGaveBack(t *testing.T) {
	r := newPlanRig(t, "2026-01-20")
	r.prices(unitBook("v", "2026-01-01T00:00:00Z", `{"volume":[{"up_to":"10","unit":"10"},{"unit":"1"}]}`))
	r.pay("t", "100")
	r.post(*unitCall("e", "m", 10), *unitCall("e2", "m", 1))
	r.has("89")
	r.promo("g", "50", "2026-03-01")
	if _, _, no := r.e.Void(VoidSpec{ID: "v", Source: "s", Event: "e2"}); no != nil {
		t.Fatal(no)
	}
	r.has("50")
	r.grants("50 50 open 2026-03-01")
}

// TestWindowOfAllThereIsRoomFor closes a window in which nearly all was moved that a ledger can
// hold: closing it needs no room.
func TestWindowOfAllThereIsRoomFor(t *testing.T) {
	r := newPlanRig(t, "2026-01-20")
	r.account("owes", "customer", "postpaid")
	r.account("earns", "provider", "")
	r.prices("v", `{"effective_from":"2026-01-01T00:00:00Z","prices":[{"meter":"m","currency":"USD","match":{},"components":{"u":"1000000000000"},"payee":"earns"}]}`)
	c := unitCall("e", "m", 1_300_000)
	c.subject = "owes"
	if got := r.post(*c); got.Accepted != 1 {
		t.Fatalf("%+v", got)
	}
	r.settle("w")
	if r.posted("owes") != "0" || r.posted("earns") != "0" {
		t.Fatalf("after the close %s is owed, %s is to be paid", r.posted("owes"), r.posted("earns"))
	}
	r.reopen()
}

// TestCutPeriodKeepsNothingHeld cancels a subscription at once while a hold reserves what its
// period gave, after usage that is voided later: the price comes back, so the grant does not.
func TestCutPeriodKeepsNothingHeld(t *testing.T) {
	r := newPlanRig(t, "2026-01-01")
	r.prices(unitBook("v", "2025-01-01T00:00:00Z", `"1"`))
	r.pay("t", "100")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 100 price 100")})
	r.post(*unitCall("e", "m", 10))
	r.operate(&creditOp{kind: PlaceHold, hold: "h", account: "acme", amount: "50"}, &creditOp{kind: PlaceHold, hold: "h2", account: "acme", amount: "40"})
	r.change(SubscriptionChange{ID: "c", Subscription: "s", Cancel: true, Now: true})
	r.has("190")
	r.operate(&creditOp{kind: VoidHold, hold: "h"}, &creditOp{kind: CaptureHold, hold: "h2", amount: "30"})
	if _, _, no := r.e.Void(VoidSpec{ID: "v", Source: "s", Event: "e"}); no != nil {
		t.Fatal(no)
	}
	r.has("100")
	r.grants("100 0 expired 2026-01-01")
}

// TestPromotionalCreditIsNeverPaidBack has prices that count give back more than an event's own:
// usage that promotional credit paid makes paid credit. It may be used, but neither refunded nor
// moved beyond what was bought.
func TestPromotionalCreditIsNeverPaidBack(t *testing.T) {
	f := func(name, component string, units int, posted string) {
		t.Run(name, func(t *testing.T) {
			r := newPlanRig(t, "2026-01-20")
			r.prices(unitBook("v", "2026-01-01T00:00:00Z", component))
			r.promo("g", "100", "")
			r.post(*unitCall("e", "m", 10), *unitCall("e2", "m", units))
			if name == "void" {
				if _, _, no := r.e.Void(VoidSpec{ID: "v", Source: "s", Event: "e"}); no != nil {
					t.Fatal(no)
				}
			}
			r.has(posted)
			back := func(id, sum string) *refusal.Refusal {
				_, _, no := r.e.Refund(RefundSpec{ID: id, Account: "acme", Amount: amount(t, sum)})
				return no
			}
			refused(t, back("r1", "0.01"), refusal.InsufficientFunds, "insufficient_funds")
			r.pay("t", "5")
			refused(t, back("r2", "5.01"), refusal.InsufficientFunds, "insufficient_funds")
			if no := back("r3", "5"); no != nil {
				t.Fatal(no)
			}
			refused(t, back("r4", "0.01"), refusal.InsufficientFunds, "insufficient_funds")
		})
	}
	f("void", `{"included":"10","unit":"10"}`, 10, "100")
	f("price", `{"volume":[{"up_to":"20","unit":"5"},{"unit":"1"}]}`, 15, "75")
}
