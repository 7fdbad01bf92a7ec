package engine

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

	"farthing/batch"
	"farthing/journal"
)

// What verify does where the history does not begin with the genesis. It goes on from the base, whose hash a command names; what of earlier
// windows is kept is held against what the base says of them: manifests by their hash, lines and tiles by their manifest. Identities and
// movements of dropped commands are looked at no more.

// goOn is for who is not to give up.
func goOn() error { return nil }

// begin loads what the stored history goes on from.
func (v *verifier) begin() error {
	from, err := start(v.store, goOn)
	if err != nil {
		return err
	}
	v.base, v.trees = from, from.evidence
	v.replay = replayer{state: from.state, identity: v.runs.identity, after: v.after, beforeSeal: v.seal, closing: v.closing}
	v.runs.begin(from.at.Seq)
	if from.at.Seq > 0 {
		v.halfway, v.report.BaseHash = from.state.ledger.Window(), hexID(from.sum)
	}
	v.report.Base, v.report.BaseTime = from.at.Seq, from.at.Time
	if v.bases, err = baseMarkers(v.store); err != nil {
		return err
	}
	if i := v.marker(from.at.Seq); from.at.Seq > 0 && (i < 0 || v.bases[i].sum != from.sum) {
		return fmt.Errorf("base of sequence %d: its marker is gone, or is of another table than the one of hash %s", from.at.Seq, hexID(from.sum))
	}
	for _, w := range from.state.windows {
		if err := v.keptWindow(w); err != nil {
			return err
		}
	}
	if from.at.Seq > 0 { // the history may have been dropped just up to the newest checkpoint
		return v.compareCheckpoint(from.at.Seq, from.at.Hash)
	}
	return nil
}

// marker finds the marker of a base; below 0: there is none.
func (v *verifier) marker(through uint64) int {
	return slices.IndexFunc(v.bases, func(m baseMarker) bool { return m.through == through })
}

// named checks that the base is one that the journal names, and the last but one at most.
func (v *verifier) named() error {
	st := v.replay.state
	v.report.Parts = uint64(len(st.dropped))
	if err := st.checkStoredBase(v.store.Base()); err != nil {
		return err
	}
	if _, p := st.partOf(v.base.at.Seq); v.base.at.Seq > 0 && p.table != v.base.sum {
		return fmt.Errorf("the base of sequence %d has hash %s, the command at %d names %s", p.through, hexID(v.base.sum), p.seq, hexID(p.table))
	}
	return nil
}

// part checks what a command says of an exported part that is stored yet.
func (v *verifier) part(c *cursor) error {
	p := v.replay.state.dropped[len(v.replay.state.dropped)-1]
	if p.through < v.base.at.Seq {
		return nil
	}
	at := v.base.at
	if p.through > at.Seq {
		var err error
		if at, err = v.store.BaseAt(p.through); err != nil {
			return err
		}
	}
	if at.Hash != p.chain || at.Time != p.time {
		return fmt.Errorf("sequence %d says that what was exported ends at %d with hash %s, the chain has %s", c.seq, p.through, hexID(p.chain), hexID(at.Hash))
	}
	if i := v.marker(p.through); i >= 0 && v.bases[i].sum != p.table {
		return fmt.Errorf("base of sequence %d has hash %s, the command at %d names %s", p.through, hexID(v.bases[i].sum), c.seq, hexID(p.table))
	}
	return nil
}

// compareBase compares a base that the history has not been dropped to yet with the state that the journal makes.
func (v *verifier) compareBase(through uint64) error {
	i := v.marker(through)
	if i < 0 {
		return nil
	}
	stored, err := loadBase(v.store, through, goOn)
	if err != nil {
		return err
	}
	if stored.sum != v.bases[i].sum {
		return fmt.Errorf("the base of sequence %d differs from what its marker says", through)
	}
	if err := diff(v.replay.state, stored.state); err != nil {
		return fmt.Errorf("base of sequence %d: %w", through, err)
	}
	if !v.trees.equal(&stored.evidence) {
		return fmt.Errorf("base of sequence %d: evidence trees differ", through)
	}
	return nil
}

// keptWindow checks what is kept of a window that was sealed before the base.
func (v *verifier) keptWindow(w *window) error {
	for i := range w.batches {
		b := &w.batches[i]
		stored, ok, err := v.store.Get(journal.SpaceManifest, b.id[:])
		if err != nil || !ok {
			return missing("manifest of batch "+hexID(b.id), err)
		}
		if sha256.Sum256(stored) != b.hash {
			return fmt.Errorf("batch %s: the stored manifest is not the one that was sealed", hexID(b.id))
		}
		if err := v.replay.state.checkSignature(b, stored); err != nil {
			return err
		}
		m, err := batch.ParseManifest(stored)
		if err != nil {
			return fmt.Errorf("batch %s: %w", hexID(b.id), err)
		}
		if err := batch.VerifyLines(&m, v.storedLines(b)); err != nil {
			return fmt.Errorf("batch %s: %w", hexID(b.id), err)
		}
		if b.key != 0 {
			v.report.Signatures++
		}
		v.report.Batches++
		v.report.Lines += uint64(b.lines)
	}
	return v.keptTiles(w.number, w.batches)
}

// storedLines are a batch's records.
func (v *verifier) storedLines(b *sealedBatch) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		err := scanLines(v.store, b.id, b.lines, 1, func(_ uint32, record []byte) bool { return yield(record, nil) })
		if err != nil {
			yield(nil, err)
		}
	}
}

