package engine

import (
	"encoding/binary"
	"fmt"

	"farthing/batch"
	"farthing/journal"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// Settlement of a window, step by step:
//
//	cut      a journaled command; the rows as of it are collected between groups
//	netting  beside ingest, on the collected rows (batch.Net)
//	staging  line records in chunks of rows, unsynced: the seal's fsync covers them
//	closing  journaled slices of closing transfers
//	seal     one journaled command with the manifests in the same atomic write; it is also the
//	         outbox entry: what it names may be published
//
// A crash anywhere before the seal resumes: replay meets the cut again and collects the
// same rows, netting gives the same lines, staging writes the same bytes, and closing goes on
// at the slice that is missing.

const (
	// closingLines is the lines of one slice: some 25 KiB of journal, a tenth of a
	// millisecond of the sequencer.
	closingLines = 1000
	// stagedLines is the line records of one staged row, some 40 KiB.
	stagedLines = 128
)

// closeWait is a request to close the open window: queued, then waiting for the seal.
type closeWait struct {
	id      string
	want    *uint64  // the window it has to be, or nil
	request *Request // nil: the timer
	window  uint64   // once cut
	answer  func(*window, *refusal.Refusal)
}

// closeNext cuts the next window whose turn it is: one window is settled at a time, and a
// running checkpoint has to finish reading first.
func (s *sequencer) closeNext() {
	st := s.state
	if st.pending != nil || st.ledger.Rows.Active() {
		return
	}
	for i, w := range s.closing {
		if w.window != 0 || (w.request == nil && s.e.stopping()) {
			continue // cut already; or the timer's, which the next start repeats
		}
		number := st.ledger.Window()
		if w.want != nil && *w.want != number {
			s.closing = append(s.closing[:i:i], s.closing[i+1:]...)
			w.answer(nil, refusal.New(refusal.WindowConflict, "window_conflict", "the open window is %d, not %d", number, *w.want))
			s.g.waiters = append(s.g.waiters, w.request)
			return
		}
		w.window = number
		cut := cutCommand{window: number, id: w.id, want: wantOf(w.want)}
		s.command(kindCut, cut.append(nil))
		st.applyCut(cut)
		return
	}
}

// settle hands the pending cut to the settler once its rows are collected.
func (s *sequencer) settle() {
	p := s.state.pending
	if p == nil || !p.ready || p.handed {
		return
	}
	p.handed = true
	job := &settleJob{pending: p, tables: s.state.tables, genesis: s.state.genesis, nextStream: s.state.nextStream,
		lastHash: map[money.Currency][32]byte{}, closed: map[money.Currency]uint32{}}
	for c, h := range s.state.lastHash {
		job.lastHash[c] = h
	}
	for c, n := range p.closed {
		job.closed[c] = n
	}
	s.e.toSettle <- job // room for one: one window is pending at a time
}

// settleJob is what the settler needs of the state; all of it is immutable or its own.
type settleJob struct {
	pending    *pendingCut // rows and totals do not change once collected
	tables     tables
	genesis    genesis
	nextStream uint64
	lastHash   map[money.Currency][32]byte
	closed     map[money.Currency]uint32 // lines closed before a crash
}

// netBatch is one batch before it is sealed.
type netBatch struct {
	manifest batch.Manifest
	lines    []batch.Line
	refs     []ledger.Ref // of the lines
}

// settleLoop is the settler's goroutine; it ends when the channel is closed.
func (e *Engine) settleLoop() {
	defer close(e.settleDone)
	for job := range e.toSettle {
		if err := e.settleWindow(job); err != nil {
			e.fail(fmt.Errorf("settlement of window %d: %w", job.pending.window.number, err))
		}
	}
}

func (e *Engine) settleWindow(job *settleJob) error {
	w := job.pending.window
	e.marks.evidenced.wait(w.cut)
	batches, err := job.net(e.roots.take(w.number))
	if err != nil {
		return err
	}
	for i := range batches {
		if err := stageLines(e.store, &batches[i]); err != nil {
			return err
		}
	}
	for i := range batches {
		e.postClosings(w.number, &batches[i], job.closed[batches[i].manifest.Currency])
	}
	e.postSeal(w.number, batches)
	return nil
}

// net makes the batches of the window, by currency code.
func (j *settleJob) net(roots map[money.Currency][32]byte) ([]netBatch, error) {
	var out []netBatch
	stream := j.nextStream
	for i := range money.Currencies() {
		c := money.CurrencyAt(i)
		if !j.pending.totals[i].Used {
			continue
		}
		b, err := j.netCurrency(c, roots[c], stream)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.Code(), err)
		}
		if b != nil {
			out = append(out, *b)
			stream += uint64(b.manifest.Lines) + 1
		}
	}
	return out, nil
}

