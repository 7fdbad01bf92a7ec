package engine

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/money"
	"farthing/refusal"
)

// creditWorldBook prices three meters in two currencies, with amounts of up to 18 places. The
// prices name all that scopes name: what neither names when an event comes is not told apart.
func creditWorldBook(id string, from time.Time, factor int64) *modelVersion {
	v := &modelVersion{id: id, from: from.UnixNano()}
	for _, code := range []string{"USD", "EUR"} {
		add := func(kind string, match map[string]string, payee, fee string, units ...string) {
			components := map[string]object{}
			for i := 0; i < len(units); i += 2 {
				components[units[i]] = object{"unit": number(units[i+1]).Mul(decimal.NewFromInt(factor)).String()}
			}
			v.prices = append(v.prices, modelPrice{kind, code, match, components, payee, fee})
		}
		add("llm", map[string]string{}, "prov-"+code, "0.1", "input", "0.0000025", "output", "0.000010000000000007")
		add("llm", map[string]string{"model": "m1"}, "prov-"+code, "0.333333333333333333", "input", "0.00025", "output", "0.001")
		add("llm", map[string]string{"model": "m2"}, "prov-"+code, "0", "input", "0.0003", "output", "0.0007")
		add("api.calls", map[string]string{}, "", "", "call", "1.5")
		add("api.calls", map[string]string{"model": "m2"}, "", "", "call", "1.25")
		add("api.calls", map[string]string{"model": "m1"}, "", "", "call", "0")
		add("free", map[string]string{}, "prov-"+code, "0.5", "call", "0")
	}
	return v
}

// newCall is a random event of an account, at times one that was used before.
func (w *creditWorld) newCall(subject string) *call {
	c := &call{source: "s", id: w.id("e"), subject: subject}
	if len(w.calls) > 0 && w.oneIn(15) {
		old := *w.calls[w.rng.IntN(len(w.calls))]
		return &old
	}
	switch w.rng.IntN(12) {
	case 0:
		c.kind = "free"
	case 1:
		c.kind = w.pick("unknown", "llm") // llm by the call has no price
	case 2, 3, 4, 5:
		c.kind = "api.calls"
		if w.oneIn(2) {
			c.usage = [][2]string{{"call", fmt.Sprint(1 + w.rng.IntN(6))}}
		}
		if w.oneIn(2) {
			c.dims = [][2]string{{"model", "m2"}, {"trace", c.id}}
		}
	default:
		c.kind = "llm"
		c.dims = [][2]string{{"model", w.pick("m1", "m2", "m3")}}
		c.usage = [][2]string{{"input", fmt.Sprint(w.rng.IntN(9000))}, {"output", fmt.Sprint(w.rng.IntN(9000))}}
	}
	if w.oneIn(3) {
		c.time = w.m.now - w.rng.Int64N(int64(40*day))
	}
	if w.oneIn(40) {
		c.time = w.m.now + int64(6*time.Minute)
	}
	w.calls = append(w.calls, c)
	return c
}

// usageStep posts some events in one request.
func (w *creditWorld) usageStep() *creditStep {
	var list []*call
	for range 1 + w.rng.IntN(3) {
		list = append(list, w.newCall(w.account(false)))
	}
	return &creditStep{text: "events " + creditText(list), again: true,
		twin: func(m *creditTwin) (out []creditAnswer) {
			for _, c := range list {
				out = append(out, m.event(c))
			}
			return out
		},
		engine: func(r *creditRig) []creditReply { return r.post(list) }}
}

// post ingests events one by one, so that each has its answer, in one request each.
func (r *creditRig) post(list []*call) (out []creditReply) {
	r.t.Helper()
	for _, c := range list {
		q := r.e.Acquire(500)
		if q == nil {
			r.t.Fatal("no room")
		}
		fill(r.t, q.Batch(), []call{*c})
		got, no := r.e.Ingest(q)
		reply := creditReply{created: got.Accepted == 1, no: no, lost: got.Unpriced == 1}
		if len(got.Rejected) == 1 {
			why := got.Rejected[0].Refusal
			reply.no = &why
		}
		r.e.Release(q)
		out = append(out, reply)
	}
	return out
}

