package engine

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"farthing/journal"
	"farthing/money"
	"farthing/refusal"
)

// BookHolds carries out the operations of r.Holds and returns when all that the answer depends
// on is durable, with one result for each, in their order, valid until Release. What decoding
// refused is in r.Batch().Rejects and has none.
func (e *Engine) BookHolds(r *Request) ([]HoldResult, uint64, *refusal.Refusal) {
	results, seq, refused := e.bookHolds(r)
	if refused != nil {
		return nil, 0, refused
	}
	blocks := blockReader{e: e}
	for i := range results {
		if res := &results[i]; res.Outcome == HoldDuplicate || res.absent {
			err := e.settleResult(r, &r.holds.Ops[i], res, &blocks)
			if errors.Is(err, journal.ErrDropped) {
				res.Outcome, res.Refusal = HoldRefused, e.historyExported()
				continue
			}
			if err != nil {
				return nil, 0, e.damaged(err)
			}
		}
	}
	return results, seq, nil
}

// bookHolds is BookHolds without a look at what became of ids that were used.
func (e *Engine) bookHolds(r *Request) ([]HoldResult, uint64, *refusal.Refusal) {
	if len(r.holds.Ops) == 0 {
		return nil, e.store.Head().Seq, nil
	}
	if !e.admission.flow.current(&r.ticket) {
		return nil, 0, overloaded()
	}
	for {
		if refused := e.lookup(r); refused != nil {
			return nil, 0, refused
		}
		e.submit(r)
		if !r.again {
			return r.results, r.result.Sequence, nil
		}
	}
}

// settleResult gives an operation on what is history already its answer: the first one, or why
// it is none.
func (e *Engine) settleResult(r *Request, op *HoldOp, res *HoldResult, blocks *blockReader) error {
	id := string(r.holds.Bytes(op.Hold))
	refuse := func(no *refusal.Refusal) error {
		res.Outcome, res.Refusal = HoldRefused, no
		return nil
	}
	if res.absent {
		return e.settleAbsent(op, id, res, blocks)
	}
	c, err := blocks.at(res.known.seq)
	if err != nil {
		return err
	}
	content := op.content
	if op.Kind == CaptureHold {
		if !c.isEvent() || string(c.event.hold.id) != id {
			return refuse(refusal.New(refusal.IDConflict, "event_already_booked", "the event was booked at sequence %d without this hold", res.known.seq))
		}
		content = r.batch.Events[op.Event].Content
	}
	if res.known.content != content {
		return refuse(refusal.New(refusal.IDConflict, "id_conflict", "the id was used at sequence %d with other content", res.known.seq))
	}
	res.Sequence = res.known.seq
	return e.repeatResult(c, res)
}

// repeatResult is the first answer of what a command booked.
func (e *Engine) repeatResult(c *cursor, res *HoldResult) error {
	res.Outcome, res.Refusal = HoldDuplicate, nil
	if c.isEvent() {
		res.State, res.Amount, res.Unpriced = HoldCaptured, c.event.hold.amount, c.event.reason != priced
		if res.Unpriced {
			res.Released = res.Amount
		} else {
			res.charged(c.event.amount, &c.event.split, res.Amount)
		}
		return nil
	}
	r := reader{p: c.payload}
	switch c.kind {
	case kindHold:
		p := r.holdPlan(c.t)
		if p.denied != nil {
			res.Outcome, res.State, res.Refusal = HoldRefused, HoldDenied, deniedRefusal(p.denied, c.t)
		}
		res.State, res.Amount = Held, p.amount
	case kindExtend:
		res.State = Held
		total, err := e.heldAt(c.seq)
		res.Amount = total
		return err
	case kindCapture:
		a := r.amountCapture(c.t)
		res.State, res.Amount = HoldCaptured, a.held.amount
		res.charged(a.amount, &a.split, a.held.amount)
	case kindRelease:
		v := r.holdVoid(c.t)
		res.State, res.Amount, res.Released = HoldVoided, v.held.amount, v.held.amount
	default:
		return fmt.Errorf("sequence %d is no operation on a hold", c.seq)
	}
	if r.bad {
		return errCodec
	}
	return nil
}

// heldAt is what a hold held right after the command that reserved last.
func (e *Engine) heldAt(seq uint64) (total money.Amount, err error) {
	blocks := blockReader{e: e}
	for {
		c, err := blocks.at(seq)
		if err != nil {
			return total, err
		}
		r := reader{p: c.payload}
		switch c.kind {
		case kindExtend:
			x := r.extension(c.t)
			total, seq = total.MustAdd(x.plan.amount), x.prev
		case kindHold:
			return total.MustAdd(r.holdPlan(c.t).amount), nil
		default:
			return total, fmt.Errorf("sequence %d reserves nothing", seq)
		}
		if r.bad {
			return total, errCodec
		}
	}
}

