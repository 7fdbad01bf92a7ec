package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"

	"github.com/zeebo/xxh3"

	"farthing/journal"
)

// runCheck is verify's part about identities. That none was booked twice is seen by going over all
// runs at once by hash, so what it needs in memory is a row of each run and what no run covers yet. For
// that the runs have to be the journal's: as the journal goes by, the identities of a run are
// summed up, and its table has to give the same sums. A sum is of 128-bit hashes under a key that
// is drawn for this check, so two lists with equal sums are equal but for 2⁻¹²⁸.
type runCheck struct {
	v          *verifier
	set        *runSet
	runs       []*runInfo     // not compared yet
	statements []statementRun // not compared yet
	key        uint64
	sums       runSums    // of the run under way
	tail       []runEntry // what no run covers
	posts      postings   // statement entries of the same sequences as statements[0] that are not summed up yet
	moved      []runSum   // of the others, by account
	forgets    []forgetCommand
	keeper     *keeper // of what is forgotten; nil: the journal does not go back far enough
	kept       runSum
	base       uint64 // nothing up to it is in the journal
}

// forgetCommand is a command that allows identities up to a sequence anew.
type forgetCommand struct{ seq, through uint64 }

// runSum sums up a list of entries, in any order.
type runSum struct {
	lo, hi uint64
	count  int
}

// runSums sums up by the first byte of the hash, so that a difference is found again.
type runSums [256]runSum

func (s *runSum) add(key, a, b uint64) {
	var p [16]byte
	binary.LittleEndian.PutUint64(p[:], a)
	binary.LittleEndian.PutUint64(p[8:], b)
	s.addBytes(key, p[:])
}

func (s *runSum) addBytes(key uint64, p []byte) {
	h := xxh3.Hash128Seed(p, key)
	s.lo += h.Lo
	s.hi += h.Hi
	s.count++
}

func (s *runSums) add(key, hash, at uint64) { s[hash>>56].add(key, hash, at) }

func newRunCheck(v *verifier) (*runCheck, error) {
	set, _, err := readRuns(v.store, 1)
	if err != nil {
		return nil, err
	}
	c := &runCheck{v: v, set: set, runs: set.all(), statements: set.statements, key: rand.Uint64()}
	if set.forgotten > 0 {
		c.keeper = &keeper{open: map[[2]uint64][]keptEntry{}}
	}
	return c, nil
}

// identity takes an identity that the journal booked.
func (c *runCheck) identity(hash uint64, id []byte, s seen) error {
	at := s.seq << 1
	if isSpecial(id) {
		at++
	}
	switch {
	case len(c.runs) == 0 || s.seq > c.set.indexed:
		c.tail = append(c.tail, runEntry{hash, at})
	case s.seq >= c.runs[0].first:
		c.sums.add(c.key, hash, at)
	}
	return nil
}

// command looks at a command for what is forgotten.
func (c *runCheck) command(cur *cursor) error {
	if cur.kind == kindForget {
		r := reader{p: cur.payload}
		c.forgets = append(c.forgets, forgetCommand{cur.seq, r.uvarint()})
	}
	if c.keeper == nil || cur.seq > c.set.forgotten {
		return nil
	}
	c.keeper.seed = c.v.replay.state.genesis.seed
	if err := c.keeper.command(cur); err != nil {
		return err
	}
	for i := range c.keeper.results {
		c.sumKept(&c.kept, &c.keeper.results[i])
	}
	c.keeper.results = c.keeper.results[:0]
	return nil
}

func (c *runCheck) sumKept(s *runSum, n *keptEntry) { s.addBytes(c.key, append(n.key(), n.value()...)) }

// compareTo compares the runs that end at or before a sequence.
func (c *runCheck) compareTo(seq uint64) error {
	for len(c.runs) > 0 && c.runs[0].last <= seq {
		r := c.runs[0]
		if err := c.compare(r); err != nil {
			return err
		}
		c.runs, c.sums = c.runs[1:], runSums{}
		c.v.report.Runs++
		if r.last == c.set.forgotten {
			if err := c.compareKept(); err != nil {
				return err
			}
		}
	}
	for len(c.statements) > 0 && c.statements[0].last <= seq {
		if err := c.compareStatement(&c.statements[0]); err != nil {
			return err
		}
		c.statements = c.statements[1:]
	}
	return nil
}

// ended reports a run that covers more than the journal has.
func (c *runCheck) ended(head uint64) error {
	if len(c.runs) > 0 {
		return fmt.Errorf("identity run %d covers sequence %d, the journal ends at %d", c.runs[0].id, c.runs[0].last, head)
	}
	if len(c.statements) > 0 {
		return fmt.Errorf("statement run %d covers sequence %d, the journal ends at %d", c.statements[0].number, c.statements[0].last, head)
	}
	return nil
}

