package engine

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"farthing/batch"
	"farthing/journal"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// proven counts what was proven, by kind of event.
type proven struct {
	events, late, voided, captured, free, unpriced, open int
	currencies                                           map[money.Currency]int
}

// journaled is what the journal says of an event.
type journaled struct {
	source, id string
	leaf       *batch.Leaf // nil: never rated
	window     uint64      // in which it was rated
	currency   money.Currency
}

// journalOf reads every event, and for each window and currency the leaves in their order.
func journalOf(t *testing.T, e *Engine, count *proven) (events map[string]*journaled, leaves map[string][][]byte) {
	t.Helper()
	events, leaves = map[string]*journaled{}, map[string][][]byte{}
	var c cursor
	window := uint64(1)
	tables := e.published.Load()
	rated := func(j *journaled, ev *eventRecord, seq uint64) {
		person, shape := tables.people[ev.account], fullShape(ev, tables)
		j.leaf = &batch.Leaf{Source: j.source, ID: j.id, Subject: person.ID, ShapeHash: sha256.Sum256(shape.Append(nil)), Time: ev.time,
			Currency: person.Currency, Amount: ev.amount, Version: tables.versions[ev.version].Version.ID, Sequence: seq,
			Quantities: append([]money.Quantity(nil), ev.quantities[:ev.components]...)}
		j.window, j.currency = window, person.Currency
		key := fmt.Sprint(window, person.Currency.Code())
		leaves[key] = append(leaves[key], j.leaf.Append(nil))
		if ev.amount.IsZero() {
			count.free++
		}
	}
	err := e.store.Blocks(2, func(b *journal.Block) error {
		c.reset(b.Body, b.First, b.Time, tables)
		for c.next() {
			switch {
			case c.isEvent():
				j := &journaled{source: string(c.event.source), id: string(c.event.id)}
				events[j.source+"\x00"+j.id] = j
				if c.event.reason == priced {
					rated(j, &c.event, c.seq)
				}
				if len(c.event.hold.id) > 0 {
					count.captured++
				}
			case c.kind == kindCut:
				window++
			case c.kind == kindAmend:
				a, err := c.amendment()
				if err != nil {
					return err
				}
				if a.op == amendRated {
					count.late++
					rated(events[string(a.old.source)+"\x00"+string(a.old.id)], &a.new, c.seq)
				}
				if a.op == amendVoid {
					count.voided++
				}
			}
		}
		return c.err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return events, leaves
}

// proveAll asks for the proof of every event and checks it with another library, against leaves
// and positions that were read from the journal alone.
func proveAll(t *testing.T, e *Engine) (count proven) {
	t.Helper()
	count.currencies = map[money.Currency]int{}
	events, leaves := journalOf(t, e, &count)
	batches := map[string]batch.Manifest{}
	for _, w := range e.published.Load().windows {
		for i := range w.batches {
			b, refused := e.Settlement(hexID(w.batches[i].id))
			if refused != nil {
				t.Fatal(refused)
			}
			m, err := batch.ParseManifest(b.Manifest)
			if err != nil {
				t.Fatal(err)
			}
			batches[fmt.Sprint(m.Window, m.Currency.Code())] = m
		}
	}
	for _, j := range events {
		p, refused := e.Proof(j.source, j.id)
		key := fmt.Sprint(j.window, j.currency.Code())
		m, sealed := batches[key]
		switch {
		case j.leaf == nil:
			count.unpriced++
			wantRefused(t, refused, refusal.SettlementConflict, "not_priced")
			continue
		case !sealed:
			count.open++
			wantRefused(t, refused, refusal.SettlementConflict, "not_settled")
			continue
		case refused != nil:
			t.Fatalf("%s %s: %v", j.source, j.id, refused)
		}
		count.events++
		count.currencies[j.currency]++
		checkProof(t, &p, j.leaf, leaves[key], &m)
	}
	return count
}

func wantRefused(t *testing.T, refused *refusal.Refusal, code refusal.Code, reason string) {
	t.Helper()
	if refused == nil || refused.Code != code || refused.Reason != reason {
		t.Fatalf("refused %+v, want %s", refused, reason)
	}
}

// checkProof checks a proof of a leaf against all leaves of its window.
func checkProof(t *testing.T, p *Proof, leaf *batch.Leaf, all [][]byte, m *batch.Manifest) {
	t.Helper()
	want := leaf.Append(nil)
	if !bytes.Equal(p.Leaf, want) || p.Index >= uint64(len(all)) || !bytes.Equal(all[p.Index], want) || p.Size != uint64(len(all)) || p.Size != m.Events {
		t.Fatalf("leaf %d of %d is %x, want %x", p.Index, p.Size, p.Leaf, want)
	}
	if p.Batch != hexID(m.BatchID) || p.Root != m.MerkleRoot || p.Window != m.Window || p.Currency != m.Currency || p.Sequence != leaf.Sequence {
		t.Fatalf("%+v is not of batch %+v", p, m)
	}
	shape, err := meter.ParseShape(p.Shape)
	if err != nil || sha256.Sum256(p.Shape) != leaf.ShapeHash {
		t.Fatalf("shape %x: %v", p.Shape, err)
	}
	if _, err := batch.ParseLeaf(p.Leaf, len(shape.Components)); err != nil {
		t.Fatal(err)
	}
	var path [][]byte
	for i := range p.Path {
		path = append(path, p.Path[i][:])
	}
	hash := batch.LeafHash(p.Leaf)
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, p.Index, p.Size, hash[:], path, p.Root[:]); err != nil {
		t.Fatalf("leaf %d of %d: %v", p.Index, p.Size, err)
	}
}

// captured places a hold and captures it by an event.
func (r *rig) captured(hold string, c call) {
	r.t.Helper()
	for _, kind := range []HoldOpKind{PlaceHold, CaptureHold} {
		q := r.e.Acquire(1000)
		b := q.Holds()
		op := HoldOp{Kind: kind, Hold: b.Intern([]byte(hold)), Event: -1, Amount: amount(r.t, "1"), HasAmount: true}
		if kind == PlaceHold {
			op.Account = b.Intern([]byte(c.subject))
		} else {
			fill(r.t, q.Batch(), []call{c})
			op.Event, op.HasAmount = 0, false
		}
		b.Add(op, q.Batch())
		results, _, refused := r.e.BookHolds(q)
		if refused != nil || results[0].Outcome != HoldDone {
			r.t.Fatalf("hold %s: %v %+v", hold, refused, results)
		}
		r.e.Release(q)
	}
}

// TestEveryEventIsProven proves every event of windows of random work: over three currencies, rated
// late, voided, rated anew, captured, and at no cost; after restarts too.
func TestEveryEventIsProven(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes, o.DedupWindow = 60, 4000, 100*day })
	a := newActivity(t, newWorld(r.base))
	a.found(r.e, 5)
	rounds := 3
	if testing.Short() {
		rounds = 1
	}
	for round := range rounds {
		a.run(r.e, seed+uint64(round), 4, 40, 5, nil)
		for i := range 3 {
			id := fmt.Sprintf("cap%d-%d", round, i)
			r.captured(id, call{source: "s0", id: id, subject: "c1-USD", kind: "llm.tokens", usage: [][2]string{{"input", fmt.Sprint(i)}}})
		}
		r.e.repriced()
		settled(t, r.e)
		if round%2 == 0 {
			r.reopen()
		}
		r.settle(fmt.Sprint("last", round))
		r.post(llm(fmt.Sprint("open", round), "c1-USD", "m1", 1, 1)) // in the open window, unless the book leaves it unpriced
		count := proveAll(t, r.e)
		t.Logf("%+v", count)
		if count.events < 50 || count.captured == 0 || len(count.currencies) < 2 {
			t.Errorf("too little was proven: %+v", count)
		}
	}
	late := llm("late", "c1-USD", "m-late", 1, 1) // whether the activity has one is chance
	late.time = r.base.Add(-time.Minute).UnixNano()
	r.post(late)
	r.prices("late", fmt.Sprintf(`{"effective_from":%q,"prices":[{"meter":"llm.tokens","currency":"USD","match":{"model":"m-late"},"components":{"input":"1","output":"2"}}]}`,
		r.base.Add(-2*time.Minute).Format(time.RFC3339)))
	r.e.repriced()
	if count := proveAll(t, r.e); !testing.Short() && (count.late == 0 || count.voided == 0 || count.free == 0 || count.unpriced == 0) {
		t.Errorf("no event of some kind: %+v", count)
	}
	_, refused := r.e.Proof("s0", "nobody-sent-this")
	wantRefused(t, refused, refusal.NotFound, "unknown_event")
	if err := r.verify(); err != nil {
		t.Error(err)
	}
}

