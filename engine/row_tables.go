package engine

import (
	"encoding/binary"
	"fmt"

	"farthing/cow"
	"farthing/ledger"
	"farthing/limit"
	"farthing/meter"
)

// rowTable is a copy-on-write table of the state as checkpoints see it: they begin a snapshot of
// each at one command, copy one after the other, and put the rows back at a restart.
type rowTable struct {
	kind     byte // of its chunks
	name     string
	begin    func(since uint32) uint32
	step     func(job *checkpointJob) (done bool)
	len      func() uint32
	changed  func() uint32 // rows since the last begin or restored
	grow     func(n uint32)
	restore  func(r *reader, i uint64) // of different rows within what grow made: from any goroutine
	restored func() uint32
	encode   func(i uint32) []byte // a row, for comparing
}

// numRowTables is how many there are.
const numRowTables = 15

func tableOf[R any](kind byte, name string, t *cow.Table[R], encode func(*R, []byte) []byte, decode func(*reader) R, plausible func(uint64, *R) bool) rowTable {
	return rowTable{kind: kind, name: name, begin: t.Begin, len: t.Len, restored: t.Restored, changed: t.Changed, grow: t.Grow,
		step: func(job *checkpointJob) bool {
			return t.Step(snapshotStep, func(i uint32, row *R) {
				job.start(kind)
				job.buf = encode(row, binary.AppendUvarint(job.buf, uint64(i)))
			})
		},
		restore: func(r *reader, i uint64) {
			row := decode(r)
			if r.bad || i >= uint64(t.Len()) || (plausible != nil && !plausible(i, &row)) {
				r.fail()
				return
			}
			t.Restore(uint32(i), row)
		},
		encode: func(i uint32) []byte { return encode(t.At(i), nil) },
	}
}

// rowTables are the state's tables, in the order in which they are copied.
func (s *state) rowTables() [numRowTables]rowTable {
	person := func(ref ledger.Ref) bool { return int(ref) < len(s.people) }
	return [...]rowTable{
		tableOf(chunkRows, "account", &s.ledger.Rows, (*ledger.Row).Append, (*reader).ledgerRow, func(i uint64, _ *ledger.Row) bool { return i < uint64(len(s.people)) }),
		tableOf(chunkUsage, "usage", &s.usage.rows, (*usageRow).append, (*reader).usageRow,
			func(_ uint64, u *usageRow) bool { return person(u.account) && int(u.shape) < len(s.shapes) }),
		tableOf(chunkCounters, "counter", &s.counters.rows, (*counterRow).append, (*reader).counterRow,
			func(_ uint64, c *counterRow) bool { return person(c.account) }), // its terms are known later
		tableOf(chunkAmends, "amended event", &s.amends.rows, (*amendRow).append, (*reader).amendRow,
			func(_ uint64, a *amendRow) bool { return a.origin < a.last }),
		tableOf(chunkGroups, "kind of unpriced event", &s.unpriced.groups, (*unpricedGroup).append, (*reader).unpricedGroup,
			func(i uint64, g *unpricedGroup) bool { return (i == 0) == (g.raw == "") && i < unpricedGroupsMax }),
		tableOf(chunkUnpriced, "unpriced event", &s.unpriced.rows, (*unpricedRow).append, (*reader).unpricedRow,
			func(_ uint64, u *unpricedRow) bool { return u.group < unpricedGroupsMax }),
		tableOf(chunkGrants, "grant", &s.ledger.Grants, (*ledger.Grant).Append, (*reader).ledgerGrant,
			func(i uint64, g *ledger.Grant) bool {
				return person(g.Account) && int(i) < len(s.grants) && int(g.Scope) <= len(s.scopes)
			}),
		tableOf(chunkNodes, "node", &s.nodes, (*nodeRow).append, (*reader).nodeRow, func(_ uint64, n *nodeRow) bool { return person(n.account) }),
		tableOf(chunkLimits, "limit", &s.limitRows, (*limit.Row).Append, (*reader).limitRow, func(i uint64, _ *limit.Row) bool { return int(i) < len(s.limits) }),
		tableOf(chunkHolds, "hold", &s.holds.rows, (*holdRow).append, (*reader).holdRow,
			func(_ uint64, h *holdRow) bool {
				return h.seq == 0 || person(h.account) && int(h.shape) <= len(s.shapes)
			}),
		tableOf(chunkParts, "part of a hold", &s.holds.parts, (*holdPart).append, (*reader).holdPart,
			func(_ uint64, p *holdPart) bool { return p.Amount.IsZero() || int(p.Grant) < len(s.grants) }),
		tableOf(chunkTransit, "batch in transit", &s.results.transit, (*transitRow).append, (*reader).transitRow, nil),
		tableOf(chunkOutcomes, "page of results", &s.results.pages, (*outcomePage).append, (*reader).outcomePage, nil),
		tableOf(chunkLineParts, "line in parts", &s.results.parts, (*partsRow).append, (*reader).partsRow, nil),
		tableOf(chunkPlans, "subscription", &s.planRows, (*planRow).append, (*reader).planRow, func(i uint64, _ *planRow) bool { return int(i) < len(s.plans) }),
	}
}

