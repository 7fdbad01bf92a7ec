package engine

import (
	"fmt"
	"sync"
	"sync/atomic"

	"farthing/money"
)

// mark is a watermark: a sequence that only grows, and those who wait for it.
type mark struct {
	name  string
	value atomic.Uint64
	below *mark // what this mark never passes; nil: nothing
	mu    sync.Mutex
	moved sync.Cond
}

func (m *mark) init(name string, below *mark) {
	m.name, m.below = name, below
	m.moved.L = &m.mu
}

func (m *mark) load() uint64 { return m.value.Load() }

// advance moves the mark to seq. One goroutine advances a mark.
func (m *mark) advance(seq uint64) {
	if old := m.value.Load(); seq < old {
		panic(fmt.Sprintf("BUG: watermark %s goes back from %d to %d", m.name, old, seq))
	}
	if m.below != nil && seq > m.below.load() {
		panic(fmt.Sprintf("BUG: watermark %s at %d passes %s at %d", m.name, seq, m.below.name, m.below.load()))
	}
	m.mu.Lock()
	m.value.Store(seq)
	m.moved.Broadcast()
	m.mu.Unlock()
}

// wait returns once the mark has reached seq.
func (m *mark) wait(seq uint64) {
	if m.value.Load() >= seq {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.value.Load() < seq {
		m.moved.Wait()
	}
}

// watermarks hold: sealed <= durable; evidenced, indexed, checkpointed <= durable; dropped <= all of them.
// Published is kept in stream_seq by the relay (relay.go), never above what is sealed.
type watermarks struct {
	durable      mark // committed and synced
	evidenced    mark // in the trees and the statement index
	indexed      mark // in runs
	checkpointed mark // in the newest checkpoint
	sealed       mark // the last seal
	dropped      mark // exported, and gone from the store
}

func (w *watermarks) init() {
	w.durable.init("durable", nil)
	w.evidenced.init("evidenced", &w.durable)
	w.indexed.init("indexed", &w.durable)
	w.checkpointed.init("checkpointed", &w.durable)
	w.sealed.init("sealed", &w.durable)
	w.dropped.init("dropped", &w.sealed)
}

// drop moves the mark of what is gone, which passes no other.
func (w *watermarks) drop(seq uint64) {
	for _, m := range []*mark{&w.evidenced, &w.indexed, &w.checkpointed} {
		if at := m.load(); seq > at {
			panic(fmt.Sprintf("BUG: watermark dropped at %d passes %s at %d", seq, m.name, at))
		}
	}
	w.dropped.advance(seq)
}

// windowTrees is what the trees of a closed window came to.
type windowTrees struct {
	roots map[money.Currency][32]byte
	sizes map[money.Currency]uint64
}

// rootTable hands what the trees of closed windows came to from the indexer to the settler.
type rootTable struct {
	mu    sync.Mutex
	trees map[uint64]windowTrees
}

func (t *rootTable) put(window uint64, trees windowTrees) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trees[window] = trees
}

// take returns what a window's trees came to and forgets it.
func (t *rootTable) take(window uint64) windowTrees {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.trees[window]
	delete(t.trees, window)
	return w
}
