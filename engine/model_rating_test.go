package engine

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"
)

// rating is the model's part that prices: versions, counters, how every event stands, voids
// and rerates.
type rating struct {
	versions []*modelVersion // in the order they were put
	counters modelCounters
	events   map[string]*modelEvent // by identity
	order    []*modelEvent
	voids    map[string]*modelVoid // by id
	rerates  map[string]*modelRerate
	running  *modelRerate
	usage    map[usageKey]*modelUsage

	late, rerated int // what it saw
}

func newRating() rating {
	return rating{counters: modelCounters{}, events: map[string]*modelEvent{}, voids: map[string]*modelVoid{},
		rerates: map[string]*modelRerate{}, usage: map[usageKey]*modelUsage{}}
}

// modelEvent is an event and how it stands.
type modelEvent struct {
	call
	code    string // of the currency
	seq     uint64
	at      int64
	window  uint64 // in which it arrived
	reason  string // why it had no price when it came
	state   string // rated, unpriced, voided, being_rerated
	stands  *modelRating
	first   *modelRating
	changes []modelChange
}

// modelRating is what an event was rated with, or with back what taking that back moved.
type modelRating struct {
	seq     uint64
	window  uint64 // in which it posted
	counted uint64 // window in which it counts
	version *modelVersion
	price   *modelPrice
	parts   map[string]decimal.Decimal
	before  map[string]decimal.Decimal
	amount  decimal.Decimal
	fee     decimal.Decimal
	paid    decimal.Decimal // of amount: taken from, or given back to, paid credit
	back    bool
}

type modelChange struct {
	kind, id  string
	back, new *modelRating
}

type modelVoid struct {
	spec  VoidSpec
	seq   uint64
	event *modelEvent
	back  *modelRating // nil: nothing moved
}

type modelRerate struct {
	spec     RerateSpec
	begun    uint64
	ended    uint64
	done     bool
	book     []*modelVersion // when it began
	events   uint64
	returned map[string]decimal.Decimal // by currency
	charged  map[string]decimal.Decimal
}

// usageKey is as fine as the model goes: it does not know which dimensions the engine keeps
// beside the model.
type usageKey struct{ account, day, meter, model, component string }

type modelUsage struct{ quantity, amount decimal.Decimal }

func (m *model) put(id string) {
	v := m.w.versions[id]
	if v == nil || slices.Contains(m.versions, v) {
		m.t.Fatalf("version %s: submitted %v", id, v != nil)
	}
	m.versions = append(m.versions, v)
	m.enter(v)
}

// inForce is the version in force at a time; nil: none.
func (m *model) inForce(at int64) *modelVersion { return inForce(m.versions, at) }

func inForce(versions []*modelVersion, at int64) (best *modelVersion) {
	for _, v := range versions {
		if v.from <= at && (best == nil || v.from > best.from) {
			best = v
		}
	}
	return best
}

func (m *model) newEvent(c *call, seq uint64, groupTime int64) *modelEvent {
	e := &modelEvent{call: *c, code: m.accounts[c.subject].spec.Currency.Code(), seq: seq, at: c.time, window: m.window, state: "unpriced"}
	if c.time == 0 {
		e.at = groupTime
	}
	m.events[identityOf(c)] = e
	m.order = append(m.order, e)
	return e
}

// counter names what a component of an event counts under a price, in a window.
func (e *modelEvent) counter(p *modelPrice, name string, window uint64) string {
	period := fmt.Sprint("window ", window)
	if counts(p.components[name]) == "month" {
		period = time.Unix(0, e.at).UTC().Format("2006-01")
	}
	return e.subject + " | " + p.series(name) + " | " + period
}

// price is what an event costs under a version as the counters stand; the reason why not.
func (e *modelEvent) price(counters modelCounters, v *modelVersion, window uint64) (*modelRating, string) {
	if v == nil {
		return nil, "no_version_in_force"
	}
	p, reason := v.find(&e.call, e.code)
	if p == nil {
		return nil, reason
	}
	r := &modelRating{counted: window, version: v, price: p, before: e.before(counters, v, p, window)}
	var ok bool
	if r.parts, ok = p.rate(usageOf(&e.call), r.before); !ok {
		return nil, "fractional_quantity"
	}
	maps.Copy(r.parts, e.moves(counters, v, p, window, 1))
	r.sum()
	return r, ""
}

func (r *modelRating) sum() {
	for _, part := range r.parts {
		r.amount = r.amount.Add(part)
	}
	if r.price.payee != "" {
		r.fee = r.amount.Mul(number(r.price.fee)).Truncate(18)
	}
}

// takeBack is what taking an event's rating back moves as the counters stand.
func (e *modelEvent) takeBack(counters modelCounters) *modelRating {
	old := e.stands
	r := &modelRating{counted: old.counted, version: old.version, price: old.price, parts: map[string]decimal.Decimal{}, back: true,
		before: e.before(counters, old.version, old.price, old.counted)}
	parts, _ := old.price.rate(usageOf(&e.call), r.before)
	for name, part := range parts {
		r.parts[name] = part.Neg()
	}
	maps.Copy(r.parts, e.moves(counters, old.version, old.price, old.counted, -1))
	r.sum()
	return r
}

