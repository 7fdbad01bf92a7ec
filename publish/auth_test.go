package publish

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"farthing/publish/kafkatest"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
)

// TestSecureBroker has a broker that wants TLS, a certificate and SASL of everybody.
func TestSecureBroker(t *testing.T) {
	s := newSecureBroker(t)
	for _, m := range []Mechanism{Plain, ScramSHA256, ScramSHA512} {
		t.Run(string(m), func(t *testing.T) { s.publish(t, m) })
	}
	refused := func(name, want string, change func(*Options)) {
		t.Run(name, func(t *testing.T) { s.refused(t, want, change) })
	}
	refused("wrong password", "SASL Authentication failed", func(o *Options) { o.SASL.Password = "wrong" })
	refused("wrong SCRAM password", "SASL Authentication failed", func(o *Options) { o.SASL = SASL{ScramSHA512, "ledger", "wrong"} })
	refused("unknown user", "SASL Authentication failed", func(o *Options) { o.SASL.User = "nobody" })
	refused("wrong CA", "certificate signed by unknown authority", func(o *Options) { o.TLS = s.client(newAuthority(t, "another")) })
	refused("wrong name", "wanted to match kafka.example", func(o *Options) { o.TLS.ServerName = "kafka.example" })
	refused("no certificate", "bad certificate", func(o *Options) { o.TLS.Certificates = nil })
	t.Run("password changed", s.changePassword)
	t.Run("no TLS", func(t *testing.T) { // the broker hangs up, and nothing tells why
		o := s.fresh(t).options(t)
		o.TLS = nil
		s.hungUp(t, o)
	})
	t.Run("TLS to plain text", func(t *testing.T) {
		o := realCluster(t).options(t)
		o.TLS = s.client(s.ca)
		s.hungUp(t, o)
	})
}

// secureBroker is a broker that speaks SASL_SSL only. All mechanisms know the user ledger, with the password secret.
type secureBroker struct {
	cluster
	ca *authority
}

func newSecureBroker(t *testing.T) *secureBroker {
	t.Helper()
	dir, ca := t.TempDir(), newAuthority(t, "test")
	keys := filepath.Join(dir, "broker.pem")
	write(t, keys, ca.issue(t, "broker"))
	trust := filepath.Join(dir, "ca.pem")
	write(t, trust, ca.pem)
	const login = "org.apache.kafka.common.security"
	own := kafkatest.StartOwn(t,
		"listener.security.protocol.map=BROKER:SASL_SSL,CONTROLLER:PLAINTEXT",
		"sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512", "sasl.mechanism.inter.broker.protocol=PLAIN",
		"listener.name.broker.plain.sasl.jaas.config="+login+`.plain.PlainLoginModule required username="broker" password="inside" user_broker="inside" user_ledger="secret";`,
		"listener.name.broker.scram-sha-256.sasl.jaas.config="+login+".scram.ScramLoginModule required;",
		"listener.name.broker.scram-sha-512.sasl.jaas.config="+login+".scram.ScramLoginModule required;",
		"ssl.keystore.type=PEM", "ssl.keystore.location="+keys, "ssl.truststore.type=PEM", "ssl.truststore.location="+trust,
		"listener.name.broker.ssl.client.auth=required") // without the prefix a listener with SASL ignores it
	s := &secureBroker{cluster{addr: own.Addr}, ca}
	s.opts = []kgo.Opt{kgo.DialTLSConfig(s.client(ca)), kgo.SASL(plain.Auth{User: "ledger", Pass: "secret"}.AsMechanism())}
	s.setPassword(t, "secret")
	return s
}

// setPassword changes the password of the SCRAM user.
func (s *secureBroker) setPassword(t *testing.T, password string) {
	t.Helper()
	for _, m := range []kadm.ScramMechanism{kadm.ScramSha256, kadm.ScramSha512} { // not in one request: a user counts as one resource
		res, err := kadm.NewClient(s.admin(t)).AlterUserSCRAMs(t.Context(), nil, []kadm.UpsertSCRAM{
			{User: "ledger", Mechanism: m, Iterations: 4096, Password: password}})
		if err != nil || res.Error() != nil {
			t.Fatal(err, res.Error())
		}
	}
}

// client is the configuration of a client with a certificate of the broker's authority that trusts another, or the same.
func (s *secureBroker) client(trusted *authority) *tls.Config {
	pair := s.ca.pair
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted.pem)
	return &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
}

func (s *secureBroker) options(t *testing.T) Options {
	o := s.cluster.options(t)
	o.TLS, o.SASL = s.client(s.ca), SASL{Plain, "ledger", "secret"}
	return o
}

