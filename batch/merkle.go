package batch

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"farthing/internal/sha256x2"
)

// Prefixes of RFC 6962, section 2.1: a leaf can never pass for a node.
const (
	leafPrefix = 0x00
	nodePrefix = 0x01
)

// Tree is an append-only Merkle tree with the hashing of RFC 6962, kept as a
// compact range: only the roots of its perfect subtrees, one per bit of its
// size, at most 2 KiB. The zero value is the empty tree.
//
// Leaves wait until a perfect subtree of groupLeaves can be hashed at once, two
// messages in turn, which takes a third of the time (package sha256x2). That shows
// nowhere: whoever asks for the root or the state gets it with all leaves in.
//
// It belongs to one goroutine. A copy is an independent tree as long as only
// one of the two appends data with Append, because copies share the scratch
// buffer; AppendBinary and UnmarshalBinary make a clean one.
type Tree struct {
	size    uint64       // leaves in the peaks; its bits say which peaks are in use
	peaks   [64][32]byte // peaks[l] is the root of a perfect subtree of 2^l leaves
	scratch []byte       // prefix and data of the leaf at hand

	waiting int                         // leaves in group, only while size is a multiple of groupLeaves
	group   [groupLeaves]sha256x2.Block // leaves that are not in the peaks yet

	seen *seenNodes // what Tiles wants to know; nil: nobody asks
}

// groupLeaves is a power of two: of a group's hashes all but two in the mean are
// computed in pairs.
const groupLeaves = 32

// LeafHash returns the RFC 6962 hash of a leaf: SHA-256(0x00 || data).
func LeafHash(data []byte) [32]byte {
	var buf [512]byte // keeps the usual leaf off the heap
	buf[0] = leafPrefix
	return sha256.Sum256(append(buf[:1], data...))
}

// Append adds a leaf with the given data, of which it keeps nothing. It
// allocates only when data is longer than any before it.
func (t *Tree) Append(data []byte) {
	n := 1 + len(data)
	if n > sha256x2.MessageMax || t.size%groupLeaves != 0 {
		t.flush()
		t.scratch = append(append(t.scratch[:0], leafPrefix), data...)
		t.push(sha256.Sum256(t.scratch), 0)
		return
	}
	copy(t.room(), data)
	t.appendRoom(len(data))
}

// LeafRoom is how many bytes the data of a leaf may have that is written in place.
const LeafRoom = sha256x2.MessageMax - 1

// room is where the data of the next leaf may be written to, LeafRoom bytes; nil: it has to go through Append.
func (t *Tree) room() []byte {
	if t.size%groupLeaves != 0 {
		return nil
	}
	return t.group[t.waiting].Bytes()[1:]
}

// appendRoom adds the leaf whose data, n bytes, is in room.
func (t *Tree) appendRoom(n int) {
	b := &t.group[t.waiting]
	b.Bytes()[0] = leafPrefix
	b.Set(1 + n)
	if t.waiting++; t.waiting == groupLeaves {
		t.fold()
	}
}

// fold hashes a full group, level by level.
func (t *Tree) fold() {
	var h [groupLeaves][32]byte
	t.hashGroup(&h)
	t.waiting = 0
	if t.seen != nil {
		copy(t.seen.leaves[t.size%TileWidth:], h[:]) // size is a multiple of groupLeaves, and so is TileWidth
	}
	var a, b sha256x2.Block
	nodeBlock(&a)
	nodeBlock(&b)
	for n := groupLeaves / 2; n > 1; n /= 2 {
		for i := 0; i < n; i += 2 {
			nodeOf(&a, &h[2*i], &h[2*i+1])
			nodeOf(&b, &h[2*i+2], &h[2*i+3])
			sha256x2.Sum(&a, &b, &h[i], &h[i+1])
		}
	}
	t.push(nodeHash(&h[0], &h[1]), bits.TrailingZeros(groupLeaves))
}

