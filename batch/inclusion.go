package batch

import (
	"fmt"
	"math/bits"
	"slices"
)

// TileFunc returns the hashes of a tile as far as the tree goes; level 0 are the leaves.
type TileFunc func(level int, number uint64) ([][32]byte, error)

// Path returns the inclusion path of a leaf, counted from 0: the hashes of RFC 6962, section
// 2.1.1, from the leaf's sibling upwards. It reads one tile a level. An index outside of the tree
// is ErrRange, a tile that is too short ErrFormat; an error of tile is returned as it is.
func (t *Tree) Path(index uint64, tile TileFunc) ([][32]byte, error) {
	t.flush()
	if index >= t.size {
		return nil, fmt.Errorf("%w: leaf %d of %d", ErrRange, index, t.size)
	}
	// Below inner, the way from the leaf and that from the tree's last leaf are apart, so there is a
	// sibling on either side; above, they are the same, and only siblings on the left are there.
	inner := bits.Len64(index ^ (t.size - 1))
	nodes := nodeReader{tile: tile, level: -1}
	path := make([][32]byte, 0, bits.Len64(t.size))
	for level := 0; level < inner || index>>level > 0; level++ {
		sibling := index>>level ^ 1
		switch {
		case level >= inner && index>>level&1 == 0:
			continue
		case (sibling+1)<<level > t.size: // the rest of the tree, cut off at its end
			path = append(path, t.foldBelow(level))
			continue
		}
		h, err := nodes.node(level, sibling)
		if err != nil {
			return nil, err
		}
		path = append(path, h)
	}
	return path, nil
}

// foldBelow is the root of what is left of the tree behind its peaks from a level on.
func (t *Tree) foldBelow(limit int) (root [32]byte) {
	level := bits.TrailingZeros64(t.size)
	root = t.peaks[level]
	for level++; level < limit; level++ {
		if t.size>>level&1 == 1 {
			root = nodeHash(&t.peaks[level], &root)
		}
	}
	return root
}

// nodeReader finds nodes in tiles. Those of one path that stand in one level of tiles stand in one tile.
type nodeReader struct {
	tile   TileFunc
	level  int // of the tile at hand; -1: none
	number uint64
	hashes [][32]byte
}

// node returns the root of the perfect subtree of 2^level leaves with the given number.
func (r *nodeReader) node(level int, number uint64) (h [32]byte, err error) {
	k, height := level/TileHeight, level%TileHeight
	first := number << height
	if n := first / TileWidth; r.level != k || r.number != n {
		if r.hashes, err = r.tile(k, n); err != nil {
			return h, err
		}
		r.level, r.number = k, n
	}
	at, count := int(first%TileWidth), 1<<height
	if at+count > len(r.hashes) {
		return h, fmt.Errorf("%w: tile %d of level %d has %d hashes", ErrFormat, r.number, k, len(r.hashes))
	}
	work := slices.Clone(r.hashes[at : at+count])
	for ; count > 1; count /= 2 {
		for i := 0; i < count; i += 2 {
			work[i/2] = nodeHash(&work[i], &work[i+1])
		}
	}
	return work[0], nil
}

// VerifyPath proves that a leaf is the one at an index, counted from 0, of the tree of so many
// leaves with the given root (RFC 9162, section 2.1.3.2). ErrMismatch: it does not follow.
func VerifyPath(leafHash [32]byte, index, size uint64, path [][32]byte, root [32]byte) error {
	if index >= size {
		return fmt.Errorf("%w: leaf %d of %d", ErrMismatch, index, size)
	}
	fn, sn, h := index, size-1, leafHash
	for i := range path {
		if sn == 0 {
			return fmt.Errorf("%w: a path of %d hashes is too long for leaf %d of %d", ErrMismatch, len(path), index, size)
		}
		if fn&1 == 1 || fn == sn {
			h = nodeHash(&path[i], &h)
			for fn&1 == 0 && fn != 0 {
				fn, sn = fn>>1, sn>>1
			}
		} else {
			h = nodeHash(&h, &path[i])
		}
		fn, sn = fn>>1, sn>>1
	}
	switch {
	case sn != 0:
		return fmt.Errorf("%w: a path of %d hashes is too short for leaf %d of %d", ErrMismatch, len(path), index, size)
	case h != root:
		return fmt.Errorf("%w: the path leads to root %x, not %x", ErrMismatch, h, root)
	}
	return nil
}
