package httpapi

import (
	"encoding/json"
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
	body, no := s.readDocument(c)
	if no != nil {
		return answer{}, no
	}
	v, faults := meter.ParseVersion(id, body)
	p, created, no := s.engine.PutPrices(v, faults)
	if no != nil {
		return answer{}, no
	}
	return answer{createdStatus(created), priceVersionView(&p)}, nil
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
