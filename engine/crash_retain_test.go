package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/internal/soak"
	"farthing/journal"
	"farthing/refusal"
)

// dropPoints is a ledger with everything in it whose old history is exported and dropped while the power is cut.
type dropPoints struct {
	*pointRig
	o     Options
	e     *Engine
	mu    sync.Mutex
	parts simArchive  // guarded by mu
	on    atomic.Bool // power is cut
	drops atomic.Int64
	kinds map[string]int // of states met, under pointRig.mu
}

func newDropPoints(t *testing.T, seed uint64, every, most int) *dropPoints {
	x := newEverything(t, seed)
	x.dedup = 120 * day
	d := &dropPoints{pointRig: newPointRig(x, vfs.NewCrashableMem(), every, most), kinds: map[string]int{}}
	d.fs.point = func(syncing bool) {
		if d.on.Load() {
			d.point(syncing)
		}
	}
	d.tries = d.check
	d.also = func(c *crashed) {
		d.mu.Lock()
		c.archive.blocks, c.round = slices.Clip(d.parts.blocks), d.drops.Load()+1
		d.mu.Unlock()
	}
	d.o = x.options(d.fs)
	d.o.retainStep, d.o.Export = 1, func(p ExportPart) ([32]byte, error) {
		d.point(true)
		d.mu.Lock()
		manifest, err := d.parts.take(p)
		d.mu.Unlock()
		d.point(true)
		return manifest, err
	}
	return d
}

func (d *dropPoints) open() {
	e, err := Open(d.o)
	if err != nil {
		d.x.t.Fatal(err)
	}
	d.e = e
}

func (d *dropPoints) close() {
	if err := d.e.Close(); err != nil {
		d.x.t.Fatal(err)
	}
}

// age makes an end of what is under way and lets so much time pass that it can be dropped.
func (d *dropPoints) age(round int) {
	t, x := d.x.t, d.x
	settled(t, d.e)
	d.e.repriced()
	for {
		page, no := d.e.Unpriced("", 100)
		if no != nil {
			t.Fatal(no)
		}
		for _, u := range page.Items {
			if _, _, no := d.e.Void(VoidSpec{ID: "no-price-" + u.Source + "-" + u.ID, Source: u.Source, Event: u.ID}); no != nil {
				t.Fatal(no)
			}
		}
		if len(page.Items) == 0 {
			break
		}
	}
	x.a.closeWindow(d.e, fmt.Sprint("old-", round))
	settled(t, d.e)
	d.close()
	x.w.now.Add(int64(130 * day))
	d.open()
	settled(t, d.e)
	d.tell()
	x.a.closeWindow(d.e, fmt.Sprint("young-", round))
	settled(t, d.e)
	d.close() // with a checkpoint and a run
	d.open()
	(&rig{t: t, e: d.e, o: d.o}).settleTidier()
}

// tell publishes all notifications.
func (d *dropPoints) tell() {
	box := d.e.NoticeOutbox()
	from := d.x.confirmed[1] + 1
	list, err := box.Records(from, 1<<30)
	if err != nil {
		d.x.t.Fatal(err)
	}
	if len(list) == 0 {
		return
	}
	last := list[len(list)-1].StreamSeq
	d.x.a.mu.Lock()
	d.x.tried.confirmed[1] = last
	d.x.a.mu.Unlock()
	if err = box.Attempt(Attempt{ProducerID: 7, Epoch: 1, Sequence: int32(from), First: from, Last: last}); err == nil {
		err = box.Confirm(Confirmation{First: from, Last: last, Topic: "t", BaseOffset: int64(from), NextOffset: int64(last + 1)})
	}
	if err != nil {
		d.x.t.Fatal(err)
	}
	d.x.a.mu.Lock()
	d.x.confirmed[1] = last
	d.x.a.mu.Unlock()
}

// drop drops history while power is cut.
func (d *dropPoints) drop() {
	before := d.e.store.Base().Seq
	d.on.Store(true)
	to, err := d.e.dropHistory()
	d.on.Store(false)
	if err != nil || to <= before {
		d.x.t.Fatalf("dropped to %d after %d, kept because of %q: %v", to, before, d.e.Stats().KeptBecauseOf, err)
	}
	d.drops.Add(1)
}

// check opens what power left, holds it against what was promised, and lets it go on with what was cut off.
func (d *dropPoints) check(c *crashed) error {
	o := d.x.options(c.disk)
	o.Clock, o.Now = func() time.Time { return time.Unix(0, c.now) }, func() int64 { return c.now }
	o.retainStep, o.Export = 1, func(p ExportPart) ([32]byte, error) { return c.archive.take(p) }
	store, err := journal.OpenReadOnly(o.Journal)
	if err != nil {
		return err
	}
	head := store.Head().Seq
	if head < c.was.answers.seq {
		err = fmt.Errorf("the journal ends at %d, answers said %d", head, c.was.answers.seq)
	}
	at := openedAt{point: c.point, seq: head, hash: store.Head().Hash, windows: map[uint64]string{}}
	if err := errors.Join(err, store.Close()); err != nil {
		return err
	}
	first, err := Verify(VerifyOptions{Journal: o.Journal})
	if err != nil {
		return err
	}
	e, err := Open(o)
	if err != nil {
		return err
	}
	to, err := d.checkOpen(e, c, &at)
	if err := errors.Join(err, e.Close()); err != nil {
		return err
	}
	report, err := Verify(VerifyOptions{Journal: o.Journal})
	if err == nil && report.Base != to {
		err = fmt.Errorf("verify begins at %d, dropped was to %d", report.Base, to)
	}
	d.pointRig.mu.Lock()
	defer d.pointRig.mu.Unlock()
	d.opened = append(d.opened, at)
	d.kinds[fmt.Sprintf("round %d: journaled %d, dropped %v", c.round, first.Parts, first.Base > 0)]++
	return err
}

