package httpapi

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// TestStrictBodies has what is refused of every cold body, on one of them.
func TestStrictBodies(t *testing.T) {
	r := newRig(t, Options{})
	f := func(body string, status int, code, reason string) {
		t.Helper()
		got := r.post("/v1/accounts/a/topups", body)
		got.want(t, status, code)
		if _, is := got.problem(t); is != reason {
			t.Errorf("%s: reason %s, want %s", body, is, reason)
		}
	}
	f(``, 400, "malformed", "syntax")
	f(`{`, 400, "malformed", "syntax")
	f(`[]`, 400, "malformed", "wrong_type")
	f(`null`, 400, "malformed", "wrong_type")
	f(`{"id":"t","amount":"1"} x`, 400, "malformed", "syntax")
	f(`{"id":"t","amount":"1"}{}`, 400, "malformed", "syntax")
	f("{\"id\":\"\xff\"}", 400, "malformed", "invalid_utf8")
	f(`{"id":"t","amount":"1","amount":"1"}`, 422, "invalid", "duplicate_key")
	f(`{"id":"t","amount":"1","x":{"y":[{"z":1,"z":2}]}}`, 422, "invalid", "duplicate_key")
	f(`{"id":"t","amount":"1","\u0069d":"t"}`, 422, "invalid", "duplicate_key")
	f(`{"id":"\ud800","amount":"1"}`, 422, "invalid", "invalid_string")
	f(`{"id":"t","Amount":"1"}`, 422, "invalid", "unknown_field")
	f(`{"id":"t","amount":"1","note":""}`, 422, "invalid", "unknown_field")
	f(`{"amount":"1"}`, 422, "invalid", "missing_field")
	f(`{"id":null,"amount":"1"}`, 422, "invalid", "missing_field")
	f(`{"id":7,"amount":"1"}`, 422, "invalid", "wrong_type")
	f(`{"id":"","amount":"1"}`, 422, "invalid", "invalid_id")
	f(`{"id":"a b","amount":"1"}`, 422, "invalid", "invalid_id")
	f(`{"id":"`+strings.Repeat("x", 129)+`","amount":"1"}`, 422, "invalid", "invalid_id")
	f(`{"id":"t"}`, 422, "invalid", "missing_field")
	f(`{"id":"t","amount":1}`, 422, "invalid", "wrong_type")
	f(`{"id":"t","amount":"0"}`, 422, "invalid", "invalid_amount")
	f(`{"id":"t","amount":"-1"}`, 422, "invalid", "invalid_amount")
	f(`{"id":"t","amount":"1e3"}`, 422, "invalid", "invalid_amount")
	f(`{"id":"t","amount":"0.0000000000000000001"}`, 422, "invalid", "invalid_amount")
	f(`{"id":"t","amount":"1000000000000000000000"}`, 422, "invalid", "amount_overflow")
	f(`{"id":"t","amount":"1","reference":7}`, 422, "invalid", "wrong_type")
	f(`{"id":"t","amount":"1","reference":"`+strings.Repeat("x", 257)+`"}`, 422, "invalid", "invalid_text")
	f(`{"id":"t","amount":"1","reference":"a\nb"}`, 422, "invalid", "invalid_text")
	if len(r.engine.topUps) != 0 {
		t.Errorf("the engine was asked: %v", r.engine.topUps)
	}
}

func TestTopUps(t *testing.T) {
	r := newRig(t, Options{})
	got := r.post("/v1/accounts/a%2Fb/topups", `{"id":"t1","amount":"12.50","reference":"wire 7, ümlaut"}`)
	got.want(t, 201, "")
	if want := `{"id":"t1","account":"a/b","amount":"12.5","reference":"wire 7, ümlaut","posted":"12.5","sequence":4,"time":"2026-11-23T10:00:00Z"}`; got.body != want {
		t.Error(got.body)
	}
	r.engine.existing = true
	r.post("/v1/accounts/a/topups", `{"id":"t1","amount":"0.000000000000000001"}`).want(t, 200, "")
	if n := len(r.engine.topUps); n != 2 || r.engine.topUps[1].Amount.String() != "0.000000000000000001" {
		t.Error(r.engine.topUps)
	}
	r.post("/v1/accounts/a%20b/topups", `{"id":"t1","amount":"1"}`).want(t, 422, "invalid")
	r.engine.refused = refusal.New(refusal.NotFound, "", "no such account")
	r.post("/v1/accounts/nobody/topups", `{"id":"t1","amount":"1"}`).want(t, 404, "not_found")
}

