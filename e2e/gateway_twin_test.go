package e2e

import (
	"fmt"
	"sort"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// creditTwin replays what the server did with credit, one command after the other in the order
// of their sequence, in decimals. It decides anew what fits and who pays, and notes where the
// server decided otherwise.
type creditTwin struct {
	roots   map[string]*purse
	limits  map[string][]*bound // by account
	holds   map[string]*reservation
	faults  []error
	refusal map[string]int // holds by the limit that refused them
}

// purse is the money of a root.
type purse struct {
	id            string
	pool, held    decimal.Decimal // paid credit; held on it
	grants        []*gift         // in burn order
	topUps, gifts decimal.Decimal // credited in all
	charged, lost decimal.Decimal
}

// gift is a grant.
type gift struct {
	client.NewGrant
	sequence                       uint64
	remaining, held, used, expired decimal.Decimal
	over                           bool
}

// bound is a limit with what it counted in each of its periods.
type bound struct {
	client.Limit
	counts map[string]*counted
}

type counted struct {
	spent, held     decimal.Decimal
	calls, reserved uint64
}

// reservation is an open hold.
type reservation struct {
	account string
	model   string // ""; by amount: no scoped grant is for it
	amount  decimal.Decimal
	pool    decimal.Decimal
	parts   map[*gift]decimal.Decimal
	since   time.Time // of the last reservation: limits count it there
}

func newCreditTwin() *creditTwin {
	return &creditTwin{roots: map[string]*purse{}, limits: map[string][]*bound{}, holds: map[string]*reservation{}, refusal: map[string]int{}}
}

func (t *creditTwin) fault(format string, args ...any) {
	t.faults = append(t.faults, fmt.Errorf(format, args...))
}

func (t *creditTwin) root(account string) *purse {
	chain := chainOf(account)
	id := chain[len(chain)-1]
	if t.roots[id] == nil {
		t.roots[id] = &purse{id: id}
	}
	return t.roots[id]
}

func (t *creditTwin) limit(account string, l client.Limit) {
	t.limits[account] = append(t.limits[account], &bound{l, map[string]*counted{}})
}

func (t *creditTwin) topUp(root string, amount decimal.Decimal) {
	p := t.root(root)
	p.pool, p.topUps = p.pool.Add(amount), p.topUps.Add(amount)
}

func (t *creditTwin) give(root string, g client.NewGrant, sequence uint64) {
	p := t.root(root)
	p.grants = append(p.grants, &gift{NewGrant: g, sequence: sequence, remaining: g.Amount.Decimal})
	p.gifts = p.gifts.Add(g.Amount.Decimal)
	sort.Slice(p.grants, func(i, j int) bool { return p.grants[i].before(p.grants[j]) })
}

// before is the burn order.
func (g *gift) before(o *gift) bool {
	a, b := g.priority(), o.priority()
	switch {
	case a != b:
		return a < b
	case g.ExpiresAt != nil && o.ExpiresAt != nil && !g.ExpiresAt.Equal(*o.ExpiresAt):
		return g.ExpiresAt.Before(*o.ExpiresAt)
	case (g.ExpiresAt == nil) != (o.ExpiresAt == nil):
		return g.ExpiresAt != nil
	}
	return g.sequence < o.sequence
}

func (g *gift) priority() uint32 {
	if g.Priority == nil {
		return 100
	}
	return *g.Priority
}

// isFor says whether a grant may pay for a model.
func (g *gift) isFor(model string) bool {
	return g.Scope == nil || g.Scope.Match["model"] == model
}

func (g *gift) free() decimal.Decimal { return g.remaining.Sub(g.held) }

// expire takes what is free of grants whose time has come. It is called before and after each
// command: what is given back to such a grant goes at once.
func (p *purse) expire(at time.Time) {
	for _, g := range p.grants {
		if g.ExpiresAt != nil && !at.Before(*g.ExpiresAt) {
			free := g.free()
			g.over, g.expired, g.remaining = true, g.expired.Add(free), g.held
		}
	}
}

func (b *bound) at(at time.Time) *counted {
	layouts := map[string]string{"minute": "2006-01-02T15:04", "hour": "2006-01-02T15", "day": time.DateOnly, "month": "2006-01", "total": "all", "call": "call"}
	key := at.UTC().Format(layouts[b.Per])
	if b.counts[key] == nil {
		b.counts[key] = &counted{}
	}
	return b.counts[key]
}

// left is what a limit leaves for amounts.
func (b *bound) left(at time.Time) decimal.Decimal {
	if c := b.at(at); b.Per != "call" {
		return b.Amount.Sub(c.spent).Sub(c.held)
	}
	return b.Amount.Decimal
}

// asks is what a reservation wants of a limit: all of it, of one that counted it before only
// what is added.
func (b *bound) asks(h *reservation, added decimal.Decimal, at time.Time) (amount decimal.Decimal, calls uint64) {
	if h.since.IsZero() || b.Per == "call" || b.at(h.since) != b.at(at) {
		return h.amount.Add(added), 1
	}
	return added, 0
}

// short is why more cannot be reserved for h; nil: it can.
func (t *creditTwin) short(h *reservation, added decimal.Decimal, at time.Time) *client.Shortfall {
	for _, id := range chainOf(h.account) {
		for _, b := range t.limits[id] {
			amount, calls := b.asks(h, added, at)
			c := b.at(at)
			if b.Amount != nil && amount.GreaterThan(b.left(at)) {
				return &client.Shortfall{Account: id, Limit: b.Name, Asked: client.Money{Decimal: amount}, Left: client.Money{Decimal: decimal.Max(decimal.Zero, b.left(at))}}
			}
			if b.Count != nil && c.calls+c.reserved+calls > *b.Count {
				return &client.Shortfall{Account: id, Limit: b.Name, Asked: client.M("1"), Left: client.Money{Decimal: decimal.NewFromUint64(*b.Count - c.calls - c.reserved)}}
			}
		}
	}
	p := t.root(h.account)
	left := p.pool.Sub(p.held)
	for _, g := range p.grants {
		if !g.over && g.isFor(h.model) {
			left = left.Add(g.free())
		}
	}
	if added.GreaterThan(left) {
		return &client.Shortfall{Account: p.id, Limit: "credit", Asked: client.Money{Decimal: added}, Left: client.Money{Decimal: left}}
	}
	return nil
}

// reserve adds to h what fits.
func (t *creditTwin) reserve(h *reservation, added decimal.Decimal, at time.Time) {
	for _, id := range chainOf(h.account) {
		for _, b := range t.limits[id] {
			if !h.since.IsZero() {
				old := b.at(h.since)
				old.held, old.reserved = old.held.Sub(h.amount), old.reserved-1
			}
			c := b.at(at)
			c.held, c.reserved = c.held.Add(h.amount).Add(added), c.reserved+1
		}
	}
	p, rest := t.root(h.account), added
	for _, g := range p.grants {
		if take := decimal.Min(g.free(), rest); take.IsPositive() && !g.over && g.isFor(h.model) {
			g.held, h.parts[g], rest = g.held.Add(take), h.parts[g].Add(take), rest.Sub(take)
		}
	}
	p.held, h.pool = p.held.Add(rest), h.pool.Add(rest)
	h.amount, h.since = h.amount.Add(added), at
}

// place replays a hold that was placed or refused.
func (t *creditTwin) place(id, account, model string, amount decimal.Decimal, at time.Time, refused *client.Shortfall) {
	t.root(account).expire(at)
	h := &reservation{account: account, model: model, parts: map[*gift]decimal.Decimal{}}
	want := t.short(h, amount, at)
	if (want == nil) != (refused == nil) || want != nil && !sameShortfall(*want, *refused) {
		t.fault("%s of %s: refused %+v, want %+v", id, amount, refused, want)
	}
	if refused != nil {
		t.refusal[refused.Limit]++
		return
	}
	t.reserve(h, amount, at)
	t.holds[id] = h
}

// extend replays an extension by an amount that was done.
func (t *creditTwin) extend(id string, amount decimal.Decimal, at time.Time) {
	h := t.open(id)
	t.root(h.account).expire(at)
	if want := t.short(h, amount, at); want != nil {
		t.fault("%s: extended by %s, want %+v", id, amount, want)
	}
	t.reserve(h, amount, at)
}

// open returns an open hold. One that is not is a fault; an empty one takes its place, so that
// the rest can be replayed.
func (t *creditTwin) open(id string) *reservation {
	if t.holds[id] == nil {
		t.fault("%s is not open", id)
		t.holds[id] = &reservation{account: "-", parts: map[*gift]decimal.Decimal{}}
	}
	return t.holds[id]
}

// end takes a hold out of everything that counts it.
func (t *creditTwin) end(id string) *reservation {
	h := t.open(id)
	delete(t.holds, id)
	for _, account := range chainOf(h.account) {
		for _, b := range t.limits[account] {
			c := b.at(h.since)
			c.held, c.reserved = c.held.Sub(h.amount), c.reserved-1
		}
	}
	p := t.root(h.account)
	p.held = p.held.Sub(h.pool)
	for g, amount := range h.parts {
		g.held = g.held.Sub(amount)
	}
	return h
}

// release replays a void or an expiry.
func (t *creditTwin) release(id string, at time.Time) {
	p := t.root(t.open(id).account)
	p.expire(at)
	t.end(id)
	p.expire(at)
}

// capture replays a capture of what was rated, of which charged was taken from the customer.
func (t *creditTwin) capture(id, model string, rated, charged decimal.Decimal, at time.Time) {
	p := t.root(t.open(id).account)
	p.expire(at)
	h := t.end(id)
	rest := rated
	take := func(g *gift, most decimal.Decimal) {
		if amount := decimal.Min(most, rest); amount.IsPositive() {
			g.remaining, g.used, rest = g.remaining.Sub(amount), g.used.Add(amount), rest.Sub(amount)
		}
	}
	for _, g := range p.grants {
		if g.isFor(model) {
			take(g, h.parts[g])
		}
	}
	pool := decimal.Min(h.pool, rest)
	p.pool, rest = p.pool.Sub(pool), rest.Sub(pool)
	lost := rest
	if room, bounded := t.room(h, at); bounded {
		rest = decimal.Max(decimal.Zero, decimal.Min(rest, room.Sub(rated.Sub(rest))))
	}
	lost = lost.Sub(rest) // beyond what limits leave
	for _, g := range p.grants {
		if !g.over && g.isFor(model) {
			take(g, g.free())
		}
	}
	more := decimal.Min(rest, p.pool.Sub(p.held))
	p.pool, rest = p.pool.Sub(more), rest.Sub(more)
	lost = lost.Add(rest) // beyond what there is
	p.charged, p.lost = p.charged.Add(rated).Sub(lost), p.lost.Add(lost)
	if want := rated.Sub(lost); !want.Equal(charged) {
		t.fault("%s: of %s rated %s were charged, want %s", id, rated, charged, want)
	}
	t.count(h, rated.Sub(lost))
	p.expire(at)
}

// room is what the limits of the hold's own periods leave for its capture.
func (t *creditTwin) room(h *reservation, at time.Time) (room decimal.Decimal, bounded bool) {
	for _, account := range chainOf(h.account) {
		for _, b := range t.limits[account] {
			if b.Amount == nil || b.at(h.since) != b.at(at) {
				continue
			}
			if left := b.left(at); !bounded || left.LessThan(room) {
				room, bounded = left, true
			}
		}
	}
	return room, bounded
}

// count counts a capture in the periods of its hold.
func (t *creditTwin) count(h *reservation, charged decimal.Decimal) {
	for _, account := range chainOf(h.account) {
		for _, b := range t.limits[account] {
			c := b.at(h.since)
			c.spent, c.calls = c.spent.Add(charged), c.calls+1
		}
	}
}
