package money

import "testing"

func TestNoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	f := func(what string, run func()) {
		t.Helper()
		if n := testing.AllocsPerRun(100, run); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	text, number, quantity := []byte("-123456789012.345678"), []byte("1.25e-06"), []byte("12.5")
	big := []byte("170141183460469231731.687303715884105727")
	buf := make([]byte, 0, 64)
	a := amount(t, "-170141183460469231731.687303715884105727")
	enc := a.AppendBinary(nil)
	usd := []byte("USD")
	f("parse", func() { _, _ = ParseBytes(text) })
	f("parse big", func() { _, _ = ParseBytes(big) })
	f("parse bad", func() { _, _ = ParseBytes(text[:1]) })
	f("parse number", func() { _, _ = ParseNumberBytes(number) })
	f("parse quantity", func() { _, _ = ParseQuantity(quantity) })
	f("append text", func() { buf = a.AppendText(buf[:0]) })
	f("append binary", func() { buf = a.AppendBinary(buf[:0]) })
	f("decode binary", func() { _, _, _ = DecodeBinary(enc) })
	f("append quantity", func() { buf = Quantity(1_250_000).AppendText(buf[:0]) })
	f("mul quantity", func() { _, _ = Amount{0, 1e12}.MulQuantity(1_250_000) })
	f("mul fraction", func() { _, _ = a.MulFraction(Amount{0, 3e17}) })
	f("mul ratio", func() { _, _ = a.MulRatio(3, 7) })
	f("cut", func() { _, _ = a.Cut(2) })
	f("currency", func() { c, _ := LookupBytes(usd); _ = c.Code() })
}

// Each benchmark checks its result, so that it cannot measure nothing.

func BenchmarkMulQuantityWhole(b *testing.B) { benchmarkMul(b, 1_200_000_000) }
func BenchmarkMulQuantityParts(b *testing.B) { benchmarkMul(b, 1_200_500_000) }

func benchmarkMul(b *testing.B, q Quantity) {
	price := amount(b, "0.0000025")
	var sum, want Amount
	for b.Loop() {
		product, ok := price.MulQuantity(q)
		if !ok {
			b.Fatal("refused")
		}
		sum = product
	}
	want, _ = FromDecimal(price.Decimal().Mul(amount(b, q.String()).Decimal()))
	if sum != want {
		b.Fatalf("got %v, want %v", sum, want)
	}
}

func BenchmarkAdd(b *testing.B) {
	one, sum := Amount{0, 1}, Amount{}
	n := uint64(0)
	for b.Loop() {
		sum, _ = sum.Add(one)
		n++
	}
	if sum != (Amount{0, n}) {
		b.Fatalf("got %v after %d", sum, n)
	}
}

func BenchmarkParseBytes(b *testing.B) {
	text := []byte("1234.00000125")
	var a Amount
	for b.Loop() {
		a, _ = ParseBytes(text)
	}
	if a.String() != string(text) {
		b.Fatal(a)
	}
}

func BenchmarkParseQuantity(b *testing.B) {
	text := []byte("1200")
	var q Quantity
	for b.Loop() {
		q, _ = ParseQuantity(text)
	}
	if n, ok := q.Whole(); !ok || n != 1200 {
		b.Fatal(q)
	}
}

func BenchmarkAppendText(b *testing.B) {
	a, buf := amount(b, "1234.00000125"), make([]byte, 0, 64)
	for b.Loop() {
		buf = a.AppendText(buf[:0])
	}
	if string(buf) != "1234.00000125" {
		b.Fatal(string(buf))
	}
}

func BenchmarkLookup(b *testing.B) {
	code := []byte("USD")
	var c Currency
	for b.Loop() {
		c, _ = LookupBytes(code)
	}
	if c.Code() != "USD" {
		b.Fatal(c)
	}
}
