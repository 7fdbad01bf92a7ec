package engine

import (
	"encoding/binary"
	"time"

	"farthing/ledger"
	"farthing/money"
	"farthing/refusal"
)

// grantInfo is what a grant was given as; it never changes. What is left of it is in the ledger.
type grantInfo struct {
	id           string
	kind         ledger.GrantKind
	account      ledger.Ref
	subscription uint32 // that gave it, + 1; 0: none
	seq          uint64
	time         int64
	amount       money.Amount
}

// Bounds of grants.
const (
	grantPriorityMax     = 1_000_000
	grantPriorityDefault = 100
	openGrantsMax        = 1000 // of an account: rating looks through them in burn order
)

// giveGrant is a grant that a caller gives.
type giveGrant struct {
	name     string
	account  ledger.Ref
	amount   money.Amount
	kindOf   ledger.GrantKind
	priority uint32
	expires  int64 // ledger.Never
	scope    Scope
}

func (g *giveGrant) kind() byte { return kindGrant }
func (g *giveGrant) id() string { return g.name }

func (g *giveGrant) append(dst []byte) []byte {
	dst = appendRef(appendBytes(dst, g.name), g.account)
	dst = append(g.amount.AppendBinary(dst), byte(g.kindOf))
	dst = binary.AppendUvarint(dst, uint64(g.priority))
	dst = binary.AppendUvarint(dst, uint64(g.expires))
	return g.scope.append(dst)
}

func (r *reader) grant() *giveGrant {
	return &giveGrant{name: r.str(), account: r.ref(), amount: r.amount(), kindOf: ledger.GrantKind(r.byte()), priority: uint32(r.uvarint()),
		expires: int64(r.uvarint()), scope: r.scope()}
}

func (g *giveGrant) check(s *state) *refusal.Refusal {
	if refused := s.checkRoot(g.account); refused != nil {
		return refused
	}
	switch {
	case g.kindOf < ledger.PaidKind || g.kindOf > ledger.SubscriptionKind:
		return refusal.New(refusal.Invalid, "invalid_kind", "kind must be paid, promo or subscription")
	case g.priority > grantPriorityMax:
		return refusal.New(refusal.Invalid, "invalid_priority", "priority must be at most %d", grantPriorityMax)
	case g.expires <= s.clock():
		return refusal.New(refusal.Invalid, "grant_expired", "expires_at is not in the future")
	case s.openGrants(g.account) >= openGrantsMax:
		return refusal.New(refusal.Invalid, "too_many_grants", "account %s has %d open grants and takes no more", s.people[g.account].ID, openGrantsMax)
	}
	if refused := s.checkScope(&g.scope); refused != nil {
		return refused
	}
	return s.checkAmount(g.account, g.amount)
}

func (g *giveGrant) apply(s *state) {
	s.give(&grantInfo{id: g.name, kind: g.kindOf, account: g.account, amount: g.amount}, g.priority, g.expires, s.enterScope(g.scope))
	s.watch(g.account)
}

func (g *giveGrant) transfers(*tables) []transfer {
	return []transfer{{debit: ledger.NoRef, credit: g.account, debitClass: g.kindOf.Giver(), creditClass: g.kindOf.Class(), amount: g.amount,
		reason: "grant", id: g.name, grant: g.name}}
}

// give posts a grant and puts its expiry on the agenda.
func (s *state) give(info *grantInfo, priority uint32, expires int64, scope uint32) uint32 {
	info.seq, info.time = s.seq, s.time
	n := s.ledger.Give(ledger.Grant{Account: info.account, Kind: info.kind, Priority: priority, Expires: expires, Scope: scope}, info.amount)
	s.enterGrant(info)
	s.scheduleGrant(n)
	return n
}

func (s *state) enterGrant(info *grantInfo) {
	s.grantID[info.id] = uint32(len(s.grants))
	s.grants = append(s.grants, info)
}

func (i *grantInfo) append(dst []byte) []byte {
	dst = appendRef(append(appendBytes(dst, i.id), byte(i.kind)), i.account)
	for _, n := range [...]uint64{uint64(i.subscription), i.seq, uint64(i.time)} {
		dst = binary.AppendUvarint(dst, n)
	}
	return i.amount.AppendBinary(dst)
}

func (r *reader) grantInfo() *grantInfo {
	return &grantInfo{id: r.str(), kind: ledger.GrantKind(r.byte()), account: r.ref(), subscription: uint32(r.uvarint()), seq: r.uvarint(),
		time: int64(r.uvarint()), amount: r.amount()}
}

