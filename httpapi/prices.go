package httpapi

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

func (s *Server) putPrices(c *call) (answer, *refusal.Refusal) {
	id, no := c.param(0)
	if no != nil {
		return answer{}, no
	}
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	if checkVersionKeys(o); o.no != nil {
		return answer{}, o.no
	}
	v, no := meter.ParseVersion(id, o.body)
	if no != nil {
		return answer{}, no
	}
	p, created, no := s.engine.PutPrices(v)
	if no != nil {
		return answer{}, no
	}
	return answer{createdStatus(created), priceVersionView(&p)}, nil
}

// checkVersionKeys refuses keys that a price version does not have. The parser
// refuses unknown ones too, but encoding/json takes "Prices" for "prices", and
// then the second would win.
func checkVersionKeys(o *object) {
	o.only("effective_from", "prices")
	if o.no != nil || !o.has("prices") {
		return
	}
	var prices []json.RawMessage
	if json.Unmarshal(o.fields["prices"], &prices) != nil {
		o.refuse("wrong_type", "prices must be an array")
		return
	}
	for _, raw := range prices {
		price := o.part(raw, "meter", "currency", "match", "components", "payee", "fee")
		components := o.part(price["components"])
		for _, name := range slices.Sorted(maps.Keys(components)) {
			o.part(components[name], "unit", "per", "quantity_decimals")
		}
	}
}

// part reads a nested object whose keys must be among names (no names: any). It
// returns nil for any other value, which the parser judges.
func (o *object) part(raw json.RawMessage, names ...string) map[string]json.RawMessage {
	nested := object{no: o.no}
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &nested.fields) != nil {
		return nil
	}
	if len(names) > 0 {
		nested.only(names...)
		o.no = nested.no
	}
	return nested.fields
}

func (s *Server) getPrices(c *call) (answer, *refusal.Refusal) {
	q := c.query("limit", "cursor")
	cursor, limit := q.page()
	if q.no != nil {
		return answer{}, q.no
	}
	page, no := s.engine.PriceVersions(cursor, limit)
	return listOf(page, no, func(p *engine.PriceVersion) any { return priceVersionView(p) })
}

func (s *Server) getPriceVersion(c *call) (answer, *refusal.Refusal) {
	id, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	p, no := s.engine.PriceVersion(id)
	if no != nil {
		return answer{}, no
	}
	return answer{200, priceBookJSON{priceVersionView(&p), documentPrices(p.Version)}}, nil
}

// priceVersionJSON is a version without its prices, of which there may be
// megabytes.
type priceVersionJSON struct {
	Version       string `json:"version"`
	EffectiveFrom string `json:"effective_from"`
	PriceCount    int    `json:"price_count"`
	Sequence      uint64 `json:"sequence"`
	Time          string `json:"time"`
}

type priceBookJSON struct {
	priceVersionJSON
	Prices json.RawMessage `json:"prices"`
}

func priceVersionView(p *engine.PriceVersion) priceVersionJSON {
	v := p.Version
	return priceVersionJSON{v.ID, timeText(time.Unix(0, v.EffectiveFrom)), len(v.Prices), p.Sequence, timeText(p.Time)}
}

// documentPrices returns the prices of the version's canonical document.
func documentPrices(v *meter.Version) json.RawMessage {
	var doc struct {
		Prices json.RawMessage `json:"prices"`
	}
	if err := json.Unmarshal(v.Canonical, &doc); err != nil {
		panic("BUG: a canonical price version is not JSON: " + err.Error())
	}
	return doc.Prices
}
