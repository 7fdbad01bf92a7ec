package engine

import (
	"fmt"
	"testing"

	"farthing/refusal"
)

func standard(t testing.TB, change func(*Options)) *rig {
	r := newRig(t, change)
	r.account("prov", "provider", "")
	r.account("acme", "customer", "postpaid")
	r.account("beta", "customer", "prepaid")
	r.prices("v1", standardBook)
	return r
}

func TestEventsSettleAndRestart(t *testing.T) {
	r := standard(t, func(o *Options) { o.RunIdentities = 4 })
	check := func(label string) {
		t.Helper()
		for id, want := range map[string]string{"acme": "-0.0054", "prov": "0.0049", "beta": "4.9996"} {
			if got := r.posted(id); got != want {
				t.Fatalf("%s: %s has %s, want %s", label, id, got, want)
			}
		}
	}
	if _, _, refused := r.e.TopUp(TopUp{ID: "t1", Account: "beta", Amount: amount(t, "5")}); refused != nil {
		t.Fatal(refused)
	}
	var calls []call
	for i := range 4 {
		calls = append(calls, llm(fmt.Sprint("e", i), "acme", "m1", 100, 100))
	}
	calls = append(calls, llm("e4", "acme", "m2", 100, 150), call{source: "gw", id: "c1", subject: "beta", kind: "api.calls"})
	if got := r.post(calls...); got.Accepted != 6 || got.Duplicates != 0 {
		t.Fatalf("first: %+v", got)
	}
	if got := r.post(calls...); got.Accepted != 0 || got.Duplicates != 6 {
		t.Fatalf("again: %+v", got)
	}
	check("before restart")
	r.reopen()
	check("after restart")
	if got := r.post(calls...); got.Duplicates != 6 {
		t.Fatalf("after restart: %+v", got)
	}
	other := llm("e0", "acme", "m1", 101, 100)
	if got := r.post(other); len(got.Rejected) != 1 || got.Rejected[0].Refusal.Code != refusal.IDConflict {
		t.Fatalf("conflict: %+v", got)
	}
	s := r.settle("close-1")
	if len(s.Batches) != 1 || s.Batches[0].Lines != 4 {
		t.Fatalf("settlement: %+v", s)
	}
	again := r.settle("close-1")
	if again.Window != s.Window || again.Batches[0] != s.Batches[0] {
		t.Fatalf("the same close answers %+v, then %+v", s, again)
	}
	ev, refused := r.e.Event("gw", "e1")
	if refused != nil || ev.Rating.Amount.String() != "0.00125" || ev.Rating.Settlement.Batch != s.Batches[0].BatchID || ev.Rating.Settlement.Line == 0 {
		t.Fatalf("event: %+v %v", ev, refused)
	}
	r.reopen()
	if got := r.settle("close-1"); got.Batches[0] != s.Batches[0] {
		t.Fatalf("after restart the close answers %+v", got)
	}
	page, refused := r.e.Transfers("acme", "", 3)
	if refused != nil || len(page.Items) != 3 || page.Next == "" {
		t.Fatalf("statement: %+v %v", page, refused)
	}
	rest, _ := r.e.Transfers("acme", page.Next, 100)
	sum := amount(t, "0")
	for _, item := range append(page.Items, rest.Items...) {
		sum = sum.MustAdd(item.Amount)
	}
	if sum.String() != r.posted("acme") {
		t.Fatalf("statement sums to %s, posted is %s", sum, r.posted("acme"))
	}
}
