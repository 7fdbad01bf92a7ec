package engine

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync/atomic"

	"farthing/journal"
)

// A run is a full generation on disk: two immutable tables, one of identities sorted by
// hash and one of statement entries sorted by account (postings.go), and the persisted
// filter of the identities. Runs are numbered like the generations they come from.
//
// Identity entries are packed some 4 KiB to a row, because a row costs ten times what an
// entry costs. A row's key is the hash of its last entry, so that seeking a hash finds
// the row it would be in:
//
//	key    hash of the last entry (8, big-endian)
//	value  per entry: content hash (8) | uvarint sequence − the run's first | uvarint length | source NUL id
//
// An entry's own hash follows from its identity and is left out.

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

// find looks an identity up in all runs, newest first. A filter may say maybe; only the
// stored identity says yes.
func (s *runSet) find(hash uint64, identity []byte) (seen, bool, error) {
	for i := len(s.runs) - 1; i >= 0; i-- {
		r := s.runs[i]
		if !r.filter.maybe(hash) {
			continue
		}
		if hit, ok, err := s.probe(r, hash, identity); err != nil || ok {
			return hit, ok, err
		}
	}
	return seen{}, false, nil
}

// probe reads the row of a run that would hold the identity.
func (s *runSet) probe(r *runInfo, hash uint64, identity []byte) (found seen, ok bool, err error) {
	var key [8]byte
	binary.BigEndian.PutUint64(key[:], hash)
	err = s.store.TableScan(journal.KindIdentity, r.number, key[:], nil, func(_, value []byte) (bool, error) {
		for len(value) > 0 {
			at, id, rest, bad := cutIdentity(value, r.first)
			if bad {
				return false, fmt.Errorf("identity run %d: a row does not decode", r.number)
			}
			if string(id) == string(identity) {
				found, ok = at, true
				return false, nil
			}
			value = rest
		}
		return false, nil
	})
	return found, ok, err
}

// cutIdentity decodes the first entry of a row of a run that begins at first.
func cutIdentity(p []byte, first uint64) (s seen, id, rest []byte, bad bool) {
	r := reader{p: p}
	if content := r.take(8); content != nil {
		s.content = binary.BigEndian.Uint64(content)
	}
	s.seq = first + r.uvarint()
	id = r.bytes()
	return s, id, r.p, r.bad
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
	flush := func() error {
		err := t.Add(key[:], row)
		row = row[:0]
		return err
	}
	slots := g.sorted()
	var warmed byte
	for i, slot := range slots {
		if i%warmAhead == 0 {
			warmed += g.warm(slots[i:min(i+warmAhead, len(slots))])
		}
		// Entries of one hash share a row: its key must be unique.
		if i > 0 && len(row) >= identityRowBytes && binary.BigEndian.Uint64(key[:]) != slot.hash {
			if err := flush(); err != nil {
				return err
			}
		}
		s, id := g.entry(slot.ref)
		row = binary.BigEndian.AppendUint64(row, s.content)
		row = binary.AppendUvarint(row, s.seq-g.first)
		row = appendBytes(row, id)
		binary.BigEndian.PutUint64(key[:], slot.hash)
		f.add(slot.hash)
	}
	runtime.KeepAlive(warmed)
	return flush()
}

// warmAhead is how many entries are touched before they are read one by one.
const warmAhead = 64

// warm touches the arena entries of some slots: sorted by hash they lie anywhere, and
// loads that do not depend on each other overlap their cache misses.
func (g *generation) warm(slots []identitySlot) (sink byte) {
	for _, s := range slots {
		at := uint64(s.ref-1) * 8
		sink += g.arena[at/arenaChunk][at%arenaChunk]
	}
	return sink
}

// sorted returns the used slots by hash: a radix sort, since comparing a million hashes
// costs ten times as much as moving them. Four passes sort by the high 32 bits; two
// hashes that agree in these are rare, so insertion puts the rest in order.
func (g *generation) sorted() []identitySlot {
	a := make([]identitySlot, 0, g.count)
	for _, s := range g.slots {
		if s.ref != 0 {
			a = append(a, s)
		}
	}
	b := make([]identitySlot, len(a))
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
