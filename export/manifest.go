package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Encoding is how commands are written.
type Encoding string

// The encodings.
const (
	NDJSON  Encoding = "ndjson"  // one JSON object a line, compressed with gzip
	Parquet Encoding = "parquet" // Apache Parquet
)

// The format's name and version, in every manifest.
const (
	formatName    = "farthing-export"
	formatVersion = 1
)

// Manifest describes a part. Its JSON is the only spelling of it, so that its hash names it.
type Manifest struct {
	Format       string   `json:"format"`
	Version      int      `json:"version"`
	Ledger       string   `json:"ledger"`
	Partition    uint32   `json:"partition"`
	Encoding     Encoding `json:"encoding"`
	First        uint64   `json:"first"` // sequences of its first and last command; it begins after a group and ends with one
	Last         uint64   `json:"last"`
	FirstTime    string   `json:"first_time"` // of its first and last group
	LastTime     string   `json:"last_time"`
	PreviousHash string   `json:"previous_hash"` // of the block before its first; zeros for the first of all
	LastHash     string   `json:"last_hash"`     // of its last block
	PreviousPart string   `json:"previous_part"` // SHA-256 of the manifest of the part before; empty: none
	Commands     uint64   `json:"commands"`
	Blocks       uint64   `json:"blocks"`
	Settlements  uint64   `json:"settlements"`   // last stream_seq sealed up to its end
	Notices      uint64   `json:"notifications"` // last notification up to its end
	Files        []File   `json:"files"`
}

// File is a file of a part.
type File struct {
	Role   string `json:"role"`
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	Rows   uint64 `json:"rows"`
}

// The roles of files.
const (
	roleCommands = "commands"
	roleNames    = "names" // only where the part does not begin with the history
	roleRows     = "rows"
)

// The names of files.
const (
	partPrefix     = "part-"
	manifestSuffix = ".manifest.json"
	tempSuffix     = ".tmp"
	progressName   = "progress.json"
	manifestMax    = 64 << 10
)

// stem is what the names of a part's files begin with.
func stem(first, last uint64) string { return fmt.Sprintf("%s%020d-%020d", partPrefix, first, last) }

func (m *Manifest) stem() string { return stem(m.First, m.Last) }

// fileName is the name of a file of the part by its role.
func (m *Manifest) fileName(role string) string {
	switch {
	case role != roleCommands:
		return m.stem() + "." + role + ".ndjson.gz"
	case m.Encoding == Parquet:
		return m.stem() + ".parquet"
	default:
		return m.stem() + ".ndjson.gz"
	}
}

func (m *Manifest) file(role string) *File {
	for i := range m.Files {
		if m.Files[i].Role == role {
			return &m.Files[i]
		}
	}
	return nil
}

func (m *Manifest) encode() []byte {
	out, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		panic("BUG: a manifest does not encode: " + err.Error())
	}
	return append(out, '\n')
}

// hash names a manifest.
func (m *Manifest) hash() [32]byte { return sha256.Sum256(m.encode()) }

var errManifest = errors.New("it is no manifest of a part")

// ParseManifest reads a manifest. Anything but what encode writes is refused.
func ParseManifest(data []byte) (*Manifest, error) {
	m := &Manifest{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(m); err != nil {
		return nil, fmt.Errorf("%w: %w", errManifest, err)
	}
	if m.Format != formatName || m.Version != formatVersion {
		return nil, fmt.Errorf("%w: format %q, version %d; this program reads %s, version %d", errManifest, m.Format, m.Version, formatName, formatVersion)
	}
	if !bytes.Equal(m.encode(), data) {
		return nil, fmt.Errorf("%w: it is not spelled as an export spells it", errManifest)
	}
	return m, m.validate()
}

func (m *Manifest) validate() error {
	switch {
	case m.Encoding != NDJSON && m.Encoding != Parquet:
		return fmt.Errorf("%w: encoding %q", errManifest, m.Encoding)
	case m.First == 0 || m.Last < m.First || m.Commands != m.Last-m.First+1 || m.Blocks == 0 || m.Blocks > m.Commands:
		return fmt.Errorf("%w: sequences %d to %d, %d commands in %d blocks", errManifest, m.First, m.Last, m.Commands, m.Blocks)
	case !isHash(m.PreviousHash) || !isHash(m.LastHash) || (m.PreviousPart != "" && !isHash(m.PreviousPart)):
		return fmt.Errorf("%w: a hash is no hash", errManifest)
	}
	want := []string{roleCommands, roleRows}
	if m.First > 1 {
		want = []string{roleCommands, roleNames, roleRows}
	}
	if len(m.Files) != len(want) {
		return fmt.Errorf("%w: %d files", errManifest, len(m.Files))
	}
	for i, role := range want {
		f := &m.Files[i]
		if f.Role != role || f.Name != m.fileName(role) || f.Bytes < 0 || !isHash(f.SHA256) {
			return fmt.Errorf("%w: file %q", errManifest, f.Name)
		}
	}
	return nil
}

func isHash(s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == 32 && s == hex.EncodeToString(b)
}

// timeText is a time as exports write it.
func timeText(ns int64) string { return time.Unix(0, ns).UTC().Format(time.RFC3339Nano) }

// list reads the manifests of a directory, in order.
func list(dir string) ([]*Manifest, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var out []*Manifest
	named := map[string]bool{}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), partPrefix) || !strings.HasSuffix(e.Name(), manifestSuffix) {
			continue
		}
		m, err := readManifest(dir, e.Name())
		if err != nil {
			return nil, err
		}
		out = append(out, m)
		for _, f := range m.Files {
			named[f.Name] = true
		}
		named[e.Name()] = true
	}
	slices.SortFunc(out, func(a, b *Manifest) int { return strings.Compare(a.stem(), b.stem()) })
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, partPrefix) && !named[name] && !unfinished(dir, name) {
			return nil, fmt.Errorf("%s: no manifest names it; it may be the only copy of what it holds, so it is neither used nor removed", name)
		}
	}
	return out, nil
}

func readManifest(dir, name string) (*Manifest, error) {
	data, err := readSmall(filepath.Join(dir, name), manifestMax)
	if err != nil {
		return nil, err
	}
	m, err := ParseManifest(data)
	if err == nil && m.stem()+manifestSuffix != name {
		err = fmt.Errorf("%w of this name", errManifest)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return m, nil
}

// readSmall reads a file that may not be larger than so many bytes.
func readSmall(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		err = fmt.Errorf("%s: it is larger than %d bytes", filepath.Base(path), most)
	}
	return data, err
}

// whole checks that the files of a part are there with the sizes and hashes that its manifest names.
func (m *Manifest) whole(ctx context.Context, dir string) error {
	for i := range m.Files {
		f := &m.Files[i]
		bytes, hash, err := hashFile(ctx, filepath.Join(dir, f.Name))
		if err != nil {
			return fmt.Errorf("%s: sequences %d to %d: %w", f.Name, m.First, m.Last, err)
		}
		if bytes != f.Bytes || hash != f.SHA256 {
			return fmt.Errorf("%s: sequences %d to %d: its content is not what the manifest names: %d bytes with SHA-256 %s instead of %d with %s",
				f.Name, m.First, m.Last, bytes, hash, f.Bytes, f.SHA256)
		}
	}
	return nil
}

func hashFile(ctx context.Context, path string) (int64, string, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, stoppable{ctx, f})
	return n, hex.EncodeToString(h.Sum(nil)), err
}

// stoppable is a reader that ends with its context.
type stoppable struct {
	ctx context.Context
	r   io.Reader
}

func (s stoppable) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	return s.r.Read(p)
}
