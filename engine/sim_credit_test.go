package engine

import (
	"fmt"
	"slices"
	"time"

	"farthing/meter"
	"farthing/refusal"
)

// The lines of prepaid credit.

func (s *sim) holdLine(l *simLine) {
	op := creditOp{hold: l.arg(0)}
	if len(l.input) > 0 {
		c := simEvent(l.input[0])
		op.event = &c
	}
	id := ""
	amount := func(text string) {
		if text != "-" {
			op.amount = text
		}
	}
	switch l.cmd {
	case "hold":
		op.kind, op.account, op.ttl, id = PlaceHold, l.arg(1), l.duration(3), "hold "+op.hold
		amount(l.arg(2))
	case "extend":
		op.kind, op.id, op.ttl, id = ExtendHold, l.arg(1), l.duration(3), "extend "+l.arg(1)
		amount(l.arg(2))
	case "capture":
		op.kind = CaptureHold
		if op.amount = l.arg(1); op.event != nil {
			id = eventID(op.event)
		}
	case "release":
		op.kind = VoidHold
	}
	if id != "" {
		s.check.submit(id)
	}
	s.start1(func(e *Engine) { s.holding(e, id, &op) })
}

func (s *sim) holding(e *Engine, id string, op *creditOp) {
	q := e.Acquire(500)
	if q == nil {
		s.say("no room")
		s.count.refused++
		return
	}
	defer e.Release(q)
	creditAdd(simTB{s.t, s}, q, 0, op)
	out, seq, no := e.BookHolds(q)
	if no != nil {
		s.failf("holds: %v", no)
	}
	r := &out[0]
	s.count.answers++
	s.say("hold %s %d %d at %d", op.hold, op.kind, r.Outcome, seq)
	if r.Outcome == HoldRefused {
		s.count.refused++
		s.say("%s", r.Refusal.Reason)
		id = ""
		if op.kind == PlaceHold && r.Refusal.Code == refusal.InsufficientFunds {
			id = "hold " + op.hold // the refusal is final
		}
	}
	s.answered(id, seq)
}

// booking asks for something that is remembered by its kind and id.
func (s *sim) booking(kind byte, id string, call func(e *Engine) (Booked, *refusal.Refusal)) {
	s.client(fmt.Sprintf("booking %d %s", kind, id), func(e *Engine) (uint64, *refusal.Refusal) {
		b, no := call(e)
		return b.Sequence, no
	})
}

func simScope(model string) (out Scope) {
	if model != "-" && model != "" {
		out.Match = []meter.Dimension{{Key: "model", Value: model}}
	}
	return out
}

// grantLine is grant ID ACCOUNT KIND AMOUNT EXPIRES|- MODEL|-.
func (s *sim) grantLine(l *simLine) {
	g := GrantSpec{ID: l.arg(0), Account: l.arg(1), Kind: l.arg(2), Amount: s.amount(l.arg(3)), Scope: simScope(l.arg(5))}
	if l.arg(4) != "-" {
		g.Expires = time.Unix(0, simTime(l.arg(4))).UTC()
	}
	s.booking(kindGrant, g.ID, func(e *Engine) (Booked, *refusal.Refusal) {
		a, _, no := e.Grant(g)
		return a.Booked, no
	})
}

// limitsLine is limits ID ACCOUNT PER AMOUNT MODE.
func (s *sim) limitsLine(l *simLine) {
	a := s.amount(l.arg(3))
	spec := LimitsSpec{ID: l.arg(0), Account: l.arg(1), Limits: []LimitSpec{{Name: "l", Per: l.arg(2), Amount: &a, Mode: l.arg(4)}}}
	s.booking(kindLimits, spec.ID, func(e *Engine) (Booked, *refusal.Refusal) {
		out, _, no := e.PutLimits(spec)
		return Booked{Sequence: out.Sequence}, no
	})
}

// settingsLine is settings ID ACCOUNT EXCESS ABANDONED LOW.
func (s *sim) settingsLine(l *simLine) {
	low := s.amount(l.arg(4))
	spec := SettingsSpec{ID: l.arg(0), Account: l.arg(1), Excess: l.arg(2), Abandoned: l.arg(3), CreditLow: &low, GrantWarning: time.Hour,
		AutoTopUp: &AutoTopUp{Threshold: low, Amount: s.amount("5"), MaxPerDay: 2}}
	s.booking(kindSettings, spec.ID, func(e *Engine) (Booked, *refusal.Refusal) {
		out, _, no := e.PutSettings(spec)
		return Booked{Sequence: out.Sequence}, no
	})
}

// subscribeLine is subscribe ID ACCOUNT PERIOD ALLOWANCE PRICE.
func (s *sim) subscribeLine(l *simLine) {
	spec := SubscriptionSpec{ID: l.arg(0), Account: l.arg(1), Period: l.arg(2), Plan: PlanSpec{Allowance: s.amount(l.arg(3)), Price: s.amount(l.arg(4))}}
	s.booking(kindSubscribe, spec.ID, func(e *Engine) (Booked, *refusal.Refusal) {
		out, _, no := e.Subscribe(spec)
		return out.Booked, no
	})
}

