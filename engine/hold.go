package engine

import (
	"encoding/binary"
	"slices"
	"strconv"

	"farthing/ledger"
	"farthing/limit"
	"farthing/meter"
	"farthing/money"
	"farthing/period"
	"farthing/refusal"
)

// The commands of holds. Each says what was asked and what came of it, as an event does; replay
// decides anew and compares. A hold changes what is held and available, never a balance.

// Bounds of holds.
const (
	holdTTLDefault = int64(60e9)
	holdTTLMin     = int64(1e9)
	holdTTLMax     = int64(168 * 3600e9) // far within wheelSpan
)

// heldMax bounds what one tree holds in all, in currency units: holds of an account without a
// limit are bounded by nothing else.
var heldMax = mustAmount("1000000000000000000")

// holdPlan is a hold that is placed, or more that is reserved for one.
type holdPlan struct {
	id      []byte
	account ledger.Ref
	ttl     int64
	amount  money.Amount // asked
	byShape bool
	est     *eventRecord // the estimate: shape, extras, quantities, version; if byShape
	old     *holdRow     // the hold that is extended; nil: a new one
	scopes  ledger.Scopes

	res      ledger.Reserved
	denied   *denial
	shadowed []uint32
}

// denial is why a hold is refused.
type denial struct {
	node    ledger.Ref
	limit   uint32 // row + 1; 0: credit
	byCount bool
	asked   money.Amount
	left    money.Amount
	count   uint64
}

// plan decides a hold: the limits from the account up to its root, then the credit. Nothing
// changes.
func (s *state) plan(p *holdPlan) {
	p.denied, p.shadowed = nil, p.shadowed[:0]
	now := s.clock()
	s.eachLimit(p.account, p.scopes, func(node ledger.Ref, n uint32) bool {
		row := s.limitRows.At(n)
		if !row.Per.Holds(row.Start, now) {
			rolled := *row
			rolled.Roll(now)
			row = &rolled
		}
		amount, calls := p.asks(row, s.limitMeta[n].since)
		ok, byCount := row.Fits(amount, calls)
		switch {
		case ok:
		case row.Mode == limit.Hard:
			left, _, count, _ := row.Left()
			p.denied = &denial{node, n + 1, byCount, amount, notBelowZero(left), count}
		case row.Mode == limit.Shadow:
			p.shadowed = append(p.shadowed, n)
		}
		return p.denied == nil
	})
	if p.denied != nil {
		p.shadowed = p.shadowed[:0] // it is refused anyway
		return
	}
	root := s.people[p.account].Root
	res, left, ok := s.ledger.Reserve(root, p.amount, p.scopes, now, s.overdraft(root), p.res.Parts[:0])
	p.res = res
	if !ok {
		p.denied, p.shadowed = &denial{node: root, asked: p.amount, left: left}, p.shadowed[:0]
	}
}

// asks is what a plan needs of a limit: of one that has counted the hold already only what
// is added. A limit per call looks at the whole.
func (p *holdPlan) asks(row *limit.Row, since uint64) (money.Amount, uint64) {
	if p.old == nil {
		return p.amount, 1
	}
	if row.Per != period.Call && p.old.countedBy(row, since) {
		return p.amount, 0
	}
	return p.old.amount.MustAdd(p.amount), 1
}

// countedBy reports whether a limit that is there since a command, rolled to now, counts what a
// hold reserves.
func (h *holdRow) countedBy(row *limit.Row, since uint64) bool {
	return since < h.counted && row.Per.Holds(row.Start, h.since)
}

func notBelowZero(a money.Amount) money.Amount {
	if a.Sign() < 0 {
		return money.Amount{}
	}
	return a
}

// shortfall says to callers why a hold was refused.
func (d *denial) shortfall(t *tables) *refusal.Shortfall {
	out := &refusal.Shortfall{Account: t.people[d.node].ID, Limit: "credit", Asked: d.asked.String(), Left: d.left.String()}
	if d.limit != 0 {
		out.Limit = t.limits[d.limit-1].name
	}
	if d.byCount {
		out.Asked, out.Left = "1", strconv.FormatUint(d.count, 10)
	}
	return out
}

