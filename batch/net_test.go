package batch

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/money"
)

func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

// netAll nets positions that are in any order, and keeps the lines.
func netAll(positions []Position, digits int) ([]Line, Sums, error) {
	order, err := Order(len(positions), func(i uint32) string { return positions[i].Account })
	if err != nil {
		return nil, Sums{}, err
	}
	var lines []Line
	n := NewNetter(digits, func(l *Line) error {
		lines = append(lines, *l)
		return nil
	})
	for _, i := range order {
		if err := n.Add(&positions[i]); err != nil {
			return nil, Sums{}, err
		}
	}
	count, sums, err := n.Finish()
	if err != nil {
		return nil, Sums{}, err
	}
	if int(count) != len(lines) {
		return nil, Sums{}, fmt.Errorf("%d lines were emitted, Finish says %d", len(lines), count)
	}
	return lines, sums, nil
}

// randomBook opens customers and providers, some with a minimum payout.
func randomBook(r *rand.Rand) *book {
	b := newBook([]string{"USD", "JPY", "KWD", "CLF"}[r.IntN(4)])
	for i := range 1 + r.IntN(6) {
		b.open(fmt.Sprintf("customer-%03d", i*r.IntN(50)), Customer, decimal.Zero)
		b.open(fmt.Sprintf("prov/%d", i), Provider, decimal.New(int64(r.IntN(3)*r.IntN(2000)), -2))
	}
	return b
}

// randomMoves makes usage, voids, top-ups and failed results.
func randomMoves(r *rand.Rand, b *book) {
	ids := b.ids()
	pick := func(kind Kind) string {
		for {
			if id := ids[r.IntN(len(ids))]; b.accounts[id].kind == kind {
				return id
			}
		}
	}
	for range r.IntN(20) {
		amount := decimal.New(r.Int64N(1<<r.IntN(50)+1), -int32(r.IntN(19)))
		payee := pick(Provider)
		if r.IntN(3) == 0 {
			payee = OperatorAccount
		}
		switch r.IntN(8) {
		case 0:
			b.transfer(OperatorAccount, pick(Customer), amount)
		case 1:
			b.transfer(payee, pick(Customer), amount)
		case 2:
			b.giveBack(pick(Customer))
		case 3:
			b.giveBack(pick(Provider))
		default:
			b.usage(pick(Customer), payee, amount)
		}
	}
}

// Over many windows every line equals the twin's, the order of positions does
// not matter, and what is carried out is exactly what the accounts then hold.
func TestNetAgainstTwin(t *testing.T) {
	r := seeded(t)
	batches := 0
	for range 150 {
		b := randomBook(r)
		for range 6 {
			randomMoves(r, b)
			batches += checkWindow(t, r, b)
		}
	}
	if batches < 100 {
		t.Errorf("only %d batches were made", batches)
	}
}

func checkWindow(t *testing.T, r *rand.Rand, b *book) int {
	t.Helper()
	want, positions := b.want(), b.positions()
	lines, sums, err := netAll(positions, b.currency.Digits())
	if err != nil {
		t.Fatal(err)
	}
	if got := showLines(lines); join(got) != join(want) {
		t.Fatalf("got\n%s\nwant\n%s", join(got), join(want))
	}
	r.Shuffle(len(positions), func(i, j int) { positions[i], positions[j] = positions[j], positions[i] })
	before := slices.Clone(positions)
	again, againSums, err := netAll(positions, b.currency.Digits())
	if err != nil || !slices.Equal(again, lines) || againSums != sums {
		t.Fatalf("shuffled: %v", err)
	}
	if !slices.Equal(before, positions) {
		t.Fatal("netting has changed the positions")
	}
	if len(lines) > 0 {
		seal(t, b, lines, sums)
	}
	b.settle(lines)
	for i := range lines {
		a := b.account(lines[i].Account)
		if a.kind != Operator && !a.credit.Sub(a.receivable).Add(a.payable).Equal(a.carried) {
			t.Fatalf("%s holds %v - %v + %v, carried out %v", lines[i].Account, a.credit, a.receivable, a.payable, a.carried)
		}
	}
	return min(len(lines), 1)
}

func TestSortAgainstStrings(t *testing.T) {
	r := seeded(t)
	for range 200 {
		seen := map[string]bool{OperatorAccount: true}
		positions := []Position{{Account: OperatorAccount, Kind: Operator}}
		for range r.IntN(200) {
			id := strings.Repeat("abcdefgh", r.IntN(4)) + "abAB01./-"[:1+r.IntN(9)]
			if r.IntN(3) == 0 {
				id = strings.Repeat("x", 1+r.IntN(idBytesMax))
			}
			if !seen[id] {
				seen[id] = true
				positions = append(positions, Position{Account: id, Kind: Customer})
			}
		}
		r.Shuffle(len(positions), func(i, j int) { positions[i], positions[j] = positions[j], positions[i] })
		order, err := Order(len(positions), func(i uint32) string { return positions[i].Account })
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, i := range order {
			got = append(got, positions[i].Account)
		}
		for id := range seen {
			want = append(want, id)
		}
		sort.Strings(want)
		if !slices.Equal(got, want) {
			t.Fatalf("got %q\nwant %q", got, want)
		}
	}
}

func units(n int64) money.Amount { return exact(decimal.New(n, 0)) }

