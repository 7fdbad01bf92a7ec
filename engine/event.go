package engine

import (
	"encoding/binary"
	"math/bits"

	"farthing/ledger"
	"farthing/meter"
	"farthing/money"
)

// unpricedReason says why an event has no price; its numbers are stored.
type unpricedReason uint8

const (
	priced            unpricedReason = iota
	noVersion                        // no version was in force at its time
	noPrice                          // no price of its meter and currency matches
	componentUnpriced                // the price lacks one of its components
	numUnpricedReasons
)

var reasonNames = [numUnpricedReasons]string{"", "no_version_in_force", "no_matching_price", "component_without_price"}

// String returns the reason as the unpriced list shows it.
func (r unpricedReason) String() string {
	if r >= numUnpricedReasons {
		return "unknown"
	}
	return reasonNames[r]
}

// eventRecord is an event as the journal holds it, decoded: what was said and what
// came of it. Slices are part of the block it was decoded from, or scratch of the
// decoder; they are valid until the next decode.
type eventRecord struct {
	source  []byte
	id      []byte
	account ledger.Ref
	payer   payer // what is known of the account, if its ref is that; else nobody has looked
	time    int64 // of the event; the group's when it had none
	hadTime bool

	reason  unpricedReason
	shape   uint32 // interned, when priced
	raw     []byte // shape bytes, when unpriced
	extras  []byte // encoded dimensions beside the shape's
	version uint32
	amount  money.Amount
	split   ledger.Split

	components int
	quantities [meter.MaxComponents]money.Quantity

	usage []byte // the provider's own usage object, preceded by its format; empty: none
	// counted has a bit for each component that counts in a period, before is what its counter
	// stood at up to the rating's version, and later what was counted above, by component and
	// upwards (counter.go).
	counted uint32
	before  [meter.MaxComponents]money.Quantity
	later   []later

	hold heldRef // the hold that it captures; none: no id

	usageRow uint32 // where its usage is counted, + 1, as far as somebody has looked; 0: nobody has
}

// heldRef names a hold that a command ends, and what it held.
type heldRef struct {
	id     []byte
	last   uint64 // sequence of the command that reserved last: the hold's own or an extension
	amount money.Amount
}

func (h *heldRef) append(dst []byte) []byte {
	return h.amount.AppendBinary(binary.AppendUvarint(appendBytes(dst, h.id), h.last))
}

func (r *reader) heldRef() heldRef {
	return heldRef{id: r.bytes(), last: r.uvarint(), amount: r.amount()}
}

// appendEvent appends the command of e to a block whose group has the given time.
// sourceID is 0 when the source is not interned.
func appendEvent(dst []byte, e *eventRecord, sourceID uint32, groupTime int64) []byte {
	at := len(dst)
	kind := byte(kindEvent)
	dst = append(dst, 0)
	if sourceID == 0 {
		kind |= flagSource
		dst = appendBytes(dst, e.source)
	} else {
		dst = binary.AppendUvarint(dst, uint64(sourceID))
	}
	dst = appendBytes(dst, e.id)
	dst = binary.AppendUvarint(dst, uint64(e.account))
	if e.hadTime {
		kind |= flagTime
		dst = binary.AppendVarint(dst, e.time-groupTime)
	}
	if e.reason != priced {
		dst[at] = kind | flagUnpriced
		dst = append(dst, byte(e.reason))
		dst = appendBytes(dst, e.raw)
		return appendMore(appendQuantities(dst, e), at, e)
	}
	dst = binary.AppendUvarint(dst, uint64(e.shape))
	if len(e.extras) > 0 {
		kind |= flagExtras
		dst = appendBytes(dst, e.extras)
	}
	dst = appendQuantities(dst, e)
	dst = binary.AppendUvarint(dst, uint64(e.version))
	dst = e.amount.AppendBinary(dst)
	switch {
	case e.split.Paid.IsZero():
	case e.split.Receivable.IsZero():
		kind |= flagPaid
	default:
		kind |= flagMixed
		dst = e.split.Paid.AppendBinary(dst)
	}
	dst[at] = kind
	return appendMore(dst, at, e)
}