func TestAccountBodies(t *testing.T) {
	r := newRig(t, Options{})
	f := func(body, reason string) {
		t.Helper()
		r.engine.specs = nil
		got := r.post("/v1/accounts", body)
		if reason == "" {
			got.want(t, 201, "")
			return
		}
		got.want(t, 422, "invalid")
		if _, is := got.problem(t); is != reason || len(r.engine.specs) != 0 {
			t.Errorf("%s: reason %s, want %s", body, is, reason)
		}
	}
	f(`{"id":"a","currency":"USD","kind":"customer","billing":"prepaid"}`, "")
	f(`{"id":"a","currency":"USD","kind":"customer","billing":"postpaid","overdraft_limit":null}`, "")
	f(`{"id":"a","currency":"USD","kind":"customer","billing":"postpaid","overdraft_limit":"10","minimum_payout":"0"}`, "")
	f(`{"id":"a","currency":"JPY","kind":"provider","minimum_payout":"10.5","owner":"o","metadata":{}}`, "")
	f(`{"id":"a","currency":"USD","kind":"customer","parent":"p","owner":"o"}`, "")
	if spec := r.engine.specs[0]; spec.Parent != "p" || spec.Owner != "o" || spec.Billing != "" {
		t.Errorf("%+v", spec)
	}
	f(`{"id":"a","currency":"USD","kind":"customer","parent":"p","billing":"prepaid","overdraft_limit":null}`, "") // the engine knows what a child may have
	f(`{"id":"a","currency":"USD","kind":"customer","parent":null}`, "missing_field")
	f(`{"id":"a","currency":"USD","kind":"customer","parent":7}`, "wrong_type")
	f(`{"id":"a","currency":"USD","kind":"customer","billing":"prepaid","owner":"a b"}`, "invalid_id")
	f(`{"id":"a","currency":"USD","kind":"customer","parent":"p","overdraft_limit":"-1"}`, "negative_amount")
	f(`{"id":"operator","currency":"USD","kind":"provider"}`, "reserved_id")
	f(`{"id":"a","currency":"usd","kind":"provider"}`, "unknown_currency")
	f(`{"id":"a","currency":"XXX","kind":"provider"}`, "unknown_currency")
	f(`{"id":"a","kind":"provider"}`, "unknown_currency")
	f(`{"id":"a","currency":"USD"}`, "missing_field")
	f(`{"id":"a","currency":"USD","kind":"Customer"}`, "invalid_kind")
	f(`{"id":"a","currency":"USD","kind":"customer"}`, "missing_field")
	f(`{"id":"a","currency":"USD","kind":"customer","billing":"later"}`, "invalid_billing")
	f(`{"id":"a","currency":"USD","kind":"provider","billing":"prepaid"}`, "not_for_providers")
	f(`{"id":"a","currency":"USD","kind":"provider","overdraft_limit":"1"}`, "not_for_providers")
	f(`{"id":"a","currency":"USD","kind":"customer","billing":"prepaid","overdraft_limit":null}`, "invalid_overdraft_limit")
	f(`{"id":"a","currency":"USD","kind":"customer","billing":"prepaid","overdraft_limit":"-1"}`, "negative_amount")
	f(`{"id":"a","currency":"USD","kind":"customer","billing":"prepaid","overdraft_limit":1}`, "wrong_type")
	f(`{"id":"a","currency":"USD","kind":"customer","billing":"prepaid","minimum_payout":"1"}`, "not_for_customers")
	f(`{"id":"a","currency":"USD","kind":"provider","minimum_payout":"-1"}`, "negative_amount")
	f(`{"id":"a","currency":"USD","kind":"provider","parent":"a b"}`, "invalid_id")
	f(`{"id":"a","currency":"USD","kind":"provider","metadata":[]}`, "wrong_type")
	f(`{"id":"a","currency":"USD","kind":"provider","metadata":{"x":"`+strings.Repeat("x", 4096)+`"}}`, "too_long")
}

