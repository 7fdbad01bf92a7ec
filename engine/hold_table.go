package engine

import (
	"github.com/zeebo/xxh3"

	"farthing/cow"
	"farthing/ledger"
	"farthing/money"
)

// holdRow is an open hold: fixed-size and pointer-free, since there may be millions. Its id
// is in the journal; here it is known by 128 bits of a hash under the ledger's seed, which
// nobody outside can aim at: two of 10^7 open holds agree by chance with 10^-25.
type holdRow struct {
	id      [2]uint64
	seq     uint64       // of its placing; 0: the row is free
	last    uint64       // of the command that reserved last: its placing or an extension
	counted uint64       // of the command under which limits count it
	since   int64        // the time of that
	due     int64        // when it expires
	amount  money.Amount // reserved in all: on grants as its parts say, the rest on its root's pool
	account ledger.Ref
	parts   uint32 // the first of its parts of grants, + 1
	shape   uint32 // of the usage it was estimated from, + 1; 0: it is by amount
	report  uint64 // sequence of the extension that reported usage last; 0: none did
}

// holdPart is a part of a grant that a hold reserves; they form a list in burn order.
type holdPart struct {
	ledger.Part
	next uint32 // + 1
}

// holdTable finds open holds by their ids and by the time at which they are due. Rows are used
// again. It belongs to the owner of the state.
type holdTable struct {
	rows  cow.Table[holdRow]
	parts cow.Table[holdPart]
	open  int

	// Derived.
	index     []uint32 // open addressing on the id, row + 1
	free      []uint32 // rows
	freeParts []uint32
	wheel     holdWheel
}

func holdID(id []byte, seed uint64) [2]uint64 {
	h := xxh3.Hash128Seed(id, seed)
	return [2]uint64{h.Hi, h.Lo}
}

// find returns the row of an open hold.
func (t *holdTable) find(id [2]uint64) (uint32, bool) {
	if len(t.index) == 0 {
		return 0, false
	}
	mask := uint64(len(t.index) - 1)
	for i := id[0] & mask; t.index[i] != 0; i = (i + 1) & mask {
		if n := t.index[i] - 1; t.rows.At(n).id == id {
			return n, true
		}
	}
	return 0, false
}

// add takes a hold in, with what it reserves on grants.
func (t *holdTable) add(row holdRow, parts []ledger.Part) uint32 {
	row.parts = t.link(parts)
	var n uint32
	if last := len(t.free) - 1; last >= 0 {
		n, t.free = t.free[last], t.free[:last]
		*t.rows.Mut(n) = row
	} else {
		n = t.rows.Append(row)
	}
	t.enter(n)
	return n
}

// link stores parts and returns the first's number + 1.
func (t *holdTable) link(parts []ledger.Part) (first uint32) {
	for i := len(parts) - 1; i >= 0; i-- {
		p := holdPart{parts[i], first}
		if last := len(t.freeParts) - 1; last >= 0 {
			first = t.freeParts[last] + 1
			t.freeParts = t.freeParts[:last]
			*t.parts.Mut(first - 1) = p
			continue
		}
		first = t.parts.Append(p) + 1
	}
	return first
}

// reserved returns what a hold reserves; parts is memory for its parts.
func (t *holdTable) reserved(row *holdRow, parts []ledger.Part) ledger.Reserved {
	pool := row.amount
	for n := row.parts; n != 0; {
		p := t.parts.At(n - 1)
		parts = append(parts, p.Part)
		pool = pool.MustSub(p.Amount)
		n = p.next
	}
	return ledger.Reserved{Parts: parts, Pool: pool}
}

// unlink gives the parts of a hold up.
func (t *holdTable) unlink(first uint32) {
	for n := first; n != 0; {
		next := t.parts.At(n - 1).next
		*t.parts.Mut(n - 1) = holdPart{}
		t.freeParts = append(t.freeParts, n-1)
		n = next
	}
}

// remove forgets a hold.
func (t *holdTable) remove(n uint32) {
	row := t.rows.At(n)
	t.wheel.remove(n)
	t.unindex(n, row.id)
	t.unlink(row.parts)
	*t.rows.Mut(n) = holdRow{}
	t.free = append(t.free, n)
	t.open--
}

// enter puts a row into what is derived.
func (t *holdTable) enter(n uint32) {
	if 8*(t.open+1) > 5*len(t.index) {
		t.grow()
	}
	t.put(n)
	t.open++
	t.wheel.add(n, t.rows.At(n).due)
}

func (t *holdTable) put(n uint32) {
	mask := uint64(len(t.index) - 1)
	i := t.rows.At(n).id[0] & mask
	for t.index[i] != 0 {
		i = (i + 1) & mask
	}
	t.index[i] = n + 1
}

func (t *holdTable) grow() {
	old := t.index
	t.index = make([]uint32, max(1024, 2*len(old)))
	for _, n := range old {
		if n != 0 {
			t.put(n - 1)
		}
	}
}

// unindex takes a row out of the index and moves those up that its place kept away from theirs.
func (t *holdTable) unindex(n uint32, id [2]uint64) {
	mask := uint64(len(t.index) - 1)
	i := id[0] & mask
	for t.index[i] != n+1 {
		i = (i + 1) & mask
	}
	for k := (i + 1) & mask; t.index[k] != 0; k = (k + 1) & mask {
		home := t.rows.At(t.index[k] - 1).id[0] & mask
		if (k-home)&mask >= (k-i)&mask {
			t.index[i] = t.index[k]
			i = k
		}
	}
	t.index[i] = 0
}

// restored rebuilds what is derived after the rows were loaded.
func (t *holdTable) restored() {
	for n := range t.rows.Len() {
		if t.rows.At(n).seq != 0 {
			t.enter(n)
		} else {
			t.free = append(t.free, n)
		}
	}
	used := make([]bool, t.parts.Len())
	for n := range t.rows.Len() {
		for p := t.rows.At(n).parts; p != 0; p = t.parts.At(p - 1).next {
			used[p-1] = true
		}
	}
	for n, u := range used {
		if !u {
			t.freeParts = append(t.freeParts, uint32(n))
		}
	}
}

// start puts all open holds on the wheel: from now on they expire.
func (t *holdTable) start(now int64) {
	t.wheel.start(now)
	for n := range t.rows.Len() {
		if row := t.rows.At(n); row.seq != 0 {
			t.wheel.add(n, row.due)
		}
	}
}

// setDue moves the time at which a hold expires.
func (t *holdTable) setDue(n uint32, due int64) {
	t.rows.Mut(n).due = due
	t.wheel.remove(n)
	t.wheel.add(n, due)
}
