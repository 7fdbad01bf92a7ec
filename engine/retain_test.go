package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farthing/batch"
	"farthing/internal/soak"
	"farthing/journal"
	"farthing/ledger"
	"farthing/refusal"
)

// retainRig is a ledger under a clock of its own whose old history is exported into memory and dropped.
type retainRig struct {
	*rig
	now   atomic.Int64
	parts []ExportPart
	fail  error // of the next export
}

// newRetainRig keeps a day of history beyond what a retry may ask for.
func newRetainRig(t testing.TB, change func(*Options)) *retainRig {
	x := &retainRig{}
	x.now.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	x.rig = newRig(t, func(o *Options) {
		o.Now = x.now.Load
		o.Clock = func() time.Time { return time.Unix(0, x.now.Load()) }
		o.DedupWindow, o.CheckpointBytes, o.RunIdentities = time.Hour, 4000, 25
		o.Export = x.export
		if change != nil {
			change(o)
		}
	})
	x.account("prov", "provider", "")
	x.account("acme", "customer", "postpaid")
	x.account("beta", "customer", "prepaid")
	x.prices("v1", standardBook)
	return x
}

// export notes the part. Its manifest is made up.
func (x *retainRig) export(p ExportPart) ([32]byte, error) {
	if err := x.fail; err != nil {
		x.fail = nil
		return [32]byte{}, err
	}
	x.parts = append(x.parts, p)
	return sha256.Sum256(fmt.Appendf(nil, "%d-%d", p.After, p.Through)), nil
}

func (x *retainRig) pass(d time.Duration) { x.now.Add(int64(d)) }

// drop drops what can be dropped, and returns how far that is.
func (x *retainRig) drop() uint64 {
	x.t.Helper()
	to, err := x.e.dropHistory()
	if err != nil {
		x.t.Fatal(err)
	}
	return to
}

// checkpointed waits until a checkpoint and a run cover what there is: a clean stop writes both.
func (x *retainRig) checkpointed() { x.reopen() }

func (x *retainRig) verify() VerifyReport {
	x.t.Helper()
	x.close()
	report, err := Verify(VerifyOptions{Journal: x.o.Journal})
	if err != nil {
		x.t.Fatal(err)
	}
	x.open()
	return report
}

// picture is everything that can be read of what a drop leaves alone.
func (x *retainRig) picture(from uint64, events map[string]uint64) string {
	x.t.Helper()
	var out bytes.Buffer
	for _, id := range []string{"acme", "beta", "prov", ledger.OperatorID} {
		if id != ledger.OperatorID {
			a, refused := x.e.Account(id)
			if refused != nil {
				x.t.Fatal(refused)
			}
			a.Sequence = 0
			fmt.Fprintf(&out, "%+v\n", a)
		}
		for cursor, first := "", true; first || cursor != ""; first = false {
			page, refused := x.e.Transfers(id, cursor, 100)
			if refused != nil {
				x.t.Fatal(refused)
			}
			for _, item := range page.Items {
				if item.Sequence > from {
					fmt.Fprintf(&out, "%s %+v\n", id, item)
				}
			}
			cursor = page.Next
		}
	}
	for _, id := range slices.Sorted(maps.Keys(events)) {
		seq := events[id]
		if seq <= from {
			continue
		}
		if _, refused := x.e.Event("gw", id); refused != nil {
			x.t.Fatalf("event %s of sequence %d: %v", id, seq, refused)
		}
		if seq%7 != 0 && seq > from+5 {
			continue
		}
		p, refused := x.e.Proof("gw", id)
		if refused != nil && refused.Reason != "not_settled" {
			x.t.Fatalf("proof of event %s of sequence %d: %v", id, seq, refused)
		}
		fmt.Fprintf(&out, "%s %+v\n", id, p)
	}
	for _, w := range x.e.published.Load().windows {
		out.WriteString(windowBytes(x.t, x.e, w))
		if w.first <= from {
			continue
		}
		for _, id := range []string{"acme", "prov", ledger.OperatorID} {
			st, refused := x.e.WindowStatement(StatementOptions{Account: id, Window: w.number})
			if refused != nil && refused.Reason != "no_line" {
				x.t.Fatalf("statement of %s in window %d: %v", id, w.number, refused)
			}
			text, err := json.Marshal(st)
			if err != nil {
				x.t.Fatal(err)
			}
			fmt.Fprintf(&out, "%s %s\n", id, text)
		}
	}
	return out.String()
}

// twins are a ledger that drops history and one with the same work that keeps everything.
type twins struct {
	*retainRig
	twin   *retainRig
	rng    *rand.Rand
	events map[string]uint64 // sequences of events in the ledger that drops
	drops  int
	last   uint64 // that was dropped
}

// day books something in both, and lets time pass.
func (w *twins) day(day int) {
	for range 1 + w.rng.IntN(4) {
		var calls []call
		for i := range w.rng.IntN(12) {
			calls = append(calls, llm(fmt.Sprintf("e%d-%d", len(w.events), i), []string{"acme", "beta"}[w.rng.IntN(2)], "m1", w.rng.IntN(1000), w.rng.IntN(1000)))
		}
		top := TopUp{ID: fmt.Sprint("t", day, "-", len(w.events)), Account: "beta", Amount: amount(w.t, "1.5")}
		for _, r := range []*retainRig{w.retainRig, w.twin} {
			if len(calls) > 0 {
				r.post(calls...)
			}
			if _, _, refused := r.e.TopUp(top); refused != nil {
				w.t.Fatal(refused)
			}
		}
		for _, c := range calls {
			ev, refused := w.e.Event("gw", c.id)
			if refused != nil {
				w.t.Fatal(refused)
			}
			w.events[c.id] = ev.Sequence
		}
	}
	if w.rng.IntN(2) == 0 {
		w.settle(fmt.Sprint("w", day))
		w.twin.settle(fmt.Sprint("w", day))
	}
	step := time.Duration(w.rng.IntN(48)) * time.Hour
	w.pass(step)
	w.twin.pass(step)
	if w.rng.IntN(3) == 0 {
		w.checkpointed()
	}
}