func TestAccountAnswers(t *testing.T) {
	r := newRig(t, Options{})
	got := r.post("/v1/accounts", `{"id":"a","currency":"USD","kind":"customer","billing":"postpaid","metadata":{"b":1.50,"a":{"d":"<ä>","c":[1e2,null]}}}`)
	got.want(t, 201, "")
	if want := `{"id":"a","kind":"customer","currency":"USD","billing":"postpaid","overdraft_limit":null,"parent":null,"owner":null,"root":"a","state":"open","metadata":{"a":{"c":[1e2,null],"d":"<ä>"},"b":1.50},"posted":"0","held":"0","available":null,"created":"2026-11-23T10:00:00Z","sequence":1}`; got.body != want {
		t.Errorf("\n got %s\nwant %s", got.body, want)
	}
	r.engine.existing = true
	r.post("/v1/accounts", `{"id":"a","currency":"USD","kind":"provider"}`).want(t, 200, "")
	r.engine.refused = refusal.New(refusal.IDConflict, "content", "other")
	r.post("/v1/accounts", `{"id":"a","currency":"USD","kind":"provider"}`).want(t, 409, "id_conflict")
	r.engine.refused = nil

	available, most := amount("7.5"), amount("2")
	r.engine.account = engine.Account{Spec: engine.AccountSpec{Kind: "customer", Billing: "prepaid", Currency: usd}, Posted: amount("7.5"), Available: &available, State: "open", Overdraft: &most, Created: someTime, Sequence: 12}
	if got, want := r.get("/v1/accounts/acme").body, `{"id":"acme","kind":"customer","currency":"USD","billing":"prepaid","overdraft_limit":"2","parent":null,"owner":null,"root":"acme","state":"open","metadata":{},"posted":"7.5","held":"0","available":"7.5","created":"2026-11-23T10:00:00Z","sequence":12}`; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	r.engine.account = engine.Account{Spec: engine.AccountSpec{Kind: "customer", Billing: "prepaid", Currency: usd, Parent: "team", Owner: "o1"}, Root: "org", Held: amount("1"), State: "frozen", Created: someTime, Sequence: 14}
	if got, want := r.get("/v1/accounts/acme").body, `{"id":"acme","kind":"customer","currency":"USD","billing":"prepaid","parent":"team","owner":"o1","root":"org","state":"frozen","metadata":{},"posted":"0","held":"1","available":null,"created":"2026-11-23T10:00:00Z","sequence":14}`; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	r.engine.account = engine.Account{Items: []engine.OperatorItem{{Currency: usd, Posted: amount("-3")}}, Sequence: 13}
	if got, want := r.get("/v1/accounts/operator").body, `{"id":"operator","kind":"operator","items":[{"currency":"USD","posted":"-3"}],"sequence":13}`; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	r.engine.refused = refusal.New(refusal.NotFound, "", "no such account")
	r.get("/v1/accounts/acme").want(t, 404, "not_found")
}

