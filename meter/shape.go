package meter

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// Shape is the decoded form of an event's shape bytes:
//
//	uvarint length, type
//	uvarint count, then per component (sorted by name): uvarint length, name
//	uvarint count, then per dimension (sorted by key): uvarint length, key, uvarint length, value
//
// Components with a zero quantity are not in it. Two events with the same shape
// bytes are rated by the same price.
type Shape struct {
	Type       string
	Components []string
	Dimensions []Dimension
}

// Dimension is a key and its value, both text.
type Dimension struct{ Key, Value string }

// ErrShape says that bytes are not the canonical encoding of a shape.
var ErrShape = errors.New("not a canonical shape")

// appendShape appends the canonical shape of the event under construction, of whose components so
// many are not zero.
func appendShape(a []byte, c *builder, components int) []byte {
	a = appendString(a, c.kind)
	a = binary.AppendUvarint(a, uint64(components))
	for i := range c.nc {
		if c.components[i].quantity != 0 {
			a = appendString(a, c.components[i].name)
		}
	}
	a = binary.AppendUvarint(a, uint64(c.nd))
	for i := range c.nd {
		a = appendString(a, c.dimensions[i].key)
		a = appendString(a, c.dimensions[i].value)
	}
	return a
}

// Append appends the canonical bytes of s, whose lists must be sorted.
func (s *Shape) Append(a []byte) []byte {
	a = appendString(a, s.Type)
	a = binary.AppendUvarint(a, uint64(len(s.Components)))
	for _, c := range s.Components {
		a = appendString(a, c)
	}
	a = binary.AppendUvarint(a, uint64(len(s.Dimensions)))
	for _, d := range s.Dimensions {
		a = appendString(a, d.Key)
		a = appendString(a, d.Value)
	}
	return a
}

// ParseShape decodes canonical shape bytes and refuses any other form.
func ParseShape(p []byte) (Shape, error) {
	r := shapeReader{p: p}
	s := Shape{Type: r.str(MaxIDBytes)}
	n := r.count(MaxComponents)
	for range n {
		name := r.str(MaxComponentBytes)
		if k := len(s.Components); k > 0 && s.Components[k-1] >= name {
			r.bad = true
		}
		s.Components = append(s.Components, name)
	}
	n = r.count(MaxDimensions)
	for range n {
		d := Dimension{Key: r.str(MaxDimensionKeyBytes), Value: r.str(MaxDimensionBytes)}
		if k := len(s.Dimensions); k > 0 && s.Dimensions[k-1].Key >= d.Key {
			r.bad = true
		}
		s.Dimensions = append(s.Dimensions, d)
	}
	if r.bad || len(r.p) != 0 {
		return Shape{}, ErrShape
	}
	return s, nil
}

// Value returns the value of a dimension and whether s has it.
func (s *Shape) Value(key string) (string, bool) {
	for i := range s.Dimensions {
		if s.Dimensions[i].Key == key {
			return s.Dimensions[i].Value, true
		}
	}
	return "", false
}

// With returns s with further dimensions, sorted by key.
func (s *Shape) With(dims []Dimension) Shape {
	out := Shape{Type: s.Type, Components: s.Components}
	out.Dimensions = append(append(out.Dimensions, s.Dimensions...), dims...)
	slices.SortFunc(out.Dimensions, func(a, b Dimension) int { return strings.Compare(a.Key, b.Key) })
	return out
}

type shapeReader struct {
	p   []byte
	bad bool
}

func (r *shapeReader) count(limit int) int {
	n, k := binary.Uvarint(r.p)
	if k <= 0 || n > uint64(limit) || (k > 1 && r.p[k-1] == 0) {
		r.bad, r.p = true, nil
		return 0
	}
	r.p = r.p[k:]
	return int(n)
}

func (r *shapeReader) str(limit int) string { return string(r.bytes(limit)) }

func (r *shapeReader) bytes(limit int) []byte {
	n := r.count(limit)
	if n > len(r.p) {
		r.bad, r.p = true, nil
		return nil
	}
	s := r.p[:n]
	r.p = r.p[n:]
	return s
}

func appendString[T ~string | ~[]byte](a []byte, s T) []byte {
	if n := len(s); n < 0x80 {
		a = append(a, byte(n)) // nearly always: a call less
	} else {
		a = binary.AppendUvarint(a, uint64(n))
	}
	return append(a, s...)
}
