package engine

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestAmendmentsUnderLoad has goroutines post events, void the same ones under the same and
// under different ids, put versions, rerate, simulate, read and close windows all at once,
// with runs and checkpoints of a few dozen. Each event is voided once and every answer about
// it is the same; the books end as the model has them.
func TestAmendmentsUnderLoad(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes, o.DedupWindow = 64, 3000, 100*day })
	a := newActivity(t, newWorld(r.base))
	const customers, identities = 4, 600
	a.found(r.e, customers)
	rng := rand.New(rand.NewPCG(seed, 1))
	var calls []call
	for range identities {
		c := a.randomCall(rng, customers)
		calls = append(calls, c)
		a.w.calls[identityOf(&c)] = c
	}
	var working, all sync.WaitGroup
	var stop atomic.Bool
	for g := range 4 {
		working.Go(func() { a.postAndVoid(r.e, rand.New(rand.NewPCG(seed, 10+uint64(g))), calls, g) })
	}
	for g := range 2 {
		all.Go(func() {
			rng := rand.New(rand.NewPCG(seed, 20+uint64(g)))
			for n := 0; !stop.Load(); n++ {
				a.disturb(r.e, rng, n, customers)
			}
		})
	}
	working.Wait()
	stop.Store(true)
	all.Wait()
	r.e.repriced()
	settled(t, r.e)
	m := newModel(t, a.w)
	m.replay(r.e, r.e.store.Head().Seq)
	m.compare(r.e)
	m.complete()
	for identity, n := range a.voidsMade {
		if n != 1 {
			t.Errorf("event %q was voided %d times", identity, n)
		}
	}
	if len(a.voidsMade) != len(m.voids) || len(m.voids) < identities/4 {
		t.Errorf("%d voids answered, %d booked", len(a.voidsMade), len(m.voids))
	}
	t.Logf("%d events, %d voided, %d rated late, %d rerated by %d rerates, %d versions, %d windows", len(m.order), len(m.voids), m.late, m.rerated,
		len(m.rerates), len(m.versions), m.window-1)
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
}

// postAndVoid posts all calls in an order of its own and voids every third event, every other
// time under an id that all goroutines use.
func (a *activity) postAndVoid(e *Engine, rng *rand.Rand, calls []call, g int) {
	mine := append([]call(nil), calls...)
	for i := range mine { // near each other, so that goroutines meet at the same events
		j := min(len(mine)-1, i+rng.IntN(40))
		mine[i], mine[j] = mine[j], mine[i]
	}
	for len(mine) > 0 {
		n := min(len(mine), 1+rng.IntN(20))
		a.post(e, mine[:n])
		for _, c := range mine[:n] {
			number, err := strconv.Atoi(strings.TrimPrefix(c.id, "e"))
			if err != nil {
				a.t.Error(err)
			}
			a.mu.Lock()
			booked := a.events[identityOf(&c)]
			a.mu.Unlock()
			if number%3 > 0 || !booked {
				continue
			}
			spec := VoidSpec{ID: "shared-" + c.id, Source: c.source, Event: c.id, Reason: "load"}
			if number%2 == 0 {
				spec.ID = fmt.Sprintf("own-%d-%s", g, c.id)
			}
			a.voidEvent(e, spec)
		}
		mine = mine[n:]
	}
}

// disturb does one thing of the others.
func (a *activity) disturb(e *Engine, rng *rand.Rand, n, customers int) {
	a.rerate(e, rng)
	a.look(e, rng)
	if n%4 == 0 && n < 40 {
		a.putVersion(e, a.w.randomVersion(rng, a.id("version"), a.number()))
	}
	switch rng.IntN(6) {
	case 0:
		a.closeWindow(e, a.id("w"))
	case 1:
		if _, refused := e.Transfers(fmt.Sprintf("c%d-USD", rng.IntN(customers)), "", 30); refused != nil {
			a.t.Error(refused)
		}
	case 2:
		a.read(e, "prov-JPY")
	case 3:
		a.topUp(e, TopUp{ID: a.id("t"), Account: fmt.Sprintf("c%d-USD", rng.IntN(customers)), Amount: amount(a.t, "0.75")})
	}
}
