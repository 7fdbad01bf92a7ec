package engine

import (
	"farthing/ledger"
	"farthing/money"
)

// pendingCut is a window between cut and seal.
type pendingCut struct {
	window *window         // its own: it outlives the cut
	totals []ledger.Totals // at the cut, by currency index
	// returned is what the window gave back of lines; it does not change. The operators have theirs.
	returned ledger.Returned
	// closed is how many lines were closed, by currency: where to go on after a crash.
	closed map[money.Currency]uint32
	rows   cutRows // as they come; the settler's once it was handed over
	ready  bool    // all rows were collected
	handed bool    // to the settler
}

// applyCut closes the open window at the current sequence and starts the snapshot of
// its rows.
func (s *state) applyCut(c cutCommand) {
	p := &pendingCut{
		window: &window{number: c.window, first: s.windowFirst, cut: s.seq, time: s.time, id: c.id, want: c.want},
		closed: map[money.Currency]uint32{},
	}
	p.totals, p.returned = s.ledger.Cut()
	s.ledger.Rows.Stream(p.put)
	s.windowFirst = s.seq + 1
	s.pending = p
	if c.id != "" {
		s.closedBy[c.id] = p.window
	}
}

// collect goes on with the snapshot of the pending cut by up to n rows.
func (s *state) collect(n int) {
	if p := s.pending; p != nil && !p.ready {
		p.ready = s.ledger.Rows.Step(n, nil)
	}
}

// completeSnapshot collects what is left of the pending cut's rows.
func (s *state) completeSnapshot() {
	for s.pending != nil && !s.pending.ready {
		s.collect(1 << 20)
	}
}

// dropSnapshot ends the snapshot of a cut that replay sees sealed: nobody will net its rows.
func (s *state) dropSnapshot() {
	if s.pending != nil && !s.pending.ready {
		s.ledger.Rows.Abort()
	}
}

// cutRow is what netting needs of a participant's row as of a cut. It holds no pointer, so a
// million of them is nothing that the garbage collector would have to look at.
type cutRow struct {
	carried, debits, credits money.Amount
	due                      money.Amount // credits − debits: minus what a customer owes, what a provider is owed
	events                   uint64
	ref                      ledger.Ref
	currency                 uint16 // index + 1; set by the settler
}

// cutRows is a growing list of rows that never moves one.
type cutRows struct {
	pages []*[cutPage]cutRow
	len   int
}

// cutPage keeps the memory made at once, and so the pause for it, small: 20 KiB.
const cutPage = 256

func (r *cutRows) add(row cutRow) {
	if r.len%cutPage == 0 {
		r.pages = append(r.pages, new([cutPage]cutRow))
	}
	*r.at(r.len) = row
	r.len++
}

func (r *cutRows) at(i int) *cutRow { return &r.pages[i/cutPage][i%cutPage] }

// put keeps a row of the cut if it may have something to show: a line, or books that disagree.
// The others are those that neither moved nor owe or are owed anything, and whose credit is all
// that they carry.
func (p *pendingCut) put(i uint32, row *ledger.Row) {
	keep := cutRow{carried: row.CarriedIn, due: row.Due.Credit(), ref: ledger.Ref(i)}
	keep.debits, keep.credits, keep.events = row.Gross(p.window.number)
	if keep.moved() || !keep.due.IsZero() || p.gaveBack(keep.ref) {
		p.rows.add(keep)
		return
	}
	if keep.carried.IsZero() || keep.carried.Sign() > 0 && (row.Paid.Credit().Sign() > 0 || row.Granted.Sign() > 0) {
		return
	}
	p.rows.add(keep)
}

func (r *cutRow) moved() bool { return r.events > 0 || !r.debits.IsZero() || !r.credits.IsZero() }

func (p *pendingCut) gaveBack(r ledger.Ref) bool {
	if len(p.returned) == 0 {
		return false
	}
	_, ok := p.returned[r]
	return ok
}
