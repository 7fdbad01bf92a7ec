package engine

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"farthing/internal/soak"
)

// halt ends an engine's repricer right after a number of groups were committed; the engine
// goes on without it until resume.
type halt struct {
	e    *Engine
	left atomic.Int64 // groups; 0: not armed
}

func (h *halt) GroupCommitted(int, int, time.Duration) {
	if h.left.Load() > 0 && h.left.Add(-1) == 0 {
		close(h.e.repriceStop)
	}
}

// resume starts the repricer again, which has ended.
func (h *halt) resume() {
	<-h.e.repriceDone
	h.e.repriceStop, h.e.repriceDone = make(chan struct{}), make(chan struct{})
	go h.e.repriceLoop()
	h.e.pokeRepricer()
}

// halfway is a ledger whose rerate of a few hundred counted events stopped after so many
// slices.
func halfway(t *testing.T, slices int64) (*rig, *activity, *halt) {
	h := &halt{}
	r := newRig(t, func(o *Options) {
		o.RunIdentities, o.CheckpointBytes, o.DedupWindow, o.Observer = 64, 3000, 100*day, h
	})
	h.e = r.e
	a := newActivity(t, newWorld(r.base))
	a.found(r.e, 3)
	rng := rand.New(rand.NewPCG(uint64(slices), 5))
	for range 60 {
		a.post(r.e, a.calls(rng, 3, 20))
	}
	a.closeWindow(r.e, "before")
	r.e.repriced()
	v := a.w.randomVersion(rng, "dearer", 0)
	v.from = a.w.versions["v1"].from + 1
	a.putVersion(r.e, v)
	r.e.repriced()
	h.left.Store(1 + slices) // the rerate's own group, then one a slice
	a.w.rerates["half"] = RerateSpec{ID: "half", Version: "dearer"}
	if _, _, refused := r.e.Rerate(a.w.rerates["half"]); refused != nil {
		t.Fatal(refused)
	}
	<-r.e.repriceDone
	return r, a, h
}

// finish lets the rerate end and compares everything.
func finish(t *testing.T, r *rig, a *activity) *model {
	t.Helper()
	r.e.repriced()
	settled(t, r.e)
	m := newModel(t, a.w)
	m.replay(r.e, r.e.store.Head().Seq)
	m.compare(r.e)
	m.complete()
	return m
}

// TestRerateHalfway does to a rerate what can happen while it is under way: events that it
// lifted and events that it has not met are voided, others arrive, another version comes
// into force, a window closes, the ledger restarts.
func TestRerateHalfway(t *testing.T) {
	f := func(name string, slices int64, restart bool, disturb func(*rig, *activity, *model)) {
		t.Run(name, func(t *testing.T) {
			r, a, h := halfway(t, slices)
			settled(t, r.e)
			m := newModel(t, a.w)
			m.replay(r.e, r.e.store.Head().Seq)
			if m.running == nil || m.rerated == 0 {
				t.Fatalf("%d events are rerated, running %v", m.rerated, m.running != nil)
			}
			m.compare(r.e)
			disturb(r, a, m)
			h.resume()
			if restart {
				r.reopen()
				h.e = r.e
			}
			m = finish(t, r, a)
			if j := m.rerates["half"]; !j.done || j.events == 0 {
				t.Fatalf("%+v", j)
			}
			t.Logf("%d events were rerated, %d voided", m.rerated, len(m.voids))
			r.close()
			if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
				t.Fatal(err)
			}
		})
	}
	for _, slices := range soak.Pick([]int64{2}, []int64{1, 2, 3}) {
		f(fmt.Sprintf("voids after %d slices", slices), slices, false, voidsBetween)
		f(fmt.Sprintf("arrivals after %d slices", slices), slices, false, arrivalsBetween)
		f(fmt.Sprintf("versions after %d slices", slices), slices, false, versionsBetween)
	}
	everything := func(r *rig, a *activity, m *model) {
		voidsBetween(r, a, m)
		versionsBetween(r, a, m)
		arrivalsBetween(r, a, m)
	}
	f("everything and a restart after 2 slices", 2, true, everything)
	f("everything and a restart after 1 slice", 1, true, everything)
}

// voidsBetween voids some events of each state.
func voidsBetween(r *rig, a *activity, m *model) {
	n := map[string]int{}
	for _, e := range m.order {
		if n[e.state]++; n[e.state] <= 40 {
			a.voidEvent(r.e, VoidSpec{ID: "v-" + e.id, Source: e.source, Event: e.id})
		}
	}
}

// arrivalsBetween posts events, credits and closes a window.
func arrivalsBetween(r *rig, a *activity, _ *model) {
	rng := rand.New(rand.NewPCG(77, 5))
	for range 10 {
		a.post(r.e, a.calls(rng, 3, 20))
	}
	a.topUp(r.e, TopUp{ID: "t", Account: "c0-USD", Amount: amount(a.t, "1000")})
	a.closeWindow(r.e, "between")
}

// versionsBetween puts versions that take the stretch, or parts of it, away from the rerate.
func versionsBetween(r *rig, a *activity, _ *model) {
	rng := rand.New(rand.NewPCG(78, 5))
	for i := range 4 {
		v := a.w.randomVersion(rng, fmt.Sprint("between", i), i)
		v.from = a.w.versions["v1"].from + 2 + int64(i)*int64(13*day)
		a.putVersion(r.e, v)
	}
}