// compare holds a run's table and filter against the journal.
func (c *runCheck) compare(r *runInfo) error {
	if err := c.loadFilter(r); err != nil {
		return err
	}
	var sums runSums
	count, special := 0, 0
	err := c.v.store.TableScan(journal.KindIdentity, r.id, nil, nil, func(key, row []byte) (bool, error) {
		var hash uint64
		for len(row) > 0 {
			h, at, rest, bad := cutIdentity(row, r.first)
			if bad || h < hash || at>>1 > r.last {
				return false, fmt.Errorf("identity run %d: an entry of row %x is wrong", r.id, key)
			}
			if !r.filter.maybe(h) {
				return false, fmt.Errorf("identity run %d: its filter misses sequence %d", r.id, at>>1)
			}
			if at>>1 > c.base {
				sums.add(c.key, h, at)
			}
			count, special = count+1, special+int(at&1)
			hash, row = h, rest
		}
		if len(key) != 8 || binary.BigEndian.Uint64(key) != hash {
			return false, fmt.Errorf("identity run %d: row %x ends with another hash", r.id, key)
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	r.filter = filter{}
	if count < r.count {
		return fmt.Errorf("identity run %d of sequences %d to %d: %d of %d entries are stored: %w", r.id, r.first, r.last, count, r.count, errTableGone)
	}
	if sums != c.sums {
		return c.differs(r, &sums)
	}
	if count != r.count || special != r.special {
		return fmt.Errorf("identity run %d of sequences %d to %d has %d entries, its marker says %d", r.id, r.first, r.last, count, r.count)
	}
	return nil
}

func (c *runCheck) loadFilter(r *runInfo) error {
	if r.archived {
		return nil
	}
	return r.filter.load(c.v.store, r.id, r.blocks)
}

// differs names the first sequence of which a run says something else than the journal.
func (c *runCheck) differs(r *runInfo, sums *runSums) error {
	part := 0
	for sums[part] == c.sums[part] {
		part++
	}
	var want, have []uint64
	err := scanRun(c.v.store, r, func(hash, at uint64) error {
		if int(hash>>56) == part && at>>1 > c.base {
			have = append(have, at>>1)
		}
		return nil
	})
	if err == nil {
		err = c.sequences(r, part, &want)
	}
	if err != nil {
		return err
	}
	slices.Sort(want)
	slices.Sort(have)
	seq := r.first
	for i := range max(len(want), len(have)) {
		if i >= len(want) || i >= len(have) || want[i] != have[i] {
			seq = min(at(want, i), at(have, i))
			break
		}
	}
	return fmt.Errorf("identity run %d of sequences %d to %d holds other identities than the journal, first of sequence %d", r.id, r.first, r.last, seq)
}

func at(list []uint64, i int) uint64 {
	if i < len(list) {
		return list[i]
	}
	return ^uint64(0)
}

// sequences collects the sequences of a run's identities in the journal whose hash begins with a byte.
func (c *runCheck) sequences(r *runInfo, part int, out *[]uint64) error {
	seed := c.v.replay.state.genesis.seed
	var cur cursor
	var scratch []byte
	err := c.v.store.Blocks(max(r.first, c.base+1), func(b *journal.Block) error {
		cur.reset(b.Body, b.First, b.Time, &c.v.replay.state.tables)
		for b.First > 1 && cur.next() {
			if cur.seq < r.first || cur.seq > r.last {
				continue
			}
			err := cur.identities(seed, &scratch, func(id []byte, _ uint64) error {
				if int(hashIdentity(id, seed)>>56) == part {
					*out = append(*out, cur.seq)
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		if b.Last >= r.last {
			return errWalked
		}
		return nil
	})
	if errors.Is(err, errWalked) {
		return nil
	}
	return err
}

// compareKept compares what is kept of the forgotten history.
func (c *runCheck) compareKept() error {
	if c.keeper == nil {
		return nil
	}
	for _, list := range c.keeper.open {
		for i := range list {
			c.sumKept(&c.kept, &list[i])
		}
	}
	c.keeper.open = nil
	var have runSum
	if k := c.set.kept; k != nil {
		if err := k.filter.load(c.v.store, k.id, k.blocks); err != nil {
			return err
		}
		err := k.scan(c.v.store, func(n *keptEntry) error {
			if !k.filter.maybe(n.hash) {
				return fmt.Errorf("the filter of what is kept misses sequence %d", n.seq)
			}
			c.sumKept(&have, n)
			return nil
		})
		if err != nil {
			return err
		}
	}
	if have != c.kept {
		return fmt.Errorf("of what is forgotten up to sequence %d, %d identities are kept, other ones than the %d of the journal", c.set.forgotten, have.count, c.kept.count)
	}
	return nil
}

// noneTwice goes over all identities by hash.
func (c *runCheck) noneTwice() error {
	slices.SortFunc(c.tail, func(a, b runEntry) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.at, b.at)) })
	m, err := newRunMerge(c.v.store, c.set.all())
	defer m.close()
	if err != nil {
		return err
	}
	rest := c.tail
	var same []runEntry
	for m.more() || len(rest) > 0 {
		var next runEntry
		if m.more() && (len(rest) == 0 || m.hash() <= rest[0].hash) {
			next = runEntry{m.hash(), m.at()}
			if err := m.next(); err != nil {
				return err
			}
		} else {
			next, rest = rest[0], rest[1:]
		}
		if next.at>>1 <= c.base {
			continue // what it says is not there any more
		}
		if len(same) > 0 && same[0].hash != next.hash {
			if err := c.distinct(same); err != nil {
				return err
			}
			same = same[:0]
		}
		same = append(same, next)
	}
	return c.distinct(same)
}

// distinct compares the identities of one hash, which are nearly always one.
func (c *runCheck) distinct(same []runEntry) error {
	for i := 1; i < len(same); i++ {
		id, err := c.identityAt(same[i])
		if err != nil {
			return err
		}
		for _, earlier := range same[:i] {
			other, err := c.identityAt(earlier)
			if err != nil {
				return err
			}
			if !bytes.Equal(id, other) {
				continue
			}
			first, again := earlier.at>>1, same[i].at>>1
			free, err := c.mayBookAgain(first, again, id)
			if err != nil {
				return err
			}
			if !free {
				return fmt.Errorf("sequence %d books the identity of sequence %d again", again, first)
			}
		}
	}
	return nil
}

// identityAt is the identity of an entry, as the journal has it.
func (c *runCheck) identityAt(e runEntry) (found []byte, err error) {
	cur, err := c.v.commandAt(e.at >> 1)
	if err != nil {
		return nil, err
	}
	seed := c.v.replay.state.genesis.seed
	var scratch []byte
	err = cur.identities(seed, &scratch, func(id []byte, _ uint64) error {
		if hashIdentity(id, seed) == e.hash {
			found = bytes.Clone(id)
		}
		return nil
	})
	return found, err
}

// mayBookAgain reports whether an identity was forgotten between two bookings.
func (c *runCheck) mayBookAgain(first, again uint64, id []byte) (bool, error) {
	through := uint64(0)
	for _, f := range c.forgets {
		if f.seq < again {
			through = f.through
		}
	}
	switch {
	case first > through || id[0] == sourceResult[0]:
		return false, nil
	case !isSpecial(id) || id[0] == sourceEnd[0]:
		return true, nil
	}
	hold, refused, err := c.holdAt(first)
	if err != nil || refused {
		return refused, err
	}
	end := endKey(nil, hold)
	seqs, err := c.find(hashIdentity(end, c.v.replay.state.genesis.seed))
	for _, seq := range seqs {
		if seq > first && seq <= through {
			return true, err
		}
	}
	return false, err
}

// holdAt is the hold that a command placed or extended, and whether it was refused.
func (c *runCheck) holdAt(seq uint64) (hold [2]uint64, refused bool, err error) {
	cur, err := c.v.commandAt(seq)
	if err != nil {
		return hold, false, err
	}
	seed := c.v.replay.state.genesis.seed
	r := reader{p: cur.payload}
	switch cur.kind {
	case kindHold:
		p := r.holdPlan(cur.t)
		hold, refused = holdID(p.id, seed), p.denied != nil
	case kindExtend:
		hold = holdID(r.extension(cur.t).plan.id, seed)
	}
	if r.bad {
		err = errCodec
	}
	return hold, refused, err
}

// find returns the sequences of a hash in the runs and behind them.
func (c *runCheck) find(hash uint64) (out []uint64, err error) {
	for _, r := range c.set.all() {
		if out, err = r.candidates(c.v.store, hash, out); err != nil {
			return nil, err
		}
	}
	for i := sort.Search(len(c.tail), func(i int) bool { return c.tail[i].hash >= hash }); i < len(c.tail) && c.tail[i].hash == hash; i++ {
		out = append(out, c.tail[i].at>>1)
	}
	return out, nil
}
