package usage

import (
	"slices"
	"strings"

	"farthing/money"
	"farthing/refusal"
)

// Step tells how one component came from what was reported.
type Step struct {
	Component string // as in Component.Name
	Text      string // "input = prompt_tokens 2006 − cached_tokens 1920 = 86"
}

// Explain tells how Normalise makes each component of raw, a usage object as the
// provider f sends it: one step per component, sorted by its name, with one line of
// arithmetic. The line starts with the component and ends with its quantity; between
// them are the provider's own numbers, each after its name in the object ("cached_input
// = cached_tokens = 1920" where one number is all of it). A name that stands in the
// object at several places is written with the object that it is in
// ("input_token_details.audio_tokens"), the sum of a list's elements with what they are
// of ("promptTokensDetails[AUDIO]"). Numbers that are zero are left out, and so are
// components that are. It refuses what Normalise refuses, in the same words.
//
// Normalise itself does the work, with a recorder: the two cannot differ. Explain is for
// people who read a charge, and allocates.
func (f Format) Explain(raw []byte) (steps []Step, no *refusal.Refusal) {
	rec := new(recorder)
	r := reader{format: f, rec: rec}
	if !r.normalise(raw) {
		return nil, r.no
	}
	slices.SortFunc(rec.steps, func(a, b Step) int { return strings.Compare(a.Component, b.Component) })
	return rec.steps, nil
}

// terms says how often each reported field is in a quantity; negative: is taken off it.
type terms [fieldEnd]int8

// recorder follows one object through the splitting, and knows of each field which of
// the reported numbers it is made of. It belongs to one call of Explain.
type recorder struct {
	reported [fieldEnd]money.Quantity
	name     [fieldEnd]string
	made     [fieldEnd]terms // of what each field is by now
	steps    []Step

	labels   [fieldEnd][]string // of the elements of lists, each once
	nameless uint64             // bit set of fields whose elements cannot be named by labels
}

// label notes what an element of a list is said to be of. Labels are a client's text:
// only few and short words are repeated.
func (c *recorder) label(f field, label []byte) {
	const labelsMax = 4
	if slices.Contains(c.labels[f], string(label)) {
		return
	}
	if !isWord(label) || len(c.labels[f]) == labelsMax {
		c.nameless |= 1 << f
		return
	}
	c.labels[f] = append(c.labels[f], string(label))
}

// isWord reports whether b is a short word of letters, digits and underlines.
func isWord(b []byte) bool {
	const bytesMax = 16
	for _, x := range b {
		if x != '_' && (x < '0' || x > '9') && (x < 'A' || x > 'Z') && (x < 'a' || x > 'z') {
			return false
		}
	}
	return len(b) > 0 && len(b) <= bytesMax
}

// begin notes what r has read, before it is split.
func (c *recorder) begin(r *reader) {
	for f := range fieldEnd {
		c.made[f][f] = 1
		if !r.has(f) {
			continue
		}
		if f == fieldSeconds {
			c.reported[f], c.name[f] = r.seconds, "seconds"
			continue
		}
		q, ok := money.WholeQuantity(r.value[f])
		if !ok {
			panic("BUG: more was read than is allowed")
		}
		c.reported[f], c.name[f] = q, c.spell(r, f)
	}
}

// spell returns how lines name the field f of r.
func (c *recorder) spell(r *reader, f field) string {
	if r.listed>>f&1 != 0 {
		if len(c.labels[f]) == 0 || c.nameless>>f&1 != 0 {
			return r.name[f]
		}
		return r.name[f] + "[" + strings.Join(c.labels[f], ",") + "]"
	}
	key := keyOf(r.name[f])
	for other := range fieldEnd {
		if other != f && r.has(other) && keyOf(r.name[other]) == key {
			return r.name[f]
		}
	}
	return key
}

// keyOf returns the key of the member that messages call where.
func keyOf(where string) string {
	for _, g := range members {
		for i := range g {
			if g[i].path != "" && g[i].path == where {
				return g[i].name
			}
		}
	}
	return where
}

// add counts a field, sign times, to t.
func (c *recorder) add(t *terms, sign int8, parts ...field) {
	for _, f := range parts {
		for of, n := range c.made[f] {
			t[of] += sign * n
		}
	}
}

func (c *recorder) join(to field, parts []field) {
	var t terms
	c.add(&t, 1, parts...)
	c.made[to] = t
}

func (c *recorder) take(to, whole field, parts []field) {
	var t terms
	c.add(&t, 1, whole)
	c.add(&t, -1, parts...)
	c.made[to] = t
}

func (c *recorder) emit(component string, q money.Quantity, whole field, parts []field) {
	var t terms
	c.add(&t, 1, whole)
	c.add(&t, -1, parts...)
	c.steps = append(c.steps, Step{component, component + " = " + c.line(&t, q) + " = " + q.String()})
}

// line writes t, whose numbers must come to q: in the order of fields, but if the first
// of them is taken off, then after all that are not.
func (c *recorder) line(t *terms, q money.Quantity) string {
	var order []field
	var sum money.Quantity // may wrap on the way: it is exact in the end
	for f := range fieldEnd {
		if t[f] == 0 || c.reported[f] == 0 {
			continue
		}
		if t[f] != 1 && t[f] != -1 {
			panic("BUG: " + c.name[f] + " is in a component more than once")
		}
		sum += money.Quantity(t[f]) * c.reported[f]
		order = append(order, f)
	}
	if sum != q {
		panic("BUG: a component is not what it is made of")
	}
	if t[order[0]] < 0 {
		slices.SortStableFunc(order, func(a, b field) int { return int(t[b]) - int(t[a]) })
	}
	return c.spelled(t, order)
}

// spelled writes the fields of t in an order; a single one without its number, which is
// what the line comes to.
func (c *recorder) spelled(t *terms, order []field) string {
	if len(order) == 1 {
		return c.name[order[0]]
	}
	var line strings.Builder
	for i, f := range order {
		switch {
		case i > 0 && t[f] < 0:
			line.WriteString(" − ")
		case i > 0:
			line.WriteString(" + ")
		}
		line.WriteString(c.name[f] + " " + c.reported[f].String())
	}
	return line.String()
}
