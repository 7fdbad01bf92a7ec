package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"farthing/batch"
	"farthing/meter"
	"farthing/money"
)

// Hash names how the tree is hashed: SHA-256 as RFC 6962, section 2.1, says.
const Hash = "sha256-rfc6962"

// ErrFile says that a file is not what it should be.
var ErrFile = errors.New("proof: not readable")

// Document is the proof of an event. Hashes are lowercase hexadecimal, bytes are base64.
type Document struct {
	BatchID  string   `json:"batch_id"`
	Window   uint64   `json:"window"`
	Currency string   `json:"currency"`
	Hash     string   `json:"hash"`
	Leaf     string   `json:"leaf"`      // what is hashed
	LeafHash string   `json:"leaf_hash"` // SHA-256(0x00 || leaf)
	Shape    string   `json:"shape"`     // canonical type, components and dimensions; the leaf has its SHA-256
	Index    uint64   `json:"index"`     // of the leaf, from 0
	Size     uint64   `json:"size"`      // leaves of the tree
	Path     []string `json:"path"`      // from the leaf's sibling upwards
	Root     string   `json:"root"`
	Event    Event    `json:"event"`
	Sequence uint64   `json:"sequence"` // at which the event was rated
}

// Event is what a leaf says, for people to read.
type Event struct {
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

// Parts is what a proof is made of.
type Parts struct {
	BatchID     string
	Window      uint64
	Currency    money.Currency
	Leaf, Shape []byte
	Index, Size uint64
	Path        [][32]byte
	Root        [32]byte
}

// New writes a proof. The error says that leaf and shape are not those of an event.
func New(p *Parts) (Document, error) {
	leaf, shape, err := parseLeaf(p.Leaf, p.Shape)
	if err != nil {
		return Document{}, err
	}
	hash := batch.LeafHash(p.Leaf)
	d := Document{BatchID: p.BatchID, Window: p.Window, Currency: p.Currency.Code(), Hash: Hash,
		Leaf: base64.StdEncoding.EncodeToString(p.Leaf), LeafHash: hex.EncodeToString(hash[:]), Shape: base64.StdEncoding.EncodeToString(p.Shape),
		Index: p.Index, Size: p.Size, Path: make([]string, 0, len(p.Path)), Root: hex.EncodeToString(p.Root[:]),
		Event: eventOf(leaf, shape), Sequence: leaf.Sequence}
	for i := range p.Path {
		d.Path = append(d.Path, hex.EncodeToString(p.Path[i][:]))
	}
	return d, nil
}

// parseLeaf reads a leaf with the shape that it holds the hash of.
func parseLeaf(data, shapeBytes []byte) (*batch.Leaf, *meter.Shape, error) {
	want, err := batch.LeafShape(data)
	if err != nil {
		return nil, nil, err
	}
	if want != sha256.Sum256(shapeBytes) {
		return nil, nil, errors.New("the leaf is of another shape")
	}
	shape, err := meter.ParseShape(shapeBytes)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := batch.ParseLeaf(data, len(shape.Components))
	return &leaf, &shape, err
}

func eventOf(leaf *batch.Leaf, shape *meter.Shape) Event {
	e := Event{Source: leaf.Source, ID: leaf.ID, Type: shape.Type, Subject: leaf.Subject,
		Time:  time.Unix(0, leaf.Time).UTC().Format(time.RFC3339Nano),
		Usage: map[string]string{}, Dimensions: map[string]string{}, Amount: leaf.Amount.String(), PriceVersion: leaf.Version}
	for i, name := range shape.Components {
		e.Usage[name] = leaf.Quantities[i].String()
	}
	for _, d := range shape.Dimensions {
		e.Dimensions[d.Key] = d.Value
	}
	return e
}

// ParseDocument reads a proof. Fields that it does not know are refused: what is not looked at
// could say anything.
func ParseDocument(file []byte) (*Document, error) {
	var d Document
	dec := json.NewDecoder(bytes.NewReader(file))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil {
		return nil, fmt.Errorf("%w: proof: %w", ErrFile, err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: proof: more than one JSON value", ErrFile)
	}
	return &d, nil
}
