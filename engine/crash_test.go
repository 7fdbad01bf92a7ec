package engine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"farthing/internal/soak"
	"farthing/journal"
)

// powerCut is a file system that keeps what the disk would hold if power failed right
// before its nth change from the moment it was armed. The engine on it goes on unharmed:
// what it comes to afterwards is what the recovered one is compared with.
type powerCut struct {
	vfs.FS
	mem     *vfs.MemFS
	percent int // of the unsynced data that reached the disk
	rng     *rand.Rand
	lock    sync.Locker // held at the cut: who notes promises sees one moment
	at      func()      // called at the cut, under the lock

	links sync.RWMutex // Link against the cut: MemFS.Link takes its clone lock twice and would deadlock with CrashClone
	left  atomic.Int64 // changes until the cut; far below zero: not armed
	done  atomic.Bool
	disk  *vfs.MemFS // set at the cut
}

func newPowerCut(mem *vfs.MemFS, percent int, rng *rand.Rand, lock sync.Locker, at func()) *powerCut {
	// The cut happens on whichever goroutine makes the change: it draws from its own source.
	p := &powerCut{mem: mem, percent: percent, rng: rand.New(rand.NewPCG(rng.Uint64(), 1)), lock: lock, at: at}
	p.FS = errorfs.Wrap(mem, errorfs.InjectorFunc(p.onOp))
	return p
}

func (p *powerCut) arm(n int64) { p.left.Store(n) }

func (p *powerCut) onOp(op errorfs.Op) error {
	if op.Kind.ReadOrWrite() == errorfs.OpIsWrite && p.left.Load() > 0 && p.left.Add(-1) == 0 {
		p.cut()
	}
	return nil
}

func (p *powerCut) cut() {
	p.links.Lock()
	defer p.links.Unlock()
	p.lock.Lock()
	defer p.lock.Unlock()
	if p.done.Load() {
		return
	}
	p.at()
	p.disk = p.mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: p.percent, RNG: p.rng})
	p.done.Store(true)
}

// Link is a change like any other.
func (p *powerCut) Link(oldname, newname string) error {
	if err := p.onOp(errorfs.Op{Kind: errorfs.OpLink}); err != nil {
		return err
	}
	p.links.RLock()
	defer p.links.RUnlock()
	return p.mem.Link(oldname, newname)
}

// finish cuts now if the nth change never came. The engine may go on meanwhile: the first cut counts.
func (p *powerCut) finish() *vfs.MemFS {
	p.cut()
	return p.disk
}

// crashRig is one ledger that loses power again and again.
type crashRig struct {
	t         *testing.T
	rng       *rand.Rand
	a         *activity
	disk      *vfs.MemFS
	promised  answers
	customers int

	windows map[uint64]string // window → everything of its batches, as it came out once
	cuts    map[uint64]uint64 // window → its cut
	resumed int               // settlements that a start had to finish
	redone  int               // crashes before the ledger existed

	late, rerated, voided int // events, as the checks saw them
	results               int // of lines
	resumedRerates        int // rerates that a start had to finish
}

func (r *crashRig) options(fs vfs.FS) Options {
	return Options{
		Journal: journal.Options{Dir: "d", FS: fs, MemTableBytes: 64 << 10, HeadSync: time.Hour, Logger: quiet(),
			Fatal: func(err error) { panic(fmt.Sprintf("fatal: %v", err)) }},
		DiskStallAfter: time.Minute, DiskStallMax: time.Hour, LedgerID: "crash", Logger: quiet(), DedupWindow: 100 * day, RunIdentities: 40, CheckpointBytes: 3000, world: surroundings{patient: true},
	}
}

// work runs an engine on the disk until power is cut, or a little longer, and makes what
// is left the disk.
func (r *crashRig) work(cycle int) {
	fs := newPowerCut(r.disk, []int{0, 50, 100}[cycle%3], r.rng, &r.a.mu, func() { r.promised = r.a.copyAnswers() })
	early := r.rng.IntN(4) == 0 // power fails while starting
	if early {
		fs.arm(1 + r.rng.Int64N(40))
	}
	e, err := Open(r.options(fs))
	if err != nil {
		r.t.Fatalf("cycle %d: %v", cycle, err)
	}
	if !early {
		fs.arm(1 + r.rng.Int64N(600))
	}
	if !fs.done.Load() {
		r.a.found(e, r.customers)
		r.a.run(e, r.rng.Uint64(), 4, 30, r.customers, fs.done.Load)
	}
	settled(r.t, e)
	r.note(e)
	if err := e.Close(); err != nil {
		r.t.Fatalf("cycle %d: %v", cycle, err)
	}
	r.disk = fs.finish()
	// What was answered after the cut was answered by a machine that no longer exists.
	r.a.answers = r.promised.copyAnswers()
}

