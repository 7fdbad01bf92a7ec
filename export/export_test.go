package export

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"farthing/engine"
	"farthing/internal/soak"
)

// history makes a ledger with settled windows, publishes some of them, and closes it.
func history(t testing.TB) *ledger {
	l := newLedger(t)
	l.found()
	for range 3 {
		l.work(30)
		l.settle()
	}
	l.work(10)
	o := l.e.Outbox()
	if err := o.Confirm(engine.Confirmation{First: 1, Last: 5, Topic: "t", BaseOffset: 3, NextOffset: 8}); err != nil {
		t.Fatal(err)
	}
	if err := o.Attempt(engine.Attempt{ProducerID: 3, First: 6, Last: 7}); err != nil {
		t.Fatal(err)
	}
	return l
}

// TestRoundTrip exports in both encodings, in one part and in many, and imports: the ledger is the same in everything that can be read, retries are
// duplicates, and it goes on.
func TestRoundTrip(t *testing.T) {
	l := history(t)
	want := l.view()
	l.close()
	for _, encoding := range []Encoding{NDJSON, Parquet} {
		for _, commands := range []uint64{0, 40} {
			t.Run(fmt.Sprintf("%s/%d", encoding, commands), func(t *testing.T) {
				dir := filepath.Join(t.TempDir(), "export")
				wrote := l.exported(Options{Dir: dir, Encoding: encoding, PartCommands: commands})
				if commands > 0 && wrote.Parts < 3 {
					t.Fatalf("%+v", wrote)
				}
				report, err := Check(context.Background(), CheckOptions{Dir: dir})
				if err != nil || report.Last != wrote.Last || report.Commands != wrote.Commands || report.Parts != wrote.Parts || report.Rows == 0 {
					t.Fatalf("%+v, wrote %+v: %v", report, wrote, err)
				}
				copied := imported(t, l, dir)
				if got := copied.view(); got != want {
					t.Fatalf("the imported ledger shows\n%s\nthe original\n%s", got, want)
				}
				again := *copied
				for n := 1; n <= copied.n; n++ {
					again.n = n
					if _, no := copied.e.Event("gw", fmt.Sprint("e", n)); asError(no) == nil {
						if got := again.retry(fmt.Sprint("e", n)); got.Duplicates != 1 {
							t.Fatalf("e%d: %+v", n, got)
						}
					}
				}
				copied.work(5)
				copied.settle()
				copied.close()
				if _, err := engine.Verify(engine.VerifyOptions{Journal: copied.o.Journal}); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
}

// retry posts an event of the ledger as it was posted, but for its time.
func (l *ledger) retry(id string) engine.IngestResult {
	q := l.e.Acquire(400)
	defer l.e.Release(q)
	was, no := l.e.Event("gw", id)
	if asError(no) != nil {
		l.t.Fatal(no)
	}
	b := q.Batch()
	b.Begin(0)
	b.SetSource([]byte("gw"))
	b.SetID([]byte(id))
	b.SetSubject([]byte(was.Subject))
	b.SetType([]byte(was.Type))
	for _, c := range was.Usage {
		b.Component([]byte(c.Component), c.Quantity)
	}
	for _, d := range was.Dimensions {
		b.Dimension([]byte(d.Key), []byte(d.Value))
	}
	b.End()
	out, no := l.e.Ingest(q)
	if asError(no) != nil {
		l.t.Fatal(no)
	}
	return out
}

// TestGoesOn: an export is continued from where it is, also after one that was stopped, online as well; parts that are there stay as they are.
func TestGoesOn(t *testing.T) {
	l := history(t)
	dir := filepath.Join(t.TempDir(), "export")
	online := func(ctx context.Context) (Written, error) {
		x, err := l.e.Exporter()
		if err != nil {
			t.Fatal(err)
		}
		return Write(ctx, x, Options{Dir: dir, PartCommands: 30})
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if _, err := online(stopped); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if left := names(t, dir); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
	first, err := online(context.Background())
	if err != nil || first.Kept != 0 || first.Parts < 3 {
		t.Fatalf("%+v %v", first, err)
	}
	was := contents(t, dir)
	l.work(20)
	l.settle()
	// What a killed export leaves.
	for _, name := range []string{"part-commands.tmp", "progress.json.tmp", stem(first.Last+1, first.Last+9) + ".manifest.json.tmp"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second, err := online(context.Background())
	if err != nil || second.Kept != first.Parts || second.Parts == 0 || second.Last <= first.Last {
		t.Fatalf("%+v after %+v: %v", second, first, err)
	}
	now := contents(t, dir)
	for name, content := range was {
		if name != progressName && now[name] != content {
			t.Errorf("%s was changed", name)
		}
	}
	want := l.view()
	l.close()
	if got := imported(t, l, dir).view(); got != want {
		t.Fatal("the import of an export in two steps differs")
	}
	third := l.exported(Options{Dir: dir})
	if third.Parts > 1 || third.Kept != second.Kept+second.Parts {
		t.Fatalf("%+v", third)
	}
}

func contents(t *testing.T, dir string) map[string]string {
	out := map[string]string{}
	for _, name := range names(t, dir) {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = string(data)
	}
	return out
}

// TestSameBytes: the same history makes the same files, in NDJSON byte for byte.
func TestSameBytes(t *testing.T) {
	l := history(t)
	l.close()
	var all [2]map[string]string
	for i := range all {
		dir := filepath.Join(t.TempDir(), "export")
		l.exported(Options{Dir: dir, PartCommands: 50})
		all[i] = contents(t, dir)
	}
	if len(all[0]) < 6 || len(all[0]) != len(all[1]) {
		t.Fatalf("%d and %d files", len(all[0]), len(all[1]))
	}
	for name, content := range all[0] {
		if all[1][name] != content {
			t.Errorf("%s differs", name)
		}
	}
}

// TestEveryDamageIsNoticed flips bits all over an export in several parts, takes files away, swaps them and brings others' in: check names a file, and
// an import leaves nothing.
func TestEveryDamageIsNoticed(t *testing.T) {
	rng := rand.New(rand.NewPCG(soak.Seed(t), 1))
	l := history(t)
	l.close()
	other := history(t)
	other.close()
	total := 0
	for _, encoding := range []Encoding{NDJSON, Parquet} {
		dir, foreign := filepath.Join(t.TempDir(), "export"), filepath.Join(t.TempDir(), "other")
		l.exported(Options{Dir: dir, Encoding: encoding, PartCommands: 100})
		other.exported(Options{Dir: foreign, Encoding: encoding, PartCommands: 100})
		d := damage{t: t, dir: dir, was: contents(t, dir), data: filepath.Join(t.TempDir(), "data")}
		list, theirs := names(t, dir), contents(t, foreign)
		for _, name := range list {
			content := d.was[name]
			for range soak.Pick(2, 40) {
				flipped := []byte(content)
				at := rng.IntN(len(flipped))
				flipped[at] ^= 1 << rng.IntN(8)
				d.noticed(fmt.Sprintf("a flipped bit at %d of %s", at, name), name, func() { d.put(name, string(flipped)) })
			}
			d.noticed("the end cut off "+name, name, func() { d.put(name, content[:len(content)-1]) })
			d.noticed("more at the end of "+name, name, func() { d.put(name, content+"\n") })
			d.noticed(name+" taken away", "", func() { d.remove(name) })
			if their := theirs[name]; their != "" {
				d.noticed("another ledger's "+name, "", func() { d.put(name, their) })
			}
		}
		d.noticed("two files swapped", "", func() { d.put(list[0], d.was[list[1]]); d.put(list[1], d.was[list[0]]) })
		d.noticed("a file of a part that nothing names", "", func() { d.put(strings.Replace(list[0], ".", ".more.", 1), "x") })
		if _, err := Check(context.Background(), CheckOptions{Dir: dir}); err != nil {
			t.Fatalf("after everything was put back: %v", err)
		}
		total += d.imports
	}
	soak.Report(t, "damaged exports", soak.Counts{"damages": uint64(total), "not noticed": 0})
}

// damage does something to an export and puts it back.
type damage struct {
	t         *testing.T
	dir, data string
	was       map[string]string
	imports   int
}

func (d *damage) put(name, content string) {
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

func (d *damage) remove(name string) {
	if err := os.Remove(filepath.Join(d.dir, name)); err != nil {
		d.t.Fatal(err)
	}
}

func (d *damage) noticed(what, file string, do func()) {
	d.t.Helper()
	do()
	_, err := Check(context.Background(), CheckOptions{Dir: d.dir})
	if err == nil {
		d.t.Errorf("%s: nothing was noticed", what)
	} else if stem, _, _ := strings.Cut(file, "."); file != "" && !strings.Contains(err.Error(), stem) {
		d.t.Errorf("%s: the error does not name it: %v", what, err)
	}
	if d.imports++; d.imports%20 == 0 {
		o := options(d.data).Journal
		if _, err := Import(context.Background(), ImportOptions{Dir: d.dir, Data: o}); err == nil {
			d.t.Errorf("%s: it was imported", what)
		}
		if _, err := os.Stat(d.data); !os.IsNotExist(err) {
			d.t.Errorf("%s: the import left something: %v", what, err)
		}
	}
	for _, name := range names(d.t, d.dir) {
		if _, ok := d.was[name]; !ok {
			d.remove(name)
		}
	}
	for name, content := range d.was {
		d.put(name, content)
	}
}

// TestForgedColumns: columns that do not follow from the bytes are noticed although every hash has been made to fit.
func TestForgedColumns(t *testing.T) {
	l := history(t)
	l.close()
	for _, forge := range [][2]string{
		{`"account":"acme"`, `"account":"beta"`}, {`"amount":"0.0000325"`, `"amount":"0.0000326"`}, {`"input":"`, `"input":"1`},
		{`"kind":"topup"`, `"kind":"topdn"`}, {`"end":"group",`, ``}, {`"event_time":"2`, `"event_time":"1`}, {`"version":"v1"`, `"version":"v2"`},
		{`"sequence":20,`, `"sequence":21,`}, {`{"sequence"`, `{ "sequence"`}, {`"raw":"`, `"raw":"AAAA`},
	} {
		dir := filepath.Join(t.TempDir(), "export")
		l.exported(Options{Dir: dir})
		if !forgePart(t, dir, forge[0], forge[1]) {
			t.Fatalf("there is no %s to forge", forge[0])
		}
		_, err := Check(context.Background(), CheckOptions{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), "sequence ") {
			t.Errorf("%s for %s: %v", forge[1], forge[0], err)
		}
	}
}

// forgePart changes the first occurrence of a text in the commands of the only part, and makes size and hash of the manifest fit.
func forgePart(t *testing.T, dir, old, text string) bool {
	t.Helper()
	parts, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := parts[0]
	path := filepath.Join(dir, m.fileName(roleCommands))
	var all []byte
	if _, err := eachLine(path, func(line []byte) error { all = append(all, line...); return nil }); err != nil {
		t.Fatal(err)
	}
	forged := strings.Replace(string(all), old, text, 1)
	z, err := createZipped(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := z.z.Write([]byte(forged)); err != nil {
		t.Fatal(err)
	}
	f := m.file(roleCommands)
	rows := f.Rows
	if err := z.finish(f); err != nil {
		t.Fatal(err)
	}
	f.Rows = rows
	if err := os.Rename(path+tempSuffix, path); err != nil {
		t.Fatal(err)
	}
	if err := writeDurable(filepath.Join(dir, m.stem()+manifestSuffix), m.encode()); err != nil {
		t.Fatal(err)
	}
	return forged != string(all)
}

// TestForeignDirectory: an export of another ledger is not gone on from, and a part in the middle verifies by itself.
func TestForeignDirectory(t *testing.T) {
	a, b := history(t), history(t)
	a.close()
	b.close()
	dir := filepath.Join(t.TempDir(), "export")
	a.exported(Options{Dir: dir, PartCommands: 60})
	if _, err := b.export(context.Background(), Options{Dir: dir}); !errors.Is(err, ErrForked) {
		t.Fatal(err)
	}
	parts, err := list(dir)
	if err != nil || len(parts) < 3 {
		t.Fatal(len(parts), err)
	}
	for _, name := range names(t, dir) {
		if strings.HasPrefix(name, parts[0].stem()) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	report, err := Check(context.Background(), CheckOptions{Dir: dir})
	if err != nil || report.First != parts[1].First || report.Last != parts[len(parts)-1].Last {
		t.Fatalf("%+v %v", report, err)
	}
	if _, err := Import(context.Background(), ImportOptions{Dir: dir, Data: options(filepath.Join(t.TempDir(), "x")).Journal}); err == nil || !strings.Contains(err.Error(), "sequence 1 is missing") {
		t.Fatal(err)
	}
}

// TestOtherFilesStay exports to a directory that holds files whose names begin like those of parts: it refuses, and removes none.
func TestOtherFilesStay(t *testing.T) {
	l := history(t)
	for _, name := range []string{"part-time-contracts.pdf", "part-1.ndjson.gz", "part-mine.tmp", stem(1, 9) + ".ndjson.gz"} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		x, err := l.e.Exporter()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Write(context.Background(), x, Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
			t.Errorf("%s: %q %v", name, text, err)
		}
	}
}
