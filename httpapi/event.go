package httpapi

import (
	"bytes"
	"errors"
	"strings"

	"farthing/money"
	"farthing/refusal"
)

// fieldSet says which of the known top-level fields an event has given.
type fieldSet uint16

const (
	fieldID fieldSet = 1 << iota
	fieldSource
	fieldType
	fieldSubject
	fieldTime
	fieldData
	fieldDataBase64
	fieldSpecVersion
	fieldDataContentType
	fieldUsageFormat
	fieldOther
)

// fieldOf returns the field of a key; any other is a CloudEvents extension
// attribute (or dataschema), which nothing is rated by.
func fieldOf(key []byte) fieldSet {
	switch string(key) {
	case "id":
		return fieldID
	case "source":
		return fieldSource
	case "type":
		return fieldType
	case "subject":
		return fieldSubject
	case "time":
		return fieldTime
	case "data":
		return fieldData
	case "data_base64":
		return fieldDataBase64
	case "specversion":
		return fieldSpecVersion
	case "datacontenttype":
		return fieldDataContentType
	case usageFormatKey:
		return fieldUsageFormat
	}
	return fieldOther
}

// fields reads the value at p as an event, up to end.
func (d *decoder) fields(p, index int) int {
	d.start = p
	if next := d.layouts.read(d.in, p, d.format.cloudEvents()); next >= 0 {
		d.laid, d.id = true, d.layouts.names[valueID].of(d.in)
		return next
	}
	d.laid = false
	d.forget()
	return d.members(p, index)
}

// members is fields for an event that is a part of something, of which nothing is forgotten.
func (d *decoder) members(p, index int) int {
	d.batch.Begin(index)
	d.id, d.seen, d.versioned = nil, 0, false
	d.provider.begin()
	start := p
	if p >= len(d.in) || d.in[p] != '{' {
		d.wrongType("an event", "an object")
		return d.value(p, 0)
	}
	p, last := d.open(p, '}')
	for !last {
		var key []byte
		if key, p = d.key(p); p < 0 {
			return p
		}
		if p = d.field(key, p); p < 0 {
			return p
		}
		p, last = d.more(p, '}')
	}
	if d.provider.late && p >= 0 {
		d.provider.again = true
		d.keys = d.keys[:0]
		return d.members(start, index)
	}
	return p
}

// end checks what only the whole event shows and gives it to the batch.
func (d *decoder) end(index int) {
	if d.laid {
		d.layouts.add(d.in, d.batch, index)
		return
	}
	d.complete()
	accepted := len(d.batch.Events)
	d.batch.End()
	if len(d.batch.Events) > accepted {
		d.layouts.learn(d.in, d.start)
	}
}

// complete checks what only the whole event shows and adds what follows from it.
func (d *decoder) complete() {
	if d.closeKeys(0) || d.duplicate {
		d.batch.Refuse(refusal.Invalid, "duplicate_key", "a key is given twice in an object")
	}
	if d.lone {
		d.batch.Refuse(refusal.Invalid, "invalid_string", "a string holds half a surrogate pair")
	}
	if d.format.cloudEvents() && !d.versioned {
		d.batch.Refuse(refusal.Invalid, "missing_field", "specversion is missing")
	}
	switch p := &d.provider; {
	case p.format != noProvider:
		d.normalise()
	case p.tierKey != nil:
		d.batch.Dimension(p.tierKey, p.tier)
	}
}

func (d *decoder) wrongType(field, want string) {
	d.batch.Refuse(refusal.Invalid, "wrong_type", "%s must be %s", field, want)
}

// field reads the value at p of a top-level key.
func (d *decoder) field(key []byte, p int) int {
	f := fieldOf(key)
	if f == fieldOther {
		d.keys = append(d.keys, key)
		return d.value(p, 1)
	}
	if d.seen&f != 0 {
		d.duplicate = true
	}
	d.seen |= f
	switch f {
	case fieldData:
		return d.data(p)
	case fieldUsageFormat:
		return d.usageFormat(p, 1)
	case fieldDataBase64:
		d.batch.Refuse(refusal.Invalid, "unsupported_data", "data_base64 is not read: send data as JSON")
		return d.value(p, 1)
	}
	v, p := d.text(key, p)
	if v == nil {
		return p
	}
	switch f {
	case fieldID:
		d.id = v
		d.batch.SetID(v)
	case fieldSource:
		d.batch.SetSource(v)
	case fieldType:
		d.batch.SetType(v)
	case fieldSubject:
		d.batch.SetSubject(v)
	case fieldTime:
		d.time(v)
	case fieldSpecVersion:
		d.versioned = true
		if string(v) != "1.0" {
			d.batch.Refuse(refusal.Invalid, "invalid_specversion", `specversion must be "1.0"`)
		}
	case fieldDataContentType:
		if !isJSONType(v) {
			d.batch.Refuse(refusal.Invalid, "unsupported_data", "datacontenttype must be JSON")
		}
	}
	return p
}

// text reads the string at p. A nil string with a good offset: null, which is
// absent, or another type, which was refused.
func (d *decoder) text(key []byte, p int) (v []byte, next int) {
	if p < len(d.in) && d.in[p] == '"' {
		return d.str(p)
	}
	start := p
	if p = d.value(p, 1); p < 0 {
		return nil, p
	}
	if d.in[start] != 'n' { // CloudEvents lets an attribute that is not set be null
		d.wrongType(string(key), "a string")
	}
	return nil, p
}

