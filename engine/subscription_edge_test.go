package engine

import (
	"bytes"
	"fmt"
	"math"
	"testing"

	"farthing/ledger"
	"farthing/money"
)

// TestSubscriptionLateChange: a change that comes when a period is due, and was not booked yet,
// is of that period.
func TestSubscriptionLateChange(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.pay("t", "100")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 10 price 28")})
	since := 0
	r.moved(&since, "topup 100", "subscription -28", "grant 10")
	r.turn("2027-02-15")
	s := r.change(SubscriptionChange{ID: "c", Subscription: "s", Cancel: true, Now: true})
	if planText(&s) != "ended 2 2027-02-01 2027-03-01 credited 14" {
		t.Fatal(planText(&s))
	}
	r.catch()
	if got := r.posted("acme"); got != "58" { // 100 − 28 − 28 + 14
		t.Fatal(got)
	}
	r.at("2027-04-01")
	r.is("s", "ended 2 2027-02-01 2027-03-01 credited 14")
}

func TestSubscriptionRefusals(t *testing.T) {
	r := newPlanRig(t, "2027-01-10")
	r.account("prov", "provider", "")
	if _, _, no := r.e.CreateAccount(AccountSpec{ID: "team", Currency: usd(), Kind: "customer", Parent: "acme"}); no != nil {
		t.Fatal(no)
	}
	good := SubscriptionSpec{ID: "s", Account: "acme", Period: "month", Plan: planOf(t, "allowance 10 price 5")}
	for _, c := range []struct {
		change func(*SubscriptionSpec)
		reason string
	}{
		{func(s *SubscriptionSpec) { s.ID = "" }, "missing_field"},
		{func(s *SubscriptionSpec) { s.ID = "s#1" }, "invalid_id"},
		{func(s *SubscriptionSpec) { s.Account = "nobody" }, "unknown_account"},
		{func(s *SubscriptionSpec) { s.Account = "prov" }, "not_a_customer"},
		{func(s *SubscriptionSpec) { s.Account = "team" }, "not_a_root"},
		{func(s *SubscriptionSpec) { s.Period = "year" }, "invalid_period"},
		{func(s *SubscriptionSpec) { s.Anchor = 32 }, "invalid_anchor"},
		{func(s *SubscriptionSpec) { s.Anchor = 256 + 1 }, "invalid_anchor"},
		{func(s *SubscriptionSpec) { s.Period, s.Anchor = "week", 8 }, "invalid_anchor"},
		{func(s *SubscriptionSpec) { s.Period, s.Anchor = "day", 1 }, "invalid_anchor"},
		{func(s *SubscriptionSpec) { s.Starts = planTime(t, "2027-01-09") }, "invalid_starts_at"},
		{func(s *SubscriptionSpec) { s.Starts = planTime(t, "1950-01-09") }, "invalid_starts_at"},
		{func(s *SubscriptionSpec) { s.Starts = planTime(t, "2100-01-09") }, "invalid_starts_at"},
		{func(s *SubscriptionSpec) { s.Starts = planTime(t, "9000-01-09") }, "invalid_starts_at"},
		{func(s *SubscriptionSpec) { s.Plan = PlanSpec{} }, "invalid_amount"},
		{func(s *SubscriptionSpec) { s.Plan.Price = amount(t, "-1") }, "invalid_amount"},
		{func(s *SubscriptionSpec) { s.Plan.Allowance = amount(t, "1000000000000.01") }, "invalid_amount"},
		{func(s *SubscriptionSpec) { s.Plan.Priority = 1_000_001 }, "invalid_priority"},
		{func(s *SubscriptionSpec) { s.Plan.Rollover = &RolloverSpec{Max: amount(t, "-1"), Periods: 1} }, "invalid_amount"},
		{func(s *SubscriptionSpec) { s.Plan.Rollover = &RolloverSpec{Max: amount(t, "1")} }, "invalid_periods"},
		{func(s *SubscriptionSpec) { s.Plan.Rollover = &RolloverSpec{Max: amount(t, "1"), Periods: 101} }, "invalid_periods"},
		{func(s *SubscriptionSpec) { s.Plan.Scope.Types = []string{"chat", "chat"} }, "invalid_scope"},
	} {
		spec := good
		c.change(&spec)
		if _, _, no := r.e.Subscribe(spec); no == nil || no.Reason != c.reason {
			t.Errorf("%+v: %v, want %s", spec, no, c.reason)
		}
	}
	if _, _, no := r.e.ChangeSubscription(SubscriptionChange{ID: "c", Subscription: "s", Cancel: true}); no == nil || no.Reason != "unknown_subscription" {
		t.Fatal(no)
	}
	r.subscribe(good)
	zero, low := money.Amount{}, amount(t, "-1")
	for _, c := range []struct {
		change SubscriptionChange
		reason string
	}{
		{SubscriptionChange{Subscription: "s", Cancel: true}, "missing_field"},
		{SubscriptionChange{ID: "c", Subscription: "s"}, "missing_field"},
		{SubscriptionChange{ID: "c", Subscription: "s", Cancel: true, Price: &zero}, "missing_field"},
		{SubscriptionChange{ID: "c", Subscription: "s", Price: &zero, Allowance: &zero}, "invalid_amount"},
		{SubscriptionChange{ID: "c", Subscription: "s", Now: true, Price: &low}, "invalid_amount"},
		{SubscriptionChange{ID: "c", Subscription: "s", Rollover: &RolloverSpec{Max: amount(t, "1")}}, "invalid_periods"},
		{SubscriptionChange{ID: "c", Subscription: "s", Scope: &Scope{Types: []string{"a b"}}}, "invalid_scope"},
	} {
		if _, _, no := r.e.ChangeSubscription(c.change); no == nil || no.Reason != c.reason {
			t.Errorf("%+v: %v, want %s", c.change, no, c.reason)
		}
	}
}