// applyHold places or refuses a planned hold.
func (s *state) applyHold(p *holdPlan) {
	if p.denied != nil {
		if p.denied.limit != 0 {
			s.tell(p.denied.node, p.denied.limit-1, string(p.id))
		}
		return
	}
	row := holdRow{id: holdID(p.id, s.genesis.seed), seq: s.seq, account: p.account, due: s.time + p.ttl}
	if p.byShape {
		row.shape = p.est.shape + 1
	}
	s.countHold(p.account, money.Amount{}, 1)
	n := s.holds.add(row, nil)
	s.reserve(n, p)
}

// reserve adds to an open hold what was planned for it.
func (s *state) reserve(n uint32, p *holdPlan) {
	row := s.holds.rows.Mut(n)
	root := s.people[row.account].Root
	whole := row.amount.MustAdd(p.amount)
	s.eachLimit(row.account, p.scopes, func(node ledger.Ref, k uint32) bool {
		l := s.limitRows.Mut(k)
		l.Roll(s.time)
		asked, calls := p.amount, uint64(1)
		if p.old != nil {
			asked, calls = p.asks(l, s.limitMeta[k].since)
			if row.countedBy(l, s.limitMeta[k].since) {
				l.Unreserve(row.since, row.amount, 1)
			}
		}
		if l.Mode != limit.Hard {
			s.overLimit(node, k, p, asked, calls, row)
		}
		l.Reserve(whole, 1)
		return true
	})
	s.ledger.Hold(root, p.res)
	s.countHold(row.account, p.amount, 0)
	row = s.holds.rows.Mut(n)
	if len(p.res.Parts) > 0 {
		s.keepParts(row, p.res.Parts)
	}
	row.amount, row.last, row.counted, row.since = whole, s.seq, s.seq, s.time
	s.watch(root)
}

// overLimit notes a hold that a soft or shadow limit did not fit. The limit does not hold the
// hold's own reservation at this moment.
func (s *state) overLimit(node ledger.Ref, n uint32, p *holdPlan, asked money.Amount, calls uint64, row *holdRow) {
	l := s.limitRows.Mut(n)
	if calls == 0 {
		asked, calls = row.amount.MustAdd(p.amount), 1
	}
	if ok, _ := l.Fits(asked, calls); ok {
		return
	}
	if l.Mode == limit.Shadow {
		l.Shadowed(s.seq)
		return
	}
	s.tell(node, n, string(p.id))
}

// keepParts adds parts of grants to those a hold has.
func (s *state) keepParts(row *holdRow, more []ledger.Part) {
	have := s.holds.reserved(row, nil).Parts
	for _, p := range more {
		have = ledger.AddPart(have, p)
	}
	slices.SortFunc(have, func(a, b ledger.Part) int { return s.ledger.Compare(a.Grant, b.Grant) })
	s.holds.unlink(row.parts)
	row.parts = s.holds.link(have)
}

// append encodes a planned hold.
func (p *holdPlan) append(dst []byte) []byte {
	dst = appendRef(appendBytes(dst, p.id), p.account)
	dst = binary.AppendUvarint(dst, uint64(p.ttl))
	flags := byte(0)
	if p.denied != nil {
		flags |= holdDenied
	}
	if p.byShape {
		flags |= holdEstimated
	}
	if len(p.shadowed) > 0 {
		flags |= holdShadowed
	}
	dst = p.amount.AppendBinary(append(dst, flags))
	if p.byShape {
		dst = binary.AppendUvarint(dst, uint64(p.est.shape))
		dst = appendQuantities(appendBytes(dst, p.est.extras), p.est)
		dst = binary.AppendUvarint(dst, uint64(p.est.version))
	}
	if len(p.shadowed) > 0 {
		dst = binary.AppendUvarint(dst, uint64(len(p.shadowed)))
		for _, n := range p.shadowed {
			dst = binary.AppendUvarint(dst, uint64(n))
		}
	}
	if p.denied != nil {
		return p.denied.append(dst)
	}
	return appendParts(dst, p.res.Parts)
}

const (
	holdDenied = 1 << iota
	holdEstimated
	holdShadowed
)

