package httpapi

import (
	"encoding/json"

	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

// Bounds of an account's limits.
const (
	limitsMax         = 32
	limitNameMaxBytes = 64
	// limitsBodyMaxBytes has room for as many limits with the longest scopes, about 5 KB each.
	limitsBodyMaxBytes = 256 << 10
)

func (s *Server) putLimits(c *call) (answer, *refusal.Refusal) {
	account, o, no := s.accountBody(c)
	if no != nil {
		return answer{}, no
	}
	spec := limitsSpec(o, account)
	if o.no != nil {
		return answer{}, o.no
	}
	l, _, no := s.engine.PutLimits(spec)
	return shown(&l, no, limitsView)
}

func (s *Server) getLimits(c *call) (answer, *refusal.Refusal) {
	id, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	l, no := s.engine.Limits(id)
	return shown(&l, no, limitsView)
}

// limitsSpec reads the body of PUT /v1/accounts/{id}/limits. The list must be there: whoever
// only means the overdraft_limit would not want to lose it.
func limitsSpec(o *object, account string) engine.LimitsSpec {
	o.only("id", "overdraft_limit", "limits")
	spec := engine.LimitsSpec{ID: o.id("id"), Account: account, Overdraft: o.notNegative("overdraft_limit")}
	spec.SetOverdraft = o.has("overdraft_limit") || o.null("overdraft_limit")
	o.require("limits")
	taken := make(map[string]bool)
	o.each("limits", limitsMax, func(in *object) {
		l := in.limit()
		if taken[l.Name] {
			in.refuse("duplicate_name", "another limit has the name %s", l.Name)
		}
		taken[l.Name] = true
		spec.Limits = append(spec.Limits, l)
	})
	return spec
}

// limit reads one limit. An amount or a count of 0 is a limit: nothing may be spent.
func (o *object) limit() engine.LimitSpec {
	o.only("name", "per", "amount", "count", "mode", "scope", "allotment")
	o.require("name")
	l := engine.LimitSpec{
		Name: o.text("name", len(o.body)), Per: o.requireWord("per", "call", "minute", "hour", "day", "month", "total"),
		Amount: o.notNegative("amount"), Count: o.uint("count"),
		Mode: "hard", Scope: o.scope(), Allotment: o.bool("allotment"),
	}
	if o.has("mode") {
		l.Mode = o.oneOf("mode", "hard", "soft", "shadow")
	}
	switch {
	case len(l.Name) > limitNameMaxBytes || !meter.ValidID([]byte(l.Name)):
		o.refuse("invalid_name", "name must be 1 to %d of A-Z a-z 0-9 . _ : - / @", limitNameMaxBytes)
	case l.Per == "call" && l.Count != nil:
		o.refuse("count_per_call", "a limit per call has an amount and no count")
	case l.Amount == nil && l.Count == nil:
		o.refuse("missing_field", "a limit has an amount, a count or both")
	case l.Allotment && (l.Mode != "hard" || l.Amount == nil || l.Per == "call"):
		o.refuse("invalid_allotment", "an allotment is a hard limit with an amount, of a period or in total")
	}
	return l
}

type limitsJSON struct {
	Account        string           `json:"account"`
	Currency       string           `json:"currency"`
	OverdraftLimit *json.RawMessage `json:"overdraft_limit,omitempty"`
	Limits         []limitJSON      `json:"limits"`
	Sequence       uint64           `json:"sequence"`
}

type limitJSON struct {
	Name             string    `json:"name"`
	Per              string    `json:"per"`
	Amount           *string   `json:"amount"`
	Count            *uint64   `json:"count"`
	Mode             string    `json:"mode"`
	Scope            scopeJSON `json:"scope"`
	Allotment        bool      `json:"allotment"`
	Period           *string   `json:"period"`
	Spent            string    `json:"spent"`
	Held             string    `json:"held"`
	Calls            uint64    `json:"calls"`
	Passed           bool      `json:"passed"`
	WouldHaveRefused uint64    `json:"would_have_refused"`
	Recent           []string  `json:"recent"`
}

func limitsView(l *engine.Limits) any {
	v := limitsJSON{Account: l.Account, Currency: l.Currency.Code(), Limits: make([]limitJSON, 0, len(l.Limits)), Sequence: l.Sequence}
	if l.Root {
		v.OverdraftLimit = overdraftView(l.Overdraft)
	}
	for i := range l.Limits {
		v.Limits = append(v.Limits, limitView(&l.Limits[i]))
	}
	return v
}

func limitView(l *engine.Limit) limitJSON {
	return limitJSON{l.Name, l.Per, amountOrNull(l.Amount), l.Count, l.Mode, scopeView(&l.Scope), l.Allotment, timeOrNull(l.Period),
		l.Spent.String(), l.Held.String(), l.Calls, l.Passed, l.WouldRefuse, append([]string{}, l.Recent...)}
}
