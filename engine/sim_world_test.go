package engine

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"farthing/journal"
)

// sim is one simulated world: a disk, a broker, a clock, and an engine with its clients, all of
// them stepped by one goroutine. Lines (sim_line_test.go) say what happens; in between, draws from
// the world's seed decide who goes on. The same lines do the same.
type sim struct {
	*simStages
	t      testing.TB
	now    int64
	start  int64
	sleeps map[*simStage]int64 // until when a stage sleeps
	disk   *simDisk
	store  storage // what the engine was opened on: the disk, or a real store
	broker *simBroker
	pebble *simPebble // nil: the model

	o      Options
	e      *Engine    // nil: not open
	seq    *sequencer // of e, to be looked at between steps
	exited error      // why the process ended
	life   int        // numbers processes

	w *world
	simKind
	archive simArchive
	kept    map[string]int // reasons
	clients int            // calls under way
	trace   hash.Hash
	check   simCheck
	count   simCount
}

// simKind is what sort of world it is.
type simKind struct {
	credit bool   // with holds, grants, limits and subscriptions: the model of books does not know them
	retain bool   // old history is exported and dropped
	bug    string // planted
}

// simCount is what a simulation saw.
type simCount struct {
	commands, answers, refused, faults int
	crashes, exits, stops, jumps       int
	commandsRead, seals, records       int
	compared, replayed, steps          int
	drops, forgets, exported           int
}

var simStart = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// newSim makes a world of which nothing has happened yet.
func newSim(t testing.TB, seed uint64, kind simKind) *sim {
	s := &sim{t: t, now: simStart.UnixNano(), start: simStart.UnixNano(), sleeps: map[*simStage]int64{}, simKind: kind, kept: map[string]int{}, trace: sha256.New()}
	s.simStages = &simStages{rng: rand.New(rand.NewPCG(seed, 1)), note: func(stage string) { s.say("%s", stage) }}
	s.disk = newSimDisk(s)
	s.disk.lies = s.bug == "unsynced"
	s.store = s.disk
	s.broker = newSimBroker(s)
	s.w = newWorld(simStart)
	sortBook(s.w.versions["v1"])
	s.check = newSimCheck()
	draw := rand.New(rand.NewPCG(seed, 2))
	var key [ed25519.SeedSize]byte
	for i := range key {
		key[i] = byte(draw.Uint32())
	}
	s.o = Options{LedgerID: "sim", Logger: slog.New(simLog{s}), DedupWindow: 100 * day, RequestsMax: 32, SigningKey: ed25519.NewKeyFromSeed(key[:]),
		RunIdentities: 10 + draw.IntN(60), CheckpointBytes: 1000 + draw.Int64N(8000), SettleEvery: []time.Duration{0, time.Hour, 6 * time.Hour, day}[draw.IntN(4)]}
	s.o.Journal = journal.Options{Dir: "sim", Logger: quiet(), Fatal: s.fatal}
	s.o.Clock = func() time.Time { return time.Unix(0, s.now) }
	s.o.Now = func() int64 { return s.now }
	if s.retain {
		s.retaining(seed)
	}
	s.o.world = surroundings{stages: s, random: simRandom{draw}, open: s.openStore}
	return s
}

type simRandom struct{ rng *rand.Rand }

// Read draws bytes.
func (r simRandom) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(r.rng.Uint32())
	}
	return len(p), nil
}

func (s *sim) openStore(birth func() (journal.Group, error)) (storage, error) {
	if s.pebble != nil {
		store, err := s.pebble.open(s.o.Journal, birth)
		s.store = store
		return store, err
	}
	if len(s.disk.blocks) > 0 {
		return s.disk, nil
	}
	g, err := birth()
	if err != nil {
		return nil, err
	}
	s.disk.sync(g.Rows, s.disk.chain(&g))
	return s.disk, nil
}

// fatal ends the process, on the stage that found out.
func (s *sim) fatal(err error) {
	s.exited = err
	panic(simDropped{})
}

// failf ends the simulation.
func (s *sim) failf(format string, args ...any) {
	panic(simFailure{text: fmt.Sprintf(format, args...)})
}

// say puts something visible into the trace.
func (s *sim) say(format string, args ...any) {
	fmt.Fprintf(s.trace, format+"\n", args...)
}

// between draws a duration.
func (s *sim) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(s.rng.Int64N(int64(hi-lo)+1))
}

// sleep lets the running stage go on only once so much time has passed.
func (s *sim) sleep(d time.Duration) {
	me, until := s.running, s.now+int64(d)
	s.sleeps[me] = until
	for s.now < until {
		s.park()
	}
	delete(s.sleeps, me)
}

// wakes is when the next sleeper wakes; 0: nobody sleeps.
func (s *sim) wakes() (at int64) {
	for _, until := range s.sleeps {
		if at == 0 || until < at {
			at = until
		}
	}
	return at
}

