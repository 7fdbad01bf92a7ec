package httpapi

import (
	"strconv"
	"time"

	"farthing/batch"
	"farthing/engine"
	"farthing/refusal"
)

func (f *fakeEngine) Result(r engine.LineResult) (engine.LineResultAnswer, bool, *refusal.Refusal) {
	created, no := f.book(r)
	a := engine.LineResultAnswer{Booked: someBooking, LineResult: r}
	if a.Amount == nil {
		a.Amount = ptr(amount("12.34"))
	}
	if created {
		state := someLine
		state.Batch, state.Line = r.Batch, r.Line
		a.State = &state
	}
	return a, created, no
}

func (f *fakeEngine) LineState(batchID string, line uint32) (engine.LineState, *refusal.Refusal) {
	s := someLine
	s.Line = line
	return s, f.note(batchID, strconv.FormatUint(uint64(line), 10))
}

func (f *fakeEngine) OpenLines(batchID, cursor string, limit int) (engine.Page[engine.LineState], *refusal.Refusal) {
	return engine.Page[engine.LineState]{Items: []engine.LineState{someLine}, Next: "9"}, f.note("open", batchID, cursor, strconv.Itoa(limit))
}

// InTransit has three batches, a page each for who asks for one.
func (f *fakeEngine) InTransit(cursor string, limit int) (engine.Page[engine.InTransit], *refusal.Refusal) {
	all := []engine.InTransit{
		{Batch: someBatch, Window: 1, Currency: usd, Time: someTime.Add(-8 * 24 * time.Hour), Lines: 3, Pay: amount("1.5"), Collect: amount("2")},
		{Batch: someBatch, Window: 2, Currency: eur, Time: someTime.Add(-24 * time.Hour), Lines: 1, Collect: amount("7")},
		{Batch: someBatch, Window: 3, Currency: usd, Time: someTime.Add(time.Minute), Lines: 2, Pay: amount("0.25")},
	}
	from, _ := strconv.Atoi(cursor)
	page := engine.Page[engine.InTransit]{Items: all[from:min(len(all), from+limit)]}
	if from+limit < len(all) {
		page.Next = strconv.Itoa(from + limit)
	}
	return page, f.note(cursor)
}

// openLine is a line that collects.
func openLine() []byte {
	l := batch.Line{Line: 3, Account: "acme", Direction: batch.Collect, Amount: amount("12.34"), GrossDebits: amount("12.34")}
	scope := someCut.Scope()
	return l.AppendJSON(nil, &scope)
}
