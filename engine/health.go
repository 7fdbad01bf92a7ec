package engine

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"farthing/journal"
	"farthing/refusal"
)

// health is what is known of the disk, and what follows from it:
//
//	a critical operation failed   the process stops (status 3); nothing is answered meanwhile
//	a commit takes too long       disk_stalled: no request is taken, reads that need the sequencer
//	                              among them, until it returns; after DiskStallMax the process stops
//	little space is left          disk_space_low: no changes are taken, reads go on, what was begun is
//	                              finished; until there is an eighth more than the bound
//	tables cannot be written      for lack of space: as above; else disk_failing, no changes are taken, and after
//	                              DiskStallMax the process stops
//
// What time does goes on while space is low (holds expire, periods begin): it is small, and money depends on its time.
// Windows that close by themselves and checkpoints wait, because they may be large.
//
// Two goroutines look: one every 100 ms at what is under way, one every second at the free
// space, because asking for that may hang as well.
type health struct {
	log              *slog.Logger
	refusing         atomic.Pointer[refusal.Refusal] // why no changes are taken; nil: they are
	stalled          atomic.Bool                     // nor anything else that needs a commit
	scarce           atomic.Bool                     // what needs much space and can wait does
	checkpointFailed atomic.Bool                     // a table could not be written; the sequencer takes it back
	free, total      atomic.Uint64                   // bytes of the file system; 0: it does not tell
	commit           atomic.Int64                    // how long the commit under way takes, ns
	dead             atomic.Bool                     // the process stops

	mu     sync.Mutex
	status diskStatus // guarded by mu
	fatal  func(error)
	stop   chan struct{}
	done   sync.WaitGroup
}

// newHealth returns the health of an engine with these options, whose Fatal it makes known first.
func newHealth(o *Options) *health {
	h := &health{log: o.Logger, fatal: o.Journal.Fatal, stop: make(chan struct{})}
	h.status = diskStatus{stallAfter: o.DiskStallAfter, stallMax: o.DiskStallMax, min: uint64(max(o.MinFreeBytes, 0))}
	o.Journal.Fatal = h.fail
	return h
}

// fail is told of what ends the process.
func (h *health) fail(err error) {
	h.mu.Lock()
	h.dead.Store(true)
	h.stalled.Store(true)
	h.refusing.Store(refusal.New(refusal.NotReady, "storage_failed", "the storage failed, the service is stopping"))
	h.mu.Unlock()
	h.fatal(err)
}

// unready says why no changes are taken; nil: they are.
func (h *health) unready() *refusal.Refusal { return h.refusing.Load() }

// unanswering says why nothing is taken that has to wait for a commit; nil: it is.
func (h *health) unanswering() *refusal.Refusal {
	if !h.stalled.Load() {
		return nil
	}
	return h.refusing.Load()
}

// saving reports that what needs much space should wait.
func (h *health) saving() bool { return h.scarce.Load() }

// start starts the two goroutines. A simulation has neither: its disk and its clock are its own.
func (h *health) start(e *Engine) {
	if e.o.world.stages != nil {
		return
	}
	if h.status.min > 0 {
		h.lookAtSpace(e.store) // before the first request
		h.every(time.Second, func() { h.lookAtSpace(e.store) })
	}
	h.every(slotTime, func() {
		e.admission.flow.tick()
		h.lookAtWork(e.store.Health())
	})
}

func (h *health) every(d time.Duration, look func()) {
	h.done.Go(func() {
		ticker := time.NewTicker(d)
		defer ticker.Stop()
		for {
			select {
			case <-h.stop:
				return
			case <-ticker.C:
				look()
			}
		}
	})
}

// end ends the goroutines when closing has returned: that may hang as well.
func (h *health) end(closing func() error) error {
	err := closing()
	close(h.stop)
	h.done.Wait()
	return err
}

func (h *health) lookAtSpace(store storage) {
	free, total, known, err := store.DiskSpace()
	if err != nil {
		h.log.Warn("the free space of the data directory could not be read", "error", err)
	}
	if !known {
		return
	}
	h.free.Store(free)
	h.total.Store(total)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.status.space(free)
	h.applyLocked()
}

func (h *health) lookAtWork(now journal.Health) {
	h.commit.Store(int64(now.Commit))
	h.mu.Lock()
	err := h.status.work(&now)
	h.applyLocked()
	h.mu.Unlock()
	if err != nil && !h.dead.Load() {
		h.fail(err)
	}
}

