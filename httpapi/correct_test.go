package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

func TestVoids(t *testing.T) {
	r := newRig(t, Options{})
	got := r.post("/v1/events/https%3A%2F%2Fgw/e1/void", `{"id":"v1","reason":"double sent <&>"}`)
	got.want(t, 201, "")
	if want := `{"id":"v1","reason":"double sent <&>","source":"https://gw","event":"e1","sequence":11,"time":"2026-11-23T10:00:00Z","account":"acme","currency":"USD","priced":true,"amount":"1.5",` +
		`"transfers":[{"debit":"operator","debit_class":"revenue","credit":"acme","credit_class":"paid","amount":"1.5","reason":"void"}]}`; got.body != want {
		t.Error(got.body)
	}
	r.engine.existing = true
	r.post("/v1/events/s/e1/void", `{"id":"v2"}`).want(t, 200, "")
	r.post("/v1/events/s/e1/void", `{"id":"v2","reason":"`+strings.Repeat("ä", 250)+`"}`).want(t, 200, "")
	if len(r.engine.voids) != 3 || r.engine.voids[0] != (engine.VoidSpec{Source: "https://gw", Event: "e1", ID: "v1", Reason: "double sent <&>"}) || r.engine.voids[1].Reason != "" {
		t.Errorf("%+v", r.engine.voids)
	}
	f := func(target, body, reason string) {
		t.Helper()
		got := r.post(target, body)
		got.want(t, 422, "invalid")
		if _, is := got.problem(t); is != reason {
			t.Errorf("%s %s: reason %s, want %s", target, body, is, reason)
		}
	}
	f("/v1/events/s/a%20b/void", `{"id":"v"}`, "invalid_id")
	f("/v1/events/%C3%A4/e/void", `{"id":"v"}`, "invalid_id")
	f("/v1/events/s/e/void", `{}`, "missing_field")
	f("/v1/events/s/e/void", `{"id":null}`, "missing_field")
	f("/v1/events/s/e/void", `{"id":"a b"}`, "invalid_id")
	f("/v1/events/s/e/void", `{"id":7}`, "wrong_type")
	f("/v1/events/s/e/void", `{"id":"v","reason":7}`, "wrong_type")
	f("/v1/events/s/e/void", `{"id":"v","reason":"`+strings.Repeat("ä", 250)+`x"}`, "invalid_reason")
	f("/v1/events/s/e/void", `{"id":"v","reason":"a\nb"}`, "invalid_reason")
	f("/v1/events/s/e/void", `{"id":"v","Reason":"x"}`, "unknown_field")
	f("/v1/events/s/e/void", `{"id":"v","amount":"1"}`, "unknown_field")
	f("/v1/events/s/e/void", `{"id":"v","id":"v"}`, "duplicate_key")
	r.get("/v1/events/s/e/void").want(t, 405, "method_not_allowed")
	r.post("/v1/events/s/void", `{"id":"v"}`).want(t, 405, "method_not_allowed") // the event "void"
	r.do("POST", "/v1/events/s/e/void", "text/plain", `{"id":"v"}`).want(t, 415, "unsupported_type")
	if len(r.engine.voids) != 3 {
		t.Errorf("a refused void came through: %+v", r.engine.voids[3:])
	}
	r.engine.refused = refusal.New(refusal.NotFound, "unknown_event", "there is none")
	r.post("/v1/events/s/e/void", `{"id":"v"}`).want(t, 404, "not_found")
	r.engine.refused = refusal.New(refusal.IDConflict, "id_conflict", "used")
	r.post("/v1/events/s/e/void", `{"id":"v"}`).want(t, 409, "id_conflict")
}

