package httpapi

import (
	"time"

	"farthing/engine"
	"farthing/refusal"
)

// Settings that are not given, and the bounds of those that are.
const (
	grantExpiringDefault = 72 * time.Hour
	grantExpiringMax     = 366 * 24 * time.Hour
	topUpsPerDayDefault  = 5
	topUpsPerDayMax      = 1000
)

func (s *Server) putSettings(c *call) (answer, *refusal.Refusal) {
	account, o, no := s.accountBody(c)
	if no != nil {
		return answer{}, no
	}
	spec := settingsSpec(o, account)
	if o.no != nil {
		return answer{}, o.no
	}
	settings, _, no := s.engine.PutSettings(spec)
	return shown(&settings, no, settingsView)
}

func (s *Server) getSettings(c *call) (answer, *refusal.Refusal) {
	id, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	settings, no := s.engine.Settings(id)
	return shown(&settings, no, settingsView)
}

// settingsSpec reads the body of PUT /v1/accounts/{id}/settings. What is absent gets its
// default.
func settingsSpec(o *object, account string) engine.SettingsSpec {
	o.only("id", "excess", "abandoned", "credit_low", "grant_expiring", "auto_topup")
	spec := engine.SettingsSpec{ID: o.id("id"), Account: account, Excess: "allow", Abandoned: "void", CreditLow: o.notNegative("credit_low"),
		GrantWarning: o.duration("grant_expiring", 0, grantExpiringMax, grantExpiringDefault)}
	if o.has("abandoned") {
		spec.Abandoned = o.oneOf("abandoned", "void", "capture")
	}
	o.within("excess", func(in *object) {
		in.only("policy", "limit")
		spec.Excess = in.requireWord("policy", "allow", "allow_up_to", "cap")
		switch {
		case spec.Excess == "allow_up_to":
			spec.ExcessLimit = in.positive("limit")
		case in.has("limit"):
			in.refuse("not_for_policy", "only allow_up_to has a limit")
		}
	})
	o.within("auto_topup", func(in *object) { spec.AutoTopUp = in.autoTopUp() })
	return spec
}

func (o *object) autoTopUp() *engine.AutoTopUp {
	o.only("threshold", "amount", "max_per_day")
	o.require("threshold")
	a := engine.AutoTopUp{Amount: o.positive("amount"), MaxPerDay: topUpsPerDayDefault}
	if threshold := o.notNegative("threshold"); threshold != nil {
		a.Threshold = *threshold
	}
	if n := o.uint("max_per_day"); n != nil {
		if *n < 1 || *n > topUpsPerDayMax {
			o.refuse("invalid_max_per_day", "max_per_day must be 1 to %d", topUpsPerDayMax)
		}
		a.MaxPerDay = uint32(*n)
	}
	return &a
}

type settingsJSON struct {
	Account       string         `json:"account"`
	Excess        excessJSON     `json:"excess"`
	Abandoned     string         `json:"abandoned"`
	CreditLow     *string        `json:"credit_low"`
	GrantExpiring string         `json:"grant_expiring"`
	AutoTopUp     *autoTopUpJSON `json:"auto_topup"`
	Sequence      uint64         `json:"sequence"`
}

type excessJSON struct {
	Policy string  `json:"policy"`
	Limit  *string `json:"limit"`
}

type autoTopUpJSON struct {
	Threshold string `json:"threshold"`
	Amount    string `json:"amount"`
	MaxPerDay uint32 `json:"max_per_day"`
}

func settingsView(s *engine.Settings) any {
	v := settingsJSON{Account: s.Account, Excess: excessJSON{Policy: s.Excess}, Abandoned: s.Abandoned, CreditLow: amountOrNull(s.CreditLow),
		GrantExpiring: s.GrantWarning.String(), Sequence: s.Sequence}
	if s.Excess == "allow_up_to" {
		v.Excess.Limit = amountOrNull(&s.ExcessLimit)
	}
	if a := s.AutoTopUp; a != nil {
		v.AutoTopUp = &autoTopUpJSON{a.Threshold.String(), a.Amount.String(), a.MaxPerDay}
	}
	return v
}