// pass lets time go on to a moment.
func (s *sim) pass(to int64) {
	if to > s.now {
		s.now = to
		s.moved()
	}
}

// once resumes one stage and checks everything; false: nothing can go on.
func (s *sim) once() bool {
	s.revive()
	if !s.step() {
		return false
	}
	s.count.steps++
	if s.exited != nil {
		s.count.exits++
		s.kill(s.rng.IntN(101))
		return true
	}
	s.afterStep()
	return true
}

// run resumes n stages; time goes on to the next sleeper when nothing else can.
func (s *sim) run(n int) {
	for range n {
		if s.once() {
			continue
		}
		if at := s.wakes(); at != 0 {
			s.pass(at)
		} else {
			break
		}
	}
}

// stillMax is how many steps a call may take at most: something that does not move is a failure.
const stillMax = 300_000

// calm goes on until every call is answered and nothing but the relay has something to do.
func (s *sim) calm() {
	for n := 0; ; n++ {
		if n == stillMax {
			s.failf("after %d steps %d calls are still under way", n, s.clients)
		}
		if s.once() {
			continue
		}
		if s.clients == 0 && s.quiet() {
			return
		}
		at := s.wakes()
		if at == 0 {
			s.failf("%d calls wait for ever", s.clients)
		}
		s.pass(at)
	}
}

// quiet reports whether no stage but the relay sleeps and the engine has nothing under way.
func (s *sim) quiet() bool {
	for stage := range s.sleeps {
		if stage.name != "relay" {
			return false
		}
	}
	return s.e != nil
}

// wait lets so much time pass, with what is due meanwhile.
func (s *sim) wait(d time.Duration) {
	target, hop := s.now+int64(d), max(int64(d)/24, int64(time.Millisecond))
	for n := 0; ; n++ {
		if n == 10*stillMax {
			s.failf("nothing settles in %v", d)
		}
		if s.once() {
			continue
		}
		if s.now >= target {
			return
		}
		next := min(target, s.now+hop)
		if at := s.wakes(); at > s.now {
			next = min(next, at)
		}
		s.pass(next)
	}
}

// revive starts a process if there is none.
func (s *sim) revive() {
	if s.e != nil || s.alive("open") {
		return
	}
	s.life++
	life := s.life
	s.spawn("open", func() {
		e, err := Open(s.o)
		if err != nil {
			s.failf("process %d does not open: %v", life, err)
		}
		e.internal(func(q *sequencer) {
			if s.seq = q; s.bug == "forgetful" {
				q.ids = newIdentities(0, 1, s.o.RunIdentities)
			}
		})
		s.e = e
		s.opened()
		s.spawn("relay", func() { s.broker.relay(e) })
	})
}

// kill ends the process where it is; of what was not synced a part is kept.
func (s *sim) kill(percent int) {
	s.drop()
	clear(s.sleeps)
	s.say("killed at %d", s.now)
	s.e, s.seq, s.exited, s.clients = nil, nil, nil, 0
	s.count.crashes++
	if s.pebble == nil {
		s.disk.crash(rand.New(rand.NewPCG(uint64(s.life), uint64(percent))), percent)
	} else if err := s.pebble.crash(); err != nil {
		s.failf("closing what crashed: %v", err)
	}
	s.broker.lost()
	s.archive.crashed(s)
	s.check.crashed(s)
}

// stop closes the engine as a signal would: what was admitted is answered first.
func (s *sim) stop() {
	if s.e == nil {
		return
	}
	e := s.e
	e.admission.mu.Lock()
	e.admission.closed.Store(true)
	e.admission.mu.Unlock()
	done := false
	s.spawn("close", func() {
		for s.clients > 0 {
			s.park()
		}
		for s.broker.busy { // the relay ends before the engine does
			s.park()
		}
		if err := e.Close(); err != nil {
			s.failf("close: %v", err)
		}
		done, s.e = true, nil
	})
	s.broker.stopping = true
	life := s.life
	for n := 0; !done && s.life == life; n++ {
		if n == stillMax {
			s.failf("the engine does not close")
		}
		if !s.once() {
			at := s.wakes()
			if at == 0 {
				s.failf("the engine does not close: everything waits")
			}
			s.pass(at)
		}
	}
	if s.life != life || !done {
		return // it died while closing
	}
	s.count.stops++
	s.drop()
	clear(s.sleeps)
	s.e, s.seq, s.clients = nil, nil, 0
	s.broker.lost()
	s.check.crashed(s)
}

// sum is the trace so far, as text.
func (s *sim) sum() string {
	return strconv.FormatUint(binary.BigEndian.Uint64(s.trace.Sum(nil)), 16)
}
