package engine

import (
	"errors"
	"slices"
	"strconv"

	"farthing/journal"
	"farthing/ledger"
	"farthing/limit"
	"farthing/period"
	"farthing/refusal"
)

// The calls of prepaid credit beside those of holds. Each is idempotent by its id: created is
// false when the same content was booked before.

// bookOf runs make on the sequencer, which finds the accounts, and books what it makes.
func (e *Engine) bookOf(build func(*sequencer) (identified, *refusal.Refusal), show func(*sequencer, Booked)) (created bool, refused *refusal.Refusal) {
	unavailable := e.do(func(s *sequencer) bool {
		var b identified
		if b, refused = build(s); refused != nil {
			return false
		}
		var at Booked
		if at, created, refused = s.accept(b); refused == nil {
			show(s, at)
		}
		return false
	})
	return created, firstOf(unavailable, refused)
}

// customerRef finds an account by its id.
func (s *state) customerRef(id string) (ledger.Ref, *refusal.Refusal) {
	ref, ok := s.findAccount([]byte(id))
	if !ok {
		return 0, unknownAccount(id)
	}
	return ref, nil
}

// Grant gives credit.
func (e *Engine) Grant(spec GrantSpec) (g Grant, created bool, no *refusal.Refusal) {
	scope, no := canonicalScope(spec.Scope)
	if no != nil {
		return g, false, no
	}
	created, no = e.bookOf(func(s *sequencer) (identified, *refusal.Refusal) {
		ref, no := s.state.customerRef(spec.Account)
		if spec.ID == "" {
			no = missingID()
		}
		b := &giveGrant{name: spec.ID, account: ref, amount: spec.Amount, priority: spec.Priority, expires: ledger.Never, scope: scope}
		b.kindOf = ledger.GrantKind(slices.Index([]string{"", "paid", "promo", "subscription"}, spec.Kind))
		if !spec.Expires.IsZero() {
			b.expires = max(0, spec.Expires.UnixNano())
		}
		return b, no
	}, func(s *sequencer, _ Booked) { g = s.state.grantView(s.state.grantID[spec.ID], s.state.clock()) })
	return g, created, no
}

func missingID() *refusal.Refusal {
	return refusal.New(refusal.Invalid, "missing_field", "id is missing")
}

// grantView shows a grant as it stands.
func (s *state) grantView(n uint32, now int64) Grant {
	info, g := s.grants[n], s.ledger.Grants.At(n)
	out := Grant{GrantSpec: GrantSpec{ID: info.id, Account: s.people[info.account].ID, Amount: info.amount, Kind: info.kind.String(), Priority: g.Priority,
		Scope: s.scopeOf(g.Scope)}, Remaining: g.Left(), Held: g.Held, Expired: g.Expired, Booked: Booked{info.seq, timeOf(info.time)}}
	if g.Expires != ledger.Never {
		out.Expires = timeOf(g.Expires)
	}
	if info.subscription != 0 {
		out.Subscription = s.plans[info.subscription-1].id
	}
	out.Used = info.amount.MustSub(g.Left()).MustSub(g.Expired)
	switch {
	case g.Over(now):
		out.State = "expired"
	case g.Left().IsZero():
		out.State = "used"
	default:
		out.State = "open"
	}
	return out
}

// Grants lists an account's grants, oldest first.
func (e *Engine) Grants(account, cursor string, limit int) (page Page[Grant], refused *refusal.Refusal) {
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	limit = min(limit, listMax)
	var numbers []uint32
	grants, people := e.published.Load().grants, e.published.Load().people
	for i := from; i < uint64(len(grants)); i++ {
		if people[grants[i].account].ID != account {
			continue
		}
		if len(numbers) == limit {
			page.Next = strconv.FormatUint(i, 10)
			break
		}
		numbers = append(numbers, uint32(i))
	}
	unavailable := e.do(func(s *sequencer) bool {
		if _, refused = s.state.customerRef(account); refused == nil {
			for _, n := range numbers {
				page.Items = append(page.Items, s.state.grantView(n, s.state.clock()))
			}
		}
		return false
	})
	return page, firstOf(unavailable, refused)
}

