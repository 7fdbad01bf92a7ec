package usage

import (
	"github.com/go-faster/jx"

	"farthing/money"
)

// attribute reads a number that is not written as one: exporters of OpenTelemetry write
// integers as strings, and values in an object that says their type.
func (r *reader) attribute(m *member, next jx.Type) bool {
	switch next {
	case jx.String:
		return r.digits(m)
	case jx.Object:
		return r.wrapped(m)
	}
	return r.refuse("invalid_usage", "%s must be a number", m.where())
}

// wrapped reads {"intValue": …}.
func (r *reader) wrapped(m *member) bool {
	it, err := r.d.ObjIter()
	if err != nil {
		return r.broken()
	}
	found := false
	for it.Next() {
		next := r.d.Next()
		if string(it.Key()) != "intValue" || next != jx.Number && next != jx.String {
			return r.refuse("invalid_usage", "%s must be a number", m.where())
		}
		found = true
		if next == jx.Number && !r.number(m) || next == jx.String && !r.digits(m) {
			return false
		}
	}
	if it.Err() != nil {
		return r.broken()
	}
	return found || r.refuse("invalid_usage", "%s must be a number", m.where())
}

// digits reads a string of plain digits.
func (r *reader) digits(m *member) bool {
	text, err := r.d.StrBytes()
	if err != nil {
		return r.refuse("invalid_usage", "%s must be a number", m.where())
	}
	for _, c := range text {
		if c < '0' || c > '9' {
			return r.notWhole(m, text)
		}
	}
	q, err := money.ParseQuantity(text)
	n, whole := q.Whole()
	if err != nil || !whole {
		return r.notWhole(m, text)
	}
	return r.set(m, n)
}
