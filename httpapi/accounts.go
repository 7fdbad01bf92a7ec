package httpapi

import (
	"encoding/json"

	"farthing/engine"
	"farthing/money"
	"farthing/refusal"
)

// Bounds of an account's texts, in bytes.
const (
	metadataMaxBytes  = 4 << 10
	referenceMaxBytes = 256
)

// operatorID is the account that always exists; clients cannot create it.
const operatorID = "operator"

func (s *Server) postAccount(c *call) (answer, *refusal.Refusal) {
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	spec := accountSpec(o)
	if o.no != nil {
		return answer{}, o.no
	}
	a, created, no := s.engine.CreateAccount(spec)
	if no != nil {
		return answer{}, no
	}
	return answer{createdStatus(created), accountView(&a)}, nil
}

// createdStatus is 201 for what is new and 200 for what was there already.
func createdStatus(created bool) int {
	if created {
		return 201
	}
	return 200
}

// accountSpec reads the body of POST /v1/accounts.
func accountSpec(o *object) engine.AccountSpec {
	o.only("id", "currency", "kind", "billing", "overdraft_limit", "minimum_payout", "parent", "owner", "metadata")
	spec := engine.AccountSpec{
		ID:       o.requireID("id"),
		Kind:     o.oneOf("kind", "customer", "provider"),
		Billing:  o.oneOf("billing", "prepaid", "postpaid"),
		Parent:   o.id("parent"),
		Owner:    o.id("owner"),
		Metadata: o.canonicalObject("metadata", metadataMaxBytes),
	}
	if spec.ID == operatorID {
		o.refuse("reserved_id", "the id %s is reserved", operatorID)
	}
	var known bool
	if spec.Currency, known = money.Lookup(o.text("currency", len(o.body))); !known {
		o.refuse("unknown_currency", "currency must be an ISO 4217 code like \"USD\"")
	}
	if !o.has("kind") {
		o.refuse("missing_field", "kind is missing")
	}
	limit, limited := o.amount("overdraft_limit")
	if limited {
		spec.OverdraftLimit = &limit
	}
	spec.Unlimited = o.null("overdraft_limit")
	spec.MinimumPayout, _ = o.amount("minimum_payout")
	checkKind(o, &spec)
	return spec
}

// checkKind refuses what does not belong to the account's kind and billing. What a child may
// have depends on its root, which the engine knows.
func checkKind(o *object, spec *engine.AccountSpec) {
	if spec.OverdraftLimit != nil && spec.OverdraftLimit.Sign() < 0 {
		o.refuse("negative_amount", "overdraft_limit must not be negative")
	}
	if spec.MinimumPayout.Sign() < 0 {
		o.refuse("negative_amount", "minimum_payout must not be negative")
	}
	if spec.Kind == "provider" {
		if o.has("billing") || o.has("overdraft_limit") {
			o.refuse("not_for_providers", "a provider has no billing and no overdraft_limit")
		}
		spec.Unlimited = false // a null beside a provider is an absent limit
		return
	}
	if spec.Billing == "" && spec.Parent == "" {
		o.refuse("missing_field", "billing is missing: a customer is prepaid or postpaid")
	}
	if spec.Unlimited && spec.Billing == "prepaid" && spec.Parent == "" {
		o.refuse("invalid_overdraft_limit", "a prepaid account has a limit: leave overdraft_limit out or give an amount")
	}
	if !spec.MinimumPayout.IsZero() {
		o.refuse("not_for_customers", "a customer has no minimum_payout")
	}
}

func (s *Server) getAccounts(c *call) (answer, *refusal.Refusal) {
	q := c.query("kind", "limit", "cursor")
	cursor, limit := q.page()
	kind := q.values.Get("kind")
	if q.values.Has("kind") && kind != "customer" && kind != "provider" {
		q.refuse("invalid_kind", "kind must be customer or provider")
	}
	if q.no != nil {
		return answer{}, q.no
	}
	page, no := s.engine.Accounts(kind, cursor, limit)
	return listOf(page, no, func(a *engine.Account) any { return accountView(a) })
}

