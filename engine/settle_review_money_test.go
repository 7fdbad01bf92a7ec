package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"farthing/internal/soak"
	"farthing/money"
	"farthing/refusal"
)

// TestMoneyAddsUpWithResults is TestMoneyAddsUp with banks that pay, fail, and take back in any order:
// beside grants, holds, refunds, moves and corrections. Every window's statement adds up to its line,
// nobody gets more paid back than it paid, and the ledger verifies.
func TestMoneyAddsUpWithResults(t *testing.T) {
	seed := rand.Uint64()
	if *creditSeed != 0 {
		seed = *creditSeed
	}
	t.Logf("seed %d", seed)
	booked := map[ResultStatus]int{}
	for i, code := range []string{"USD", "JPY"} {
		t.Run(code, func(t *testing.T) { resultSimulation(t, rand.New(rand.NewPCG(seed, uint64(i))), code, booked) })
	}
	for status := ResultPaid; status <= ResultReturned; status++ {
		if booked[status] == 0 {
			t.Errorf("no result was %s: %v", status, booked)
		}
	}
}

func resultSimulation(t *testing.T, rng *rand.Rand, code string, booked map[ResultStatus]int) {
	w := &moneyWorld{planRig: newPlanRig(t, "2026-01-20T10:30"), rng: rng, code: code}
	w.o.DedupWindow, w.o.CheckpointBytes, w.o.RunIdentities = 400*day, 20_000, 50
	w.reopen()
	limit := w.sum(20)
	w.create(AccountSpec{ID: "prov-" + code, Kind: "provider", MinimumPayout: w.sum(30)})
	w.create(AccountSpec{ID: "root1", Kind: "customer", Billing: "prepaid", Owner: "o"})
	w.create(AccountSpec{ID: "root2", Kind: "customer", Billing: "postpaid", OverdraftLimit: &limit, Owner: "o"})
	w.create(AccountSpec{ID: "root3", Kind: "customer", Billing: "postpaid"})
	w.prices("v1", fmt.Sprintf(moneyBook, "2025-01-01T00:00:00Z", code, "1.000000000000000007", ""))
	for i := range soak.Pick(3, 8) {
		for range 100 {
			w.step()
			if rng.IntN(10) == 0 {
				w.settle(w.id("w"))
			}
			if rng.IntN(10) == 0 {
				w.refundAll(w.of(w.roots))
			}
			for range 3 {
				if status, ok := w.lineResult(); ok {
					booked[status]++
				}
			}
		}
		w.check()
		w.checkStatements()
		w.checkCash()
		if i == 1 {
			w.reopen()
			w.check()
		}
	}
	w.close()
	if _, err := Verify(VerifyOptions{Journal: w.o.Journal}); err != nil {
		t.Fatal(err)
	}
	w.planRig.open()
	w.checkCash()
}

// refundAll pays back all that can be.
func (w *moneyWorld) refundAll(root string) {
	spec := RefundSpec{ID: w.id("r"), Account: root, Amount: amount(w.t, "1000000")}
	if _, _, no := w.e.Refund(spec); no != nil && no.Shortfall != nil {
		if spec.Amount = amount(w.t, no.Shortfall.Left); spec.Amount.Sign() > 0 {
			_, _, _ = w.e.Refund(spec)
		}
	}
}

// lineResult tells what became of a line, mostly of one that moves something.
func (w *moneyWorld) lineResult() (ResultStatus, bool) {
	batches := w.e.published.Load().batches
	if len(batches) == 0 {
		return 0, false
	}
	b := batches[max(0, len(batches)-1-w.rng.IntN(6))].sealed()
	x := LineResult{ID: w.id("x"), Batch: hexID(b.id), Line: 1 + w.rng.Uint32N(b.lines), Status: ResultStatus(1 + w.rng.IntN(4))}
	if w.rng.IntN(3) == 0 {
		whole, _ := w.sum(20).Cut(currencyOf(w.code).Digits())
		x.Amount = &whole
	}
	before, no := w.e.LineState(x.Batch, x.Line)
	if no != nil {
		w.t.Fatal(no)
	}
	a, created, no := w.e.Result(x)
	if no != nil {
		if now, _ := w.e.LineState(x.Batch, x.Line); now != before {
			w.t.Fatalf("a refused result (%v) changed %+v to %+v", no, before, now)
		}
		return 0, false
	}
	s := a.State
	if !created || s.Open.MustAdd(s.Paid).MustAdd(s.Failed).MustAdd(s.Returned) != s.Amount || s.Failed.Cmp(before.Failed) < 0 || s.Returned.Cmp(before.Returned) < 0 {
		w.t.Fatalf("%+v became %+v", before, s)
	}
	return x.Status, true
}

// checkStatements derives every line's statement, which is refused where it does not add up.
func (w *moneyWorld) checkStatements() {
	w.t.Helper()
	for _, win := range w.e.published.Load().windows {
		for _, id := range append([]string{"prov-" + w.code, "operator"}, w.roots...) {
			if _, no := w.e.WindowStatement(StatementOptions{Account: id, Window: win.number}); no != nil && no.Code != refusal.NotFound {
				w.t.Fatalf("statement of %s, window %d: %v", id, win.number, no)
			}
		}
	}
}

// checkCash compares what customers of one owner paid with what they were paid back. What is missing
// they owe.
func (w *moneyWorld) checkCash() {
	w.t.Helper()
	e := w.e
	owners := map[string]money.Amount{}
	for _, id := range w.roots {
		owner := map[string]string{"root3": "nobody"}[id]
		sum := owners[owner]
		for _, x := range w.statement(id) {
			if x.Class == "cash" && x.Account == "operator" {
				sum = sum.MustAdd(x.Amount)
			}
		}
		for _, b := range e.published.Load().batches {
			line, there, err := lineOf(e.store, b.sealed(), id)
			if err != nil {
				w.t.Fatal(err)
			}
			if !there {
				continue
			}
			s, no := e.LineState(hexID(b.sealed().id), line.Line)
			if no != nil {
				w.t.Fatal(no)
			}
			sum = sum.MustAdd(s.Paid).MustAdd(s.Returned)
		}
		refs, _ := e.refsOf(id)
		if no := e.do(func(q *sequencer) bool {
			row := q.state.ledger.Rows.At(uint32(refs[0]))
			sum = sum.MustAdd(row.Due.Debit()).MustAdd(row.Transit)
			return false
		}); no != nil {
			w.t.Fatal(no)
		}
		owners[owner] = sum
	}
	for owner, sum := range owners {
		if sum.Sign() < 0 {
			w.t.Fatalf("owner %q was paid back %s more than it paid and owes", owner, sum.Neg())
		}
	}
}
