package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/shopspring/decimal"

	"farthing/batch"
	"farthing/money"
)

// compareManifest checks what a manifest says besides its sums: which sequences it covers,
// the batch before it, and the root of the events' tree.
func (m *model) compareManifest(e *Engine, b *sealedBatch, want *modelBatch) {
	m.t.Helper()
	got, refused := e.Settlement(hexID(b.id))
	if refused != nil {
		m.t.Fatal(refused)
	}
	manifest, err := batch.ParseManifest(got.Manifest)
	if err != nil {
		m.t.Fatal(err)
	}
	if manifest.First != want.first || manifest.Last != want.last || manifest.Ledger != e.LedgerID() || manifest.Previous != m.previous[want.currency] {
		m.t.Fatalf("manifest %s, the model covers %d to %d after %x", got.Manifest, want.first, want.last, m.previous[want.currency])
	}
	if manifest.MerkleRoot != want.root {
		m.t.Fatalf("window %d, %s: root %x, the model has %x", want.window, want.currency, manifest.MerkleRoot, want.root)
	}
	m.previous[want.currency] = sha256.Sum256(got.Manifest)
}

// leaf is an event's leaf as index.go documents it, written by hand.
func (m *model) leaf(e *modelEvent, r *modelRating) []byte {
	c, code, amount, seq := e.call, e.code, r.amount, r.seq
	text := func(dst []byte, s string) []byte { return append(binary.AppendUvarint(dst, uint64(len(s))), s...) }
	usage := slices.Clone(c.usage)
	if usage == nil {
		usage = [][2]string{{"call", "1"}}
	}
	usage = slices.DeleteFunc(usage, func(u [2]string) bool { return decimal.RequireFromString(u[1]).IsZero() })
	dims := slices.Clone(c.dims)
	byName := func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }
	slices.SortFunc(usage, byName)
	slices.SortFunc(dims, byName)
	shape := binary.AppendUvarint(text(nil, c.kind), uint64(len(usage)))
	for _, u := range usage {
		shape = text(shape, u[0])
	}
	shape = binary.AppendUvarint(shape, uint64(len(dims)))
	for _, d := range dims {
		shape = text(text(shape, d[0]), d[1])
	}
	hash := sha256.Sum256(shape)
	out := append(text(text(text([]byte{1}, c.source), c.id), c.subject), hash[:]...)
	for _, u := range usage {
		if q := decimal.RequireFromString(u[1]); q.IsInteger() {
			out = binary.AppendUvarint(out, 2*q.BigInt().Uint64())
		} else {
			out = binary.AppendUvarint(out, 2*q.Shift(money.QuantityDecimals).BigInt().Uint64()+1)
		}
	}
	out = append(binary.BigEndian.AppendUint64(out, uint64(e.at)), code...)
	exact, err := money.FromDecimal(amount)
	if err != nil {
		m.t.Fatal(err)
	}
	out = text(exact.AppendBinary(out), r.version.id)
	return binary.AppendUvarint(out, seq)
}

// treeHash is RFC 6962's MTH, word for word.
func treeHash(leaves [][]byte) [32]byte {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		left, right := treeHash(leaves[:k]), treeHash(leaves[k:])
		return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
	}
}
