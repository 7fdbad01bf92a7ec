package engine

import (
	"encoding/binary"
	"fmt"
	"math/bits"

	"farthing/batch"
	"farthing/cow"
	"farthing/ledger"
	"farthing/money"
	"farthing/refusal"
)

// batchEntry is a sealed batch by its number.
type batchEntry struct {
	window *window
	index  int // of the window's batches
}

func (b *batchEntry) sealed() *sealedBatch { return &b.window.batches[b.index] }

// enterBatches numbers the batches of a sealed window.
func (t *tables) enterBatches(w *window) {
	for i := range w.batches {
		t.batches = append(t.batches, batchEntry{w, i})
	}
}

// resultTable is what became of lines. Nothing is kept of a line until a result comes. Then it is
// two bits as long as one result was about all of it, which nearly all are; a line in parts has
// a row of its own. Which lines move nothing only their records know.
type resultTable struct {
	transit cow.Table[transitRow] // by batch
	pages   cow.Table[outcomePage]
	parts   cow.Table[partsRow]

	pageOf [][]uint32        // by batch, by page: row + 1; derived
	partOf map[uint64]uint32 // by batch and line; derived
	first  uint32            // batches below have nothing in transit; derived
}

// transitRow is what of a batch is in transit.
type transitRow struct {
	lines        uint32
	pay, collect money.Amount
}

// A page of outcomes is 256 lines of a batch, two bits each.
const (
	pageLines = 256
	pageWords = 2 * pageLines / 64
)

type outcomePage struct {
	batch uint32
	page  uint32
	bits  [pageWords]uint64
}

// The outcomes of a whole line.
const (
	wholeOpen = iota
	wholePaid
	wholeFailed
	wholeReturned
)

// partsRow is a line that is in parts, or was.
type partsRow struct {
	batch, line uint32
	parts       lineParts
}

func lineNumber(batch, line uint32) uint64 { return uint64(batch)<<32 | uint64(line) }

// sealBatches enters the batches of a window that is sealed now.
func (s *state) sealBatches(w *window) {
	s.enterBatches(w)
	for i := range w.batches {
		b := &w.batches[i]
		s.results.transit.Append(transitRow{b.pays + b.collects, b.paid, b.collected})
	}
}

// lineParts is how a line of an amount stands.
func (s *state) lineParts(batch, line uint32, whole money.Amount) lineParts {
	t := &s.results
	if n, ok := t.partOf[lineNumber(batch, line)]; ok {
		return t.parts.At(n).parts
	}
	switch t.outcome(batch, line) {
	case wholePaid:
		return lineParts{paid: whole, last: ResultPaid}
	case wholeFailed:
		return lineParts{failed: whole, last: ResultFailed}
	case wholeReturned:
		return lineParts{returned: whole, last: ResultReturned}
	}
	return lineParts{open: whole}
}

func (t *resultTable) outcome(batch, line uint32) uint64 {
	n := t.pageRow(batch, line)
	if n == 0 {
		return wholeOpen
	}
	word, shift := outcomeAt(line)
	return t.pages.At(n - 1).bits[word] >> shift & 3
}

func (t *resultTable) pageRow(batch, line uint32) uint32 {
	if int(batch) >= len(t.pageOf) || (line-1)/pageLines >= uint32(len(t.pageOf[batch])) {
		return 0
	}
	return t.pageOf[batch][(line-1)/pageLines]
}

func outcomeAt(line uint32) (word, shift uint32) {
	bit := (line - 1) % pageLines * 2
	return bit / 64, bit % 64
}

// known reports whether the state has nothing against a line's amount: of one that is in parts
// it knows it.
func (t *resultTable) known(batch, line uint32, whole money.Amount) bool {
	n, ok := t.partOf[lineNumber(batch, line)]
	return !ok || t.parts.At(n).parts.whole() == whole
}

func (p lineParts) whole() money.Amount {
	return p.open.MustAdd(p.paid).MustAdd(p.failed).MustAdd(p.returned)
}

