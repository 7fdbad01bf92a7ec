package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// diskOptions are testOptions on the real file system, where files can be linked.
func diskOptions(t *testing.T, dir string) Options {
	o := testOptions(t, vfs.Default)
	o.Dir = dir
	return o
}

// TestBackupUnderLoad copies a store while groups are committed, as links and as copies: each copy holds what was durable before it was
// asked for, opens for writing on its own, and later groups of the original are not in it by way of a shared file.
func TestBackupUnderLoad(t *testing.T) {
	for _, link := range []bool{true, false} {
		t.Run(fmt.Sprintf("link=%t", link), func(t *testing.T) { backupUnderLoad(t, link) })
	}
}

func backupUnderLoad(t *testing.T, link bool) {
	top := t.TempDir()
	s := mustCreate(t, diskOptions(t, filepath.Join(top, "data")))
	stop := make(chan struct{})
	committed := make(chan struct{}) // taken by who waits for the next commit
	var load sync.WaitGroup
	load.Go(func() { commitUntil(t, s, stop, committed) })
	for n := range 4 {
		for range 4 {
			<-committed
		}
		o := BackupOptions{Dir: filepath.Join(top, fmt.Sprint("copy", n)), Link: link, Describe: func(c Copied) []byte { return []byte(fmt.Sprint(c.Head.Seq)) }}
		if err := os.MkdirAll(o.Dir+partSuffix+"/ledger/rubbish", 0o700); err != nil { // of an interrupted copy
			t.Fatal(err)
		}
		asked := s.Head()
		got, err := s.Backup(o)
		if err != nil {
			t.Fatal(err)
		}
		if got.Head.Seq < asked.Seq || got.Files == 0 || got.Bytes == 0 {
			t.Fatalf("asked at %d, %+v", asked.Seq, got)
		}
		said, err := os.ReadFile(filepath.Join(o.Dir, DescriptionName))
		if err != nil || string(said) != fmt.Sprint(got.Head.Seq) {
			t.Fatalf("description %q: %v", said, err)
		}
		copied := mustOpen(t, diskOptions(t, o.Dir))
		if copied.Head().Seq < asked.Seq {
			t.Fatalf("the copy ends at %d, %d was acknowledged", copied.Head().Seq, asked.Seq)
		}
		walk(t, copied)
		if err := copied.Commit(testGroup(copied.Head(), 2, 5000)); err != nil {
			t.Fatal(err)
		}
		if err := copied.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	load.Wait()
	walk(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(top, "*"+partSuffix))
	if err != nil || len(left) != 0 {
		t.Fatalf("left behind: %v %v", left, err)
	}
}

// TestBackupKeepsTablesWithMarkers makes tables as fast as it can beside backups: Pebble copies the log a moment after it has listed the tables.
func TestBackupKeepsTablesWithMarkers(t *testing.T) {
	top := t.TempDir()
	o := diskOptions(t, filepath.Join(top, "data"))
	o.FS = slowOptions{vfs.Default}
	s := mustCreate(t, o)
	stop := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() { ingestUntil(t, s, stop) })
	for n := range 8 {
		dir := filepath.Join(top, fmt.Sprint("copy", n))
		if _, err := s.Backup(BackupOptions{Dir: dir, Link: true}); err != nil {
			t.Fatal(err)
		}
		copied := mustOpen(t, diskOptions(t, dir))
		checkMarkers(t, copied)
		if err := copied.Close(); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	load.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// slowOptions fsyncs a directory twenty times when the options of a copy are written: that is between the list of the tables and the copy of the log.
type slowOptions struct{ vfs.FS }

// Create slows options down.
func (f slowOptions) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.PathBase(name), "OPTIONS") {
		for range 20 {
			if err := syncDir(f.FS, f.PathDir(name)); err != nil {
				return nil, err
			}
		}
	}
	return f.FS.Create(name, category)
}