func (d *dropPoints) checkOpen(e *Engine, c *crashed, at *openedAt) (to uint64, err error) {
	whole, err := wholeOf(e.store, &c.archive)
	if err != nil {
		return 0, err
	}
	e.repriced()
	if err := equalsReplayOf(e, whole); err != nil {
		return 0, err
	}
	for _, w := range e.published.Load().windows {
		at.windows[w.number] = windowBytes(d.x.w.t, e, w)
	}
	if err := errors.Join(d.checkBesides(e, c), d.checkAnswers(e, c)); err != nil {
		return 0, err
	}
	if to, err = e.dropHistory(); err != nil || to == 0 {
		return to, errors.Join(err, fmt.Errorf("the next round drops to %d", to))
	}
	if markers, err := baseMarkers(e.store); err != nil || len(markers) != 1 || markers[0].through != to {
		return to, fmt.Errorf("bases %+v, dropped to %d: %w", markers, to, err)
	}
	return to, errors.Join(equalsReplayOf(e, whole), d.checkAnswers(e, c))
}

// checkAnswers asks again for what was answered before it became old: events are refused, bookings are what they were, or in an exported part.
func (d *dropPoints) checkAnswers(e *Engine, c *crashed) error {
	d.x.a.mu.Lock()
	var calls []call
	for identity := range c.was.answers.events {
		if call := d.x.a.w.calls[identity]; call.time != 0 && len(calls) < retriesPerCrash { // one without a time is a new one by now
			calls = append(calls, call)
		}
	}
	topUps := map[string]TopUp{}
	for id := range c.was.answers.topUps {
		topUps[id] = d.x.a.w.topUps[id]
	}
	d.x.a.mu.Unlock()
	q := e.Acquire(200 * len(calls))
	defer e.Release(q)
	fill(d.x.w.t, q.Batch(), calls)
	if out, no := e.Ingest(q); no != nil || out.Accepted > 0 {
		return fmt.Errorf("of %d old events %d are booked again (%s)", len(calls), out.Accepted, fmt.Sprint(no))
	}
	for id, u := range topUps {
		if _, created, no := e.TopUp(u); created || no != nil {
			return fmt.Errorf("top-up %s again: created %v, %s", id, created, fmt.Sprint(no))
		}
	}
	for id, first := range c.was.answers.closes {
		again, created, no := e.CloseWindow(id, nil)
		if created || no != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", first) {
			return fmt.Errorf("close %s answered %+v, now %+v (created %v, %s)", id, first, again, created, fmt.Sprint(no))
		}
	}
	for id, answer := range c.was.answers.results {
		d.x.a.mu.Lock()
		x := d.x.a.w.results[id]
		d.x.a.mu.Unlock()
		got, created, no := e.Result(x.LineResult)
		gone := no != nil && no.Code == refusal.NotFound && no.Reason == "result_exported"
		if created || !gone && (no != nil || fmt.Sprint(got.Amount.Decimal(), got.Sequence, got.Time.UnixNano()) != answer) {
			return fmt.Errorf("result %s was answered %s, again %+v (created %v, %s)", id, answer, got, created, fmt.Sprint(no))
		}
	}
	return nil
}

// TestCrashPointsOfRetention cuts the power before and after the syncs of two rounds of retention, and at random changes, on a ledger that has everything in
// it: while the base is written, while the part is exported, around its command, while blocks, statement runs and the base before are
// dropped. In a full run every sync is cut.
func TestCrashPointsOfRetention(t *testing.T) {
	run := soak.Start(t)
	cuts, syncs, drops, kinds := 0, 0, 0, map[string]int{}
	for n := range uint64(soak.Pick(1, 15)) {
		d := newDropPoints(t, run.Seed()+n, soak.Pick(9, 1), soak.Pick(8, 1<<30))
		d.open()
		d.x.found(d.e)
		d.x.w.now.Add(int64(time.Hour)) // what is dropped is of some time
		d.x.work(d.e, soak.Pick(5, 12), nil)
		for round := range 2 {
			d.age(round)
			d.drop()
		}
		windows := windowTexts(d.x, d.e)
		d.pointRig.mu.Lock()
		syncs += d.syncs
		d.pointRig.mu.Unlock()
		d.end()
		whole, err := wholeOf(d.e.store, &d.parts)
		if err == nil {
			err = d.compareWithHistory(whole, windows)
		}
		if err != nil {
			t.Fatal(err)
		}
		d.close()
		if len(d.lost) > 0 {
			t.Fatalf("seed %d:\n%s", run.Seed()+n, d.losses())
		}
		cuts, drops = cuts+d.taken, drops+int(d.drops.Load())
		for kind, n := range d.kinds {
			kinds[kind] += n
		}
	}
	t.Log(kinds)
	if len(kinds) < 2 {
		t.Errorf("the cuts met only %v", kinds)
	}
	run.Report("power cut while a ledger with everything drops history", soak.Counts{"drops": drops, "crashes survived": cuts, "sync points passed": syncs, "kinds of states met": len(kinds),
		"commands lost": 0, "events doubled": 0})
}
