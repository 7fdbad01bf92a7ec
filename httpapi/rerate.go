package httpapi

import (
	"time"

	"farthing/engine"
	"farthing/money"
	"farthing/refusal"
)

// getSimulation streams what the events of a stretch of time would come to.
func (s *Server) getSimulation(c *call) (answer, *refusal.Refusal) {
	return s.rehearse(c, s.engine.Simulate)
}

// getRerate streams what a rerate would post.
func (s *Server) getRerate(c *call) (answer, *refusal.Refusal) {
	return s.rehearse(c, s.engine.PreviewRerate)
}

type repricingJSON struct {
	Version  string              `json:"version"`
	From     *string             `json:"from"`
	To       *string             `json:"to"`
	Sequence uint64              `json:"sequence"`
	Events   uint64              `json:"events"`
	Unpriced uint64              `json:"unpriced"`
	Totals   []repricedTotalJSON `json:"totals"`
	Rows     []repricedRowJSON   `json:"rows"`
}

type repricedTotalJSON struct {
	Currency   string `json:"currency"`
	Was        string `json:"was"`
	Would      string `json:"would"`
	Difference string `json:"difference"`
}

type repricedRowJSON struct {
	Currency   string `json:"currency"`
	Account    string `json:"account"`
	Model      string `json:"model"`
	Component  string `json:"component"`
	Events     uint64 `json:"events"`
	Was        string `json:"was"`
	Would      string `json:"would"`
	Difference string `json:"difference"`
}

func repricingView(r *engine.Repricing) any {
	v := repricingJSON{Version: r.Version, From: timeOrNull(r.From), To: timeOrNull(r.To), Sequence: r.Sequence, Events: r.Events, Unpriced: r.Unpriced,
		Totals: make([]repricedTotalJSON, 0, len(r.Totals)), Rows: make([]repricedRowJSON, 0, len(r.Rows))}
	for i := range r.Totals {
		t := &r.Totals[i]
		v.Totals = append(v.Totals, repricedTotalJSON{t.Currency.Code(), t.Was.String(), t.Would.String(), difference(t.Was, t.Would)})
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		v.Rows = append(v.Rows, repricedRowJSON{row.Currency.Code(), row.Account, row.Model, row.Component, row.Events, row.Was.String(), row.Would.String(),
			difference(row.Was, row.Would)})
	}
	return v
}

// difference is would - was. In decimals it cannot overflow.
func difference(was, would money.Amount) string { return would.Decimal().Sub(was.Decimal()).String() }

// timeOrNull shows an end of a stretch of time; null where it is open.
func timeOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return textOrNull(timeText(t))
}

func (s *Server) postRerate(c *call) (answer, *refusal.Refusal) {
	version, no := c.param(0)
	if no != nil {
		return answer{}, no
	}
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id", "from", "to")
	spec := engine.RerateSpec{ID: o.requireID("id"), Version: version, From: o.time("from"), To: o.time("to")}
	if !spec.To.IsZero() && !spec.From.Before(spec.To) {
		o.refuse("invalid_time", "from must be before to")
	}
	if o.no != nil {
		return answer{}, o.no
	}
	r, created, no := s.engine.Rerate(spec)
	if no != nil {
		return answer{}, no
	}
	return answer{createdStatus(created), rerateView(&r)}, nil
}

func (s *Server) getRerateStatus(c *call) (answer, *refusal.Refusal) {
	id, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	r, no := s.engine.RerateStatus(id)
	if no != nil {
		return answer{}, no
	}
	return answer{200, rerateView(&r)}, nil
}

type rerateJSON struct {
	ID       string            `json:"id"`
	Version  string            `json:"version"`
	From     *string           `json:"from"`
	To       *string           `json:"to"`
	State    string            `json:"state"`
	Sequence uint64            `json:"sequence"`
	Time     string            `json:"time"`
	Done     *string           `json:"done"`
	Events   uint64            `json:"events"`
	Totals   []rerateTotalJSON `json:"totals"`
}

type rerateTotalJSON struct {
	Currency   string `json:"currency"`
	Returned   string `json:"returned"`
	Charged    string `json:"charged"`
	Difference string `json:"difference"`
}

func rerateView(r *engine.Rerate) any {
	v := rerateJSON{ID: r.ID, Version: r.Version, From: timeOrNull(r.From), To: timeOrNull(r.To), State: r.State, Sequence: r.Sequence, Time: timeText(r.Time),
		Done: timeOrNull(r.Done), Events: r.Events, Totals: make([]rerateTotalJSON, 0, len(r.Totals))}
	for _, t := range r.Totals {
		v.Totals = append(v.Totals, rerateTotalJSON{t.Currency.Code(), t.Returned.String(), t.Charged.String(), difference(t.Returned, t.Charged)})
	}
	return v
}
