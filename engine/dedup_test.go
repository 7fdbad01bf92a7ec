package engine

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/internal/soak"
)

// dedupTwin is what deduplication is about, with a map: when each identity was booked last.
type dedupTwin struct {
	*rig
	rng    *rand.Rand
	now    atomic.Int64
	booked map[string]int64 // id → time
	ids    []string
}

const dedupWindow = 2 * time.Hour

func newDedupTwin(t *testing.T, seed uint64) *dedupTwin {
	w := &dedupTwin{rng: rand.New(rand.NewPCG(seed, 1)), booked: map[string]int64{}}
	w.now.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	w.rig = standard(t, func(o *Options) {
		o.RunIdentities, o.CheckpointBytes, o.DedupWindow, o.Now = 10, 4000, dedupWindow, w.now.Load
	})
	return w
}

// post sends new and old ids mixed, and holds each answer against the map. An id whose window is over may be
// either: forgetting takes place later.
func (w *dedupTwin) postSome(n int) {
	w.t.Helper()
	calls := make([]call, 0, n)
	fresh, old, either := 0, 0, 0
	seen := map[string]bool{}
	for range n {
		id := fmt.Sprintf("%016x", w.rng.Uint64())
		if len(w.ids) > 0 && w.rng.IntN(3) == 0 {
			id = w.ids[w.rng.IntN(len(w.ids))]
		}
		at, there := w.booked[id]
		switch {
		case seen[id] || there && w.now.Load()-at < int64(dedupWindow):
			old++
		case there:
			either++
		default:
			fresh++
			w.ids = append(w.ids, id)
			w.booked[id] = w.now.Load()
		}
		seen[id] = true
		calls = append(calls, llm(id, "acme", "m1", 1, 1))
	}
	before := w.e.Stats().Forgotten
	got := w.post(calls...)
	if got.Accepted < fresh || got.Accepted > fresh+either || got.Duplicates < old || got.Accepted+got.Duplicates != n {
		w.t.Fatalf("%d new, %d old, %d either: %+v (forgotten up to %d)", fresh, old, either, got, before)
	}
	for _, c := range calls { // which of them were booked anew
		if at := w.booked[c.id]; w.now.Load()-at >= int64(dedupWindow) {
			e, refused := w.e.Event("gw", c.id)
			if refused != nil {
				w.t.Fatal(refused)
			}
			w.booked[c.id] = e.Time.UnixNano()
		}
	}
}

// TestDedupAgainstTwin books events, moves the clock over windows, merges, forgets and restarts, and compares every
// answer with a map; then verify goes over all of it.
func TestDedupAgainstTwin(t *testing.T) {
	w := newDedupTwin(t, soak.Seed(t))
	merges, forgotten := uint64(0), uint64(0)
	for range soak.Pick(150, 5000) {
		w.postSome(1 + w.rng.IntN(60))
		switch w.rng.IntN(12) {
		case 0:
			merges += w.e.Stats().Merges
			w.reopen()
		case 1, 2:
			w.now.Add(w.rng.Int64N(int64(dedupWindow / 2)))
			w.e.tidy.wake()
		}
		forgotten = max(forgotten, w.e.Stats().Forgotten)
	}
	w.settleTidier()
	s := w.e.Stats()
	merges += s.Merges
	if merges < 3 || forgotten == 0 || s.ForgottenRuns == 0 {
		t.Fatalf("%d merges, forgotten up to %d, %+v", merges, forgotten, s)
	}
	w.close()
	report, err := Verify(VerifyOptions{Journal: w.o.Journal})
	if err != nil {
		t.Fatal(err)
	}
	soak.Report(t, "identities against a map", soak.Counts{"identities": len(w.ids), "merges": int(merges), "events": int(report.Events)})
}

// settleTidier waits until the tidier has nothing to do.
func (r *rig) settleTidier() {
	r.t.Helper()
	tidied(r.t, r.e)
}

func tidied(t testing.TB, e *Engine) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		set, most := e.runs.load(), e.runs.tierMost()
		due := set.forgettable(e.now()-int64(e.o.DedupWindow)-int64(forgetMargin)) > set.forgotten || set.likeLarge(int64(e.o.DedupWindow)/8) != nil ||
			len(set.statementsToMerge(most)) > 0 || len(set.archivedToMerge(most)) > 0 || len(*e.young.load()) > 1
		for _, ep := range set.epochs {
			due = due || ep.shared != nil && (ep.full || len(ep.runs) >= epochSmall)
		}
		if !due {
			return
		}
		e.tidy.wake()
		select {
		case <-deadline:
			t.Fatal("the tidier does not come to an end")
		case <-time.After(time.Millisecond):
		}
	}
}