// manyCalls makes numbered events; every rare-th is of customer "rare", whose currency is another.
func manyCalls(first, n, rare int) []call {
	out := make([]call, 0, n)
	for i := first; i < first+n; i++ {
		c := llm(fmt.Sprint("many", i), []string{"acme", "beta"}[i%2], "m2", i%1000, 3)
		if rare > 0 && i%rare == 0 {
			c = call{source: "gw", id: fmt.Sprint("many", i), subject: "rare", kind: "api.calls"}
		}
		out = append(out, c)
	}
	return out
}

// rareRig has a customer in a second currency.
func rareRig(t testing.TB, change func(*Options)) *rig {
	r := newRig(t, change)
	r.account("prov", "provider", "")
	r.account("acme", "customer", "postpaid")
	r.account("beta", "customer", "postpaid")
	jpy, _ := money.Lookup("JPY")
	if _, _, refused := r.e.CreateAccount(AccountSpec{ID: "rare", Currency: jpy, Kind: "customer", Billing: "postpaid"}); refused != nil {
		t.Fatal(refused)
	}
	r.prices("v1", strings.Replace(standardBook, `]}`,
		`,{"meter":"api.calls","currency":"JPY","match":{},"components":{"call":"0.5"}}]}`, 1))
	return r
}

// evidenceRows are the stored tiles.
func evidenceRows(t testing.TB, s storage) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := s.Scan(journal.SpaceEvidence, nil, nil, func(key, value []byte) (bool, error) {
		out[string(key)] = string(value)
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestProofsOfLargeWindows proves events of a window with two levels of tiles, and of a currency
// whose leaves lie so far apart that their hashes are kept.
func TestProofsOfLargeWindows(t *testing.T) {
	r := rareRig(t, func(o *Options) { o.CheckpointBytes = 1 << 20 })
	events, rare := 140_000, 251
	if testing.Short() || raceEnabled {
		events = 25_000
	}
	for at := 0; at < events; at += 5000 {
		r.post(manyCalls(at, 5000, rare)...)
		if at == events/2/5000*5000 {
			r.reopen()
		}
	}
	s := r.settle("w")
	kept := 0
	for key := range evidenceRows(t, r.e.store) {
		if key[11] == 0 {
			kept++
			if key[8:11] != "JPY" {
				t.Errorf("leaves of %s are kept", key[8:11])
			}
		}
	}
	// The leaves of the last tile, which is not full, may lie near each other.
	rareCount := (events + rare - 1) / rare
	if full := rareCount / batch.TileWidth; kept != full && kept != full+1 || kept == 0 && !raceEnabled && !testing.Short() {
		t.Errorf("%d tiles of leaves are kept of %d events", kept, rareCount)
	}
	var count proven
	all, leaves := journalOf(t, r.e, &count)
	for _, b := range s.Batches {
		got, _ := r.e.Settlement(b.BatchID)
		m, err := batch.ParseManifest(got.Manifest)
		if err != nil {
			t.Fatal(err)
		}
		step := 1
		if b.Currency == usd() {
			step = 97
		}
		list := leaves[fmt.Sprint(m.Window, b.Currency.Code())]
		for i := 0; i < len(list); i += step {
			components := 1
			if b.Currency == usd() {
				components = 2
			}
			l, err := batch.ParseLeaf(list[i], components)
			if err != nil {
				t.Fatal(err)
			}
			p, refused := r.e.Proof(l.Source, l.ID)
			if refused != nil || p.Index != uint64(i) {
				t.Fatalf("leaf %d: %d, %v", i, p.Index, refused)
			}
			checkProof(t, &p, all[l.Source+"\x00"+l.ID].leaf, list, &m)
		}
	}
	if err := r.verify(); err != nil {
		t.Error(err)
	}
}

// TestReplayWritesTheSameTiles takes all tiles and all checkpoints away: the next start writes
// the same tiles again.
func TestReplayWritesTheSameTiles(t *testing.T) {
	r := rareRig(t, func(o *Options) { o.CheckpointBytes = 1 << 18 })
	for window := range 3 {
		r.post(manyCalls(window*6000, 5000+window*300, 100)...)
		if window < 2 {
			r.settle(fmt.Sprint("w", window))
		}
	}
	r.close()
	var want map[string]string
	withStore(t, r, func(s *journal.Store) {
		want = evidenceRows(t, onDisk{s})
	})
	r.o = withoutCheckpoints(t, r.o)
	withStore(t, r, func(s *journal.Store) {
		var rows []journal.Row
		for key := range want {
			rows = append(rows, journal.Row{Space: journal.SpaceEvidence, Key: []byte(key), Delete: true})
		}
		if err := s.Write(rows, true); err != nil {
			t.Fatal(err)
		}
	})
	r.open()
	got := evidenceRows(t, r.e.store)
	if len(got) != len(want) || len(want) < 8 {
		t.Errorf("%d tiles, want %d", len(got), len(want))
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is another", tileName([]byte(key)))
		}
	}
}

// TestVerifyNamesChangedTiles is the table of changes to tiles.
func TestVerifyNamesChangedTiles(t *testing.T) {
	f := tampering(t)
	change := func(name, words string, level byte, how func(row *journal.Row)) {
		f(name, words, func(t *testing.T, s *journal.Store) {
			for key, value := range evidenceRows(t, onDisk{s}) {
				if key[11] == level && key[7] == 2 {
					row := journal.Row{Space: journal.SpaceEvidence, Key: []byte(key), Value: []byte(value)}
					how(&row)
					write(t, s, row)
					return
				}
			}
			t.Fatal("there is no such tile")
		})
	}
	for _, level := range []byte{1, batch.LevelPeaks} {
		of := fmt.Sprintf("window 2, USD: tile 0 of level %d", level)
		change("byte", of+" differs", level, func(row *journal.Row) { row.Value[len(row.Value)-1] ^= 1 })
		change("length", of+" differs", level, func(row *journal.Row) { row.Value = append(row.Value, 0) })
		change("gone", of+" is missing", level, func(row *journal.Row) { row.Delete = true })
		change("one more", "follow from the journal", level, func(row *journal.Row) { row.Key[19] = 9 })
	}
	f("checkpoint's tree", "evidence trees differ", func(t *testing.T, s *journal.Store) {
		rebuild(t, s, journal.KindCheckpoint, newestCheckpoint(t, s).id, func(n int, k, v []byte) ([]byte, []byte) {
			if v[0] == chunkEvidence {
				v[1]++ // the window
			}
			return k, v
		})
	})
}

// TestProofsOfDamagedTiles asks for proofs where a tile is gone or says something else.
func TestProofsOfDamagedTiles(t *testing.T) {
	for _, level := range []byte{1, batch.LevelPeaks} {
		for _, how := range []string{"gone", "changed", "cut"} {
			r := standard(t, nil)
			for i := range 300 {
				r.post(llm(fmt.Sprint("e", i), "acme", "m1", i, i))
			}
			r.settle("w")
			for key, value := range evidenceRows(t, r.e.store) {
				if key[11] != level {
					continue
				}
				row := journal.Row{Space: journal.SpaceEvidence, Key: []byte(key), Value: []byte(value), Delete: how == "gone"}
				if how == "changed" {
					row.Value[12] ^= 1
				}
				if how == "cut" {
					row.Value = row.Value[:len(row.Value)-8]
				}
				write(t, r.e.store, row)
			}
			_, refused := r.e.Proof("gw", "e299")
			wantRefused(t, refused, refusal.Internal, "storage_damaged")
		}
	}
}

// TestTreesCountWhatTheBooksCount refuses a window whose trees have other sizes.
func TestTreesCountWhatTheBooksCount(t *testing.T) {
	r := standard(t, nil)
	r.post(llm("a", "acme", "m1", 1, 1), llm("b", "acme", "m1", 1, 1))
	r.e.internal(func(s *sequencer) {
		totals := s.state.ledger.Totals(usd())
		w := windowTrees{sizes: map[money.Currency]uint64{usd(): totals.Events}}
		list := append(make([]ledger.Totals, usd().Index()), *totals)
		if err := w.check(list); err != nil || totals.Events != 2 {
			t.Errorf("%d events: %v", totals.Events, err)
		}
		for _, n := range []uint64{1, 3} {
			w.sizes[usd()] = n
			if err := w.check(list); err == nil || !strings.Contains(err.Error(), "the books count 2 events") {
				t.Errorf("%d leaves: %v", n, err)
			}
		}
	})
}
