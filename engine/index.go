package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"farthing/batch"
	"farthing/ledger"
	"farthing/money"
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
	leaf    []byte
}

// runJob is a full generation with the statement entries of the same sequences.
type runJob struct {
	generation *generation
	postings   *postings
}

// evidence is the Merkle trees over the priced events of the open window, one a
// currency (RFC 6962). It is part of checkpoints, so a restart does not hash a window again.
type evidence struct {
	trees []*batch.Tree // by currency index; nil: the currency was never used
}

func newEvidence() evidence { return evidence{trees: make([]*batch.Tree, money.Currencies())} }

// add adds the leaf of an event in the given currency.
func (v *evidence) add(c money.Currency, leaf []byte) {
	t := v.trees[c.Index()]
	if t == nil {
		t = &batch.Tree{}
		v.trees[c.Index()] = t
	}
	t.Append(leaf)
}

// cut returns the roots of the window that closes and starts the next one's trees.
func (v *evidence) cut() map[money.Currency][32]byte {
	roots := map[money.Currency][32]byte{}
	for i, t := range v.trees {
		if t != nil {
			roots[money.CurrencyAt(i)] = t.Root()
			t.Reset()
		}
	}
	return roots
}

// emptyRoot is the root of a window without events in a currency: RFC 6962's hash of
// the empty string.
func emptyRoot() [32]byte { return new(batch.Tree).Root() }

// append writes the trees for a checkpoint, by currency code.
func (v *evidence) append(dst []byte) []byte {
	for i, t := range v.trees {
		if t == nil {
			continue
		}
		state, err := t.MarshalBinary()
		if err != nil {
			panic("BUG: a tree does not encode: " + err.Error())
		}
		dst = appendBytes(append(dst, money.CurrencyAt(i).Code()...), state)
	}
	return dst
}

func parseEvidence(p []byte) (evidence, error) {
	v := newEvidence()
	r := reader{p: p}
	for len(r.p) > 0 {
		c, state := r.currency(), r.bytes()
		if r.bad {
			return v, errCodec
		}
		t := &batch.Tree{}
		if err := t.UnmarshalBinary(state); err != nil {
			return v, fmt.Errorf("evidence of %s: %w", c.Code(), err)
		}
		v.trees[c.Index()] = t
	}
	return v, nil
}

// appendLeaf appends the leaf of a priced event, version 1. Everything a dispute needs
// is in it, and nothing that only this ledger's files could tell:
//
//	1 | source | id | subject | SHA-256 of shape | quantities | time | currency | amount | price version | sequence
//
// Strings are preceded by their uvarint length; shape is the canonical shape bytes
// (package meter) with all dimensions; a quantity is the uvarint of twice its whole units,
// or of twice its millionths plus one if it is not whole; time is nanoseconds, 8 bytes
// big-endian; currency is its 3 letters; amount is package money's binary form; sequence is a
// uvarint. The shape stands as its hash, known since it was interned, because with it a usual
// leaf takes two blocks of SHA-256 instead of three, a fifth of the time of a tree.
func appendLeaf(dst []byte, seq uint64, e *eventRecord, t *tables) []byte {
	person := t.people[e.account]
	dst = append(dst, 1)
	dst = appendBytes(dst, e.source)
	dst = appendBytes(dst, e.id)
	dst = appendBytes(dst, person.ID)
	if len(e.extras) == 0 {
		dst = append(dst, t.shapes[e.shape].hash[:]...)
	} else {
		full := fullShape(e, t)
		hash := sha256.Sum256(full.Append(nil))
		dst = append(dst, hash[:]...)
	}
	for i := range e.components {
		dst = appendQuantity(dst, e.quantities[i])
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.time))
	dst = append(dst, person.Currency.Code()...)
	dst = e.amount.AppendBinary(dst)
	dst = appendBytes(dst, t.versions[e.version].Version.ID)
	return binary.AppendUvarint(dst, seq)
}