// changeLine is change ID SUBSCRIPTION cancel|PRICE now|later.
func (s *sim) changeLine(l *simLine) {
	spec := SubscriptionChange{ID: l.arg(0), Subscription: l.arg(1), Cancel: l.arg(2) == "cancel", Now: l.arg(3) == "now"}
	if !spec.Cancel {
		price := s.amount(l.arg(2))
		spec.Price = &price
	}
	s.booking(kindChange, spec.ID, func(e *Engine) (Booked, *refusal.Refusal) {
		out, _, no := e.ChangeSubscription(spec)
		return Booked{Sequence: out.Sequence}, no
	})
}

// askLine is ask ID ACCOUNT AMOUNT.
func (s *sim) askLine(l *simLine) {
	spec := TopUpAskSpec{ID: l.arg(0), Account: l.arg(1), Amount: s.amount(l.arg(2))}
	s.booking(kindAsk, spec.ID, func(e *Engine) (Booked, *refusal.Refusal) {
		out, _, no := e.AskTopUp(spec)
		return Booked{Sequence: out.Sequence}, no
	})
}

// refundLine is refund ID ACCOUNT AMOUNT.
func (s *sim) refundLine(l *simLine) {
	spec := RefundSpec{ID: l.arg(0), Account: l.arg(1), Amount: s.amount(l.arg(2))}
	s.booking(kindRefund, spec.ID, func(e *Engine) (Booked, *refusal.Refusal) {
		out, _, no := e.Refund(spec)
		return out.Booked, no
	})
}

// openHolds are the ids of holds that were asked for, newest last.
func (g *simGenerator) someHold() string {
	if len(g.holds) == 0 {
		return ""
	}
	return g.holds[len(g.holds)-1-g.rng.IntN(min(len(g.holds), 6))]
}

// credit draws a line of prepaid credit.
func (g *simGenerator) credit() simLine {
	root := g.root()
	money := func(most int) string { return fmt.Sprintf("%d.%02d", g.rng.IntN(most), 1+g.rng.IntN(99)) }
	switch n := g.rng.IntN(40); {
	case n < 12:
		id := g.id("h")
		g.holds = append(g.holds, id)
		if l := line("hold", id, g.node(), money(4), g.ttl()); g.rng.IntN(2) == 0 {
			return l
		}
		account := g.node()
		c := g.call()
		c.subject, c.source, c.id = account, "est", id
		l := line("hold", id, account, "-", g.ttl())
		return l.below(simEventText(&c))
	case n < 17 && len(g.holds) > 0:
		hold := g.someHold()
		l := line("extend", hold, g.id("x"), money(2), g.ttl())
		if g.rng.IntN(2) == 0 {
			c := g.call()
			c.subject, c.time = g.node(), g.s.now
			l.input = []string{simEventText(&c)}
		}
		return l
	case n < 24 && len(g.holds) > 0:
		if g.rng.IntN(3) == 0 {
			return line("capture", g.someHold(), money(3))
		}
		c := g.call()
		c.subject = g.node()
		l := line("capture", g.someHold())
		return l.below(simEventText(&c))
	case n < 27 && len(g.holds) > 0:
		return line("release", g.someHold())
	case n < 31:
		expires := "-"
		if g.rng.IntN(2) == 0 {
			expires = simTimeText(g.s.now + 1 + g.rng.Int64N(int64(2*day)))
		}
		return line("grant", g.id("g"), root, g.pick("paid", "promo", "subscription"), money(9), expires, g.pick("-", "-", "m1"))
	case n < 33:
		return line("limits", g.id("lim"), g.node(), g.pick("hour", "day", "month", "total"), money(60), g.pick("hard", "soft", "shadow"))
	case n < 35:
		return line("settings", g.id("set"), root, g.pick("allow", "cap"), g.pick("capture", "void"), money(5))
	case n < 36:
		id := g.id("sub")
		g.subs = append(g.subs, id)
		return line("subscribe", id, root, g.pick("day", "week", "month"), money(20), money(10))
	case n < 37 && len(g.subs) > 0:
		return line("change", g.id("ch"), g.subs[g.rng.IntN(len(g.subs))], g.pick("cancel", money(9)), g.pick("now", "later"))
	case n < 38:
		return line("ask", g.id("ask"), root, money(9))
	case n < 39:
		return line("refund", g.id("ref"), root, money(2))
	}
	return line("topup", g.id("t"), root, money(30))
}

func (g *simGenerator) ttl() string { return g.pick("1s", "30s", "1m", "10m", "3h", "48h") }

// root is a customer that holds money, node one of those and their children.
func (g *simGenerator) root() string { return g.accounts[g.rng.IntN(len(g.accounts))] }

func (g *simGenerator) node() string {
	all := slices.Concat(g.accounts, g.children)
	return all[g.rng.IntN(len(all))]
}