func (j *settleJob) netCurrency(c money.Currency, root [32]byte, stream uint64) (*netBatch, error) {
	positions, refs := positionsAt(j.pending, &j.tables, c)
	lines, sums, err := batch.Net(positions, c.Digits())
	if err != nil || len(lines) == 0 {
		return nil, err
	}
	w := j.pending.window
	if root == [32]byte{} {
		root = emptyRoot()
	}
	cut := batch.Cut{Ledger: j.genesis.ledgerID, Partition: j.genesis.partition, Window: w.number, Currency: c,
		First: w.first, Last: w.cut, Time: w.time, Events: j.pending.totals[c.Index()].Events,
		MerkleRoot: root, Previous: j.lastHash[c], FirstStreamSeq: stream}
	scope := cut.Scope()
	manifest, err := batch.NewManifest(cut, len(lines), sums, batch.HashLines(&scope, lines))
	if err != nil {
		return nil, err
	}
	byID := make(map[string]ledger.Ref, len(positions))
	for i := range positions {
		byID[positions[i].Account] = refs[i]
	}
	b := &netBatch{manifest: manifest, lines: lines, refs: make([]ledger.Ref, len(lines))}
	for i := range lines {
		b.refs[i] = byID[lines[i].Account]
	}
	return b, nil
}

// stageLines writes the line records. The key is batch id | number of the row's first
// line (4, big-endian); the value is the records, each preceded by its uvarint length.
func stageLines(store *journal.Store, b *netBatch) error {
	scope := b.manifest.Scope()
	rows := make([]journal.Row, 0, 16)
	for at := 0; at < len(b.lines); at += stagedLines {
		value := make([]byte, 0, 48<<10)
		var record []byte
		for i := at; i < min(at+stagedLines, len(b.lines)); i++ {
			record = b.lines[i].AppendJSON(record[:0], &scope)
			value = appendBytes(value, record)
		}
		rows = append(rows, journal.Row{Space: journal.SpaceLines, Key: lineKey(b.manifest.BatchID, uint32(at)+1), Value: value})
		if len(rows) == cap(rows) || at+stagedLines >= len(b.lines) {
			if err := store.Write(rows, false); err != nil {
				return err
			}
			rows = rows[:0]
		}
	}
	return nil
}

func lineKey(batchID [32]byte, first uint32) []byte {
	return binary.BigEndian.AppendUint32(batchID[:], first)
}

// postClosings journals the closing transfers of a batch from the first line that is not
// closed yet.
func (e *Engine) postClosings(window uint64, b *netBatch, closed uint32) {
	for at := int(closed); at < len(b.lines); at += closingLines {
		slice := &closingSlice{window: window, currency: b.manifest.Currency, first: uint32(at) + 1}
		for i := at; i < min(at+closingLines, len(b.lines)); i++ {
			slice.lines = append(slice.lines, closingLine{b.refs[i], b.lines[i].Signed(), b.lines[i].CarriedOut})
		}
		payload := slice.append(nil)
		e.internal(func(s *sequencer) {
			s.command(kindClosing, payload)
			if err := s.state.applyClosing(slice); err != nil {
				panic("BUG: " + err.Error())
			}
		})
	}
}

// sealedBatchOf is what a seal says of a batch, but for its signature.
func sealedBatchOf(b *netBatch) sealedBatch {
	m := &b.manifest
	out := sealedBatch{id: m.BatchID, hash: m.Hash(), currency: m.Currency, lines: m.Lines, events: m.Events, paid: m.Sums.Paid,
		collected: m.Sums.Collected, firstStream: m.FirstStreamSeq}
	for i := range b.lines {
		switch b.lines[i].Direction {
		case batch.Pay:
			out.pays++
		case batch.Collect:
			out.collects++
		case batch.None:
		}
	}
	return out
}

