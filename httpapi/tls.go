package httpapi

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"runtime"
	"sync/atomic"
	"time"
)

// handshakeTimeout is how long a TLS handshake may take, the waits for the client in it
// included.
const handshakeTimeout = 5 * time.Second

// TLS is what the server shows of itself over TLS, and whom it lets in. It may be
// replaced while connections are open, which keep what they began with.
type TLS struct {
	current atomic.Pointer[tls.Config]
	// signing has a place for each signature that is being made: nearly all that a
	// handshake costs. A storm of them waits in line and leaves half of the processors
	// to requests.
	signing chan struct{}
}

// NewTLS returns the server's side of TLS. With clientCAs a client must show a
// certificate of one of them.
func NewTLS(certificate tls.Certificate, clientCAs *x509.CertPool) *TLS {
	t := &TLS{signing: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2))}
	t.Replace(certificate, clientCAs)
	return t
}

// Replace takes effect for the next connection. Sessions of before are not resumed: the
// keys of their tickets go with the configuration.
func (t *TLS) Replace(certificate tls.Certificate, clientCAs *x509.CertPool) {
	if signer, ok := certificate.PrivateKey.(crypto.Signer); ok {
		certificate.PrivateKey = &pacedSigner{Signer: signer, places: t.signing}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}, NextProtos: []string{"http/1.1"}}
	if clientCAs != nil {
		config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, clientCAs
	}
	t.current.Store(config)
}

func (t *TLS) server(raw net.Conn) *tls.Conn { return tls.Server(raw, t.current.Load()) }

// handshake makes the connection ready for requests; one that is, stays as it is.
func (t *TLS) handshake(c *clientConn) error {
	if c.tls.ConnectionState().HandshakeComplete {
		return nil
	}
	by := time.Now().Add(handshakeTimeout)
	c.hurry(by)
	if err := c.raw.SetWriteDeadline(by); err != nil {
		return err
	}
	err := c.tls.HandshakeContext(context.Background()) // the deadlines bound it
	c.hurry(c.idleUntil)
	return err
}

// pacedSigner bounds the signatures that are made at once.
type pacedSigner struct {
	crypto.Signer
	places chan struct{}
}

// Sign implements crypto.Signer.
func (s *pacedSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.places <- struct{}{}
	defer func() { <-s.places }()
	return s.Signer.Sign(random, digest, opts)
}
