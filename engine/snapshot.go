package engine

import (
	"encoding/binary"
	"fmt"

	"farthing/journal"
	"farthing/ledger"
	"farthing/money"
)

// A checkpoint is an immutable table whose rows, numbered from 0, are chunks of the state
// right after a command C: header, append-only tables, rows, evidence. A delta holds what
// was appended or changed since the checkpoint before it. A marker row (C, chain hash,
// predecessor) comes last and makes it valid. Rows carry their own numbers, so chunks need no order
// beyond base before delta.

// snapshotStep is how many rows are visited between two groups: some 50 µs.
const snapshotStep = 1024

// chunkBytes is the size of a checkpoint's chunk.
const chunkBytes = 60 << 10

// deltasMax is how many deltas follow a full checkpoint: restarts read all of them, and
// disk keeps them.
const deltasMax = 16

// The kinds of chunks, the first byte of each.
const (
	chunkHeader   = 'h'
	chunkPeople   = 'p'
	chunkSources  = 's'
	chunkShapes   = 'g'
	chunkVersions = 'v'
	chunkTopUps   = 't'
	chunkWindows  = 'w'
	chunkGroups   = 'o' // of unpriced events
	chunkUnpriced = 'n'
	chunkCounters = 'c'
	chunkAmends   = 'a'
	chunkVoids    = 'd'
	chunkRows     = 'r'
	chunkUsage    = 'u'
	chunkEvidence = 'e'

	chunkGrantInfo = 'G'
	chunkScopes    = 'S'
	chunkLimitInfo = 'L'
	chunkPlanInfo  = 'P'
	chunkNotices   = 'N'
	chunkBooked    = 'B' // ids of bookings
	chunkAsks      = 'A' // top-up requests
	chunkLimitDocs = 'D' // limits as they were put
	chunkSettings  = 'T' // settings as they were put
	chunkGrants    = 'x'
	chunkNodes     = 'y'
	chunkLimits    = 'l'
	chunkHolds     = 'k'
	chunkParts     = 'q'
	chunkPlans     = 'z'

	chunkTransit   = 'i' // batches
	chunkOutcomes  = 'f' // of whole lines
	chunkLineParts = 'm' // lines in parts
	chunkBack      = 'b' // what the open window gave back of lines
	chunkKeys      = 'K' // that sign manifests
	chunkDropped   = 'X' // exported parts of the history
)

// checkpoints is the sequencer's side of checkpoints.
type checkpoints struct {
	job            *checkpointJob // whose rows are being copied; nil: none
	wantCheckpoint bool           // take one with the next group, due or not
	finalTaken     bool
	grown          int64  // journal bytes since the last one
	base           extent // what the last one holds
	nextID         uint64 // of checkpoints
	lastSeq        uint64 // of the last one
	deltas         int    // since the last full one
	deltaRows      uint64 // in them
}

// extent is how far the tables and epochs went at a checkpoint: where a delta begins.
type extent struct {
	people, sources, shapes, versions, topUps, windows, voids int
	grants, scopes, limits, plans, notices                    int
	booked, asks, limitDocs, settings, keys, dropped          int
	window                                                    uint64               // the open one
	back                                                      int                  // what it gave back of lines
	rows                                                      [numRowTables]uint32 // epochs, by table
}

func (s *state) extent() extent {
	return extent{people: len(s.people), sources: len(s.sources), shapes: len(s.shapes), versions: len(s.versions),
		topUps: len(s.topUpLog), windows: len(s.windows), voids: len(s.voidLog),
		grants: len(s.grants), scopes: len(s.scopes), limits: len(s.limits), plans: len(s.plans), notices: len(s.notices),
		booked: len(s.bookedLog), asks: len(s.askLog), limitDocs: len(s.limitLog), settings: len(s.setLog), keys: len(s.keys), dropped: len(s.dropped),
		window: s.ledger.Window(), back: len(s.ledger.GivenBack())}
}

