package meter

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"farthing/money"
	"farthing/refusal"
)

// Span is a range of a batch's arena.
type Span struct{ Off, Len uint32 }

// Event is one usage event as a fixed-size record. Its own bytes lie in the
// arena of its batch, contiguously: source, NUL, id, subject, NUL, and
// then eight little-endian bytes per quantity in the order of the shape's
// component names, and then what the provider reported, if that was given. Its
// shape it shares with the events like it.
type Event struct {
	Source, ID, Subject Span
	// Raw is the provider's own usage object: a byte for its format, then the JSON
	// without white space. Len 0: none. It is neither identity nor content, which has
	// what became of it.
	Raw Span

	// Identity hashes (source, id) and Content hashes subject, shape and
	// quantities, both under the ledger's seed. A hash only finds candidates:
	// identities are always compared byte by byte.
	Identity, Content uint64
	// SubjectHash finds the account.
	SubjectHash uint64

	Time       int64  // nanoseconds since the Unix epoch, or NoTime
	Index      uint32 // position in the request, for the answer
	Shape      uint32 // its number in Batch.Shapes
	quantities uint32 // where they begin in the arena
}

// Reject is an event that was refused, with its position in the request.
type Reject struct {
	Index   uint32
	ID      string // as far as it could be read
	Refusal refusal.Refusal
}

// Batch holds the events of one request. It is filled by one goroutine with
// Begin, the setters and End, then handed on whole; Reset makes it reusable.
type Batch struct {
	Events  []Event
	Rejects []Reject
	Shapes  []BatchShape // of the events; what has to be known of a shape is found once, not by event

	arena []byte
	seed  uint64
	cur   builder
	// recent finds shapes again: by low bits of the hash, the number of the last one + 1.
	recent [shapesRecent]uint32
}

// builder is the event under construction. Its slices point into the decoder's
// own input or scratch memory and are copied to the arena by End.
type builder struct {
	index                     uint32
	source, id, subject, kind []byte
	time                      int64
	components                [MaxComponents]component
	dimensions                [MaxDimensions]dimension
	nc, nd                    int
	usage                     bool // data.usage was given
	rawFormat                 byte
	raw                       []byte // nil: none
	shape                     []byte // scratch
	refusal                   *refusal.Refusal
}

type component struct {
	name     []byte
	quantity money.Quantity
}

type dimension struct{ key, value []byte }

// Reset empties b for a new request under the ledger's hash seed.
func (b *Batch) Reset(seed uint64) {
	b.Events, b.Rejects, b.arena, b.seed = b.Events[:0], b.Rejects[:0], b.arena[:0], seed
	b.Shapes = b.Shapes[:0]
	clear(b.recent[:])
}

// Trim lets go of memory beyond what usual requests need, so that a rare large one does
// not stay with a reused batch for ever.
func (b *Batch) Trim(events int) {
	if cap(b.Events) > events {
		b.Events, b.arena = nil, nil
	}
	if cap(b.Rejects) > events {
		b.Rejects = nil
	}
	if cap(b.Shapes) > events {
		b.Shapes = nil
	}
	b.cur = builder{shape: b.cur.shape}
}

// Len returns how many events the request held, refused ones included.
func (b *Batch) Len() int { return len(b.Events) + len(b.Rejects) }

// Bytes returns the bytes of s. They are valid until Reset.
func (b *Batch) Bytes(s Span) []byte { return b.arena[s.Off : s.Off+s.Len : s.Off+s.Len] }

// IdentityBytes returns source, NUL, id: what an identity is compared by.
func (b *Batch) IdentityBytes(e *Event) []byte {
	return b.arena[e.Source.Off : e.ID.Off+e.ID.Len]
}

// Quantity returns the i-th quantity of e.
func (b *Batch) Quantity(e *Event, i int) money.Quantity {
	return money.Quantity(binary.LittleEndian.Uint64(b.arena[int(e.quantities)+8*i:]))
}

// ShapeOf returns what e has in common with others of the batch.
func (b *Batch) ShapeOf(e *Event) *BatchShape { return &b.Shapes[e.Shape] }

// Begin starts the event at the given position of the request. The slices given
// to the setters must stay unchanged until End.
func (b *Batch) Begin(index int) {
	c := &b.cur
	c.index = uint32(index)
	c.source, c.id, c.subject, c.kind = nil, nil, nil, nil
	c.time, c.nc, c.nd, c.usage, c.raw, c.refusal = NoTime, 0, 0, false, nil, nil
}

