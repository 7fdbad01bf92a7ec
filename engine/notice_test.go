package engine

import (
	"encoding/json"
	"testing"

	"github.com/gowebpki/jcs"
)

// TestCanonicalObject compares what notifications are written as with a library for RFC 8785.
func TestCanonicalObject(t *testing.T) {
	f := func(data map[string]any) {
		t.Helper()
		plain, err := json.Marshal(data)
		if err != nil {
			t.Fatal(err)
		}
		want, err := jcs.Transform(plain)
		if err != nil {
			t.Fatal(err)
		}
		if got := canonicalObject(data); got != string(want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f(map[string]any{})
	f(map[string]any{"reason": "", "b": nil, "calls": uint64(12), "a": "x"})
	f(map[string]any{"reason": "a <b> & \"c\" \\ \u2028 é 😀 \x00\x01\b\t\n\f\r\x1f\x7f"})
}
