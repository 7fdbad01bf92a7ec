package engine

import (
	"errors"
	"fmt"
	"sort"

	"farthing/batch"
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
	p := prover{e: e, seq: seq, window: windows[i].number}
	if err := p.leafAt(blocks); err != nil {
		return out, false, err
	}
	for k := range windows[i].batches {
		if b := &windows[i].batches[k]; b.currency == p.currency {
			if out, err = p.proof(b); err != nil {
				err = fmt.Errorf("proof of sequence %d: %w", seq, err)
			}
			return out, true, err
		}
	}
	return out, false, fmt.Errorf("sequence %d: window %d has no batch in %s", seq, p.window, p.currency.Code())
}

// prover makes one proof.
type prover struct {
	e           *Engine
	seq         uint64 // of the leaf's command
	window      uint64
	currency    money.Currency
	leaf, shape []byte
	tree        batch.Tree
	index       uint64
	leaves      [][32]byte // hashes of the 256 leaves, or less at the end, that it is among
}

// leafAt reads the leaf from the journal.
func (p *prover) leafAt(blocks *blockReader) error {
	c, err := blocks.at(p.seq)
	if err != nil {
		return err
	}
	record, err := leafOf(c)
	if err == nil && record == nil {
		err = fmt.Errorf("sequence %d has no leaf", p.seq)
	}
	if err != nil {
		return err
	}
	p.currency = c.t.people[record.account].Currency
	p.leaf = appendLeaf(nil, c.seq, record, c.t)
	p.shape = record.shapeBytes(c.t)
	return nil
}

// leafOf is leafRecord for a reader that has not looked at the command yet.
func leafOf(c *cursor) (*eventRecord, error) {
	if c.kind != kindAmend {
		return leafRecord(c, nil), nil
	}
	a, err := c.amendment()
	if err != nil {
		return nil, err
	}
	return leafRecord(c, a), nil
}

// proof completes the proof and holds it against the manifest.
func (p *prover) proof(b *sealedBatch) (Proof, error) {
	if err := p.find(b.events); err != nil {
		return Proof{}, err
	}
	path, err := p.tree.Path(p.index, p.tile)
	if err != nil {
		return Proof{}, err
	}
	out := Proof{Batch: hexID(b.id), Window: p.window, Currency: p.currency, Leaf: p.leaf, Shape: p.shape, Index: p.index,
		Size: p.tree.Size(), Path: path, Root: p.tree.Root(), Sequence: p.seq}
	stored, ok, err := p.e.store.Get(journal.SpaceManifest, b.id[:])
	if err != nil || !ok {
		return out, missing("manifest of batch "+out.Batch, err)
	}
	manifest, err := batch.ParseManifest(stored)
	if err != nil {
		return out, err
	}
	if out.Root != manifest.MerkleRoot {
		return out, fmt.Errorf("the tree's root is not that of batch %s", out.Batch)
	}
	return out, batch.VerifyPath(batch.LeafHash(p.leaf), out.Index, out.Size, path, manifest.MerkleRoot)
}

// find reads the finished tree and finds the leaf's index in it.
func (p *prover) find(size uint64) error {
	state, err := p.get(batch.LevelPeaks, 0)
	if err != nil {
		return err
	}
	if err := p.tree.UnmarshalBinary(state); err != nil {
		return err
	}
	if p.tree.Size() != size {
		return fmt.Errorf("the tree has %d leaves, the batch %d events", p.tree.Size(), size)
	}
	node, first, err := p.node()
	if err != nil {
		return err
	}
	at, err := p.among(node, first, int(min(size-node*batch.TileWidth, batch.TileWidth)))
	p.index = node*batch.TileWidth + uint64(at)
	return err
}

