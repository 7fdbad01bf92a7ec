package engine

import (
	"fmt"
	"testing"

	"farthing/journal"
	"farthing/refusal"
)

// forgotten waits until all runs that are old enough are forgotten.
func (x *retainRig) forgotten() {
	x.t.Helper()
	x.settleTidier()
}

// TestVerifyComparesACheckpointAtTheBase drops history just up to the newest checkpoint: verify, which walks from there, has to compare it
// nevertheless.
func TestVerifyComparesACheckpointAtTheBase(t *testing.T) {
	x := newRetainRig(t, func(o *Options) { o.CheckpointBytes = 1 << 30 })
	x.post(llm("a", "acme", "m1", 1000, 10))
	x.checkpointed()
	at := x.e.marks.checkpointed.load()
	x.post(llm("b", "acme", "m1", 1000, 10))
	x.settle("w1")
	x.pass(9 * day)
	x.post(llm("c", "acme", "m1", 1000, 10)) // the clock is looked at
	x.forgotten()
	if to := x.drop(); to != at {
		t.Fatalf("dropped to %d, the checkpoint is of %d", to, at)
	}
	report, err := verifyStore(x.e.store, nil)
	if err != nil || report.Checkpoints != 1 {
		t.Fatalf("%d checkpoints compared: %v", report.Checkpoints, err)
	}
	rebuild(t, x.e.store.(onDisk).Store, journal.KindCheckpoint, newestCheckpoint(t, x.e.store.(onDisk).Store).id, func(_ int, k, v []byte) ([]byte, []byte) {
		if v[0] == chunkRows {
			v[len(v)-17-16]++
		}
		return k, v
	})
	if report, err = verifyStore(x.e.store, nil); err == nil {
		t.Fatalf("a changed checkpoint at the base goes unnoticed: %+v", report)
	}
	t.Log(err)
}

// TestVoidIsAnsweredAgainOnceItsEventWasDropped voids an old event, which goes before the client asks again.
func TestVoidIsAnsweredAgainOnceItsEventWasDropped(t *testing.T) {
	x := newRetainRig(t, nil)
	x.old()
	spec := VoidSpec{ID: "v", Source: "gw", Event: "old-3", Reason: "wrong"}
	first, created, refused := x.e.Void(spec)
	if refused != nil || !created {
		t.Fatal(refused)
	}
	x.checkpointed()
	x.forgotten()
	ev, refused := x.e.Event("gw", "old-3")
	if refused != nil {
		t.Fatal(refused)
	}
	if to := x.drop(); to < ev.Sequence || to >= first.Sequence {
		t.Fatalf("dropped to %d, the event is of %d, its void of %d", to, ev.Sequence, first.Sequence)
	}
	again, created, refused := x.e.Void(spec)
	if refused != nil || created || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", first) {
		t.Errorf("the void was answered\n%+v, again\n%+v, created %v, %v", first, again, created, refused)
	}
	for _, other := range []VoidSpec{{ID: "v", Source: "gw", Event: "old-3", Reason: "other"}, {ID: "v", Source: "gw", Event: "old-4", Reason: "wrong"}} {
		if _, _, refused := x.e.Void(other); refused == nil || refused.Code != refusal.IDConflict {
			t.Errorf("void %+v: %v", other, refused)
		}
	}
	for _, other := range []VoidSpec{{ID: "w", Source: "gw", Event: "old-3"}, {ID: "w", Source: "gw", Event: "none"}} {
		if _, _, refused := x.e.Void(other); refused == nil || refused.Code != refusal.NotFound {
			t.Errorf("void %+v: %v", other, refused)
		}
	}
}

// old books something, settles it and lets so much time pass that nothing but what a test adds keeps it.
func (x *retainRig) old() {
	x.t.Helper()
	for i := range 30 {
		x.post(llm(fmt.Sprint("old-", i), "acme", "m1", 1000+i, 10))
	}
	x.settle("old")
	x.checkpointed()
	x.pass(9 * day)
	x.post(llm("young", "acme", "m1", 1000, 10))
	x.settle("young")
}
