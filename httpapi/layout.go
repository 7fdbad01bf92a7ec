package httpapi

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"farthing/meter"
	"farthing/money"
)

// layouts read events that are written like one before: the same keys in the same order with the same white space,
// so that only values differ. Nearly all events of a request are. What stands between the values is compared as it
// is, without looking at keys, brackets and colons one by one: it was JSON once, its keys were known and distinct,
// and it is so again. So a value is all that has to be looked at, and it has to be of the plainest form: a string
// without escapes that is in order for its field, a number. Everything else, whatever it is, is read the general way
// from the event's beginning; nothing is refused here.
//
// A layout is a path in a tree of steps, each a literal and the value after it. Layouts with the same beginning share
// it, so that among several the right one is found while reading.
//
// They stay with the decoder, which serves any client: a layout changes how fast an event is read, not what it means.
// An event of other clients' layouts costs a comparison for each that begins differently.
type layouts struct {
	steps []step // the first is the root, which has neither literal nor value
	forms []form // by number: of the steps that end an event

	// credit is spent by events of this body that are tried in vain and gained by others. Bodies whose events are not
	// alike, or not plain, have none soon and are read the general way alone.
	credit int

	// The event that was read last.
	event      meter.Formed
	form       *form
	names      [valueTime]span // by kind
	quantities [meter.MaxComponents]money.Quantity
	dimensions [meter.MaxDimensions]span
	values     [meter.MaxDimensions][]byte
	zeros      uint64 // which quantities are zero
	minute     lastMinute
	shapes     [256]knownShape
	slots      []uint8           // those of shapes that are in use
	ending     [literalSize]byte // what a text that is shorter ends with, then zeros

	walk walk
}

// span is a part of the text.
type span struct{ from, to int }

func (s span) of(in []byte) []byte { return in[s.from:s.to] }

// step is a literal and what comes after it.
type step struct {
	// The literal, and what of each word is of it: comparing these few words costs less than a call that compares bytes.
	words, masks [literalWords]uint64
	size         uint8 // of the literal
	value        valueKind
	form         uint8 // of noValue
	// length is that of the last name or time here. The next one is mostly as long, and then where the next literal is
	// does not wait for the bytes of this value.
	length uint8
	next   uint16 // the first step that may follow; 0: none
	other  uint16 // what else may be here; 0: nothing
}

const (
	literalWords = 4
	literalSize  = 8 * literalWords // longer ones take several steps
)

// form is what events of a layout have in common.
type form struct {
	meter.Form
	versioned bool // specversion is "1.0"
	scattered bool // there is something that is no dimension between the first and the last one
}

type valueKind uint8

const (
	noValue valueKind = iota // the event ends
	valueID
	valueSource
	valueType
	valueSubject
	valueTime
	valueText      // a dimension, as a string
	valueScalar    // … as a number or a boolean
	valueComponent // a quantity
	moreLiteral    // nothing yet: the literal goes on
)

// Bounds of what is remembered. Past one of them all is forgotten: whoever sends events now is learnt again at once,
// which costs as much as to read an event the general way.
const (
	layoutsMax     = 16 // this bounds how many steps may be in one place, too
	stepsMax       = 512
	layoutStepsMax = 128 // of one layout
)

// Credit: a try in vain, if it ends in learning, costs what three others save.
const (
	creditFirst = 12
	creditMost  = 48
	creditMiss  = 3
)

// begin makes l ready for a body.
func (l *layouts) begin() { l.credit = creditFirst }

// end lets go of the body.
func (l *layouts) end() {
	l.event = meter.Formed{}
	clear(l.values[:])
	l.forgetShapes()
	l.walk.drop()
}

