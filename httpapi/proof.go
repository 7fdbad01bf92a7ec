package httpapi

import (
	"encoding/base64"

	"farthing/engine"
	"farthing/proof"
	"farthing/refusal"
)

// Evidence is what the server needs of the engine to prove what was settled.
type Evidence interface {
	// Proof shows that an event is a leaf of its batch's tree.
	Proof(source, id string) (engine.Proof, *refusal.Refusal)
	// Keys lists the keys that sign manifests or once did.
	Keys() ([]engine.SigningKey, *refusal.Refusal)
}

func evidenceRoutes() []route {
	return []route{
		{method: "GET", pattern: "/v1/events/{source}/{id}/proof", scope: ScopeRead, handle: (*Server).getProof},
		{method: "GET", pattern: "/v1/keys", scope: ScopeRead, handle: (*Server).getKeys},
	}
}

func (s *Server) getProof(c *call) (answer, *refusal.Refusal) {
	source, no := c.param(0)
	if no != nil {
		return answer{}, no
	}
	id, no := c.param(1)
	if no != nil {
		return answer{}, no
	}
	if q := c.query(); q.no != nil {
		return answer{}, q.no
	}
	p, no := s.engine.Proof(source, id)
	if no != nil {
		return answer{}, no
	}
	return answer{200, proofView(&p)}, nil
}

func proofView(p *engine.Proof) any {
	d, err := proof.New(&proof.Parts{BatchID: p.Batch, Window: p.Window, Currency: p.Currency, Leaf: p.Leaf, Shape: p.Shape,
		Index: p.Index, Size: p.Size, Path: p.Path, Root: p.Root})
	if err != nil {
		panic("BUG: a leaf of the ledger does not parse: " + err.Error())
	}
	return d
}

type signingKeyJSON struct {
	KeyID     string `json:"key_id"`
	Algorithm string `json:"algorithm"`
	PublicKey string `json:"public_key"`
	Sequence  uint64 `json:"sequence"`
	Time      string `json:"time"`
	Current   bool   `json:"current"`
}

func (s *Server) getKeys(c *call) (answer, *refusal.Refusal) {
	if q := c.query(); q.no != nil {
		return answer{}, q.no
	}
	keys, no := s.engine.Keys()
	if no != nil {
		return answer{}, no
	}
	items := make([]signingKeyJSON, 0, len(keys))
	for i := range keys {
		k := &keys[i]
		items = append(items, signingKeyJSON{k.ID, "ed25519", base64.StdEncoding.EncodeToString(k.PublicKey), k.Sequence, timeText(k.Time), k.Current})
	}
	return answer{200, map[string]any{"items": items}}, nil
}
