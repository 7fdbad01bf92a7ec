package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/shopspring/decimal"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// The random operations of the simulation but for those on holds and usage: what is asked of
// both is decided by the seed and by how the twin stands, never by an answer.

// creditWorld makes random steps.
type creditWorld struct {
	*creditRig
	numbers map[string]int      // ids made, by prefix
	used    map[string][]string // ids used, by kind
	past    []*creditStep
	calls   []*call
}

func (w *creditWorld) pick(list ...string) string { return list[w.rng.IntN(len(list))] }

func (w *creditWorld) oneIn(n int) bool { return w.rng.IntN(n) == 0 }

// id is a new id of a kind, at times one that was used.
func (w *creditWorld) id(kind string) string {
	if used := w.used[kind]; len(used) > 0 && w.oneIn(15) {
		return used[w.rng.IntN(len(used))]
	}
	w.numbers[kind]++
	id := fmt.Sprintf("%s%d", kind, w.numbers[kind])
	w.used[kind] = append(w.used[kind], id)
	return id
}

// customers are all accounts but providers; with root only those that hold money. Mostly the
// closed ones are left out.
func (w *creditWorld) customers(root bool) (out []string) {
	closed := w.oneIn(8)
	for _, id := range w.m.names {
		if a := w.m.accounts[id]; a.spec.Kind == "customer" && (!root || a.parent == nil) && (closed || a.state != "closed") {
			out = append(out, id)
		}
	}
	return out
}

// account is mostly one that fits, at times a child for a root, a provider, or nobody.
func (w *creditWorld) account(root bool) string {
	switch w.rng.IntN(30) {
	case 0:
		return "nobody"
	case 1:
		return "prov-USD"
	case 2:
		root = false
	}
	return w.pick(w.customers(root)...)
}

// sum is an amount: whole, of cents, of 18 places, just what is available or a little more.
func (w *creditWorld) sum(of string, most int64) money.Amount {
	whole := decimal.NewFromInt(1 + w.rng.Int64N(most))
	switch w.rng.IntN(8) {
	case 0:
		whole = whole.Add(decimal.New(w.rng.Int64N(1e18), -18))
	case 1, 2:
		whole = whole.Sub(decimal.New(w.rng.Int64N(100), -2))
	case 3:
		if a := w.m.accounts[of]; a != nil && w.m.available(a) != nil && w.m.available(a).IsPositive() {
			whole = w.m.available(a).Add(decimal.New(w.rng.Int64N(3)-1, -18))
		}
	}
	if w.oneIn(60) {
		whole = whole.Neg()
	}
	if w.oneIn(60) {
		whole = decimal.Zero
	}
	return creditAmount(whole)
}

func (w *creditWorld) scope() (s Scope) {
	if w.oneIn(2) {
		return s
	}
	if w.oneIn(2) {
		s.Types = [][]string{{"llm"}, {"api.calls"}, {"api.calls", "llm"}}[w.rng.IntN(3)]
	}
	if w.oneIn(2) {
		s.Match = []meter.Dimension{{Key: "model", Value: w.pick("m1", "m2")}}
	}
	return s
}

// creditOne is a step with one answer.
func creditOne(text string, twin func(*creditTwin) creditAnswer, engine func(*Engine) (bool, *refusal.Refusal)) *creditStep {
	return &creditStep{text: text, again: true,
		twin: func(m *creditTwin) []creditAnswer { return []creditAnswer{twin(m)} },
		engine: func(r *creditRig) []creditReply {
			created, no := engine(r.e)
			return []creditReply{{created: created, no: no}}
		}}
}

// onlyOnce is for a step that later may be asked of an account that it does not suit.
func (s *creditStep) onlyOnce() *creditStep {
	s.again = false
	return s
}

func (w *creditWorld) createStep(spec AccountSpec) *creditStep {
	return creditOne("create "+creditText(spec), func(m *creditTwin) creditAnswer { return m.createAccount(spec) },
		func(e *Engine) (bool, *refusal.Refusal) {
			_, created, no := e.CreateAccount(spec)
			return created, no
		})
}

