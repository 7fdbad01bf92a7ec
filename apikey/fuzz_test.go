package apikey

import "testing"

// FuzzParse: whatever is accepted holds only well-formed, distinct keys that
// can do something.
func FuzzParse(f *testing.F) {
	f.Add([]byte("- {id: a, hash: \"sha256:00\", scopes: [read]}"))
	key, err := New("a", Ingest|Admin, [SecretBytes]byte{1})
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
		if set.Len() == 0 {
			t.Fatal("accepted a file without a key")
		}
	})
}