func (d *denial) append(dst []byte) []byte {
	dst = appendBool(binary.AppendUvarint(appendRef(dst, d.node), uint64(d.limit)), d.byCount)
	dst = d.left.AppendBinary(d.asked.AppendBinary(dst))
	return binary.AppendUvarint(dst, d.count)
}

func (r *reader) denial(t *tables) *denial {
	d := &denial{node: r.ref(), limit: uint32(r.uvarint()), byCount: r.bool(), asked: r.amount(), left: r.amount(), count: r.uvarint()}
	if int(d.node) >= len(t.people) || (d.limit > 0 && !t.hasLimit(d.limit-1)) {
		r.fail()
	}
	return d
}

func appendParts(dst []byte, parts []ledger.Part) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(parts)))
	for _, p := range parts {
		dst = p.Amount.AppendBinary(binary.AppendUvarint(dst, uint64(p.Grant)))
	}
	return dst
}

func (r *reader) parts(t *tables) (parts []ledger.Part) {
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		p := ledger.Part{Grant: uint32(r.uvarint()), Amount: r.amount()}
		if !t.hasGrant(p.Grant) {
			r.fail()
		}
		parts = append(parts, p)
	}
	return parts
}

// holdPlan decodes what append wrote; slices are part of the input.
func (r *reader) holdPlan(t *tables) *holdPlan {
	p := &holdPlan{id: r.bytes(), account: r.ref(), ttl: int64(r.uvarint())}
	if int(p.account) >= len(t.people) {
		r.fail()
		return p
	}
	flags := r.byte()
	p.amount = r.amount()
	if p.byShape = flags&holdEstimated != 0; p.byShape {
		p.est = r.estimate(p.account, t)
	}
	if flags&holdShadowed != 0 {
		p.shadowed = r.limitRows(t)
	}
	if flags&holdDenied != 0 {
		p.denied = r.denial(t)
		return p
	}
	p.res.Parts = r.parts(t)
	return p
}

func (r *reader) limitRows(t *tables) (rows []uint32) {
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		row := uint32(r.uvarint())
		if !t.hasLimit(row) {
			r.fail()
		}
		rows = append(rows, row)
	}
	return rows
}

// estimate reads the usage that a hold was rated from.
func (r *reader) estimate(account ledger.Ref, t *tables) *eventRecord {
	e := &eventRecord{account: account, shape: uint32(r.uvarint())}
	if int(e.shape) >= len(t.shapes) {
		r.fail()
		return e
	}
	e.extras = r.bytes()
	e.components = len(t.shapes[e.shape].shape.Components)
	r.quantities(e)
	if e.version = uint32(r.uvarint()); int(e.version) >= len(t.versions) {
		r.fail()
	}
	return e
}

// heldScopes are the scopes of what a hold is for: nothing but unscoped if it is by amount.
func (s *state) heldScopes(row *holdRow) ledger.Scopes {
	if row.shape == 0 {
		return nil
	}
	return s.scopesOf(row.shape - 1)
}

// checkHeld bounds a hold.
func (s *state) checkHeld(p *holdPlan) *refusal.Refusal {
	root := s.people[p.account].Root
	switch {
	case p.amount.Cmp(amountMax) > 0:
		return refusal.New(refusal.Invalid, "invalid_amount", "a hold is of at most %s", amountMax)
	case !s.ledger.Fits(s.people[root].Currency, p.amount),
		s.ledger.Rows.At(uint32(root)).Held.MustAdd(p.amount).Cmp(heldMax) > 0:
		return overflow()
	}
	return nil
}

// checkTTL bounds how long a hold lives.
func checkTTL(ttl int64) *refusal.Refusal {
	if ttl < holdTTLMin || ttl > holdTTLMax {
		return refusal.New(refusal.Invalid, "invalid_ttl", "ttl must be 1s to 168h")
	}
	return nil
}

