package export

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"farthing/engine"
	"farthing/journal"
)

// dropping is a ledger that drops history into a directory.
type dropping struct {
	*ledger
	now  atomic.Int64
	dir  string
	last uint64 // that was dropped
	to   Options
}

func newDropping(t *testing.T) *dropping {
	d := &dropping{ledger: &ledger{t: t, o: options(filepath.Join(t.TempDir(), "data"))}, dir: filepath.Join(t.TempDir(), "parts")}
	d.now.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	d.o.Now, d.o.Clock = d.now.Load, func() time.Time { return time.Unix(0, d.now.Load()) }
	d.o.DedupWindow, d.o.Retention = time.Hour, 24*time.Hour
	d.o.Export = func(p engine.ExportPart) ([32]byte, error) {
		o := d.to
		o.Dir, o.After, o.Through = d.dir, p.After, p.Through
		out, err := Write(context.Background(), p.Source, o)
		return out.Manifest, err
	}
	d.open()
	d.found()
	return d
}

// round lets two weeks pass and drops.
func (d *dropping) round() {
	d.t.Helper()
	for range 5 {
		d.priced(40)
		d.now.Add(int64(48 * time.Hour))
	}
	d.drop()
}

// drop restarts until something is dropped.
func (d *dropping) drop() {
	d.t.Helper()
	last := d.last
	for range 40 { // the start forgets, or drops what is forgotten, beside everything else
		d.close()
		d.open()
		deadline := time.Now().Add(100 * time.Millisecond)
		for d.e.Stats().Dropped <= last && time.Now().Before(deadline) {
			if _, refused := d.e.Account("acme"); refused != nil {
				d.t.Fatal(refused)
			}
		}
		if d.e.Stats().Dropped > last {
			break
		}
	}
	if d.last = d.e.Stats().Dropped; d.last <= last {
		d.t.Fatalf("nothing was dropped after %d", last)
	}
}

// TestRetention drops history into a directory again and again. The parts verify, the ledger verifies from its base on, and the rest is exported
// after the parts; all of it makes the ledger again, with the same last hash.
func TestRetention(t *testing.T) {
	l := newDropping(t)
	for range 3 {
		l.round()
		report, err := Check(context.Background(), CheckOptions{Dir: l.dir})
		if err != nil {
			t.Fatal(err)
		}
		if report.Last <= l.last {
			t.Fatalf("the parts end at %d, dropped was to %d: the seal of its window is not there", report.Last, l.last)
		}
	}
	l.imports(l.dir)
}

// TestAnotherExportDir drops into one directory and then, twice, into another. Each verifies by itself, and together they make the ledger.
func TestAnotherExportDir(t *testing.T) {
	l := newDropping(t)
	l.round()
	first := l.dir
	l.dir = filepath.Join(t.TempDir(), "not", "there", "yet")
	l.round()
	l.round()
	for _, dir := range []string{first, l.dir} {
		if _, err := Check(context.Background(), CheckOptions{Dir: dir}); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range contents(t, first) {
		if name == progressName {
			continue
		}
		if err := os.WriteFile(filepath.Join(l.dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l.imports(l.dir)
}

// imports exports the rest to a directory, and makes a ledger of it that ends with the same hash.
func (d *dropping) imports(dir string) {
	t := d.t
	t.Helper()
	l, last := d.ledger, d.last
	l.close()
	verified, err := engine.Verify(engine.VerifyOptions{Journal: l.o.Journal})
	if err != nil || verified.Base < last { // more may have been dropped since
		t.Fatalf("verify begins at %d, dropped was to %d: %v", verified.Base, last, err)
	}
	source, err := engine.OpenExporter(l.o.Journal)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Write(context.Background(), source, Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if err := source.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := Import(context.Background(), ImportOptions{Dir: dir, Data: journal.Options{Dir: filepath.Join(t.TempDir(), "again"), Logger: quiet()}})
	if err != nil || again.Head != verified.Head || again.Base != 0 {
		t.Fatalf("the import ends with %s, the ledger with %s: %v", again.Head, verified.Head, err)
	}
}

// priced posts events that have a price, since others are kept until they have one, and settles them.
func (l *ledger) priced(events int) {
	l.t.Helper()
	l.postPriced(events)
	if _, _, no := l.e.CloseWindow(fmt.Sprint("w", l.n), nil); no != nil {
		l.t.Fatal(no)
	}
}