func (r *reader) ledgerRow() ledger.Row {
	row, rest, err := ledger.DecodeRow(r.p)
	if err != nil {
		r.fail()
	} else {
		r.p = rest
	}
	return row
}

func (r *reader) ledgerGrant() ledger.Grant {
	row, rest, err := ledger.DecodeGrant(r.p)
	if err != nil {
		r.fail()
	} else {
		r.p = rest
	}
	return row
}

func (r *reader) limitRow() limit.Row {
	row, rest, err := limit.Decode(r.p)
	if err != nil {
		r.fail()
	} else {
		r.p = rest
	}
	return row
}

func (n *nodeRow) append(dst []byte) []byte {
	dst = append(appendRef(dst, n.account), byte(n.status))
	dst = appendBool(appendBool(appendBool(dst, n.ownOverdraft), n.unlimited), n.low)
	dst = n.held.AppendBinary(n.overdraft.AppendBinary(dst))
	for _, v := range [...]uint64{n.holds, uint64(n.request), uint64(n.raised), uint64(n.day), uint64(n.declines), uint64(n.until)} {
		dst = binary.AppendUvarint(dst, v)
	}
	return dst
}

func (r *reader) nodeRow() (n nodeRow) {
	n.account, n.status = r.ref(), accountStatus(r.byte())
	n.ownOverdraft, n.unlimited, n.low = r.bool(), r.bool(), r.bool()
	n.overdraft, n.held = r.amount(), r.amount()
	n.holds, n.request, n.raised = r.uvarint(), uint32(r.uvarint()), uint32(r.uvarint())
	n.day, n.declines, n.until = int32(r.uvarint()), uint32(r.uvarint()), int64(r.uvarint())
	if n.status > accountClosed {
		r.fail()
	}
	return n
}

// append writes a hold; a free row is a single 0.
func (h *holdRow) append(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, h.seq)
	if h.seq == 0 {
		return dst
	}
	dst = appendHoldID(dst, h.id)
	for _, v := range [...]uint64{h.last, h.counted, uint64(h.since), uint64(h.due), uint64(h.parts), uint64(h.shape), h.report} {
		dst = binary.AppendUvarint(dst, v)
	}
	return appendRef(h.amount.AppendBinary(dst), h.account)
}

func (r *reader) holdRow() (h holdRow) {
	if h.seq = r.uvarint(); h.seq == 0 {
		return h
	}
	h.id = r.holdID()
	h.last, h.counted, h.since, h.due = r.uvarint(), r.uvarint(), int64(r.uvarint()), int64(r.uvarint())
	h.parts, h.shape, h.report = uint32(r.uvarint()), uint32(r.uvarint()), r.uvarint()
	h.amount, h.account = r.amount(), r.ref()
	return h
}

func (p *holdPart) append(dst []byte) []byte {
	return p.Amount.AppendBinary(binary.AppendUvarint(binary.AppendUvarint(dst, uint64(p.next)), uint64(p.Grant)))
}