// logs are the append-only lists of the state that readers have no use for. Entries do not change.
type logs struct {
	topUps                    []*topUp
	voids                     []*voidEntry
	booked                    []*bookedID
	asks, limitDocs, settings []string
	back                      []ledger.Back // of the open window alone
}

func (s *state) logs() logs {
	return logs{s.topUpLog, s.voidLog, s.bookedLog, s.askLog, s.limitLog, s.setLog, s.ledger.GivenBack()}
}

// checkpointJob is one checkpoint on its way to disk. The sequencer fills chunks, the
// writer empties them; everything else is set before the job is handed over.
type checkpointJob struct {
	id, prev uint64 // prev 0: full
	seq      uint64
	deltas   int
	header   []byte
	from, to extent
	tables   tables
	logs     logs
	rows     [numRowTables]rowTable
	chunks   chan []byte
	room     chan struct{}     // a token when the writer took a chunk
	evidence chan []byte       // from the indexer
	head     chan journal.Head // from the committer
	buf      []byte            // the chunk being filled; sequencer
	copied   int               // tables of rows whose snapshot is complete
}

// chunksQueued bounds the chunks between sequencer and writer (4 MiB).
const chunksQueued = 64

// startCheckpoint begins a checkpoint of the state right after group g if one is due.
func (s *sequencer) startCheckpoint(g *group) {
	s.grown += int64(g.bytes)
	again := s.e.health.checkpointFailed.Load()
	due := s.wantCheckpoint || (again || s.grown >= s.e.o.CheckpointBytes) && !s.e.health.saving()
	if !due || s.job != nil || s.state.pending != nil || !s.e.writerFree.CompareAndSwap(true, false) {
		return
	}
	if s.e.health.checkpointFailed.Swap(false) {
		s.base = extent{} // what the last one would have held is in no table: this one is full
	}
	st := s.state
	changed, full := st.changedRows(), s.base == (extent{}) || s.deltas >= deltasMax
	full = full || s.folds(changed)
	job := &checkpointJob{id: s.nextID, seq: st.seq, header: st.appendHeader(nil), to: st.extent(), tables: st.tables,
		logs: st.logs(), rows: st.rowTables(), chunks: make(chan []byte, chunksQueued),
		room: make(chan struct{}, 1), evidence: make(chan []byte, 1), head: make(chan journal.Head, 1)}
	if full {
		s.deltas, s.deltaRows = 0, 0
	} else {
		job.prev, job.from = s.nextID-1, s.base
		s.deltas, s.deltaRows = s.deltas+1, s.deltaRows+changed
	}
	job.deltas = s.deltas
	for i := range job.rows {
		job.to.rows[i] = job.rows[i].begin(job.from.rows[i])
	}
	s.base, s.lastSeq, s.grown, s.wantCheckpoint = job.to, st.seq, 0, false
	s.nextID++
	s.job, g.checkpoint = job, job
	send(s.e, s.e.toCheckpoint, job)
}

// copying reports whether there is a snapshot to go on with and room for it.
func (s *sequencer) copying() bool {
	if p := s.state.pending; p != nil && !p.ready {
		return true
	}
	return s.job != nil && s.job.takesStep()
}

// room is a channel that tells when the checkpoint writer has room again.
func (s *sequencer) room() <-chan struct{} {
	if s.job == nil {
		return nil
	}
	return s.job.room
}

// stepCheckpoint copies a bounded number of rows, one table after the other.
func (s *sequencer) stepCheckpoint() {
	job := s.job
	if job == nil || !job.takesStep() || !job.rows[job.copied].step(job) {
		return
	}
	job.flush()
	if job.copied++; job.copied == numRowTables {
		close(job.chunks)
		s.job = nil
	}
}

// takesStep reports whether the queue has room for the chunks of one step: 1,024 rows of
// at most 350 bytes make 6, and two are flushed early.
func (j *checkpointJob) takesStep() bool { return len(j.chunks)+8 <= cap(j.chunks) }

