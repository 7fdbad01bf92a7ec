package batch

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
)

// KeyID names a public key that signs manifests: "ed25519-" and the beginning of its SHA-256.
func KeyID(public ed25519.PublicKey) string {
	hash := sha256.Sum256(public)
	return "ed25519-" + hex.EncodeToString(hash[:8])
}
