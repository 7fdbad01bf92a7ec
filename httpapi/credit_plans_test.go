package httpapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

func some[T any](v T) *T { return &v }

func someAmount(s string) *money.Amount { return some(amount(s)) }

func TestLimits(t *testing.T) {
	r := newRig(t, Options{})
	const target = "/v1/accounts/a/limits"
	got := r.books("PUT", target, `{"limits":[]}`, engine.LimitsSpec{Account: "a"})
	sameText(t, got, `{"account":"a","currency":"USD","limits":[],"sequence":21}`)
	got = r.books("PUT", target, `{"id":"l1","overdraft_limit":null,"limits":[{"name":"calls","per":"minute","count":60}]}`, engine.LimitsSpec{ID: "l1", Account: "a", SetOverdraft: true,
		Limits: []engine.LimitSpec{{Name: "calls", Per: "minute", Count: some(uint64(60)), Mode: "hard"}}})
	sameText(t, got, `{"account":"a","currency":"USD","overdraft_limit":null,"limits":[{"name":"calls","per":"minute","amount":null,"count":60,"mode":"hard","scope":{"types":[],"match":{}},"allotment":false,`+
		`"period":null,"spent":"0","held":"0","calls":0,"passed":false,"would_have_refused":0,"recent":[]}],"sequence":21}`)
	got = r.books("PUT", target, `{"overdraft_limit":"0","limits":[`+
		`{"name":"seat","per":"month","amount":"20","count":null,"mode":null,"scope":{"types":["llm"],"match":{"model":"x"}},"allotment":true},`+
		`{"name":"one","per":"call","amount":"0.5","mode":"soft"},{"name":"all","per":"total","amount":"0","count":0,"mode":"shadow","allotment":false}]}`,
		engine.LimitsSpec{Account: "a", SetOverdraft: true, Overdraft: someAmount("0"), Limits: []engine.LimitSpec{
			{Name: "seat", Per: "month", Amount: someAmount("20"), Mode: "hard", Scope: engine.Scope{Types: []string{"llm"}, Match: []meter.Dimension{{Key: "model", Value: "x"}}}, Allotment: true},
			{Name: "one", Per: "call", Amount: someAmount("0.5"), Mode: "soft"},
			{Name: "all", Per: "total", Amount: someAmount("0"), Count: some(uint64(0)), Mode: "shadow"}}})
	if want := `{"account":"a","currency":"USD","overdraft_limit":"0","limits":[{"name":"seat",`; !strings.HasPrefix(got, want) {
		t.Error(got)
	}
	sameText(t, r.get("/v1/accounts/acme/limits").body, `{"account":"acme","currency":"USD","overdraft_limit":null,"limits":[{"name":"m","per":"month","amount":"10","count":null,"mode":"shadow",`+
		`"scope":{"types":["llm"],"match":{}},"allotment":false,"period":"2026-11-23T10:00:00Z","spent":"9","held":"2","calls":7,"passed":true,"would_have_refused":3,"recent":["h1","h2"]}],"sequence":22}`)
	r.get(target+"?x=1").want(t, 422, "invalid")
	for _, reason := range []string{"limit_below_spent", "pool_exceeded", "not_for_children"} {
		r.engine.refused = refusal.New(refusal.Invalid, reason, "no")
		r.do("PUT", target, "application/json", `{"limits":[]}`).want(t, 422, "invalid")
	}
}

