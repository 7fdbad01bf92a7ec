package batch

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
)

// tileStore keeps tiles as an index would.
type tileStore struct {
	tiles     map[string][]byte
	positions []uint64   // of all leaves
	leaves    [][32]byte // their hashes
	step      uint64     // from one's offset to the next one's
	root      [32]byte
}

func tileKey(level uint8, number uint64) string { return fmt.Sprint(level, " ", number) }

func (s *tileStore) take(t *Tiles) {
	t.Take(func(tile Tile) {
		key := tileKey(tile.Level, tile.Number)
		if s.tiles[key] != nil {
			panic("tile " + key + " came twice")
		}
		s.tiles[key] = tile.Value
	})
}

// grow appends leaves up to a size; the nth has position 3n + 1 and an offset that grows by step.
func (s *tileStore) grow(t *Tiles, size int) {
	for n := len(s.leaves); n < size; n++ {
		data := leafData(n)
		s.leaves = append(s.leaves, LeafHash(data))
		s.positions = append(s.positions, uint64(3*n+1))
		t.Append(data, uint64(3*n+1), uint64(n)*s.step)
	}
}

func leafData(n int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("leaf %d ", n)), 1+n%20) }

// tile reads a tile back. The leaves' hashes are kept if they lie far apart, and follow from the
// leaves if not.
func (s *tileStore) tile(level int, number uint64) ([][32]byte, error) {
	value := s.tiles[tileKey(uint8(level), number)]
	switch level {
	case 0:
		leaves := s.leaves[number*TileWidth : min((number+1)*TileWidth, uint64(len(s.leaves)))]
		if far := uint64(len(leaves)-1)*s.step > FarBytes; far != (value != nil) {
			return nil, fmt.Errorf("leaves %d: far apart %v, %d bytes kept", number, far, len(value))
		} else if !far {
			return leaves, nil
		}
		hashes, positions, err := ParseLeafTile(value)
		if err == nil && !slices.Equal(positions, s.positions[number*TileWidth:][:len(leaves)]) {
			err = errors.New("positions of leaves")
		}
		return hashes, err
	case 1:
		hashes, first, err := ParseNodeTile(value)
		for i := range first {
			if err == nil && first[i] != s.positions[(number*TileWidth+uint64(i))*TileWidth] {
				err = errors.New("positions of nodes")
			}
		}
		return hashes, err
	}
	return ParseTile(value)
}

// finished is the tree of so many leaves with its tiles, and what it came to.
func finished(t testing.TB, size int, step uint64) (*tileStore, *Tree, [32]byte) {
	t.Helper()
	s := &tileStore{tiles: map[string][]byte{}, step: step}
	tiles := NewTiles()
	s.grow(tiles, size)
	return s, s.finish(t, tiles), s.root
}

// finish finishes a tree and makes it anew from the state that was kept.
func (s *tileStore) finish(t testing.TB, tiles *Tiles) *Tree {
	t.Helper()
	root, size := tiles.Finish()
	s.take(tiles)
	tree := &Tree{}
	err := tree.UnmarshalBinary(s.tiles[tileKey(LevelPeaks, 0)])
	if err != nil || tree.Root() != root || size != uint64(len(s.leaves)) || tree.Size() != size {
		t.Fatalf("%d leaves: size %d, %v", len(s.leaves), size, err)
	}
	s.root = root
	return tree
}

// checkPath compares the path of a leaf with the other library's and checks it with both.
func checkPath(t testing.TB, s *tileStore, tree *Tree, index uint64, want [][]byte) {
	t.Helper()
	size := tree.Size()
	path, err := tree.Path(index, s.tile)
	if err != nil {
		t.Fatalf("leaf %d of %d: %v", index, size, err)
	}
	same := len(path) == len(want)
	for i := range path {
		same = same && bytes.Equal(path[i][:], want[i])
	}
	if !same {
		t.Fatalf("leaf %d of %d: path %x, want %x", index, size, path, want)
	}
	if err := VerifyPath(s.leaves[index], index, size, path, s.root); err != nil {
		t.Fatalf("leaf %d of %d: %v", index, size, err)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, s.leaves[index][:], want, s.root[:]); err != nil {
		t.Fatalf("leaf %d of %d: the library: %v", index, size, err)
	}
}

// TestPathsAgainstLibrary compares the paths of every tree up to some size, with the leaves' hashes
// kept (even sizes) and not: of every leaf up to 300 leaves and where a tile begins and ends, of every
// 13th in between, others from size to size.
func TestPathsAgainstLibrary(t *testing.T) {
	most := uint64(1100)
	other := testonly.New(rfc6962.DefaultHasher)
	for size := uint64(1); size <= most; size++ {
		other.AppendData(leafData(int(size - 1)))
		step := uint64(1)
		if size%2 == 0 {
			step = FarBytes/100 + size
		}
		s, tree, root := finished(t, int(size), step)
		if !bytes.Equal(root[:], other.Hash()) {
			t.Fatalf("%d leaves: root %x", size, root)
		}
		stride := uint64(13)
		if size <= 300 || (size+3)%TileWidth <= 6 {
			stride = 1
		}
		if raceEnabled || testing.Short() {
			stride *= 17
		}
		for index := size * 5 % stride; index < size; index += stride {
			want, err := other.InclusionProof(index, size)
			if err != nil {
				t.Fatal(err)
			}
			checkPath(t, s, tree, index, want)
		}
	}
}

