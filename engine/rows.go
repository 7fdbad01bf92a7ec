package engine

import (
	"encoding/binary"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// The stored forms of the state's rows, as checkpoints hold them. What is derived is left out.

// append writes a usage row; the chain is derived and left out.
func (u *usageRow) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(u.account))
	dst = binary.AppendUvarint(dst, uint64(u.shape))
	dst = binary.AppendVarint(dst, int64(u.day))
	dst = binary.AppendUvarint(dst, u.events)
	for i := range usageComponents {
		dst = u.sums[i].quantity.AppendBinary(dst)
		dst = u.sums[i].amount.AppendBinary(dst)
	}
	return dst
}

func (r *reader) usageRow() (u usageRow) {
	u.account, u.shape = ledger.Ref(r.uvarint()), uint32(r.uvarint())
	u.day, u.events = int32(r.varint()), r.uvarint()
	for i := range usageComponents {
		u.sums[i] = usageSum{r.amount(), r.amount()}
	}
	return u
}

func (c *counterRow) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(c.account))
	dst = binary.AppendUvarint(dst, uint64(c.series))
	dst = binary.AppendUvarint(dst, c.period)
	dst = binary.AppendUvarint(dst, uint64(c.terms))
	return binary.AppendUvarint(dst, uint64(c.quantity))
}

func (r *reader) counterRow() (c counterRow) {
	c.account, c.series, c.period = ledger.Ref(r.uvarint()), uint32(r.uvarint()), r.uvarint()
	c.terms = uint32(r.uvarint())
	c.quantity = money.Quantity(r.uvarint())
	return c
}

func (a *amendRow) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, a.origin)
	dst = binary.AppendUvarint(dst, a.last)
	return append(dst, byte(a.op))
}

func (r *reader) amendRow() amendRow {
	return amendRow{origin: r.uvarint(), last: r.uvarint(), op: amendOp(r.byte())}
}

// append writes a group; that of what no longer fits has no currency.
func (g *unpricedGroup) append(dst []byte) []byte {
	code := "   "
	if g.raw != "" {
		code = g.currency.Code()
	}
	return appendBytes(append(append(dst, byte(g.reason)), code...), g.raw)
}

func (r *reader) unpricedGroup() (g unpricedGroup) {
	g.reason = unpricedReason(r.byte())
	code := r.take(3)
	if g.raw = r.str(); g.raw == "" {
		return g
	}
	var ok bool
	if g.currency, ok = money.LookupBytes(code); !ok || g.reason == priced || g.reason >= numUnpricedReasons {
		r.fail()
	}
	if _, err := meter.ParseShape([]byte(g.raw)); err != nil {
		r.fail()
	}
	return g
}

func (u *unpricedRow) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, u.seq)
	dst = binary.AppendUvarint(dst, uint64(u.group))
	return appendBool(dst, u.open)
}

func (r *reader) unpricedRow() unpricedRow {
	return unpricedRow{seq: r.uvarint(), group: uint32(r.uvarint()), open: r.bool()}
}
