package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/internal/soak"
	"farthing/money"
)

// ratingWorld is random work on a ledger whose prices change all the time.
type ratingWorld struct {
	t   *testing.T
	r   *rig
	a   *activity
	rng *rand.Rand
}

// TestWorldOfRatings does random work in rounds, each with further versions. After each round a
// rerate does what its preview said, the ledger is what the model has, every rating that is
// shown adds up, and a start from genesis comes to the same. In the end all is voided, and
// nothing is left.
func TestWorldOfRatings(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes, o.DedupWindow = 60, 2500, 100*day })
	w := &ratingWorld{t: t, r: r, a: newActivity(t, newWorld(r.base)), rng: rand.New(rand.NewPCG(seed, 3))}
	w.a.found(r.e, 2)
	for round := range soak.Pick(2, 12) {
		for i := range 3 {
			w.a.putVersion(r.e, w.a.w.randomVersion(w.rng, fmt.Sprint("v", round, "-", i), 100000+round*10+i))
		}
		w.a.run(r.e, seed+uint64(round), 3, 40, 2, nil)
		r.e.repriced()
		settled(t, r.e)
		w.previewAndRerate()
		w.previewAndRerate()
		for _, e := range w.compared().order {
			w.addsUp(e)
		}
		w.restartFromGenesis()
	}
	w.voidAll()
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Error(err)
	}
}

// previewAndRerate rates a stretch anew and wants what the preview said.
func (w *ratingWorld) previewAndRerate() {
	w.t.Helper()
	spec := RerateSpec{ID: w.a.id("rerate"), Version: w.a.anyVersion()}
	spec.From, spec.To = w.a.stretch(w.rng)
	w.a.w.rerates[spec.ID] = spec
	preview, refused := w.r.e.PreviewRerate(RepriceOptions{Version: spec.Version, From: spec.From, To: spec.To})
	if refused != nil {
		w.t.Fatal(refused)
	}
	if _, _, refused := w.r.e.Rerate(spec); refused != nil {
		w.t.Fatal(refused)
	}
	w.r.e.repriced()
	got, refused := w.r.e.RerateStatus(spec.ID)
	if refused != nil || got.State != "done" || got.Events != preview.Events {
		w.t.Fatalf("rerate %+v, the preview has %d events; %v", got, preview.Events, refused)
	}
	moved := map[money.Currency]money.Amount{}
	for _, x := range got.Totals {
		moved[x.Currency] = x.Charged.MustSub(x.Returned)
	}
	for _, x := range preview.Totals {
		if would := x.Would.MustSub(x.Was); would != moved[x.Currency] {
			w.t.Errorf("the preview of %s moves %s %s, the rerate %s", spec.ID, would, x.Currency, moved[x.Currency])
		}
	}
}

// compared replays the journal into a model and compares all that is shown.
func (w *ratingWorld) compared() *model {
	w.t.Helper()
	m := newModel(w.t, w.a.w)
	m.replay(w.r.e, w.r.e.store.Head().Seq)
	m.compare(w.r.e)
	everyStatement(w.t, w.r.e)
	return m
}

// addsUp wants every rating of an event to be the sum of its components and of its transfers,
// and all of them to make what the event comes to.
func (w *ratingWorld) addsUp(e *modelEvent) {
	w.t.Helper()
	ev, refused := w.r.e.Event(e.source, e.id)
	if refused != nil {
		w.t.Fatalf("event %s: %v", e.id, refused)
	}
	var net money.Amount
	check := func(r *Rating) {
		if r == nil {
			return
		}
		componentsAddUp(w.t, e.id, r)
		var moved money.Amount
		for _, l := range r.Transfers {
			if l.Debit == ev.Subject {
				moved = moved.MustAdd(l.Amount)
			} else {
				moved = moved.MustSub(l.Amount)
			}
		}
		if moved != r.Amount {
			w.t.Errorf("event %s at sequence %d: the transfers make %s, the amount is %s", e.id, r.Sequence, moved, r.Amount)
		}
		net = net.MustAdd(r.Amount)
	}
	check(ev.Rating)
	for _, c := range ev.Corrections {
		check(c.Back)
		check(c.New)
	}
	if net != ev.Net {
		w.t.Errorf("event %s: its ratings make %s, it says %s", e.id, net, ev.Net)
	}
}

// restartFromGenesis opens the ledger again, once without its checkpoints.
func (w *ratingWorld) restartFromGenesis() {
	w.t.Helper()
	w.r.close()
	o := withoutCheckpoints(w.t, w.r.o)
	w.r.open()
	genesis, err := Open(o)
	if err != nil {
		w.t.Fatal(err)
	}
	x, y := states(w.t, genesis, w.r.e)
	if err := diff(x, y); err != nil {
		w.t.Error(err)
	}
	if err := genesis.Close(); err != nil {
		w.t.Fatal(err)
	}
}

// voidAll voids every event in a random order: no customer was charged anything, nothing was
// used, and nothing is without a price. A provider may keep or owe less than 10⁻¹⁸ of each
// rating, because the fee is rounded in each and voids take back other parts than were charged.
func (w *ratingWorld) voidAll() {
	w.t.Helper()
	m := w.compared()
	for _, i := range w.rng.Perm(len(m.order)) {
		e := m.order[i]
		w.a.voidEvent(w.r.e, VoidSpec{ID: "all-" + e.source + e.id, Source: e.source, Event: e.id})
	}
	fractions := decimal.New(int64(w.r.e.store.Head().Seq), -18)
	for id, account := range w.compared().accounts {
		if left := account.charged.Abs(); !left.IsZero() && (account.spec.Kind == "customer" || left.Cmp(fractions) > 0) {
			w.t.Errorf("all is voided, %s was charged %s", id, account.charged)
		}
	}
	w.r.e.internal(func(s *sequencer) {
		for n := range s.state.counters.rows.Len() {
			if row := s.state.counters.rows.At(n); row.quantity != 0 {
				w.t.Errorf("all is voided, a counter has %+v", row)
			}
		}
		for n := range s.state.usage.rows.Len() {
			if row := s.state.usage.rows.At(n); row.events != 0 {
				w.t.Errorf("all is voided, the usage has %+v", row)
			}
		}
	})
	if s, refused := w.r.e.UnpricedSummary(10); refused != nil || s.Events != 0 || len(s.Counts) != 0 {
		w.t.Errorf("all is voided, without a price are %+v (%v)", s, refused)
	}
}
