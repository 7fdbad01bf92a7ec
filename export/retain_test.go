package export

import (
	"context"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"farthing/engine"
	"farthing/journal"
)

// TestRetention drops history into a directory again and again. The parts verify, the ledger verifies from its base on, and the rest is exported
// after the parts; all of it makes the ledger again, with the same last hash.
func TestRetention(t *testing.T) {
	l := &ledger{t: t, o: options(filepath.Join(t.TempDir(), "data"))}
	var now atomic.Int64
	now.Store(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).UnixNano())
	dir := filepath.Join(t.TempDir(), "parts")
	l.o.Now, l.o.Clock = now.Load, func() time.Time { return time.Unix(0, now.Load()) }
	l.o.DedupWindow, l.o.Retention = time.Hour, 24*time.Hour
	l.o.Export = func(p engine.ExportPart) ([32]byte, error) {
		out, err := Write(context.Background(), p.Source, Options{Dir: dir, Through: p.Through})
		return out.Manifest, err
	}
	l.open()
	l.found()
	last := uint64(0)
	for range 3 {
		for range 5 {
			l.priced(40)
			now.Add(int64(48 * time.Hour))
		}
		for range 40 { // the start forgets, or drops what is forgotten, beside everything else
			l.close()
			l.open()
			deadline := time.Now().Add(100 * time.Millisecond)
			for l.e.Stats().Dropped <= last && time.Now().Before(deadline) {
				if _, refused := l.e.Account("acme"); refused != nil {
					t.Fatal(refused)
				}
			}
			if l.e.Stats().Dropped > last {
				break
			}
		}
		if to := l.e.Stats().Dropped; to <= last {
			t.Fatalf("nothing was dropped after %d", last)
		} else {
			last = to
		}
		report, err := Check(context.Background(), CheckOptions{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if report.Last != last {
			t.Fatalf("the parts end at %d, dropped was to %d", report.Last, last)
		}
	}
	l.close()
	verified, err := engine.Verify(engine.VerifyOptions{Journal: l.o.Journal})
	if err != nil || verified.Base != last {
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
	for range events {
		for l.n++; l.n%7 == 0 || l.n%5 == 0; {
			l.n++
		}
		l.event(fmt.Sprint("e", l.n))
	}
	if _, _, no := l.e.CloseWindow(fmt.Sprint("w", l.n), nil); no != nil {
		l.t.Fatal(no)
	}
}
