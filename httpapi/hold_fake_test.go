package httpapi

import (
	"time"

	"farthing/engine"
	"farthing/refusal"
)

// BookHolds does what bookHolds says, else all that is asked.
func (f *fakeEngine) BookHolds(r *engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal) {
	if f.bookHolds != nil {
		return f.bookHolds(r)
	}
	results := make([]engine.HoldResult, len(r.Holds().Ops))
	for i := range results {
		results[i] = heldResult(&r.Holds().Ops[i])
	}
	return results, 42, nil
}

func (f *fakeEngine) Hold(id string) (engine.HoldView, *refusal.Refusal) {
	v := f.hold
	v.ID = id
	return v, f.note(id)
}

var (
	half      = amount("0.5")
	available = amount("99.25")
)

// heldResult is an operation that was carried out.
func heldResult(op *engine.HoldOp) engine.HoldResult {
	r := engine.HoldResult{Outcome: engine.HoldDone, Index: op.Index, Sequence: 41}
	switch op.Kind {
	case engine.PlaceHold, engine.ExtendHold:
		r.State, r.Amount, r.Available, r.Expires = engine.Held, half, &available, someTime.Add(time.Minute)
	case engine.CaptureHold:
		r.State, r.Charged, r.Released = engine.HoldCaptured, half, available
	case engine.VoidHold:
		r.State, r.Released = engine.HoldVoided, half
	}
	return r
}

var someHold = engine.HoldView{ID: "h", Account: "acme", Currency: usd, State: engine.Held, Amount: half, TTL: time.Minute,
	Created: someTime, Expires: someTime.Add(time.Minute), Sequence: 7}
