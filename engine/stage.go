package engine

import (
	"crypto/rand"
	"io"
	"iter"

	"farthing/journal"
)

// surroundings is what a simulation puts in the place of the world. It is zero in production.
type surroundings struct {
	stages stages
	// open opens a store, or creates one with the group that birth gives. nil: the journal's.
	open func(birth func() (journal.Group, error)) (storage, error)
	// random is where the seed and the id of a new ledger come from. nil: the system's.
	random io.Reader
	// patient: nobody is refused or held up because the machine is slow. Tests that are about other things run many at a time.
	patient bool
}

// stages runs the engine's goroutines one at a time, so that a seed decides who goes on when. Whoever
// cannot go on says so (park) where a goroutine would wait on a channel, and tries again when it is
// resumed; being resumed for nothing is allowed. In production there is none (nil): channels wait.
type stages interface {
	spawn(name string, stage func())
	// park gives way until something else has moved.
	park()
	// yield gives way, with something left to do.
	yield()
	// moved says that the running stage has changed what others may wait for.
	moved()
}

// spawn starts a stage.
func (e *Engine) spawn(name string, stage func()) {
	if e.o.world.stages == nil {
		go stage()
		return
	}
	e.o.world.stages.spawn(name, stage)
}

// receive receives from a channel between stages; false: it is closed.
func receive[T any](e *Engine, ch <-chan T) (x T, ok bool) {
	w := e.o.world.stages
	if w == nil {
		x, ok = <-ch
		return x, ok
	}
	for {
		select {
		case x, ok = <-ch:
			w.moved()
			return x, ok
		default:
			w.park()
		}
	}
}

// received is what comes from a channel until it is closed.
func received[T any](e *Engine, ch <-chan T) iter.Seq[T] {
	return func(yield func(T) bool) {
		for {
			if x, ok := receive(e, ch); !ok || !yield(x) {
				return
			}
		}
	}
}

// send sends to a channel between stages.
func send[T any](e *Engine, ch chan<- T, x T) {
	w := e.o.world.stages
	if w == nil {
		ch <- x
		return
	}
	for {
		select {
		case ch <- x:
			w.moved()
			return
		default:
			w.park()
		}
	}
}

// told waits for a token; false: stop was closed.
func (e *Engine) told(token, stop <-chan struct{}) bool {
	w := e.o.world.stages
	if w == nil {
		select {
		case <-stop:
			return false
		case <-token:
			return true
		}
	}
	for {
		select {
		case <-stop:
			return false
		default:
		}
		select {
		case <-token:
			w.moved()
			return true
		default:
			w.park()
		}
	}
}

// await returns once a watermark has reached seq.
func (e *Engine) await(m *mark, seq uint64) {
	w := e.o.world.stages
	if w == nil {
		m.wait(seq)
		return
	}
	for m.load() < seq {
		w.park()
	}
}

// handover is the room of a channel without room: a rendezvous needs two that run.
func (o *Options) handover() int {
	if o.world.stages == nil {
		return 0
	}
	return 1
}

func (o *Options) randomness() io.Reader {
	if o.world.random == nil {
		return rand.Reader
	}
	return o.world.random
}
