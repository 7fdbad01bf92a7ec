package main

import (
	"errors"
	"testing"

	"farthing/engine"
	"farthing/publish"
	"farthing/refusal"
)

// TestResultsLedger has the engine asked for what can be asked, in order, and its answers put where they belong.
func TestResultsLedger(t *testing.T) {
	half, wrong := "0.50", "1,5"
	list := []publish.Result{
		{ID: "a", BatchID: "b", Line: 1, Status: "paid"},
		{ID: "b", Status: "settled"},
		{ID: "c", BatchID: "b", Line: 2, Status: "partially_paid", Amount: &half, Reference: "r"},
		{ID: "d", Status: "paid", Amount: &wrong},
		{ID: "e", BatchID: "b", Line: 3, Status: "failed"},
		{ID: "f", BatchID: "b", Line: 4, Status: "failed"},
	}
	var asked []engine.LineResult
	outcomes := []engine.ResultOutcome{{Created: true}, {}, {Refusal: refusal.New(refusal.ResultConflict, "result_conflict", "no")},
		{Refusal: refusal.New(refusal.NotFound, engine.ResultExported, "long ago")}}
	l := resultsLedger{book: func(list []engine.LineResult) ([]engine.ResultOutcome, *refusal.Refusal) {
		asked = list
		return outcomes, nil
	}}
	out, err := l.Results(list)
	if err != nil {
		t.Fatal(err)
	}
	if len(asked) != 4 || asked[0].ID != "a" || asked[0].Amount != nil || asked[0].Status != engine.ResultPaid || asked[1].Amount.String() != "0.5" ||
		asked[1].Reference != "r" || asked[1].Line != 2 || asked[2].Status != engine.ResultFailed {
		t.Fatalf("asked %+v", asked)
	}
	want := []publish.ResultOutcome{{}, {Code: "invalid", Reason: "invalid_status"}, {Repeated: true}, {Code: "invalid", Reason: "invalid_amount"},
		{Code: "result_conflict", Reason: "result_conflict"}, {Repeated: true}}
	for i := range want {
		if got := out[i]; got.Code != want[i].Code || got.Reason != want[i].Reason || got.Repeated != want[i].Repeated {
			t.Fatalf("outcome %d is %+v, want %+v", i, got, want[i])
		}
	}
	asked = nil
	if out, err := l.Results(list[1:2]); err != nil || out[0].Code != "invalid" || asked != nil {
		t.Fatal(out, err, asked)
	}
}

// TestResultsLedgerIsBusy: a refusal for now, of all or of one, is no verdict on a result.
func TestResultsLedgerIsBusy(t *testing.T) {
	list := []publish.Result{{ID: "a", Status: "paid"}}
	busy := refusal.New(refusal.Overloaded, "", "later")
	for _, l := range []resultsLedger{
		{book: func([]engine.LineResult) ([]engine.ResultOutcome, *refusal.Refusal) { return nil, busy }},
		{book: func([]engine.LineResult) ([]engine.ResultOutcome, *refusal.Refusal) {
			return []engine.ResultOutcome{{Refusal: busy}}, nil
		}},
	} {
		if out, err := l.Results(list); !errors.Is(err, busy) || out != nil {
			t.Fatal(out, err)
		}
	}
}
