package meter

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/money"
	"farthing/refusal"
)

func toDecimal(q money.Quantity) decimal.Decimal { return decimal.RequireFromString(q.String()) }

// duel is one price, the plan of its components a, b, c or some of them, and its twin.
type duel struct {
	t      testing.TB
	text   string
	twin   twinPrice
	shape  Shape
	plan   Plan
	random *randomPrice
}

func newDuel(t testing.TB, random *randomPrice) *duel {
	t.Helper()
	d := &duel{t: t, text: random.components(), random: random, shape: Shape{Type: "m"}}
	v := mustParse(t, version(simple(`{}`, d.text)))
	checkCanonical(t, v)
	// What is kept must price what was stated, so the twin reads the other one.
	d.twin = readTwin(t, d.text)
	v = mustParse(t, string(v.Canonical))
	for _, name := range []string{"a", "b", "c"} {
		if len(d.shape.Components) == 0 || random.IntN(3) > 0 {
			d.shape.Components = append(d.shape.Components, name)
		}
	}
	var no NoPlan
	if d.plan, no = v.Plan(&d.shape, v.Prices[0].Currency); no != Planned {
		t.Fatalf("%s: no plan: %d", d.text, no)
	}
	return d
}

type usage [MaxComponents]money.Quantity

func (d *duel) named(u *usage) map[string]decimal.Decimal {
	m := map[string]decimal.Decimal{}
	for i, name := range d.shape.Components {
		m[name] = toDecimal(u[i])
	}
	return m
}

// event is a random event.
func (d *duel) event() (u usage) {
	for i := range d.plan.Components {
		u[i] = d.random.quantity(d.plan.Components[i].QuantityDecimals)
	}
	return u
}

// compare rates an event, or takes it back, by both.
func (d *duel) compare(sign int64, quantities, before *usage) (money.Amount, *refusal.Refusal) {
	d.t.Helper()
	var amounts [MaxComponents]money.Amount
	how := d.plan.Rate
	if sign < 0 {
		how = d.plan.Reverse
	}
	total, refused := how((*[MaxComponents]money.Quantity)(quantities), (*[MaxComponents]money.Quantity)(before), &amounts)
	parts, want, reason := d.twin.rate(sign, d.named(quantities), d.named(before))
	n := len(d.plan.Components)
	if got := reasonOf(refused); got != reason {
		d.t.Fatalf("%s\n%d × %v beside %v: refused %q, want %q", d.text, sign, quantities[:n], before[:n], got, reason)
	}
	if refused != nil {
		return total, refused
	}
	for i, name := range d.shape.Components {
		if !amounts[i].Decimal().Equal(parts[name]) {
			d.t.Fatalf("%s\n%d × %v beside %v: %s costs %s, want %s", d.text, sign, quantities[:n], before[:n], name, amounts[i], parts[name])
		}
	}
	if !total.Decimal().Equal(want) {
		d.t.Fatalf("%s\n%d × %v beside %v: %s, want %s", d.text, sign, quantities[:n], before[:n], total, want)
	}
	return total, nil
}

func reasonOf(r *refusal.Refusal) string {
	if r == nil {
		return ""
	}
	return r.Reason
}

// count adds an event to what its periods counted, or takes it away.
func (d *duel) count(before *usage, event *usage, sign int64) {
	for i := range d.plan.Components {
		if d.plan.Components[i].Counted() {
			before[i] += money.Quantity(sign) * event[i]
		}
	}
}

// rateAgainstTwin rates a few events in a row and takes some back.
func rateAgainstTwin(t testing.TB, rng *rand.Rand) (rated int) {
	d := newDuel(t, &randomPrice{Rand: rng})
	var before usage
	if rng.IntN(4) == 0 { // what another version counted
		before = d.event()
	}
	var live []usage
	for range 8 {
		if len(live) > 0 && rng.IntN(3) == 0 {
			k := rng.IntN(len(live))
			if _, refused := d.compare(-1, &live[k], &before); refused == nil {
				d.count(&before, &live[k], -1)
				live = append(live[:k], live[k+1:]...)
			}
			continue
		}
		e := d.event()
		if _, refused := d.compare(1, &e, &before); refused == nil {
			d.count(&before, &e, 1)
			live = append(live, e)
			rated++
		}
	}
	return rated
}

