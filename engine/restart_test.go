package engine

import "testing"

// TestRestartBeforeTheFirstEvent restarts a ledger whose checkpoint holds no evidence
// tree yet, and one that has events of one currency only.
func TestRestartBeforeTheFirstEvent(t *testing.T) {
	r := standard(t, nil)
	r.reopen()
	r.reopen() // the second one starts from a checkpoint of a replayed state
	if got := r.post(llm("e1", "acme", "m1", 1, 1)); got.Accepted != 1 {
		t.Fatalf("%+v", got)
	}
	r.settle("w")
	r.reopen()
	if got := r.post(llm("e1", "acme", "m1", 1, 1), llm("e2", "acme", "m1", 1, 1)); got.Accepted != 1 || got.Duplicates != 1 {
		t.Fatalf("%+v", got)
	}
	r.settle("x")
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
}