// applyLocked makes known what the status has become.
func (h *health) applyLocked() {
	if h.dead.Load() {
		return
	}
	was, is := h.refusing.Load(), h.status.refusal()
	h.stalled.Store(h.status.stalled != "")
	h.scarce.Store(h.status.low || h.status.noSpace)
	h.refusing.Store(is)
	switch {
	case is != nil && (was == nil || was.Reason != is.Reason):
		h.log.Error("changes are refused", "reason", is.Reason, "free_bytes", h.status.free, "min_free_bytes", h.status.min,
			"stalled", h.status.stalled, "failing", h.status.failing)
	case is == nil && was != nil:
		h.log.Info("changes are accepted again", "reason", was.Reason)
	}
}

// diskStatus decides what follows from looks at the disk. It reads no clock.
type diskStatus struct {
	stallAfter, stallMax time.Duration
	min                  uint64 // free bytes below which no changes are taken

	free    uint64
	low     bool
	stalled string // what takes so long; empty: nothing
	failing string // why tables cannot be written; empty: they can
	noSpace bool   // it is for lack of space
}

// space takes in a look at the free space.
func (d *diskStatus) space(free uint64) {
	d.free = free
	if d.low {
		d.low = free < d.min+d.min/8
	} else {
		d.low = free < d.min
	}
}

// work takes in a look at what is under way; an error: it is time to stop.
func (d *diskStatus) work(h *journal.Health) error {
	d.stalled, d.failing, d.noSpace = "", "", false
	what := fmt.Sprintf("a commit has been under way for %v", h.Commit.Round(time.Millisecond))
	if h.Any.For > d.stallAfter {
		what = fmt.Sprintf("the %s of %s has been under way for %v", h.Any.Op, h.Any.Path, h.Any.For.Round(time.Millisecond))
	}
	if h.Commit > d.stallAfter || h.Critical.For > d.stallAfter {
		d.stalled = what
	}
	if h.Tables != nil {
		d.failing, d.noSpace = h.Tables.Error(), journal.NoSpace(h.Tables)
		if d.stalled != "" {
			d.stalled += ", and tables cannot be written: " + d.failing
		}
	}
	switch {
	case h.Commit > d.stallMax && d.noSpace:
		return fmt.Errorf("the disk is full: %s", d.stalled)
	case max(h.Commit, h.Any.For) > d.stallMax:
		return fmt.Errorf("the disk does not answer: %s (look at the disk and the kernel's log, then start again: everything answered is durable)", what)
	case d.failing != "" && !d.noSpace && h.TablesFor > d.stallMax:
		return fmt.Errorf("the store cannot write tables for %v: %w", h.TablesFor.Round(time.Second), h.Tables)
	}
	return nil
}

// Seconds after which it is worth trying again. A stall ends by itself or with the process; space is made by people.
const (
	stallRetrySeconds = 5
	spaceRetrySeconds = 30
)

// refusal is what changes are refused with; nil: they are not.
func (d *diskStatus) refusal() *refusal.Refusal {
	refuse := func(retry int, reason, format string, args ...any) *refusal.Refusal {
		no := refusal.New(refusal.NotReady, reason, format, args...)
		no.RetryAfter = retry
		return no
	}
	switch {
	case d.stalled != "":
		return refuse(stallRetrySeconds, "disk_stalled", "the disk does not answer; try again in a few seconds")
	case d.low:
		return refuse(spaceRetrySeconds, "disk_space_low", "the disk is nearly full: changes are refused until there is space, reads are answered")
	case d.noSpace:
		return refuse(spaceRetrySeconds, "disk_space_low", "the disk is full: changes are refused until there is space, reads are answered")
	case d.failing != "":
		return refuse(stallRetrySeconds, "disk_failing", "the disk reports errors: changes are refused until it takes writes, reads are answered")
	}
	return nil
}

// tableFault reports whether an error is that of a table that can be written again: it names a file, and that of a critical one does not
// come here, because the process stops.
func tableFault(err error) bool {
	var disk *journal.DiskError
	return errors.As(err, &disk)
}

// Pauses between attempts to write a table. Pebble's own are as long.
const (
	tablePauseFirst = 100 * time.Millisecond
	tablePauseLast  = time.Second
)

// untilWritten repeats a write of tables until it succeeds, fails for another reason than the disk, or the engine stops. Nothing
// depends on it but memory: who would have to hold more of it waits.
func (e *Engine) untilWritten(what string, write func() error) error {
	for pause := tablePauseFirst; ; pause = min(2*pause, tablePauseLast) {
		err := write()
		if err == nil || !tableFault(err) || e.stopping() {
			return err
		}
		e.o.Logger.Error("a table could not be written; it is tried again", "table", what, "error", err)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-e.stop: // once more, and no longer
		}
		timer.Stop()
	}
}
