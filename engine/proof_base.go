package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
	"sync"

	"farthing/journal"
)

// A base cuts the tree of the window that it lies in, mostly within a subtree of 256 leaves, of which the proofs of those behind the base need all
// hashes. The base has them: its trees hold the leaves of the subtree that was not whole there, and its hash, which command 23 names, is over
// them too. So nothing has to be kept beside it.

// baseTrees are the trees of the base that the history goes on from, once they were needed.
type baseTrees struct {
	mu    sync.Mutex
	at    journal.Base // guarded by mu, with trees
	trees evidence
}

// baseLeaves returns the leaves of a tree that begin at a position and were dropped to a base; ErrDropped: it does not have them.
func (e *Engine) baseLeaves(base journal.Base, tree *journalTree, first uint64) (out leafHashes, err error) {
	b := &e.baseTrees
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at != base {
		trees, err := baseEvidence(e.store, base.Seq)
		if err != nil {
			if e.store.Base() != base { // the next base took its place meanwhile
				err = fmt.Errorf("%w: sequence %d", journal.ErrDropped, first)
			}
			return out, err
		}
		b.at, b.trees = base, trees
	}
	if tiles := b.trees.trees[tree.currency.Index()]; b.trees.window == tree.window && tiles != nil {
		out.hashes, out.positions = tiles.Leaves()
	}
	if len(out.positions) == 0 || out.positions[0] != first {
		return leafHashes{}, fmt.Errorf("%w: sequence %d", journal.ErrDropped, first)
	}
	return out, nil
}

// baseEvidence reads the trees of a base: they are its last chunk.
func baseEvidence(store storage, through uint64) (out evidence, err error) {
	from := func(n int, fn func(value []byte)) {
		scanned := store.TableScan(journal.KindBase, through, binary.BigEndian.AppendUint32(nil, uint32(n)), nil, func(_, value []byte) (bool, error) {
			fn(value)
			return false, nil
		})
		err = errors.Join(err, scanned)
	}
	last := sort.Search(1<<31, func(n int) bool {
		behind := true
		if err == nil {
			from(n+1, func([]byte) { behind = false })
		}
		return behind
	})
	from(last, func(chunk []byte) {
		if len(chunk) > 0 && chunk[0] == chunkEvidence {
			out, err = parseEvidence(chunk[1:])
		}
	})
	if err == nil && out.trees == nil {
		err = fmt.Errorf("base of sequence %d does not end with its trees", through)
	}
	return out, err
}
