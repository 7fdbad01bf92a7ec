package httpapi

import (
	"strconv"
	"time"

	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// operated is what became of the operations of a request.
type operated struct {
	kind     engine.HoldOpKind
	one      bool // the body was one operation
	holds    *engine.HoldBatch
	results  []engine.HoldResult // of holds.Ops
	rejects  []meter.Reject      // refused by decoding
	sequence uint64
	operationSum
}

// operationSum counts operations by what became of them.
type operationSum struct {
	done, duplicates, unpriced int
	unfunded                   int // holds that did not fit
	rejected                   int // all that was refused for another reason
}

func (o *operated) sum() {
	o.operationSum = operationSum{rejected: len(o.rejects)}
	for i := range o.results {
		r := &o.results[i]
		switch {
		case r.Outcome == engine.HoldDone:
			o.done++
			if r.Unpriced {
				o.unpriced++
			}
		case r.Outcome == engine.HoldDuplicate:
			o.duplicates++
		case o.isUnfunded(r):
			o.unfunded++
		default:
			o.rejected++
		}
	}
}

// isUnfunded reports whether r is a hold that was recorded as refused.
func (o *operated) isUnfunded(r *engine.HoldResult) bool {
	return o.kind == engine.PlaceHold && r.Outcome == engine.HoldRefused && r.Refusal.Code == refusal.InsufficientFunds
}

// only returns the refusal of the only operation; nil when there were several, or it was not
// refused.
func (o *operated) only() *refusal.Refusal {
	switch {
	case len(o.results) == 0 && len(o.rejects) == 1:
		return &o.rejects[0].Refusal
	case len(o.results) == 1 && len(o.rejects) == 0 && o.results[0].Outcome == engine.HoldRefused:
		return o.results[0].Refusal
	}
	return nil
}

// appendOne writes the answer to one operation that was not refused.
func (o *operated) appendOne(b []byte) []byte {
	op, r := &o.holds.Ops[0], &o.results[0]
	b = append(b, '{')
	switch o.kind {
	case engine.PlaceHold, engine.ExtendHold:
		b = o.appendHeld(b, op, r)
	case engine.CaptureHold:
		b = appendID(b, `"hold":`, o.holds.Bytes(op.Hold))
		b = append(b, `,"state":"captured"`...)
		b = appendAmount(b, `,"charged":`, r.Charged)
		b = appendAmount(b, `,"released":`, r.Released)
		b = appendAmount(b, `,"lost":`, r.Lost)
		b = append(b, `,"unpriced":`...)
		b = strconv.AppendBool(b, r.Unpriced)
	case engine.VoidHold:
		b = appendID(b, `"hold":`, o.holds.Bytes(op.Hold))
		b = append(b, `,"state":"voided"`...)
		b = appendAmount(b, `,"released":`, r.Released)
	}
	return append(appendSequence(b, r.Sequence), '}')
}

// appendHeld writes how a hold stands after it was placed or extended.
func (o *operated) appendHeld(b []byte, op *engine.HoldOp, r *engine.HoldResult) []byte {
	b = appendID(b, `"id":`, o.holds.Bytes(op.Hold))
	if o.kind == engine.PlaceHold {
		b = appendID(b, `,"account":`, o.holds.Bytes(op.Account))
	} else {
		b = appendID(b, `,"extension":`, o.holds.Bytes(op.ID))
	}
	b = append(b, `,"state":`...)
	b = appendString(b, string(r.State))
	b = appendAmount(b, `,"amount":`, r.Amount)
	if r.Outcome == engine.HoldDuplicate { // what was available then is not kept, and an extension may have moved the end
		return b
	}
	if r.Available == nil {
		b = append(b, `,"available":null`...)
	} else {
		b = appendAmount(b, `,"available":`, *r.Available)
	}
	b = append(b, `,"expires":"`...)
	b = r.Expires.UTC().AppendFormat(b, time.RFC3339Nano)
	return append(b, '"')
}

// appendAll writes the answer to a list of operations.
func (o *operated) appendAll(b []byte) []byte {
	if o.kind == engine.PlaceHold {
		b = append(b, `{"held":`...)
	} else {
		b = append(b, `{"captured":`...)
	}
	b = appendInt(b, o.done)
	b = append(b, `,"duplicates":`...)
	b = appendInt(b, o.duplicates)
	if o.kind == engine.PlaceHold {
		b = append(b, `,"refused":[`...)
		b = o.appendUnfunded(b)
		b = appendMore(b, `"refused_more":`, o.unfunded)
	} else {
		b = append(b, `,"unpriced":`...)
		b = appendInt(b, o.unpriced)
	}
	b = append(b, `,"rejected":[`...)
	b = o.appendRejected(b)
	b = appendMore(b, `"rejected_more":`, o.rejected)
	return append(appendSequence(b, o.sequence), '}')
}

// appendMore ends a list and says how many more there are than it has.
func appendMore(b []byte, name string, all int) []byte {
	b = append(b, ']')
	if all > rejectedMax {
		b = append(append(b, ','), name...)
		b = appendInt(b, all-rejectedMax)
	}
	return b
}

// appendUnfunded writes the elements of the list of holds that did not fit.
func (o *operated) appendUnfunded(b []byte) []byte {
	listed := 0
	for i := range o.results {
		r := &o.results[i]
		if listed == min(o.unfunded, rejectedMax) {
			break
		}
		if !o.isUnfunded(r) {
			continue
		}
		if listed > 0 {
			b = append(b, ',')
		}
		listed++
		b = o.appendResult(b, i)
		if r.Refusal.Shortfall != nil {
			b = appendShortfall(b, r.Refusal.Shortfall)
		}
		b = append(b, '}')
	}
	return b
}

// appendRejected writes the elements of the list of what was refused otherwise, by decoding
// or by the engine, in the order of the request.
func (o *operated) appendRejected(b []byte) []byte {
	left, rejects := min(o.rejected, rejectedMax), o.rejects
	comma := false
	for i := 0; left > 0; left-- {
		for i < len(o.results) && (o.results[i].Outcome != engine.HoldRefused || o.isUnfunded(&o.results[i])) {
			i++
		}
		if comma {
			b = append(b, ',')
		}
		comma = true
		if len(rejects) > 0 && (i == len(o.results) || rejects[0].Index < o.results[i].Index) {
			b = appendReject(b, &rejects[0])
			rejects = rejects[1:]
			continue
		}
		b = append(o.appendResult(b, i), '}')
		i++
	}
	return b
}

// appendResult begins the object about a result that is a refusal.
func (o *operated) appendResult(b []byte, i int) []byte {
	r := &o.results[i]
	return appendRefused(b, r.Index, string(o.holds.Bytes(o.holds.Ops[i].Hold)), r.Refusal)
}

// appendID writes an id, in which nothing needs to be escaped.
func appendID(b []byte, name string, id []byte) []byte {
	b = append(append(b, name...), '"')
	return append(append(b, id...), '"')
}

func appendAmount(b []byte, name string, a money.Amount) []byte {
	b = append(append(b, name...), '"')
	return append(a.AppendText(b), '"')
}

func appendSequence(b []byte, sequence uint64) []byte {
	b = append(b, `,"sequence":`...)
	return strconv.AppendUint(b, sequence, 10)
}
