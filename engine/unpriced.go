package engine

import (
	"sort"

	"farthing/cow"
	"farthing/meter"
	"farthing/money"
)

// unpricedRow is an event that arrived without a price. It stays in the table when it was
// rated or voided, but is no longer open.
type unpricedRow struct {
	seq   uint64
	group uint32
	open  bool
}

// unpricedGroup is the events that lack a price for the same reason: whatever a price would
// depend on, quantities and time excepted, is the same. A new version is tried once per
// group, and the counts by dimension need no reading of events. A group of which nothing is
// open any more is used for another kind.
type unpricedGroup struct {
	reason   unpricedReason
	currency money.Currency
	raw      string // shape bytes; empty in the group of what no longer fits
}

// groupInfo is what is derived of a group.
type groupInfo struct {
	shape meter.Shape
	open  int // events
	// tried and ratable remember for the first tried versions whether one prices the group.
	tried   int
	ratable bool
}

// Bounds of the groups: what comes after shares group 0, whose events are tried one by one
// and counted without dimensions.
const (
	unpricedGroupsMax = 1 << 14
	unpricedBytesMax  = 16 << 20
)

// unpricedTable is the list of unpriced events. It belongs to the owner of the state.
type unpricedTable struct {
	rows   cow.Table[unpricedRow]   // by sequence
	groups cow.Table[unpricedGroup] // from 1; 0 is what no longer fits

	// All derived.
	info  []groupInfo       // by group
	byKey map[string]uint32 // of the groups with open events
	bytes int               // of their shapes
	open  int
	free  uint32 // no group below is unused
}

func newUnpricedTable() unpricedTable {
	u := unpricedTable{byKey: map[string]uint32{}, info: make([]groupInfo, 1), free: 1}
	u.groups.Append(unpricedGroup{})
	return u
}

// add lists the event with the given sequence.
func (u *unpricedTable) add(seq uint64, reason unpricedReason, c money.Currency, raw []byte) {
	group := u.group(reason, c, raw)
	u.rows.Append(unpricedRow{seq: seq, group: group, open: true})
	u.info[group].open++
	u.open++
}

func (u *unpricedTable) group(reason unpricedReason, c money.Currency, raw []byte) uint32 {
	if n, ok := u.byKey[groupKey(reason, c, raw)]; ok {
		return n
	}
	for u.free < u.groups.Len() && u.info[u.free].open > 0 {
		u.free++
	}
	if u.bytes+len(raw) > unpricedBytesMax || u.free == unpricedGroupsMax {
		return 0
	}
	g := unpricedGroup{reason: reason, currency: c, raw: string(raw)}
	if u.free == u.groups.Len() {
		u.groups.Append(g)
		u.info = append(u.info, groupInfo{})
	} else {
		*u.groups.Mut(u.free) = g
	}
	u.enter(u.free)
	return u.free
}

func groupKey(reason unpricedReason, c money.Currency, raw []byte) string {
	return string(append(append([]byte{byte(reason)}, c.Code()...), raw...))
}

// enter derives what there is of a group that has open events; its shape parses, because an
// event had it.
func (u *unpricedTable) enter(n uint32) {
	g := u.groups.At(n)
	shape, err := meter.ParseShape([]byte(g.raw))
	if err != nil {
		panic("BUG: an unpriced event's shape does not parse")
	}
	u.info[n] = groupInfo{shape: shape}
	u.byKey[groupKey(g.reason, g.currency, []byte(g.raw))] = n
	u.bytes += len(g.raw)
}

// leave forgets a group of which nothing is open any more.
func (u *unpricedTable) leave(n uint32) {
	if n == 0 {
		return
	}
	g := u.groups.At(n)
	delete(u.byKey, groupKey(g.reason, g.currency, []byte(g.raw)))
	u.bytes -= len(g.raw)
	u.free = min(u.free, n)
}

// find returns the row of an event that is still open.
func (u *unpricedTable) find(seq uint64) (uint32, bool) {
	n := uint32(sort.Search(int(u.rows.Len()), func(i int) bool { return u.rows.At(uint32(i)).seq >= seq }))
	if n == u.rows.Len() {
		return 0, false
	}
	row := u.rows.At(n)
	return n, row.seq == seq && row.open
}

// remove takes an event from the list: it was rated or voided.
func (u *unpricedTable) remove(seq uint64) {
	n, ok := u.find(seq)
	if !ok {
		panic("BUG: an event leaves the unpriced list that is not on it")
	}
	row := u.rows.Mut(n)
	row.open = false
	u.open--
	if u.info[row.group].open--; u.info[row.group].open == 0 {
		u.leave(row.group)
	}
}

// restored derives the rest after rows and groups were loaded. False: they do not fit together.
func (u *unpricedTable) restored() bool {
	u.info = make([]groupInfo, u.groups.Len())
	for n := range u.rows.Len() {
		row := u.rows.At(n)
		if row.group >= u.groups.Len() {
			return false
		}
		if !row.open {
			continue
		}
		if u.info[row.group].open == 0 && row.group > 0 {
			u.enter(row.group)
		}
		u.info[row.group].open++
		u.open++
	}
	return true
}

// scan collects up to limit open events from row number from on whose group keep wants, and
// looks at no more than visit rows; keep tells what it cost. It returns the row where to go on;
// done: that was the last.
func (u *unpricedTable) scan(from uint32, limit, visit int, keep func(group uint32) (wanted bool, cost int)) (seqs []uint64, next uint32, done bool) {
	end := u.rows.Len()
	for next = from; next < end && visit > 0 && len(seqs) < limit; next++ {
		visit--
		row := u.rows.At(next)
		if !row.open {
			continue
		}
		wanted, cost := keep(row.group)
		if visit -= cost; wanted {
			seqs = append(seqs, row.seq)
		}
	}
	return seqs, next, next >= end
}

// ratable reports whether some version of the book prices the group, and how much looking
// for it cost, in rows.
func (s *state) ratable(group uint32) (wanted bool, cost int) {
	if group == 0 {
		return true, 0
	}
	g, info := s.unpriced.groups.At(group), &s.unpriced.info[group]
	for ; info.tried < len(s.versions) && !info.ratable; info.tried++ {
		_, none := s.versions[info.tried].Version.Plan(&info.shape, g.currency)
		info.ratable = none == meter.Planned
		cost += planCost
	}
	return info.ratable, cost
}

// planCost is what finding a plan costs in rows looked at.
const planCost = 16
