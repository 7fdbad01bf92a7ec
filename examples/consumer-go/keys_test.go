package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
)

// TestReadKeys: a file may hold all keys of a ledger, as `farthing proof fetch` writes it; and what names no key does not turn the
// check of signatures off.
func TestReadKeys(t *testing.T) {
	var both []byte
	for n := range 2 {
		public := ed25519.NewKeyFromSeed(append(make([]byte, ed25519.SeedSize-1), byte(n))).Public()
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		both = append(append(both, "# a comment\n"...), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	write := func(text []byte) string {
		path := filepath.Join(t.TempDir(), "keys.pem")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if keys, err := readKeys(write(both)); err != nil || len(keys) != 2 {
		t.Errorf("%d keys of 2: %v", len(keys), err)
	}
	if keys, err := readKeys(""); err != nil || len(keys) != 0 {
		t.Errorf("without files: %d keys, %v", len(keys), err)
	}
	for _, files := range []string{",", write(nil), write([]byte("# none\n")), write(both) + ","} {
		if keys, err := readKeys(files); err == nil {
			t.Errorf("%q: %d keys and no error", files, len(keys))
		}
	}
}
