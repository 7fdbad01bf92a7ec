package httpapi

import (
	"farthing/engine"
	"farthing/refusal"
)

func (s *Server) getTransfers(c *call) (answer, *refusal.Refusal) {
	return accountPage(c, s.engine.Transfers, transferView)
}

type transferJSON struct {
	Sequence uint64        `json:"sequence"`
	Time     string        `json:"time"`
	Account  string        `json:"account"`
	Class    string        `json:"class,omitempty"`
	Amount   string        `json:"amount"`
	Reason   string        `json:"reason"`
	Event    *identityJSON `json:"event"`
	BatchID  *string       `json:"batch_id"`
	TopUp    *string       `json:"topup"`
	ID       string        `json:"id,omitempty"` // of what moved it, if that is no top-up
	Grant    string        `json:"grant,omitempty"`
	Balance  *string       `json:"balance,omitempty"`
}

type identityJSON struct {
	Source string `json:"source"`
	ID     string `json:"id"`
}

func transferView(t *engine.Transfer) any {
	v := transferJSON{
		Sequence: t.Sequence, Time: timeText(t.Time), Account: t.Account, Class: t.Class,
		Amount: t.Amount.String(), Reason: t.Reason,
		BatchID: textOrNull(t.Batch), Grant: t.Grant, Balance: amountOrNull(t.Balance),
	}
	if t.Reason == "topup" {
		v.TopUp = textOrNull(t.ID)
	} else {
		v.ID = t.ID
	}
	if t.Event != "" {
		v.Event = &identityJSON{t.Source, t.Event}
	}
	return v
}

func textOrNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (s *Server) getTrialBalance(c *call) (answer, *refusal.Refusal) {
	if q := c.query(); q.no != nil {
		return answer{}, q.no
	}
	rows, no := s.engine.TrialBalance()
	if no != nil {
		return answer{}, no
	}
	items := make([]trialBalanceJSON, 0, len(rows))
	for i := range rows {
		items = append(items, trialBalanceView(&rows[i]))
	}
	return answer{200, map[string]any{"items": items}}, nil
}

type trialBalanceJSON struct {
	Currency string                    `json:"currency"`
	Debits   string                    `json:"debits"`
	Credits  string                    `json:"credits"`
	Accounts map[string]classTotalJSON `json:"accounts"`
}

type classTotalJSON struct {
	Debits  string `json:"debits"`
	Credits string `json:"credits"`
}

func trialBalanceView(t *engine.TrialBalance) trialBalanceJSON {
	v := trialBalanceJSON{t.Currency.Code(), t.Debits.String(), t.Credits.String(), make(map[string]classTotalJSON, len(t.Classes))}
	for _, class := range t.Classes {
		v.Accounts[class.Class] = classTotalJSON{class.Debits.String(), class.Credits.String()}
	}
	return v
}
