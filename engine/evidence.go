package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"farthing/batch"
	"farthing/journal"
	"farthing/ledger"
	"farthing/money"
)

// evidence is the Merkle trees over the priced events of the open window, one a
// currency (RFC 6962). Their nodes go out in tiles, of which proofs are made. All of it follows from
// the journal: what checkpoints hold saves a restart from hashing a window again.
type evidence struct {
	window uint64         // that is open
	offset uint64         // bytes of the bodies of all blocks so far, but for the genesis
	trees  []*batch.Tiles // by currency index; nil: the currency was never used
	rows   []journal.Row  // tiles that were given out and not written yet
	leaf   []byte         // scratch
}

func newEvidence() evidence {
	return evidence{window: 1, trees: make([]*batch.Tiles, money.Currencies())}
}

// block begins a block.
func (v *evidence) block(body []byte) { v.offset += uint64(len(body)) }

// command adds the leaf of the current command if it has one: it is a priced event or rates an
// unpriced one, which belongs to the window in which it posts. a is the amendment, if it is one.
func (v *evidence) command(c *cursor, a *amendment) {
	if e := leafRecord(c, a); e != nil {
		v.leaf = appendLeaf(v.leaf[:0], c.seq, e, c.t)
		v.add(c.t.people[e.account].Currency, v.leaf, c.seq)
	}
}

// leafRecord is what the current command's leaf is made of; nil: it has none.
func leafRecord(c *cursor, a *amendment) *eventRecord {
	switch {
	case c.isEvent() && c.event.reason == priced:
		return &c.event
	case a != nil && a.op == amendRated:
		return &a.new
	}
	return nil
}

// add adds the leaf of an event in the given currency.
func (v *evidence) add(c money.Currency, leaf []byte, seq uint64) {
	t := v.tree(c)
	t.Append(leaf, seq, v.offset)
	if t.Filled() {
		v.take(c, t)
	}
}

func (v *evidence) tree(c money.Currency) *batch.Tiles {
	t := v.trees[c.Index()]
	if t == nil {
		t = batch.NewTiles()
		v.trees[c.Index()] = t
	}
	return t
}

// take makes rows of the tiles that a tree gave out.
func (v *evidence) take(c money.Currency, t *batch.Tiles) {
	t.Take(func(tile batch.Tile) {
		v.rows = append(v.rows, journal.Row{Space: journal.SpaceEvidence, Key: evidenceKey(v.window, c, int(tile.Level), tile.Number), Value: tile.Value})
	})
}

// evidenceKey is window (8) | currency (3) | level (1) | number (8).
func evidenceKey(window uint64, c money.Currency, level int, number uint64) []byte {
	key := append(binary.BigEndian.AppendUint64(make([]byte, 0, 20), window), c.Code()...)
	return binary.BigEndian.AppendUint64(append(key, byte(level)), number)
}

// write writes the tiles that were given out. It does not wait for the disk: the fsync of the
// window's seal and that of a checkpoint's marker cover what was written before them, and replay
// from there writes the others again, the same.
func (v *evidence) write(store storage) error {
	if len(v.rows) == 0 {
		return nil
	}
	err := store.Write(v.rows, false)
	clear(v.rows)
	v.rows = v.rows[:0]
	return err
}

// cut finishes the trees of the window that closes and starts the next one's.
func (v *evidence) cut() windowTrees {
	w := windowTrees{map[money.Currency][32]byte{}, map[money.Currency]uint64{}}
	for i, t := range v.trees {
		if t == nil {
			continue
		}
		c := money.CurrencyAt(i)
		w.roots[c], w.sizes[c] = t.Finish()
		v.take(c, t)
	}
	v.window++
	return w
}

// check compares the sizes of the trees with the events that the books count in the window.
func (w *windowTrees) check(totals []ledger.Totals) error {
	for i := range totals {
		if c := money.CurrencyAt(i); totals[i].Events != w.sizes[c] {
			return fmt.Errorf("%s: the tree has %d leaves, the books count %d events", c.Code(), w.sizes[c], totals[i].Events)
		}
	}
	return nil
}

// emptyRoot is the root of a window without events in a currency: RFC 6962's hash of
// the empty string.
func emptyRoot() [32]byte { return new(batch.Tree).Root() }

// append writes the trees for a checkpoint, by currency code.
func (v *evidence) append(dst []byte) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, v.window), v.offset)
	for i, t := range v.trees {
		if t == nil {
			continue
		}
		state, err := t.AppendBinary(nil)
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
	v.window, v.offset = r.uvarint(), r.uvarint()
	for len(r.p) > 0 {
		c, state := r.currency(), r.bytes()
		if r.bad {
			return v, errCodec
		}
		t := batch.NewTiles()
		if err := t.UnmarshalBinary(state); err != nil {
			return v, fmt.Errorf("evidence of %s: %w", c.Code(), err)
		}
		v.trees[c.Index()] = t
	}
	return v, r.end()
}

// equal reports whether two have the same trees.
func (v *evidence) equal(w *evidence) bool { return bytes.Equal(v.append(nil), w.append(nil)) }

// leafVersion is the first byte of a leaf.
const leafVersion = 1

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
// leaf takes two blocks of SHA-256 instead of three, a fifth of the time of a tree. Whoever reads a
// leaf (batch.ParseLeaf) is given the shape beside it.
func appendLeaf(dst []byte, seq uint64, e *eventRecord, t *tables) []byte {
	person := t.people[e.account]
	dst = append(dst, leafVersion)
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
		dst = e.quantities[i].AppendBinary(dst)
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(e.time))
	dst = append(dst, person.Currency.Code()...)
	dst = e.amount.AppendBinary(dst)
	dst = appendBytes(dst, t.versions[e.version].Version.ID)
	return binary.AppendUvarint(dst, seq)
}
