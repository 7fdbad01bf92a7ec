package meter

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"farthing/money"
	"farthing/refusal"
)

// BatchShape is what the events of a batch with the same shape have in common.
type BatchShape struct {
	Bytes      Span   // the canonical shape (Shape)
	Hash       uint64 // of these, under the ledger's seed; finds the interned shape
	Components uint16 // number of quantities
}

// shapesRecent is how many shapes of a batch are found again. A request with more than these, which share
// slots by their hash, has some of them twice in Shapes: that costs a look-up more and changes nothing.
const shapesRecent = 64

// share returns the number of a shape in the batch, taking it in unless it is there.
func (b *Batch) share(raw []byte, components int) uint32 {
	hash := xxh3.HashSeed(raw, b.seed)
	slot := &b.recent[hash%shapesRecent]
	if n := *slot; n != 0 {
		if s := &b.Shapes[n-1]; s.Hash == hash && string(b.Bytes(s.Bytes)) == string(raw) {
			return n - 1
		}
	}
	var at Span
	b.arena, at = appendSpan(b.arena, raw)
	b.Shapes = append(b.Shapes, BatchShape{at, hash, uint16(components)})
	*slot = uint32(len(b.Shapes))
	return *slot - 1
}

// AddShape takes in a shape of which events come by AddShaped: their number for it, and how many quantities each
// has. A refusal refuses each of these events; ErrShape means that raw is no canonical shape at all.
func (b *Batch) AddShape(raw []byte) (number uint32, components int, refused *refusal.Refusal, err error) {
	components, refused, err = inspectShape(raw)
	if err != nil || refused != nil {
		return 0, components, refused, err
	}
	return b.share(raw, components), components, nil, nil
}

// Shaped is an event whose shape was taken in before. Its slices are copied.
type Shaped struct {
	Index               int
	Source, ID, Subject []byte
	Shape               uint32 // of AddShape
	Time                int64  // nanoseconds since the Unix epoch, or NoTime
	Quantities          []money.Quantity
}

// AddShaped appends an event. It has to be one that Begin, the setters and End would take: ids are ids of the contract, and no quantity is zero or
// above money.QuantityMax.
func (b *Batch) AddShaped(x *Shaped) {
	e, a := b.appendNames(x.Source, x.ID, x.Subject, len(x.Quantities))
	e.Time, e.Index, e.Shape = x.Time, uint32(x.Index), x.Shape
	for _, q := range x.Quantities {
		a = binary.LittleEndian.AppendUint64(a, uint64(q))
	}
	b.arena = a
	b.hash(e)
}

// inspectShape checks shape bytes as ParseShape does, and what they say as the setters of an event do, without keeping anything of them.
func inspectShape(raw []byte) (components int, refused *refusal.Refusal, err error) {
	refuse := func(reason, format string, args ...any) {
		if refused == nil {
			refused = refusal.New(refusal.Invalid, reason, format, args...)
		}
	}
	r := shapeReader{p: raw}
	all := len(raw) // what is too long is refused and not misread
	if !ValidID(r.bytes(all)) {
		refuse("invalid_id", "type must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	}
	if components = r.count(all); components > MaxComponents {
		refuse("too_many_components", "an event has at most %d components", MaxComponents)
	}
	var before []byte
	for i := range components {
		name := r.bytes(all)
		r.bad = r.bad || (i > 0 && bytes.Compare(before, name) >= 0)
		if !validName(name) {
			refuse("invalid_component", "a component's name must be 1 to %d of A-Z a-z 0-9 . _ : - / @", MaxComponentBytes)
		}
		before = name
	}
	dimensions := r.count(all)
	if dimensions > MaxDimensions {
		refuse("too_many_dimensions", "an event has at most %d dimensions", MaxDimensions)
	}
	for i := range dimensions {
		key, value := r.bytes(all), r.bytes(all)
		r.bad = r.bad || (i > 0 && bytes.Compare(before, key) >= 0)
		if len(key) == 0 || len(key) > MaxDimensionKeyBytes || !utf8.Valid(key) {
			refuse("invalid_dimension", "a dimension's name must be 1 to %d bytes of UTF-8", MaxDimensionKeyBytes)
		} else if len(value) > MaxDimensionBytes || !utf8.Valid(value) {
			refuse("invalid_dimension", "dimension %s must be at most %d bytes of UTF-8", key, MaxDimensionBytes)
		}
		before = key
	}
	if r.bad || len(r.p) != 0 {
		return 0, nil, ErrShape
	}
	return components, refused, nil
}
