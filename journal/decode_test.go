package journal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"testing"
)

func testBlockBytes() []byte {
	in := BlockInput{First: 7, Last: 9, Body: []byte("three commands")}
	data := make([]byte, blockExtraBytes+len(in.Body))
	encodeBlock(data, &in, 1234, true, &Hash{1, 2})
	return data
}

func TestBlockRoundTrip(t *testing.T) {
	data := testBlockBytes()
	var b Block
	if err := decodeBlock(&b, data); err != nil {
		t.Fatal(err)
	}
	if b.First != 7 || b.Last != 9 || b.Time != 1234 || !b.Final || b.Prev != (Hash{1, 2}) || string(b.Body) != "three commands" {
		t.Errorf("%+v", b)
	}
	n := len(data) - sha256.Size
	if b.Hash != sha256.Sum256(data[:n]) {
		t.Error("hash is not that of header and body")
	}
}

func TestBlockDecodeRefuses(t *testing.T) {
	f := func(name string, want error, change func([]byte) []byte) {
		t.Helper()
		var b Block
		if err := decodeBlock(&b, change(testBlockBytes())); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	f("nothing", errBlockShort, func(d []byte) []byte { return nil })
	f("short", errBlockShort, func(d []byte) []byte { return d[:blockExtraBytes-1] })
	f("version", errBlockVersion, func(d []byte) []byte { d[0]++; return d })
	f("flag", errBlockVersion, func(d []byte) []byte { d[1] |= 2; return d })
	f("reserved", errBlockVersion, func(d []byte) []byte { d[3] = 1; return d })
	f("truncated", errBlockLength, func(d []byte) []byte { return d[:len(d)-1] })
	f("longer", errBlockLength, func(d []byte) []byte { return append(d, 0) })
	f("first zero", errBlockRange, func(d []byte) []byte { d[15] = 0; return d })
	f("last before first", errBlockRange, func(d []byte) []byte { d[23] = 6; return d })
	for at := range testBlockBytes() {
		for bit := range 8 {
			d := testBlockBytes()
			d[at] ^= 1 << bit
			if err := decodeBlock(new(Block), d); err == nil {
				t.Errorf("flip of bit %d at %d went unnoticed", bit, at)
			}
		}
	}
}

func testHeadBytes() []byte {
	var slot [headSlotBytes]byte
	encodeHead(&slot, &headRecord{gen: 5, writes: 4, head: Head{Seq: 9, Hash: Hash{3}, Time: 77}})
	return slot[:]
}

func TestHeadDecode(t *testing.T) {
	r, err := decodeHead(testHeadBytes())
	if err != nil || r != (headRecord{gen: 5, writes: 4, head: Head{Seq: 9, Hash: Hash{3}, Time: 77}}) {
		t.Errorf("%+v %v", r, err)
	}
	for at := range testHeadBytes() {
		for bit := range 8 {
			d := testHeadBytes()
			d[at] ^= 1 << bit
			if _, err := decodeHead(d); err == nil {
				t.Errorf("flip of bit %d at %d went unnoticed", bit, at)
			}
		}
	}
	for n := range headSlotBytes {
		if _, err := decodeHead(testHeadBytes()[:n]); err == nil {
			t.Errorf("%d bytes decoded", n)
		}
	}
}

func TestNewestHead(t *testing.T) {
	slot := func(gen uint64) []byte {
		var d [headSlotBytes]byte
		encodeHead(&d, &headRecord{gen: gen, head: Head{Seq: gen}})
		return append(d[:], make([]byte, headBlock-headSlotBytes)...)
	}
	f := func(a, b []byte, want uint64) {
		t.Helper()
		r, err := newestHead(append(append([]byte(nil), a...), b...))
		if r.gen != want || (err == nil) != (want != 0) {
			t.Errorf("generation %d, error %v, want %d", r.gen, err, want)
		}
	}
	empty := make([]byte, headBlock)
	f(slot(1), slot(2), 2)
	f(slot(3), slot(2), 3)
	f(slot(3), empty, 3)
	f(empty, slot(2), 2)
	f(empty, empty, 0)
	f(slot(1), nil, 1)
	f(nil, nil, 0)
}

func FuzzDecodeBlock(f *testing.F) {
	f.Add(testBlockBytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		var b Block
		if err := decodeBlock(&b, data); err != nil {
			return
		}
		again := make([]byte, blockExtraBytes+len(b.Body))
		in := BlockInput{First: b.First, Last: b.Last, Body: b.Body}
		if hash := encodeBlock(again, &in, b.Time, b.Final, &b.Prev); hash != b.Hash || !bytes.Equal(again, data) {
			t.Errorf("encodes as %x, was %x", again, data)
		}
	})
}

func FuzzDecodeHead(f *testing.F) {
	f.Add(testHeadBytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := newestHead(data); err != nil && !errors.Is(err, errHeadSlots) {
			t.Errorf("unexpected error %v", err)
		}
		r, err := decodeHead(data)
		if err != nil {
			return
		}
		var again [headSlotBytes]byte
		if encodeHead(&again, &r); !bytes.Equal(again[:], data[:headSlotBytes]) {
			t.Errorf("encodes as %x, was %x", again, data)
		}
	})
}
