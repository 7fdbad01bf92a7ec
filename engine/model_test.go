package engine

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/batch"
	"farthing/journal"
	"farthing/ledger"
	"farthing/money"
	"farthing/refusal"
)

// model is the dumb twin of the engine: plain decimals and maps, applied one command
// after the other in the order of the journal. From the journal it takes only which
// identities, ids and cuts came in which order; what they are it knows from the test.
type model struct {
	t         testing.TB
	w         *world
	accounts  map[string]*modelAccount
	operators map[string]*modelOperator // by currency code
	booked    map[string]bool           // "source\x00id"
	topUps    map[string]bool
	results   map[string]modelResult // as they were booked
	unpriced  int                    // as they arrived
	priced    int
	rating
	window  uint64
	lines   map[string][]modelLine // of the last cut, by currency code
	batches []modelBatch           // of sealed windows

	first, cutAt uint64              // sequences of the window that was cut
	leaves       map[string][][]byte // of the open window, by currency code
	roots        map[string][32]byte // of the window that was cut
	previous     map[string][32]byte // hash of the last manifest, by currency code
}

// world is what a test submits: the model looks things up here.
type world struct {
	base     time.Time // about when the test runs; events lie in the 90 days before it
	specs    map[string]AccountSpec
	calls    map[string]call
	topUps   map[string]TopUp
	versions map[string]*modelVersion
	voids    map[string]VoidSpec
	rerates  map[string]RerateSpec
	results  map[string]worldResult
}

type modelAccount struct {
	spec                      AccountSpec
	paid, due                 decimal.Decimal // due: owed by a customer, payable to a provider
	grossDebits, grossCredits decimal.Decimal
	carried, returned         decimal.Decimal
	events                    uint64
	charged                   decimal.Decimal // all that usage and its corrections moved
	topped                    decimal.Decimal // all top-ups
}

type modelOperator struct {
	revenue, fees, cash, transit decimal.Decimal // credits − debits
	grossDebits, grossCredits    decimal.Decimal
	carried, returned            decimal.Decimal
}

// modelLine is a line as the contract's equation has it.
type modelLine struct {
	account                 string
	signed, debits, credits decimal.Decimal
	carriedIn, carriedOut   decimal.Decimal
	returned                decimal.Decimal
	events                  uint64
	after                   modelParts // what became of its amount
}

type modelBatch struct {
	window      uint64
	currency    string
	lines       []modelLine
	first, last uint64
	root        [32]byte
}

func newModel(t testing.TB, w *world) *model {
	return &model{t: t, w: w, accounts: map[string]*modelAccount{}, operators: map[string]*modelOperator{},
		booked: map[string]bool{}, topUps: map[string]bool{}, results: map[string]modelResult{}, rating: newRating(), window: 1, cutAt: 0, leaves: map[string][][]byte{}, previous: map[string][32]byte{}}
}

func (m *model) account(id string) {
	spec, ok := m.w.specs[id]
	if !ok || m.accounts[id] != nil {
		m.t.Fatalf("account %s: submitted %v", id, ok)
	}
	m.accounts[id] = &modelAccount{spec: spec}
	if m.operators[spec.Currency.Code()] == nil {
		m.operators[spec.Currency.Code()] = &modelOperator{}
	}
}

func (m *model) event(identity string, seq uint64, groupTime int64) {
	c, ok := m.w.calls[identity]
	if !ok || m.booked[identity] {
		m.t.Fatalf("event %q: submitted %v, booked before %v", identity, ok, m.booked[identity])
	}
	m.booked[identity] = true
	e := m.newEvent(&c, seq, groupTime)
	if m.rateNew(e, seq) {
		m.priced++
	} else {
		m.unpriced++
	}
}

func (a *modelAccount) repay(amount decimal.Decimal) {
	repaid := decimal.Min(a.due, amount)
	a.due = a.due.Sub(repaid)
	a.paid = a.paid.Add(amount.Sub(repaid))
}

func (m *model) topUp(id string) {
	u, ok := m.w.topUps[id]
	if !ok || m.topUps[id] {
		m.t.Fatalf("top-up %s: submitted %v, booked before %v", id, ok, m.topUps[id])
	}
	m.topUps[id] = true
	a := m.accounts[u.Account]
	amount := u.Amount.Decimal()
	a.repay(amount)
	a.grossCredits = a.grossCredits.Add(amount)
	a.topped = a.topped.Add(amount)
	operator := m.operators[a.spec.Currency.Code()]
	operator.cash = operator.cash.Sub(amount)
	operator.grossDebits = operator.grossDebits.Add(amount)
}