// post moves a rating on the books.
func (m *model) post(e *modelEvent, r *modelRating, seq uint64) {
	r.seq, r.window = seq, m.window
	payer := m.accounts[e.subject]
	payer.charged = payer.charged.Add(r.amount)
	if r.amount.IsNegative() {
		amount := r.amount.Neg()
		payer.grossCredits = payer.grossCredits.Add(amount)
		paid := payer.paid
		payer.repay(amount)
		r.paid = payer.paid.Sub(paid).Neg()
	} else {
		r.paid = decimal.Min(payer.paid, r.amount)
		payer.paid, payer.due = payer.paid.Sub(r.paid), payer.due.Add(r.amount.Sub(r.paid))
		payer.grossDebits = payer.grossDebits.Add(r.amount)
	}
	m.earn(e.code, r)
	for name, q := range usageOf(&e.call) {
		u := m.usageOf(e, name)
		if r.back {
			q = q.Neg()
		}
		u.quantity, u.amount = u.quantity.Add(q), u.amount.Add(r.parts[name])
	}
}

// earn is the other side of a rating.
func (m *model) earn(code string, r *modelRating) {
	operator := m.operators[code]
	mine := r.amount
	if r.price.payee == "" {
		operator.revenue = operator.revenue.Add(mine)
	} else {
		mine = r.fee
		operator.fees = operator.fees.Add(r.fee)
		payee, part := m.accounts[r.price.payee], r.amount.Sub(r.fee)
		payee.due = payee.due.Add(part)
		payee.charged = payee.charged.Sub(part)
		payee.grossCredits = payee.grossCredits.Add(decimal.Max(part, decimal.Zero))
		payee.grossDebits = payee.grossDebits.Sub(decimal.Min(part, decimal.Zero))
	}
	operator.grossCredits = operator.grossCredits.Add(decimal.Max(mine, decimal.Zero))
	operator.grossDebits = operator.grossDebits.Sub(decimal.Min(mine, decimal.Zero))
}

func (m *model) usageOf(e *modelEvent, component string) *modelUsage {
	key := usageKey{account: e.subject, day: time.Unix(0, e.at).UTC().Format(time.DateOnly), meter: e.kind, component: component}
	for _, d := range e.dims {
		if d[0] == "model" {
			key.model = d[1]
		}
	}
	if m.usage[key] == nil {
		m.usage[key] = &modelUsage{}
	}
	return m.usage[key]
}

// rateNew gives an event its first rating, if it has a price.
func (m *model) rateNew(e *modelEvent, seq uint64) bool {
	r, reason := e.price(m.counters, m.inForce(e.at), m.window)
	if r == nil {
		e.reason = reason
		return false
	}
	m.post(e, r, seq)
	e.count(m.counters, r, 1)
	e.state, e.stands, e.first = "rated", r, r
	m.leaves[e.code] = append(m.leaves[e.code], m.leaf(e, r))
	m.accounts[e.subject].events++
	return true
}

// undo takes back the rating that stands.
func (m *model) undo(e *modelEvent, seq uint64) *modelRating {
	back := e.takeBack(m.counters)
	m.post(e, back, seq)
	e.count(m.counters, back, -1)
	e.stands = nil
	return back
}

// amend applies an amendment, of which the journal tells the event and what is done, no more.
func (m *model) amend(a *amendment, seq uint64) {
	e := m.events[string(a.old.source)+"\x00"+string(a.old.id)]
	if e == nil {
		m.t.Fatalf("sequence %d amends event %s/%s, which was never booked", seq, a.old.source, a.old.id)
	}
	was := e.state
	switch a.op {
	case amendRated:
		if was != "unpriced" || !m.rateNew(e, seq) {
			m.t.Fatalf("sequence %d rates event %s, which is %s", seq, e.id, was)
		}
		m.late++
	case amendVoid:
		m.void(e, a.id, a.reason, seq)
	default:
		m.rerate(e, seq)
	}
}

func (m *model) void(e *modelEvent, id, reason string, seq uint64) {
	spec, ok := m.w.voids[id]
	if !ok || m.voids[id] != nil || spec.Reason != reason || spec.Source != e.source || spec.Event != e.id || e.state == "voided" {
		m.t.Fatalf("sequence %d, void %s of event %s, which is %s: submitted %v as %+v, booked before %v", seq, id, e.id, e.state, ok, spec, m.voids[id])
	}
	v := &modelVoid{spec: spec, seq: seq, event: e}
	if e.stands != nil {
		v.back = m.undo(e, seq)
	}
	m.voids[id], e.state = v, "voided"
	e.changes = append(e.changes, modelChange{kind: "void", id: id, back: v.back})
}