// FuzzRate compares all price models with the twin, under the fuzzer's bytes.
func FuzzRate(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, []byte(nil))
	}
	f.Add(uint64(1), []byte("\x01\x00\x02\x00\x03\x00\x04\x00\x05\x00"))
	f.Fuzz(func(t *testing.T, seed uint64, data []byte) {
		rateAgainstTwin(t, rand.New(&bytesSource{data, rand.NewPCG(seed, 1)}))
	})
}

// TestRateAgainstTwin is the same with many seeds.
func TestRateAgainstTwin(t *testing.T) {
	rated := 0
	for seed := range uint64(4000) {
		rated += rateAgainstTwin(seeded{t, seed}, rand.New(rand.NewPCG(seed, 7)))
	}
	if rated < 12_000 {
		t.Errorf("only %d events rated", rated)
	}
}

// seeded tells the seed of a test that fails.
type seeded struct {
	testing.TB
	seed uint64
}

func (s seeded) Fatalf(format string, args ...any) {
	s.Helper()
	s.TB.Fatalf("seed %d: %s", s.seed, fmt.Sprintf(format, args...))
}

// TestOrderDoesNotMatter rates the same events in two random orders, with others between
// that are taken back. Either way the totals sum up to what the periods' quantities cost,
// and the parts that are each event's own.
func TestOrderDoesNotMatter(t *testing.T) {
	tried := 0
	for seed := range uint64(1500) {
		rng := rand.New(rand.NewPCG(seed, 11))
		d := newDuel(seeded{t, seed}, &randomPrice{Rand: rng})
		var kept, passing []usage
		for range 3 + rng.IntN(5) {
			kept = append(kept, d.small())
			passing = append(passing, d.small())
		}
		want := d.sumOf(kept)
		for range 2 {
			got, ok := d.shuffled(kept, passing)
			if !ok {
				break // more than a ledger holds on the way
			}
			tried++
			if !got.Decimal().Equal(want) {
				t.Fatalf("seed %d: %s\nsums up to %s, want %s", seed, d.text, got, want)
			}
		}
	}
	if tried < 2500 {
		t.Errorf("only %d orders tried", tried)
	}
}

// small is a random event that every price takes.
func (d *duel) small() (u usage) {
	for i := range d.plan.Components {
		d.random.decimals = d.plan.Components[i].QuantityDecimals
		u[i] = d.random.step(0)
	}
	return u
}

// sumOf is what events cost altogether: T of the sum where counted, and each event's own
// parts, by the twin.
func (d *duel) sumOf(events []usage) (sum decimal.Decimal) {
	period := map[string]decimal.Decimal{}
	for i := range events {
		named := d.named(&events[i])
		for name, q := range named {
			o := twinObject(d.twin[name])
			if twinCounted(o) {
				period[name] = period[name].Add(q)
				sum = sum.Add(twinNumber(o["flat"]))
			} else {
				sum = sum.Add(twinLinear(o, q, named))
			}
		}
	}
	for name, q := range period {
		sum = sum.Add(twinPeriodPrice(twinObject(d.twin[name]), q))
	}
	return sum
}

// shuffled posts the kept and the passing events in random order and takes the passing
// ones back at random moments after. It returns the sum of all totals.
func (d *duel) shuffled(kept, passing []usage) (sum money.Amount, ok bool) {
	d.t.Helper()
	var steps, later []*usage
	passes := map[*usage]bool{}
	for i := range kept {
		steps = append(steps, &kept[i], &passing[i])
		passes[&passing[i]] = true
	}
	d.random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
	var before usage
	take := func(event *usage, sign int64) bool {
		total, refused := d.compare(sign, event, &before)
		if refused != nil {
			return false
		}
		d.count(&before, event, sign)
		sum, ok = sum.Add(total)
		return ok
	}
	for _, event := range steps {
		if !take(event, 1) {
			return sum, false
		}
		if passes[event] {
			later = append(later, event)
		}
		for len(later) > 0 && d.random.IntN(2) == 0 {
			k := d.random.IntN(len(later))
			if !take(later[k], -1) {
				return sum, false
			}
			later = append(later[:k], later[k+1:]...)
		}
	}
	for _, event := range later {
		if !take(event, -1) {
			return sum, false
		}
	}
	return sum, true
}
