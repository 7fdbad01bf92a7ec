package meter

import "testing"

// TestRawUsage shows how the provider's own object is kept, that it stays with its event,
// and that it is usage even without tokens.
func TestRawUsage(t *testing.T) {
	var b Batch
	b.Reset(5)
	f := func(raw, want string) {
		t.Helper()
		d := standardDraft()
		d.raw = raw
		d.put(&b, 0)
		e := &b.Events[len(b.Events)-1]
		checkEvent(t, &b, e)
		if got := string(b.Bytes(e.Raw)); got != want {
			t.Errorf("%q is kept as %q, want %q", raw, got, want)
		}
		after := standardDraft()
		after.put(&b, 1)
		if e := &b.Events[len(b.Events)-1]; e.Raw.Len != 0 {
			t.Errorf("the event after %q has %q", raw, b.Bytes(e.Raw))
		}
	}
	f("", "")
	f(`{"a":1}`, "\x02"+`{"a":1}`)
	f(" {\t\"a b\" :\r\n[ 1 , 2 ] } ", "\x02"+`{"a b":[1,2]}`)
	f(`{"a \" b": " \\", "c" : null }`, "\x02"+`{"a \" b":" \\","c":null}`)

	b.Reset(5)
	d := draft{source: "s", id: "i", subject: "c", kind: "m", time: NoTime, noUsage: true, raw: "{}"}
	d.put(&b, 0)
	if e := &b.Events[0]; b.ShapeOf(e).Components != 0 {
		t.Errorf("an object without tokens became %d components", b.ShapeOf(e).Components)
	}
}

// TestGivenDimension looks up dimensions of the event under construction.
func TestGivenDimension(t *testing.T) {
	var b Batch
	b.Reset(1)
	for _, tier := range []string{"batch", ""} {
		b.Begin(0)
		b.Dimension([]byte("model"), []byte("m"))
		if tier != "" {
			b.Dimension([]byte("service_tier"), []byte(tier))
		}
		if v, ok := b.GivenDimension("service_tier"); string(v) != tier || ok != (tier != "") {
			t.Errorf("%q: %q, %v", tier, v, ok)
		}
	}
}