// newAccount is a new root or child, or an old one asked for again.
func (w *creditWorld) newAccount() *creditStep {
	spec := AccountSpec{ID: w.id("a"), Currency: usd(), Kind: "customer", Billing: "prepaid"}
	switch w.rng.IntN(10) {
	case 0:
		spec.Owner = w.pick("", "own")
	case 1:
		spec.Parent = spec.ID
	case 2: // perhaps a cycle
		old := w.m.accounts[w.pick(w.customers(false)...)]
		spec = old.spec
		spec.Parent = w.pick(w.customers(false)...)
	case 3:
		spec.Parent, spec.Currency = w.pick(w.customers(false)...), currencyOf("EUR")
	case 4:
		zero := money.Amount{}
		spec.Parent, spec.OverdraftLimit = w.pick(w.customers(false)...), &zero
	default:
		spec.Parent = w.account(false)
	}
	if spec.Parent != "" && spec.Parent != spec.ID && !w.oneIn(5) {
		spec.Billing = ""
	}
	return w.createStep(spec)
}

func (w *creditWorld) topUpStep() *creditStep {
	u := TopUp{ID: w.id("pay"), Account: w.account(true), Reference: w.pick("", "ref")}
	u.Amount = w.sum(u.Account, 40)
	return creditOne("top-up "+creditText(u), func(m *creditTwin) creditAnswer { return m.topUp(u) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.TopUp(u)
		return created, no
	})
}

func (w *creditWorld) grantStep() *creditStep {
	g := GrantSpec{ID: w.id("g"), Account: w.account(true), Kind: w.pick("paid", "promo", "promo", "subscription"), Priority: uint32(w.rng.IntN(3) * 50), Scope: w.scope()}
	g.Amount = w.sum(g.Account, 15)
	if w.oneIn(2) {
		g.Expires = time.Unix(0, w.m.now+w.rng.Int64N(int64(20*day))+1).UTC()
	}
	if w.oneIn(20) {
		g.Expires = time.Unix(0, w.m.now-w.rng.Int64N(2)).UTC()
	}
	return creditOne("grant "+creditText(g), func(m *creditTwin) creditAnswer { return m.grant(g) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.Grant(g)
		return created, no
	})
}

func (w *creditWorld) refundStep() *creditStep {
	s := RefundSpec{ID: w.id("back"), Account: w.account(true)}
	s.Amount = w.sum(s.Account, 20)
	if a := w.m.accounts[s.Account]; a != nil && w.oneIn(3) {
		if list := w.m.grantsOf(a); len(list) > 0 {
			s.Grant = list[w.rng.IntN(len(list))].id // empty of a subscription's: then it is the paid credit
		}
	}
	return creditOne("refund "+creditText(s), func(m *creditTwin) creditAnswer { return m.refund(s) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.Refund(s)
		return created, no
	})
}

func (w *creditWorld) moveStep() *creditStep {
	s := MoveSpec{ID: w.id("mv"), From: w.account(true), To: w.account(true)}
	for _, id := range []string{s.From, s.To} {
		if a := w.m.accounts[id]; a != nil && a.state == "frozen" {
			return nil // "open roots" may or may not be frozen
		}
	}
	s.Amount = w.sum(s.From, 20)
	return creditOne("move "+creditText(s), func(m *creditTwin) creditAnswer { return m.move(s) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.Move(s)
		return created, no
	}).onlyOnce()
}

// statusStep freezes what is open, resumes what is frozen, closes what nothing goes on in.
func (w *creditWorld) statusStep() *creditStep {
	s := StatusSpec{ID: w.id("st"), Account: w.pick(w.customers(false)...), Action: "freeze", Reason: w.pick("", "late")}
	for _, id := range w.m.names {
		if w.m.accounts[id].state == "frozen" && !w.oneIn(3) {
			s.Account = id
		}
	}
	a := w.m.accounts[s.Account]
	switch {
	case a.state == "frozen" || w.oneIn(8):
		s.Action = "resume"
	case w.oneIn(2):
		s.Action = "close"
	}
	busy := a.settings.topUp != nil || w.m.openRequest(a) != nil || slices.ContainsFunc(w.m.subs, func(s *creditSub) bool { return s.account == a })
	if (s.Action == "close" && busy) || (s.Action == "resume" && a.state == "open") {
		return nil
	}
	return creditOne("status "+creditText(s), func(m *creditTwin) creditAnswer { return m.setStatus(s) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.SetStatus(s)
		return created, no
	}).onlyOnce()
}

