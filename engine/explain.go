package engine

import (
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
	"farthing/usage"
)

// Event explains one usage event: what was reported, what it was rated with and why, what
// it moved, where that was settled and published, and everything that corrected it since.
func (e *Engine) Event(source, id string) (Event, *refusal.Refusal) {
	done, refused := e.read()
	if refused != nil {
		return Event{}, refused
	}
	defer done()
	blocks := blockReader{e: e}
	origin, refused := e.originOf(source, id, &blocks)
	if refused != nil {
		return Event{}, refused
	}
	last, refused := e.lastAmendment(origin)
	if refused != nil {
		return Event{}, refused
	}
	x := explainer{e: e, blocks: blocks, earners: newEarners()}
	out, err := x.event(origin, last)
	if no := new(refusal.Refusal); errors.As(err, &no) {
		return Event{}, no // no room, or draining
	}
	if err != nil {
		return Event{}, e.damaged(err)
	}
	return out, nil
}

// explainer renders an event and its amendments.
type explainer struct {
	e       *Engine
	blocks  blockReader
	earners *earners
	windows map[uint64]uint64 // of the commands of the event, by sequence
	rerates map[uint32]string // ids, by number
}

// event renders the event at origin whose last amendment (or itself) is at last.
func (x *explainer) event(origin, last uint64) (out Event, err error) {
	chain, err := x.chain(origin, last)
	if err != nil {
		return out, err
	}
	c, err := x.blocks.at(origin)
	if err != nil {
		return out, err
	}
	if out, err = x.facts(c); err != nil {
		return out, err
	}
	if c.event.reason == priced {
		if out.Rating, err = x.rating(c, &c.event, origin, false, eventLegs(&c.event, c.t, x.earners)); err != nil {
			return out, err
		}
	}
	for _, seq := range slices.Backward(chain) {
		if err := x.amendment(&out, seq); err != nil {
			return out, err
		}
	}
	if out.Rating != nil {
		out.Net = out.Rating.payers()
	}
	for i := range out.Corrections {
		for _, r := range [...]*Rating{out.Corrections[i].Back, out.Corrections[i].New} {
			if r != nil {
				out.Net = out.Net.MustAdd(r.payers())
			}
		}
	}
	return out, nil
}

// payers is what of a rating its payer was charged, or was given back: not what the operator
// lost.
func (r *Rating) payers() money.Amount {
	out := r.Amount
	for i := range r.Transfers {
		switch x, lost := &r.Transfers[i], ledger.OperatorLoss.String(); lost {
		case x.DebitClass:
			out = out.MustSub(x.Amount)
		case x.CreditClass:
			out = out.MustAdd(x.Amount)
		}
	}
	return out
}

// chain collects the event's amendments, newest first, and asks in which windows they posted.
func (x *explainer) chain(origin, last uint64) (chain []uint64, err error) {
	x.windows, x.rerates = map[uint64]uint64{origin: 0}, map[uint32]string{}
	for seq := last; seq != origin; {
		chain = append(chain, seq)
		c, err := x.blocks.at(seq)
		if err != nil {
			return nil, err
		}
		a, err := c.amendment()
		if err != nil {
			return nil, err
		}
		if a.prev >= seq || a.origin != origin {
			return nil, fmt.Errorf("sequence %d does not amend what came before it", seq)
		}
		x.windows[seq] = 0
		if a.op == amendRerated {
			x.rerates[a.job] = ""
		}
		seq = a.prev
	}
	refused := x.e.do(func(s *sequencer) bool {
		for seq := range x.windows {
			x.windows[seq] = s.state.windowOf(seq)
		}
		for job := range x.rerates {
			x.rerates[job] = s.state.rerates[job].id
		}
		return false
	})
	if refused != nil {
		return nil, refused
	}
	return chain, nil
}

// facts renders what was said of an event, the current command.
func (x *explainer) facts(c *cursor) (Event, error) {
	ev, t := &c.event, c.t
	person := t.people[ev.account]
	out := Event{Source: string(ev.source), ID: string(ev.id), Subject: person.ID, Time: timeOf(ev.time), Recorded: timeOf(c.time),
		Sequence: c.seq, State: "rated", Currency: person.Currency, Reason: ev.reason.String()}
	if ev.reason != priced {
		out.State = "unpriced"
	}
	if len(ev.usage) > 0 {
		format := usage.Format(ev.usage[0])
		out.UsageFormat, out.Reported = format.String(), slices.Clone(ev.usage[1:])
		steps, _ := format.Explain(out.Reported) // none if a later version of the rules refuses what was booked
		for _, step := range steps {
			out.Normalised = append(out.Normalised, step.Text)
		}
	}
	shape, err := shapeOf(ev, t)
	if err != nil {
		return out, err
	}
	out.Type, out.Dimensions = shape.Type, shape.Dimensions
	for i, name := range shape.Components {
		out.Usage = append(out.Usage, EventComponent{Component: name, Quantity: ev.quantities[i]})
	}
	return out, nil
}

func shapeOf(e *eventRecord, t *tables) (meter.Shape, error) {
	if e.reason != priced {
		return meter.ParseShape(e.raw)
	}
	return fullShape(e, t), nil
}

