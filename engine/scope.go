package engine

import (
	"slices"

	"farthing/ledger"
	"farthing/meter"
	"farthing/refusal"
)

// scope is what usage a grant or a limit is for. Equal ones are one: they are numbered from 1
// in the order in which commands bring them; 0 is everything.
type scope struct {
	Scope
	raw string // canonical bytes: what they are compared by
}

// Bounds of scopes.
const (
	scopesMax      = 4096 // different ones of a ledger: a shape keeps a bit for each
	scopeTypesMax  = 16
	scopeMatchMax  = 8
	scopeEmptyText = "\x00\x00"
)

func (x *Scope) append(dst []byte) []byte {
	dst = append(dst, byte(len(x.Types)))
	for _, t := range x.Types {
		dst = appendBytes(dst, t)
	}
	dst = append(dst, byte(len(x.Match)))
	for _, d := range x.Match {
		dst = appendBytes(appendBytes(dst, d.Key), d.Value)
	}
	return dst
}

func (r *reader) scope() (x Scope) {
	for n := r.byte(); n > 0 && !r.bad; n-- {
		x.Types = append(x.Types, r.str())
	}
	for n := r.byte(); n > 0 && !r.bad; n-- {
		x.Match = append(x.Match, meter.Dimension{Key: r.str(), Value: r.str()})
	}
	return x
}

// canonicalScope sorts a scope and checks it.
func canonicalScope(x Scope) (Scope, *refusal.Refusal) {
	invalid := func(format string, args ...any) (Scope, *refusal.Refusal) {
		return x, refusal.New(refusal.Invalid, "invalid_scope", format, args...)
	}
	x.Types, x.Match = slices.Clone(x.Types), slices.Clone(x.Match)
	slices.Sort(x.Types)
	slices.SortFunc(x.Match, func(a, b meter.Dimension) int { return compareText(a.Key, b.Key) })
	if len(x.Types) > scopeTypesMax || len(x.Match) > scopeMatchMax {
		return invalid("a scope has at most %d types and %d dimensions", scopeTypesMax, scopeMatchMax)
	}
	for i, t := range x.Types {
		if !meter.ValidID([]byte(t)) || i > 0 && t == x.Types[i-1] {
			return invalid("types of a scope are meters, each once")
		}
	}
	for i, d := range x.Match {
		if len(d.Key) == 0 || len(d.Key) > meter.MaxDimensionKeyBytes || len(d.Value) > meter.MaxDimensionBytes || i > 0 && d.Key == x.Match[i-1].Key {
			return invalid("a dimension of a scope has a name of 1 to %d bytes, given once, and a value of at most %d", meter.MaxDimensionKeyBytes, meter.MaxDimensionBytes)
		}
	}
	return x, nil
}

func compareText(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// checkScope says whether there is room for another scope.
func (s *state) checkScope(x *Scope) *refusal.Refusal {
	canonical, refused := canonicalScope(*x)
	if refused != nil {
		return refused
	}
	raw := string(canonical.append(nil))
	if raw != string(x.append(nil)) {
		return refusal.New(refusal.Invalid, "invalid_scope", "the scope is not in its canonical order")
	}
	if _, there := s.scopeID[raw]; !there && raw != scopeEmptyText && len(s.scopes) >= scopesMax {
		return refusal.New(refusal.Invalid, "too_many_scopes", "this ledger has %d different scopes and takes no more", scopesMax)
	}
	return nil
}

// enterScope returns a scope's number. What it names of dimensions is told apart from now on.
func (s *state) enterScope(x Scope) uint32 {
	raw := string(x.append(nil))
	if raw == scopeEmptyText {
		return 0
	}
	if n, there := s.scopeID[raw]; there {
		return n
	}
	s.scopes = append(s.scopes, &scope{x, raw})
	n := uint32(len(s.scopes))
	s.scopeID[raw] = n
	for _, d := range x.Match {
		s.rates.tellApart(x.Types, d)
	}
	return n
}

// scopeNumber is the number of a scope, if it has one yet.
func (s *state) scopeNumber(x *Scope) (uint32, bool) {
	raw := string(x.append(nil))
	if raw == scopeEmptyText {
		return 0, true
	}
	n, ok := s.scopeID[raw]
	return n, ok
}

// scopeOf returns a scope by its number.
func (t *tables) scopeOf(n uint32) Scope {
	if n == 0 {
		return Scope{}
	}
	return t.scopes[n-1].Scope
}

// matches reports whether usage of a shape is what the scope is for.
func (x *Scope) matches(shape *meter.Shape) bool {
	if len(x.Types) > 0 && !slices.Contains(x.Types, shape.Type) {
		return false
	}
	for _, want := range x.Match {
		if !slices.Contains(shape.Dimensions, want) {
			return false
		}
	}
	return true
}

// scopesOf returns the scopes that an interned shape matches. A shape that was interned before
// a scope told its dimensions apart does not match that scope: its events were before, too.
func (s *state) scopesOf(shape uint32) ledger.Scopes {
	row := &s.rates.rows[shape]
	for int(row.scoped) < len(s.scopes) {
		if s.scopes[row.scoped].matches(&s.shapes[shape].shape) {
			for int(row.scoped/64) >= len(row.scopes) {
				row.scopes = append(row.scopes, 0)
			}
			row.scopes[row.scoped/64] |= 1 << (row.scoped % 64)
		}
		row.scoped++
	}
	return row.scopes
}

// tellApart makes a dimension of a scope one that shapes keep.
func (r *rates) tellApart(types []string, d meter.Dimension) {
	keep := func(m string) {
		if r.relevant[m] == nil {
			r.relevant[m] = map[string]bool{}
		}
		r.relevant[m][d.Key] = true
	}
	for _, m := range types {
		keep(m)
	}
	if len(types) == 0 {
		r.always[d.Key] = true
	}
	r.named[[2]string{d.Key, d.Value}] = true
	clear(r.wide)
}
