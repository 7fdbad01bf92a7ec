package httpapi

import (
	"farthing/engine"
	"farthing/refusal"
)

func (s *Server) getHold(c *call) (answer, *refusal.Refusal) {
	id, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	v, no := s.engine.Hold(id)
	if no != nil {
		return answer{}, no
	}
	return answer{200, holdView(&v)}, nil
}

type holdJSON struct {
	ID         string              `json:"id"`
	Account    string              `json:"account"`
	Currency   string              `json:"currency"`
	State      string              `json:"state"`
	Amount     string              `json:"amount"`
	Charged    string              `json:"charged"`
	Released   string              `json:"released"`
	Lost       string              `json:"lost"`
	TTL        string              `json:"ttl"`
	Created    string              `json:"created"`
	Expires    string              `json:"expires"`
	Ended      *string             `json:"ended"`
	Sequence   uint64              `json:"sequence"`
	End        *uint64             `json:"end"`
	Estimate   *estimateJSON       `json:"estimate"`
	Grants     []holdGrantJSON     `json:"grants"`
	Extensions []holdExtensionJSON `json:"extensions"`
	Captured   *capturedJSON       `json:"captured"`
	Refused    *shortfallJSON      `json:"refused"`
	WouldHave  []string            `json:"would_have_refused"`
}

type estimateJSON struct {
	Type       string            `json:"type"`
	Dimensions map[string]string `json:"dimensions"`
	Usage      []quantityJSON    `json:"usage"`
	Version    string            `json:"version"`
}

type quantityJSON struct {
	Component string `json:"component"`
	Quantity  string `json:"quantity"`
}

type holdGrantJSON struct {
	Grant  string `json:"grant"`
	Amount string `json:"amount"`
}

type holdExtensionJSON struct {
	ID       string  `json:"id"`
	Amount   string  `json:"amount"`
	TTL      *string `json:"ttl"`
	Time     string  `json:"time"`
	Sequence uint64  `json:"sequence"`
	Reported bool    `json:"reported"`
}

// capturedJSON names the event that was captured.
type capturedJSON struct {
	Source string `json:"source"`
	Event  string `json:"event"`
}

type shortfallJSON struct {
	Account string `json:"account"`
	Limit   string `json:"limit"`
	Asked   string `json:"asked"`
	Left    string `json:"left"`
}

func holdView(h *engine.HoldView) any {
	v := holdJSON{
		ID: h.ID, Account: h.Account, Currency: h.Currency.Code(), State: string(h.State),
		Amount: h.Amount.String(), Charged: h.Charged.String(), Released: h.Released.String(), Lost: h.Lost.String(),
		TTL: h.TTL.String(), Created: timeText(h.Created), Expires: timeText(h.Expires), Ended: timeOrNull(h.Ended),
		Sequence: h.Sequence, Grants: make([]holdGrantJSON, 0, len(h.Grants)),
		Extensions: make([]holdExtensionJSON, 0, len(h.Extensions)), WouldHave: append([]string{}, h.WouldRefuse...),
	}
	if h.End != 0 {
		v.End = &h.End
	}
	if e := h.Estimate; e != nil {
		v.Estimate = &estimateJSON{e.Type, dimensionsView(e.Dimensions), make([]quantityJSON, 0, len(e.Usage)), e.Version}
		for _, c := range e.Usage {
			v.Estimate.Usage = append(v.Estimate.Usage, quantityJSON{c.Component, c.Quantity.String()})
		}
	}
	for _, g := range h.Grants {
		v.Grants = append(v.Grants, holdGrantJSON{g.Grant, g.Amount.String()})
	}
	for i := range h.Extensions {
		v.Extensions = append(v.Extensions, extensionView(&h.Extensions[i]))
	}
	if h.Event != "" {
		v.Captured = &capturedJSON{h.Source, h.Event}
	}
	if r := h.Refused; r != nil {
		v.Refused = &shortfallJSON{r.Account, r.Limit, r.Asked, r.Left}
	}
	return v
}

func extensionView(e *engine.HoldExtension) holdExtensionJSON {
	v := holdExtensionJSON{e.ID, e.Amount.String(), nil, timeText(e.Time), e.Sequence, e.Reported}
	if e.TTL != 0 {
		ttl := e.TTL.String()
		v.TTL = &ttl
	}
	return v
}
