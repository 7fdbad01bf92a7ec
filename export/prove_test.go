package export

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// postPriced posts events that have a price.
func (l *ledger) postPriced(events int) {
	l.t.Helper()
	for range events {
		for l.n++; l.n%7 == 0 || l.n%5 == 0; {
			l.n++
		}
		l.event(fmt.Sprint("e", l.n))
	}
}

// postLate posts an event that has no price, and gives it one some days later.
func (l *ledger) postLate(id string, between func()) {
	l.t.Helper()
	q := l.e.Acquire(400)
	defer l.e.Release(q)
	b := q.Batch()
	b.Begin(0)
	b.SetSource([]byte("gw"))
	b.SetID([]byte(id))
	b.SetSubject([]byte("acme"))
	b.SetType([]byte(id))
	b.Component([]byte("n"), money.Quantity(3_000_000))
	b.End()
	if out, no := l.e.Ingest(q); no != nil || out.Accepted != 1 {
		l.t.Fatalf("%+v %v", out, no)
	}
	between()
	text := strings.Replace(book, "01-01T00:00:00Z", fmt.Sprintf("01-02T00:00:0%cZ", id[len(id)-1]), 1)
	v, no := meter.ParseVersion("for-"+id, []byte(strings.Replace(text, `"prices":[`, `"prices":[{"meter":"`+id+`","currency":"USD","match":{},"components":{"n":"1"}},`, 1)))
	if no == nil {
		_, _, no = l.e.PutPrices(v, nil)
	}
	if no != nil {
		l.t.Fatal(no)
	}
	deadline := time.Now().Add(20 * time.Second)
	for open := 1; open > 0; {
		page, no := l.e.Unpriced("", 10)
		if no != nil || time.Now().After(deadline) {
			l.t.Fatal("the event stays without a price", no)
		}
		open = len(page.Items)
	}
}

// putLong puts a price version that is so long that the leaves around it lie far apart.
func (l *ledger) putLong() {
	l.t.Helper()
	var prices []string
	for i := range 3600 {
		prices = append(prices, fmt.Sprintf(`{"meter":"none.%d","currency":"USD","match":{"model":"m%0100d"},"components":{"n":"1"}}`, i, i))
	}
	l.n++
	id := fmt.Sprint("long", l.n)
	v, no := meter.ParseVersion(id, []byte(`{"effective_from":"`+time.Unix(0, l.o.Now()).AddDate(1, 0, l.n).UTC().Format(time.RFC3339)+`","prices":[`+strings.Join(prices, ",")+`]}`))
	if no == nil {
		_, _, no = l.e.PutPrices(v, nil)
	}
	if no != nil {
		l.t.Fatal(no)
	}
}