// read reads the event at p and returns the offset after it, or -1 if it is in no layout. It counts only with add.
func (l *layouts) read(in []byte, p int, cloudEvents bool) (next int) {
	if l.credit <= 0 || len(l.steps) == 0 {
		return -1
	}
	x := &l.event
	x.Time, l.zeros = meter.NoTime, 0
	components, dimensions := 0, 0
	for i := l.steps[0].next; i != 0; {
		s := &l.steps[i]
		w := &l.ending
		if len(in)-p >= literalSize {
			w = (*[literalSize]byte)(in[p:])
		} else {
			clear(w[copy(w[:], in[p:]):]) // no literal has a zero byte
		}
		if (binary.LittleEndian.Uint64(w[0:])^s.words[0])&s.masks[0]|
			(binary.LittleEndian.Uint64(w[8:])^s.words[1])&s.masks[1]|
			(binary.LittleEndian.Uint64(w[16:])^s.words[2])&s.masks[2]|
			(binary.LittleEndian.Uint64(w[24:])^s.words[3])&s.masks[3] != 0 {
			i = s.other
			continue
		}
		from := p + int(s.size)
		end := from
		switch s.value {
		case noValue:
			if l.form = &l.forms[s.form]; l.form.versioned || !cloudEvents {
				x.Quantities, x.Values = l.quantities[:components], l.values[:dimensions]
				l.credit = min(l.credit+1, creditMost)
				return from
			}
			end = -1
		case valueComponent:
			if l.quantities[components], end = quantityAt(in, from); end >= 0 {
				if l.quantities[components] == 0 {
					l.zeros |= 1 << components
				}
				components++
			}
		case valueText:
			if end = plainEnd(in, from); end >= 0 {
				l.dimensions[dimensions] = span{from, end}
				dimensions++
			}
		case valueScalar:
			if end = scalarEnd(in, from); end >= 0 {
				l.dimensions[dimensions] = span{from, end}
				dimensions++
			}
		case valueTime:
			end = l.time(s, in, from)
		case moreLiteral:
		default:
			end = s.name(in, from)
			l.names[s.value] = span{from, end}
		}
		if end < 0 {
			i = s.other
			continue
		}
		p, i = end, s.next
	}
	l.credit -= creditMiss
	return -1
}

// name returns the offset of the quote that closes the name at p, or -1.
func (s *step) name(in []byte, p int) (end int) {
	end = p + int(s.length)
	if end < len(in) && in[end] == '"' && meter.ValidID(in[p:end]) {
		return end
	}
	if end = meter.IDEnd(in, p); end < 0 || in[end] != '"' {
		return -1
	}
	s.length = uint8(end - p)
	return end
}

// timeMost is above what a time has in bytes. One with more is read the general way.
const timeMost = 64

// time reads the time at p and returns the offset of the quote that closes it, or -1.
func (l *layouts) time(s *step, in []byte, p int) (end int) {
	end = p + int(s.length)
	if end >= len(in) || in[end] != '"' {
		n := bytes.IndexByte(in[p:min(len(in), p+timeMost)], '"')
		if n < 0 {
			return -1
		}
		s.length, end = uint8(n), p+n
	}
	ns, ok := l.minute.parse(in[p:end])
	if !ok {
		return -1
	}
	l.event.Time = ns
	return end
}

// add gives the event of in that was read last to the batch.
func (l *layouts) add(in []byte, batch *meter.Batch, index int) {
	x := &l.event
	x.Index, x.Shape = index, -1
	x.ID, x.Source, x.Type, x.Subject = l.names[valueID].of(in), l.names[valueSource].of(in), l.names[valueType].of(in), l.names[valueSubject].of(in)
	for i := range x.Values {
		x.Values[i] = l.dimensions[i].of(in)
	}
	if l.form.scattered {
		batch.AddFormed(&l.form.Form, x)
		return
	}
	s := knownShape{form: l.form, zeros: l.zeros, kind: x.Type}
	if n := len(x.Values); n > 0 {
		s.text = in[l.dimensions[0].from:l.dimensions[n-1].to]
	}
	slot := s.slot()
	known := &l.shapes[slot]
	if known.form == s.form && known.zeros == s.zeros && string(known.kind) == string(s.kind) && string(known.text) == string(s.text) {
		x.Shape = known.number
		batch.AddFormed(&l.form.Form, x)
		return
	}
	s.number = batch.AddFormed(&l.form.Form, x)
	if known.form == nil {
		l.slots = append(l.slots, slot)
	}
	*known = s
}

