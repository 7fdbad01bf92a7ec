package engine

import (
	"fmt"
	"testing"
)

func TestSubscriptionByTheMonth(t *testing.T) {
	r := newPlanRig(t, "2027-10-31")
	r.pay("t", "100")
	s := r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 10 price 5")})
	if s.Anchor != 31 || planText(&s) != "active 1 2027-10-31 2027-11-30" {
		t.Fatalf("anchor %d, %s", s.Anchor, planText(&s))
	}
	since := 0
	r.moved(&since, "topup 100", "subscription -5", "grant 10")
	periods := []string{"2027-11-30", "2027-12-31", "2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"}
	for i, begin := range periods[:len(periods)-1] {
		r.at(begin)
		r.is("s", fmt.Sprintf("active %d %s %s", i+2, begin, periods[i+1]))
		r.moved(&since, "subscription -5", "grant 10", "expiry -10")
		if i == 2 {
			r.reopen()
		}
	}
	if got := r.posted("acme"); got != "80" { // 100 − 6 × 5 + 10
		t.Fatal(got)
	}
}

func TestSubscriptionByTheWeekAndTheDay(t *testing.T) {
	r := newPlanRig(t, "2027-03-01T12:00") // a Monday
	r.pay("t", "100")
	r.subscribe(SubscriptionSpec{ID: "w", Period: "week", Anchor: 3, Plan: planOf(t, "allowance 7 price 10")})
	r.is("w", "active 1 2027-03-01T12:00 2027-03-03")
	since := 0
	r.moved(&since, "topup 100", "subscription -2.14", "grant 1.5") // 1.5 of 7 days: 2.1428…
	r.at("2027-03-03")
	r.is("w", "active 2 2027-03-03 2027-03-10")
	r.moved(&since, "subscription -10", "grant 7", "expiry -1.5")
	r.change(SubscriptionChange{ID: "c", Subscription: "w", Cancel: true})
	s := r.subscribe(SubscriptionSpec{ID: "d", Period: "day", Starts: planTime(t, "2027-03-04T18:00"), Plan: planOf(t, "allowance 1")})
	if s.Anchor != 0 || planText(&s) != "active 0" {
		t.Fatalf("anchor %d, %s", s.Anchor, planText(&s))
	}
	r.at("2027-03-04T17:59")
	r.moved(&since)
	r.at("2027-03-04T18:00")
	r.moved(&since, "grant 0.25")
	r.reopen()
	r.at("2027-03-05")
	r.is("d", "active 2 2027-03-05 2027-03-06")
	r.moved(&since, "grant 1", "expiry -0.25")
}

// TestSubscriptionFirstPeriod: 18.5 of 30 days. What paid credit does not cover is owed.
func TestSubscriptionFirstPeriod(t *testing.T) {
	r := newPlanRig(t, "2026-11-12T12:00")
	r.pay("t", "4")
	spec := SubscriptionSpec{ID: "s", Account: "acme", Period: "month", Anchor: 1, Plan: planOf(t, "allowance 50 price 10")}
	r.subscribe(spec)
	since := 0
	r.moved(&since, "topup 4", "subscription -4", "subscription -2.16", "grant 30.83")
	r.grants("30.83 30.83 open 2026-12-01")
	r.at("2026-11-13")
	if again, created, no := r.e.Subscribe(spec); no != nil || created || planText(&again) != "active 1 2026-11-12T12:00 2026-12-01" {
		t.Fatalf("asked again: %v, created %v, %s", no, created, planText(&again))
	}
	spec.Plan.Priority++
	_, _, no := r.e.Subscribe(spec)
	refused(t, no, "id_conflict", "id_conflict")
	r.at("2026-12-01")
	r.moved(&since, "subscription -10", "grant 50", "expiry -30.83")
	page, no := r.e.Subscriptions("acme", "", 10)
	if no != nil || len(page.Items) != 1 || page.Items[0].ID != "s" {
		t.Fatalf("%v %+v", no, page)
	}
}

