package export

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path/filepath"

	"farthing/engine"
)

const (
	progressFormat = "farthing-export-progress"
	progressMax    = 1 << 30
)

// Progress is how far streams were published when the export was written. It stands beside the parts, because it is no part of the history.
type Progress struct {
	Format    string        `json:"format"`
	Version   int           `json:"version"`
	Ledger    string        `json:"ledger"`
	Partition uint32        `json:"partition"`
	Last      uint64        `json:"last"` // where the export ended then, and the hash there
	Hash      string        `json:"hash"`
	Rows      []ProgressRow `json:"rows"`
	SHA256    string        `json:"sha256"` // of the document with this field empty
}

// ProgressRow is a row of progress in hexadecimal.
type ProgressRow struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

func (p *Progress) encode() []byte {
	spell := func() []byte {
		out, err := json.MarshalIndent(p, "", " ")
		if err != nil {
			panic("BUG: progress does not encode: " + err.Error())
		}
		return append(out, '\n')
	}
	p.SHA256 = ""
	h := sha256.Sum256(spell())
	p.SHA256 = hex.EncodeToString(h[:])
	return spell()
}

// parseProgress reads what encode wrote and nothing else.
func parseProgress(data []byte) (*Progress, error) {
	p := &Progress{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("%s: %w", progressName, err)
	}
	if p.Format != progressFormat || p.Version != formatVersion {
		return nil, fmt.Errorf("%s: format %q, version %d; this program reads %s, version %d", progressName, p.Format, p.Version, progressFormat, formatVersion)
	}
	if said := p.SHA256; !bytes.Equal(p.encode(), data) {
		return nil, fmt.Errorf("%s: its content does not have the SHA-256 that it names, %s", progressName, said)
	}
	return p, nil
}

func readProgress(dir string) (*Progress, error) {
	data, err := readSmall(filepath.Join(dir, progressName), progressMax)
	if err != nil {
		return nil, err
	}
	return parseProgress(data)
}

// belongs checks that the progress was written when one of the parts was the last one.
func (p *Progress) belongs(parts []*Manifest) error {
	for _, m := range parts {
		if m.Last == p.Last && m.LastHash == p.Hash && m.Ledger == p.Ledger && m.Partition == p.Partition {
			return nil
		}
	}
	return fmt.Errorf("%s: it is of sequence %d of ledger %s, at which no part ends with hash %s", progressName, p.Last, p.Ledger, p.Hash)
}

// each calls fn with the rows.
func (p *Progress) each(fn func(*engine.ExportedRow) error) error {
	for _, r := range p.Rows {
		key, err := hex.DecodeString(r.Key)
		if err != nil {
			return fmt.Errorf("%s: %w", progressName, err)
		}
		value, err := hex.DecodeString(r.Value)
		if err != nil {
			return fmt.Errorf("%s: %w", progressName, err)
		}
		if err := fn(&engine.ExportedRow{Space: engine.ExportProgress, Key: key, Value: value}); err != nil {
			return fmt.Errorf("%s: %w", progressName, err)
		}
	}
	return nil
}