// settleAbsent answers an operation on a hold that is not open.
func (e *Engine) settleAbsent(op *HoldOp, id string, res *HoldResult, blocks *blockReader) error {
	res.absent = false
	placed, found := e.locateFor(res, []byte("\x00"+id), blocks)
	if !found {
		return nil // unknown_hold, as it says
	}
	c, err := blocks.at(placed)
	gone := errors.Is(err, journal.ErrDropped) // of one that was extended for weeks the end may be young
	if err != nil && !gone {
		return err
	}
	if !gone && placedDenied(c) {
		res.Refusal = holdConflict("hold_refused", []byte(id), "refused")
		return nil
	}
	end, found := e.locateFor(res, endKey(nil, op.wide), blocks)
	if !found && gone {
		return err
	}
	if !found {
		return nil // it was placed after this was asked
	}
	if c, err = blocks.at(end); err != nil {
		return err
	}
	res.Refusal = endConflict(c, id)
	same := false
	if r := (reader{p: c.payload}); c.kind == kindCapture && op.Kind == CaptureHold && op.Event < 0 {
		same = r.amountCapture(c.t).amount == op.Amount
	}
	if same || c.kind == kindRelease && op.Kind == VoidHold {
		res.Sequence = end
		return e.repeatResult(c, res)
	}
	return nil
}

// placedDenied reports whether the current command refused the hold that it is about.
func placedDenied(c *cursor) bool {
	r := reader{p: c.payload}
	return r.holdPlan(c.t).denied != nil
}

// locateFor finds the command that booked an identity; if it cannot be known, that is the result.
func (e *Engine) locateFor(res *HoldResult, identity []byte, blocks *blockReader) (seq uint64, found bool) {
	at, found, refused := e.locate(identity, blocks)
	if refused != nil {
		res.Refusal = refused
		return 0, false
	}
	return at.seq, found
}

// endConflict refuses an operation on a hold that the command ended.
func endConflict(c *cursor, id string) *refusal.Refusal {
	switch c.kind {
	case kindRelease:
		return holdConflict("hold_voided", []byte(id), "voided")
	case kindExpire:
		return holdConflict("hold_expired", []byte(id), "expired")
	}
	return holdConflict("hold_captured", []byte(id), "captured")
}

// Hold shows a hold.
func (e *Engine) Hold(id string) (HoldView, *refusal.Refusal) {
	done, refused := e.read()
	if refused != nil {
		return HoldView{}, refused
	}
	defer done()
	blocks := blockReader{e: e}
	placed, found, refused := e.locate([]byte("\x00"+id), &blocks)
	if refused != nil {
		return HoldView{}, refused
	}
	if !found {
		return HoldView{}, e.unknownHold(id, &blocks)
	}
	h := holdReader{e: e, blocks: &blocks, view: HoldView{ID: id, Sequence: placed.seq, State: Held}, wide: holdID([]byte(id), e.seed)}
	refused, err := h.read()
	if err != nil {
		return HoldView{}, e.damaged(err)
	}
	return h.view, refused
}

// holdReader puts a hold's history together.
type holdReader struct {
	e      *Engine
	blocks *blockReader
	wide   [2]uint64
	view   HoldView
	last   uint64 // the command that reserved last
}

func (h *holdReader) read() (*refusal.Refusal, error) {
	if err := h.placed(); err != nil || h.view.State == HoldDenied {
		return nil, err
	}
	for {
		open, refused := h.open()
		if refused != nil {
			return refused, nil
		}
		if open {
			break
		}
		end, found, refused := h.e.locate(endKey(nil, h.wide), h.blocks)
		if refused != nil {
			return refused, nil
		}
		if !found {
			continue // it ended between the two looks
		}
		if err := h.ended(end.seq); err != nil {
			return nil, err
		}
		break
	}
	return nil, h.extensions()
}

