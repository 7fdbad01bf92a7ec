package engine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	"farthing/journal"
)

// simDisk is a model of the journal's store that outlives the processes on it. It promises what
// journal.Store promises and no more: what was written without a sync may go in a crash, from some
// write on; a group is durable when its Commit returns, and before that whole or not at all.
type simDisk struct {
	s *sim

	blocks  []journal.Block // written; those up to durable are synced
	durable int
	gone    int          // of blocks: dropped
	base    journal.Base // where they end
	spaces  map[journal.Space]*simRows
	tables  map[journal.Kind]map[uint64]*simRows
	undo    []simUndo // of writes that are not synced, oldest first
	written uint64    // writes so far; undo holds the last ones

	slow    [2]time.Duration // how long a sync takes
	failing int              // the commit so many from now fails; 0: none
	lies    bool             // planted: a commit is answered before it is durable
	forgets bool             // a crash keeps nothing that was not synced, whatever is asked

	commits, lost int
}

// simUndo takes one write back.
type simUndo struct {
	rows   []simOld
	blocks int // how many blocks it wrote
	drop   bool
	gone   int // as it was before a drop
	base   journal.Base
}

type simOld struct {
	space journal.Space
	key   string
	value []byte
	there bool
}

var errDisk = errors.New("the disk failed")

func newSimDisk(s *sim) *simDisk {
	return &simDisk{s: s, spaces: map[journal.Space]*simRows{}, tables: map[journal.Kind]map[uint64]*simRows{}, slow: [2]time.Duration{time.Millisecond / 2, 2 * time.Millisecond}}
}

// simRows is an ordered map; keys are sorted when somebody walks.
type simRows struct {
	rows   map[string][]byte
	sorted []string
}

func newSimRows() *simRows { return &simRows{rows: map[string][]byte{}} }

func (r *simRows) put(key string, value []byte) {
	if _, there := r.rows[key]; !there {
		r.sorted = nil
	}
	r.rows[key] = value
}

func (r *simRows) remove(key string) {
	delete(r.rows, key)
	r.sorted = nil
}

func (r *simRows) scan(lo, hi []byte, fn func(key, value []byte) (bool, error)) error {
	if r == nil || len(r.rows) == 0 {
		return nil
	}
	if r.sorted == nil {
		r.sorted = slices.Sorted(maps.Keys(r.rows))
	}
	keys := r.sorted // one moment's; fn may give way, and values are never written to
	var values [][]byte
	i := sort.SearchStrings(keys, string(lo))
	for _, key := range keys[i:] {
		if hi != nil && key >= string(hi) {
			break
		}
		values = append(values, r.rows[key])
	}
	for n, value := range values {
		more, err := fn([]byte(keys[i+n]), value)
		if err != nil || !more {
			return err
		}
	}
	return nil
}

func (d *simDisk) space(s journal.Space) *simRows {
	if d.spaces[s] == nil {
		d.spaces[s] = newSimRows()
	}
	return d.spaces[s]
}

// write makes rows and blocks visible and remembers how to take them back. It returns its number.
func (d *simDisk) write(rows []journal.Row, blocks []journal.Block) uint64 {
	u := simUndo{blocks: len(blocks)}
	for i := range rows {
		r := &rows[i]
		space, key := d.space(r.Space), string(r.Key)
		value, there := space.rows[key]
		u.rows = append(u.rows, simOld{r.Space, key, value, there})
		if r.Delete {
			space.remove(key)
		} else {
			space.put(key, bytes.Clone(r.Value))
		}
	}
	d.blocks = append(d.blocks, blocks...)
	d.undo = append(d.undo, u)
	d.written++
	return d.written
}

// sync writes and makes all that was written so far durable, which takes its time.
func (d *simDisk) sync(rows []journal.Row, blocks []journal.Block) {
	d.synced(func() uint64 { return d.write(rows, blocks) })
}

func (d *simDisk) synced(write func() uint64) {
	if d.forgets { // what is on its way is not there yet
		d.s.sleep(d.s.between(d.slow[0], d.slow[1]))
		d.settle(write())
		return
	}
	n := write()
	d.s.sleep(d.s.between(d.slow[0], d.slow[1]))
	d.settle(n)
}

// settle makes everything up to a write durable.
func (d *simDisk) settle(write uint64) {
	if keep := d.written - write; uint64(len(d.undo)) > keep {
		d.undo = slices.Clone(d.undo[uint64(len(d.undo))-keep:])
	}
	d.durable = len(d.blocks)
	for _, u := range d.undo {
		d.durable -= u.blocks
	}
	d.s.moved()
}

