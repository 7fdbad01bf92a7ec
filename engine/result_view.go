package engine

import (
	"strconv"

	"farthing/batch"
	"farthing/money"
	"farthing/refusal"
)

// LineState shows how a line stands.
func (e *Engine) LineState(id string, line uint32) (LineState, *refusal.Refusal) {
	done, refused := e.read()
	if refused != nil {
		return LineState{}, refused
	}
	defer done()
	x := resultReader{e: e, lines: lineReader{store: e.store}}
	a := askedResult{spec: &LineResult{Batch: id, Line: line}}
	refused, err := x.read(&a)
	if err != nil {
		return LineState{}, e.damaged(err)
	}
	if refused != nil {
		return LineState{}, refused
	}
	var out LineState
	refused = e.do(func(s *sequencer) bool {
		out = s.state.lineState(a.batch, &a.line)
		return false
	})
	return out, refused
}

const (
	// openVisit is how many lines one look at the sequencer takes at most, some hundred microseconds.
	// The first look takes what the page needs, or a little more; each one after it twice as many.
	openVisit, openVisitFirst = 4096, 64
	// openRecords bounds the records that one page of open lines reads: where most lines move
	// nothing a page may have fewer items than were asked for, or none, and still a next one.
	openRecords = 8 * openVisit
)

// OpenLines lists the lines of a batch that have an amount in transit, by number.
func (e *Engine) OpenLines(id, cursor string, limit int) (page Page[LineState], refused *refusal.Refusal) {
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	done, refused := e.read()
	if refused != nil {
		return page, refused
	}
	defer done()
	t := e.published.Load()
	number, refused := e.batchNumber(t, id)
	if refused != nil {
		return page, refused
	}
	b, lines := t.batches[number].sealed(), lineReader{store: e.store}
	limit = min(limit, listMax)
	if from > uint64(b.lines) {
		return page, nil
	}
	next, visit := max(uint32(from), 1), min(max(limit, openVisitFirst), openVisit)
	for read := 0; next != 0; read, visit = read+visit, min(2*visit, openVisit) {
		if len(page.Items) == limit || read >= openRecords {
			page.Next = strconv.FormatUint(uint64(next), 10)
			break
		}
		seen, refused := e.openLines(number, next, b.lines, visit)
		if refused != nil {
			return Page[LineState]{}, refused
		}
		next = seen.next
		for i, n := range seen.lines {
			if len(page.Items) == limit {
				next = n
				break
			}
			line, err := lines.at(b, n)
			if err != nil {
				return Page[LineState]{}, e.damaged(err)
			}
			if line.Direction != batch.None {
				page.Items = append(page.Items, stateOf(b, &line, seen.parts[i]))
			}
		}
	}
	return page, nil
}

// openSeen is what one look at the sequencer saw of lines that may be open.
type openSeen struct {
	lines []uint32
	parts []lineParts // zero where the whole line is open
	next  uint32      // 0: there is no further one
}

func (e *Engine) openLines(number, from, lines uint32, visit int) (out openSeen, refused *refusal.Refusal) {
	refused = e.do(func(s *sequencer) bool {
		if s.state.results.transit.At(number).lines == 0 {
			return false
		}
		out.lines, out.next = s.state.results.mayBeOpen(number, from, lines, visit, nil)
		out.parts = make([]lineParts, len(out.lines))
		for i, n := range out.lines {
			out.parts[i] = s.state.lineParts(number, n, money.Amount{})
		}
		return false
	})
	return out, refused
}

// stateOf shows an open line.
func stateOf(b *sealedBatch, l *batch.Line, p lineParts) LineState {
	if p == (lineParts{}) {
		p.open = l.Amount
	}
	return LineState{Batch: hexID(b.id), Line: l.Line, Account: l.Account, Currency: b.currency, Direction: l.Direction.String(), Amount: l.Amount,
		Open: p.open, Paid: p.paid, Failed: p.failed, Returned: p.returned, Status: p.text(l.Amount)}
}

// transitVisit is how many batches one look at the sequencer goes over, some hundred microseconds.
const transitVisit = 16384

// InTransit lists the batches that have an amount in transit, the oldest first.
func (e *Engine) InTransit(cursor string, limit int) (page Page[InTransit], refused *refusal.Refusal) {
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	limit = min(limit, listMax)
	for more := true; more; {
		if refused := e.do(func(s *sequencer) bool {
			from, more = s.inTransit(from, limit, &page)
			return false
		}); refused != nil {
			return Page[InTransit]{}, refused
		}
	}
	return page, nil
}

// inTransit adds to a page what one look sees, and returns where to go on.
func (s *sequencer) inTransit(from uint64, limit int, page *Page[InTransit]) (next uint64, more bool) {
	st := s.state
	t := &st.results
	for int(t.first) < len(st.batches) && t.transit.At(t.first).lines == 0 {
		t.first++ // nothing comes in transit again
	}
	from = max(from, uint64(t.first))
	for end := from + transitVisit; from < uint64(len(st.batches)); from++ {
		if from == end {
			return from, true
		}
		row := t.transit.At(uint32(from))
		if row.lines == 0 {
			continue
		}
		if len(page.Items) == limit {
			page.Next = strconv.FormatUint(from, 10)
			return from, false
		}
		entry := &st.batches[from]
		b := entry.sealed()
		page.Items = append(page.Items, InTransit{Batch: hexID(b.id), Window: entry.window.number, Currency: b.currency, Time: timeOf(entry.window.time),
			Lines: row.lines, Pay: row.pay, Collect: row.collect, Sequence: st.seq})
	}
	return from, false
}
