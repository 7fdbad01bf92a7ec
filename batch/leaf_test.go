package batch

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"reflect"
	"testing"

	"farthing/money"
)

func testLeaf(t testing.TB) Leaf {
	usd, _ := money.Lookup("USD")
	amount, err := money.Parse("-12.000000000000000001")
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := money.WholeQuantity(1200)
	return Leaf{Source: "gw", ID: "req/1", Subject: "acme", ShapeHash: sha256.Sum256([]byte("shape")),
		Quantities: []money.Quantity{whole, 1_500_001, 0}, Time: 1_700_000_000_000_000_001, Currency: usd, Amount: amount,
		Version: "v1", Sequence: 1 << 40}
}

func TestLeafAndBack(t *testing.T) {
	l := testLeaf(t)
	data := l.Append(nil)
	back, err := ParseLeaf(data, 3)
	if err != nil || !reflect.DeepEqual(back, l) {
		t.Errorf("%+v, %v", back, err)
	}
	if shape, err := LeafShape(data); err != nil || shape != l.ShapeHash {
		t.Errorf("%x, %v", shape, err)
	}
	for n := range data {
		if _, err := ParseLeaf(data[:n], 3); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	for _, components := range []int{-1, 0, 2, 4, 65} {
		if _, err := ParseLeaf(data, components); !errors.Is(err, ErrFormat) {
			t.Errorf("%d components: %v", components, err)
		}
	}
	for _, bad := range [][]byte{append(bytes.Clone(data), 0), append([]byte{2}, data[1:]...)} {
		if _, err := ParseLeaf(bad, 3); !errors.Is(err, ErrFormat) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

// FuzzLeaf gives ParseLeaf anything: it refuses it, or Append writes it back as it was.
func FuzzLeaf(f *testing.F) {
	l := testLeaf(f)
	f.Add(l.Append(nil), 3)
	f.Fuzz(func(t *testing.T, data []byte, components int) {
		l, err := ParseLeaf(data, components)
		if err != nil {
			return
		}
		if !bytes.Equal(l.Append(nil), data) {
			t.Errorf("%x comes back as %x", data, l.Append(nil))
		}
		if shape, err := LeafShape(data); err != nil || shape != l.ShapeHash {
			t.Error("the shape's hash is another")
		}
	})
}
