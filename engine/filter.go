package engine

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
	"unsafe"

	"farthing/journal"
)

// filter is a blocked Bloom filter over identity hashes: each hash sets eight bits in one
// block of 512, so that a look-up costs one cache miss. With 16 bits an identity about one
// unknown identity in a thousand gets a maybe; a maybe costs some 5 µs in the store, so 12
// bits (one in 200) cost more time than they save memory.
//
// One goroutine adds while any may look: words are set and read atomically, and who looks
// before an identity's run is published does not rely on it.
type filter struct{ blocks []filterBlock }

type filterBlock [8]atomic.Uint64

const filterBitsPerKey = 16

const filterBlockBytes = 64

// bytes is the memory of a filter.
func (f *filter) bytes() int64 { return int64(len(f.blocks)) * filterBlockBytes }

func newFilter(count int) filter {
	return filter{blocks: make([]filterBlock, max(1, (count*filterBitsPerKey+511)/512))}
}

// block picks the block by the hash's high part and spreads the rest over its words: one
// bit in each of the eight words.
func (f *filter) block(hash uint64) (*filterBlock, uint64) {
	i, _ := bits.Mul64(hash, uint64(len(f.blocks)))
	return &f.blocks[i], hash * 0x9e3779b97f4a7c15
}

func (f *filter) add(hash uint64) {
	b, h := f.block(hash)
	for i := range b {
		if bit := uint64(1) << (h >> (6 * i) & 63); b[i].Load()&bit == 0 {
			b[i].Or(bit)
		}
	}
}

// addAlone is add while nobody else knows the filter: an atomic store costs ten times a plain one.
func (f *filter) addAlone(hash uint64) {
	b, h := f.block(hash)
	words := b.words()
	for i := range words {
		words[i] |= 1 << (h >> (6 * i) & 63)
	}
}

// words are a block's words, for who has it alone.
func (b *filterBlock) words() *[8]uint64 { return (*[8]uint64)(unsafe.Pointer(b)) }

// maybe reports whether the hash may have been added; false is certain. All eight bits are
// looked at without a branch in between: each alone would be a coin toss to the branch
// predictor, and they lie in one cache line.
//
// A filter that is not in memory does not know.
func (f *filter) maybe(hash uint64) bool {
	if len(f.blocks) == 0 {
		return true
	}
	b, h := f.block(hash)
	all := b[0].Load() >> (h & 63) & (b[1].Load() >> (h >> 6 & 63)) & (b[2].Load() >> (h >> 12 & 63)) & (b[3].Load() >> (h >> 18 & 63)) &
		(b[4].Load() >> (h >> 24 & 63)) & (b[5].Load() >> (h >> 30 & 63)) & (b[6].Load() >> (h >> 36 & 63)) & (b[7].Load() >> (h >> 42 & 63))
	return all&1 != 0
}

// touch loads the blocks of hashes. The result only keeps the loads from being optimised away.
func (f *filter) touch(hashes []uint64) (sink uint64) {
	n := uint64(len(f.blocks))
	if n == 0 {
		return 0
	}
	for _, hash := range hashes {
		i, _ := bits.Mul64(hash, n)
		sink |= f.blocks[i][0].Load()
	}
	return sink
}

// filterRowBlocks is the blocks of a stored row: 64 KiB.
const filterRowBlocks = 1024

// write stores the filter as rows numbered from 0.
func (f *filter) write(t table) error {
	row := make([]byte, 0, filterRowBlocks*64)
	for i := 0; i < len(f.blocks); i += filterRowBlocks {
		row = row[:0]
		for k := i; k < min(i+filterRowBlocks, len(f.blocks)); k++ {
			for w := range f.blocks[k] {
				row = binary.LittleEndian.AppendUint64(row, f.blocks[k][w].Load())
			}
		}
		if err := t.Add(binary.BigEndian.AppendUint32(nil, uint32(i/filterRowBlocks)), row); err != nil {
			return err
		}
	}
	return nil
}

// load reads the filter of so many blocks that write stored for the tables of an id.
func (f *filter) load(store storage, id uint64, blocks int) error {
	loaded, n := make([]filterBlock, blocks), 0
	err := store.TableScan(journal.KindIdentityFilter, id, nil, nil, func(_, value []byte) (bool, error) {
		for ; len(value) >= filterBlockBytes && n < blocks; n++ {
			words := loaded[n].words()
			for w := range words {
				words[w] = binary.LittleEndian.Uint64(value[8*w:])
			}
			value = value[filterBlockBytes:]
		}
		return len(value) == 0, nil
	})
	if err == nil && n != blocks {
		err = filterGone(journal.KindIdentityFilter, id, n, blocks)
	}
	f.blocks = loaded
	return err
}