func TestLimitBodies(t *testing.T) {
	r := newRig(t, Options{})
	f := func(limits, reason string) {
		t.Helper()
		r.refuses("PUT", "/v1/accounts/a/limits", `{"limits":[`+limits+`]}`, reason)
	}
	f(`7`, "wrong_type")
	f(`null`, "wrong_type")
	f(`[]`, "wrong_type")
	f(`{}`, "missing_field")
	f(`{"per":"day","amount":"1"}`, "missing_field")
	f(`{"name":"n","amount":"1"}`, "missing_field")
	f(`{"name":"n","per":"day"}`, "missing_field")
	f(`{"name":"n","per":"day","amount":null,"count":null}`, "missing_field")
	f(`{"name":"n","per":"day","amount":"1","limit":"1"}`, "unknown_field")
	f(`{"name":"n","per":"day","amount":"1","amount":"1"}`, "duplicate_key")
	f(`{"name":"","per":"day","amount":"1"}`, "invalid_name")
	f(`{"name":"a b","per":"day","amount":"1"}`, "invalid_name")
	f(`{"name":"`+strings.Repeat("x", 65)+`","per":"day","amount":"1"}`, "invalid_name")
	f(`{"name":7,"per":"day","amount":"1"}`, "wrong_type")
	f(`{"name":"n","per":"week","amount":"1"}`, "invalid_per")
	f(`{"name":"n","per":7,"amount":"1"}`, "wrong_type")
	f(`{"name":"n","per":"day","amount":1}`, "wrong_type")
	f(`{"name":"n","per":"day","amount":"-1"}`, "negative_amount")
	f(`{"name":"n","per":"day","amount":"0.0000000000000000001"}`, "invalid_amount")
	f(`{"name":"n","per":"day","amount":"1000000000000000000000"}`, "amount_overflow")
	f(`{"name":"n","per":"day","count":"1"}`, "wrong_type")
	f(`{"name":"n","per":"day","count":-1}`, "wrong_type")
	f(`{"name":"n","per":"day","count":1.5}`, "wrong_type")
	f(`{"name":"n","per":"day","count":18446744073709551616}`, "wrong_type")
	f(`{"name":"n","per":"call","count":1}`, "count_per_call")
	f(`{"name":"n","per":"call","amount":"1","count":1}`, "count_per_call")
	f(`{"name":"n","per":"day","amount":"1","mode":"warn"}`, "invalid_mode")
	f(`{"name":"n","per":"day","amount":"1","mode":7}`, "wrong_type")
	f(`{"name":"n","per":"day","amount":"1","allotment":"yes"}`, "wrong_type")
	f(`{"name":"n","per":"day","amount":"1","allotment":1}`, "wrong_type")
	f(`{"name":"n","per":"day","amount":"1","mode":"soft","allotment":true}`, "invalid_allotment")
	f(`{"name":"n","per":"day","count":1,"allotment":true}`, "invalid_allotment")
	f(`{"name":"n","per":"call","amount":"1","allotment":true}`, "invalid_allotment")
	f(`{"name":"n","per":"day","amount":"1"},{"name":"n","per":"month","amount":"1"}`, "duplicate_name")
	f(`{"name":"n","per":"day","amount":"1"},{"name":"m","per":"week","amount":"1"}`, "invalid_per")

	many := func(n int) string {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`{"name":"n%d","per":"day","amount":"1"}`, i)
		}
		return strings.Join(list, ",")
	}
	f(many(33), "too_many_limits")
	r.do("PUT", "/v1/accounts/a/limits", "application/json", `{"limits":[`+many(32)+`]}`).want(t, 200, "")
	// A refusal tells which of them it is about.
	got := r.do("PUT", "/v1/accounts/a/limits", "application/json", `{"limits":[`+many(2)+`,{"name":"n","per":"day","amount":"1","scope":{"match":{"model":7}}}]}`)
	if !strings.Contains(got.body, `"detail":"in limits[2]: in scope: in match: model must be a string"`) {
		t.Error(got.body)
	}
}

// TestTheLongestLimitsFit sends as many limits as there may be, with the longest scopes.
func TestTheLongestLimitsFit(t *testing.T) {
	r := newRig(t, Options{})
	var types, match []string
	for i := range 16 {
		types = append(types, fmt.Sprintf(`"%0128d"`, i))
	}
	for i := range 8 {
		match = append(match, fmt.Sprintf(`"%064d":"%s"`, i, strings.Repeat("v", 256)))
	}
	limits := make([]string, 32)
	for i := range limits {
		limits[i] = fmt.Sprintf(`{"name":"%064d","per":"minute","amount":"1","count":1,"scope":{"types":[%s],"match":{%s}}}`, i, strings.Join(types, ","), strings.Join(match, ","))
	}
	r.do("PUT", "/v1/accounts/a/limits", "application/json", `{"limits":[`+strings.Join(limits, ",")+`]}`).want(t, 200, "")
}

