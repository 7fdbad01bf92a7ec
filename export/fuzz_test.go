package export

import (
	"bytes"
	"testing"

	"farthing/engine"
)

// FuzzManifest: what is taken for a manifest has one spelling.
func FuzzManifest(f *testing.F) {
	m := Manifest{Format: formatName, Version: formatVersion, Ledger: "l", Encoding: NDJSON, First: 1, Last: 2, FirstTime: timeText(0), LastTime: timeText(1),
		PreviousHash: zeros, LastHash: zeros, Commands: 2, Blocks: 1}
	for _, role := range []string{roleCommands, roleRows} {
		m.Files = append(m.Files, File{Role: role, Name: m.fileName(role), Bytes: 1, SHA256: zeros, Rows: 1})
	}
	f.Add(m.encode())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if err == nil && (!bytes.Equal(m.encode(), data) || m.validate() != nil) {
			t.Fatalf("%q is taken for a manifest", data)
		}
	})
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"

// FuzzLines: lines of all files. Nothing panics; rows and names that are taken have one spelling.
func FuzzLines(f *testing.F) {
	f.Add(appendCommand(nil, &engine.ExportedCommand{Sequence: 3, Time: 5, End: engine.EndGroup, Raw: []byte{1, 2},
		CommandColumns: engine.CommandColumns{Kind: "event", EventTime: 7, Dimensions: `{"a":"b"}`, HasAmount: true}}))
	f.Add(appendRow(nil, &engine.ExportedRow{Space: engine.ExportLines, Key: []byte{1}, Records: [][]byte{[]byte(`{"a":1}`)}}))
	f.Add(appendRow(nil, &engine.ExportedRow{Space: engine.ExportTile, Key: []byte{1}, Value: []byte{2}}))
	f.Add(appendName(nil, []byte{9}))
	p := Progress{Format: progressFormat, Version: formatVersion, Ledger: "l", Last: 1, Hash: zeros, Rows: []ProgressRow{{"70", "00"}}}
	f.Add(p.encode())
	f.Fuzz(func(t *testing.T, line []byte) {
		if r, err := parseLine(line); err == nil {
			(ndjsonReader{}).same(&r, &engine.ExportedCommand{Raw: r.raw})
		}
		if r, err := parseRow(line); err == nil {
			if !bytes.Equal(appendRow(nil, r), line) {
				t.Fatalf("%q is taken for a row", line)
			}
			_ = engine.NewRowCheck().Row(r)
		}
		if raw, err := parseName(line); err == nil {
			if !bytes.Equal(appendName(nil, raw), line) {
				t.Fatalf("%q is taken for a name", line)
			}
			_ = engine.NewExportNames().Name(raw)
		}
		if p, err := parseProgress(line); err == nil && !bytes.Equal(p.encode(), line) {
			t.Fatalf("%q is taken for progress", line)
		}
	})
}
