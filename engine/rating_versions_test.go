package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestTotalsOverVersionsDoNotDependOnTheOrder books the same events of one month, which three
// versions price, in random orders, voids the same ones in between and rates anew what a version
// put for the past gives; each time the payer comes to the same. In the end all is voided, and it
// comes to nothing.
func TestTotalsOverVersionsDoNotDependOnTheOrder(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 7))
	calls := versionedCalls(rng)
	var want string
	for round := range 6 {
		r := newRig(t, func(o *Options) { o.DedupWindow = 100 * day })
		r.account("prov", "provider", "")
		r.account("acme", "customer", "postpaid")
		for i, unit := range []string{`{"graduated":[{"up_to":"500","unit":"0"},{"unit":"0.03"}]}`, `{"volume":[{"up_to":"900","unit":"0.02"},{"unit":"0.01"}]}`, `{"unit":"0.5","package":"70"}`} {
			r.prices(fmt.Sprint("v", i), fmt.Sprintf(`{"effective_from":"2026-10-%02dT00:00:00Z","prices":[{"meter":"m","currency":"USD","match":{},"components":{"u":%s},"payee":"prov","fee":"0.1"}]}`, 1+10*i, unit))
		}
		order := rng.Perm(len(calls))
		posted := map[int]bool{}
		for at, i := range order {
			r.post(calls[i])
			posted[i] = true
			if at == len(order)/2 { // a correction of the middle version, from the 8th of the month on
				r.prices("late", `{"effective_from":"2026-10-08T00:00:00Z","prices":[{"meter":"m","currency":"USD","match":{},"components":{"u":{"unit":"0.04","included":"300"}},"payee":"prov"}]}`)
			}
			if i%5 == 0 && rng.IntN(2) == 0 {
				r.void(calls[i].id)
			}
		}
		for i := range calls {
			if i%5 == 0 {
				r.void(calls[i].id) // a second void is the first one's answer
			}
		}
		if _, _, refused := r.e.Rerate(RerateSpec{ID: "r", Version: "late"}); refused != nil {
			t.Fatal(refused)
		}
		r.e.repriced()
		if got := r.posted("acme"); want == "" {
			want = got
		} else if got != want {
			t.Fatalf("seed %d, round %d: acme stands at %s, in the first order at %s", seed, round, got, want)
		}
		for _, i := range rng.Perm(len(calls)) {
			r.void(calls[i].id)
		}
		if got := r.posted("acme"); got != "0" {
			t.Fatalf("seed %d, round %d: all is voided, acme stands at %s", seed, round, got)
		}
	}
}

func versionedCalls(rng *rand.Rand) (calls []call) {
	for i := range 60 {
		at := time.Date(2026, 10, 1+rng.IntN(31), rng.IntN(24), 0, 0, 0, time.UTC)
		calls = append(calls, call{source: "gw", id: fmt.Sprint("e", i), subject: "acme", kind: "m", usage: [][2]string{{"u", fmt.Sprint(1 + rng.IntN(99))}}, time: at.UnixNano()})
	}
	return calls
}

func (r *rig) void(id string) {
	r.t.Helper()
	if _, _, refused := r.e.Void(VoidSpec{ID: "void-" + id, Source: "gw", Event: id, Reason: "test"}); refused != nil {
		r.t.Fatal(refused)
	}
}
