package engine

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"farthing/internal/soak"
	"farthing/money"
	"farthing/refusal"
)

// activity is several goroutines at work on one world, and what they were promised. The
// lock covers everything, so that a power cut that holds it sees one moment.
type activity struct {
	t  testing.TB
	mu sync.Mutex
	w  *world

	// What was answered: it must survive.
	answers
	voidsMade map[string]int // by identity: how many were answered as new

	next int // numbers ids
}

// answers is what was answered.
type answers struct {
	events, topUps, accounts map[string]bool
	versions, rerates        map[string]bool
	voids                    map[string]string // by the event's identity: the answer
	results                  map[string]string // by id: the answer
	closes                   map[string]Settlement
	stream                   map[uint64]string // records that were handed to a publisher
	seq                      uint64            // highest sequence of an answer
}

func newAnswers() answers {
	return answers{events: map[string]bool{}, topUps: map[string]bool{}, accounts: map[string]bool{}, versions: map[string]bool{},
		rerates: map[string]bool{}, voids: map[string]string{}, results: map[string]string{}, closes: map[string]Settlement{}, stream: map[uint64]string{}}
}

func (p *answers) copyAnswers() answers {
	return answers{maps.Clone(p.events), maps.Clone(p.topUps), maps.Clone(p.accounts), maps.Clone(p.versions), maps.Clone(p.rerates),
		maps.Clone(p.voids), maps.Clone(p.results), maps.Clone(p.closes), maps.Clone(p.stream), p.seq}
}

func newActivity(t testing.TB, w *world) *activity {
	return &activity{t: t, w: w, answers: newAnswers(), voidsMade: map[string]int{}}
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
	a.putVersion(e, a.w.versions["v1"])
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

// number returns a new number.
func (a *activity) number() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.next++
	return a.next
}

func identityOf(c *call) string { return c.source + "\x00" + c.id }

// randomCall makes a new event of a random customer; one in eight has no price in the first
// version, and half of them have a time of their own in the last 90 days.
func (a *activity) randomCall(rng *rand.Rand, customers int) call {
	code := worldCurrencies[rng.IntN(len(worldCurrencies))]
	c := call{source: fmt.Sprint("s", rng.IntN(4)), id: a.id("e"), subject: fmt.Sprintf("c%d-%s", rng.IntN(customers), code), kind: "llm.tokens"}
	if rng.IntN(2) == 0 {
		c.time = a.w.base.Add(-time.Duration(rng.Int64N(int64(90 * day)))).UnixNano()
	}
	c.randomUsage(rng, [2]string{"trace", c.id})
	return c
}

// randomUsage gives the call a type and what was used of it; llm.tokens of a model have the other dimensions as well.
func (c *call) randomUsage(rng *rand.Rand, others ...[2]string) {
	number := func() string { return fmt.Sprint(rng.IntN(100_000) >> rng.IntN(17)) }
	switch n := rng.IntN(16); {
	case n < 6:
		c.dims = append([][2]string{{"model", fmt.Sprint("m", 1+rng.IntN(2))}}, others...)
		if rng.IntN(3) == 0 {
			c.dims = append(c.dims, [2]string{"tier", "batch"})
		}
		c.usage = [][2]string{{"output", number()}, {"input", number()}}
	case n < 9:
		c.usage = [][2]string{{"input", number()}, {"output", "0"}}
	case n < 12:
		c.kind = "api.calls"
	case n < 14:
		c.kind = "storage"
		c.usage = [][2]string{{"gb", fmt.Sprintf("%d.%03d", rng.IntN(30), rng.IntN(3)*250)}, {"seconds", number() + ".5"}}
	case n == 14:
		c.kind = "nothing.known"
	default:
		c.usage = [][2]string{{"audio", "1"}}
	}
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
	bad := refused != nil || out.Accepted+out.Duplicates+len(out.Rejected) != len(calls)
	a.mu.Lock()
	defer a.mu.Unlock()
	rejected := map[uint32]bool{}
	for _, r := range out.Rejected {
		rejected[r.Index] = true
		bad = bad || r.Refusal.Reason != "fractional_quantity" // a version may allow fewer decimals
	}
	if bad {
		a.t.Errorf("ingest: %+v %v", out, refused)
		return IngestResult{}
	}
	for i := range calls {
		if !rejected[uint32(i)] {
			a.events[identityOf(&calls[i])] = true
		}
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
	switch n := rng.IntN(34); {
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
	case n < 24:
		a.void(e, rng)
	case n < 25:
		a.rerate(e, rng)
	case n < 26:
		a.look(e, rng)
	case n < 32:
		a.report(e, rng)
	case n < 33 && rng.IntN(4) == 0:
		id := a.id("version")
		a.putVersion(e, a.w.randomVersion(rng, id, a.number()))
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
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes, o.DedupWindow = 60, 4000, 100*day })
	a := newActivity(t, newWorld(r.base))
	a.found(r.e, 5)
	for round := range soak.Pick(2, 10) {
		a.run(r.e, seed+uint64(round), 4, 40, 5, nil)
		settled(t, r.e)
		r.e.repriced()
		m := newModel(t, a.w)
		m.replay(r.e, r.e.store.Head().Seq)
		m.compare(r.e)
		m.complete()
		for id := range a.versions {
			m.compareRehearsal(r.e, RepriceOptions{Version: id})
			o := RepriceOptions{Version: id}
			o.From, o.To = a.stretch(rand.New(rand.NewPCG(seed, uint64(len(id)))))
			m.compareRehearsal(r.e, o)
		}
		t.Logf("%d events, %d unpriced at first, %d rated late, %d voided, %d rerated by %d rerates, %d versions, %d counters, %d results", len(m.order), m.unpriced, m.late,
			len(m.voids), m.rerated, len(m.rerates), len(m.versions), len(m.counters), len(m.results))
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
