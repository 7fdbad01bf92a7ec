package engine

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync/atomic"

	"farthing/journal"
)

// A run is a full generation on disk: two immutable tables, one of identities sorted by
// hash and one of statement entries sorted by account (postings.go), and the persisted
// filter of the identities. Runs are numbered like the generations they come from.
//
// An identity is stored once, in the journal; a run only says under which sequences
// identities of a hash are. A filter and a hash say maybe, the journal's record says yes.
//
// Entries are packed some 4 KiB to a row, because a row costs ten times what an entry
// costs. A row's key is the hash of its last entry, so that seeking a hash finds the row it
// would be in:
//
//	key    hash of the last entry (8, big-endian)
//	value  per entry: hash (8, big-endian) | uvarint sequence − the run's first

// An epoch is epochRuns runs that share one more filter: asking each run's filter costs a
// cache miss a run and event, which at a million events a second and run soon is more
// than all the rest. The filter of a full epoch is persisted with its last run, that of
// the current one is built anew from its runs at start.
type epoch struct {
	first  int // index of its first run
	filter filter
}

const epochRuns = 16

// runInfo is what is kept of a run in memory.
type runInfo struct {
	number      uint64
	first, last uint64 // sequences covered
	count       int
	filter      filter
}

// runSet is the runs as of one moment; immutable. Version v covers the generations 0..v-1.
type runSet struct {
	version uint64
	runs    []*runInfo
	epochs  []*epoch
	store   storage
	perRun  int // identities of a full run: the size of an epoch's filter
}

// indexedTo is the last sequence that the runs cover.
func (s *runSet) indexedTo() uint64 {
	if len(s.runs) == 0 {
		return 0
	}
	return s.runs[len(s.runs)-1].last
}

// runIndex publishes the current run set; the indexer is its only writer.
type runIndex struct{ current atomic.Pointer[runSet] }

func (x *runIndex) load() *runSet { return x.current.Load() }