// commitUntil commits groups and rows until told to stop, and tells who waits of each.
func commitUntil(t *testing.T, s *Store, stop <-chan struct{}, committed chan<- struct{}) {
	for head := s.Head(); ; head = s.Head() {
		select {
		case <-stop:
			return
		default:
		}
		if err := s.Commit(testGroup(head, 3, 20_000)); err != nil {
			t.Error(err)
			return
		}
		select {
		case committed <- struct{}{}:
		default:
		}
		if err := s.Write([]Row{{Space: SpacePublisher, Key: []byte("p"), Value: []byte(fmt.Sprint(head.Seq))}}, true); err != nil {
			t.Error(err)
			return
		}
	}
}

// ingestUntil makes tables, each with a marker, until told to stop.
func ingestUntil(t *testing.T, s *Store, stop <-chan struct{}) {
	for id := uint64(1); ; id++ {
		select {
		case <-stop:
			return
		default:
		}
		table, err := s.NewTable(KindStatement, id)
		if err == nil {
			err = table.Add([]byte("k"), []byte("v"))
		}
		if err == nil {
			err = s.Ingest([]*TableBuilder{table}, []Row{{Space: SpaceMarker, Key: fmt.Appendf(nil, "t%d", id), Value: []byte{1}}})
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// checkMarkers checks that every table that a marker makes valid is there: Pebble copies the log a moment after it has listed the tables.
func checkMarkers(t *testing.T, s *Store) {
	t.Helper()
	err := s.Scan(SpaceMarker, []byte("t"), []byte("u"), func(key, _ []byte) (bool, error) {
		var id uint64
		if _, err := fmt.Sscanf(string(key), "t%d", &id); err != nil {
			return false, err
		}
		if _, there, err := s.TableGet(KindStatement, id, []byte("k")); err != nil || !there {
			return false, fmt.Errorf("table %d has a marker and is not there: %w", id, err)
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// walk reads all blocks and compares their bodies with what was committed.
func walk(t *testing.T, s *Store) {
	t.Helper()
	last := uint64(0)
	err := s.Blocks(1, func(b *Block) error {
		if want := body(b.First, len(b.Body)); string(want) != string(b.Body) {
			return fmt.Errorf("block %d has another body", b.First)
		}
		last = b.Last
		return nil
	})
	if err != nil || last != s.Head().Seq {
		t.Fatalf("walk ends at %d of %d: %v", last, s.Head().Seq, err)
	}
}

// TestBackupRefuses: a name in use and a full disk; nothing is left behind.
func TestBackupRefuses(t *testing.T) {
	top := t.TempDir()
	o := diskOptions(t, filepath.Join(top, "data"))
	o.FS = fullDisk{vfs.Default}
	s := mustCreate(t, o)
	defer s.Close()
	to := filepath.Join(top, "copy")
	if _, err := s.Backup(BackupOptions{Dir: to}); !errors.Is(err, ErrNoRoom) {
		t.Fatalf("a full disk: %v", err)
	}
	if err := os.Mkdir(to, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Backup(BackupOptions{Dir: to}); !errors.Is(err, ErrNotEmpty) {
		t.Fatalf("a name in use: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(top, "*"+partSuffix)); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

// fullDisk has a kilobyte left.
type fullDisk struct{ vfs.FS }

// GetDiskUsage says so.
func (fullDisk) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: 1024, TotalBytes: 1 << 40, UsedBytes: 1<<40 - 1024}, nil
}

// TestCopyAndStage copies a closed ledger out and, through a stage, back in.
func TestCopyAndStage(t *testing.T) {
	top := t.TempDir()
	data, backup, again := filepath.Join(top, "data"), filepath.Join(top, "backup"), filepath.Join(top, "deep", "again")
	s := mustCreate(t, diskOptions(t, data))
	for range 50 {
		if err := s.Commit(testGroup(s.Head(), 2, 9000)); err != nil {
			t.Fatal(err)
		}
	}
	head := s.Head()
	if _, err := CopyLedger(diskOptions(t, data), BackupOptions{Dir: backup}); !errors.Is(err, ErrLocked) {
		t.Fatalf("a ledger in use: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := CopyLedger(diskOptions(t, data), BackupOptions{Dir: backup}); err != nil {
		t.Fatal(err)
	}
	st, err := NewStage(diskOptions(t, again))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewStage(diskOptions(t, again)); !errors.Is(err, ErrLocked) {
		t.Fatalf("a second stage: %v", err)
	}
	if _, err := CopyLedger(diskOptions(t, backup), BackupOptions{Dir: st.Options().Dir, Link: true}); err != nil {
		t.Fatal(err)
	}
	if err := st.Publish(); err != nil {
		t.Fatal(err)
	}
	restored := mustOpen(t, diskOptions(t, again))
	if restored.Head() != head {
		t.Fatalf("%+v, was %+v", restored.Head(), head)
	}
	walk(t, restored)
	if err := restored.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := NewStage(diskOptions(t, again)); !errors.Is(err, ErrNotEmpty) {
		t.Fatalf("a stage in a ledger: %v", err)
	}
}

// TestInterruptedStage: what a killed restore leaves is no ledger, no server takes the directory for an empty one, and the next restore removes it.
func TestInterruptedStage(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	st, err := NewStage(diskOptions(t, dir))
	if err != nil {
		t.Fatal(err)
	}
	in := mustCreate(t, st.Options())
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if err := st.lock.Close(); err != nil { // as the end of the process would
		t.Fatal(err)
	}
	if there, err := Exists(diskOptions(t, dir)); there || err != nil {
		t.Fatalf("it is taken for a ledger: %v", err)
	}
	if _, err := Create(diskOptions(t, dir), *testGroup(Head{}, 1, 100)); !errors.Is(err, ErrNotEmpty) || !strings.Contains(err.Error(), stageName) {
		t.Fatalf("it is taken for an empty directory: %v", err)
	}
	if st, err = NewStage(diskOptions(t, dir)); err != nil {
		t.Fatal(err)
	}
	if err := st.Publish(); !errors.Is(err, ErrStoreWithoutHead) {
		t.Fatalf("nothing was published: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, stageName)); !os.IsNotExist(err) {
		t.Fatalf("the stage is still there: %v", err)
	}
}

// TestImport makes a ledger of another one's blocks: the same head; a block that is changed, missing or out of order is refused.
func TestImport(t *testing.T) {
	s := mustCreate(t, testOptions(t, vfs.NewMem()))
	for range 20 {
		if err := s.Commit(testGroup(s.Head(), 2, 3000)); err != nil {
			t.Fatal(err)
		}
	}
	defer s.Close()
	feed := func(change func(n int, b *Block) bool) (Head, error) {
		o := testOptions(t, vfs.NewMem())
		in, err := NewImport(o)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		err = s.Blocks(1, func(b *Block) error {
			c := *b
			n++
			if change != nil && !change(n, &c) {
				return nil
			}
			return in.Block(&c)
		})
		if err != nil {
			return Head{}, errors.Join(err, in.Abort())
		}
		if err := in.Rows([]Row{{Space: SpaceManifest, Key: []byte("k"), Value: []byte("v")}}); err != nil {
			return Head{}, err
		}
		if err := in.Finish(); err != nil {
			return Head{}, err
		}
		made := mustOpen(t, o)
		walk(t, made)
		if v, ok, err := made.Get(SpaceManifest, []byte("k")); err != nil || !ok || string(v) != "v" {
			t.Fatalf("row: %q %v %v", v, ok, err)
		}
		head := made.Head()
		return head, made.Close()
	}
	if head, err := feed(nil); err != nil || head != s.Head() {
		t.Fatalf("%+v, want %+v: %v", head, s.Head(), err)
	}
	refuse := func(what string, change func(n int, b *Block) bool) {
		t.Helper()
		if _, err := feed(change); !errors.Is(err, ErrCorrupt) || !strings.Contains(err.Error(), "sequence") {
			t.Errorf("%s: %v", what, err)
		}
	}
	refuse("a body", func(n int, b *Block) bool { b.Body = append([]byte{1}, b.Body...); return true })
	refuse("a time", func(n int, b *Block) bool { b.Time++; return true })
	refuse("a missing block", func(n int, _ *Block) bool { return n != 7 })
	refuse("no end", func(n int, _ *Block) bool { return n != 41 })
	refuse("a predecessor", func(n int, b *Block) bool { b.Prev[3] ^= byte(n / 9); return true })
}
