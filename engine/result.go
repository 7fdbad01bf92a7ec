package engine

import (
	"encoding/hex"
	"errors"
	"unicode/utf8"

	"github.com/zeebo/xxh3"

	"farthing/batch"
	"farthing/journal"
	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// ResultOutcome is what came of one of several results: an answer, or why there is none.
type ResultOutcome struct {
	Answer  LineResultAnswer
	Created bool // false: it is the answer of the first time
	Refusal *refusal.Refusal
}

// resultsStep is how many results go through the ring at once: some 100 KiB of journal, about a
// millisecond of the sequencer.
const resultsStep = 1000

// Result books what became of a line's amount. The same id with the same content gives the
// first answer again.
func (e *Engine) Result(r LineResult) (LineResultAnswer, bool, *refusal.Refusal) {
	out, refused := e.Results([]LineResult{r})
	if refused != nil {
		return LineResultAnswer{}, false, refused
	}
	return out[0].Answer, out[0].Created, out[0].Refusal
}

// Results books several, each for itself and in their order. A refusal of all of them means that
// nobody knows which were booked: they are to be sent again.
func (e *Engine) Results(list []LineResult) ([]ResultOutcome, *refusal.Refusal) {
	done, refused := e.read()
	if refused != nil {
		return nil, refused
	}
	defer done()
	out := make([]ResultOutcome, len(list))
	x := resultReader{e: e, blocks: blockReader{e: e}, lines: lineReader{store: e.store}}
	for at := 0; at < len(list); at += resultsStep {
		end := min(at+resultsStep, len(list))
		if refused := x.book(list[at:end], out[at:end]); refused != nil {
			return nil, refused
		}
	}
	return out, nil
}

// askedResult is a result on its way to the sequencer.
type askedResult struct {
	at        int // of it in the list
	spec      *LineResult
	batch     uint32 // number of the batch, from 0
	line      batch.Line
	identity  []byte
	hash      uint64
	content   uint64
	known     seen // where it was booked before
	duplicate bool
}

// resultReader does what a caller of Results does on its own goroutine.
type resultReader struct {
	e      *Engine
	blocks blockReader
	lines  lineReader
	last   string // the batch asked for last, and its number
	number uint32
}

func (x *resultReader) book(list []LineResult, out []ResultOutcome) *refusal.Refusal {
	asked := make([]askedResult, 0, len(list))
	for i := range list {
		a := askedResult{at: i, spec: &list[i]}
		refused, err := x.prepare(&a)
		if err != nil {
			return x.e.damaged(err)
		}
		if out[i].Refusal = refused; refused == nil {
			asked = append(asked, a)
		}
	}
	if len(asked) == 0 {
		return nil
	}
	for again := true; again; {
		set, err := x.look(asked)
		if err != nil {
			return x.e.unlooked(err)
		}
		if refused := x.e.do(func(s *sequencer) bool {
			if again = s.stale(set.version, set.forgotten); !again {
				for i := range asked {
					s.result(&asked[i], set.version, &out[asked[i].at])
				}
			}
			return false
		}); refused != nil {
			return refused
		}
	}
	return x.repeats(asked, out)
}

// prepare checks what can be known without the state and reads the line.
func (x *resultReader) prepare(a *askedResult) (*refusal.Refusal, error) {
	r := a.spec
	switch {
	case !meter.ValidID([]byte(r.ID)):
		return refusal.New(refusal.Invalid, "invalid_id", "id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @"), nil
	case r.Status.String() == "":
		return refusal.New(refusal.Invalid, "invalid_status", "status must be paid, partially_paid, failed or returned"), nil
	case len(r.Reference) > resultReferenceMax || !utf8.ValidString(r.Reference):
		return refusal.New(refusal.Invalid, "invalid_reference", "reference must be at most %d bytes of UTF-8", resultReferenceMax), nil
	case r.Amount != nil && r.Amount.Sign() <= 0:
		return refusal.New(refusal.Invalid, "invalid_amount", "amount must be above 0"), nil
	}
	refused, err := x.read(a)
	if refused != nil || err != nil {
		return refused, err
	}
	a.identity = resultIdentity(nil, r.ID)
	a.hash = xxh3.HashSeed(a.identity, x.e.seed)
	p := lineResult{batch: a.batch, line: r.Line, status: r.Status, reference: r.Reference}
	if r.Amount != nil {
		p.explicit, p.amount = true, *r.Amount
	}
	a.content = p.content(x.e.seed)
	return nil, nil
}

// resultReferenceMax bounds the reference of a result, in bytes.
const resultReferenceMax = 256

// read reads the line that a result is of.
func (x *resultReader) read(a *askedResult) (refused *refusal.Refusal, err error) {
	t := x.e.published.Load()
	if x.last != a.spec.Batch || x.last == "" {
		if x.number, refused = x.e.batchNumber(t, a.spec.Batch); refused != nil {
			return refused, nil
		}
		x.last = a.spec.Batch
	}
	a.batch = x.number
	b := t.batches[a.batch].sealed()
	if a.spec.Line == 0 || a.spec.Line > b.lines {
		return refusal.New(refusal.NotFound, "unknown_line", "batch %s has no line %d", a.spec.Batch, a.spec.Line), nil
	}
	a.line, err = x.lines.at(b, a.spec.Line)
	return nil, err
}

// batchNumber finds a sealed, durable batch by its hex id. Newest first: what is asked for is
// usually recent.
func (e *Engine) batchNumber(t *tables, id string) (uint32, *refusal.Refusal) {
	var key [32]byte
	if n, err := hex.Decode(key[:], []byte(id)); err == nil && n == len(key) && hexID(key) == id {
		for i := len(t.batches) - 1; i >= 0; i-- {
			if t.batches[i].sealed().id == key {
				return uint32(i), nil
			}
		}
	}
	return 0, refusal.New(refusal.NotFound, "unknown_batch", "there is no batch %s", id)
}

// look looks the ids up in the runs.
func (x *resultReader) look(asked []askedResult) (*runSet, error) {
	turn := laneTurn{e: x.e}
	defer turn.leave()
	set, err := x.e.runs.look(func(set *runSet) error {
		for i := range asked {
			asked[i].duplicate = false
		}
		p := prober{e: x.e, set: set, blocks: &x.blocks, turn: &turn}
		return p.probe(len(asked), func(i int) (uint64, []byte) { return asked[i].hash, asked[i].identity },
			func(i int, s seen) { asked[i].known, asked[i].duplicate = s, true })
	})
	if err == nil {
		err = turn.settle()
	}
	return set, err
}

// result is the sequencer's part: the id first, then the line as it stands.
func (s *sequencer) result(a *askedResult, version uint64, out *ResultOutcome) {
	if !a.duplicate {
		a.known, a.duplicate = s.ids.find(a.hash, a.identity, version)
	}
	if a.duplicate {
		return
	}
	p, refused := s.state.planResult(a)
	if refused != nil {
		out.Refusal = refused
		return
	}
	s.commit(p, p.append(nil))
	at := Booked{s.state.seq, timeOf(s.state.time)}
	s.ids.add(a.hash, a.identity, seen{s.state.seq, a.content})
	state := s.state.lineState(a.batch, &a.line)
	s.follow()
	out.Answer, out.Created = LineResultAnswer{Booked: at, LineResult: *a.spec, State: &state}, true
	out.Answer.Amount = &p.amount
}

// planResult decides what a result moves, or refuses it. Nothing changes.
func (s *state) planResult(a *askedResult) (*lineResult, *refusal.Refusal) {
	r, l := a.spec, &a.line
	p := &lineResult{name: r.ID, batch: a.batch, line: r.Line, status: r.Status, explicit: r.Amount != nil, whole: l.Signed(), reference: r.Reference}
	if l.Direction != batch.None {
		var found bool
		if p.account, found = s.findAccount([]byte(l.Account)); !found {
			panic("BUG: a line of nobody: " + l.Account)
		}
	}
	left := s.lineParts(a.batch, r.Line, l.Amount).about(r.Status)
	if p.amount = left; r.Amount != nil {
		p.amount = *r.Amount
	}
	if refused := p.fits(s, l.Amount, left); refused != nil {
		return nil, refused
	}
	p.fromPaid = p.takesPaid(s)
	if refused := p.check(s); refused != nil {
		return nil, refused
	}
	return p, nil
}

// fits holds an amount against the line's and against what is left there for the status.
func (p *lineResult) fits(s *state, whole, left money.Amount) *refusal.Refusal {
	cut, _ := p.amount.Cut(s.batches[p.batch].sealed().currency.Digits())
	wrong := func(format string, args ...any) *refusal.Refusal {
		return refusal.New(refusal.Invalid, "invalid_amount", format, args...)
	}
	switch {
	case whole.IsZero():
		return refusal.New(refusal.ResultConflict, "result_conflict", "line %d moves nothing: there is nothing to be %s", p.line, p.status)
	case p.amount.Cmp(whole) > 0:
		return wrong("line %d is of %s", p.line, whole)
	case left.IsZero():
		return refusal.New(refusal.ResultConflict, "result_conflict", "nothing of line %d can be %s: %s", p.line, p.status,
			s.lineParts(p.batch, p.line, whole).text(whole))
	case cut != p.amount:
		return wrong("amount must be whole minor units")
	case p.amount.Cmp(left) > 0:
		return wrong("%s of line %d can be %s", left, p.line, p.status)
	case p.amount != left && p.status == ResultPaid:
		return wrong("%s of line %d is open: a part of it is partially_paid", left, p.line)
	case p.amount != left && p.status == ResultFailed:
		return wrong("%s of line %d is open, and fails as a whole", left, p.line)
	}
	return nil
}

// repeats answers what was booked before as it was the first time.
func (x *resultReader) repeats(asked []askedResult, out []ResultOutcome) *refusal.Refusal {
	for i := range asked {
		a := &asked[i]
		if !a.duplicate {
			continue
		}
		o := &out[a.at]
		if a.known.content != a.content {
			o.Refusal = refusal.New(refusal.IDConflict, "id_conflict", "the result id %s was used at sequence %d with other content", a.spec.ID, a.known.seq)
			continue
		}
		c, err := x.blocks.at(a.known.seq)
		if errors.Is(err, journal.ErrDropped) {
			o.Refusal = x.e.exported(ResultExported, a.known.seq)
			continue
		}
		if err != nil {
			return x.e.damaged(err)
		}
		r := reader{p: c.payload}
		p := r.lineResult()
		if c.kind != kindResult || r.end() != nil {
			return x.e.damaged(errCodec)
		}
		o.Answer = LineResultAnswer{Booked: Booked{c.seq, timeOf(c.time)}, LineResult: *a.spec}
		o.Answer.Amount = &p.amount
	}
	return nil
}

// lineParts are the parts of a line's amount, which they add up to.
type lineParts struct {
	open, paid, failed, returned money.Amount
	last                         ResultStatus // the last result; 0: none
}

// about is what a result of a status can be about.
func (p lineParts) about(status ResultStatus) money.Amount {
	if status == ResultReturned {
		return p.paid
	}
	return p.open
}

// moved is the parts after a result.
func (p lineParts) moved(status ResultStatus, amount money.Amount) lineParts {
	switch p.last = status; status {
	case ResultPaid, ResultPartiallyPaid:
		p.open, p.paid = p.open.MustSub(amount), p.paid.MustAdd(amount)
	case ResultFailed:
		p.open, p.failed = p.open.MustSub(amount), p.failed.MustAdd(amount)
	case ResultReturned:
		p.paid, p.returned = p.paid.MustSub(amount), p.returned.MustAdd(amount)
	}
	return p
}

// text is the word of the contract for how a line of an amount stands.
func (p lineParts) text(whole money.Amount) string {
	switch {
	case whole.IsZero():
		return batch.None.String()
	case !p.open.IsZero() && !p.paid.IsZero():
		return ResultPartiallyPaid.String()
	case !p.open.IsZero():
		return "open"
	case !p.paid.IsZero():
		return ResultPaid.String()
	}
	return p.last.String()
}

// lineState is how a line stands.
func (s *state) lineState(number uint32, l *batch.Line) LineState {
	return stateOf(s.batches[number].sealed(), l, s.lineParts(number, l.Line, l.Amount))
}

// takesPaid is what a result that gives a collection back takes from the customer's paid credit.
func (p *lineResult) takesPaid(s *state) money.Amount {
	if p.whole.Sign() >= 0 || !p.givesBack() {
		return money.Amount{}
	}
	return leastOf(s.ledger.Rows.At(uint32(p.account)).Paid.Credit(), p.amount)
}

// from is the class that what is given back comes from.
func (p *lineResult) from() ledger.Class {
	if p.status == ResultReturned {
		return ledger.Cash
	}
	return ledger.InTransit
}