func (w *creditWorld) voidStep() *creditStep {
	s := VoidSpec{ID: w.id("v"), Source: "s", Event: "none"}
	if len(w.m.booked) > 0 && !w.oneIn(20) {
		e := w.m.booked[w.rng.IntN(len(w.m.booked))]
		if e.payer.state == "closed" || e.subject.state == "closed" {
			return nil
		}
		s.Event = e.id
	}
	return creditOne("void "+creditText(s), func(m *creditTwin) creditAnswer { return m.void(s) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.Void(s)
		return created, no
	})
}

// ttl is mostly short, at times refused.
func (w *creditWorld) ttl() time.Duration {
	switch w.rng.IntN(12) {
	case 0:
		return 168 * time.Hour
	case 1:
		return time.Duration(1+w.rng.IntN(100)) * time.Hour
	case 2:
		return []time.Duration{time.Millisecond, 169 * time.Hour, 365 * day, -time.Second}[w.rng.IntN(4)]
	case 3, 4, 5:
		return 0
	}
	return time.Second + time.Duration(w.rng.Int64N(int64(10*time.Minute)))
}

// estimate is an event as a hold is placed for it.
func (w *creditWorld) estimate(hold, subject string) *call {
	c := *w.newCall(subject)
	c.source, c.id, c.time, c.subject = "-", hold, 0, subject
	return &c
}

// someHold is mostly an open hold, at times any other or none.
func (w *creditWorld) someHold() string {
	if w.oneIn(25) || len(w.m.holdIDs) == 0 {
		return "hnone"
	}
	var open []string
	for _, id := range w.m.holdIDs {
		if w.m.holds[id].state == Held {
			open = append(open, id)
		}
	}
	if len(open) == 0 || w.oneIn(8) {
		return w.pick(w.m.holdIDs...)
	}
	return w.pick(open...)
}

func (w *creditWorld) subjectOf(hold string) string {
	if h := w.m.holds[hold]; h != nil && !w.oneIn(20) {
		return h.account.spec.ID
	}
	return w.pick(w.customers(false)...)
}

// newOp is one operation on a hold.
func (w *creditWorld) newOp() *creditOp {
	none := len(w.m.openHolds(nil)) == 0 && !w.oneIn(6)
	switch n := w.rng.IntN(20); {
	case n < 9 || none:
		op := &creditOp{kind: PlaceHold, hold: w.id("h"), account: w.account(false), ttl: w.ttl()}
		if a := w.m.accounts[op.account]; a != nil && w.oneIn(4) {
			op.currency = w.pick(a.code(), a.code(), "EUR")
		}
		if w.oneIn(2) {
			op.event = w.estimate(op.hold, op.account)
		} else {
			op.amount = w.sum(op.account, 12).String()
		}
		return op
	case n < 13:
		op := &creditOp{kind: ExtendHold, hold: w.someHold(), id: w.id("x")}
		if h := w.m.holds[op.hold]; h != nil && !w.oneIn(3) {
			op.amount = w.sum(h.account.spec.ID, 5).String()
		}
		if w.oneIn(2) {
			op.ttl = w.ttl()
		}
		if w.oneIn(3) {
			op.event = w.newCall(w.subjectOf(op.hold))
			if op.event.time == 0 {
				op.event.time = w.m.now // else it would be that of its capture, or of its report
			}
		}
		return op
	case n < 18:
		op := &creditOp{kind: CaptureHold, hold: w.someHold()}
		if w.oneIn(4) {
			op.amount = w.sum("", 10).String()
		} else {
			op.event = w.newCall(w.subjectOf(op.hold))
		}
		return op
	}
	return &creditOp{kind: VoidHold, hold: w.someHold()}
}

// holdsStep is one request of up to four operations. The later ones may name holds that the
// earlier ones place.
func (w *creditWorld) holdsStep() *creditStep {
	var list []*creditOp
	for range 1 + w.rng.IntN(4)*w.rng.IntN(2) {
		op := w.newOp()
		if n := len(list); n > 0 && op.kind != PlaceHold && list[n-1].kind == PlaceHold && w.oneIn(2) {
			op.hold = list[n-1].hold
			if op.event != nil {
				op.event.subject = list[n-1].account
			}
		}
		list = append(list, op)
	}
	var texts []string
	for _, op := range list {
		texts = append(texts, op.text())
	}
	return &creditStep{text: "holds\n  " + strings.Join(texts, "\n  "), again: true,
		twin: func(m *creditTwin) (out []creditAnswer) {
			for _, op := range list {
				a := m.operate(op)
				a.one = len(list) == 1 && (op.kind == PlaceHold || op.kind == ExtendHold)
				out = append(out, a)
				m.settle()
			}
			return out
		},
		engine: func(r *creditRig) []creditReply {
			results := creditOperate(r.t, r.e, list)
			out := make([]creditReply, len(results))
			for i := range results {
				out[i] = creditReply{created: results[i].Outcome == HoldDone, no: results[i].Refusal, hold: &results[i], lost: results[i].Unpriced}
			}
			return out
		}}
}

