package engine

import (
	"encoding/binary"
	"slices"

	"farthing/ledger"
	"farthing/money"
	"farthing/refusal"
)

// planPeriod begins a subscription's next period, or cuts the current one short. It says all
// that it moves; it is due, or follows from the change that asked for it.
type planPeriod struct {
	plan    uint32
	account ledger.Ref
	what    periodKind
	number  uint64 // of the period that begins; of the one that ends if none does
	// start and end are those of the period, whenever it is booked. One that ends begins no
	// other: then it is the time that was left.
	start, end int64
	lapses     []ledger.Part // what is taken of older grants, by number
	credit     money.Amount  // of the price of the period that is cut short
	price      money.Amount
	paid       money.Amount // of the price, from paid credit; the rest is owed
	grant      money.Amount // 0: none is given
	expires    int64        // of the grant
}

type periodKind uint8

const (
	periodBegins periodKind = iota
	periodChanges
	periodEnds
	numPeriodKinds
)

func (b *planPeriod) kind() byte { return kindPeriod }

func (b *planPeriod) append(dst []byte) []byte {
	dst = append(appendRef(binary.AppendUvarint(dst, uint64(b.plan)), b.account), byte(b.what))
	for _, n := range [...]uint64{b.number, uint64(b.start), uint64(b.end), uint64(b.expires), uint64(len(b.lapses))} {
		dst = binary.AppendUvarint(dst, n)
	}
	for _, p := range b.lapses {
		dst = p.Amount.AppendBinary(binary.AppendUvarint(dst, uint64(p.Grant)))
	}
	for _, a := range [...]money.Amount{b.credit, b.price, b.paid, b.grant} {
		dst = a.AppendBinary(dst)
	}
	return dst
}

func (r *reader) period() *planPeriod {
	b := &planPeriod{plan: r.uint32(), account: r.ref(), what: periodKind(r.byte()), number: r.uvarint(), start: int64(r.uvarint()), end: int64(r.uvarint()),
		expires: int64(r.uvarint())}
	n := r.uvarint()
	if b.what >= numPeriodKinds || n > uint64(len(r.p)) { // a lapse takes at least two bytes
		r.fail()
		return b
	}
	for range n {
		b.lapses = append(b.lapses, ledger.Part{Grant: r.uint32(), Amount: r.amount()})
	}
	b.credit, b.price, b.paid, b.grant = r.amount(), r.amount(), r.amount(), r.amount()
	return b
}

// periodOf is the next period of a subscription, if it is due. A late one is what it would have
// been in time: the next of those that were missed.
func (s *state) periodOf(n uint32, now int64) *planPeriod {
	at := s.nextPeriod(n)
	if at > now || at == ledger.Never {
		return nil
	}
	p, row := s.plans[n], s.planRows.At(n)
	b := &planPeriod{plan: n, account: p.account, number: row.number + 1, start: at, end: p.cycle.Next(at)}
	plan := row.begins()
	s.carryOver(b, &plan)
	s.openPeriod(b, &plan)
	return b
}

// carryOver takes what is too much of the older grants that live on, the oldest first. If
// nothing is to live on any more, grants that were given to still do.
func (s *state) carryOver(b *planPeriod, plan *planTerms) {
	if plan.periods == 0 {
		return
	}
	var older []ledger.Part
	excess := plan.carried.Neg()
	for n := s.ledger.Rows.At(uint32(b.account)).Grants; n != 0; n = s.ledger.Grants.At(n - 1).Next {
		if g := s.ledger.Grants.At(n - 1); s.grants[n-1].subscription == b.plan+1 && !g.Over(b.start) && g.Free().Sign() > 0 {
			older = append(older, ledger.Part{Grant: n - 1, Amount: g.Free()})
			excess = excess.MustAdd(g.Free())
		}
	}
	slices.SortFunc(older, func(x, y ledger.Part) int { return int(x.Grant) - int(y.Grant) })
	for _, p := range older {
		if excess.Sign() <= 0 {
			break
		}
		p.Amount = leastOf(p.Amount, excess)
		b.lapses = append(b.lapses, p)
		excess = excess.MustSub(p.Amount)
	}
}

func leastOf(a, b money.Amount) money.Amount {
	if a.Cmp(b) < 0 {
		return a
	}
	return b
}

// cutPeriod ends a subscription's current period now. Of an active one a period of the changed
// plan begins, up to the same boundary.
func (s *state) cutPeriod(n uint32) *planPeriod {
	p, row := s.plans[n], s.planRows.At(n)
	b := &planPeriod{plan: n, account: p.account, what: periodChanges, number: row.number + 1, start: s.time, end: row.end}
	if row.grant != 0 {
		if free := s.ledger.Grants.At(row.grant - 1).Free(); free.Sign() > 0 {
			b.lapses = []ledger.Part{{Grant: row.grant - 1, Amount: free}}
		}
	}
	currency := s.people[p.account].Currency
	// What was left out of the charge for want of room is no reason to give something back.
	credit := leastOf(p.share(row.plan.price, b.start, b.end, currency.Digits()), row.charged)
	if s.ledger.Fits(currency, b.moves().MustAdd(credit)) {
		b.credit = credit
	}
	if row.state == planEnded {
		b.what, b.number = periodEnds, row.number
		return b
	}
	plan := row.begins()
	s.openPeriod(b, &plan)
	return b
}