// TestSubscriptionClosing: an account is not closed while a period is to come; once it is
// closed, its subscription has ended.
func TestSubscriptionClosing(t *testing.T) {
	r := newPlanRig(t, "2027-01-10")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "day", Plan: planOf(t, "allowance 10")})
	closing := func(id string) string {
		_, _, no := r.e.SetStatus(StatusSpec{ID: id, Account: "acme", Action: "close"})
		if no == nil {
			return ""
		}
		return no.Reason
	}
	if got := closing("c1"); got != "open_subscriptions" {
		t.Fatal(got)
	}
	r.change(SubscriptionChange{ID: "end", Subscription: "s", Cancel: true})
	if got := closing("c2"); got != "balance_not_zero" {
		t.Fatal(got)
	}
	r.at("2027-01-11")
	if got := closing("c3"); got != "" {
		t.Fatal(got)
	}
	r.is("s", "ended 1 2027-01-10 2027-01-11")
	_, _, no := r.e.Subscribe(SubscriptionSpec{ID: "t", Account: "acme", Period: "day", Plan: planOf(t, "allowance 10")})
	refused(t, no, "account_conflict", "account_closed")
}

// TestSubscriptionManyGrants: what has no room is left out, and the calendar goes on. A grant of
// a caller's cannot have the id of one that a subscription gives.
func TestSubscriptionManyGrants(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 10 price 1 max 5")})
	one := amount(t, "1")
	for i := range openGrantsMax - 1 {
		if _, _, no := r.e.Grant(GrantSpec{ID: fmt.Sprintf("s:%d", i), Account: "acme", Amount: one, Kind: "promo"}); no != nil {
			t.Fatal(no)
		}
	}
	_, _, no := r.e.Grant(GrantSpec{ID: "s#2", Account: "acme", Amount: one, Kind: "promo"})
	refused(t, no, "invalid", "invalid_id")
	since := openGrantsMax + 1
	r.at("2027-02-01") // the first grant still has 5: no room
	r.moved(&since, "expiry -5", "subscription -1")
	r.is("s", "active 2 2027-02-01 2027-03-01")
	r.at("2027-03-01") // it ended
	r.moved(&since, "subscription -1", "grant 10", "expiry -5")
	// The current grant loses all it has and makes room for the next.
	two := amount(t, "2")
	r.at("2027-03-02")
	r.change(SubscriptionChange{ID: "c", Subscription: "s", Now: true, Price: &two})
	r.moved(&since, "expiry -10", "subscription_credit 0.96", "subscription -1.93", "grant 9.67")
}

