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
		switch {
		case p.ID == ledger.OperatorID:
			refused = refusal.New(refusal.IDConflict, "reserved_id", "the account %s always exists", p.ID)
			return false
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

// participantOf checks a spec and fills its defaults.
func participantOf(spec *AccountSpec) (*ledger.Participant, *refusal.Refusal) {
	p := &ledger.Participant{ID: spec.ID, Currency: spec.Currency, MinimumPayout: spec.MinimumPayout, Metadata: string(spec.Metadata)}
	invalid := func(reason, format string, args ...any) (*ledger.Participant, *refusal.Refusal) {
		return nil, refusal.New(refusal.Invalid, reason, format, args...)
	}
	if !meter.ValidID([]byte(spec.ID)) {
		return invalid("invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	}
	if spec.Parent != "" {
		return invalid("parent_unsupported", "account trees are not part of this version: leave parent out")
	}
	if p.MinimumPayout.Sign() < 0 {
		return invalid("invalid_amount", "minimum_payout must not be negative")
	}
	switch spec.Kind {
	case "provider":
		p.Kind = ledger.Provider
		if spec.Billing != "" || spec.OverdraftLimit != nil || spec.Unlimited {
			return invalid("not_a_customer", "a provider has neither billing nor overdraft_limit")
		}
		return p, nil
	case "customer":
		p.Kind = ledger.Customer
	default:
		return invalid("invalid_kind", "kind must be customer or provider")
	}
	switch spec.Billing {
	case "prepaid":
		p.Billing, p.Unlimited = ledger.Prepaid, spec.Unlimited
	case "postpaid":
		p.Billing, p.Unlimited = ledger.Postpaid, spec.OverdraftLimit == nil
	default:
		return invalid("invalid_billing", "billing must be prepaid or postpaid")
	}
	if spec.OverdraftLimit != nil {
		p.OverdraftLimit = *spec.OverdraftLimit
	}
	if p.OverdraftLimit.Sign() < 0 {
		return invalid("invalid_amount", "overdraft_limit must not be negative")
	}
	return p, nil
}

func sameParticipant(a, b *ledger.Participant) bool {
	x, y := *a, *b
	x.Sequence, x.Time, y.Sequence, y.Time = 0, 0, 0, 0
	return x == y
}

// account shows a participant as of now.
func (s *sequencer) account(ref ledger.Ref) Account {
	p := s.state.people[ref]
	row := s.state.ledger.Rows.At(uint32(ref))
	out := Account{Spec: specOf(p), Posted: row.Posted(p.Kind), Created: timeOf(p.Time), Sequence: s.state.seq}
	switch {
	case p.Kind == ledger.Provider:
		out.Available = &out.Posted
	case !p.Unlimited:
		available := out.Posted.MustAdd(p.OverdraftLimit)
		out.Available = &available
	}
	return out
}

func specOf(p *ledger.Participant) AccountSpec {
	spec := AccountSpec{ID: p.ID, Currency: p.Currency, Kind: p.Kind.String(), Billing: p.Billing.String(),
		MinimumPayout: p.MinimumPayout, Unlimited: p.Unlimited, Metadata: []byte(p.Metadata)}
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

// topUpMax bounds one top-up, in currency units: far above any payment, far below what
// would use up the ledger's room.
var topUpMax = mustAmount("1000000000000")

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
	if !meter.ValidID([]byte(t.ID)) {
		return answer, false, refusal.New(refusal.Invalid, "invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	}
	if t.Amount.Sign() <= 0 || t.Amount.Cmp(topUpMax) > 0 {
		return answer, false, refusal.New(refusal.Invalid, "invalid_amount", "amount must be above 0 and at most %s", topUpMax)
	}
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
		if refused = checkTopUp(st, ref, there, &t); refused != nil {
			return false
		}
		u := &topUp{id: t.ID, account: ref, amount: t.Amount, reference: t.Reference}
		s.command(kindTopUp, u.append(nil))
		st.applyTopUp(u)
		answer, created = topUpAnswer(u, st.people), true
		return false
	})
	return answer, created, firstOf(unavailable, refused)
}

func checkTopUp(st *state, ref ledger.Ref, there bool, t *TopUp) *refusal.Refusal {
	switch {
	case !there:
		return refusal.New(refusal.NotFound, "unknown_account", "there is no account %s", t.Account)
	case st.people[ref].Kind != ledger.Customer:
		return refusal.New(refusal.Invalid, "not_a_customer", "account %s is no customer", t.Account)
	case !st.ledger.Fits(st.people[ref].Currency, t.Amount):
		return overflow()
	}
	return nil
}

func topUpAnswer(u *topUp, people []*ledger.Participant) TopUpAnswer {
	return TopUpAnswer{TopUp: TopUp{ID: u.id, Account: people[u.account].ID, Amount: u.amount, Reference: u.reference},
		Posted: u.posted, Sequence: u.seq, Time: timeOf(u.time)}
}

// PutPrices takes a price version into the book. The version's payees must exist as
// providers of the price's currency.
func (e *Engine) PutPrices(v *meter.Version) (answer PriceVersion, created bool, refused *refusal.Refusal) {
	if !meter.ValidID([]byte(v.ID)) {
		return answer, false, refusal.New(refusal.Invalid, "invalid_id", "a version's id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	}
	if len(v.Canonical) > maxVersionBytes {
		return answer, false, refusal.New(refusal.TooLarge, "too_large", "a price version takes at most %d bytes", maxVersionBytes)
	}
	unavailable := e.do(func(s *sequencer) bool {
		st := s.state
		if old := st.byVersion[v.ID]; old != nil {
			if string(old.Version.Canonical) == string(v.Canonical) {
				answer = *old
			} else {
				refused = refusal.New(refusal.IDConflict, "id_conflict", "price version %s exists with other content", v.ID)
			}
			return false
		}
		if refused = s.checkVersion(v); refused != nil {
			return false
		}
		s.command(kindPrices, appendBytes(appendBytes(nil, v.ID), v.Canonical))
		answer, created = *st.applyPrices(v), true
		return false
	})
	return answer, created, firstOf(unavailable, refused)
}

// maxVersionBytes keeps a version's command within a journal block.
const maxVersionBytes = 12 << 20

func (s *sequencer) checkVersion(v *meter.Version) *refusal.Refusal {
	st := s.state
	if old := st.rates.book.InForce(v.EffectiveFrom); old != nil && old.EffectiveFrom == v.EffectiveFrom {
		return refusal.New(refusal.PriceConflict, "price_conflict", "version %s is effective at the same moment", old.ID)
	}
	for i := range v.Prices {
		p := &v.Prices[i]
		if p.Payee == "" {
			continue
		}
		ref, ok := st.findAccount([]byte(p.Payee))
		if !ok || st.people[ref].Kind != ledger.Provider || st.people[ref].Currency != p.Currency {
			return refusal.New(refusal.Invalid, "invalid_payee", "prices[%d]: payee %s is no provider account in %s", i, p.Payee, p.Currency.Code())
		}
	}
	return nil
}
