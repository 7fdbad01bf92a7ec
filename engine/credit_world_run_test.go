package engine

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

func (r *creditRig) putBook(v *modelVersion) {
	r.t.Helper()
	if r.e == nil {
		return
	}
	version, no := meter.ParseVersion(v.id, v.document())
	if no == nil {
		_, _, no = r.e.PutPrices(version, nil)
	}
	if no != nil {
		r.t.Fatal(no)
	}
}

// next is a random step; nil: none this time.
func (w *creditWorld) next() *creditStep {
	if len(w.past) > 0 && w.oneIn(15) {
		return w.past[w.rng.IntN(len(w.past))]
	}
	steps := []struct {
		weight int
		make   func() *creditStep
	}{
		{38, w.holdsStep}, {12, w.usageStep}, {9, w.topUpStep}, {5, w.grantStep}, {9, w.limitsStep}, {3, w.newAccount}, {3, w.refundStep}, {3, w.moveStep},
		{3, w.statusStep}, {3, w.settingsStep}, {2, w.askStep}, {5, w.replyStep}, {3, w.subscribeStep}, {3, w.changeStep}, {4, w.voidStep}, {2, w.closeStep},
	}
	all := 0
	for _, s := range steps {
		all += s.weight
	}
	n := w.rng.IntN(all)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			return s.make()
		}
	}
	return nil
}

// pass lets a random time pass, from a millisecond to months.
func (w *creditWorld) pass() {
	spans := []time.Duration{time.Nanosecond, time.Millisecond, time.Second, time.Second, 10 * time.Second, 10 * time.Second, time.Minute, 10 * time.Minute, time.Hour, 12 * time.Hour, 3 * day}
	d := spans[w.rng.IntN(len(spans))]
	if w.oneIn(60) {
		d = 30 * day
	}
	d = 1 + time.Duration(w.rng.Int64N(int64(2*d)))
	w.advance(d)
	w.compare("a wait of " + d.String())
}

// step does one thing, at times with a restart or a power cut around or within it.
func (w *creditWorld) step() {
	switch n := w.rng.IntN(100); {
	case n < 16:
		w.pass()
	case n < 18 && w.e == nil:
	case n < 17:
		w.restart()
		w.compare("a restart")
	case n < 18:
		w.lose()
		w.compare("a power cut")
	default:
		s := w.next()
		if s == nil {
			return
		}
		w.run(s, w.oneIn(40))
		if s.again {
			w.past = append(w.past, s)
		}
	}
}

// TestCreditAgainstTwin does the same random operations on the engine and its twin, with
// restarts and power cuts, and compares all that can be seen after each.
func TestCreditAgainstTwin(t *testing.T) {
	worlds, steps, budget := 12, 500, 12*time.Second
	if testing.Short() {
		worlds = 2
	}
	if raceEnabled {
		worlds, steps = 2, 300
	}
	start := time.Now()
	for range worlds {
		seed := rand.Uint64()
		if *creditSeed != 0 {
			seed, budget = *creditSeed, 0
		}
		creditSimulation(t, seed, steps)
		if time.Since(start) > budget {
			break
		}
	}
}

// creditSimulation is one world; the same seed does the same.
func creditSimulation(t *testing.T, seed uint64, steps int) {
	t.Helper()
	t.Logf("seed %d", seed)
	w := newCreditWorld(t, seed, false)
	for range steps {
		w.step()
	}
	t.Logf("statements had %v", everyStatement(t, w.e))
	if err := w.e.Close(); err != nil {
		t.Fatal(err)
	}
	w.tidy = true
	if w.cuts == 0 {
		t.Fatal("the power did not fail")
	}
	if _, err := Verify(VerifyOptions{Journal: w.options(w.fs.mem).Journal}); err != nil {
		t.Fatal(err)
	}
	w.report()
}

