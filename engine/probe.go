package engine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"slices"

	"farthing/journal"
)

// candidates appends the sequences of a run's entries with the given hash.
func (r *runInfo) candidates(store storage, hash uint64, out []uint64) ([]uint64, error) {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], hash)
	err := store.TableScan(journal.KindIdentity, r.id, key[:], nil, func(_, row []byte) (bool, error) {
		for len(row) > 0 {
			h, at, rest, bad := cutIdentity(row, r.first)
			if bad {
				return false, r.damaged()
			}
			if h == hash {
				out = append(out, at>>1)
			}
			row = rest
		}
		return false, nil
	})
	return out, err
}

// prober looks identities up in the runs for one caller. It collects candidates first and
// then reads the journal in its order: the events of a repeated batch lie side by side,
// and a block is read once.
type prober struct {
	e          *Engine
	set        *runSet
	blocks     *blockReader // nil: made when one has to be read, which is a kibibyte
	turn       *laneTurn    // its caller's, who can look at another set; nil: it passes the lane
	after      uint64       // what runs up to this sequence have is known
	candidates []candidate
	seqs       []uint64
	hashes     []uint64 // scratch of probe
}

// candidate is an event that may have the identity asked for under index event.
type candidate struct {
	event int
	seq   uint64
}

// collect adds the candidates for a hash from the runs of an epoch.
func (p *prober) collect(e *epoch, event int, hash uint64) error {
	for i := len(e.runs) - 1; i >= 0; i-- {
		if r := e.runs[i]; r.last > p.after && r.filter.maybe(hash) {
			if err := p.from(r, event, hash); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *prober) from(r *runInfo, event int, hash uint64) (err error) {
	if p.seqs, err = r.candidates(p.e.store, hash, p.seqs[:0]); err != nil {
		return err
	}
	for _, seq := range p.seqs {
		if seq > p.after {
			p.candidates = append(p.candidates, candidate{event, seq})
		}
	}
	return nil
}

// resolve calls fn with the candidates that have the identity that identity gives for
// their event, oldest first, and forgets them.
func (p *prober) resolve(identity func(event int) []byte, fn func(event int, s seen)) error {
	slices.SortFunc(p.candidates, func(a, b candidate) int { return cmp.Compare(a.seq, b.seq) })
	if p.blocks == nil && len(p.candidates) > 0 {
		p.blocks = &blockReader{e: p.e}
	}
	for _, at := range p.candidates {
		c, err := p.blocks.at(at.seq)
		if errors.Is(err, journal.ErrDropped) {
			p.blocks.gone = at.seq // forgotten, and dropped
			continue
		}
		if err != nil {
			return err
		}
		if content, ok := c.carries(identity(at.event), p.e.seed); ok {
			fn(at.event, seen{at.seq, content})
		}
	}
	p.candidates = p.candidates[:0]
	return nil
}

// probe looks n identities up in all live runs; hash 0 is not looked up. It goes epoch by epoch over
// all of them, not one by one over all epochs: the filter probes of one epoch do not depend
// on each other, so their cache misses overlap. What has to be asked on disk is put off: a
// caller with much of it waits in the slow lane.
func (p *prober) probe(n int, at func(int) (hash uint64, id []byte), fn func(int, seen)) error {
	if len(p.set.epochs) == 0 && p.set.kept == nil {
		return nil
	}
	var slow []maybe
	hashes := slices.Grow(p.hashes[:0], n)[:n]
	p.hashes = hashes
	for i := range hashes {
		hashes[i], _ = at(i)
	}
	for _, current := range p.set.epochs {
		if current.runs[len(current.runs)-1].last > p.after {
			slow = current.ask(hashes, slow)
		}
	}
	if k := p.set.kept; k != nil && p.after == 0 {
		for i, hash := range hashes {
			if hash == 0 || !k.filter.maybe(hash) {
				continue
			}
			_, id := at(i)
			if s, ok, err := k.find(p.e.store, hash, id); err != nil {
				return err
			} else if ok {
				fn(i, s)
			}
		}
	}
	if len(slow) == 0 {
		return nil
	}
	return p.slowly(n, slow, at, fn)
}

// askStep is how many blocks of a filter are touched before they are asked: as many cache misses are under way at
// once as the processor can have, and what they bring is still near when it is asked.
const askStep = 64

// ask appends the identities that an epoch may have; those of hash 0 are none. Touching first makes the
// misses of a step overlap: a question by itself is too long for the processor to begin many more.
func (e *epoch) ask(hashes []uint64, slow []maybe) []maybe {
	f := e.filter()
	for from := 0; from < len(hashes); from += askStep {
		step := hashes[from:min(from+askStep, len(hashes))]
		f.touch(step)
		for i, hash := range step {
			if hash != 0 && f.maybe(hash) {
				slow = append(slow, maybe{e, from + i})
			}
		}
	}
	return slow
}

// maybe is an identity that has to be looked for in the runs of an epoch.
type maybe struct {
	epoch *epoch
	event int
}

// slowly asks the disk about some of n identities, in parts as large as one step in the lane.
func (p *prober) slowly(n int, slow []maybe, at func(int) (uint64, []byte), fn func(int, seen)) error {
	identity := func(i int) []byte {
		_, id := at(i)
		return id
	}
	if waited, err := p.turn.enter(len(slow), n); err != nil {
		return err
	} else if waited && p.e.runs.load() != p.set {
		return errSetMoved
	}
	for len(slow) > 0 {
		part := slow[:min(len(slow), laneStep)]
		slow = slow[len(part):]
		hits := 0
		p.turn.begin()
		for _, m := range part {
			hash, _ := at(m.event)
			if err := p.collect(m.epoch, m.event, hash); err != nil {
				return err
			}
		}
		if err := p.resolve(identity, func(i int, s seen) { hits++; fn(i, s) }); err != nil {
			return err
		}
		if err := p.turn.done(hits, len(part), len(slow) > 0); err != nil {
			return err
		}
	}
	return nil
}

// find looks one identity up in all live runs.
func (p *prober) find(hash uint64, identity []byte) (found seen, ok bool, err error) {
	err = p.probe(1, func(int) (uint64, []byte) { return hash, identity }, func(_ int, s seen) { found, ok = s, true })
	return found, ok, err
}

// findForgotten looks one identity up in the archived runs, for reads: the newest booking of it.
func (p *prober) findForgotten(hash uint64, identity []byte) (found seen, ok bool, err error) {
	for _, r := range p.set.archived {
		if err := p.from(r, 0, hash); err != nil {
			return found, false, err
		}
	}
	err = p.resolve(func(int) []byte { return identity }, func(_ int, s seen) { found, ok = s, true })
	return found, ok, err
}