// maybe calls fn with the runs that may hold the hash, newest first.
func (s *runSet) maybe(e *epoch, hash uint64, fn func(*runInfo) error) error {
	for i := min(e.first+epochRuns, len(s.runs)) - 1; i >= e.first; i-- {
		if s.runs[i].filter.maybe(hash) {
			if err := fn(s.runs[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// candidates appends the sequences of a run's entries with the given hash.
func (s *runSet) candidates(r *runInfo, hash uint64, out []uint64) ([]uint64, error) {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], hash)
	err := s.store.TableScan(journal.KindIdentity, r.number, key[:], nil, func(_, row []byte) (bool, error) {
		for len(row) > 0 {
			h, seq, rest, bad := cutIdentity(row, r.first)
			if bad {
				return false, fmt.Errorf("identity run %d: a row does not decode", r.number)
			}
			if h == hash {
				out = append(out, seq)
			}
			row = rest
		}
		return false, nil
	})
	return out, err
}

// cutIdentity decodes the first entry of a row of a run that begins at first.
func cutIdentity(p []byte, first uint64) (hash, seq uint64, rest []byte, bad bool) {
	r := reader{p: p}
	if h := r.take(8); h != nil {
		hash = binary.BigEndian.Uint64(h)
	}
	seq = first + r.uvarint()
	return hash, seq, r.p, r.bad
}

// prober looks identities up in the runs for one caller. It collects candidates first and
// then reads the journal in its order: the events of a repeated batch lie side by side,
// and a block is read once.
type prober struct {
	e          *Engine
	set        *runSet
	blocks     *blockReader
	candidates []candidate
	seqs       []uint64
}

// candidate is an event that may have the identity asked for under index event.
type candidate struct {
	event int
	seq   uint64
}

// collect adds the candidates for a hash from the runs of an epoch.
func (p *prober) collect(e *epoch, event int, hash uint64) error {
	return p.set.maybe(e, hash, func(r *runInfo) error {
		var err error
		if p.seqs, err = p.set.candidates(r, hash, p.seqs[:0]); err != nil {
			return err
		}
		for _, seq := range p.seqs {
			p.candidates = append(p.candidates, candidate{event, seq})
		}
		return nil
	})
}

// resolve calls fn with the candidates that have the identity that identity gives for
// their event.
func (p *prober) resolve(identity func(event int) []byte, fn func(event int, s seen)) error {
	slices.SortFunc(p.candidates, func(a, b candidate) int { return cmp.Compare(a.seq, b.seq) })
	for _, at := range p.candidates {
		c, err := p.blocks.at(at.seq)
		if err != nil {
			return err
		}
		if content, ok := c.carries(identity(at.event), p.e.seed); ok {
			fn(at.event, seen{at.seq, content})
		}
	}
	return nil
}

// find looks one identity up in all runs.
func (p *prober) find(hash uint64, identity []byte) (found seen, ok bool, err error) {
	for _, e := range p.set.epochs {
		if e.filter.maybe(hash) {
			if err := p.collect(e, 0, hash); err != nil {
				return found, false, err
			}
		}
	}
	err = p.resolve(func(int) []byte { return identity }, func(_ int, s seen) { found, ok = s, true })
	return found, ok, err
}

// identityRowBytes is the size at which a row of identities is closed.
const identityRowBytes = 4 << 10

// write makes the run of a frozen generation and its postings, ingests it and returns
// the set with it. The epoch's filter learns the run's identities before the set is out.
func (s *runSet) write(g *generation, p *postings) (*runSet, error) {
	info := &runInfo{number: g.number, first: g.first, last: g.last, count: g.count, filter: newFilter(g.count)}
	next := s.with(info)
	current := next.epochs[len(next.epochs)-1]
	b := runBuilder{store: s.store, number: g.number}
	b.table(journal.KindIdentity, g.number, func(t table) error {
		return writeIdentities(t, g, &info.filter, &current.filter)
	})
	b.table(journal.KindIdentityFilter, g.number, info.filter.write)
	b.table(journal.KindStatement, g.number, func(t table) error { return p.write(t.Add) })
	markers := []journal.Row{info.marker()}
	if len(next.runs) == current.first+epochRuns {
		n := uint64(len(next.epochs) - 1)
		b.table(journal.KindEpochFilter, n, current.filter.write)
		markers = append(markers, epochMarker(n, len(current.filter.blocks)))
	}
	if b.err != nil {
		return nil, b.err
	}
	return next, s.store.Ingest(b.tables, markers)
}

// runBuilder collects the tables of a run.
type runBuilder struct {
	store  storage
	number uint64
	tables []table
	err    error
}

// table builds one table unless an earlier one failed.
func (b *runBuilder) table(kind journal.Kind, id uint64, fill func(table) error) {
	if b.err != nil {
		return
	}
	t, err := b.store.NewTable(kind, id)
	if err == nil {
		err = fill(t)
	}
	b.tables, b.err = append(b.tables, t), err
}

// epochMarker makes the filter of a full epoch valid.
func epochMarker(n uint64, blocks int) journal.Row {
	return journal.Row{Space: journal.SpaceMarker, Key: epochKey(n), Value: binary.AppendUvarint(nil, uint64(blocks))}
}

func epochKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'e'}, n) }

func writeIdentities(t table, g *generation, own, epoch *filter) error {
	row := make([]byte, 0, identityRowBytes+512)
	var key [8]byte
	slots := g.sorted()
	for i, slot := range slots {
		// Entries of one hash share a row: its key must be unique.
		if i > 0 && len(row) >= identityRowBytes && slots[i-1].hash != slot.hash {
			if err := t.Add(key[:], row); err != nil {
				return err
			}
			row = row[:0]
		}
		binary.BigEndian.PutUint64(key[:], slot.hash)
		row = append(row, key[:]...)
		row = binary.AppendUvarint(row, slot.seq-g.first)
		own.add(slot.hash)
		epoch.add(slot.hash)
	}
	if len(slots) == 0 {
		return nil
	}
	return t.Add(key[:], row)
}

// runEntry is an identity in a run: its hash and the sequence of its event.
type runEntry struct{ hash, seq uint64 }

