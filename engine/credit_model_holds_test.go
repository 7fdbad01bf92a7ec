package engine

import (
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"farthing/refusal"
)

// creditHold is a hold.
type creditHold struct {
	id       string
	age      int
	account  *creditAccount
	usage    *creditUsage // of the estimate; nil: by amount
	amount   decimal.Decimal
	parts    []creditPart // reserved on grants
	pool     decimal.Decimal
	due      int64
	counted  int64 // when it last reserved: the periods that it counts in
	reserved int   // the same as an age
	state    HoldState
	ext      int
	report   *call // the last usage reported
	would    []string
	short    *creditShort
	by       string // how it was captured
	event    string // that captured it

	charged, released, lost decimal.Decimal
	unpriced                bool
}

// creditOp is an operation on a hold as a test asks for it.
type creditOp struct {
	kind     HoldOpKind
	hold, id string
	account  string
	currency string
	amount   string // empty: not given
	ttl      time.Duration
	event    *call // estimate, report or capture
}

func (op *creditOp) text() string { return creditText(*op) }

// knows reports whether an operation's identity was booked, so that it does not touch the hold.
func (m *creditTwin) knows(op *creditOp) bool {
	if op.kind == ExtendHold {
		return m.known["extend "+op.id] != ""
	}
	return op.event != nil && m.events[identityOf(op.event)] != nil
}

// captures reports whether a hold that runs out is to be captured as reported.
func (m *creditTwin) captures(h *creditHold) bool {
	return h.report != nil && h.account.root.settings.abandoned == "capture"
}

// openHolds are the holds at a node or below it, oldest first; of nil all.
func (m *creditTwin) openHolds(node *creditAccount) (out []*creditHold) {
	for _, id := range m.holdIDs {
		if h := m.holds[id]; h.state == Held && (node == nil || h.account.under(node)) {
			out = append(out, h)
		}
	}
	return out
}

func (m *creditTwin) held(node *creditAccount) (sum decimal.Decimal) {
	for _, h := range m.openHolds(node) {
		sum = sum.Add(h.amount)
	}
	return sum
}

// creditSwept is when a hold that is due at a time is expired if nobody touches it: at most a
// second later. The engine looks at the holds of 2^28 ns at once, when these are over.
func creditSwept(due int64) int64 { return (due>>28 + 1) << 28 }

// operate carries an operation out. A hold that is due and was not swept yet expires when it
// is touched.
func (m *creditTwin) operate(op *creditOp) (a creditAnswer) {
	if h := m.holds[op.hold]; h != nil && op.kind != PlaceHold && h.state == Held && m.now >= h.due && !m.knows(op) {
		if m.captures(h) {
			return creditNo(refusal.HoldConflict, "hold_expired") // what was reported is captured in its turn
		}
		m.expire(h)
	}
	switch op.kind {
	case PlaceHold:
		a = m.place(op)
	case ExtendHold:
		a = m.extend(op)
	case CaptureHold:
		a = m.capture(op)
	default:
		a = m.voidHold(op)
	}
	if h := m.holds[op.hold]; h != nil && !a.refused() && !a.duplicate {
		a.state, a.amount, a.charged, a.released, a.net = h.state, h.amount, h.charged, h.released, h.lost
		a.available, a.expires, a.unpriced = m.available(h.account), h.due, h.unpriced
	}
	return a
}

// placeable checks what is asked for, in the order that the contract gives.
func (m *creditTwin) placeable(op *creditOp) (a *creditAccount, amount decimal.Decimal, no creditAnswer) {
	a = m.accounts[op.account]
	switch {
	case a == nil:
		return nil, amount, creditNo(refusal.NotFound, "unknown_account")
	case a.spec.Kind != "customer":
		return nil, amount, creditNo(refusal.Invalid, "not_a_customer")
	case a.state == "closed":
		return nil, amount, creditNo(refusal.AccountConflict, "account_closed")
	case a.frozen():
		return nil, amount, creditNo(refusal.Forbidden, "account_frozen")
	}
	var c creditCheck
	if op.event == nil {
		amount = number(op.amount)
		c.amount(amount)
	}
	c.that(op.ttl == 0 || (op.ttl >= time.Second && op.ttl <= 168*time.Hour), refusal.Invalid, "invalid_ttl")
	c.that(op.currency == "" || op.currency == a.code(), refusal.Invalid, "currency_mismatch")
	if c.failed() {
		return nil, amount, c.answer()
	}
	if op.event != nil {
		price, rated := m.rate(op.event, a.code(), m.now)
		if price == nil {
			return nil, amount, creditNo(refusal.Invalid, "unpriced_estimate")
		}
		amount = decimal.Max(rated, decimal.Zero)
	}
	return a, amount, creditAnswer{}
}