// amendment adds an amendment to the event's account.
func (x *explainer) amendment(out *Event, seq uint64) error {
	c, err := x.blocks.at(seq)
	if err != nil {
		return err
	}
	a, err := c.amendment()
	if err != nil {
		return err
	}
	legs := amendmentLegs(a, c.t, x.earners)
	if a.op == amendRated {
		out.State = "rated"
		out.Rating, err = x.rating(c, &a.new, seq, false, legs)
		return err
	}
	item := Correction{Kind: "rerate", Sequence: seq, Time: timeOf(c.time)}
	switch a.op {
	case amendVoid:
		item.Kind, item.ID, item.Reason, out.State = "void", a.id, a.reason, "voided"
	default:
		item.ID, out.State = x.rerates[a.job], "rated"
	}
	if a.old.reason == priced {
		n := len(ratingLegs(&a.old, c.t, x.earners, "", ""))
		if item.Back, err = x.rating(c, &a.old, a.prev, true, legs[:n]); err != nil {
			return err
		}
		legs = legs[n:]
	}
	if a.op.rates() {
		if item.New, err = x.rating(c, &a.new, seq, false, legs); err != nil {
			return err
		}
	}
	out.Corrections = append(out.Corrections, item)
	return nil
}

// rating renders a rating that the current command posted or took back; it counts in the
// window of the command at ratedAt.
func (x *explainer) rating(c *cursor, ev *eventRecord, ratedAt uint64, back bool, legs []EventTransfer) (*Rating, error) {
	person, version := c.t.people[ev.account], c.t.versions[ev.version].Version
	shape := fullShape(ev, c.t)
	plan, none := version.Plan(&shape, person.Currency)
	if none != meter.Planned {
		return nil, fmt.Errorf("sequence %d was rated with version %s, which does not price it", c.seq, version.ID)
	}
	steps, amounts, refused := plan.Explain(&ev.quantities, &ev.before, back)
	if refused != nil {
		return nil, fmt.Errorf("sequence %d: %w", c.seq, refused)
	}
	if err := x.explainLater(ev, steps, amounts, back, c.t); err != nil {
		return nil, err
	}
	out := &Rating{Sequence: c.seq, Time: timeOf(c.time), Version: version.ID, Price: plan.Index, Match: plan.Price.Match, Amount: ev.amount,
		FeeRate: plan.Price.Fee, Fee: feeOf(plan.Price, ev.amount), Transfers: legs}
	for i := range plan.Components {
		p := &plan.Components[i]
		item := RatedComponent{Component: p.Name, Quantity: ev.quantities[i], Model: p.Model.String(), Amount: amounts[i], Price: steps[i].Unit,
			Steps: steps[i].Steps, Note: steps[i].Note}
		if p.Counted() {
			before := ev.before[i]
			item.Before, item.Period = &before, periodText(p.Period, ev.time, x.windows[ratedAt])
		}
		out.Components = append(out.Components, item)
	}
	out.why(version, &shape, person.Currency)
	var err error
	out.Settlement, err = x.e.settled(c.seq, c.t.people[person.Root].ID, person.Currency)
	return out, err
}

// explainLater adds to a rating's explanation what it made of the counts above it.
func (x *explainer) explainLater(ev *eventRecord, steps []meter.Explained, amounts *ratingAmounts, back bool, t *tables) error {
	from := ev.before
	for _, l := range ev.later {
		i, terms := l.component, t.terms[l.terms]
		var ok bool
		amounts[i], ok = steps[i].ExplainShift(terms.price, t.versions[terms.version].Version.ID, from[i], from[i]+l.quantity, ev.quantities[i], back, amounts[i])
		if !ok {
			return fmt.Errorf("a booked amount overflows")
		}
		from[i] += l.quantity
	}
	return nil
}

// periodText names a period: "2026-11" or "window 7".
func periodText(p meter.Period, ns int64, window uint64) string {
	if p == meter.Month {
		return timeOf(ns).Format("2006-01")
	}
	return "window " + strconv.FormatUint(window, 10)
}

// why tells why this price rated the event and no other that matches.
func (r *Rating) why(v *meter.Version, shape *meter.Shape, c money.Currency) {
	for _, i := range v.Candidates(shape, c) {
		if i != r.Price {
			r.Others = append(r.Others, PriceMatch{i, v.Prices[i].Match})
		}
	}
	n := len(r.Match)
	switch {
	case len(r.Others) == 0 && n == 0:
		r.Why = "it is the only price of this meter and currency that matches, and it matches every event"
	case len(r.Others) == 0:
		r.Why = fmt.Sprintf("it is the only price whose dimensions (%d) all agree with the event's", n)
	default:
		r.Why = fmt.Sprintf("of the %d prices that match it is the one with the most dimensions (%d)", len(r.Others)+1, n)
	}
}

// settled tells in which window a command posted, and the line of an account in its batch.
func (e *Engine) settled(seq uint64, account string, c money.Currency) (out EventSettlement, err error) {
	windows := e.published.Load().windows
	i := windowIndex(windows, seq)
	if i == len(windows) {
		return out, nil // not settled yet
	}
	out.Window = windows[i].number
	for k := range windows[i].batches {
		b := &windows[i].batches[k]
		if b.currency != c {
			continue
		}
		line, ok, err := lineOf(e.store, b, account)
		if err != nil || !ok {
			return out, err
		}
		out.Batch, out.Line = hexID(b.id), line.Line
		stream := b.firstStream + uint64(line.Line) - 1
		if stream > e.confirmed.Load() {
			return out, nil
		}
		at, ok, err := e.offsetOf(stream)
		if err != nil || !ok {
			return out, err
		}
		out.Published = &LinePublication{Topic: at.Topic, Partition: at.Partition, Offset: at.FirstOffset}
	}
	return out, nil
}

// windowIndex finds the closed window in which a command posted; len(windows): none yet.
func windowIndex(windows []*window, seq uint64) int {
	return sort.Search(len(windows), func(i int) bool { return windows[i].cut >= seq })
}