// TestSubscriptionRollover: a grant lives on for two periods, and at most 15 do.
func TestSubscriptionRollover(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 10 max 15 periods 2")})
	r.grants("10 10 open 2027-04-01")
	since := 0
	r.moved(&since, "grant 10")
	r.at("2027-02-01")
	r.moved(&since, "grant 10")
	r.reopen()
	r.at("2027-03-01") // 20 would be carried over: the oldest loses
	r.moved(&since, "expiry -5", "grant 10")
	r.grants("10 5 open 2027-04-01", "10 10 open 2027-05-01", "10 10 open 2027-06-01")
	r.at("2027-04-01") // the oldest ends here and is not carried over; the next loses 5 of its 10
	r.moved(&since, "expiry -5", "grant 10", "expiry -5")
	r.grants("10 0 expired 2027-04-01", "10 5 open 2027-05-01", "10 10 open 2027-06-01", "10 10 open 2027-07-01")
	r.at("2027-04-30T12:00")
	hold := creditOperate(t, r.e, []*creditOp{{kind: PlaceHold, hold: "h", account: "acme", amount: "8", ttl: 2 * day}})
	if hold[0].Outcome != HoldDone {
		t.Fatalf("%+v", hold[0])
	}
	// 5 of the second and 3 of the third are reserved: of the third and fourth 17 are free, and
	// nothing is taken of what is reserved.
	r.at("2027-05-01")
	r.moved(&since, "expiry -2", "grant 10")
	r.grants("10 0 expired 2027-04-01", "10 5 expired 2027-05-01", "10 8 open 2027-06-01", "10 10 open 2027-07-01", "10 10 open 2027-08-01")
	creditOperate(t, r.e, []*creditOp{{kind: VoidHold, hold: "h"}})
	r.moved(&since, "expiry -5") // what comes back to a grant that has expired goes with it
	// Nothing is to live on any more: what was given to, does, and no new grant.
	none := RolloverSpec{}
	r.change(SubscriptionChange{ID: "c", Subscription: "s", Rollover: &none})
	r.at("2027-06-01")
	r.moved(&since, "grant 10", "expiry -8")
	r.at("2027-07-01")
	r.moved(&since, "grant 10", "expiry -10", "expiry -10")
}

// TestSubscriptionChangeNow: 21 of 31 days are left.
func TestSubscriptionChangeNow(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.pay("t", "20")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 50 price 10 max 40")})
	r.at("2027-01-11")
	later := amount(t, "1")
	r.change(SubscriptionChange{ID: "c0", Subscription: "s", Allowance: &later})
	plan := planOf(t, "allowance 31 price 62")
	change := SubscriptionChange{ID: "c1", Subscription: "s", Now: true, Allowance: &plan.Allowance, Price: &plan.Price}
	s := r.change(change)
	if planText(&s) != "active 2 2027-01-11 2027-02-01 credited 6.77" || s.Next != nil || s.Plan.Rollover == nil {
		t.Fatalf("%s, then %+v", planText(&s), s.Next)
	}
	since := 0
	// 20 − 10 + 6.77 are there for the price of 42.
	r.moved(&since, "topup 20", "subscription -10", "grant 50", "expiry -50", "subscription_credit 6.77", "subscription -16.77",
		"subscription -25.23", "grant 21")
	r.grants("50 0 expired 2027-01-11", "21 21 open 2027-03-01")
	r.reopen()
	if _, created, no := r.e.ChangeSubscription(change); no != nil || created {
		t.Fatalf("asked again: %v, created %v", no, created)
	}
	r.at("2027-02-01")
	r.is("s", "active 3 2027-02-01 2027-03-01 credited 6.77")
	r.moved(&since, "subscription -62", "grant 31")
	// At the last moment nothing is left of the period; the price of a quarter of the day is.
	r.at("2027-02-28T18:00")
	s = r.change(SubscriptionChange{ID: "c2", Subscription: "s", Now: true, Cancel: true})
	r.moved(&since, "expiry -31", "subscription_credit 0.55") // 62 × 1/112 = 0.5535…
	if planText(&s) != "ended 3 2027-02-01 2027-03-01 credited 7.32" {
		t.Fatal(planText(&s))
	}
	r.at("2027-05-01")
	r.moved(&since, "expiry -21") // what was carried over ends when it would have
}

