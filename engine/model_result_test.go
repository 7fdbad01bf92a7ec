package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/money"
	"farthing/refusal"
)

// worldResult is a result as it is submitted, and of which batch: its id is the engine's.
type worldResult struct {
	LineResult
	window uint64
	code   string
}

// modelParts is what became of a line's amount; the rest is open.
type modelParts struct {
	paid, failed, returned decimal.Decimal
	last                   string
}

// modelResult is a result that was booked.
type modelResult struct {
	amount decimal.Decimal
	seq    uint64
	time   int64
}

func (l *modelLine) open() decimal.Decimal {
	return l.signed.Abs().Sub(l.after.paid).Sub(l.after.failed).Sub(l.after.returned)
}

func (l *modelLine) status() string {
	switch open := l.open().IsPositive(); {
	case l.signed.IsZero():
		return "none"
	case open && l.after.paid.IsPositive():
		return "partially_paid"
	case open:
		return "open"
	case l.after.paid.IsPositive():
		return "paid"
	}
	return l.after.last
}

func (m *model) batch(window uint64, code string) *modelBatch {
	for i := range m.batches {
		if b := &m.batches[i]; b.window == window && b.currency == code {
			return b
		}
	}
	return nil
}

// result books a result that the journal has. It has to be one that the contract allows.
func (m *model) result(id string, seq uint64, at int64) {
	x, ok := m.w.results[id]
	_, twice := m.results[id]
	b := m.batch(x.window, x.code)
	if !ok || twice || b == nil || int(x.Line) > len(b.lines) || x.Line == 0 {
		m.t.Fatalf("result %s: submitted %v as %+v, booked before %v", id, ok, x, twice)
	}
	l := &b.lines[x.Line-1]
	left := l.open()
	if x.Status == ResultReturned {
		left = l.after.paid
	}
	amount := left
	if x.Amount != nil {
		amount = x.Amount.Decimal()
	}
	whole := x.Status == ResultPaid || x.Status == ResultFailed
	if !amount.IsPositive() || amount.GreaterThan(left) || (whole && !amount.Equal(left)) {
		m.t.Fatalf("result %s of %s: %s of %s is booked, as the line stands: %+v", id, x.Status, amount, left, l)
	}
	m.results[id] = modelResult{amount, seq, at}
	l.after.last = x.Status.String()
	signed := amount.Mul(decimal.NewFromInt(int64(l.signed.Sign())))
	o, a := m.operators[x.code], m.accounts[l.account]
	switch x.Status {
	case ResultPaid, ResultPartiallyPaid:
		l.after.paid = l.after.paid.Add(amount)
		o.transit, o.cash = o.transit.Sub(signed), o.cash.Add(signed)
		return
	case ResultFailed:
		l.after.failed, o.transit = l.after.failed.Add(amount), o.transit.Sub(signed)
	case ResultReturned:
		l.after.paid, l.after.returned, o.cash = l.after.paid.Sub(amount), l.after.returned.Add(amount), o.cash.Sub(signed)
	}
	a.returned, o.returned = a.returned.Add(signed), o.returned.Sub(signed)
	if signed.IsPositive() {
		a.due = a.due.Add(amount)
		return
	}
	taken := decimal.Min(a.paid, amount)
	a.paid, a.due = a.paid.Sub(taken), a.due.Add(amount.Sub(taken))
}