// Refund pays unused paid credit back.
func (e *Engine) Refund(spec RefundSpec) (r Refund, created bool, no *refusal.Refusal) {
	created, no = e.bookOf(func(s *sequencer) (identified, *refusal.Refusal) {
		ref, no := s.state.customerRef(spec.Account)
		if spec.ID == "" {
			no = missingID()
		}
		return &refund{name: spec.ID, account: ref, amount: spec.Amount, grant: spec.Grant, reference: spec.Reference}, no
	}, func(_ *sequencer, at Booked) { r = Refund{spec, at} })
	return r, created, no
}

// Move moves paid credit between accounts of one owner.
func (e *Engine) Move(spec MoveSpec) (m Move, created bool, no *refusal.Refusal) {
	created, no = e.bookOf(func(s *sequencer) (identified, *refusal.Refusal) {
		from, no := s.state.customerRef(spec.From)
		to, no2 := s.state.customerRef(spec.To)
		if spec.ID == "" {
			no = missingID()
		}
		return &move{name: spec.ID, from: from, to: to, amount: spec.Amount}, firstOf(no, no2)
	}, func(_ *sequencer, at Booked) { m = Move{spec, at} })
	return m, created, no
}

// SetStatus freezes, resumes or closes an account.
func (e *Engine) SetStatus(spec StatusSpec) (c StatusChange, created bool, no *refusal.Refusal) {
	to := slices.Index(statusActions[:], spec.Action)
	if to < 0 {
		return c, false, refusal.New(refusal.Invalid, "invalid_action", "an account is frozen, resumed or closed")
	}
	created, no = e.bookOf(func(s *sequencer) (identified, *refusal.Refusal) {
		ref, no := s.state.customerRef(spec.Account)
		if spec.ID == "" {
			no = missingID()
		}
		return &statusChange{name: spec.ID, account: ref, to: accountStatus(to), reason: spec.Reason}, no
	}, func(_ *sequencer, at Booked) { c = StatusChange{spec, accountStatus(to).String(), at} })
	return c, created, no
}

// PutLimits replaces the limits of an account. Created is false when they were these already.
func (e *Engine) PutLimits(spec LimitsSpec) (l Limits, created bool, no *refusal.Refusal) {
	list := make([]setLimit, 0, len(spec.Limits))
	for i := range spec.Limits {
		one, refused := limitOf(&spec.Limits[i])
		if refused != nil {
			return l, false, refused
		}
		list = append(list, one)
	}
	var ref ledger.Ref
	created, no = e.bookOf(func(s *sequencer) (b identified, no *refusal.Refusal) {
		if ref, no = s.state.customerRef(spec.Account); no != nil {
			return nil, no
		}
		c := &setLimits{name: spec.ID, account: ref, list: list, setOverdraft: spec.SetOverdraft, noLimit: spec.SetOverdraft && spec.Overdraft == nil}
		if spec.Overdraft != nil {
			c.overdraft = *spec.Overdraft
		}
		return c, nil
	}, func(s *sequencer, _ Booked) { l = s.state.limitsView(ref) })
	return l, created, no
}

// limitOf reads a limit as a caller gives it.
func limitOf(spec *LimitSpec) (l setLimit, refused *refusal.Refusal) {
	l.name, l.Allotment = spec.Name, spec.Allotment
	l.Per, _ = period.Parse(spec.Per)
	if l.Mode, _ = limit.ParseMode(spec.Mode); spec.Mode == "" {
		l.Mode = limit.Hard
	}
	if spec.Amount != nil {
		l.HasAmount, l.Amount = true, *spec.Amount
	}
	if spec.Count != nil {
		l.HasCount, l.Count = true, *spec.Count
	}
	l.scope, refused = canonicalScope(spec.Scope)
	return l, refused
}

// Limits shows the limits of an account and how far they are used.
func (e *Engine) Limits(account string) (l Limits, refused *refusal.Refusal) {
	var recent [][]uint64
	unavailable := e.do(func(s *sequencer) bool {
		var ref ledger.Ref
		if ref, refused = s.state.customerRef(account); refused != nil {
			return false
		}
		if p := s.state.people[ref]; p.Kind != ledger.Customer {
			refused = refusal.New(refusal.Invalid, "not_a_customer", "account %s is no customer", p.ID)
			return false
		}
		l, recent = s.state.limitsView(ref), s.state.recentOf(ref)
		return false
	})
	if no := firstOf(unavailable, refused); no != nil {
		return l, no
	}
	blocks := blockReader{e: e}
	for i := range recent {
		for _, seq := range recent[i] {
			id, err := blocks.holdOf(seq)
			if errors.Is(err, journal.ErrDropped) {
				continue
			}
			if err != nil {
				return l, e.damaged(err)
			}
			l.Limits[i].Recent = append(l.Limits[i].Recent, id)
		}
	}
	return l, nil
}

