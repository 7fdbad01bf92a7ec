package engine

import (
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/shopspring/decimal"

	"farthing/refusal"
)

// creditLimit is a limit of a node. What open holds reserve is not in it.
type creditLimit struct {
	spec   LimitSpec
	period int64 // begin of the one counted
	paid   decimal.Decimal
	calls  uint64 // of usage and captures
	told   bool   // limit.reached went out in this period
	would  uint64
	recent []string
	born   int // what was reserved before does not count
}

// creditPeriod is the begin of the period of a kind that a time lies in; 0 where there is
// only one.
func creditPeriod(per string, at int64) int64 {
	t := time.Unix(0, at).UTC()
	y, mo, d := t.Date()
	switch per {
	case "minute":
		return t.Truncate(time.Minute).UnixNano()
	case "hour":
		return t.Truncate(time.Hour).UnixNano()
	case "day":
		return time.Date(y, mo, d, 0, 0, 0, 0, time.UTC).UnixNano()
	case "month":
		return time.Date(y, mo, 1, 0, 0, 0, 0, time.UTC).UnixNano()
	}
	return 0
}

// creditOldHoldsCount says whether a limit counts what was reserved before it was put. The
// rules can be read either way: "what open holds reserved in this period", or "begins anew".
const creditOldHoldsCount = false

// sees reports whether a limit, rolled to now, counts what a hold reserves.
func (l *creditLimit) sees(h *creditHold) bool {
	return l.spec.Per != "call" && creditPeriod(l.spec.Per, h.counted) == l.period && (creditOldHoldsCount || h.reserved > l.born)
}

// roll begins a new period if the old one is over.
func (m *creditTwin) roll(l *creditLimit) {
	if p := creditPeriod(l.spec.Per, m.now); p != l.period {
		l.period, l.paid, l.calls, l.told = p, decimal.Zero, 0, false
	}
}

func (m *creditTwin) spent(l *creditLimit) decimal.Decimal {
	m.roll(l)
	return l.paid
}

// counted are the open holds that a limit of a node counts now, but for one: those below the
// node that it sees and that last reserved in this period.
func (m *creditTwin) counted(node *creditAccount, l *creditLimit, but *creditHold) (out []*creditHold) {
	m.roll(l)
	for _, h := range m.openHolds(node) {
		if h != but && creditMatches(&l.spec.Scope, h.usage) && l.sees(h) {
			out = append(out, h)
		}
	}
	return out
}

func (m *creditTwin) heldUnder(node *creditAccount, l *creditLimit, but *creditHold) (sum decimal.Decimal) {
	for _, h := range m.counted(node, l, but) {
		sum = sum.Add(h.amount)
	}
	return sum
}

// callsOf counts usage, captures and open holds. A hold that ends without a capture gives its
// call back.
func (m *creditTwin) callsOf(node *creditAccount, l *creditLimit) uint64 {
	return l.calls + uint64(len(m.counted(node, l, nil)))
}

// creditLook is what the limits of a chain say to a reservation.
type creditLook struct {
	short *creditShort
	hard  *creditAt  // that it did not fit
	would []creditAt // shadow limits
	soft  []creditAt
}

// creditAt is a limit where it stands.
type creditAt struct {
	node  *creditAccount
	limit *creditLimit
}

func (c creditAt) name() string { return c.node.spec.ID + "/" + c.limit.spec.Name }

// look asks every limit from the node up: may a hold have more? The hold is nil if it is to be
// placed. The first hard limit that says no ends it.
func (m *creditTwin) look(node *creditAccount, h *creditHold, u *creditUsage, more decimal.Decimal) (out creditLook) {
	for _, n := range node.chain() {
		for _, l := range n.limits {
			if !creditMatches(&l.spec.Scope, u) {
				continue
			}
			short := m.misfit(n, l, h, more)
			switch {
			case short == nil:
			case l.spec.Mode == "hard":
				return creditLook{short: short, hard: &creditAt{n, l}}
			case l.spec.Mode == "soft":
				out.soft = append(out.soft, creditAt{n, l})
			default:
				out.would = append(out.would, creditAt{n, l})
			}
		}
	}
	return out
}