func (d *decoder) time(v []byte) {
	ns, ok := parseTime(v)
	if !ok {
		d.batch.Refuse(refusal.Invalid, "invalid_time", "time must be an RFC 3339 time from %d to %d", yearMin, yearMax)
		return
	}
	d.batch.SetTime(ns)
}

// isJSONType reports whether a media type is JSON: */json or */*+json.
func isJSONType(v []byte) bool {
	if string(v) == "application/json" {
		return true // without copying it
	}
	if i := bytes.IndexByte(v, ';'); i >= 0 {
		v = v[:i]
	}
	t := strings.ToLower(string(bytes.TrimSpace(v)))
	_, sub, ok := strings.Cut(t, "/")
	return ok && (sub == "json" || strings.HasSuffix(sub, "+json"))
}

// data reads the event's data at p: usage, and the dimensions beside it.
func (d *decoder) data(p int) int {
	if p >= len(d.in) || d.in[p] != '{' {
		start := p
		if p = d.value(p, 1); p >= 0 && d.in[start] != 'n' {
			d.wrongType("data", "an object")
		}
		return p
	}
	base := len(d.keys)
	p, last := d.open(p, '}')
	for !last {
		var key []byte
		if key, p = d.key(p); p < 0 {
			return p
		}
		d.keys = append(d.keys, key)
		switch string(key) {
		case "usage":
			p = d.usage(p)
		case usageFormatKey:
			p = d.usageFormat(p, 2)
		default:
			p = d.dimension(key, p)
		}
		if p < 0 {
			return p
		}
		p, last = d.more(p, '}')
	}
	if d.closeKeys(base) {
		d.duplicate = true
	}
	return p
}

// dimension reads a field of data at p: a dimension if it is a scalar.
func (d *decoder) dimension(key []byte, p int) int {
	if p >= len(d.in) {
		return d.fail(p, "a value is missing")
	}
	switch d.in[p] {
	case '"':
		v, next := d.str(p)
		if next >= 0 {
			d.addDimension(key, v)
		}
		return next
	case 'n', '{', '[':
		return d.value(p, 2)
	}
	next := d.value(p, 2)
	if next >= 0 {
		d.addDimension(key, d.in[p:next])
	}
	return next
}

func (d *decoder) addDimension(key, value []byte) {
	if string(key) == serviceTierKey {
		d.provider.tierKey, d.provider.tier = key, value
		return
	}
	d.batch.Dimension(key, value)
}

// usage reads data.usage at p: component names to quantities. Its keys need not
// be remembered: the batch has all of them, or the event is refused already.
func (d *decoder) usage(p int) int {
	if d.provider.format != noProvider {
		return d.rawUsage(p)
	}
	d.provider.plain = true
	if p >= len(d.in) || d.in[p] != '{' {
		start := p
		if p = d.value(p, 2); p >= 0 && d.in[start] != 'n' {
			d.wrongType("data.usage", "an object")
		}
		return p
	}
	d.batch.Usage()
	p, last := d.open(p, '}')
	for !last {
		var name []byte
		if name, p = d.key(p); p < 0 {
			return p
		}
		if p = d.quantity(name, p); p < 0 {
			return p
		}
		p, last = d.more(p, '}')
	}
	return p
}

// plainDigitsMax is how many digits are read as they come: 10^12 units are below
// money.QuantityMax.
const plainDigitsMax = 12

// quantity reads the quantity of a component at p. Plain digits, which nearly all
// quantities are, take one pass.
func (d *decoder) quantity(name []byte, p int) int {
	in, n, i := d.in, uint64(0), p
	for i < len(in) && in[i]-'0' <= 9 && i < p+plainDigitsMax {
		n = n*10 + uint64(in[i]-'0')
		i++
	}
	if i > p && i < len(in) && (in[i] == ',' || in[i] == '}') && (in[p] != '0' || i == p+1) {
		if q, ok := money.WholeQuantity(n); ok {
			d.batch.Component(name, q)
			return i
		}
	}
	next := d.value(p, 3)
	if next >= 0 {
		d.component(name, in[p:next])
	}
	return next
}

// component reads one quantity, whose text is a JSON value.
func (d *decoder) component(name, text []byte) {
	if c := text[0]; c != '-' && c-'0' > 9 {
		d.wrongType("data.usage."+clipped(name), "a number")
		return
	}
	q, err := money.ParseQuantity(text)
	if err != nil {
		reason, must := "fractional_quantity", "have at most 6 decimal places"
		switch {
		case errors.Is(err, money.ErrNegative):
			reason, must = "negative_quantity", "not be negative"
		case errors.Is(err, money.ErrOverflow):
			reason, must = "quantity_overflow", "be at most "+money.QuantityMax.String()
		}
		d.batch.Refuse(refusal.Invalid, reason, "data.usage.%s must %s", clipped(name), must)
		return
	}
	d.batch.Component(name, q)
}

// clipped shortens a client's text for a message.
func clipped(b []byte) string {
	const bytesMax = 40
	if len(b) > bytesMax {
		return strings.ToValidUTF8(string(b[:bytesMax]), "") + "…"
	}
	return string(b)
}