// sorted returns the entries by hash: a radix sort, since comparing a million hashes
// costs ten times as much as moving them. Four passes sort by the high 32 bits; two
// hashes that agree in these are rare, so insertion puts the rest in order.
func (g *generation) sorted() []runEntry {
	a := make([]runEntry, 0, g.count)
	g.entries(func(hash uint64, s seen) { a = append(a, runEntry{hash, s.seq}) })
	b := make([]runEntry, len(a))
	for shift := 32; shift < 64; shift += 8 {
		var count [257]int
		for i := range a {
			count[a[i].hash>>shift&0xff+1]++
		}
		for i := 1; i < len(count); i++ {
			count[i] += count[i-1]
		}
		for i := range a {
			k := a[i].hash >> shift & 0xff
			b[count[k]] = a[i]
			count[k]++
		}
		a, b = b, a
	}
	for i := 1; i < len(a); i++ {
		for k := i; k > 0 && a[k].hash < a[k-1].hash; k-- {
			a[k], a[k-1] = a[k-1], a[k]
		}
	}
	return a
}

// marker is the row that makes the run valid.
func (r *runInfo) marker() journal.Row {
	v := binary.AppendUvarint(nil, r.first)
	v = binary.AppendUvarint(v, r.last)
	v = binary.AppendUvarint(v, uint64(r.count))
	return journal.Row{Space: journal.SpaceMarker, Key: runKey(r.number), Value: v}
}

func runKey(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'r'}, number) }

// loadRuns reads the markers and filters of all runs.
func loadRuns(store storage, perRun int) (*runSet, error) {
	set := &runSet{store: store, perRun: perRun}
	err := store.Scan(journal.SpaceMarker, []byte{'r'}, []byte{'r' + 1}, func(key, value []byte) (bool, error) {
		r := reader{p: value}
		info := &runInfo{number: binary.BigEndian.Uint64(key[1:]), first: r.uvarint(), last: r.uvarint(), count: int(r.uvarint())}
		if r.end() != nil || info.number != set.version {
			return false, fmt.Errorf("run %d: its marker does not decode or follow", info.number)
		}
		info.filter = newFilter(info.count)
		if err := info.filter.read(store, journal.KindIdentityFilter, info.number); err != nil {
			return false, err
		}
		set = set.with(info)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	for n, e := range set.epochs {
		if err := set.loadEpoch(uint64(n), e); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// loadEpoch reads the filter of a full epoch, or builds that of the current one.
func (s *runSet) loadEpoch(n uint64, e *epoch) error {
	value, full, err := s.store.Get(journal.SpaceMarker, epochKey(n))
	if err != nil {
		return err
	}
	if full {
		r := reader{p: value}
		blocks := r.uvarint()
		if r.end() != nil || blocks == 0 || blocks > 1<<32 {
			return fmt.Errorf("epoch %d: its marker does not decode", n)
		}
		e.filter.blocks = make([]filterBlock, blocks)
		return e.filter.read(s.store, journal.KindEpochFilter, n)
	}
	for _, r := range s.runs[e.first:min(e.first+epochRuns, len(s.runs))] {
		if err := s.learn(r, &e.filter); err != nil {
			return err
		}
	}
	return nil
}

// learn adds all identities of a run to a filter.
func (s *runSet) learn(r *runInfo, f *filter) error {
	return s.store.TableScan(journal.KindIdentity, r.number, nil, nil, func(_, row []byte) (bool, error) {
		for len(row) > 0 {
			hash, _, rest, bad := cutIdentity(row, r.first)
			if bad {
				return false, fmt.Errorf("identity run %d: a row does not decode", r.number)
			}
			f.add(hash)
			row = rest
		}
		return true, nil
	})
}

// with returns the set with one more run, in a new epoch if the last one is full.
func (s *runSet) with(r *runInfo) *runSet {
	next := &runSet{version: s.version + 1, runs: append(slices.Clip(s.runs), r), epochs: s.epochs, store: s.store, perRun: s.perRun}
	if len(s.runs)%epochRuns == 0 {
		e := &epoch{first: len(s.runs), filter: newFilter(max(s.perRun, r.count) * epochRuns)}
		next.epochs = append(slices.Clip(s.epochs), e)
	}
	return next
}
