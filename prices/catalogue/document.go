package catalogue

import (
	"cmp"
	"slices"
	"time"

	"github.com/go-faster/jx"
)

// Meter is the kind of usage that the prices rate.
const Meter = "llm.tokens"

// Document returns the price version that comes into force at a moment, with
// the prices that the vendors list for that moment, as PUT
// /v1/prices/{version} takes it: one price a line, so that two catalogues can
// be compared with diff, sorted by model and tier. The bytes depend on the
// moment and the catalogue alone.
func (c *Catalogue) Document(effectiveFrom time.Time) []byte {
	prices := c.prices(effectiveFrom)
	var e jx.Encoder
	e.Str(effectiveFrom.UTC().Format(time.RFC3339Nano))
	dst := append([]byte(`{"effective_from":`), e.Bytes()...)
	dst = append(dst, `,"prices":[`...)
	for i := range prices {
		if i > 0 {
			dst = append(dst, ',')
		}
		e.Reset()
		prices[i].encode(&e)
		dst = append(dst, '\n')
		dst = append(dst, e.Bytes()...)
	}
	return append(dst, "\n]}\n"...)
}

// price is one price of the document.
type price struct {
	model    string
	currency string
	set      Set
}

func (c *Catalogue) prices(at time.Time) []price {
	var all []price
	for i := range c.models {
		m := &c.models[i]
		for _, set := range m.Sets(at) {
			for _, name := range m.Names {
				all = append(all, price{name, m.Currency, set})
			}
		}
	}
	slices.SortFunc(all, func(a, b price) int {
		return cmp.Or(cmp.Compare(a.model, b.model), cmp.Compare(a.set.Tier, b.set.Tier))
	})
	return all
}

func (p *price) encode(e *jx.Encoder) {
	e.ObjStart()
	e.FieldStart("meter")
	e.Str(Meter)
	e.FieldStart("currency")
	e.Str(p.currency)
	e.FieldStart("match")
	e.ObjStart()
	e.FieldStart("model")
	e.Str(p.model)
	if p.set.Tier != "" {
		e.FieldStart("service_tier")
		e.Str(p.set.Tier)
	}
	e.ObjEnd()
	e.FieldStart("components")
	e.ObjStart()
	inputs := p.set.inputs()
	for i := range p.set.Components {
		p.set.Components[i].encode(e, inputs)
	}
	e.ObjEnd()
	e.ObjEnd()
}

func (c *Component) encode(e *jx.Encoder, inputs []string) {
	e.FieldStart(c.Name)
	e.ObjStart()
	unit(e, c.Unit, c.Per)
	if c.AboveTokens != "" {
		e.FieldStart("above")
		e.ArrStart()
		e.ObjStart()
		e.FieldStart("of")
		e.ArrStart()
		for _, name := range inputs {
			e.Str(name)
		}
		e.ArrEnd()
		e.FieldStart("quantity")
		e.Str(c.AboveTokens)
		unit(e, c.AboveUnit, c.Per)
		e.ObjEnd()
		e.ArrEnd()
	}
	e.ObjEnd()
}

func unit(e *jx.Encoder, unit, per string) {
	e.FieldStart("unit")
	e.Str(unit)
	e.FieldStart("per")
	e.Str(per)
}
