package engine

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"farthing/batch"
	"farthing/money"
)

// A proof is made of a leaf and the tiles of its tree, wherever they are: in the store (journalTree) or in exported parts
// (exportedTree). What is made is the same, and held against the manifest.

// treeSource has the tree of a window in a currency.
type treeSource interface {
	manifest(b *sealedBatch) ([]byte, error)
	tile(level int, number uint64) (value []byte, there bool, err error)
	// leaves makes the hashes of so many leaves from the position of the first on, of which no tile is kept.
	leaves(first uint64, count int) (leafHashes, error)
}

// leafHashes are those of leaves that lie side by side in a tree, with their positions.
type leafHashes struct {
	hashes    [][32]byte
	positions []uint64
	scratch   []byte
}

// errAllLeaves ends a walk for leaves.
var errAllLeaves = errors.New("all leaves were read")

// add adds the current command's leaf, if it has one in the currency.
func (l *leafHashes) add(c *cursor, currency money.Currency) error {
	record, err := leafOf(c)
	if err != nil || record == nil || c.t.people[record.account].Currency != currency {
		return err
	}
	l.scratch = appendLeaf(l.scratch[:0], c.seq, record, c.t)
	l.hashes, l.positions = append(l.hashes, batch.LeafHash(l.scratch)), append(l.positions, c.seq)
	return nil
}

// prover makes one proof.
type prover struct {
	tree        treeSource
	seq         uint64 // of the leaf's command
	window      uint64
	currency    money.Currency
	leaf, shape []byte
	state       batch.Tree
	index       uint64
	leaves      [][32]byte // hashes of the 256 leaves, or less at the end, that it is among
}

// leafAt takes the current command's leaf.
func (p *prover) leafAt(c *cursor) error {
	record, err := leafOf(c)
	if err == nil && record == nil {
		err = fmt.Errorf("sequence %d has no leaf", c.seq)
	}
	if err != nil {
		return err
	}
	p.seq, p.currency = c.seq, c.t.people[record.account].Currency
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
	out, err := p.prove(b)
	if err != nil {
		err = fmt.Errorf("proof of sequence %d: %w", p.seq, err)
	}
	return out, err
}

func (p *prover) prove(b *sealedBatch) (Proof, error) {
	if err := p.find(b.events); err != nil {
		return Proof{}, err
	}
	path, err := p.state.Path(p.index, p.nodes)
	if err != nil {
		return Proof{}, err
	}
	out := Proof{Batch: hexID(b.id), Window: p.window, Currency: p.currency, Leaf: p.leaf, Shape: p.shape, Index: p.index,
		Size: p.state.Size(), Path: path, Root: p.state.Root(), Sequence: p.seq}
	stored, err := p.tree.manifest(b)
	if err != nil {
		return out, err
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
	if err := p.state.UnmarshalBinary(state); err != nil {
		return err
	}
	if p.state.Size() != size {
		return fmt.Errorf("the tree has %d leaves, the batch %d events", p.state.Size(), size)
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
	nodes := (p.state.Size() + batch.TileWidth - 1) / batch.TileWidth
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
		return 0, 0, errors.Join(err, fmt.Errorf("%d leaves have tile %d of level 1", p.state.Size(), tile))
	}
	i := sort.Search(len(at), func(i int) bool { return at[i] > p.seq }) - 1
	node = uint64(tile)*batch.TileWidth + uint64(i)
	if node >= nodes {
		return 0, 0, fmt.Errorf("%d leaves have a node %d", p.state.Size(), node)
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
	var found leafHashes
	value, there, err := p.tree.tile(0, node)
	if err == nil && there {
		found.hashes, found.positions, err = batch.ParseLeafTile(value)
	} else if err == nil {
		found, err = p.tree.leaves(first, count)
	}
	if err != nil {
		return 0, err
	}
	if len(found.hashes) != count {
		return 0, fmt.Errorf("%d leaves of %d from sequence %d on", len(found.hashes), count, first)
	}
	at, is := slices.BinarySearch(found.positions, p.seq)
	if !is {
		return 0, fmt.Errorf("its leaf is not among the %d from sequence %d on", count, first)
	}
	p.leaves = found.hashes
	return at, nil
}

// nodes is a batch.TileFunc.
func (p *prover) nodes(level int, number uint64) ([][32]byte, error) {
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
	value, there, err := p.tree.tile(level, number)
	if err != nil || !there {
		return nil, missing(tileName(evidenceKey(p.window, p.currency, level, number)), err)
	}
	return value, nil
}
