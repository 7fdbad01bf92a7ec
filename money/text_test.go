package money

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"
)

func TestText(t *testing.T) {
	forRandom(t, 50_000, func(r *rand.Rand) {
		a := randomAmount(r)
		text := a.String()
		if want := a.Decimal().String(); text != want {
			t.Fatalf("got %q, want %q", text, want)
		}
		if back, err := Parse(text); err != nil || back != a {
			t.Fatalf("%q reads back as %v, %v", text, back, err)
		}
		if back, err := FromDecimal(a.Decimal()); err != nil || back != a {
			t.Fatalf("%q comes back from decimal as %v, %v", text, back, err)
		}
		_, frac, _ := bytes.Cut([]byte(text), []byte("."))
		if a.Decimals() != len(frac) {
			t.Fatalf("%q has %d places", text, a.Decimals())
		}
		if len(text) > textMax {
			t.Fatalf("%q is longer than %d", text, textMax)
		}
	})
	if got := string(minAmount.AppendText([]byte("x"))); got != "x-170141183460469231731.687303715884105727" {
		t.Errorf("got %q", got)
	}
}

func TestFromDecimal(t *testing.T) {
	f := func(in string, want string, wantErr error) {
		t.Helper()
		got, err := FromDecimal(decimal.RequireFromString(in))
		if !errors.Is(err, wantErr) || err == nil && got.String() != want {
			t.Errorf("%q: got %v, %v, want %q, %v", in, got, err, want, wantErr)
		}
	}
	f("0", "0", nil)
	f("0e100", "0", nil)
	f("-1.50", "-1.5", nil)
	f("1e20", "100000000000000000000", nil)
	f("1e21", "", ErrOverflow)
	f("10000000000000000000000000e-25", "1", nil)
	f("10000000000000000000000001e-25", "", ErrPrecision)
	f("170141183460469231731.687303715884105727", "170141183460469231731.687303715884105727", nil)
	f("-170141183460469231731.687303715884105728", "", ErrOverflow)
}

func TestBinary(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := hex.EncodeToString(amount(t, in).AppendBinary(nil)); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	f("0", "00")
	f("0.000000000000000001", "0101")
	f("-0.000000000000000001", "8101")
	f("0.000000000000000256", "020100")
	f("18.446744073709551615", "08ffffffffffffffff")
	f("18.446744073709551616", "09010000000000000000")
	f("-170141183460469231731.687303715884105727", "907fffffffffffffffffffffffffffffff")
	forRandom(t, 20_000, func(r *rand.Rand) {
		a := randomAmount(r)
		enc := a.AppendBinary([]byte{7})[1:]
		got, n, err := DecodeBinary(append(enc[:len(enc):len(enc)], 1, 2, 3))
		if err != nil || n != len(enc) || got != a || n > BinaryMax {
			t.Fatalf("%v: got %v, %d, %v", a, got, n, err)
		}
		for cut := range enc {
			if _, _, err := DecodeBinary(enc[:cut]); !errors.Is(err, ErrEncoding) {
				t.Fatalf("%x cut to %d bytes: %v", enc, cut, err)
			}
		}
	})
}

func TestBinaryRefuses(t *testing.T) {
	f := func(in string) {
		t.Helper()
		src, err := hex.DecodeString(in)
		if err != nil {
			t.Fatal(err)
		}
		if got, n, err := DecodeBinary(src); !errors.Is(err, ErrEncoding) || n != 0 || got != (Amount{}) {
			t.Errorf("%s: got %v, %d, %v", in, got, n, err)
		}
	}
	f("")
	f("80")                                   // -0
	f("0100")                                 // 0 with a byte
	f("020001")                               // leading zero
	f("1101000000000000000000000000000000ff") // 17 bytes
	f("1080000000000000000000000000000000")   // 2^127
	f("9080000000000000000000000000000000")   // -2^127
	f("2001")                                 // unknown header bit
}

func FuzzDecodeBinary(f *testing.F) {
	f.Add([]byte{0x81, 0x01})
	f.Add([]byte{0x02, 0x00, 0x01})
	f.Fuzz(func(t *testing.T, src []byte) {
		a, n, err := DecodeBinary(src)
		if err != nil {
			return
		}
		if enc := a.AppendBinary(nil); !bytes.Equal(enc, src[:n]) {
			t.Fatalf("%x reads as %v, which is %x", src[:n], a, enc)
		}
	})
}

func TestQuantityText(t *testing.T) {
	forRandom(t, 20_000, func(r *rand.Rand) {
		q := Quantity(r.Uint64N(uint64(QuantityMax)+1) >> r.IntN(64))
		if back, err := ParseQuantity([]byte(q.String())); err != nil || back != q {
			t.Fatalf("%d is %q and reads back as %d, %v", q, q.String(), back, err)
		}
	})
}