// report says what a simulation saw, which has to be something of everything.
func (w *creditWorld) report() {
	w.t.Helper()
	notes, lost := map[string]int{}, 0
	for _, n := range w.m.notes {
		notes[n.kind]++
	}
	for _, h := range w.m.holds {
		if h.lost.IsPositive() {
			lost++
		}
	}
	w.t.Logf("%d done, %d duplicates, %d refused, %d short of something, %d captures (%d at a loss); %d accounts, %d holds, %d grants, %d subscriptions, %d requests, notified %v; "+
		"%d restarts, %d power cuts, %d sleeps, %d windows; refused %v", w.done, w.dup, w.no, w.shorts, w.captures, lost, len(w.m.names), len(w.m.holdIDs), len(w.m.grants), len(w.m.subs),
		len(w.m.requests), notes, w.restarts, w.cuts, w.jumps, w.windows, w.reasons)
	if w.done == 0 || w.dup == 0 || w.no == 0 || w.shorts == 0 || w.captures == 0 {
		w.t.Fatal("the simulation did not see what it is there for")
	}
}

// TestCreditTwinAlone runs the simulation without the engine: the twin keeps what it owes
// itself, and the steps are what the other simulation needs.
func TestCreditTwinAlone(t *testing.T) {
	for range 3 {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		var ends [2]string
		for i := range ends {
			w := newCreditWorld(t, seed, true)
			for range 300 {
				w.step()
			}
			ends[i] = w.m.text(w.m.holdIDs) + fmt.Sprint(w.m.notes)
			if i == 0 {
				w.report()
			}
		}
		if ends[0] != ends[1] {
			t.Fatalf("the same seed came to something else\n%s", creditDiff(ends[0], ends[1]))
		}
	}
}

// creditCrowd is many goroutines that place holds of their own sizes on one account.
type creditCrowd struct {
	t        *testing.T
	size     func(i int) decimal.Decimal
	mu       sync.Mutex
	accepted map[int]bool // as answered
	refused  map[int]bool
}

// place places hold i, perhaps again, and notes the answer.
func (c *creditCrowd) place(e *Engine, i int) {
	got := creditOperate(c.t, e, []*creditOp{{kind: PlaceHold, hold: creditHoldName(i), account: "key", amount: c.size(i).String(), ttl: 168 * time.Hour}})[0]
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case got.Refusal == nil:
		c.accepted[i] = true
	case got.Refusal.Code == refusal.InsufficientFunds:
		c.refused[i] = true
	default:
		c.t.Errorf("hold %d: %v", i, got.Refusal)
	}
}

func creditHoldName(i int) string { return "crowd-" + decimal.NewFromInt(int64(i)).String() }

// run has a goroutine for each hold.
func (c *creditCrowd) run(e *Engine, n int) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { c.place(e, i) })
	}
	wg.Wait()
}

// TestHoldsOnACap has 1,000 goroutines place holds on one cap, a limit or the credit itself,
// while the power fails. What was answered before that stays so; the accepted sum is never
// above the cap, and at the end no refused hold would fit into what is left.
func TestHoldsOnACap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	const limit = 5000
	for _, by := range []string{"limit", "credit"} {
		t.Run(by, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 6))
			r := newCreditRig(t, rng, creditBase, creditWorldBook("v1", creditBase.AddDate(-1, 0, 0), 1))
			sum := creditAmount(decimal.NewFromInt(limit))
			r.found()
			r.crowdAccounts(by, sum)
			sizes := make([]decimal.Decimal, 1000)
			for i := range sizes {
				sizes[i] = decimal.New(1+rng.Int64N(2e18), -17)
			}
			c := &creditCrowd{t: t, size: func(i int) decimal.Decimal { return sizes[i] }, accepted: map[int]bool{}, refused: map[int]bool{}}
			var before [2]map[int]bool
			r.fs.lock, r.fs.at = &c.mu, func() { before = [2]map[int]bool{creditCopy(c.accepted), creditCopy(c.refused)} }
			r.fs.arm(20 + rng.Int64N(40))
			c.run(r.e, len(sizes))
			r.lose()
			c.accepted, c.refused = map[int]bool{}, map[int]bool{}
			c.run(r.e, len(sizes))
			for i := range before[0] {
				if !c.accepted[i] {
					t.Fatalf("hold %d was accepted before the power cut", i)
				}
			}
			for i := range before[1] {
				if !c.refused[i] {
					t.Fatalf("hold %d was refused before the power cut", i)
				}
			}
			t.Logf("%d accepted and %d refused before the power cut", len(before[0]), len(before[1]))
			r.crowdFits(c, sizes, sum.Decimal())
		})
	}
}

func creditCopy(m map[int]bool) map[int]bool {
	out := map[int]bool{}
	for i := range m {
		out[i] = true
	}
	return out
}