// misfit says why a limit has no room for more of a hold; nil: it has. A hold that last
// reserved in a period that is over is asked for as a whole.
func (m *creditTwin) misfit(node *creditAccount, l *creditLimit, h *creditHold, more decimal.Decimal) *creditShort {
	ask, isCounted := more, false
	if h != nil {
		m.roll(l)
		isCounted = l.sees(h)
		if !isCounted {
			ask = ask.Add(h.amount)
		}
	}
	if l.spec.Amount != nil {
		left := l.spec.Amount.Decimal()
		if l.spec.Per != "call" {
			left = left.Sub(m.spent(l)).Sub(m.heldUnder(node, l, nil))
		}
		if ask.GreaterThan(left) {
			return &creditShort{node.spec.ID, l.spec.Name, ask, left}
		}
	}
	if l.spec.Count != nil && l.spec.Per != "call" {
		calls := m.callsOf(node, l)
		if isCounted {
			calls-- // it is asked for anew: a limit that was passed meanwhile has no room for it
		}
		if calls+1 > *l.spec.Count {
			left := decimal.NewFromInt(int64(*l.spec.Count) - int64(calls))
			return &creditShort{node.spec.ID, l.spec.Name, decimal.NewFromInt(1), left}
		}
	}
	return nil
}

// passed reports whether more is spent and held than a limit allows.
func (m *creditTwin) passed(node *creditAccount, l *creditLimit) bool {
	used := m.spent(l).Add(m.heldUnder(node, l, nil))
	return l.spec.Per != "call" && ((l.spec.Amount != nil && used.GreaterThan(l.spec.Amount.Decimal())) ||
		(l.spec.Count != nil && m.callsOf(node, l) > *l.spec.Count))
}

// settleLook is what comes with a hold that was looked at: shadow limits count, soft ones tell,
// how it stood without the hold.
func (m *creditTwin) settleLook(k *creditLook, h *creditHold) {
	for _, at := range k.would {
		at.limit.would++
		at.limit.recent = append(at.limit.recent, h.id)
		if n := len(at.limit.recent); n > 8 {
			at.limit.recent = at.limit.recent[n-8:]
		}
		h.would = append(h.would, at.name())
	}
	for _, at := range k.soft {
		m.reached(at, h, h.id)
	}
}

// reached tells that a limit was reached, once in its period; each call is one of its own. One
// hold may be left out of what is held.
func (m *creditTwin) reached(at creditAt, but *creditHold, hold string) {
	l := at.limit
	m.roll(l)
	if l.told && l.spec.Per != "call" {
		return
	}
	l.told = true
	data := creditData{"limit": l.spec.Name, "per": l.spec.Per, "mode": l.spec.Mode, "spent": l.paid.String(),
		"held":  m.heldUnder(at.node, l, but).String(),
		"calls": strconv.FormatUint(l.calls+uint64(len(m.counted(at.node, l, but))), 10)}
	if l.spec.Amount != nil {
		data["amount"] = l.spec.Amount.String()
	}
	if l.spec.Count != nil {
		data["count"] = strconv.FormatUint(*l.spec.Count, 10)
	}
	if hold != "" {
		data["hold"] = hold
	}
	m.note("limit.reached", at.node.spec.ID, data)
}

// spend counts what usage was charged, in the period of a time, and tells what is passed. One
// call that was charged more than a limit of one call allows passed it.
func (m *creditTwin) spend(node *creditAccount, u *creditUsage, amount decimal.Decimal, at int64, hold string) {
	for _, n := range node.chain() {
		for _, l := range n.limits {
			m.roll(l)
			if !creditMatches(&l.spec.Scope, u) {
				continue
			}
			passed := l.spec.Per == "call" && amount.GreaterThan(l.spec.Amount.Decimal())
			if l.spec.Per != "call" {
				if creditPeriod(l.spec.Per, at) == l.period {
					l.paid = l.paid.Add(amount)
					l.calls++
				}
				passed = m.passed(n, l)
			}
			if l.spec.Mode != "shadow" && passed {
				m.reached(creditAt{n, l}, nil, hold)
			}
		}
	}
}

