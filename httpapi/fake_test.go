package httpapi

import (
	"sync"
	"time"

	"farthing/batch"
	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// fakeEngine is an engine without a ledger: it counts its budget, remembers what
// it was asked, and gives the answers it was told to give.
type fakeEngine struct {
	mu       sync.Mutex
	notReady bool
	unready  *refusal.Refusal // why changes are refused
	room     int              // requests that still fit; negative: any number
	held     int              // requests acquired and not released
	budgets  []int
	freed    chan struct{} // gets a value at every release, if there is room

	ingest   func(*engine.Request) (engine.IngestResult, *refusal.Refusal)
	refused  *refusal.Refusal // the answer of everything but ingest
	existing bool             // POST and PUT find what they make
	specs    []engine.AccountSpec
	topUps   []engine.TopUp
	versions []*meter.Version
	closed   []uint64 // windows asked for, 0 for none
	asked    []string // ids and cursors of reads
	usage    []engine.UsageRow
	account  engine.Account
	event    engine.Event
	batch    engine.Batch
	voids    []engine.VoidSpec
	rerates  []engine.RerateSpec
	summary  engine.UnpricedSummary
	now      string // of the unpriced event
	credit   fakeCredit
	hold     engine.HoldView
	// bookHolds is what becomes of operations on holds.
	bookHolds func(*engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal)
	// reprice is what simulations and previews do; simulated tells them apart.
	reprice func(o engine.RepriceOptions, simulated bool) (engine.Repricing, *refusal.Refusal)
	lines   [][]byte // of batches
	// derive is what a statement does before it is there.
	derive func(progress func() error) error
}

func newFake() *fakeEngine {
	return &fakeEngine{room: -1, freed: make(chan struct{}, 64), event: engine.Event{State: "rated"}, hold: someHold, batch: engine.Batch{BatchID: "b1", Manifest: someManifest.AppendJSON(nil)}, lines: someLines[:],
		reprice: func(o engine.RepriceOptions, _ bool) (engine.Repricing, *refusal.Refusal) {
			return someRepricing(o), nil
		},
		account: engine.Account{Spec: engine.AccountSpec{ID: "a", Kind: "provider", Currency: usd}, State: "open"}}
}

// someManifest and someLines are a batch in which nothing was paid.
var (
	someCut         = batch.Cut{Ledger: "l", Window: 1, Currency: usd, First: 1, Last: 2, Time: someTime.UnixNano(), FirstStreamSeq: 1}
	someManifest, _ = batch.NewManifest(someCut, 2, batch.Sums{}, [32]byte{})
	someLines       = func() (out [2][]byte) {
		scope := someCut.Scope()
		for i, account := range []string{"acme", "operator"} {
			line := batch.Line{Line: uint32(i + 1), Account: account}
			out[i] = line.AppendJSON(nil, &scope)
		}
		return out
	}()
)

func (f *fakeEngine) Acquire(bodyBytes int) *engine.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.room == 0 {
		return nil
	}
	f.room--
	f.held++
	f.budgets = append(f.budgets, bodyBytes)
	r := &engine.Request{}
	r.Batch().Reset(1)
	return r
}

func (f *fakeEngine) Grow(_ *engine.Request, bodyBytes int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.room == 0 {
		return false
	}
	f.budgets = append(f.budgets, bodyBytes)
	return true
}

func (f *fakeEngine) Release(*engine.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.room++
	f.held--
	select {
	case f.freed <- struct{}{}:
	default:
	}
}

func (f *fakeEngine) Ingest(r *engine.Request) (engine.IngestResult, *refusal.Refusal) {
	if f.ingest != nil {
		return f.ingest(r)
	}
	return engine.IngestResult{Accepted: len(r.Batch().Events), Rejected: r.Batch().Rejects, Sequence: 42}, nil
}

func (f *fakeEngine) heldNow() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.held
}

func (f *fakeEngine) Unready() *refusal.Refusal {
	if f.notReady {
		return refusal.New(refusal.NotReady, "", "not yet")
	}
	return f.unready
}

