package money

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
)

// TestQuantityBinary is the binary form of quantities, which the journal, leaves and compact batches hold: it must not change.
func TestQuantityBinary(t *testing.T) {
	f := func(q Quantity, want string) {
		t.Helper()
		if got := hex.EncodeToString(q.AppendBinary(nil)); got != want {
			t.Errorf("%s is %s, want %s", q, got, want)
		}
	}
	f(0, "00")
	f(1, "03")
	f(1_000_000, "02")
	f(1_500_000, "c18db701")
	f(QuantityMax, "80c0ec9cef8b04")
	forRandom(t, 20_000, func(r *rand.Rand) {
		q := Quantity(r.Uint64N(uint64(QuantityMax) + 1))
		if r.IntN(2) == 0 {
			q -= q % quantityUnit
		}
		n, _ := binary.Uvarint(q.AppendBinary(nil))
		if got, ok := BinaryQuantity(n); !ok || got != q {
			t.Fatalf("%s comes back as %s %v", q, got, ok)
		}
	})
	for _, n := range []uint64{uint64(QuantityMax)<<1 | 3, (uint64(QuantityMax)/quantityUnit + 1) << 1, math.MaxUint64, math.MaxUint64 - 1} {
		if q, ok := BinaryQuantity(n); ok {
			t.Errorf("%d is read as %s", n, q)
		}
	}
	if q, ok := BinaryQuantity(2*1_000_000 + 1); !ok || q != 1_000_000 {
		t.Errorf("a whole quantity in millionths: %s %v", q, ok)
	}
}
