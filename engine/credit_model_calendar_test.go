package engine

import (
	"testing"
	"time"

	"farthing/money"
)

// TestCreditTwinRequests: one request at a time, the gap closed whole, back-off, days.
func TestCreditTwinRequests(t *testing.T) {
	d := newCreditDesk(t)
	low := amount(t, "5")
	d.pay("org", "10")
	d.done(d.putSettings(SettingsSpec{Account: "org", Excess: "allow", Abandoned: "void", CreditLow: &low,
		AutoTopUp: &AutoTopUp{Threshold: amount(t, "8"), Amount: amount(t, "3"), MaxPerDay: 2}}))
	d.noted("")
	d.done(d.event(d.usage("key", "api.calls", "", 3))) // 4 left
	d.noted("credit.low topup.requested")
	if r := d.requests[0]; r.amount.String() != "6" {
		t.Fatalf("%+v", r)
	}
	d.no(d.askTopUp(TopUpAskSpec{ID: "a", Account: "org", Amount: amount(t, "1")}), "request_conflict request_open")
	d.done(d.reply(TopUpReplySpec{ID: "no", Request: "tr"}, 0))
	d.wait(59 * time.Second)
	d.noted("")
	d.wait(time.Second)
	d.noted("topup.requested")
	d.done(d.reply(TopUpReplySpec{ID: "no2", Request: "tr"}, 1))
	d.wait(11*time.Hour + 58*time.Minute)
	d.noted("") // two were asked for today
	d.wait(time.Minute)
	d.noted("topup.requested")
	one := amount(t, "1.5")
	d.done(d.reply(TopUpReplySpec{ID: "yes", Request: "tr", Paid: true, Amount: &one}, 2))
	d.noted("topup.requested") // 5.5: not low any more, but below the threshold
	d.is("org", "5.5 0 5.5")
}

// TestCreditTwinBoundaries: where calendar periods begin and end.
func TestCreditTwinBoundaries(t *testing.T) {
	f := func(period string, anchor uint32, at, last, next string) {
		t.Helper()
		when, err := time.Parse("2006-01-02T15:04", at)
		if err != nil {
			t.Fatal(err)
		}
		show := func(before bool) string {
			return time.Unix(0, creditBoundary(period, anchor, when.UnixNano(), before)).UTC().Format("2006-01-02T15:04")
		}
		if show(true) != last+"T00:00" || show(false) != next+"T00:00" {
			t.Errorf("%s %d at %s: %s to %s, want %s to %s", period, anchor, at, show(true), show(false), last, next)
		}
	}
	f("day", 0, "2026-11-01T12:00", "2026-11-01", "2026-11-02")
	f("day", 0, "2026-12-31T00:00", "2026-12-31", "2027-01-01")
	f("week", 1, "2026-11-01T12:00", "2026-10-26", "2026-11-02") // a Sunday
	f("week", 7, "2026-11-01T12:00", "2026-11-01", "2026-11-08")
	f("week", 3, "2026-11-03T23:59", "2026-10-28", "2026-11-04")
	f("month", 1, "2026-11-01T00:00", "2026-11-01", "2026-12-01")
	f("month", 31, "2026-02-10T00:00", "2026-01-31", "2026-02-28")
	f("month", 31, "2026-02-28T00:00", "2026-02-28", "2026-03-31")
	f("month", 31, "2026-12-31T05:00", "2026-12-31", "2027-01-31")
	f("month", 15, "2026-01-14T05:00", "2025-12-15", "2026-01-15")
	f("month", 29, "2028-02-29T05:00", "2028-02-29", "2028-03-29")
}

// TestCreditTwinSubscription: 12 November to 1 December is 19 of 30 days and a half less.
func TestCreditTwinSubscription(t *testing.T) {
	d := newCreditDesk(t)
	d.pay("org", "100")
	d.done(d.subscribe(SubscriptionSpec{ID: "s", Account: "org", Period: "month", Anchor: 1, Starts: time.Date(2026, 11, 12, 12, 0, 0, 0, time.UTC),
		Plan: PlanSpec{Allowance: amount(t, "50"), Price: amount(t, "10"), Priority: 50, Rollover: &RolloverSpec{Max: amount(t, "40"), Periods: 2}}}))
	d.is("org", "100 0 100")
	d.wait(11 * 24 * time.Hour)
	// 18.5/30: the price 6.1666… → 6.16, the allowance 30.8333… → 30.83
	d.is("org", "124.67 0 124.67")
	d.classIs("subscription_income", "-24.67")
	d.done(d.event(d.usage("key", "api.calls", "", 1)))
	d.advance(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	d.is("org", "162.67 0 162.67") // 28.83 carried and 50 more, 10 less
	d.advance(time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	// 78.83 would be carried, at most 40 are: the oldest loses its 28.83, the next 10.
	d.grantsAre("0:used 40:open 50:open")
	d.is("org", "163.84 0 163.84")
	d.advance(time.Date(2027, 1, 11, 0, 0, 0, 0, time.UTC).UnixNano())
	credit := d.done(d.changeSub(SubscriptionChange{ID: "c", Subscription: "s", Now: true, Allowance: creditPointer(amount(t, "31")), Price: creditPointer(amount(t, "31"))}))
	if credit.refused() || d.sub("s").credited.String() != "6.77" { // 10 × 21/31 = 6.774…
		t.Fatalf("credited %s", d.sub("s").credited)
	}
	// 163.84 − 50 + 6.77 − 21 + 21
	d.is("org", "120.61 0 120.61")
	d.done(d.changeSub(SubscriptionChange{ID: "c2", Subscription: "s", Cancel: true}))
	d.advance(time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	if s := d.sub("s"); s.state != "ended" || s.n != 4 {
		t.Fatalf("%+v", s)
	}
}

func creditPointer(a money.Amount) *money.Amount { return &a }