// scheduleGrant puts what is due of a grant on the agenda.
func (s *state) scheduleGrant(n uint32) {
	g := s.ledger.Grants.At(n)
	if g.Expires == ledger.Never {
		return
	}
	s.agenda.add(g.Expires, dueExpiry, n)
	s.scheduleWarning(n)
}

func (s *state) scheduleWarning(n uint32) {
	if at := s.warningAt(n); at > 0 {
		s.agenda.add(at, dueWarning, n)
	}
}

// rewarn puts the announcements of grants that were given something back on the agenda again: an
// empty grant's time passes unannounced, and it is left alone when settings change.
func (s *state) rewarn(parts []ledger.Part) {
	for _, p := range parts {
		if at := s.warningAt(p.Grant); at > 0 && s.warnAgain[p.Grant] != at {
			s.warnAgain[p.Grant] = at
			s.agenda.add(at, dueWarning, p.Grant)
		}
	}
}

// warningAt is when a grant's expiry is to be announced; 0: never, or it was.
func (s *state) warningAt(n uint32) int64 {
	g := s.ledger.Grants.At(n)
	before := int64(s.settingsOf(g.Account).GrantWarning)
	if before == 0 || g.Warned || g.Expires == ledger.Never {
		return 0
	}
	return max(1, g.Expires-before)
}

func (s *state) openGrants(account ledger.Ref) (count int) {
	for n := s.ledger.Rows.At(uint32(account)).Grants; n != 0; n = s.ledger.Grants.At(n - 1).Next {
		count++
	}
	return count
}

// grantEnd takes what is free of an expired grant.
type grantEnd struct {
	grant   uint32
	account ledger.Ref
	kindOf  ledger.GrantKind
	amount  money.Amount
	name    string
}

func (g *grantEnd) kind() byte { return kindGrantEnd }

func (g *grantEnd) append(dst []byte) []byte {
	dst = append(appendRef(binary.AppendUvarint(dst, uint64(g.grant)), g.account), byte(g.kindOf))
	return appendBytes(g.amount.AppendBinary(dst), g.name)
}

func (r *reader) grantEnd() *grantEnd {
	return &grantEnd{grant: uint32(r.uvarint()), account: r.ref(), kindOf: ledger.GrantKind(r.byte()), amount: r.amount(), name: r.str()}
}

// expiryOf is the end of a grant, if it is due at a time and something is free of it.
func (s *state) expiryOf(n uint32, now int64) *grantEnd {
	g, info := s.ledger.Grants.At(n), s.grants[n]
	if !g.Over(now) || g.Free().Sign() <= 0 {
		return nil
	}
	return &grantEnd{n, g.Account, g.Kind, g.Free(), info.id}
}

func (g *grantEnd) check(s *state) *refusal.Refusal {
	if int(g.grant) < len(s.grants) {
		if want := s.expiryOf(g.grant, s.time); want != nil && *want == *g {
			return nil
		}
	}
	return refusal.New(refusal.Invalid, "not_due", "the grant does not expire like this")
}

func (g *grantEnd) apply(s *state) {
	s.ledger.Expire(g.grant)
	s.watchLast(g.account)
}

func (g *grantEnd) transfers(*tables) []transfer {
	return []transfer{{debit: g.account, credit: ledger.NoRef, debitClass: g.kindOf.Class(), creditClass: g.kindOf.Heir(), amount: g.amount,
		reason: "expiry", id: g.name, grant: g.name}}
}

// lapse makes the end of those grants follow that have expired and were given something back. A
// grant that several holds of one command gave something back ends once, with all of it.
func (s *state) lapse(parts []ledger.Part) {
	for _, p := range parts {
		if g := s.expiryOf(p.Grant, s.time); g != nil && !s.ending(g) {
			s.following = append(s.following, g)
		}
	}
}

// ending reports whether the end of a grant follows already, which then takes what is free now.
func (s *state) ending(end *grantEnd) bool {
	for _, b := range s.following {
		if g, ok := b.(*grantEnd); ok && g.grant == end.grant {
			g.amount = end.amount
			return true
		}
	}
	return false
}

// warnable reports whether a grant's coming expiry is to be announced.
func (s *state) warnable(n uint32, now int64) bool {
	g, at := s.ledger.Grants.At(n), s.warningAt(n)
	return at > 0 && now >= at && now < g.Expires && g.Left().Sign() > 0
}

func (s *state) warn(n uint32) {
	g := s.ledger.Grants.Mut(n)
	g.Warned = true
	s.notify(noticeExpiring, g.Account, map[string]any{"grant": s.grants[n].id, "remaining": g.Left().String(),
		"expires_at": timeOf(g.Expires).Format(time.RFC3339Nano)})
}

