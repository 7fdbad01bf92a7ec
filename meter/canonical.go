package meter

import (
	"encoding/json"
	"strconv"
	"time"

	"farthing/money"
)

// The canonical document: decimals minimal, unit / per folded, defaults left out, prices
// in the order given. Objects with names of the client's are sorted, the others have the
// order of the lines here; texts are escaped as encoding/json does. It must never change
// for what could be stated before: it is what "same content" means, and the journal keeps
// it. It is written by hand, because reflection took half of the time to read a version.

// canonicalWriter appends JSON; open says that nothing stands before the next member.
type canonicalWriter struct {
	out  []byte
	open bool
}

// appendCanonical appends the version as canonical JSON.
func (v *Version) appendCanonical(dst []byte) []byte {
	w := canonicalWriter{out: dst}
	w.begin('{')
	w.text("effective_from", time.Unix(0, v.EffectiveFrom).UTC().Format(time.RFC3339Nano))
	w.key("prices")
	w.begin('[')
	for i := range v.Prices {
		w.next()
		w.price(&v.Prices[i])
	}
	w.end(']')
	w.end('}')
	return w.out
}

// canonicalComponent is a component's price as the canonical document has it, with its name.
func canonicalComponent(c *ComponentPrice) []byte {
	var w canonicalWriter
	w.component(c)
	return w.out
}

func (w *canonicalWriter) price(p *Price) {
	w.begin('{')
	w.text("meter", p.Meter)
	w.text("currency", p.Currency.Code())
	w.key("match")
	w.begin('{')
	for _, m := range p.Match {
		w.text(m.Key, m.Value)
	}
	w.end('}')
	w.key("components")
	w.begin('{')
	for i := range p.Components {
		w.component(&p.Components[i])
	}
	w.end('}')
	switch {
	case p.Payee != "":
		w.text("payee", p.Payee)
	case !p.Fee.IsZero(): // a fee without a payee would be refused when the document is put again
		w.text("payee", operator)
	}
	w.nonZero("fee", p.Fee)
	w.end('}')
}

func (w *canonicalWriter) component(c *ComponentPrice) {
	if c.plain() && c.QuantityDecimals == 0 {
		w.amount(c.Name, c.Unit)
		return
	}
	w.key(c.Name)
	w.begin('{')
	switch c.Model {
	case Linear:
		w.unitBeside(c.Unit, c.Flat)
	case Package:
		w.unitBeside(c.Unit, c.Flat)
		w.quantity("package", c.Size)
	case Included:
		w.unitBeside(c.Unit, c.Flat)
		w.quantity("included", c.Size)
	case Graduated:
		w.tiers("graduated", c.Tiers)
	case Volume:
		w.tiers("volume", c.Tiers)
	}
	w.nonZero("flat", c.Flat)
	w.nonZero("minimum", c.Minimum)
	if c.Above != nil {
		w.above(c)
	}
	if c.Period == Window {
		w.text("period", "window")
	}
	if c.QuantityDecimals != 0 {
		w.key("quantity_decimals")
		w.out = strconv.AppendInt(w.out, int64(c.QuantityDecimals), 10)
	}
	w.end('}')
}

func (w *canonicalWriter) tiers(name string, tiers []Tier) {
	w.key(name)
	w.begin('[')
	for _, t := range tiers {
		w.next()
		w.begin('{')
		if t.UpTo != 0 {
			w.quantity("up_to", t.UpTo)
		}
		w.unitBeside(t.Unit, t.Flat)
		w.nonZero("flat", t.Flat)
		w.end('}')
	}
	w.end(']')
}

func (w *canonicalWriter) above(c *ComponentPrice) {
	w.key("above")
	w.begin('[')
	for _, a := range c.Above {
		w.next()
		w.begin('{')
		w.key("of")
		w.begin('[')
		for _, name := range c.Of {
			w.next()
			w.quote(name)
		}
		w.end(']')
		w.quantity("quantity", a.Quantity)
		w.amount("unit", a.Unit)
		w.end('}')
	}
	w.end(']')
}

// unitBeside leaves a unit of 0 out where there is a flat.
func (w *canonicalWriter) unitBeside(unit, flat money.Amount) {
	if !unit.IsZero() || flat.IsZero() {
		w.amount("unit", unit)
	}
}

func (w *canonicalWriter) nonZero(name string, a money.Amount) {
	if !a.IsZero() {
		w.amount(name, a)
	}
}

func (w *canonicalWriter) amount(name string, a money.Amount) {
	w.key(name)
	w.out = append(a.AppendText(append(w.out, '"')), '"')
}

func (w *canonicalWriter) quantity(name string, q money.Quantity) {
	w.key(name)
	w.out = append(q.AppendText(append(w.out, '"')), '"')
}

func (w *canonicalWriter) text(name, value string) {
	w.key(name)
	w.quote(value)
}

func (w *canonicalWriter) begin(c byte) { w.out, w.open = append(w.out, c), true }

func (w *canonicalWriter) end(c byte) { w.out, w.open = append(w.out, c), false }

// next starts the next element or member.
func (w *canonicalWriter) next() {
	if !w.open {
		w.out = append(w.out, ',')
	}
	w.open = false
}

func (w *canonicalWriter) key(name string) {
	w.next()
	w.quote(name)
	w.out = append(w.out, ':')
}

func (w *canonicalWriter) quote(s string) {
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&':
			out, err := json.Marshal(s)
			if err != nil {
				panic("BUG: a text does not encode: " + err.Error())
			}
			w.out = append(w.out, out...)
			return
		}
	}
	w.out = append(append(append(w.out, '"'), s...), '"')
}