// TestLargeRunsMerge: four large runs of about one size become one, as long as they cover little time, and four of
// these again; every identity in them stays a duplicate, also after a restart.
func TestLargeRunsMerge(t *testing.T) {
	const size = 16 // of a run
	var now atomic.Int64
	now.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	r := standard(t, func(o *Options) {
		o.RunIdentities, o.DedupWindow, o.Now = size, dedupWindow, now.Load
		o.Journal.FS, o.Journal.Dir = vfs.NewMem(), "d"
	})
	batch := func(n int) (calls []call) {
		for i := range size {
			calls = append(calls, llm(fmt.Sprint(n, "-", i), "acme", "m1", 1, 1))
		}
		return calls
	}
	large := func() (counts []int) {
		for _, e := range r.e.runs.load().epochs {
			if e.shared == nil {
				counts = append(counts, e.count)
			}
		}
		return counts
	}
	const large1 = size * epochRuns                                 // of a large run at first
	const batches = (largeRuns*largeRuns+largeRuns+1)*epochRuns + 2 // and something newer
	post := func(n int) {
		r.post(batch(n)...)
		for r.e.runs.load().version <= uint64(n) { // each batch becomes a run
			runtime.Gosched()
		}
		r.settleTidier()
	}
	for n := range batches {
		post(n)
	}
	got := large()
	if !slices.Equal(got, []int{largeRuns * largeRuns * large1, largeRuns * large1, large1}) {
		t.Errorf("large runs of %d identities, %d epochs", got, len(r.e.runs.load().epochs))
	}
	now.Add(int64(dedupWindow) / 4)
	const more = largeRuns * epochRuns
	for n := batches; n < batches+more; n++ { // these and the one before are too far apart
		post(n)
	}
	if later := large(); !slices.Equal(later, append(got, largeRuns*large1)) {
		t.Errorf("large runs of %d identities became %d", got, later)
	}
	for range 2 {
		for n := range batches + more {
			if again := r.post(batch(n)...); again.Duplicates != size {
				t.Fatalf("batch %d again: %+v", n, again)
			}
		}
		r.reopen()
	}
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
}

// TestForgetting: memory and live runs go down once the window is over, a retry just inside it is a duplicate, one
// after it is a new event, and both bookings can be told apart by verify. Reads find the newest.
func TestForgetting(t *testing.T) {
	w := newDedupTwin(t, 1)
	var calls []call
	for i := range 400 {
		calls = append(calls, llm(fmt.Sprint("e", i), "acme", "m1", 1, 1))
		if len(calls) == 20 || i == 399 {
			w.post(calls[len(calls)-20:]...)
			calls = calls[:0]
		}
	}
	w.reopen() // a partial run as well
	w.settleTidier()
	before := w.e.Stats()
	w.now.Add(int64(dedupWindow) - 1)
	if got := w.post(llm("e7", "acme", "m1", 1, 1)); got.Duplicates != 1 {
		t.Fatalf("inside of the window: %+v", got)
	}
	w.now.Add(int64(forgetMargin) + 2)
	w.settleTidier()
	after := w.e.Stats()
	if after.FilterBytes >= before.FilterBytes || after.Runs != 0 || after.Forgotten <= before.Forgotten || after.ForgottenRuns == 0 {
		t.Fatalf("before %+v, after %+v", before, after)
	}
	first, refused := w.e.Event("gw", "e7")
	if refused != nil {
		t.Fatal(refused)
	}
	for range 2 {
		if got := w.post(llm("e8", "acme", "m1", 2, 2)); got.Accepted+got.Duplicates != 1 {
			t.Fatalf("after the window: %+v", got)
		}
	}
	if got := w.post(llm("e7", "acme", "m1", 1, 1)); got.Accepted != 1 {
		t.Fatalf("after the window: %+v", got)
	}
	w.reopen()
	if got := w.post(llm("e7", "acme", "m1", 1, 1)); got.Duplicates != 1 {
		t.Fatalf("booked anew: %+v", got)
	}
	if again, refused := w.e.Event("gw", "e7"); refused != nil || again.Sequence <= first.Sequence {
		t.Fatalf("%+v, %v", again, refused)
	}
	if err := w.e.runs.dropForgotten(after.Forgotten); err != nil {
		t.Fatal(err)
	}
	if n := w.e.Stats().ForgottenRuns; n != 1 {
		t.Fatalf("%d forgotten runs are left", n)
	}
	if _, refused := w.e.Event("gw", "e9"); refused == nil && after.ForgottenRuns > 1 {
		t.Fatal("a dropped run still finds its events")
	}
}

