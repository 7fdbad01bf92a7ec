package engine

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"farthing/journal"
)

// withoutCheckpoints copies a closed ledger and takes its checkpoints away, so that it starts
// from genesis.
func withoutCheckpoints(t *testing.T, o Options) Options {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(o.Journal.Dir)); err != nil {
		t.Fatal(err)
	}
	o.Journal.Dir = dir
	store, err := journal.Open(o.Journal)
	if err != nil {
		t.Fatal(err)
	}
	markers, err := checkpointMarkers(onDisk{store})
	if err != nil || len(markers) == 0 {
		t.Fatalf("%d checkpoints: %v", len(markers), err)
	}
	for _, m := range markers {
		write(t, store, journal.Row{Space: journal.SpaceMarker, Key: checkpointKey(m.id), Delete: true})
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return o
}

// states returns what two engines have in memory, neither of which is doing anything.
func states(t *testing.T, a, b *Engine) (x, y *state) {
	t.Helper()
	for _, e := range []*Engine{a, b} {
		e.repriced()
		if refused := e.do(func(s *sequencer) bool {
			x, y = y, s.state
			return false
		}); refused != nil {
			t.Fatal(refused)
		}
	}
	return x, y
}

// TestRestartFromCheckpointIsRestartFromGenesis compares the two after each of several rounds
// of random work, with deltas on deltas; then both go on by themselves, and each comes to what
// the model has.
func TestRestartFromCheckpointIsRestartFromGenesis(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes, o.DedupWindow = 60, 1500, 100*day })
	a := newActivity(t, newWorld(r.base))
	a.found(r.e, 4)
	deltas := 0
	for round := range uint64(4) {
		a.run(r.e, seed+round, 3, 30, 4, nil)
		rng := rand.New(rand.NewPCG(seed, round))
		v := a.w.randomVersion(rng, fmt.Sprint("round", round), int(round))
		v.from = a.w.base.Add(-95*day).UnixNano() + int64(round)*int64(12*day) // each takes over what the one before had
		a.putVersion(r.e, v)
		r.e.repriced()
		a.w.rerates[v.id] = RerateSpec{ID: v.id, Version: v.id}
		if _, _, refused := r.e.Rerate(a.w.rerates[v.id]); refused != nil {
			t.Fatal(refused)
		}
		r.e.repriced()
		settled(t, r.e)
		r.close()
		o := withoutCheckpoints(t, r.o)
		r.open()
		genesis, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		deltas = max(deltas, r.e.checkpointDeltas(t))
		want, got := states(t, genesis, r.e)
		if err := diff(want, got); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		b := &activity{t: t, w: a.w, answers: a.copyAnswers(), voidsMade: map[string]int{}, next: 1_000_000 * int(round+1)}
		b.run(genesis, seed+100+round, 1, 25, 4, nil)
		genesis.repriced()
		settled(t, genesis)
		m := newModel(t, a.w)
		m.replay(genesis, genesis.store.Head().Seq)
		m.compare(genesis)
		m.complete()
		if err := genesis.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(VerifyOptions{Journal: o.Journal}); err != nil {
			t.Fatal(err)
		}
	}
	m := newModel(t, a.w)
	m.replay(r.e, r.e.store.Head().Seq)
	m.compare(r.e)
	m.complete()
	if deltas < 2 || len(m.voids) == 0 || m.rerated == 0 || m.late == 0 {
		t.Fatalf("%d deltas, %d voids, %d rerated, %d rated late", deltas, len(m.voids), m.rerated, m.late)
	}
}

// checkpointDeltas is how many deltas the newest checkpoint stands on.
func (e *Engine) checkpointDeltas(t *testing.T) int {
	t.Helper()
	markers, err := checkpointMarkers(e.store)
	if err != nil || len(markers) == 0 {
		t.Fatalf("%d checkpoints: %v", len(markers), err)
	}
	return markers[len(markers)-1].deltas
}

// TestRestartHalfwayFromGenesis does the same in the middle of a rerate, whose lifted events
// are in the checkpoint.
func TestRestartHalfwayFromGenesis(t *testing.T) {
	for _, slices := range []int64{1, 2} {
		r, a, h := halfway(t, slices)
		<-r.e.repriceDone
		h.e.repriceStop = make(chan struct{}) // Close closes it
		r.close()
		o := withoutCheckpoints(t, r.o)
		r.open()
		genesis, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range []*Engine{r.e, genesis} {
			if m := finish(t, &rig{t: t, e: e}, a); !m.rerates["half"].done {
				t.Fatal("the rerate is not done")
			}
		}
		want, got := states(t, genesis, r.e)
		if err := diffRows(want, got); err != nil {
			t.Error(err)
		}
		if err := genesis.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestVerifyNamesChangedRatingTables changes what a checkpoint holds of counters, amendments,
// unpriced events and voids.
func TestVerifyNamesChangedRatingTables(t *testing.T) {
	r := newRig(t, nil)
	for _, id := range []string{"acme", "beta"} {
		r.account(id, "customer", "prepaid")
	}
	r.account("prov", "provider", "")
	r.prices("v1", tamperBook)
	for i := range 6 {
		for _, kind := range []string{"x", "y", "z"} {
			r.post(call{source: "gw", id: fmt.Sprint(kind, i), subject: "acme", kind: kind})
		}
	}
	for _, id := range []string{"x1", "y2", "z3"} {
		if _, _, refused := r.e.Void(VoidSpec{Source: "gw", Event: id, ID: "void-" + id, Reason: "?"}); refused != nil {
			t.Fatal(refused)
		}
	}
	r.close()
	for kind, name := range map[byte]string{chunkCounters: "counter", chunkAmends: "amended event", chunkUnpriced: "unpriced event", chunkVoids: "table 'd' differs",
		chunkGroups: "kind of unpriced event"} {
		o := r.o
		o.Journal.Dir = t.TempDir()
		if err := os.CopyFS(o.Journal.Dir, os.DirFS(r.o.Journal.Dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(VerifyOptions{Journal: o.Journal}); err != nil {
			t.Fatal(err)
		}
		changed := 0
		withStore(t, &rig{o: o}, func(s *journal.Store) {
			rebuild(t, s, journal.KindCheckpoint, newestCheckpoint(t, s).id, func(_ int, k, v []byte) ([]byte, []byte) {
				if v[0] == kind {
					v[len(v)-1] ^= 1
					changed++
				}
				return k, v
			})
		})
		_, err := Verify(VerifyOptions{Journal: o.Journal})
		if err == nil || changed == 0 || !strings.Contains(err.Error(), "checkpoint 1") || !strings.Contains(err.Error(), name) {
			t.Errorf("%d chunks changed, verify does not name %s: %v", changed, name, err)
		}
	}
}
