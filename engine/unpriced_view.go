package engine

import (
	"slices"
	"strconv"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// Unpriced lists the events whose price is not known, oldest first. The cursor is the number
// of a row of the list, which never changes.
func (e *Engine) Unpriced(start string, limit int) (page Page[UnpricedEvent], refused *refusal.Refusal) {
	from, refused := seqCursor(start)
	if refused != nil || from >= 1<<32 {
		return page, firstOf(refused, badCursor())
	}
	done, refused := e.read()
	if refused != nil {
		return page, refused
	}
	defer done()
	limit = min(limit, listMax)
	var seqs, found []uint64
	every := func(uint32) (bool, int) { return true, 0 }
	next, end := uint32(from), false
	for !end && len(seqs) < limit {
		refused := e.do(func(s *sequencer) bool {
			found, next, end = s.state.unpriced.scan(next, limit-len(seqs), usageVisit, every)
			return false
		})
		if refused != nil {
			return page, refused
		}
		seqs = append(seqs, found...)
	}
	if !end {
		page.Next = strconv.FormatUint(uint64(next), 10)
	}
	t := e.published.Load()
	view := unpricedView{e: e, blocks: blockReader{e: e}, x: explainer{e: e}, t: t, book: bookOf(t)}
	for _, seq := range seqs {
		item, err := view.item(seq)
		if err != nil {
			return Page[UnpricedEvent]{}, e.damaged(err)
		}
		page.Items = append(page.Items, item)
	}
	return page, nil
}

// unpricedView renders unpriced events.
type unpricedView struct {
	e      *Engine
	blocks blockReader
	x      explainer
	t      *tables
	book   meter.Book
}

func (v *unpricedView) item(seq uint64) (out UnpricedEvent, err error) {
	c, err := v.blocks.at(seq)
	if err != nil {
		return out, err
	}
	full, err := v.x.facts(c)
	if err != nil {
		return out, err
	}
	return UnpricedEvent{Source: full.Source, ID: full.ID, Type: full.Type, Subject: full.Subject, Time: full.Time, Sequence: full.Sequence,
		Reason: full.Reason, Now: v.now(&c.event), Dimensions: full.Dimensions, Usage: full.Usage}, nil
}

// now tells why the book as it is now does not price an event; counters are left out of it.
func (v *unpricedView) now(e *eventRecord) string {
	version := v.book.InForce(e.time)
	if version == nil {
		return noVersion.String()
	}
	shape, err := meter.ParseShape(e.raw)
	if err != nil {
		return ""
	}
	plan, none := version.Plan(&shape, v.t.people[e.account].Currency)
	switch none {
	case meter.NoPrice:
		return noPrice.String()
	case meter.ComponentMissing:
		return componentUnpriced.String()
	}
	var before [meter.MaxComponents]money.Quantity
	var amounts ratingAmounts
	if _, refused := plan.Rate(&e.quantities, &before, &amounts); refused != nil {
		return refused.Reason
	}
	return ""
}

// UnpricedSummary counts what waits for prices, by what a price would match on. Of more than
// limit kinds the largest are listed.
func (e *Engine) UnpricedSummary(limit int) (out UnpricedSummary, refused *refusal.Refusal) {
	type kind struct {
		unpricedGroup
		shape meter.Shape
		open  int
	}
	var kinds []kind
	refused = e.do(func(s *sequencer) bool {
		u := &s.state.unpriced
		out.Events, out.Sequence = uint64(u.open), s.state.seq
		for n := range u.groups.Len() {
			if info := &u.info[n]; info.open > 0 {
				kinds = append(kinds, kind{*u.groups.At(n), info.shape, info.open})
			}
		}
		return false
	})
	slices.SortStableFunc(kinds, func(a, b kind) int { return b.open - a.open })
	for _, k := range kinds[:min(len(kinds), limit)] {
		out.Counts = append(out.Counts, UnpricedCount{Reason: k.reason.String(), Type: k.shape.Type, Currency: k.currency,
			Dimensions: k.shape.Dimensions, Components: k.shape.Components, Events: uint64(k.open)})
	}
	return out, refused
}
