package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"errors"
	"fmt"
	"testing"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
)

var (
	_ encoding.BinaryAppender    = (*Tree)(nil)
	_ encoding.BinaryMarshaler   = (*Tree)(nil)
	_ encoding.BinaryUnmarshaler = (*Tree)(nil)
)

// naiveRoot is the recursive definition of RFC 6962, section 2.1.
func naiveRoot(leaves [][]byte) [32]byte {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	split := 1
	for split*2 < len(leaves) {
		split *= 2
	}
	left, right := naiveRoot(leaves[:split]), naiveRoot(leaves[split:])
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

func TestTreeAgainstVectors(t *testing.T) {
	var tree Tree
	if root := tree.Root(); !bytes.Equal(root[:], testonly.EmptyRootHash()) {
		t.Errorf("empty: got %x", root)
	}
	inputs, roots := testonly.LeafInputs(), testonly.RootHashes()
	for i, leaf := range inputs {
		tree.Append(leaf)
		if root := tree.Root(); !bytes.Equal(root[:], roots[i+1]) {
			t.Errorf("%d leaves: got %x, want %x", i+1, root, roots[i+1])
		}
	}
}

// Against the naive twin and against the compact range of transparency-dev,
// with a marshal and unmarshal at every size, and leaves by hash and by data.
func TestTreeAgainstTwins(t *testing.T) {
	factory := compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}
	other := factory.NewEmptyRange(0)
	var tree, byHash Tree
	var leaves [][]byte
	for i := range 600 {
		leaf := bytes.Repeat([]byte(fmt.Sprintf("leaf %d ", i)), i%90)
		leaves = append(leaves, leaf)
		tree.Append(leaf)
		byHash.AppendLeafHash(LeafHash(leaf))
		if err := other.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil); err != nil {
			t.Fatal(err)
		}
		theirs, err := other.GetRootHash(nil)
		if err != nil {
			t.Fatal(err)
		}
		root := tree.Root()
		if !bytes.Equal(root[:], theirs) || root != byHash.Root() || root != naiveRoot(leaves) {
			t.Fatalf("%d leaves: got %x", i+1, root)
		}
		if tree.Size() != uint64(i+1) {
			t.Fatalf("size %d", tree.Size())
		}
		tree = remarshal(t, &tree)
	}
	tree.Reset()
	if tree.Size() != 0 || tree.Root() != naiveRoot(nil) {
		t.Error("not empty after a reset")
	}
}

func remarshal(t *testing.T, tree *Tree) Tree {
	t.Helper()
	state, err := tree.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	var back Tree
	if err := back.UnmarshalBinary(state); err != nil || back.Root() != tree.Root() || back.Size() != tree.Size() {
		t.Fatalf("%d leaves: back %d, %v", tree.Size(), back.Size(), err)
	}
	for _, bad := range [][]byte{state[:len(state)-1], append(bytes.Clone(state), 0), nil, state[:7]} {
		if err := back.UnmarshalBinary(bad); !errors.Is(err, ErrFormat) || back.Root() != tree.Root() {
			t.Fatalf("%d bytes of %d: %v", len(bad), len(state), err)
		}
	}
	return back
}

func BenchmarkTreeAppend(b *testing.B) { benchmarkTree(b, 100) }

func benchmarkTree(b *testing.B, leafBytes int) {
	var tree Tree
	leaf := bytes.Repeat([]byte{7}, leafBytes)
	b.ReportAllocs()
	n := uint64(0)
	for b.Loop() {
		tree.Append(leaf)
		n++
	}
	if tree.Size() != n {
		b.Fatalf("%d leaves after %d", tree.Size(), n)
	}
}