// crash takes back what was not synced, from some write on.
func (d *simDisk) crash(rng *rand.Rand, percent int) {
	keep := 0
	for keep < len(d.undo) && !d.forgets && rng.IntN(100) < percent {
		keep++
	}
	for i := len(d.undo) - 1; i >= keep; i-- {
		u := &d.undo[i]
		for k := len(u.rows) - 1; k >= 0; k-- {
			old := &u.rows[k]
			if old.there {
				d.space(old.space).put(old.key, old.value)
			} else {
				d.space(old.space).remove(old.key)
			}
		}
		d.blocks = d.blocks[:len(d.blocks)-u.blocks]
		if u.drop {
			d.gone, d.base = u.gone, u.base
		}
		d.lost++
	}
	d.undo, d.durable, d.failing = nil, len(d.blocks), 0
}

// Commit is journal.Store.Commit.
func (d *simDisk) Commit(g *journal.Group) error {
	d.commits++
	if d.failing > 0 {
		if d.failing--; d.failing == 0 {
			d.write(g.Rows, d.chain(g)) // there or not
			return errDisk
		}
	}
	if d.lies {
		d.write(g.Rows, d.chain(g))
		d.durable = len(d.blocks) // as readers see it
		return nil
	}
	d.sync(g.Rows, d.chain(g))
	return nil
}

// chain makes the blocks of a group.
func (d *simDisk) chain(g *journal.Group) []journal.Block {
	var out []journal.Block
	var prev journal.Block
	if n := len(d.blocks); n > 0 {
		prev = d.blocks[n-1]
	}
	for i := range g.Blocks {
		in := &g.Blocks[i]
		b := journal.Block{First: in.First, Last: in.Last, Time: g.Time, Final: i == len(g.Blocks)-1, Prev: prev.Hash, Body: bytes.Clone(in.Body)}
		if b.First != prev.Last+1 || b.Last < b.First || b.Time < prev.Time {
			d.s.failf("a block of %d to %d at %d follows %d at %d", b.First, b.Last, b.Time, prev.Last, prev.Time)
		}
		header := [64]byte{0: 1} // as the journal hashes: a base names hashes
		if b.Final {
			header[1] = 1
		}
		binary.BigEndian.PutUint32(header[4:], uint32(len(b.Body)))
		for k, n := range []uint64{b.First, b.Last, uint64(b.Time)} {
			binary.BigEndian.PutUint64(header[8+8*k:], n)
		}
		copy(header[32:], b.Prev[:])
		b.Hash = sha256.Sum256(append(header[:], b.Body...))
		in.Hash, prev = b.Hash, b
		out = append(out, b)
	}
	return out
}

// Head is journal.Store.Head.
func (d *simDisk) Head() journal.Head {
	b := &d.blocks[d.durable-1]
	return journal.Head{Seq: b.Last, Hash: b.Hash, Time: b.Time}
}

// BlockAt is journal.Store.BlockAt.
func (d *simDisk) BlockAt(seq uint64) (*journal.Block, error) {
	if seq <= d.base.Seq {
		return nil, fmt.Errorf("%w: sequence %d", journal.ErrDropped, seq)
	}
	i := sort.Search(d.durable, func(i int) bool { return d.blocks[i].Last >= seq })
	if i == d.durable || d.blocks[i].First > seq {
		return nil, fmt.Errorf("no block has sequence %d: %w", seq, journal.ErrCorrupt)
	}
	b := d.blocks[i]
	return &b, nil
}

// Base is journal.Store.Base.
func (d *simDisk) Base() journal.Base { return d.base }

// BaseAt is journal.Store.BaseAt.
func (d *simDisk) BaseAt(through uint64) (journal.Base, error) {
	b, err := d.BlockAt(through)
	if err != nil {
		return journal.Base{}, err
	}
	if b.Last != through || !b.Final {
		return journal.Base{}, fmt.Errorf("no group ends at sequence %d", through)
	}
	return journal.Base{Seq: b.Last, Hash: b.Hash, Time: b.Time}, nil
}

