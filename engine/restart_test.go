package engine

import (
	"fmt"
	"testing"

	"farthing/journal"
)

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

// TestCleanStopReplaysNothing: a clean stop leaves a checkpoint and runs that cover everything, also when
// nothing was booked since the last one, and partial runs know their identities and statements.
func TestCleanStopReplaysNothing(t *testing.T) {
	r := standard(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes = 7, 3000 })
	booked := 0
	for round := range 15 {
		var calls []call
		for i := range round % 11 {
			calls = append(calls, llm(fmt.Sprintf("e%d-%d", round, i), "acme", "m1", 1, 1))
		}
		booked += len(calls)
		if got := r.post(calls...); got.Accepted != len(calls) {
			t.Fatalf("round %d: %+v", round, got)
		}
		r.close()
		store, err := journal.OpenReadOnly(r.o.Journal)
		if err != nil {
			t.Fatal(err)
		}
		set, _, err := readRuns(onDisk{store}, 7)
		if err != nil {
			t.Fatal(err)
		}
		markers, err := checkpointMarkers(onDisk{store})
		if err != nil {
			t.Fatal(err)
		}
		if head := store.Head().Seq; set.indexedTo() != head || markers[len(markers)-1].seq != head {
			t.Fatalf("round %d: head %d, runs to %d, checkpoint of %d", round, head, set.indexedTo(), markers[len(markers)-1].seq)
		}
		if err := store.Close(); err != nil {
			t.Fatal(err)
		}
		r.open()
		if got := r.post(calls...); got.Duplicates != len(calls) {
			t.Fatalf("round %d, again: %+v", round, got)
		}
	}
	page, refused := r.e.Transfers("acme", "", 1000)
	if refused != nil || len(page.Items) != 2*booked {
		t.Fatalf("%d transfers, %v", len(page.Items), refused)
	}
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
}
