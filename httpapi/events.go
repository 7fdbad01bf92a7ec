package httpapi

import (
	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

func (s *Server) getEvent(c *call) (answer, *refusal.Refusal) {
	source, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	id, no := c.param(1)
	if no != nil {
		return answer{}, no
	}
	e, no := s.engine.Event(source, id)
	if no != nil {
		return answer{}, no
	}
	return answer{200, eventView(&e)}, nil
}

type eventJSON struct {
	Source     string              `json:"source"`
	ID         string              `json:"id"`
	Type       string              `json:"type"`
	Subject    string              `json:"subject"`
	Time       string              `json:"time"`
	Recorded   string              `json:"recorded"`
	Sequence   uint64              `json:"sequence"`
	Dimensions map[string]string   `json:"dimensions"`
	Components []componentJSON     `json:"components"`
	Priced     bool                `json:"priced"`
	Reason     string              `json:"reason,omitempty"`
	Price      *eventPriceJSON     `json:"price"`
	Currency   string              `json:"currency,omitempty"`
	Amount     *string             `json:"amount"`
	Transfers  []eventTransferJSON `json:"transfers"`
	Window     *uint64             `json:"window"`
	BatchID    *string             `json:"batch_id"`
	Line       *uint32             `json:"line"`
}

type componentJSON struct {
	Component string  `json:"component"`
	Quantity  string  `json:"quantity"`
	Price     *string `json:"price"`
	Amount    *string `json:"amount"`
}

type eventPriceJSON struct {
	Version string            `json:"version"`
	Meter   string            `json:"meter"`
	Match   map[string]string `json:"match"`
}

type eventTransferJSON struct {
	Debit       string `json:"debit"`
	DebitClass  string `json:"debit_class"`
	Credit      string `json:"credit"`
	CreditClass string `json:"credit_class"`
	Amount      string `json:"amount"`
	Reason      string `json:"reason"`
}

func eventView(e *engine.Event) any {
	v := eventJSON{
		Source: e.Source, ID: e.ID, Type: e.Type, Subject: e.Subject,
		Time: timeText(e.Time), Recorded: timeText(e.Recorded), Sequence: e.Sequence,
		Dimensions: dimensionsView(e.Dimensions), Components: componentsView(e.Usage),
		Priced: e.Priced, Transfers: make([]eventTransferJSON, 0, len(e.Transfers)),
		BatchID: textOrNull(e.Batch),
	}
	for _, t := range e.Transfers {
		v.Transfers = append(v.Transfers, eventTransferJSON{t.Debit, t.DebitClass, t.Credit, t.CreditClass, t.Amount.String(), t.Reason})
	}
	if e.Batch != "" {
		v.Line = &e.Line
	}
	if !e.Priced {
		v.Reason = e.Reason
		return v
	}
	v.Price = &eventPriceJSON{e.Version, e.Meter, dimensionsView(e.Match)}
	v.Currency, v.Amount = e.Currency.Code(), amountOrNull(&e.Amount)
	if e.Window != 0 { // windows count from 1; 0 is one that is still open
		v.Window = &e.Window
	}
	return v
}

func dimensionsView(list []meter.Dimension) map[string]string {
	v := make(map[string]string, len(list))
	for _, d := range list {
		v[d.Key] = d.Value
	}
	return v
}

func componentsView(list []engine.EventComponent) []componentJSON {
	v := make([]componentJSON, 0, len(list))
	for _, c := range list {
		v = append(v, componentJSON{c.Component, c.Quantity.String(), amountOrNull(c.Price), amountOrNull(c.Amount)})
	}
	return v
}

func (s *Server) getUnpriced(c *call) (answer, *refusal.Refusal) {
	q := c.query("limit", "cursor")
	cursor, limit := q.page()
	if q.no != nil {
		return answer{}, q.no
	}
	page, no := s.engine.Unpriced(cursor, limit)
	return listOf(page, no, unpricedView)
}

type unpricedJSON struct {
	Source     string            `json:"source"`
	ID         string            `json:"id"`
	Type       string            `json:"type"`
	Subject    string            `json:"subject"`
	Time       string            `json:"time"`
	Sequence   uint64            `json:"sequence"`
	Reason     string            `json:"reason"`
	Dimensions map[string]string `json:"dimensions"`
	Usage      map[string]string `json:"usage"`
}

func unpricedView(e *engine.UnpricedEvent) any {
	usage := make(map[string]string, len(e.Usage))
	for _, c := range e.Usage {
		usage[c.Component] = c.Quantity.String()
	}
	return unpricedJSON{e.Source, e.ID, e.Type, e.Subject, timeText(e.Time), e.Sequence, e.Reason, dimensionsView(e.Dimensions), usage}
}
