package proof

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"farthing/batch"
)

// Manifest is a batch's manifest and who signed it.
type Manifest struct {
	batch.Manifest
	Canonical []byte // the manifest's canonical bytes, which are hashed and signed
	KeyID     string // empty: it is not signed
	Signature []byte
}

// beside are the fields that a server shows beside a manifest's own.
type beside struct {
	KeyID     *string `json:"key_id"`
	Signature *string `json:"signature"`
}

var besideNames = []string{"published", "key_id", "signature"}

// ParseManifests reads manifests from a file: JSON objects one after the other, or lists of them,
// or pages of the API ({"items": […]}). Each is brought into its canonical form, in which alone a
// manifest is read, so that it does not matter how the file spells it.
func ParseManifests(file []byte) ([]*Manifest, error) {
	var out []*Manifest
	dec := json.NewDecoder(bytes.NewReader(file))
	for {
		var raw json.RawMessage
		err := dec.Decode(&raw)
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			out, err = appendManifests(out, raw)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: manifest %d: %w", ErrFile, len(out)+1, err)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: no manifest in the file", ErrFile)
	}
	return out, nil
}

func appendManifests(out []*Manifest, raw json.RawMessage) ([]*Manifest, error) {
	if bytes.HasPrefix(raw, []byte("[")) {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return out, err
		}
		return appendList(out, list)
	}
	var page struct {
		Items []json.RawMessage `json:"items"`
	}
	if err := json.Unmarshal(raw, &page); err == nil && page.Items != nil {
		return appendList(out, page.Items)
	}
	m, err := parseManifest(raw)
	return append(out, m), err
}

func appendList(out []*Manifest, list []json.RawMessage) ([]*Manifest, error) {
	for _, raw := range list {
		m, err := parseManifest(raw)
		if err != nil {
			return out, err
		}
		out = append(out, m)
	}
	return out, nil
}

// parseManifest takes what stands beside the manifest out of an object and writes the rest with
// sorted keys and without spaces: for the values that a manifest has, that is RFC 8785, and if it
// were not, batch.ParseManifest would refuse it.
func parseManifest(raw []byte) (*Manifest, error) {
	var b beside
	if err := json.Unmarshal(raw, &b); err != nil {
		return nil, err
	}
	fields := map[string]any{}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&fields); err != nil {
		return nil, err
	}
	for _, name := range besideNames {
		delete(fields, name)
	}
	canonical, err := json.Marshal(fields)
	if err != nil {
		return nil, err
	}
	m := &Manifest{Canonical: canonical}
	if m.Manifest, err = batch.ParseManifest(canonical); err != nil {
		return nil, err
	}
	if b.KeyID != nil {
		m.KeyID = *b.KeyID
	}
	if b.Signature != nil {
		if m.Signature, err = base64.StdEncoding.Strict().DecodeString(*b.Signature); err != nil {
			return nil, fmt.Errorf("signature: %w", err)
		}
	}
	return m, nil
}

// signedBy checks the signature by one of the keys, by their ids.
func (m *Manifest) signedBy(keys map[string]ed25519.PublicKey) error {
	if m.KeyID == "" {
		return errors.New("it is not signed")
	}
	key, ok := keys[m.KeyID]
	if !ok {
		return fmt.Errorf("it is signed by key %s, which is none of those given", m.KeyID)
	}
	if !ed25519.Verify(key, m.Canonical, m.Signature) {
		return fmt.Errorf("the signature is not one of key %s", m.KeyID)
	}
	return nil
}
