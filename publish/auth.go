package publish

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// SASL says who we are to the brokers. The zero value: nobody in particular.
type SASL struct {
	Mechanism Mechanism
	User      string
	Password  string
}

// Mechanism is a way of SASL to show a password.
type Mechanism string

// The mechanisms. Plain sends the password as it is, so it wants TLS.
const (
	Plain       Mechanism = "PLAIN"
	ScramSHA256 Mechanism = "SCRAM-SHA-256"
	ScramSHA512 Mechanism = "SCRAM-SHA-512"
)

// String leaves the password out.
func (s SASL) String() string { return fmt.Sprintf("%s as %q", s.Mechanism, s.User) }

// LogValue implements slog.LogValuer.
func (s SASL) LogValue() slog.Value { return slog.StringValue(s.String()) }

// mechanism returns nil for the zero value. A password that the mechanism cannot carry is an error.
func (s SASL) mechanism() (m sasl.Mechanism, err error) {
	switch s.Mechanism {
	case "":
		return nil, nil
	case Plain:
		return plain.Mechanism{Username: s.User, Password: s.Password}, nil
	case ScramSHA256:
		m, err = scram.Mechanism(scram.SHA256, s.User, s.Password)
	case ScramSHA512:
		m, err = scram.Mechanism(scram.SHA512, s.User, s.Password)
	default:
		return nil, fmt.Errorf("SASL mechanism %q is none of %s, %s, %s", s.Mechanism, Plain, ScramSHA256, ScramSHA512)
	}
	if err != nil {
		return nil, fmt.Errorf("user or password has characters that SCRAM forbids: %w", err)
	}
	return m, nil
}

func (s SASL) validate() error {
	if s == (SASL{}) {
		return nil
	}
	if s.Mechanism == "" || s.User == "" || s.Password == "" {
		return errors.New("SASL wants a mechanism, a user and a password")
	}
	_, err := s.mechanism()
	return err
}

// isRefused tells a broker that we may not use, or must not trust, from one that is away: somebody has to change credentials,
// certificates or rights.
func isRefused(err error) bool {
	var code kafka.Error
	if errors.As(err, &code) {
		switch code {
		case kafka.SASLAuthenticationFailed, kafka.UnsupportedSASLMechanism, kafka.IllegalSASLState, kafka.TopicAuthorizationFailed,
			kafka.ClusterAuthorizationFailed, kafka.TransactionalIDAuthorizationFailed, kafka.GroupAuthorizationFailed:
			return true
		}
	}
	var (
		verify    *tls.CertificateVerificationError
		remote    *net.OpError
		plaintext tls.RecordHeaderError
		authority x509.UnknownAuthorityError
	)
	if errors.As(err, &remote) && remote.Op == "remote error" { // so crypto/tls names an alert that the broker sent
		return true
	}
	return errors.As(err, &verify) || errors.As(err, &plaintext) || errors.As(err, &authority)
}