// keptTiles checks the tiles of a sealed window against its manifests. Where leaves begin cannot be told without the leaves, only that it grows.
func (v *verifier) keptTiles(window uint64, batches []sealedBatch) error {
	seen := uint64(0)
	for i := range batches {
		b := &batches[i]
		if b.events == 0 {
			continue
		}
		k := keptTree{store: v.store, window: window, batch: b}
		if err := k.check(); err != nil {
			return fmt.Errorf("window %d, %s: %w", window, b.currency.Code(), err)
		}
		seen += k.seen
	}
	v.tiles.seen[window] = seen
	return nil
}

// keptTree checks the tiles of one tree.
type keptTree struct {
	store  storage
	window uint64
	batch  *sealedBatch
	seen   uint64
	state  []byte // of the finished tree
}

var errWrongTile = errors.New("a tile is not of this tree")

func (k *keptTree) tile(level int, number uint64) ([]byte, error) {
	key := evidenceKey(k.window, k.batch.currency, level, number)
	value, ok, err := k.store.Get(journal.SpaceEvidence, key)
	if err != nil || !ok {
		return nil, missing(tileName(key), err)
	}
	k.seen++
	return value, nil
}

func (k *keptTree) check() (err error) {
	if k.state, err = k.tile(batch.LevelPeaks, 0); err != nil {
		return err
	}
	var tree batch.Tree
	if err := tree.UnmarshalBinary(k.state); err != nil {
		return err
	}
	stored, ok, err := k.store.Get(journal.SpaceManifest, k.batch.id[:])
	if err != nil || !ok {
		return missing("manifest", err)
	}
	m, err := batch.ParseManifest(stored)
	if err != nil {
		return err
	}
	if tree.Size() != k.batch.events || tree.Root() != m.MerkleRoot {
		return fmt.Errorf("the tree of %d leaves is not the manifest's of %d events", tree.Size(), k.batch.events)
	}
	nodes, err := k.nodes(tree.Size())
	if err != nil {
		return err
	}
	if err := k.peaks(nodes, tree.Size()); err != nil {
		return err
	}
	return k.above(nodes)
}

// nodes reads level 1 with its positions, and holds what is kept of the leaves against it.
func (k *keptTree) nodes(size uint64) (nodes [][32]byte, err error) {
	subtrees := (size + batch.TileWidth - 1) / batch.TileWidth
	last := uint64(0)
	for n := uint64(0); n*batch.TileWidth < subtrees; n++ {
		value, err := k.tile(1, n)
		if err != nil {
			return nil, err
		}
		hashes, first, err := batch.ParseNodeTile(value)
		if err != nil || first[0] <= last || uint64(len(first)) != min(subtrees-n*batch.TileWidth, batch.TileWidth) {
			return nil, cmp.Or(err, errWrongTile)
		}
		last = first[len(first)-1]
		nodes = append(nodes, hashes...)
	}
	if uint64(len(nodes)) != size/batch.TileWidth {
		return nil, errWrongTile
	}
	lo, hi := evidenceKey(k.window, k.batch.currency, 0, 0), evidenceKey(k.window, k.batch.currency, 1, 0)
	err = k.store.Scan(journal.SpaceEvidence, lo, hi, func(key, value []byte) (bool, error) {
		k.seen++
		n := binary.BigEndian.Uint64(key[len(key)-8:])
		hashes, _, err := batch.ParseLeafTile(value)
		if err == nil && (n >= subtrees || n < uint64(len(nodes)) && rootOf(hashes) != nodes[n]) {
			err = errWrongTile
		}
		if err != nil {
			err = fmt.Errorf("%s: %w", tileName(key), err)
		}
		return true, err
	})
	return nodes, err
}

// peaks compares the tree of the nodes with the finished tree: their peaks are the same, but for the last leaves.
func (k *keptTree) peaks(nodes [][32]byte, size uint64) error {
	state := append(binary.BigEndian.AppendUint64(nil, size), treeOf(nodes)[8:]...)
	if len(state) > len(k.state) || !bytes.Equal(state, k.state[:len(state)]) {
		return fmt.Errorf("level 1: %w", errWrongTile)
	}
	return nil
}

// above checks the levels above 1, each by the one below it.
func (k *keptTree) above(nodes [][32]byte) error {
	for level := 2; len(nodes) >= batch.TileWidth; level++ {
		var want [][32]byte
		for at := 0; at+batch.TileWidth <= len(nodes); at += batch.TileWidth {
			want = append(want, rootOf(nodes[at:at+batch.TileWidth]))
		}
		for at := 0; at < len(want); at += batch.TileWidth {
			value, err := k.tile(level, uint64(at/batch.TileWidth))
			if err != nil {
				return err
			}
			got, err := batch.ParseTile(value)
			if err != nil || !slices.Equal(got, want[at:min(at+batch.TileWidth, len(want))]) {
				return cmp.Or(err, fmt.Errorf("level %d: %w", level, errWrongTile))
			}
		}
		nodes = want
	}
	return nil
}

func rootOf(nodes [][32]byte) [32]byte {
	var t batch.Tree
	for _, h := range nodes {
		t.AppendLeafHash(h)
	}
	return t.Root()
}

func treeOf(nodes [][32]byte) []byte {
	var t batch.Tree
	for _, h := range nodes {
		t.AppendLeafHash(h)
	}
	out, err := t.MarshalBinary()
	if err != nil {
		panic("BUG: a tree does not encode: " + err.Error())
	}
	return out
}

// begin leaves out what is of dropped commands alone. Of what was forgotten the journal may not have everything any more.
func (c *runCheck) begin(base uint64) {
	c.base = base
	c.runs = slices.DeleteFunc(slices.Clone(c.runs), func(r *runInfo) bool { return r.last <= base })
	c.statements = slices.DeleteFunc(slices.Clone(c.statements), func(r statementRun) bool { return r.last <= base })
	if base > 0 {
		c.keeper = nil
	}
}
