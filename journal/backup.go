package journal

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// BackupOptions says where a copy goes and who is told of it.
type BackupOptions struct {
	// Dir is what the copy will be: a ledger directory, absent until the copy is whole.
	Dir string
	// Link makes immutable files of the store hard links where the file system allows it: quick, and no room is taken, but the
	// copy then shares its disk blocks with the original. Without it every file is copied.
	Link bool
	// Progress is told how many files of how many are there; may be nil.
	Progress func(done, total uint64)
	// Stop, once closed, ends the copy with ErrStopped between two files; may be nil.
	Stop <-chan struct{}
	// Describe, if set, gives the content of a file beside the ledger that says what the copy is; the file's name is DescriptionName.
	Describe func(Copied) []byte
}

// Copied is what a copy holds.
type Copied struct {
	Head  Head // at least this far; what was durable when the copy began
	Files uint64
	Bytes uint64
}

// DescriptionName is the file of a copy that says what it is.
const DescriptionName = "BACKUP.json"

// partSuffix marks a copy that is not whole: it gets its name by one rename.
const partSuffix = ".new"

// probeName is a link that a copy makes to see whether links can be made.
const probeName = "probe"

// spareBytes is left free on the disk that a copy goes to: room for the log that grows meanwhile.
const spareBytes = 64 << 20

// backupTries is how often a copy is begun that does not open. The live log is read while it grows; a read that meets a write
// halfway leaves a hole in the copy, which its check finds.
const backupTries = 3

// Backup copies the open ledger while it is in use: everything that was durable at the call is in the copy, and perhaps some of what came
// after it. The copy is checked like any ledger that is opened, is durable, and appears under Dir by one rename. What an
// interrupted copy left there is removed first. Safe from any goroutine, one call at a time for one Dir.
func (s *Store) Backup(o BackupOptions) (Copied, error) {
	if s.readOnly {
		return Copied{}, ErrReadOnly
	}
	var err error
	for range backupTries {
		var out Copied
		if out, err = s.backup(&o); !errors.Is(err, errCopyUnfit) {
			return out, err
		}
		s.o.Logger.Warn("journal: a copy does not open and is made again", "error", err)
	}
	return Copied{}, err
}

var errCopyUnfit = errors.New("journal: the copy does not open")

func (s *Store) backup(o *BackupOptions) (Copied, error) {
	c, err := beginCopy(&s.o, o)
	if err != nil {
		return Copied{}, err
	}
	rec := s.head.record() // before the store's files: they reach at least as far
	if err := c.room(s.o.path(liveName, headName), s.db.Metrics()); err != nil {
		return Copied{}, c.giveUp(err)
	}
	err = s.checkpoint(c)
	if err != nil {
		return Copied{}, c.giveUp(fmt.Errorf("journal: copy of the store: %w", err))
	}
	out, err := c.finish(rec)
	if err != nil {
		return Copied{}, c.giveUp(err)
	}
	return out, nil
}

// checkpoint writes Pebble's own consistent copy. Where no links are wanted, or another disk does not take them, Pebble makes its copy of links beside
// the tables that are being built, which keeps files whatever compactions do meanwhile, and these are copied.
func (s *Store) checkpoint(c *copying) error {
	dir := c.to.path(liveName, storeName)
	if c.o.Link && c.linkable {
		return s.checkpointTo(dir)
	}
	links := s.o.path(liveName, buildName, "backup")
	if err := s.o.FS.RemoveAll(links); err != nil {
		return err
	}
	if err := s.checkpointTo(links); err != nil {
		return err
	}
	return errors.Join(c.files(links, dir), s.o.FS.RemoveAll(links))
}

func (s *Store) checkpointTo(dir string) error {
	s.tables.Lock()
	defer s.tables.Unlock()
	return s.db.Checkpoint(dir, pebble.WithFlushedWAL())
}