// covers refuses what takes more out of transit than is there: of the batch, of the customer. A
// sequencer never asks for that; a journal may say anything.
func (t *resultTable) covers(p *lineResult, row *ledger.Row) *refusal.Refusal {
	if p.status == ResultReturned {
		return nil
	}
	b := t.transit.At(p.batch)
	open := b.pay
	if p.whole.Sign() < 0 {
		open = leastOf(b.collect, row.Transit)
	}
	if b.lines == 0 || p.amount.Cmp(open) > 0 {
		return refusal.New(refusal.Invalid, "invalid_result", "%s of line %d is not in transit", p.amount, p.line)
	}
	return nil
}

// put keeps how a line stands after a result.
func (t *resultTable) put(p *lineResult, after lineParts) {
	if p.status != ResultReturned {
		b := t.transit.Mut(p.batch)
		if p.whole.Sign() > 0 {
			b.pay = b.pay.MustSub(p.amount)
		} else {
			b.collect = b.collect.MustSub(p.amount)
		}
		if after.open.IsZero() {
			b.lines--
		}
	}
	key, whole := lineNumber(p.batch, p.line), p.whole.Abs()
	n, inParts := t.partOf[key]
	switch {
	case inParts:
		t.parts.Mut(n).parts = after
	case after.paid == whole:
		t.setWhole(p.batch, p.line, wholePaid)
	case after.failed == whole:
		t.setWhole(p.batch, p.line, wholeFailed)
	case after.returned == whole:
		t.setWhole(p.batch, p.line, wholeReturned)
	default:
		t.enterParts(key, t.parts.Append(partsRow{p.batch, p.line, after}))
	}
}

func (t *resultTable) enterParts(key uint64, n uint32) {
	if t.partOf == nil {
		t.partOf = map[uint64]uint32{}
	}
	t.partOf[key] = n
}

func (t *resultTable) setWhole(batch, line uint32, outcome uint64) {
	n := t.pageRow(batch, line)
	if n == 0 {
		page := (line - 1) / pageLines
		n = t.pages.Append(outcomePage{batch: batch, page: page}) + 1
		t.enterPage(batch, page, n)
	}
	word, shift := outcomeAt(line)
	b := &t.pages.Mut(n - 1).bits[word]
	*b = *b&^(3<<shift) | outcome<<shift
}

func (t *resultTable) enterPage(batch, page, n uint32) {
	for int(batch) >= len(t.pageOf) {
		t.pageOf = append(t.pageOf, nil)
	}
	list := &t.pageOf[batch]
	for int(page) >= len(*list) {
		*list = append(*list, 0)
	}
	(*list)[page] = n
}

// mayBeOpen appends up to limit numbers of lines from one on that had no result about all of them,
// and the line to go on at; 0: there is no further one. Lines that move nothing are among them. It
// looks at no more than limit lines that had results or may have, so it may find none and still
// go on.
func (t *resultTable) mayBeOpen(batch, from, lines uint32, limit int, out []uint32) ([]uint32, uint32) {
	line, budget := from, limit*lookCost
	for line <= lines {
		if budget <= 0 {
			return out, line
		}
		word, shift := outcomeAt(line)
		if n := t.pageRow(batch, line); n != 0 {
			budget--
			// A pair of bits is 0 where the line is open or in parts.
			pairs := t.pages.At(n - 1).bits[word]
			free := ^(pairs | pairs>>1) & 0x5555555555555555 >> shift
			skip := uint32(bits.TrailingZeros64(free)) / 2
			if rest := (64 - shift) / 2; free == 0 || skip >= rest {
				line += rest
				continue
			}
			line += skip
		}
		if line > lines {
			break
		}
		budget -= lookCost
		if n, ok := t.partOf[lineNumber(batch, line)]; !ok || !t.parts.At(n).parts.open.IsZero() {
			out = append(out, line)
		}
		line++
	}
	return out, 0
}

// lookCost is what looking a line up takes, in words of outcomes that are passed over.
const lookCost = 8