func TestSettings(t *testing.T) {
	r := newRig(t, Options{})
	const target = "/v1/accounts/a/settings"
	defaults := engine.SettingsSpec{Account: "a", Excess: "allow", Abandoned: "void", GrantWarning: 72 * time.Hour}
	got := r.books("PUT", target, `{}`, defaults)
	sameText(t, got, `{"account":"a","excess":{"policy":"allow","limit":null},"abandoned":"void","credit_low":null,"grant_expiring":"72h0m0s","auto_topup":null,"sequence":21}`)
	r.books("PUT", target, `{"id":null,"excess":null,"abandoned":null,"credit_low":null,"grant_expiring":null,"auto_topup":null}`, defaults)
	got = r.books("PUT", target, `{"id":"s1","excess":{"policy":"allow_up_to","limit":"2.50"},"abandoned":"capture","credit_low":"10","grant_expiring":"0s","auto_topup":{"threshold":"5","amount":"20"}}`,
		engine.SettingsSpec{ID: "s1", Account: "a", Excess: "allow_up_to", ExcessLimit: amount("2.5"), Abandoned: "capture", CreditLow: someAmount("10"),
			AutoTopUp: &engine.AutoTopUp{Threshold: amount("5"), Amount: amount("20"), MaxPerDay: 5}})
	sameText(t, got, `{"account":"a","excess":{"policy":"allow_up_to","limit":"2.5"},"abandoned":"capture","credit_low":"10","grant_expiring":"0s","auto_topup":{"threshold":"5","amount":"20","max_per_day":5},"sequence":21}`)
	r.books("PUT", target, `{"excess":{"policy":"cap","limit":null},"credit_low":"0","grant_expiring":"36h","auto_topup":{"threshold":"0","amount":"1","max_per_day":1000}}`,
		engine.SettingsSpec{Account: "a", Excess: "cap", Abandoned: "void", CreditLow: someAmount("0"), GrantWarning: 36 * time.Hour, AutoTopUp: &engine.AutoTopUp{Amount: amount("1"), MaxPerDay: 1000}})
	f := func(fields, reason string) {
		t.Helper()
		r.refuses("PUT", target, `{`+fields+`}`, reason)
	}
	f(`"excess":{}`, "missing_field")
	f(`"excess":{"policy":"deny"}`, "invalid_policy")
	f(`"excess":{"policy":7}`, "wrong_type")
	f(`"excess":{"policy":"allow_up_to"}`, "missing_field")
	f(`"excess":{"policy":"allow_up_to","limit":"0"}`, "invalid_amount")
	f(`"excess":{"policy":"allow_up_to","limit":"-1"}`, "invalid_amount")
	f(`"excess":{"policy":"allow_up_to","limit":"0.0000000000000000001"}`, "invalid_amount")
	f(`"excess":{"policy":"allow_up_to","limit":1}`, "wrong_type")
	f(`"excess":{"policy":"allow","limit":"1"}`, "not_for_policy")
	f(`"excess":{"policy":"cap","limit":"1"}`, "not_for_policy")
	f(`"excess":{"policy":"cap","of":"1"}`, "unknown_field")
	f(`"abandoned":"keep"`, "invalid_abandoned")
	f(`"grant_expiring":"3 days"`, "invalid_grant_expiring")
	f(`"grant_expiring":"-1s"`, "invalid_grant_expiring")
	f(`"grant_expiring":"8785h"`, "invalid_grant_expiring")
	f(`"grant_expiring":""`, "invalid_grant_expiring")
	f(`"grant_expiring":72`, "wrong_type")
	f(`"auto_topup":{}`, "missing_field")
	f(`"auto_topup":{"threshold":"1"}`, "missing_field")
	f(`"auto_topup":{"amount":"1"}`, "missing_field")
	f(`"auto_topup":{"threshold":"-1","amount":"1"}`, "negative_amount")
	f(`"auto_topup":{"threshold":"1","amount":"0"}`, "invalid_amount")
	f(`"auto_topup":{"threshold":"1","amount":"-1"}`, "invalid_amount")
	f(`"auto_topup":{"threshold":"1","amount":"0.0000000000000000001"}`, "invalid_amount")
	f(`"auto_topup":{"threshold":"1","amount":"1","max_per_day":0}`, "invalid_max_per_day")
	f(`"auto_topup":{"threshold":"1","amount":"1","max_per_day":1001}`, "invalid_max_per_day")
	f(`"auto_topup":{"threshold":"1","amount":"1","max_per_day":"1"}`, "wrong_type")
	f(`"auto_topup":{"threshold":"1","amount":"1","times":1}`, "unknown_field")
	sameText(t, r.get("/v1/accounts/acme/settings").body, `{"account":"acme","excess":{"policy":"cap","limit":null},"abandoned":"capture","credit_low":null,"grant_expiring":"0s","auto_topup":null,"sequence":22}`)
	r.get(target+"?x=1").want(t, 422, "invalid")
	r.engine.refused = refusal.New(refusal.Invalid, "not_a_root", "no")
	r.get(target).want(t, 422, "invalid")
}