// What an event with flagMore has, in this order.
const (
	moreUsage    = 1 << iota // the provider's usage object
	moreCounters             // what its counters stood at
	moreSources              // what it took from grants and what the operator lost
	moreHold                 // the hold that it captures
)

// appendMore appends what few events have.
func appendMore(dst []byte, at int, e *eventRecord) []byte {
	what := byte(0)
	if len(e.usage) > 0 {
		what |= moreUsage
	}
	if e.counted != 0 {
		what |= moreCounters
	}
	if len(e.split.Parts) > 0 || !e.split.Lost.IsZero() {
		what |= moreSources
	}
	if len(e.hold.id) > 0 {
		what |= moreHold
	}
	if what == 0 {
		return dst
	}
	dst[at] |= flagMore
	dst = append(dst, what)
	if what&moreUsage != 0 {
		dst = appendBytes(dst, e.usage)
	}
	if what&moreCounters != 0 {
		dst = appendCounters(dst, e)
	}
	if what&moreSources != 0 {
		dst = appendSources(dst, &e.split)
	}
	if what&moreHold != 0 {
		dst = e.hold.append(dst)
	}
	return dst
}

// appendSources writes what a split took from others than the pool.
func appendSources(dst []byte, s *ledger.Split) []byte {
	dst = s.Lost.AppendBinary(dst)
	dst = binary.AppendUvarint(dst, uint64(len(s.Parts)))
	for _, p := range s.Parts {
		dst = p.Amount.AppendBinary(binary.AppendUvarint(dst, uint64(p.Grant)))
	}
	return dst
}

func (r *reader) sources(s *ledger.Split, t *tables) {
	s.Lost = r.amount()
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		p := ledger.Part{Grant: uint32(r.uvarint()), Amount: r.amount()}
		if !t.hasGrant(p.Grant) {
			r.fail()
		}
		s.Parts = append(s.Parts, p)
	}
}

// appendSplit writes a whole split.
func appendSplit(dst []byte, s *ledger.Split) []byte {
	return appendSources(s.Receivable.AppendBinary(s.Paid.AppendBinary(dst)), s)
}

func (r *reader) split(t *tables) ledger.Split {
	s := ledger.Split{Paid: r.amount(), Receivable: r.amount()}
	r.sources(&s, t)
	return s
}

// appendCounters writes what the counters of a rating stood at.
func appendCounters(dst []byte, e *eventRecord) []byte {
	dst = binary.AppendUvarint(dst, uint64(e.counted))
	for mask := e.counted; mask != 0; mask &= mask - 1 {
		dst = e.before[bits.TrailingZeros32(mask)].AppendBinary(dst)
	}
	if e.counted != 0 {
		dst = binary.AppendUvarint(dst, uint64(len(e.later)))
		for _, l := range e.later {
			dst = binary.AppendUvarint(append(dst, l.component), uint64(l.terms))
			dst = l.quantity.AppendBinary(dst)
		}
	}
	return dst
}

// more reads what appendMore wrote.
func (r *reader) more(e *eventRecord, kind byte, t *tables) {
	e.usage, e.counted, e.later, e.hold = nil, 0, nil, heldRef{}
	if kind&flagMore == 0 {
		return
	}
	what := r.byte()
	if what&moreUsage != 0 {
		e.usage = r.bytes()
	}
	if what&moreCounters != 0 {
		r.counters(e, t)
	}
	if what&moreSources != 0 {
		r.sources(&e.split, t)
	}
	if what&moreHold != 0 {
		e.hold = r.heldRef()
	}
}

