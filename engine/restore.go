package engine

import (
	"encoding/binary"
	"fmt"

	"farthing/journal"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// restored is what a chain of checkpoints gives: the state right after command seq, the
// evidence trees then, and where the next delta would begin.
type restored struct {
	state     *state
	evidence  evidence
	marker    checkpointMarker // of the newest; its id is zero: none, start from the base or the genesis
	base      extent
	deltaRows uint64 // in its deltas
}

// restore loads the newest checkpoint, or what the stored history begins with when there is none.
// It gives up when aborted says so.
func restore(store storage, aborted func() error) (out restored, err error) {
	markers, err := checkpointMarkers(store)
	if err != nil {
		return restored{}, err
	}
	if len(markers) == 0 {
		from, err := start(store, aborted)
		return restored{state: from.state, evidence: from.evidence, marker: checkpointMarker{seq: max(store.Base().Seq, 1)}}, err
	}
	defer func() { refuseBroken(recover(), &err, "checkpoint %d", markers[len(markers)-1].id) }()
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
	out = restored{marker: newest}
	l := loader{evidence: newEvidence(), aborted: aborted} // a checkpoint before the first priced event has no trees to write
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
	for i, t := range out.state.rowTables() {
		out.base.rows[i] = t.restored()
	}
	out.deltaRows = l.deltaRows
	return out, nil
}

// loader puts chunks together: into the state what needs nothing else, the rest into lists.
type loader struct {
	header    []byte // of the newest checkpoint so far
	state     *state
	rows      [numRowTables]rowTable
	versions  []*PriceVersion
	settings  []string
	back      []windowBack
	evidence  evidence
	deltaRows uint64
	work      *rowWork // on the checkpoint being read
	aborted   func() error
}

// checkpoint reads one of the chain. Rows are decoded by several goroutines: those of one
// checkpoint are different rows, so their order does not matter; those of the next wait for them.
func (l *loader) checkpoint(store storage, m checkpointMarker) error {
	return l.load(m.prev != 0, func(chunk func([]byte) error) error {
		n := uint32(0)
		err := store.TableScan(journal.KindCheckpoint, m.id, nil, nil, func(key, value []byte) (bool, error) {
			if len(key) != 4 || binary.BigEndian.Uint32(key) != n || len(value) == 0 {
				return false, fmt.Errorf("chunk %d is missing: %w", n, errTableGone)
			}
			n++
			if err := chunk(value); err != nil {
				return false, fmt.Errorf("chunk %d: %w", n-1, err)
			}
			return true, nil
		})
		if err == nil && n == 0 {
			err = errTableGone
		}
		return err
	})
}

// load takes the chunks that scan gives.
func (l *loader) load(delta bool, scan func(chunk func([]byte) error) error) error {
	l.work = newRowWork()
	err := scan(func(chunk []byte) error {
		if err := l.aborted(); err != nil {
			return err
		}
		return l.chunk(chunk[0], chunk[1:])
	})
	if waited := l.work.wait(); err == nil {
		err = waited
	}
	if err != nil {
		return err
	}
	return l.counted(delta)
}

// counted checks that a full checkpoint had every row, and a delta those that are new with it.
func (l *loader) counted(delta bool) error {
	for i := range l.rows {
		t, got := &l.rows[i], l.work.rows[i].Load()
		if length := uint64(t.len()); got > length || got < length-l.work.before[i] {
			return fmt.Errorf("%d rows of table %s, which has %d, %d of them before", got, t.name, length, l.work.before[i])
		}
		if delta {
			l.deltaRows += got
		}
	}
	return nil
}

func (l *loader) chunk(kind byte, p []byte) error {
	switch kind {
	case chunkHeader:
		l.header = append([]byte(nil), p...)
		return l.begin()
	case chunkEvidence:
		var err error
		l.evidence, err = parseEvidence(p)
		return err
	}
	for i := range l.rows {
		if l.state != nil && l.rows[i].kind == kind {
			l.work.add(&l.rows[i], &l.work.rows[i], p)
			return nil
		}
	}
	r := reader{p: p}
	for len(r.p) > 0 && !r.bad {
		l.entry(kind, &r)
	}
	return r.end()
}

// begin makes the state that everything goes into, and room for the rows of a checkpoint.
func (l *loader) begin() error {
	g, rest, err := cutGenesis(l.header)
	if err != nil {
		return err
	}
	if l.state == nil {
		l.state = newState(g)
		l.rows = l.state.rowTables()
	}
	r := reader{p: rest}
	r.position()
	for i := range l.rows {
		n := r.uvarint()
		if r.bad || n > 1<<31 || n < uint64(l.rows[i].len()) {
			return errCodec
		}
		l.work.before[i] = uint64(l.rows[i].len())
		l.rows[i].grow(uint32(n))
	}
	return nil
}

// entry reads one entry of a table or one row.
func (l *loader) entry(kind byte, r *reader) {
	if l.state == nil {
		r.fail()
		return
	}
	s := l.state
	switch kind {
	case chunkPeople:
		p := r.participant()
		p.Sequence, p.Time = r.uvarint(), int64(r.uvarint())
		s.people = append(s.people, p)
	case chunkSources:
		s.applySource(append([]byte(nil), r.bytes()...))
	case chunkShapes:
		if _, err := s.applyShape(r.str()); err != nil {
			r.fail()
		}
	case chunkVersions:
		l.version(r)
	case chunkTopUps:
		u := r.topUp()
		u.posted, u.seq, u.time = r.amount(), r.uvarint(), int64(r.uvarint())
		s.topUps[u.id] = u
		s.topUpLog = append(s.topUpLog, u)
	case chunkWindows:
		l.window(r.window())
	case chunkKeys:
		s.keys = append(s.keys, r.signingKey())
	case chunkDropped:
		p := r.droppedPart()
		p.seq, p.at = r.uvarint(), int64(r.uvarint())
		s.dropped = append(s.dropped, p)
	case chunkVoids:
		v := &voidEntry{id: r.str(), reason: r.str(), origin: r.uvarint(), seq: r.uvarint()}
		s.voids[v.id] = v
		s.voidLog = append(s.voidLog, v)
	case chunkBack:
		l.back = append(l.back, windowBack{r.uvarint(), ledger.Back{Account: r.ref(), Signed: r.amount()}})
	default:
		if !l.credit(kind, r) {
			r.fail()
		}
	}
}

// credit reads one entry of prepaid credit's lists; false: it is none.
func (l *loader) credit(kind byte, r *reader) bool {
	s := l.state
	switch kind {
	case chunkGrantInfo:
		s.enterGrant(r.grantInfo())
	case chunkScopes:
		s.enterScope(r.scope())
	case chunkLimitInfo:
		s.enterLimit(r.limitInfo())
	case chunkPlanInfo:
		s.enterPlan(r.subscriptionInfo())
	case chunkNotices:
		s.notices = append(s.notices, noticeRun{r.uvarint(), r.uvarint()})
	case chunkBooked:
		s.enterBooked(&bookedID{key: r.str(), payload: r.str(), seq: r.uvarint(), time: int64(r.uvarint())})
	case chunkAsks:
		raw := r.str()
		q := reader{p: []byte(raw)}
		if ask := q.topUpAsk(); q.end() != nil {
			r.fail()
		} else {
			s.restoreAsk(ask, raw)
		}
	case chunkLimitDocs:
		s.limitLog = append(s.limitLog, r.str())
	case chunkSettings:
		l.settings = append(l.settings, r.str())
	default:
		return false
	}
	return true
}

func (l *loader) window(w *window) {
	l.state.windows = append(l.state.windows, w)
	l.state.enterBatches(w)
	if w.id != "" {
		l.state.closedBy[w.id] = w
	}
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

// finish completes the state from everything that was read.
func (l *loader) finish() (*state, error) {
	if l.state == nil {
		return nil, errCodec
	}
	s := l.state
	r := reader{p: l.header}
	_, rest, err := cutGenesis(r.p)
	if err != nil {
		return nil, err
	}
	r.p = rest
	at := r.position()
	s.seq, s.time, s.windowFirst, s.nextStream, s.nextNotice, s.forgotten = at[0], int64(at[1]), at[2], at[4], at[5], at[6]
	s.told = s.nextNotice - 1
	for range l.rows {
		r.uvarint() // begin has read it
	}
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
	if int(s.ledger.Rows.Len()) != len(s.people) {
		return nil, fmt.Errorf("%d rows of %d participants", s.ledger.Rows.Len(), len(s.people))
	}
	s.ledger.Restore(s.people, totals, at[3])
	if err := l.givenBack(); err != nil {
		return nil, err
	}
	if err := s.restoredPeople(); err != nil {
		return nil, err
	}
	return s, l.derive()
}

// windowBack is an amount that a window gave back of a line.
type windowBack struct {
	window uint64
	back   ledger.Back
}

// givenBack restores what the open window gave back; checkpoints hold what earlier ones did as well.
func (l *loader) givenBack() error {
	s := l.state
	var list []ledger.Back
	for _, b := range l.back {
		if b.window != s.ledger.Window() {
			continue
		}
		if int(b.back.Account) >= len(s.people) || s.people[b.back.Account].Kind == ledger.Operator {
			return fmt.Errorf("an amount was given back to nobody")
		}
		list = append(list, b.back)
	}
	s.ledger.RestoreGivenBack(list)
	return nil
}

// derive makes what follows from the tables.
func (l *loader) derive() error {
	s := l.state
	for _, v := range l.versions {
		s.enterVersion(v)
	}
	for _, j := range s.rerates {
		s.bindRerate(j)
	}
	s.usage.restored()
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
	for _, doc := range l.settings {
		r := reader{p: []byte(doc)}
		c := r.settings()
		if r.end() != nil || int(c.account) >= len(s.people) {
			return fmt.Errorf("settings that do not decode")
		}
		s.enterSettings(c)
	}
	if err := s.results.restored(s); err != nil {
		return err
	}
	return s.restoredCredit()
}