// call counts usage that has no price: it is a call, but of no scope.
func (m *creditTwin) call(node *creditAccount, at int64) { m.spend(node, nil, decimal.Zero, at, "") }

// unspend counts what was given back.
func (m *creditTwin) unspend(node *creditAccount, u *creditUsage, amount decimal.Decimal) {
	for _, n := range node.chain() {
		for _, l := range n.limits {
			if m.roll(l); l.spec.Per != "call" && creditMatches(&l.spec.Scope, u) {
				l.paid = l.paid.Sub(amount)
			}
		}
	}
}

// leftForCapture is the least that is left under hard amount limits for what a capture takes
// beyond its reservation; nil: no such limit counts it. Of a limit of one call all is left.
func (m *creditTwin) leftForCapture(h *creditHold, u *creditUsage) (least *decimal.Decimal) {
	for _, n := range h.account.chain() {
		for _, l := range n.limits {
			m.roll(l)
			if l.spec.Mode != "hard" || l.spec.Amount == nil || !creditMatches(&l.spec.Scope, u) || creditPeriod(l.spec.Per, h.counted) != l.period {
				continue
			}
			left := l.spec.Amount.Decimal().Sub(l.paid).Sub(m.heldUnder(n, l, h)) // of one call nothing is counted
			if least == nil || left.LessThan(*least) {
				least = &left
			}
		}
	}
	return least
}

// history is what the usage rows of a node and below say of a limit's period: what was rated,
// on the days of the events, without what was voided.
func (m *creditTwin) history(node *creditAccount, l *creditLimit) {
	l.period = creditPeriod(l.spec.Per, m.now)
	if !slices.Contains([]string{"day", "month", "total"}, l.spec.Per) {
		return
	}
	for _, e := range m.booked {
		if e.state == "rated" && e.subject.under(node) && creditMatches(&l.spec.Scope, usageOfCall(&e.call)) && creditPeriod(l.spec.Per, e.at) == l.period {
			l.paid = l.paid.Add(e.rated)
			l.calls++
		}
	}
}

// putLimits replaces the limits of a node.
func (m *creditTwin) putLimits(spec LimitsSpec) creditAnswer {
	var c creditCheck
	if spec.ID != "" && m.once(&c, "limits", spec.ID, spec) {
		return creditAnswer{duplicate: true}
	}
	a := m.accounts[spec.Account]
	if a == nil {
		c.that(false, refusal.NotFound, "unknown_account")
		return c.answer()
	}
	if spec.ID == "" && m.sameLimits(a, &spec) && (a.state == "closed" || !a.limited || a.withOverdraft || spec.SetOverdraft) {
		a.withOverdraft = a.withOverdraft || spec.SetOverdraft
		return creditAnswer{duplicate: true, any: true} // it may say what is there, put it anew or find that it may not
	}
	c.that(a.spec.Kind == "customer", refusal.Invalid, "not_a_customer")
	c.that(a.state != "closed", refusal.AccountConflict, "account_closed")
	c.that(!spec.SetOverdraft || a.parent == nil, refusal.Invalid, "")
	checkLimitList(&c, spec.Limits)
	same := m.sameLimits(a, &spec)
	if c.failed() || (same && spec.ID == "") {
		return creditAnswer{faults: c.faults, duplicate: !c.failed()}
	}
	next := m.nextLimits(a, spec.Limits)
	for _, l := range next {
		low := l.spec.Amount != nil && l.spec.Per != "call" && l.spec.Amount.Decimal().LessThan(m.spent(l).Add(m.heldUnder(a, l, nil)))
		few := l.spec.Count != nil && l.spec.Per != "call" && *l.spec.Count < m.callsOf(a, l)
		c.that(!low && !few, refusal.Invalid, "limit_below_spent")
	}
	used := decimal.Max(decimal.Zero, a.due.Add(a.transit).Add(m.poolHeld(a)).Sub(a.paid))
	if spec.SetOverdraft && spec.Overdraft != nil { // to raise it is always right
		next := spec.Overdraft.Decimal()
		raised := a.overdraft != nil && next.GreaterThanOrEqual(*a.overdraft)
		c.that(raised || next.GreaterThanOrEqual(used), refusal.Invalid, "limit_below_spent")
	}
	m.checkPools(&c, a, next)
	if c.failed() {
		return c.answer()
	}
	if spec.ID != "" {
		m.use("limits", spec.ID, spec)
	}
	a.limits, a.limited, a.withOverdraft = next, true, spec.SetOverdraft
	if spec.SetOverdraft {
		a.overdraft = nil
		if spec.Overdraft != nil {
			limit := spec.Overdraft.Decimal()
			a.overdraft = &limit
		}
		m.after(a)
	}
	return creditAnswer{loose: same || spec.SetOverdraft}
}

