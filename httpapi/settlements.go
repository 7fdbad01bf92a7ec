package httpapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"

	"farthing/engine"
	"farthing/refusal"
)

func (s *Server) postSettlement(c *call) (answer, *refusal.Refusal) {
	o, no := s.readCold(c)
	if no != nil {
		return answer{}, no
	}
	o.only("id", "window")
	id, window := o.requireID("id"), o.uint("window")
	if o.no != nil {
		return answer{}, o.no
	}
	closed, created, no := s.engine.CloseWindow(id, window)
	if no != nil {
		return answer{}, no
	}
	return answer{createdStatus(created), settlementView(&closed)}, nil
}

type settlementJSON struct {
	ID       string                `json:"id"`
	Window   uint64                `json:"window"`
	Cut      uint64                `json:"cut"`
	Time     string                `json:"time"`
	Batches  []settlementBatchJSON `json:"batches"`
	Sequence uint64                `json:"sequence"`
}

type settlementBatchJSON struct {
	BatchID   string `json:"batch_id"`
	Currency  string `json:"currency"`
	Lines     uint32 `json:"lines"`
	Paid      string `json:"paid"`
	Collected string `json:"collected"`
}

func settlementView(s *engine.Settlement) any {
	v := settlementJSON{s.ID, s.Window, s.Cut, timeText(s.Time), make([]settlementBatchJSON, 0, len(s.Batches)), s.Sequence}
	for _, b := range s.Batches {
		v.Batches = append(v.Batches, settlementBatchJSON{b.BatchID, b.Currency.Code(), b.Lines, b.Paid.String(), b.Collected.String()})
	}
	return v
}

func (s *Server) getSettlements(c *call) (answer, *refusal.Refusal) {
	q := c.query("limit", "cursor")
	cursor, limit := q.page()
	if q.no != nil {
		return answer{}, q.no
	}
	page, no := s.engine.Settlements(cursor, limit)
	return listOf(page, no, func(b *engine.Batch) any { return batchView(b) })
}

func (s *Server) getSettlement(c *call) (answer, *refusal.Refusal) {
	id, no := c.idOnly()
	if no != nil {
		return answer{}, no
	}
	b, no := s.engine.Settlement(id)
	if no != nil {
		return answer{}, no
	}
	return answer{200, batchView(&b)}, nil
}

type publicationJSON struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	FirstOffset int64  `json:"first_offset"`
	LastOffset  int64  `json:"last_offset"`
}

// batchView returns the manifest with the publication state and the signature beside its fields.
// The manifest's own bytes stay as they are: they are what is hashed.
func batchView(b *engine.Batch) json.RawMessage {
	manifest, ok := bytes.CutSuffix(b.Manifest, []byte("}"))
	if !ok || len(manifest) < 2 {
		panic("BUG: a manifest is not a JSON object")
	}
	var published any
	if p := b.Published; p != nil {
		published = publicationJSON{p.Topic, p.Partition, p.FirstOffset, p.LastOffset}
	}
	out := append(bytes.Clone(manifest), `,"published":`...)
	out = append(out, canonicalJSON(published)...)
	out = append(out, `,"key_id":`...)
	out = append(out, canonicalJSON(textOrNull(b.KeyID))...)
	out = append(out, `,"signature":`...)
	out = append(out, canonicalJSON(textOrNull(base64.StdEncoding.EncodeToString(b.Signature)))...)
	return append(out, '}')
}

func (s *Server) getLines(c *call) (answer, *refusal.Refusal) {
	q := c.query("limit", "cursor", "status")
	cursor, limit := q.page()
	id, no := c.param(0)
	if q.no != nil {
		no = q.no
	}
	if no != nil {
		return answer{}, no
	}
	if q.values.Has("status") {
		return s.openLines(id, q.values.Get("status"), cursor, limit)
	}
	page, no := s.engine.Lines(id, cursor, limit)
	return listOf(page, no, func(line *[]byte) any { return json.RawMessage(*line) })
}