func TestSubscriptions(t *testing.T) {
	r := newRig(t, Options{})
	const target = "/v1/accounts/a/subscriptions"
	got := r.books("POST", target, `{"id":"s1","period":"week","allowance":"100"}`,
		engine.SubscriptionSpec{ID: "s1", Account: "a", Period: "week", Plan: engine.PlanSpec{Allowance: amount("100"), Priority: 50}})
	sameText(t, got, `{"id":"s1","account":"a","period":"week","anchor":null,"starts_at":null,"allowance":"100","price":"0","priority":50,"scope":{"types":[],"match":{}},"rollover":null,`+
		`"state":"active","period_number":0,"period_start":null,"period_end":null,"next":null,"credited":"0","sequence":21,"time":"2026-11-23T10:00:00Z"}`)
	got = r.books("POST", target, `{"id":"s2","period":"month","anchor":31,"starts_at":"2027-01-15T12:00:00+02:00","allowance":"100","price":"79.90","priority":0,"scope":{"types":["llm"]},"rollover":{"max":"25","periods":3}}`,
		engine.SubscriptionSpec{ID: "s2", Account: "a", Period: "month", Anchor: 31, Starts: time.Date(2027, 1, 15, 10, 0, 0, 0, time.UTC),
			Plan: engine.PlanSpec{Allowance: amount("100"), Price: amount("79.9"), Scope: engine.Scope{Types: []string{"llm"}}, Rollover: &engine.RolloverSpec{Max: amount("25"), Periods: 3}}})
	sameText(t, got, `{"id":"s2","account":"a","period":"month","anchor":31,"starts_at":"2027-01-15T10:00:00Z","allowance":"100","price":"79.9","priority":0,"scope":{"types":["llm"],"match":{}},"rollover":{"max":"25","periods":3},`+
		`"state":"active","period_number":0,"period_start":null,"period_end":null,"next":null,"credited":"0","sequence":21,"time":"2026-11-23T10:00:00Z"}`)
	r.books("POST", target, `{"id":"s3","period":"week","anchor":7,"starts_at":"2027-01-15","allowance":"1","price":"0","rollover":{"max":"1"}}`,
		engine.SubscriptionSpec{ID: "s3", Account: "a", Period: "week", Anchor: 7, Starts: time.Date(2027, 1, 15, 0, 0, 0, 0, time.UTC),
			Plan: engine.PlanSpec{Allowance: amount("1"), Priority: 50, Rollover: &engine.RolloverSpec{Max: amount("1"), Periods: 1}}})
	r.books("POST", target, `{"id":"s4","period":"day","anchor":null,"starts_at":null,"allowance":"1","price":null,"rollover":null}`,
		engine.SubscriptionSpec{ID: "s4", Account: "a", Period: "day", Plan: engine.PlanSpec{Allowance: amount("1"), Priority: 50}})

	sameText(t, r.get("/v1/subscriptions/s%2F1").body, `{"id":"s/1","account":"acme","period":"month","anchor":31,"starts_at":"2026-11-23T10:00:00Z","allowance":"10","price":"5","priority":50,"scope":{"types":[],"match":{}},"rollover":null,`+
		`"state":"ending","period_number":2,"period_start":"2026-11-23T10:00:00Z","period_end":"2026-12-23T10:00:00Z","next":{"allowance":"10","price":"5","priority":50,"scope":{"types":["llm"],"match":{}},"rollover":{"max":"2","periods":3}},`+
		`"credited":"0.5","sequence":21,"time":"2026-11-23T10:00:00Z"}`)
	r.get("/v1/subscriptions/s1?x=1").want(t, 422, "invalid")
	r.engine.asked = nil
	sameText(t, r.get("/v1/accounts/acme/subscriptions?limit=1000&cursor=c").body, `{"items":[{"id":"s1","account":"acme","period":"day","anchor":null,"starts_at":null,"allowance":"1","price":"0","priority":0,"scope":{"types":[],"match":{}},"rollover":null,`+
		`"state":"active","period_number":0,"period_start":null,"period_end":null,"next":null,"credited":"0","sequence":21,"time":"2026-11-23T10:00:00Z"}],"next":""}`)
	sameText(t, fmt.Sprint(r.engine.asked), "[acme c 1000]")
	r.engine.refused = refusal.New(refusal.NotFound, "unknown_subscription", "no")
	r.get("/v1/subscriptions/s1").want(t, 404, "not_found")
}

