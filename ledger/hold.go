package ledger

import "farthing/money"

// Overdraft is how far below zero a customer's credit may go.
type Overdraft struct {
	Limit     money.Amount
	Unlimited bool
}

// Reserved is what a hold reserves: parts of grants in burn order, the rest on the pool.
type Reserved struct {
	Parts []Part
	Pool  money.Amount
}

// Reserve plans a hold of an amount: the free parts of matching grants in burn order, the rest
// on the pool. What is owed is covered by grants for anything before they give to a hold, so that
// it never takes more than is available. False: the credit does not suffice, and left is what
// would. Nothing changes.
func (l *Ledger) Reserve(r Ref, amount money.Amount, scopes Scopes, now int64, o Overdraft, parts []Part) (h Reserved, left money.Amount, ok bool) {
	row := l.Rows.At(uint32(r))
	rest := amount
	if row.Grants != 0 {
		parts, rest = l.freeParts(row, rest, scopes, now, nil, parts)
	}
	h = Reserved{parts, rest}
	if o.Unlimited {
		return h, left, true
	}
	free := row.Free(o.Limit)
	if free.Sign() < 0 && row.Grants != 0 {
		left, ok = l.leftOver(row, amount, parts, scopes, now, free)
		return h, left, ok
	}
	if rest.Cmp(free) <= 0 || rest.IsZero() {
		return h, left, true
	}
	return h, upTo(amount.MustSub(rest).MustAdd(free), amount), false
}

// leftOver is what grants leave for a hold while the pool owes (free is below zero), and whether
// the parts planned for an amount are within it: those of grants for anything have to leave what
// is owed, others are for nothing else.
func (l *Ledger) leftOver(row *Row, amount money.Amount, parts []Part, scopes Scopes, now int64, free money.Amount) (left money.Amount, ok bool) {
	scoped, room := money.Amount{}, free
	for n := row.Grants; n != 0; {
		g := l.Grants.At(n - 1)
		switch {
		case !scopes.Has(g.Scope) || g.Over(now):
		case g.Scope == 0:
			room = room.MustAdd(g.Free())
		default:
			scoped = scoped.MustAdd(g.Free())
		}
		n = g.Next
	}
	asked := amount
	for _, p := range parts {
		if l.Grants.At(p.Grant).Scope != 0 {
			asked = asked.MustSub(p.Amount)
		}
	}
	if room.Sign() < 0 {
		room = money.Amount{}
	}
	if asked.Cmp(room) <= 0 {
		return money.Amount{}, true
	}
	return scoped.MustAdd(room), false
}

// Held is what open holds reserve of a root's pool and grants.
func (l *Ledger) Held(r Ref) money.Amount {
	row := l.Rows.At(uint32(r))
	held := row.Held
	for n := row.Grants; n != 0; { // a grant of which something is held has it left, so it is linked
		g := l.Grants.At(n - 1)
		held = held.MustAdd(g.Held)
		n = g.Next
	}
	return held
}

// CountHolds counts open holds of a root's tree; n below zero: they ended.
func (l *Ledger) CountHolds(r Ref, n int64) {
	row := l.Rows.Mut(uint32(r))
	row.Holds += uint64(n)
	if int64(row.Holds) < 0 {
		panic("BUG: an account has less than no holds")
	}
}

// Hold reserves what Reserve planned.
func (l *Ledger) Hold(r Ref, h Reserved) {
	for _, p := range h.Parts {
		g := l.Grants.Mut(p.Grant)
		g.Held = g.Held.MustAdd(p.Amount)
		if g.Free().Sign() < 0 {
			panic("BUG: a grant reserves more than it has")
		}
	}
	row := l.Rows.Mut(uint32(r))
	row.Held = row.Held.MustAdd(h.Pool)
}

// Release gives back exactly what a hold reserved.
func (l *Ledger) Release(r Ref, h Reserved) {
	for _, p := range h.Parts {
		g := l.Grants.Mut(p.Grant)
		g.Held = g.Held.MustSub(p.Amount)
		if g.Held.Sign() < 0 {
			panic("BUG: a grant releases more than was reserved")
		}
	}
	row := l.Rows.Mut(uint32(r))
	row.Held = row.Held.MustSub(h.Pool)
	if row.Held.Sign() < 0 {
		panic("BUG: an account releases more than was reserved")
	}
}

// Excess says what happens to what a capture costs beyond its hold.
type Excess struct {
	Room      money.Amount // what the limits of the account tree leave for the whole rating
	Bounded   bool         // else there is no such bound
	Overdraft Overdraft
	// Beyond is how much more than free credit goes on the receivable; the rest is the
	// operator's loss.
	Beyond    money.Amount
	Unlimited bool // all of it goes on the receivable
}

// Capture releases a hold and posts the rating it was for: first from what was reserved, as far
// as the rating may use it, then from free credit, then as x says. A rating below zero gives
// back as any other. How it was taken comes in split, as of PostUsage.
func (l *Ledger) Capture(u *Usage, h Reserved, x Excess, split *Split) {
	l.Release(u.Payer, h)
	if u.Amount.Sign() <= 0 {
		l.Correct(u, split)
		return
	}
	row, t := l.mutable(u.Payer)
	split.Parts, split.Lost = split.Parts[:0], money.Amount{}
	rest := u.Amount
	for _, p := range h.Parts {
		if take := least(p.Amount, rest); take.Sign() > 0 && u.Scopes.Has(l.Grants.At(p.Grant).Scope) {
			split.Parts = append(split.Parts, Part{p.Grant, take})
			rest = rest.MustSub(take)
		}
	}
	pool := least(h.Pool, rest)
	if rest = rest.MustSub(pool); rest.Sign() > 0 {
		var more money.Amount
		more, split.Lost = l.excess(row, u, split, pool, rest, x)
		pool = pool.MustAdd(more)
	}
	l.take(u, row, t, split, pool)
}

// excess adds to the split what free credit gives of rest, and returns what the pool gives more
// and what the operator loses. Pool is what it gives already.
func (l *Ledger) excess(row *Row, u *Usage, split *Split, pool, rest money.Amount, x Excess) (more, lost money.Amount) {
	want := rest
	if x.Bounded { // what the hold gave has its part of the room
		want = upTo(x.Room.MustSub(u.Amount.MustSub(rest)), rest)
	}
	open := want
	for n := row.Grants; n != 0 && open.Sign() > 0; {
		g := l.Grants.At(n - 1)
		if u.Scopes.Has(g.Scope) && !g.Over(u.Now) {
			if free := least(g.Free().MustSub(takenFrom(split.Parts, n-1)), open); free.Sign() > 0 {
				split.Parts = AddPart(split.Parts, Part{n - 1, free})
				open = open.MustSub(free)
			}
		}
		n = g.Next
	}
	more = open
	if !x.Overdraft.Unlimited {
		more = upTo(row.Free(x.Overdraft.Limit).MustSub(pool), open)
	}
	left := rest.MustSub(want).MustAdd(open.MustSub(more))
	if x.Unlimited {
		return more.MustAdd(left), money.Amount{}
	}
	beyond := least(x.Beyond, left)
	return more.MustAdd(beyond), left.MustSub(beyond)
}

func takenFrom(parts []Part, grant uint32) (sum money.Amount) {
	for _, p := range parts {
		if p.Grant == grant {
			sum = sum.MustAdd(p.Amount)
		}
	}
	return sum
}
