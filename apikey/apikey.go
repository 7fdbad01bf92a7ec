package apikey

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
)

// SecretBytes is the number of random bytes in a secret.
const SecretBytes = 32

// secretPrefix makes a leaked key recognisable to people and secret scanners.
const secretPrefix = "farthing_"

// hashPrefix names the hash of an entry, so that another can come beside it.
const hashPrefix = "sha256:"

// idBytesMax bounds an id, as it does everywhere in the contract.
const idBytesMax = 128

// KeyID names a key in logs and in the key file: 1 to 128 bytes of A-Z a-z 0-9
// . _ : - / @. It is not secret.
type KeyID string

// Scopes is a set of permissions, one bit each.
type Scopes uint8

const (
	// Ingest allows posting usage events, holds and captures.
	Ingest Scopes = 1 << iota
	// Read allows reading everything.
	Read
	// Admin allows everything else: accounts, prices, credit, settlement.
	Admin
)

// scopeNames are in the order of their bits.
var scopeNames = [...]string{"ingest", "read", "admin"}

// Has says whether s contains every scope of want.
func (s Scopes) Has(want Scopes) bool { return s&want == want }

// String lists the scopes as the key file has them: "ingest, read".
func (s Scopes) String() string {
	var names []string
	for bit, name := range scopeNames {
		if s.Has(1 << bit) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}

// ScopeNames lists all scopes, for messages.
func ScopeNames() string { return strings.Join(scopeNames[:], ", ") }

// ParseScopes turns names into Scopes; unknown holds the names that are none.
func ParseScopes(names []string) (scopes Scopes, unknown []string) {
next:
	for _, name := range names {
		for bit, known := range scopeNames {
			if name == known {
				scopes |= 1 << bit
				continue next
			}
		}
		unknown = append(unknown, fmt.Sprintf("%q", name))
	}
	return scopes, unknown
}

// Key is a new key. Only its maker ever holds one.
type Key struct {
	// Secret is what the client sends. It cannot be derived from Entry.
	Secret string
	// Entry is the YAML list item for the key file, with its newline.
	Entry string
}

// New makes a key of random, which must come from a cryptographic source. It
// fails with ErrEntry when id is no id, scopes is empty or a limit is no limit.
func New(id KeyID, scopes Scopes, limits Limits, random [SecretBytes]byte) (Key, error) {
	if err := checkID(string(id)); err != nil {
		return Key{}, err
	}
	if scopes == 0 {
		return Key{}, fmt.Errorf("%w: no scope; known are %s", ErrEntry, ScopeNames())
	}
	secret := secretPrefix + base64.RawURLEncoding.EncodeToString(random[:])
	hash := sha256.Sum256([]byte(secret))
	entry := fmt.Sprintf("- id: %q\n  hash: %q\n  scopes: [%s]\n", id, hashPrefix+hex.EncodeToString(hash[:]), scopes)
	for _, field := range limitFields {
		n := *field.of(&limits)
		if n < 0 || n > limitMax {
			return Key{}, fmt.Errorf("%w: %s %d: want 1 to %d", ErrEntry, field.name, n, int64(limitMax))
		}
		if n != 0 {
			entry += fmt.Sprintf("  %s: %d\n", field.name, n)
		}
	}
	return Key{Secret: secret, Entry: entry}, nil
}

// limitFields are the fields of an entry that are limits.
var limitFields = [...]struct {
	name string
	of   func(*Limits) *int64
}{
	{"requests_per_second", func(l *Limits) *int64 { return &l.RequestsPerSecond }},
	{"request_burst", func(l *Limits) *int64 { return &l.RequestBurst }},
	{"bytes_per_second", func(l *Limits) *int64 { return &l.BytesPerSecond }},
	{"byte_burst", func(l *Limits) *int64 { return &l.ByteBurst }},
}

func checkID(id string) error {
	if id == "" || len(id) > idBytesMax {
		return fmt.Errorf("%w: id %q: want 1 to %d bytes", ErrEntry, id, idBytesMax)
	}
	for i := range len(id) {
		if !idByte(id[i]) {
			return fmt.Errorf("%w: id %q: byte %d is none of A-Z a-z 0-9 . _ : - / @", ErrEntry, id, i+1)
		}
	}
	return nil
}

func idByte(b byte) bool {
	switch {
	case 'A' <= b && b <= 'Z', 'a' <= b && b <= 'z', '0' <= b && b <= '9':
		return true
	}
	return strings.IndexByte("._:-/@", b) >= 0
}

// entry is one key of a Set.
type entry struct {
	hash    [sha256.Size]byte
	id      KeyID
	scopes  Scopes
	limits  Limits
	limiter *Limiter // nil: no limits
}

// Set is a loaded key file. It never changes, so it may be shared freely; its limiters
// count.
type Set struct{ entries []entry }

// Found is the key that a token is.
type Found struct {
	ID      KeyID
	Scopes  Scopes
	Limiter *Limiter // nil: no limits
}

// Len is the number of keys.
func (s *Set) Len() int { return len(s.entries) }

// Find returns the key whose secret is token, and false when there is none. It allocates
// nothing, keeps nothing of token, and takes the same time for every token of one length,
// right or wrong.
func (s *Set) Find(token []byte) (Found, bool) {
	hash := sha256.Sum256(token)
	found := -1
	for i := range s.entries {
		// Hashes are unique in a Set, so at most one index is selected.
		equal := subtle.ConstantTimeCompare(s.entries[i].hash[:], hash[:])
		found = subtle.ConstantTimeSelect(equal, i, found)
	}
	if found < 0 {
		return Found{}, false
	}
	e := &s.entries[found]
	return Found{ID: e.id, Scopes: e.scopes, Limiter: e.limiter}, true
}

// equal reports whether two sets let in the same tokens for the same.
func (s *Set) equal(other *Set) bool {
	return slices.EqualFunc(s.entries, other.entries, func(a, b entry) bool {
		return a.hash == b.hash && a.id == b.id && a.scopes == b.scopes && a.limits == b.limits
	})
}

// keepLimiters takes over what was counted of the keys that stay: a change of the file gives
// nobody a new burst.
func (s *Set) keepLimiters(old *Set) {
	counted := make(map[KeyID]*Limiter, len(old.entries))
	for i := range old.entries {
		counted[old.entries[i].id] = old.entries[i].limiter
	}
	for i := range s.entries {
		e := &s.entries[i]
		if l := counted[e.id]; l != nil && e.limiter != nil && l.limits == e.limits {
			e.limiter = l
		}
	}
}
