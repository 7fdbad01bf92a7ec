package engine

import (
	"encoding/binary"

	"farthing/journal"
)

// identityRowBytes is the size at which a row of identities is closed.
const identityRowBytes = 4 << 10

// runWriter writes the entries of a run, which come by hash, as rows.
type runWriter struct {
	t      table
	info   *runInfo
	own    *filter // of the run, which nobody else knows yet; nil: it has none
	shared *filter // nil: none
	row    []byte
	key    [8]byte
	hash   uint64 // of the last entry
}

// add appends an entry: at is its sequence × 2, + 1 if it is of no event.
func (w *runWriter) add(hash, at uint64) error {
	// Entries of one hash share a row: its key must be unique.
	if len(w.row) >= identityRowBytes && hash != w.hash {
		if err := w.close(); err != nil {
			return err
		}
	}
	w.hash = hash
	binary.BigEndian.PutUint64(w.key[:], hash)
	w.row = append(w.row, w.key[:]...)
	w.row = binary.AppendUvarint(w.row, at-w.info.first<<1)
	w.info.count++
	w.info.special += int(at & 1)
	if w.own != nil {
		w.own.add(hash)
	}
	if w.shared != nil {
		w.shared.add(hash)
	}
	return nil
}

// close ends the row, if there is one.
func (w *runWriter) close() error {
	if len(w.row) == 0 {
		return nil
	}
	err := w.t.Add(w.key[:], w.row)
	w.row = w.row[:0]
	return err
}

// tableSet collects what is ingested together.
type tableSet struct {
	store storage
	list  []table
	err   error
}

// build builds one table unless an earlier one failed.
func (b *tableSet) build(kind journal.Kind, id uint64, fill func(table) error) {
	if b.err != nil {
		return
	}
	t, err := b.store.NewTable(kind, id)
	if err != nil {
		b.err = err
		return
	}
	b.list, b.err = append(b.list, t), fill(t)
}

// abort gives up what was built.
func (b *tableSet) abort() {
	for _, t := range b.list {
		if a, ok := t.(interface{ Abort() error }); ok {
			_ = a.Abort() // its file goes with the next start
		}
	}
}

// ingest makes the tables part of the store, and valid with their markers.
func (b *tableSet) ingest(markers ...journal.Row) error {
	if b.err != nil {
		b.abort()
		return b.err
	}
	return b.store.Ingest(b.list, markers)
}

// write makes the run of a frozen generation and its postings and publishes the set with it. The
// shared filter learns the run's identities before the set is out.
func (x *runIndex) write(g *generation, p *postings) error {
	into := x.load().open(g.count, x.perRun)
	info := &runInfo{id: x.table(), from: g.number, to: g.number + 1, first: g.first, last: g.last, newest: g.newest, filter: newFilter(g.count)}
	info.blocks = len(info.filter.blocks)
	b := tableSet{store: x.store}
	b.build(journal.KindIdentity, info.id, func(t table) error {
		w := runWriter{t: t, info: info, own: &info.filter, shared: into.shared}
		for _, entry := range g.sorted() {
			if err := w.add(entry.hash, entry.at); err != nil {
				return err
			}
		}
		return w.close()
	})
	b.build(journal.KindIdentityFilter, info.id, info.filter.write)
	b.build(journal.KindStatement, info.id, func(t table) error { return p.write(t.Add) })
	entries := statementRun{number: info.id, first: g.first, last: g.last}
	if err := b.ingest(info.marker(), entries.marker()); err != nil {
		return err
	}
	x.change(func(next *runSet) {
		next.enter(info, into)
		next.statements = append(next.statements, entries)
	})
	return nil
}

// runEntry is an identity in a run: its hash, and its sequence × 2, + 1 if it is of no event.
type runEntry struct{ hash, at uint64 }

// sorted returns the entries by hash: a radix sort, since comparing a million hashes
// costs ten times as much as moving them. Four passes sort by the high 32 bits; two
// hashes that agree in these are rare, so insertion puts the rest in order.
func (g *generation) sorted() []runEntry {
	a := make([]runEntry, 0, g.count)
	g.entries(func(hash uint64, s seen, special bool) {
		at := s.seq << 1
		if special {
			at++
		}
		a = append(a, runEntry{hash, at})
	})
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
