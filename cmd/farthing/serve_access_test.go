package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farthing/apikey"
)

// wire is a connection of its own to a server, on which requests follow each other.
type wire struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func (s *serving) dial() *wire {
	s.t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	return newWire(s.t, c, err)
}

func newWire(t *testing.T, c net.Conn, err error) *wire {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &wire{t, c, bufio.NewReader(c)}
}

// ask sends a request line with a key and returns the answer's status and body.
func (w *wire) ask(line, key string) (int, string) {
	w.t.Helper()
	if _, err := fmt.Fprintf(w, "%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n\r\n", line, key); err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.ReadResponse(w.r, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		w.t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

// addKey runs farthing keys add and returns the secret.
func addKey(t *testing.T, file, id, scopes string, more ...string) string {
	t.Helper()
	var stdout, stderr strings.Builder
	ctx := &Context{Ctx: t.Context(), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr}
	if code := run(append([]string{"keys", "add", file, "--id=" + id, "--scopes=" + scopes}, more...), ctx); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	at := strings.Index(stderr.String(), "farthing_")
	if at < 0 || stdout.Len() > 0 {
		t.Fatalf("%q, %q", stdout.String(), stderr.String())
	}
	return strings.TrimSpace(stderr.String()[at:])
}

func revokeKey(t *testing.T, file, id string) {
	t.Helper()
	var stderr strings.Builder
	if code := run([]string{"keys", "revoke", file, "--id=" + id}, &Context{Ctx: t.Context(), Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &stderr}); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
}

// TestKeysWhileItRuns adds and revokes keys of a server that runs. Each takes effect on the
// next request, also of a connection that is open.
func TestKeysWhileItRuns(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.yaml")
	admin := addKey(t, file, "admin", "admin")
	s := serveOn(t, "--data="+t.TempDir(), "--api-keys="+file)
	c := s.dial()
	f := func(key string, want int) {
		t.Helper()
		if status, body := c.ask("GET /v1/trial-balance", key); status != want {
			t.Errorf("%d, want %d: %s", status, want, body)
		}
	}
	f(admin, 200)
	for range 5 {
		reader := addKey(t, file, "reader", "read")
		f(reader, 200)
		revokeKey(t, file, "reader")
		f(reader, 401)
		f(admin, 200)
	}
	limited := addKey(t, file, "limited", "read", "--requests-per-second=1", "--request-burst=2")
	f(limited, 200)
	f(limited, 200)
	f(limited, 429)
	if err := os.WriteFile(file, []byte("- ["), 0o600); err != nil {
		t.Fatal(err)
	}
	s.awaitLog("the file of API keys cannot be used")
	f(admin, 200)
	if _, page := c.ask("GET /metrics", admin); !strings.Contains(page, `farthing_file_broken{file="api-keys"} 1`) {
		t.Error("not in the metrics")
	}
	s.stop()
}

// pair makes a certificate for 127.0.0.1 with a serial number, signed by parent or by itself,
// and writes it and its key.
type pair struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newPair(t *testing.T, serial int64, parent *pair) *pair {
	t.Helper()
	p := &pair{key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("test ", serial)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	by := &pair{cert: template, key: p.key}
	if parent != nil {
		by = parent
	}
	der := must(x509.CreateCertificate(rand.Reader, template, by.cert, &p.key.PublicKey, by.key))(t)
	p.cert = must(x509.ParseCertificate(der))(t)
	p.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return p
}

func (p *pair) keyPEM(t *testing.T) []byte {
	t.Helper()
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: must(x509.MarshalPKCS8PrivateKey(p.key))(t)})
}

func (p *pair) certificate() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{p.cert.Raw}, PrivateKey: p.key}
}

// TestTLS changes the certificate of a server that runs, one file after the other, and has
// clients with and without certificates, old ones, silent ones and ones that do not speak TLS.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	ca, clients := newPair(t, 1, nil), newPair(t, 2, nil)
	write := func(name string, text []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path+".new", text, 0o600), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := newPair(t, 10, ca)
	cert, key := write("cert.pem", first.pem), write("key.pem", first.keyPEM(t))
	s := serveOn(t, "--data="+t.TempDir(), "--tls-cert="+cert, "--tls-key="+key, "--tls-client-ca="+write("clients.pem", clients.pem))
	address := strings.TrimPrefix(s.url, "http://")
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	config := &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{newPair(t, 20, clients).certificate()}}
	open := func(config *tls.Config) (*wire, int64) {
		t.Helper()
		c, err := tls.Dial("tcp", address, config)
		w := newWire(t, c, err)
		return w, c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	kept, serial := open(config)
	if status, _ := kept.ask("GET /readyz", ""); status != 200 || serial != 10 {
		t.Fatal(status, serial)
	}
	refused := func(config *tls.Config) {
		t.Helper()
		c, err := tls.Dial("tcp", address, config)
		if err == nil { // TLS 1.3 tells the client with its first read
			_ = c.SetDeadline(time.Now().Add(patience))
			_, err = c.Read(make([]byte, 1))
			_ = c.Close()
		}
		if err == nil {
			t.Error("let in")
		}
	}
	refused(&tls.Config{RootCAs: roots})
	refused(&tls.Config{RootCAs: roots, Certificates: []tls.Certificate{newPair(t, 21, ca).certificate()}}) // of another authority
	old := config.Clone()
	old.MaxVersion = tls.VersionTLS11 //nolint:gosec // that is the point
	refused(old)
	for range 50 { // nobody waits for these
		for _, text := range []string{"\x16\x03\x01", "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"} {
			if _, err := io.WriteString(s.dial(), text); err != nil {
				t.Fatal(err)
			}
		}
	}

	second := newPair(t, 11, ca)
	write("cert.pem", second.pem) // and not yet its key
	s.awaitLog("the certificate and its key cannot be used")
	if _, serial = open(config); serial != 10 {
		t.Errorf("serial %d while the pair does not fit", serial)
	}
	write("key.pem", second.keyPEM(t))
	s.awaitLog("the certificate was read again")
	if _, serial = open(config); serial != 11 {
		t.Errorf("serial %d after the change", serial)
	}
	if status, page := kept.ask("GET /metrics", ""); status != 200 || !strings.Contains(page, `farthing_file_broken{file="tls"} 0`) {
		t.Errorf("a connection of before: %d", status)
	}
	s.stop()
}