// loop is the indexer's goroutine; it ends when the committer closes the channel.
func (x *indexer) loop() {
	defer close(x.e.toBuild)
	for g := range x.e.toIndex {
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
		x.e.free <- g
	}
}

// group reads a durable group.
func (x *indexer) group(g *group) {
	x.young.mu.Lock()
	for i := range g.blocks {
		b := &g.blocks[i]
		x.cur.reset(b.Body, b.First, g.time, &g.tables)
		for x.cur.next() {
			x.command()
		}
		if err := x.cur.err(); err != nil {
			panic("BUG: a durable block does not decode: " + err.Error())
		}
	}
	x.young.mu.Unlock()
	x.e.marks.evidenced.advance(g.last)
}

func (x *indexer) command() {
	c := &x.cur
	if c.isEvent() {
		x.event(c.seq, &c.event)
		return
	}
	r := reader{p: c.payload}
	switch c.kind {
	case kindCut:
		x.e.roots.put(r.cut().window, x.trees.cut())
	case kindAmend:
		x.amendment(c, true, true)
	default:
		x.young.postCommand(c.kind, &r, c.seq, c.t, x.earners)
	}
}

// event adds a priced event's leaf and its statement entries.
func (x *indexer) event(seq uint64, e *eventRecord) {
	if e.reason != priced {
		return
	}
	t := x.cur.t
	x.leaf = appendLeaf(x.leaf[:0], seq, e, t)
	x.trees.add(t.people[e.account].Currency, x.leaf)
	x.young.postEvent(seq, e, t, x.earners)
}

// amendment adds the leaf of an event that was rated late, which belongs to the window in
// which it posts, and the statement entries of an amendment.
func (x *indexer) amendment(c *cursor, newer, unindexed bool) {
	a, err := c.amendment()
	if err != nil {
		panic("BUG: a durable amendment does not decode: " + err.Error())
	}
	if newer {
		x.leaf = x.trees.amendment(x.leaf, c, a)
	}
	if unindexed {
		x.young.postAmendment(c.seq, a, c.t, x.earners)
	}
}

// amendment adds the leaf of an amendment that is an event of its window; scratch is reused.
func (v *evidence) amendment(scratch []byte, c *cursor, a *amendment) []byte {
	if a.op != amendRated {
		return scratch
	}
	scratch = appendLeaf(scratch[:0], c.seq, &a.new, c.t)
	v.add(c.t.people[a.new.account].Currency, scratch)
	return scratch
}

// handOver gives a full generation and the postings up to its end to the run builder. If
// that is a whole generation behind, the indexer waits here, and so does admission in the end.
func (x *indexer) handOver(g *generation) {
	job := runJob{g, x.young}
	x.young = &postings{}
	x.e.young.add(x.young)
	x.e.toBuild <- job
}

// buildLoop is the run builder's goroutine: it writes runs, publishes them and tells the
// sequencer which generations may go. It ends when the indexer closes the channel.
func (e *Engine) buildLoop() {
	defer close(e.buildDone)
	for job := range e.toBuild {
		g := job.generation
		set, err := e.runs.load().write(g, job.postings)
		if err != nil {
			e.fail(fmt.Errorf("identity run %d: %w", g.number, err))
		}
		// Readers take the young postings first and the runs after, and look again if
		// either changed.
		e.runs.current.Store(set)
		e.young.remove(job.postings)
		e.marks.indexed.advance(g.last)
		e.dropBelow.Store(set.version)
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
		for _, r := range set.runs {
			if r.last <= seq || len(out) == limit {
				continue
			}
			if out, err = set.statementAfter(r, a, seq, limit, out); err != nil {
				return nil, err
			}
		}
		for _, p := range *young {
			out = p.after(a, max(seq, set.indexedTo()), limit, out)
		}
		if e.young.load() == young && e.runs.load() == set {
			return out, nil
		}
	}
}
