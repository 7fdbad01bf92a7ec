package engine

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// What the comparison with the twin found in the engine.

// foundRig is a calendar with prices: a call of api.calls is 1.
func foundRig(t *testing.T, at string) *planRig {
	r := newPlanRig(t, at)
	r.prices("v1", `{"effective_from":"2026-01-01T00:00:00Z","prices":[{"meter":"api.calls","currency":"USD","match":{},"components":{"call":"1"}}]}`)
	return r
}

func (r *planRig) use(id string, calls int) {
	r.t.Helper()
	if out := r.post(call{source: "s", id: id, subject: "acme", kind: "api.calls", usage: [][2]string{{"call", fmt.Sprint(calls)}}}); out.Accepted != 1 {
		r.t.Fatalf("%+v", out)
	}
}

func (r *planRig) giveBack(event string) {
	r.t.Helper()
	if _, _, no := r.e.Void(VoidSpec{Source: "s", Event: event, ID: "void-" + event}); no != nil {
		r.t.Fatal(no)
	}
	r.catch()
}

func (r *planRig) gift(id, sum, expires string) {
	r.t.Helper()
	if _, _, no := r.e.Grant(GrantSpec{ID: id, Account: "acme", Amount: amount(r.t, sum), Kind: "promo", Expires: planTime(r.t, expires)}); no != nil {
		r.t.Fatal(no)
	}
}

func (r *planRig) set(low string, warning time.Duration, auto *AutoTopUp) {
	r.t.Helper()
	spec := SettingsSpec{Account: "acme", Excess: "allow", Abandoned: "void", GrantWarning: warning, AutoTopUp: auto}
	if low != "" {
		spec.CreditLow = creditPointer(amount(r.t, low))
	}
	if _, _, no := r.e.PutSettings(spec); no != nil {
		r.t.Fatal(no)
	}
	r.catch()
}

// told compares all notifications: "type amount" each, the amount that each type is about.
func (r *planRig) told(want ...string) {
	r.t.Helper()
	list, no := r.e.Notifications(0, 1000)
	if no != nil {
		r.t.Fatal(no)
	}
	var got []string
	for i := range list {
		var data map[string]string
		if err := json.Unmarshal(list[i].Data, &data); err != nil {
			r.t.Fatal(err)
		}
		about := map[string]string{"topup.requested": "amount", "credit.low": "available", "grant.expiring": "remaining"}[list[i].Type]
		got = append(got, list[i].Type+" "+data[about])
	}
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		r.t.Fatalf("told %q, want %q", got, want)
	}
}

// restarting runs a test as it is, and with a restart where it says so.
func restarting(t *testing.T, run func(t *testing.T, restart func(*planRig))) {
	t.Run("running", func(t *testing.T) { run(t, func(*planRig) {}) })
	t.Run("restarted", func(t *testing.T) { run(t, func(r *planRig) { r.reopen() }) })
}

// TestGivenBackIsAnnounced: a grant that was empty when its announcement was due is announced
// once something is given back to it, and not only after a restart.
func TestGivenBackIsAnnounced(t *testing.T) {
	restarting(t, func(t *testing.T, restart func(*planRig)) {
		r := foundRig(t, "2026-11-01T12:00")
		r.gift("g", "5", "2026-11-20")
		r.use("e", 5)
		r.at("2026-11-18")
		restart(r)
		r.catch()
		r.told()
		r.giveBack("e")
		r.told("grant.expiring 5")
		restart(r)
		r.at("2026-11-19")
		r.told("grant.expiring 5")
	})
}

// TestGivenBackIsAnnouncedInTime: the same if settings have changed while it was empty.
func TestGivenBackIsAnnouncedInTime(t *testing.T) {
	restarting(t, func(t *testing.T, restart func(*planRig)) {
		r := foundRig(t, "2026-11-01T12:00")
		r.gift("g", "5", "2026-11-20")
		r.use("e", 5)
		r.set("", time.Hour, nil)
		restart(r)
		r.set("", 72*time.Hour, nil)
		r.giveBack("e")
		r.at("2026-11-16")
		r.told()
		r.at("2026-11-17")
		r.told("grant.expiring 5")
	})
}

