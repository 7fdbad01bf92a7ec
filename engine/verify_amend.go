package engine

import (
	"bytes"
	"fmt"
	"slices"

	"farthing/journal"
)

// amendment checks that an amendment speaks of the event as the journal has it, and takes it
// into the trees and statements. What it moved, replay has computed anew.
func (v *verifier) amendment(c *cursor) error {
	a, err := c.amendment()
	if err != nil {
		return err
	}
	v.trees.command(c, a)
	if v.runs.posting(c.seq) {
		v.runs.posts.postAmendment(c.seq, a, c.t, v.earners)
	}
	if a.prev <= v.base.at.Seq {
		return nil // what it amends was exported; the state says that it is the last to have amended it
	}
	prev, err := v.amended.at(v, a.prev)
	if err != nil {
		return err
	}
	st, err := prev.standing()
	if err != nil {
		return fmt.Errorf("sequence %d amends sequence %d, which is no event: %w", c.seq, a.prev, err)
	}
	want := st.amend(a.op)
	if a.origin != st.origin || !sameFacts(&want.old, &a.old, c.t) || (a.op.rates() && !sameShape(&want.old, &a.new, c.t)) {
		return fmt.Errorf("sequence %d amends sequence %d, which says something else of the event", c.seq, a.prev)
	}
	return nil
}

// sameFacts compares what two records say of an event and of the rating that stood.
func sameFacts(a, b *eventRecord, t *tables) bool {
	if !bytes.Equal(a.source, b.source) || !bytes.Equal(a.id, b.id) || a.account != b.account || a.time != b.time || a.reason != b.reason ||
		a.components != b.components || !slices.Equal(a.quantities[:a.components], b.quantities[:b.components]) {
		return false
	}
	return a.reason != priced || (a.version == b.version && a.shape == b.shape && sameShape(a, b, t))
}

func sameShape(a, b *eventRecord, t *tables) bool {
	return bytes.Equal(a.shapeBytes(t), b.shapeBytes(t))
}

// lastRead is the block that was read last and where in it. Amendments of one job follow
// their events' order: each block is read once for all of them.
type lastRead struct {
	block *journal.Block
	cur   cursor
}

// at returns the command at a sequence that was replayed before; it is valid until the next call.
func (l *lastRead) at(v *verifier, seq uint64) (*cursor, error) {
	if l.block == nil || seq < l.block.First || seq > l.block.Last {
		block, err := v.store.BlockAt(seq)
		if err != nil {
			return nil, err
		}
		l.block, l.cur.seq = block, 0
	}
	if l.cur.seq == seq {
		return &l.cur, nil
	}
	if l.cur.seq == 0 || seq < l.cur.seq {
		l.cur.reset(l.block.Body, l.block.First, l.block.Time, &v.replay.state.tables)
	}
	return &l.cur, l.cur.skipTo(seq)
}

// commandAt reads a command that was replayed before.
func (v *verifier) commandAt(seq uint64) (*cursor, error) {
	b, err := v.store.BlockAt(seq)
	if err != nil {
		return nil, err
	}
	c := &cursor{}
	c.reset(b.Body, b.First, b.Time, &v.replay.state.tables)
	return c, c.skipTo(seq)
}

// result checks that a result speaks of its line as the record has it, which replay does not read.
func (v *verifier) result(c *cursor) error {
	r := reader{p: c.payload}
	p := r.lineResult()
	v.records.store = v.store
	line, err := v.records.at(c.t.batches[p.batch].sealed(), p.line)
	if err != nil {
		return err
	}
	if c.t.people[p.account].ID != line.Account || p.whole != line.Signed() {
		return fmt.Errorf("sequence %d moves %s of account %s: line %d of batch %s is %s of account %s", c.seq, p.whole, c.t.people[p.account].ID, p.line,
			hexID(c.t.batches[p.batch].sealed().id), line.Signed(), line.Account)
	}
	return nil
}
