package engine

import (
	"errors"
	"fmt"

	"farthing/journal"
	"farthing/money"
	"farthing/refusal"
)

// Proof proves that an event is part of a sealed batch: its leaf, and the path from there to the
// root in the batch's manifest. An event that was rated late is a leaf of the window in which that
// happened. What corrects an event later moves money in later windows and leaves its leaf as it is.
func (e *Engine) Proof(source, id string) (Proof, *refusal.Refusal) {
	done, refused := e.read()
	if refused != nil {
		return Proof{}, refused
	}
	defer done()
	blocks := blockReader{e: e}
	origin, refused := e.originOf(source, id, &blocks)
	if refused != nil {
		return Proof{}, refused
	}
	seq, refused := e.ratedAt(origin, &blocks)
	if refused != nil {
		return Proof{}, refused
	}
	if seq == 0 {
		return Proof{}, refusal.New(refusal.SettlementConflict, "not_priced", "event %s of source %s has no price, so no batch has it", id, source)
	}
	out, settled, err := e.prove(seq, &blocks)
	if err != nil {
		return Proof{}, e.damaged(err)
	}
	if !settled {
		return Proof{}, refusal.New(refusal.SettlementConflict, "not_settled", "the window of event %s of source %s is not settled yet", id, source)
	}
	return out, nil
}

// ratedAt returns the sequence at which an event got its first rating; 0: it has none. Only of an
// event that had no price when it came is the sequencer asked what amended it: that waits for a
// group, which under load takes longer than everything else.
func (e *Engine) ratedAt(origin uint64, blocks *blockReader) (uint64, *refusal.Refusal) {
	c, err := blocks.at(origin)
	if err != nil {
		return 0, e.damaged(err)
	}
	if c.isEvent() && c.event.reason == priced {
		return origin, nil
	}
	last, refused := e.lastAmendment(origin)
	if refused != nil {
		return 0, refused
	}
	seq, err := blocks.ratedAt(origin, last)
	if err != nil {
		return 0, e.damaged(err)
	}
	return seq, nil
}

// ratedAt returns the sequence at which an event got its first rating, itself or an amendment;
// 0: it has none.
func (b *blockReader) ratedAt(origin, last uint64) (uint64, error) {
	for seq := last; ; {
		c, err := b.at(seq)
		if err != nil {
			return 0, err
		}
		if c.isEvent() {
			if c.event.reason != priced {
				return 0, nil
			}
			return seq, nil
		}
		a, err := c.amendment()
		if err != nil {
			return 0, err
		}
		if a.prev >= seq || a.origin != origin {
			return 0, fmt.Errorf("sequence %d does not amend what came before it", seq)
		}
		if a.op == amendRated {
			return seq, nil
		}
		seq = a.prev
	}
}

// prove makes the proof of the leaf of a command; false: its window is not sealed yet.
func (e *Engine) prove(seq uint64, blocks *blockReader) (out Proof, settled bool, err error) {
	windows := e.published.Load().windows
	i := windowIndex(windows, seq)
	if i == len(windows) {
		return out, false, nil
	}
	c, err := blocks.at(seq)
	if err != nil {
		return out, false, err
	}
	p := prover{window: windows[i].number}
	if err := p.leafAt(c); err != nil {
		return out, false, err
	}
	p.tree = &journalTree{e: e, window: p.window, currency: p.currency}
	for k := range windows[i].batches {
		if b := &windows[i].batches[k]; b.currency == p.currency {
			out, err = p.proof(b)
			return out, true, err
		}
	}
	return out, false, fmt.Errorf("sequence %d: window %d has no batch in %s", seq, p.window, p.currency.Code())
}

// journalTree is the tree of a window in a currency as the store has it.
type journalTree struct {
	e        *Engine
	window   uint64
	currency money.Currency
}

func (t *journalTree) manifest(b *sealedBatch) ([]byte, error) {
	stored, ok, err := t.e.store.Get(journal.SpaceManifest, b.id[:])
	if err != nil || !ok {
		return nil, missing("manifest of batch "+hexID(b.id), err)
	}
	return stored, nil
}

func (t *journalTree) tile(level int, number uint64) ([]byte, bool, error) {
	return t.e.store.Get(journal.SpaceEvidence, evidenceKey(t.window, t.currency, level, number))
}

// leaves reads them from the journal: they lie within batch.FarBytes, or nearly. Those that were dropped the base has.
func (t *journalTree) leaves(first uint64, count int) (leafHashes, error) {
	for {
		base := t.e.store.Base()
		out, err := t.leavesAfter(base, first, count)
		if !errors.Is(err, journal.ErrDropped) || t.e.store.Base() == base {
			return out, err
		}
	}
}

func (t *journalTree) leavesAfter(base journal.Base, first uint64, count int) (out leafHashes, err error) {
	from := first
	if first <= base.Seq {
		if out, err = t.e.baseLeaves(base, t, first); err != nil {
			return out, err
		}
		from = base.Seq + 1
	}
	var c cursor
	tables := t.e.published.Load()
	err = t.e.store.Blocks(from, func(b *journal.Block) error {
		c.reset(b.Body, b.First, b.Time, tables)
		for c.next() {
			if c.seq < from {
				continue
			}
			if err := out.add(&c, t.currency); err != nil {
				return err
			}
			if len(out.hashes) >= count {
				return errAllLeaves
			}
		}
		return c.err()
	})
	if errors.Is(err, errAllLeaves) {
		err = nil
	}
	return out, err
}
