package httpapi

import (
	"bytes"
	"sync"

	"farthing/meter"
	"farthing/refusal"
)

// format is one of the content types that usage events come in.
type format uint8

const (
	formatJSON             format = iota // one event or an array of them
	formatNDJSON                         // one event a line
	formatOne                            // one operation on a hold
	formatCompact                        // a compact batch of events
	formatCloudEvents                    // one event, specversion required
	formatCloudEventsBatch               // an array of them
)

// cloudEvents reports whether the envelope of CloudEvents 1.0 is required.
func (f format) cloudEvents() bool { return f >= formatCloudEvents }

// decoder turns a request body of JSON into the events of a batch. It is used by one
// goroutine at a time; everything it handed to the batch was copied by End.
type decoder struct {
	scanner
	batch  *meter.Batch
	format format
	most   int // events that the budget was taken for

	// Of the event being read.
	id   []byte // as far as it was read, for refusing a broken line
	seen fieldSet
	// versioned: specversion was given as a string.
	versioned bool
	provider  provider

	// layouts read events that are written like one before. laid: this one is, and it is there, not under construction.
	layouts layouts
	laid    bool
	start   int // where it begins

	op    operation // of a body of operations on holds
	probe scanner   // looks ahead in a body of one operation
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

// decodeEvents reads body into batch, which must be fresh: at most so many events,
// which is what the budget was taken for. A refusal refuses the whole request; then the batch holds a part of it and must not be used. What
// refuses one event alone is in the batch, and its neighbours are not touched.
func decodeEvents(f format, body []byte, most int, batch *meter.Batch) *refusal.Refusal {
	d := decoders.Get().(*decoder)
	return d.run(f, body, most, batch)
}

// run reads body and puts d back.
func (d *decoder) run(f format, body []byte, most int, batch *meter.Batch) *refusal.Refusal {
	d.batch, d.format, d.most = batch, f, most
	d.layouts.begin()
	var no *refusal.Refusal
	if f == formatNDJSON {
		no = d.lines(body)
	} else {
		no = d.document(body)
	}
	d.batch, d.id = nil, nil
	d.op = operation{}
	d.provider.raw = nil
	d.layouts.end()
	d.reset(nil)
	clear(d.keys[:cap(d.keys)]) // keep no pointer into the request's buffer
	decoders.Put(d)
	return no
}

// document reads a body that is one JSON text: nothing of it counts unless all
// of it is JSON.
func (d *decoder) document(body []byte) *refusal.Refusal {
	d.reset(body)
	if !validText(body) {
		return refusal.New(refusal.Malformed, "invalid_utf8", "the body is not UTF-8")
	}
	p := skipSpace(body, 0)
	var no *refusal.Refusal
	switch {
	case p < len(body) && body[p] == '{' && d.format != formatCloudEventsBatch:
		p = d.element(p, 0)
	case p < len(body) && body[p] == '[' && d.format != formatCloudEvents && d.format != formatOne:
		p, no = d.elements(p)
	default:
		return d.noElements(p)
	}
	if no != nil {
		return no
	}
	if p >= 0 {
		if p = skipSpace(body, p); p < len(body) {
			p = d.fail(p, "data after the end")
		}
	}
	if p < 0 {
		return d.malformed()
	}
	return nil
}

// elements reads the array at p.
func (d *decoder) elements(p int) (next int, no *refusal.Refusal) {
	p, last := d.open(p, ']')
	for n := 0; !last; n++ {
		if n == d.most {
			return p, d.tooMany()
		}
		if p = d.element(p, n); p < 0 {
			return p, nil
		}
		p, last = d.more(p, ']')
	}
	return p, nil
}

// lines reads newline-delimited JSON. A broken line is refused alone; its index
// is the number of the line among those that are not empty.
func (d *decoder) lines(body []byte) *refusal.Refusal {
	for n := 0; len(body) > 0; {
		line := body
		if i := bytes.IndexByte(body, '\n'); i >= 0 {
			line, body = body[:i], body[i+1:]
		} else {
			body = nil
		}
		p := skipSpace(line, 0)
		if p == len(line) {
			continue
		}
		if n == d.most {
			return d.tooMany()
		}
		d.line(line, p, n)
		n++
	}
	return nil
}

func (d *decoder) line(line []byte, p, index int) {
	d.reset(line)
	d.id, d.op.hold = nil, nil // of the line before
	if !validText(line) {
		d.fail(0, "not UTF-8")
	} else if p = d.value0(p, index); p >= 0 {
		return
	}
	id := d.id
	if d.op.kind != 0 {
		id = d.op.hold
	}
	d.batch.Begin(index)
	if meter.ValidID(id) {
		d.batch.SetID(id)
	}
	d.batch.Refuse(refusal.Malformed, "syntax", "the line is not JSON: %s at byte %d", d.fault, d.faultAt)
	d.batch.End()
}

// value0 reads the element at p, which must reach to the end of the line. It counts only
// then, so a line with something after it is refused whole.
func (d *decoder) value0(p, index int) int {
	if p = d.read(p, index); p < 0 {
		return p
	}
	if p = skipSpace(d.in, p); p < len(d.in) {
		return d.fail(p, "data after the end")
	}
	d.finish(index)
	return p
}

// element reads the event or operation at p into the batches.
func (d *decoder) element(p, index int) int {
	if p = d.read(p, index); p >= 0 {
		d.finish(index)
	}
	return p
}

// read reads the event or operation at p, up to finish.
func (d *decoder) read(p, index int) int {
	if d.op.kind != 0 {
		return d.operation(p, index)
	}
	return d.fields(p, index)
}

func (d *decoder) finish(index int) {
	if d.op.kind != 0 {
		d.endOperation(index)
		return
	}
	d.end(index)
}

// eventMinBytes is less than any event takes. The engine's budget counts with it too.
const eventMinBytes = 32

// eventsIn is how many events a body of so many bytes may hold. What is shorter is
// refused without looking at it, since each refusal costs more than it did.
func eventsIn(bodyBytes int) int { return min(bodyBytes/eventMinBytes+1, meter.MaxBatchEvents) }

func (d *decoder) tooMany() *refusal.Refusal {
	if d.op.kind != 0 {
		return tooManyOperations(d.op.kind, d.most)
	}
	if d.most < meter.MaxBatchEvents {
		return refusal.New(refusal.Malformed, "not_events", "the body has more elements than its size could hold as events, which take %d bytes and more", eventMinBytes)
	}
	return refusal.New(refusal.TooLarge, "too_many_events", "a request has at most %d events", meter.MaxBatchEvents)
}

// malformed is the refusal of a text that is not JSON.
func (s *scanner) malformed() *refusal.Refusal {
	return refusal.New(refusal.Malformed, "syntax", "the body is not JSON: %s at byte %d", s.fault, s.faultAt)
}

// noElements refuses a body that does not begin like what its type holds, as
// broken or as some other value.
func (d *decoder) noElements(p int) *refusal.Refusal {
	if p = d.value(p, 0); p < 0 {
		return d.malformed()
	}
	what := "an event or an array of events"
	if d.op.kind != 0 {
		what = "an operation or an array of operations"
	}
	switch d.format {
	case formatOne:
		what = "one object"
	case formatCloudEvents:
		what = "one event; several go as application/cloudevents-batch+json"
	case formatCloudEventsBatch:
		what = "an array of events"
	}
	return refusal.New(refusal.Malformed, "wrong_type", "the body must be %s", what)
}