// round drops what can go and compares what is younger with what it was before, at once and after a restart.
func (w *twins) round() {
	w.t.Helper()
	limit := w.e.store.Base().Seq
	if to, err := w.e.dropLimit(); err != nil {
		w.t.Fatal(err)
	} else if to > 0 {
		limit = to
	}
	before := w.picture(limit, w.events)
	to := w.drop()
	if to < limit {
		w.t.Fatalf("dropped to %d, the limit was %d", to, limit)
	}
	if to > limit { // more was forgotten meanwhile
		limit, before = to, w.picture(to, w.events)
	}
	if after := w.picture(limit, w.events); after != before {
		w.t.Fatalf("dropping to %d changed what is younger: %s", to, firstDifference(before, after))
	}
	if to == w.last {
		return
	}
	w.drops, w.last = w.drops+1, to
	w.dropped(to, w.events)
	if report := w.verify(); report.Base != to || report.Parts != uint64(w.drops) {
		w.t.Fatalf("verify begins at %d with %d parts, dropped was to %d in %d", report.Base, report.Parts, to, w.drops)
	}
	if again := w.picture(limit, w.events); again != before {
		w.t.Fatalf("the restart after dropping to %d changed what is younger: %s", to, firstDifference(before, again))
	}
}

// TestRetention drops history many times in a row, with restarts between, and compares what is younger with what it was before, and
// balances and lines with a ledger that keeps everything.
func TestRetention(t *testing.T) {
	seed := soak.Seed(t)
	w := &twins{retainRig: newRetainRig(t, nil), twin: newRetainRig(t, nil), rng: rand.New(rand.NewPCG(seed, 6)), events: map[string]uint64{}}
	for day := range soak.Pick(24, 400) {
		w.day(day)
		w.round()
	}
	if w.drops < 3 {
		t.Fatalf("%d drops", w.drops)
	}
	for i, p := range w.parts {
		if i > 0 && (p.After != w.parts[i-1].Through || p.Through < p.After) {
			t.Errorf("part %d is of %d to %d, after %d", i, p.After+1, p.Through, w.parts[i-1].Through)
		}
	}
	for _, id := range []string{"acme", "beta", "prov"} {
		if a, b := w.posted(id), w.twin.posted(id); a != b {
			t.Errorf("%s has %s, without drops it has %s", id, a, b)
		}
	}
	a, b := w.e.published.Load().windows, w.twin.e.published.Load().windows
	if len(a) != len(b) {
		t.Fatalf("%d windows, without drops %d", len(a), len(b))
	}
	for i := range a {
		if x, y := w.lines(a[i]), w.twin.lines(b[i]); x != y {
			t.Errorf("window %d has lines\n%s\nwithout drops\n%s", i+1, x, y)
		}
	}
	soak.Report(t, "history dropped, balances and lines equal to a ledger that keeps all", soak.Counts{"drops": w.drops, "windows": len(a), "differences": 0})
}

// firstDifference shows the first line in which two texts differ.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return "\n" + x[i] + "\n" + y[i]
		}
	}
	return fmt.Sprintf("%d lines and %d", len(x), len(y))
}

// lines is what a window's lines say but for where they stand.
func (x *retainRig) lines(w *window) (out string) {
	for i := range w.batches {
		b := &w.batches[i]
		err := scanLines(x.e.store, b.id, b.lines, 1, func(_ uint32, record []byte) bool {
			_, line, err := batch.ParseLine(record)
			if err != nil {
				x.t.Fatal(err)
			}
			out += fmt.Sprintf("%+v\n", line)
			return true
		})
		if err != nil {
			x.t.Fatal(err)
		}
	}
	return out
}

// dropped checks the answers about what was dropped.
func (x *retainRig) dropped(to uint64, events map[string]uint64) {
	x.t.Helper()
	reason := func(want string, refused *refusal.Refusal) {
		x.t.Helper()
		if refused == nil || refused.Code != refusal.NotFound || !strings.Contains(want, refused.Reason) {
			x.t.Fatalf("answered %v, want %s", refused, want)
		}
	}
	for id, seq := range events {
		if seq > to {
			continue
		}
		_, refused := x.e.Event("gw", id)
		reason("event_exported unknown_event", refused)
		_, refused = x.e.Proof("gw", id)
		reason("event_exported unknown_event", refused)
		_, _, refused = x.e.Void(VoidSpec{ID: "v" + id, Source: "gw", Event: id})
		reason("event_exported unknown_event", refused)
		break
	}
	_, refused := x.e.Transfers("acme", "2.0", 10)
	reason("history_exported", refused)
	if w := x.e.published.Load().windows[0]; w.first <= to {
		_, refused := x.e.WindowStatement(StatementOptions{Account: ledger.OperatorID, Window: 1})
		reason("window_exported", refused)
	}
	_, _, refused = x.e.Rerate(RerateSpec{ID: "r", Version: "v1"})
	if refused == nil || refused.Reason != "history_exported" {
		x.t.Fatalf("a rerate of everything: %v", refused)
	}
	if _, refused = x.e.Simulate(RepriceOptions{Version: "v1"}); refused == nil || refused.Reason != "history_exported" {
		x.t.Fatalf("a simulation of everything: %v", refused)
	}
	if _, err := x.e.store.BlockAt(to); !errors.Is(err, journal.ErrDropped) {
		x.t.Fatal(err)
	}
}