func TestLists(t *testing.T) {
	r := newRig(t, Options{})
	f := func(target string, status int) {
		t.Helper()
		if got := r.get(target); got.status != status {
			t.Errorf("%s: %d %s", target, got.status, got.body)
		}
	}
	for _, list := range []string{"/v1/accounts", "/v1/accounts/a/transfers", "/v1/prices", "/v1/settlements", "/v1/settlements/b1/lines", "/v1/unpriced",
		"/v1/accounts/a/grants", "/v1/accounts/a/topup-requests", "/v1/accounts/a/subscriptions"} {
		f(list, 200)
		f(list+"?limit=1&cursor=x", 200)
		f(list+"?limit=1000", 200)
		f(list+"?limit=0", 422)
		f(list+"?limit=1001", 422)
		f(list+"?limit=", 422)
		f(list+"?limit=x", 422)
		f(list+"?limit=1&limit=2", 422)
		f(list+"?Limit=1", 422)
		f(list+"?page=1", 422)
		f(list+"?limit=%zz", 400)
		f(list+"?cursor="+strings.Repeat("x", 1025), 422)
	}
	f("/v1/accounts?kind=customer", 200)
	f("/v1/accounts?kind=operator", 422)
	f("/v1/accounts?kind=", 422)
	f("/v1/accounts/a?x=1", 422)
	f("/v1/trial-balance?x=1", 422)
	if got, want := r.get("/v1/settlements/b1/lines").body, fmt.Sprintf(`{"items":[%s,%s],"next":""}`, someLines[0], someLines[1]); got != want {
		t.Error(got)
	}
	if got, want := r.get("/v1/prices").body, `{"items":[],"next":""}`; got != want {
		t.Error(got)
	}
	if got, want := r.get("/v1/accounts/a/transfers").body, `{"items":[`+
		`{"sequence":7,"time":"2026-11-23T10:00:00Z","account":"operator","class":"revenue","amount":"-0.5","reason":"usage","event":{"source":"s","id":"e"},"batch_id":null,"topup":null},`+
		`{"sequence":8,"time":"2026-11-23T10:00:00Z","account":"operator","class":"cash","amount":"5","reason":"topup","event":null,"batch_id":null,"topup":"t1"},`+
		`{"sequence":9,"time":"2026-11-23T10:00:00Z","account":"operator","class":"cash","amount":"-1","reason":"refund","event":null,"batch_id":null,"topup":null,"id":"r1","grant":"g1"}],"next":""}`; got != want {
		t.Error(got)
	}
	if got, want := r.get("/v1/trial-balance").body, `{"items":[{"currency":"USD","debits":"3","credits":"3","accounts":{"cash":{"debits":"3","credits":"0"},"paid":{"debits":"0","credits":"3"}}}]}`; got != want {
		t.Error(got)
	}
	if got, want := r.get("/v1/unpriced").body, `{"items":[{"source":"s","id":"e","type":"","subject":"","time":"2026-11-23T10:00:00Z","sequence":0,"reason":"no_price","dimensions":{},"usage":{"input":"1.5"}}],"next":"","summary":{"events":0,"counts":[],"sequence":0}}`; got != want {
		t.Error(got)
	}
}

const goodPrices = `{"effective_from":"2026-01-01T00:00:00Z","prices":[{"meter":"m","currency":"USD","match":{"model":"x"},"components":{"input":"0.5","output":{"unit":"1","per":"1000","quantity_decimals":3}}}]}`

func TestPrices(t *testing.T) {
	r := newRig(t, Options{})
	put := func(target, body string) reply {
		t.Helper()
		return r.do("PUT", target, "application/json", body)
	}
	got := put("/v1/prices/v1", goodPrices)
	got.want(t, 201, "")
	if want := `{"version":"v1","effective_from":"2026-01-01T00:00:00Z","price_count":1,"sequence":3,"time":"2026-11-23T10:00:00Z"}`; got.body != want {
		t.Error(got.body)
	}
	got = r.get("/v1/prices/v1")
	got.want(t, 200, "")
	if want := `"prices":[{"meter":"m","currency":"USD","match":{"model":"x"},"components":{"input":"0.5","output":{"unit":"0.001","quantity_decimals":3}}}]}`; !strings.HasSuffix(got.body, want) {
		t.Error(got.body)
	}
	r.engine.existing = true
	put("/v1/prices/a%2Fb", goodPrices).want(t, 200, "")
	if r.engine.versions[1].ID != "a/b" {
		t.Error(r.engine.versions[1].ID)
	}
}

