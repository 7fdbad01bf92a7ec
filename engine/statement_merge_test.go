package engine

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/internal/soak"
	"farthing/journal"
)

// TestTier: whatever the sizes of runs are and in which order they come, few stay, and none is larger than allowed.
func TestTier(t *testing.T) {
	rng := rand.New(rand.NewPCG(soak.Seed(t), 4))
	for range 200 {
		most := uint64(16) << rng.IntN(20)
		large := rng.IntN(4)
		var sizes []uint64
		total, written := uint64(0), uint64(0)
		for range 1 + rng.IntN(500) {
			n := 1 + rng.Uint64N(3)
			if rng.IntN(4) < large {
				n = 1 + rng.Uint64N(most/epochRuns)
			}
			total, sizes = total+n, append(sizes, n)
			for from, to := tier(sizes, most); to > 0; from, to = tier(sizes, most) {
				sum := uint64(0)
				for _, n := range sizes[from:to] {
					sum += n
				}
				if written += sum; sum > most || to-from < tierRuns {
					t.Fatalf("%d of %v become one of %d, at most %d", to-from, sizes, sum, most)
				}
				sizes = slices.Replace(sizes, from, to, sum)
			}
		}
		bound := tierRuns*bits.Len64(min(total, most)) + int(4*total/most)
		if len(sizes) > bound || written > total*uint64(bits.Len64(min(total, most))) {
			t.Fatalf("%d runs of %d in all, at most %d, %d written again: at most %d are expected, %v", len(sizes), total, most, written, bound, sizes)
		}
	}
}

// TestReopenedOften: each start leaves a run of statements and, once its identities are forgotten, an archived one. Their numbers stay
// small, and what is read by account and by id is what a twin says that was never closed.
func TestReopenedOften(t *testing.T) {
	rounds := 200
	if raceEnabled {
		rounds = 60
	}
	rng := rand.New(rand.NewPCG(soak.Seed(t), 6))
	var now atomic.Int64
	now.Store(time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	change := func(o *Options) {
		o.DedupWindow, o.Now, o.Journal.FS, o.Journal.Dir = dedupWindow, now.Load, vfs.NewMem(), "d"
	}
	w := standard(t, change)
	twin := standard(t, func(o *Options) { change(o); o.neverForget = true })
	var ids []string
	statements, archived := 0, 0
	for round := range rounds {
		var calls []call
		for i := range 1 + rng.IntN(3) {
			id := fmt.Sprintf("e%d-%d", round, i)
			ids = append(ids, id)
			calls = append(calls, llm(id, []string{"acme", "beta"}[rng.IntN(2)], []string{"m1", "m2"}[rng.IntN(2)], 1+i, 2))
		}
		w.post(calls...)
		twin.post(calls...)
		if round%8 == 0 {
			w.settleTidier()
		}
		w.reopen()
		now.Add(int64(10 * time.Minute))
		s := w.e.Stats()
		statements, archived = max(statements, s.StatementRuns), max(archived, s.ForgottenRuns)
	}
	w.settleTidier()
	s := w.e.Stats()
	t.Logf("%d statement runs (%d at most), %d archived (%d at most)", s.StatementRuns, statements, s.ForgottenRuns, archived)
	if statements > 40 || archived > 40 || s.StatementRuns > 24 || s.ForgottenRuns > 24 || s.Forgotten == 0 {
		t.Errorf("%d statement runs (%d at most), %d archived (%d at most)", s.StatementRuns, statements, s.ForgottenRuns, archived)
	}
	for _, account := range []string{"acme", "beta", "prov", "operator"} {
		if got, want := w.movements(account), twin.movements(account); !slices.Equal(got, want) {
			t.Errorf("%s: %d movements, the twin has %d", account, len(got), len(want))
		}
	}
	for _, id := range ids {
		got, refused := w.e.Event("gw", id)
		if want, no := twin.e.Event("gw", id); refused != nil || no != nil || got.Net.Cmp(want.Net) != 0 || !got.Time.Equal(want.Time) {
			t.Fatalf("%s: %+v, %v; the twin has %+v, %v", id, got, refused, want, no)
		}
	}
	if _, refused := w.e.Event("gw", "never"); refused == nil {
		t.Error("an event that nobody sent")
	}
	w.close()
	if report, err := Verify(VerifyOptions{Journal: w.o.Journal}); err != nil || int(report.Events) != len(ids) {
		t.Errorf("%+v, %v", report, err)
	}
}

// movements is all pages of an account, without sequences: commands of forgetting shift them.
func (r *rig) movements(account string) (out []string) {
	r.t.Helper()
	for cursor, first := "", true; first || cursor != ""; first = false {
		page, refused := r.e.Transfers(account, cursor, 50)
		if refused != nil {
			r.t.Fatal(refused)
		}
		for _, item := range page.Items {
			balance := "none"
			if item.Balance != nil {
				balance = item.Balance.String()
			}
			item.Sequence, item.Balance = 0, nil
			out = append(out, fmt.Sprintf("%+v, balance %s", item, balance))
		}
		cursor = page.Next
	}
	return out
}

// TestMergedRowsDecode: a row that does not belong into a statement run is an error of the merge, not of who reads it.
func TestMergedRowsDecode(t *testing.T) {
	r := standard(t, nil)
	r.reopen()
	for i, row := range [][]byte{
		{1, 0},                // an empty list
		{1, 2, 3},             // one that ends early
		{1, 1, 3, 0, 1, 3},    // accounts that descend
		{1, 1, 0},             // before the run
		{1, 2, 3, 120},        // behind it
		{0x80},                // no number
		{1, 0xff, 0xff, 3, 1}, // longer than the row
	} {
		id := 1000 + uint64(i)
		b := tableSet{store: r.e.store}
		b.build(journal.KindStatement, id, func(out table) error { return out.Add([]byte("k"), row) })
		if err := b.ingest(); err != nil {
			t.Fatal(err)
		}
		old := []statementRun{{id, 3, 100}}
		if err := r.e.tidy.mergeLists(old, func([]byte, []byte) error { return nil }); err == nil {
			t.Errorf("row %x is taken", row)
		}
		if err := r.e.store.DropTable(journal.KindStatement, id); err != nil {
			t.Fatal(err)
		}
	}
}
