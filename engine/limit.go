package engine

import (
	"encoding/binary"

	"farthing/ledger"
	"farthing/limit"
	"farthing/meter"
	"farthing/money"
	"farthing/period"
	"farthing/refusal"
)

// limitInfo is what a limit is besides its bound, which is in its row. It never changes: another
// name, period or scope makes another limit.
type limitInfo struct {
	name    string
	account ledger.Ref
	per     period.Kind
	scope   uint32
	since   uint64 // sequence: what was reserved before is not counted here
}

// limitsMax bounds the limits of one account: each is looked at by every hold below it.
const limitsMax = 32

// setLimits replaces the limits of an account.
type setLimits struct {
	name                  string
	account               ledger.Ref
	overdraft             money.Amount
	setOverdraft, noLimit bool
	list                  []setLimit
}

type setLimit struct {
	name string
	limit.Bound
	scope Scope
}

func (c *setLimits) kind() byte { return kindLimits }
func (c *setLimits) id() string { return c.name }

func (c *setLimits) append(dst []byte) []byte {
	dst = appendRef(appendBytes(dst, c.name), c.account)
	dst = c.overdraft.AppendBinary(appendBool(appendBool(dst, c.setOverdraft), c.noLimit))
	dst = binary.AppendUvarint(dst, uint64(len(c.list)))
	for i := range c.list {
		l := &c.list[i]
		dst = append(appendBytes(dst, l.name), byte(l.Per), byte(l.Mode))
		dst = appendBool(appendBool(appendBool(dst, l.HasAmount), l.HasCount), l.Allotment)
		dst = binary.AppendUvarint(l.Amount.AppendBinary(dst), l.Count)
		dst = l.scope.append(dst)
	}
	return dst
}

func (r *reader) limits() *setLimits {
	c := &setLimits{name: r.str(), account: r.ref(), setOverdraft: r.bool(), noLimit: r.bool(), overdraft: r.amount()}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		l := setLimit{name: r.str()}
		l.Per, l.Mode = period.Kind(r.byte()), limit.Mode(r.byte())
		l.HasAmount, l.HasCount, l.Allotment = r.bool(), r.bool(), r.bool()
		l.Amount, l.Count = r.amount(), r.uvarint()
		l.scope = r.scope()
		c.list = append(c.list, l)
	}
	return c
}

func (c *setLimits) check(s *state) *refusal.Refusal {
	if refused := s.checkCustomer(c.account); refused != nil {
		return refused
	}
	if refused := c.checkList(s); refused != nil {
		return refused
	}
	if refused := s.checkPools(c); refused != nil {
		return refused
	}
	if c.setOverdraft {
		return c.checkOverdraft(s)
	}
	return nil
}

func (c *setLimits) checkList(s *state) *refusal.Refusal {
	invalid := func(reason, format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.Invalid, reason, format, args...)
	}
	if len(c.list) > limitsMax {
		return invalid("too_many_limits", "an account has at most %d limits", limitsMax)
	}
	names := map[string]bool{}
	for i := range c.list {
		l := &c.list[i]
		if len(l.name) > 64 || !meter.ValidID([]byte(l.name)) || names[l.name] || l.name == "credit" {
			return invalid("invalid_limit", "a limit has a name of 1 to 64 of A-Z a-z 0-9 . _ : - / @, given once, and not credit")
		}
		names[l.name] = true
		if err := l.Valid(); err != nil {
			return invalid("invalid_limit", "limit %s: %v", l.name, err)
		}
		if l.Amount.Cmp(amountMax) > 0 {
			return invalid("invalid_amount", "limit %s: amount must be at most %s", l.name, amountMax)
		}
		if refused := s.checkScope(&l.scope); refused != nil {
			return refused
		}
		if row := s.limitAs(c.account, l); row.Passed() {
			return invalid("limit_below_spent", "limit %s: %s is spent and %s held already, in %d calls", l.name, row.Spent, row.Held, row.Calls+row.Reserved)
		}
	}
	return nil
}