// TestHostilePaths asks for events whose ids are made of all that ids may have, in every
// spelling, and for what is none, over raw sockets.
func TestHostilePaths(t *testing.T) {
	s := serveOn(t, "--data="+t.TempDir())
	sendOK := func(path, body string) {
		t.Helper()
		if status, text := send(t, http.MethodPost, s.url+path, "", body); status >= 300 {
			t.Fatalf("%s: %d %s", path, status, text)
		}
	}
	sendOK("/v1/accounts", `{"id":"acme","currency":"USD","kind":"customer","billing":"postpaid"}`)
	ids := []string{"a/b", "a", "b", "..", ".", "a/../b", "a//b", "/", "//", "/a", "a/", "A/B", "http://h/x", "a:b@c", "a/b/void", "proof", "_-.:/@"}
	for _, source := range ids {
		for _, id := range ids {
			sendOK("/v1/events", fmt.Sprintf(`{"id":%q,"source":%q,"type":"m","subject":"acme"}`, id, source))
		}
	}
	escape := func(id string, all, lower bool) string {
		var out strings.Builder
		for _, c := range []byte(id) {
			if !all && c != '/' {
				out.WriteByte(c)
				continue
			}
			hex := fmt.Sprintf("%%%02X", c)
			if lower {
				hex = strings.ToLower(hex)
			}
			out.WriteString(hex)
		}
		return out.String()
	}
	c := s.dial()
	for _, source := range ids {
		for _, id := range ids {
			for spelling := range 4 {
				all, lower := spelling&1 != 0, spelling&2 != 0
				target := "/v1/events/" + escape(source, all, lower) + "/" + escape(id, all, lower)
				status, body := c.ask("GET "+target, "")
				if status != 200 || !strings.Contains(body, fmt.Sprintf(`"id":%q`, id)) || !strings.Contains(body, fmt.Sprintf(`"source":%q`, source)) {
					t.Fatalf("%s: %d %s", target, status, body)
				}
			}
		}
	}
	if status, _ := c.ask("GET http://localhost/v1/events/a/b", ""); status != 200 {
		t.Errorf("absolute form: %d", status)
	}
	for _, target := range []string{"/v1/events/a%252Fb/a", "/v1/events/a%2/b", "/v1/events/a%00/b", "/v1/events/%c0%ae%c0%ae/a", "/v1/events/a+b/a",
		"/v1/events/a/b/", "/v1/events//a/b", "//v1/events/a/b", "/v1/./events/a/b", "/v1/x/../events/a/b", "/v1/events/a/b#c", "/v1/events/a/b%23",
		"/v1/events/a\xc3\xa9/b", "/v1/events/a/b;c", "/v1/events/a\\b/a", "http://evil.example/v1/events/a/b", "ftp://localhost/v1/events/a/b",
		"v1/events/a/b", "/v1/events/a/b?c", "/V1/events/a/b", "/v1/events/a%0d%0a/b"} {
		w := s.dial() // some close the connection
		if status, body := w.ask("GET "+target, ""); status < 400 || status >= 500 {
			t.Errorf("%q: %d %s", target, status, body)
		}
	}
	s.stop()
}

// TestBrokenKeyFileAtTheStart: what goes on with the keys of before needs keys of before.
func TestBrokenKeyFileAtTheStart(t *testing.T) {
	file := writeFile(t, "- {id: a}\n")
	var stderr strings.Builder
	code := run([]string{"serve", "--data=" + t.TempDir(), "--api-keys=" + file}, &Context{Ctx: t.Context(), Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: &stderr})
	if code == exitOK || !strings.Contains(stderr.String(), "--api-keys") || !strings.Contains(stderr.String(), apikey.ErrEntry.Error()) {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}
