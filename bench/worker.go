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
	run      *run
	conn     *conn
	requests []*request
	latency  *hdrhistogram.Histogram // of measured requests, in ns

	// Written by the worker, read by anyone. Padded to a cache line: all of
	// them are read each second, and each is written for every request.
	done    atomic.Uint64 // requests answered with success
	retries atomic.Uint64 // sent again: overload or a broken connection
	_       [48]byte
}

// newHistogram holds 1 µs to a minute at two significant digits: 1 % is finer
// than what repeats, and 256 of them must fit the cache.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 2)
}

func (w *worker) loop() {
	r := w.run
	for next := 0; !r.stopped.Load(); next++ {
		req := w.requests[next%len(w.requests)]
		req.stamp(r.blocks.Add(1))
		began := time.Now()
		if err := w.deliver(req); err != nil {
			r.abort(err)
			return
		}
		if r.measuring.Load() {
			// Above the histogram's bound only a stuck run gets.
			_ = w.latency.RecordValue(min(int64(time.Since(began)), int64(time.Minute)))
		}
		req.sent++
		w.done.Add(1)
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
		switch {
		case err != nil:
			if w.isAborted() {
				return err
			}
		case a.status == 429 || a.status == 503:
		case a.status != 200:
			return fmt.Errorf("%w: %d %.300s", ErrRefused, a.status, a.body)
		case a.accepted+a.duplicates != len(req.draws):
			return fmt.Errorf("%w: accepted %d, duplicates %d of %d: %.300s", ErrRefused, a.accepted, a.duplicates, len(req.draws), a.body)
		case a.duplicates != 0 && first:
			return fmt.Errorf("%w: new ids taken for duplicates: %.300s", ErrRefused, a.body)
		default:
			return nil
		}
	}
}

func (w *worker) isAborted() bool {
	w.conn.mu.Lock()
	defer w.conn.mu.Unlock()
	return w.conn.mu.aborted
}