func (c *setLimits) checkOverdraft(s *state) *refusal.Refusal {
	p := s.people[c.account]
	switch {
	case p.Root != c.account:
		return refusal.New(refusal.Invalid, "not_for_children", "account %s holds no money: the overdraft_limit is its root's, %s", p.ID, s.people[p.Root].ID)
	case c.noLimit:
		if p.Billing == ledger.Prepaid {
			return refusal.New(refusal.Invalid, "invalid_overdraft_limit", "a prepaid account has a limit: give an amount")
		}
		return nil
	case c.overdraft.Sign() < 0 || c.overdraft.Cmp(amountMax) > 0:
		return refusal.New(refusal.Invalid, "invalid_amount", "overdraft_limit must be 0 to %s", amountMax)
	}
	free := s.ledger.Rows.At(uint32(c.account)).Free(c.overdraft)
	if now := s.overdraft(c.account); free.Sign() < 0 && (now.Unlimited || now.Limit.Cmp(c.overdraft) > 0) {
		return refusal.New(refusal.Invalid, "limit_below_spent", "%s of the overdraft is used or held already", c.overdraft.MustSub(free))
	}
	return nil
}

// limitAs is what the row of a limit would be: it goes on counting if it was there with the same
// name, period and scope; else it begins with what the usage of its day, month or all time was.
func (s *state) limitAs(ref ledger.Ref, l *setLimit) limit.Row {
	number, known := s.scopeNumber(&l.scope)
	if n, ok := s.limitOf(ref, l.name, l.Per, number); ok && known {
		row := *s.limitRows.At(n)
		row.Bound = l.Bound
		row.Roll(s.clock())
		return row
	}
	row := limit.Row{Bound: l.Bound}
	row.Roll(s.clock())
	if l.Per == period.Day || l.Per == period.Month || l.Per == period.Total {
		from := dayOf(row.Start)
		s.below(ref, func(at ledger.Ref) {
			s.usage.each(at, func(u *usageRow, amount money.Amount) {
				if u.day >= from && l.Per.Holds(row.Start, int64(u.day)*nanosPerDay) && l.scope.matches(&s.shapes[u.shape].shape) {
					row.Spent, row.Calls = row.Spent.MustAdd(amount), row.Calls+u.events
				}
			})
		})
	}
	return row
}

// limitOf finds the row of a limit in force.
func (s *state) limitOf(ref ledger.Ref, name string, per period.Kind, scope uint32) (uint32, bool) {
	for _, n := range s.limitsAt(ref) {
		if info := s.limits[n]; info.name == name && info.per == per && info.scope == scope {
			return n, true
		}
	}
	return 0, false
}

// limitsAt are the limits of an account, in the order in which they were put.
func (s *state) limitsAt(ref ledger.Ref) []uint32 {
	if n := s.nodeAt(ref); n != 0 && int(n) <= len(s.nodeLimits) {
		return s.nodeLimits[n-1]
	}
	return nil
}

// checkPools checks allotments: those of one period and scope below an account are within its
// own limit.
func (s *state) checkPools(c *setLimits) *refusal.Refusal {
	exceeded := func(format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.Invalid, "pool_exceeded", format, args...)
	}
	parent := s.people[c.account].Parent
	for i := range c.list {
		l := &c.list[i]
		if !l.Allotment {
			continue
		}
		number, known := s.scopeNumber(&l.scope)
		pool, ok := money.Amount{}, false
		if parent != ledger.NoRef && known {
			pool, ok = s.poolOf(parent, l.Per, number)
		}
		if !ok {
			return exceeded("allotment %s is part of a limit that the account above has not", l.name)
		}
		sum := s.allotted(parent, c.account, l.Per, number)
		for k := range c.list {
			if o := &c.list[k]; o.Allotment && o.Per == l.Per && string(o.scope.append(nil)) == string(l.scope.append(nil)) {
				sum = sum.MustAdd(o.Amount)
			}
		}
		if sum.Cmp(pool) > 0 {
			return exceeded("allotments of %s would come to %s, the pool is %s", l.name, sum, pool)
		}
	}
	return s.checkOwnPools(c, exceeded)
}