// moves is the sum of what a period moves.
func (b *planPeriod) moves() money.Amount {
	sum := b.credit.MustAdd(b.price).MustAdd(b.grant)
	for _, p := range b.lapses {
		sum = sum.MustAdd(p.Amount)
	}
	return sum
}

// openPeriod says what the period that begins charges and gives. What has no room is left out:
// the calendar goes on whatever the ledger holds.
func (s *state) openPeriod(b *planPeriod, plan *planTerms) {
	p, currency := s.plans[b.plan], s.people[b.account].Currency
	fits := func(a money.Amount) bool { return a.Sign() > 0 && s.ledger.Fits(currency, b.moves().MustAdd(a)) }
	if price := p.share(plan.price, b.start, b.end, currency.Digits()); fits(price) {
		row := s.ledger.Rows.At(uint32(b.account))
		paid := row.Paid.Credit()
		if more := b.credit.MustSub(row.Due.Debit()); more.Sign() > 0 { // a credit repays first
			paid = paid.MustAdd(more)
		}
		b.price, b.paid = price, leastOf(paid, price)
	}
	allowance := p.share(plan.allowance, b.start, b.end, currency.Digits())
	if !fits(allowance) || s.grantsLeft(b) >= openGrantsMax {
		return
	}
	b.grant, b.expires = allowance, b.end
	for range plan.periods {
		b.expires = p.cycle.Next(b.expires)
	}
}

// grantsLeft counts the account's grants that will be open beside the period's own: not those
// that end with the period before, nor those that lose all they have.
func (s *state) grantsLeft(b *planPeriod) (count int) {
	for n := s.ledger.Rows.At(uint32(b.account)).Grants; n != 0; n = s.ledger.Grants.At(n - 1).Next {
		if !s.ledger.Grants.At(n - 1).Over(b.start) {
			count++
		}
	}
	for _, p := range b.lapses {
		if s.ledger.Grants.At(p.Grant).Left() == p.Amount {
			count--
		}
	}
	return count
}

// check compares with what the state makes of it. One that is cut short only ever follows.
func (b *planPeriod) check(s *state) *refusal.Refusal {
	if int(b.plan) < len(s.plans) {
		if want := s.periodOf(b.plan, s.clock()); want != nil && string(want.append(nil)) == string(b.append(nil)) {
			return nil
		}
	}
	return refusal.New(refusal.Invalid, "not_due", "the subscription's next period does not begin like this")
}

func (b *planPeriod) apply(s *state) {
	for _, p := range b.lapses {
		s.ledger.Lapse(p.Grant, p.Amount)
	}
	row := s.planRows.Mut(b.plan)
	if b.what != periodBegins && row.grant != 0 { // what it is given back later is lost as well
		s.ledger.Extend(row.grant-1, s.time)
	}
	if b.credit.Sign() > 0 {
		s.ledger.CreditPlan(b.account, b.credit)
		row.credited = row.credited.MustAdd(b.credit)
	}
	if b.what != periodEnds {
		b.begin(s, row)
	}
	s.watchLast(b.account)
}

func (b *planPeriod) begin(s *state, row *planRow) {
	row.plan, row.hasNext, row.next = row.begins(), false, planTerms{}
	row.number, row.start, row.end, row.charged, row.grant = b.number, b.start, b.end, b.price, 0
	if b.price.Sign() > 0 {
		s.ledger.ChargePlan(b.account, b.price)
	}
	if b.grant.Sign() > 0 {
		row.grant = 1 + s.give(&grantInfo{id: s.plans[b.plan].grantName(b.number), kind: ledger.SubscriptionKind, account: b.account,
			subscription: b.plan + 1, amount: b.grant}, row.plan.priority, b.expires, row.plan.scope)
	}
	if b.what == periodBegins { // a changed one ends when the one before would have: that is on the agenda
		s.schedulePlan(b.plan)
	}
}

func (b *planPeriod) transfers(t *tables) []transfer {
	const kind, income = ledger.SubscriptionKind, ledger.SubscriptionIncome
	var out []transfer
	take := func(from ledger.Class, amount money.Amount, reason, id, grant string) {
		if amount.Sign() > 0 {
			out = append(out, transfer{debit: b.account, credit: ledger.NoRef, debitClass: from, creditClass: income, amount: amount, reason: reason,
				id: id, grant: grant})
		}
	}
	give := func(to ledger.Class, amount money.Amount, reason, id, grant string) {
		if amount.Sign() > 0 {
			out = append(out, transfer{debit: ledger.NoRef, credit: b.account, debitClass: income, creditClass: to, amount: amount, reason: reason,
				id: id, grant: grant})
		}
	}
	p := t.plans[b.plan]
	for _, l := range b.lapses {
		name := t.grants[l.Grant].id
		take(kind.Class(), l.Amount, "expiry", name, name)
	}
	give(ledger.Paid, b.credit, "subscription_credit", p.id, "")
	take(ledger.Paid, b.paid, "subscription", p.id, "")
	take(ledger.Receivable, b.price.MustSub(b.paid), "subscription", p.id, "")
	name := p.grantName(b.number)
	give(kind.Class(), b.grant, "grant", name, name)
	return out
}
