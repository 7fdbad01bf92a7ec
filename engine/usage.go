package engine

import (
	"farthing/cow"
	"farthing/ledger"
	"farthing/money"
)

// usageComponents is how many components a usage row holds. Most events have two to
// four; more take consecutive rows. Four amounts and four quantities make 128 bytes.
const usageComponents = 4

// usageRow counts one account's events of one shape on one day (of the event, UTC).
// A shape with more than usageComponents components has further rows right behind,
// which hold only sums.
type usageRow struct {
	account ledger.Ref
	shape   uint32
	day     int32  // days since 1970-01-01
	next    uint32 // the account's next row + 1; 0: none. Derived, not stored
	events  uint64
	sums    [usageComponents]usageSum // by the shape's components
}

// usageSum is what one component comes to. Both stand together: an event of two components touches two cache lines of its row.
type usageSum struct {
	quantity money.Amount // in millionths, as a 128-bit integer
	amount   money.Amount
}

func (u *usageRow) of(account ledger.Ref, shape uint32, day int32) bool {
	return u.account == account && u.shape == shape && u.day == day
}

const nanosPerDay = 24 * 60 * 60 * 1e9

// dayOf returns the UTC day of a time in nanoseconds since the Unix epoch, which is
// not negative.
func dayOf(ns int64) int32 { return int32(ns / nanosPerDay) }

// usageTable finds and adds up usage rows. It belongs to the sequencer.
type usageTable struct {
	rows  cow.Table[usageRow]
	index []usageSlot // open addressing on (account, shape, day)
	count int
	heads []uint32 // by account: the head of its chain of rows, + 1
}

// add counts one event under its shape.
func (u *usageTable) add(e *eventRecord, amounts *ratingAmounts) {
	u.move(e, amounts, 1)
}

// sub takes an event's quantities and what taking it back moved (amounts) out of the counts.
func (u *usageTable) sub(e *eventRecord, amounts *ratingAmounts) {
	u.move(e, amounts, -1)
}

// move adds (sign 1) or takes out (-1) the quantities of an event; amounts have their own sign.
func (u *usageTable) move(e *eventRecord, amounts *ratingAmounts, sign int) {
	day := dayOf(e.time)
	i := e.usageRow - 1
	if e.usageRow == 0 || !u.rows.At(i).of(e.account, e.shape, day) {
		i = u.row(e.account, e.shape, day, e.components)
	}
	row := u.rows.Mut(i)
	row.events += uint64(sign) // wraps by design: nothing is taken out that was not added
	for c := range e.components {
		if c > 0 && c%usageComponents == 0 {
			i++
			row = u.rows.Mut(i)
		}
		sum, quantity := &row.sums[c%usageComponents], money.FromWords(0, uint64(e.quantities[c]))
		if sign < 0 {
			quantity = quantity.Neg()
		}
		sum.quantity, sum.amount = sum.quantity.MustAdd(quantity), sum.amount.MustAdd(amounts[c])
	}
}

// row returns the number of the (first) row, making it if needed.
func (u *usageTable) row(account ledger.Ref, shape uint32, day int32, components int) uint32 {
	if i, ok := u.find(account, shape, day); ok {
		return i
	}
	return u.insert(account, shape, day, components)
}

// usageSlot is a row + 1 (0: empty) and a part of its key's hash, so that other rows of a
// probe are not touched.
type usageSlot struct{ row, tag uint32 }

func usageHash(account ledger.Ref, shape uint32, day int32) uint64 {
	h := (uint64(account)<<32 | uint64(shape)) * 0x9e3779b97f4a7c15
	h ^= uint64(uint32(day)) * 0xc2b2ae3d27d4eb4f
	h ^= h >> 32
	return h * 0xff51afd7ed558ccd >> 8
}

func (u *usageTable) find(account ledger.Ref, shape uint32, day int32) (uint32, bool) {
	if u.count == 0 {
		return 0, false
	}
	mask := uint64(len(u.index) - 1)
	h := usageHash(account, shape, day)
	for i := h & mask; u.index[i].row != 0; i = (i + 1) & mask {
		if u.index[i].tag != uint32(h>>32) {
			continue
		}
		n := u.index[i].row - 1
		if u.rows.At(n).of(account, shape, day) {
			return n, true
		}
	}
	return 0, false
}

// guessSlots is how many slots guess looks at. Of a table that is nearly half full a tenth of the rows stands further on than two.
const guessSlots = 4

// guess returns where the row of a key probably is, + 1, without looking at it; 0: there is none, or it stands further on
// than the slots looked at. Without a branch: which of them it is, if any, is not predictable.
func (u *usageTable) guess(account ledger.Ref, shape uint32, day int32) (row uint32) {
	if u.count == 0 {
		return 0
	}
	mask := uint64(len(u.index) - 1)
	h := usageHash(account, shape, day)
	for i := h + guessSlots - 1; i != h-1; i-- {
		if slot := u.index[i&mask]; slot.tag == uint32(h>>32) {
			row = slot.row
		}
	}
	return row
}

func (u *usageTable) insert(account ledger.Ref, shape uint32, day int32, components int) uint32 {
	first := u.rows.Append(usageRow{account: account, shape: shape, day: day})
	for c := usageComponents; c < components; c += usageComponents {
		u.rows.Append(usageRow{account: account, shape: shape, day: noDay})
	}
	u.enter(first)
	return first
}

// noDay marks the further rows of a shape with many components.
const noDay = -1

// enter puts a first row into the index and its account's chain.
func (u *usageTable) enter(n uint32) {
	if 2*(u.count+1) > len(u.index) {
		u.grow()
	}
	u.put(n)
	u.count++
	r := u.rows.At(n)
	for int(r.account) >= len(u.heads) {
		u.heads = append(u.heads, 0)
	}
	r.next = u.heads[r.account]
	u.heads[r.account] = n + 1
}

func (u *usageTable) grow() {
	old := u.index
	u.index = make([]usageSlot, max(1024, 2*len(old)))
	for _, slot := range old {
		if slot.row != 0 {
			u.put(slot.row - 1)
		}
	}
}

func (u *usageTable) put(n uint32) {
	r := u.rows.At(n)
	mask := uint64(len(u.index) - 1)
	h := usageHash(r.account, r.shape, r.day)
	i := h & mask
	for u.index[i].row != 0 {
		i = (i + 1) & mask
	}
	u.index[i] = usageSlot{n + 1, uint32(h >> 32)}
}

// head is the first row of an account's chain, + 1; 0: it has none.
func (u *usageTable) head(account ledger.Ref) uint32 {
	if int(account) >= len(u.heads) {
		return 0
	}
	return u.heads[account]
}

// each calls fn with the first row of each of an account's shapes and days, and the sum of its
// amounts.
func (u *usageTable) each(account ledger.Ref, fn func(row *usageRow, amount money.Amount)) {
	for n := u.head(account); n != 0; {
		first := u.rows.At(n - 1)
		var sum money.Amount
		for i := n - 1; ; {
			for k := range u.rows.At(i).sums {
				sum = sum.MustAdd(u.rows.At(i).sums[k].amount)
			}
			if i++; i >= u.rows.Len() || u.rows.At(i).day != noDay {
				break
			}
		}
		fn(first, sum)
		n = first.next
	}
}

// restored rebuilds index and chains after the rows were loaded.
func (u *usageTable) restored() {
	for n := range u.rows.Len() {
		if u.rows.At(n).day != noDay {
			u.enter(n)
		}
	}
}
