package export

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// write exports the open ledger up to a sequence; 0: all.
func (l *ledger) write(o Options) (Written, error) {
	l.t.Helper()
	x, err := l.e.Exporter()
	if err != nil {
		l.t.Fatal(err)
	}
	return Write(context.Background(), x, o)
}

// twin is the same ledger in another directory: what a restored backup is.
func (l *ledger) twin() *ledger {
	l.t.Helper()
	l.close()
	other := &ledger{t: l.t, o: options(filepath.Join(l.t.TempDir(), "twin")), n: l.n}
	if err := os.CopyFS(other.o.Journal.Dir, os.DirFS(l.o.Journal.Dir)); err != nil {
		l.t.Fatal(err)
	}
	l.open()
	other.open()
	l.t.Cleanup(func() {
		if other.e != nil {
			other.close()
		}
	})
	return other
}

// TestPartsOfAnotherFuture exports to a directory that another future of the same ledger was exported to, further than is asked for: what is
// asked for is not there, and whoever dropped it would have lost it.
func TestPartsOfAnotherFuture(t *testing.T) {
	ours := history(t)
	theirs := ours.twin()
	theirs.work(20)
	theirs.settle()
	ours.work(5)
	middle, err := ours.write(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if _, err := theirs.write(Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	f := func(what string) {
		t.Helper()
		if out, err := ours.write(Options{Dir: dir, Through: middle.Last}); !errors.Is(err, ErrForked) || !strings.Contains(err.Error(), "part-0") {
			t.Errorf("%s: %+v, %v", what, out, err)
		}
	}
	f("their part goes further than our history")
	ours.work(40)
	ours.settle()
	f("our history goes further than their part")
}

// TestThroughWithinKept asks for less than is there: the manifest is that of the part that has it, so that what was asked for is found with it.
func TestThroughWithinKept(t *testing.T) {
	l := history(t)
	dir := t.TempDir()
	if _, err := l.write(Options{Dir: dir, PartCommands: 60}); err != nil {
		t.Fatal(err)
	}
	parts, err := list(dir)
	if err != nil || len(parts) < 3 {
		t.Fatal(len(parts), err)
	}
	was := contents(t, dir)
	for _, through := range []uint64{parts[1].First, parts[1].Last} {
		out, err := l.write(Options{Dir: dir, Through: through})
		if err != nil || out.Manifest != parts[1].hash() || out.Parts != 0 {
			t.Errorf("to %d: %+v, %v", through, out, err)
		}
	}
	for name, content := range contents(t, dir) {
		if name != progressName && was[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
}

// TestLeftovers: what a killed export leaves under temporary names goes, what it was about to name is gone on with, and nothing else is touched:
// it may be the only copy of what was dropped.
func TestLeftovers(t *testing.T) {
	l := history(t)
	dir := t.TempDir()
	if _, err := l.write(Options{Dir: dir, PartCommands: 60}); err != nil {
		t.Fatal(err)
	}
	parts, err := list(dir)
	if err != nil || len(parts) < 3 {
		t.Fatal(len(parts), err)
	}
	last := parts[len(parts)-1]
	if out, err := l.write(Options{Dir: dir + "/before", Through: last.First - 1}); err != nil || out.Parts != 1 {
		t.Fatal(out, err)
	}
	earlier, err := os.ReadFile(filepath.Join(dir, "before", progressName))
	if err := errors.Join(err, os.RemoveAll(filepath.Join(dir, "before"))); err != nil {
		t.Fatal(err)
	}
	whole := contents(t, dir)
	manifest := last.stem() + manifestSuffix
	// Its manifest lost, a part is not taken for what an interrupted export left.
	d := damage{t: t, dir: dir, was: whole}
	d.remove(manifest)
	if _, err := l.write(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), last.stem()) {
		t.Fatalf("a part without its manifest: %v", err)
	}
	if _, err := Check(context.Background(), CheckOptions{Dir: dir}); err == nil || !strings.Contains(err.Error(), last.stem()) {
		t.Fatalf("a part without its manifest is no part of what is checked: %v", err)
	}
	d.betweenNames(l, parts, string(earlier))
	// Killed while the manifest was written, or before.
	for _, name := range []string{manifest + tempSuffix, "part-commands.tmp", "part-names.tmp", "part-rows.tmp", progressName + tempSuffix} {
		d.put(name, whole[manifest][:9])
	}
	if out, err := l.write(Options{Dir: dir}); err != nil || int(out.Kept) != len(parts) || len(names(t, dir)) != len(whole) {
		t.Fatalf("%+v %v %v", out, names(t, dir), err)
	}
	// Another part's file under the name of ours.
	d.remove(manifest)
	d.put(manifest+tempSuffix, whole[manifest])
	d.put(last.Files[0].Name, "precious")
	if _, err := l.write(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), last.Files[0].Name) {
		t.Fatalf("a file with other content: %v", err)
	}
	if text, err := os.ReadFile(filepath.Join(dir, last.Files[0].Name)); err != nil || string(text) != "precious" {
		t.Fatalf("%q %v", text, err)
	}
}

// betweenNames does what an export leaves that is killed between any two names of the files of its last part, and lets the next one go on.
func (d *damage) betweenNames(l *ledger, parts []*Manifest, progress string) {
	t, dir, whole := d.t, d.dir, d.was
	last := parts[len(parts)-1]
	manifest := last.stem() + manifestSuffix
	for named := range len(last.Files) + 1 {
		for i := range last.Files {
			name := last.Files[i].Name
			if i >= named {
				d.remove(name)
				name = partPrefix + last.Files[i].Role + tempSuffix
			}
			d.put(name, whole[last.Files[i].Name])
		}
		if _, err := os.Stat(filepath.Join(dir, manifest)); err == nil {
			d.remove(manifest)
		}
		d.put(manifest+tempSuffix, whole[manifest])
		d.put(progressName, progress)
		if _, err := Check(context.Background(), CheckOptions{Dir: dir}); err != nil {
			t.Fatalf("%d named: %v", named, err)
		}
		out, err := l.write(Options{Dir: dir})
		if err != nil || int(out.Kept) != len(parts) || out.Parts != 0 {
			t.Fatalf("%d named: %+v %v", named, out, err)
		}
		for name, content := range contents(t, dir) {
			if whole[name] != content {
				t.Errorf("%d named: %s is another", named, name)
			}
		}
	}
}

// TestStoppedWhileItLooks: an export that is to stop does so while it reads what is there.
func TestStoppedWhileItLooks(t *testing.T) {
	l := history(t)
	dir := t.TempDir()
	if _, err := l.write(Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	x, err := l.e.Exporter()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	stop()
	w := &writer{ctx: ctx, o: Options{Dir: dir}, src: x}
	if err := w.existing(); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
}
