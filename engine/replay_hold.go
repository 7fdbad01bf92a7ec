package engine

import (
	"bytes"
	"fmt"

	"farthing/ledger"
)

// applyHolds decides an operation on a hold anew and compares with what the journal says.
func (p *replayer) applyHolds(kind byte, payload []byte) error {
	r := reader{p: payload}
	var err error
	switch kind {
	case kindHold:
		plan := r.holdPlan(p.cur.t)
		if err = r.end(); err == nil {
			err = p.applyHold(plan, payload)
		}
	case kindExtend:
		x := r.extension(p.cur.t)
		if err = r.end(); err == nil {
			err = p.applyExtension(x, payload)
		}
	case kindCapture:
		c := r.amountCapture(p.cur.t)
		if err = r.end(); err == nil {
			err = p.applyAmountCapture(c, payload)
		}
	case kindRelease:
		v := r.holdVoid(p.cur.t)
		if err = r.end(); err == nil {
			if err = p.checkHeld(v.held, v.account); err == nil {
				p.state.release(p.state.mustFind(v.held.id))
			}
		}
	case kindExpire:
		x := r.expiry()
		if err = r.end(); err == nil {
			err = p.applyExpiry(x)
		}
	}
	return err
}

func (p *replayer) applyHold(plan *holdPlan, payload []byte) error {
	s := p.state
	if _, open := s.holds.find(holdID(plan.id, s.genesis.seed)); open {
		return fmt.Errorf("hold %s is placed twice", plan.id)
	}
	if refused := s.checkCustomer(plan.account); refused != nil {
		return refused
	}
	if refused := s.checkThawed(plan.account); refused != nil {
		return refused
	}
	if refused := checkTTL(plan.ttl); refused != nil {
		return refused
	}
	if plan.byShape {
		if err := p.estimate(plan); err != nil {
			return fmt.Errorf("hold %s: %w", plan.id, err)
		}
	} else if plan.amount.Sign() <= 0 {
		return fmt.Errorf("hold %s is of nothing", plan.id)
	}
	if refused := s.checkHeld(plan); refused != nil {
		return refused
	}
	s.plan(plan)
	if !bytes.Equal(plan.append(p.scratch[:0]), payload) {
		return fmt.Errorf("hold %s: the journal decides another than its limits and its credit", plan.id)
	}
	s.applyHold(plan)
	return nil
}

// estimate rates the estimate of a hold anew.
func (p *replayer) estimate(plan *holdPlan) error {
	s, est := p.state, plan.est
	est.time = s.time // periods are counted by it
	v := s.rates.book.InForce(s.time)
	if v == nil || v.Index != est.version {
		return fmt.Errorf("it was rated with another price version than the book says")
	}
	slot := s.slot(est.shape, v, s.people[plan.account].Currency)
	if slot.reason != priced {
		return fmt.Errorf("its estimate has no price: %s", slot.reason)
	}
	if refused := s.rate(slot, est, &p.amounts, s.ledger.Window()); refused != nil {
		return refused
	}
	plan.amount = notBelowZero(est.amount)
	plan.scopes = s.scopesOf(est.shape)
	return nil
}

func (p *replayer) applyExtension(x *extension, payload []byte) error {
	s := p.state
	n, ok := s.holds.find(holdID(x.plan.id, s.genesis.seed))
	if !ok {
		return fmt.Errorf("hold %s is extended and not open", x.plan.id)
	}
	old := *s.holds.rows.At(n)
	switch {
	case old.account != x.plan.account || old.last != x.prev || old.due <= s.time:
		return fmt.Errorf("hold %s is extended that stands otherwise", x.plan.id)
	case x.plan.amount.Sign() < 0 || (x.plan.amount.IsZero() && x.plan.ttl == 0 && x.report == nil):
		return fmt.Errorf("hold %s is extended by nothing", x.plan.id)
	}
	if x.plan.ttl != 0 {
		if refused := checkTTL(x.plan.ttl); refused != nil {
			return refused
		}
	}
	x.plan.old, x.plan.scopes = &old, s.heldScopes(&old)
	if !x.plan.amount.IsZero() {
		if refused := s.checkThawed(old.account); refused != nil {
			return refused
		}
		if refused := s.checkHeld(&x.plan); refused != nil {
			return refused
		}
		if s.plan(&x.plan); x.plan.denied != nil {
			return fmt.Errorf("hold %s is extended beyond its limits or its credit", x.plan.id)
		}
	}
	if !bytes.Equal(x.append(nil), payload) {
		return fmt.Errorf("hold %s: the journal extends it otherwise than its limits and its credit", x.plan.id)
	}
	s.applyExtension(x, n)
	return nil
}

func (p *replayer) applyAmountCapture(c *amountCapture, payload []byte) error {
	if err := p.checkHeld(c.held, c.account); err != nil {
		return err
	}
	if c.amount.Sign() <= 0 || c.amount.Cmp(amountMax) > 0 || !p.state.ledger.Fits(p.state.people[c.account].Currency, c.amount) {
		return fmt.Errorf("hold %s is captured with %s", c.held.id, c.amount)
	}
	p.state.captureAmount(p.state.mustFind(c.held.id), c.amount, c.held.id, &c.split)
	if !bytes.Equal(c.append(nil), payload) {
		return fmt.Errorf("hold %s: the journal takes its capture from other sources than the books", c.held.id)
	}
	return nil
}

// checkHeld checks that a hold that ends stands as the command says; no id: there is none.
func (p *replayer) checkHeld(h heldRef, account ledger.Ref) error {
	if len(h.id) == 0 {
		return nil
	}
	s := p.state
	n, ok := s.holds.find(holdID(h.id, s.genesis.seed))
	if !ok {
		return fmt.Errorf("hold %s ends and is not open", h.id)
	}
	row := s.holds.rows.At(n)
	if row.account != account || row.last != h.last || row.amount != h.amount {
		return fmt.Errorf("hold %s ends that stands otherwise", h.id)
	}
	if refused := s.checkOpen(account); refused != nil {
		return refused
	}
	if row.due <= s.time && !s.toCapture(n) {
		return fmt.Errorf("hold %s was due before it ended", h.id)
	}
	return nil
}

func (p *replayer) applyExpiry(x *holdExpiry) error {
	s := p.state
	if len(x.holds) == 0 {
		return fmt.Errorf("no hold expires")
	}
	seen := map[[2]uint64]bool{}
	for i := range x.holds {
		h := &x.holds[i]
		n, ok := s.holds.find(h.id)
		if !ok || seen[h.id] {
			return fmt.Errorf("a hold of sequence %d expires and is not open", h.seq)
		}
		seen[h.id] = true
		row := s.holds.rows.At(n)
		if *h != (expiredHold{row.id, row.seq, row.last, row.amount, row.account}) || row.due > s.time {
			return fmt.Errorf("the hold of sequence %d expires that stands otherwise", h.seq)
		}
	}
	s.applyExpiry(x)
	return nil
}
