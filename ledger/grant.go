package ledger

import (
	"cmp"
	"encoding/binary"
	"math"

	"farthing/money"
)

// Never is the expiry of a grant that does not expire.
const Never = math.MaxInt64

// Grant is credit given under conditions: fixed-size and pointer-free. The open grants of an
// account form a chain in burn order: lowest priority number, then earliest expiry, then oldest.
type Grant struct {
	Credit  Balance      // given and given back; burned, expired and refunded
	Held    money.Amount // of what is left, what open holds reserve
	Expired money.Amount // lost at its expiry
	Expires int64        // nanoseconds; Never
	Account Ref          // a root
	Next    uint32       // the next of the chain, + 1; 0: the last
	// Scope is the number of what it may be used for; 0: anything.
	Scope    uint32
	Priority uint32
	Kind     GrantKind
	Linked   bool // it is in its account's chain
	Warned   bool // the caller's: its coming expiry was announced
}

// Left is what is left of a grant, reserved or not.
func (g *Grant) Left() money.Amount { return g.Credit.Credit() }

// Free is what is left of it and not reserved.
func (g *Grant) Free() money.Amount { return g.Left().MustSub(g.Held) }

// Over reports whether it has expired at a time, booked or not.
func (g *Grant) Over(now int64) bool { return now >= g.Expires }

// Scopes is a set of scope numbers; scope 0, anything, is always in it.
type Scopes []uint64

// Has reports whether a scope is in the set.
func (s Scopes) Has(scope uint32) bool {
	if scope == 0 {
		return true
	}
	word := (scope - 1) / 64
	return int(word) < len(s) && s[word]>>((scope-1)%64)&1 == 1
}

// Give gives a grant, whose amount must fit, and returns its number.
func (l *Ledger) Give(g Grant, amount money.Amount) uint32 {
	row, t := l.mutable(g.Account)
	g.Credit.credit(amount)
	t.Class[g.Kind.Class()].credit(amount)
	row.Granted = row.Granted.MustAdd(amount)
	row.GrossCredits = row.GrossCredits.MustAdd(amount)
	if g.Kind == PaidKind {
		row.bought(amount)
	}
	t.operatorPays(g.Kind.Giver(), amount)
	n := l.Grants.Append(g)
	l.link(row, n)
	return n
}

// Expire moves what is free of a grant to the operator and returns it.
func (l *Ledger) Expire(n uint32) money.Amount {
	free := l.Grants.At(n).Free()
	return l.Lapse(n, free)
}

// Lapse moves a part of what is free of a grant to the operator and returns it. A grant
// without anything left leaves the chain.
func (l *Ledger) Lapse(n uint32, amount money.Amount) money.Amount {
	g := l.Grants.Mut(n)
	row, t := l.mutable(g.Account)
	g.Expired = g.Expired.MustAdd(amount)
	row.GrossDebits = row.GrossDebits.MustAdd(amount)
	if g.Kind == PaidKind {
		row.bought(amount.Neg())
	}
	t.operatorGets(g.Kind.Heir(), amount)
	l.debitGrant(row, t, n, amount)
	return amount
}

// Extend moves a grant's expiry, and so its place in the burn order.
func (l *Ledger) Extend(n uint32, expires int64) {
	g := l.Grants.Mut(n)
	row := l.Rows.Mut(uint32(g.Account))
	linked := g.Linked
	if linked {
		l.unlink(row, n)
	}
	g.Expires = expires
	if linked {
		l.link(row, n)
	}
}

// RefundGrant pays a part of what is free of a paid grant back.
func (l *Ledger) RefundGrant(n uint32, amount money.Amount) {
	g := l.Grants.Mut(n)
	row, t := l.mutable(g.Account)
	row.GrossDebits = row.GrossDebits.MustAdd(amount)
	row.bought(amount.Neg())
	t.operatorGets(Cash, amount)
	l.debitGrant(row, t, n, amount)
}