// rerate takes an event back and rates it anew.
func (m *model) rerate(e *modelEvent, seq uint64) {
	j := m.running
	if j == nil || !j.wants(e) {
		m.t.Fatalf("sequence %d rerates event %s, which no rerate wants", seq, e.id)
	}
	v := m.w.versions[j.spec.Version]
	if e.state != "rated" || e.stands.version == v || inForce(j.book, e.at) != v {
		m.t.Fatalf("sequence %d rerates event %s, which is %s", seq, e.id, e.state)
	}
	back := m.undo(e, seq)
	r, reason := e.price(m.counters, v, m.window)
	if r == nil {
		m.t.Fatalf("sequence %d rates event %s with a version that does not price it: %s", seq, e.id, reason)
	}
	m.post(e, r, seq)
	e.count(m.counters, r, 1)
	j.returned[e.code] = j.returned[e.code].Sub(back.amount)
	j.charged[e.code] = j.charged[e.code].Add(r.amount)
	j.events++
	m.rerated++
	e.stands = r
	e.changes = append(e.changes, modelChange{kind: "rerate", id: j.spec.ID, back: back, new: r})
}

// net is what an event comes to after all.
func (e *modelEvent) net() (sum decimal.Decimal) {
	list := []*modelRating{e.first}
	for _, c := range e.changes {
		list = append(list, c.back, c.new)
	}
	for _, r := range list {
		if r != nil {
			sum = sum.Add(r.amount)
		}
	}
	return sum
}

// wants reports whether an event lies in the rerate's stretch.
func (j *modelRerate) wants(e *modelEvent) bool {
	return e.seq <= j.begun && (j.spec.From.IsZero() || e.at >= j.spec.From.UnixNano()) && (j.spec.To.IsZero() || e.at < j.spec.To.UnixNano())
}

func (m *model) beginRerate(id string, seq uint64) {
	spec, ok := m.w.rerates[id]
	if !ok || m.running != nil || m.rerates[id] != nil {
		m.t.Fatalf("sequence %d, rerate %s: submitted %v, another is running: %v", seq, id, ok, m.running != nil)
	}
	m.running = &modelRerate{spec: spec, begun: seq, book: slices.Clone(m.versions), returned: map[string]decimal.Decimal{}, charged: map[string]decimal.Decimal{}}
	m.rerates[id] = m.running
}

// endRerate checks that nothing is left: all that the version could rate otherwise stands under it.
func (m *model) endRerate(id string, seq uint64) {
	j := m.running
	if j == nil || j.spec.ID != id {
		m.t.Fatalf("rerate %s ends that is not running", id)
	}
	v := m.w.versions[j.spec.Version]
	for _, e := range m.order {
		if e.state == "rated" && j.wants(e) && e.stands.version != v && inForce(j.book, e.at) == v && m.differs(e, v) {
			m.t.Fatalf("rerate %s ends, event %s still stands under %s", id, e.id, e.stands.version.id)
		}
	}
	j.done, j.ended, m.running = true, seq, nil
}

// differs reports whether a version would rate an event, and otherwise than it stands. Where
// something counts it may have been the same when the rerate came by.
func (m *model) differs(e *modelEvent, v *modelVersion) bool {
	r, _ := e.price(m.counters, v, m.window)
	if r == nil {
		return false
	}
	old := e.stands.price
	if r.price.counted(&e.call) || old.counted(&e.call) {
		return false
	}
	return r.price.payee != old.payee || !number(r.price.fee).Equal(number(old.fee)) ||
		!maps.EqualFunc(r.parts, e.stands.parts, decimal.Decimal.Equal)
}

// complete checks that the repricer, which is idle, left nothing undone.
func (m *model) complete() {
	m.t.Helper()
	if m.running != nil {
		m.t.Fatalf("rerate %s did not end", m.running.spec.ID)
	}
	for _, e := range m.order {
		if e.state != "unpriced" {
			continue
		}
		if r, _ := e.price(m.counters, m.inForce(e.at), m.window); r != nil {
			m.t.Fatalf("event %s is on the unpriced list, and version %s prices it", e.id, r.version.id)
		}
	}
}

// rehearse is what an evaluation under a version comes to: by currency, how much more the
// events that it prices would cost.
func (m *model) rehearse(o *RepriceOptions) (more map[string]decimal.Decimal, events, refused uint64) {
	more = map[string]decimal.Decimal{}
	counters, v := m.counters.clone(), m.w.versions[o.Version]
	stretch := modelRerate{spec: RerateSpec{From: o.From, To: o.To}, begun: 1 << 62}
	for _, e := range m.order {
		if e.state == "voided" || !stretch.wants(e) {
			continue
		}
		if r, _ := e.price(counters, v, e.window); r == nil {
			refused++
			continue
		}
		events++
		window := e.window
		if e.stands != nil {
			window = e.stands.window
			back := e.takeBack(counters)
			e.count(counters, back, -1)
			more[e.code] = more[e.code].Add(back.amount)
		}
		r, _ := e.price(counters, v, window)
		e.count(counters, r, 1)
		more[e.code] = more[e.code].Add(r.amount)
	}
	return more, events, refused
}

// text shows an event that differs.
func (e *modelEvent) text() string {
	out := fmt.Sprintf("%+v at %d, sequence %d, %s", e.call, e.at, e.seq, e.state)
	for _, c := range e.changes {
		out += fmt.Sprintf("; %s %s", c.kind, c.id)
	}
	return strings.TrimSpace(out)
}