// note remembers the batches of all windows.
func (r *crashRig) note(e *Engine) {
	for _, w := range e.published.Load().windows {
		r.windows[w.number], r.cuts[w.number] = windowBytes(r.t, e, w), w.cut
	}
}

// windowBytes is everything that goes out of a window's batches.
func windowBytes(t testing.TB, e *Engine, w *window) string {
	t.Helper()
	out := fmt.Sprintf("window %d, cut %d\n", w.number, w.cut)
	for i := range w.batches {
		b := &w.batches[i]
		got, refused := e.Settlement(hexID(b.id))
		if refused != nil {
			t.Fatal(refused)
		}
		out += string(got.Manifest) + "\n"
		if err := scanLines(e.store, b.id, b.lines, 1, func(_ uint32, record []byte) bool {
			out += string(record) + "\n"
			return true
		}); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// durableHead is the sequence that a disk's ledger reaches; 0: there is no ledger yet.
func (r *crashRig) durableHead() uint64 {
	o := r.options(r.disk).Journal
	there, err := journal.Exists(o)
	if err != nil {
		r.t.Fatal(err)
	}
	if !there {
		r.redone++
		return 0
	}
	store, err := journal.OpenReadOnly(o)
	if err != nil {
		r.t.Fatal(err)
	}
	defer store.Close()
	return store.Head().Seq
}

// check opens what power left and holds it against promises, model and earlier batches.
func (r *crashRig) check(cycle int) {
	t := r.t
	head := r.durableHead()
	if head < r.promised.seq {
		t.Fatalf("cycle %d: the journal ends at %d, answers said %d", cycle, head, r.promised.seq)
	}
	e, err := Open(r.options(r.disk))
	if err != nil {
		t.Fatalf("cycle %d: %v", cycle, err)
	}
	settled(t, e)
	e.repriced()
	settled(t, e)
	r.compareWindows(e, head)
	m := newModel(t, r.a.w)
	m.replay(e, e.store.Head().Seq)
	m.compare(e)
	m.complete()
	r.late, r.rerated, r.voided = r.late+m.late, r.rerated+m.rerated, r.voided+len(m.voids)
	for _, j := range m.rerates {
		if j.begun <= head && j.ended > head {
			r.resumedRerates++
		}
	}
	r.compareRating(e, m)
	for identity := range r.promised.events {
		if !m.booked[identity] {
			t.Fatalf("cycle %d: event %q was answered and is lost", cycle, identity)
		}
	}
	for id := range r.promised.results {
		if x, ok := m.results[id]; !ok || fmt.Sprint(x.amount, x.seq, x.time) != r.promised.results[id] {
			t.Fatalf("cycle %d: result %s was answered %s, and is %+v", cycle, id, r.promised.results[id], x)
		}
	}
	r.results += len(m.results)
	for id := range r.promised.topUps {
		if !m.topUps[id] {
			t.Fatalf("cycle %d: top-up %s was answered and is lost", cycle, id)
		}
	}
	for id := range r.promised.accounts {
		if m.accounts[id] == nil {
			t.Fatalf("cycle %d: account %s was answered and is lost", cycle, id)
		}
	}
	r.compareStream(e)
	r.retry(e, m)
	r.note(e)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(VerifyOptions{Journal: r.options(r.disk).Journal}); err != nil {
		t.Fatalf("cycle %d: %v", cycle, err)
	}
}

// compareRating checks that what was answered about rating is there, with the same answers.
func (r *crashRig) compareRating(e *Engine, m *model) {
	t := r.t
	for id := range r.promised.versions {
		if _, refused := e.PriceVersion(id); refused != nil {
			t.Fatalf("version %s was answered and is lost", id)
		}
	}
	for id := range r.promised.rerates {
		if j := m.rerates[id]; j == nil || !j.done {
			t.Fatalf("rerate %s was answered, and is %+v", id, j)
		}
	}
	byEvent := map[string]*modelVoid{}
	for _, v := range m.voids {
		byEvent[v.spec.Source+"\x00"+v.spec.Event] = v
	}
	for identity, answer := range r.promised.voids {
		v := byEvent[identity]
		if v == nil {
			t.Fatalf("the void of event %q was answered and is lost: %s", identity, answer)
		}
		if got, created, refused := e.Void(v.spec); created || refused != nil || fmt.Sprintf("%+v", got) != answer {
			t.Fatalf("the void of event %q is answered %+v (created %v, %v), was %s", identity, got, created, refused, answer)
		}
	}
}

// compareWindows checks that every window whose cut survived has the batches it had on
// the machine that lived on, byte for byte.
func (r *crashRig) compareWindows(e *Engine, head uint64) {
	for _, w := range e.published.Load().windows {
		if w.cut <= head && w.sealed > head {
			r.resumed++
		}
		before, known := r.windows[w.number]
		if w.cut <= head && known && r.cuts[w.number] <= head {
			if got := windowBytes(r.t, e, w); got != before {
				r.t.Fatalf("window %d came out as\n%s\nbefore the crash it was\n%s", w.number, got, before)
			}
		}
	}
	// What lies beyond the recovered head never happened.
	for number, cut := range r.cuts {
		if cut > head {
			delete(r.windows, number)
			delete(r.cuts, number)
		}
	}
}

// compareStream checks that every record that was handed out is still the same.
func (r *crashRig) compareStream(e *Engine) {
	records, err := e.Outbox().Records(1, 1<<30)
	if err != nil {
		r.t.Fatal(err)
	}
	for seq, text := range r.promised.stream {
		if seq > uint64(len(records)) || recordText(&records[seq-1]) != text {
			r.t.Fatalf("record %d of %d was handed out as\n%s", seq, len(records), text)
		}
	}
}

// retry repeats everything that is booked: nothing may happen again.
func (r *crashRig) retry(e *Engine, m *model) {
	t, before := r.t, e.store.Head().Seq
	var calls []call
	flush := func() {
		if len(calls) > 0 {
			if got := r.a.post(e, calls); got.Duplicates != len(calls) {
				t.Fatalf("%d retries, %d duplicates, %d accepted", len(calls), got.Duplicates, got.Accepted)
			}
		}
		calls = calls[:0]
	}
	for identity := range m.booked {
		if calls = append(calls, r.a.w.calls[identity]); len(calls) == 50 {
			flush()
		}
	}
	flush()
	for id := range m.topUps {
		if _, created, refused := e.TopUp(r.a.w.topUps[id]); created || refused != nil {
			t.Fatalf("top-up %s again: created %v, %v", id, created, refused)
		}
	}
	for id, first := range r.promised.closes {
		again, created, refused := e.CloseWindow(id, nil)
		if created || refused != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", first) {
			t.Fatalf("close %s answered %+v, now %+v (created %v, %v)", id, first, again, created, refused)
		}
	}
	if head := e.store.Head().Seq; head != before {
		t.Fatalf("retries moved the journal from %d to %d", before, head)
	}
}

// TestCrashes runs random work by several goroutines over disks that lose power at a
// random change: while starting, while settling, during checkpoints and runs, while
// closing. Whatever was answered must be there, nothing else but what was submitted, each
// once, the books as the model has them, and settlements with the same bytes.
func TestCrashes(t *testing.T) {
	run := soak.Start(t)
	rng := rand.New(rand.NewPCG(run.Seed(), 3))
	ledgers, cycles, budget := soak.Pick(5, 2000), 9, soak.Pick(12*time.Second, 8*time.Minute)
	if testing.Short() {
		ledgers, budget = 2, 10*time.Second
	}
	var resumed, late, voided, rerated, rerates, results int
	start, crashes := time.Now(), 0
	for n := range ledgers {
		r := &crashRig{t: t, rng: rng, a: newActivity(t, newWorld(time.Now())), disk: vfs.NewCrashableMem(), customers: 1 + rng.IntN(6),
			windows: map[uint64]string{}, cuts: map[uint64]uint64{}}
		for cycle := range cycles {
			r.work(cycle + n)
			crashes++
			if rng.IntN(3) > 0 {
				r.check(cycle)
			}
		}
		resumed, results = resumed+r.resumed, results+r.results
		late, voided, rerated, rerates = late+r.late, voided+r.voided, rerated+r.rerated, rerates+r.resumedRerates
		if time.Since(start) > budget {
			t.Logf("stopped after %d ledgers", n+1)
			break
		}
	}
	t.Logf("%d settlements were resumed; the checks saw %d events rated late, %d voided, %d rerated, %d rerates resumed, %d results of lines", resumed, late, voided, rerated, rerates, results)
	if results == 0 {
		t.Error("no line had a result")
	}
	run.Report("power cuts against the model of the books", soak.Counts{"crashes survived": crashes, "settlements resumed": resumed, "rerates resumed": rerates, "events lost": 0, "events doubled": 0})
}