// Refuse marks the event under construction as refused; the first refusal counts.
func (b *Batch) Refuse(code refusal.Code, reason, format string, args ...any) {
	if b.cur.refusal == nil {
		b.cur.refusal = refusal.New(code, reason, format, args...)
	}
}

// SetSource sets where the event comes from; like all four names it must be an
// id of the contract and is given once.
func (b *Batch) SetSource(v []byte) { b.setID(&b.cur.source, "source", v) }

// SetID sets the event's id, unique within its source.
func (b *Batch) SetID(v []byte) { b.setID(&b.cur.id, "id", v) }

// SetSubject sets the payer's account.
func (b *Batch) SetSubject(v []byte) { b.setID(&b.cur.subject, "subject", v) }

// SetType sets the meter.
func (b *Batch) SetType(v []byte) { b.setID(&b.cur.kind, "type", v) }

func (b *Batch) setID(dst *[]byte, field string, v []byte) {
	if *dst != nil {
		b.Refuse(refusal.Invalid, "duplicate_key", "%s is given twice", field)
		return
	}
	if !ValidID(v) {
		b.Refuse(refusal.Invalid, "invalid_id", "%s must be 1 to 128 of A-Z a-z 0-9 . _ : - / @", field)
	}
	*dst = v
}

// SetTime sets the event's time in nanoseconds since the Unix epoch.
func (b *Batch) SetTime(ns int64) { b.cur.time = ns }

// Usage says that the event carries usage, even if it is empty: then the event
// is not the implicit one call.
func (b *Batch) Usage() { b.cur.usage = true }

// Component adds a quantity of a component. Zero quantities are dropped: they
// are no usage and no content. The list is kept sorted by name.
func (b *Batch) Component(name []byte, q money.Quantity) {
	c := &b.cur
	c.usage = true
	if !validName(name) {
		b.Refuse(refusal.Invalid, "invalid_component", "a component's name must be 1 to %d of A-Z a-z 0-9 . _ : - / @", MaxComponentBytes)
		return
	}
	if c.nc == MaxComponents {
		b.Refuse(refusal.Invalid, "too_many_components", "an event has at most %d components", MaxComponents)
		return
	}
	i := c.nc
	for i > 0 && string(c.components[i-1].name) >= string(name) {
		if string(c.components[i-1].name) == string(name) {
			b.Refuse(refusal.Invalid, "duplicate_key", "component %s is given twice", name)
			return
		}
		c.components[i] = c.components[i-1]
		i--
	}
	c.components[i] = component{name, q}
	c.nc++
}

// GivenDimension returns a dimension that the event under construction was given.
func (b *Batch) GivenDimension(key string) (value []byte, ok bool) {
	for i := range b.cur.nd {
		if d := &b.cur.dimensions[i]; string(d.key) == key {
			return d.value, true
		}
	}
	return nil, false
}

// Dimension adds a dimension: any scalar field of data besides usage, as text.
// The list is kept sorted by key.
func (b *Batch) Dimension(key, value []byte) {
	c := &b.cur
	switch {
	case len(key) == 0 || len(key) > MaxDimensionKeyBytes || !utf8.Valid(key):
		b.Refuse(refusal.Invalid, "invalid_dimension", "a dimension's name must be 1 to %d bytes of UTF-8", MaxDimensionKeyBytes)
		return
	case len(value) > MaxDimensionBytes || !utf8.Valid(value):
		b.Refuse(refusal.Invalid, "invalid_dimension", "dimension %s must be at most %d bytes of UTF-8", key, MaxDimensionBytes)
		return
	case c.nd == MaxDimensions:
		b.Refuse(refusal.Invalid, "too_many_dimensions", "an event has at most %d dimensions", MaxDimensions)
		return
	}
	i := c.nd
	for i > 0 && string(c.dimensions[i-1].key) >= string(key) {
		if string(c.dimensions[i-1].key) == string(key) {
			b.Refuse(refusal.Invalid, "duplicate_key", "dimension %s is given twice", key)
			return
		}
		c.dimensions[i] = c.dimensions[i-1]
		i--
	}
	c.dimensions[i] = dimension{key, value}
	c.nd++
}