func TestSubscriptionChangeAtTheEnd(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.pay("t", "100")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 10 price 5")})
	since := 0
	r.moved(&since, "topup 100", "subscription -5", "grant 10")
	price, allowance, priority := amount(t, "7"), amount(t, "20"), uint32(3)
	r.change(SubscriptionChange{ID: "c1", Subscription: "s", Price: &price})
	s := r.change(SubscriptionChange{ID: "c2", Subscription: "s", Allowance: &allowance, Priority: &priority, Scope: &Scope{Types: []string{"chat"}}})
	if s.Plan.Price.String() != "5" || s.Next == nil || s.Next.Price != price || s.Next.Allowance != allowance {
		t.Fatalf("%+v, then %+v", s.Plan, s.Next)
	}
	r.reopen()
	r.moved(&since)
	r.at("2027-02-01")
	r.moved(&since, "subscription -7", "grant 20", "expiry -10")
	s, _ = r.e.Subscription("s")
	g, _ := r.e.Grants("acme", "", 10)
	if s.Next != nil || s.Plan.Priority != 3 || g.Items[1].Priority != 3 || len(g.Items[1].Scope.Types) != 1 || g.Items[1].Subscription != "s" {
		t.Fatalf("%+v %+v", s, g.Items[1])
	}
	r.change(SubscriptionChange{ID: "c3", Subscription: "s", Cancel: true})
	r.is("s", "ending 2 2027-02-01 2027-03-01")
	_, _, no := r.e.ChangeSubscription(SubscriptionChange{ID: "c4", Subscription: "s", Price: &price})
	refused(t, no, "account_conflict", "subscription_ending")
	r.reopen()
	r.at("2027-03-01")
	r.is("s", "ended 2 2027-02-01 2027-03-01")
	r.moved(&since, "expiry -20")
	_, _, no = r.e.ChangeSubscription(SubscriptionChange{ID: "c5", Subscription: "s", Cancel: true})
	refused(t, no, "account_conflict", "subscription_ended")
	if _, created, no := r.e.ChangeSubscription(SubscriptionChange{ID: "c3", Subscription: "s", Cancel: true}); no != nil || created {
		t.Fatalf("asked again: %v, created %v", no, created)
	}
}

// TestSubscriptionBeforeItBegins: nothing moves, whatever is changed.
func TestSubscriptionBeforeItBegins(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	starts := planTime(t, "2027-01-10")
	for _, id := range []string{"a", "b", "c"} {
		r.subscribe(SubscriptionSpec{ID: id, Period: "month", Starts: starts, Plan: planOf(t, "allowance 10")})
	}
	two := amount(t, "2")
	r.change(SubscriptionChange{ID: "a1", Subscription: "a", Now: true, Allowance: &two})
	r.change(SubscriptionChange{ID: "b1", Subscription: "b", Cancel: true})
	r.change(SubscriptionChange{ID: "c1", Subscription: "c", Cancel: true, Now: true})
	r.is("a", "active 0")
	r.is("b", "ended 0")
	r.is("c", "ended 0")
	since := 0
	r.moved(&since)
	r.reopen()
	r.at("2027-01-10")
	r.moved(&since, "grant 2")
	r.is("a", "active 1 2027-01-10 2027-02-10")
}

// TestSubscriptionDowntime: three months are missed. Each period is booked once, in order, and
// a grant that is over when it is given ends right after.
func TestSubscriptionDowntime(t *testing.T) {
	r := newPlanRig(t, "2027-01-01")
	r.pay("t", "100")
	r.subscribe(SubscriptionSpec{ID: "s", Period: "month", Plan: planOf(t, "allowance 10 price 1")})
	r.subscribe(SubscriptionSpec{ID: "w", Period: "month", Anchor: 15, Plan: planOf(t, "allowance 4")})
	since := 0
	r.moved(&since, "topup 100", "subscription -1", "grant 10", "grant 1.8") // 14 of 31 days
	r.close()
	r.turn("2027-04-10")
	r.open()
	r.catch()
	r.moved(&since, "grant 4", "expiry -1.8", "subscription -1", "grant 10", "expiry -10", "grant 4", "expiry -4", "subscription -1", "grant 10", "expiry -10",
		"grant 4", "expiry -4", "subscription -1", "grant 10", "expiry -10")
	r.is("s", "active 4 2027-04-01 2027-05-01")
	r.is("w", "active 4 2027-03-15 2027-04-15")
	// The clock goes back: time stands still until it is there again.
	for _, at := range []string{"2027-02-15", "2027-04-30T23:59"} {
		r.close()
		r.turn(at)
		r.open()
		r.catch()
		if at == "2027-02-15" {
			r.moved(&since)
		}
	}
	r.moved(&since, "grant 4", "expiry -4")
	r.at("2027-05-01")
	r.moved(&since, "subscription -1", "grant 10", "expiry -10")
}
