package engine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// newWorld is a price book in three currencies with 2, 0 and 3 minor digits.
func newWorld() *world {
	w := &world{specs: map[string]AccountSpec{}, calls: map[string]call{}, topUps: map[string]TopUp{}}
	for code, scale := range map[string][4]string{
		"USD": {"0.0000025", "0.00001", "0.000000000000000007", "0.0004"},
		"JPY": {"0.37", "1.1", "0.000000000000000001", "3"},
		"KWD": {"0.00071", "0.0123", "0.1", "0.0005"},
	} {
		w.book = append(w.book,
			modelPrice{"llm.tokens", code, "m1", map[string]string{"input": scale[0], "output": scale[1]}, "prov-" + code, "0.1"},
			modelPrice{"llm.tokens", code, "m2", map[string]string{"input": scale[2], "output": scale[1]}, "prov-" + code, "0"},
			modelPrice{"llm.tokens", code, "", map[string]string{"input": scale[1]}, "prov-" + code, "0.333333333333333333"},
			modelPrice{"api.calls", code, "", map[string]string{"call": scale[3]}, "", ""})
	}
	return w
}

// activity is several goroutines at work on one world, and what they were promised. The
// lock covers everything, so that a power cut that holds it sees one moment.
type activity struct {
	t  testing.TB
	mu sync.Mutex
	w  *world

	// What was answered: it must survive.
	events, topUps, accounts map[string]bool
	closes                   map[string]Settlement
	stream                   map[uint64]string // records that were handed to a publisher
	seq                      uint64            // highest sequence of an answer

	next int // numbers ids
}

func newActivity(t testing.TB, w *world) *activity {
	return &activity{t: t, w: w, events: map[string]bool{}, topUps: map[string]bool{}, accounts: map[string]bool{},
		closes: map[string]Settlement{}, stream: map[uint64]string{}}
}

func (a *activity) answered(seq uint64) { a.seq = max(a.seq, seq) }

func currencyOf(code string) money.Currency {
	c, ok := money.Lookup(code)
	if !ok {
		panic("BUG: no currency " + code)
	}
	return c
}

var worldCurrencies = []string{"USD", "JPY", "KWD"}

// found makes providers, customers and the price book; every one of them may be there.
func (a *activity) found(e *Engine, customers int) {
	a.t.Helper()
	for _, code := range worldCurrencies {
		a.account(e, AccountSpec{ID: "prov-" + code, Currency: currencyOf(code), Kind: "provider", MinimumPayout: money.FromWords(0, 5e17)})
		for i := range customers {
			a.account(e, AccountSpec{ID: fmt.Sprintf("c%d-%s", i, code), Currency: currencyOf(code), Kind: "customer", Billing: []string{"prepaid", "postpaid"}[i%2]})
		}
	}
	v, refused := meter.ParseVersion("v1", []byte(a.w.document()))
	if refused == nil {
		_, _, refused = e.PutPrices(v, nil)
	}
	if refused != nil {
		a.t.Fatal(refused)
	}
}

