package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// Options says where the ledger is and how much memory it may use.
type Options struct {
	// Dir is the ledger directory. Required.
	Dir string
	// FS is the file system all access goes through. Default: the operating system's. A wrapper must allow WriteAt on the head
	// file beside a SyncData of it.
	FS vfs.FS
	// Fatal is told why the process cannot go on: a failed fsync or a failed write of the head record. It must not return; if it
	// does, the goroutine that called it blocks for ever, because no answer it could give is true. Default: log and exit with status 3.
	Fatal func(error)
	// Logger takes what Pebble has to say. Default: slog.Default().
	Logger *slog.Logger
	// CacheBytes bounds the cache of uncompressed blocks. Default 64 MiB: the journal is read front to back, so only tables and rows
	// profit. Near zero every table probe reads the disk.
	CacheBytes int64
	// MemTableBytes is the size of a full memtable. Default 32 MiB. Small ones flush often and make many small files; large ones make
	// a restart replay more, up to memTables of them, and keep more write-ahead logs, which are reused: six of this size.
	MemTableBytes uint64
	// HeadSync is how often the head record is fsynced. Default 100 ms: the window in which a power loss together with a flipped bit can hide
	// answered groups. Shorter costs one fsync (about 0.2 ms of the disk's time) each.
	HeadSync time.Duration

	// unsafeNoSync commits without fsync. Only the crash rig sets it, to prove that it would notice.
	unsafeNoSync bool
}

// exitFatal is the exit status after a fatal storage error, distinct from a panic's 2.
const exitFatal = 3