// immutable reports whether a store's file never changes once it is there, so that a link to it is a copy.
func immutable(name string) bool { return len(name) > 4 && name[len(name)-4:] == ".sst" }

// CopyLedger copies the ledger in from, which nobody has open, as Backup does. It is checked before and after.
func CopyLedger(from Options, o BackupOptions) (Copied, error) {
	if err := from.prepare(); err != nil {
		return Copied{}, err
	}
	source, err := OpenReadOnly(from)
	if err != nil {
		return Copied{}, err
	}
	out, err := source.copyFiles(&o)
	return out, errors.Join(err, source.Close())
}

// copyFiles copies a store that is open read-only, so that none of its files changes.
func (s *Store) copyFiles(o *BackupOptions) (Copied, error) {
	c, err := beginCopy(&s.o, o)
	if err != nil {
		return Copied{}, err
	}
	if err := c.room(s.o.path(liveName, headName), s.db.Metrics()); err != nil {
		return Copied{}, c.giveUp(err)
	}
	rec, err := readHead(s.o.FS, s.o.path(liveName, headName))
	if err == nil {
		err = c.files(s.o.path(liveName, storeName), c.to.path(liveName, storeName))
	}
	if err != nil {
		return Copied{}, c.giveUp(err)
	}
	out, err := c.finish(rec)
	if err != nil {
		return Copied{}, c.giveUp(err)
	}
	return out, nil
}

// copying is a copy under way, in a directory beside the one that it will be.
type copying struct {
	o  *BackupOptions
	to Options // of the directory that is being filled

	linkable bool // files of the store can be linked there
}

// beginCopy makes the directory to be filled, empty.
func beginCopy(from *Options, o *BackupOptions) (*copying, error) {
	to := *from
	to.Dir = o.Dir + partSuffix
	there, err := exists(to.FS, o.Dir)
	if err != nil {
		return nil, err
	}
	if there {
		return nil, fmt.Errorf("%w: %s is there", ErrNotEmpty, o.Dir)
	}
	if err := clearCopy(to.FS, to.Dir); err != nil {
		return nil, err
	}
	if err := errors.Join(makeDir(to.FS, to.Dir), makeDir(to.FS, to.path(liveName))); err != nil {
		return nil, err
	}
	return &copying{o: o, to: to}, nil
}

// ClearCopy removes what an interrupted copy to a directory left beside it. ErrNotEmpty: what has the name there is something else.
func ClearCopy(dir string) error { return clearCopy(vfs.Default, dir+partSuffix) }

func clearCopy(fs vfs.FS, dir string) error {
	names, err := fs.List(dir)
	if oserror.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal: list %s: %w", dir, err)
	}
	for _, name := range names {
		if name != liveName && name != DescriptionName && name != probeName {
			return fmt.Errorf("%w: %s holds %s, which is no part of a copy", ErrNotEmpty, dir, name)
		}
	}
	if err := fs.RemoveAll(dir); err != nil {
		return fmt.Errorf("journal: remove an interrupted copy: %w", err)
	}
	return nil
}

// room checks that the disk takes the copy. That a file can be linked, probe, says that others can.
func (c *copying) room(probe string, m *pebble.Metrics) error {
	path := c.to.path(probeName)
	if c.linkable = c.to.FS.Link(probe, path) == nil; c.linkable {
		if err := c.to.FS.Remove(path); err != nil {
			return fmt.Errorf("journal: space for a copy: %w", err)
		}
	}
	usage, err := c.to.FS.GetDiskUsage(c.to.Dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("journal: space for a copy: %w", err)
	}
	need := m.DiskSpaceUsage()
	if c.o.Link && c.linkable {
		need = m.WAL.PhysicalSize
	}
	if need += spareBytes; usage.AvailBytes < need {
		return fmt.Errorf("%w: it needs %d bytes, %d are free", ErrNoRoom, need, usage.AvailBytes)
	}
	return nil
}