// plainEnd returns the offset of the quote that closes a string whose rest is at p, or -1 if it has an escape or is
// no dimension.
func plainEnd(in []byte, p int) int {
	in = in[:min(len(in), p+meter.MaxDimensionBytes+1)]
	for ; p+8 <= len(in); p += 8 {
		if m := special(binary.LittleEndian.Uint64(in[p:])); m != 0 {
			if p += bits.TrailingZeros64(m) >> 3; in[p] == '"' {
				return p
			}
			return -1
		}
	}
	for ; p < len(in); p++ {
		switch c := in[p]; {
		case c == '"':
			return p
		case c == '\\' || c < 0x20:
			return -1
		}
	}
	return -1
}

// scalarEnd returns the offset after the number or boolean at p, or -1 if none is there.
func scalarEnd(in []byte, p int) int {
	in = in[:min(len(in), p+meter.MaxDimensionBytes)]
	for _, word := range [...]string{"true", "false"} {
		if len(in)-p >= len(word) && string(in[p:p+len(word)]) == word {
			return p + len(word)
		}
	}
	return numberEnd(in, p)
}

// wordDigits is how many digits a word has, with a byte after them.
const wordDigits = 7

// quantityAt reads the quantity at p and returns the offset after it, or -1. The digits of nearly all are taken at
// once: a loop would be mispredicted whenever their number changes.
func quantityAt(in []byte, p int) (q money.Quantity, end int) {
	if p+8 <= len(in) {
		w := binary.LittleEndian.Uint64(in[p:]) ^ eachByte*'0' // digits are 0 to 9 now
		other := (w + eachByte*(0x80-10) | w) & topBits
		n := uint(bits.TrailingZeros64(other)) >> 3
		if n-1 < wordDigits && w&0xff|1>>(n-1) != 0 && in[p+int(n)] != '.' && in[p+int(n)]|0x20 != 'e' {
			w <<= 64 - 8*n // as if zeros came before
			w = (w*10 + w>>8) & 0x00ff00ff00ff00ff
			w = (w*100 + w>>16) & 0x0000ffff0000ffff
			w = (w*10000 + w>>32) & 0xffffffff
			q, _ = money.WholeQuantity(w)
			return q, p + int(n)
		}
	}
	if end = numberEnd(in, p); end < 0 {
		return 0, -1
	}
	q, err := money.ParseQuantity(in[p:end])
	if err != nil {
		return 0, -1
	}
	return q, end
}

// learn remembers the layout of the event at p, which was read the general way and taken.
func (l *layouts) learn(in []byte, p int) {
	w := &l.walk
	if l.credit <= 0 {
		return
	}
	if !w.event(in, p) {
		l.credit -= creditMiss // it was gone over in vain
		return
	}
	if len(l.steps) == 0 || len(l.forms) == layoutsMax || len(l.steps)+len(w.found) > stepsMax {
		l.steps, l.forms = append(l.steps[:0], step{}), l.forms[:0]
		l.forgetShapes() // they name forms
	}
	at := uint16(0)
	for i := range w.found {
		f := &w.found[i]
		at = l.follow(at, in[f.from:f.to], f.value)
	}
	if s := &l.steps[at]; s.form == unformed {
		s.form = uint8(len(l.forms))
		if len(l.forms) == cap(l.forms) {
			l.forms = append(l.forms, form{})
		} else {
			l.forms = l.forms[:len(l.forms)+1] // with the memory of one that was forgotten
		}
		f := &l.forms[s.form]
		f.Set(w.components, w.dimensions, w.usage)
		f.versioned, f.scattered = w.versioned, w.scattered()
	}
}

const unformed = 255

// follow returns the step after at with a literal of at most literalSize bytes and a value, and makes it if there is none.
func (l *layouts) follow(at uint16, literal []byte, value valueKind) uint16 {
	n := step{size: uint8(len(literal)), value: value, form: unformed}
	var text, mask [literalSize]byte
	copy(text[:], literal)
	for i := range literal {
		mask[i] = 0xff
	}
	for i := range n.words {
		n.words[i], n.masks[i] = binary.LittleEndian.Uint64(text[8*i:]), binary.LittleEndian.Uint64(mask[8*i:])
	}
	for i := l.steps[at].next; i != 0; i = l.steps[i].other {
		if s := &l.steps[i]; s.value == value && s.size == n.size && s.words == n.words {
			return i
		}
	}
	i := uint16(len(l.steps))
	n.other = l.steps[at].next
	l.steps = append(l.steps, n)
	l.steps[at].next = i
	return i
}
