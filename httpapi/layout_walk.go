package httpapi

// walk finds the layout of an event that was read and taken: so it is JSON, and of which keys may be there and what
// their values may be nothing has to be checked. What cannot be in a layout ends it: usage_format, values that mean
// nothing and may be of any form.
type walk struct {
	scanner
	found      []found
	from       int // where the literal begins that the next value ends
	components [][]byte
	dimensions [][]byte
	usage      bool
	versioned  bool
}

// found is a literal, or a part of one, of the event and what the value after it is.
type found struct {
	from, to int
	value    valueKind
}

// drop lets go of the text.
func (w *walk) drop() {
	w.reset(nil)
	clear(w.keys[:cap(w.keys)])
	clear(w.components[:cap(w.components)])
	clear(w.dimensions[:cap(w.dimensions)])
}

// event walks through the event at p and reports whether it has a layout.
func (w *walk) event(in []byte, p int) (ok bool) {
	w.reset(in)
	w.found, w.components, w.dimensions = w.found[:0], w.components[:0], w.dimensions[:0]
	w.from, w.usage, w.versioned = p, false, false
	if p = w.object(p, w.field); p < 0 {
		return false
	}
	w.mark(p, noValue)
	return len(w.found) <= layoutStepsMax
}

// mark says that a literal ends at p, and what comes then.
func (w *walk) mark(p int, value valueKind) {
	for p-w.from > literalSize && len(w.found) <= layoutStepsMax {
		w.found = append(w.found, found{w.from, w.from + literalSize, moreLiteral})
		w.from += literalSize
	}
	w.found = append(w.found, found{w.from, p, value})
}

// text marks what a string at p means. Null means nothing and is a part of the literal.
func (w *walk) text(p int, value valueKind) int {
	if w.in[p] == 'n' {
		return w.value(p, 1)
	}
	w.mark(p+1, value)
	_, p = w.str(p)
	w.from = p - 1
	return p
}

// field walks through the value at p of a top-level key.
func (w *walk) field(key []byte, p int) int {
	switch fieldOf(key) {
	case fieldID:
		return w.text(p, valueID)
	case fieldSource:
		return w.text(p, valueSource)
	case fieldType:
		return w.text(p, valueType)
	case fieldSubject:
		return w.text(p, valueSubject)
	case fieldTime:
		return w.text(p, valueTime)
	case fieldData:
		return w.object(p, w.datum)
	case fieldSpecVersion:
		w.versioned = w.in[p] == '"'
		return w.value(p, 1)
	case fieldDataContentType:
		return w.value(p, 1)
	}
	return -1
}

// object calls member for each of the object at p, which may be null.
func (w *walk) object(p int, member func(key []byte, p int) int) int {
	if w.in[p] == 'n' {
		return w.value(p, 1)
	}
	p, last := w.open(p, '}')
	for !last && p >= 0 {
		var key []byte
		if key, p = w.key(p); p < 0 {
			return p
		}
		if p = member(key, p); p < 0 {
			return p
		}
		p, last = w.more(p, '}')
	}
	return p
}

// datum walks through the value at p of a key of data.
func (w *walk) datum(key []byte, p int) int {
	switch string(key) {
	case "usage":
		w.usage = w.in[p] == '{'
		return w.object(p, w.component)
	case usageFormatKey:
		return -1
	}
	switch w.in[p] {
	case 'n':
		return w.value(p, 2)
	case '{', '[':
		return -1
	case '"':
		w.dimensions = append(w.dimensions, key)
		return w.text(p, valueText)
	}
	w.dimensions = append(w.dimensions, key)
	return w.bare(p, valueScalar)
}

func (w *walk) component(key []byte, p int) int {
	w.components = append(w.components, key)
	return w.bare(p, valueComponent)
}

// bare marks what a number or a boolean at p means.
func (w *walk) bare(p int, value valueKind) int {
	w.mark(p, value)
	w.from = w.value(p, 2)
	return w.from
}

// scattered reports whether there is something that is no dimension between the first and the last one.
func (w *walk) scattered() bool {
	dimensions, between := 0, false
	for i := range w.found {
		switch w.found[i].value {
		case valueText, valueScalar:
			if dimensions++; between {
				return true
			}
		case moreLiteral:
		default:
			between = dimensions > 0
		}
	}
	return false
}