func TestRerates(t *testing.T) {
	r := newRig(t, Options{})
	got := r.post("/v1/prices/v1/rerate", `{"id":"r1","from":"2026-11-01","to":"2026-12-01T01:00:00+01:00"}`)
	got.want(t, 201, "")
	if want := `{"id":"r1","version":"v1","from":"2026-11-01T00:00:00Z","to":"2026-12-01T00:00:00Z","state":"running","sequence":12,"time":"2026-11-23T10:00:00Z","done":null,"events":0,"totals":[]}`; got.body != want {
		t.Error(got.body)
	}
	r.engine.existing = true
	got = r.post("/v1/prices/v1/rerate", `{"id":"r1","from":null}`)
	got.want(t, 200, "")
	if !strings.Contains(got.body, `"from":null,"to":null`) || len(r.engine.rerates) != 2 || !r.engine.rerates[1].From.IsZero() || !r.engine.rerates[1].To.IsZero() {
		t.Error(got.body, r.engine.rerates)
	}
	if got, want := r.get("/v1/rerates/r1").body, `{"id":"r1","version":"v1","from":"2026-11-23T10:00:00Z","to":null,"state":"done","sequence":12,"time":"2026-11-23T10:00:00Z","done":"2026-11-23T10:00:00Z","events":3,`+
		`"totals":[{"currency":"USD","returned":"1.5","charged":"1.25","difference":"-0.25"}]}`; got != want {
		t.Error(got)
	}
	f := func(body, reason string) {
		t.Helper()
		got := r.post("/v1/prices/v1/rerate", body)
		got.want(t, 422, "invalid")
		if _, is := got.problem(t); is != reason {
			t.Errorf("%s: reason %s, want %s", body, is, reason)
		}
	}
	f(`{}`, "missing_field")
	f(`{"id":"a b"}`, "invalid_id")
	f(`{"id":"r","version":"v2"}`, "unknown_field")
	f(`{"id":"r","from":"yesterday"}`, "invalid_time")
	f(`{"id":"r","from":7}`, "wrong_type")
	f(`{"id":"r","from":""}`, "invalid_time")
	f(`{"id":"r","to":"1969-12-31"}`, "invalid_time")
	f(`{"id":"r","from":"2026-11-02","to":"2026-11-02"}`, "invalid_time")
	f(`{"id":"r","from":"2026-11-02","to":"2026-11-01"}`, "invalid_time")
	r.post("/v1/prices/a%20b/rerate", `{"id":"r"}`).want(t, 422, "invalid")
	r.get("/v1/rerates/a%20b").want(t, 422, "invalid")
	r.get("/v1/rerates/r?x=1").want(t, 422, "invalid")
	r.get("/v1/rerates").want(t, 404, "not_found")
	if len(r.engine.rerates) != 2 {
		t.Errorf("a refused rerate came through: %+v", r.engine.rerates)
	}
	r.engine.refused = refusal.New(refusal.Overloaded, "rerate_running", "one is under way")
	if got := r.post("/v1/prices/v1/rerate", `{"id":"r"}`); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Error(got)
	}
	r.engine.refused = refusal.New(refusal.NotFound, "unknown_rerate", "there is none")
	r.get("/v1/rerates/r").want(t, 404, "not_found")
	r.engine.refused = refusal.New(refusal.IDConflict, "id_conflict", "used")
	r.post("/v1/prices/v1/rerate", `{"id":"r"}`).want(t, 409, "id_conflict")
}

// unpricedKinds is what waits for prices: two kinds of each of two models, one without a
// model, and what no longer fits into the counts.
func unpricedKinds() engine.UnpricedSummary {
	kind := func(reason, model, component string, c money.Currency, events uint64) engine.UnpricedCount {
		k := engine.UnpricedCount{Reason: reason, Type: "llm", Currency: c, Components: []string{component}, Events: events}
		if model != "" {
			k.Dimensions = []meter.Dimension{{Key: "model", Value: model}, {Key: "tier", Value: "batch"}}
		}
		return k
	}
	eur, _ := money.Lookup("EUR")
	return engine.UnpricedSummary{Events: 150, Sequence: 77, Counts: []engine.UnpricedCount{
		kind("no_price", "a", "input", usd, 50), kind("no_price", "b", "input", usd, 40), kind("component_unpriced", "b", "output", usd, 30),
		kind("no_price", "a", "input", eur, 15), kind("no_price", "", "input", usd, 10), {Reason: "no_price", Currency: usd, Events: 5}}}
}