func (s *Server) getAccount(c *call) (answer, *refusal.Refusal) {
	id, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	a, no := s.engine.Account(id)
	if no != nil {
		return answer{}, no
	}
	return answer{200, accountView(&a)}, nil
}

// idOnly returns the one id of a path that takes no query parameters.
func (c *call) idOnly() (string, *refusal.Refusal) {
	if q := c.query(); q.no != nil {
		return "", q.no
	}
	return c.param(0)
}

type accountJSON struct {
	ID             string           `json:"id"`
	Kind           string           `json:"kind"`
	Currency       string           `json:"currency"`
	Billing        string           `json:"billing,omitempty"`
	OverdraftLimit *json.RawMessage `json:"overdraft_limit,omitempty"`
	MinimumPayout  string           `json:"minimum_payout,omitempty"`
	Parent         *string          `json:"parent"`
	Owner          *string          `json:"owner"`
	Root           string           `json:"root"`
	State          string           `json:"state"`
	Metadata       json.RawMessage  `json:"metadata"`
	Posted         string           `json:"posted"`
	Held           string           `json:"held"`
	Available      *string          `json:"available"`
	Created        string           `json:"created"`
	Sequence       uint64           `json:"sequence"`
}

type operatorJSON struct {
	ID       string             `json:"id"`
	Kind     string             `json:"kind"`
	Items    []operatorItemJSON `json:"items"`
	Sequence uint64             `json:"sequence"`
}

type operatorItemJSON struct {
	Currency string `json:"currency"`
	Posted   string `json:"posted"`
}

func accountView(a *engine.Account) any {
	if a.Spec.ID == operatorID {
		return operatorView(a)
	}
	spec := &a.Spec
	v := accountJSON{
		ID: spec.ID, Kind: spec.Kind, Currency: spec.Currency.Code(), Billing: spec.Billing,
		Parent: textOrNull(spec.Parent), Owner: textOrNull(spec.Owner), Root: a.Root, State: a.State,
		Metadata: json.RawMessage(`{}`),
		Posted:   a.Posted.String(), Held: a.Held.String(), Available: amountOrNull(a.Available),
		Created: timeText(a.Created), Sequence: a.Sequence,
	}
	if v.Root == "" {
		v.Root = spec.ID
	}
	if len(spec.Metadata) > 0 {
		v.Metadata = spec.Metadata
	}
	switch {
	case spec.Kind == "provider":
		v.MinimumPayout = spec.MinimumPayout.String()
	case spec.Parent == "": // a child has none: the root's counts
		v.OverdraftLimit = overdraftView(a.Overdraft)
	}
	return v
}

func amountOrNull(a *money.Amount) *string {
	if a == nil {
		return nil
	}
	s := a.String()
	return &s
}

func operatorView(a *engine.Account) any {
	v := operatorJSON{ID: operatorID, Kind: "operator", Items: []operatorItemJSON{}, Sequence: a.Sequence}
	for _, item := range a.Items {
		v.Items = append(v.Items, operatorItemJSON{item.Currency.Code(), item.Posted.String()})
	}
	return v
}

func (s *Server) postTopUp(c *call) (answer, *refusal.Refusal) {
	account, o, no := s.accountBody(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id", "amount", "reference")
	t := engine.TopUp{ID: o.requireID("id"), Account: account, Amount: o.positive("amount"), Reference: o.text("reference", referenceMaxBytes)}
	if o.no != nil {
		return answer{}, o.no
	}
	a, created, no := s.engine.TopUp(t)
	return booked(&a, created, no, topUpView)
}

type topUpJSON struct {
	ID        string `json:"id"`
	Account   string `json:"account"`
	Amount    string `json:"amount"`
	Reference string `json:"reference"`
	Posted    string `json:"posted"`
	Sequence  uint64 `json:"sequence"`
	Time      string `json:"time"`
}

func topUpView(a *engine.TopUpAnswer) any {
	t := &a.TopUp
	return topUpJSON{t.ID, t.Account, t.Amount.String(), t.Reference, a.Posted.String(), a.Sequence, timeText(a.Time)}
}
