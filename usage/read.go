package usage

import (
	"bytes"
	"slices"
	"unicode/utf8"

	"github.com/go-faster/jx"

	"farthing/money"
	"farthing/refusal"
)

// depthMax is how deep a usage object may nest, itself counted as 1. The deepest that a
// vendor documents has three levels; it bounds the recursion.
const depthMax = 32

// quantityMax is the largest number that is read, and the largest sum of a list.
const quantityMax = uint64(money.QuantityMax) / 1_000_000

// reader holds what one usage object says. It lives on the stack of Normalise.
type reader struct {
	d      *jx.Decoder
	format Format

	value   [fieldEnd]uint64
	name    [fieldEnd]string // under which it was given, for messages
	seen    uint64           // bit set of fields
	listed  uint64           // bit set of the fields that came in a list
	seconds money.Quantity
	tier    string
	label   []byte // of the element of a list being read
	pass    passes
	strange string // the first key with a number that no object of this format has

	dst []Component // what it comes to, see split.go
	rec *recorder   // notes how, for Explain; nil: nobody asks
	no  *refusal.Refusal
}

func (r *reader) has(f field) bool { return r.seen>>f&1 != 0 }

// refuse notes the first refusal and returns false.
func (r *reader) refuse(reason, format string, args ...any) bool {
	if r.no == nil {
		r.no = refusal.New(refusal.Invalid, reason, format, args...)
	}
	return false
}

func (r *reader) broken() bool { return r.refuse("invalid_usage", "usage is not JSON") }

// read reads the whole of raw.
func (r *reader) read(raw []byte) bool {
	if !utf8.Valid(raw) || r.validate(raw) != nil {
		return r.broken()
	}
	r.d.ResetBytes(raw)
	if r.d.Next() != jx.Object {
		return r.refuse("invalid_usage", "usage must be an object")
	}
	return r.object(roots[r.format], 1)
}

// validate looks for faults of the syntax once, so that no later step meets one.
func (r *reader) validate(raw []byte) error {
	r.d.ResetBytes(raw)
	return r.d.Validate()
}

// keysUsual is how many keys of one object have room without allocating, more than any
// vendor's has, and up to how many are compared each with each.
const keysUsual = 16

func (r *reader) object(g group, depth int) bool {
	if depth > depthMax {
		return r.refuse("invalid_usage", "usage nests deeper than %d", depthMax)
	}
	it, err := r.d.ObjIter()
	if err != nil {
		return r.broken()
	}
	var usual [keysUsual][]byte
	keys := usual[:0]
	for it.Next() {
		keys = append(keys, it.Key())
		if !r.member(memberOf(g, it.Key()), depth) {
			return false
		}
	}
	if it.Err() != nil {
		return r.broken()
	}
	if i := repeated(keys); i >= 0 {
		return r.refuse("duplicate_key", "usage gives %s twice", clipped(keys[i]))
	}
	return true
}

// repeated returns the position of a key that is there twice, or -1. It may sort keys.
func repeated(keys [][]byte) int {
	if len(keys) > keysUsual {
		slices.SortFunc(keys, bytes.Compare)
		for i := 1; i < len(keys); i++ {
			if string(keys[i-1]) == string(keys[i]) {
				return i
			}
		}
		return -1
	}
	for i := 1; i < len(keys); i++ {
		for _, other := range keys[:i] {
			if string(keys[i]) == string(other) {
				return i
			}
		}
	}
	return -1
}

// member reads the value of a key; a nil m is one that nothing is known of.
func (r *reader) member(m *member, depth int) bool {
	next := r.d.Next()
	if m == nil || next == jx.Null {
		return r.skip(next, depth)
	}
	switch m.kind {
	case count, decimal:
		if r.format == OTel && next != jx.Number {
			return r.attribute(m, next)
		}
		if next != jx.Number {
			return r.refuse("invalid_usage", "%s must be a number", m.where())
		}
		return r.number(m)
	case word:
		if next != jx.String {
			return r.refuse("invalid_usage", "%s must be a string", m.where())
		}
		return r.word(m)
	case object:
		if next != jx.Object {
			return r.refuse("invalid_usage", "%s must be an object", m.where())
		}
		return r.object(m.group, depth+1)
	case strange:
		return r.stranger(m, next, depth)
	}
	if next != jx.Array {
		return r.refuse("invalid_usage", "%s must be an array", m.where())
	}
	return r.list(m, depth+1)
}

// stranger reads a value that an object of this format can have only if it is 0.
func (r *reader) stranger(m *member, next jx.Type, depth int) bool {
	switch {
	case next == jx.Object:
		return r.object(m.group, depth+1)
	case next != jx.Number:
		return r.skip(next, depth)
	}
	token, err := r.d.Num()
	if q, bad := money.ParseQuantity(token); err == nil && bad == nil && q != 0 && r.strange == "" {
		r.strange = m.where()
	}
	return err == nil || r.broken()
}

// skip steps over a value, looking only for keys that are given twice.
func (r *reader) skip(next jx.Type, depth int) bool {
	switch next {
	case jx.Object:
		return r.object(unknown, depth+1)
	case jx.Array:
		return r.list(nil, depth+1)
	}
	return r.d.Skip() == nil || r.broken()
}