func (a *activity) account(e *Engine, spec AccountSpec) {
	a.mu.Lock()
	a.w.specs[spec.ID] = spec
	a.mu.Unlock()
	got, _, refused := e.CreateAccount(spec)
	if refused != nil {
		a.t.Errorf("account %s: %v", spec.ID, refused)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.accounts[spec.ID] = true
	a.answered(got.Sequence)
}

// id returns a new id; ids of lost operations are not used again.
func (a *activity) id(prefix string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	return fmt.Sprintf("%s%d", prefix, a.next)
}

func identityOf(c *call) string { return c.source + "\x00" + c.id }

// randomCall makes a new event of a random customer; one in eight has no price.
func (a *activity) randomCall(rng *rand.Rand, customers int) call {
	code := worldCurrencies[rng.IntN(len(worldCurrencies))]
	c := call{source: fmt.Sprint("s", rng.IntN(4)), id: a.id("e"), subject: fmt.Sprintf("c%d-%s", rng.IntN(customers), code), kind: "llm.tokens"}
	number := func() string { return fmt.Sprint(rng.IntN(100_000) >> rng.IntN(17)) }
	switch n := rng.IntN(16); {
	case n < 8:
		c.dims = [][2]string{{"model", fmt.Sprint("m", 1+rng.IntN(2))}, {"trace", c.id}}
		c.usage = [][2]string{{"output", number()}, {"input", number()}}
	case n < 11:
		c.usage = [][2]string{{"input", number()}, {"output", "0"}}
	case n < 14:
		c.kind = "api.calls"
	case n == 14:
		c.kind = "nothing.known"
	default:
		c.usage = [][2]string{{"audio", "1"}}
	}
	return c
}

// calls makes a request of new events and some that were submitted before.
func (a *activity) calls(rng *rand.Rand, customers, n int) []call {
	var out []call
	for range n {
		out = append(out, a.randomCall(rng, customers))
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for range rng.IntN(n + 1) {
		for _, old := range a.w.calls { // map order is as good as any draw here
			out = append(out, old)
			break
		}
	}
	for _, c := range out {
		a.w.calls[identityOf(&c)] = c
	}
	return out
}

// post ingests calls that are in the world and notes the answer.
func (a *activity) post(e *Engine, calls []call) IngestResult {
	q := e.Acquire(200 * len(calls))
	if q == nil {
		return IngestResult{}
	}
	defer e.Release(q)
	fill(a.t, q.Batch(), calls)
	out, refused := e.Ingest(q)
	if refused != nil || len(out.Rejected) > 0 || out.Accepted+out.Duplicates != len(calls) {
		a.t.Errorf("ingest: %+v %v", out, refused)
		return IngestResult{}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range calls {
		a.events[identityOf(&calls[i])] = true
	}
	a.answered(out.Sequence)
	return out
}

func (a *activity) topUp(e *Engine, u TopUp) {
	a.mu.Lock()
	a.w.topUps[u.ID] = u
	a.mu.Unlock()
	got, _, refused := e.TopUp(u)
	if refused != nil {
		a.t.Errorf("top-up %s: %v", u.ID, refused)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.topUps[u.ID] = true
	a.answered(got.Sequence)
}

func (a *activity) closeWindow(e *Engine, id string) {
	s, _, refused := e.CloseWindow(id, nil)
	if refused != nil {
		a.t.Errorf("close %s: %v", id, refused)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closes[id] = s
	a.answered(s.Sequence)
}

// read looks at an account: what it shows must survive too.
func (a *activity) read(e *Engine, id string) {
	got, refused := e.Account(id)
	if refused != nil {
		if refused.Code != refusal.NotFound {
			a.t.Errorf("account %s: %v", id, refused)
		}
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answered(got.Sequence)
}

// publish takes some records from the outbox: what was handed out may be in Kafka, so no
// crash may give its number to other bytes.
func (a *activity) publish(e *Engine, rng *rand.Rand) {
	records, err := e.Outbox().Records(1+rng.Uint64N(e.Stats().SealedStream+1), 4000)
	if err != nil {
		a.t.Error(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, rec := range records {
		a.stream[rec.StreamSeq] = recordText(&rec)
	}
}

func recordText(r *Record) string { return fmt.Sprintf("%s %s %s %s", r.Type, r.ID, r.Key, r.Value) }

// step does one random thing.
func (a *activity) step(e *Engine, rng *rand.Rand, customers int) {
	code := worldCurrencies[rng.IntN(len(worldCurrencies))]
	subject := fmt.Sprintf("c%d-%s", rng.IntN(customers), code)
	switch n := rng.IntN(20); {
	case n < 12:
		a.post(e, a.calls(rng, customers, 1+rng.IntN(12)))
	case n < 15:
		a.topUp(e, TopUp{ID: a.id("t"), Account: subject, Amount: money.FromWords(0, rng.Uint64()>>rng.IntN(40))})
	case n < 16:
		a.account(e, AccountSpec{ID: a.id("new"), Currency: currencyOf(code), Kind: "customer", Billing: "prepaid"})
	case n < 17:
		a.read(e, subject)
	case n < 18:
		a.publish(e, rng)
	default:
		a.closeWindow(e, a.id("w"))
	}
}

// run has several goroutines do steps until each has done its share or stop says so.
func (a *activity) run(e *Engine, seed uint64, goroutines, steps, customers int, stop func() bool) {
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(g)))
			for range steps {
				if stop != nil && stop() {
					return
				}
				a.step(e, rng, customers)
			}
		})
	}
	wg.Wait()
}

// settled returns once no window is between cut and seal.
func settled(t testing.TB, e *Engine) {
	t.Helper()
	for {
		changed := e.sealedChanged.changed()
		pending := false
		refused := e.do(func(s *sequencer) bool {
			pending = s.state.pending != nil || len(s.closing) > 0
			return false
		})
		if refused != nil {
			t.Fatal(refused)
		}
		if !pending {
			return
		}
		<-changed
	}
}

// TestEngineAgainstModel runs a history without faults on both, with tiny runs and
// checkpoints and a restart, and compares everything.
func TestEngineAgainstModel(t *testing.T) {
	r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes = 60, 4000 })
	a := newActivity(t, newWorld())
	a.found(r.e, 5)
	for round := range 3 {
		a.run(r.e, uint64(round), 4, 25, 5, nil)
		settled(t, r.e)
		m := newModel(t, a.w)
		m.replay(r.e, r.e.store.Head().Seq)
		m.compare(r.e)
		if len(m.booked) != len(a.events) || m.unpriced == 0 || m.priced == 0 || len(m.batches) == 0 {
			t.Fatalf("round %d: %d booked, %d answered, %d unpriced, %d batches", round, len(m.booked), len(a.events), m.unpriced, len(m.batches))
		}
		r.reopen()
		m.compare(r.e)
	}
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
}