func (s *secureBroker) fresh(t *testing.T) *secureBroker {
	c := *s
	c.topic = topicName(t)
	c.createTopic(t)
	return &c
}

func (s *secureBroker) publish(t *testing.T, m Mechanism) {
	s = s.fresh(t)
	o := s.options(t)
	o.SASL.Mechanism = m
	all := settlement("a", 1, 30)
	box := newBox(all...)
	r := start(t, o, box)
	box.awaitConfirmed(t, 30)
	r.stop(t)
	checkApplied(t, s.cluster, o, box, all)
}

// refused wants the state and the words, in Stats and in the log, without the password, and nothing in the topic.
func (s *secureBroker) refused(t *testing.T, want string, change func(*Options)) {
	s = s.fresh(t)
	o := s.options(t)
	change(&o)
	var log lockedBuffer
	o.Logger = slog.New(slog.NewTextHandler(&log, nil))
	r := start(t, o, newBox(settlement("a", 1, 3)...))
	st := r.awaitState(t, StateRefused)
	r.stop(t)
	text := log.String()
	if !strings.Contains(st.LastError, want) || !strings.Contains(text, "level=ERROR") || !strings.Contains(text, want) {
		t.Fatalf("last error %q, log:\n%s\nwant %q", st.LastError, text, want)
	}
	if strings.Contains(text+st.LastError, o.SASL.Password) && o.SASL.Password != "" && o.SASL.Password != "wrong" {
		t.Fatal("the log has the password")
	}
	if end := s.end(t); end != 0 {
		t.Fatalf("the topic ends at %d", end)
	}
}

// hungUp wants the only hint there can be.
func (s *secureBroker) hungUp(t *testing.T, o Options) {
	r := start(t, o, newBox(settlement("a", 1, 1)...))
	if st := r.awaitState(t, StateFailing); !strings.Contains(st.LastError, "one side speaks TLS") {
		t.Fatal(st.LastError)
	}
}

// changePassword corrects what is wrong at the broker while the relay waits: it goes on by itself.
func (s *secureBroker) changePassword(t *testing.T) {
	s = s.fresh(t)
	o := s.options(t)
	o.SASL = SASL{ScramSHA512, "ledger", "later"}
	all := settlement("a", 1, 3)
	box := newBox(all...)
	r := start(t, o, box)
	r.awaitState(t, StateRefused)
	s.setPassword(t, "later")
	box.awaitConfirmed(t, 3)
	r.stop(t)
	checkApplied(t, s.cluster, o, box, all)
}

// TestRefused tells a broker that somebody has to change something for from one that is away.
func TestRefused(t *testing.T) {
	f := func(err error, want bool) {
		t.Helper()
		if got := isRefused(fmt.Errorf("wrapped: %w", err)); got != want {
			t.Fatalf("%v: refused %v", err, got)
		}
	}
	f(kafka.UnsupportedSASLMechanism, true)
	f(kafka.TopicAuthorizationFailed, true)
	f(kafka.NotLeaderForPartition, false)
	f(&net.OpError{Op: "dial", Err: errors.New("connection refused")}, false)
	f(errors.New("anything"), false)
}

// TestSASLOptions has options that cannot work.
func TestSASLOptions(t *testing.T) {
	for _, s := range []SASL{{Mechanism: "GSSAPI", User: "u", Password: "p"}, {User: "u", Password: "p"}, {Mechanism: Plain, User: "u"},
		{Mechanism: Plain, Password: "p"}, {Mechanism: ScramSHA256, User: "u", Password: "control\x01"}} {
		if _, err := New(Options{Brokers: []string{"127.0.0.1:1"}, Ledger: "l", SASL: s}, newBox()); !errors.Is(err, ErrOptions) {
			t.Fatalf("%v: %v", s, err)
		}
		if text := fmt.Sprintf("%v %+v", s, Options{SASL: s}); s.Password != "" && strings.Contains(text, s.Password+"}") {
			t.Fatalf("%s shows the password", text)
		}
	}
}

// awaitState polls: a state is not announced.
func (r *run) awaitState(t *testing.T, want State) Stats {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(patience)
	for {
		st := r.relay.Stats()
		if st.State == want {
			return st
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never %s: %+v", want, st)
		}
	}
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// authority issues certificates for loopback.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
	pair tls.Certificate // of a client
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := certificate(name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	both := a.issue(t, "client")
	if a.pair, err = tls.X509KeyPair(both, both); err != nil {
		t.Fatal(err)
	}
	return a
}

// issue returns key and certificate in one PEM file.
func (a *authority) issue(t *testing.T, name string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, certificate(name), a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
}

func certificate(name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
}

func write(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(fmt.Errorf("write: %w", err))
	}
}
