package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"farthing/journal"
	"farthing/refusal"
)

// Backups makes copies of the ledger while it runs, each a directory of its own below one that the operator names. It is safe for
// concurrent use; one copy is made at a time.
type Backups struct {
	e    *Engine
	dir  string
	link bool
	lock io.Closer     // of the directory
	stop chan struct{} // closed by Close: a copy under way is given up

	mu      sync.Mutex
	current *Backup // guarded by mu: the newest one asked for, until it is on the list by itself
	ended   chan struct{}
	done    sync.WaitGroup
}

// Backup is a copy of the ledger.
type Backup struct {
	ID        string    `json:"id"`
	State     string    `json:"state"` // running, done or failed
	Ledger    string    `json:"ledger"`
	Partition uint32    `json:"partition"`
	Sequence  uint64    `json:"sequence"` // at least all up to here is in it
	Hash      string    `json:"hash"`     // of the block that ends there
	Time      time.Time `json:"time"`     // when it was asked for
	Files     uint64    `json:"files"`
	Bytes     uint64    `json:"bytes"`

	Done  uint64 `json:"-"` // files of a running one
	Total uint64 `json:"-"`
	Error string `json:"-"` // of a failed one
}

// The states of a backup.
const (
	BackupRunning = "running"
	BackupDone    = "done"
	BackupFailed  = "failed"
)

// backupSuffix marks a copy that is not whole (journal.Store.Backup).
const backupSuffix = ".new"

const backupIDBytes = 64

// ValidBackupID reports whether a backup may be called so: its id is the name of its directory.
func ValidBackupID(id string) bool {
	ok := id != "" && len(id) <= backupIDBytes && id[0] != '.' && !strings.HasSuffix(id, backupSuffix)
	for i := range len(id) {
		c := id[i]
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	return ok
}

// OpenBackups makes the directory of backups if it is absent, and removes from it what interrupted copies left. With link, files that do not change are
// hard links where the file system allows it. The directory belongs to one server at a time, until Close: another one would take a copy under way for an
// interrupted one.
func (e *Engine) OpenBackups(dir string, link bool) (*Backups, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := journal.LockDir(journal.Options{Dir: dir})
	if err != nil {
		return nil, err
	}
	b := &Backups{e: e, dir: dir, link: link, lock: lock, stop: make(chan struct{})}
	if err := b.clear(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return b, nil
}

// clear removes what interrupted copies left.
func (b *Backups) clear() error {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		id, cut := strings.CutSuffix(entry.Name(), backupSuffix)
		if !cut || !entry.IsDir() || !ValidBackupID(id) {
			continue
		}
		switch err := journal.ClearCopy(filepath.Join(b.dir, id)); {
		case errors.Is(err, journal.ErrNotEmpty):
			b.e.o.Logger.Warn("something that is no backup is in the directory of backups, and stays", "name", entry.Name())
		case err != nil:
			return err
		default:
			b.e.o.Logger.Warn("an interrupted backup was removed", "backup", id)
		}
	}
	return nil
}

// Close gives a copy under way up and waits for its end. It must come before the engine's.
func (b *Backups) Close() {
	b.mu.Lock()
	select {
	case <-b.stop:
	default:
		close(b.stop)
	}
	b.mu.Unlock()
	b.done.Wait()
	_ = b.lock.Close() // nothing is lost with a lock, and a second Close has none
}

// Start begins the backup of an id and returns how it stands once it has ended or so much time has passed. One that is there, or under way, is
// answered as it is; one that failed is begun again. Everything that was answered before the call is in it.
func (b *Backups) Start(id string, wait time.Duration) (out Backup, created bool, no *refusal.Refusal) {
	if !ValidBackupID(id) {
		return out, false, refusal.New(refusal.Invalid, "invalid_id", "the id of a backup must be 1 to %d of A-Z a-z 0-9 . _ -, and neither begin with a dot nor end with %s", backupIDBytes, backupSuffix)
	}
	ended, created, no := b.begin(id)
	if no != nil {
		return out, false, no
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
	}
	out, no = b.Get(id)
	if no == nil && out.State == BackupFailed {
		return out, false, refusal.New(refusal.Internal, "backup_failed", "%s", out.Error)
	}
	return out, created, no
}

func (b *Backups) begin(id string) (ended <-chan struct{}, created bool, no *refusal.Refusal) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.current; c != nil && c.State == BackupRunning {
		if c.ID == id {
			return b.ended, false, nil
		}
		return nil, false, refusal.New(refusal.Overloaded, "backup_running", "backup %s is under way; one is made at a time", c.ID)
	}
	if _, err := os.Stat(filepath.Join(b.dir, id)); err == nil {
		if no := b.mine(id); no != nil {
			return nil, false, no
		}
		over := make(chan struct{})
		close(over)
		return over, false, nil
	}
	select {
	case <-b.stop:
		return nil, false, refusal.New(refusal.NotReady, "", "the server is stopping")
	default:
	}
	b.current = &Backup{ID: id, State: BackupRunning, Ledger: b.e.ledgerID, Partition: b.e.partition, Time: timeOf(b.e.now()).UTC()}
	b.ended = make(chan struct{})
	c, over := b.current, b.ended
	b.done.Go(func() { b.run(c, over) })
	return over, true, nil
}