func TestSubscriptionBodies(t *testing.T) {
	r := newRig(t, Options{})
	f := func(fields, reason string) {
		t.Helper()
		r.refuses("POST", "/v1/accounts/a/subscriptions", `{"id":"s","allowance":"1",`+fields+`}`, reason)
	}
	f(`"period":"year"`, "invalid_period")
	f(`"period":"month","anchor":0`, "invalid_anchor")
	f(`"period":"month","anchor":32`, "invalid_anchor")
	f(`"period":"month","anchor":4294967297`, "invalid_anchor")
	f(`"period":"month","anchor":"1"`, "wrong_type")
	f(`"period":"month","anchor":-1`, "wrong_type")
	f(`"period":"week","anchor":8`, "invalid_anchor")
	f(`"period":"day","anchor":1`, "invalid_anchor")
	f(`"period":"day","starts_at":"soon"`, "invalid_time")
	f(`"period":"day","priority":1000001`, "invalid_priority")
	f(`"period":"day","rollover":{}`, "missing_field")
	f(`"period":"day","rollover":{"periods":1}`, "missing_field")
	f(`"period":"day","rollover":{"max":"0"}`, "invalid_amount")
	f(`"period":"day","rollover":{"max":"-1"}`, "invalid_amount")
	f(`"period":"day","rollover":{"max":"0.0000000000000000001"}`, "invalid_amount")
	f(`"period":"day","rollover":{"max":1}`, "wrong_type")
	f(`"period":"day","rollover":{"max":"1","periods":0}`, "invalid_periods")
	f(`"period":"day","rollover":{"max":"1","periods":101}`, "invalid_periods")
	f(`"period":"day","rollover":{"max":"1","periods":"1"}`, "wrong_type")
	f(`"period":"day","rollover":{"max":"1","of":"1"}`, "unknown_field")
}

func TestSubscriptionChanges(t *testing.T) {
	r := newRig(t, Options{})
	const target = "/v1/subscriptions/s1/change"
	got := r.books("POST", target, `{"id":"c1","at":"now","price":"0"}`, engine.SubscriptionChange{ID: "c1", Subscription: "s1", Now: true, Price: someAmount("0")})
	if !strings.HasPrefix(got, `{"id":"s1","account":"acme",`) {
		t.Error(got)
	}
	r.books("POST", target, `{"id":"c1","at":"period_end","allowance":"2","price":"3","priority":0,"scope":{"match":{"model":"x"}},"rollover":{"max":"1","periods":2}}`,
		engine.SubscriptionChange{ID: "c1", Subscription: "s1", Allowance: someAmount("2"), Price: someAmount("3"), Priority: some(uint32(0)),
			Scope: &engine.Scope{Match: []meter.Dimension{{Key: "model", Value: "x"}}}, Rollover: &engine.RolloverSpec{Max: amount("1"), Periods: 2}})
	r.books("POST", target, `{"id":"c1","at":"now","scope":{}}`, engine.SubscriptionChange{ID: "c1", Subscription: "s1", Now: true, Scope: &engine.Scope{}})
	r.books("POST", target, `{"id":"c1","at":"now","rollover":{"max":"0"}}`, engine.SubscriptionChange{ID: "c1", Subscription: "s1", Now: true, Rollover: &engine.RolloverSpec{}})
	r.books("POST", target, `{"id":"c1","at":"now","rollover":{"max":"0","periods":3}}`, engine.SubscriptionChange{ID: "c1", Subscription: "s1", Now: true, Rollover: &engine.RolloverSpec{}})
	r.books("POST", target, `{"id":"c1","at":"now","priority":1,"allowance":null,"scope":null,"rollover":null}`, engine.SubscriptionChange{ID: "c1", Subscription: "s1", Now: true, Priority: some(uint32(1))})
	f := func(fields, reason string) {
		t.Helper()
		r.refuses("POST", target, `{"id":"c1",`+fields+`}`, reason)
	}
	f(`"at":"now"`, "missing_field")
	f(`"at":"now","scope":null,"price":null`, "missing_field")
	f(`"at":"later","price":"1"`, "invalid_at")
	f(`"at":"now","period":"week"`, "unknown_field")
	f(`"at":"now","anchor":1`, "unknown_field")
	f(`"at":"now","priority":1000001`, "invalid_priority")
	f(`"at":"now","rollover":{}`, "missing_field")
	f(`"at":"now","rollover":{"max":"-1"}`, "negative_amount")
	f(`"at":"now","rollover":{"max":"1","periods":0}`, "invalid_periods")

	const cancel = "/v1/subscriptions/s1/cancel"
	r.books("POST", cancel, `{"id":"c1","at":"now"}`, engine.SubscriptionChange{ID: "c1", Subscription: "s1", Cancel: true, Now: true})
	r.books("POST", cancel, `{"id":"c1","at":"period_end"}`, engine.SubscriptionChange{ID: "c1", Subscription: "s1", Cancel: true})
	r.refuses("POST", cancel, `{"id":"c1","at":"later"}`, "invalid_at")
	r.refuses("POST", cancel, `{"id":"c1","at":"now","price":"1"}`, "unknown_field")
}