func (f *fakeEngine) note(words ...string) *refusal.Refusal {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, words...)
	return f.refused
}

func (f *fakeEngine) CreateAccount(spec engine.AccountSpec) (engine.Account, bool, *refusal.Refusal) {
	f.specs = append(f.specs, spec)
	return engine.Account{Spec: spec, State: "open", Overdraft: spec.OverdraftLimit, Created: someTime, Sequence: 1}, !f.existing, f.note()
}

func (f *fakeEngine) Account(id string) (engine.Account, *refusal.Refusal) {
	a := f.account
	a.Spec.ID = id
	return a, f.note(id)
}

func (f *fakeEngine) Accounts(kind, cursor string, limit int) (engine.Page[engine.Account], *refusal.Refusal) {
	return engine.Page[engine.Account]{Items: []engine.Account{f.account}, Next: "n"}, f.note(kind, cursor)
}

func (f *fakeEngine) Transfers(account, cursor string, limit int) (engine.Page[engine.Transfer], *refusal.Refusal) {
	return engine.Page[engine.Transfer]{Items: []engine.Transfer{
		{Sequence: 7, Time: someTime, Account: "operator", Class: "revenue", Amount: amount("-0.5"), Reason: "usage", Source: "s", Event: "e"},
		{Sequence: 8, Time: someTime, Account: "operator", Class: "cash", Amount: amount("5"), Reason: "topup", ID: "t1"},
		{Sequence: 9, Time: someTime, Account: "operator", Class: "cash", Grant: "g1", Amount: amount("-1"), Reason: "refund", ID: "r1"},
	}}, f.note(account, cursor)
}

func (f *fakeEngine) Usage(account string, from, to time.Time) ([]engine.UsageRow, uint64, *refusal.Refusal) {
	return f.usage, 9, f.note(account, from.Format(time.RFC3339), to.Format(time.RFC3339))
}

func (f *fakeEngine) TrialBalance() ([]engine.TrialBalance, *refusal.Refusal) {
	return []engine.TrialBalance{{Currency: usd, Debits: amount("3"), Credits: amount("3"),
		Classes: []engine.ClassTotal{{Class: "cash", Debits: amount("3")}, {Class: "paid", Credits: amount("3")}}}}, f.note()
}

func (f *fakeEngine) PutPrices(v *meter.Version, faults *refusal.Refusal) (engine.PriceVersion, bool, *refusal.Refusal) {
	if faults != nil {
		all := *faults
		if v != nil && len(v.Prices) > 0 && v.Prices[0].Payee != "" {
			all.Problems = append(all.Problems, "prices[0]: unknown payee")
		}
		return engine.PriceVersion{}, false, &all
	}
	f.versions = append(f.versions, v)
	return engine.PriceVersion{Version: v, Sequence: 3, Time: someTime}, !f.existing, f.note()
}

func (f *fakeEngine) PriceVersions(cursor string, limit int) (engine.Page[engine.PriceVersion], *refusal.Refusal) {
	page := engine.Page[engine.PriceVersion]{}
	for _, v := range f.versions {
		page.Items = append(page.Items, engine.PriceVersion{Version: v, Time: someTime})
	}
	return page, f.note(cursor)
}

func (f *fakeEngine) PriceVersion(id string) (engine.PriceVersion, *refusal.Refusal) {
	if len(f.versions) == 0 {
		return engine.PriceVersion{}, refusal.New(refusal.NotFound, "", "no such version")
	}
	return engine.PriceVersion{Version: f.versions[0], Time: someTime}, f.note(id)
}

func (f *fakeEngine) TopUp(t engine.TopUp) (engine.TopUpAnswer, bool, *refusal.Refusal) {
	f.topUps = append(f.topUps, t)
	return engine.TopUpAnswer{TopUp: t, Posted: t.Amount, Sequence: 4, Time: someTime}, !f.existing, f.note()
}