// restored rebuilds what is derived.
func (t *resultTable) restored(s *state) error {
	if int(t.transit.Len()) != len(s.batches) {
		return fmt.Errorf("%d batches with results of %d", t.transit.Len(), len(s.batches))
	}
	lines := func(batch uint32) uint32 { return s.batches[batch].sealed().lines }
	for n := range t.pages.Len() {
		p := t.pages.At(n)
		if int(p.batch) >= len(s.batches) || uint64(p.page)*pageLines >= uint64(lines(p.batch)) || t.pageRow(p.batch, p.page*pageLines+1) != 0 {
			return fmt.Errorf("results of lines that are not there")
		}
		t.enterPage(p.batch, p.page, n+1)
	}
	for n := range t.parts.Len() {
		p := t.parts.At(n)
		if int(p.batch) >= len(s.batches) || p.line == 0 || p.line > lines(p.batch) {
			return fmt.Errorf("parts of a line that is not there")
		}
		t.enterParts(lineNumber(p.batch, p.line), n)
	}
	return nil
}

// lineReader reads line records for one caller. It keeps the row it read last: results of a batch
// come mostly in the order of its lines.
type lineReader struct {
	store storage
	batch [32]byte
	first uint32 // number of the row's first line; 0: no row
	row   []byte // its records
	ends  []int  // where they end
}

// at reads a line of a batch, which must have it.
func (x *lineReader) at(b *sealedBatch, line uint32) (batch.Line, error) {
	if x.batch != b.id || x.first == 0 || line < x.first || line-x.first >= uint32(len(x.ends)) {
		if err := x.read(b, (line-1)/stagedLines*stagedLines+1); err != nil {
			return batch.Line{}, err
		}
	}
	from, n := 0, int(line-x.first)
	if n > 0 {
		from = x.ends[n-1]
	}
	scope, l, err := batch.ParseLine(x.row[from:x.ends[n]])
	if err == nil && (l.Line != line || scope.BatchID != b.id) {
		err = fmt.Errorf("it says it is line %d of batch %s", l.Line, hexID(scope.BatchID))
	}
	if err != nil {
		return batch.Line{}, fmt.Errorf("batch %s, line %d: %w", hexID(b.id), line, err)
	}
	return l, nil
}

// read reads the row that begins with a line.
func (x *lineReader) read(b *sealedBatch, first uint32) error {
	x.batch, x.first, x.row, x.ends = b.id, 0, x.row[:0], x.ends[:0]
	err := scanLines(x.store, b.id, b.lines, first, func(_ uint32, record []byte) bool {
		x.row = append(x.row, record...)
		x.ends = append(x.ends, len(x.row))
		return len(x.ends) < stagedLines
	})
	if err == nil {
		x.first = first
	}
	return err
}

func (t *transitRow) append(dst []byte) []byte {
	return t.collect.AppendBinary(t.pay.AppendBinary(binary.AppendUvarint(dst, uint64(t.lines))))
}

func (r *reader) transitRow() transitRow {
	return transitRow{lines: uint32(r.uvarint()), pay: r.amount(), collect: r.amount()}
}

func (p *outcomePage) append(dst []byte) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(p.batch)), uint64(p.page))
	for _, w := range p.bits {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	return dst
}

func (r *reader) outcomePage() (p outcomePage) {
	p.batch, p.page = uint32(r.uvarint()), uint32(r.uvarint())
	for i := range p.bits {
		if w := r.take(8); w != nil {
			p.bits[i] = binary.LittleEndian.Uint64(w)
		}
	}
	return p
}

func (p *partsRow) append(dst []byte) []byte {
	dst = binary.AppendUvarint(binary.AppendUvarint(dst, uint64(p.batch)), uint64(p.line))
	for _, a := range [...]money.Amount{p.parts.open, p.parts.paid, p.parts.failed, p.parts.returned} {
		dst = a.AppendBinary(dst)
	}
	return append(dst, byte(p.parts.last))
}

func (r *reader) partsRow() (p partsRow) {
	p.batch, p.line = uint32(r.uvarint()), uint32(r.uvarint())
	for _, a := range [...]*money.Amount{&p.parts.open, &p.parts.paid, &p.parts.failed, &p.parts.returned} {
		if *a = r.amount(); a.Sign() < 0 {
			r.fail()
		}
	}
	if p.parts.last = ResultStatus(r.byte()); p.parts.last.String() == "" {
		r.fail()
	}
	return p
}