// TestPathsOfLargeTrees does the same for random leaves of trees with three levels of tiles, whose
// state is written and read again on the way.
func TestPathsOfLargeTrees(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	sizes := []int{65535, 65536, 65537, 131072 + 256, 65536 + rng.IntN(100_000)}
	if raceEnabled || testing.Short() {
		sizes = sizes[2:3]
	}
	for _, size := range sizes {
		s := &tileStore{tiles: map[string][]byte{}, step: uint64(rng.IntN(2 * FarBytes / TileWidth))}
		tiles := NewTiles()
		other := testonly.New(rfc6962.DefaultHasher)
		for len(s.leaves) < size {
			s.grow(tiles, min(size, len(s.leaves)+1+rng.IntN(20_000)))
			s.take(tiles)
			tiles = restored(t, tiles)
		}
		for n := range s.leaves {
			other.Append(s.leaves[n][:])
		}
		tree := s.finish(t, tiles)
		for _, index := range slices.Concat(rng.Perm(size)[:500], []int{0, 255, 256, 65535 % size, size - 1, size - 2}) {
			want, err := other.InclusionProof(uint64(index), uint64(size))
			if err != nil {
				t.Fatal(err)
			}
			checkPath(t, s, tree, uint64(index), want)
		}
	}
}

// restored is what the state of t makes.
func restored(t testing.TB, tiles *Tiles) *Tiles {
	t.Helper()
	state, err := tiles.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	out := NewTiles()
	if err := out.UnmarshalBinary(state); err != nil {
		t.Fatal(err)
	}
	again, err := out.AppendBinary(nil)
	if err != nil || !bytes.Equal(again, state) {
		t.Fatalf("%d leaves: the state comes back as another: %v", tiles.tree.Size(), err)
	}
	return out
}

// TestTilesGoOnAfterRestore gives the same tiles whether the state went through bytes at every
// leaf or never.
func TestTilesGoOnAfterRestore(t *testing.T) {
	const size = 600
	for _, step := range []uint64{1, FarBytes / 100} {
		want, _, root := finished(t, size, step)
		got := &tileStore{tiles: map[string][]byte{}, step: step}
		tiles := NewTiles()
		for n := range size {
			got.grow(tiles, n+1)
			got.take(tiles)
			tiles = restored(t, tiles)
		}
		got.finish(t, tiles)
		if got.root != root || !maps.EqualFunc(got.tiles, want.tiles, bytes.Equal) {
			t.Errorf("step %d: other tiles: %d, want %d", step, len(got.tiles), len(want.tiles))
		}
	}
}

