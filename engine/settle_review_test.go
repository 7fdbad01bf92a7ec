package engine

import (
	"fmt"
	"testing"

	"farthing/money"
	"farthing/refusal"
)

// TestGivenBackAgainAndAgain has a currency's whole room paid out, fail and be paid out again, until
// the books have no room for it. That has to be refused while the amount is in transit: a window
// that cannot be closed would stop the ledger for ever.
func TestGivenBackAgainAndAgain(t *testing.T) {
	for _, status := range []ResultStatus{ResultFailed, ResultReturned} {
		t.Run(status.String(), func(t *testing.T) { givenBackAgainAndAgain(t, status) })
	}
}

func givenBackAgainAndAgain(t *testing.T, status ResultStatus) {
	r := newRig(t, nil)
	r.account("prov", "provider", "")
	r.account("acme", "customer", "postpaid")
	r.prices("v1", `{"effective_from":"2026-01-01T00:00:00Z","prices":[
 {"meter":"m","currency":"USD","match":{},"components":{"u":{"unit":"1000000000000"}},"payee":"prov","fee":"0"}]}`)
	r.post(units("e", "acme", "m", "1300000"))
	if got := r.posted("prov"); got != "1300000000000000000" {
		t.Fatal(got)
	}
	for i := range 40 {
		id, lines := r.window(fmt.Sprint("w", i))
		prov := lines["prov"].Line
		if status == ResultReturned {
			r.result(fmt.Sprint("p", i), id, prov, ResultPaid, "")
		}
		_, _, no := r.e.Result(r.spec(fmt.Sprint("b", i), id, prov, status, ""))
		if no == nil {
			continue
		}
		if no.Code != refusal.Invalid || no.Reason != "amount_overflow" {
			t.Fatal(no)
		}
		if status == ResultFailed {
			r.result("end", id, prov, ResultPaid, "")
		}
		r.settle("last")
		r.verified()
		return
	}
	t.Fatal("nothing was refused")
}

// TestOpenLinesLookIsBounded: lines that were in parts and are not open any more are gone over a
// few at a time as well.
func TestOpenLinesLookIsBounded(t *testing.T) {
	const lines = 100_000
	st := &state{}
	st.sealBatches(&window{batches: []sealedBatch{{lines: lines, pays: lines}}})
	two := money.FromWords(0, 2e18)
	st.results.transit.Mut(0).pay = money.FromWords(1, 0)
	for line := uint32(1); line < lines; line++ {
		for range 2 {
			p := &lineResult{line: line, status: ResultPartiallyPaid, whole: two, amount: money.FromWords(0, 1e18)}
			st.results.put(p, st.lineParts(0, line, two).moved(p.status, p.amount))
		}
	}
	var found []uint32
	for next, looks := uint32(1), 0; next != 0; looks++ {
		var page []uint32
		from := next
		page, next = st.results.mayBeOpen(0, from, lines, openVisit, nil)
		if found = append(found, page...); next > from+2*openVisit || looks > lines/openVisit+1 {
			t.Fatalf("look %d goes from line %d to %d", looks, from, next)
		}
	}
	if len(found) != 1 || found[0] != lines {
		t.Fatalf("open: %d lines", len(found))
	}
}