func TestRefusedPrices(t *testing.T) {
	r := newRig(t, Options{})
	put := func(target, body string) reply {
		t.Helper()
		return r.do("PUT", target, "application/json", body)
	}
	f := func(from, to, problem string) {
		t.Helper()
		body := strings.Replace(goodPrices, from, to, 1)
		if body == goodPrices {
			t.Fatalf("%s is not in the body", from)
		}
		got := put("/v1/prices/v2", body)
		got.want(t, 422, "invalid")
		if !strings.Contains(got.body, `"problems":[`) || !strings.Contains(got.body, problem) {
			t.Errorf("%s: %s", to, got.body)
		}
	}
	f(`"prices":`, `"Prices":[],"prices":`, `unknown field \"Prices\"`)
	f(`"prices":`, `"prices":[],"prices":`, `prices is given twice`)
	f(`"effective_from":`, `"effective_from":"2026-01-01T00:00:00Z","effective_from":`, `effective_from is given twice`)
	f(`"meter":"m"`, `"meter":"m","Meter":"n"`, `unknown field \"Meter\"`)
	f(`"meter":"m"`, `"meter":"m","meter":"m"`, `meter is given twice`)
	f(`"match":`, `"match":{},"match":`, `match is given twice`)
	f(`"unit":"1"`, `"unit":"1","Unit":"2"`, `unknown field \"Unit\"`)
	f(`"unit":"1"`, `"unit":"1","unit":"2"`, `unit is given twice`)
	f(`"unit":"1"`, `"unit":"1","\u0075nit":"2"`, `unit is given twice`)
	f(`{"unit":"1","per":"1000","quantity_decimals":3}`, `{"graduated":[{"unit":"1","unit":"1"}]}`, `unit is given twice`)
	f(`{"unit":"1","per":"1000","quantity_decimals":3}`, `{"unit":"1","above":[{"of":["input"],"quantity":"5","quantity":"6","unit":"2"}]}`, `quantity is given twice`)
	f(`{"unit":"1","per":"1000","quantity_decimals":3}`, `{"volume":[{"Unit":"1","unit":"1"}]}`, `unknown field \"Unit\"`)
	f(`"model":"x"`, `"model":"x","model":"y"`, `model is given twice`)
	f(`"input":"0.5"`, `"input":"0.5","\u0069nput":"0.6"`, `input is given twice`)
	f(`"prices":[`, `"prices":{"a":[`+`]},"x":[`, `prices must be an array`)
	f(`"USD"`, `"usd"`, `unknown currency`)
	f(`"2026-01-01T00:00:00Z"`, `"2026"`, `effective_from`)
	f(`"input":"0.5"`, `"input":"-0.5"`, `negative`)
	put("/v1/prices/v2", `{"effective_from":"2026-01-01T00:00:00Z"}`).want(t, 422, "invalid")
	put("/v1/prices/v2", `{"effective_from":"2026-01-01T00:00:00Z","prices":{}}`).want(t, 422, "invalid")
	put("/v1/prices/v2", `{"effective_from":"2026-01-01T00:00:00Z","prices":[7]}`).want(t, 422, "invalid")
	put("/v1/prices/a%20b", goodPrices).want(t, 422, "invalid")
	got := put("/v1/prices/v2", `{"effective_from":"2026","prices":[{"meter":"m","currency":"usd","payee":"nobody","components":{"input":"-1"}}]}`)
	got.want(t, 422, "invalid")
	for _, problem := range []string{"effective_from", "unknown currency", "negative", "unknown payee"} { // one answer, with what the ledger knows
		if !strings.Contains(got.body, problem) {
			t.Errorf("no %q in %s", problem, got.body)
		}
	}
	put("/v1/prices/v2", `{`).want(t, 400, "malformed")
	put("/v1/prices/v2", `[]`).want(t, 400, "malformed")
	put("/v1/prices/v2", `{"x":"\ud800"}`).want(t, 422, "invalid")
	put("/v1/prices/v2", "{\"x\":\"\xff\"}").want(t, 400, "malformed")
	if len(r.engine.versions) != 0 {
		t.Errorf("%d versions were put", len(r.engine.versions))
	}
}

