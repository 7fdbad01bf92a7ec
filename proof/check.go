package proof

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"

	"farthing/batch"
)

// Input is what is checked. Keys are what the checker trusts, and all that it does.
type Input struct {
	Document *Document
	Manifest *Manifest
	Chain    []*Manifest // of one currency, oldest first, the manifest among them; nil: not checked
	Keys     []ed25519.PublicKey
}

// Finding is one thing that has to be so. Err is nil if it is.
type Finding struct {
	What string
	Err  error
}

// Report is what was found. Event and Currency are what the leaf says, if it could be read.
type Report struct {
	Findings []Finding
	Event    *Event
	Currency string
}

// Err is the first thing that is not so; nil: all is.
func (r *Report) Err() error {
	for i := range r.Findings {
		if err := r.Findings[i].Err; err != nil {
			return fmt.Errorf("%s: %w", r.Findings[i].What, err)
		}
	}
	return nil
}

// Check finds out everything, also behind what is wrong.
func Check(in Input) Report {
	var r Report
	add := func(what string, err error) { r.Findings = append(r.Findings, Finding{what, err}) }
	keys := map[string]ed25519.PublicKey{}
	for _, k := range in.Keys {
		keys[batch.KeyID(k)] = k
	}
	d, m := in.Document, in.Manifest
	leaf, event, currency, err := d.leaf()
	r.Event, r.Currency = event, currency
	add("the leaf is that of the event shown", err)
	add("the leaf is in the tree", d.included(leaf))
	add("the tree is that of the manifest", d.of(m))
	add("the manifest is signed", m.signedBy(keys))
	if in.Chain != nil {
		add(fmt.Sprintf("all %d manifests of the chain are signed", len(in.Chain)), signed(in.Chain, keys))
		add("each names the one before, "+beginning(in.Chain), linked(in.Chain))
		add("the manifest stands in the chain", among(in.Chain, m))
	}
	return r
}

// leaf decodes the leaf and compares it with what the document shows of it.
func (d *Document) leaf() (leaf []byte, e *Event, currency string, err error) {
	if leaf, err = base64.StdEncoding.Strict().DecodeString(d.Leaf); err != nil {
		return nil, nil, "", err
	}
	shape, err := base64.StdEncoding.Strict().DecodeString(d.Shape)
	if err != nil {
		return leaf, nil, "", err
	}
	l, s, err := parseLeaf(leaf, shape)
	if err != nil {
		return leaf, nil, "", err
	}
	event := eventOf(l, s)
	switch hash := batch.LeafHash(leaf); {
	case d.LeafHash != hex.EncodeToString(hash[:]):
		err = errors.New("leaf_hash is not its hash")
	case d.Sequence != l.Sequence:
		err = fmt.Errorf("sequence is %d, the leaf says %d", d.Sequence, l.Sequence)
	case d.Currency != l.Currency.Code():
		err = fmt.Errorf("currency is %s, the leaf says %s", d.Currency, l.Currency.Code())
	case !event.equal(&d.Event):
		err = errors.New("event is not what the leaf says")
	}
	return leaf, &event, l.Currency.Code(), err
}

func (e *Event) equal(o *Event) bool {
	return e.Source == o.Source && e.ID == o.ID && e.Type == o.Type && e.Subject == o.Subject && e.Time == o.Time && e.Amount == o.Amount &&
		e.PriceVersion == o.PriceVersion && maps.Equal(e.Usage, o.Usage) && maps.Equal(e.Dimensions, o.Dimensions)
}

// included checks the path from the leaf to the root.
func (d *Document) included(leaf []byte) error {
	if d.Hash != Hash {
		return fmt.Errorf("it is hashed by %q, known is %s", d.Hash, Hash)
	}
	root, err := parseHash(d.Root)
	if err != nil {
		return fmt.Errorf("root: %w", err)
	}
	path := make([][32]byte, len(d.Path))
	for i, text := range d.Path {
		if path[i], err = parseHash(text); err != nil {
			return fmt.Errorf("path: %w", err)
		}
	}
	return batch.VerifyPath(batch.LeafHash(leaf), d.Index, d.Size, path, root)
}

// of checks that the tree is the one that the manifest names.
func (d *Document) of(m *Manifest) error {
	switch {
	case d.BatchID != hex.EncodeToString(m.BatchID[:]):
		return fmt.Errorf("the proof is of batch %s, the manifest of %x", d.BatchID, m.BatchID)
	case d.Root != hex.EncodeToString(m.MerkleRoot[:]):
		return fmt.Errorf("the root is %s, the manifest has %x", d.Root, m.MerkleRoot)
	case d.Size != m.Events:
		return fmt.Errorf("the tree has %d leaves, the manifest %d events", d.Size, m.Events)
	case d.Window != m.Window:
		return fmt.Errorf("the proof is of window %d, the manifest of %d", d.Window, m.Window)
	case d.Currency != m.Currency.Code():
		return fmt.Errorf("the proof is of %s, the manifest of %s", d.Currency, m.Currency.Code())
	case d.Sequence < m.First || d.Sequence > m.Last:
		return fmt.Errorf("sequence %d is not in the window, which is %d to %d", d.Sequence, m.First, m.Last)
	}
	return nil
}

func parseHash(text string) (h [32]byte, err error) {
	if n, err := hex.Decode(h[:], []byte(text[:min(len(text), 64)])); err != nil || n != len(h) || hex.EncodeToString(h[:]) != text {
		return h, fmt.Errorf("%.70q is no hash of 64 small hexadecimal digits", text)
	}
	return h, nil
}

func signed(chain []*Manifest, keys map[string]ed25519.PublicKey) error {
	for i, m := range chain {
		if err := m.signedBy(keys); err != nil {
			return fmt.Errorf("manifest %d of the chain, window %d: %w", i+1, m.Window, err)
		}
	}
	return nil
}

// beginning says how far back a chain goes: what is cut off there was not looked at.
func beginning(chain []*Manifest) string {
	switch {
	case len(chain) == 0:
		return "as there is none"
	case chain[0].Previous == [32]byte{}:
		return fmt.Sprintf("from the first one, window %d", chain[0].Window)
	}
	return fmt.Sprintf("from window %d on; those before it are not in the file", chain[0].Window)
}

// linked checks that the manifests are those of one partition and currency, one after the other.
func linked(chain []*Manifest) error {
	for i, m := range chain {
		if i == 0 {
			continue
		}
		before := chain[i-1]
		var bad string
		switch {
		case m.Ledger != before.Ledger || m.Partition != before.Partition || m.Currency != before.Currency:
			bad = "is of another ledger, partition or currency than the one before"
		case m.Previous != before.Hash():
			bad = fmt.Sprintf("names %x as the one before, which is %x", m.Previous, before.Hash())
		case m.Window <= before.Window || m.First <= before.Last || m.FirstStreamSeq <= before.FirstStreamSeq:
			bad = "does not lie behind the one before"
		default:
			continue
		}
		return fmt.Errorf("manifest %d of the chain, window %d, %s", i+1, m.Window, bad)
	}
	return nil
}

func among(chain []*Manifest, m *Manifest) error {
	for _, c := range chain {
		if string(c.Canonical) == string(m.Canonical) {
			return nil
		}
	}
	return fmt.Errorf("none of the %d is that of window %d", len(chain), m.Window)
}