// list reads an array; with a nil m it is one that nothing is known of.
func (r *reader) list(m *member, depth int) bool {
	if depth > depthMax {
		return r.refuse("invalid_usage", "usage nests deeper than %d", depthMax)
	}
	it, err := r.d.ArrIter()
	if err != nil {
		return r.broken()
	}
	for it.Next() {
		next := r.d.Next()
		if m == nil && !r.skip(next, depth) || m != nil && !r.element(m, next, depth) {
			return false
		}
	}
	return it.Err() == nil || r.broken()
}

// element reads one object of a list, a label and a number.
func (r *reader) element(m *member, next jx.Type, depth int) bool {
	if next != jx.Object {
		return r.refuse("invalid_usage", "%s must hold objects", m.where())
	}
	if m.group == passCounts {
		return r.readPass(m, depth)
	}
	r.label, r.value[fieldCount] = nil, 0
	r.seen &^= 1 << fieldCount
	return r.object(m.group, depth+1) && r.add(m, r.listField(m), r.value[fieldCount])
}

// listField returns what an element of the list m counts.
func (r *reader) listField(m *member) field {
	switch {
	case m.field == fieldToolParts:
		return fieldToolParts
	case m.group == cacheDetail && string(r.label) == "1h":
		return fieldWriteLong
	case m.group == cacheDetail:
		return fieldWriteShort
	}
	return m.field + field(modalityOf(r.label))
}

// add counts an element of a list. A list may be there under an old and a new name.
func (r *reader) add(m *member, f field, n uint64) bool {
	if r.has(f) && r.name[f] != m.where() {
		return r.refuse("usage_contradiction", "usage has both %s and %s", r.name[f], m.where())
	}
	r.value[f] += n
	r.seen |= 1 << f
	r.listed |= 1 << f
	r.name[f] = m.where()
	if r.value[f] > quantityMax {
		return r.refuse("invalid_usage", "%s sum to more than %d", m.where(), quantityMax)
	}
	if r.rec != nil && n != 0 {
		r.rec.label(f, r.label)
	}
	return true
}

// number reads a number.
func (r *reader) number(m *member) bool {
	token, err := r.d.Num()
	if err != nil {
		return r.refuse("invalid_usage", "%s must be a number", m.where())
	}
	q, err := money.ParseQuantity(token)
	if m.kind == decimal {
		if err != nil {
			return r.refuse("invalid_usage", "%s must be from 0 to %d with at most %d decimals, not %s", m.where(), quantityMax, money.QuantityDecimals, clipped(token))
		}
		r.seconds = q
		r.seen |= 1 << m.field
		return true
	}
	n, whole := q.Whole()
	if err != nil || !whole {
		return r.notWhole(m, token)
	}
	return r.set(m, n)
}

func (r *reader) notWhole(m *member, text []byte) bool {
	return r.refuse("invalid_usage", "%s must be a whole number from 0 to %d, not %s", m.where(), quantityMax, clipped(text))
}

// set keeps a number. Two names of one field must agree.
func (r *reader) set(m *member, n uint64) bool {
	f := m.field
	if r.has(f) && r.name[f] == m.where() {
		return r.refuse("duplicate_key", "usage gives %s twice", m.name)
	}
	if r.has(f) && r.value[f] != n {
		return r.refuse("usage_contradiction", "%s is %d, but %s is %d", r.name[f], r.value[f], m.where(), n)
	}
	if !r.has(f) || r.listedBefore(m, r.name[f]) {
		r.name[f] = m.where()
	}
	r.value[f] = n
	r.seen |= 1 << f
	return true
}

// listedBefore reports whether m stands before the member called other in the list of
// the format: so the name that is used of several does not depend on their order.
func (r *reader) listedBefore(m *member, other string) bool {
	for i := range members[roots[r.format]] {
		switch members[roots[r.format]][i].where() {
		case other:
			return false
		case m.where():
			return true
		}
	}
	return true
}

// word reads a string.
func (r *reader) word(m *member) bool {
	v, err := r.d.StrBytes()
	if err != nil {
		return r.refuse("invalid_usage", "%s must be a string", m.where())
	}
	switch m.field {
	case fieldTier:
		return r.setTier(Tier(v))
	case fieldTraffic:
		return r.setTier(trafficTier(v))
	case fieldModel:
		r.pass.model = v
	default:
		r.label = v
		if m.name == "modality" {
			r.label = withoutPrefix(v, modalityPrefix)
		}
	}
	return true
}

// setTier keeps the service tier. An object that says it twice must mean the same; empty
// is not said.
func (r *reader) setTier(tier string) bool {
	if tier == "" || r.tier == tier {
		return true
	}
	if r.tier != "" {
		return r.refuse("usage_contradiction", "usage has the service tiers %s and %s", clipped([]byte(r.tier)), clipped([]byte(tier)))
	}
	r.tier = tier
	return true
}

// clipped shortens a client's text for a message.
func clipped(b []byte) string {
	const bytesMax = 40
	if len(b) > bytesMax {
		return string(bytes.ToValidUTF8(b[:bytesMax], nil)) + "…"
	}
	return string(b)
}
