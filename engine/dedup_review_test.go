package engine

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"farthing/journal"
)

// loseRuns makes of a closed ledger what an import makes: the journal, and no run of it.
func (r *rig) loseRuns() {
	r.t.Helper()
	store, err := journal.Open(r.o.Journal)
	if err != nil {
		r.t.Fatal(err)
	}
	var rows []journal.Row
	err = store.Scan(journal.SpaceMarker, nil, nil, func(key, _ []byte) (bool, error) {
		if key[0] != 'c' {
			rows = append(rows, journal.Row{Space: journal.SpaceMarker, Key: append([]byte(nil), key...), Delete: true})
		}
		return true, nil
	})
	if err == nil {
		err = store.Write(rows, true)
	}
	if err != nil {
		r.t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		r.t.Fatal(err)
	}
}

// TestForgottenAndImported: a ledger whose runs were made anew has both bookings of an identity that was forgotten
// in between, in one run. The newer one counts, and the events beside it in a request are known all the same.
func TestForgottenAndImported(t *testing.T) {
	w := newDedupTwin(t, 5)
	w.o.RunIdentities = 1000
	w.reopen()
	var calls []call
	for i := range 20 {
		calls = append(calls, llm(fmt.Sprint("e", i), "acme", "m1", 1, 1))
	}
	w.post(calls...)
	w.reopen()
	w.now.Add(int64(dedupWindow + forgetMargin + time.Minute))
	w.settleTidier()
	for i := range calls {
		calls[i] = llm(fmt.Sprint("e", i), "acme", "m1", 2, 2) // other contents
	}
	if got := w.post(calls...); got.Accepted != 20 {
		t.Fatalf("%+v", got)
	}
	w.close()
	w.loseRuns()
	w.open()
	for _, where := range []string{"in memory", "in a run", "after another start"} {
		if got := w.post(calls...); got.Duplicates != 20 {
			t.Fatalf("%s: %+v", where, got)
		}
		w.settleTidier()
		w.reopen()
	}
	w.now.Add(int64(dedupWindow + forgetMargin + time.Minute))
	w.settleTidier()
	if got := w.post(calls...); got.Accepted != 20 {
		t.Fatalf("once forgotten: %+v", got)
	}
	w.close()
	if _, err := Verify(VerifyOptions{Journal: w.o.Journal}); err != nil {
		t.Fatal(err)
	}
}

// TestReplayBoundsGenerations: a start without runs writes some on its way, so that its memory does not grow with the history.
func TestReplayBoundsGenerations(t *testing.T) {
	w := newDedupTwin(t, 6)
	for range 30 {
		w.postSome(40)
	}
	w.close()
	w.loseRuns()
	w.open()
	if n := w.e.Stats().Runs; n < 10 {
		t.Fatalf("%d runs", n)
	}
	for range 10 {
		w.postSome(40)
	}
	w.close()
	if _, err := Verify(VerifyOptions{Journal: w.o.Journal}); err != nil {
		t.Fatal(err)
	}
}

// TestLongerWindow: what was forgotten under a shorter window is not booked again under a longer one.
func TestLongerWindow(t *testing.T) {
	w := newDedupTwin(t, 7)
	old := llm("e1", "acme", "m1", 1, 1)
	old.time = w.now.Load()
	w.post(old)
	w.reopen()
	w.now.Add(int64(dedupWindow + forgetMargin + time.Minute))
	w.settleTidier()
	w.close()
	w.o.DedupWindow = 10 * dedupWindow
	w.open()
	got := w.post(old)
	if got.Accepted != 0 {
		t.Fatalf("booked again: %+v", got)
	}
}

// TestRepeatsGetThroughTheLane: others are in the lane and new runs come all the time; a repeated batch is answered in its turn.
func TestRepeatsGetThroughTheLane(t *testing.T) {
	w := newDedupTwin(t, 8)
	var old []call
	for i := range 200 {
		old = append(old, llm(fmt.Sprint("e", i), "acme", "m1", 1, 1))
	}
	w.post(old...)
	hurried(&w.o)
	w.reopen()
	lane := w.e.lane
	lane.turn <- struct{}{}
	done := make(chan IngestResult, 1)
	go func() { done <- w.post(old...) }()
	fresh := 0
	for range 10 {
		for lane.inside.Load() == 0 && len(done) == 0 {
			runtime.Gosched()
		}
		for until := w.e.runs.load().version + 3; w.e.runs.load().version < until; { // three generations become runs
			w.post(llm(fmt.Sprint("n", fresh), "acme", "m1", 1, 1))
			fresh++
		}
		w.post(llm(fmt.Sprint("last", fresh), "acme", "m1", 1, 1)) // and leave the memory
		<-lane.turn
		lane.turn <- struct{}{}
	}
	<-lane.turn
	select {
	case got := <-done:
		if got.Duplicates != len(old) {
			t.Fatalf("%+v", got)
		}
	default:
		t.Fatal("no answer after ten turns")
	}
}

// TestNewEventsPassTheLane: what filters say falsely grows with a batch; it does not make new events wait for those that repeat.
func TestNewEventsPassTheLane(t *testing.T) {
	w := newDedupTwin(t, 9)
	w.o.RunIdentities = 64
	hurried(&w.o)
	w.reopen()
	n := 0
	batch := func(size int) (calls []call) {
		for range size {
			calls = append(calls, llm(fmt.Sprint("e", n), "acme", "m1", 1, 1))
			n++
		}
		return calls
	}
	for range 300 {
		w.post(batch(64)...)
	}
	w.settleTidier()
	w.e.lane.turn <- struct{}{}
	defer func() { <-w.e.lane.turn }()
	done := make(chan IngestResult, 1)
	go func() { done <- w.post(batch(8000)...) }()
	select {
	case got := <-done:
		if got.Accepted != 8000 {
			t.Fatalf("%+v", got)
		}
	case <-time.After(5 * time.Second):
		t.Error("new events wait for the lane")
	}
}

// TestBrokenBlockBehind: a command that contradicts what came before is an error of the start, also on replay's second goroutine.
func TestBrokenBlockBehind(t *testing.T) {
	h := &behind{x: &indexer{}, indexed: 100, evidenced: 100}
	err := h.block(&behindBlock{body: appendBytes([]byte{kindAmend}, []byte{0xff}), first: 7, tables: tables{}})
	if !errors.Is(err, journal.ErrCorrupt) || !strings.Contains(err.Error(), "sequence 7") {
		t.Fatal(err)
	}
}