// Refund pays paid credit back: at most Refundable.
func (l *Ledger) Refund(r Ref, amount money.Amount) {
	row, t := l.mutable(r)
	row.bought(amount.Neg())
	row.Paid.debit(amount)
	t.Class[Paid].debit(amount)
	row.GrossDebits = row.GrossDebits.MustAdd(amount)
	t.operatorGets(Cash, amount)
}

// Move moves paid credit between two customers of one currency: at most Refundable of the
// first. It arrives like a top-up.
func (l *Ledger) Move(from, to Ref, amount money.Amount) {
	row, t := l.mutable(from)
	row.bought(amount.Neg())
	row.Paid.debit(amount)
	t.Class[Paid].debit(amount)
	row.GrossDebits = row.GrossDebits.MustAdd(amount)
	other, _ := l.mutable(to)
	other.bought(amount)
	l.repay(other, t, amount)
	other.GrossCredits = other.GrossCredits.MustAdd(amount)
	t.Moved = t.Moved.MustAdd(amount)
}

// ChargePlan charges a subscription's price: paid credit first, then the receivable grows.
func (l *Ledger) ChargePlan(r Ref, amount money.Amount) {
	row, t := l.mutable(r)
	paid := least(row.Paid.Credit(), amount)
	row.Paid.debit(paid)
	row.Due.debit(amount.MustSub(paid))
	t.Class[Paid].debit(paid)
	t.Class[Receivable].debit(amount.MustSub(paid))
	row.GrossDebits = row.GrossDebits.MustAdd(amount)
	t.operatorGets(SubscriptionIncome, amount)
	l.grew(r)
}

// CreditPlan gives back a part of a subscription's price.
func (l *Ledger) CreditPlan(r Ref, amount money.Amount) { l.credit(r, amount, SubscriptionIncome) }

// Unscoped is what is left of an account's open grants that are for anything, and what holds
// reserve of that.
func (l *Ledger) Unscoped(r Ref) (left, held money.Amount) {
	for n := l.Rows.At(uint32(r)).Grants; n != 0; {
		g := l.Grants.At(n - 1)
		if g.Scope == 0 {
			left, held = left.MustAdd(g.Left()), held.MustAdd(g.Held)
		}
		n = g.Next
	}
	return left, held
}

// freeParts appends what the free parts of matching grants give of an amount, in burn order,
// and returns what they do not. Of one that has expired it is what back gave to it.
func (l *Ledger) freeParts(row *Row, amount money.Amount, scopes Scopes, now int64, back, parts []Part) ([]Part, money.Amount) {
	for n := row.Grants; n != 0 && amount.Sign() > 0; {
		g := l.Grants.At(n - 1)
		if scopes.Has(g.Scope) {
			free := least(g.Free(), amount)
			if g.Over(now) {
				free = least(free, takenFrom(back, n-1).Neg())
			}
			if free.Sign() > 0 {
				parts = AddPart(parts, Part{n - 1, free})
				amount = amount.MustSub(free)
			}
		}
		n = g.Next
	}
	return parts, amount
}

// AddPart adds a part to those of the same grant, if it has one.
func AddPart(parts []Part, p Part) []Part {
	for i := range parts {
		if parts[i].Grant == p.Grant {
			parts[i].Amount = parts[i].Amount.MustAdd(p.Amount)
			return parts
		}
	}
	return append(parts, p)
}

// burn debits a grant; the other side is the caller's.
func (l *Ledger) burn(row *Row, t *Totals, p Part) { l.debitGrant(row, t, p.Grant, p.Amount) }

func (l *Ledger) debitGrant(row *Row, t *Totals, n uint32, amount money.Amount) {
	g := l.Grants.Mut(n)
	g.Credit.debit(amount)
	t.Class[g.Kind.Class()].debit(amount)
	row.Granted = row.Granted.MustSub(amount)
	if g.Free().Sign() < 0 {
		panic("BUG: a grant gives more than it has")
	}
	if g.Linked && g.Left().IsZero() {
		l.unlink(row, n)
	}
}

