package journal

import (
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/errors/oserror"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Create makes a ledger in Options.Dir, whose history begins with genesis (its first block starts at sequence 1), and opens it.
// The directory must be absent or empty; ErrNotEmpty otherwise. The ledger is made under another name and
// appears by one rename, so a crash leaves either no ledger, and Create starts over, or a whole one.
func Create(o Options, genesis Group) (*Store, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	if err := makeDir(o.FS, o.Dir); err != nil {
		return nil, err
	}
	lock, err := lockDir(&o)
	if err != nil {
		return nil, err
	}
	s, err := createLocked(o, &genesis)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	s.lock = lock
	return s, nil
}

func createLocked(o Options, genesis *Group) (*Store, error) {
	if err := mustBeEmpty(&o); err != nil {
		return nil, err
	}
	if err := o.FS.RemoveAll(o.path(newName)); err != nil {
		return nil, fmt.Errorf("journal: remove interrupted creation: %w", err)
	}
	if err := makeDir(o.FS, o.path(newName)); err != nil {
		return nil, err
	}
	head, err := createStore(o, genesis)
	if err != nil {
		return nil, err
	}
	file, err := openHeadFile(o.FS, o.path(newName, headName), headRecord{head: head})
	if err != nil {
		return nil, err
	}
	if err := file.f.Close(); err != nil {
		return nil, fmt.Errorf("journal: close head record: %w", err)
	}
	if err := publishLedger(&o); err != nil {
		return nil, err
	}
	return openLocked(o)
}

// Prepare makes Options.Dir, durably, if it is absent: for who puts something beside a ledger before it is created. ErrNotEmpty
// says that the directory holds something else than a ledger.
func Prepare(o Options) error {
	if err := o.prepare(); err != nil {
		return err
	}
	if err := makeDir(o.FS, o.Dir); err != nil {
		return err
	}
	if _, err := o.FS.Stat(o.path(liveName)); err == nil {
		return nil
	}
	return mustBeEmpty(&o)
}

// mustBeEmpty ignores the lock file, an interrupted creation and what else is named.
func mustBeEmpty(o *Options, but ...string) error {
	names, err := o.FS.List(o.Dir)
	if err != nil {
		return fmt.Errorf("journal: list %s: %w", o.Dir, err)
	}
	for _, name := range names {
		if name != lockName && name != newName && name != signingKeyName && !slices.Contains(but, name) {
			return fmt.Errorf("%w: %s holds %s", ErrNotEmpty, o.Dir, name)
		}
	}
	return nil
}

// createStore makes the store with its first group, closes it and returns the end of its history.
func createStore(o Options, genesis *Group) (Head, error) {
	stalls := new(stallMeter)
	p := o.pebbleOptions(false, stalls)
	p.ErrorIfNotExists, p.ErrorIfExists = false, true
	db, err := pebble.Open(o.path(newName, storeName), p)
	if err != nil {
		return Head{}, fmt.Errorf("journal: create store: %w", err)
	}
	s := newStore(o, db, p, stalls)
	head, err := s.apply(genesis)
	if err := errors.Join(err, s.batch.Close(), db.Close()); err != nil {
		return Head{}, fmt.Errorf("journal: create store: %w", err)
	}
	return head, nil
}

// publishLedger makes the finished directory durable and gives it its name.
func publishLedger(o *Options) error {
	if err := syncDir(o.FS, o.path(newName)); err != nil {
		return err
	}
	if err := o.FS.Rename(o.path(newName), o.path(liveName)); err != nil {
		return fmt.Errorf("journal: publish ledger: %w", err)
	}
	return syncDir(o.FS, o.Dir)
}

// makeDir makes a directory and what is missing above it, durably. The directory is for its owner alone: files in it get
// the modes that Pebble and the umask give them. One that exists keeps its mode.
func makeDir(fs vfs.FS, path string) error {
	parents := []string{}
	for at := path; ; at = fs.PathDir(at) {
		_, err := fs.Stat(at)
		if err == nil || fs.PathDir(at) == at {
			break
		}
		if !oserror.IsNotExist(err) {
			return fmt.Errorf("journal: stat %s: %w", at, err)
		}
		parents = append(parents, fs.PathDir(at))
	}
	if len(parents) > 1 {
		if err := fs.MkdirAll(fs.PathDir(path), 0o755); err != nil {
			return fmt.Errorf("journal: make %s: %w", fs.PathDir(path), err)
		}
	}
	if err := fs.MkdirAll(path, 0o700); err != nil {
		return fmt.Errorf("journal: make %s: %w", path, err)
	}
	for i := len(parents) - 1; i >= 0; i-- {
		if err := syncDir(fs, parents[i]); err != nil {
			return err
		}
	}
	return nil
}

func syncDir(fs vfs.FS, path string) error {
	dir, err := fs.OpenDir(path)
	if err != nil {
		return fmt.Errorf("journal: open %s: %w", path, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("journal: fsync %s: %w", path, err)
	}
	return nil
}