func (r *reader) holdPart() (p holdPart) {
	p.next, p.Grant, p.Amount = uint32(r.uvarint()), uint32(r.uvarint()), r.amount()
	return p
}

// restoredPeople rebuilds the trees of accounts, then the index of their names, which repeats their roots.
func (s *state) restoredPeople() error {
	for i, p := range s.people {
		p.Root, p.Depth = ledger.Ref(i), 1
		if p.Parent != ledger.NoRef {
			if int(p.Parent) >= i {
				return fmt.Errorf("account %s is below one that came later", p.ID)
			}
			p.Root, p.Depth = s.people[p.Parent].Root, s.people[p.Parent].Depth+1
		}
		s.enterChild(ledger.Ref(i))
		if !s.ledger.Totals(p.Currency).Used {
			return fmt.Errorf("account %d has a currency without books", i)
		}
		if len(p.ID) > meter.MaxIDBytes {
			return fmt.Errorf("account %d has an id of %d bytes", i, len(p.ID))
		}
		if p.Kind != ledger.Operator {
			s.accounts.add(s.hashOf([]byte(p.ID)), ledger.Ref(i), p)
		}
	}
	return nil
}

// restoredCredit rebuilds what is derived of prepaid credit after everything was loaded.
func (s *state) restoredCredit() error {
	for n := range s.nodes.Len() {
		s.enterNode(s.nodes.At(n).account, n+1)
	}
	for _, doc := range s.limitLog {
		r := reader{p: []byte(doc)}
		c := r.limits()
		if err := r.end(); err != nil || s.nodeAt(c.account) == 0 {
			return fmt.Errorf("limits that do not decode")
		}
		if err := s.bindLimits(c, doc); err != nil {
			return err
		}
	}
	for n := range s.holds.parts.Len() {
		if next := s.holds.parts.At(n).next; next > s.holds.parts.Len() {
			return fmt.Errorf("a part of a hold is followed by none")
		}
	}
	for n := range s.holds.rows.Len() {
		if s.holds.rows.At(n).parts > s.holds.parts.Len() {
			return fmt.Errorf("a hold has parts that are not there")
		}
	}
	s.holds.restored()
	return nil
}

// bindLimits finds the rows of a list of limits as it was put.
func (s *state) bindLimits(c *setLimits, doc string) error {
	list := make([]uint32, 0, len(c.list))
	for i := range c.list {
		l := &c.list[i]
		scope, ok := s.scopeNumber(&l.scope)
		row, found := s.lastLimit(c.account, l, scope)
		if !ok || !found {
			return fmt.Errorf("limit %s of account %s has no row", l.name, s.people[c.account].ID)
		}
		list = append(list, row)
	}
	n := s.nodeAt(c.account)
	for len(s.nodeLimits) < int(n) {
		s.nodeLimits = append(s.nodeLimits, nil)
	}
	s.nodeLimits[n-1], s.limitDocs[c.account], s.over.valid = list, doc, false
	return nil
}

// lastLimit is the newest row of a limit of this name, period and scope.
func (s *state) lastLimit(ref ledger.Ref, l *setLimit, scope uint32) (uint32, bool) {
	rows := s.limitsNamed[limitKey{ref, l.name}]
	for i := len(rows) - 1; i >= 0; i-- {
		if info := s.limits[rows[i]]; info.per == l.Per && info.scope == scope {
			return rows[i], true
		}
	}
	return 0, false
}

// startAgenda puts on the agenda what was not put there by the commands since the checkpoint.
func (s *state) startAgenda() {
	for n := range s.ledger.Grants.Len() {
		if g := s.ledger.Grants.At(n); g.Left().Sign() > 0 || !g.Over(s.time) { // a used one may be given something back
			s.scheduleGrant(n)
		}
	}
	for n := range s.planRows.Len() {
		s.schedulePlan(n)
	}
	for root, set := range s.settings {
		if s.wants(root) {
			node := s.node(root)
			s.lookLater(root, waits(&node, set.Auto))
		}
	}
}
