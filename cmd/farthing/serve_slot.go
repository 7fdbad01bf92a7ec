package main

import (
	"sync/atomic"
	"time"

	"farthing/engine"
	"farthing/httpapi"
	"farthing/meter"
	"farthing/refusal"
)

// engineSlot is the engine as HTTP sees it, from before it is open until after
// it has closed. Until open, every call is refused with not_ready. All of it is
// safe for concurrent use.
type engineSlot struct {
	engine   atomic.Pointer[engine.Engine] // set once, by open
	draining atomic.Bool
}

var _ httpapi.Engine = (*engineSlot)(nil)

// open lets requests through.
func (s *engineSlot) open(e *engine.Engine) { s.engine.Store(e) }

// drain makes changes be refused. What is under way still gets its answer.
func (s *engineSlot) drain() { s.draining.Store(true) }

// get returns the engine, or the refusal.
func (s *engineSlot) get() (*engine.Engine, *refusal.Refusal) {
	if e := s.engine.Load(); e != nil {
		return e, nil
	}
	return nil, replaying()
}

// replaying is the refusal until there is an engine.
func replaying() *refusal.Refusal {
	return refusal.New(refusal.NotReady, "", "the journal is being replayed; try again in a moment")
}

// Ready reports whether changes are accepted.
func (s *engineSlot) Ready() bool { return s.Unready() == nil }

// Unready implements httpapi.Engine.
func (s *engineSlot) Unready() *refusal.Refusal {
	e, no := s.get()
	switch {
	case no != nil:
		return no
	case s.draining.Load():
		return refusal.New(refusal.NotReady, "draining", "the service is stopping; try again in a moment")
	}
	return e.Unready()
}

// Acquire implements httpapi.Engine.
func (s *engineSlot) Acquire(bodyBytes int) *engine.Request {
	if e := s.engine.Load(); e != nil {
		return e.Acquire(bodyBytes)
	}
	return nil
}

// Grow implements httpapi.Engine.
func (s *engineSlot) Grow(r *engine.Request, bodyBytes int) bool {
	return s.engine.Load().Grow(r, bodyBytes)
}

// Ingest implements httpapi.Engine. Who has a request has an engine.
func (s *engineSlot) Ingest(r *engine.Request) (engine.IngestResult, *refusal.Refusal) {
	return s.engine.Load().Ingest(r)
}

// Release implements httpapi.Engine.
func (s *engineSlot) Release(r *engine.Request) { s.engine.Load().Release(r) }

// CreateAccount implements httpapi.Engine.
func (s *engineSlot) CreateAccount(spec engine.AccountSpec) (engine.Account, bool, *refusal.Refusal) {
	return call2(s, func(e *engine.Engine) (engine.Account, bool, *refusal.Refusal) { return e.CreateAccount(spec) })
}

// Account implements httpapi.Engine.
func (s *engineSlot) Account(id string) (engine.Account, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Account, *refusal.Refusal) { return e.Account(id) })
}

// Accounts implements httpapi.Engine.
func (s *engineSlot) Accounts(kind, cursor string, limit int) (engine.Page[engine.Account], *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Page[engine.Account], *refusal.Refusal) {
		return e.Accounts(kind, cursor, limit)
	})
}

// Transfers implements httpapi.Engine.
func (s *engineSlot) Transfers(account, cursor string, limit int) (engine.Page[engine.Transfer], *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Page[engine.Transfer], *refusal.Refusal) {
		return e.Transfers(account, cursor, limit)
	})
}

// Usage implements httpapi.Engine.
func (s *engineSlot) Usage(account string, from, to time.Time) ([]engine.UsageRow, uint64, *refusal.Refusal) {
	return call2(s, func(e *engine.Engine) ([]engine.UsageRow, uint64, *refusal.Refusal) {
		return e.Usage(account, from, to)
	})
}

// TrialBalance implements httpapi.Engine.
func (s *engineSlot) TrialBalance() ([]engine.TrialBalance, *refusal.Refusal) {
	return call(s, (*engine.Engine).TrialBalance)
}

// PutPrices implements httpapi.Engine.
func (s *engineSlot) PutPrices(v *meter.Version, faults *refusal.Refusal) (engine.PriceVersion, bool, *refusal.Refusal) {
	return call2(s, func(e *engine.Engine) (engine.PriceVersion, bool, *refusal.Refusal) { return e.PutPrices(v, faults) })
}

