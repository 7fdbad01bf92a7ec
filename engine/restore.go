package engine

import (
	"encoding/binary"
	"fmt"

	"farthing/cow"
	"farthing/journal"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// restored is what a chain of checkpoints gives: the state right after command seq, the
// evidence trees then, and where the next delta would begin.
type restored struct {
	state    *state
	evidence evidence
	marker   checkpointMarker // of the newest; zero: none, start from genesis
	base     extent
}

// restore loads the newest checkpoint, or returns a zero marker when there is none.
func restore(store *journal.Store) (restored, error) {
	markers, err := checkpointMarkers(store)
	if err != nil || len(markers) == 0 {
		return restored{evidence: newEvidence()}, err
	}
	byID := make(map[uint64]checkpointMarker, len(markers))
	for _, m := range markers {
		byID[m.id] = m
	}
	newest := markers[len(markers)-1]
	var chain []checkpointMarker // newest first
	for m := newest; ; {
		chain = append(chain, m)
		if m.prev == 0 {
			break
		}
		prev, ok := byID[m.prev]
		if !ok {
			return restored{}, fmt.Errorf("checkpoint %d: its base %d is missing", m.id, m.prev)
		}
		m = prev
	}
	out := restored{marker: newest}
	l := loader{evidence: newEvidence()} // a checkpoint before the first priced event has no trees to write
	for i := len(chain) - 1; i >= 0; i-- {
		if err := l.checkpoint(store, chain[i]); err != nil {
			return restored{}, fmt.Errorf("checkpoint %d of sequence %d: %w", chain[i].id, chain[i].seq, err)
		}
	}
	if out.state, err = l.finish(); err != nil {
		return restored{}, fmt.Errorf("checkpoint %d of sequence %d: %w", newest.id, newest.seq, err)
	}
	out.evidence = l.evidence
	out.base = out.state.extent()
	out.base.rows, out.base.usage = out.state.ledger.Rows.Restored(), out.state.usage.rows.Restored()
	out.base.counters, out.base.amends = out.state.counters.rows.Restored(), out.state.amends.rows.Restored()
	out.base.unpriced, out.base.groups = out.state.unpriced.rows.Restored(), out.state.unpriced.groups.Restored()
	return out, nil
}

// loader puts chunks together.
type loader struct {
	header   []byte // of the newest checkpoint so far
	people   []*ledger.Participant
	sources  [][]byte
	shapes   []string
	versions []*PriceVersion
	topUps   []*topUp
	windows  []*window
	voids    []*voidEntry
	rows     ledger.Ledger // only Rows is used
	usage    usageTable
	counters cow.Table[counterRow]
	amends   cow.Table[amendRow]
	unpriced cow.Table[unpricedRow]
	groups   cow.Table[unpricedGroup]
	evidence evidence
}

func (l *loader) checkpoint(store *journal.Store, m checkpointMarker) error {
	n := uint32(0)
	err := store.TableScan(journal.KindCheckpoint, m.id, nil, nil, func(key, value []byte) (bool, error) {
		if len(key) != 4 || binary.BigEndian.Uint32(key) != n || len(value) == 0 {
			return false, fmt.Errorf("chunk %d is missing", n)
		}
		n++
		if err := l.chunk(value[0], value[1:]); err != nil {
			return false, fmt.Errorf("chunk %d: %w", n-1, err)
		}
		return true, nil
	})
	if err == nil && n == 0 {
		err = fmt.Errorf("its table is gone")
	}
	return err
}

func (l *loader) chunk(kind byte, p []byte) error {
	switch kind {
	case chunkHeader:
		l.header = append([]byte(nil), p...)
		return nil
	case chunkEvidence:
		var err error
		l.evidence, err = parseEvidence(p)
		return err
	}
	r := reader{p: p}
	for len(r.p) > 0 && !r.bad {
		l.entry(kind, &r)
	}
	return r.end()
}

// entry reads one entry of a table or one row.
func (l *loader) entry(kind byte, r *reader) {
	switch kind {
	case chunkPeople:
		p := r.participant()
		p.Sequence, p.Time = r.uvarint(), int64(r.uvarint())
		l.people = append(l.people, p)
	case chunkSources:
		l.sources = append(l.sources, append([]byte(nil), r.bytes()...))
	case chunkShapes:
		l.shapes = append(l.shapes, r.str())
	case chunkVersions:
		l.version(r)
	case chunkTopUps:
		u := r.topUp()
		u.posted, u.seq, u.time = r.amount(), r.uvarint(), int64(r.uvarint())
		l.topUps = append(l.topUps, u)
	case chunkWindows:
		l.windows = append(l.windows, r.window())
	case chunkGroups:
		i, row := r.uvarint(), r.unpricedGroup()
		restoreRow(r, &l.groups, i, row, (i == 0) == (row.raw == "") && i < unpricedGroupsMax)
	case chunkVoids:
		l.voids = append(l.voids, &voidEntry{id: r.str(), reason: r.str(), origin: r.uvarint(), seq: r.uvarint()})
	case chunkRows:
		l.row(r)
	case chunkUsage:
		i, row := r.uvarint(), r.usageRow()
		restoreRow(r, &l.usage.rows, i, row, int(row.account) < len(l.people) && int(row.shape) < len(l.shapes))
	case chunkCounters:
		i, row := r.uvarint(), r.counterRow()
		restoreRow(r, &l.counters, i, row, int(row.account) < len(l.people))
	case chunkAmends:
		i, row := r.uvarint(), r.amendRow()
		restoreRow(r, &l.amends, i, row, row.origin < row.last)
	case chunkUnpriced:
		i, row := r.uvarint(), r.unpricedRow()
		restoreRow(r, &l.unpriced, i, row, row.group < unpricedGroupsMax)
	default:
		r.fail()
	}
}

// restoreRow puts a row where it was, unless it cannot be one.
func restoreRow[R any](r *reader, t *cow.Table[R], i uint64, row R, plausible bool) {
	if r.bad || i >= 1<<31 || !plausible {
		r.fail()
		return
	}
	t.Restore(uint32(i), row)
}

func (l *loader) row(r *reader) {
	i := r.uvarint()
	row, rest, err := ledger.DecodeRow(r.p)
	if r.bad || err != nil || i >= uint64(len(l.people)) {
		r.fail()
		return
	}
	r.p = rest
	l.rows.Rows.Restore(uint32(i), row)
}

func (l *loader) version(r *reader) {
	id, seq, at, body := r.str(), r.uvarint(), int64(r.uvarint()), r.bytes()
	if r.bad {
		return
	}
	v, refused := meter.ReadVersion(id, body)
	if refused != nil {
		r.fail()
		return
	}
	l.versions = append(l.versions, &PriceVersion{Version: v, Sequence: seq, Time: timeOf(at)})
}

// finish builds the state from everything that was read.
func (l *loader) finish() (*state, error) {
	r := reader{p: l.header}
	g, rest, err := cutGenesis(r.p)
	if err != nil {
		return nil, err
	}
	r.p = rest
	s := newState(g)
	s.seq, s.time, s.windowFirst = r.uvarint(), int64(r.uvarint()), r.uvarint()
	openWindow := r.uvarint()
	s.nextStream = r.uvarint()
	lengths := [...]uint64{r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint(), r.uvarint()}
	totals := make([]ledger.Totals, money.Currencies())
	for range r.uvarint() {
		c, hash := r.currency(), r.hash()
		t, rest, err := ledger.DecodeTotals(r.p)
		if err != nil || r.bad {
			return nil, errCodec
		}
		r.p = rest
		totals[c.Index()] = t
		if hash != [32]byte{} {
			s.lastHash[c] = hash
		}
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		s.enterRerate(r.rerateState())
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	for i, got := range [...]uint32{l.usage.rows.Len(), l.counters.Len(), l.amends.Len(), l.unpriced.Len(), l.groups.Len()} {
		if uint64(got) != lengths[i] {
			return nil, fmt.Errorf("%d of %d rows of table %d", got, lengths[i], i)
		}
	}
	if int(l.rows.Rows.Len()) != len(l.people) {
		return nil, fmt.Errorf("%d rows of %d participants", l.rows.Rows.Len(), len(l.people))
	}
	s.ledger.Rows = l.rows.Rows
	s.ledger.Restore(l.people, totals, openWindow)
	s.people = l.people
	for i, p := range l.people {
		if p.Kind != ledger.Operator {
			s.accounts.add(s.hashOf([]byte(p.ID)), ledger.Ref(i))
		}
	}
	return s, l.enterTables(s)
}

// enterTables fills the tables and what is derived from them.
func (l *loader) enterTables(s *state) error {
	for _, name := range l.sources {
		s.applySource(name)
	}
	for _, raw := range l.shapes {
		if _, err := s.applyShape(raw); err != nil {
			return err
		}
	}
	for _, v := range l.versions {
		s.enterVersion(v)
	}
	for _, j := range s.rerates {
		s.bindRerate(j)
	}
	for _, u := range l.topUps {
		s.topUps[u.id] = u
		s.topUpLog = append(s.topUpLog, u)
	}
	for _, w := range l.windows {
		s.windows = append(s.windows, w)
		if w.id != "" {
			s.closedBy[w.id] = w
		}
	}
	for _, v := range l.voids {
		s.voids[v.id] = v
		s.voidLog = append(s.voidLog, v)
	}
	s.usage = l.usage
	s.usage.restored()
	s.counters.rows, s.amends.rows, s.unpriced.rows, s.unpriced.groups = l.counters, l.amends, l.unpriced, l.groups
	s.counters.restored()
	for n := range s.counters.rows.Len() {
		if row := s.counters.rows.At(n); int(row.terms) >= len(s.terms) {
			return fmt.Errorf("a counter of terms that no version has")
		}
	}
	s.amends.restored()
	if !s.unpriced.restored() {
		return fmt.Errorf("unpriced events of kinds that are not there")
	}
	return nil
}
