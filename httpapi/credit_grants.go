package httpapi

import (
	"farthing/engine"
	"farthing/refusal"
)

// grantPriority is where a grant stands in the burn order if that is not said.
const grantPriority = 100

func (s *Server) postGrant(c *call) (answer, *refusal.Refusal) {
	account, o, no := s.accountBody(c)
	if no != nil {
		return answer{}, no
	}
	spec := grantSpec(o, account)
	if o.no != nil {
		return answer{}, o.no
	}
	g, created, no := s.engine.Grant(spec)
	return booked(&g, created, no, grantView)
}

func grantSpec(o *object, account string) engine.GrantSpec {
	o.only("id", "kind", "amount", "priority", "expires_at", "scope")
	spec := engine.GrantSpec{
		ID: o.requireID("id"), Account: account,
		Kind: o.requireWord("kind", "paid", "promo", "subscription"), Amount: o.positive("amount"),
		Priority: grantPriority, Expires: o.time("expires_at"), Scope: o.scope(),
	}
	if p := o.priority(); p != nil {
		spec.Priority = *p
	}
	return spec
}

func (s *Server) getGrants(c *call) (answer, *refusal.Refusal) {
	return accountPage(c, s.engine.Grants, grantView)
}

type grantJSON struct {
	ID           string    `json:"id"`
	Account      string    `json:"account"`
	Kind         string    `json:"kind"`
	Amount       string    `json:"amount"`
	Priority     uint32    `json:"priority"`
	ExpiresAt    *string   `json:"expires_at"`
	Scope        scopeJSON `json:"scope"`
	Subscription *string   `json:"subscription"`
	Used         string    `json:"used"`
	Remaining    string    `json:"remaining"`
	Held         string    `json:"held"`
	Expired      string    `json:"expired"`
	State        string    `json:"state"`
	Sequence     uint64    `json:"sequence"`
	Time         string    `json:"time"`
}

func grantView(g *engine.Grant) any {
	return grantJSON{g.ID, g.Account, g.Kind, g.Amount.String(), g.Priority, timeOrNull(g.Expires), scopeView(&g.Scope), textOrNull(g.Subscription),
		g.Used.String(), g.Remaining.String(), g.Held.String(), g.Expired.String(), g.State, g.Sequence, timeText(g.Time)}
}