func TestUnpricedSummary(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.summary = unpricedKinds()
	f := func(query, counts string) {
		t.Helper()
		got := r.get("/v1/unpriced" + query)
		got.want(t, 200, "")
		if want := `"next":"","summary":{"events":150,"counts":[` + counts + `],"sequence":77}}`; !strings.HasSuffix(got.body, want) {
			t.Errorf("%s:\n got %s\nwant %s", query, got.body, want)
		}
	}
	f("", `{"reason":"no_price","meter":"llm","currency":"USD","dimensions":{"model":"a","tier":"batch"},"components":["input"],"events":50},`+
		`{"reason":"no_price","meter":"llm","currency":"USD","dimensions":{"model":"b","tier":"batch"},"components":["input"],"events":40},`+
		`{"reason":"component_unpriced","meter":"llm","currency":"USD","dimensions":{"model":"b","tier":"batch"},"components":["output"],"events":30},`+
		`{"reason":"no_price","meter":"llm","currency":"EUR","dimensions":{"model":"a","tier":"batch"},"components":["input"],"events":15},`+
		`{"reason":"no_price","meter":"llm","currency":"USD","components":["input"],"events":10},{"reason":"no_price","currency":"USD","events":5}`)
	f("?by=model", `{"dimensions":{"model":"b"},"events":70},{"dimensions":{"model":"a"},"events":65},{"dimensions":{"model":null},"events":15}`)
	f("?by=reason&limit=1", `{"reason":"no_price","events":120},{"reason":"component_unpriced","events":30}`)
	f("?by=currency,meter", `{"meter":"llm","currency":"USD","events":130},{"meter":"llm","currency":"EUR","events":15},{"currency":"USD","events":5}`)
	f("?by=components", `{"components":["input"],"events":115},{"components":["output"],"events":30},{"events":5}`)
	f("?by=tier,nothing", `{"dimensions":{"nothing":null,"tier":"batch"},"events":135},{"dimensions":{"nothing":null,"tier":null},"events":15}`)
	for _, query := range []string{"?by=", "?by=model,", "?by=" + strings.Repeat("m", 65), "?by=" + strings.Repeat("a,", 40) + "a", "?by=model&by=meter", "?By=model"} {
		r.get("/v1/unpriced"+query).want(t, 422, "invalid")
	}
	if got := r.get("/v1/unpriced?cursor=7&by=model").body; strings.Contains(got, "summary") {
		t.Error(got)
	}
	r.engine.now = "no_price"
	if got := r.get("/v1/unpriced").body; !strings.Contains(got, `"reason":"no_price","now":"no_price","dimensions"`) {
		t.Error(got)
	}
}

// TestUnpricedSummaryIsBounded has more kinds than are listed. Sums still have them all.
func TestUnpricedSummaryIsBounded(t *testing.T) {
	var s engine.UnpricedSummary
	for i := range 3 * unpricedCountsMax {
		s.Counts = append(s.Counts, engine.UnpricedCount{Reason: "no_price", Type: "m", Dimensions: []meter.Dimension{{Key: "k", Value: fmt.Sprint(i)}}, Events: 2})
		s.Events += 2
	}
	r := newRig(t, Options{})
	r.engine.summary = s
	if n := strings.Count(r.get("/v1/unpriced").body, `"reason":"no_price","meter"`); n != unpricedCountsMax {
		t.Errorf("%d kinds are listed", n)
	}
	if got := r.get("/v1/unpriced?by=meter").body; !strings.Contains(got, `"counts":[{"meter":"m","events":6000}]`) {
		t.Error(got)
	}
	if n := strings.Count(r.get("/v1/unpriced?by=k").body, `{"dimensions":{"k":`); n != unpricedCountsMax {
		t.Errorf("%d groups are listed", n)
	}
}