// cut nets the open window and starts the next.
func (m *model) cut(seq uint64) {
	m.first, m.cutAt = m.cutAt+1, seq
	m.lines, m.roots = map[string][]modelLine{}, map[string][32]byte{}
	for code := range m.operators {
		m.roots[code] = treeHash(m.leaves[code])
	}
	clear(m.leaves)
	for code, o := range m.operators {
		var lines []modelLine
		for id, a := range m.accounts {
			if a.spec.Currency.Code() != code {
				continue
			}
			if l := a.line(id); l.moved() || !l.signed.IsZero() {
				lines = append(lines, l)
			}
			a.grossDebits, a.grossCredits, a.returned, a.events = decimal.Zero, decimal.Zero, decimal.Zero, 0
		}
		l := modelLine{account: ledger.OperatorID, debits: o.grossDebits, credits: o.grossCredits, carriedIn: o.carried, returned: o.returned}
		l.carriedOut = l.carriedIn.Add(l.returned).Add(l.credits).Sub(l.debits)
		o.grossDebits, o.grossCredits, o.returned = decimal.Zero, decimal.Zero, decimal.Zero
		if len(lines) > 0 {
			lines = append(lines, l)
		}
		slices.SortFunc(lines, func(a, b modelLine) int { return strings.Compare(a.account, b.account) })
		m.lines[code] = lines
	}
	m.window++
}

func (l *modelLine) moved() bool {
	return l.debits.IsPositive() || l.credits.IsPositive() || !l.returned.IsZero() || l.events > 0
}

func (a *modelAccount) line(id string) modelLine {
	l := modelLine{account: id, debits: a.grossDebits, credits: a.grossCredits, carriedIn: a.carried, returned: a.returned, events: a.events}
	digits := int32(a.spec.Currency.Digits())
	switch {
	case a.spec.Kind == "customer":
		l.signed = a.due.Truncate(digits).Neg()
	case a.due.IsPositive() && a.due.Cmp(a.spec.MinimumPayout.Decimal()) >= 0:
		l.signed = a.due.Truncate(digits)
	}
	l.carriedOut = l.carriedIn.Add(l.returned).Add(l.credits).Sub(l.debits).Sub(l.signed)
	return l
}

// closing closes lines first..first+n−1 of a currency of the window that was cut.
func (m *model) closing(code string, first, n int) {
	o := m.operators[code]
	for _, l := range m.lines[code][first-1 : first-1+n] {
		if l.account == ledger.OperatorID {
			o.carried = l.carriedOut
			continue
		}
		a := m.accounts[l.account]
		a.carried = l.carriedOut
		o.transit = o.transit.Add(l.signed)
		if l.signed.IsNegative() {
			a.repay(l.signed.Neg())
		} else {
			a.due = a.due.Sub(l.signed)
		}
	}
}

func (m *model) seal() {
	for i := range money.Currencies() {
		if code := money.CurrencyAt(i).Code(); len(m.lines[code]) > 0 {
			m.batches = append(m.batches, modelBatch{m.window - 1, code, m.lines[code], m.first, m.cutAt, m.roots[code]})
		}
	}
}

// replay applies the engine's durable journal up to a sequence.
func (m *model) replay(e *Engine, to uint64) {
	m.t.Helper()
	m.replayOf(e.store, e.published.Load(), to)
}

