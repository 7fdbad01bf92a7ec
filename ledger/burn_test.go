package ledger

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"farthing/money"
)

// gift is one grant of the tables below, named by its letter.
type gift struct {
	name     string
	amount   string
	priority uint32
	expires  int64 // 0: never
	scope    uint32
	held     string // what another hold reserves of it
}

// purse is a customer with grants.
type purse struct {
	*books
	names []string // by grant
	now   int64
}

// newPurse gives paid credit (below zero: debt) and grants at time 0.
func newPurse(t *testing.T, paid string, gifts []gift) *purse {
	t.Helper()
	p := &purse{books: newBooks(t)}
	switch a := amt(t, paid); a.Sign() {
	case 1:
		p.l.TopUp(p.acme, a)
	case -1:
		p.l.posted(&Usage{Payer: p.acme, Payee: p.op, Amount: a.Neg()})
	}
	for _, g := range gifts {
		p.give(g)
	}
	return p
}

func (p *purse) give(g gift) {
	p.t.Helper()
	if g.expires == 0 {
		g.expires = Never
	}
	n := p.l.Give(Grant{Account: p.acme, Kind: PromoKind, Priority: g.priority, Expires: g.expires, Scope: g.scope}, amt(p.t, g.amount))
	p.names = append(p.names, g.name)
	if g.held != "" {
		p.l.Hold(p.acme, Reserved{Parts: []Part{{n, amt(p.t, g.held)}}})
	}
}

// usage of an amount in favour of the operator, that matches the given scopes.
func (p *purse) usage(amount string, scopes ...uint32) *Usage {
	p.t.Helper()
	u := &Usage{Payer: p.acme, Payee: p.op, Amount: amt(p.t, amount), Now: p.now}
	for _, n := range scopes {
		for int(n-1)/64 >= len(u.Scopes) {
			u.Scopes = append(u.Scopes, 0)
		}
		u.Scopes[(n-1)/64] |= 1 << ((n - 1) % 64)
	}
	return u
}

// text writes parts, paid credit, receivable and loss, without those that are zero.
func (p *purse) text(parts []Part, pool ...money.Amount) string {
	var out []string
	for _, part := range parts {
		out = append(out, fmt.Sprintf("%s %s", p.names[part.Grant], part.Amount))
	}
	for i, a := range pool {
		if !a.IsZero() {
			out = append(out, fmt.Sprintf("%s %s", []string{"paid", "owed", "lost"}[i], a))
		}
	}
	return strings.Join(out, ", ")
}

func (p *purse) split(s *Split) string { return p.text(s.Parts, s.Paid, s.Receivable, s.Lost) }

// TestBurnOrderOfGrants is the table of which grants usage and holds take from: the lowest
// priority, then the earliest expiry, then the oldest; those whose scope matches, what no hold
// reserves, and nothing from the expiry on.
func TestBurnOrderOfGrants(t *testing.T) {
	f := func(amount, paid string, now int64, scopes []uint32, want string, gifts ...gift) {
		t.Helper()
		p := newPurse(t, paid, gifts)
		p.now = now
		u := p.usage(amount, scopes...)
		plan, _, ok := p.l.Reserve(p.acme, u.Amount, u.Scopes, now, Overdraft{Unlimited: true}, nil)
		split := p.l.posted(u)
		if got := p.split(&split); got != want {
			t.Errorf("%s of %v: took %s, want %s", amount, gifts, got, want)
		}
		if !ok || !slices.Equal(plan.Parts, split.Parts) || plan.Pool != split.Pool() {
			t.Errorf("%s of %v: a hold reserves %s and %s, usage took %s", amount, gifts, p.text(plan.Parts), plan.Pool, p.split(&split))
		}
		p.balanced()
	}
	none := []uint32(nil)
	// Before the pool, and the pool before the receivable.
	f("1", "9", 0, none, "a 1", gift{name: "a", amount: "5"})
	f("5", "9", 0, none, "a 5", gift{name: "a", amount: "5"})
	f("7", "9", 0, none, "a 5, paid 2", gift{name: "a", amount: "5"})
	f("20", "9", 0, none, "a 5, paid 9, owed 6", gift{name: "a", amount: "5"})
	f("7", "-2", 0, none, "a 5, owed 2", gift{name: "a", amount: "5"})
	f("0", "9", 0, none, "", gift{name: "a", amount: "5"})
	f("0.000000000000000002", "0", 0, none, "a 0.000000000000000001, owed 0.000000000000000001", gift{name: "a", amount: "0.000000000000000001"})
	// Priority goes before expiry and age.
	f("3", "9", 0, none, "c 1, b 1, a 1", gift{name: "a", amount: "1", priority: 30, expires: 5}, gift{name: "b", amount: "1", priority: 20, expires: 7},
		gift{name: "c", amount: "1", priority: 10})
	f("3", "9", 0, none, "b 1, a 1, c 1", gift{name: "a", amount: "1", priority: 100}, gift{name: "b", amount: "1"}, gift{name: "c", amount: "1", priority: 1_000_000})
	// Then the earliest expiry; none is the last.
	f("4", "9", 0, none, "d 1, b 1, c 1, a 1", gift{name: "a", amount: "1"}, gift{name: "b", amount: "1", expires: 6}, gift{name: "c", amount: "1", expires: 7},
		gift{name: "d", amount: "1", expires: 5})
	// Then the oldest.
	f("4", "9", 0, none, "b 1, d 1, a 1, c 1", gift{name: "a", amount: "1"}, gift{name: "b", amount: "1", expires: 6}, gift{name: "c", amount: "1"},
		gift{name: "d", amount: "1", expires: 6})
	// Not from its expiry on, though that is not booked.
	f("2", "9", 5, none, "b 1, a 1", gift{name: "a", amount: "1"}, gift{name: "b", amount: "1", expires: 6})
	f("2", "9", 6, none, "a 1, paid 1", gift{name: "a", amount: "1"}, gift{name: "b", amount: "1", expires: 6})
	f("2", "9", 7, none, "a 1, paid 1", gift{name: "a", amount: "1"}, gift{name: "b", amount: "1", expires: 6})
	// Only for usage that its scope matches; it keeps its place.
	f("3", "9", 0, none, "b 1, paid 2", gift{name: "a", amount: "1", scope: 1}, gift{name: "b", amount: "1"})
	f("3", "9", 0, []uint32{1}, "a 1, b 1, paid 1", gift{name: "a", amount: "1", scope: 1}, gift{name: "b", amount: "1"}, gift{name: "c", amount: "1", scope: 2})
	f("3", "9", 0, []uint32{2}, "b 1, c 1, paid 1", gift{name: "a", amount: "1", scope: 1}, gift{name: "b", amount: "1"}, gift{name: "c", amount: "1", scope: 2})
	f("3", "9", 0, []uint32{1, 2}, "c 1, a 1, b 1", gift{name: "a", amount: "1", scope: 1, priority: 1}, gift{name: "b", amount: "1", priority: 1},
		gift{name: "c", amount: "1", scope: 2})
	f("3", "9", 0, []uint32{64, 129}, "a 1, d 1, paid 1", gift{name: "a", amount: "1", scope: 64}, gift{name: "b", amount: "1", scope: 65},
		gift{name: "c", amount: "1", scope: 128}, gift{name: "d", amount: "1", scope: 129}, gift{name: "e", amount: "1", scope: 193})
	// Only what is not reserved.
	f("9", "9", 0, none, "a 2, b 3, paid 4", gift{name: "a", amount: "5", held: "3"}, gift{name: "b", amount: "3"}, gift{name: "c", amount: "4", held: "4"})
	// All at once.
	f("9", "1", 6, []uint32{2}, "f 0.5, b 2, e 3, paid 1, owed 2.5", gift{name: "a", amount: "4", priority: 1, expires: 6}, gift{name: "b", amount: "3", priority: 2, held: "1"},
		gift{name: "c", amount: "4", scope: 1}, gift{name: "d", amount: "4", priority: 7, held: "4"}, gift{name: "e", amount: "3", priority: 7, scope: 2},
		gift{name: "f", amount: "0.5", priority: 2, expires: 7})
}