// placed reads the command that placed the hold or refused it.
func (h *holdReader) placed() error {
	c, err := h.blocks.at(h.view.Sequence)
	if err != nil {
		return err
	}
	r := reader{p: c.payload}
	p := r.holdPlan(c.t)
	if c.kind != kindHold || r.bad {
		return errCodec
	}
	v, person := &h.view, c.t.people[p.account]
	v.Account, v.Currency, v.Amount, v.TTL, v.Created = person.ID, person.Currency, p.amount, time.Duration(p.ttl), timeOf(c.time)
	v.Expires = timeOf(c.time + p.ttl)
	if p.byShape {
		shape := fullShape(p.est, c.t)
		v.Estimate = &Estimate{Type: shape.Type, Dimensions: shape.Dimensions, Version: c.t.versions[p.est.version].Version.ID}
		for i, name := range shape.Components {
			v.Estimate.Usage = append(v.Estimate.Usage, EventComponent{name, p.est.quantities[i]})
		}
	}
	h.add(p, c.t, 0)
	if p.denied != nil {
		v.State, v.Refused, v.Ended, v.End = HoldDenied, p.denied.shortfall(c.t), v.Created, v.Sequence
	}
	return nil
}

// add notes what a plan reserved on grants and which shadow limits it did not fit, those before
// what stands at a place: extensions are read from the last one back.
func (h *holdReader) add(p *holdPlan, t *tables, at int) {
	for _, part := range p.res.Parts {
		id := t.grants[part.Grant].id
		at := slices.IndexFunc(h.view.Grants, func(g HoldGrant) bool { return g.Grant == id })
		if at < 0 {
			h.view.Grants = append(h.view.Grants, HoldGrant{id, part.Amount})
		} else {
			h.view.Grants[at].Amount = h.view.Grants[at].Amount.MustAdd(part.Amount)
		}
	}
	for i, n := range p.shadowed {
		info := t.limits[n]
		h.view.WouldRefuse = slices.Insert(h.view.WouldRefuse, at+i, t.people[info.account].ID+"/"+info.name)
	}
}

// open reports whether the hold is open, and since which command it is as it is.
func (h *holdReader) open() (open bool, refused *refusal.Refusal) {
	refused = h.e.do(func(s *sequencer) bool {
		n, ok := s.state.holds.find(h.wide)
		if ok {
			row := s.state.holds.rows.At(n)
			open, h.last = true, row.last
			h.view.Amount, h.view.Expires = row.amount, timeOf(row.due)
			if row.due <= s.g.time {
				h.view.State = HoldExpired // it ends with the next look at what is due
			}
		}
		return false
	})
	return open, refused
}

// ended reads the command that ended the hold.
func (h *holdReader) ended(seq uint64) error {
	c, err := h.blocks.at(seq)
	if err != nil {
		return err
	}
	v := &h.view
	v.End, v.Ended = seq, timeOf(c.time)
	if c.isEvent() {
		v.State, v.Source, v.Event, h.last, v.Amount = HoldCaptured, string(c.event.source), string(c.event.id), c.event.hold.last, c.event.hold.amount
		var res HoldResult
		if err := h.e.repeatResult(c, &res); err != nil {
			return err
		}
		v.Charged, v.Released, v.Lost = res.Charged, res.Released, res.Lost
		return nil
	}
	r := reader{p: c.payload}
	switch c.kind {
	case kindCapture:
		a := r.amountCapture(c.t)
		var res HoldResult
		res.charged(a.amount, &a.split, a.held.amount)
		v.State, v.Amount, h.last, v.Charged, v.Released, v.Lost = HoldCaptured, a.held.amount, a.held.last, res.Charged, res.Released, res.Lost
	case kindRelease:
		x := r.holdVoid(c.t)
		v.State, v.Amount, v.Released, h.last = HoldVoided, x.held.amount, x.held.amount, x.held.last
	case kindExpire:
		for _, x := range r.expiry().holds {
			if x.id == h.wide {
				v.State, v.Amount, v.Released, h.last = HoldExpired, x.amount, x.amount, x.last
			}
		}
	default:
		return errCodec
	}
	if r.bad {
		return errCodec
	}
	return nil
}

// extensions reads the hold's extensions, the last one first, and puts them in order.
func (h *holdReader) extensions() error {
	known := h.view.End == 0 // when an open one expires its row says
	first := len(h.view.WouldRefuse)
	for seq := h.last; seq != h.view.Sequence; {
		c, err := h.blocks.at(seq)
		if err != nil {
			return err
		}
		r := reader{p: c.payload}
		x := r.extension(c.t)
		if c.kind != kindExtend || r.bad || x.prev >= seq {
			return errCodec
		}
		h.view.Extensions = append(h.view.Extensions, HoldExtension{ID: x.name, Amount: x.plan.amount, TTL: time.Duration(x.plan.ttl),
			Time: timeOf(c.time), Sequence: seq, Reported: x.report != nil})
		if x.plan.ttl != 0 && !known {
			h.view.Expires, known = timeOf(c.time+x.plan.ttl), true
		}
		h.add(&x.plan, c.t, first)
		seq = x.prev
	}
	slices.Reverse(h.view.Extensions)
	return nil
}
