package httpapi

import (
	"encoding/json"
	"strings"

	"farthing/engine"
	"farthing/refusal"
)

// voidReasonMaxBytes bounds the reason of a void.
const voidReasonMaxBytes = 500

func (s *Server) postVoid(c *call) (answer, *refusal.Refusal) {
	source, no := c.param(0)
	if no != nil {
		return answer{}, no
	}
	event, no := c.param(1)
	if no != nil {
		return answer{}, no
	}
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id", "reason")
	spec := engine.VoidSpec{Source: source, Event: event, ID: o.requireID("id"), Reason: o.voidReason()}
	if o.no != nil {
		return answer{}, o.no
	}
	v, created, no := s.engine.Void(spec)
	if no != nil {
		return answer{}, no
	}
	return answer{createdStatus(created), voidView(&v)}, nil
}

// voidReason returns why an event is voided; "" when that is not said.
func (o *object) voidReason() string {
	if !o.has("reason") {
		return ""
	}
	var text string
	if json.Unmarshal(o.fields["reason"], &text) != nil {
		o.refuse("wrong_type", "reason must be a string")
		return ""
	}
	if len(text) > voidReasonMaxBytes || strings.ContainsFunc(text, isControl) {
		o.refuse("invalid_reason", "reason must be at most %d bytes without control characters", voidReasonMaxBytes)
	}
	return text
}

type voidJSON struct {
	ID        string              `json:"id"`
	Reason    string              `json:"reason"`
	Source    string              `json:"source"`
	Event     string              `json:"event"`
	Sequence  uint64              `json:"sequence"`
	Time      string              `json:"time"`
	Account   string              `json:"account"`
	Currency  string              `json:"currency"`
	Priced    bool                `json:"priced"`
	Amount    string              `json:"amount"`
	Transfers []eventTransferJSON `json:"transfers"`
}

func voidView(v *engine.Void) any {
	return voidJSON{v.ID, v.Reason, v.Source, v.Event, v.Sequence, timeText(v.Time), v.Account, v.Currency.Code(), v.Priced,
		v.Amount.String(), transfersView(v.Transfers)}
}