// TestRequestsWaitInOrder: after a long wait an account whose request had to wait for the next
// day is looked at after what was due before, whether or not the ledger was closed meanwhile.
func TestRequestsWaitInOrder(t *testing.T) {
	restarting(t, func(t *testing.T, restart func(*planRig)) {
		r := foundRig(t, "2026-11-01T12:00")
		r.subscribe(SubscriptionSpec{ID: "s", Period: "day", Starts: planTime(t, "2026-11-01T20:00"), Plan: planOf(t, "allowance 60")})
		r.set("", 0, &AutoTopUp{Threshold: amount(t, "10"), Amount: amount(t, "4"), MaxPerDay: 1})
		r.told("topup.requested 12")
		list, no := r.e.TopUpRequests("acme", "", 10)
		if no != nil {
			t.Fatal(no)
		}
		if _, _, no := r.e.ReplyTopUp(TopUpReplySpec{ID: "no", Request: list.Items[0].ID}); no != nil {
			t.Fatal(no)
		}
		restart(r)
		r.at("2026-11-03T12:00")
		// 10 for the rest of the first day came before midnight, 60 for each day after it.
		r.told("topup.requested 12")
	})
}

// TestExpiredIsNotGivenBack: what an expired grant is given back is no credit for a moment, so
// that it is low again.
func TestExpiredIsNotGivenBack(t *testing.T) {
	r := foundRig(t, "2026-11-01T12:00")
	r.gift("g", "20", "2026-11-05")
	r.set("10", 0, nil)
	r.use("e", 20)
	r.told("credit.low 0")
	r.at("2026-11-06")
	r.giveBack("e")
	r.told("credit.low 0")
	r.grants("20 0 expired 2026-11-05")
}

// TestPeriodsOfLowCredit: the grant of a period that is over does not count beside the next one,
// so credit that is always low is told once.
func TestPeriodsOfLowCredit(t *testing.T) {
	r := foundRig(t, "2026-11-01")
	r.set("15", 0, nil)
	r.told("credit.low 0")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Anchor: 1, Plan: planOf(t, "allowance 10")})
	r.at("2026-12-01")
	r.at("2027-03-01")
	r.told("credit.low 0")
}

// TestEndTogether: grants that end together are one gap.
func TestEndTogether(t *testing.T) {
	r := foundRig(t, "2026-11-01")
	r.gift("a", "7", "2026-11-05")
	r.gift("b", "8", "2026-11-05")
	r.set("14", 0, &AutoTopUp{Threshold: amount(t, "14"), Amount: amount(t, "1"), MaxPerDay: 5})
	r.at("2026-11-05")
	r.told("credit.low 0", "topup.requested 14")
}

// TestCutGrantFirst: a capture takes first what a hold reserves of the grant of a period that was
// cut short meanwhile, since that is lost else.
func TestCutGrantFirst(t *testing.T) {
	r := foundRig(t, "2026-11-01")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Anchor: 1, Plan: planOf(t, "allowance 3")})
	if _, _, no := r.e.Grant(GrantSpec{ID: "g", Account: "acme", Amount: amount(t, "5"), Kind: "promo", Priority: 50, Expires: planTime(t, "2026-11-20")}); no != nil {
		t.Fatal(no)
	}
	operate := func(op *creditOp) {
		t.Helper()
		if got := creditOperate(t, r.e, []*creditOp{op})[0]; got.Refusal != nil {
			t.Fatal(got.Refusal)
		}
	}
	operate(&creditOp{kind: PlaceHold, hold: "h", account: "acme", amount: "8", ttl: 168 * time.Hour})
	r.change(SubscriptionChange{ID: "c", Subscription: "s", Cancel: true, Now: true})
	operate(&creditOp{kind: CaptureHold, hold: "h", amount: "3"})
	r.grants("3 0 expired 2026-11-01", "5 5 open 2026-11-20")
}

// TestShadowsInOrder: a hold names the shadow limits that it and its extensions did not fit in the
// order in which they did not.
func TestShadowsInOrder(t *testing.T) {
	r := foundRig(t, "2026-11-01")
	r.pay("p", "100")
	low, high := amount(t, "4"), amount(t, "6")
	if _, _, no := r.e.PutLimits(LimitsSpec{Account: "acme", Limits: []LimitSpec{{Name: "x", Per: "day", Amount: &low, Mode: "shadow"},
		{Name: "y", Per: "day", Amount: &high, Mode: "shadow"}}}); no != nil {
		t.Fatal(no)
	}
	creditOperate(t, r.e, []*creditOp{{kind: PlaceHold, hold: "h", account: "acme", amount: "3"}, {kind: ExtendHold, hold: "h", id: "a", amount: "2"},
		{kind: ExtendHold, hold: "h", id: "b", amount: "2"}})
	h, no := r.e.Hold("h")
	if no != nil || fmt.Sprint(h.WouldRefuse) != "[acme/x acme/x acme/y]" || len(h.Extensions) != 2 {
		t.Fatalf("%v: %+v", no, h)
	}
}
