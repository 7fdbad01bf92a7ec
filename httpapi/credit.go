package httpapi

import (
	"encoding/json"
	"slices"

	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// Credit is what the routes of prepaid credit need from the engine, holds excepted. Created is
// false for what was booked before with the same content.
type Credit interface {
	Grant(engine.GrantSpec) (g engine.Grant, created bool, no *refusal.Refusal)
	Grants(account, cursor string, limit int) (engine.Page[engine.Grant], *refusal.Refusal)
	Refund(engine.RefundSpec) (r engine.Refund, created bool, no *refusal.Refusal)
	Move(engine.MoveSpec) (m engine.Move, created bool, no *refusal.Refusal)
	SetStatus(engine.StatusSpec) (c engine.StatusChange, created bool, no *refusal.Refusal)

	PutLimits(engine.LimitsSpec) (l engine.Limits, created bool, no *refusal.Refusal)
	Limits(account string) (engine.Limits, *refusal.Refusal)
	PutSettings(engine.SettingsSpec) (s engine.Settings, created bool, no *refusal.Refusal)
	Settings(account string) (engine.Settings, *refusal.Refusal)

	AskTopUp(engine.TopUpAskSpec) (r engine.TopUpRequest, created bool, no *refusal.Refusal)
	ReplyTopUp(engine.TopUpReplySpec) (r engine.TopUpRequest, created bool, no *refusal.Refusal)
	TopUpRequests(account, cursor string, limit int) (engine.Page[engine.TopUpRequest], *refusal.Refusal)

	Subscribe(engine.SubscriptionSpec) (s engine.Subscription, created bool, no *refusal.Refusal)
	ChangeSubscription(engine.SubscriptionChange) (s engine.Subscription, created bool, no *refusal.Refusal)
	Subscription(id string) (engine.Subscription, *refusal.Refusal)
	Subscriptions(account, cursor string, limit int) (engine.Page[engine.Subscription], *refusal.Refusal)

	// Notifications returns up to limit notifications after a number, in order.
	Notifications(after uint64, limit int) ([]engine.Notification, *refusal.Refusal)
	// NotificationsChanged returns a channel that is closed once there may be more
	// notifications than at the time of the call.
	NotificationsChanged() <-chan struct{}
}

// creditRoutes lists the routes of prepaid credit, holds excepted.
func creditRoutes() []route {
	write := func(method, pattern string, handle func(*Server, *call) (answer, *refusal.Refusal)) route {
		return route{method: method, pattern: pattern, scope: ScopeAdmin, bodyMax: coldBodyMaxBytes, handle: handle}
	}
	read := func(pattern string, long bool, handle func(*Server, *call) (answer, *refusal.Refusal)) route {
		return route{method: "GET", pattern: pattern, scope: ScopeRead, long: long, handle: handle}
	}
	limits := write("PUT", "/v1/accounts/{id}/limits", (*Server).putLimits)
	limits.bodyMax = limitsBodyMaxBytes
	return []route{
		write("POST", "/v1/accounts/{id}/grants", (*Server).postGrant),
		read("/v1/accounts/{id}/grants", true, (*Server).getGrants),
		write("POST", "/v1/accounts/{id}/refunds", (*Server).postRefund),
		write("POST", "/v1/moves", (*Server).postMove),
		limits,
		read("/v1/accounts/{id}/limits", true, (*Server).getLimits),
		write("PUT", "/v1/accounts/{id}/settings", (*Server).putSettings),
		read("/v1/accounts/{id}/settings", false, (*Server).getSettings),
		write("POST", "/v1/accounts/{id}/freeze", (*Server).postFreeze),
		write("POST", "/v1/accounts/{id}/resume", (*Server).postResume),
		write("POST", "/v1/accounts/{id}/close", (*Server).postClose),
		write("POST", "/v1/accounts/{id}/topup-requests", (*Server).postTopUpRequest),
		read("/v1/accounts/{id}/topup-requests", true, (*Server).getTopUpRequests),
		write("POST", "/v1/topup-requests/{id}/answer", (*Server).postTopUpReply),
		write("POST", "/v1/accounts/{id}/subscriptions", (*Server).postSubscription),
		read("/v1/accounts/{id}/subscriptions", true, (*Server).getSubscriptions),
		read("/v1/subscriptions/{id}", false, (*Server).getSubscription),
		write("POST", "/v1/subscriptions/{id}/change", (*Server).postSubscriptionChange),
		write("POST", "/v1/subscriptions/{id}/cancel", (*Server).postSubscriptionCancel),
		// Not long: it may wait, and takes its turn when it has done so.
		read("/v1/notifications", false, (*Server).getNotifications),
	}
}

// accountBody returns the account of the path and the body about it. The operator has no
// credit to change.
func (s *Server) accountBody(c *call) (account string, o *object, no *refusal.Refusal) {
	if account, no = c.param(0); no != nil {
		return "", nil, no
	}
	if o, no = s.readCold(c); no != nil {
		return "", nil, no
	}
	o.notOperator(account)
	return account, o, nil
}

func (o *object) notOperator(account string) {
	if account == operatorID {
		o.refuse("reserved_id", "this is for customers; the operator is not one")
	}
}

// accountPage answers with a page of a list that belongs to the account of the path.
func accountPage[T any](c *call, read func(account, cursor string, limit int) (engine.Page[T], *refusal.Refusal), view func(*T) any) (answer, *refusal.Refusal) {
	q := c.query("limit", "cursor")
	cursor, limit := q.page()
	account, no := c.param(0)
	if q.no != nil {
		no = q.no
	}
	if no != nil {
		return answer{}, no
	}
	page, no := read(account, cursor, limit)
	return listOf(page, no, view)
}

// booked is the answer to what is booked once.
func booked[T any](v *T, created bool, no *refusal.Refusal, view func(*T) any) (answer, *refusal.Refusal) {
	if no != nil {
		return answer{}, no
	}
	return answer{createdStatus(created), view(v)}, nil
}

// shown is the answer to a read, and to what replaces something.
func shown[T any](v *T, no *refusal.Refusal, view func(*T) any) (answer, *refusal.Refusal) {
	if no != nil {
		return answer{}, no
	}
	return answer{200, view(v)}, nil
}

// priorityMax bounds the priority of a grant.
const priorityMax = 1_000_000

// priority returns a grant's place in the burn order; nil when it is absent.
func (o *object) priority() *uint32 {
	n := o.uint("priority")
	if n == nil {
		return nil
	}
	if *n > priorityMax {
		o.refuse("invalid_priority", "priority must be 0 to %d", priorityMax)
	}
	p := uint32(*n)
	return &p
}

// Bounds of a scope. A match is bounded below what an event may have, so that one event can
// match several scopes.
const (
	scopeTypesMax = 16
	scopeMatchMax = 8
)

// scope returns which usage something is for. An absent one is for all.
func (o *object) scope() (s engine.Scope) {
	o.within("scope", func(in *object) {
		in.only("types", "match")
		s = engine.Scope{Types: in.types(), Match: in.match()}
	})
	return s
}

// types returns the meters of a scope, sorted.
func (o *object) types() (types []string) {
	for i, raw := range o.elements("types", scopeTypesMax) {
		var id string
		switch {
		case raw[0] != '"' || json.Unmarshal(raw, &id) != nil:
			o.refuse("wrong_type", "types[%d] must be a string", i)
		case !meter.ValidID([]byte(id)):
			o.refuse("invalid_id", "types[%d] must be 1 to %d of A-Z a-z 0-9 . _ : - / @", i, meter.MaxIDBytes)
		}
		types = append(types, id)
	}
	slices.Sort(types)
	for i := 1; i < len(types); i++ {
		if types[i] == types[i-1] {
			o.refuse("duplicate_type", "types names %s twice", types[i])
		}
	}
	return types
}

// match returns the dimensions of a scope, sorted by their names.
func (o *object) match() (match []meter.Dimension) {
	o.within("match", func(in *object) {
		if len(in.fields) > scopeMatchMax {
			in.refuse("too_many_dimensions", "at most %d dimensions can be matched", scopeMatchMax)
		}
		for _, key := range in.names() {
			value, raw := "", in.fields[key]
			switch {
			case len(key) == 0 || len(key) > meter.MaxDimensionKeyBytes:
				in.refuse("invalid_dimension", "a dimension's name must be 1 to %d bytes", meter.MaxDimensionKeyBytes)
			case raw[0] != '"' || json.Unmarshal(raw, &value) != nil:
				in.refuse("wrong_type", "%s must be a string", clipped([]byte(key)))
			case len(value) > meter.MaxDimensionBytes:
				in.refuse("invalid_dimension", "%s must be at most %d bytes", clipped([]byte(key)), meter.MaxDimensionBytes)
			}
			match = append(match, meter.Dimension{Key: key, Value: value})
		}
	})
	return match
}

type scopeJSON struct {
	Types []string          `json:"types"`
	Match map[string]string `json:"match"`
}

func scopeView(s *engine.Scope) scopeJSON {
	return scopeJSON{append([]string{}, s.Types...), dimensionsView(s.Match)}
}

// overdraftView shows a limit in force; null is unlimited.
func overdraftView(a *money.Amount) *json.RawMessage {
	v := json.RawMessage(`null`)
	if a != nil {
		v = appendString(nil, a.String())
	}
	return &v
}