// checkOwnPools checks that what is allotted below an account is within its new limits.
func (s *state) checkOwnPools(c *setLimits, exceeded func(string, ...any) *refusal.Refusal) *refusal.Refusal {
	for _, child := range s.children[c.account] {
		for _, n := range s.limitsAt(child) {
			row, info := s.limitRows.At(n), s.limits[n]
			if !row.Allotment {
				continue
			}
			pool, ok := money.Amount{}, false
			for k := range c.list {
				number, known := s.scopeNumber(&c.list[k].scope)
				if l := &c.list[k]; l.Per == info.per && known && number == info.scope && l.HasAmount && (!ok || l.Amount.Cmp(pool) < 0) {
					pool, ok = l.Amount, true
				}
			}
			if sum := s.allotted(c.account, ledger.NoRef, info.per, info.scope); !ok || sum.Cmp(pool) > 0 {
				return exceeded("%s is allotted below as %s", sum, info.name)
			}
		}
	}
	return nil
}

// poolOf is the limit of an account whose parts are allotted below it: the smallest.
func (s *state) poolOf(ref ledger.Ref, per period.Kind, scope uint32) (pool money.Amount, ok bool) {
	for _, n := range s.limitsAt(ref) {
		row, info := s.limitRows.At(n), s.limits[n]
		if info.per == per && info.scope == scope && row.HasAmount && (!ok || row.Amount.Cmp(pool) < 0) {
			pool, ok = row.Amount, true
		}
	}
	return pool, ok
}

// allotted sums what is allotted to the children of an account, one of them left out.
func (s *state) allotted(parent, except ledger.Ref, per period.Kind, scope uint32) (sum money.Amount) {
	for _, child := range s.children[parent] {
		if child == except {
			continue
		}
		for _, n := range s.limitsAt(child) {
			if row, info := s.limitRows.At(n), s.limits[n]; row.Allotment && info.per == per && info.scope == scope {
				sum = sum.MustAdd(row.Amount)
			}
		}
	}
	return sum
}

func (c *setLimits) apply(s *state) {
	list := make([]uint32, 0, len(c.list))
	for i := range c.list {
		l := &c.list[i]
		row := s.limitAs(c.account, l)
		number := s.enterScope(l.scope)
		n, ok := s.limitOf(c.account, l.name, l.Per, number)
		if !ok {
			n = s.limitRows.Append(row)
			s.enterLimit(&limitInfo{l.name, c.account, l.Per, number, s.seq})
		} else {
			*s.limitRows.Mut(n) = row
		}
		list = append(list, n)
	}
	node := s.mutNode(c.account)
	if c.setOverdraft {
		node.ownOverdraft, node.unlimited, node.overdraft = true, c.noLimit, c.overdraft
	}
	s.enterLimits(c, list)
	if s.people[c.account].Root == c.account {
		s.watch(c.account)
	}
}

// limitMeta is what operations ask of a limit's info, side by side by row: following a pointer to
// each of a chain's limits would wait for memory a dozen times.
type limitMeta struct {
	since uint64
	scope uint32
}

type limitKey struct {
	account ledger.Ref
	name    string
}

func (s *state) enterLimit(info *limitInfo) {
	key := limitKey{info.account, info.name}
	s.limitsNamed[key] = append(s.limitsNamed[key], uint32(len(s.limits)))
	s.limits = append(s.limits, info)
	s.limitMeta = append(s.limitMeta, limitMeta{info.since, info.scope})
}

func (i *limitInfo) append(dst []byte) []byte {
	dst = append(appendRef(appendBytes(dst, i.name), i.account), byte(i.per))
	return binary.AppendUvarint(binary.AppendUvarint(dst, uint64(i.scope)), i.since)
}

func (r *reader) limitInfo() *limitInfo {
	return &limitInfo{r.str(), r.ref(), period.Kind(r.byte()), uint32(r.uvarint()), r.uvarint()}
}

