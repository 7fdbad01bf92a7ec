package apikey

import "testing"

// FuzzParse: whatever is accepted holds only well-formed, distinct keys that
// can do something.
func FuzzParse(f *testing.F) {
	f.Add([]byte("- {id: a, hash: \"sha256:00\", scopes: [read]}"))
	key, err := New("a", Ingest|Admin, Limits{RequestsPerSecond: 5, BytesPerSecond: 1000, ByteBurst: 7}, [SecretBytes]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(key.Entry))
	f.Fuzz(func(t *testing.T, text []byte) {
		set, err := Parse(text)
		if err != nil {
			return
		}
		ids := map[KeyID]bool{}
		for _, e := range set.entries {
			if checkID(string(e.id)) != nil || ids[e.id] || e.scopes == 0 {
				t.Fatalf("accepted %+v", e)
			}
			ids[e.id] = true
		}
		// What edit makes of it is the same, but for the key that goes.
		for _, e := range set.entries {
			rest, err := without(text, e.id)
			if err != nil {
				t.Fatalf("revoking %q: %v", e.id, err)
			}
			if after, err := Parse(rest); err != nil || after.Len() != set.Len()-1 {
				t.Fatalf("without %q: %v\n%s", e.id, err, rest)
			}
		}
	})
}