func (r *reader) counters(e *eventRecord, t *tables) {
	n := r.uvarint()
	if n >= 1<<e.components {
		r.fail()
		return
	}
	e.counted, e.later = uint32(n), nil
	for mask := e.counted; mask != 0; mask &= mask - 1 {
		e.before[bits.TrailingZeros32(mask)] = r.quantity()
	}
	if e.counted == 0 {
		return
	}
	for n := r.uvarint(); n > 0 && !r.bad; n-- {
		l := later{r.byte(), count{uint32(r.uvarint()), r.quantity()}}
		if int(l.component) >= e.components || (int(l.terms) >= len(t.terms) && !t.loose) {
			r.fail()
		}
		e.later = append(e.later, l)
	}
}

func appendQuantities(dst []byte, e *eventRecord) []byte {
	for i := range e.components {
		dst = e.quantities[i].AppendBinary(dst)
	}
	return dst
}

// event decodes the payload of an event whose kind byte was read.
func (r *reader) event(e *eventRecord, kind byte, groupTime int64, t *tables) {
	if kind&flagSource != 0 {
		e.source = r.bytes()
	} else {
		e.source = t.source(r)
	}
	e.id = r.bytes()
	e.account = ledger.Ref(r.uvarint())
	e.time, e.hadTime = groupTime, kind&flagTime != 0
	if e.hadTime {
		e.time += r.varint()
	}
	e.reason, e.raw, e.extras, e.amount = priced, nil, nil, money.Amount{}
	e.split = ledger.Split{Parts: e.split.Parts[:0]}
	if int(e.account) >= len(t.people) {
		r.fail()
		return
	}
	if kind&flagUnpriced != 0 {
		r.unpricedEvent(e)
		r.more(e, kind, t)
		return
	}
	e.shape = uint32(r.uvarint())
	if int(e.shape) >= len(t.shapes) {
		r.fail()
		return
	}
	if kind&flagExtras != 0 {
		e.extras = r.bytes()
	}
	e.components = len(t.shapes[e.shape].shape.Components)
	r.quantities(e)
	e.version = uint32(r.uvarint())
	e.amount = r.amount()
	var paid money.Amount
	if kind&flagMixed != 0 {
		paid = r.amount()
	}
	r.more(e, kind, t)
	r.pool(e, kind, paid)
	if int(e.version) >= len(t.versions) {
		r.fail()
	}
}

// pool sets what of an amount came from the pool: what grants and the operator did not give.
func (r *reader) pool(e *eventRecord, kind byte, paid money.Amount) {
	pool, ok := e.amount.Sub(e.split.Lost)
	for i := range e.split.Parts {
		if ok {
			pool, ok = pool.Sub(e.split.Parts[i].Amount)
		}
	}
	switch {
	case kind&flagPaid != 0:
		e.split.Paid = pool
	case kind&flagMixed != 0:
		var owed money.Amount
		if ok {
			owed, ok = pool.Sub(paid)
		}
		ok = ok && paid.Sign() == e.amount.Sign() && owed.Sign() == e.amount.Sign()
		e.split.Paid, e.split.Receivable = paid, owed
	default:
		e.split.Receivable = pool
	}
	if !ok {
		r.fail()
	}
}

func (r *reader) unpricedEvent(e *eventRecord) {
	e.reason = unpricedReason(r.byte())
	e.raw = r.bytes()
	shape, err := meter.ParseShape(e.raw)
	if err != nil || e.reason == priced || e.reason >= numUnpricedReasons {
		r.fail()
		return
	}
	e.components = len(shape.Components)
	r.quantities(e)
}

func (r *reader) quantities(e *eventRecord) {
	for i := range e.components {
		e.quantities[i] = r.quantity()
	}
}

// appendExtras encodes dimensions that the shape leaves out.
func appendExtras(dst []byte, dims []meter.Dimension) []byte {
	for _, d := range dims {
		dst = appendBytes(dst, d.Key)
		dst = appendBytes(dst, d.Value)
	}
	return dst
}

// parseExtras decodes what appendExtras wrote.
func parseExtras(p []byte) []meter.Dimension {
	r := reader{p: p}
	var out []meter.Dimension
	for len(r.p) > 0 {
		d := meter.Dimension{Key: r.str(), Value: r.str()}
		if r.bad {
			break
		}
		out = append(out, d)
	}
	return out
}
