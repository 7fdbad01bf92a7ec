package httpapi

import (
	"farthing/engine"
	"farthing/refusal"
)

// Holds is what the routes of holds need from the engine.
type Holds interface {
	// BookHolds carries out the operations of r.Holds and blocks until the answer is
	// durable. The results, one for each operation and in their order, are valid until
	// Release.
	BookHolds(r *engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal)
	Hold(id string) (engine.HoldView, *refusal.Refusal)
}

// holdRoutes lists the routes of holds.
func holdRoutes() []route {
	many := func(pattern string, op engine.HoldOpKind) route {
		return route{method: "POST", pattern: pattern, scope: ScopeIngest, bodyMax: BodyMaxBytes, op: op, handle: (*Server).postOperations}
	}
	one := func(pattern string, op engine.HoldOpKind, bodyMax int) route {
		return route{method: "POST", pattern: pattern, scope: ScopeIngest, bodyMax: bodyMax, op: op, one: true, handle: (*Server).postOperations}
	}
	return []route{
		many("/v1/holds", engine.PlaceHold),
		{method: "GET", pattern: "/v1/holds/{id}", scope: ScopeRead, handle: (*Server).getHold},
		// As long as an event may be.
		one("/v1/holds/{id}/extend", engine.ExtendHold, BodyMaxBytes),
		one("/v1/holds/{id}/capture", engine.CaptureHold, BodyMaxBytes),
		one("/v1/holds/{id}/void", engine.VoidHold, coldBodyMaxBytes),
		many("/v1/captures", engine.CaptureHold),
	}
}

// budget is the length of a body of events for which room is taken before a body of so many
// bytes is read. Captures may be shorter than events, so a body can have more of them.
func (r *route) budget(bodyBytes int) int {
	if r.op == 0 || r.one {
		return bodyBytes
	}
	least := leastBytes(r.op)
	return (bodyBytes*eventMinBytes + least - 1) / least
}

// operationFormats is how many of the formats operations may come in: not CloudEvents.
const operationFormats = 2

func operationFormat(c *call) (format, *refusal.Refusal) {
	if !c.route.one {
		return formatAmong(c, operationFormats, "this takes application/json or application/x-ndjson")
	}
	// Nothing needs to be said of a void, so neither of its type. But a content type is what a web page cannot send to a
	// server without keys (see postWebhookEnable), and browsers name the page in Origin.
	if c.route.op == engine.VoidHold && c.ctx.Request.Header.ContentLength() == 0 && len(c.ctx.Request.Header.Peek("Origin")) == 0 {
		return formatOne, nil
	}
	return formatOne, coldType(c)
}

// postOperations takes operations on holds. Its refusals come in the order of those of
// postEvents.
func (s *Server) postOperations(c *call) (answer, *refusal.Refusal) {
	path := ""
	if c.route.one {
		var no *refusal.Refusal
		if path, no = c.param(0); no != nil {
			return answer{}, no
		}
	}
	f, no := operationFormat(c)
	if no != nil {
		return answer{}, no
	}
	r, body, no := s.admit(c)
	if no != nil {
		return answer{}, no
	}
	// As in postEvents: what the sequencer may still have is not released.
	inEngine := false
	defer func() {
		if !inEngine {
			s.engine.Release(r)
		}
	}()
	if no = readOperations(c.route, path, f, body, r); no != nil {
		return answer{}, no
	}
	o := operated{kind: c.route.op, holds: r.Holds(), rejects: r.Batch().Rejects, one: isOne(f, body)}
	if len(o.holds.Ops) > 0 || len(o.rejects) != 1 {
		inEngine = true
		o.results, o.sequence, no = s.engine.BookHolds(r)
		inEngine = false
		if no != nil {
			return answer{}, no
		}
	}
	return answer{}, s.answerOperations(c, &o)
}

// isOne reports whether a body is one operation and not a list of them.
func isOne(f format, body []byte) bool {
	p := skipSpace(body, 0)
	return f == formatOne || f == formatJSON && p < len(body) && body[p] == '{'
}

// readOperations reads the operations of a body into the request.
func readOperations(at *route, path string, f format, body []byte, r *engine.Request) *refusal.Refusal {
	holds := r.Holds()
	if at.op == engine.VoidHold && skipSpace(body, 0) == len(body) {
		holds.Add(engine.HoldOp{Kind: at.op, Hold: holds.Intern([]byte(path)), Event: -1}, r.Batch())
		return nil
	}
	most := operationsIn(at.op, len(body))
	if granted := r.EventsMax(); granted > 0 { // 0: an engine that does not count events
		most = min(most, granted)
	}
	var hold []byte
	if at.one {
		hold = []byte(path)
	}
	return decodeOperations(at.op, hold, f, body, most, holds, r.Batch())
}

// answerOperations writes what became of the operations. The only one of a request that is
// refused is a refusal of the request.
func (s *Server) answerOperations(c *call, o *operated) *refusal.Refusal {
	o.sum()
	s.metrics.holds.count(o.kind, &o.operationSum, o.results, o.rejects)
	if no := o.only(); no != nil {
		copied := *no // what it points to belongs to nobody, it goes back with the request
		if no.Shortfall != nil {
			short := *no.Shortfall
			copied.Shortfall = &short
		}
		return &copied
	}
	status := 200
	if o.one {
		status = createdStatus(o.done == 1)
		c.out = o.appendOne(c.out[:0])
	} else {
		c.out = o.appendAll(c.out[:0])
	}
	c.ctx.Response.SetStatusCode(status)
	c.ctx.Response.Header.SetContentType("application/json")
	return s.send(c, c.out, true)
}
