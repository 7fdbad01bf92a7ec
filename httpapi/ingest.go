package httpapi

import (
	"bytes"
	"strconv"

	"farthing/compact"
	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

// formats are the content types of usage events.
var formats = [...]struct {
	mediaType string
	format    format
}{
	{"application/json", formatJSON},
	{"application/x-ndjson", formatNDJSON},
	{"application/cloudevents+json", formatCloudEvents},
	{"application/cloudevents-batch+json", formatCloudEventsBatch},
	{compact.MediaType, formatCompact},
}

// postEvents takes usage events. The order of refusals: content type, declared
// length, budget (429), body, decoding, and then the engine's.
func (s *Server) postEvents(c *call) (answer, *refusal.Refusal) {
	f, no := eventFormat(c)
	if no != nil {
		return answer{}, no
	}
	r, body, no := s.admit(c)
	if no != nil {
		return answer{}, no
	}
	// A panic inside Ingest leaves r with the sequencer, so it is not released
	// then: a leaked budget is better than a record that changes under its reader.
	inEngine := false
	defer func() {
		if !inEngine {
			s.engine.Release(r)
		}
	}()
	if no = s.decode(f, r, body); no != nil {
		return answer{}, no
	}
	inEngine = true
	result, no := s.engine.Ingest(r)
	inEngine = false
	if no != nil {
		return answer{}, no
	}
	s.metrics.events(&result)
	if len(result.Rejected) == 1 && result.Accepted+result.Duplicates == 0 {
		only := result.Rejected[0].Refusal // a copy: the list goes back with r
		return answer{}, &only
	}
	c.out = appendResult(c.out[:0], &result)
	c.ctx.Response.Header.SetContentType("application/json")
	return answer{}, s.send(c, c.out, true)
}

// decode reads a body into the request's batch.
func (s *Server) decode(f format, r *engine.Request, body []byte) *refusal.Refusal {
	if f == formatCompact {
		return s.decodeCompact(r, body)
	}
	most := eventsIn(len(body))
	if granted := r.EventsMax(); granted > 0 { // 0: an engine that does not count events
		most = min(most, granted)
	}
	return decodeEvents(f, body, most, r.Batch())
}

// decodeCompact reads a compact batch. Before and after it the budget is brought to what its events would take in JSON: a shape that
// stands in the body once may be part of ten thousand records.
func (s *Server) decodeCompact(r *engine.Request, body []byte) *refusal.Refusal {
	n, no := compact.Count(body)
	if no != nil {
		return no
	}
	if !s.engine.Grow(r, max(len(body), n*eventMinBytes)) {
		return s.noRoom()
	}
	size, no := compact.Decode(body, r.Batch())
	if no == nil && !s.engine.Grow(r, size) {
		no = s.noRoom()
	}
	return no
}

func eventFormat(c *call) (format, *refusal.Refusal) {
	return formatAmong(c, len(formats), "events are application/json, application/x-ndjson, application/cloudevents+json, application/cloudevents-batch+json or "+compact.MediaType)
}

// formatAmong returns the request's format if it is one of the first known ones.
func formatAmong(c *call, known int, want string) (format, *refusal.Refusal) {
	kind, no := mediaType(&c.ctx.Request.Header)
	if no != nil {
		return 0, no
	}
	for i := range known {
		if string(kind) == formats[i].mediaType || bytes.EqualFold(kind, []byte(formats[i].mediaType)) {
			return formats[i].format, nil
		}
	}
	return 0, &refusal.Refusal{Code: refusal.UnsupportedType, Reason: "content_type", Detail: want}
}

// rejectedMax bounds the refused events that an answer lists; the others are
// counted. A thousand are about 150 KB, and enough to see what is wrong.
const rejectedMax = 1000

// appendResult writes the answer to a request of events.
func appendResult(b []byte, r *engine.IngestResult) []byte {
	b = append(b, `{"accepted":`...)
	b = appendInt(b, r.Accepted)
	b = append(b, `,"duplicates":`...)
	b = appendInt(b, r.Duplicates)
	b = append(b, `,"unpriced":`...)
	b = appendInt(b, r.Unpriced)
	b = append(b, `,"rejected":[`...)
	listed := r.Rejected[:min(len(r.Rejected), rejectedMax)]
	for i := range listed {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendReject(b, &listed[i])
	}
	b = append(b, ']')
	if more := len(r.Rejected) - len(listed); more > 0 {
		b = append(b, `,"rejected_more":`...)
		b = appendInt(b, more)
	}
	b = append(b, `,"sequence":`...)
	b = strconv.AppendUint(b, r.Sequence, 10)
	return append(b, '}')
}

func appendReject(b []byte, r *meter.Reject) []byte {
	return append(appendRefused(b, r.Index, r.ID, &r.Refusal), '}')
}

// appendRefused begins an object about what was refused; the caller ends it.
func appendRefused(b []byte, index uint32, id string, no *refusal.Refusal) []byte {
	b = append(b, `{"index":`...)
	b = appendInt(b, int(index))
	b = append(b, `,"id":`...)
	b = appendString(b, id)
	b = append(b, `,"code":`...)
	b = appendString(b, string(no.Code))
	b = append(b, `,"reason":`...)
	b = appendString(b, no.Reason)
	b = append(b, `,"detail":`...)
	return appendString(b, no.Detail)
}