// mine refuses an id whose directory is no backup of this ledger: whoever is told that it is done relies on it.
func (b *Backups) mine(id string) *refusal.Refusal {
	c, err := ReadBackup(filepath.Join(b.dir, id))
	switch {
	case err != nil || c.ID != id:
		return refusal.New(refusal.IDConflict, "not_a_backup", "something is called %s in the directory of backups that is no backup", id)
	case c.Ledger != b.e.ledgerID || c.Partition != b.e.partition:
		return refusal.New(refusal.IDConflict, "other_ledger", "backup %s is of ledger %s, partition %d", id, c.Ledger, c.Partition)
	}
	return nil
}

// copier is a store that can be copied.
type copier interface {
	Backup(o journal.BackupOptions) (journal.Copied, error)
}

// run makes the copy; c is guarded by mu.
func (b *Backups) run(c *Backup, ended chan<- struct{}) {
	defer close(ended)
	id, began := c.ID, time.Now()
	store, ok := b.e.store.(copier)
	err := errors.New("this store cannot be copied")
	if ok {
		_, err = store.Backup(journal.BackupOptions{Dir: filepath.Join(b.dir, id), Link: b.link, Stop: b.stop, Progress: func(done, total uint64) {
			b.mu.Lock()
			defer b.mu.Unlock()
			c.Done, c.Total = done, total
		}, Describe: func(copied journal.Copied) []byte {
			b.mu.Lock()
			defer b.mu.Unlock()
			return c.describe(&copied)
		}})
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil {
		c.State, c.Error = BackupFailed, strings.ReplaceAll(err.Error(), b.dir+string(filepath.Separator), "")
		b.e.o.Logger.Error("a backup failed; nothing of it is left", "backup", id, "error", err)
		return
	}
	c.State = BackupDone
	b.e.o.Logger.Info("backup made", "backup", id, "sequence", c.Sequence, "files", c.Files, "bytes", c.Bytes, "took", time.Since(began).Round(time.Millisecond))
}

// The format of the file that says what a backup is.
const (
	backupFormat  = "farthing-backup"
	backupVersion = 1
)

type backupFile struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Backup
}

func (c *Backup) describe(copied *journal.Copied) []byte {
	c.Sequence, c.Hash, c.Files, c.Bytes = copied.Head.Seq, hexID(copied.Head.Hash), copied.Files, copied.Bytes
	whole := *c
	whole.State = BackupDone
	out, err := json.MarshalIndent(backupFile{backupFormat, backupVersion, whole}, "", "  ")
	if err != nil {
		panic("BUG: a backup does not encode: " + err.Error())
	}
	return append(out, '\n')
}

// ReadBackup reads what the backup in a directory says of itself.
func ReadBackup(dir string) (Backup, error) {
	var f backupFile
	data, err := os.ReadFile(filepath.Join(dir, journal.DescriptionName))
	if err == nil {
		err = json.Unmarshal(data, &f)
	}
	if err == nil && (f.Format != backupFormat || f.Version != backupVersion) {
		err = fmt.Errorf("%s: format %q, version %d; this program reads %s, version %d", journal.DescriptionName, f.Format, f.Version, backupFormat, backupVersion)
	}
	return f.Backup, err
}

// BackupDataDir copies a data directory that no server has open to dir, as a backup called id.
func BackupDataDir(from journal.Options, dir, id string, at time.Time, progress func(done, total uint64)) (Backup, error) {
	x, err := OpenExporter(from) // for the ledger's name; the copy opens it again
	if err != nil {
		return Backup{}, err
	}
	c := Backup{ID: id, State: BackupDone, Time: at.UTC()}
	c.Ledger, c.Partition = x.Ledger()
	if err := x.Close(); err != nil {
		return Backup{}, err
	}
	_, err = journal.CopyLedger(from, journal.BackupOptions{Dir: dir, Progress: progress, Describe: func(copied journal.Copied) []byte { return c.describe(&copied) }})
	return c, err
}

