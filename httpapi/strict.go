package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// object is the JSON object of a cold body, read strictly: no key twice at any
// depth, no key that the route does not know, keys spelled exactly. Its getters
// note the first refusal and then give zero values, so a route reads all its
// fields and asks once.
type object struct {
	body   []byte
	fields map[string]json.RawMessage
	no     *refusal.Refusal
}

// parseObject reads body, which the object keeps.
func parseObject(body []byte) (*object, *refusal.Refusal) {
	duplicate, no := scanObject(body)
	if no != nil {
		return nil, no
	}
	if duplicate {
		return nil, refusal.New(refusal.Invalid, "duplicate_key", "a key is given twice in an object")
	}
	o := &object{body: body}
	if err := json.Unmarshal(body, &o.fields); err != nil {
		panic("BUG: encoding/json does not read what the scanner accepts: " + err.Error())
	}
	return o, nil
}

// scanObject refuses what is not one JSON object of whole characters. duplicate: a key is
// given twice in an object, at whatever depth.
func scanObject(body []byte) (duplicate bool, no *refusal.Refusal) {
	var s scanner
	s.reset(body)
	if !validText(body) {
		return false, refusal.New(refusal.Malformed, "invalid_utf8", "the body is not UTF-8")
	}
	start := skipSpace(body, 0)
	p := s.value(start, 0)
	if p >= 0 {
		if p = skipSpace(body, p); p < len(body) {
			p = s.fail(p, "data after the end")
		}
	}
	switch {
	case p < 0:
		return false, s.malformed()
	case body[start] != '{':
		return false, refusal.New(refusal.Malformed, "wrong_type", "the body must be a JSON object")
	case s.lone:
		return false, refusal.New(refusal.Invalid, "invalid_string", "a string holds half a surrogate pair")
	}
	return s.duplicate, nil
}

func (o *object) refuse(reason, format string, args ...any) {
	if o.no == nil {
		o.no = refusal.New(refusal.Invalid, reason, format, args...)
	}
}

// names returns the keys of the object, sorted.
func (o *object) names() []string { return slices.Sorted(maps.Keys(o.fields)) }

// within reads the object in a field, if that is given; what it refuses is refused here.
func (o *object) within(name string, read func(*object)) {
	if o.has(name) {
		o.member(name, o.fields[name], read)
	}
}

// each reads the objects of a list; what one of them refuses is refused here.
func (o *object) each(name string, itemsMax int, read func(*object)) {
	for i, raw := range o.elements(name, itemsMax) {
		o.member(fmt.Sprintf("%s[%d]", name, i), raw, read)
	}
}

// member reads an object inside this one. where tells the client which.
func (o *object) member(where string, raw json.RawMessage, read func(*object)) {
	if raw[0] != '{' {
		o.refuse("wrong_type", "%s must be an object", where)
		return
	}
	in := &object{body: raw}
	if err := json.Unmarshal(raw, &in.fields); err != nil {
		panic("BUG: encoding/json does not read what the scanner accepts: " + err.Error())
	}
	if read(in); in.no != nil {
		o.refuse(in.no.Reason, "in %s: %s", where, in.no.Detail)
	}
}

// elements returns the elements of a list; nil when it is absent.
func (o *object) elements(name string, elementsMax int) (list []json.RawMessage) {
	switch {
	case !o.has(name):
		return nil
	case json.Unmarshal(o.fields[name], &list) != nil:
		o.refuse("wrong_type", "%s must be a list", name)
	case len(list) > elementsMax:
		o.refuse("too_many_"+name, "%s may have at most %d elements", name, elementsMax)
		return nil
	}
	return list
}

// only refuses fields that are not named.
func (o *object) only(names ...string) {
	for _, key := range o.names() {
		if !slices.Contains(names, key) {
			o.refuse("unknown_field", "the field %q is not known here; known are %s", clipped([]byte(key)), strings.Join(names, ", "))
		}
	}
}

// has reports whether a field is given and not null.
func (o *object) has(name string) bool {
	raw := o.fields[name]
	return len(raw) > 0 && raw[0] != 'n'
}

// null reports whether a field is given as null.
func (o *object) null(name string) bool {
	raw := o.fields[name]
	return len(raw) > 0 && raw[0] == 'n'
}

