package batch

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/money"
)

// manyPositions makes n participants, a twentieth of them providers, in a
// shuffled order, and the operator.
func manyPositions(n int) []Position {
	list := make([]Position, 0, n)
	for i := range n - 1 {
		price := exact(decimal.New(int64(i+1), -8).Add(decimal.New(int64(i%977), -2)))
		p := Position{Account: fmt.Sprintf("customer-%09d", i*7919%n), Kind: Customer, GrossDebits: price, Receivable: price, Events: 10}
		if i%20 == 0 {
			p = Position{Account: fmt.Sprintf("provider-%09d", i), Kind: Provider, CarriedIn: price, Payable: price, Events: 0}
		}
		list = append(list, p)
	}
	total := money.Amount{}
	for i := range list {
		total = total.MustAdd(list[i].GrossDebits)
	}
	list = append(list, Position{Account: OperatorAccount, Kind: Operator, GrossCredits: total})
	r := rand.New(rand.NewPCG(1, 2))
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// netAndEncode is what closing a window costs here: lines, sums, records and
// their hash.
func netAndEncode(tb testing.TB, positions []Position, buf []byte) (int, []byte) {
	tb.Helper()
	lines, _, err := netAll(positions, 2)
	if err != nil {
		tb.Fatal(err)
	}
	usd, _ := money.Lookup("USD")
	scope := Scope{Currency: usd, Window: 1}
	for i := range lines {
		buf = lines[i].AppendJSON(buf[:0], &scope)
	}
	return len(lines), buf
}

func TestNetAndEncodeSmall(t *testing.T) {
	lines, last := netAndEncode(t, manyPositions(1009), nil)
	_, l, err := ParseLine(last)
	if err != nil || int(l.Line) != lines || lines < 900 {
		t.Errorf("%d lines, last %+v, %v", lines, l, err)
	}
}

func BenchmarkNetAndEncode(b *testing.B) {
	for _, n := range []int{1_009, 1_000_003} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkNet(b, n) })
	}
}

func benchmarkNet(b *testing.B, n int) {
	positions := manyPositions(n)
	lines, runs := 0, 0
	var buf []byte
	for b.Loop() {
		lines, buf = netAndEncode(b, positions, buf)
		runs++
	}
	if lines < n*9/10 {
		b.Fatalf("%d lines of %d", lines, n)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(runs)/float64(lines), "ns/line")
}

func BenchmarkLineAppendJSON(b *testing.B) {
	m, lines, _ := batchAtTheEdges(b)
	scope, buf := m.Scope(), make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = lines[0].AppendJSON(buf[:0], &scope)
	}
	if _, l, err := ParseLine(buf); err != nil || l != lines[0] {
		b.Fatal(err)
	}
}

func BenchmarkParseLine(b *testing.B) {
	_, lines, recs := batchAtTheEdges(b)
	var l Line
	var err error
	for b.Loop() {
		_, l, err = ParseLine(recs[0])
	}
	if err != nil || l != lines[0] {
		b.Fatal(err)
	}
}

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	m, lines, recs := batchAtTheEdges(t)
	scope, buf := m.Scope(), make([]byte, 0, 4096)
	var tree Tree
	leaf := make([]byte, 300)
	tree.Append(leaf)
	f := func(what string, most float64, run func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, run); n > most {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	f("line", 0, func() { buf = lines[0].AppendJSON(buf[:0], &scope) })
	f("manifest", 0, func() { buf = m.AppendJSON(buf[:0]) })
	f("id", 0, func() { _ = m.ID() })
	f("leaf", 0, func() { tree.Append(leaf) })
	f("leaf hash", 0, func() { tree.AppendLeafHash(LeafHash(leaf)) })
	f("root", 0, func() { _ = tree.Root() })
	f("parse line", 1, func() { _, _, _ = ParseLine(recs[0]) }) // its account
}
