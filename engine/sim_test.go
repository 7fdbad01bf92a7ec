package engine

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"farthing/internal/soak"
)

// simTB turns what a helper reports into the simulation's failure.
type simTB struct {
	testing.TB
	s *sim
}

// Helper does nothing.
func (b simTB) Helper() {}

// Fatal fails the simulation.
func (b simTB) Fatal(args ...any) { b.s.failf("%s", fmt.Sprint(args...)) }

// Fatalf fails the simulation.
func (b simTB) Fatalf(format string, args ...any) { b.s.failf(format, args...) }

// Errorf fails the simulation.
func (b simTB) Errorf(format string, args ...any) { b.s.failf(format, args...) }

// simStory is what a simulation did and what it came to.
type simStory struct {
	seed   uint64
	kind   simKind
	lines  []simLine
	failed *simFailure
	s      *sim
}

// guarded runs something of a simulation and returns how it failed.
func guarded(run func()) (failed *simFailure) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case simFailure:
			failed = &p
		default:
			panic(p)
		}
	}()
	run()
	return nil
}

// simulate draws a story of so many lines and lives through it.
func simulate(t testing.TB, seed uint64, kind simKind, lines int) *simStory {
	y := &simStory{seed: seed, kind: kind, s: newSim(t, seed, kind)}
	g := newSimGenerator(y.s, seed, true)
	y.failed = guarded(func() {
		for i := range lines + 1 {
			l := line("finish")
			if i < lines {
				l = g.next()
			}
			y.lines = append(y.lines, l)
			y.s.do(&l)
		}
	})
	y.s.over()
	return y
}

// retell lives through a story again.
func (y *simStory) retell(t testing.TB, lines []simLine) *simFailure {
	y.s = newSim(t, y.seed, y.kind)
	failed := guarded(func() {
		for i := range lines {
			y.s.do(&lines[i])
		}
	})
	y.s.over()
	return failed
}

// over lets go of all coroutines.
func (s *sim) over() { _ = guarded(s.drop) }

// TestSimulation lives through stories of many seeds: days of a ledger and its clients, with crashes,
// failing commits, slow disks, a broker that loses answers, and jumps of the clock. What must hold is
// checked after every step; at the end the books are compared with the model and verified. A story that fails
// is cut down and written to testdata/sim.
func TestSimulation(t *testing.T) {
	run := soak.Start(t)
	rng := rand.New(rand.NewPCG(run.Seed(), 0))
	var total simCount
	kept := map[string]int{}
	var lived time.Duration
	began := time.Now()
	seeds, lines := soak.Pick(4, 1000), soak.Pick(200, 400)
	for i := range seeds {
		seed := rng.Uint64()
		if i == 0 {
			seed = run.Seed()
		}
		y := simulate(t, seed, simKind{credit: i%2 == 1, retain: i%4 > 1}, lines)
		if y.failed != nil {
			path := y.write(t, filepath.Join("testdata", "sim"), y.shrink(t))
			t.Fatalf("seed %d, written to %s: %s\n%s", seed, path, y.failed.text, y.failed.stack)
		}
		total.add(&y.s.count)
		for why, n := range y.s.kept {
			kept[why] += n
		}
		lived += time.Duration(y.s.now - y.s.start)
	}
	t.Log("history was kept because of: ", kept)
	run.Report("simulation of all stages", soak.Counts{"seeds": seeds, "days simulated": int(lived.Hours() / 24), "simulated to real": int(lived.Seconds() / time.Since(began).Seconds()),
		"steps": total.steps, "commands": total.commands, "crashes": total.crashes, "failed commits": total.exits, "faults": total.faults,
		"clean stops": total.stops, "windows": total.seals, "records published": total.records, "compared with the model": total.compared, "compared with a replay": total.replayed,
		"drops of history": total.drops, "commands dropped": total.exported, "identities forgotten": total.forgets,
		"events lost": 0, "events doubled": 0})
	seen := total.drops > 0 && total.forgets > 0 && total.crashes > 0 && total.seals > 0 && total.records > 0 && total.compared > 0 && total.replayed > 0
	if soak.Full() { // few stories may do without one of these
		seen = seen && total.exits > 0 && total.stops > 0 && total.jumps > 0 && total.refused > 0
	}
	if !seen {
		t.Fatalf("the simulation did not see what it is there for: %+v", total)
	}
}

// TestSimulationRepeats lives through one seed twice, with another number of processors: each step,
// answer and moment is the same.
func TestSimulationRepeats(t *testing.T) {
	seed := soak.Seed(t)
	procs := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(procs)
	for _, credit := range []bool{false, true} {
		want := ""
		for _, n := range []int{1, procs, 4} {
			runtime.GOMAXPROCS(n)
			y := simulate(t, seed, simKind{credit: credit, retain: credit}, 100)
			if y.failed != nil {
				t.Fatalf("%s\n%s", y.failed.text, y.failed.stack)
			}
			got := fmt.Sprintf("%s after %d steps at %d", y.s.sum(), y.s.count.steps, y.s.now)
			if want == "" {
				want = got
			}
			if got != want {
				t.Fatalf("with %d processors: %s, was %s", n, got, want)
			}
		}
		t.Log(want)
	}
}

func (c *simCount) add(o *simCount) {
	for _, f := range []struct {
		sum *int
		n   int
	}{{&c.commands, o.commands}, {&c.answers, o.answers}, {&c.refused, o.refused}, {&c.faults, o.faults}, {&c.crashes, o.crashes}, {&c.exits, o.exits},
		{&c.stops, o.stops}, {&c.jumps, o.jumps}, {&c.commandsRead, o.commandsRead}, {&c.seals, o.seals}, {&c.records, o.records}, {&c.compared, o.compared}, {&c.replayed, o.replayed}, {&c.steps, o.steps},
		{&c.drops, o.drops}, {&c.forgets, o.forgets}, {&c.exported, o.exported}} {
		*f.sum += f.n
	}
}