// node finds the 256 leaves that the leaf is among: their number and the position of the first.
func (p *prover) node() (node, first uint64, err error) {
	nodes := (p.tree.Size() + batch.TileWidth - 1) / batch.TileWidth
	tiles := (nodes + batch.TileWidth - 1) / batch.TileWidth
	var at []uint64
	// The last tile whose first leaf is not behind ours.
	tile := sort.Search(int(tiles), func(i int) bool {
		if err != nil {
			return true
		}
		var positions []uint64
		positions, err = p.positions(uint64(i))
		return err != nil || positions[0] > p.seq
	}) - 1
	if err == nil && tile >= 0 {
		at, err = p.positions(uint64(tile))
	}
	if err != nil || tile < 0 {
		return 0, 0, errors.Join(err, fmt.Errorf("%d leaves have tile %d of level 1", p.tree.Size(), tile))
	}
	i := sort.Search(len(at), func(i int) bool { return at[i] > p.seq }) - 1
	node = uint64(tile)*batch.TileWidth + uint64(i)
	if node >= nodes {
		return 0, 0, fmt.Errorf("%d leaves have a node %d", p.tree.Size(), node)
	}
	return node, at[i], nil
}

// positions reads the positions of a tile of level 1.
func (p *prover) positions(tile uint64) ([]uint64, error) {
	value, err := p.get(1, tile)
	if err != nil {
		return nil, err
	}
	_, first, err := batch.ParseNodeTile(value)
	return first, err
}

// among finds the leaf among the so many leaves from a position on, and keeps their hashes.
func (p *prover) among(node, first uint64, count int) (int, error) {
	value, there, err := p.e.store.Get(journal.SpaceEvidence, evidenceKey(p.window, p.currency, 0, node))
	if err != nil {
		return 0, err
	}
	if !there {
		return p.hashAgain(first, count)
	}
	hashes, positions, err := batch.ParseLeafTile(value)
	if err != nil || len(hashes) != count {
		return 0, errors.Join(err, fmt.Errorf("%d leaves of %d are kept", len(hashes), count))
	}
	at := sort.Search(count, func(i int) bool { return positions[i] >= p.seq })
	if at == count || positions[at] != p.seq {
		return 0, errors.New("its leaf is not among those kept")
	}
	p.leaves = hashes
	return at, nil
}

// errAllLeaves ends hashAgain's walk.
var errAllLeaves = errors.New("all leaves were read")

// hashAgain reads the leaves from the journal: they lie within batch.FarBytes, or nearly.
func (p *prover) hashAgain(first uint64, count int) (at int, err error) {
	at = -1
	var c cursor
	var leaf []byte
	t := p.e.published.Load()
	err = p.e.store.Blocks(first, func(b *journal.Block) error {
		c.reset(b.Body, b.First, b.Time, t)
		for c.next() {
			if c.seq < first {
				continue
			}
			record, err := leafOf(&c)
			if err != nil {
				return err
			}
			if record == nil || t.people[record.account].Currency != p.currency {
				continue
			}
			if c.seq == p.seq {
				at = len(p.leaves)
			}
			leaf = appendLeaf(leaf[:0], c.seq, record, t)
			if p.leaves = append(p.leaves, batch.LeafHash(leaf)); len(p.leaves) == count {
				return errAllLeaves
			}
		}
		return c.err()
	})
	if !errors.Is(err, errAllLeaves) {
		return 0, errors.Join(err, fmt.Errorf("%d leaves of %d from sequence %d on", len(p.leaves), count, first))
	}
	if at < 0 {
		return 0, fmt.Errorf("its leaf is not among the %d from sequence %d on", count, first)
	}
	return at, nil
}

// tile is a batch.TileFunc.
func (p *prover) tile(level int, number uint64) ([][32]byte, error) {
	if level == 0 {
		return p.leaves, nil // the only ones that the path of this leaf asks for
	}
	value, err := p.get(level, number)
	if err != nil {
		return nil, err
	}
	if level == 1 {
		hashes, _, err := batch.ParseNodeTile(value)
		return hashes, err
	}
	return batch.ParseTile(value)
}

// get reads a tile that must be there.
func (p *prover) get(level int, number uint64) ([]byte, error) {
	key := evidenceKey(p.window, p.currency, level, number)
	value, ok, err := p.e.store.Get(journal.SpaceEvidence, key)
	if err != nil || !ok {
		return nil, missing(tileName(key), err)
	}
	return value, nil
}
