package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/batch"
	"farthing/ledger"
)

// TestTotalsDoNotDependOnTheOrder books the same events, and voids the same of them, in
// random orders and request sizes under one version whose prices count. What every payer's
// period comes to is each time the price of its quantity, T(Q), which is worked out by hand.
func TestTotalsDoNotDependOnTheOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	for range 3 {
		v := orderBook(rng)
		calls, voided := orderEvents(rng)
		want := orderTotals(v, calls, voided)
		for range 4 {
			orderRun(t, rng, v, calls, voided, want)
		}
	}
}

// orderBook has one counted price a meter, so that each counter's total is one account's.
func orderBook(rng *rand.Rand) *modelVersion {
	v := &modelVersion{id: "v1", from: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano()}
	for i := range 4 {
		o := randomPrice(rng, "units")
		for counts(o) == "" {
			o = randomPrice(rng, "units")
		}
		delete(o, "period")
		if i == 3 {
			o["period"] = "window"
		}
		v.prices = append(v.prices, modelPrice{meter: fmt.Sprint("m", i), currency: "USD", match: map[string]string{}, components: map[string]object{"units": o}, payee: "prov", fee: "0.3"})
	}
	return v
}

func orderEvents(rng *rand.Rand) (calls []call, voided map[string]bool) {
	voided = map[string]bool{}
	for i := range 120 {
		c := call{source: "gw", id: fmt.Sprint("e", i), subject: []string{"acme", "beta"}[rng.IntN(2)], kind: fmt.Sprint("m", rng.IntN(4)),
			usage: [][2]string{{"units", fmt.Sprint(1 + rng.IntN(900))}}}
		// Around the ends of September and October, UTC.
		c.time = time.Date(2026, 10+time.Month(rng.IntN(2)), 1, 0, rng.IntN(60)-30, 0, 0, time.UTC).UnixNano()
		calls = append(calls, c)
		voided[c.id] = rng.IntN(4) == 0
	}
	return calls, voided
}

// orderTotals is Σ T(Q) over meters and periods, and the flat fees of the events, by payer.
func orderTotals(v *modelVersion, calls []call, voided map[string]bool) map[string]decimal.Decimal {
	quantity, total := map[[3]string]decimal.Decimal{}, map[string]decimal.Decimal{}
	price := map[string]object{}
	for _, p := range v.prices {
		price[p.meter] = p.components["units"]
	}
	for _, c := range calls {
		if voided[c.id] {
			continue
		}
		o, period := price[c.kind], time.Unix(0, c.time).UTC().Format("2006-01")
		if counts(o) == "window" {
			period = ""
		}
		key := [3]string{c.subject, c.kind, period}
		quantity[key] = quantity[key].Add(number(c.usage[0][1]))
		total[c.subject] = total[c.subject].Add(number(o["flat"]))
	}
	for key, q := range quantity {
		total[key[0]] = total[key[0]].Add(periodPrice(price[key[1]], q))
	}
	return total
}

func orderRun(t *testing.T, rng *rand.Rand, v *modelVersion, calls []call, voided map[string]bool, want map[string]decimal.Decimal) {
	t.Helper()
	r := newRig(t, nil)
	r.account("prov", "provider", "")
	r.account("acme", "customer", "postpaid")
	r.account("beta", "customer", "prepaid")
	r.prices(v.id, string(v.document()))
	left := append([]call(nil), calls...)
	rng.Shuffle(len(left), func(i, j int) { left[i], left[j] = left[j], left[i] })
	var open []call // to be voided
	for len(left)+len(open) > 0 {
		if len(left) > 0 && (len(open) == 0 || rng.IntN(2) == 0) {
			n := min(len(left), 1+rng.IntN(30))
			if got := r.post(left[:n]...); got.Accepted != n || got.Unpriced != 0 {
				t.Fatalf("%+v", got)
			}
			for _, c := range left[:n] {
				if voided[c.id] {
					open = append(open, c)
				}
			}
			left = left[n:]
			continue
		}
		i := rng.IntN(len(open))
		if _, created, refused := r.e.Void(VoidSpec{Source: "gw", Event: open[i].id, ID: "void-" + open[i].id}); !created || refused != nil {
			t.Fatalf("void of %s: %v", open[i].id, refused)
		}
		open = append(open[:i], open[i+1:]...)
	}
	for id, total := range want {
		if got := number(r.posted(id)); !got.Neg().Equal(total) {
			t.Fatalf("%s owes %s, T(Q) is %s\n%s", id, got.Neg(), total, v.document())
		}
	}
	r.close()
}

