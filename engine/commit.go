package engine

import (
	"time"

	"farthing/journal"
)

// group is what one fsync commits, and who waits for it. It is filled by the
// sequencer, made durable by the committer, read by the indexer, and goes back to the
// sequencer: whoever received it last from a channel owns it.
type group struct {
	time    int64
	first   uint64 // sequence of its first command; 0: none yet
	last    uint64 // sequence of its last command, or what its answers depend on
	blocks  []journal.BlockInput
	rows    []journal.Row
	waiters []*Request
	bytes   int
	begun   int64 // when its first request was executed, on the engine's monotonic clock; 0: none was
	full    bool  // work was left over when it was handed over

	tables     tables          // as of the last command
	frozen     *generation     // identities that end with this group
	checkpoint *checkpointJob  // the state right after this group is being written
	synced     chan<- struct{} // closed when the group went through everything
}

// groupsMax is how many groups exist: one being filled, one being committed, the
// others between commit and index. When the indexer lags by that much, the sequencer
// waits, admission fills up and requests are refused: nothing piles up in memory.
const groupsMax = 6

// bodyKeep and blocksKeep bound what a reused group pins: a large request's blocks are some hundred.
const (
	bodyKeep   = 2 * journal.BlockBytes
	blocksKeep = 64
)

// reset makes the group ready to be filled.
func (g *group) reset() {
	clear(g.waiters)
	clear(g.rows)
	g.time, g.first, g.last, g.bytes = 0, 0, 0, 0
	g.begun, g.full = 0, false
	g.rows, g.waiters = g.rows[:0], g.waiters[:0]
	g.frozen, g.checkpoint, g.synced = nil, nil, nil
	g.tables = tables{}
	for i := range g.blocks {
		if cap(g.blocks[i].Body) > bodyKeep {
			g.blocks[i].Body = nil
		}
	}
	if len(g.blocks) > blocksKeep {
		clear(g.blocks[blocksKeep:])
		g.blocks = g.blocks[:blocksKeep:blocksKeep]
	}
	g.blocks = g.blocks[:0]
}

// cost is what its requests cost, by class.
func (g *group) cost() (sum [flowClasses]int64) {
	for _, r := range g.waiters {
		sum[r.ticket.class] += r.ticket.cost
	}
	return sum
}

// empty reports whether the group has neither commands nor waiters.
func (g *group) empty() bool {
	return g.first == 0 && len(g.waiters) == 0 && g.synced == nil && g.checkpoint == nil
}

// body returns the block that the next command goes to, a new one if the last is full.
func (g *group) body(seq uint64) *journal.BlockInput {
	if n := len(g.blocks); n > 0 && len(g.blocks[n-1].Body) < journal.BlockBytes-maxEventBytes {
		return &g.blocks[n-1]
	}
	if n := len(g.blocks); n < cap(g.blocks) {
		g.blocks = g.blocks[:n+1] // keeps the old body's memory
		g.blocks[n].Body = g.blocks[n].Body[:0]
	} else {
		g.blocks = append(g.blocks, journal.BlockInput{Body: make([]byte, 0, journal.BlockBytes)})
	}
	b := &g.blocks[len(g.blocks)-1]
	b.First = seq
	return b
}

// maxEventBytes is room for a usual event; a longer one makes its block longer.
const maxEventBytes = 512

// commitLoop is the committer: the only caller of Store.Commit. It ends when the
// sequencer closes the channel.
func (e *Engine) commitLoop() {
	defer close(e.toIndex)
	var jg journal.Group
	for g := range received(e, e.toCommit) {
		if g.first != 0 {
			jg.Blocks, jg.Time, jg.Rows = g.blocks, g.time, g.rows
			start := time.Now()
			if err := e.store.Commit(&jg); err != nil {
				e.fail(err)
			}
			e.marks.durable.advance(g.last)
			e.o.Observer.GroupCommitted(int(g.last-g.first+1), g.bytes, time.Since(start))
			t := g.tables // the group is reused, what is published is not
			told := len(e.published.Load().notices)
			e.published.Store(&t)
			if len(t.notices) > told {
				e.noticed.notify()
			}
		}
		if g.checkpoint != nil {
			g.checkpoint.head <- e.store.Head()
		}
		e.admission.flow.group(g.cost(), g.full, g.begun, e.mono())
		for _, r := range g.waiters {
			r.done <- struct{}{} // has room for one: never blocks
		}
		e.idle <- struct{}{} // room for one: the sequencer took the last token
		send(e, e.toIndex, g)
	}
}