// oneCall is the usage of an event that states none.
var oneCall = component{[]byte("call"), money.Quantity(1_000_000)}

// End checks the event under construction and appends it, or its refusal.
func (b *Batch) End() {
	c := &b.cur
	b.requireNames()
	if c.refusal != nil {
		b.Rejects = append(b.Rejects, Reject{Index: c.index, ID: printableID(c.id), Refusal: *c.refusal})
		return
	}
	if !c.usage {
		c.components[0], c.nc = oneCall, 1
	}
	e, a := b.appendNames(c.source, c.id, c.subject, c.nc)
	e.Time, e.Index = c.time, c.index
	for i := range c.nc {
		if q := c.components[i].quantity; q != 0 {
			a = binary.LittleEndian.AppendUint64(a, uint64(q))
		}
	}
	b.arena = a
	components := (len(a) - int(e.quantities)) / 8
	c.shape = appendShape(c.shape[:0], c, components)
	e.Shape = b.share(c.shape, components)
	if c.raw != nil {
		b.arena, e.Raw = appendRaw(b.arena, c.rawFormat, c.raw)
	}
	b.hash(e)
}

// appendNames appends an event, and to the arena, which is returned, its names: quantities come next. There is room
// for so many.
func (b *Batch) appendNames(source, id, subject []byte, quantities int) (e *Event, arena []byte) {
	a := slices.Grow(b.arena, len(source)+len(id)+len(subject)+2+8*quantities)
	if n := len(b.Events); n < cap(b.Events) {
		b.Events = b.Events[:n+1] // filled in place: an event is many words
	} else {
		b.Events = append(b.Events, Event{})
	}
	e = &b.Events[len(b.Events)-1]
	*e = Event{}
	a, e.Source = appendSpan(a, source)
	a = append(a, 0)
	a, e.ID = appendSpan(a, id)
	a, e.Subject = appendSpan(a, subject)
	a = append(a, 0)
	e.quantities = uint32(len(a))
	return e, a
}

// hash hashes an event whose bytes are in the arena.
func (b *Batch) hash(e *Event) {
	a := b.arena
	s := &b.Shapes[e.Shape]
	e.Identity = xxh3.HashSeed(a[e.Source.Off:e.ID.Off+e.ID.Len], b.seed)
	e.SubjectHash = xxh3.HashSeed(a[e.Subject.Off:e.Subject.Off+e.Subject.Len], b.seed)
	e.Content = contentOf(e.SubjectHash, s.Hash, a[e.quantities:int(e.quantities)+8*int(s.Components)], b.seed)
}

// contentOf combines the hashes of an event's content.
func contentOf(subject, shape uint64, quantities []byte, seed uint64) uint64 {
	return xxh3.HashSeed(quantities, seed^subject^(shape<<1|shape>>63))
}

// ContentHash computes Event.Content from an event's parts, for events that come from
// elsewhere than a batch.
func ContentHash(subject, shape []byte, quantities []money.Quantity, seed uint64) uint64 {
	var buf [8 * MaxComponents]byte
	p := buf[:0]
	for _, q := range quantities {
		p = binary.LittleEndian.AppendUint64(p, uint64(q))
	}
	return contentOf(xxh3.HashSeed(subject, seed), xxh3.HashSeed(shape, seed), p, seed)
}

func (b *Batch) requireNames() {
	c := &b.cur
	if c.id != nil && c.source != nil && c.kind != nil && c.subject != nil {
		return
	}
	for _, f := range [...]struct {
		name  string
		value []byte
	}{{"id", c.id}, {"source", c.source}, {"type", c.kind}, {"subject", c.subject}} {
		if f.value == nil {
			b.Refuse(refusal.Invalid, "missing_field", "%s is missing", f.name)
		}
	}
}

// printableID returns the id for an answer: as given if it is one, else cut and cleaned.
func printableID(id []byte) string {
	if ValidID(id) {
		return string(id)
	}
	out := make([]byte, 0, 32)
	for _, c := range id {
		if len(out) == 32 {
			break
		}
		if !idByte[c] {
			c = '_'
		}
		out = append(out, c)
	}
	return string(out)
}

func appendSpan(a, v []byte) ([]byte, Span) {
	s := Span{uint32(len(a)), uint32(len(v))}
	return append(a, v...), s
}
