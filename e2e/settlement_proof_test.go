package e2e

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"farthing/batch"
	"farthing/bench/client"

	"github.com/shopspring/decimal"
	"github.com/twmb/franz-go/pkg/kgo"
)

// signing is the keys of the run: the second takes over when the server is killed the second
// time. The server gets the private one alone, who checks the public ones alone.
type signing struct {
	private string   // the server's file
	public  []string // files, in the order of the keys
	keys    []ed25519.PublicKey
	next    ed25519.PrivateKey
}

func newSigning(t *testing.T, dir string) *signing {
	t.Helper()
	_, next, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := &signing{private: filepath.Join(dir, "key.pem"), next: next}
	s.rotate(t)
	return s
}

// nextID is what the server has to be told to sign with the next key.
func (s *signing) nextID() string { return batch.KeyID(s.next.Public().(ed25519.PublicKey)) }

// rotate puts a new key in the server's file.
func (s *signing) rotate(t *testing.T) {
	t.Helper()
	private := s.next
	public := private.Public().(ed25519.PublicKey)
	_, next, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s.next = next
	secret, err1 := x509.MarshalPKCS8PrivateKey(private)
	shown, err2 := x509.MarshalPKIXPublicKey(public)
	file := fmt.Sprintf("%s.public-%d", s.private, len(s.keys)+1)
	err3 := os.WriteFile(s.private, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
	err4 := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: shown}), 0o600)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	s.public, s.keys = append(s.public, file), append(s.keys, public)
}

// signatureFaults checks the signature beside every manifest on Kafka, and that each key signed
// some. The newer key signs all that comes after its first.
func (s *signing) signatureFaults(got *settlements) (faults []error) {
	signed := make([]int, len(s.keys))
	for _, records := range got.applied {
		newest := 0
		for _, r := range records {
			if headerOf(r, "ce_type") != batchType {
				continue
			}
			by, signature := -1, headerOf(r, "signature")
			for i, key := range s.keys {
				raw, err := base64.StdEncoding.DecodeString(signature)
				if err == nil && ed25519.Verify(key, r.Value, raw) {
					by = i
				}
			}
			if by < newest {
				faults = append(faults, fmt.Errorf("%s is signed by key %d of %d, after key %d (%q)", r.Key, by+1, len(s.keys), newest+1, signature))
				continue
			}
			newest = by
			signed[by]++
		}
	}
	for i, n := range signed {
		if n == 0 {
			faults = append(faults, fmt.Errorf("key %d has signed nothing", i+1))
		}
	}
	return faults
}

func headerOf(r *kgo.Record, key string) string {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

// evidence is what a participant was given of one event: three files.
type evidence struct {
	dir                    string
	proof, manifest, chain string
}

// evidence takes that of one event of a window that both keys have a part in: the newer signed
// it, the older signed the windows before it.
func (s *settlement) evidence(ctx context.Context, dir string) *evidence {
	s.t.Helper()
	for _, b := range s.oracle.batches {
		for _, l := range b.lines {
			for _, paid := range l.flows.bills {
				if b.window >= settlementWindows-2 && paid.amount().LessThan(decimal.NewFromInt(1)) {
					return takeEvidence(ctx, s.t, s.client, dir, l, paid, s.oracle.batches)
				}
			}
		}
	}
	s.t.Fatal("no event to prove")
	return nil
}

// takeEvidence asks for the evidence of an event and writes it down.
func takeEvidence(ctx context.Context, t *testing.T, c *client.Client, dir string, l *settledLine, b *bill, all []*settledBatch) *evidence {
	t.Helper()
	e := &evidence{dir: dir, proof: filepath.Join(dir, "proof.json"), manifest: filepath.Join(dir, "manifest.json"), chain: filepath.Join(dir, "chain.ndjson")}
	_, proof, err := c.Do(ctx, http.MethodGet, "/v1/events/"+url.PathEscape(b.event.Source)+"/"+url.PathEscape(b.event.ID)+"/proof", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var shown struct {
		BatchID string `json:"batch_id"`
		Size    uint64 `json:"size"`
		Event   struct {
			ID      string       `json:"id"`
			Subject string       `json:"subject"`
			Amount  client.Money `json:"amount"`
		} `json:"event"`
	}
	if err := json.Unmarshal(proof, &shown); err != nil || shown.BatchID != l.batch.id || shown.Size != l.batch.events ||
		shown.Event.ID != b.event.ID || shown.Event.Subject != b.payer || !shown.Event.Amount.Equal(b.amount()) {
		t.Errorf("the proof is %s, want %s of %s over %s among %d events of batch %s", proof, b.event.ID, b.payer, b.amount(), l.batch.events, l.batch.id)
	}
	var manifest, chain []byte
	for _, other := range all {
		if other.currency != l.batch.currency {
			continue
		}
		raw, err := c.RawSettlement(ctx, other.id)
		if err != nil {
			t.Fatal(err)
		}
		if other == l.batch {
			manifest = raw
		}
		chain = append(append(chain, bytes.TrimSpace(raw)...), '\n')
	}
	err1, err2, err3 := os.WriteFile(e.proof, proof, 0o600), os.WriteFile(e.manifest, manifest, 0o600), os.WriteFile(e.chain, chain, 0o600)
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	return e
}

// check runs `farthing proof check` without any server.
func (e *evidence) check(ctx context.Context, t *testing.T, binary string, keys ...string) (out string, code int) {
	t.Helper()
	args := []string{"proof", "check", "--proof", e.proof, "--manifest", e.manifest, "--chain", e.chain}
	for _, key := range keys {
		args = append(args, "--key", key)
	}
	return runBinary(ctx, t, binary, args...)
}

// runBinary runs the binary and returns what it printed and its exit code.
func runBinary(ctx context.Context, t *testing.T, binary string, args ...string) (string, int) {
	t.Helper()
	out, err := exec.CommandContext(ctx, binary, args...).CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode()
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(out), 0
}

// checkProof lets a participant check its event, and see that changed files do not pass.
func checkProof(ctx context.Context, t *testing.T, binary string, e *evidence, s *signing) string {
	t.Helper()
	said, code := e.check(ctx, t, binary, s.public...)
	if code != 0 {
		t.Errorf("proof check: exit %d: %s", code, said)
	}
	if out, code := e.check(ctx, t, binary, s.public[len(s.public)-1]); code != 1 {
		t.Errorf("proof check with one key of %d: exit %d: %s", len(s.public), code, out)
	}
	spoil := func(file, what, from, to string) {
		t.Helper()
		right, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		wrong := bytes.Replace(right, []byte(from), []byte(to), 1)
		if bytes.Equal(wrong, right) {
			t.Fatalf("%s: there is no %s in %s", what, from, right)
		}
		if err := os.WriteFile(file, wrong, 0o600); err != nil {
			t.Fatal(err)
		}
		if out, code := e.check(ctx, t, binary, s.public...); code != 1 && code != 2 {
			t.Errorf("proof check with %s: exit %d: %s", what, code, out)
		}
		if err := os.WriteFile(file, right, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	spoil(e.proof, "another amount", `"amount":"0.`, `"amount":"1.`)
	spoil(e.manifest, "other sums", `"paid":"`, `"paid":"1`)
	spoil(e.chain, "other events", `"events":`, `"events":1`)
	return said
}