// creditOperate books operations in one request and returns copies of their results.
func creditOperate(t testing.TB, e *Engine, list []*creditOp) []HoldResult {
	t.Helper()
	q := e.Acquire(500 * len(list))
	if q == nil {
		t.Fatal("no room")
	}
	defer e.Release(q)
	for i, op := range list {
		creditAdd(t, q, i, op)
	}
	got, _, no := e.BookHolds(q)
	if no != nil {
		t.Fatal(no)
	}
	return append([]HoldResult(nil), got...)
}

// creditAdd puts an operation into a request, as the decoder would.
func creditAdd(t testing.TB, q *Request, index int, op *creditOp) {
	t.Helper()
	h := q.Holds()
	out := HoldOp{Kind: op.kind, Index: uint32(index), Hold: h.Intern([]byte(op.hold)), Event: -1, TTL: op.ttl}
	if op.account != "" {
		out.Account = h.Intern([]byte(op.account))
	}
	if op.id != "" {
		out.ID = h.Intern([]byte(op.id))
	}
	if op.currency != "" {
		out.Currency = currencyOf(op.currency)
	}
	if op.amount != "" {
		a, err := money.Parse(op.amount)
		if err != nil {
			t.Fatal(err)
		}
		out.Amount, out.HasAmount = a, true
	}
	if op.event != nil {
		b := q.Batch()
		out.Event = int32(len(b.Events))
		fill(t, b, []call{*op.event})
	}
	h.Add(out, q.Batch())
}

// newCreditWorld makes providers, four roots of which three have one owner, and a tree below
// each.
func newCreditWorld(t testing.TB, seed uint64, alone bool) *creditWorld {
	rng := rand.New(rand.NewPCG(seed, 5))
	base := creditBase
	versions := []*modelVersion{creditWorldBook("v1", base.AddDate(-1, 0, 0), 1), creditWorldBook("v2", base.AddDate(0, 0, 40), 2)}
	w := &creditWorld{creditRig: newCreditRig(t, rng, base, versions...), numbers: map[string]int{}, used: map[string][]string{}}
	if !alone {
		w.found()
	}
	eur := currencyOf("EUR")
	limit := creditAmount(decimal.NewFromInt(25))
	for _, spec := range []AccountSpec{
		{ID: "prov-USD", Currency: usd(), Kind: "provider"},
		{ID: "prov-EUR", Currency: eur, Kind: "provider", MinimumPayout: creditAmount(decimal.NewFromInt(3))},
		{ID: "one", Currency: usd(), Kind: "customer", Billing: "prepaid", Owner: "own"},
		{ID: "two", Currency: usd(), Kind: "customer", Billing: "postpaid", OverdraftLimit: &limit, Owner: "own"},
		{ID: "three", Currency: eur, Kind: "customer", Billing: "prepaid", Owner: "own"},
		{ID: "free", Currency: usd(), Kind: "customer", Billing: "postpaid"},
		{ID: "team1", Currency: usd(), Kind: "customer", Parent: "one"},
		{ID: "team2", Currency: usd(), Kind: "customer", Parent: "one"},
		{ID: "user1", Currency: usd(), Kind: "customer", Parent: "team1"},
		{ID: "user2", Currency: usd(), Kind: "customer", Parent: "team1", Billing: "prepaid"},
		{ID: "key1", Currency: usd(), Kind: "customer", Parent: "user1"},
		{ID: "key2", Currency: usd(), Kind: "customer", Parent: "user2"},
		{ID: "desk", Currency: usd(), Kind: "customer", Parent: "two"},
		{ID: "bureau", Currency: eur, Kind: "customer", Parent: "three", Owner: "someone"},
	} {
		w.run(w.createStep(spec), false)
	}
	for _, v := range versions {
		w.putBook(v)
	}
	return w
}