// sameLimits reports whether a request asks for what is there.
func (m *creditTwin) sameLimits(a *creditAccount, spec *LimitsSpec) bool {
	same := len(a.limits) == len(spec.Limits)
	for i := range spec.Limits {
		same = same && creditText(a.limits[i].spec) == creditText(spec.Limits[i])
	}
	if !same || !spec.SetOverdraft {
		return same
	}
	if spec.Overdraft == nil || a.overdraft == nil {
		return spec.Overdraft == nil && a.overdraft == nil
	}
	return spec.Overdraft.Decimal().Equal(*a.overdraft)
}

// checkLimitList checks a list for itself.
func checkLimitList(c *creditCheck, list []LimitSpec) {
	names := map[string]bool{}
	c.that(len(list) <= 32, refusal.Invalid, "")
	for i := range list {
		l := &list[i]
		ok := slices.Contains([]string{"call", "minute", "hour", "day", "month", "total"}, l.Per) &&
			slices.Contains([]string{"hard", "soft", "shadow"}, l.Mode) && l.Name != "" && !names[l.Name] &&
			(l.Amount != nil || l.Count != nil) && (l.Per != "call" || l.Count == nil) && (l.Amount == nil || l.Amount.Sign() >= 0) &&
			(!l.Allotment || (l.Mode == "hard" && l.Amount != nil))
		c.that(ok, refusal.Invalid, "")
		names[l.Name] = true
	}
}

// creditLimitKey names what a limit counts: where name, period and scope are the same it goes on.
func creditLimitKey(l *LimitSpec) string {
	return fmt.Sprintf("%s %s %s", l.Name, l.Per, creditText(l.Scope))
}

func (m *creditTwin) nextLimits(a *creditAccount, list []LimitSpec) (out []*creditLimit) {
	for i := range list {
		l := &creditLimit{}
		for _, old := range a.limits {
			if creditLimitKey(&old.spec) == creditLimitKey(&list[i]) {
				*l = *old
				l.recent = slices.Clone(old.recent)
			}
		}
		fresh := l.spec.Name == ""
		l.spec = list[i]
		if fresh {
			m.age++
			l.born = m.age
			m.history(a, l)
		}
		out = append(out, l)
	}
	return out
}

// checkPools checks allotments: those of the node against its parent's pools, and those of its
// children against its own.
func (m *creditTwin) checkPools(c *creditCheck, a *creditAccount, next []*creditLimit) {
	limitsOf := func(n *creditAccount) []*creditLimit {
		if n == a {
			return next
		}
		return n.limits
	}
	fits := func(parent *creditAccount, per string, scope string) bool {
		sum := decimal.Zero
		for _, id := range m.names {
			child := m.accounts[id]
			if child.parent != parent {
				continue
			}
			for _, l := range limitsOf(child) {
				if l.spec.Allotment && l.spec.Per == per && creditText(l.spec.Scope) == scope {
					sum = sum.Add(l.spec.Amount.Decimal())
				}
			}
		}
		for _, l := range limitsOf(parent) {
			if l.spec.Amount != nil && l.spec.Per == per && creditText(l.spec.Scope) == scope {
				return sum.LessThanOrEqual(l.spec.Amount.Decimal())
			}
		}
		return false
	}
	for _, id := range m.names {
		n := m.accounts[id]
		if n != a && n.parent != a {
			continue
		}
		for _, l := range limitsOf(n) {
			if l.spec.Allotment {
				ok := n.parent != nil && fits(n.parent, l.spec.Per, creditText(l.spec.Scope))
				c.that(ok, refusal.Invalid, "pool_exceeded")
			}
		}
	}
}
