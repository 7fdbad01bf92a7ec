package batch

import (
	"encoding/binary"
	"fmt"

	"farthing/money"
)

// leafVersion is the first byte of a leaf.
const leafVersion = 1

// leafComponentsMax is more components than an event can have.
const leafComponentsMax = 64

// Leaf is what an evidence tree holds of a priced event.
type Leaf struct {
	Source, ID, Subject string
	ShapeHash           [32]byte         // SHA-256 of the event's canonical shape: type, components, dimensions
	Quantities          []money.Quantity // of the components, in the shape's order
	Time                int64            // of the event, in ns since 1970 UTC
	Currency            money.Currency
	Amount              money.Amount
	Version             string // of the price book
	Sequence            uint64 // at which it was rated
}

// LeafShape returns the hash of the shape of the event that a leaf is of. Whoever has the
// shape knows how many quantities the leaf has. ErrFormat: this is no leaf.
func LeafShape(data []byte) ([32]byte, error) {
	var l Leaf
	r := tileReader{rest: data}
	r.leafHead(&l)
	if r.bad {
		return [32]byte{}, fmt.Errorf("%w: leaf of %d bytes", ErrFormat, len(data))
	}
	return l.ShapeHash, nil
}

// ParseLeaf reads a leaf of an event with so many components. Append gives the same bytes again;
// anything else is ErrFormat.
func ParseLeaf(data []byte, components int) (Leaf, error) {
	var l Leaf
	r := tileReader{rest: data}
	r.leafHead(&l)
	if components < 0 || components > leafComponentsMax {
		r.bad = true
	}
	for i := 0; i < components && !r.bad; i++ {
		l.Quantities = append(l.Quantities, r.quantity())
	}
	if p := r.take(8); p != nil {
		l.Time = int64(binary.BigEndian.Uint64(p))
	}
	l.Currency = r.currency()
	l.Amount = r.amount()
	l.Version = r.str()
	l.Sequence = r.uvarint()
	if r.bad || len(r.rest) > 0 {
		return Leaf{}, fmt.Errorf("%w: leaf of %d bytes with %d components", ErrFormat, len(data), components)
	}
	return l, nil
}

// leafHead reads what stands before the quantities.
func (r *tileReader) leafHead(l *Leaf) {
	if p := r.take(1); p != nil && p[0] != leafVersion {
		r.bad = true
	}
	l.Source, l.ID, l.Subject = r.str(), r.str(), r.str()
	copy(l.ShapeHash[:], r.take(hashBytes))
}

// Append appends the bytes of a leaf, version 1.
func (l *Leaf) Append(dst []byte) []byte {
	dst = append(dst, leafVersion)
	for _, s := range [...]string{l.Source, l.ID, l.Subject} {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	dst = append(dst, l.ShapeHash[:]...)
	for _, q := range l.Quantities {
		if whole, ok := q.Whole(); ok {
			dst = binary.AppendUvarint(dst, whole<<1)
		} else {
			dst = binary.AppendUvarint(dst, uint64(q)<<1|1)
		}
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(l.Time))
	dst = append(dst, l.Currency.Code()...)
	dst = l.Amount.AppendBinary(dst)
	dst = append(binary.AppendUvarint(dst, uint64(len(l.Version))), l.Version...)
	return binary.AppendUvarint(dst, l.Sequence)
}

func (r *tileReader) str() string { return string(r.take(r.uvarint())) }

// quantity takes the one spelling that a quantity has in a leaf.
func (r *tileReader) quantity() money.Quantity {
	n := r.uvarint()
	q, ok := money.BinaryQuantity(n)
	if _, whole := q.Whole(); !ok || n&1 == 1 && whole {
		r.bad = true
	}
	return q
}

func (r *tileReader) currency() money.Currency {
	c, ok := money.LookupBytes(r.take(3))
	r.bad = r.bad || !ok
	return c
}

func (r *tileReader) amount() money.Amount {
	a, n, err := money.DecodeBinary(r.rest)
	if r.bad || err != nil {
		r.bad = true
		return money.Amount{}
	}
	r.rest = r.rest[n:]
	return a
}
