package engine

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"farthing/batch"
)

// testKey is a key that depends on a number alone.
func testKey(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func publicOf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// settled1 books one event, closes the window and returns its only batch.
func (r *rig) settled1(id string) Batch {
	r.t.Helper()
	r.post(llm("s"+id, "acme", "m1", 10, 20))
	b, refused := r.e.Settlement(r.settle(id).Batches[0].BatchID)
	if refused != nil {
		r.t.Fatal(refused)
	}
	return b
}

// openWith opens the ledger again with another key.
func (r *rig) openWith(k ed25519.PrivateKey) {
	r.t.Helper()
	r.close()
	r.o.SigningKey, r.o.NewSigningKey = k, ""
	if k != nil {
		r.o.NewSigningKey = batch.KeyID(publicOf(k))
	}
	r.open()
}

func (r *rig) verify() error {
	r.close()
	defer r.open()
	_, err := Verify(VerifyOptions{Journal: r.o.Journal})
	return err
}

// keyText is what Keys says, short.
func (r *rig) keyText() string {
	var out []string
	keys, _ := r.e.Keys()
	for _, k := range keys {
		out = append(out, fmt.Sprintf("%s %v", k.ID, k.Current))
	}
	return strings.Join(out, ", ")
}

// TestKeysAcrossRestarts signs with one key, with another, with none and with the first again:
// every manifest has the signature of the key of its time, and each key stands once.
func TestKeysAcrossRestarts(t *testing.T) {
	one, two := testKey(1), testKey(2)
	a, b := batch.KeyID(publicOf(one)), batch.KeyID(publicOf(two))
	r := standard(t, func(o *Options) { o.SigningKey, o.CheckpointBytes = one, 1500 })
	check := func(id string, k ed25519.PrivateKey, keys string) {
		t.Helper()
		got := r.settled1(id)
		want := ""
		if k != nil {
			if want = batch.KeyID(publicOf(k)); !ed25519.Verify(publicOf(k), got.Manifest, got.Signature) {
				t.Errorf("%s: the signature is not one of the manifest", id)
			}
		}
		if got.KeyID != want || (k == nil) != (got.Signature == nil) {
			t.Errorf("%s: signed by %q, want %q", id, got.KeyID, want)
		}
		if text := r.keyText(); text != keys {
			t.Errorf("%s: keys %s, want %s", id, text, keys)
		}
		if err := r.verify(); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		again, refused := r.e.Settlement(got.BatchID)
		if refused != nil || again.KeyID != got.KeyID || !bytes.Equal(again.Signature, got.Signature) {
			t.Errorf("%s: after a restart signed by %q %x, was %q %x", id, again.KeyID, again.Signature, got.KeyID, got.Signature)
		}
	}
	head := func() uint64 { return r.e.store.Head().Seq }
	check("w1", one, a+" true")
	before := head()
	r.openWith(one)
	if head() != before {
		t.Error("the same key was journaled again")
	}
	r.openWith(two)
	if head() != before+1 {
		t.Errorf("a new key took %d commands", head()-before)
	}
	check("w2", two, a+" false, "+b+" true")
	r.openWith(nil)
	check("w3", nil, a+" false, "+b+" false")
	r.openWith(one)
	check("w4", one, a+" true, "+b+" false")
	keys, _ := r.e.Keys()
	if k := keys[0]; k.Sequence == 0 || k.Sequence >= before || k.Time.IsZero() || !bytes.Equal(k.PublicKey, publicOf(one)) {
		t.Errorf("%+v", k)
	}
	r.signedRecords(map[string]ed25519.PublicKey{a: publicOf(one), b: publicOf(two)}, []string{a, b, "", a})
}

// TestOtherKey opens a ledger with a key that it never signed with: it is refused, and changes nothing, until that very key is said to be new.
func TestOtherKey(t *testing.T) {
	one, flipped := testKey(1), ed25519.NewKeyFromSeed(append([]byte{0}, testKey(1).Seed()[1:]...))
	r := standard(t, func(o *Options) { o.SigningKey = one })
	r.settled1("w1")
	r.close()
	for _, next := range []string{"", batch.KeyID(publicOf(one)), batch.KeyID(publicOf(testKey(2)))} {
		r.o.SigningKey, r.o.NewSigningKey = flipped, next
		e, err := Open(r.o)
		if !errors.Is(err, ErrOtherKey) || !strings.Contains(err.Error(), batch.KeyID(publicOf(one))) || !strings.Contains(err.Error(), batch.KeyID(publicOf(flipped))) {
			t.Fatalf("%v %v", e, err)
		}
	}
	r.o.SigningKey = one
	r.open()
	r.settled1("w2")
	r.openWith(flipped)
	r.o.NewSigningKey = "" // it is known by now
	r.reopen()
	r.settled1("w3")
	if err := r.verify(); err != nil {
		t.Error(err)
	}
}

// signedRecords checks the headers of the manifests' records, window by window.
func (r *rig) signedRecords(keys map[string]ed25519.PublicKey, want []string) {
	r.t.Helper()
	records, err := r.e.Outbox().Records(1, 1<<20)
	if err != nil {
		r.t.Fatal(err)
	}
	for i := range records {
		rec := &records[i]
		if rec.Type != TypeManifest {
			if rec.Headers != nil {
				r.t.Errorf("a line has headers %+v", rec.Headers)
			}
			continue
		}
		got := ""
		if len(rec.Headers) == 2 {
			got = string(rec.Headers[0].Value)
			signature, err := base64.StdEncoding.DecodeString(string(rec.Headers[1].Value))
			if err != nil || rec.Headers[0].Key != "key_id" || rec.Headers[1].Key != "signature" || !ed25519.Verify(keys[got], rec.Value, signature) {
				r.t.Errorf("stream_seq %d: headers %q are no signature", rec.StreamSeq, rec.Headers)
			}
		}
		if got != want[0] {
			r.t.Errorf("stream_seq %d: signed by %q, want %q", rec.StreamSeq, got, want[0])
		}
		want = want[1:]
	}
	if len(want) > 0 {
		r.t.Errorf("no manifests for %q", want)
	}
}

// TestVerifyChecksSignatures seals a window with a signature of a key that is not journaled, and
// with the number of one that does not sign any more.
func TestVerifyChecksSignatures(t *testing.T) {
	r := standard(t, func(o *Options) { o.SigningKey = testKey(1) })
	r.e.internal(func(s *sequencer) { s.e.o.SigningKey = testKey(3) })
	r.settled1("w1")
	if err := r.verify(); err == nil || !strings.Contains(err.Error(), "signature of its manifest is not one of key") {
		t.Errorf("another key: %v", err)
	}
	r = standard(t, func(o *Options) { o.SigningKey = testKey(1) })
	r.openWith(testKey(2))
	r.e.internal(func(s *sequencer) {
		s.e.o.SigningKey = testKey(1)
		s.e.signAs.Store(1)
	})
	r.settled1("w1")
	if err := r.verify(); err == nil || !strings.Contains(err.Error(), "is signed with key 1 of 2") {
		t.Errorf("an old key: %v", err)
	}
}

// TestKeyThatSignsAlreadyIsRefused gives replay what no sequencer writes.
func TestKeyThatSignsAlreadyIsRefused(t *testing.T) {
	r := standard(t, func(o *Options) { o.SigningKey = testKey(1) })
	payload := appendKey(nil, publicOf(testKey(1)))
	r.e.internal(func(s *sequencer) { s.command(kindKey, payload) })
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err == nil || !strings.Contains(err.Error(), "signs already") {
		t.Error(err)
	}
	for _, bad := range [][]byte{nil, payload[:32], append(bytes.Clone(payload), 0), append([]byte{2}, payload[1:]...)} {
		q := reader{p: bad}
		if q.key(); q.end() == nil {
			t.Errorf("%x decodes", bad)
		}
	}
}
