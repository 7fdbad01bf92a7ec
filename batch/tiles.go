package batch

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
)

// Nodes of a tree are kept in tiles of 256, as tiled logs do (C2SP tlog-tiles): tile n of
// level k holds the roots of the perfect subtrees of 256^k leaves with the numbers 256n to
// 256n + 255. Levels from 1 on are kept, a 255th of 32 bytes a leaf. The leaves' own hashes, level 0,
// follow from what was hashed, so they are kept only where that is far apart.
const (
	TileHeight = 8
	TileWidth  = 1 << TileHeight
	tileLevels = 64 / TileHeight // level 0 is that of the leaves
)

// LevelPeaks is the level under which a finished tree's state stands (Tree.AppendBinary).
const LevelPeaks = 0xff

// FarBytes is how many bytes may lie between the first and the last of 256 leaves before
// their hashes are kept: reading that much and hashing it again takes some two milliseconds.
const FarBytes = 512 << 10

// hashBytes is a hash in a tile; nodeBytes is one with the position of the subtree's first leaf.
const (
	hashBytes = 32
	nodeBytes = hashBytes + 8
)

// seenNodes is what a tree noted on its way for its tiles.
type seenNodes struct {
	leaves [TileWidth][32]byte  // hashes of the leaves since the last multiple of TileWidth
	nodes  [tileLevels][32]byte // by level/TileHeight: the root of the perfect subtree that was completed last
}

// Tile is a tile that was filled, or the last one of its level in a finished tree.
type Tile struct {
	Level  uint8 // LevelPeaks: the tree's state
	Number uint64
	Value  []byte
}

// Tiles is a Tree that gives out its nodes in tiles as it grows. Each leaf has a position, which
// grows from leaf to leaf and says where what was hashed is found again. It belongs to one
// goroutine. Make it with NewTiles.
//
// Values, integers big-endian:
//
//	level 0  uvarint n, n × hash, uvarint position of the first leaf, n − 1 × uvarint difference to the one before
//	level 1  n × (hash, position of the subtree's first leaf (8)); then, if leaves follow that
//	         make no whole subtree, the position of the first of them (8)
//	level k  n × hash
//	peaks    the tree's state
type Tiles struct {
	tree      Tree
	seen      seenNodes
	positions [TileWidth]uint64  // of the leaves in seen
	start     uint64             // offset of the first of them
	offset    uint64             // of the last leaf
	open      [tileLevels][]byte // the tile being filled, by level from 1
	done      []Tile
}

// NewTiles returns the empty tree.
func NewTiles() *Tiles {
	t := &Tiles{}
	t.tree.seen = &t.seen
	return t
}

// Append adds a leaf with the given data, of which it keeps nothing. offset says how many
// bytes lie before the end of what has to be read to hash the leaf again.
func (t *Tiles) Append(data []byte, position, offset uint64) {
	n := t.note(position, offset)
	t.tree.Append(data)
	if n == TileWidth-1 {
		t.complete()
	}
}

// Room is where the data of the next leaf may be written to, LeafRoom bytes, to be added with AppendRoom, which
// saves two copies; nil: it has to go through Append. What else is done with the tree in between makes it void.
func (t *Tiles) Room() []byte { return t.tree.room() }

// AppendRoom is Append of the n bytes that were written to Room.
func (t *Tiles) AppendRoom(n int, position, offset uint64) {
	at := t.note(position, offset)
	t.tree.appendRoom(n)
	if at == TileWidth-1 {
		t.complete()
	}
}

// note takes down where the next leaf is, and returns its number since the last multiple of TileWidth.
func (t *Tiles) note(position, offset uint64) uint64 {
	n := t.tree.Size() % TileWidth
	if n == 0 {
		t.start = offset
	}
	t.positions[n], t.offset = position, offset
	return n
}

