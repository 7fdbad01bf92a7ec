package engine

import (
	"fmt"
	"testing"
)

// TestVoidDuringASimulation voids an event that a simulation has taken out of its counters:
// the simulation posts nothing and has to leave the ledger alone.
func TestVoidDuringASimulation(t *testing.T) {
	r := standard(t, nil)
	r.prices("v2", `{"effective_from":"2026-02-01T00:00:00Z","prices":[{"meter":"x","currency":"USD","match":{},"components":{"call":{"unit":"1","included":"100"}}}]}`)
	var first []call
	for i := range 2 * repriceSlice {
		first = append(first, call{source: "gw", id: fmt.Sprint("a", i), subject: "acme", kind: "x", usage: [][2]string{{"call", "1"}}})
	}
	big := func(id, q string) call {
		return call{source: "gw", id: id, subject: "acme", kind: "x", usage: [][2]string{{"call", q}}}
	}
	r.post(big("first", "1000"))
	r.post(first...)
	r.post(big("last", "1600"))
	voided := false
	got, refused := r.e.Simulate(RepriceOptions{Version: "v2", Progress: func(done, total uint64) error {
		if done >= repriceSlice && !voided {
			voided = true
			if _, _, refused := r.e.Void(VoidSpec{Source: "gw", Event: "first", ID: "v"}); refused != nil {
				t.Error(refused)
			}
		}
		return nil
	}})
	t.Logf("%d events, %d without a price, %+v", got.Events, got.Unpriced, got.Totals)
	if refused != nil || !voided || got.Unpriced != 0 {
		t.Fatalf("%d events, %d without a price, voided %v, %v", got.Events, got.Unpriced, voided, refused)
	}
	if posted, want := r.posted("acme"), fmt.Sprint(100-2*repriceSlice-1600); posted != want {
		t.Errorf("acme has %s, want %s", posted, want)
	}
}

// TestRerateThatCountsTooMuch rerates events whose quantities each fit into a period's counter
// and together do not: no event may stay taken back.
func TestRerateThatCountsTooMuch(t *testing.T) {
	r := standard(t, nil)
	r.prices("v2", `{"effective_from":"2026-02-01T00:00:00Z","prices":[{"meter":"x","currency":"USD","match":{},"components":{"call":"0.000001"}}]}`)
	for i := range 3 {
		r.post(call{source: "gw", id: fmt.Sprint("e", i), subject: "acme", kind: "x", usage: [][2]string{{"call", "4000000000000"}}})
	}
	r.prices("v3", `{"effective_from":"2026-03-01T00:00:00Z","prices":[{"meter":"x","currency":"USD","match":{},"components":{"call":{"unit":"0.000002","included":"1"}}}]}`)
	if _, _, refused := r.e.Rerate(RerateSpec{ID: "r", Version: "v3"}); refused != nil {
		t.Fatal(refused)
	}
	r.e.repriced()
	status, refused := r.e.RerateStatus("r")
	if refused != nil || status.State != "done" {
		t.Errorf("%+v %v", status, refused)
	}
	for i := range 3 {
		if e, refused := r.e.Event("gw", fmt.Sprint("e", i)); refused != nil || e.State != "rated" {
			t.Errorf("event e%d is %s, %v", i, e.State, refused)
		}
	}
}
