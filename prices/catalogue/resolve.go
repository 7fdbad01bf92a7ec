package catalogue

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// rate is the price of a component while a set is put together.
type rate struct {
	unit        string
	aboveTokens string
	aboveUnit   string
	stated      bool
}

// unstated says what a component costs whose price no vendor needs to state.
// The order matters: same_as of a vendor's file follows and may build on these.
var unstated = []struct{ component, as string }{
	{"reasoning", "output"},
	{"cached_input", "input"},
	{"cache_write", "input"},
}

// Sets returns the prices that the model has at a moment: the standard tier
// first, the others sorted by name. Each is complete.
func (m *Model) Sets(at time.Time) []Set {
	p := &m.periods[0]
	for i := range m.periods[1:] {
		if next := &m.periods[i+1]; !at.Before(next.from) {
			p = next
		}
	}
	sets := []Set{m.set("", &p.standard, nil)}
	for i := range p.tiers {
		sets = append(sets, m.set(p.tiers[i].name, &p.tiers[i].set, &p.standard))
	}
	return sets
}

// set completes what is stated: by the standard tier, then by the components
// that cost the same as another.
func (m *Model) set(name string, stated, standard *setEntry) Set {
	rates := map[string]rate{}
	if standard != nil {
		standard.addTo(rates, false)
	}
	stated.addTo(rates, true)
	for _, u := range unstated {
		same(rates, u.component, u.as)
	}
	for _, component := range slices.Sorted(maps.Keys(m.sameAs)) {
		same(rates, component, m.sameAs[component])
	}
	s := Set{Tier: name, Components: make([]Component, 0, len(rates))}
	for component, r := range rates {
		s.Components = append(s.Components, Component{
			Name: component, Unit: r.unit, Per: known[component],
			AboveTokens: r.aboveTokens, AboveUnit: r.aboveUnit, Stated: r.stated,
		})
	}
	slices.SortFunc(s.Components, func(a, b Component) int { return cmp.Compare(a.Name, b.Name) })
	return s
}

func (s *setEntry) addTo(rates map[string]rate, stated bool) {
	for component, unit := range s.Units {
		r := rate{unit: unit, stated: stated}
		if s.Above != nil && s.Above.Units[component] != "" {
			r.aboveTokens, r.aboveUnit = s.Above.Tokens, s.Above.Units[component]
		}
		rates[component] = r
	}
}

// same prices a component like another, if that has a price and it has none.
func same(rates map[string]rate, component, as string) {
	like, ok := rates[as]
	if _, has := rates[component]; !ok || has {
		return
	}
	like.stated = false
	rates[component] = like
}

// inputs returns the components of the set that count towards a threshold: the
// tokens of the prompt, whatever their kind.
func (s *Set) inputs() []string {
	var names []string
	for i := range s.Components {
		name := s.Components[i].Name
		if strings.HasSuffix(name, "input") || strings.HasPrefix(name, "cache_write") {
			names = append(names, name)
		}
	}
	return names
}