// complete takes the nodes that the last leaf completed into their tiles.
func (t *Tiles) complete() {
	size := t.tree.Size()
	if t.offset-t.start > FarBytes {
		t.emit(0, size/TileWidth-1, t.leafTile(TileWidth))
	}
	for level := 1; level < tileLevels && size&(1<<(level*TileHeight)-1) == 0; level++ {
		t.open[level] = append(t.open[level], t.seen.nodes[level][:]...)
		if level == 1 {
			t.open[level] = binary.BigEndian.AppendUint64(t.open[level], t.positions[0])
		}
		if n := size >> (level * TileHeight); n%TileWidth == 0 {
			t.emit(level, n/TileWidth-1, append([]byte(nil), t.open[level]...))
			t.open[level] = t.open[level][:0]
		}
	}
}

func (t *Tiles) emit(level int, number uint64, value []byte) {
	t.done = append(t.done, Tile{uint8(level), number, value})
}

// leafTile is the tile of the last n leaves.
func (t *Tiles) leafTile(n int) []byte {
	out := binary.AppendUvarint(make([]byte, 0, n*(hashBytes+4)+binary.MaxVarintLen64), uint64(n))
	for i := range n {
		out = append(out, t.seen.leaves[i][:]...)
	}
	return t.appendPositions(out, n)
}

func (t *Tiles) appendPositions(dst []byte, n int) []byte {
	last := uint64(0)
	for _, p := range t.positions[:n] {
		dst = binary.AppendUvarint(dst, p-last)
		last = p
	}
	return dst
}

// Finish gives out what is left of the tree, returns its root and size, and makes it the empty tree.
func (t *Tiles) Finish() (root [32]byte, size uint64) {
	root, size = t.tree.Root(), t.tree.Size()
	if size == 0 {
		return root, size
	}
	if n := int(size % TileWidth); n > 0 {
		if t.offset-t.start > FarBytes {
			t.emit(0, size/TileWidth, t.leafTile(n))
		}
		t.open[1] = binary.BigEndian.AppendUint64(t.open[1], t.positions[0])
	}
	for level := 1; level < tileLevels; level++ {
		if len(t.open[level]) > 0 {
			t.emit(level, size>>((level+1)*TileHeight), append([]byte(nil), t.open[level]...))
			t.open[level] = t.open[level][:0]
		}
	}
	state, err := t.tree.MarshalBinary()
	if err != nil {
		panic("BUG: batch: a tree does not encode: " + err.Error())
	}
	t.done = append(t.done, Tile{Level: LevelPeaks, Value: state})
	t.tree.Reset()
	return root, size
}

// Leaves returns hashes and positions of the leaves behind the last multiple of TileWidth: those of the subtree that is not whole yet.
func (t *Tiles) Leaves() (hashes [][32]byte, positions []uint64) {
	n := t.tree.Size() % TileWidth
	return slices.Clone(t.seen.leaves[:n]), slices.Clone(t.positions[:n])
}

// Filled reports whether there are tiles to take.
func (t *Tiles) Filled() bool { return len(t.done) > 0 }

// Take hands over the tiles that were given out since the last call.
func (t *Tiles) Take(fn func(Tile)) {
	for i := range t.done {
		fn(t.done[i])
	}
	clear(t.done)
	t.done = t.done[:0]
}

// AppendBinary appends the state: uvarint length and bytes of the tree's, then, as its size has
// them, the hashes of the last leaves with their positions and the offset of the first, and the
// tiles being filled. Tiles that were given out have to be taken before.
func (t *Tiles) AppendBinary(dst []byte) ([]byte, error) {
	if t.Filled() {
		panic("BUG: batch: the state of tiles that were not taken")
	}
	state, err := t.tree.MarshalBinary()
	if err != nil {
		return dst, err
	}
	dst = append(binary.AppendUvarint(dst, uint64(len(state))), state...)
	if n := int(t.tree.Size() % TileWidth); n > 0 {
		for i := range n {
			dst = append(dst, t.seen.leaves[i][:]...)
		}
		dst = t.appendPositions(dst, n)
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, t.start), t.offset)
	}
	for level := 1; level < tileLevels; level++ {
		dst = append(dst, t.open[level]...)
	}
	return dst, nil
}