func TestSettlements(t *testing.T) {
	r := newRig(t, Options{})
	got := r.post("/v1/settlements", `{"id":"s1","window":18446744073709551615}`)
	got.want(t, 201, "")
	if want := `{"id":"s1","window":5,"cut":6,"time":"2026-11-23T10:00:00Z","batches":[{"batch_id":"b1","currency":"USD","lines":2,"paid":"1","collected":"1"}],"sequence":8}`; got.body != want {
		t.Error(got.body)
	}
	r.engine.existing = true
	r.post("/v1/settlements", `{"id":"s1"}`).want(t, 200, "")
	if fmt.Sprint(r.engine.closed) != "[18446744073709551615 0]" {
		t.Error(r.engine.closed)
	}
	for _, window := range []string{`"1"`, `-1`, `1.5`, `18446744073709551616`, `1e2`} {
		r.post("/v1/settlements", `{"id":"s1","window":`+window+`}`).want(t, 422, "invalid")
	}
	r.engine.refused = refusal.New(refusal.WindowConflict, "", "another is open")
	r.post("/v1/settlements", `{"id":"s1"}`).want(t, 409, "window_conflict")
	r.engine.refused = nil

	manifest := strings.TrimSuffix(string(someManifest.AppendJSON(nil)), "}")
	if got := r.get("/v1/settlements/b1").body; got != manifest+`,"published":null,"key_id":null,"signature":null}` {
		t.Error(got)
	}
	r.engine.batch.Published = &engine.Publication{Topic: "farthing.settlements", Partition: 1, FirstOffset: 2, LastOffset: 4}
	r.engine.batch.KeyID, r.engine.batch.Signature = "ed25519-1", []byte{0, 1}
	if got, want := r.get("/v1/settlements").body, `{"items":[`+manifest+`,"published":{"topic":"farthing.settlements","partition":1,"first_offset":2,"last_offset":4},"key_id":"ed25519-1","signature":"AAE="}],"next":""}`; got != want {
		t.Error(got)
	}
}

// ratedEvent is an event that was rated with a counted price and settled.
func ratedEvent() engine.Event {
	sum, fee, before := amount("1.5"), amount("0.1"), money.Quantity(7_000_000)
	return engine.Event{Type: "m", Subject: "acme", Time: someTime, Recorded: someTime, Sequence: 9, State: "rated", Currency: usd,
		Dimensions: []meter.Dimension{{Key: "model", Value: "x"}},
		Usage:      []engine.EventComponent{{Component: "input", Quantity: 3_000_000}},
		Rating: &engine.Rating{Sequence: 9, Time: someTime, Version: "v1", Price: 4, Match: []meter.Dimension{{Key: "model", Value: "x"}}, Why: "because",
			Others: []engine.PriceMatch{{Price: 2}}, Amount: sum, FeeRate: amount("0.0625"), Fee: fee,
			Components: []engine.RatedComponent{{Component: "input", Quantity: 3_000_000, Model: "graduated", Period: "2026-11", Before: &before, Note: "so it is", Amount: sum, Steps: []string{"3 x 0.5 = 1.5"}}},
			Transfers:  []engine.EventTransfer{{Debit: "acme", DebitClass: "paid", Credit: "operator", CreditClass: "revenue", Amount: sum, Reason: "usage"}},
			Settlement: engine.EventSettlement{Window: 2, Batch: "b1", Line: 0}},
		Net: sum}
}

const (
	eventHead = `{"source":"s","id":"e","type":"m","subject":"acme","time":"2026-11-23T10:00:00Z","recorded":"2026-11-23T10:00:00Z","sequence":9,"state":`
	someLegs  = `"transfers":[{"debit":"acme","debit_class":"paid","credit":"operator","credit_class":"revenue","amount":"1.5","reason":"usage"}]`
	somePrice = `"components":[{"component":"input","quantity":"3","model":"graduated","price":null,"period":"2026-11","counted_before":"7","note":"so it is","steps":["3 x 0.5 = 1.5"],"amount":"1.5"}],` +
		`"price":{"version":"v1","meter":"m","index":4,"match":{"model":"x"},"why":"because","others":[{"index":2,"match":{}}]},"amount":"1.5","fee_rate":"0.0625","fee":"0.1",` + someLegs
)