// start makes room in the chunk being filled.
func (j *checkpointJob) start(kind byte) {
	if len(j.buf) >= chunkBytes {
		j.flush()
	}
	if len(j.buf) == 0 {
		j.buf = append(make([]byte, 0, chunkBytes+512), kind)
	}
}

func (j *checkpointJob) flush() {
	if len(j.buf) > 0 {
		j.chunks <- j.buf
		j.buf = nil
	}
}

// finished takes the last checkpoint and makes the open generation a run, if anything changed
// since they were written, and reports whether nothing of the sequencer's own is under way.
func (s *sequencer) finished() bool {
	if s.job != nil || s.wantCheckpoint || s.state.pending != nil {
		return false // a settlement under way still needs the sequencer
	}
	if !s.finalTaken {
		s.finalTaken = true
		s.wantCheckpoint = s.state.seq != s.lastSeq || s.state.seq >= s.ids.open().first
		return !s.wantCheckpoint
	}
	return true
}

// checkpointLoop is the writer's goroutine; it ends when the channel is closed.
func (e *Engine) checkpointLoop() {
	defer close(e.checkpointDone)
	for job := range received(e, e.toCheckpoint) {
		switch err := job.write(e); {
		case err == nil:
			e.marks.checkpointed.advance(job.seq)
		case tableFault(err):
			e.o.Logger.Error("a checkpoint could not be written; the one before it holds, and a restart replays more", "checkpoint", job.id, "error", err)
			e.health.checkpointFailed.Store(true)
		default:
			e.fail(fmt.Errorf("checkpoint %d: %w", job.id, err))
		}
		e.writerFree.Store(true)
		select {
		case e.writerIdle <- struct{}{}: // a last checkpoint may wait for it
		default:
		}
	}
}

// write writes all chunks, waits until the state they show is durable, and makes the
// checkpoint valid.
func (j *checkpointJob) write(e *Engine) error {
	store := e.store
	chunks, err := store.NewTable(journal.KindCheckpoint, j.id) // failed: everybody is still waited for
	n := uint32(0)
	add := func(chunk []byte) {
		if err == nil && len(chunk) > 1 {
			err = chunks.Add(binary.BigEndian.AppendUint32(nil, n), chunk)
			n++
		}
	}
	add(append([]byte{chunkHeader}, j.header...))
	j.appendTables(add)
	for chunk := range received(e, j.chunks) {
		add(chunk)
		select {
		case j.room <- struct{}{}:
		default:
		}
	}
	evidence, _ := receive(e, j.evidence)
	add(append([]byte{chunkEvidence}, evidence...))
	head, _ := receive(e, j.head)
	if err != nil {
		if chunks != nil {
			_ = chunks.Abort() // what matters went wrong before
		}
		return err
	}
	if err := store.Ingest([]table{chunks}, []journal.Row{j.marker(head)}); err != nil {
		return err
	}
	if j.prev == 0 {
		return dropCheckpoints(store, j.id)
	}
	return nil
}

