package compact

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
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
	usage      [meter.MaxComponents]Component
	dimensions [meter.MaxDimensions]meter.Dimension
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
	components, err := b.shapeOf(e)
	if err != nil {
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
	for i := range components {
		out = appendQuantity(out, b.usage[i].Quantity)
	}
	b.events = out
	b.count++
	return nil
}

// shapeOf puts the event's shape into b.shape and its components, sorted and without zeros, into b.usage.
func (b *Batch) shapeOf(e *Event) (components int, err error) {
	if e.Usage == nil {
		b.usage[0], components = Component{"call", oneCall}, 1
	}
	for i, c := range e.Usage {
		switch {
		case slices.ContainsFunc(e.Usage[:i], func(o Component) bool { return o.Name == c.Name }):
			return 0, fmt.Errorf("component %s is given twice", c.Name)
		case c.Quantity == 0:
			continue
		case components == len(b.usage):
			return 0, fmt.Errorf("an event has at most %d components", len(b.usage))
		}
		k := components
		for ; k > 0 && b.usage[k-1].Name > c.Name; k-- {
			b.usage[k] = b.usage[k-1]
		}
		b.usage[k] = c
		components++
	}
	b.shape = binary.AppendUvarint(appendText(b.shape[:0], e.Type), uint64(components))
	for i := range components {
		b.shape = appendText(b.shape, b.usage[i].Name)
	}
	return components, b.appendDimensions(e.Dimensions)
}

// oneCall is the quantity of one call.
const oneCall money.Quantity = 1_000_000

func (b *Batch) appendDimensions(list []meter.Dimension) error {
	if len(list) > len(b.dimensions) {
		return fmt.Errorf("an event has at most %d dimensions", len(b.dimensions))
	}
	for n, d := range list {
		i := n
		for ; i > 0 && b.dimensions[i-1].Key >= d.Key; i-- {
			if b.dimensions[i-1].Key == d.Key {
				return fmt.Errorf("dimension %s is given twice", d.Key)
			}
			b.dimensions[i] = b.dimensions[i-1]
		}
		b.dimensions[i] = d
	}
	b.shape = binary.AppendUvarint(b.shape, uint64(len(list)))
	for i := range list {
		b.shape = appendText(appendText(b.shape, b.dimensions[i].Key), b.dimensions[i].Value)
	}
	return nil
}

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

func appendQuantity(dst []byte, q money.Quantity) []byte {
	if whole, ok := q.Whole(); ok {
		return binary.AppendUvarint(dst, whole<<1)
	}
	return binary.AppendUvarint(dst, uint64(q)<<1|1)
}