// Get returns a backup as it stands.
func (b *Backups) Get(id string) (Backup, *refusal.Refusal) {
	if !ValidBackupID(id) {
		return Backup{}, refusal.New(refusal.NotFound, "unknown_backup", "there is no such backup")
	}
	if c := b.underWay(); c.ID == id && c.State != BackupDone {
		return c, nil
	}
	c, err := ReadBackup(filepath.Join(b.dir, id))
	if errors.Is(err, os.ErrNotExist) {
		return Backup{}, refusal.New(refusal.NotFound, "unknown_backup", "there is no backup %s", id)
	}
	if err != nil || c.ID != id {
		return Backup{}, refusal.New(refusal.Internal, "backup_unreadable", "what backup %s says of itself cannot be read", id)
	}
	return c, nil
}

// underWay is a copy of the newest one that was asked for.
func (b *Backups) underWay() Backup {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.current == nil {
		return Backup{}
	}
	return *b.current
}

// List returns the backups sorted by id, those above the cursor, at most limit, and whether there are more.
func (b *Backups) List(cursor string, limit int) (out []Backup, more bool, no *refusal.Refusal) {
	entries, err := os.ReadDir(b.dir)
	if err != nil {
		return nil, false, refusal.New(refusal.Internal, "backup_unreadable", "the directory of backups cannot be read")
	}
	var ids []string
	for _, entry := range entries {
		if entry.IsDir() && ValidBackupID(entry.Name()) {
			ids = append(ids, entry.Name())
		}
	}
	if c := b.underWay(); c.ID != "" && !slices.Contains(ids, c.ID) {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	for _, id := range ids {
		if id <= cursor {
			continue
		}
		if len(out) == limit {
			return out, true, nil
		}
		if c, no := b.Get(id); no == nil {
			out = append(out, c)
		}
	}
	return out, false, nil
}

// RestoreOptions says what to restore where to.
type RestoreOptions struct {
	From string          // the directory of the backup
	Data journal.Options // its Dir is the data directory to be, absent or empty
	Link bool            // hard links for files that do not change, where the file system allows it
	// Progress is told how many files of how many are copied, Verifying then how many commands are derived anew; may be nil.
	Progress, Verifying func(done, total uint64)
}

// holds checks that a copy is of the ledger that the backup says, and has the history that it says, up to that sequence.
func (c *Backup) holds(o journal.Options) error {
	x, err := OpenExporter(o)
	if err != nil {
		return err
	}
	id, partition := x.Ledger()
	hash, err := x.HashAt(c.Sequence)
	switch head := x.Head().Seq; {
	case id != c.Ledger || partition != c.Partition:
		err = fmt.Errorf("it has ledger %s, partition %d; %s says ledger %s, partition %d", id, partition, journal.DescriptionName, c.Ledger, c.Partition)
	case errors.Is(err, ErrNoGroup) || errors.Is(err, journal.ErrDropped):
		err = fmt.Errorf("it has the history to sequence %d, in which no group ends at %d, as %s says", head, c.Sequence, journal.DescriptionName)
	case err == nil && hexID(hash) != c.Hash:
		err = fmt.Errorf("it has another history than %s says: at sequence %d hash %s, and not %s", journal.DescriptionName, c.Sequence, hexID(hash), c.Hash)
	}
	return errors.Join(err, x.Close())
}

// Restore makes a data directory of a backup. The copy is verified in full before it is in its place; after an error there is nothing.
func Restore(o RestoreOptions) (Backup, VerifyReport, error) {
	said, err := ReadBackup(o.From)
	if err != nil {
		return said, VerifyReport{}, fmt.Errorf("it is no backup: %w", err)
	}
	stage, err := journal.NewStage(o.Data)
	if err != nil {
		return said, VerifyReport{}, err
	}
	from := o.Data
	from.Dir = o.From
	_, err = journal.CopyLedger(from, journal.BackupOptions{Dir: stage.Options().Dir, Link: o.Link, Progress: o.Progress})
	if err == nil {
		err = said.holds(stage.Options())
	}
	var report VerifyReport
	if err == nil {
		report, err = Verify(VerifyOptions{Journal: stage.Options(), Progress: o.Verifying})
	}
	if err != nil {
		return said, report, errors.Join(err, stage.Discard())
	}
	return said, report, stage.Publish()
}