func (w *creditWorld) settingsStep() *creditStep {
	s := SettingsSpec{Account: w.account(true), Excess: w.pick("allow", "allow_up_to", "cap"), Abandoned: w.pick("void", "capture"),
		GrantWarning: []time.Duration{0, time.Hour, 72 * time.Hour}[w.rng.IntN(3)]}
	if w.oneIn(3) {
		s.ID = w.id("set")
	}
	if s.Excess == "allow_up_to" {
		s.ExcessLimit = money.FromWords(0, w.rng.Uint64()>>1)
	}
	if w.oneIn(2) {
		s.CreditLow = creditPointer(creditAmount(decimal.NewFromInt(w.rng.Int64N(20))))
	}
	if w.oneIn(2) {
		s.AutoTopUp = &AutoTopUp{Threshold: creditAmount(decimal.NewFromInt(1 + w.rng.Int64N(15))), Amount: creditAmount(decimal.New(1+w.rng.Int64N(2000), -2)), MaxPerDay: uint32(1 + w.rng.IntN(3))}
	}
	return creditOne("settings "+creditText(s), func(m *creditTwin) creditAnswer { return m.putSettings(s) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.PutSettings(s)
		return created, no
	})
}

func (w *creditWorld) limitSpec(i int, names []string) LimitSpec {
	l := LimitSpec{Name: names[i], Per: w.pick("call", "minute", "hour", "day", "day", "month", "total"), Mode: w.pick("hard", "hard", "soft", "shadow"), Scope: w.scope()}
	if l.Per == "call" || !w.oneIn(4) {
		l.Amount = creditPointer(creditAmount(decimal.New(w.rng.Int64N(4000), -2)))
	}
	if l.Per != "call" && (l.Amount == nil || w.oneIn(4)) {
		n := 1 + w.rng.Uint64N(9)
		l.Count = &n
	}
	if w.oneIn(5) && l.Amount != nil && l.Mode == "hard" && l.Per != "call" {
		l.Allotment = true
		l.Scope = Scope{}
	}
	return l
}

// limitsStep puts a new list of limits, or the old one with other amounts. No two pools of a
// list are of the same period and scope.
func (w *creditWorld) limitsStep() *creditStep {
	s := LimitsSpec{Account: w.account(false)}
	if w.oneIn(4) {
		s.ID = w.id("lim")
	}
	a := w.m.accounts[s.Account]
	if a != nil && w.oneIn(2) {
		for _, l := range a.limits {
			next := l.spec
			if next.Amount != nil && w.oneIn(2) {
				next.Amount = creditPointer(creditAmount(decimal.New(w.rng.Int64N(9000), -2)))
			}
			s.Limits = append(s.Limits, next)
		}
	} else {
		names := []string{"x", "y", "z"}
		for i := range w.rng.IntN(4) {
			l := w.limitSpec(i, names)
			twice := slices.ContainsFunc(s.Limits, func(o LimitSpec) bool { return o.Per == l.Per && creditText(o.Scope) == creditText(l.Scope) })
			if !twice {
				s.Limits = append(s.Limits, l)
			}
		}
	}
	if w.oneIn(6) {
		s.SetOverdraft = true
		if !w.oneIn(4) || a == nil || a.root.billing == "prepaid" { // which has an overdraft limit always
			s.Overdraft = creditPointer(creditAmount(decimal.NewFromInt(w.rng.Int64N(30))))
		}
	}
	return creditOne("limits "+creditText(s), func(m *creditTwin) creditAnswer { return m.putLimits(s) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.PutLimits(s)
		return created, no
	})
}

func (w *creditWorld) askStep() *creditStep {
	s := TopUpAskSpec{ID: w.id("ask"), Account: w.account(true)}
	s.Amount = w.sum(s.Account, 30)
	return creditOne("ask "+creditText(s), func(m *creditTwin) creditAnswer { return m.askTopUp(s) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.AskTopUp(s)
		return created, no
	})
}

