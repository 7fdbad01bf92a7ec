package httpapi

import (
	"encoding/base64"
	"encoding/hex"
	"time"

	"farthing/batch"
	"farthing/engine"
	"farthing/meter"
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

// proofHash names how the tree is hashed.
const proofHash = "sha256-rfc6962"

type proofJSON struct {
	BatchID  string        `json:"batch_id"`
	Window   uint64        `json:"window"`
	Currency string        `json:"currency"`
	Hash     string        `json:"hash"`
	Leaf     string        `json:"leaf"`
	LeafHash string        `json:"leaf_hash"`
	Shape    string        `json:"shape"`
	Index    uint64        `json:"index"`
	Size     uint64        `json:"size"`
	Path     []string      `json:"path"`
	Root     string        `json:"root"`
	Event    leafEventJSON `json:"event"`
	Sequence uint64        `json:"sequence"`
}

// leafEventJSON is what a leaf says, for people: whoever checks reads the leaf itself.
type leafEventJSON struct {
	Source       string            `json:"source"`
	ID           string            `json:"id"`
	Type         string            `json:"type"`
	Subject      string            `json:"subject"`
	Time         string            `json:"time"`
	Usage        map[string]string `json:"usage"`
	Dimensions   map[string]string `json:"dimensions"`
	Amount       string            `json:"amount"`
	PriceVersion string            `json:"price_version"`
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
	hash := batch.LeafHash(p.Leaf)
	v := proofJSON{
		BatchID: p.Batch, Window: p.Window, Currency: p.Currency.Code(), Hash: proofHash,
		Leaf: base64.StdEncoding.EncodeToString(p.Leaf), LeafHash: hex.EncodeToString(hash[:]),
		Shape: base64.StdEncoding.EncodeToString(p.Shape),
		Index: p.Index, Size: p.Size, Path: make([]string, 0, len(p.Path)), Root: hex.EncodeToString(p.Root[:]),
		Event: leafEventView(p), Sequence: p.Sequence,
	}
	for i := range p.Path {
		v.Path = append(v.Path, hex.EncodeToString(p.Path[i][:]))
	}
	return v
}

func leafEventView(p *engine.Proof) leafEventJSON {
	shape, err := meter.ParseShape(p.Shape)
	if err != nil {
		panic("BUG: a proof's shape does not parse: " + err.Error())
	}
	leaf, err := batch.ParseLeaf(p.Leaf, len(shape.Components))
	if err != nil {
		panic("BUG: a proof's leaf does not parse: " + err.Error())
	}
	v := leafEventJSON{
		Source: leaf.Source, ID: leaf.ID, Type: shape.Type, Subject: leaf.Subject, Time: timeText(time.Unix(0, leaf.Time)),
		Usage: map[string]string{}, Dimensions: map[string]string{}, Amount: leaf.Amount.String(), PriceVersion: leaf.Version,
	}
	for i, name := range shape.Components {
		v.Usage[name] = leaf.Quantities[i].String()
	}
	for _, d := range shape.Dimensions {
		v.Dimensions[d.Key] = d.Value
	}
	return v
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
