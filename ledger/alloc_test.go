package ledger

import "testing"

// frugal runs something twice on a purse of so much that every run takes from the same sources:
// once to see from how many grants, then to see that it allocates nothing when the caller brings
// memory for the parts.
func frugal(t *testing.T, what string, gifts []gift, wantParts int, run func(p *purse, u Usage, split *Split)) {
	t.Helper()
	p := newPurse(t, "1000000", gifts)
	u := Usage{Payer: p.acme, Payee: p.prov, Amount: amt(t, "5"), Fee: amt(t, "1"), Scopes: Scopes{1}}
	var split Split
	if run(p, u, &split); len(split.Parts) != wantParts {
		t.Errorf("%s: taken from %v", what, split.Parts)
	}
	if n := testing.AllocsPerRun(100, func() { run(p, u, &split) }); n != 0 && !raceEnabled {
		t.Errorf("%s: %v allocations", what, n)
	}
	p.balanced()
}

// oneGift and someGifts are what purses have: of the latter three are for the usage, and one that
// would burn first is not.
var (
	oneGift   = []gift{{name: "a", amount: "1000000"}}
	someGifts = []gift{{name: "a", amount: "1000000", priority: 1, scope: 1}, {name: "b", amount: "1000000", priority: 2, expires: 1e18},
		{name: "c", amount: "1000000", priority: 3}, {name: "d", amount: "1000000", scope: 2}}
)

// TestUsageDoesNotAllocate shows it of what happens per event.
func TestUsageDoesNotAllocate(t *testing.T) {
	usage := func(p *purse, u Usage, split *Split) { p.l.PostUsage(&u, split) }
	frugal(t, "usage without a grant", nil, 0, usage)
	frugal(t, "usage with a grant", oneGift, 1, usage)
	frugal(t, "usage with grants", someGifts, 1, usage)
	own := Split{Paid: amt(t, "2"), Parts: []Part{{0, amt(t, "1")}}}
	frugal(t, "a correction", oneGift, 1, func(p *purse, u Usage, split *Split) {
		p.l.PostUsage(&u, split)
		u.Amount, u.Fee, u.Own = u.Amount.Neg(), u.Fee.Neg(), &own
		p.l.Correct(&u, split)
	})
}

// TestHoldsDoNotAllocate shows it of what happens per hold.
func TestHoldsDoNotAllocate(t *testing.T) {
	planned := make([]Part, 0, 8)
	all := Overdraft{Unlimited: true}
	x := Excess{Room: amt(t, "1000"), Bounded: true, Overdraft: all}
	hold := func(text string, capture bool) func(p *purse, u Usage, split *Split) {
		amount := amt(t, text)
		return func(p *purse, u Usage, split *Split) {
			h, _, ok := p.l.Reserve(p.acme, amount, u.Scopes, 0, all, planned[:0])
			if !ok {
				t.Fatal("the hold is refused")
			}
			if p.l.Hold(p.acme, h); !capture {
				p.l.Release(p.acme, h)
				split.Parts = h.Parts
				return
			}
			p.l.Capture(&u, h, x, split)
		}
	}
	frugal(t, "a hold on the pool", nil, 0, hold("6", false))
	frugal(t, "a hold on a grant", oneGift, 1, hold("6", false))
	frugal(t, "a hold on grants", someGifts, 3, hold("2500000", false))
	frugal(t, "a capture of the pool", nil, 0, hold("6", true))
	frugal(t, "a capture of a grant", oneGift, 1, hold("6", true))
	frugal(t, "a capture with excess of a grant", oneGift, 1, hold("1", true))

	parts := []Part{{0, amt(t, "1")}, {1, amt(t, "1")}, {2, amt(t, "0.5")}}
	three, half := amt(t, "3"), amt(t, "0.5")
	frugal(t, "a capture of grants", someGifts, 3, func(p *purse, u Usage, split *Split) {
		u.Amount = three
		h := Reserved{Parts: append(planned[:0], parts...), Pool: half}
		p.l.Hold(p.acme, h)
		p.l.Capture(&u, h, x, split)
	})
	much, short := amt(t, "2000000"), Excess{Beyond: amt(t, "1")}
	frugal(t, "a capture with a loss", nil, 0, func(p *purse, u Usage, split *Split) {
		u.Amount = much
		if p.l.Capture(&u, Reserved{}, short, split); split.Lost.IsZero() {
			t.Fatal("nothing is lost")
		}
	})
}