// ended takes an open hold out of everything that counts it and returns what it reserved. The
// money of it is still held (ledger.Release, ledger.Capture).
func (s *state) ended(n uint32) (row holdRow, res ledger.Reserved) {
	row = *s.holds.rows.At(n)
	res = s.holds.reserved(&row, nil)
	s.eachLimit(row.account, s.heldScopes(&row), func(_ ledger.Ref, k uint32) bool {
		l := s.limitRows.Mut(k)
		l.Roll(s.time)
		if row.countedBy(l, s.limitMeta[k].since) {
			l.Unreserve(row.since, row.amount, 1)
		}
		return true
	})
	s.countHold(row.account, row.amount.Neg(), -1)
	s.holds.remove(n)
	return row, res
}

// release ends a hold without a charge.
func (s *state) release(n uint32) {
	row, res := s.ended(n)
	root := s.people[row.account].Root
	s.ledger.Release(root, res)
	s.lapse(res.Parts)
	s.watch(root)
}

// room is what the hard limits of a chain leave for a charge at a time; false: they bound nothing.
// Those that the hold was not reserved under may still count a window that is over.
func (s *state) room(ref ledger.Ref, scopes ledger.Scopes, at int64) (room money.Amount, bounded bool) {
	s.eachLimit(ref, scopes, func(_ ledger.Ref, n uint32) bool {
		row := s.limitRows.Mut(n)
		row.Roll(s.time)
		if row.Mode == limit.Hard && row.HasAmount && row.Per.Holds(row.Start, at) {
			if left, _, _, _ := row.Left(); !bounded || left.Cmp(room) < 0 {
				room, bounded = left, true
			}
		}
		return true
	})
	return room, bounded
}

// capture ends a hold with what it was for: u, whose payer is the root. How that was
// taken comes in split.
func (s *state) capture(n uint32, u *ledger.Usage, id []byte, split *ledger.Split) {
	row, res := s.ended(n)
	slices.SortFunc(res.Parts, func(a, b ledger.Part) int { return s.ledger.Compare(a.Grant, b.Grant) }) // a cut period's grant expires earlier now
	root := s.people[row.account].Root
	set := s.settingsOf(root)
	x := ledger.Excess{Overdraft: s.overdraft(root), Beyond: set.ExcessLimit, Unlimited: set.Excess == excessAllow}
	x.Room, x.Bounded = s.room(row.account, u.Scopes, row.since)
	s.ledger.Capture(u, res, x, split)
	s.charge(row.account, u.Scopes, row.since, u.Amount.MustSub(split.Lost), 1, string(id))
	s.lapse(res.Parts)
	s.lapse(split.Parts)
	s.watch(root)
}

// captureAmount is a capture by amount: the operator's revenue.
func (s *state) captureAmount(n uint32, amount money.Amount, id []byte, split *ledger.Split) {
	row := s.holds.rows.At(n)
	root := s.people[row.account].Root
	u := ledger.Usage{Payer: root, Payee: s.ledger.Totals(s.people[root].Currency).Operator, Amount: amount, Now: s.time, Scopes: s.heldScopes(row)}
	s.capture(n, &u, id, split)
}

// report is the usage of a stream so far, as an extension told it.
type report struct {
	hold       []byte
	account    string
	source     string
	id         string
	raw        []byte // shape bytes
	usage      []byte // as the provider sent it
	quantities []money.Quantity
	time       int64 // meter.NoTime: none
}

func (p *report) append(dst []byte) []byte {
	dst = appendBytes(appendBytes(dst, p.source), p.id)
	dst = appendBytes(appendBytes(dst, p.raw), p.usage)
	dst = binary.AppendUvarint(dst, uint64(len(p.quantities)))
	for _, q := range p.quantities {
		dst = q.AppendBinary(dst)
	}
	dst = appendBool(dst, p.time != meter.NoTime)
	if p.time != meter.NoTime {
		dst = binary.AppendUvarint(dst, uint64(p.time))
	}
	return dst
}

func (r *reader) report() *report {
	p := &report{source: r.str(), id: r.str(), raw: r.bytes(), usage: r.bytes(), time: meter.NoTime}
	n := r.uvarint()
	if n > meter.MaxComponents {
		r.fail()
		return p
	}
	for range n {
		p.quantities = append(p.quantities, r.quantity())
	}
	if r.bool() {
		p.time = int64(r.uvarint())
	}
	return p
}
