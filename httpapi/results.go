package httpapi

import (
	"bytes"
	"encoding/json"
	"strconv"

	"farthing/engine"
	"farthing/refusal"
)

// Results is what the server needs of the engine for what became of lines.
type Results interface {
	Result(engine.LineResult) (a engine.LineResultAnswer, created bool, no *refusal.Refusal)
	LineState(batchID string, line uint32) (engine.LineState, *refusal.Refusal)
	// OpenLines lists a batch's lines that have an amount in transit. A page may have fewer items
	// than asked for and a next one.
	OpenLines(batchID, cursor string, limit int) (engine.Page[engine.LineState], *refusal.Refusal)
	// InTransit lists the batches that have an amount in transit, the oldest first.
	InTransit(cursor string, limit int) (engine.Page[engine.InTransit], *refusal.Refusal)
}

func resultRoutes() []route {
	return []route{
		{method: "POST", pattern: "/v1/settlements/{batch_id}/lines/{line}/result", scope: ScopeAdmin, bodyMax: coldBodyMaxBytes, handle: (*Server).postResult},
		{method: "GET", pattern: "/v1/settlements/{batch_id}/lines/{line}", scope: ScopeRead, handle: (*Server).getLine},
		{method: "GET", pattern: "/v1/in-transit", scope: ScopeRead, long: true, handle: (*Server).getInTransit},
		{method: "GET", pattern: "/v1/settlement-results", scope: ScopeRead, handle: (*Server).getResultFeed},
	}
}

func (s *Server) postResult(c *call) (answer, *refusal.Refusal) {
	batch, line, no := c.line()
	if no != nil {
		return answer{}, no
	}
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id", "status", "amount", "reference")
	r := engine.LineResult{ID: o.requireID("id"), Batch: batch, Line: line, Reference: o.text("reference", referenceMaxBytes)}
	r.Status, _ = engine.ParseResultStatus(o.requireWord("status", "paid", "partially_paid", "failed", "returned"))
	if o.has("amount") {
		amount := o.positive("amount")
		r.Amount = &amount
	}
	if o.no != nil {
		return answer{}, o.no
	}
	a, created, no := s.engine.Result(r)
	return booked(&a, created, no, resultView)
}

// line reads the batch and the number of a line in the path.
func (c *call) line() (batch string, line uint32, no *refusal.Refusal) {
	if batch, no = c.param(0); no != nil {
		return "", 0, no
	}
	text, no := c.param(1)
	if no != nil {
		return "", 0, no
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return "", 0, refusal.New(refusal.Invalid, "invalid_line", "a line is named by its number, from 1")
	}
	return batch, uint32(n), nil
}

type resultJSON struct {
	ID        string         `json:"id"`
	BatchID   string         `json:"batch_id"`
	Line      uint32         `json:"line"`
	Status    string         `json:"status"`
	Amount    *string        `json:"amount"`
	Reference string         `json:"reference"`
	Sequence  uint64         `json:"sequence"`
	Time      string         `json:"time"`
	State     *lineStateJSON `json:"state,omitempty"`
}

func resultView(a *engine.LineResultAnswer) any {
	v := resultJSON{ID: a.ID, BatchID: a.Batch, Line: a.Line, Status: a.Status.String(), Amount: amountOrNull(a.Amount), Reference: a.Reference,
		Sequence: a.Sequence, Time: timeText(a.Time)}
	if a.State != nil {
		state := lineStateView(a.State)
		v.State = &state
	}
	return v
}

// getLine answers with the line's record as it was published, and beside its fields how it stands.
func (s *Server) getLine(c *call) (answer, *refusal.Refusal) {
	if q := c.query(); q.no != nil {
		return answer{}, q.no
	}
	batch, line, no := c.line()
	if no != nil {
		return answer{}, no
	}
	state, no := s.engine.LineState(batch, line)
	if no != nil {
		return answer{}, no
	}
	page, no := s.engine.Lines(batch, strconv.FormatUint(uint64(line), 10), 1)
	if no != nil {
		return answer{}, no
	}
	record, ok := bytes.CutSuffix(page.Items[0], []byte("}"))
	if !ok || len(record) < 2 {
		panic("BUG: a line is not a JSON object")
	}
	out := append(bytes.Clone(record), `,"state":`...)
	out = append(out, canonicalJSON(lineStateView(&state))...)
	return answer{200, json.RawMessage(append(out, '}'))}, nil
}

// openLines answers for a batch's lines with ?status=open.
func (s *Server) openLines(id, status, cursor string, limit int) (answer, *refusal.Refusal) {
	if status != "open" {
		return answer{}, refusal.New(refusal.Invalid, "invalid_status", "status may only be open: lines that have an amount in transit")
	}
	page, no := s.engine.OpenLines(id, cursor, limit)
	return listOf(page, no, func(l *engine.LineState) any { return lineStateView(l) })
}