// appendTables writes what the append-only tables gained since from.
func (j *checkpointJob) appendTables(add func([]byte)) {
	write := func(kind byte, from, to int, entry func(dst []byte, i int) []byte) {
		buf := []byte{kind}
		for i := from; i < to; i++ {
			buf = entry(buf, i)
			if len(buf) >= chunkBytes {
				add(buf)
				buf = []byte{kind}
			}
		}
		add(buf)
	}
	t := &j.tables
	write(chunkPeople, j.from.people, j.to.people, func(dst []byte, i int) []byte {
		p := t.people[i]
		dst = appendParticipant(dst, p)
		dst = binary.AppendUvarint(dst, p.Sequence)
		return binary.AppendUvarint(dst, uint64(p.Time))
	})
	write(chunkSources, max(j.from.sources, 1), j.to.sources, func(dst []byte, i int) []byte { return appendBytes(dst, t.sources[i]) })
	write(chunkShapes, j.from.shapes, j.to.shapes, func(dst []byte, i int) []byte { return appendBytes(dst, t.shapes[i].raw) })
	write(chunkVersions, j.from.versions, j.to.versions, func(dst []byte, i int) []byte {
		v := t.versions[i]
		dst = appendBytes(dst, v.Version.ID)
		dst = binary.AppendUvarint(dst, v.Sequence)
		dst = binary.AppendUvarint(dst, uint64(v.Time.UnixNano()))
		return appendBytes(dst, v.Version.Canonical)
	})
	write(chunkTopUps, j.from.topUps, j.to.topUps, func(dst []byte, i int) []byte {
		u := j.logs.topUps[i]
		dst = u.posted.AppendBinary(u.append(dst))
		dst = binary.AppendUvarint(dst, u.seq)
		return binary.AppendUvarint(dst, uint64(u.time))
	})
	write(chunkWindows, j.from.windows, j.to.windows, func(dst []byte, i int) []byte { return t.windows[i].append(dst) })
	write(chunkVoids, j.from.voids, j.to.voids, func(dst []byte, i int) []byte {
		v := j.logs.voids[i]
		dst = appendBytes(appendBytes(dst, v.id), v.reason)
		return binary.AppendUvarint(binary.AppendUvarint(dst, v.origin), v.seq)
	})
	write(chunkKeys, j.from.keys, j.to.keys, func(dst []byte, i int) []byte { return t.keys[i].append(dst) })
	write(chunkDropped, j.from.dropped, j.to.dropped, func(dst []byte, i int) []byte {
		p := t.dropped[i]
		return binary.AppendUvarint(binary.AppendUvarint(p.append(dst), p.seq), uint64(p.at))
	})
	j.appendCredit(write)
	from := j.from.back
	if j.from.window != j.to.window { // that list is over, and another one began
		from = 0
	}
	write(chunkBack, from, j.to.back, j.appendBack)
}

func (j *checkpointJob) appendBack(dst []byte, i int) []byte {
	b := &j.logs.back[i]
	return b.Signed.AppendBinary(appendRef(binary.AppendUvarint(dst, j.to.window), b.Account))
}

// appendCredit writes the lists of prepaid credit.
func (j *checkpointJob) appendCredit(write func(kind byte, from, to int, entry func(dst []byte, i int) []byte)) {
	t, from, to := &j.tables, &j.from, &j.to
	write(chunkGrantInfo, from.grants, to.grants, func(dst []byte, i int) []byte { return t.grants[i].append(dst) })
	write(chunkScopes, from.scopes, to.scopes, func(dst []byte, i int) []byte { return t.scopes[i].append(dst) })
	write(chunkLimitInfo, from.limits, to.limits, func(dst []byte, i int) []byte { return t.limits[i].append(dst) })
	write(chunkPlanInfo, from.plans, to.plans, func(dst []byte, i int) []byte { return t.plans[i].append(dst) })
	write(chunkNotices, from.notices, to.notices, func(dst []byte, i int) []byte {
		return binary.AppendUvarint(binary.AppendUvarint(dst, t.notices[i].first), t.notices[i].seq)
	})
	write(chunkBooked, from.booked, to.booked, func(dst []byte, i int) []byte {
		b := j.logs.booked[i]
		dst = appendBytes(appendBytes(dst, b.key), b.payload)
		return binary.AppendUvarint(binary.AppendUvarint(dst, b.seq), uint64(b.time))
	})
	text := func(list []string) func([]byte, int) []byte {
		return func(dst []byte, i int) []byte { return appendBytes(dst, list[i]) }
	}
	write(chunkAsks, from.asks, to.asks, text(j.logs.asks))
	write(chunkLimitDocs, from.limitDocs, to.limitDocs, text(j.logs.limitDocs))
	write(chunkSettings, from.settings, to.settings, text(j.logs.settings))
}