// files copies the files of a directory that does not change.
func (c *copying) files(from, to string) error {
	names, err := c.to.FS.List(from)
	if err != nil {
		return fmt.Errorf("journal: list %s: %w", from, err)
	}
	if err := makeDir(c.to.FS, to); err != nil {
		return err
	}
	for i, name := range names {
		if c.stopped() {
			return ErrStopped
		}
		if name == lockName {
			continue
		}
		source, target := c.to.FS.PathJoin(from, name), c.to.FS.PathJoin(to, name)
		if c.o.Link && immutable(name) {
			err = vfs.LinkOrCopy(c.to.FS, source, target)
		} else {
			err = vfs.Copy(c.to.FS, source, target)
		}
		if err != nil {
			return fmt.Errorf("journal: copy %s: %w", source, err)
		}
		if c.o.Progress != nil {
			c.o.Progress(uint64(i+1), uint64(len(names)))
		}
	}
	return nil
}

func (c *copying) stopped() bool {
	select {
	case <-c.o.Stop:
		return true
	default:
		return false
	}
}

// finish writes the head record, checks the copy, makes it durable and gives it its name.
func (c *copying) finish(rec headRecord) (Copied, error) {
	head, err := openHeadFile(c.to.FS, c.to.path(liveName, headName), rec)
	if err == nil {
		err = head.f.Close()
	}
	if err != nil {
		return Copied{}, err
	}
	out := Copied{Head: rec.head}
	if err := c.sync(&out); err != nil {
		return Copied{}, err
	}
	checked, err := openChecked(c.to)
	if err != nil {
		return Copied{}, fmt.Errorf("%w: %w", errCopyUnfit, err)
	}
	if err := checked.Close(); err != nil {
		return Copied{}, fmt.Errorf("journal: close the copy: %w", err)
	}
	if c.o.Describe != nil {
		if err := putFile(c.to.FS, c.to.path(DescriptionName), c.o.Describe(out)); err != nil {
			return Copied{}, err
		}
	}
	for _, dir := range []string{c.to.path(liveName, storeName), c.to.path(liveName), c.to.Dir} {
		if err := syncDir(c.to.FS, dir); err != nil {
			return Copied{}, err
		}
	}
	if err := c.to.FS.Rename(c.to.Dir, c.o.Dir); err != nil {
		return Copied{}, fmt.Errorf("journal: publish the copy: %w", err)
	}
	return out, syncDir(c.to.FS, c.to.FS.PathDir(c.o.Dir))
}

// sync makes every file of the copy durable and counts them.
func (c *copying) sync(out *Copied) error {
	dir := c.to.path(liveName, storeName)
	names, err := c.to.FS.List(dir)
	if err != nil {
		return fmt.Errorf("journal: list the copy: %w", err)
	}
	for _, name := range names {
		size, err := syncFile(c.to.FS, c.to.FS.PathJoin(dir, name))
		if err != nil {
			return err
		}
		out.Files++
		out.Bytes += size
	}
	return nil
}

func syncFile(fs vfs.FS, path string) (uint64, error) {
	f, err := fs.Open(path)
	if err != nil {
		return 0, fmt.Errorf("journal: open %s: %w", path, err)
	}
	info, err := f.Stat()
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return 0, fmt.Errorf("journal: fsync %s: %w", path, err)
	}
	return uint64(info.Size()), nil
}

func putFile(fs vfs.FS, path string, content []byte) error {
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("journal: create %s: %w", path, err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("journal: write %s: %w", path, err)
	}
	return nil
}

// giveUp removes what is there of a copy that failed.
func (c *copying) giveUp(err error) error {
	if gone := c.to.FS.RemoveAll(c.to.Dir); gone != nil && !oserror.IsNotExist(gone) {
		return errors.Join(err, fmt.Errorf("journal: remove the failed copy: %w", gone))
	}
	return err
}
