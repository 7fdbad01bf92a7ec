package engine

import (
	"testing"

	"farthing/journal"
)

// FuzzExportBlock gives any bytes as the body of a block to who checks an export: they decode or are refused, and never more. What decodes has
// commands that make the body.
func FuzzExportBlock(f *testing.F) {
	var first *journal.Block
	var bodies [][]byte
	r := standard(f, nil)
	r.post(llm("e1", "acme", "m1", 7, 9))
	r.settle("w")
	err := r.e.store.Blocks(1, func(b *journal.Block) error {
		c := *b
		c.Body = append([]byte(nil), b.Body...)
		if first == nil {
			first = &c
		} else {
			bodies = append(bodies, c.Body)
		}
		return nil
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, body := range bodies {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		names := NewExportNames()
		if err := names.Block(first, nil); err != nil {
			t.Fatal(err)
		}
		for _, known := range bodies[:min(len(bodies), 4)] { // accounts and prices
			_ = names.Block(&journal.Block{First: 2, Last: 2, Body: known}, nil)
		}
		var made []byte
		var leaves leafHashes
		prover := NewExportProver("gw", "e1", 0)
		keep := func(c *ExportedCommand) error {
			made = append(made, c.Raw...)
			if err := prover.Command(names, c); err != nil {
				return err
			}
			if err := leaves.add(&names.p.cur, usd()); err != nil {
				return err
			}
			return NewRowCheck().Block(c)
		}
		for last := uint64(2); last < 40; last++ {
			made = made[:0]
			if names.Block(&journal.Block{First: 2, Last: last, Time: 5, Body: body}, keep) == nil && string(made) != string(body) {
				t.Fatalf("%x decodes as %x", body, made)
			}
		}
	})
}