// replayOf applies a history that need not be in a store alone.
func (m *model) replayOf(history storage, t *tables, to uint64) {
	m.t.Helper()
	var c cursor
	err := history.Blocks(2, func(b *journal.Block) error {
		c.reset(b.Body, b.First, b.Time, t)
		for c.next() && c.seq <= to {
			m.command(&c)
		}
		return c.err()
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *model) command(c *cursor) {
	if c.isEvent() {
		m.event(string(c.event.source)+"\x00"+string(c.event.id), c.seq, c.time)
		return
	}
	r := reader{p: c.payload}
	switch c.kind {
	case kindAccount:
		m.account(r.participant().ID)
	case kindTopUp:
		m.topUp(r.topUp().id)
	case kindCut:
		m.cut(c.seq)
	case kindClosing:
		s := r.closing()
		m.closing(s.currency.Code(), int(s.first), len(s.lines))
	case kindSeal:
		m.seal()
	case kindResult:
		m.result(r.lineResult().name, c.seq, c.time)
	case kindPrices:
		m.put(r.str())
	case kindAmend:
		var a amendment
		r.amendment(&a, c.t)
		m.amend(&a, c.seq)
	case kindRerate:
		m.beginRerate(r.rerate().id, c.seq)
	case kindRerated:
		m.endRerate(r.rerate().id, c.seq)
	}
}

// compare checks everything the engine shows against the model. No settlement and no
// request may be under way.
func (m *model) compare(e *Engine) {
	m.t.Helper()
	m.compareAccounts(e)
	m.compareBooks(e)
	m.compareBatches(e)
	m.compareResults(e)
	m.compareRating(e)
}

// compareFrom compares what is there once the history was dropped up to a sequence, and that the rest is refused.
func (m *model) compareFrom(e *Engine, dropped uint64) {
	m.t.Helper()
	if dropped == 0 {
		m.compare(e)
		return
	}
	m.compareAccounts(e)
	m.compareBooks(e)
	m.compareBatches(e)
	m.compareUnpriced(e)
	for id, j := range m.rerates {
		m.compareRerate(e, id, j)
	}
	all := m.order
	m.order = nil
	for _, ev := range all {
		if ev.seq > dropped {
			m.order = append(m.order, ev)
		} else if _, refused := e.Event(ev.source, ev.id); refused == nil || refused.Code != refusal.NotFound {
			m.t.Fatalf("event %s of sequence %d, which was dropped: %v", ev.id, ev.seq, refused)
		}
	}
	m.compareEvents(e, 150)
	m.order = all
}

func (m *model) compareAccounts(e *Engine) {
	m.t.Helper()
	for id, a := range m.accounts {
		want := a.due
		if a.spec.Kind == "customer" {
			want = a.paid.Sub(a.due)
		}
		got, refused := e.Account(id)
		if refused != nil || !got.Posted.Decimal().Equal(want) {
			m.t.Fatalf("account %s: posted %s, the model has %s (%v)", id, got.Posted, want, refused)
		}
	}
}

func (m *model) compareBooks(e *Engine) {
	m.t.Helper()
	books, refused := e.TrialBalance()
	if refused != nil || len(books) != len(m.operators) {
		m.t.Fatalf("%d currencies, the model has %d (%v)", len(books), len(m.operators), refused)
	}
	for _, b := range books {
		if b.Debits != b.Credits {
			m.t.Fatalf("%s: debits %s, credits %s", b.Currency, b.Debits, b.Credits)
		}
		o := m.operators[b.Currency.Code()]
		want := map[string]decimal.Decimal{"revenue": o.revenue, "fees": o.fees, "cash": o.cash, "in_transit": o.transit}
		for _, a := range m.accounts {
			switch {
			case a.spec.Currency != b.Currency:
			case a.spec.Kind == "provider":
				want["payable"] = want["payable"].Add(a.due)
			default:
				want["paid"], want["receivable"] = want["paid"].Add(a.paid), want["receivable"].Sub(a.due)
			}
		}
		for _, c := range b.Classes {
			if got := c.Credits.MustSub(c.Debits).Decimal(); !got.Equal(want[c.Class]) {
				m.t.Fatalf("%s %s: %s, the model has %s", b.Currency, c.Class, got, want[c.Class])
			}
			delete(want, c.Class)
		}
		for class, left := range want {
			if !left.IsZero() {
				m.t.Fatalf("%s: class %s is missing, the model has %s", b.Currency, class, left)
			}
		}
	}
}

func (m *model) compareBatches(e *Engine) {
	m.t.Helper()
	clear(m.previous)
	n := 0
	for _, w := range e.published.Load().windows {
		for _, b := range w.batches {
			if n == len(m.batches) {
				m.t.Fatalf("window %d has a batch in %s that the model has not", w.number, b.currency)
			}
			m.compareBatch(e, w, &b, &m.batches[n])
			n++
		}
	}
	if n != len(m.batches) {
		m.t.Fatalf("%d batches, the model has %d", n, len(m.batches))
	}
}

func (m *model) compareBatch(e *Engine, w *window, b *sealedBatch, want *modelBatch) {
	m.t.Helper()
	if w.number != want.window || b.currency.Code() != want.currency || int(b.lines) != len(want.lines) {
		m.t.Fatalf("window %d, %s, %d lines; the model has window %d, %s, %d lines", w.number, b.currency, b.lines, want.window, want.currency, len(want.lines))
	}
	m.compareManifest(e, b, want)
	err := scanLines(e.store, b.id, b.lines, 1, func(n uint32, record []byte) bool {
		_, got, err := batch.ParseLine(record)
		if err != nil {
			m.t.Fatal(err)
		}
		if l := want.lines[n-1]; !l.same(&got) {
			m.t.Fatalf("window %d, %s: line %+v, the model has %+v", w.number, b.currency, got, l)
		}
		return true
	})
	if err != nil {
		m.t.Fatal(err)
	}
}

func (l *modelLine) same(got *batch.Line) bool {
	return got.Account == l.account && got.Signed().Decimal().Equal(l.signed) && got.GrossDebits.Decimal().Equal(l.debits) &&
		got.GrossCredits.Decimal().Equal(l.credits) && got.Returned.Decimal().Equal(l.returned) && got.CarriedIn.Decimal().Equal(l.carriedIn) &&
		got.CarriedOut.Decimal().Equal(l.carriedOut) && got.Events == l.events
}
