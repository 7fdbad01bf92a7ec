package main

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// keyring is the ledger's public keys by key id. A ledger has had several once its key was changed.
type keyring map[string]ed25519.PublicKey

// readKeys reads PEM files, separated by commas, each with any number of keys. Files without a key are an error: nothing would be checked.
func readKeys(files string) (keyring, error) {
	keys := keyring{}
	if files == "" {
		return keys, nil
	}
	for _, file := range strings.Split(files, ",") {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		block, rest := pem.Decode(text)
		if block == nil {
			return nil, fmt.Errorf("%s: no PEM in it", file)
		}
		for ; block != nil; block, rest = pem.Decode(rest) {
			key, err := x509.ParsePKIXPublicKey(block.Bytes)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			public, ok := key.(ed25519.PublicKey)
			if !ok {
				return nil, fmt.Errorf("%s: not an Ed25519 key", file)
			}
			sum := sha256.Sum256(public)
			keys[fmt.Sprintf("ed25519-%x", sum[:8])] = public
		}
	}
	return keys, nil
}

// check verifies a manifest's signature, which is over the record's value, and returns the id of its key. Without keys nothing is checked and the id is nil.
func (k keyring) check(r *kgo.Record) (*string, error) {
	if len(k) == 0 {
		return nil, nil
	}
	id, _ := header(r, "key_id")
	text, _ := header(r, "signature")
	signature, err := base64.StdEncoding.DecodeString(text)
	switch key := k[id]; {
	case key == nil:
		return nil, fmt.Errorf("signed by the key %q, which is not among ours", id)
	case err != nil || !ed25519.Verify(key, r.Value, signature):
		return nil, fmt.Errorf("the signature by the key %s is not good", id)
	}
	return &id, nil
}
