package meter

import (
	"encoding/json"
	"time"

	"farthing/money"
)

// The canonical document: decimals minimal, unit / per folded, defaults left out, prices
// in the order given. Objects with names of the client's are sorted, the others have the
// order of the fields here. It must never change for what could be stated before: it is
// what "same content" means, and the journal keeps it.
type document struct {
	EffectiveFrom string          `json:"effective_from"`
	Prices        []documentPrice `json:"prices"`
}

type documentPrice struct {
	Meter      string            `json:"meter"`
	Currency   string            `json:"currency"`
	Match      map[string]string `json:"match"`
	Components map[string]any    `json:"components"`
	Payee      string            `json:"payee,omitempty"`
	Fee        *string           `json:"fee,omitempty"`
}

type documentComponent struct {
	Unit      *string               `json:"unit,omitempty"`
	Package   *string               `json:"package,omitempty"`
	Graduated []documentTier        `json:"graduated,omitempty"`
	Volume    []documentTier        `json:"volume,omitempty"`
	Included  *string               `json:"included,omitempty"`
	Flat      *string               `json:"flat,omitempty"`
	Minimum   *string               `json:"minimum,omitempty"`
	Above     []documentAlternative `json:"above,omitempty"`
	Period    string                `json:"period,omitempty"`
	Decimals  int                   `json:"quantity_decimals,omitempty"`
}

type documentTier struct {
	UpTo *string `json:"up_to,omitempty"`
	Unit *string `json:"unit,omitempty"`
	Flat *string `json:"flat,omitempty"`
}

type documentAlternative struct {
	Of       []string `json:"of"`
	Quantity string   `json:"quantity"`
	Unit     string   `json:"unit"`
}

// appendCanonical appends the version as canonical JSON.
func (v *Version) appendCanonical(dst []byte) []byte {
	doc := document{EffectiveFrom: time.Unix(0, v.EffectiveFrom).UTC().Format(time.RFC3339Nano)}
	for i := range v.Prices {
		p := &v.Prices[i]
		d := documentPrice{Meter: p.Meter, Currency: p.Currency.Code(), Payee: p.Payee, Fee: nonZero(p.Fee),
			Match: map[string]string{}, Components: map[string]any{}}
		for _, m := range p.Match {
			d.Match[m.Key] = m.Value
		}
		for k := range p.Components {
			d.Components[p.Components[k].Name] = p.Components[k].canonical()
		}
		doc.Prices = append(doc.Prices, d)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		panic("BUG: a price version does not encode: " + err.Error())
	}
	return append(dst, out...)
}

// canonical returns what encodes as the component's canonical price.
func (c *ComponentPrice) canonical() any {
	if c.plain && c.QuantityDecimals == 0 {
		return c.Unit.String()
	}
	d := documentComponent{Flat: nonZero(c.Flat), Minimum: nonZero(c.Minimum), Decimals: c.QuantityDecimals}
	switch c.Model {
	case Graduated:
		d.Graduated = canonicalTiers(c.Tiers)
	case Volume:
		d.Volume = canonicalTiers(c.Tiers)
	case Package:
		d.Unit, d.Package = unitBeside(c.Unit, c.Flat), size(c.Size)
	case Included:
		d.Unit, d.Included = unitBeside(c.Unit, c.Flat), size(c.Size)
	case Linear:
		d.Unit = unitBeside(c.Unit, c.Flat)
	}
	for _, a := range c.Above {
		d.Above = append(d.Above, documentAlternative{c.Of, a.Quantity.String(), a.Unit.String()})
	}
	if c.Period == Window {
		d.Period = "window"
	}
	return d
}

func canonicalTiers(tiers []Tier) []documentTier {
	out := make([]documentTier, len(tiers))
	for i, t := range tiers {
		out[i] = documentTier{Unit: unitBeside(t.Unit, t.Flat), Flat: nonZero(t.Flat)}
		if t.UpTo != 0 {
			out[i].UpTo = size(t.UpTo)
		}
	}
	return out
}

// unitBeside leaves a unit of 0 out where there is a flat.
func unitBeside(unit, flat money.Amount) *string {
	if unit.IsZero() && !flat.IsZero() {
		return nil
	}
	s := unit.String()
	return &s
}

func nonZero(a money.Amount) *string {
	if a.IsZero() {
		return nil
	}
	s := a.String()
	return &s
}

func size(q money.Quantity) *string {
	s := q.String()
	return &s
}
