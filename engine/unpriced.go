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
// group, and the counts by dimension need no reading of events.
type unpricedGroup struct {
	reason   unpricedReason
	currency money.Currency
	raw      string      // shape bytes; empty in the group of what no longer fits
	shape    meter.Shape // of raw
	open     int         // events; derived
	// tried and ratable remember for the first tried versions whether one prices the group.
	// Derived, and dropped without harm.
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
	rows   cow.Table[unpricedRow] // by sequence
	groups []*unpricedGroup       // append-only
	byKey  map[string]uint32      // derived
	bytes  int                    // of the groups' shapes; derived
	open   int                    // derived
}

func newUnpricedTable() unpricedTable {
	return unpricedTable{groups: []*unpricedGroup{{}}, byKey: map[string]uint32{}}
}

// add lists the event with the given sequence.
func (u *unpricedTable) add(seq uint64, reason unpricedReason, c money.Currency, raw []byte) {
	group := u.group(reason, c, raw)
	u.rows.Append(unpricedRow{seq: seq, group: group, open: true})
	u.groups[group].open++
	u.open++
}

func (u *unpricedTable) group(reason unpricedReason, c money.Currency, raw []byte) uint32 {
	key := groupKey(reason, c, raw)
	if n, ok := u.byKey[key]; ok {
		return n
	}
	if len(u.groups) >= unpricedGroupsMax || u.bytes+len(raw) > unpricedBytesMax {
		return 0
	}
	return u.enter(reason, c, string(raw))
}

func groupKey(reason unpricedReason, c money.Currency, raw []byte) string {
	return string(append(append([]byte{byte(reason)}, c.Code()...), raw...))
}

// enter appends a group; raw parses, because an event had it.
func (u *unpricedTable) enter(reason unpricedReason, c money.Currency, raw string) uint32 {
	shape, err := meter.ParseShape([]byte(raw))
	if err != nil {
		panic("BUG: an unpriced event's shape does not parse")
	}
	n := uint32(len(u.groups))
	u.groups = append(u.groups, &unpricedGroup{reason: reason, currency: c, raw: raw, shape: shape})
	u.byKey[groupKey(reason, c, []byte(raw))] = n
	u.bytes += len(raw)
	return n
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
	u.groups[row.group].open--
	u.open--
}

// restored derives the counts after the rows were loaded.
func (u *unpricedTable) restored() {
	for n := range u.rows.Len() {
		if row := u.rows.At(n); row.open {
			u.groups[row.group].open++
			u.open++
		}
	}
}

// scan collects up to limit open events from row number from on whose group keep wants, and
// looks at no more than visit rows. It returns the row where to go on; done: that was the last.
func (u *unpricedTable) scan(from uint32, limit, visit int, keep func(*unpricedGroup) bool) (seqs []uint64, next uint32, done bool) {
	end := u.rows.Len()
	for next = from; next < end && visit > 0 && len(seqs) < limit; next++ {
		visit--
		if row := u.rows.At(next); row.open && keep(u.groups[row.group]) {
			seqs = append(seqs, row.seq)
		}
	}
	return seqs, next, next >= end
}

// ratable reports whether some version of the book prices the group.
func (s *state) ratable(g *unpricedGroup) bool {
	if g.raw == "" {
		return true
	}
	for ; g.tried < len(s.versions) && !g.ratable; g.tried++ {
		_, none := s.versions[g.tried].Version.Plan(&g.shape, g.currency)
		g.ratable = none == meter.Planned
	}
	return g.ratable
}
