package engine

import (
	"fmt"

	"farthing/journal"
	"farthing/meter"
	"farthing/refusal"
)

// Settlement of a window, step by step:
//
//	cut      a journaled command; the rows as of it are collected between groups
//	netting  beside ingest, on the collected rows, line by line (net.go, batch.Netter)
//	staging  line records as they come, in rows, unsynced: the seal's fsync covers them
//	closing  journaled slices of closing transfers
//	seal     one journaled command with the manifests in the same atomic write; it is also the
//	         outbox entry: what it names may be published
//
// A crash anywhere before the seal resumes: replay meets the cut again and collects the
// same rows, netting gives the same lines, staging writes the same bytes, and closing goes on
// at the slice that is missing.

const (
	// closingLines is the lines of one slice: some 25 KiB of journal, a third of a
	// millisecond of the sequencer.
	closingLines = 1000
	// closingsAhead is how many slices are on their way at once: some 4 ms of the sequencer in a group.
	closingsAhead = 12
)

// closeWait is a request to close the open window: queued, then waiting for the seal.
type closeWait struct {
	id        string
	want      *uint64  // the window it has to be, or nil
	request   *Request // nil: time or a position
	threshold bool     // a position
	window    uint64   // once cut
	answer    func(*window, *refusal.Refusal)
}

// closeNext cuts the next window whose turn it is: one window is settled at a time, and a
// running checkpoint has to finish reading first.
func (s *sequencer) closeNext() {
	st := s.state
	if st.pending != nil || st.ledger.Rows.Active() {
		return
	}
	for i, w := range s.closing {
		if w.window != 0 || (w.request == nil && (s.e.stopping() || s.e.health.saving())) {
			continue // cut already; or the timer's, which the next start repeats, or which waits for space
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
		s.positionsClosed()
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
	send(s.e, s.e.toSettle, s.state.newSettleJob()) // room for one: one window is pending at a time
}

// settleLoop is the settler's goroutine; it ends when the channel is closed.
func (e *Engine) settleLoop() {
	defer close(e.settleDone)
	for job := range received(e, e.toSettle) {
		if err := e.settleWindow(job); err != nil {
			e.fail(fmt.Errorf("settlement of window %d: %w", job.window.number, err))
		}
	}
}

func (e *Engine) settleWindow(job *settleJob) error {
	w := job.window
	e.await(&e.marks.evidenced, w.cut)
	trees := e.roots.take(w.number)
	if err := trees.check(job.totals); err != nil {
		return err
	}
	stage := &lineStage{store: e.store}
	batches, err := job.net(trees.roots, stage.put)
	if err != nil {
		return err
	}
	if err := stage.flush(); err != nil {
		return err
	}
	job.rows = cutRows{}
	for i := range batches {
		e.postClosings(w.number, &batches[i], job.closed[batches[i].manifest.Currency])
	}
	e.postSeal(w.number, batches)
	return nil
}

// lineStage writes rows of line records a few at a time, unsynced.
type lineStage struct {
	store storage
	rows  [stagedRows]journal.Row // their memory is used again
	len   int
}

// stagedRows is how many rows are written at once, some 400 KiB: groups that commit meanwhile wait for
// it to get through the log.
const stagedRows = 8

func (s *lineStage) put(key, value []byte) error {
	if s.len == stagedRows {
		if err := s.flush(); err != nil {
			return err
		}
	}
	r := &s.rows[s.len]
	r.Space, r.Key, r.Value = journal.SpaceLines, append(r.Key[:0], key...), append(r.Value[:0], value...)
	s.len++
	return nil
}

func (s *lineStage) flush() error {
	err := s.store.Write(s.rows[:s.len], false)
	s.len = 0
	return err
}

// postClosings journals the closing transfers of a batch from the first line that is not
// closed yet. A few slices are on the ring at once: waiting for each to be durable would take a
// group each.
func (e *Engine) postClosings(window uint64, b *netBatch, closed uint32) {
	var ahead []*Request
	first := uint32(1)
	for _, lines := range b.closings {
		done := min(uint32(len(lines)), closed-min(closed, first-1))
		slice := &closingSlice{window: window, currency: b.manifest.Currency, first: first + done, lines: lines[done:]}
		first += uint32(len(lines))
		if len(slice.lines) == 0 {
			continue
		}
		if len(ahead) == closingsAhead {
			receive(e, ahead[0].done)
			ahead = ahead[1:]
		}
		payload := slice.append(make([]byte, 0, 32*closingLines))
		ahead = append(ahead, e.begin(func(s *sequencer) {
			s.command(kindClosing, payload)
			if err := s.state.applyClosing(slice); err != nil {
				panic("BUG: " + err.Error())
			}
		}))
	}
	for _, r := range ahead {
		receive(e, r.done)
	}
}

// postSeal journals the seal, with the manifests as rows of the same group, and answers
// who waits for it.
func (e *Engine) postSeal(window uint64, batches []netBatch) {
	seal := sealCommand{window: window}
	var rows []journal.Row
	for i := range batches {
		m := &batches[i].manifest
		sealed, manifest := batches[i].sealed(), m.AppendJSON(nil)
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
		s.positionsClosed()
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