// recentOf are the sequences of the holds that shadow limits would have refused last, by limit,
// the last one first.
func (s *state) recentOf(ref ledger.Ref) (out [][]uint64) {
	for _, n := range s.limitsAt(ref) {
		row := s.limitRows.At(n)
		var seqs []uint64
		size := uint64(len(row.Recent))
		for i := row.WouldRefuse; i > 0 && i+size > row.WouldRefuse; i-- {
			seqs = append(seqs, row.Recent[(i-1)%size])
		}
		out = append(out, seqs)
	}
	return out
}

// holdOf is the id of the hold that a command placed or extended.
func (b *blockReader) holdOf(seq uint64) (string, error) {
	c, err := b.at(seq)
	if err != nil {
		return "", err
	}
	r := reader{p: c.payload}
	if id := r.str(); (c.kind == kindHold || c.kind == kindExtend) && !r.bad {
		return id, nil
	}
	return "", errCodec
}

func (s *state) limitsView(ref ledger.Ref) Limits {
	p := s.people[ref]
	l := Limits{Account: p.ID, Currency: p.Currency, Root: p.Root == ref, Sequence: s.seq}
	if o := s.overdraft(ref); l.Root && !o.Unlimited {
		l.Overdraft = &o.Limit
	}
	for _, n := range s.limitsAt(ref) {
		row, info := *s.limitRows.At(n), s.limits[n]
		row.Roll(s.clock())
		one := Limit{LimitSpec: LimitSpec{Name: info.name, Per: info.per.String(), Mode: row.Mode.String(), Scope: s.scopeOf(info.scope), Allotment: row.Allotment},
			Spent: row.Spent, Held: row.Held, Calls: row.Calls + row.Reserved, Passed: row.Passed(), WouldRefuse: row.WouldRefuse}
		if row.HasAmount {
			one.Amount = &row.Amount
		}
		if row.HasCount {
			one.Count = &row.Count
		}
		if row.Start != 0 {
			one.Period = timeOf(row.Start)
		}
		l.Limits = append(l.Limits, one)
	}
	return l
}

// PutSettings replaces the settings of a root.
func (e *Engine) PutSettings(spec SettingsSpec) (out Settings, created bool, no *refusal.Refusal) {
	var ref ledger.Ref
	created, no = e.bookOf(func(s *sequencer) (b identified, no *refusal.Refusal) {
		if ref, no = s.state.customerRef(spec.Account); no != nil {
			return nil, no
		}
		c := &setSettings{name: spec.ID, account: ref}
		c.Excess = numExcessPolicies
		if i := slices.Index(excessNames[:], spec.Excess); i >= 0 {
			c.Excess = excessPolicy(i)
		}
		if spec.Excess == "" {
			c.Excess = excessAllow
		}
		if spec.Abandoned != "" && spec.Abandoned != "void" && spec.Abandoned != "capture" {
			return nil, refusal.New(refusal.Invalid, "invalid_abandoned", "abandoned must be void or capture")
		}
		c.ExcessLimit, c.Capture, c.GrantWarning = spec.ExcessLimit, spec.Abandoned == "capture", spec.GrantWarning
		if spec.CreditLow != nil {
			c.HasLow, c.Low = true, *spec.CreditLow
		}
		if spec.AutoTopUp != nil {
			auto := *spec.AutoTopUp
			c.Auto = &auto
		}
		return c, nil
	}, func(s *sequencer, _ Booked) { out = s.state.settingsView(ref) })
	return out, created, no
}

// Settings shows the settings of a root.
func (e *Engine) Settings(account string) (out Settings, refused *refusal.Refusal) {
	unavailable := e.do(func(s *sequencer) bool {
		var ref ledger.Ref
		if ref, refused = s.state.customerRef(account); refused == nil {
			if refused = s.state.checkRootKind(ref); refused == nil {
				out = s.state.settingsView(ref)
			}
		}
		return false
	})
	return out, firstOf(unavailable, refused)
}

