package engine

import "testing"

// TestStatementOfResults gives a collection and a payout back: they stand in the next statement
// as returned, and the line's state follows its results.
func TestStatementOfResults(t *testing.T) {
	r := newRig(t, nil)
	r.account("acme", "customer", "postpaid")
	r.account("prov", "provider", "")
	r.prices("v1", standardBook)
	r.post(llm("e1", "acme", "m2", 1000000, 1000000))
	batchID := r.settle("w1").Batches[0].BatchID
	lines, no := r.e.OpenLines(batchID, "", 10)
	if no != nil || len(lines.Items) != 2 {
		t.Fatal(lines, no)
	}
	result := func(id string, line uint32, status ResultStatus, part string) {
		t.Helper()
		spec := LineResult{ID: id, Batch: batchID, Line: line, Status: status}
		if part != "" {
			a := amount(t, part)
			spec.Amount = &a
		}
		if _, created, no := r.e.Result(spec); no != nil || !created {
			t.Fatal(created, no)
		}
	}
	result("r1", lines.Items[0].Line, ResultFailed, "")
	result("r2", lines.Items[1].Line, ResultPaid, "")
	result("r3", lines.Items[1].Line, ResultReturned, "1")
	r.settle("w2")
	f := func(account, want string, states ...string) {
		t.Helper()
		s, no := r.e.WindowStatement(StatementOptions{Account: account, Window: 2})
		if no != nil {
			t.Fatal(no)
		}
		if got := statementText(&s); got != want {
			t.Errorf("%s:\n%s", account, got)
		}
		page, no := r.e.Statements(account, "", 10)
		if no != nil || len(page.Items) != len(states) {
			t.Fatal(page, no)
		}
		for i, state := range states {
			if page.Items[i].State.Status != state {
				t.Errorf("%s, window %d: %+v", account, i+1, page.Items[i].State)
			}
		}
	}
	f("acme", "opening 0\nreturned failed 1: -3\npayments collection 1: 3\nclosing 0", "failed", "open")
	f("prov", "opening 0\nreturned returned 1: 1\npayments payout 1: -1\nclosing 0", "paid", "open")
	f("operator", "opening 0\nreturned failed 1: 3\nreturned returned 1: -1\nclosing 2", "none", "none")
	everyStatement(t, r.e)
}
