package bench

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// backoff after a refusal for overload or a broken connection. Retry-After is
// in whole seconds, which would turn a full queue of a millisecond into a
// second of silence; a closed loop is gentle enough without.
const backoff = 5 * time.Millisecond

// worker drives one connection: it sends a request, waits for the answer, and
// sends the next.
type worker struct {
	run     *run
	conn    *conn
	turns   []*turn
	latency *hdrhistogram.Histogram // of measured requests, in ns
	pace    *pace                   // nil: a closed loop
	// firstBlock is the block of its first turn's ids, once that is sent.
	firstBlock atomic.Uint64
	said       string // the last answer that was to be tried again; "": none yet

	// Written by the worker, read by anyone. Padded to a cache line: all of
	// them are read each second, and each is written for every turn.
	events   atomic.Uint64 // of turns all of whose requests were answered with success
	requests atomic.Uint64 // of the same
	retries  atomic.Uint64 // sent again: overload or a broken connection
	_        [40]byte
}

// newHistogram holds 1 µs to a minute at two significant digits: 1 % is finer
// than what repeats, and 256 of them must fit the cache.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 2)
}

// loop takes turns until the run is stopped. It never stops within a turn: what
// was held is captured.
func (w *worker) loop() {
	r := w.run
	for next := 0; !r.stopped.Load(); next++ {
		t := w.turns[next%len(w.turns)]
		block := r.blocks.Add(1)
		t.stamp(block)
		w.firstBlock.CompareAndSwap(0, block)
		due := w.pace.wait(&r.stopped)
		if r.stopped.Load() {
			return
		}
		for n, req := range t.requests {
			began := time.Now()
			if n == 0 && w.pace != nil {
				began = due
			}
			if err := w.deliver(req); err != nil {
				r.abort(err)
				return
			}
			r.noteLongest(time.Since(began))
			if r.measuring.Load() {
				// Above the histogram's bound only a stuck run gets.
				_ = w.latency.RecordValue(min(int64(time.Since(began)), int64(time.Minute)))
			}
		}
		t.sent++
		w.events.Add(uint64(len(t.draws)))
		w.requests.Add(uint64(len(t.requests)))
	}
}

// noteLongest keeps the longest answer of the phase.
func (r *run) noteLongest(took time.Duration) {
	longest := &r.longest[r.phase.Load()]
	for old := longest.Load(); int64(took) > old && !longest.CompareAndSwap(old, int64(took)); old = longest.Load() {
	}
}

// deliver sends req until the server has booked it. The ids stay the same, so
// a request whose answer got lost is a duplicate the second time and is
// counted once, here as there.
func (w *worker) deliver(req *request) error {
	for first := true; ; first = false {
		if !first {
			w.retries.Add(1)
			time.Sleep(backoff)
		}
		a, err := w.conn.roundTrip(req.bytes)
		if err != nil {
			if w.isAborted() {
				return err
			}
			continue
		}
		if a.status == 429 || a.status == 503 {
			w.said = fmt.Sprintf("%d %.300s", a.status, a.body)
			continue
		}
		switch fresh, again := req.outcome(a); {
		case fresh < 0 || again < 0:
			return fmt.Errorf("%w: %d %.300s", ErrRefused, a.status, a.body)
		case fresh+again != req.size:
			return fmt.Errorf("%w: %d new, %d duplicates of %d: %.300s", ErrRefused, fresh, again, req.size, a.body)
		case again != 0 && first:
			return fmt.Errorf("%w: new ids taken for duplicates: %.300s", ErrRefused, a.body)
		}
		return nil
	}
}

func (w *worker) isAborted() bool {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	return w.conn.mu.aborted
}
