package engine

import (
	"bytes"
	"encoding/binary"

	"github.com/zeebo/xxh3"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// extension is more of a hold: an amount, a new time, a report of usage.
type extension struct {
	plan   holdPlan // its id is the hold's; old is the hold before
	name   string
	prev   uint64 // sequence of the command that reserved last before
	report *report
}

func (x *extension) append(dst []byte) []byte {
	p := &x.plan
	dst = appendBytes(appendBytes(dst, p.id), x.name)
	dst = binary.AppendUvarint(appendRef(dst, p.account), x.prev)
	dst = binary.AppendUvarint(p.amount.AppendBinary(dst), uint64(p.ttl))
	dst = binary.AppendUvarint(dst, uint64(len(p.shadowed)))
	for _, n := range p.shadowed {
		dst = binary.AppendUvarint(dst, uint64(n))
	}
	dst = appendParts(dst, p.res.Parts)
	if x.report == nil {
		return append(dst, 0)
	}
	return x.report.append(append(dst, 1))
}

func (r *reader) extension(t *tables) *extension {
	x := &extension{}
	x.plan.id, x.name = r.bytes(), r.str()
	x.plan.account, x.prev = r.ref(), r.uvarint()
	x.plan.amount, x.plan.ttl = r.amount(), int64(r.uvarint())
	x.plan.shadowed = r.limitRows(t)
	x.plan.res.Parts = r.parts(t)
	if r.bool() {
		x.report = r.report()
		x.report.hold = bytes.Clone(x.plan.id)
	}
	if int(x.plan.account) >= len(t.people) {
		r.fail()
	} else if x.report != nil {
		x.report.account = t.people[x.plan.account].ID
	}
	return x
}

// applyExtension adds to an open hold what was planned.
func (s *state) applyExtension(x *extension, n uint32) {
	if !x.plan.amount.IsZero() {
		s.reserve(n, &x.plan)
	}
	row := s.holds.rows.Mut(n)
	row.last = s.seq
	if x.report != nil {
		row.report = s.seq
	}
	if x.plan.ttl != 0 {
		s.holds.setDue(n, s.time+x.plan.ttl)
	}
}

// amountCapture is a capture by amount.
type amountCapture struct {
	held    heldRef
	account ledger.Ref
	amount  money.Amount
	split   ledger.Split
}

func (c *amountCapture) append(dst []byte) []byte {
	return appendSplit(c.amount.AppendBinary(appendRef(c.held.append(dst), c.account)), &c.split)
}

func (r *reader) amountCapture(t *tables) *amountCapture {
	c := &amountCapture{held: r.heldRef(), account: r.ref(), amount: r.amount(), split: r.split(t)}
	if int(c.account) >= len(t.people) {
		r.fail()
	}
	return c
}

// transfers are those of its sources to the operator's revenue.
func (c *amountCapture) transfers(t *tables) []transfer {
	root := t.people[c.account].Root
	var out []transfer
	add := func(from ledger.Ref, class ledger.Class, amount money.Amount, grant string) {
		if !amount.IsZero() {
			out = append(out, transfer{debit: from, credit: ledger.NoRef, debitClass: class, creditClass: ledger.Revenue, amount: amount,
				reason: "capture", id: string(c.held.id), grant: grant})
		}
	}
	for _, p := range c.split.Parts {
		add(root, t.grants[p.Grant].kind.Class(), p.Amount, t.grants[p.Grant].id)
	}
	add(root, ledger.Paid, c.split.Paid, "")
	add(root, ledger.Receivable, c.split.Receivable, "")
	return out // what the operator lost moved within its own accounts
}

// holdVoid is a void of a hold.
type holdVoid struct {
	held    heldRef
	account ledger.Ref
}

func (v *holdVoid) append(dst []byte) []byte { return appendRef(v.held.append(dst), v.account) }

func (r *reader) holdVoid(t *tables) *holdVoid {
	v := &holdVoid{held: r.heldRef(), account: r.ref()}
	if int(v.account) >= len(t.people) {
		r.fail()
	}
	return v
}

const holdIDBytes = 16

func appendHoldID(dst []byte, id [2]uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, id[0]), id[1])
}

func (r *reader) holdID() (id [2]uint64) {
	if p := r.take(16); p != nil {
		id = [2]uint64{binary.BigEndian.Uint64(p), binary.BigEndian.Uint64(p[8:])}
	}
	return id
}

// holdExpiry is holds that expire, in order.
type holdExpiry struct{ holds []expiredHold }

// expiredHold names a hold by the hash of its id: the id is in the journal at seq.
type expiredHold struct {
	id      [2]uint64
	seq     uint64 // of its placing
	last    uint64 // of the command that reserved last
	amount  money.Amount
	account ledger.Ref
}

func (x *holdExpiry) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(x.holds)))
	for i := range x.holds {
		h := &x.holds[i]
		dst = appendHoldID(dst, h.id)
		dst = binary.AppendUvarint(binary.AppendUvarint(dst, h.seq), h.last)
		dst = appendRef(h.amount.AppendBinary(dst), h.account)
	}
	return dst
}

func (r *reader) expiry() *holdExpiry {
	x := &holdExpiry{}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		x.holds = append(x.holds, expiredHold{id: r.holdID(), seq: r.uvarint(), last: r.uvarint(), amount: r.amount(), account: r.ref()})
	}
	return x
}

// content is the hash of what was said of a hold, as HoldBatch.Add makes it.
func (p *holdPlan) content(t *tables, seed uint64) uint64 {
	account := []byte(t.people[p.account].ID)
	if p.byShape {
		return holdContent(p.id, account, money.Amount{}, false, p.ttl, contentHash(p.est, t, seed), seed)
	}
	return holdContent(p.id, account, p.amount, true, p.ttl, 0, seed)
}

func (x *extension) content(seed uint64) uint64 {
	event := uint64(0)
	if p := x.report; p != nil {
		event = meter.ContentHash([]byte(p.account), p.raw, p.quantities, seed)
		event ^= xxh3.HashSeed([]byte(p.source+"\x00"+p.id), seed)
	}
	return holdContent(x.plan.id, nil, x.plan.amount, !x.plan.amount.IsZero(), x.plan.ttl, event, seed)
}
