package meter

import (
	"slices"

	"farthing/money"
)

// NoPlan says why there is no plan.
type NoPlan uint8

const (
	// Planned says that there is a plan.
	Planned NoPlan = iota
	// NoPrice says that no price matches.
	NoPrice
	// ComponentMissing says that the price that matches lacks a component of the shape. A less
	// specific price does not step in: an event is rated by one price or not at all.
	ComponentMissing
)

// Plan is how the events of one shape are rated in one currency under one version. It is
// immutable and may be shared.
type Plan struct {
	Price   *Price
	Counted uint32 // bit i: component i is counted
	// simple is the number of components if unit × quantity is all there is to each and their
	// units fit here: then what Rate reads lies side by side. 0: look at Components.
	simple     uint8
	units      [simpleComponents]money.Amount
	Index      int             // of Price in Version.Prices
	Components []PlanComponent // in the order of the shape's components
}

// simpleComponents is how many units a plan holds itself: usual events have two to four components.
const simpleComponents = 4

// PlanComponent is the price of one component of a shape.
type PlanComponent struct {
	*ComponentPrice
	Number int    // index in Price.Components
	Of     uint32 // bit i: Above looks at the quantity of the shape's component i
	plain  bool   // unit × quantity is all there is to it
	unit   money.Amount
}

// Plan returns how events of shape s are rated in a currency: by the most specific price
// that matches, if that prices every component. It allocates the plan's list; PlanInto
// does not.
func (v *Version) Plan(s *Shape, c money.Currency) (Plan, NoPlan) {
	var p Plan
	no := v.PlanInto(&p, s, c)
	return p, no
}

// PlanInto is Plan for a plan whose list is reused: nothing else may hold it. Without a
// plan, what p holds is unspecified, but Price and Index name the match if there is one.
func (v *Version) PlanInto(p *Plan, s *Shape, c money.Currency) NoPlan {
	index, ok := v.Match(s, c)
	if !ok {
		*p = Plan{Components: p.Components[:0]}
		return NoPrice
	}
	p.Price, p.Index, p.Counted, p.Components = &v.Prices[index], index, 0, p.Components[:0]
	row := &v.rows.list[index]
	names, k := v.rows.names[row.names], 0
	for i, name := range s.Components { // both lists are sorted
		for k < len(names) && names[k] != name {
			k++
		}
		if k == len(names) {
			return ComponentMissing
		}
		at := int(row.start) + k
		c := PlanComponent{ComponentPrice: &v.rows.components[at], Number: k, unit: v.rows.units[at], plain: row.plain>>k&1 != 0}
		if !c.plain {
			c.Of = c.looksAt(s)
			p.Counted |= (row.counted >> k & 1) << i
		}
		p.Components = append(p.Components, c)
		k++
	}
	p.simplify()
	return Planned
}

// simplify notes whether every component is plain.
func (p *Plan) simplify() {
	if p.simple = 0; len(p.Components) > simpleComponents {
		return
	}
	for i := range p.Components {
		if !p.Components[i].plain {
			return
		}
		p.units[i] = p.Components[i].unit
	}
	p.simple = uint8(len(p.Components))
}

// looksAt returns the bits of the shape's components that c.Of names.
func (c *ComponentPrice) looksAt(s *Shape) (bits uint32) {
	for _, name := range c.Of {
		if i, ok := slices.BinarySearch(s.Components, name); ok {
			bits |= 1 << i
		}
	}
	return bits
}