func (f *fakeEngine) CloseWindow(id string, window *uint64) (engine.Settlement, bool, *refusal.Refusal) {
	asked := uint64(0)
	if window != nil {
		asked = *window
	}
	f.closed = append(f.closed, asked)
	return engine.Settlement{ID: id, Window: 5, Cut: 6, Time: someTime, Sequence: 8,
		Batches: []engine.SettlementBatch{{BatchID: "b1", Currency: usd, Lines: 2, Paid: amount("1"), Collected: amount("1")}}}, !f.existing, f.note()
}

func (f *fakeEngine) Settlements(cursor string, limit int) (engine.Page[engine.Batch], *refusal.Refusal) {
	return engine.Page[engine.Batch]{Items: []engine.Batch{f.batch}}, f.note(cursor)
}

func (f *fakeEngine) Settlement(batchID string) (engine.Batch, *refusal.Refusal) {
	return f.batch, f.note(batchID)
}

func (f *fakeEngine) Lines(batchID, cursor string, limit int) (engine.Page[[]byte], *refusal.Refusal) {
	return engine.Page[[]byte]{Items: f.lines}, f.note(batchID, cursor)
}

func (f *fakeEngine) Event(source, id string) (engine.Event, *refusal.Refusal) {
	e := f.event
	e.Source, e.ID = source, id
	return e, f.note(source, id)
}

func (f *fakeEngine) Unpriced(cursor string, limit int) (engine.Page[engine.UnpricedEvent], *refusal.Refusal) {
	return engine.Page[engine.UnpricedEvent]{Items: []engine.UnpricedEvent{{Source: "s", ID: "e", Time: someTime, Reason: "no_price", Now: f.now,
		Usage: []engine.EventComponent{{Component: "input", Quantity: 1_500_000}}}}}, f.note(cursor)
}

func (f *fakeEngine) UnpricedSummary(kinds int) (engine.UnpricedSummary, *refusal.Refusal) {
	s := f.summary
	s.Counts = s.Counts[:min(kinds, len(s.Counts))]
	return s, f.note()
}

func (f *fakeEngine) Void(v engine.VoidSpec) (engine.Void, bool, *refusal.Refusal) {
	f.voids = append(f.voids, v)
	return engine.Void{ID: v.ID, Reason: v.Reason, Source: v.Source, Event: v.Event, Sequence: 11, Time: someTime, Account: "acme", Currency: usd, Priced: true, Amount: amount("1.5"),
		Transfers: []engine.EventTransfer{{Debit: "operator", DebitClass: "revenue", Credit: "acme", CreditClass: "paid", Amount: amount("1.5"), Reason: "void"}}}, !f.existing, f.note()
}

func (f *fakeEngine) Simulate(o engine.RepriceOptions) (engine.Repricing, *refusal.Refusal) {
	return f.reprice(o, true)
}

func (f *fakeEngine) PreviewRerate(o engine.RepriceOptions) (engine.Repricing, *refusal.Refusal) {
	return f.reprice(o, false)
}

func (f *fakeEngine) Rerate(r engine.RerateSpec) (engine.Rerate, bool, *refusal.Refusal) {
	f.rerates = append(f.rerates, r)
	return engine.Rerate{ID: r.ID, Version: r.Version, From: r.From, To: r.To, State: "running", Sequence: 12, Time: someTime}, !f.existing, f.note()
}

func (f *fakeEngine) RerateStatus(id string) (engine.Rerate, *refusal.Refusal) {
	return engine.Rerate{ID: id, Version: "v1", From: someTime, State: "done", Sequence: 12, Time: someTime, Done: someTime, Events: 3,
		Totals: []engine.RerateTotal{{Currency: usd, Returned: amount("1.5"), Charged: amount("1.25")}}}, f.note(id)
}

var (
	someTime = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	usd, _   = money.Lookup("USD")
)

func amount(s string) money.Amount {
	a, err := money.Parse(s)
	if err != nil {
		panic(err)
	}
	return a
}
