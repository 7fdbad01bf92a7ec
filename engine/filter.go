package engine

import (
	"encoding/binary"
	"math/bits"

	"farthing/internal/bloom"
	"farthing/journal"
)

// filter is a blocked Bloom filter over identity hashes: each hash sets eight bits in one
// block of 512, so that a look-up costs one cache miss. With 16 bits an identity about one
// unknown identity in a thousand gets a maybe; a maybe costs some 5 µs in the store, so 12
// bits (one in 200) cost more time than they save memory.
//
// One goroutine adds while any may look: whoever looks sees each word before or after (package bloom), and does not rely
// on an identity before its run is published. Two that add would lose bits, and a lost bit books an event twice. Who adds: to filters of
// runs, and to those that the runs of an epoch share, the goroutine that loads them at a start, then whoever replays, then the run builder; to
// filters of merged runs and of kept identities the tidier, before anybody else knows them.
type filter struct {
	writer filterWriter
	blocks []bloom.Block
}

const filterBitsPerKey = 16

// bytes is the memory of a filter.
func (f *filter) bytes() int64 { return int64(len(f.blocks)) * bloom.BlockBytes }

func newFilter(count int) filter {
	return filter{blocks: make([]bloom.Block, max(1, (count*filterBitsPerKey+511)/512))}
}

// block picks the block by the hash's high part and spreads the rest over its words.
func (f *filter) block(hash uint64) (*bloom.Block, uint64) {
	i, _ := bits.Mul64(hash, uint64(len(f.blocks)))
	return &f.blocks[i], hash * 0x9e3779b97f4a7c15
}

func (f *filter) add(hash uint64) {
	f.writer.adding()
	b, spread := f.block(hash)
	b.Add(spread)
}

// maybe reports whether the hash may have been added; false is certain. A filter that is not in memory does not know.
func (f *filter) maybe(hash uint64) bool {
	if len(f.blocks) == 0 {
		return true
	}
	b, spread := f.block(hash)
	return b.Maybe(spread)
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
	row := make([]byte, 0, filterRowBlocks*bloom.BlockBytes)
	for i := 0; i < len(f.blocks); i += filterRowBlocks {
		row = row[:0]
		for k := i; k < min(i+filterRowBlocks, len(f.blocks)); k++ {
			row = f.blocks[k].Append(row)
		}
		if err := t.Add(binary.BigEndian.AppendUint32(nil, uint32(i/filterRowBlocks)), row); err != nil {
			return err
		}
	}
	return nil
}

// load reads the filter of so many blocks that write stored for the tables of an id.
func (f *filter) load(store storage, id uint64, blocks int) error {
	loaded, n := make([]bloom.Block, blocks), 0
	err := store.TableScan(journal.KindIdentityFilter, id, nil, nil, func(_, value []byte) (bool, error) {
		for ; len(value) >= bloom.BlockBytes && n < blocks; n++ {
			loaded[n].Fill(value)
			value = value[bloom.BlockBytes:]
		}
		return len(value) == 0, nil
	})
	if err == nil && n != blocks {
		err = filterGone(journal.KindIdentityFilter, id, n, blocks)
	}
	f.blocks = loaded
	return err
}
