package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"farthing/journal"
)

// tileCheck compares the stored tiles of evidence with those that the journal gives. Tiles are
// written behind the journal without waiting for the disk: a crash may have taken those that no
// checkpoint and no seal came after. All others have to be there.
type tileCheck struct {
	seen    map[uint64]uint64 // by window: stored tiles that were found right
	missing map[uint64]string // by window: a tile that is not there
}

func (t *tileCheck) total() (n uint64) {
	for _, seen := range t.seen {
		n += seen
	}
	return n
}

// compareTiles compares what the trees gave out.
func (v *verifier) compareTiles(c *cursor) error {
	for i := range v.trees.rows {
		row := &v.trees.rows[i]
		stored, there, err := v.store.Get(journal.SpaceEvidence, row.Key)
		switch name := tileName(row.Key); {
		case err != nil:
			return fmt.Errorf("%s: %w", name, err)
		case there && !bytes.Equal(stored, row.Value):
			return fmt.Errorf("%s differs from the one that follows from the journal", name)
		case there:
			r := reader{p: row.Key}
			v.tiles.seen[r.fixed()]++
		case c.seq <= v.last.seq:
			return fmt.Errorf("%s is missing, and checkpoint %d is newer", name, v.last.id)
		default:
			r := reader{p: row.Key}
			v.tiles.missing[r.fixed()] = name
		}
	}
	clear(v.trees.rows)
	v.trees.rows = v.trees.rows[:0]
	return nil
}

// sealedTiles refuses a sealed window of which tiles are missing.
func (v *verifier) sealedTiles(window uint64) error {
	if name, missing := v.tiles.missing[window]; missing {
		return fmt.Errorf("%s is missing, and its window is sealed", name)
	}
	return nil
}

// onlyTiles refuses stored tiles that the journal does not give.
func (v *verifier) onlyTiles() error {
	stored, last := uint64(0), ""
	err := v.store.Scan(journal.SpaceEvidence, nil, nil, func(key, _ []byte) (bool, error) {
		r := reader{p: key}
		if window := r.fixed(); window == v.halfway && window > uint64(len(v.replay.state.windows)) {
			v.tiles.seen[window] = 0 // it began before the base, and is not sealed: what it has is not known yet
			return true, nil
		}
		stored, last = stored+1, tileName(key)
		return true, nil
	})
	if seen := v.tiles.total(); err == nil && stored != seen {
		err = fmt.Errorf("%d tiles of evidence are stored, of which %d follow from the journal; the last is %s", stored, seen, last)
	}
	return err
}

// tileName names a tile by its key.
func tileName(key []byte) string {
	r := reader{p: key}
	window, c, level, number := r.fixed(), r.currency(), r.byte(), r.fixed()
	if r.end() != nil {
		return fmt.Sprintf("tile %x", key)
	}
	return fmt.Sprintf("window %d, %s: tile %d of level %d", window, c.Code(), number, level)
}

// fixed takes a big-endian number of 8 bytes.
func (r *reader) fixed() uint64 {
	p := r.take(8)
	if p == nil {
		return 0
	}
	return binary.BigEndian.Uint64(p)
}
