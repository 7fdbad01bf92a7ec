package engine

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"

	"farthing/batch"
	"farthing/ledger"
	"farthing/money"
	"farthing/refusal"
)

const (
	// statementPage is how many movements are read between two questions whether to go on: at
	// worst each is in a block of its own, a tenth of a second for all.
	statementPage = 1024
	// statementEventsMax bounds the events of one statement, some 20 seconds' work.
	statementEventsMax = 10_000_000
	// statementLooks bounds the batches that one page of an account's lines looks into, and how
	// far a line is looked for near one that is not there.
	statementLooks = 1000
	nearestLooks   = 100
)

// errTooLong ends a statement that has too many movements.
var errTooLong = errors.New("too many movements")

// WindowStatement derives an account's statement of a settled window from the journal. It adds
// up to the line of the batch, or it is refused: a statement that does not is never shown.
func (e *Engine) WindowStatement(o StatementOptions) (out WindowStatement, refused *refusal.Refusal) {
	done, refused := e.read()
	if refused != nil {
		return out, refused
	}
	defer done()
	ref, w, b, refused := e.statementOwner(o)
	if refused != nil {
		return out, refused
	}
	if w.first <= e.marks.dropped.load() {
		return out, e.exported("window_exported", w.first)
	}
	t := e.published.Load()
	p := t.people[ref]
	line, there, err := lineOf(e.store, b, p.ID)
	switch {
	case err != nil:
		return out, e.damaged(err)
	case !there:
		return out, e.noLine(p, w.number)
	}
	if line.Events > statementEventsMax || (p.Kind == ledger.Operator && b.events > statementEventsMax) {
		return out, tooLong()
	}
	sum := newStatementSum(ref, p)
	sum.view = statementView{account: p.ID, earners: newEarners(), blocks: blockReader{e: e}}
	if err := e.sumWindow(sum, w, o.Progress); err != nil {
		return out, e.statementFailed(err)
	}
	if err := sum.check(&line); err != nil {
		e.o.Logger.Error("a statement does not add up to its line", "account", p.ID, "window", w.number, "batch", hexID(b.id), "error", err)
		return out, refusal.New(refusal.Internal, "statement_disagrees",
			"the window's movements do not add up to the line; this was logged, and the operator has to run farthing verify")
	}
	out = statementOfLine(t, p, w, &line)
	out.State, refused = e.LineState(hexID(b.id), line.Line)
	sum.render(&out)
	return out, refused
}

func tooLong() *refusal.Refusal {
	return refusal.New(refusal.Invalid, "statement_too_long", "a statement is of at most %d events; GET the account's transfers instead", statementEventsMax)
}

// statementFailed says why a statement could not be read.
func (e *Engine) statementFailed(err error) *refusal.Refusal {
	switch {
	case errors.Is(err, errStopped):
		return draining()
	case errors.Is(err, ErrAborted):
		return refusal.New(refusal.Timeout, "aborted", "the caller went away")
	case errors.Is(err, errTooLong):
		return tooLong()
	}
	return e.damaged(err)
}

// statementOwner finds whose statement is asked for, and the batch with its line.
func (e *Engine) statementOwner(o StatementOptions) (ref ledger.Ref, w *window, b *sealedBatch, refused *refusal.Refusal) {
	refs, refused := e.linesOf(o.Account)
	if refused != nil {
		return ref, nil, nil, refused
	}
	if w, refused = e.settledWindow(o.Window); refused != nil {
		return ref, nil, nil, refused
	}
	people := e.published.Load().people
	for _, r := range refs {
		c := people[r].Currency
		if at := w.batchOf(c); at != nil && (o.Currency == nil || *o.Currency == c) {
			if b != nil {
				return ref, nil, nil, refusal.New(refusal.Invalid, "currency_needed", "%s has lines in several currencies; name one", o.Account)
			}
			ref, b = r, at
		}
	}
	if b == nil {
		return ref, nil, nil, e.noLine(people[refs[0]], w.number)
	}
	return ref, w, b, nil
}

