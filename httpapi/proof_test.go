package httpapi

import (
	"crypto/sha256"
	"strings"
	"testing"

	"farthing/batch"
	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

func (f *fakeEngine) Proof(source, id string) (engine.Proof, *refusal.Refusal) {
	return someProof(), f.note(source, id)
}

func (f *fakeEngine) Keys() ([]engine.SigningKey, *refusal.Refusal) {
	return []engine.SigningKey{{ID: "ed25519-0123456789abcdef", PublicKey: make([]byte, 32), Sequence: 5, Time: someTime, Current: true}}, f.note()
}

func someProof() engine.Proof {
	s := meter.Shape{Type: "llm.tokens", Components: []string{"input"}, Dimensions: []meter.Dimension{{Key: "model", Value: "m1"}}}
	shape := s.Append(nil)
	quantity, _ := money.WholeQuantity(1200)
	leaf := batch.Leaf{Source: "gw", ID: "e 1", Subject: "acme", ShapeHash: sha256.Sum256(shape), Quantities: []money.Quantity{quantity},
		Time: someTime.UnixNano(), Currency: usd, Amount: amount("0.003"), Version: "v1", Sequence: 9}
	return engine.Proof{Batch: someBatch, Window: 3, Currency: usd, Leaf: leaf.Append(nil), Shape: shape, Index: 1, Size: 2,
		Path: [][32]byte{{1, 2}}, Root: [32]byte{7}, Sequence: 9}
}

func TestProof(t *testing.T) {
	r := newRig(t, Options{})
	got := r.get("/v1/events/gw/a%2Fb/proof")
	got.want(t, 200, "")
	for _, want := range []string{`"usage":{"input":"1200"}`, `"dimensions":{"model":"m1"}`, `"amount":"0.003"`, `"hash":"sha256-rfc6962"`,
		`"path":["0102` + strings.Repeat("00", 30) + `"]`, `"index":1`, `"size":2`, `"price_version":"v1"`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("no %s in %s", want, got.body)
		}
	}
	r.engine.refused = refusal.New(refusal.SettlementConflict, "not_settled", "not yet")
	r.get("/v1/events/gw/a/proof").want(t, 409, "settlement_conflict")
}

func TestKeys(t *testing.T) {
	r := newRig(t, Options{})
	got := r.get("/v1/keys")
	got.want(t, 200, "")
	sameText(t, got.body, `{"items":[{"key_id":"ed25519-0123456789abcdef","algorithm":"ed25519","public_key":"`+strings.Repeat("A", 43)+`=","sequence":5,"time":"2026-11-23T10:00:00Z","current":true}]}`)
}