func (a *creditAccount) frozen() bool {
	return slices.ContainsFunc(a.chain(), func(n *creditAccount) bool { return n.state == "frozen" })
}

func (m *creditTwin) place(op *creditOp) creditAnswer {
	var c creditCheck
	if m.once(&c, "hold", op.hold, *op) {
		if h := m.holds[op.hold]; h.state == HoldDenied {
			return creditMissing(h.short.account, h.short.limit, h.short.asked, h.short.left)
		}
		return creditAnswer{duplicate: true}
	}
	if c.failed() {
		return c.answer()
	}
	a, amount, no := m.placeable(op)
	if no.refused() {
		return no
	}
	m.use("hold", op.hold, *op)
	m.age++
	h := &creditHold{id: op.hold, age: m.age, account: a, amount: amount, due: m.now + int64(60*time.Second), counted: m.now, reserved: m.age, state: HoldDenied}
	if op.event != nil {
		h.usage = usageOfCall(op.event)
	}
	if op.ttl != 0 {
		h.due = m.now + int64(op.ttl)
	}
	m.holds[h.id] = h
	m.holdIDs = append(m.holdIDs, h.id)
	look := m.look(a, nil, h.usage, amount)
	if look.short == nil {
		look.short = m.reserve(h, amount)
	}
	if look.short != nil {
		h.short = look.short
		if look.hard != nil {
			m.reached(*look.hard, nil, h.id)
		}
		return creditMissing(h.short.account, h.short.limit, h.short.asked, h.short.left)
	}
	h.state = Held
	m.settleLook(&look, h)
	m.after(a.root)
	return creditAnswer{}
}

// reserve reserves an amount for a hold, all of it or nothing: grants in burn order, the rest
// on the pool. What the pool owes comes out of the grants that are for anything.
func (m *creditTwin) reserve(h *creditHold, amount decimal.Decimal) *creditShort {
	root := h.account.root
	parts, rest := m.reservable(root, h.usage, amount)
	if free := m.poolFree(root); free != nil && free.IsNegative() {
		all, _ := m.reservable(root, h.usage, decimal.New(1, 30))
		if room := decimal.Max(decimal.Zero, free.Add(creditSum(all, true))); amount.Sub(creditSum(parts, false)).GreaterThan(room) {
			return &creditShort{root.spec.ID, "credit", amount, creditSum(all, false).Add(room)}
		}
	} else if free != nil && rest.IsPositive() && rest.GreaterThan(*free) {
		return &creditShort{root.spec.ID, "credit", amount, amount.Sub(rest).Add(*free)}
	}
	for _, p := range parts {
		i := slices.IndexFunc(h.parts, func(q creditPart) bool { return q.grant == p.grant })
		if i < 0 {
			h.parts = append(h.parts, p)
		} else {
			h.parts[i].amount = h.parts[i].amount.Add(p.amount)
		}
	}
	h.pool = h.pool.Add(rest)
	return nil
}

// creditSum is what parts of grants for anything, or of the others, come to.
func creditSum(parts []creditPart, anything bool) (sum decimal.Decimal) {
	for _, p := range parts {
		if creditScopeEmpty(&p.grant.scope) == anything {
			sum = sum.Add(p.amount)
		}
	}
	return sum
}

// notOpen says why nothing can be done to a hold that has ended.
func (h *creditHold) notOpen() creditAnswer {
	return creditNo(refusal.HoldConflict, map[HoldState]string{HoldCaptured: "hold_captured", HoldVoided: "hold_voided",
		HoldExpired: "hold_expired", HoldDenied: "hold_refused"}[h.state])
}

