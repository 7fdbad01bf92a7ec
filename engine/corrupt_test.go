package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sort"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/journal"
)

// corruptRig is a ledger with everything in it, as a killed process leaves its disk.
type corruptRig struct {
	t      *testing.T
	x      *everything
	disk   *vfs.MemFS // never opened itself
	older  *vfs.MemFS // the same ledger some time before
	files  []string   // of disk
	head   journal.Head
	digest string
	report VerifyReport
}

// cloneDisk is a copy of all that a disk holds.
func cloneDisk(fs *vfs.MemFS) *vfs.MemFS {
	return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
}

// newCorruptRig makes the ledger: several runs of a process, the last one killed with a live log.
func newCorruptRig(t *testing.T, seed uint64, rounds int) *corruptRig {
	r := &corruptRig{t: t, x: newEverything(t, seed)}
	mem := vfs.NewCrashableMem()
	for life := range 3 {
		e, err := Open(r.x.options(mem))
		if err != nil {
			t.Fatal(err)
		}
		if life == 0 {
			r.x.found(e)
		}
		r.x.work(e, rounds, nil)
		settled(t, e)
		e.repriced()
		if life == 1 {
			r.older = cloneDisk(mem)
		}
		if life == 2 {
			if err := e.Webhooks().Save(worldHook, []byte("end"), []byte("end")); err != nil { // what comes before it is durable
				t.Fatal(err)
			}
			tidied(t, e) // so that no start merges: that reads what is damaged in the background, and ends the process
			r.disk = cloneDisk(mem)
		}
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	r.files = filesBelow(t, r.disk, "d")
	var err error
	if r.head, r.digest, err = r.contents(cloneDisk(r.disk)); err != nil {
		t.Fatal(err)
	}
	if r.report, err = Verify(r.verifyOptions(cloneDisk(r.disk))); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *corruptRig) verifyOptions(fs vfs.FS) VerifyOptions {
	return VerifyOptions{Journal: r.x.options(fs).Journal}
}

// filesBelow are the paths of all files below a directory, sorted.
func filesBelow(t testing.TB, fs vfs.FS, dir string) (out []string) {
	t.Helper()
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			out = append(out, filesBelow(t, fs, path)...)
		} else {
			out = append(out, path)
		}
	}
	sort.Strings(out)
	return out
}