// linesOf returns the participant whose lines an account has, or the operator's of every
// currency.
func (e *Engine) linesOf(account string) ([]ledger.Ref, *refusal.Refusal) {
	refs, refused := e.refsOf(account)
	if refused != nil {
		return nil, refused
	}
	if len(refs) == 0 {
		return nil, refusal.New(refusal.NotFound, "no_line", "%s has no line: nothing has moved yet", account)
	}
	people := e.published.Load().people
	if p := people[refs[0]]; p.Kind != ledger.Operator && p.Root != refs[0] {
		return nil, refusal.New(refusal.Invalid, "not_a_root", "account %s holds no money and has no lines: its root is %s", p.ID, people[p.Root].ID)
	}
	return refs, nil
}

// settledWindow returns a sealed window.
func (e *Engine) settledWindow(number uint64) (*window, *refusal.Refusal) {
	if windows := e.published.Load().windows; number >= 1 && number <= uint64(len(windows)) {
		return windows[number-1], nil
	}
	open := uint64(0)
	if refused := e.do(func(s *sequencer) bool {
		open = s.state.ledger.Window()
		return false
	}); refused != nil {
		return nil, refused
	}
	if number == 0 || number > open {
		return nil, refusal.New(refusal.NotFound, "unknown_window", "there is no window %d; the open one is %d", number, open)
	}
	return nil, refusal.New(refusal.SettlementConflict, "not_settled", "window %d is not settled yet", number)
}

// batchOf returns the batch of a currency.
func (w *window) batchOf(c money.Currency) *sealedBatch {
	for i := range w.batches {
		if w.batches[i].currency == c {
			return &w.batches[i]
		}
	}
	return nil
}

// noLine refuses a statement of a window in which the account has no line, and names the
// nearest that have one.
func (e *Engine) noLine(p *ledger.Participant, number uint64) *refusal.Refusal {
	windows := e.published.Load().windows
	var near []string
	for _, step := range [...]int{-1, 1} {
		for i, looks := int(number)-1+step, 0; i >= 0 && i < len(windows) && looks < nearestLooks; i, looks = i+step, looks+1 {
			b := windows[i].batchOf(p.Currency)
			if b == nil {
				continue
			}
			_, there, err := lineOf(e.store, b, p.ID)
			if err != nil {
				return e.damaged(err)
			}
			if there {
				near = append(near, strconv.Itoa(i+1))
				break
			}
		}
	}
	text := "there is none near it"
	if len(near) > 0 {
		text = "the nearest are in " + strings.Join(near, " and ")
	}
	return refusal.New(refusal.NotFound, "no_line", "account %s has no line in window %d; %s", p.ID, number, text)
}

// sumWindow reads what a window moved on the account.
func (e *Engine) sumWindow(sum *statementSum, w *window, progress func() error) error {
	moves := 0
	for after := w.first - 1; ; {
		if !e.Ready() {
			return errStopped
		}
		if progress != nil {
			if err := progress(); err != nil {
				return err
			}
		}
		seqs, err := e.statement(sum.ref, after, statementPage)
		if err != nil {
			return err
		}
		for _, seq := range seqs {
			if seq > w.cut {
				return nil
			}
			c, err := sum.view.blocks.at(seq)
			if err != nil {
				return err
			}
			if err := sum.command(c); err != nil {
				return err
			}
		}
		if len(seqs) < statementPage {
			return nil
		}
		if moves += len(seqs); moves > 2*statementEventsMax { // corrections are no events
			return errTooLong
		}
		after = seqs[len(seqs)-1]
	}
}

// statementOfLine is a statement without its items.
func statementOfLine(t *tables, p *ledger.Participant, w *window, l *batch.Line) WindowStatement {
	out := WindowStatement{Account: p.ID, Kind: p.Kind.String(), Currency: p.Currency, Window: w.number, To: timeOf(w.time), FirstSequence: w.first, Cut: w.cut,
		Direction: l.Direction.String(), Amount: l.Amount, Opening: l.CarriedIn, Closing: l.CarriedOut, GrossDebits: l.GrossDebits,
		GrossCredits: l.GrossCredits, Events: l.Events}
	if w.number > 1 {
		out.From = timeOf(t.windows[w.number-2].time)
	}
	switch l.Direction {
	case batch.Pay:
		out.Payments = []StatementItem{{"payout", 1, l.Amount.Neg()}}
	case batch.Collect:
		out.Payments = []StatementItem{{"collection", 1, l.Amount}}
	case batch.None:
	}
	return out
}