// checkRootKind refuses accounts that have no settings; a closed one still shows its own.
func (s *state) checkRootKind(ref ledger.Ref) *refusal.Refusal {
	p := s.people[ref]
	switch {
	case p.Kind != ledger.Customer:
		return refusal.New(refusal.Invalid, "not_a_customer", "account %s is no customer", p.ID)
	case p.Root != ref:
		return refusal.New(refusal.Invalid, "not_a_root", "account %s holds no money: its root is %s", p.ID, s.people[p.Root].ID)
	}
	return nil
}

func (s *state) settingsView(ref ledger.Ref) Settings {
	set := s.settingsOf(ref)
	out := Settings{SettingsSpec: SettingsSpec{Account: s.people[ref].ID, Excess: excessNames[set.Excess], ExcessLimit: set.ExcessLimit, Abandoned: "void",
		GrantWarning: set.GrantWarning}, Sequence: s.seq}
	if set.Capture {
		out.Abandoned = "capture"
	}
	if set.HasLow {
		low := set.Low
		out.CreditLow = &low
	}
	if set.Auto != nil {
		auto := *set.Auto
		out.AutoTopUp = &auto
	}
	return out
}

// AskTopUp raises a top-up request by hand.
func (e *Engine) AskTopUp(spec TopUpAskSpec) (out TopUpRequest, created bool, no *refusal.Refusal) {
	created, no = e.bookOf(func(s *sequencer) (identified, *refusal.Refusal) {
		ref, no := s.state.customerRef(spec.Account)
		return &ask{name: spec.ID, account: ref, amount: spec.Amount}, no
	}, func(s *sequencer, at Booked) {
		out = s.state.askView(s.state.askID["tr-"+strconv.FormatUint(at.Sequence, 10)])
	})
	return out, created, no
}

func (s *state) askView(req *topUpAsk) TopUpRequest {
	p := s.people[req.account]
	out := TopUpRequest{ID: req.id, Account: p.ID, Currency: p.Currency, Amount: req.amount, By: "auto", State: "open", TopUp: req.topUp,
		Created: timeOf(req.time), Sequence: req.seq}
	if req.byHand {
		out.By = "customer"
	}
	if req.answered != 0 {
		if out.State, out.Answered = "declined", timeOf(req.at); req.topUp != "" {
			out.State = "paid"
		}
	}
	return out
}

// ReplyTopUp answers a top-up request.
func (e *Engine) ReplyTopUp(spec TopUpReplySpec) (out TopUpRequest, created bool, no *refusal.Refusal) {
	created, no = e.bookOf(func(s *sequencer) (identified, *refusal.Refusal) {
		req := s.state.askID[spec.Request]
		if req == nil {
			return nil, refusal.New(refusal.NotFound, "unknown_request", "there is no top-up request %s", spec.Request)
		}
		p := &reply{name: spec.ID, request: spec.Request, account: req.account, paid: spec.Paid, reference: spec.Reference}
		switch {
		case spec.Paid && spec.Amount != nil:
			p.amount = *spec.Amount
		case spec.Paid:
			p.amount = req.amount
		case spec.Amount != nil:
			return nil, refusal.New(refusal.Invalid, "invalid_amount", "what is declined has no amount")
		}
		return p, nil
	}, func(s *sequencer, _ Booked) { out = s.state.askView(s.state.askID[spec.Request]) })
	return out, created, no
}

// TopUpRequests lists an account's top-up requests, oldest first.
func (e *Engine) TopUpRequests(account, cursor string, limit int) (Page[TopUpRequest], *refusal.Refusal) {
	return listOf(e, account, cursor, limit, func(s *state, ref ledger.Ref) []*topUpAsk { return s.asksOf[ref] }, (*state).askView)
}

// listOf is a page of what the state keeps in order for each account.
func listOf[R, T any](e *Engine, account, cursor string, limit int, of func(*state, ledger.Ref) []R, view func(*state, R) T) (page Page[T], refused *refusal.Refusal) {
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	limit = min(limit, listMax)
	unavailable := e.do(func(s *sequencer) bool {
		var ref ledger.Ref
		if ref, refused = s.state.customerRef(account); refused != nil {
			return false
		}
		all := of(s.state, ref)
		for i := from; i < uint64(len(all)); i++ {
			if len(page.Items) == limit {
				page.Next = strconv.FormatUint(i, 10)
				break
			}
			page.Items = append(page.Items, view(s.state, all[i]))
		}
		return false
	})
	return page, firstOf(unavailable, refused)
}
