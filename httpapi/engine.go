package httpapi

import (
	"time"

	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

// Engine is what the server needs from the engine. Its methods may be called by
// many goroutines at once. What they return shows only what is durable.
type Engine interface {
	Credit
	Holds
	Statements
	Results
	Evidence

	// Acquire takes the budget for a body of so many bytes before it is read. nil: no
	// room now, or changes are refused.
	Acquire(bodyBytes int) *engine.Request
	// Grow takes the budget for a body that is longer than it was acquired for. False:
	// no room now, and nothing was taken.
	Grow(r *engine.Request, bodyBytes int) bool
	// Ingest books the events of r's batch and blocks until the answer is durable.
	// The result is valid until Release.
	Ingest(r *engine.Request) (engine.IngestResult, *refusal.Refusal)
	// Release gives the budget back; r is not touched after.
	Release(r *engine.Request)
	// Unready says why changes are refused; nil: they are accepted.
	Unready() *refusal.Refusal

	CreateAccount(engine.AccountSpec) (a engine.Account, created bool, no *refusal.Refusal)
	Account(id string) (engine.Account, *refusal.Refusal)
	Accounts(kind, cursor string, limit int) (engine.Page[engine.Account], *refusal.Refusal)
	Transfers(account, cursor string, limit int) (engine.Page[engine.Transfer], *refusal.Refusal)
	// Usage returns the account's usage of the days that begin in [from, to), a zero
	// time leaving its end open, and the sequence of the state that it shows.
	Usage(account string, from, to time.Time) ([]engine.UsageRow, uint64, *refusal.Refusal)
	TrialBalance() ([]engine.TrialBalance, *refusal.Refusal)

	// PutPrices takes a version into the book. faults is what its document was found to
	// be wrong in, beside which v may be nil; the refusal then has those, too.
	PutPrices(v *meter.Version, faults *refusal.Refusal) (p engine.PriceVersion, created bool, no *refusal.Refusal)
	PriceVersions(cursor string, limit int) (engine.Page[engine.PriceVersion], *refusal.Refusal)
	PriceVersion(id string) (engine.PriceVersion, *refusal.Refusal)

	TopUp(engine.TopUp) (a engine.TopUpAnswer, created bool, no *refusal.Refusal)
	// CloseWindow closes the open window, which must be *window unless that is nil,
	// and returns after its batches are sealed.
	CloseWindow(id string, window *uint64) (s engine.Settlement, created bool, no *refusal.Refusal)
	Settlements(cursor string, limit int) (engine.Page[engine.Batch], *refusal.Refusal)
	Settlement(batchID string) (engine.Batch, *refusal.Refusal)
	// Lines returns line records in canonical JSON.
	Lines(batchID, cursor string, limit int) (engine.Page[[]byte], *refusal.Refusal)

	Event(source, id string) (engine.Event, *refusal.Refusal)
	Void(engine.VoidSpec) (v engine.Void, created bool, no *refusal.Refusal)
	Unpriced(cursor string, limit int) (engine.Page[engine.UnpricedEvent], *refusal.Refusal)
	// UnpricedSummary counts the unpriced events by their kinds, of which it lists at
	// most so many, the largest first.
	UnpricedSummary(kinds int) (engine.UnpricedSummary, *refusal.Refusal)

	// Simulate and PreviewRerate take as long as the stretch of time is. They call
	// Progress from the calling goroutine and soon return when it gives an error.
	Simulate(engine.RepriceOptions) (engine.Repricing, *refusal.Refusal)
	PreviewRerate(engine.RepriceOptions) (engine.Repricing, *refusal.Refusal)
	// Rerate begins a rerate, which goes on by itself.
	Rerate(engine.RerateSpec) (r engine.Rerate, created bool, no *refusal.Refusal)
	RerateStatus(id string) (engine.Rerate, *refusal.Refusal)
}