// extend adds amount, begins the ttl anew if it brings one, and notes usage so far. Its id is
// unique over all holds.
func (m *creditTwin) extend(op *creditOp) creditAnswer {
	var c creditCheck
	h := m.holds[op.hold]
	if h == nil {
		c.that(false, refusal.NotFound, "unknown_hold")
		m.once(&c, "extend", op.id, *op)
		return c.answer()
	}
	if m.once(&c, "extend", op.id, *op) {
		return creditAnswer{duplicate: true}
	}
	c.that(op.amount != "" || op.ttl != 0 || op.event != nil, refusal.Invalid, "")
	c.that(op.ttl == 0 || (op.ttl >= time.Second && op.ttl <= 168*time.Hour), refusal.Invalid, "invalid_ttl")
	c.that(op.event == nil || op.event.subject == h.account.spec.ID, refusal.Invalid, "wrong_account")
	if h.state != Held {
		c.faults = append(c.faults, h.notOpen().faults...)
	}
	if op.amount != "" {
		c.amount(number(op.amount))
		c.that(!h.account.frozen(), refusal.Forbidden, "account_frozen")
	}
	if c.failed() {
		return c.answer()
	}
	if op.amount != "" {
		more := number(op.amount)
		look := m.look(h.account, h, h.usage, more)
		if look.short == nil {
			look.short = m.reserve(h, more)
		}
		if s := look.short; s != nil {
			return creditMissing(s.account, s.limit, s.asked, s.left)
		}
		m.age++
		h.amount, h.counted, h.reserved = h.amount.Add(more), m.now, m.age
		m.settleLook(&look, h)
	}
	m.use("extend", op.id, *op)
	if op.ttl != 0 {
		h.due = m.now + int64(op.ttl)
	}
	h.ext++
	if op.event != nil {
		h.report = op.event
	}
	m.after(h.account.root)
	return creditAnswer{}
}

func (m *creditTwin) voidHold(op *creditOp) creditAnswer {
	h := m.holds[op.hold]
	switch {
	case h == nil:
		return creditNo(refusal.NotFound, "unknown_hold")
	case h.state == HoldVoided:
		return creditAnswer{duplicate: true}
	case h.state != Held:
		return h.notOpen()
	}
	m.release(h, HoldVoided)
	return creditAnswer{}
}

// release ends a hold without a charge.
func (m *creditTwin) release(h *creditHold, state HoldState) {
	h.state, h.released = state, h.amount
	m.loseExpired()
	if state == HoldExpired {
		m.note("hold.expired", h.account.spec.ID, creditData{"hold": h.id, "amount": h.amount.String()})
	}
	m.after(h.account.root)
}

func (m *creditTwin) capture(op *creditOp) creditAnswer {
	h := m.holds[op.hold]
	if h == nil {
		no := creditNo(refusal.NotFound, "unknown_hold")
		if op.event != nil && m.events[identityOf(op.event)] != nil {
			no.faults = append(no.faults, creditFault{refusal.IDConflict, "event_already_booked"})
		}
		return no
	}
	content := creditCaptureText(op)
	switch {
	case h.state == HoldCaptured && h.by == content:
		return creditAnswer{duplicate: true}
	case h.state != Held:
		no := h.notOpen()
		if op.event != nil && m.events[identityOf(op.event)] != nil { // by another event, or by this one with other content
			no.faults = append(no.faults, creditFault{refusal.IDConflict, "event_already_booked"}, creditFault{refusal.IDConflict, "id_conflict"})
		}
		if op.event != nil && op.event.subject != h.account.spec.ID {
			no.faults = append(no.faults, creditFault{refusal.Invalid, "wrong_account"})
		}
		return no
	}
	var c creditCheck
	c.that(m.now < h.due, refusal.HoldConflict, "hold_expired")
	if op.event == nil {
		c.amount(number(op.amount))
	} else {
		m.checkCall(&c, op.event)
		c.that(op.event.subject == h.account.spec.ID, refusal.Invalid, "wrong_account")
		c.that(m.events[identityOf(op.event)] == nil, refusal.IDConflict, "event_already_booked")
	}
	if c.failed() {
		return c.answer()
	}
	h.by = content
	if op.event == nil {
		m.settleHold(h, nil, number(op.amount))
		return creditAnswer{}
	}
	m.captureEvent(h, op.event)
	return creditAnswer{}
}