// DropBlocks is journal.Store.DropBlocks.
func (d *simDisk) DropBlocks(through uint64) (uint64, error) {
	if through <= d.base.Seq {
		return 0, nil
	}
	base, err := d.BaseAt(through)
	if err != nil {
		return 0, err
	}
	if through >= d.Head().Seq {
		return 0, fmt.Errorf("sequence %d is the head", through)
	}
	d.synced(func() uint64 {
		d.undo = append(d.undo, simUndo{drop: true, gone: d.gone, base: d.base})
		d.gone = sort.Search(len(d.blocks), func(i int) bool { return d.blocks[i].Last > through })
		d.base = base
		d.written++
		return d.written
	})
	return 1, nil
}

// Blocks is journal.Store.Blocks.
func (d *simDisk) Blocks(from uint64, fn func(*journal.Block) error) error {
	if from == 0 {
		from = d.base.Seq + 1
	}
	if from <= d.base.Seq {
		return fmt.Errorf("%w: sequence %d", journal.ErrDropped, from)
	}
	i := sort.Search(d.durable, func(i int) bool { return d.blocks[i].Last >= from })
	for _, b := range d.blocks[max(i, d.gone):max(d.durable, d.gone)] {
		if err := fn(&b); err != nil {
			return err
		}
	}
	return nil
}

// Write is journal.Store.Write.
func (d *simDisk) Write(rows []journal.Row, sync bool) error {
	if sync {
		d.sync(rows, nil)
	} else {
		d.write(rows, nil)
	}
	return nil
}

// Get is journal.Store.Get.
func (d *simDisk) Get(space journal.Space, key []byte) ([]byte, bool, error) {
	value, ok := d.space(space).rows[string(key)]
	return bytes.Clone(value), ok, nil
}

// Scan is journal.Store.Scan.
func (d *simDisk) Scan(space journal.Space, lo, hi []byte, fn func(key, value []byte) (bool, error)) error {
	return d.space(space).scan(lo, hi, fn)
}

// simTable is a table that is being built.
type simTable struct {
	kind journal.Kind
	id   uint64
	last []byte
	rows *simRows
}

// Add is journal.TableBuilder.Add.
func (t *simTable) Add(key, value []byte) error {
	if t.last != nil && bytes.Compare(key, t.last) <= 0 {
		panic("BUG: keys of a table do not ascend")
	}
	t.last = bytes.Clone(key)
	t.rows.put(string(key), bytes.Clone(value))
	return nil
}

// Abort is journal.TableBuilder.Abort.
func (t *simTable) Abort() error { return nil }

// NewTable is journal.Store.NewTable.
func (d *simDisk) NewTable(kind journal.Kind, id uint64) (table, error) {
	delete(d.tables[kind], id)
	return &simTable{kind: kind, id: id, rows: newSimRows()}, nil
}

// Ingest is journal.Store.Ingest: a crash may come between the tables and their markers.
func (d *simDisk) Ingest(tables []table, markers []journal.Row) error {
	d.s.sleep(d.s.between(d.slow[0], d.slow[1]))
	for _, t := range tables {
		t := t.(*simTable)
		if d.tables[t.kind] == nil {
			d.tables[t.kind] = map[uint64]*simRows{}
		}
		if len(t.rows.rows) > 0 {
			d.tables[t.kind][t.id] = t.rows
		}
	}
	d.s.give() // a good moment for a crash
	return d.Write(markers, true)
}

// DropTable is journal.Store.DropTable.
func (d *simDisk) DropTable(kind journal.Kind, id uint64) error {
	delete(d.tables[kind], id)
	return nil
}

// Tables is journal.Store.Tables.
func (d *simDisk) Tables(kind journal.Kind) ([]uint64, error) {
	return slices.Sorted(maps.Keys(d.tables[kind])), nil
}

// TableScan is journal.Store.TableScan.
func (d *simDisk) TableScan(kind journal.Kind, id uint64, lo, hi []byte, fn func(key, value []byte) (bool, error)) error {
	return d.tables[kind][id].scan(lo, hi, fn)
}

// Metrics is journal.Store.Metrics: of a model there are none.
func (d *simDisk) Metrics() journal.Metrics { return journal.Metrics{} }

// Health is never looked at: the simulation has no watch.
func (d *simDisk) Health() journal.Health { return journal.Health{} }

// DiskSpace is not known.
func (d *simDisk) DiskSpace() (free, total uint64, known bool, err error) { return 0, 0, false, nil }

// Close is journal.Store.Close.
func (d *simDisk) Close() error {
	d.sync(nil, nil)
	return nil
}
