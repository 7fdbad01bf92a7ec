package engine

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"farthing/ledger"
)

// indexer goes behind durable: it reads every durable group once and keeps the
// evidence trees of the open window and the statement index; full generations of
// identities it hands to the run builder. It belongs to its goroutine; what it publishes
// (roots, postings) is immutable or locked.
type indexer struct {
	e       *Engine
	cur     cursor
	earners *earners
	trees   evidence
	young   *postings // of what no generation handed to the builder covers
	usual   leanReader
}

// runJob is a full generation with the statement entries of the same sequences.
type runJob struct {
	generation *generation
	postings   *postings
}

// loop is the indexer's goroutine; it ends when the committer closes the channel.
func (x *indexer) loop() {
	defer close(x.e.toBuild)
	for g := range received(x.e, x.e.toIndex) {
		if g.first != 0 {
			x.group(g)
		}
		if g.frozen != nil {
			x.handOver(g.frozen)
		}
		if g.checkpoint != nil {
			g.checkpoint.evidence <- x.trees.append(nil)
		}
		if g.synced != nil {
			close(g.synced)
		}
		send(x.e, x.e.free, g)
	}
}

// group reads a durable group.
func (x *indexer) group(g *group) {
	x.young.mu.Lock()
	for i := range g.blocks {
		b := &g.blocks[i]
		x.trees.block(b.Body)
		x.cur.reset(b.Body, b.First, g.time, &g.tables)
		for x.lean(&x.cur); x.cur.next(); x.lean(&x.cur) {
			x.command(&x.cur, true, true)
		}
		if err := x.cur.err(); err != nil {
			panic("BUG: a durable block does not decode: " + err.Error())
		}
	}
	x.young.mu.Unlock()
	if err := x.trees.write(x.e.store); err != nil {
		x.e.fail(fmt.Errorf("evidence: %w", err))
	}
	x.e.marks.evidenced.advance(g.last)
}

// command takes a command into the trees, if it is newer than they are, and its statement
// entries, if no run has them.
func (x *indexer) command(c *cursor, newer, unindexed bool) {
	var a *amendment
	if c.kind == kindAmend {
		var err error
		if a, err = c.amendment(); err != nil {
			panic("BUG: a durable amendment does not decode: " + err.Error())
		}
	}
	if newer {
		x.trees.command(c, a)
	}
	r := reader{p: c.payload}
	switch {
	case c.isEvent():
		if unindexed && c.event.reason == priced {
			x.young.postEvent(c.seq, &c.event, c.t, x.earners)
		}
	case a != nil:
		if unindexed {
			x.young.postAmendment(c.seq, a, c.t, x.earners)
		}
	case c.kind == kindCut:
		if newer {
			x.e.roots.put(r.cut().window, x.trees.cut())
		}
	case unindexed:
		x.young.postCommand(c.kind, &r, c.seq, c.t, x.earners)
	}
}

// handOver gives a full generation and the postings up to its end to the run builder. If
// that is a whole generation behind, the indexer waits here, and so does admission in the end.
func (x *indexer) handOver(g *generation) {
	job := runJob{g, x.young}
	x.young = &postings{}
	x.e.young.add(x.young)
	send(x.e, x.e.toBuild, job)
}

// buildLoop is the run builder's goroutine: it writes runs, publishes them and tells the
// sequencer which generations may go. It ends when the indexer closes the channel.
func (e *Engine) buildLoop() {
	defer close(e.buildDone)
	for job := range received(e, e.toBuild) {
		g := job.generation
		if err := e.untilWritten("identity run", func() error { return e.runs.write(g, job.postings) }); err != nil {
			e.fail(fmt.Errorf("identity run %d: %w", g.number, err))
		}
		// Readers take the young postings first and the runs after, and look again if
		// either changed.
		e.young.remove(job.postings)
		e.marks.indexed.advance(g.last)
		e.dropBelow.Store(g.number + 1)
		e.tidy.wake()
	}
}

// youngPostings is the statement entries that no run covers, oldest first: those being
// built and those being filled. Writers are the indexer and the run builder.
type youngPostings struct {
	mu   sync.Mutex // between the writers
	list atomic.Pointer[[]*postings]
}

func (y *youngPostings) load() *[]*postings { return y.list.Load() }

func (y *youngPostings) add(p *postings) {
	y.mu.Lock()
	defer y.mu.Unlock()
	var list []*postings
	if old := y.list.Load(); old != nil {
		list = append(list, *old...)
	}
	list = append(list, p)
	y.list.Store(&list)
}

func (y *youngPostings) remove(p *postings) {
	y.mu.Lock()
	defer y.mu.Unlock()
	list := slices.DeleteFunc(slices.Clone(*y.list.Load()), func(q *postings) bool { return q == p })
	y.list.Store(&list)
}

// statement returns up to limit sequences above seq that moved an account, ascending.
func (e *Engine) statement(a ledger.Ref, seq uint64, limit int) ([]uint64, error) {
	for {
		young := e.young.load()
		set := e.runs.load()
		var out []uint64
		var err error
		for i := range set.statements {
			r := &set.statements[i]
			if r.last <= seq || len(out) == limit {
				continue
			}
			if out, err = r.after(e.store, a, seq, limit, out); err != nil {
				break
			}
		}
		for _, p := range *young {
			out = p.after(a, max(seq, set.indexedTo()), limit, out)
		}
		if e.young.load() == young && e.runs.load() == set {
			return out, err
		}
	}
}
