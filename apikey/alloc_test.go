//go:build !race

package apikey

import "testing"

func TestAuthenticateAllocatesNothing(t *testing.T) {
	key := mustKey(t, "a", Ingest, 1)
	set, err := Parse([]byte(key.Entry))
	if err != nil {
		t.Fatal(err)
	}
	token, wrong := []byte(key.Secret), []byte("farthing_wrong")
	allocs := testing.AllocsPerRun(100, func() {
		if _, ok := set.Find(token); !ok {
			t.Error("the right token was refused")
		}
		if _, ok := set.Find(wrong); ok {
			t.Error("a wrong token was let in")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations per call, want 0", allocs)
	}
}