// TestKnownPaths are the paths of the test vectors of transparency-dev/merkle (proof/verify_test.go),
// whose leaves and roots are those of its package testonly.
func TestKnownPaths(t *testing.T) {
	f := func(index, size uint64, want ...string) {
		t.Helper()
		s := &tileStore{tiles: map[string][]byte{}, step: 1}
		tiles := NewTiles()
		for n, leaf := range testonly.LeafInputs()[:size] {
			s.leaves, s.positions = append(s.leaves, LeafHash(leaf)), append(s.positions, uint64(n+1))
			tiles.Append(leaf, uint64(n+1), uint64(n))
		}
		tree := s.finish(t, tiles)
		path, err := tree.Path(index, s.tile)
		if err != nil || len(path) != len(want) || !bytes.Equal(s.root[:], testonly.RootHashes()[size]) {
			t.Fatalf("leaf %d of %d: %d hashes to root %x, %v", index, size, len(path), s.root, err)
		}
		for i := range path {
			if hex.EncodeToString(path[i][:]) != want[i] {
				t.Errorf("leaf %d of %d: hash %d is %x", index, size, i, path[i])
			}
		}
		if err := VerifyPath(s.leaves[index], index, size, path, s.root); err != nil {
			t.Error(err)
		}
	}
	f(0, 1)
	f(0, 8, "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
		"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e", "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4")
	f(5, 8, "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
		"ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0", "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")
	f(2, 3, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125")
	f(1, 5, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e", "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b")
}

// TestVerifyPathRefuses changes everything that a proof consists of, the way the probes of
// transparency-dev/merkle do, and asks that library as well.
func TestVerifyPathRefuses(t *testing.T) {
	refuse := func(what string, leaf [32]byte, index, size uint64, path [][32]byte, root [32]byte) {
		t.Helper()
		var list [][]byte
		for i := range path {
			list = append(list, path[i][:])
		}
		theirs := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, leaf[:], list, root[:])
		if err := VerifyPath(leaf, index, size, path, root); !errors.Is(err, ErrMismatch) || theirs == nil {
			t.Errorf("%s: %v; the library: %v", what, err, theirs)
		}
	}
	for size := uint64(1); size <= 40; size++ {
		s, tree, root := finished(t, int(size), 1)
		for index := range size {
			path, err := tree.Path(index, s.tile)
			if err != nil {
				t.Fatal(err)
			}
			leaf, empty := s.leaves[index], rfc6962.DefaultHasher.EmptyRoot()
			for _, other := range []uint64{index - 1, index + 1, index ^ 2, index + size} {
				if other != index {
					refuse("index", leaf, other, size, path, root)
				}
			}
			// A path of another size may be right for the shape of that tree, but never leads to the root
			// of it; that of the same root with other sizes is caught where the number of hashes differs.
			refuse("size 0", leaf, index, 0, path, root)
			refuse("size doubled", leaf, index, 2*size, path, root)
			refuse("root", leaf, index, size, path, [32]byte(empty))
			for bit := int(index % 8); bit < 256; bit += 7 {
				wrong := leaf
				wrong[bit/8] ^= 1 << (bit % 8)
				refuse("leaf", wrong, index, size, path, root)
			}
			for i := range path {
				for bit := int(index % 8); bit < 256; bit += 7 {
					wrong := slices.Clone(path)
					wrong[i][bit/8] ^= 1 << (bit % 8)
					refuse("path", leaf, index, size, wrong, root)
				}
				refuse("hash removed", leaf, index, size, slices.Delete(slices.Clone(path), i, i+1), root)
			}
			for i := range len(path) + 1 {
				for _, more := range [][32]byte{{}, root, leaf} {
					refuse("hash inserted", leaf, index, size, slices.Insert(slices.Clone(path), i, more), root)
				}
			}
		}
	}
}

// TestPathNames says what a path cannot be made of.
func TestPathNames(t *testing.T) {
	s, tree, _ := finished(t, 700, 1)
	if _, err := tree.Path(700, s.tile); !errors.Is(err, ErrRange) {
		t.Error(err)
	}
	if _, err := new(Tree).Path(0, s.tile); !errors.Is(err, ErrRange) {
		t.Error(err)
	}
	broken := errors.New("broken")
	if _, err := tree.Path(3, func(int, uint64) ([][32]byte, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := tree.Path(3, func(int, uint64) ([][32]byte, error) { return make([][32]byte, 2), nil }); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}

// FuzzTiles gives the decoders anything: they refuse it, or write it back as it was.
func FuzzTiles(f *testing.F) {
	s, _, _ := finished(f, 700, FarBytes/100)
	for _, value := range s.tiles {
		f.Add(value)
	}
	tiles := NewTiles()
	s = &tileStore{tiles: map[string][]byte{}, step: 1}
	s.grow(tiles, 300)
	s.take(tiles)
	state, err := tiles.AppendBinary(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(state)
	f.Fuzz(func(t *testing.T, p []byte) {
		if hashes, positions, err := ParseLeafTile(p); err == nil {
			again := &Tiles{}
			copy(again.seen.leaves[:], hashes)
			copy(again.positions[:], positions)
			if !bytes.Equal(again.leafTile(len(hashes)), p) {
				t.Error("leaves come back as others")
			}
		}
		if hashes, first, err := ParseNodeTile(p); err == nil && len(hashes)*hashBytes+len(first)*8 != len(p) {
			t.Error("nodes")
		}
		if hashes, err := ParseTile(p); err == nil && len(hashes)*hashBytes != len(p) {
			t.Error("tile")
		}
		var tiles Tiles
		if err := tiles.UnmarshalBinary(p); err == nil {
			if again, err := tiles.AppendBinary(nil); err != nil || !bytes.Equal(again, p) {
				t.Errorf("a state comes back as another: %v", err)
			}
		}
	})
}

// TestTilesDoNotAllocate appends leaves to tiles, with those of tiles that are given out left aside.
func TestTilesDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	tiles, leaf, n := NewTiles(), make([]byte, 100), uint64(0)
	if allocs := testing.AllocsPerRun(50_000, func() {
		n++
		tiles.Append(leaf, n, n)
	}); allocs != 0 {
		t.Errorf("%v allocations a leaf", allocs)
	}
}

func BenchmarkTilesAppend(b *testing.B) {
	tiles, leaf := NewTiles(), bytes.Repeat([]byte{7}, 100)
	b.ReportAllocs()
	n, taken := uint64(0), 0
	for b.Loop() {
		n++
		tiles.Append(leaf, n, n*60)
		if tiles.Filled() {
			tiles.Take(func(Tile) { taken++ })
		}
	}
	if _, size := tiles.Finish(); size != n || uint64(taken) < n>>16 {
		b.Fatalf("%d leaves after %d, %d tiles", size, n, taken)
	}
}

func BenchmarkPath(b *testing.B) {
	s, tree, root := finished(b, 200_000, 1)
	index := uint64(0)
	for b.Loop() {
		index = (index + 77_777) % 200_000
		path, err := tree.Path(index, s.tile)
		if err != nil || VerifyPath(s.leaves[index], index, 200_000, path, root) != nil {
			b.Fatal(err)
		}
	}
}