// refund pays paid credit back.
type refund struct {
	name      string
	account   ledger.Ref
	amount    money.Amount
	grant     string // a paid grant; empty: the pool
	reference string
}

func (f *refund) kind() byte { return kindRefund }
func (f *refund) id() string { return f.name }
func (f *refund) append(dst []byte) []byte {
	dst = f.amount.AppendBinary(appendRef(appendBytes(dst, f.name), f.account))
	return appendBytes(appendBytes(dst, f.grant), f.reference)
}

func (r *reader) refund() *refund {
	return &refund{name: r.str(), account: r.ref(), amount: r.amount(), grant: r.str(), reference: r.str()}
}

func (f *refund) check(s *state) *refusal.Refusal {
	if refused := s.checkRoot(f.account); refused != nil {
		return refused
	}
	if refused := s.checkAmount(f.account, f.amount); refused != nil {
		return refused
	}
	left := s.ledger.Rows.At(uint32(f.account)).Refundable()
	if f.grant != "" {
		n, ok := s.grantOf(f.account, f.grant)
		if !ok {
			return refusal.New(refusal.NotFound, "unknown_grant", "account %s has no grant %s", s.people[f.account].ID, f.grant)
		}
		g := s.ledger.Grants.At(n)
		if g.Kind != ledger.PaidKind {
			return refusal.New(refusal.Invalid, "not_paid", "grant %s was not paid for: nothing of it is refunded", f.grant)
		}
		left = leastOf(g.Free(), s.ledger.Rows.At(uint32(f.account)).Arrived())
		if g.Over(s.clock()) {
			left = money.Amount{}
		}
	}
	if f.amount.Cmp(left) > 0 {
		return s.short(f.account, f.amount, left)
	}
	return nil
}

// grantOf finds a grant that was given to an account by its id.
func (s *state) grantOf(account ledger.Ref, id string) (uint32, bool) {
	n, ok := s.grantID[id]
	return n, ok && s.grants[n].account == account
}

func (f *refund) apply(s *state) {
	if n, ok := s.grantOf(f.account, f.grant); ok && f.grant != "" {
		s.ledger.RefundGrant(n, f.amount)
	} else {
		s.ledger.Refund(f.account, f.amount)
	}
	s.watch(f.account)
}

func (f *refund) transfers(*tables) []transfer {
	from := ledger.Paid
	if f.grant != "" {
		from = ledger.PaidGrant
	}
	return []transfer{{debit: f.account, credit: ledger.NoRef, debitClass: from, creditClass: ledger.Cash, amount: f.amount, reason: "refund",
		id: f.name, grant: f.grant}}
}

// move moves paid credit between accounts of one owner.
type move struct {
	name     string
	from, to ledger.Ref
	amount   money.Amount
}

func (m *move) kind() byte { return kindMove }
func (m *move) id() string { return m.name }
func (m *move) append(dst []byte) []byte {
	return m.amount.AppendBinary(appendRef(appendRef(appendBytes(dst, m.name), m.from), m.to))
}

func (r *reader) move() *move {
	return &move{name: r.str(), from: r.ref(), to: r.ref(), amount: r.amount()}
}

func (m *move) check(s *state) *refusal.Refusal {
	for _, ref := range [2]ledger.Ref{m.from, m.to} {
		if refused := s.checkRoot(ref); refused != nil {
			return refused
		}
	}
	from, to := s.people[m.from], s.people[m.to]
	switch {
	case m.from == m.to:
		return refusal.New(refusal.Invalid, "same_account", "from and to are one account")
	case from.Owner == "" || from.Owner != to.Owner:
		return refusal.New(refusal.Invalid, "not_one_owner", "accounts %s and %s have no common owner", from.ID, to.ID)
	case from.Currency != to.Currency:
		return refusal.New(refusal.Invalid, "currency_mismatch", "accounts %s and %s have different currencies", from.ID, to.ID)
	}
	if refused := s.checkAmount(m.from, m.amount); refused != nil {
		return refused
	}
	if left := s.ledger.Rows.At(uint32(m.from)).Refundable(); m.amount.Cmp(left) > 0 {
		return s.short(m.from, m.amount, left)
	}
	return nil
}

func (m *move) apply(s *state) {
	s.ledger.Move(m.from, m.to, m.amount)
	s.watch(m.from)
	s.watch(m.to)
}

func (m *move) transfers(*tables) []transfer {
	return []transfer{{debit: m.from, credit: m.to, debitClass: ledger.Paid, creditClass: ledger.Paid, amount: m.amount, reason: "move", id: m.name}}
}
