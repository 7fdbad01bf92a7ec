package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"farthing/money"
)

// windowBook is a version with one graduated price, in two tiers from 1,000 on, that counts in
// the settlement window.
const windowBook = `{"effective_from":%q,"prices":[{"meter":"x","currency":"USD","match":{},"components":{"call":{"graduated":[{"up_to":"1000","unit":%q},{"unit":%q}],"period":"window"}}}]}`

// belowAnother is a ledger with two versions and two events of one window: a, which g2 rated,
// and b, which is older and was rated under g1 with what g2 had counted above it.
func belowAnother(t *testing.T) *rig {
	r := standard(t, func(o *Options) { o.DedupWindow = 100 * day })
	r.prices("g1", fmt.Sprintf(windowBook, "2026-01-02T00:00:00Z", "1", "2"))
	r.prices("g2", fmt.Sprintf(windowBook, "2026-11-01T00:00:00Z", "3", "4"))
	r.post(callsOf("a", "500"))
	b := callsOf("b", "900")
	b.time = r.base.Add(-2 * 24 * time.Hour).UnixNano()
	r.post(b)
	return r
}

// TestBothRatingsOfACorrectionAddUp rates an event anew in another window than it was rated in:
// other quantities lie above it there. Both ratings that the correction shows add up, each with
// what lay above that one.
func TestBothRatingsOfACorrectionAddUp(t *testing.T) {
	r := belowAnother(t)
	r.settle("w1")
	r.post(callsOf("c", "7"))
	r.prices("g3", fmt.Sprintf(windowBook, "2026-01-03T00:00:00Z", "5", "6"))
	if _, _, refused := r.e.Rerate(RerateSpec{ID: "r", Version: "g3"}); refused != nil {
		t.Fatal(refused)
	}
	r.e.repriced()
	ev, refused := r.e.Event("gw", "b")
	if refused != nil {
		t.Fatal(refused)
	}
	var back, anew int
	for _, c := range ev.Corrections {
		if c.Back != nil {
			back++
			componentsAddUp(t, "taken back", c.Back)
		}
		if c.New != nil {
			anew++
			componentsAddUp(t, "rated anew", c.New)
		}
	}
	if back != 1 || anew != 1 {
		t.Errorf("%d ratings were taken back, %d made anew: %+v", back, anew, ev.Corrections)
	}
}

// componentsAddUp wants a rating's components to make what was posted.
func componentsAddUp(t *testing.T, what string, r *Rating) {
	t.Helper()
	var sum money.Amount
	for _, c := range r.Components {
		sum = sum.MustAdd(c.Amount)
	}
	if sum != r.Amount {
		t.Errorf("%s under %s at sequence %d: the components make %s, %s was posted: %+v", what, r.Version, r.Sequence, sum, r.Amount, r.Components)
	}
}

// TestForgedQuantitiesAbove changes what a void says lay above the rating that it takes back.
func TestForgedQuantitiesAbove(t *testing.T) {
	a := voidBelowAnother(t)
	if verify, open := a.judge(t, a.commands); verify != nil || open != nil {
		t.Fatalf("the true void is refused: %v, %v", verify, open)
	}
	f := func(name string, change func(*later)) {
		t.Helper()
		a.changed(name, 0, func(m *amendment) { change(&m.old.later[0]) })
		am := a.amendment(0)
		change(&am.old.later[0])
		if _, open := a.judge(t, []forged{{kindAmend, am.append(nil)}}); open == nil || !strings.Contains(open.Error(), fmt.Sprintf("sequence %d", a.head+1)) {
			t.Errorf("%s: opening does not name sequence %d: %v", name, a.head+1, open)
		}
	}
	f("another quantity", func(l *later) { l.quantity *= 2 })
	f("other terms", func(l *later) { l.terms = 0 })
	f("terms that are not there", func(l *later) { l.terms = 1 << 30 })
	f("another component", func(l *later) { l.component++ })
}

// voidBelowAnother is the ledger of belowAnother, and the void of b that really followed.
func voidBelowAnother(t *testing.T) *amended {
	t.Helper()
	r := belowAnother(t)
	a := &amended{t: t, dir: r.o.Journal.Dir, o: r.o, head: r.e.store.Head().Seq}
	r.close()
	r.o.Journal.Dir = t.TempDir()
	a.copyTo(r.o.Journal.Dir)
	r.open()
	r.void("b")
	blocks := blockReader{e: r.e}
	c, err := blocks.at(r.e.store.Head().Seq)
	if err != nil {
		t.Fatal(err)
	}
	a.commands = []forged{{c.kind, append([]byte(nil), c.payload...)}}
	a.tables = r.e.published.Load()
	if above := a.amendment(0).old.later; len(above) != 1 {
		t.Fatalf("above the rating lies %v", above)
	}
	return a
}

// TestPayeesOfTwoVersionsAreEven voids all of a month that two versions price, which pay
// different providers or take different fees: payer and providers are even.
func TestPayeesOfTwoVersionsAreEven(t *testing.T) {
	const book = `{"effective_from":%q,"prices":[{"meter":"x","currency":"USD","match":{},"components":{"call":{"graduated":[{"up_to":"1000","unit":"0"},{"unit":%q}]}}%s}]}`
	f := func(name, first, second, charged string) {
		t.Run(name, func(t *testing.T) {
			r := standard(t, nil)
			r.account("p2", "provider", "")
			r.prices("g1", fmt.Sprintf(book, "2026-01-02T00:00:00Z", "1", first))
			r.post(callsOf("a", "1000"))
			r.prices("g2", fmt.Sprintf(book, "2026-11-01T00:00:00Z", "1000", second))
			r.post(callsOf("b", "1000"))
			if got := r.posted("acme"); got != charged {
				t.Errorf("acme stands at %s, want %s", got, charged)
			}
			r.void("a")
			r.void("b")
			for _, id := range []string{"acme", "prov", "p2"} {
				if got := r.posted(id); got != "0" {
					t.Errorf("all is voided, %s stands at %s", id, got)
				}
			}
		})
	}
	// Another earner or fee counts from the beginning, so that b is free as well.
	f("another payee", `,"payee":"prov"`, `,"payee":"p2"`, "0")
	f("a payee after the operator", ``, `,"payee":"p2"`, "0")
	f("another fee", `,"payee":"prov","fee":"0"`, `,"payee":"prov","fee":"0.5"`, "0")
	f("the same", `,"payee":"prov","fee":"0.25"`, `,"payee":"prov","fee":"0.25"`, "-1000000")
}
