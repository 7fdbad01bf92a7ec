package meter

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
)

// TestParseShape is the table of what is canonical and what is not.
func TestParseShape(t *testing.T) {
	f := func(text string, ok bool) {
		t.Helper()
		s, err := ParseShape([]byte(text))
		if ok != (err == nil) || (!ok && !errors.Is(err, ErrShape)) {
			t.Errorf("%q: %v", text, err)
		}
		if ok && string(s.Append(nil)) != text {
			t.Errorf("%q is encoded as %q", text, s.Append(nil))
		}
	}
	f("\x01m\x00\x00", true)
	f("\x01m\x01\x01a\x00", true)
	f("\x01m\x02\x01a\x01b\x01\x01k\x01v", true)
	f("\x01m\x00\x02\x01k\x01v\x01l\x00", true)
	f("", false)
	f("\x01", false)
	f("\x01m", false)
	f("\x01m\x00", false)
	f("\x01m\x00\x00\x00", false)                 // something left
	f("\x81\x00m\x00\x00", false)                 // a length written longer than needed
	f("\x01m\x02\x01b\x01a\x00", false)           // components out of order
	f("\x01m\x02\x01a\x01a\x00", false)           // twice
	f("\x01m\x00\x02\x01l\x00\x01k\x00", false)   // dimensions out of order
	f("\x01m\x00\x02\x01k\x01a\x01k\x01b", false) // twice
	f("\x01m\x21\x00", false)                     // more than 32 components
	f("\x01m\x00\x11", false)                     // more than 16 dimensions
	f("\x81\x01"+strings.Repeat("x", 129)+"\x00\x00", false)
	f("\x80\x01"+strings.Repeat("x", 128)+"\x00\x00", true)
	f("\x01m\x01\x41"+strings.Repeat("x", 65)+"\x00", false)
	f("\x01m\x00\x01\x01k\x81\x02"+strings.Repeat("x", 257), false)
	f("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", false)
}

// TestShapeParts shows look-up and extension.
func TestShapeParts(t *testing.T) {
	s := Shape{Type: "m", Components: []string{"a"}, Dimensions: []Dimension{{"k", "1"}, {"m", ""}}}
	if v, ok := s.Value("k"); v != "1" || !ok {
		t.Error("k")
	}
	if v, ok := s.Value("m"); v != "" || !ok {
		t.Error("an empty value is a value")
	}
	if _, ok := s.Value("l"); ok {
		t.Error("l")
	}
	wide := s.With([]Dimension{{"z", "9"}, {"a", "0"}})
	if want := []Dimension{{"a", "0"}, {"k", "1"}, {"m", ""}, {"z", "9"}}; !slices.Equal(wide.Dimensions, want) || len(s.Dimensions) != 2 {
		t.Errorf("%v, the original %v", wide.Dimensions, s.Dimensions)
	}
}

// FuzzParseShape feeds bytes: whatever is accepted must be the one encoding of itself.
func FuzzParseShape(f *testing.F) {
	for _, s := range []string{"", "\x01m\x00\x00", "\x01m\x02\x01a\x01b\x01\x01k\x01v", "\x81\x00m\x00\x00", "\x01m\x02\x01b\x01a\x00"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		s, err := ParseShape(p)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Append(nil), p) {
			t.Fatalf("%x is encoded as %x", p, s.Append(nil))
		}
		if len(s.Components) > MaxComponents || len(s.Dimensions) > MaxDimensions || len(s.Type) > MaxIDBytes {
			t.Fatalf("%x passes a bound", p)
		}
	})
}