// UnmarshalBinary sets t to a state that AppendBinary wrote. Anything else is ErrFormat; t is of
// no use then.
func (t *Tiles) UnmarshalBinary(src []byte) error {
	*t = Tiles{}
	t.tree.seen = &t.seen
	r := tileReader{rest: src}
	if err := t.tree.UnmarshalBinary(r.take(r.uvarint())); err != nil {
		return err
	}
	size := t.tree.Size()
	if n := int(size % TileWidth); n > 0 {
		r.hashes(t.seen.leaves[:n])
		r.positions(t.positions[:n])
		t.start, t.offset = r.uvarint(), r.uvarint()
	}
	for level := 1; level < tileLevels; level++ {
		width := uint64(hashBytes)
		if level == 1 {
			width = nodeBytes
		}
		t.open[level] = append([]byte(nil), r.take(size>>(level*TileHeight)%TileWidth*width)...)
	}
	if r.bad || len(r.rest) > 0 || t.offset < t.start {
		return fmt.Errorf("%w: state of tiles of %d leaves", ErrFormat, size)
	}
	return nil
}

// tileReader reads tiles; after the first failure all is zero.
type tileReader struct {
	rest []byte
	bad  bool
}

func (r *tileReader) take(n uint64) []byte {
	if r.bad || n > uint64(len(r.rest)) {
		r.bad = true
		return nil
	}
	out := r.rest[:n]
	r.rest = r.rest[n:]
	return out
}

// uvarint takes a number in its shortest spelling.
func (r *tileReader) uvarint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if r.bad || n <= 0 || n > (bits.Len64(v|1)+6)/7 {
		r.bad = true
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

func (r *tileReader) hashes(out [][32]byte) {
	p := r.take(uint64(len(out)) * hashBytes)
	for i := range out {
		if len(p) > 0 {
			copy(out[i][:], p[i*hashBytes:])
		}
	}
}

// positions takes positions, which grow.
func (r *tileReader) positions(out []uint64) {
	last := uint64(0)
	for i := range out {
		d := r.uvarint()
		out[i] = last + d
		if (i > 0 && d == 0) || out[i] < last {
			r.bad = true
		}
		last = out[i]
	}
}

// ParseLeafTile reads a tile of level 0: hashes of leaves and their positions.
func ParseLeafTile(value []byte) (hashes [][32]byte, positions []uint64, err error) {
	r := tileReader{rest: value}
	n := r.uvarint()
	if n == 0 || n > TileWidth {
		return nil, nil, fmt.Errorf("%w: tile of %d leaves", ErrFormat, n)
	}
	hashes, positions = make([][32]byte, n), make([]uint64, n)
	r.hashes(hashes)
	r.positions(positions)
	if r.bad || len(r.rest) > 0 {
		return nil, nil, fmt.Errorf("%w: tile of %d leaves in %d bytes", ErrFormat, n, len(value))
	}
	return hashes, positions, nil
}

// ParseNodeTile reads a tile of level 1: hashes of subtrees and the positions of their first
// leaves, and of what follows them if that is one position more.
func ParseNodeTile(value []byte) (hashes [][32]byte, first []uint64, err error) {
	n, rest := len(value)/nodeBytes, len(value)%nodeBytes
	if len(value) == 0 || n > TileWidth || (rest != 0 && rest != 8) || (n == TileWidth && rest != 0) {
		return nil, nil, fmt.Errorf("%w: tile of level 1 of %d bytes", ErrFormat, len(value))
	}
	hashes = make([][32]byte, n)
	for i := range n {
		entry := value[i*nodeBytes:]
		copy(hashes[i][:], entry)
		first = append(first, binary.BigEndian.Uint64(entry[hashBytes:]))
	}
	if rest != 0 {
		first = append(first, binary.BigEndian.Uint64(value[n*nodeBytes:]))
	}
	for i := 1; i < len(first); i++ {
		if first[i] <= first[i-1] {
			return nil, nil, fmt.Errorf("%w: positions of a tile do not grow", ErrFormat)
		}
	}
	return hashes, first, nil
}

// ParseTile reads a tile of a level above 1.
func ParseTile(value []byte) ([][32]byte, error) {
	n := len(value) / hashBytes
	if n == 0 || n > TileWidth || len(value)%hashBytes != 0 {
		return nil, fmt.Errorf("%w: tile of %d bytes", ErrFormat, len(value))
	}
	hashes := make([][32]byte, n)
	for i := range n {
		copy(hashes[i][:], value[i*hashBytes:])
	}
	return hashes, nil
}
