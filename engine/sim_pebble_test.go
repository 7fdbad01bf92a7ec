package engine

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/internal/soak"
	"farthing/journal"
)

// simPebble is the journal's own store on a disk in memory, in the place of the model. What was not
// synced is lost in a crash: what else Pebble may have written by then is its own affair. A sync takes
// as long as on the model, so that one seed tells one story on both.
type simPebble struct {
	s   *sim
	mem *vfs.MemFS
	onDisk
}

func newSimPebble(s *sim) *simPebble { return &simPebble{s: s, mem: vfs.NewCrashableMem()} }

func (d *simPebble) open(o journal.Options, birth func() (journal.Group, error)) (storage, error) {
	o.FS, o.Logger, o.HeadSync, o.MemTableBytes = d.mem, quiet(), time.Hour, 1<<20
	there, err := journal.Exists(o)
	if err != nil {
		return nil, err
	}
	if there {
		d.Store, err = journal.Open(o)
		return d, err
	}
	g, err := birth()
	if err != nil {
		return nil, err
	}
	if d.Store, err = journal.Create(o, g); err == nil {
		d.pause() // as the model takes it
	}
	return d, err
}

// crash keeps what was synced. The store of the dead process ends on a disk of its own.
func (d *simPebble) crash() error {
	old := d.mem
	d.s.disk.failing = 0
	d.mem = old.CrashClone(vfs.CrashCloneCfg{})
	if d.Store == nil {
		return nil
	}
	store := d.Store
	d.Store = nil
	return store.Close()
}

// pause takes as long as a sync of the model.
func (d *simPebble) pause() {
	d.s.sleep(d.s.between(d.s.disk.slow[0], d.s.disk.slow[1]))
	d.s.moved()
}

// Commit commits and takes the time of the model.
func (d *simPebble) Commit(g *journal.Group) error {
	if m := d.s.disk; m.failing > 0 {
		if m.failing--; m.failing == 0 {
			return errDisk
		}
	}
	d.pause()
	return d.Store.Commit(g)
}

// Write writes.
func (d *simPebble) Write(rows []journal.Row, sync bool) error {
	if sync {
		d.pause()
	}
	return d.Store.Write(rows, sync)
}

// Ingest ingests.
func (d *simPebble) Ingest(tables []table, markers []journal.Row) error {
	d.s.sleep(d.s.between(d.s.disk.slow[0], d.s.disk.slow[1]))
	d.s.give()
	d.pause()
	return d.onDisk.Ingest(tables, markers)
}

// DropBlocks drops.
func (d *simPebble) DropBlocks(through uint64) (uint64, error) {
	d.pause()
	return d.Store.DropBlocks(through)
}

// Close closes.
func (d *simPebble) Close() error {
	d.pause()
	store := d.Store
	d.Store = nil
	return store.Close()
}

// historyOf is all blocks of a store.
func historyOf(t testing.TB, store storage) string {
	var out strings.Builder
	err := store.Blocks(0, func(b *journal.Block) error {
		fmt.Fprintf(&out, "%d-%d %d %v %x\n", b.First, b.Last, b.Time, b.Final, sha256.Sum256(b.Body))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestSimulationOnPebble tells stories on the model of the store and on the store itself: the
// histories and the answers have to be the same.
func TestSimulationOnPebble(t *testing.T) {
	run := soak.Start(t)
	stories, lines, crashes := soak.Pick(2, 60), soak.Pick(100, 300), 0
	for i := range stories {
		seed := run.Seed() + uint64(i)
		model := newSim(t, seed, simKind{credit: i%2 == 1, retain: i%2 == 0})
		model.disk.forgets = true
		g := newSimGenerator(model, seed, true)
		var story []simLine
		failed := guarded(func() {
			for range lines {
				l := g.next()
				story = append(story, l)
				model.do(&l)
			}
			model.finish()
		})
		disk := newSim(t, seed, simKind{credit: i%2 == 1, retain: i%2 == 0})
		disk.pebble = newSimPebble(disk)
		if failed == nil {
			failed = guarded(func() {
				for i := range story {
					disk.do(&story[i])
				}
				disk.finish()
			})
		}
		if failed != nil {
			t.Fatalf("seed %d: %s\n%s", seed, failed.text, failed.stack)
		}
		if want, got := historyOf(t, model.e.store), historyOf(t, disk.e.store); want != got || model.sum() != disk.sum() {
			t.Fatalf("seed %d: the store and its model come to different histories or answers\n%.3000s", seed, creditDiff(want, got))
		}
		crashes += disk.count.crashes
		model.over()
		disk.over()
		if err := disk.pebble.Store.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run.Report("simulation on Pebble against the model", soak.Counts{"seeds": stories, "crashes": crashes, "histories that differ": 0})
}