// unburn credits a grant with what came from it; one that was used up is in the chain again.
func (l *Ledger) unburn(row *Row, t *Totals, p Part) {
	g := l.Grants.Mut(p.Grant)
	g.Credit.credit(p.Amount)
	t.Class[g.Kind.Class()].credit(p.Amount)
	row.Granted = row.Granted.MustAdd(p.Amount)
	if !g.Linked {
		l.link(row, p.Grant)
	}
}

// link puts a grant at its place in the account's chain.
func (l *Ledger) link(row *Row, n uint32) {
	g := l.Grants.Mut(n)
	prev := uint32(0) // + 1
	next := row.Grants
	for next != 0 && l.before(next-1, n) {
		prev, next = next, l.Grants.At(next-1).Next
	}
	g.Next, g.Linked = next, true
	l.relink(row, prev, n+1)
}

func (l *Ledger) unlink(row *Row, n uint32) {
	prev := uint32(0)
	for at := row.Grants; at != n+1; at = l.Grants.At(at - 1).Next {
		if at == 0 {
			panic("BUG: a linked grant is not in its account's chain")
		}
		prev = at
	}
	g := l.Grants.Mut(n)
	l.relink(row, prev, g.Next)
	g.Next, g.Linked = 0, false
}

// relink makes to (+ 1) follow prev (+ 1; 0: the head).
func (l *Ledger) relink(row *Row, prev, to uint32) {
	if prev == 0 {
		row.Grants = to
		return
	}
	l.Grants.Mut(prev - 1).Next = to
}

// before reports whether grant a burns before grant b.
func (l *Ledger) before(a, b uint32) bool { return l.Compare(a, b) < 0 }

// Compare orders two grants as they burn.
func (l *Ledger) Compare(a, b uint32) int {
	x, y := l.Grants.At(a), l.Grants.At(b)
	return cmp.Or(cmp.Compare(x.Priority, y.Priority), cmp.Compare(x.Expires, y.Expires), cmp.Compare(a, b))
}

// Append appends the binary form of g.
func (g *Grant) Append(dst []byte) []byte {
	for _, a := range [...]money.Amount{g.Credit.Debits, g.Credit.Credits, g.Held, g.Expired} {
		dst = appendWords(dst, a)
	}
	dst = binary.LittleEndian.AppendUint64(dst, uint64(g.Expires))
	for _, n := range [...]uint32{uint32(g.Account), g.Next, g.Scope, g.Priority} {
		dst = binary.LittleEndian.AppendUint32(dst, n)
	}
	flags := byte(0)
	if g.Linked {
		flags |= 1
	}
	if g.Warned {
		flags |= 2
	}
	return append(dst, byte(g.Kind), flags)
}

const grantBytes = 4*16 + 8 + 4*4 + 2

// DecodeGrant reads what Append wrote and returns the bytes after it.
func DecodeGrant(src []byte) (g Grant, rest []byte, err error) {
	if len(src) < grantBytes {
		return g, src, ErrRow
	}
	ok := true
	for _, a := range [...]*money.Amount{&g.Credit.Debits, &g.Credit.Credits, &g.Held, &g.Expired} {
		*a, src = words(src, &ok)
	}
	g.Expires = int64(binary.LittleEndian.Uint64(src))
	g.Account, g.Next = Ref(binary.LittleEndian.Uint32(src[8:])), binary.LittleEndian.Uint32(src[12:])
	g.Scope, g.Priority = binary.LittleEndian.Uint32(src[16:]), binary.LittleEndian.Uint32(src[20:])
	g.Kind, g.Linked, g.Warned = GrantKind(src[24]), src[25]&1 != 0, src[25]&2 != 0
	if !ok || g.Kind < PaidKind || g.Kind > SubscriptionKind || src[25] > 3 {
		return g, src, ErrRow
	}
	return g, src[26:], nil
}
