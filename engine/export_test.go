package engine

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"farthing/journal"
)

// copyLedger makes a ledger of another one's history, as an export and its import do, and returns what was exported.
func copyLedger(t *testing.T, from, to journal.Options) []ExportedCommand {
	t.Helper()
	x, err := OpenExporter(from)
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	in, err := NewImporter(to)
	if err != nil {
		t.Fatal(err)
	}
	out, err := feed(x, in)
	if err != nil {
		t.Fatal(err, in.Abort())
	}
	if _, err := in.Finish(nil); err != nil {
		t.Fatal(err)
	}
	return out
}

func feed(x *Exporter, in *Importer) (out []ExportedCommand, err error) {
	names, rows := NewExportNames(), NewRowCheck()
	row := func(r *ExportedRow) error {
		if r.Space != ExportProgress {
			if err := rows.Row(r); err != nil {
				return err
			}
		}
		return in.Row(r)
	}
	err = x.Blocks(x.Head().Seq, func(b *journal.Block) error {
		var body []byte
		err := names.Block(b, func(c *ExportedCommand) error {
			if err := rows.Block(c); err != nil {
				return err
			}
			body = append(body, c.Raw...)
			kept := *c
			kept.Raw = append([]byte(nil), c.Raw...)
			out = append(out, kept)
			return nil
		})
		if err != nil {
			return err
		}
		if string(body) != string(b.Body) {
			return fmt.Errorf("sequence %d: its commands are not its body", b.First)
		}
		if err := in.Block(b); err != nil {
			return err
		}
		return x.SealedRows(names, row)
	})
	if err != nil {
		return nil, err
	}
	if err := rows.End(); err != nil {
		return nil, err
	}
	settlements, notifications := names.Streams()
	return out, x.Progress(settlements, notifications, row)
}

// TestImportEqualsExported runs a history of everything, imports its export, and compares the copy with the original and with the model: balances,
// batches, lines, statements, identities, the stream. Both go on as one would.
func TestImportEqualsExported(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes, o.DedupWindow = 60, 4000, 100*day })
	a := newActivity(t, newWorld(r.base))
	a.found(r.e, 4)
	a.run(r.e, seed, 4, 60, 4, nil)
	settled(t, r.e)
	r.e.repriced()
	rng := rand.New(rand.NewPCG(seed, 99))
	for range 12 { // some find something to rate anew
		a.rerate(r.e, rng)
	}
	r.e.repriced()
	confirmSome(t, r.e)
	m := newModel(t, a.w)
	m.replay(r.e, r.e.store.Head().Seq)
	m.complete()
	m.compare(r.e)
	r.close()

	imported := r.o
	imported.Journal.Dir = filepath.Join(t.TempDir(), "imported")
	commands := copyLedger(t, r.o.Journal, imported.Journal)
	kinds := map[string]int{}
	for _, c := range commands {
		kinds[c.Kind]++
	}
	t.Logf("%d commands: %v", len(commands), kinds)
	for _, kind := range []string{"event", "event_void", "result", "seal", "topup", "prices"} {
		if kinds[kind] == 0 {
			t.Errorf("there is no %s to look at", kind)
		}
	}
	a.compareStores(r.o.Journal, imported.Journal)

	r.o = imported
	r.open()
	m.compare(r.e)
	var again []call
	for _, c := range a.w.calls {
		if a.events[identityOf(&c)] {
			again = append(again, c)
		}
	}
	if got := r.post(again...); got.Duplicates != len(again) {
		t.Fatalf("%d of %d retries are duplicates", got.Duplicates, len(again))
	}
	a.run(r.e, seed+1, 4, 20, 4, nil)
	settled(t, r.e)
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
}

// confirmSome publishes half of what is sealed and leaves a send in flight.
func confirmSome(t *testing.T, e *Engine) {
	t.Helper()
	sealed := e.Stats().SealedStream
	if sealed < 4 {
		t.Fatalf("only %d records are sealed", sealed)
	}
	o := e.Outbox()
	half := sealed / 2
	for first := uint64(1); first <= half; {
		last := min(first+3, half)
		if err := o.Confirm(Confirmation{First: first, Last: last, Topic: "t", BaseOffset: int64(first) + 6, NextOffset: int64(last) + 8}); err != nil {
			t.Fatal(err)
		}
		first = last + 1
	}
	if err := o.Attempt(Attempt{ProducerID: 7, First: half + 1, Last: half + 2}); err != nil {
		t.Fatal(err)
	}
}

// compareStores compares the heads of two closed ledgers, all their blocks and the rows that go with them.
func (a *activity) compareStores(x, y journal.Options) {
	a.t.Helper()
	var texts [2][]string
	for i, o := range []journal.Options{x, y} {
		s, err := journal.OpenReadOnly(o)
		if err != nil {
			a.t.Fatal(err)
		}
		err = s.Blocks(1, func(b *journal.Block) error {
			texts[i] = append(texts[i], fmt.Sprintf("block %d %d %d %t %x %x", b.First, b.Last, b.Time, b.Final, b.Hash, b.Body))
			return nil
		})
		for _, space := range []journal.Space{journal.SpaceLines, journal.SpaceManifest, journal.SpaceEvidence, journal.SpacePublisher} {
			if err == nil {
				err = s.Scan(space, nil, nil, func(key, value []byte) (bool, error) {
					if space != journal.SpacePublisher || key[0] != attemptRow {
						texts[i] = append(texts[i], fmt.Sprintf("row %x %x %x", byte(space), key, value))
					}
					return true, nil
				})
			}
		}
		if err != nil {
			a.t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			a.t.Fatal(err)
		}
	}
	if len(texts[0]) != len(texts[1]) {
		a.t.Errorf("%d blocks and rows, the original has %d", len(texts[1]), len(texts[0]))
	}
	for i := range min(len(texts[0]), len(texts[1])) {
		if texts[0][i] != texts[1][i] {
			a.t.Fatalf("the copy has\n%.300s\nthe original\n%.300s", texts[1][i], texts[0][i])
		}
	}
}

// TestEveryKindHasAName: exports call every kind of command by a name of its own.
func TestEveryKindHasAName(t *testing.T) {
	names := map[string]bool{}
	for kind := byte(1); kind <= kindTop; kind++ {
		name := commandName(kind)
		if kind != kindAmend && (name == fmt.Sprintf("command_%02x", kind) || names[name]) {
			t.Errorf("kind %#02x is called %s", kind, name)
		}
		names[name] = true
	}
	for op := amendRated; op <= amendRerated; op++ {
		if name := amendNames[op]; name == "" || names[name] {
			t.Errorf("amendment %d is called %q", op, name)
		}
		names[amendNames[op]] = true
	}
}
