package engine

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"farthing/batch"
	"farthing/internal/soak"
	"farthing/journal"
	"farthing/refusal"
)

// cutLedger is a ledger with one settled window of 900 events over two weeks, and the proofs of all of them.
type cutLedger struct {
	*retainRig
	events map[string]uint64
	proofs map[string]Proof
}

// provenEvery: every so manieth event is.
var provenEvery = soak.Pick(7, 1)

func newCutLedger(t *testing.T) *cutLedger {
	x := &cutLedger{retainRig: newRetainRig(t, nil), events: map[string]uint64{}, proofs: map[string]Proof{}}
	for part := range 9 {
		var calls []call
		for i := range 100 {
			calls = append(calls, llm(fmt.Sprint("e", 100*part+i), []string{"acme", "beta"}[i%2], "m1", i, part))
		}
		x.post(calls...)
		x.pass(36 * time.Hour)
	}
	x.settle("w")
	for i := range 900 {
		id := fmt.Sprint("e", i)
		ev, refused := x.e.Event("gw", id)
		if refused != nil {
			t.Fatal(refused)
		}
		if i%provenEvery == 0 {
			if x.proofs[id], refused = x.e.Proof("gw", id); refused != nil {
				t.Fatal(id, refused)
			}
		}
		x.events[id] = ev.Sequence
	}
	return x
}

// dropSome drops what is old enough, once it is forgotten.
func (x *cutLedger) dropSome() uint64 {
	x.t.Helper()
	before := x.e.store.Base().Seq
	x.checkpointed()
	for range 10_000 { // the tidier goes beside
		if to := x.drop(); to > before {
			return to
		}
		x.e.tidy.wake()
		x.e.internal(func(*sequencer) {})
	}
	x.t.Fatalf("nothing is dropped after %d", before)
	return 0
}

// kept proves every event behind a sequence, and returns how many of them lie in a subtree that it cuts.
func (x *cutLedger) kept(base uint64) (cut int) {
	x.t.Helper()
	dropped := uint64(0)
	for _, seq := range x.events {
		if seq <= base {
			dropped++
		}
	}
	for id, want := range x.proofs {
		seq := x.events[id]
		p, refused := x.e.Proof("gw", id)
		if seq <= base {
			if refused == nil || refused.Code != refusal.NotFound {
				x.t.Fatalf("event %s at %d is dropped: %v", id, seq, refused)
			}
			continue
		}
		if refused != nil || !reflect.DeepEqual(p, want) {
			x.t.Fatalf("event %s at %d, dropped to %d: %+v, before it was %+v: %v", id, seq, base, p, want, refused)
		}
		if p.Index/batch.TileWidth == dropped/batch.TileWidth && dropped%batch.TileWidth > 0 {
			cut++
		}
	}
	return cut
}

// TestProofsAcrossTheBase: what is kept is proven as before, also where some of the 256 leaves that a proof needs were dropped; after a
// restart, and when the next base cuts the same subtree.
func TestProofsAcrossTheBase(t *testing.T) {
	x := newCutLedger(t)
	cuts := 0
	rounds := soak.Pick(2, 4)
	for range rounds {
		to := x.dropSome()
		cut := x.kept(to)
		x.verify()
		if again := x.kept(to); again != cut {
			t.Errorf("%d events in the subtree that %d cuts, after a restart %d", cut, to, again)
		}
		t.Logf("dropped to %d: %d kept events are in a subtree that was cut", to, cut)
		if cut > 0 {
			cuts++
		}
		x.pass(36 * time.Hour)
	}
	if cuts < rounds-1 {
		t.Errorf("only %d bases cut a subtree", cuts)
	}
}

// TestDamagedLeavesOfTheBase: a leaf of the base that says something else proves nothing, and verify names the base.
func TestDamagedLeavesOfTheBase(t *testing.T) {
	for _, marked := range []bool{false, true} {
		x := newCutLedger(t)
		to := x.dropSome()
		if x.kept(to) == 0 {
			t.Fatalf("%d cuts no subtree", to)
		}
		x.close()
		withStore(t, x.rig, func(s *journal.Store) {
			from, err := baseEvidence(onDisk{s}, to)
			if err != nil {
				t.Fatal(err)
			}
			hashes, _ := from.trees[usd().Index()].Leaves()
			tampered := newChunkHash()
			rebuild(t, s, journal.KindBase, to, func(_ int, k, v []byte) ([]byte, []byte) {
				if v[0] == chunkEvidence {
					v[bytes.LastIndex(v, hashes[0][:])] ^= 1
				}
				tampered.chunk(v)
				return k, v
			})
			if sum := tampered.sum(); marked {
				write(t, s, journal.Row{Space: journal.SpaceMarker, Key: baseMarkerKey(to), Value: sum[:]})
			}
		})
		if _, err := Verify(VerifyOptions{Journal: x.o.Journal}); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("base of sequence %d", to)) {
			t.Errorf("verify: %v", err)
		}
		if marked {
			if e, err := Open(x.o); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("base of sequence %d", to)) {
				t.Errorf("it opens: %v %v", e, err)
			}
			continue
		}
		x.open()
		_, refused := x.e.Proof("gw", "e899")
		if refused != nil {
			t.Errorf("another subtree: %v", refused)
		}
		for id, seq := range x.events {
			if seq == to+1 {
				_, refused := x.e.Proof("gw", id)
				wantRefused(t, refused, refusal.Internal, "storage_damaged")
			}
		}
	}
}

// TestLateRatings: an event that was rated days after it came is not dropped before the window of its rating is settled, and what is exported with it has
// the seal of that window.
func TestLateRatings(t *testing.T) {
	x := &cutLedger{retainRig: newRetainRig(t, nil)}
	several := func(name string, days int) {
		for day := range days {
			for i := range 10 {
				x.post(llm(fmt.Sprint(name, day, "-", i), "acme", "m1", 1, 1))
			}
			x.pass(24 * time.Hour)
		}
	}
	several("a", 4)
	x.post(llm("late", "acme", "m9", 1, 1))
	several("b", 10)
	x.settle("w1")
	several("c", 4)
	x.prices("v2", strings.NewReplacer("m2", "m9", "01-01T", "01-02T").Replace(standardBook))
	x.e.repriced()
	ev, refused := x.e.Event("gw", "late")
	if refused != nil || ev.State == "unpriced" {
		t.Fatal(ev.State, refused)
	}
	late := ev.Sequence
	if to := x.dropSome(); to >= late {
		t.Fatalf("dropped to %d, event %d was rated in the open window", to, late)
	}
	if why := *x.e.retained.heldBy.Load(); why != "an event that was rated and not settled since" {
		t.Errorf("held by %s", why)
	}
	x.settle("w2")
	proof, refused := x.e.Proof("gw", "late")
	if refused != nil || proof.Window != 2 {
		t.Fatalf("%+v %v", proof, refused)
	}
	if to := x.dropSome(); to < late {
		t.Fatalf("dropped to %d, event %d was rated and settled", to, late)
	}
	windows := x.e.published.Load().windows
	if part := x.parts[len(x.parts)-1]; part.Through < windows[1].sealed || x.e.store.Base().Seq >= windows[0].cut {
		t.Errorf("exported to %d, dropped to %d, the windows are %+v and %+v", part.Through, x.e.store.Base().Seq, windows[0], windows[1])
	}
	x.verify()
}
