package httpapi

import (
	"farthing/engine"
	"farthing/refusal"
)

func (s *Server) postTopUpRequest(c *call) (answer, *refusal.Refusal) {
	account, o, no := s.accountBody(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id", "amount")
	spec := engine.TopUpAskSpec{ID: o.requireID("id"), Account: account, Amount: o.positive("amount")}
	if o.no != nil {
		return answer{}, o.no
	}
	r, created, no := s.engine.AskTopUp(spec)
	return booked(&r, created, no, topUpRequestView)
}

func (s *Server) postTopUpReply(c *call) (answer, *refusal.Refusal) {
	request, no := c.param(0)
	if no != nil {
		return answer{}, no
	}
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id", "status", "amount", "reference")
	spec := engine.TopUpReplySpec{ID: o.requireID("id"), Request: request, Paid: o.requireWord("status", "paid", "declined") == "paid", Reference: o.text("reference", referenceMaxBytes)}
	if o.has("amount") {
		amount := o.positive("amount")
		spec.Amount = &amount
		if !spec.Paid {
			o.refuse("not_for_declined", "what was declined has no amount")
		}
	}
	if o.no != nil {
		return answer{}, o.no
	}
	r, created, no := s.engine.ReplyTopUp(spec)
	return booked(&r, created, no, topUpRequestView)
}

func (s *Server) getTopUpRequests(c *call) (answer, *refusal.Refusal) {
	return accountPage(c, s.engine.TopUpRequests, topUpRequestView)
}

type topUpRequestJSON struct {
	ID       string  `json:"id"`
	Account  string  `json:"account"`
	Currency string  `json:"currency"`
	Amount   string  `json:"amount"`
	By       string  `json:"by"`
	State    string  `json:"state"`
	TopUp    *string `json:"topup"`
	Created  string  `json:"created"`
	Answered *string `json:"answered"`
	Sequence uint64  `json:"sequence"`
}

func topUpRequestView(r *engine.TopUpRequest) any {
	return topUpRequestJSON{r.ID, r.Account, r.Currency.Code(), r.Amount.String(), r.By, r.State, textOrNull(r.TopUp), timeText(r.Created), timeOrNull(r.Answered), r.Sequence}
}