// compareResults compares how lines stand, what is in transit, and results asked for again.
func (m *model) compareResults(e *Engine) {
	m.t.Helper()
	var transit []string
	n := 0
	for _, w := range e.published.Load().windows {
		for i := range w.batches {
			if text := m.compareOpen(e, w, &w.batches[i], &m.batches[n], n%7 == 0); text != "" {
				transit = append(transit, text)
			}
			n++
		}
	}
	var got []string
	for cursor := ""; ; {
		page, refused := e.InTransit(cursor, 3)
		if refused != nil {
			m.t.Fatal(refused)
		}
		for _, x := range page.Items {
			got = append(got, fmt.Sprintf("%s %d %s: %d lines, pay %s, collect %s", x.Batch, x.Window, x.Currency, x.Lines, x.Pay, x.Collect))
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(transit) {
		m.t.Fatalf("in transit:\n%s\nthe model has\n%s", got, transit)
	}
	limit := 60
	for id, want := range m.results {
		if limit--; limit < 0 {
			return
		}
		x := m.w.results[id]
		again, created, refused := e.Result(x.LineResult)
		if created || refused != nil || !again.Amount.Decimal().Equal(want.amount) || again.Sequence != want.seq || again.Time.UnixNano() != want.time || again.State != nil {
			m.t.Fatalf("result %s again: %+v, created %v, %v; the model has %+v", id, again, created, refused, want)
		}
	}
}

// compareOpen compares the open lines of a batch, or all of them, and returns what is in transit.
func (m *model) compareOpen(e *Engine, w *window, b *sealedBatch, want *modelBatch, all bool) string {
	m.t.Helper()
	lines, pay, collect := 0, decimal.Zero, decimal.Zero
	next, id := 0, hexID(b.id)
	var open []LineState
	for cursor := ""; ; {
		page, refused := e.OpenLines(id, cursor, 20)
		if refused != nil {
			m.t.Fatal(refused)
		}
		open = append(open, page.Items...)
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	same := func(s *LineState, l *modelLine, n int) {
		m.t.Helper()
		if int(s.Line) != n || s.Account != l.account || s.Status != l.status() || !s.Open.Decimal().Equal(l.open()) || !s.Paid.Decimal().Equal(l.after.paid) ||
			!s.Failed.Decimal().Equal(l.after.failed) || !s.Returned.Decimal().Equal(l.after.returned) || !s.Amount.Decimal().Equal(l.signed.Abs()) {
			m.t.Fatalf("window %d, line %d is %+v, the model has %+v", w.number, n, s, l)
		}
	}
	for i := range want.lines {
		l := &want.lines[i]
		if all {
			s, refused := e.LineState(id, uint32(i)+1)
			if refused != nil {
				m.t.Fatal(refused)
			}
			same(&s, l, i+1)
		}
		if !l.open().IsPositive() {
			continue
		}
		if lines++; l.signed.IsPositive() {
			pay = pay.Add(l.open())
		} else {
			collect = collect.Add(l.open())
		}
		if next >= len(open) {
			m.t.Fatalf("window %d: line %d is open, and not listed", w.number, i+1)
		}
		same(&open[next], l, i+1)
		next++
	}
	if next != len(open) {
		m.t.Fatalf("window %d: %+v is listed as open", w.number, open[next])
	}
	if lines == 0 {
		return ""
	}
	return fmt.Sprintf("%s %d %s: %d lines, pay %s, collect %s", id, w.number, want.currency, lines, pay, collect)
}

// report submits results of a random batch: new ones, some that were submitted before, some that
// are another under an id that is booked.
func (a *activity) report(e *Engine, rng *rand.Rand) {
	windows := e.published.Load().windows
	if len(windows) == 0 {
		return
	}
	w := windows[len(windows)-1-rng.IntN(min(4, len(windows)))]
	if len(w.batches) == 0 {
		return
	}
	b := &w.batches[rng.IntN(len(w.batches))]
	var list []LineResult
	var wrong []bool
	for range 1 + rng.IntN(6) {
		x := a.randomResult(e, rng, w, b)
		list, wrong = append(list, x), append(wrong, false)
	}
	a.mu.Lock()
	for id := range a.results { // map order is as good as any draw here
		x := a.w.results[id].LineResult
		if wrong = append(wrong, rng.IntN(2) == 0); wrong[len(wrong)-1] {
			x.Reference += "!"
		}
		list = append(list, x)
		break
	}
	a.mu.Unlock()
	out, refused := e.Results(list)
	if refused != nil {
		a.t.Errorf("results: %v", refused)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range out {
		o := &out[i]
		switch {
		case o.Refusal == nil && !wrong[i]:
			a.results[list[i].ID] = fmt.Sprint(o.Answer.Amount.Decimal(), o.Answer.Sequence, o.Answer.Time.UnixNano())
			a.answered(o.Answer.Sequence)
		case o.Refusal == nil, wrong[i] != (o.Refusal.Code == refusal.IDConflict):
			a.t.Errorf("result %+v: %+v", list[i], o)
		case o.Refusal.Code != refusal.ResultConflict && o.Refusal.Code != refusal.IDConflict && o.Refusal.Reason != "invalid_amount" && o.Refusal.Reason != "unknown_line":
			a.t.Errorf("result %+v: %v", list[i], o.Refusal)
		}
	}
}

// randomResult makes a new result, mostly one that a line can have.
func (a *activity) randomResult(e *Engine, rng *rand.Rand, w *window, b *sealedBatch) LineResult {
	x := LineResult{ID: a.id("r"), Batch: hexID(b.id), Line: 1 + uint32(rng.IntN(int(b.lines)+1)), Status: ResultStatus(1 + rng.IntN(4)), Reference: fmt.Sprint(rng.IntN(9))}
	if s, refused := e.LineState(x.Batch, x.Line); refused == nil && rng.IntN(3) > 0 {
		amount, _ := s.Amount.MulFraction(money.FromWords(0, rng.Uint64N(1e18)))
		if amount, _ = amount.Cut(b.currency.Digits()); rng.IntN(6) > 0 {
			x.Amount = &amount
			x.Status = []ResultStatus{ResultPartiallyPaid, ResultReturned}[rng.IntN(2)]
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.w.results[x.ID] = worldResult{x, w.number, b.currency.Code()}
	return x
}

// transfersSum is what all of an account's transfers come to.
func transfersSum(t testing.TB, e *Engine, account string) (sum decimal.Decimal) {
	t.Helper()
	for cursor := ""; ; {
		page, refused := e.Transfers(account, cursor, 100)
		if refused != nil {
			t.Fatal(refused)
		}
		for _, item := range page.Items {
			sum = sum.Add(item.Amount.Decimal())
			if back := item.Reason == "failed" || item.Reason == "returned"; back != (item.Batch != "" && item.ID != "") || item.Account != "operator" && back {
				t.Fatalf("%+v", item)
			}
		}
		if cursor = page.Next; cursor == "" {
			return sum
		}
	}
}