// TestExtensionsMoveInTheBurnOrder shows that a grant takes its place anew, and an expired one
// can be used again.
func TestExtensionsMoveInTheBurnOrder(t *testing.T) {
	p := newPurse(t, "0", []gift{{name: "a", amount: "1", expires: 5}, {name: "b", amount: "1", expires: 6}, {name: "c", amount: "1"}})
	p.l.Extend(0, 9)
	p.l.Extend(2, 6)
	p.now = 5
	split := p.l.posted(p.usage("2.5"))
	if got := p.split(&split); got != "b 1, c 1, a 0.5" {
		t.Errorf("took %s", got)
	}
	p.l.Extend(1, 20) // used up: in no chain, and in its new place when it gets something back
	p.l.corrected(&Usage{Payer: p.acme, Payee: p.op, Amount: amt(t, "-2"), Own: &split})
	p.now = 9
	split = p.l.posted(p.usage("2"))
	if got := p.split(&split); got != "b 0.5, owed 1.5" {
		t.Errorf("took %s", got)
	}
	p.balanced()
}

// TestGiveBack is the table of what a correction gives back: what the operator lost, the pool's
// part, then the grants, the last burned first, each at most what it gave; beyond it the pool.
func TestGiveBack(t *testing.T) {
	gifts := []gift{{name: "a", amount: "3"}, {name: "b", amount: "2", priority: 1}, {name: "c", amount: "4", priority: 2}}
	f := func(back, want string) {
		t.Helper()
		p := newPurse(t, "1", gifts)
		// 3 + 2 + 4 of grants, 1 paid, 2 on the receivable, 5 lost.
		split := p.l.captured(p.usage("17"), Reserved{}, Excess{Beyond: amt(t, "2")})
		if got := p.split(&split); got != "a 3, b 2, c 4, paid 1, owed 2, lost 5" {
			t.Fatalf("took %s", got)
		}
		split = p.l.corrected(&Usage{Payer: p.acme, Payee: p.op, Amount: amt(t, back), Own: &split})
		if got := p.split(&split); got != want {
			t.Errorf("%s back: %s, want %s", back, got, want)
		}
		p.balanced()
	}
	f("-1", "lost -1")
	f("-5", "lost -5")
	f("-6", "owed -1, lost -5")
	f("-8", "paid -1, owed -2, lost -5")
	f("-10", "c -2, paid -1, owed -2, lost -5")
	f("-12", "c -4, paid -1, owed -2, lost -5")
	f("-13", "c -4, b -1, paid -1, owed -2, lost -5")
	f("-15.5", "c -4, b -2, a -1.5, paid -1, owed -2, lost -5")
	f("-17", "c -4, b -2, a -3, paid -1, owed -2, lost -5")
	f("-20", "c -4, b -2, a -3, paid -4, owed -2, lost -5")
}