// postSeal journals the seal, with the manifests as rows of the same group, and answers
// who waits for it.
func (e *Engine) postSeal(window uint64, batches []netBatch) {
	seal := sealCommand{window: window}
	var rows []journal.Row
	for i := range batches {
		m := &batches[i].manifest
		sealed, manifest := sealedBatchOf(&batches[i]), m.AppendJSON(nil)
		e.sign(&sealed, manifest)
		seal.batches = append(seal.batches, sealed)
		rows = append(rows, journal.Row{Space: journal.SpaceManifest, Key: append([]byte(nil), m.BatchID[:]...), Value: manifest})
	}
	var seq uint64
	e.internal(func(s *sequencer) {
		s.command(kindSeal, seal.append(nil))
		if err := s.state.applySeal(seal); err != nil {
			panic("BUG: " + err.Error())
		}
		seq = s.state.seq
		s.g.rows = append(s.g.rows, rows...)
		s.answerSealed(window)
	})
	e.marks.sealed.advance(seq)
	e.sealedChanged.notify()
}

// answerSealed completes the answers of all who wait for the window; they are released
// with the seal's group.
func (s *sequencer) answerSealed(number uint64) {
	w := s.state.windows[number-1]
	rest := s.closing[:0]
	for _, c := range s.closing {
		if c.window != number {
			rest = append(rest, c)
			continue
		}
		if c.request != nil {
			c.answer(w, nil)
			s.g.waiters = append(s.g.waiters, c.request)
		}
	}
	clear(s.closing[len(rest):])
	s.closing = rest
}

// CloseWindow closes the open window and returns when its batches are sealed. The same id
// again gives the first one's answer (created false).
func (e *Engine) CloseWindow(id string, want *uint64) (answer Settlement, created bool, refused *refusal.Refusal) {
	if !meter.ValidID([]byte(id)) {
		return answer, false, refusal.New(refusal.Invalid, "invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @")
	}
	reply := func(w *window, why *refusal.Refusal) {
		if refused = why; why == nil {
			answer = settlementOf(w)
		}
	}
	unavailable := e.do(func(s *sequencer) bool {
		wait := &closeWait{id: id, want: want, answer: reply}
		for _, c := range s.closing {
			if c.id == id && c.window == 0 { // queued
				created, wait.request = false, s.current
				return s.join(wait, c)
			}
		}
		if w := s.state.closedBy[id]; w != nil {
			if wantOf(want) != w.want {
				refused = refusal.New(refusal.IDConflict, "id_conflict", "this id closed window %d, asked for with other content", w.number)
				return false
			}
			if w.sealed != 0 {
				reply(w, nil)
				return false
			}
			wait.window = w.number
		} else {
			created = true
		}
		wait.request = s.current
		s.closing = append(s.closing, wait)
		return true
	})
	if unavailable != nil {
		return Settlement{}, false, unavailable
	}
	return answer, created && refused == nil, refused
}

// wantOf is the window a request names, 0 for none: no window has that number.
func wantOf(want *uint64) uint64 {
	if want == nil {
		return 0
	}
	return *want
}

// join makes wait share the fate of the queued close c of the same id.
func (s *sequencer) join(wait, c *closeWait) bool {
	if wantOf(wait.want) != wantOf(c.want) {
		wait.answer(nil, refusal.New(refusal.IDConflict, "id_conflict", "this id is closing another window"))
		return false
	}
	first, request := c.answer, c.request
	c.answer = func(w *window, why *refusal.Refusal) {
		first(w, why)
		wait.answer(w, why)
		s.g.waiters = append(s.g.waiters, wait.request)
	}
	c.request = request
	return true
}

func settlementOf(w *window) Settlement {
	out := Settlement{ID: w.id, Window: w.number, Cut: w.cut, Time: timeOf(w.time), Sequence: w.sealed}
	for i := range w.batches {
		b := &w.batches[i]
		out.Batches = append(out.Batches, SettlementBatch{BatchID: hexID(b.id), Currency: b.currency, Lines: b.lines,
			Paid: b.paid, Collected: b.collected})
	}
	return out
}
