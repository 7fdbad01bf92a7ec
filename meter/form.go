package meter

import (
	"bytes"
	"encoding/binary"
	"slices"

	"farthing/money"
)

// Form is what events that are written alike have in common: the names of their components and the keys of their
// dimensions, each list in the order in which such an event gives the values. They are sorted and encoded once, not
// with each event. A Form may be used again by Set.
type Form struct {
	components, dimensions names
	call                   bool // such events carry no usage: each is one call
}

// names are names of a form, sorted.
type names struct {
	order   []uint8 // of each, which one it was
	encoded []byte  // how many there are, then each as a shape has it
	ends    []int   // in encoded, of the count and of each name
}

// Set makes f the form of events with these components and dimensions. They have to be what one event had that End
// took, so they are valid and none is there twice. usage: it had some, even if empty.
func (f *Form) Set(components, dimensions [][]byte, usage bool) {
	f.call = !usage
	if f.call {
		components = [][]byte{oneCall.name}
	}
	f.components.set(components)
	f.dimensions.set(dimensions)
}

func (n *names) set(list [][]byte) {
	n.order = n.order[:0]
	for i := range list {
		n.order = append(n.order, uint8(i))
	}
	slices.SortFunc(n.order, func(a, b uint8) int { return bytes.Compare(list[a], list[b]) })
	n.encoded = binary.AppendUvarint(n.encoded[:0], uint64(len(list)))
	n.ends = append(n.ends[:0], len(n.encoded))
	for _, i := range n.order {
		n.encoded = appendString(n.encoded, list[i])
		n.ends = append(n.ends, len(n.encoded))
	}
}

// Formed is an event of a form. Its slices are copied.
type Formed struct {
	Index                     int
	Source, ID, Subject, Type []byte
	Time                      int64            // nanoseconds since the Unix epoch, or NoTime
	Quantities                []money.Quantity // of the components, in the form's order; of one call none
	Values                    [][]byte         // of the dimensions, in the form's order
	Shape                     int              // its number in the batch, if known, else -1
}

// oneCallOnly are the quantities of an event that states no usage.
var oneCallOnly = []money.Quantity{oneCall.quantity}

// AddFormed appends an event. It has to be one that Begin, the setters and End would take. It returns the number of its
// shape. Another event of the form has the same one if type, values, and which quantities are zero are the same.
func (b *Batch) AddFormed(f *Form, x *Formed) (shape int) {
	quantities := x.Quantities
	if f.call {
		quantities = oneCallOnly
	}
	e, a := b.appendNames(x.Source, x.ID, x.Subject, len(quantities))
	e.Time, e.Index = x.Time, uint32(x.Index)
	for _, i := range f.components.order {
		if q := quantities[i]; q != 0 {
			a = binary.LittleEndian.AppendUint64(a, uint64(q))
		}
	}
	b.arena = a
	if shape = x.Shape; shape < 0 {
		components := (len(a) - int(e.quantities)) / 8
		b.cur.shape = f.appendShape(b.cur.shape[:0], x, quantities, components)
		shape = int(b.share(b.cur.shape, components))
	}
	e.Shape = uint32(shape)
	b.hash(e)
	return shape
}

// appendShape appends the canonical shape of x, of whose components so many are not zero.
func (f *Form) appendShape(a []byte, x *Formed, quantities []money.Quantity, components int) []byte {
	a = appendString(a, x.Type)
	if c := &f.components; components == len(quantities) {
		a = append(a, c.encoded...)
	} else {
		a = append(a, byte(components))
		for k, i := range c.order {
			if quantities[i] != 0 {
				a = append(a, c.encoded[c.ends[k]:c.ends[k+1]]...)
			}
		}
	}
	from := 0
	d := &f.dimensions
	for k, i := range d.order {
		to := d.ends[k+1]
		a = append(a, d.encoded[from:to]...)
		a = appendString(a, x.Values[i])
		from = to
	}
	if len(d.order) == 0 {
		a = append(a, 0)
	}
	return a
}