// TestKeptIdentities: ids of holds that are open when their run is forgotten stay, those of holds that ended before go,
// and a hold kept over two forgettings goes once it has ended.
func TestKeptIdentities(t *testing.T) {
	w := newDedupTwin(t, 2)
	if _, _, refused := w.e.TopUp(TopUp{ID: "t", Account: "beta", Amount: amount(t, "1000")}); refused != nil {
		t.Fatal(refused)
	}
	pass := func(d time.Duration) {
		w.reopen() // everything so far is in runs
		w.now.Add(int64(d))
		w.settleTidier()
	}
	hold := func(id string, want HoldOutcome) {
		t.Helper()
		if got := w.hold(HoldOp{Kind: PlaceHold, TTL: 100 * time.Hour, Amount: amount(t, "1"), HasAmount: true}, id, "beta"); got.Outcome != want {
			t.Fatalf("%s: %+v", id, got)
		}
	}
	hold("ended", HoldDone)
	w.hold(HoldOp{Kind: VoidHold}, "ended", "")
	hold("open", HoldDone)
	pass(dedupWindow + forgetMargin + time.Minute)
	if k := w.e.runs.load().kept; k == nil || k.count != 1 {
		t.Fatalf("kept: %+v", k)
	}
	hold("open", HoldDuplicate)
	hold("ended", HoldDone)
	w.hold(HoldOp{Kind: VoidHold}, "open", "")
	pass(dedupWindow / 2)
	hold("open", HoldDuplicate)
	pass(dedupWindow)
	if k := w.e.runs.load().kept; k == nil || k.count != 1 { // "ended", which is open again
		t.Fatalf("kept: %+v", k)
	}
	hold("open", HoldDone)
	hold("ended", HoldDuplicate)
	w.close()
	if _, err := Verify(VerifyOptions{Journal: w.o.Journal}); err != nil {
		t.Fatal(err)
	}
}

// TestDedupBudget: filters that do not fit are asked on disk, exactly.
func TestDedupBudget(t *testing.T) {
	w := newDedupTwin(t, soak.Seed(t))
	w.close()
	w.o.DedupMemoryBytes = 600
	w.open()
	for range 80 {
		w.postSome(40)
	}
	w.settleTidier()
	if s := w.e.Stats(); s.RunsWithoutFilter == 0 {
		t.Fatalf("%+v", s)
	}
	w.reopen()
	if s := w.e.Stats(); s.RunsWithoutFilter == 0 {
		t.Fatalf("after a restart: %+v", s)
	}
	for range 20 {
		w.postSome(40)
	}
	w.close()
	if _, err := Verify(VerifyOptions{Journal: w.o.Journal}); err != nil {
		t.Fatal(err)
	}
}

// TestVerifyNamesAnEventBookedAgain forges what no sequencer would book: an identity again that nobody forgot.
func TestVerifyNamesAnEventBookedAgain(t *testing.T) {
	w := newDedupTwin(t, 3)
	w.post(llm("e1", "acme", "m1", 1, 1))
	w.close()
	w.open()
	w.e.internal(func(s *sequencer) { // as if the runs had lost it
		w.e.runs.change(func(next *runSet) { next.epochs = nil })
	})
	w.post(llm("e1", "acme", "m1", 1, 1))
	w.close()
	if _, err := Verify(VerifyOptions{Journal: w.o.Journal}); err == nil {
		t.Fatal("verify is content")
	} else {
		t.Log(err)
	}
}

// hold does one operation on a hold.
func (r *rig) hold(op HoldOp, id, account string) HoldResult {
	r.t.Helper()
	q := r.e.Acquire(200)
	defer r.e.Release(q)
	b := q.Holds()
	op.Hold, op.Account, op.Event = b.Intern([]byte(id)), b.Intern([]byte(account)), -1
	b.Add(op, q.Batch())
	out, _, refused := r.e.BookHolds(q)
	if refused != nil {
		r.t.Fatal(refused)
	}
	return out[0]
}