// text returns a string field of at most so many bytes without control
// characters; "" when it is absent.
func (o *object) text(name string, maxBytes int) string {
	if !o.has(name) {
		return ""
	}
	var s string
	if json.Unmarshal(o.fields[name], &s) != nil {
		o.refuse("wrong_type", "%s must be a string", name)
		return ""
	}
	switch {
	case strings.ContainsFunc(s, isControl):
		o.refuse("invalid_text", "%s must have no control characters", name)
		return ""
	case len(s) > maxBytes:
		o.refuse("invalid_text", "%s must be at most %d bytes", name, maxBytes)
		return ""
	}
	return s
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// time returns a field that is an RFC 3339 time or a date; the zero time when it is absent.
func (o *object) time(name string) (t time.Time) {
	if text := o.text(name, len(o.body)); o.has(name) && o.no == nil {
		var ok bool
		if t, ok = timeOrDay(text); !ok {
			o.refuse("invalid_time", "%s must be an RFC 3339 time or a date from %d to %d", name, yearMin, yearMax)
		}
	}
	return t
}

// id returns a field that must be an id of the contract; "" when it is absent.
func (o *object) id(name string) string {
	s := o.text(name, len(o.body))
	if o.has(name) && o.no == nil && !meter.ValidID([]byte(s)) {
		o.refuse("invalid_id", "%s must be 1 to %d of A-Z a-z 0-9 . _ : - / @", name, meter.MaxIDBytes)
	}
	return s
}

// require refuses the absence of a field.
func (o *object) require(name string) {
	if !o.has(name) {
		o.refuse("missing_field", "%s is missing", name)
	}
}

// requireID is id for a field that must be given.
func (o *object) requireID(name string) string {
	o.require(name)
	return o.id(name)
}

// requireWord is oneOf for a field that must be given.
func (o *object) requireWord(name string, words ...string) string {
	o.require(name)
	return o.oneOf(name, words...)
}

// oneOf returns a field that must be one of the words; "" when it is absent.
func (o *object) oneOf(name string, words ...string) string {
	s := o.text(name, len(o.body))
	if o.has(name) && o.no == nil && !slices.Contains(words, s) {
		o.refuse("invalid_"+name, "%s must be one of %s", name, strings.Join(words, ", "))
	}
	return s
}

// amount returns a decimal string; given: the field is there and not null.
func (o *object) amount(name string) (a money.Amount, given bool) {
	if !o.has(name) {
		return a, false
	}
	var s string
	if json.Unmarshal(o.fields[name], &s) != nil {
		o.refuse("wrong_type", "%s must be a decimal string", name)
		return a, true
	}
	a, err := money.Parse(s)
	switch {
	case errors.Is(err, money.ErrPrecision):
		o.refuse("invalid_amount", "%s has more than %d decimals", name, money.Scale)
	case errors.Is(err, money.ErrOverflow):
		o.refuse("amount_overflow", "%s is out of range", name)
	case err != nil:
		o.refuse("invalid_amount", "%s must be a decimal string like \"12.50\"", name)
	}
	return a, true
}

// positive returns an amount above 0, which must be given.
func (o *object) positive(name string) money.Amount {
	o.require(name)
	a, _ := o.amount(name)
	if a.Sign() <= 0 {
		o.refuse("invalid_amount", "%s must be above 0", name)
	}
	return a
}

// notNegative returns an amount from 0; nil when it is absent.
func (o *object) notNegative(name string) *money.Amount {
	a, given := o.amount(name)
	if !given {
		return nil
	}
	if a.Sign() < 0 {
		o.refuse("negative_amount", "%s must not be negative", name)
	}
	return &a
}

// duration returns a field that is a duration of Go within bounds; otherwise when it is absent.
func (o *object) duration(name string, least, most, otherwise time.Duration) time.Duration {
	if !o.has(name) {
		return otherwise
	}
	text := o.text(name, len(o.body))
	if o.no != nil {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		o.refuse("invalid_"+name, "%s must be a duration like \"90s\" or \"72h\", %s to %s", name, least, most)
	}
	return d
}

// bool returns true or false; false when it is absent.
func (o *object) bool(name string) (v bool) {
	if o.has(name) && json.Unmarshal(o.fields[name], &v) != nil {
		o.refuse("wrong_type", "%s must be true or false", name)
	}
	return v
}

// uint returns a whole number from 0; nil when it is absent.
func (o *object) uint(name string) *uint64 {
	if !o.has(name) {
		return nil
	}
	var n uint64
	if json.Unmarshal(o.fields[name], &n) != nil {
		o.refuse("wrong_type", "%s must be a whole number", name)
	}
	return &n
}

// canonicalObject returns an object field as canonical JSON: keys sorted at every
// depth, no white space, numbers as they were spelled. nil: absent or empty.
func (o *object) canonicalObject(name string, maxBytes int) []byte {
	if !o.has(name) {
		return nil
	}
	if o.fields[name][0] != '{' {
		o.refuse("wrong_type", "%s must be an object", name)
		return nil
	}
	// RFC 8785 would turn numbers into floats; as text they survive unchanged.
	var v map[string]any
	dec := json.NewDecoder(bytes.NewReader(o.fields[name]))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		panic("BUG: encoding/json does not read what the scanner accepts: " + err.Error())
	}
	if len(v) == 0 {
		return nil
	}
	out := canonicalJSON(v)
	if len(out) > maxBytes {
		o.refuse("too_long", "%s may have at most %d bytes", name, maxBytes)
	}
	return out
}

func canonicalJSON(v any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("BUG: a decoded value does not encode: " + err.Error())
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}