// EnsureDefaults fills every field that was left empty with its default.
func (o *Options) EnsureDefaults() {
	if o.FS == nil {
		o.FS = vfs.Default
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Fatal == nil {
		logger := o.Logger
		o.Fatal = func(err error) {
			logger.Error("journal: storage failed, stopping", "error", err)
			os.Exit(exitFatal)
		}
	}
	if o.CacheBytes == 0 {
		o.CacheBytes = 64 << 20
	}
	if o.MemTableBytes == 0 {
		o.MemTableBytes = 32 << 20
	}
	if o.HeadSync == 0 {
		o.HeadSync = 100 * time.Millisecond
	}
}

// Validate reports everything that is wrong with the options, after defaults.
func (o *Options) Validate() error {
	var errs []error
	if o.Dir == "" {
		errs = append(errs, errors.New("journal: Options.Dir is empty"))
	}
	if o.CacheBytes < 0 {
		errs = append(errs, fmt.Errorf("journal: Options.CacheBytes is negative: %d", o.CacheBytes))
	}
	if o.MemTableBytes < 64<<10 || o.MemTableBytes > 1<<30 {
		errs = append(errs, fmt.Errorf("journal: Options.MemTableBytes is outside of 64 KiB to 1 GiB: %d", o.MemTableBytes))
	}
	if o.HeadSync < 0 {
		errs = append(errs, fmt.Errorf("journal: Options.HeadSync is negative: %v", o.HeadSync))
	}
	return errors.Join(errs...)
}

func (o *Options) path(elem ...string) string {
	return o.FS.PathJoin(append([]string{o.Dir}, elem...)...)
}

// neverReturn calls Fatal and, should it return, blocks for ever.
func (o *Options) neverReturn(err error) {
	o.Fatal(err)
	select {}
}

// memTables is how many memtables may wait, the one being filled included, before writes stall. At 400 MB/s one fills in 80 ms and
// a flush takes about as long; four ride out a burst of compaction on the same disk.
const memTables = 4

// pebbleOptions are the settings of the store; stalls counts its write stalls.
func (o *Options) pebbleOptions(readOnly bool, stalls *stallMeter) *pebble.Options {
	p := &pebble.Options{
		FS:                 &markersLast{o.FS, o.neverReturn}, // a pointer: Pebble compares file systems
		Logger:             pebbleLogger{o},
		FormatMajorVersion: pebble.FormatNewest, // WAL sync chunks: a flipped bit in the live WAL is an error, not an early end
		ReadOnly:           readOnly,
		ErrorIfNotExists:   true, // only Create creates, and says so
		CacheSize:          o.CacheBytes,
		MemTableSize:       o.MemTableBytes,

		MemTableStopWritesThreshold: memTables,
		// Journal files never overlap in L0, so L0 may hold many files at no cost to readers; what counts are sublevels, which only
		// rows make. Compaction starts at Pebble's defaults; writes stop only when it is hopelessly behind.
		L0StopWritesThreshold: 100,
		// 1,024 files of a few hundred descriptors each are reachable under the usual limit of open files.
		MaxOpenFiles: 1000,
		// The second compaction starts only when L0 or the debt is deep.
		CompactionConcurrencyRange: func() (int, int) { return 1, 2 },
		EventListener:              o.listener(stalls),
	}
	// 2 MiB files on every level. Measured on 1.2 GB of 256 KiB groups: such files only move down, nothing is compacted; with files that
	// grow per level, or of 16 or 64 MiB, 0.1 to 0.9 bytes were rewritten for each byte written. 5 GB in a row kept L0 at 500
	// files in one sublevel.
	for i := range p.TargetFileSizes {
		p.TargetFileSizes[i] = 2 << 20
	}
	p.Experimental.SpanPolicyFunc = splitAtJournal
	// No compression: a flush that compresses takes one of few cores from the sequencer. Not weighed against the disk space of real commands yet.
	p.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	return p
}

// splitAtJournal makes flushes and compactions end a file where the journal ends. The newest blocks then never share a file with rows, which every flush
// touches: a shared file overlaps the rows of all earlier ones, so it is merged, blocks and all, instead of moved.
func splitAtJournal(start []byte) (pebble.SpanPolicy, []byte, error) {
	if len(start) > 0 && start[0] > blockByte {
		return pebble.SpanPolicy{}, nil, nil
	}
	return pebble.SpanPolicy{}, []byte{blockByte + 1}, nil
}

// listener counts stalls and reports corruption. Pebble's default for DataCorruption is Fatalf; a damaged table is no reason to stop, least
// of all for a checker: whoever reads it gets ErrCorrupt.
func (o *Options) listener(stalls *stallMeter) *pebble.EventListener {
	return &pebble.EventListener{
		WriteStallBegin: func(pebble.WriteStallBeginInfo) { stalls.begin() },
		WriteStallEnd:   stalls.end,
		DataCorruption: func(info pebble.DataCorruptionInfo) {
			o.Logger.Error("journal: damaged table", "path", info.Path, "error", info.Details)
		},
	}
}

// pebbleLogger passes Pebble's words on. Pebble calls Fatalf when an fsync or a manifest write failed.
type pebbleLogger struct{ o *Options }

// Infof logs at debug level; Pebble is talkative.
func (l pebbleLogger) Infof(format string, args ...any) {
	if l.o.Logger.Enabled(context.Background(), slog.LevelDebug) {
		l.o.Logger.Debug("journal: pebble", "message", fmt.Sprintf(format, args...))
	}
}

// Errorf logs at warning level: what matters also comes back as an error.
func (l pebbleLogger) Errorf(format string, args ...any) {
	l.o.Logger.Warn("journal: pebble", "message", fmt.Sprintf(format, args...))
}

// Fatalf never returns.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.o.neverReturn(fmt.Errorf("journal: pebble: "+format, args...))
}

// markersLast makes directory entries durable before a marker that names them. Pebble writes a new manifest, then the marker file that points at
// it, then fsyncs the directory once for both: a file system that orders entries freely may keep the marker and lose the
// manifest when power fails in between, and the store no longer opens. The crash rig found this.
//
// Pebble panics when the directory cannot be fsynced after a marker; failed is told instead, and does not return.
type markersLast struct {
	vfs.FS
	failed func(error)
}

// OpenDir opens a directory whose failed fsync ends the process.
func (m *markersLast) OpenDir(name string) (vfs.File, error) {
	f, err := m.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return markedDir{f, name, m.failed}, nil
}

// markedDir is a directory that Pebble fsyncs.
type markedDir struct {
	vfs.File
	name   string
	failed func(error)
}

// Sync returns only if it is done.
func (d markedDir) Sync() error {
	if err := d.File.Sync(); err != nil {
		d.failed(fmt.Errorf("journal: fsync %s: %w", d.name, err))
	}
	return nil
}

// Create fsyncs the directory before it creates a marker in it.
func (m *markersLast) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(m.PathBase(name), "marker.") {
		if err := syncDir(m.FS, m.PathDir(name)); err != nil {
			return nil, err
		}
	}
	return m.FS.Create(name, category)
}

// Unwrap returns the file system underneath.
func (m *markersLast) Unwrap() vfs.FS { return m.FS }