func TestEventAnswer(t *testing.T) {
	r := newRig(t, Options{})
	f := func(want string) {
		t.Helper()
		if got := r.get("/v1/events/s/e").body; got != want {
			t.Errorf("\n got %s\nwant %s", got, want)
		}
	}
	r.engine.event = ratedEvent()
	f(eventHead + `"rated","dimensions":{"model":"x"},"priced":true,"currency":"USD",` + somePrice + `,"window":2,"batch_id":"b1","line":0,"published":null,"corrections":[],"net":"1.5"}`)
	price := amount("0.5")
	r.engine.event.Rating.Components[0] = engine.RatedComponent{Component: "input", Quantity: 3_000_000, Model: "linear", Price: &price, Amount: amount("1.5")}
	if got := r.get("/v1/events/s/e").body; !strings.Contains(got, `"components":[{"component":"input","quantity":"3","model":"linear","price":"0.5","amount":"1.5"}]`) {
		t.Error(got)
	}
	r.engine.event = engine.Event{Type: "m", Subject: "acme", Time: someTime, Recorded: someTime, Sequence: 9, State: "unpriced", Currency: usd, Reason: "no_price",
		UsageFormat: "openai", Reported: []byte(`{"prompt_tokens": 1, "x": "<&>"}`), Normalised: []string{"input = 1"}, Usage: []engine.EventComponent{{Component: "input", Quantity: 1}}}
	f(eventHead + `"unpriced","usage_format":"openai","reported":{"prompt_tokens":1,"x":"<&>"},"normalised":["input = 1"],"dimensions":{},"priced":false,"reason":"no_price","currency":"USD",` +
		`"components":[{"component":"input","quantity":"0.000001","price":null,"amount":null}],"price":null,"amount":null,"fee_rate":null,"fee":null,"transfers":[],"window":null,"batch_id":null,"line":null,"published":null,"corrections":[],"net":null}`)
}

// TestCorrectedEventAnswer shows an event that was rated late, then anew, then voided.
func TestCorrectedEventAnswer(t *testing.T) {
	r := newRig(t, Options{})
	e := ratedEvent()
	first := *e.Rating
	e.Rating.Sequence, e.Reason, e.State = 12, "no_price", "voided"
	e.Rating.Settlement.Published = &engine.LinePublication{Topic: "farthing.settlements", Partition: 1, Offset: 77}
	first.Settlement = engine.EventSettlement{}
	e.Corrections = []engine.Correction{
		{Kind: "rerate", ID: "r1", Sequence: 20, Time: someTime, Back: &first, New: &first},
		{Kind: "void", ID: "v1", Reason: "", Sequence: 30, Time: someTime, Back: &first},
		{Kind: "rerate", ID: "r2", Sequence: 40, Time: someTime},
	}
	r.engine.event = e
	open := `,"window":null,"batch_id":null,"line":null,"published":null}`
	posted := `{"sequence":9,"time":"2026-11-23T10:00:00Z",` + somePrice + open
	want := eventHead + `"voided","dimensions":{"model":"x"},"priced":true,"reason":"no_price","rated":{"sequence":12,"time":"2026-11-23T10:00:00Z"},"currency":"USD",` + somePrice +
		`,"window":2,"batch_id":"b1","line":0,"published":{"topic":"farthing.settlements","partition":1,"offset":77},"corrections":[` +
		`{"kind":"rerate","id":"r1","sequence":20,"time":"2026-11-23T10:00:00Z","back":` + posted + `,"new":` + posted + `},` +
		`{"kind":"void","id":"v1","reason":"","sequence":30,"time":"2026-11-23T10:00:00Z","back":` + posted + `,"new":null},` +
		`{"kind":"rerate","id":"r2","sequence":40,"time":"2026-11-23T10:00:00Z","back":null,"new":null}],"net":"1.5"}`
	if got := r.get("/v1/events/s/e").body; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}