// render sorts the rows and items into the statement's parts.
func (s *statementSum) render(out *WindowStatement) {
	slices.SortFunc(s.order, func(a, b *statementRow) int { return a.compare(&b.statementKey) })
	for _, r := range s.order {
		item := StatementUsage{Kind: r.kind, Meter: r.meter, Component: r.component, Rest: r.rest, Events: r.events, Amount: r.amount}
		if !r.rest {
			item.Quantity = signedQuantity(r.quantity)
		}
		if r.hasModel {
			item.Model = &r.model
		}
		if r.kind == plainUsage {
			out.Usage = append(out.Usage, item)
		} else {
			out.Corrections = append(out.Corrections, item)
		}
	}
	parts := [...]*[]StatementItem{sectionFees: &out.Fees, sectionLosses: &out.Losses, sectionCredits: &out.Credits,
		sectionCharges: &out.Charges, sectionReturned: &out.Returned}
	for k, item := range s.sections {
		*parts[k.section] = append(*parts[k.section], item.StatementItem)
	}
	for _, p := range parts {
		slices.SortFunc(*p, func(a, b StatementItem) int { return strings.Compare(a.Reason, b.Reason) })
	}
}

// compare orders rows; the rest is last.
func (k *statementKey) compare(o *statementKey) int {
	last := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	return cmp.Or(strings.Compare(k.kind, o.kind), cmp.Compare(last(k.rest), last(o.rest)), strings.Compare(k.meter, o.meter),
		cmp.Compare(last(k.hasModel), last(o.hasModel)), strings.Compare(k.model, o.model), strings.Compare(k.component, o.component))
}

func signedQuantity(sum money.Amount) string {
	if sum.Sign() < 0 {
		return "-" + quantityText(sum.Neg())
	}
	return quantityText(sum)
}

// Statements lists an account's lines in the order of their windows. A page may have fewer
// items than asked for and still a next one: it looks into so many batches and no more.
func (e *Engine) Statements(account, cursor string, limit int) (page Page[StatementLine], refused *refusal.Refusal) {
	from, refused := seqCursor(cursor)
	if refused != nil {
		return page, refused
	}
	done, refused := e.read()
	if refused != nil {
		return page, refused
	}
	defer done()
	refs, refused := e.linesOf(account)
	if refused != nil {
		return page, refused
	}
	limit = min(limit, listMax)
	t, looks := e.published.Load(), 0
	found := foundLines{e: e}
	for n := range t.batches {
		b := t.batches[n].sealed()
		at := slices.IndexFunc(refs, func(r ledger.Ref) bool { return t.people[r].Currency == b.currency })
		if at < 0 || b.firstStream < from {
			continue
		}
		if looks++; looks > statementLooks || len(found.items) == limit {
			page.Next = strconv.FormatUint(b.firstStream, 10)
			break
		}
		if err := found.look(t, uint32(n), t.people[refs[at]].ID); err != nil {
			return page, e.damaged(err)
		}
	}
	page.Items, refused = found.states()
	return page, refused
}

// foundLines is an account's lines, and how each stands.
type foundLines struct {
	e       *Engine
	items   []StatementLine
	lines   []batch.Line
	numbers []uint32 // of their batches
}

// look adds the account's line of a batch, if there is one.
func (f *foundLines) look(t *tables, number uint32, account string) error {
	w, b := t.batches[number].window, t.batches[number].sealed()
	l, there, err := lineOf(f.e.store, b, account)
	if err != nil || !there {
		return err
	}
	f.items = append(f.items, StatementLine{Window: w.number, Time: timeOf(w.time), Currency: b.currency, Opening: l.CarriedIn, Closing: l.CarriedOut,
		Direction: l.Direction.String(), Amount: l.Amount, Events: l.Events})
	f.lines, f.numbers = append(f.lines, l), append(f.numbers, number)
	return nil
}

// states asks for all lines at once how they stand.
func (f *foundLines) states() ([]StatementLine, *refusal.Refusal) {
	if len(f.items) == 0 {
		return nil, nil
	}
	refused := f.e.do(func(s *sequencer) bool {
		for i := range f.items {
			f.items[i].State = s.state.lineState(f.numbers[i], &f.lines[i])
		}
		return false
	})
	if refused != nil {
		return nil, refused
	}
	return f.items, nil
}