// creditCaptureText is what makes two captures the same: all of an event but its time.
func creditCaptureText(op *creditOp) string {
	if op.event == nil {
		return "amount " + number(op.amount).String()
	}
	c := *op.event
	c.time = 0
	return creditText(c)
}

func (m *creditTwin) captureEvent(h *creditHold, x *call) {
	e := m.newEvent(x)
	h.event = x.id
	if e.price == nil {
		h.unpriced = true
		h.state = HoldCaptured
		m.call(h.account, h.counted)
		m.release(h, HoldCaptured)
		return
	}
	m.settleHold(h, e, e.rated)
}

// settleHold charges an amount to a hold and ends it; without an event it is the operator's
// revenue, for what the hold was estimated for.
func (m *creditTwin) settleHold(h *creditHold, e *creditEvent, amount decimal.Decimal) {
	u := h.usage
	root := h.account.root
	if e != nil {
		u = usageOfCall(&e.call)
	}
	bound := m.leftForCapture(h, u)
	parts, pool, left := m.takeReserved(h, u, amount)
	used := amount.Sub(left)
	h.state = HoldCaptured
	free := left
	if bound != nil {
		free = decimal.Max(decimal.Zero, decimal.Min(left, bound.Sub(used)))
	}
	more, rest := m.burn(root, u, free)
	parts = append(parts, more...)
	if p := m.poolFree(root); p != nil {
		rest = decimal.Max(decimal.Zero, decimal.Min(rest, p.Add(pool.Neg())))
	}
	pool = pool.Add(rest)
	excess := amount.Sub(pool)
	for _, p := range parts {
		excess = excess.Sub(p.amount)
	}
	switch root.settings.excess {
	case "cap":
		h.lost = excess
	case "allow_up_to":
		h.lost = decimal.Max(decimal.Zero, excess.Sub(root.settings.excessLimit))
	}
	pool = pool.Add(excess.Sub(h.lost))
	root.take(pool)
	m.class(root.code(), "operator_loss", h.lost.Neg())
	h.charged = amount.Sub(h.lost)
	h.released = decimal.Max(decimal.Zero, h.amount.Sub(h.charged))
	if e == nil {
		m.class(root.code(), "revenue", amount)
	} else {
		e.parts, e.pool, e.loss = parts, pool, h.lost
		m.earn(e, e.rated, e.fee)
	}
	m.loseExpired()
	m.spend(h.account, u, h.charged, h.counted, h.id)
	m.after(root)
}

// takeReserved takes from a hold's reservation: grants in burn order that match, then the pool.
// What of the pool it takes is not taken from the account yet.
func (m *creditTwin) takeReserved(h *creditHold, u *creditUsage, amount decimal.Decimal) (parts []creditPart, pool, left decimal.Decimal) {
	left = amount
	list := slices.Clone(h.parts)
	slices.SortFunc(list, func(a, b creditPart) int { return creditByBurn(a.grant, b.grant) })
	for _, p := range list {
		if take := decimal.Min(p.amount, left); take.IsPositive() && creditMatches(&p.grant.scope, u) {
			p.grant.remaining = p.grant.remaining.Sub(take)
			parts = append(parts, creditPart{p.grant, take})
			left = left.Sub(take)
		}
	}
	pool = decimal.Min(h.pool, left)
	return parts, pool, left.Sub(pool)
}

// expire ends a hold that is due: where the account says so, the usage that was reported last
// is captured, if it can be.
func (m *creditTwin) expire(h *creditHold) {
	if x := h.report; m.captures(h) {
		var c creditCheck
		m.checkCall(&c, x)
		c.that(m.events[identityOf(x)] == nil, refusal.IDConflict, "")
		if !c.failed() {
			h.by = creditCaptureText(&creditOp{event: x})
			m.captureEvent(h, x)
			return
		}
	}
	m.release(h, HoldExpired)
}
