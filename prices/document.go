package prices

import (
	"time"

	"github.com/go-faster/jx"

	"farthing/money"
)

const (
	// Meter is the kind of usage that the imported prices rate.
	Meter = "llm.tokens"
	// Currency is that of all prices in the list.
	Currency = "USD"
)

// Document is one price version: the whole book from its effective time on.
type Document struct {
	EffectiveFrom time.Time
	Prices        []Price // sorted by model, each model once
}

// Price prices the components of one model.
type Price struct {
	Model      string
	Payee      string      // the provider account that earns it; empty: the operator
	Components []Component // sorted by name, at least one
}

// Component is the flat price of one unit: a token, an image, a second.
type Component struct {
	Name string
	Unit money.Amount
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
	e.FieldStart("meter")
	e.Str(Meter)
	e.FieldStart("currency")
	e.Str(Currency)
	e.FieldStart("match")
	e.ObjStart()
	e.FieldStart("model")
	e.Str(p.Model)
	e.ObjEnd()
	e.FieldStart("components")
	e.ObjStart()
	for _, c := range p.Components {
		e.FieldStart(c.Name)
		e.Str(c.Unit.String())
	}
	e.ObjEnd()
	if p.Payee != "" {
		e.FieldStart("payee")
		e.Str(p.Payee)
	}
	e.ObjEnd()
}