// leafTiles counts the tiles of leaves in an export.
func leafTiles(t *testing.T, dir string) (n int) {
	t.Helper()
	parts, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range parts {
		_, err := eachLine(filepath.Join(dir, m.fileName(roleRows)), func(line []byte) error {
			row, err := parseRow(line)
			if err == nil && row.Space == engine.ExportTile && row.Key[11] == 0 {
				n++
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// provenEvent is an event with the proof that the ledger gave.
type provenEvent struct {
	id    string
	seq   uint64
	proof engine.Proof
}

// proven adds the events that have a proof by now.
func (l *ledger) proven(out map[string]provenEvent, ids ...string) {
	l.t.Helper()
	for _, id := range ids {
		if _, there := out[id]; there {
			continue
		}
		e, no := l.e.Event("gw", id)
		if no != nil && no.Code == refusal.NotFound {
			continue
		}
		p, no := l.e.Proof("gw", id)
		if no != nil {
			l.t.Fatal(id, no)
		}
		out[id] = provenEvent{id, e.Sequence, p}
	}
}

// TestProve drops history again and again. What was dropped is proven from the parts, byte for byte as the ledger proved it, and what is kept by
// the ledger: also where base, parts and windows end in the middle of a subtree, and where an event was rated days after it came.
func TestProve(t *testing.T) {
	for _, encoding := range []Encoding{NDJSON, Parquet} {
		t.Run(string(encoding), func(t *testing.T) {
			l := newDropping(t)
			l.to = Options{Encoding: encoding, PartCommands: 150}
			pass := func(d time.Duration) { l.now.Add(int64(d)) }
			proofs, cut := map[string]provenEvent{}, 0
			for round := range 3 {
				late := fmt.Sprint("late", round)
				l.postLate(late, func() {
					for i := range 8 {
						l.postPriced(40)
						pass(36 * time.Hour)
						if i == 3 {
							l.settle()
						}
						if round == 2 && i == 5 {
							l.putLong()
						}
					}
				})
				l.settle()
				ids := []string{late}
				for n := range l.n + 1 {
					ids = append(ids, fmt.Sprint("e", n))
				}
				l.proven(proofs, ids...)
				l.drop()
				cut += l.compareProofs(l.dir, proofs, l.last)
			}
			t.Logf("%d dropped events were proven of windows that a base cuts", cut) // drops go on meanwhile
			if leafTiles(t, l.dir) == 0 {
				t.Error("no leaves lie far apart")
			}
			l.close()
			proveRefusals(t, l.dir, proofs)
		})
	}
}

// compareProofs proves events from the ledger or from the parts, as they were dropped or not, and returns how many of those dropped are of a window
// that is not dropped as a whole.
func (l *ledger) compareProofs(dir string, proofs map[string]provenEvent, dropped uint64) (cut int) {
	l.t.Helper()
	kept := map[uint64]bool{}
	var gone []provenEvent
	for id, want := range proofs {
		if want.seq <= dropped {
			gone = append(gone, want)
			continue
		}
		kept[want.proof.Window] = true
		got, no := l.e.Proof("gw", id)
		if no != nil && want.seq <= l.e.Stats().Dropped {
			continue // more was dropped meanwhile
		}
		if no != nil || !reflect.DeepEqual(got, want.proof) {
			l.t.Fatalf("kept event %s at %d, dropped to %d: %+v %v, want %+v", id, want.seq, dropped, got, no, want.proof)
		}
	}
	slices.SortFunc(gone, func(a, b provenEvent) int { return int(a.seq) - int(b.seq) })
	for i, want := range gone {
		late := strings.HasPrefix(want.id, "late")
		if i%97 != 0 && i != len(gone)-1 && !late {
			continue
		}
		if _, no := l.e.Proof("gw", want.id); no == nil || no.Code != refusal.NotFound {
			l.t.Fatalf("event %s at %d, dropped to %d: %v", want.id, want.seq, dropped, no)
		}
		sequence := []uint64{0, want.seq}[i%2]
		got, err := Prove(context.Background(), ProveOptions{Dir: dir, Source: "gw", ID: want.id, Sequence: sequence})
		if err != nil || !reflect.DeepEqual(got, want.proof) {
			l.t.Fatalf("event %s at %d, dropped to %d: %+v %v, want %+v", want.id, want.seq, dropped, got, err, want.proof)
		}
		if kept[want.proof.Window] {
			cut++
		}
	}
	return cut
}

// proveRefusals asks for what the parts do not have, and what is damaged.
func proveRefusals(t *testing.T, dir string, proofs map[string]provenEvent) {
	t.Helper()
	f := func(want string, err error, o ProveOptions) {
		t.Helper()
		o.Dir, o.Source = dir, "gw"
		_, got := Prove(context.Background(), o)
		if got == nil || !strings.Contains(got.Error(), want) || err != nil && !errors.Is(got, err) {
			t.Errorf("%+v: %v, want %q", o, got, want)
		}
	}
	f("they have no event nobody", engine.ErrNotProven, ProveOptions{ID: "nobody"})
	f("the part with sequence 1000000000 is missing", engine.ErrNotProven, ProveOptions{ID: "e1", Sequence: 1e9})
	f("is not event e1 of", engine.ErrNotProven, ProveOptions{ID: "e1", Sequence: proofs["e2"].seq})
	// An event in the middle of its subtree: a part before it is needed for the leaves.
	parts, err := list(dir)
	if err != nil {
		t.Fatal(err)
	}
	type place struct{ window, index uint64 }
	at := map[place]uint64{}
	for _, p := range proofs {
		at[place{p.proof.Window, p.proof.Index}] = p.seq
	}
	var in provenEvent
	i := slices.IndexFunc(parts, func(m *Manifest) bool {
		for _, p := range proofs {
			first := at[place{p.proof.Window, p.proof.Index &^ 255}]
			if p.seq >= m.First && p.seq <= m.Last && first < m.First {
				in = p
			}
		}
		return in.id != ""
	})
	if i < 1 {
		t.Fatal("no part cuts a subtree")
	}
	damaged := filepath.Join(dir, parts[i].fileName(roleCommands))
	content, err := os.ReadFile(damaged)
	if err != nil {
		t.Fatal(err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(damaged, content, 0o600); err != nil {
		t.Fatal(err)
	}
	f("its content is not what the manifest names", nil, ProveOptions{ID: in.id, Sequence: in.seq})
	content[len(content)/2] ^= 1
	if err := os.WriteFile(damaged, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, m := range parts[:i] {
		for _, name := range []string{m.fileName(roleCommands), m.fileName(roleNames), m.fileName(roleRows), m.stem() + manifestSuffix} {
			if err := os.Remove(filepath.Join(dir, name)); err != nil && name != m.fileName(roleNames) {
				t.Fatal(err)
			}
		}
	}
	f("is missing", engine.ErrNotProven, ProveOptions{ID: in.id, Sequence: in.seq})
}