// sound is a small set of positions that nets; each case below breaks it.
func sound() []Position {
	return []Position{
		{Account: "acme", Kind: Customer, GrossDebits: units(7), GrossCredits: units(2), Receivable: units(5), Events: 3},
		{Account: OperatorAccount, Kind: Operator, GrossDebits: units(2)},
		{Account: "openai", Kind: Provider, GrossCredits: units(7), Payable: units(7)},
	}
}

func TestNetRefuses(t *testing.T) {
	if _, _, err := netAll(sound(), 2); err != nil {
		t.Fatal(err)
	}
	f := func(what string, want error, account string, breakIt func(p []Position) []Position) {
		t.Helper()
		lines, sums, err := netAll(breakIt(sound()), 2)
		if !errors.Is(err, want) || !strings.Contains(err.Error(), account) || lines != nil || sums != (Sums{}) {
			t.Errorf("%s: got %v, %d lines, want %v naming %q", what, err, len(lines), want, account)
		}
	}
	set := func(i int, change func(p *Position)) func([]Position) []Position {
		return func(p []Position) []Position { change(&p[i]); return p }
	}
	huge := money.FromWords(math.MaxInt64, math.MaxUint64)
	f("payable off by the smallest part", ErrEquation, "openai", set(2, func(p *Position) { p.Payable = p.Payable.MustSub(money.FromWords(0, 1)) }))
	f("receivable too small", ErrEquation, "acme", set(0, func(p *Position) { p.Receivable = units(4) }))
	f("debits without credits", ErrUnbalanced, "gross", set(1, func(p *Position) { p.GrossDebits = units(3) }))
	f("returned to one only", ErrUnbalanced, "returned", set(1, func(p *Position) { p.Returned = units(1) }))
	f("operator missing", ErrPosition, OperatorAccount, func(p []Position) []Position { return []Position{p[0], p[2]} })
	f("operator alone", ErrUnbalanced, OperatorAccount, func(p []Position) []Position { return p[1:2] })
	f("operator twice", ErrPosition, OperatorAccount, func(p []Position) []Position { return append(p, p[1]) })
	f("account twice", ErrPosition, "acme", func(p []Position) []Position { return append(p, p[0]) })
	f("operator's id, other kind", ErrPosition, OperatorAccount, set(1, func(p *Position) { p.Kind = Customer }))
	f("operator's kind, other id", ErrPosition, "acme", set(0, func(p *Position) { p.Kind = Operator }))
	f("no kind", ErrPosition, "acme", set(0, func(p *Position) { p.Kind = 0 }))
	f("unknown kind", ErrPosition, "acme", set(0, func(p *Position) { p.Kind = 4 }))
	f("empty id", ErrPosition, `""`, set(0, func(p *Position) { p.Account = "" }))
	f("quote in the id", ErrPosition, "ac", set(0, func(p *Position) { p.Account = `ac"me` }))
	f("long id", ErrPosition, "aaa", set(0, func(p *Position) { p.Account = strings.Repeat("a", 129) }))
	f("negative debits", ErrPosition, "acme", set(0, func(p *Position) { p.GrossDebits = units(-1) }))
	f("negative credits", ErrPosition, "acme", set(0, func(p *Position) { p.GrossCredits = units(-1) }))
	f("negative receivable", ErrPosition, "acme", set(0, func(p *Position) { p.Receivable = units(-1) }))
	f("negative minimum", ErrPosition, "openai", set(2, func(p *Position) { p.MinimumPayout = units(-1) }))
	f("provider with receivable", ErrPosition, "openai", set(2, func(p *Position) { p.Receivable = units(1) }))
	f("customer with payable", ErrPosition, "acme", set(0, func(p *Position) { p.Payable = units(1) }))
	f("too many events", ErrPosition, "acme", set(0, func(p *Position) { p.Events = 1 << 53 }))
	f("net out of range", ErrOverflow, "acme", set(0, func(p *Position) { p.CarriedIn, p.GrossCredits = huge, huge }))
	f("sums out of range", ErrOverflow, "openai", func(p []Position) []Position {
		p[0] = Position{Account: "acme", Kind: Customer, GrossCredits: huge}
		p[2].GrossCredits, p[2].Payable = huge, huge
		return p
	})
	f("events out of range", ErrRange, "bcme", func(p []Position) []Position {
		p[0].Events = numberMax
		return append(p, Position{Account: "bcme", Kind: Customer, Events: 1})
	})
}

// TestNetterStops: positions out of order are refused, and so does who takes the lines.
func TestNetterStops(t *testing.T) {
	full := errors.New("full")
	n := NewNetter(2, func(*Line) error { return full })
	p := sound()
	if err := n.Add(&p[1]); err != nil {
		t.Errorf("the operator's line is held back until another comes: %v", err)
	}
	if err := n.Add(&p[0]); !errors.Is(err, ErrPosition) {
		t.Errorf("acme after operator: %v", err)
	}
	p[0].Account = "zebra"
	if err := n.Add(&p[0]); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

func TestNetOfNothing(t *testing.T) {
	f := func(positions ...Position) {
		t.Helper()
		if lines, sums, err := netAll(positions, 2); err != nil || lines != nil || sums != (Sums{}) {
			t.Errorf("got %v, %v, %v", lines, sums, err)
		}
	}
	f()
	f(Position{Account: OperatorAccount, Kind: Operator, CarriedIn: units(3)})
	f(Position{Account: "acme", Kind: Customer, CarriedIn: units(3)}, Position{Account: OperatorAccount, Kind: Operator})
}
