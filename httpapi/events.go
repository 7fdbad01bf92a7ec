package httpapi

import (
	"encoding/json"

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

// eventJSON is an event as somebody who disputes a charge reads it: what was reported, what
// it was rated with, and what corrected it. The rating at the top is the first one.
type eventJSON struct {
	Source      string            `json:"source"`
	ID          string            `json:"id"`
	Type        string            `json:"type"`
	Subject     string            `json:"subject"`
	Time        string            `json:"time"`
	Recorded    string            `json:"recorded"`
	Sequence    uint64            `json:"sequence"`
	State       string            `json:"state"`
	UsageFormat string            `json:"usage_format,omitempty"`
	Reported    json.RawMessage   `json:"reported,omitempty"`
	Normalised  []string          `json:"normalised,omitempty"`
	Dimensions  map[string]string `json:"dimensions"`
	Priced      bool              `json:"priced"`
	Reason      string            `json:"reason,omitempty"`
	Rated       *momentJSON       `json:"rated,omitempty"`
	Currency    string            `json:"currency,omitempty"`
	ratingJSON
	Corrections []correctionJSON `json:"corrections"`
	Net         *string          `json:"net"`
}

// momentJSON is a place in the ledger's history.
type momentJSON struct {
	Sequence uint64 `json:"sequence"`
	Time     string `json:"time"`
}

// ratingJSON is how an event was priced, or how that was taken back.
type ratingJSON struct {
	Components []componentJSON     `json:"components"`
	Price      *eventPriceJSON     `json:"price"`
	Amount     *string             `json:"amount"`
	FeeRate    *string             `json:"fee_rate"`
	Fee        *string             `json:"fee"`
	Transfers  []eventTransferJSON `json:"transfers"`
	Window     *uint64             `json:"window"`
	BatchID    *string             `json:"batch_id"`
	Line       *uint32             `json:"line"`
	Published  *lineAtJSON         `json:"published"`
}

type componentJSON struct {
	Component string   `json:"component"`
	Quantity  string   `json:"quantity"`
	Model     string   `json:"model,omitempty"`
	Price     *string  `json:"price"`
	Period    string   `json:"period,omitempty"`
	Before    *string  `json:"counted_before,omitempty"`
	Note      string   `json:"note,omitempty"`
	Steps     []string `json:"steps,omitempty"`
	Amount    *string  `json:"amount"`
}

type eventPriceJSON struct {
	Version string            `json:"version"`
	Meter   string            `json:"meter"`
	Index   int               `json:"index"`
	Match   map[string]string `json:"match"`
	Why     string            `json:"why"`
	Others  []priceMatchJSON  `json:"others"`
}

type priceMatchJSON struct {
	Index int               `json:"index"`
	Match map[string]string `json:"match"`
}

type eventTransferJSON struct {
	Debit       string `json:"debit"`
	DebitClass  string `json:"debit_class"`
	Credit      string `json:"credit"`
	CreditClass string `json:"credit_class"`
	Amount      string `json:"amount"`
	Reason      string `json:"reason"`
}

// lineAtJSON is where a settlement line stands in Kafka.
type lineAtJSON struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

type correctionJSON struct {
	Kind     string      `json:"kind"`
	ID       string      `json:"id"`
	Reason   *string     `json:"reason,omitempty"`
	Sequence uint64      `json:"sequence"`
	Time     string      `json:"time"`
	Back     *postedJSON `json:"back"`
	New      *postedJSON `json:"new"`
}

// postedJSON is a rating of a correction, with when it was posted.
type postedJSON struct {
	momentJSON
	ratingJSON
}

func eventView(e *engine.Event) any {
	v := eventJSON{
		Source: e.Source, ID: e.ID, Type: e.Type, Subject: e.Subject,
		Time: timeText(e.Time), Recorded: timeText(e.Recorded), Sequence: e.Sequence,
		State: e.State, UsageFormat: e.UsageFormat, Reported: e.Reported, Normalised: e.Normalised,
		Dimensions: dimensionsView(e.Dimensions), Priced: e.Rating != nil, Reason: e.Reason, Currency: e.Currency.Code(),
		ratingJSON:  ratingJSON{Components: usageView(e.Usage), Transfers: []eventTransferJSON{}},
		Corrections: make([]correctionJSON, 0, len(e.Corrections)),
	}
	if r := e.Rating; r != nil {
		v.ratingJSON = ratingView(r, e.Type)
		if r.Sequence != e.Sequence {
			v.Rated = &momentJSON{r.Sequence, timeText(r.Time)}
		}
	}
	for i := range e.Corrections {
		v.Corrections = append(v.Corrections, correctionView(&e.Corrections[i], e.Type))
	}
	if e.Rating != nil {
		v.Net = amountOrNull(&e.Net)
	}
	return v
}

func correctionView(c *engine.Correction, meter string) correctionJSON {
	v := correctionJSON{Kind: c.Kind, ID: c.ID, Sequence: c.Sequence, Time: timeText(c.Time), Back: postedView(c.Back, meter), New: postedView(c.New, meter)}
	if c.Kind == "void" {
		v.Reason = &c.Reason
	}
	return v
}

func postedView(r *engine.Rating, meter string) *postedJSON {
	if r == nil {
		return nil
	}
	return &postedJSON{momentJSON{r.Sequence, timeText(r.Time)}, ratingView(r, meter)}
}

func ratingView(r *engine.Rating, meter string) ratingJSON {
	v := ratingJSON{
		Components: make([]componentJSON, 0, len(r.Components)), Price: priceView(r, meter),
		Amount: amountOrNull(&r.Amount), FeeRate: amountOrNull(&r.FeeRate), Fee: amountOrNull(&r.Fee), Transfers: transfersView(r.Transfers),
		BatchID: textOrNull(r.Settlement.Batch),
	}
	for i := range r.Components {
		v.Components = append(v.Components, ratedView(&r.Components[i]))
	}
	at := &r.Settlement
	if at.Window != 0 { // windows count from 1; 0 is one that is still open
		v.Window = &at.Window
	}
	if at.Batch != "" {
		v.Line = &at.Line
	}
	if p := at.Published; p != nil {
		v.Published = &lineAtJSON{p.Topic, p.Partition, p.Offset}
	}
	return v
}

func priceView(r *engine.Rating, meter string) *eventPriceJSON {
	v := eventPriceJSON{r.Version, meter, r.Price, dimensionsView(r.Match), r.Why, make([]priceMatchJSON, 0, len(r.Others))}
	for _, other := range r.Others {
		v.Others = append(v.Others, priceMatchJSON{other.Price, dimensionsView(other.Match)})
	}
	return &v
}

func ratedView(c *engine.RatedComponent) componentJSON {
	v := componentJSON{Component: c.Component, Quantity: c.Quantity.String(), Model: c.Model, Price: amountOrNull(c.Price),
		Period: c.Period, Note: c.Note, Steps: c.Steps, Amount: amountOrNull(&c.Amount)}
	if c.Before != nil {
		before := c.Before.String()
		v.Before = &before
	}
	return v
}

func transfersView(list []engine.EventTransfer) []eventTransferJSON {
	v := make([]eventTransferJSON, 0, len(list))
	for _, t := range list {
		v = append(v, eventTransferJSON{t.Debit, t.DebitClass, t.Credit, t.CreditClass, t.Amount.String(), t.Reason})
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

// usageView shows the components of an event that has no rating yet.
func usageView(list []engine.EventComponent) []componentJSON {
	v := make([]componentJSON, 0, len(list))
	for _, c := range list {
		v = append(v, componentJSON{Component: c.Component, Quantity: c.Quantity.String()})
	}
	return v
}
