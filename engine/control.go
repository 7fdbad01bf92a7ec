package engine

import (
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// CreateAccount creates a participant. The same id with the same content gives the
// existing one (created false), with other content id_conflict.
func (e *Engine) CreateAccount(spec AccountSpec) (account Account, created bool, refused *refusal.Refusal) {
	p, refused := participantOf(&spec)
	if refused != nil {
		return Account{}, false, refused
	}
	unavailable := e.do(func(s *sequencer) bool {
		st := s.state
		ref, there := st.findAccount([]byte(p.ID))
		if refused = st.adopt(p, &spec, ref, there); refused != nil {
			return false
		}
		switch {
		case there && !sameParticipant(st.people[ref], p):
			refused = refusal.New(refusal.IDConflict, "id_conflict", "account %s exists with other content", p.ID)
			return false
		case !there:
			s.command(kindAccount, appendParticipant(nil, p))
			ref, created = st.applyAccount(p), true
		}
		account = s.account(ref)
		return false
	})
	return account, created, firstOf(unavailable, refused)
}

func firstOf(a, b *refusal.Refusal) *refusal.Refusal {
	if a != nil {
		return a
	}
	return b
}

// participantOf turns a spec into a participant, its defaults filled.
func participantOf(spec *AccountSpec) (*ledger.Participant, *refusal.Refusal) {
	p := &ledger.Participant{ID: spec.ID, Currency: spec.Currency, MinimumPayout: spec.MinimumPayout, Metadata: string(spec.Metadata),
		Parent: ledger.NoRef, Owner: spec.Owner}
	if spec.Parent != "" && (spec.OverdraftLimit != nil || spec.Unlimited) {
		return nil, refusal.New(refusal.Invalid, "not_for_children", "an account below another holds no money: the overdraft_limit is its root's")
	}
	switch spec.Kind {
	case "provider":
		p.Kind = ledger.Provider
		if spec.Billing != "" || spec.OverdraftLimit != nil || spec.Unlimited {
			return nil, refusal.New(refusal.Invalid, "not_a_customer", "a provider has neither billing nor overdraft_limit")
		}
	case "customer":
		p.Kind = ledger.Customer
	}
	switch spec.Billing {
	case "prepaid":
		p.Billing, p.Unlimited = ledger.Prepaid, spec.Unlimited
	case "postpaid":
		p.Billing, p.Unlimited = ledger.Postpaid, spec.OverdraftLimit == nil
	}
	if spec.OverdraftLimit != nil {
		p.OverdraftLimit = *spec.OverdraftLimit
	}
	if spec.Parent != "" && spec.Billing == "" {
		return p, nil // its billing is its root's (adopt)
	}
	return p, checkParticipant(p)
}

// checkParticipant says whether a participant may exist at all.
func checkParticipant(p *ledger.Participant) *refusal.Refusal {
	invalid := func(reason, format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.Invalid, reason, format, args...)
	}
	switch {
	case !meter.ValidID([]byte(p.ID)):
		return invalid("invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	case p.ID == ledger.OperatorID:
		return refusal.New(refusal.IDConflict, "reserved_id", "the account %s always exists", p.ID)
	case p.Currency.IsZero():
		return invalid("unknown_currency", "currency must be an ISO 4217 code")
	case p.Kind != ledger.Customer && p.Kind != ledger.Provider:
		return invalid("invalid_kind", "kind must be customer or provider")
	case p.Kind == ledger.Customer && p.Billing != ledger.Prepaid && p.Billing != ledger.Postpaid:
		return invalid("invalid_billing", "billing must be prepaid or postpaid")
	case p.Kind == ledger.Provider && (p.Billing != ledger.NoBilling || p.Unlimited || !p.OverdraftLimit.IsZero()):
		return invalid("not_a_customer", "a provider has neither billing nor overdraft_limit")
	case p.Owner != "" && !meter.ValidID([]byte(p.Owner)):
		return invalid("invalid_id", "owner must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	case p.MinimumPayout.Sign() < 0 || p.MinimumPayout.Cmp(amountMax) > 0:
		return invalid("invalid_amount", "minimum_payout must be 0 to %s", amountMax)
	case p.OverdraftLimit.Sign() < 0 || p.OverdraftLimit.Cmp(amountMax) > 0:
		return invalid("invalid_amount", "overdraft_limit must be 0 to %s", amountMax)
	}
	return nil
}

func sameParticipant(a, b *ledger.Participant) bool {
	x, y := *a, *b
	x.Sequence, x.Time, y.Sequence, y.Time = 0, 0, 0, 0
	x.Root, x.Depth, y.Root, y.Depth = 0, 0, 0, 0 // they follow from the parent
	return x == y
}

// treeMax bounds the accounts of a chain, from the root down.
const treeMax = 8

// adopt finds the parent that an account was asked with; ref is the account if it is there.
func (s *state) adopt(p *ledger.Participant, spec *AccountSpec, ref ledger.Ref, there bool) *refusal.Refusal {
	if spec.Parent == "" {
		return nil
	}
	parent, ok := s.findAccount([]byte(spec.Parent))
	if spec.Parent == p.ID || ok && there && s.isBelow(parent, ref) {
		return refusal.New(refusal.Invalid, "parent_cycle", "account %s cannot be below itself", p.ID)
	}
	if !ok {
		return unknownAccount(spec.Parent)
	}
	if s.people[parent].Kind != ledger.Customer { // before its billing, which it has none of, is taken over
		return refusal.New(refusal.Invalid, "not_a_customer", "account %s is no customer", spec.Parent)
	}
	p.Parent = parent
	if p.Billing == ledger.NoBilling && p.Kind == ledger.Customer {
		p.Billing = s.people[parent].Billing
	}
	p.Unlimited = false
	if refused := checkParticipant(p); refused != nil || there {
		return refused
	}
	return s.checkParent(p)
}

// isBelow reports whether an account is another or below it.
func (s *state) isBelow(ref, above ledger.Ref) (below bool) {
	s.chain(ref, func(at ledger.Ref) bool {
		below = at == above
		return !below
	})
	return below
}

// checkParent says whether an account may be below its parent.
func (s *state) checkParent(p *ledger.Participant) *refusal.Refusal {
	if p.Parent == ledger.NoRef {
		return nil
	}
	if int(p.Parent) >= len(s.people) {
		return refusal.New(refusal.NotFound, "unknown_account", "there is no such parent")
	}
	invalid := func(reason, format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.Invalid, reason, format, args...)
	}
	parent := s.people[p.Parent]
	switch {
	case p.Kind != ledger.Customer || parent.Kind != ledger.Customer:
		return invalid("not_a_customer", "only customers are in a tree")
	case p.Currency != parent.Currency:
		return invalid("currency_mismatch", "account %s has the currency %s", parent.ID, parent.Currency.Code())
	case p.Billing != parent.Billing:
		return invalid("billing_mismatch", "account %s is %s", parent.ID, parent.Billing)
	case p.Unlimited || !p.OverdraftLimit.IsZero():
		return invalid("not_for_children", "an account below another holds no money: the overdraft_limit is its root's")
	case parent.Depth >= treeMax:
		return invalid("tree_too_deep", "a tree has at most %d accounts from its root down", treeMax)
	}
	return s.checkOpen(p.Parent)
}

// account shows a participant as of now.
func (s *sequencer) account(ref ledger.Ref) Account {
	st, p := s.state, s.state.people[ref]
	row, node := st.ledger.Rows.At(uint32(ref)), st.node(ref)
	held, _ := st.held(ref)
	out := Account{Spec: specOf(p), Posted: row.Posted(p.Kind), Held: held, State: node.status.String(), Created: timeOf(p.Time), Sequence: st.seq}
	if p.Kind == ledger.Provider {
		out.Available = &out.Posted
		return out
	}
	if p.Parent != ledger.NoRef {
		out.Root, out.Spec.Parent = st.people[p.Root].ID, st.people[p.Parent].ID
	}
	if o := st.overdraft(p.Root); !o.Unlimited {
		out.Overdraft = &o.Limit
	}
	if free, bounded := st.availableTo(ref); bounded {
		out.Available = &free
	}
	return out
}

func specOf(p *ledger.Participant) AccountSpec {
	spec := AccountSpec{ID: p.ID, Currency: p.Currency, Kind: p.Kind.String(), Billing: p.Billing.String(),
		MinimumPayout: p.MinimumPayout, Unlimited: p.Unlimited, Owner: p.Owner, Metadata: []byte(p.Metadata)}
	if p.Kind == ledger.Customer && !p.Unlimited {
		limit := p.OverdraftLimit
		spec.OverdraftLimit = &limit
	}
	return spec
}

// operator shows the operator: one item per currency in use.
func (s *sequencer) operator() Account {
	out := Account{Spec: AccountSpec{ID: ledger.OperatorID, Kind: ledger.Operator.String()}, Created: timeOf(s.e.born), Sequence: s.state.seq}
	for _, i := range s.state.ledger.Currencies() {
		c := money.CurrencyAt(i)
		out.Items = append(out.Items, OperatorItem{Currency: c, Posted: s.state.ledger.Totals(c).OperatorPosted()})
	}
	return out
}

// amountMax bounds one top-up and every limit, in currency units: far above any payment,
// far below what would use up the ledger's room (2^120 of 10^-18, package ledger).
var amountMax = mustAmount("1000000000000")

func mustAmount(text string) money.Amount {
	a, err := money.Parse(text)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return a
}

// TopUp books an outside payment of a customer. Its id is used for ever; the same id
// with the same content gives the same answer.
func (e *Engine) TopUp(t TopUp) (answer TopUpAnswer, created bool, refused *refusal.Refusal) {
	unavailable := e.do(func(s *sequencer) bool {
		st := s.state
		ref, there := st.findAccount([]byte(t.Account))
		if old := st.topUps[t.ID]; old != nil {
			if there && old.account == ref && old.amount == t.Amount && old.reference == t.Reference {
				answer = topUpAnswer(old, st.people)
			} else {
				refused = refusal.New(refusal.IDConflict, "id_conflict", "top-up %s was booked with other content", t.ID)
			}
			return false
		}
		if !there {
			refused = unknownAccount(t.Account)
			return false
		}
		u := &topUp{id: t.ID, account: ref, amount: t.Amount, reference: t.Reference}
		if refused = st.checkTopUp(u); refused != nil {
			return false
		}
		s.command(kindTopUp, u.append(nil))
		st.applyTopUp(u)
		s.follow()
		answer, created = topUpAnswer(u, st.people), true
		return false
	})
	return answer, created, firstOf(unavailable, refused)
}

// checkTopUp says whether a top-up of an existing account may be booked.
func (s *state) checkTopUp(u *topUp) *refusal.Refusal {
	switch {
	case !meter.ValidID([]byte(u.id)):
		return refusal.New(refusal.Invalid, "invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	case u.amount.Sign() <= 0 || u.amount.Cmp(amountMax) > 0:
		return refusal.New(refusal.Invalid, "invalid_amount", "amount must be above 0 and at most %s", amountMax)
	}
	if refused := s.checkRoot(u.account); refused != nil {
		return refused
	}
	if !s.ledger.Fits(s.people[u.account].Currency, u.amount) {
		return overflow()
	}
	return nil
}

func topUpAnswer(u *topUp, people []*ledger.Participant) TopUpAnswer {
	return TopUpAnswer{TopUp: TopUp{ID: u.id, Account: people[u.account].ID, Amount: u.amount, Reference: u.reference},
		Posted: u.posted, Sequence: u.seq, Time: timeOf(u.time)}
}
