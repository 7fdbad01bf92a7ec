package engine

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime/debug"
)

// simStages runs the stages of an engine and its clients as coroutines: exactly one runs at any
// time, and the seed decides which goes on.
type simStages struct {
	rng     *rand.Rand
	list    []*simStage
	running *simStage
	sure    bool // all that are blocked were tried since anything moved
	note    func(stage string)
}

type simStage struct {
	name    string
	next    func() (struct{}, bool)
	stop    func()
	giveWay func(struct{}) bool
	blocked bool
}

// simDropped unwinds a stage whose process is gone.
type simDropped struct{}

// simFailure is what a simulation has found.
type simFailure struct{ text, stack string }

func (w *simStages) spawn(name string, stage func()) {
	s := &simStage{name: name}
	s.next, s.stop = iter.Pull(iter.Seq[struct{}](func(yield func(struct{}) bool) {
		s.giveWay = yield
		defer func() {
			switch p := recover().(type) {
			case nil, simDropped:
			case simFailure:
				panic(p)
			default:
				panic(simFailure{fmt.Sprintf("%s: %v", name, p), string(debug.Stack())})
			}
		}()
		stage()
	}))
	w.list = append(w.list, s)
	w.moved()
}

// give lets the driver go on until it resumes this stage.
func (w *simStages) give() {
	if !w.running.giveWay(struct{}{}) {
		panic(simDropped{})
	}
}

func (w *simStages) park() {
	w.running.blocked = true
	w.give()
}

func (w *simStages) yield() {
	w.moved()
	w.give()
}

// moved is called when something happened that others may wait for.
func (w *simStages) moved() {
	w.sure = false
	for _, s := range w.list {
		s.blocked = false
	}
}

// step resumes one stage; false: none can go on, and none will until time passes.
func (w *simStages) step() bool {
	var ready []*simStage
	for {
		for _, s := range w.list {
			if !s.blocked {
				ready = append(ready, s)
			}
		}
		if len(ready) > 0 {
			break
		}
		if w.sure || len(w.list) == 0 {
			return false
		}
		w.moved()
		w.sure = true // unless something moves until all are blocked again
	}
	s := ready[w.rng.IntN(len(ready))]
	w.note(s.name)
	w.running = s
	_, alive := s.next()
	w.running = nil
	if !alive {
		w.remove(s)
	}
	return true
}

func (w *simStages) remove(s *simStage) {
	for i, o := range w.list {
		if o == s {
			w.list = append(w.list[:i:i], w.list[i+1:]...)
			break
		}
	}
	w.moved()
}

// drop ends all stages where they are: their process is gone.
func (w *simStages) drop() {
	for _, s := range w.list {
		w.running = s
		s.stop()
	}
	w.running, w.list = nil, nil
}

// alive reports whether a stage of the name is there.
func (w *simStages) alive(name string) bool {
	for _, s := range w.list {
		if s.name == name {
			return true
		}
	}
	return false
}