// hashGroup hashes the leaves of a full group, in pairs of equally many blocks.
func (t *Tree) hashGroup(h *[groupLeaves][32]byte) {
	var alone [sha256x2.BlocksMax + 1]int // by blocks: the leaf that waits for another, + 1
	for i := range t.group {
		first := &alone[t.group[i].Blocks()]
		if *first == 0 {
			*first = i + 1
			continue
		}
		sha256x2.Sum(&t.group[*first-1], &t.group[i], &h[*first-1], &h[i])
		*first = 0
	}
	for _, first := range alone {
		if first > 0 {
			sha256x2.One(&t.group[first-1], &h[first-1])
		}
	}
}

// flush takes waiting leaves into the peaks one by one.
func (t *Tree) flush() {
	for i := range t.waiting {
		t.push(sha256.Sum256(t.group[i].Message()), 0)
	}
	t.waiting = 0
}

// AppendLeafHash adds a leaf by its LeafHash.
func (t *Tree) AppendLeafHash(h [32]byte) {
	t.flush()
	t.push(h, 0)
}

// push adds the root of a perfect subtree of 2^level leaves; size is a multiple of that.
func (t *Tree) push(h [32]byte, level int) {
	added := uint64(1) << level
	if t.seen != nil && level == 0 {
		t.seen.leaves[t.size%TileWidth] = h
	}
	for ; t.size>>level&1 == 1; level++ {
		h = nodeHash(&t.peaks[level], &h)
		if t.seen != nil && (level+1)%TileHeight == 0 {
			t.seen.nodes[(level+1)/TileHeight] = h
		}
	}
	t.peaks[level] = h
	t.size += added
}

// Size returns the number of leaves.
func (t *Tree) Size() uint64 { return t.size + uint64(t.waiting) }

// Root returns the RFC 6962 tree hash; that of the empty tree is SHA-256 of
// nothing. It costs one hash per peak and does not change what the tree holds.
func (t *Tree) Root() [32]byte {
	t.flush()
	if t.size == 0 {
		return sha256.Sum256(nil)
	}
	return t.foldBelow(64)
}

// Reset makes t the empty tree again and keeps its buffer.
func (t *Tree) Reset() { t.size, t.waiting = 0, 0 }

// AppendBinary appends the state of the tree: its size in 8 big-endian bytes,
// then its peaks from the largest subtree to the smallest. The error is always
// nil; it is there for encoding.BinaryAppender.
func (t *Tree) AppendBinary(dst []byte) ([]byte, error) {
	t.flush()
	dst = binary.BigEndian.AppendUint64(dst, t.size)
	for level := 63; level >= 0; level-- {
		if t.size>>level&1 == 1 {
			dst = append(dst, t.peaks[level][:]...)
		}
	}
	return dst, nil
}

// MarshalBinary is AppendBinary to a new slice.
func (t *Tree) MarshalBinary() ([]byte, error) { return t.AppendBinary(nil) }

// UnmarshalBinary sets t to a state that AppendBinary wrote. Bytes of another
// length than the size asks for are ErrFormat, and t is unchanged.
func (t *Tree) UnmarshalBinary(src []byte) error {
	if len(src) < 8 {
		return fmt.Errorf("%w: tree state of %d bytes", ErrFormat, len(src))
	}
	size := binary.BigEndian.Uint64(src)
	src = src[8:]
	if len(src) != 32*bits.OnesCount64(size) {
		return fmt.Errorf("%w: tree of %d leaves with %d bytes of peaks", ErrFormat, size, len(src))
	}
	t.size, t.waiting = size, 0
	for level := 63; level >= 0; level-- {
		if size>>level&1 == 1 {
			copy(t.peaks[level][:], src)
			src = src[32:]
		}
	}
	return nil
}

// nodeBlock makes b the message of nodes, of which nodeOf makes one after the other.
func nodeBlock(b *sha256x2.Block) {
	b.Bytes()[0] = nodePrefix
	b.Set(65)
}

func nodeOf(b *sha256x2.Block, left, right *[32]byte) {
	p := b.Bytes()
	*(*[32]byte)(p[1:]) = *left
	*(*[32]byte)(p[33:]) = *right
}

func nodeHash(left, right *[32]byte) (h [32]byte) {
	var b sha256x2.Block
	nodeBlock(&b)
	nodeOf(&b, left, right)
	sha256x2.One(&b, &h)
	return h
}