// checkpointMarker is what makes a checkpoint valid.
type checkpointMarker struct {
	id, prev uint64
	deltas   int
	seq      uint64
	hash     journal.Hash
}

func (j *checkpointJob) marker(head journal.Head) journal.Row {
	v := binary.AppendUvarint(nil, j.prev)
	v = binary.AppendUvarint(v, uint64(j.deltas))
	v = binary.AppendUvarint(v, j.seq)
	v = append(v, head.Hash[:]...)
	return journal.Row{Space: journal.SpaceMarker, Key: checkpointKey(j.id), Value: v}
}

func checkpointKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'c'}, id) }

// checkpointMarkers returns the valid checkpoints by id.
func checkpointMarkers(store storage) ([]checkpointMarker, error) {
	var out []checkpointMarker
	err := store.Scan(journal.SpaceMarker, []byte{'c'}, []byte{'c' + 1}, func(key, value []byte) (bool, error) {
		r := reader{p: value}
		m := checkpointMarker{id: binary.BigEndian.Uint64(key[1:]), prev: r.uvarint(), deltas: int(r.uvarint()), seq: r.uvarint(), hash: r.hash()}
		if r.end() != nil {
			return false, fmt.Errorf("checkpoint %d: its marker does not decode", m.id)
		}
		out = append(out, m)
		return true, nil
	})
	return out, err
}

// dropCheckpoints removes everything before a full checkpoint: markers first, so that no
// marker ever names a table that is gone.
func dropCheckpoints(store storage, full uint64) error {
	markers, err := checkpointMarkers(store)
	if err != nil {
		return err
	}
	var rows []journal.Row
	for _, m := range markers {
		if m.id < full {
			rows = append(rows, journal.Row{Space: journal.SpaceMarker, Key: checkpointKey(m.id), Delete: true})
		}
	}
	if len(rows) > 0 {
		if err := store.Write(rows, true); err != nil {
			return err
		}
	}
	ids, err := store.Tables(journal.KindCheckpoint)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if id < full {
			if err := store.DropTable(journal.KindCheckpoint, id); err != nil {
				return err
			}
		}
	}
	return nil
}

// appendPosition writes where the state stands in its history.
func (s *state) appendPosition(dst []byte) []byte {
	for _, n := range [...]uint64{s.seq, uint64(s.time), s.windowFirst, s.ledger.Window(), s.nextStream, s.nextNotice, s.forgotten} {
		dst = binary.AppendUvarint(dst, n)
	}
	return dst
}

// position reads what appendPosition wrote.
func (r *reader) position() (at [7]uint64) {
	for i := range at {
		at[i] = r.uvarint()
	}
	return at
}

// appendHeader writes what is neither a table nor a row.
func (s *state) appendHeader(dst []byte) []byte {
	dst = s.appendPosition(s.genesis.append(dst))
	for _, t := range s.rowTables() {
		dst = binary.AppendUvarint(dst, uint64(t.len()))
	}
	return s.appendRest(dst)
}

// appendTotals is what of the header does not depend on how often rows were used again.
func (s *state) appendTotals(dst []byte) []byte {
	return s.appendRest(s.appendPosition(s.genesis.append(dst)))
}

// appendRest writes the books of each currency and the rerates.
func (s *state) appendRest(dst []byte) []byte {
	used := s.ledger.Currencies()
	dst = binary.AppendUvarint(dst, uint64(len(used)))
	for _, i := range used {
		c := money.CurrencyAt(i)
		dst = append(dst, c.Code()...)
		hash := s.lastHash[c]
		dst = append(dst, hash[:]...)
		dst = s.ledger.Totals(c).Append(dst)
	}
	dst = binary.AppendUvarint(dst, uint64(len(s.rerates)))
	for _, j := range s.rerates {
		dst = j.appendState(dst)
	}
	return dst
}
