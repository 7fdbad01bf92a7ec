package compact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"farthing/meter"
	"farthing/money"
)

// MediaType is the content type of a body.
const MediaType = "application/vnd.farthing.events.v1"

// magic begins a body; the last byte is the version.
const magic = "FEB\x01"

// ErrEvent says why an event has no compact form.
var ErrEvent = errors.New("not a compact event")

// Event is a usage event. Its names are ids of the contract; that and the other bounds of an event the server
// checks.
type Event struct {
	Source, ID string // together its identity
	Subject    string // the payer's account
	Type       string // the meter
	Time       time.Time
	Usage      []Component // each name once; what is zero is left out; nil: one call
	Dimensions []meter.Dimension
}

// Component is how much was used of something.
type Component struct {
	Name     string
	Quantity money.Quantity
}

// Batch gathers the events of a request. The zero value is empty. It belongs to one goroutine.
type Batch struct {
	sources, shapes table
	base            int64 // the first time
	timed           bool
	count           int
	events          []byte

	// Scratch of Add.
	usage      []Component
	names      []string
	dimensions []meter.Dimension
	shape      []byte
}

// table numbers what it is given from 0.
type table struct {
	numbers map[string]uint64
	bytes   []byte // of each, in order: uvarint length, bytes
}

func (t *table) number(of []byte) uint64 {
	n, ok := t.numbers[string(of)]
	if !ok {
		n = uint64(len(t.numbers))
		if t.numbers == nil {
			t.numbers = map[string]uint64{}
		}
		t.numbers[string(of)] = n
		t.bytes = appendText(t.bytes, of)
	}
	return n
}

func (t *table) append(dst []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(t.numbers))), t.bytes...)
}

func (t *table) reset() {
	clear(t.numbers)
	t.bytes = t.bytes[:0]
}

// Reset empties b and keeps its memory.
func (b *Batch) Reset() {
	b.sources.reset()
	b.shapes.reset()
	b.timed, b.count, b.events = false, 0, b.events[:0]
}

// Len returns how many events b has.
func (b *Batch) Len() int { return b.count }

// Add adds an event. An error says that it has no compact form; b is then as it was. Of the bounds on an event it checks
// only those without which there is none.
func (b *Batch) Add(e *Event) error {
	if err := b.shapeOf(e); err != nil {
		return fmt.Errorf("%w: %w", ErrEvent, err)
	}
	if b.count == meter.MaxBatchEvents {
		return fmt.Errorf("%w: a request has at most %d", ErrEvent, meter.MaxBatchEvents)
	}
	at := e.Time.UnixNano()
	if !e.Time.IsZero() && !time.Unix(0, at).Equal(e.Time) {
		return fmt.Errorf("%w: its time is no number of nanoseconds since 1970 of 64 bits", ErrEvent)
	}
	head := b.shapes.number(b.shape) << 1
	if !e.Time.IsZero() {
		head |= 1
	}
	out := binary.AppendUvarint(b.events, head)
	b.shape = append(b.shape[:0], e.Source...)
	out = binary.AppendUvarint(out, b.sources.number(b.shape))
	out = appendText(appendText(out, e.Subject), e.ID)
	if head&1 != 0 {
		if !b.timed {
			b.base, b.timed = at, true
		}
		out = binary.AppendVarint(out, at-b.base)
	}
	for i := range b.usage {
		out = b.usage[i].Quantity.AppendBinary(out)
	}
	b.events = out
	b.count++
	return nil
}

// shapeOf puts the event's shape into b.shape and its components, sorted and without zeros, into b.usage.
func (b *Batch) shapeOf(e *Event) error {
	usage := e.Usage
	if usage == nil {
		usage = oneCall
	}
	b.usage = append(b.usage[:0], usage...)
	slices.SortFunc(b.usage, func(x, y Component) int { return strings.Compare(x.Name, y.Name) })
	if i := repeated(b.usage, func(c *Component) string { return c.Name }); i >= 0 {
		return fmt.Errorf("component %s is given twice", b.usage[i].Name)
	}
	b.usage = slices.DeleteFunc(b.usage, func(c Component) bool { return c.Quantity == 0 })
	b.dimensions = append(b.dimensions[:0], e.Dimensions...)
	slices.SortFunc(b.dimensions, func(x, y meter.Dimension) int { return strings.Compare(x.Key, y.Key) })
	if i := repeated(b.dimensions, func(d *meter.Dimension) string { return d.Key }); i >= 0 {
		return fmt.Errorf("dimension %s is given twice", b.dimensions[i].Key)
	}
	if len(b.usage) > meter.MaxComponents || len(b.dimensions) > meter.MaxDimensions {
		return fmt.Errorf("an event has at most %d components and %d dimensions", meter.MaxComponents, meter.MaxDimensions)
	}
	b.names = b.names[:0]
	for i := range b.usage {
		b.names = append(b.names, b.usage[i].Name)
	}
	shape := meter.Shape{Type: e.Type, Components: b.names, Dimensions: b.dimensions}
	b.shape = shape.Append(b.shape[:0])
	return nil
}

// repeated returns where a sorted list has a name for the second time, or -1.
func repeated[T any](list []T, name func(*T) string) int {
	for i := 1; i < len(list); i++ {
		if name(&list[i]) == name(&list[i-1]) {
			return i
		}
	}
	return -1
}

// oneCall is the usage of an event that has none.
var oneCall = []Component{{"call", 1_000_000}}

// Append appends the body of a request.
func (b *Batch) Append(dst []byte) []byte {
	dst = binary.AppendUvarint(append(dst, magic...), uint64(b.count))
	dst = b.shapes.append(b.sources.append(dst))
	base := b.base
	if !b.timed {
		base = 0
	}
	return append(binary.BigEndian.AppendUint64(dst, uint64(base)), b.events...)
}

func appendText[T ~string | ~[]byte](dst []byte, s T) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(s))), s...)
}