func readAll(t testing.TB, fs vfs.FS, path string) []byte {
	t.Helper()
	f, err := fs.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func overwrite(t testing.TB, fs vfs.FS, path string, data []byte) {
	t.Helper()
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = f.Write(slices.Clone(data)); err == nil {
		err = f.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// contents reads all that is stored, journal, tables and rows, and returns where the history ends and a digest
// of everything: whatever is asked of two ledgers with one digest is answered alike.
func (r *corruptRig) contents(fs vfs.FS) (head journal.Head, digest string, err error) {
	store, err := journal.OpenReadOnly(r.x.options(fs).Journal)
	if err != nil {
		return head, "", err
	}
	defer store.Close()
	h := sha256.New()
	add := func(parts ...[]byte) {
		for _, p := range parts {
			h.Write(binary.AppendUvarint(nil, uint64(len(p))))
			h.Write(p)
		}
	}
	err = store.Blocks(1, func(b *journal.Block) error {
		add(b.Hash[:])
		return nil
	})
	for space := journal.Space(0x70); space <= 0x7f && err == nil; space++ {
		err = store.Scan(space, nil, nil, func(key, value []byte) (bool, error) {
			add([]byte{byte(space)}, key, value)
			return true, nil
		})
	}
	marked, markErr := markedTables(onDisk{store})
	err = errors.Join(err, markErr)
	for kind := journal.Kind(0x10); kind < 0x40 && err == nil; kind++ {
		var ids []uint64
		if ids, err = store.Tables(kind); err != nil {
			break
		}
		for _, id := range ids {
			if !marked[kind][id] {
				continue // left behind by a merge whose last step was lost: the next start drops it
			}
			if err = store.TableScan(kind, id, nil, nil, func(key, value []byte) (bool, error) {
				add([]byte{byte(kind)}, binary.BigEndian.AppendUint64(nil, id), key, value)
				return true, nil
			}); err != nil {
				break
			}
		}
	}
	return store.Head(), fmt.Sprintf("%x", h.Sum(nil)), err
}

// removeFile removes a file for good.
func removeFile(t testing.TB, fs vfs.FS, path string) {
	t.Helper()
	if err := fs.Remove(path); err != nil {
		t.Fatal(err)
	}
	dir, err := fs.OpenDir(fs.PathDir(path))
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// damage is something that a disk did to one file.
type damage struct {
	file string
	what string
	do   func(fs *vfs.MemFS)
}

// found is what became of a damage.
type found struct {
	at  string // start, verify, nowhere
	err error
}

// try damages a copy of the disk and looks who notices. It fails on anything but: refused at start,
// noticed by verify, or without effect.
func (r *corruptRig) try(d *damage) found {
	r.t.Helper()
	fs := cloneDisk(r.disk)
	d.do(fs)
	opened := cloneDisk(fs)
	report, verifyErr := Verify(r.verifyOptions(fs))
	report.Files = r.report.Files // a start may merge tables, or have what was merged in two
	run := r.run(opened)
	switch {
	case run.openErr != nil:
		if verifyErr == nil {
			r.t.Errorf("%s %s: verify finds nothing, the start says %v", d.file, d.what, run.openErr)
		}
		return found{"start", run.openErr}
	case run.opened && run.head < r.head.Seq:
		r.t.Errorf("%s %s: opened at sequence %d of %d", d.file, d.what, run.head, r.head.Seq)
	case run.err != nil && verifyErr == nil:
		r.t.Errorf("%s %s: verify finds nothing, a run ends with %v", d.file, d.what, run.err)
	}
	if verifyErr != nil {
		return found{"verify", verifyErr}
	}
	head, digest, err := r.contents(fs)
	if err != nil || head != r.head || digest != r.digest || report != r.report {
		r.t.Errorf("%s %s: nobody noticed, and something else is stored: %v, head %d\n%+v\nwas\n%+v", d.file, d.what, err, head.Seq, report, r.report)
	}
	if _, err := Verify(r.verifyOptions(opened)); err != nil {
		r.t.Errorf("%s %s: nobody noticed, and after a run verify says %v", d.file, d.what, err)
	}
	return found{"nowhere", nil}
}

// corruptRun is what became of a start and an orderly end on a damaged disk.
type corruptRun struct {
	openErr error
	opened  bool
	head    uint64
	err     error // of the end, or why the process was told to end before
}

// run starts and ends the engine. A compaction that meets the damage in between tells the process to end: then that is the end.
func (r *corruptRig) run(disk vfs.FS) corruptRun {
	o := r.x.options(disk)
	told, done := make(chan error, 1), make(chan corruptRun, 1)
	o.Journal.Fatal = func(err error) {
		select {
		case told <- err:
		default:
		}
		select {} // as a process that ends
	}
	go func() {
		e, err := Open(o)
		if err != nil {
			done <- corruptRun{openErr: err}
			return
		}
		head := e.store.Head().Seq
		done <- corruptRun{opened: true, head: head, err: e.Close()}
	}()
	select {
	case run := <-done:
		return run
	case err := <-told:
		return corruptRun{err: err}
	}
}

// flip is a single bit.
func (r *corruptRig) flip(file string, at int, bit uint) *damage {
	return &damage{file, fmt.Sprintf("bit %d of byte %d", bit, at), func(fs *vfs.MemFS) {
		data := readAll(r.t, fs, file)
		data[at] ^= 1 << bit
		overwrite(r.t, fs, file, data)
	}}
}

// whole are damages to all of a file: gone, cut short, zeroes at its end, a page of it gone, as it was some time before.
func (r *corruptRig) whole(file string, rng *rand.Rand) (out []*damage) {
	add := func(what string, do func(fs *vfs.MemFS)) { out = append(out, &damage{file, what, do}) }
	add("removed", func(fs *vfs.MemFS) { removeFile(r.t, fs, file) })
	data := readAll(r.t, r.disk, file)
	if len(data) == 0 {
		return out
	}
	put := func(what string, change func(data []byte) []byte) {
		changed := change(slices.Clone(data))
		add(what, func(fs *vfs.MemFS) { overwrite(r.t, fs, file, changed) })
	}
	cut := rng.IntN(len(data))
	put("emptied", func([]byte) []byte { return nil })
	put("without its last byte", func(data []byte) []byte { return data[:len(data)-1] })
	put(fmt.Sprintf("cut to %d bytes", cut), func(data []byte) []byte { return data[:cut] })
	put(fmt.Sprintf("zeroes from byte %d", cut), func(data []byte) []byte {
		clear(data[cut:])
		return data
	})
	page := min(4096, 1+len(data)/3)
	at := rng.IntN(len(data)-page+1) / page * page
	put(fmt.Sprintf("without the page at %d", at), func(data []byte) []byte { return append(data[:at:at], data[at+page:]...) })
	put(fmt.Sprintf("zeroes in the page at %d", at), func(data []byte) []byte {
		clear(data[at : at+page])
		return data
	})
	if _, err := r.older.Stat(file); err == nil {
		if old := readAll(r.t, r.older, file); !slices.Equal(old, data) {
			put("as it was before", func([]byte) []byte { return old })
		}
	}
	return out
}
