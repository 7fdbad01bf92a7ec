package engine

import (
	"encoding/binary"
	"fmt"
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
	store   *journal.Store
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

// prober looks identities up in the runs for one caller. It keeps the journal block it
// read last: a repeated batch finds its events side by side.
type prober struct {
	e      *Engine
	set    *runSet
	blocks blockReader
	seqs   []uint64
}

// probe looks an identity up in one run.
func (p *prober) probe(r *runInfo, hash uint64, identity []byte) (seen, bool, error) {
	var err error
	if p.seqs, err = p.set.candidates(r, hash, p.seqs[:0]); err != nil {
		return seen{}, false, err
	}
	for _, seq := range p.seqs {
		c, err := p.blocks.at(seq)
		if err != nil {
			return seen{}, false, err
		}
		if !c.isEvent() {
			return seen{}, false, fmt.Errorf("identity run %d: sequence %d is no event", r.number, seq)
		}
		if sameIdentity(&c.event, identity) {
			return seen{seq, contentHash(&c.event, c.t, p.e.seed)}, true, nil
		}
	}
	return seen{}, false, nil
}

// find looks an identity up in all runs, newest first.
func (p *prober) find(hash uint64, identity []byte) (seen, bool, error) {
	for i := len(p.set.runs) - 1; i >= 0; i-- {
		if r := p.set.runs[i]; r.filter.maybe(hash) {
			if hit, ok, err := p.probe(r, hash, identity); err != nil || ok {
				return hit, ok, err
			}
		}
	}
	return seen{}, false, nil
}

// sameIdentity compares a journaled event with source NUL id.
func sameIdentity(e *eventRecord, identity []byte) bool {
	n := len(e.source)
	return len(identity) == n+1+len(e.id) && string(identity[:n]) == string(e.source) && identity[n] == 0 &&
		string(identity[n+1:]) == string(e.id)
}

// identityRowBytes is the size at which a row of identities is closed.
const identityRowBytes = 4 << 10

// writeRun makes the run of a frozen generation and its postings, ingests it and returns
// what is kept in memory.
func writeRun(store *journal.Store, g *generation, p *postings) (*runInfo, error) {
	info := &runInfo{number: g.number, first: g.first, last: g.last, count: g.count, filter: newFilter(g.count)}
	ids, err := store.NewTable(journal.KindIdentity, g.number)
	if err != nil {
		return nil, err
	}
	if err := writeIdentities(ids, g, &info.filter); err != nil {
		return nil, err
	}
	filters, err := store.NewTable(journal.KindIdentityFilter, g.number)
	if err != nil {
		return nil, err
	}
	if err := info.filter.write(filters); err != nil {
		return nil, err
	}
	statements, err := store.NewTable(journal.KindStatement, g.number)
	if err != nil {
		return nil, err
	}
	if err := p.write(statements); err != nil {
		return nil, err
	}
	tables := []*journal.TableBuilder{ids, filters}
	if statements.Count() > 0 {
		tables = append(tables, statements)
	} else if err := statements.Abort(); err != nil {
		return nil, err
	}
	return info, store.Ingest(tables, []journal.Row{info.marker()})
}

func writeIdentities(t *journal.TableBuilder, g *generation, f *filter) error {
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
		f.add(slot.hash)
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
func loadRuns(store *journal.Store) (*runSet, error) {
	set := &runSet{store: store}
	err := store.Scan(journal.SpaceMarker, []byte{'r'}, []byte{'r' + 1}, func(key, value []byte) (bool, error) {
		r := reader{p: value}
		info := &runInfo{number: binary.BigEndian.Uint64(key[1:]), first: r.uvarint(), last: r.uvarint(), count: int(r.uvarint())}
		if r.end() != nil || info.number != set.version {
			return false, fmt.Errorf("run %d: its marker does not decode or follow", info.number)
		}
		info.filter = newFilter(info.count)
		if err := info.filter.read(store, info.number); err != nil {
			return false, err
		}
		set.runs = append(set.runs, info)
		set.version++
		return true, nil
	})
	return set, err
}

// with returns the set with one more run.
func (s *runSet) with(r *runInfo) *runSet {
	runs := append(append([]*runInfo(nil), s.runs...), r)
	return &runSet{version: s.version + 1, runs: runs, store: s.store}
}
