package webhook

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"farthing/refusal"
)

// Bounds of a secret, in bytes: those of the specification.
const (
	secretPrefix   = "whsec_"
	secretBytesMin = 24
	secretBytesMax = 64
	secretBytesNew = 32 // as long as the hash; more would add nothing
)

// Secret is the key that an endpoint's deliveries are signed with. It prints as a placeholder, so that no log or error
// can have it; Reveal gives the text.
type Secret []byte

// newSecret draws a secret.
func newSecret() Secret {
	s := make(Secret, secretBytesNew)
	_, _ = rand.Read(s) // it never fails: the process ends instead
	return s
}

// ParseSecret reads the text form, "whsec_" and base64. The refusal does not repeat the text.
func ParseSecret(text string) (Secret, *refusal.Refusal) {
	coded, ok := strings.CutPrefix(text, secretPrefix)
	s, err := base64.StdEncoding.Strict().DecodeString(coded)
	if !ok || err != nil || strings.ContainsAny(coded, "\r\n") || len(s) < secretBytesMin || len(s) > secretBytesMax {
		return nil, refusal.New(refusal.Invalid, "invalid_secret", "secret must be %s followed by %d to %d bytes in base64", secretPrefix, secretBytesMin, secretBytesMax)
	}
	return s, nil
}

// Reveal is the text form.
func (s Secret) Reveal() string { return secretPrefix + base64.StdEncoding.EncodeToString(s) }

// String hides the secret from fmt.
func (Secret) String() string { return secretPrefix + "(hidden)" }

// GoString hides the secret from %#v.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret from encoders.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the secret from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

func (s Secret) equal(other Secret) bool { return hmac.Equal(s, other) }

// sign returns the header webhook-signature for a delivery.
func (s Secret) sign(id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, s)
	mac.Write([]byte(id))
	mac.Write([]byte{'.'})
	mac.Write(strconv.AppendInt(nil, at.Unix(), 10))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
