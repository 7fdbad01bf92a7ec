package engine

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// FuzzRunRow: rows, markers and kept entries of any bytes decode or are refused, and what decodes is inside of the row.
func FuzzRunRow(f *testing.F) {
	f.Add(binary.AppendUvarint(binary.BigEndian.AppendUint64(nil, 7), 9), uint64(3))
	f.Add((&runInfo{id: 1, from: 2, to: 3, first: 4, last: 5, count: 1, newest: 6, blocks: 7}).marker().Value, uint64(0))
	f.Add((&keptEntry{hash: 1, seq: 2, content: 3, identity: []byte("\x03\x00id")}).value(), uint64(1))
	f.Fuzz(func(t *testing.T, p []byte, first uint64) {
		for row := p; len(row) > 0; {
			_, _, rest, bad := cutIdentity(row, first)
			if bad {
				break
			}
			if len(rest) >= len(row) {
				t.Fatal("an entry takes nothing")
			}
			row = rest
		}
		if r, err := parseRun(runKey(first), p); err == nil {
			if again, err := parseRun(runKey(first), r.marker().Value); err != nil || !bytes.Equal(again.marker().Value, r.marker().Value) {
				t.Fatalf("%+v, %+v, %v", r, again, err)
			}
		}
		if n, err := parseKept(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, first), 1), p); err == nil && len(n.identity) == 0 {
			t.Fatal("a kept identity without an identity")
		}
	})
}
