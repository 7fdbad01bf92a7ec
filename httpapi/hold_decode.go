package httpapi

import (
	"errors"
	"strings"
	"time"

	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// Bounds of what an operation says.
const (
	ttlLeast    = time.Second
	ttlMost     = 168 * time.Hour
	ttlMaxBytes = 32 // of its text
)

// operationAmountMax is the most that is held or captured at once.
var operationAmountMax, _ = money.Parse("1000000000000")

// captureMinBytes is less than any capture takes. Other operations take as much as events.
const captureMinBytes = 24

// leastBytes is less than one operation takes in a body of many.
func leastBytes(kind engine.HoldOpKind) int {
	if kind == engine.CaptureHold {
		return captureMinBytes
	}
	return eventMinBytes
}

// operationsIn is how many operations a body of so many bytes may hold; see eventsIn.
func operationsIn(kind engine.HoldOpKind, bodyBytes int) int {
	return min(bodyBytes/leastBytes(kind)+1, meter.MaxBatchEvents)
}

func tooManyOperations(kind engine.HoldOpKind, most int) *refusal.Refusal {
	if most < meter.MaxBatchEvents {
		return refusal.New(refusal.Malformed, "not_operations", "the body has more elements than its size could hold as operations, which take %d bytes and more", leastBytes(kind))
	}
	return refusal.New(refusal.TooLarge, "too_many_operations", "a request has at most %d operations", meter.MaxBatchEvents)
}

// operation is what the decoder knows of the operations of a body, and of the one being
// read. Its bytes lie in the body or in the scanner's scratch memory.
type operation struct {
	kind  engine.HoldOpKind // 0: the body has usage events
	holds *engine.HoldBatch
	path  []byte // the hold's id, where that is in the path

	no            *refusal.Refusal // the first of this operation; the event's own are in the batch
	seen          operationField
	hold, id      []byte
	account       []byte
	currency      money.Currency
	amount        money.Amount
	hasAmount     bool
	hasEvent      bool // the batch has an event, or an estimate as one, under construction
	ttl           time.Duration
	ttlGiven      bool
	estimateTyped bool
}

// operationField is a set of the fields of operations.
type operationField uint16

const (
	opID operationField = 1 << iota
	opHold
	opAccount
	opAmount
	opCurrency
	opTTL
	opEstimate
	opEvent
	opReason
)

var operationFields = [...]string{"id", "hold", "account", "amount", "currency", "ttl", "estimate", "event", "reason"}

func operationFieldOf(key []byte) operationField {
	switch string(key) {
	case "id":
		return opID
	case "hold":
		return opHold
	case "account":
		return opAccount
	case "amount":
		return opAmount
	case "currency":
		return opCurrency
	case "ttl":
		return opTTL
	case "estimate":
		return opEstimate
	case "event":
		return opEvent
	case "reason":
		return opReason
	}
	return 0
}

// known returns the fields that an operation may have.
func (o *operation) known() operationField {
	switch o.kind {
	case engine.PlaceHold:
		return opID | opAccount | opAmount | opCurrency | opTTL | opEstimate
	case engine.ExtendHold:
		return opID | opAmount | opTTL | opEvent
	case engine.CaptureHold:
		if o.path != nil {
			return opAmount | opEvent
		}
		return opHold | opAmount | opEvent
	}
	return opID | opReason
}

func (f operationField) names() string {
	var names []string
	for i, name := range operationFields {
		if f&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

func (o *operation) refuse(reason, format string, args ...any) {
	if o.no == nil {
		o.no = refusal.New(refusal.Invalid, reason, format, args...)
	}
}

// decodeOperations reads body into holds and batch, which must be fresh. Like decodeEvents,
// its refusal refuses the whole request, and an operation that is refused alone is in the
// batch under its hold's id. path is the hold's id if the path has it, else nil.
func decodeOperations(kind engine.HoldOpKind, path []byte, f format, body []byte, most int, holds *engine.HoldBatch, batch *meter.Batch) *refusal.Refusal {
	d := decoders.Get().(*decoder)
	d.op.kind, d.op.holds, d.op.path = kind, holds, path
	return d.run(f, body, most, batch)
}

// operation reads the value at p as an operation, up to endOperation.
func (d *decoder) operation(p, index int) int {
	d.forget()
	d.op = operation{kind: d.op.kind, holds: d.op.holds, path: d.op.path, hold: d.op.path}
	if p >= len(d.in) || d.in[p] != '{' {
		d.op.refuse("wrong_type", "an operation must be an object")
		return d.value(p, 0)
	}
	if d.op.kind == engine.CaptureHold && d.op.path != nil && d.isEvent(p) {
		d.op.hasEvent = true
		if p = d.members(p, index); p >= 0 {
			d.complete()
		}
		return p
	}
	p, last := d.open(p, '}')
	for !last {
		var key []byte
		if key, p = d.key(p); p < 0 {
			return p
		}
		if p = d.operationField(key, p, index); p < 0 {
			return p
		}
		p, last = d.more(p, '}')
	}
	return p
}

// isEvent reports whether the object at p, the body of one capture, is the event itself: it has
// fields of events and none of a capture. What does not parse is left to the reading.
func (d *decoder) isEvent(p int) (is bool) {
	d.probe.reset(d.in)
	p, last := d.probe.open(p, '}')
	for !last && p >= 0 {
		var key []byte
		if key, p = d.probe.key(p); p < 0 {
			return false
		}
		switch string(key) {
		case "amount", "event":
			return false
		case "id", "source", "type", "subject", "data":
			is = true
		}
		if p = d.probe.value(p, 1); p < 0 {
			return false
		}
		p, last = d.probe.more(p, '}')
	}
	return is && p >= 0
}

// operationField reads the value at p of a key of an operation.
func (d *decoder) operationField(key []byte, p, index int) int {
	o := &d.op
	f := operationFieldOf(key) & o.known()
	if o.seen&f != 0 {
		d.duplicate = true
	}
	o.seen |= f
	switch f {
	case 0:
		o.refuse("unknown_field", "the field %q is not known here; known are %s", clipped(key), o.known().names())
		return d.value(p, 1)
	case opEstimate:
		return d.estimate(p, index)
	case opEvent:
		return d.reported(p, index)
	}
	v, p := d.operationText(key, p)
	if v != nil {
		o.set(f, v)
	}
	return p
}

// operationText reads the string at p. A nil string with a good offset: null, which is
// absent, or another type, which was refused.
func (d *decoder) operationText(key []byte, p int) (v []byte, next int) {
	if p < len(d.in) && d.in[p] == '"' {
		return d.str(p)
	}
	start := p
	if p = d.value(p, 1); p >= 0 && d.in[start] != 'n' {
		d.op.refuse("wrong_type", "%s must be a string", clipped(key))
	}
	return nil, p
}

// set takes a field that is a string.
func (o *operation) set(f operationField, v []byte) {
	switch f {
	case opID:
		if o.kind == engine.PlaceHold {
			o.hold = o.named("id", v)
		} else {
			o.id = o.named("id", v)
		}
	case opHold:
		o.hold = o.named("hold", v)
	case opAccount:
		o.account = o.named("account", v)
	case opAmount:
		o.setAmount(v)
	case opCurrency:
		var known bool
		if o.currency, known = money.LookupBytes(v); !known {
			o.refuse("unknown_currency", "currency must be an ISO 4217 code like \"USD\"")
		}
	case opTTL:
		o.setTTL(v)
	case opReason:
		if len(v) > voidReasonMaxBytes || strings.ContainsFunc(string(v), isControl) {
			o.refuse("invalid_reason", "reason must be at most %d bytes without control characters", voidReasonMaxBytes)
		}
	}
}

func (o *operation) named(field string, v []byte) []byte {
	if !meter.ValidID(v) {
		o.refuse("invalid_id", "%s must be 1 to %d of A-Z a-z 0-9 . _ : - / @", field, meter.MaxIDBytes)
	}
	return v
}

func (o *operation) setAmount(v []byte) {
	a, err := money.ParseBytes(v)
	switch {
	case errors.Is(err, money.ErrPrecision):
		o.refuse("invalid_amount", "amount has more than %d decimals", money.Scale)
	case errors.Is(err, money.ErrSyntax):
		o.refuse("invalid_amount", "amount must be a decimal string like \"12.50\"")
	case err != nil || a.Sign() <= 0 || a.Cmp(operationAmountMax) > 0:
		o.refuse("invalid_amount", "amount must be above 0 and at most %s", operationAmountMax)
	}
	o.amount, o.hasAmount = a, true
}

func (o *operation) setTTL(v []byte) {
	o.ttlGiven = true
	ttl, ok := plainTTL(v)
	if !ok && len(v) <= ttlMaxBytes {
		var err error
		ttl, err = time.ParseDuration(string(v))
		ok = err == nil
	}
	if !ok || ttl < ttlLeast || ttl > ttlMost {
		o.refuse("invalid_ttl", "ttl must be a duration like \"60s\" or \"1h30m\", from 1s to 168h")
		return
	}
	o.ttl = ttl
}

// plainTTL reads whole seconds, minutes or hours, as nearly all are, without the string that
// time.ParseDuration wants.
func plainTTL(v []byte) (ttl time.Duration, ok bool) {
	const digitsMax = 6 // of seconds in the longest
	last := len(v) - 1
	if last < 1 || last > digitsMax {
		return 0, false
	}
	units := int64(0)
	for _, c := range v[:last] {
		if c-'0' > 9 {
			return 0, false
		}
		units = units*10 + int64(c-'0')
	}
	switch v[last] {
	case 's':
		return time.Duration(units) * time.Second, true
	case 'm':
		return time.Duration(units) * time.Minute, true
	case 'h':
		return time.Duration(units) * time.Hour, true
	}
	return 0, false
}

// reported reads the usage event at p that an operation is about.
func (d *decoder) reported(p, index int) int {
	if p < len(d.in) && d.in[p] == 'n' {
		return d.value(p, 1)
	}
	d.op.hasEvent = true
	d.base = 1
	if p = d.members(p, index); p >= 0 {
		d.complete()
	}
	d.base = 0
	return p
}

// estimate reads the estimate at p as an event whose names are not known yet.
func (d *decoder) estimate(p, index int) int {
	if p >= len(d.in) || d.in[p] != '{' {
		start := p
		if p = d.value(p, 1); p >= 0 && d.in[start] != 'n' {
			d.op.refuse("wrong_type", "estimate must be an object")
		}
		return p
	}
	d.op.hasEvent = true
	d.base = 1
	if p = d.estimateMembers(p, index); p >= 0 {
		d.complete()
		if !d.op.estimateTyped {
			d.op.refuse("missing_field", "estimate.type is missing")
		}
	}
	d.base = 0
	return p
}

func (d *decoder) estimateMembers(p, index int) int {
	d.batch.Begin(index)
	d.provider.begin()
	start, seen := p, fieldSet(0)
	p, last := d.open(p, '}')
	for !last {
		var key []byte
		if key, p = d.key(p); p < 0 {
			return p
		}
		f := fieldOf(key) & (fieldType | fieldData)
		if seen&f != 0 {
			d.duplicate = true
		}
		seen |= f
		switch f {
		case fieldData:
			p = d.data(p)
		case fieldType:
			var v []byte
			if v, p = d.operationText(estimateType, p); v != nil {
				d.batch.SetType(v)
				d.op.estimateTyped = true
			}
		default:
			d.op.refuse("unknown_field", "the field %q is not known in an estimate; known are type, data", clipped(key))
			p = d.value(p, 1)
		}
		if p < 0 {
			return p
		}
		p, last = d.more(p, '}')
	}
	if d.provider.late && p >= 0 {
		d.provider.again = true
		d.keys = d.keys[:0]
		return d.estimateMembers(start, index)
	}
	return p
}

var (
	estimateType   = []byte("estimate.type")
	estimateSource = []byte("-") // a hold's own; its id is the hold's
)

// check refuses what only the whole operation shows.
func (o *operation) check(s *scanner) {
	if s.duplicate {
		o.refuse("duplicate_key", "a key is given twice in an object")
	}
	if s.lone {
		o.refuse("invalid_string", "a string holds half a surrogate pair")
	}
	switch o.kind {
	case engine.PlaceHold:
		o.require("id", o.hold)
		o.require("account", o.account)
		if o.hasAmount == o.hasEvent {
			o.refuse("amount_or_estimate", "a hold has either amount or estimate")
		}
	case engine.ExtendHold:
		o.require("id", o.id)
		if !o.hasAmount && !o.hasEvent && !o.ttlGiven {
			o.refuse("missing_field", "an extension has amount, ttl or event, or several of them")
		}
	case engine.CaptureHold:
		o.require("hold", o.hold)
		if o.hasAmount == o.hasEvent {
			o.refuse("amount_or_event", "a capture has either amount or event")
		}
	}
}

func (o *operation) require(field string, v []byte) {
	if v == nil {
		o.refuse("missing_field", "%s is missing", field)
	}
}

// endOperation checks what only the whole operation shows and gives it to the batches.
func (d *decoder) endOperation(index int) {
	o := &d.op
	o.check(&d.scanner)
	event := int32(-1)
	if o.no == nil && o.hasEvent {
		event, o.no = d.endReported()
	}
	if o.no != nil {
		d.refuseOperation(index)
		return
	}
	h := o.holds
	op := engine.HoldOp{Kind: o.kind, Index: uint32(index), Event: event,
		Currency: o.currency, Amount: o.amount, HasAmount: o.hasAmount, TTL: o.ttl}
	op.Hold = h.Intern(o.hold)
	if o.account != nil {
		op.Account = h.Intern(o.account)
	}
	if o.id != nil {
		op.ID = h.Intern(o.id)
	}
	h.Add(op, d.batch)
}

// endReported gives the operation's event to the batch and returns its position there, or
// takes its refusal out again, which is the operation's.
func (d *decoder) endReported() (event int32, no *refusal.Refusal) {
	b := d.batch
	if d.op.kind == engine.PlaceHold {
		b.SetSource(estimateSource)
		b.SetID(d.op.hold)
		b.SetSubject(d.op.account)
	}
	refused := len(b.Rejects)
	b.End()
	if len(b.Rejects) == refused {
		return int32(len(b.Events) - 1), nil
	}
	no = &refusal.Refusal{}
	*no = b.Rejects[refused].Refusal
	b.Rejects = b.Rejects[:refused]
	return -1, no
}

// refuseOperation puts the operation's refusal into the batch, under the hold's id.
func (d *decoder) refuseOperation(index int) {
	b, no := d.batch, d.op.no
	b.Begin(index)
	b.Refuse(no.Code, no.Reason, "%s", no.Detail)
	if d.op.hold != nil {
		b.SetID(d.op.hold)
	}
	b.End()
}