// crowdAccounts makes a root and a key below it, one of which has the cap.
func (r *creditRig) crowdAccounts(by string, sum money.Amount) {
	r.t.Helper()
	must := func(no *refusal.Refusal) {
		if no != nil {
			r.t.Fatal(no)
		}
	}
	paid := creditAmount(decimal.NewFromInt(1_000_000))
	if by == "credit" {
		paid = sum
	}
	for _, spec := range []AccountSpec{{ID: "prov-USD", Currency: usd(), Kind: "provider"}, {ID: "prov-EUR", Currency: currencyOf("EUR"), Kind: "provider"},
		{ID: "org", Currency: usd(), Kind: "customer", Billing: "prepaid"}, {ID: "key", Currency: usd(), Kind: "customer", Parent: "org"}} {
		_, _, no := r.e.CreateAccount(spec)
		must(no)
	}
	_, _, no := r.e.TopUp(TopUp{ID: "all", Account: "org", Amount: paid})
	must(no)
	if by == "limit" {
		_, _, no = r.e.PutLimits(LimitsSpec{Account: "org", Limits: []LimitSpec{{Name: "k", Per: "total", Mode: "hard", Amount: &sum}}})
		must(no)
	}
}

// crowdFits checks the end: what is held is what was accepted, and nothing refused would fit.
func (r *creditRig) crowdFits(c *creditCrowd, sizes []decimal.Decimal, limit decimal.Decimal) {
	r.t.Helper()
	sum := decimal.Zero
	for i := range c.accepted {
		sum = sum.Add(sizes[i])
	}
	account, no := r.e.Account("org")
	a := creditMust(r, account, no)
	if !a.Held.Decimal().Equal(sum) || sum.GreaterThan(limit) || len(c.accepted)+len(c.refused) != len(sizes) || len(c.refused) == 0 {
		r.t.Fatalf("%s are held, %s were accepted of %s; %d accepted, %d refused", a.Held, sum, limit, len(c.accepted), len(c.refused))
	}
	for i := range c.refused {
		if sizes[i].LessThanOrEqual(limit.Sub(sum)) {
			r.t.Fatalf("hold %d of %s was refused, %s are left", i, sizes[i], limit.Sub(sum))
		}
	}
}

// Test100Crossings has 100 goroutines cross the threshold of the automatic top-up at once:
// there is exactly one request, before and after a restart.
func Test100Crossings(t *testing.T) {
	r := newCreditRig(t, rand.New(rand.NewPCG(1, 1)), creditBase, creditWorldBook("v1", creditBase.AddDate(-1, 0, 0), 1))
	r.found()
	r.crowdAccounts("credit", creditAmount(decimal.NewFromInt(1000)))
	r.putBook(r.m.versions[0])
	_, _, no := r.e.PutSettings(SettingsSpec{Account: "org", Excess: "allow", Abandoned: "void",
		AutoTopUp: &AutoTopUp{Threshold: creditAmount(decimal.NewFromInt(999)), Amount: creditAmount(decimal.NewFromInt(10)), MaxPerDay: 100}})
	if no != nil {
		t.Fatal(no)
	}
	var wg sync.WaitGroup
	var placed atomic.Int64
	for i := range 100 {
		wg.Go(func() {
			if i%2 == 0 {
				if creditOperate(t, r.e, []*creditOp{{kind: PlaceHold, hold: creditHoldName(i), account: "key", amount: "2"}})[0].Refusal == nil {
					placed.Add(1)
				}
				return
			}
			c := &call{source: "s", id: creditHoldName(i), subject: "key", kind: "api.calls"}
			if got := r.post([]*call{c})[0]; got.no == nil {
				placed.Add(1)
			}
		})
	}
	wg.Wait()
	for range 2 {
		n := 0
		list, no := r.e.Notifications(0, 1000)
		for _, note := range creditMust(r, list, no) {
			if note.Type == "topup.requested" {
				n++
			}
		}
		if requests := creditAll(r, r.e.TopUpRequests, "org"); n != 1 || len(requests) != 1 || placed.Load() != 100 {
			t.Fatalf("%d requests, %d notifications of them, %d crossings", len(requests), n, placed.Load())
		}
		r.lose()
	}
}
