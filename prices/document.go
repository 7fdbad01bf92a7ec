package prices

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	"github.com/go-faster/jx"

	"farthing/money"
)

const (
	// Meter is the kind of usage that prices from the LiteLLM list rate.
	Meter = "llm.tokens"
	// Currency is that of all prices in the LiteLLM list.
	Currency = "USD"
	// TierDimension is the dimension that tells a vendor's service tiers apart:
	// "batch", "priority", "flex". An event without it has the standard price.
	TierDimension = "service_tier"
)

// Document is one price version: the whole book from its effective time on.
type Document struct {
	EffectiveFrom time.Time
	Prices        []Price // sorted by meter, currency and match
}

// Price prices the components of the events that match.
type Price struct {
	Meter      string
	Currency   string
	Match      []Dimension // sorted by key, each key once; empty: every event of the meter
	Payee      string      // the account that earns it; empty: the operator
	Fee        string      // decimal share of the operator, "0" to "1"; empty: none
	Components []Component // sorted by name, at least one
}

// Dimension is one key and value that an event must have to match.
type Dimension struct{ Key, Value string }

// Component is the price of one component in one of the models of the price
// book: linear with what may be added to it, package, included, or tiers.
type Component struct {
	Name             string
	QuantityDecimals int // decimals that a quantity may have, 0 to 6

	Rate            // linear, package and included
	Minimum  string // decimal that an event costs at least; empty: none
	Of       []string
	Above    []Step // ascending; the unit where the quantities of Of sum to more
	Package  string // units sold together; empty: each alone
	Included string // units of a period that are free; empty: none
	Period   string // of the counted models; empty: the calendar month

	Model string // "graduated" or "volume"; empty: no tiers
	Tiers []Step // of Model, ascending; the last has no Quantity
}

// Rate is what a quantity costs: Unit for each Per of it and Flat once.
type Rate struct {
	Unit money.Amount
	Per  string       // whole number; empty: 1
	Flat money.Amount // per event, in a tier: when the tier is reached
}

// Step is a Rate and the quantity from which or up to which it holds.
type Step struct {
	Quantity string // decimal; empty in the last of tiers
	Rate
}

// sort puts the prices in the order in which they are written, so that equal
// prices give equal bytes.
func (d *Document) sort() {
	slices.SortFunc(d.Prices, func(a, b Price) int {
		return cmp.Or(cmp.Compare(a.Meter, b.Meter), cmp.Compare(a.Currency, b.Currency), compareMatch(a.Match, b.Match))
	})
}

func compareMatch(a, b []Dimension) int {
	return slices.CompareFunc(a, b, func(x, y Dimension) int {
		return cmp.Or(cmp.Compare(x.Key, y.Key), cmp.Compare(x.Value, y.Value))
	})
}

// AppendJSON appends the document as PUT /v1/prices/{version} takes it, one
// price a line so that two imports can be compared with diff.
func (d *Document) AppendJSON(dst []byte) []byte {
	var e jx.Encoder
	dst = append(dst, `{"effective_from":`...)
	e.Str(d.EffectiveFrom.UTC().Format(time.RFC3339Nano))
	dst = append(dst, e.Bytes()...)
	dst = append(dst, `,"prices":[`...)
	for i := range d.Prices {
		if i > 0 {
			dst = append(dst, ',')
		}
		e.Reset()
		d.Prices[i].encode(&e)
		dst = append(dst, '\n')
		dst = append(dst, e.Bytes()...)
	}
	return append(dst, "\n]}\n"...)
}

func (p *Price) encode(e *jx.Encoder) {
	e.ObjStart()
	field(e, "meter", p.Meter)
	field(e, "currency", p.Currency)
	e.FieldStart("match")
	e.ObjStart()
	for _, d := range p.Match {
		field(e, d.Key, d.Value)
	}
	e.ObjEnd()
	e.FieldStart("components")
	e.ObjStart()
	for i := range p.Components {
		e.FieldStart(p.Components[i].Name)
		p.Components[i].encode(e)
	}
	e.ObjEnd()
	optional(e, "payee", p.Payee)
	optional(e, "fee", p.Fee)
	e.ObjEnd()
}

// plain says that the unit alone tells everything.
func (c *Component) plain() bool {
	return c.QuantityDecimals == 0 && c.Per == "" && c.Flat.IsZero() && c.Minimum == "" &&
		len(c.Above) == 0 && c.Package == "" && c.Included == "" && c.Model == ""
}

func (c *Component) encode(e *jx.Encoder) {
	if c.plain() {
		e.Str(c.Unit.String())
		return
	}
	e.ObjStart()
	if c.Model == "" {
		c.Rate.encode(e)
	} else {
		steps(e, c.Model, c.Tiers, func(s *Step) { optional(e, "up_to", s.Quantity) })
	}
	if c.QuantityDecimals > 0 {
		e.FieldStart("quantity_decimals")
		e.Raw([]byte(strconv.Itoa(c.QuantityDecimals)))
	}
	optional(e, "minimum", c.Minimum)
	if len(c.Above) > 0 {
		steps(e, "above", c.Above, func(s *Step) {
			e.FieldStart("of")
			e.ArrStart()
			for _, name := range c.Of {
				e.Str(name)
			}
			e.ArrEnd()
			field(e, "quantity", s.Quantity)
		})
	}
	optional(e, "package", c.Package)
	optional(e, "included", c.Included)
	optional(e, "period", c.Period)
	e.ObjEnd()
}

// encode writes the fields of the rate. The unit is always among them: a rate
// of nothing but a flat fee says that the unit is free.
func (r *Rate) encode(e *jx.Encoder) {
	field(e, "unit", r.Unit.String())
	optional(e, "per", r.Per)
	if !r.Flat.IsZero() {
		field(e, "flat", r.Flat.String())
	}
}

// steps writes an array of rates, each after what head writes for it.
func steps(e *jx.Encoder, name string, list []Step, head func(*Step)) {
	e.FieldStart(name)
	e.ArrStart()
	for i := range list {
		e.ObjStart()
		head(&list[i])
		list[i].encode(e)
		e.ObjEnd()
	}
	e.ArrEnd()
}

func field(e *jx.Encoder, name, value string) {
	e.FieldStart(name)
	e.Str(value)
}

func optional(e *jx.Encoder, name, value string) {
	if value != "" {
		field(e, name, value)
	}
}