// PriceVersions implements httpapi.Engine.
func (s *engineSlot) PriceVersions(cursor string, limit int) (engine.Page[engine.PriceVersion], *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Page[engine.PriceVersion], *refusal.Refusal) {
		return e.PriceVersions(cursor, limit)
	})
}

// PriceVersion implements httpapi.Engine.
func (s *engineSlot) PriceVersion(id string) (engine.PriceVersion, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.PriceVersion, *refusal.Refusal) { return e.PriceVersion(id) })
}

// TopUp implements httpapi.Engine.
func (s *engineSlot) TopUp(t engine.TopUp) (engine.TopUpAnswer, bool, *refusal.Refusal) {
	return call2(s, func(e *engine.Engine) (engine.TopUpAnswer, bool, *refusal.Refusal) { return e.TopUp(t) })
}

// CloseWindow implements httpapi.Engine.
func (s *engineSlot) CloseWindow(id string, window *uint64) (engine.Settlement, bool, *refusal.Refusal) {
	return call2(s, func(e *engine.Engine) (engine.Settlement, bool, *refusal.Refusal) { return e.CloseWindow(id, window) })
}

// Settlements implements httpapi.Engine.
func (s *engineSlot) Settlements(cursor string, limit int) (engine.Page[engine.Batch], *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Page[engine.Batch], *refusal.Refusal) {
		return e.Settlements(cursor, limit)
	})
}

// Settlement implements httpapi.Engine.
func (s *engineSlot) Settlement(batchID string) (engine.Batch, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Batch, *refusal.Refusal) { return e.Settlement(batchID) })
}

// Lines implements httpapi.Engine.
func (s *engineSlot) Lines(batchID, cursor string, limit int) (engine.Page[[]byte], *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Page[[]byte], *refusal.Refusal) { return e.Lines(batchID, cursor, limit) })
}

// Event implements httpapi.Engine.
func (s *engineSlot) Event(source, id string) (engine.Event, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Event, *refusal.Refusal) { return e.Event(source, id) })
}

// Unpriced implements httpapi.Engine.
func (s *engineSlot) Unpriced(cursor string, limit int) (engine.Page[engine.UnpricedEvent], *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Page[engine.UnpricedEvent], *refusal.Refusal) {
		return e.Unpriced(cursor, limit)
	})
}

// Void implements httpapi.Engine.
func (s *engineSlot) Void(v engine.VoidSpec) (engine.Void, bool, *refusal.Refusal) {
	return call2(s, func(e *engine.Engine) (engine.Void, bool, *refusal.Refusal) { return e.Void(v) })
}

// UnpricedSummary implements httpapi.Engine.
func (s *engineSlot) UnpricedSummary(kinds int) (engine.UnpricedSummary, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.UnpricedSummary, *refusal.Refusal) { return e.UnpricedSummary(kinds) })
}

// Simulate implements httpapi.Engine.
func (s *engineSlot) Simulate(o engine.RepriceOptions) (engine.Repricing, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Repricing, *refusal.Refusal) { return e.Simulate(o) })
}

// PreviewRerate implements httpapi.Engine.
func (s *engineSlot) PreviewRerate(o engine.RepriceOptions) (engine.Repricing, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Repricing, *refusal.Refusal) { return e.PreviewRerate(o) })
}

// Rerate implements httpapi.Engine.
func (s *engineSlot) Rerate(r engine.RerateSpec) (engine.Rerate, bool, *refusal.Refusal) {
	return call2(s, func(e *engine.Engine) (engine.Rerate, bool, *refusal.Refusal) { return e.Rerate(r) })
}

// RerateStatus implements httpapi.Engine.
func (s *engineSlot) RerateStatus(id string) (engine.Rerate, *refusal.Refusal) {
	return call(s, func(e *engine.Engine) (engine.Rerate, *refusal.Refusal) { return e.RerateStatus(id) })
}

// call asks the engine, or refuses while there is none.
func call[T any](s *engineSlot, ask func(*engine.Engine) (T, *refusal.Refusal)) (answer T, no *refusal.Refusal) {
	e, no := s.get()
	if no != nil {
		return answer, no
	}
	return ask(e)
}

// call2 is call for what has two answers.
func call2[T, U any](s *engineSlot, ask func(*engine.Engine) (T, U, *refusal.Refusal)) (answer T, more U, no *refusal.Refusal) {
	e, no := s.get()
	if no != nil {
		return answer, more, no
	}
	return ask(e)
}