// TestSubscriptionNoRoom: a ledger without room for more charges and gives nothing, and what was
// not charged is not credited.
func TestSubscriptionNoRoom(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 10 price 4")})
	due := planTime(t, "2027-02-01").UnixNano()
	r.e.internal(func(s *sequencer) {
		totals := s.state.ledger.Totals(usd())
		moved := totals.Moved
		room := func(left string) string {
			totals.Moved = money.FromWords(1<<56, 0).MustSub(amount(t, left))
			defer func() { totals.Moved = moved }()
			b := s.state.periodOf(0, due)
			return fmt.Sprint(b.number, b.price, b.grant)
		}
		for _, c := range [][2]string{{"1", "2 0 0"}, {"4.01", "2 4 0"}, {"14", "2 4 0"}, {"14.01", "2 4 10"}} {
			if got := room(c[0]); got != c[1] {
				t.Errorf("with room for less than %s: %s, want %s", c[0], got, c[1])
			}
		}
		row := s.state.planRows.At(0)
		charged := row.charged
		row.charged = money.Amount{}
		if b := s.state.cutPeriod(0); !b.credit.IsZero() {
			t.Errorf("credited %s of nothing", b.credit)
		}
		row.charged = charged
	})
}

// TestSubscriptionWatches: what a period charges may want a top-up.
func TestSubscriptionWatches(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.pay("t", "10")
	if _, _, no := r.e.PutSettings(SettingsSpec{Account: "acme", AutoTopUp: &AutoTopUp{Threshold: amount(t, "5"), Amount: amount(t, "4"), MaxPerDay: 1}}); no != nil {
		t.Fatal(no)
	}
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Starts: planTime(t, "2027-01-02"), Plan: planOf(t, "price 6")})
	r.at("2027-01-02")
	page, no := r.e.TopUpRequests("acme", "", 10)
	if no != nil || len(page.Items) != 1 || page.Items[0].Amount.String() != "4" {
		t.Fatalf("%v %+v", no, page.Items)
	}
	r.grants()
}

// TestSubscriptionForgedPeriod: replay takes no period but the one that is due, to the last digit.
func TestSubscriptionForgedPeriod(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 10 price 4 max 3")})
	r.e.internal(func(s *sequencer) {
		st, now := s.state, s.state.now
		st.now = planTime(t, "2027-02-01").UnixNano()
		defer func() { st.now = now }()
		b := st.periodOf(0, st.clock())
		if b == nil || b.check(st) != nil || len(b.lapses) != 1 {
			t.Errorf("%+v", b)
			return
		}
		for i, forge := range []func(*planPeriod){
			func(b *planPeriod) { b.plan = 1 }, func(b *planPeriod) { b.account++ }, func(b *planPeriod) { b.what = periodChanges },
			func(b *planPeriod) { b.number++ }, func(b *planPeriod) { b.start++ }, func(b *planPeriod) { b.end-- }, func(b *planPeriod) { b.expires = ledger.Never },
			func(b *planPeriod) { b.lapses = nil }, func(b *planPeriod) { b.lapses[0].Amount = amount(t, "6.99") },
			func(b *planPeriod) { b.credit = amount(t, "1") }, func(b *planPeriod) { b.price = amount(t, "3") },
			func(b *planPeriod) { b.paid = amount(t, "1") }, func(b *planPeriod) { b.grant = amount(t, "11") },
		} {
			forged := *b
			forged.lapses = append([]ledger.Part(nil), b.lapses...)
			if forge(&forged); forged.check(st) == nil {
				t.Errorf("forgery %d is believed", i)
			}
		}
	})
	r.at("2027-02-01")
	r.e.internal(func(s *sequencer) {
		if s.state.periodOf(0, s.state.clock()) != nil {
			t.Error("the period is due twice")
		}
	})
}

