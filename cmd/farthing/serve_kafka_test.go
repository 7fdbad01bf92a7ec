package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farthing/publish"
)

// TestKafkaFlags reads the files that flags of the brokers name, good and bad.
func TestKafkaFlags(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		return path
	}
	cert, key := certificateFiles(t)
	ca, private, open := file("ca.pem", cert, 0o644), file("key.pem", key, 0o600), file("open.pem", key, 0o640)
	password := file("password", "correct horse\n", 0o600)
	f := func(flags kafkaFlags, want string) kafkaFlags {
		t.Helper()
		err := flags.load()
		if err != nil {
			got := err.Error()
			if want == "" || !strings.Contains(got, want) || strings.Contains(got, "horse") {
				t.Fatalf("%+v: %q, want %q", flags, got, want)
			}
		} else if want != "" {
			t.Fatalf("%+v: no error, want %q", flags, want)
		}
		return flags
	}
	if got := f(kafkaFlags{}, ""); got.tls != nil || got.sasl != (publish.SASL{}) {
		t.Fatalf("%+v", got)
	}
	if got := f(kafkaFlags{KafkaTLS: true}, ""); got.tls == nil || got.tls.RootCAs != nil || got.tls.InsecureSkipVerify {
		t.Fatalf("%+v", got.tls)
	}
	if got := f(kafkaFlags{KafkaCA: ca, KafkaCert: ca, KafkaCertKey: private}, ""); got.tls.RootCAs == nil || len(got.tls.Certificates) != 1 {
		t.Fatalf("%+v", got.tls)
	}
	got := f(kafkaFlags{KafkaSASL: "SCRAM-SHA-256", KafkaUser: "u", KafkaPasswordFile: password}, "")
	if got.sasl != (publish.SASL{Mechanism: publish.ScramSHA256, User: "u", Password: "correct horse"}) {
		t.Fatalf("%+v", got)
	}
	plain := kafkaFlags{KafkaSASL: "PLAIN", KafkaUser: "u", KafkaPasswordFile: password}
	safe := plain
	safe.KafkaTLS = true
	plain, safe = f(plain, ""), f(safe, "")
	if got.sendsPassword() || safe.sendsPassword() || !plain.sendsPassword() {
		t.Fatal("whether the password can be read on the way")
	}
	f(kafkaFlags{KafkaCA: filepath.Join(dir, "none")}, "--kafka-ca: open")
	f(kafkaFlags{KafkaCA: password}, "no certificate")
	f(kafkaFlags{KafkaCert: ca}, "--kafka-cert and --kafka-cert-key")
	f(kafkaFlags{KafkaCert: ca, KafkaCertKey: open}, "0640")
	f(kafkaFlags{KafkaCert: ca, KafkaCertKey: ca}, "--kafka-cert-key: ")
	f(kafkaFlags{KafkaUser: "u"}, "want each other")
	f(kafkaFlags{KafkaSASL: "PLAIN", KafkaUser: "u", KafkaPasswordFile: file("empty", "\n", 0o600)}, "is empty")
	for _, mode := range []os.FileMode{0o644, 0o604, 0o640, 0o660} {
		f(kafkaFlags{KafkaSASL: "PLAIN", KafkaUser: "u", KafkaPasswordFile: file("password", "correct horse\n", mode)}, "others than its owner")
	}
}

// TestServeRefusesOpenPassword starts the program with a password file that others can read: it does not open the ledger.
func TestServeRefusesOpenPassword(t *testing.T) {
	dir := t.TempDir()
	password := filepath.Join(dir, "password")
	if err := os.WriteFile(password, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	c := &serveCmd{Data: data, Kafka: []string{"127.0.0.1:1"}, kafkaFlags: kafkaFlags{KafkaSASL: "PLAIN", KafkaUser: "u", KafkaPasswordFile: password}}
	err := c.Run(&Context{Ctx: t.Context()})
	if err == nil || !strings.Contains(err.Error(), "--kafka-password-file") || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatal(err)
	}
	if _, err := os.Stat(data); !os.IsNotExist(err) {
		t.Fatal("the data directory was made", err)
	}
}

// certificateFiles returns a certificate and its key.
func certificateFiles(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
