package compact

import (
	"encoding/binary"
	"sync"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// eventMinBytes is what the shortest event takes: shape, source, and the lengths of subject and id.
const eventMinBytes = 4

// Count returns how many events a body says that it has: never more than its size can hold, nor than a request may have.
func Count(body []byte) (int, *refusal.Refusal) {
	d := decoder{in: body}
	n, _ := d.begin()
	if d.refused != nil {
		return 0, d.refused
	}
	return n, nil
}

// recordsMax bounds what the events of a body come to, each spelled out: as much as a body of JSON may have. A shape stands in a body
// once, and a record of the journal may have it whole.
const recordsMax = 8 << 20

// Decode reads body into batch, which must be fresh, and returns how many bytes its events come to, each spelled out. A refusal refuses the whole request; then the batch holds a part of it and
// must not be used. What refuses one event alone is in the batch, and its neighbours are not touched.
func Decode(body []byte, batch *meter.Batch) (size int, refused *refusal.Refusal) {
	d := decoders.Get().(*decoder)
	d.in, d.batch = body, batch
	d.run()
	size, refused = d.size, d.refused
	clear(d.sources) // keep no pointer into the request's buffer
	clear(d.shapes)
	*d = decoder{sources: d.sources[:0], shapes: d.shapes[:0]}
	if cap(d.sources) <= tablesKeep && cap(d.shapes) <= tablesKeep {
		decoders.Put(d)
	}
	return size, refused
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// tablesKeep is the largest table kept for reuse; usual requests have a few sources and some dozen shapes.
const tablesKeep = 1 << 10

// decoder reads one body. Its methods take the offset to read at and return the offset after what they read, or −1 after the
// first fault.
type decoder struct {
	in      []byte
	batch   *meter.Batch
	refused *refusal.Refusal // of the whole body
	sources []source
	shapes  []shape
	base    int64
	size    int          // of the events so far, spelled out
	next    meter.Shaped // of the event being read
	bad     fault        // of it alone
	values  [meter.MaxComponents]money.Quantity
}

type source struct {
	name  []byte
	valid bool
}

type shape struct {
	size       int
	number     uint32 // in the batch
	components int
	refused    *refusal.Refusal // of each event that has it
}

// fault is what refuses one event.
type fault struct{ reason, detail string }

func (d *decoder) run() {
	n, p := d.begin()
	if p = d.tables(p); p < 0 {
		return
	}
	for i := range n {
		if p = d.event(p, i); p < 0 {
			return
		}
	}
	if p != len(d.in) {
		d.fail(p, "something follows the last event")
	}
}

// fail refuses the body.
func (d *decoder) fail(p int, what string) int {
	if d.refused == nil {
		d.refused = refusal.New(refusal.Malformed, "syntax", "the body is no compact batch: %s at byte %d", what, p)
	}
	return -1
}

// begin reads up to the number of events.
func (d *decoder) begin() (n, p int) {
	switch {
	case len(d.in) < len(magic) || string(d.in[:len(magic)-1]) != magic[:len(magic)-1]:
		return 0, d.fail(0, "it does not begin with FEB")
	case d.in[len(magic)-1] != magic[len(magic)-1]:
		d.refused = refusal.New(refusal.Malformed, "unsupported_version", "the compact batch has version %d; this server reads version %d",
			d.in[len(magic)-1], magic[len(magic)-1])
		return 0, -1
	}
	count, p := d.uvarint(len(magic))
	switch {
	case p < 0:
		return 0, p
	case count > meter.MaxBatchEvents:
		d.refused = refusal.New(refusal.TooLarge, "too_many_events", "a request has at most %d events", meter.MaxBatchEvents)
		return 0, -1
	case count > uint64(len(d.in)-p)/eventMinBytes:
		return 0, d.fail(p, "it is shorter than its number of events")
	}
	return int(count), p
}

// tables reads sources, shapes and base time.
func (d *decoder) tables(p int) int {
	n, p := d.length(p)
	for ; n > 0 && p >= 0; n-- {
		var name []byte
		if name, p = d.text(p); p >= 0 {
			d.sources = append(d.sources, source{name, meter.ValidID(name)})
		}
	}
	n, p = d.length(p)
	for ; n > 0 && p >= 0; n-- {
		p = d.shape(p)
	}
	if p < 0 {
		return p
	}
	if len(d.in)-p < 8 {
		return d.fail(p, "the base time is missing")
	}
	d.base = int64(binary.BigEndian.Uint64(d.in[p:]))
	return p + 8
}

// length reads how many entries a table has. None needs more than there may be events.
func (d *decoder) length(p int) (n uint64, next int) {
	if n, next = d.uvarint(p); next >= 0 && n > meter.MaxBatchEvents {
		return 0, d.fail(p, "a table has more entries than a request may have events")
	}
	return n, next
}

func (d *decoder) shape(p int) int {
	raw, next := d.text(p)
	if next < 0 {
		return next
	}
	number, components, refused, err := d.batch.AddShape(raw)
	if err != nil {
		return d.fail(p, "a shape is not in canonical form")
	}
	d.shapes = append(d.shapes, shape{len(raw), number, components, refused})
	return next
}

// event reads event i.
func (d *decoder) event(p, i int) int {
	head, p := d.uvarint(p)
	from, p := d.uvarint(p)
	subject, p := d.text(p)
	id, p := d.text(p)
	switch {
	case p < 0:
		return p
	case head>>1 >= uint64(len(d.shapes)) || from >= uint64(len(d.sources)):
		return d.fail(p, "an event has a shape or a source that is not in its table")
	}
	x, s, o := &d.next, &d.shapes[head>>1], &d.sources[from]
	d.bad = fault{}
	x.Time = meter.NoTime
	if head&1 != 0 {
		if p = d.time(p); p < 0 {
			return p
		}
	}
	if p = d.quantities(p, s.components); p < 0 {
		return p
	}
	if d.size += s.size + len(o.name) + len(subject) + len(id) + 8*s.components; d.size > recordsMax {
		d.refused = refusal.New(refusal.TooLarge, "records_too_large", "the events of a request may have at most %d bytes, each with its shape", recordsMax)
		return -1
	}
	x.Index, x.Source, x.ID, x.Subject, x.Shape = i, o.name, id, subject, s.number
	x.Quantities = d.values[:min(s.components, len(d.values))]
	if s.refused != nil || d.bad.reason != "" || !o.valid || !meter.ValidID(subject) || !meter.ValidID(id) {
		d.refuse(s)
		return p
	}
	d.batch.AddShaped(x)
	return p
}

// refuse refuses the event alone.
func (d *decoder) refuse(s *shape) {
	x := &d.next
	d.batch.Begin(x.Index)
	d.batch.SetID(x.ID)
	d.batch.SetSource(x.Source)
	d.batch.SetSubject(x.Subject)
	if s.refused != nil {
		d.batch.Refuse(s.refused.Code, s.refused.Reason, "%s", s.refused.Detail)
	}
	if d.bad.reason != "" {
		d.batch.Refuse(refusal.Invalid, d.bad.reason, "%s", d.bad.detail)
	}
	d.batch.End()
}

// time reads the event's time.
func (d *decoder) time(p int) int {
	after, n := binary.Varint(d.in[p:])
	if n <= 0 {
		return d.fail(p, "a time does not decode")
	}
	at := d.base + after
	if (after > 0) != (at > d.base) && after != 0 || at == meter.NoTime {
		d.bad = fault{"invalid_time", "time must be nanoseconds since 1970 that fit into 64 bits"}
	}
	d.next.Time = at
	return p + n
}

func (d *decoder) quantities(p, n int) int {
	for k := range n {
		var v uint64
		if v, p = d.uvarint(p); p < 0 {
			return p
		}
		q, ok := money.BinaryQuantity(v)
		switch {
		case !ok:
			d.bad = fault{"quantity_overflow", "a quantity must be at most " + money.QuantityMax.String()}
		case q == 0:
			d.bad = fault{"zero_quantity", "a component of which nothing was used has no place in the shape"}
		}
		if k < len(d.values) { // with more the shape is refused
			d.values[k] = q
		}
	}
	return p
}

// uvarint reads a number; at a negative offset it does nothing, so that calls can follow each other.
func (d *decoder) uvarint(p int) (v uint64, next int) {
	if p < 0 {
		return 0, p
	}
	in := d.in[p:]
	if len(in) > 1 {
		if in[0] < 0x80 { // most have one byte or two
			return uint64(in[0]), p + 1
		}
		if in[1] < 0x80 {
			return uint64(in[0]&0x7f) | uint64(in[1])<<7, p + 2
		}
	}
	v, n := binary.Uvarint(in)
	if n <= 0 {
		return 0, d.fail(p, "a number does not decode")
	}
	return v, p + n
}

// text reads a length and so many bytes, which lie in the body.
func (d *decoder) text(p int) (b []byte, next int) {
	n, next := d.uvarint(p)
	if next < 0 {
		return nil, next
	}
	if n > uint64(len(d.in)-next) {
		return nil, d.fail(p, "a text is longer than the body")
	}
	return d.in[next : next+int(n) : next+int(n)], next + int(n)
}
