package httpapi

import (
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
	text  []byte // their literals
	forms []form // by number: of the steps that end an event

	// credit is how many events more of this body may be tried in vain. Bodies whose events are not alike, or not
	// plain, are read the general way alone after that.
	credit int

	// The event that was read last.
	event      meter.Formed
	form       *form
	quantities [meter.MaxComponents]money.Quantity
	values     [meter.MaxDimensions][]byte

	walk walk
}

// step is a literal and what comes after it.
type step struct {
	from, to uint16 // the literal, in text
	value    valueKind
	form     uint8  // of stepEnd
	next     uint16 // the first step that may follow; 0: none
	other    uint16 // what else may be here; 0: nothing
}

// form is what events of a layout have in common.
type form struct {
	meter.Form
	versioned bool // specversion is "1.0"
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
)

// Bounds of what is remembered. Past one of them all is forgotten: whoever sends events now is learnt again at once,
// for less than two events cost.
const (
	layoutsMax     = 16 // this bounds how many steps may be in one place, too
	stepsMax       = 512
	layoutTextMax  = 16 << 10
	literalsMax    = 2 << 10 // of one layout
	layoutCredit   = 16
	swarDigitsMost = 7
)

// begin makes l ready for a body.
func (l *layouts) begin() { l.credit = layoutCredit }

// end lets go of the body.
func (l *layouts) end() {
	l.event = meter.Formed{}
	clear(l.values[:])
	l.walk.drop()
}

// read reads the event at p and returns the offset after it, or -1 if it is in no layout. It counts only with add.
func (l *layouts) read(in []byte, p int, cloudEvents bool) (next int) {
	if l.credit == 0 || len(l.steps) == 0 {
		return -1
	}
	l.event.Time = meter.NoTime
	components, dimensions := 0, 0
	for i := l.steps[0].next; i != 0; {
		s := &l.steps[i]
		i = s.other // unless both the literal and the value are there
		literal := l.text[s.from:s.to]
		if len(in)-p < len(literal) || string(in[p:p+len(literal)]) != string(literal) {
			continue
		}
		from := p + len(literal)
		to := -1
		switch s.value {
		case noValue:
			f := &l.forms[s.form]
			if cloudEvents && !f.versioned {
				continue
			}
			l.event.Quantities, l.event.Values = l.quantities[:components], l.values[:dimensions]
			l.form = f
			l.credit = min(l.credit+1, layoutCredit)
			return from
		case valueID:
			l.event.ID, to = nameAt(in, from)
		case valueSource:
			l.event.Source, to = nameAt(in, from)
		case valueType:
			l.event.Type, to = nameAt(in, from)
		case valueSubject:
			l.event.Subject, to = nameAt(in, from)
		case valueTime:
			if end := plainEnd(in, from); end >= 0 {
				if ns, ok := parseTime(in[from:end]); ok {
					l.event.Time, to = ns, end
				}
			}
		case valueText:
			if end := plainEnd(in, from); end >= 0 && end-from <= meter.MaxDimensionBytes {
				l.values[dimensions] = in[from:end]
				dimensions++
				to = end
			}
		case valueScalar:
			if end := scalarEnd(in, from); end >= 0 && end-from <= meter.MaxDimensionBytes {
				l.values[dimensions] = in[from:end]
				dimensions++
				to = end
			}
		case valueComponent:
			if q, end := quantityAt(in, from); end >= 0 {
				l.quantities[components] = q
				components++
				to = end
			}
		}
		if to >= 0 {
			p, i = to, s.next
		}
	}
	l.credit--
	return -1
}

// add gives the event that was read last to the batch.
func (l *layouts) add(batch *meter.Batch, index int) {
	l.event.Index = index
	batch.AddFormed(&l.form.Form, &l.event)
}

// nameAt reads the rest of a string, which has to be an id, and returns the offset of its closing quote, or -1.
func nameAt(in []byte, p int) (v []byte, end int) {
	n := meter.IDPrefix(in[p:])
	if n == 0 || n > meter.MaxIDBytes || p+n == len(in) || in[p+n] != '"' {
		return nil, -1
	}
	return in[p : p+n], p + n
}

// plainEnd returns the offset of the quote that closes a string whose rest is at p, or -1 if it has an escape.
func plainEnd(in []byte, p int) int {
	for ; p+8 <= len(in); p += 8 {
		if m := special(binary.LittleEndian.Uint64(in[p:])); m != 0 {
			p += bits.TrailingZeros64(m) >> 3
			break
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
	for _, word := range [...]string{"true", "false"} {
		if len(in)-p >= len(word) && string(in[p:p+len(word)]) == word {
			return p + len(word)
		}
	}
	return numberEnd(in, p)
}

// quantityAt reads the quantity at p and returns the offset after it, or -1. The digits of nearly all are taken at
// once: a loop would be mispredicted whenever their number changes.
func quantityAt(in []byte, p int) (q money.Quantity, end int) {
	if p+8 <= len(in) {
		w := binary.LittleEndian.Uint64(in[p:]) ^ eachByte*'0' // digits are 0 to 9 now
		other := (w + eachByte*(0x80-10) | w) & topBits
		n := bits.TrailingZeros64(other) >> 3
		c := byte(0)
		if n <= swarDigitsMost {
			c = in[p+n]
		}
		if uint(n-1) < swarDigitsMost && (w&0xff != 0 || n == 1) && c != '.' && c|0x20 != 'e' {
			w <<= 64 - 8*n // as if zeros came before
			w = (w*10 + w>>8) & 0x00ff00ff00ff00ff
			w = (w*100 + w>>16) & 0x0000ffff0000ffff
			w = (w*10000 + w>>32) & 0xffffffff
			q, _ = money.WholeQuantity(w)
			return q, p + n
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
	if l.credit == 0 || !w.event(in, p) {
		return
	}
	if len(l.steps) == 0 || len(l.forms) == layoutsMax || len(l.steps)+len(w.found) > stepsMax || len(l.text)+w.literals > layoutTextMax {
		l.steps, l.text, l.forms = append(l.steps[:0], step{}), l.text[:0], l.forms[:0]
	}
	at := uint16(0)
	for i := range w.found {
		at = l.follow(at, &w.found[i])
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
		f.versioned = w.versioned
	}
}

const unformed = 255

// follow returns the step after at that is like f, and makes it if there is none.
func (l *layouts) follow(at uint16, f *found) uint16 {
	literal := l.walk.in[f.from:f.to]
	for i := l.steps[at].next; i != 0; i = l.steps[i].other {
		if s := &l.steps[i]; s.value == f.value && string(l.text[s.from:s.to]) == string(literal) {
			return i
		}
	}
	i := uint16(len(l.steps))
	from := uint16(len(l.text))
	l.text = append(l.text, literal...)
	l.steps = append(l.steps, step{from: from, to: uint16(len(l.text)), value: f.value, form: unformed, other: l.steps[at].next})
	l.steps[at].next = i
	return i
}
