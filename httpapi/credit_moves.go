package httpapi

import (
	"farthing/engine"
	"farthing/refusal"
)

func (s *Server) postRefund(c *call) (answer, *refusal.Refusal) {
	account, o, no := s.accountBody(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id", "amount", "grant", "reference")
	spec := engine.RefundSpec{ID: o.requireID("id"), Account: account, Amount: o.positive("amount"), Grant: o.id("grant"), Reference: o.text("reference", referenceMaxBytes)}
	if o.no != nil {
		return answer{}, o.no
	}
	r, created, no := s.engine.Refund(spec)
	return booked(&r, created, no, refundView)
}

type refundJSON struct {
	ID        string  `json:"id"`
	Account   string  `json:"account"`
	Amount    string  `json:"amount"`
	Grant     *string `json:"grant"`
	Reference string  `json:"reference"`
	Sequence  uint64  `json:"sequence"`
	Time      string  `json:"time"`
}

func refundView(r *engine.Refund) any {
	return refundJSON{r.ID, r.Account, r.Amount.String(), textOrNull(r.Grant), r.Reference, r.Sequence, timeText(r.Time)}
}

func (s *Server) postMove(c *call) (answer, *refusal.Refusal) {
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id", "from", "to", "amount")
	spec := engine.MoveSpec{ID: o.requireID("id"), From: o.requireID("from"), To: o.requireID("to"), Amount: o.positive("amount")}
	o.notOperator(spec.From)
	o.notOperator(spec.To)
	if spec.From == spec.To {
		o.refuse("same_account", "from and to must be two accounts")
	}
	if o.no != nil {
		return answer{}, o.no
	}
	m, created, no := s.engine.Move(spec)
	return booked(&m, created, no, moveView)
}

type moveJSON struct {
	ID       string `json:"id"`
	From     string `json:"from"`
	To       string `json:"to"`
	Amount   string `json:"amount"`
	Sequence uint64 `json:"sequence"`
	Time     string `json:"time"`
}

func moveView(m *engine.Move) any {
	return moveJSON{m.ID, m.From, m.To, m.Amount.String(), m.Sequence, timeText(m.Time)}
}