// FuzzSubscriptionCodec decodes anything without a panic; what decodes is the same again after
// another turn.
func FuzzSubscriptionCodec(f *testing.F) {
	terms := planTerms{allowance: money.FromWords(0, 5), price: money.FromWords(1, 5), carried: money.FromWords(0, 7), periods: 2, priority: 50, scope: 1}
	scope := Scope{Types: []string{"chat"}}
	for i, b := range []interface{ append([]byte) []byte }{
		&subscribe{name: "s", account: 3, unit: 3, anchor: 31, starts: 77, plan: terms, scope: scope},
		&planChange{name: "c", plan: 1, what: changeAll, terms: terms, scope: scope},
		&planPeriod{plan: 1, account: 3, number: 4, start: 5, end: math.MaxInt64, lapses: []ledger.Part{{Grant: 1, Amount: money.FromWords(0, 9)}}, price: terms.price},
		&planRow{state: planEnding, hasNext: true, plan: terms, next: terms, number: 4, start: 5, end: 6, grant: 7, charged: terms.price, credited: terms.price},
		&subscription{id: "s", account: 3, cycle: (&subscribe{unit: 3, anchor: 31}).cycle(0), starts: 5, seq: 6, time: 7},
	} {
		f.Add(byte(i), b.append(nil))
	}
	f.Fuzz(func(t *testing.T, what byte, raw []byte) {
		turn := func(raw []byte) ([]byte, bool) {
			var out []byte
			r := reader{p: raw}
			switch what {
			case 0:
				out = r.subscribe().append(nil)
			case 1:
				out = r.change().append(nil)
			case 2:
				out = r.period().append(nil)
			case 3:
				row := r.planRow()
				out = row.append(nil)
			default:
				out = r.subscriptionInfo().append(nil)
			}
			return out, r.end() == nil
		}
		out, ok := turn(raw)
		if !ok {
			return
		}
		if again, ok := turn(out); !ok || !bytes.Equal(again, out) {
			t.Fatalf("%x becomes %x, then %x", raw, out, again)
		}
	})
}

// TestSubscriptionCatchUp: a period that becomes due between the look at the agenda and a change
// begins before the change.
func TestSubscriptionCatchUp(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 10")})
	r.e.internal(func(s *sequencer) {
		s.g.time = planTime(t, "2027-03-05").UnixNano()
		s.state.now = s.g.time
		c := &planChange{name: "c", what: changeCancel | changeNow}
		if no := c.check(s.state); no == nil || no.Reason != "period_due" {
			t.Errorf("%v, want period_due", no)
		}
		s.catchUp(0)
		if _, created, no := s.accept(c); no != nil || !created {
			t.Errorf("%v, created %v", no, created)
		}
	})
	r.at("2027-03-05")
	r.is("s", "ended 3 2027-03-01 2027-04-01")
	r.grants("10 0 expired 2027-02-01", "10 0 expired 2027-03-01", "10 0 expired 2027-03-05")
}

// TestSubscriptionTwiceOnTheAgenda: what is there twice, as after a restart, is done once and at
// its place.
func TestSubscriptionTwiceOnTheAgenda(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.subscribe(SubscriptionSpec{ID: "a", Period: "month", Plan: planOf(t, "allowance 1")})
	r.subscribe(SubscriptionSpec{ID: "b", Period: "month", Anchor: 15, Starts: planTime(t, "2027-01-15"), Plan: planOf(t, "allowance 2")})
	r.e.internal(func(s *sequencer) {
		s.state.schedulePlan(0)
		s.state.schedulePlan(1)
	})
	r.at("2027-03-10")
	since := 0
	r.moved(&since, "grant 1", "grant 2", "grant 1", "expiry -1", "grant 2", "expiry -2", "grant 1", "expiry -1")
}

// TestSubscriptionDigits: a whole period is charged and given to the last digit, a part of one
// in minor units.
func TestSubscriptionDigits(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.subscribe(SubscriptionSpec{ID: "whole", Period: "month", Plan: planOf(t, "allowance 1.0005 price 0.009")})
	r.subscribe(SubscriptionSpec{ID: "part", Period: "month", Anchor: 31, Plan: planOf(t, "allowance 3.1005 price 0.009")})
	since := 0
	r.moved(&since, "subscription -0.009", "grant 1.0005", "grant 3") // 30 of 31 days
}