// enterLimits makes a list of rows the limits of an account.
func (s *state) enterLimits(c *setLimits, list []uint32) {
	n := s.nodeAt(c.account)
	for len(s.nodeLimits) < int(n) {
		s.nodeLimits = append(s.nodeLimits, nil)
	}
	s.nodeLimits[n-1], s.over.valid = list, false
	doc := *c
	doc.name = ""
	s.limitDocs[c.account] = string(doc.append(nil))
	s.limitLog = append(s.limitLog, s.limitDocs[c.account])
	s.below(c.account, func(at ledger.Ref) { s.setMark(at, markLimits, s.hasLimits(at)) })
}

// hasLimits reports whether an account or one above it has limits.
func (s *state) hasLimits(ref ledger.Ref) (has bool) {
	s.chain(ref, func(at ledger.Ref) bool {
		has = len(s.limitsAt(at)) > 0
		return !has
	})
	return has
}

func (c *setLimits) unchanged(s *state) bool {
	return s.limitDocs[c.account] == string(c.append(nil))
}

func (c *setLimits) transfers(*tables) []transfer { return nil }

// limitRef is a limit over an account: whose it is, and what of its info is asked for most.
type limitRef struct {
	node       ledger.Ref
	row, scope uint32
}

// chainLimits is the limits over an account, from it up to its root and in the order in which
// they were put. An operation looks through them several times, so the last list is kept until
// limits change.
type chainLimits struct {
	ref   ledger.Ref
	valid bool
	list  []limitRef
}

func (s *state) limitsOver(ref ledger.Ref) []limitRef {
	c := &s.over
	if c.valid && c.ref == ref {
		return c.list
	}
	c.list = c.list[:0]
	s.chain(ref, func(at ledger.Ref) bool {
		for _, n := range s.limitsAt(at) {
			c.list = append(c.list, limitRef{at, n, s.limitMeta[n].scope})
		}
		return true
	})
	c.ref, c.valid = ref, true
	return c.list
}

// eachLimit calls fn with the limits over an account that see usage of some scopes, until it
// returns false.
func (s *state) eachLimit(ref ledger.Ref, scopes ledger.Scopes, fn func(at ledger.Ref, row uint32) bool) {
	if s.marks(ref)&markLimits == 0 {
		return
	}
	for _, l := range s.limitsOver(ref) {
		if scopes.Has(l.scope) && !fn(l.node, l.row) {
			return
		}
	}
}

// charge counts what usage cost, at the time under which its limits count it, and tells of those
// that it passed.
func (s *state) charge(ref ledger.Ref, scopes ledger.Scopes, at int64, amount money.Amount, calls uint64, hold string) {
	s.eachLimit(ref, scopes, func(node ledger.Ref, n uint32) bool {
		row := s.limitRows.Mut(n)
		row.Roll(s.time)
		row.Charge(at, amount, calls)
		passed := row.Passed()
		if row.Per == period.Call {
			ok, _ := row.Fits(amount, 0)
			passed = !ok
		}
		if passed && row.Mode != limit.Shadow {
			s.tell(node, n, hold)
		}
		return true
	})
}

// tell makes limit.reached follow, once a period; a limit per call tells every time.
func (s *state) tell(node ledger.Ref, n uint32, hold string) {
	row, info := s.limitRows.Mut(n), s.limits[n]
	row.Roll(s.time)
	if row.Told && row.Per != period.Call {
		return
	}
	row.Told = true
	data := map[string]any{"limit": info.name, "per": info.per.String(), "mode": row.Mode.String(), "spent": row.Spent.String(),
		"held": row.Held.String(), "calls": row.Calls + row.Reserved}
	if row.HasAmount {
		data["amount"] = row.Amount.String()
	}
	if row.HasCount {
		data["count"] = row.Count
	}
	if hold != "" {
		data["hold"] = hold
	}
	s.notify(noticeLimit, node, data)
}