// replyStep answers a request, mostly the open one of an account.
func (w *creditWorld) replyStep() *creditStep {
	place := -1
	if n := len(w.m.requests); n > 0 && !w.oneIn(20) {
		place = w.rng.IntN(n)
		for i, q := range w.m.requests {
			if q.state == "open" && !w.oneIn(3) {
				place = i
			}
		}
	}
	s := TopUpReplySpec{ID: w.id("re"), Request: fmt.Sprintf("@request %d", place), Paid: w.oneIn(2)}
	if w.oneIn(3) {
		s.Amount = creditPointer(w.sum("", 30))
	}
	return &creditStep{text: "reply " + creditText(s), again: true,
		twin: func(m *creditTwin) []creditAnswer { return []creditAnswer{m.reply(s, place)} },
		engine: func(r *creditRig) []creditReply {
			mine := s
			mine.Request = "tr-999999999"
			for id, name := range r.names {
				if name == s.Request {
					mine.Request = id
				}
			}
			_, created, no := r.e.ReplyTopUp(mine)
			return []creditReply{{created: created, no: no}}
		}}
}

func (w *creditWorld) plan() PlanSpec {
	p := PlanSpec{Allowance: w.cents(3000), Price: w.cents(2000), Priority: uint32(w.rng.IntN(3) * 50), Scope: w.scope()}
	if w.oneIn(2) {
		p.Rollover = &RolloverSpec{Max: w.cents(4000), Periods: uint32(1 + w.rng.IntN(3))}
	}
	return p
}

func (w *creditWorld) cents(most int64) money.Amount {
	return creditAmount(decimal.New(1+w.rng.Int64N(most), -2))
}

func (w *creditWorld) subscribeStep() *creditStep {
	s := SubscriptionSpec{ID: w.id("sub"), Account: w.account(true), Period: w.pick("month", "month", "week", "day"), Plan: w.plan()}
	if w.oneIn(2) {
		s.Anchor = map[string]uint32{"month": uint32(1 + w.rng.IntN(31)), "week": uint32(1 + w.rng.IntN(7))}[s.Period]
	}
	if w.oneIn(2) {
		s.Starts = time.Unix(0, w.m.now+w.rng.Int64N(int64(10*day))).UTC()
	}
	if w.oneIn(12) {
		s.Starts = time.Unix(0, w.m.now-1).UTC()
	}
	return creditOne("subscribe "+creditText(s), func(m *creditTwin) creditAnswer { return m.subscribe(s) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.Subscribe(s)
		return created, no
	})
}

// changeStep changes or cancels a subscription, in whatever state that is.
func (w *creditWorld) changeStep() *creditStep {
	s := SubscriptionChange{ID: w.id("ch"), Subscription: "sub0", Cancel: w.oneIn(3), Now: w.oneIn(2)}
	if len(w.m.subs) > 0 && !w.oneIn(15) {
		s.Subscription = w.m.subs[w.rng.IntN(len(w.m.subs))].spec.ID
	}
	if !s.Cancel {
		s.Price = creditPointer(w.cents(2000))
		if w.oneIn(2) {
			s.Allowance = creditPointer(w.cents(3000))
		}
		if w.oneIn(3) {
			scope, priority := w.scope(), uint32(w.rng.IntN(100))
			s.Scope, s.Priority = &scope, &priority
		}
		if w.oneIn(3) {
			s.Rollover = &RolloverSpec{Max: creditAmount(decimal.NewFromInt(w.rng.Int64N(20))), Periods: 1}
		}
	}
	return creditOne("change "+creditText(s), func(m *creditTwin) creditAnswer { return m.changeSub(s) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.ChangeSubscription(s)
		return created, no
	})
}

// closeStep closes the window.
func (w *creditWorld) closeStep() *creditStep {
	w.windows++
	id := fmt.Sprint("w", w.windows)
	step := creditOne("close "+id, func(m *creditTwin) creditAnswer {
		m.closeWindow()
		return creditAnswer{}
	}, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.CloseWindow(id, nil)
		return created, no
	})
	step.again = false // the twin does not remember windows
	return step
}