func usageRows() []engine.UsageRow {
	row := func(day int, model string, events uint64, input, output string) engine.UsageRow {
		r := engine.UsageRow{Day: someTime.AddDate(0, 0, day).Truncate(24 * 3600e9), Meter: "llm", Currency: usd, Events: events, Components: []engine.UsageComponent{
			{Name: "input", Quantity: input, Amount: amount(input)}, {Name: "output", Quantity: output, Amount: amount(output)}}}
		if model != "" {
			r.Dimensions = []meter.Dimension{{Key: "model", Value: model}}
		}
		return r
	}
	return []engine.UsageRow{row(1, "b", 2, "1.5", "2"), row(0, "a", 3, "10", "0.5"), row(0, "b", 5, "100", "0.25"), row(0, "", 7, "1000", "0.125")}
}

func TestUsage(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.usage = usageRows()
	f := func(query, want string) {
		t.Helper()
		got := r.get("/v1/accounts/acme/usage" + query)
		got.want(t, 200, "")
		if want = `{"items":[` + want + `],"sequence":9}`; got.body != want {
			t.Errorf("%s\n got %s\nwant %s", query, got.body, want)
		}
	}
	total := `{"component":"input","currency":"USD","quantity":"1111.5","amount":"1111.5"},{"component":"output","currency":"USD","quantity":"2.875","amount":"2.875"}`
	f("", total)
	f("?by=component", total)
	f("?by=component,component", total)
	f("?by=meter", `{"meter":"llm","currency":"USD","quantity":"1114.375","amount":"1114.375","events":17}`)
	f("?by=day,meter", `{"day":"2026-11-23","meter":"llm","currency":"USD","quantity":"1110.875","amount":"1110.875","events":15},{"day":"2026-11-24","meter":"llm","currency":"USD","quantity":"3.5","amount":"3.5","events":2}`)
	f("?by=model", `{"dimensions":{"model":null},"currency":"USD","quantity":"1000.125","amount":"1000.125","events":7},{"dimensions":{"model":"a"},"currency":"USD","quantity":"10.5","amount":"10.5","events":3},{"dimensions":{"model":"b"},"currency":"USD","quantity":"103.75","amount":"103.75","events":7}`)
	f("?by=region", `{"dimensions":{"region":null},"currency":"USD","quantity":"1114.375","amount":"1114.375","events":17}`)
	r.engine.asked = nil
	r.get("/v1/accounts/acme/usage?from=2026-11-01&to=2026-12-01T00:00:00%2B01:00").want(t, 200, "")
	if got := strings.Join(r.engine.asked, " "); got != "acme 2026-11-01T00:00:00Z 2026-11-30T23:00:00Z" {
		t.Error(got)
	}
	for _, query := range []string{"?from=x", "?to=2026-13-01", "?from=2026-02-02&to=2026-02-01", "?by=", "?by=model,", "?by=" + strings.Repeat("m", 65), "?by=" + strings.Repeat("a,", 30) + "a", "?form=x"} {
		r.get("/v1/accounts/acme/usage"+query).want(t, 422, "invalid")
	}
}

// TestUsageSumsAgreeWhateverTheGrouping adds up every grouping's items.
func TestUsageSumsAgreeWhateverTheGrouping(t *testing.T) {
	rows := usageRows()
	for _, by := range []string{"component", "day", "meter", "model", "day,component", "model,component,day,meter", "region"} {
		q := query{values: map[string][]string{"by": {by}}}
		g := q.parseGrouping()
		sum := money.Amount{}
		for _, item := range g.sum(rows) {
			sum = sum.MustAdd(amount(item.Amount))
		}
		if sum.String() != "1114.375" {
			t.Errorf("by %s: %s", by, sum)
		}
	}
}

func TestOpenAPIIsServed(t *testing.T) {
	r := newRig(t, Options{})
	got := r.get("/openapi.yaml")
	got.want(t, 200, "")
	if got.body != string(OpenAPI()) || len(got.body) < 10_000 {
		t.Error("another document")
	}
	var status map[string]string
	if err := json.Unmarshal([]byte(r.get("/healthz").body), &status); err != nil || status["status"] != "alive" {
		t.Error(status, err)
	}
}