// TestSumsOfRating: what events were rated with, less voids, with rerates, is what the
// transfers move and what the lines of the batches say, account by account. All three are
// read from the engine and added up, in random books and usage.
func TestSumsOfRating(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for n := range uint64(3) {
		r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes, o.DedupWindow = 60, 4000, 100*day })
		a := newActivity(t, newWorld(r.base))
		a.found(r.e, 4)
		a.run(r.e, seed+n, 3, 40, 4, nil)
		r.e.repriced()
		a.closeWindow(r.e, "last")
		rated, topped := map[string]decimal.Decimal{}, map[string]decimal.Decimal{}
		for identity := range a.events {
			c := a.w.calls[identity]
			e, refused := r.e.Event(c.source, c.id)
			if refused != nil {
				t.Fatal(refused)
			}
			ratings := []*Rating{e.Rating}
			for i := range e.Corrections {
				ratings = append(ratings, e.Corrections[i].Back, e.Corrections[i].New)
			}
			for _, rating := range ratings {
				if rating == nil {
					continue
				}
				if rating.Settlement.Window == 0 {
					t.Fatalf("a rating of %+v is not settled", e)
				}
				rated[e.Subject] = rated[e.Subject].Add(rating.Amount.Decimal())
				for _, leg := range rating.Transfers {
					for account, amount := range map[string]decimal.Decimal{leg.Debit: leg.Amount.Decimal().Neg(), leg.Credit: leg.Amount.Decimal()} {
						if strings.HasPrefix(account, "prov-") {
							rated[account] = rated[account].Sub(amount)
						}
					}
				}
			}
		}
		lines := linesOf(t, r.e)
		for id, spec := range a.w.specs {
			if !a.accounts[id] {
				continue
			}
			var transfers decimal.Decimal
			transfers, topped[id] = statement(t, r.e, id)
			if !transfers.Neg().Equal(rated[id]) || !lines[id].Equal(topped[id].Sub(rated[id])) {
				t.Fatalf("%s (%s): events come to %s, transfers to %s, lines to %s with %s topped up", id, spec.Currency, rated[id], transfers, lines[id], topped[id])
			}
		}
		t.Logf("%d events, %d accounts", len(a.events), len(a.accounts))
		r.close()
	}
}

// TestPreviewIsWhatTheRerateMoves: while nothing else happens, a rerate moves exactly what
// its preview said, and a preview after it finds nothing left.
func TestPreviewIsWhatTheRerateMoves(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := newRig(t, func(o *Options) { o.DedupWindow = 100 * day })
	a := newActivity(t, newWorld(r.base))
	a.found(r.e, 4)
	rng := rand.New(rand.NewPCG(seed, 1))
	moved := uint64(0)
	for round := 0; round < 6 || (moved == 0 && round < 40); round++ { // a version by chance prices nothing anew
		a.run(r.e, seed+uint64(round), 2, 25, 4, nil)
		v := a.w.randomVersion(rng, fmt.Sprint("round", round), round)
		a.putVersion(r.e, v)
		r.e.repriced()
		settled(t, r.e)
		o := RepriceOptions{Version: v.id}
		o.From, o.To = a.stretch(rng)
		preview, refused := r.e.PreviewRerate(o)
		if refused != nil {
			t.Fatal(refused)
		}
		a.w.rerates[v.id] = RerateSpec{ID: v.id, Version: v.id, From: o.From, To: o.To}
		if _, created, refused := r.e.Rerate(a.w.rerates[v.id]); refused != nil || !created {
			t.Fatal(refused)
		}
		r.e.repriced()
		got, refused := r.e.RerateStatus(v.id)
		if refused != nil || got.State != "done" || got.Events != preview.Events {
			t.Fatalf("%+v %v, the preview said %d events", got, refused, preview.Events)
		}
		said := map[string]string{}
		for _, total := range preview.Totals {
			said[total.Currency.Code()] = total.Would.MustSub(total.Was).String()
		}
		for _, total := range got.Totals {
			code := total.Currency.Code()
			if done := total.Charged.MustSub(total.Returned).String(); done != said[code] {
				t.Fatalf("rerate %s moved %v %s, its preview said %v", v.id, done, code, said[code])
			}
			delete(said, code)
		}
		if len(said) > 0 {
			t.Fatalf("rerate %s did not move %v", v.id, said)
		}
		if again, refused := r.e.PreviewRerate(o); refused != nil || again.Events != 0 {
			t.Fatalf("after rerate %s a preview has %d events left (%v)", v.id, again.Events, refused)
		}
		moved += got.Events
	}
	if moved == 0 {
		t.Fatal("no event was rerated")
	}
	t.Logf("%d events were rerated", moved)
}

// linesOf sums gross credits − gross debits over the lines of all batches.
func linesOf(t *testing.T, e *Engine) map[string]decimal.Decimal {
	t.Helper()
	out := map[string]decimal.Decimal{}
	for _, w := range e.published.Load().windows {
		for i := range w.batches {
			b := &w.batches[i]
			err := scanLines(e.store, b.id, b.lines, 1, func(_ uint32, record []byte) bool {
				_, l, err := batch.ParseLine(record)
				if err != nil {
					t.Fatal(err)
				}
				if l.Account != ledger.OperatorID {
					out[l.Account] = out[l.Account].Add(l.GrossCredits.Decimal()).Sub(l.GrossDebits.Decimal())
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return out
}
