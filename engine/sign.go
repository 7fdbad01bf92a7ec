package engine

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"farthing/batch"
	"farthing/refusal"
)

// A manifest is signed with the key that the engine was opened with, over its canonical bytes.
// The key's public half is a command of the journal, before anything that it signs, so that
// whoever has the journal can check every signature, whatever key files are left.

// keyEd25519 is the algorithm of a key; the number is stored.
const keyEd25519 = 1

// signingKey is a journaled public key. It signs from its sequence on, until the next one.
type signingKey struct {
	public [ed25519.PublicKeySize]byte
	seq    uint64
	time   int64
}

func (k *signingKey) id() string { return batch.KeyID(k.public[:]) }

func appendKey(dst []byte, public ed25519.PublicKey) []byte {
	return append(append(dst, keyEd25519), public...)
}

func (r *reader) key() (public [ed25519.PublicKeySize]byte) {
	if r.byte() != keyEd25519 {
		r.fail()
	}
	copy(public[:], r.take(ed25519.PublicKeySize))
	return public
}

// append writes a key for a checkpoint.
func (k *signingKey) append(dst []byte) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(appendKey(dst, k.public[:]), k.seq), uint64(k.time))
}

func (r *reader) signingKey() *signingKey {
	return &signingKey{public: r.key(), seq: r.uvarint(), time: int64(r.uvarint())}
}

// ErrOtherKey says that a ledger is opened with a key that it does not know, though it has signed with others.
var ErrOtherKey = errors.New("the signing key is none of this ledger's")

// checkKey refuses a key that is not the ledger's, unless it is meant to be from now on. The journal has all that ever signed.
func (s *state) checkKey(private ed25519.PrivateKey, next string) error {
	n := len(s.keys)
	if private == nil || n == 0 {
		return nil
	}
	public := private.Public().(ed25519.PublicKey)
	id := batch.KeyID(public)
	if id == next || slices.ContainsFunc(s.keys, func(k *signingKey) bool { return string(k.public[:]) == string(public) }) {
		return nil
	}
	return fmt.Errorf("%w: it is %s, and the ledger signed last with %s", ErrOtherKey, id, s.keys[n-1].id())
}

// signs reports whether a public key is the one that signs now.
func (s *state) signs(public ed25519.PublicKey) bool {
	n := len(s.keys)
	return n > 0 && string(s.keys[n-1].public[:]) == string(public)
}

// applyKey makes a public key the one that signs.
func (s *state) applyKey(public [ed25519.PublicKeySize]byte) error {
	if s.signs(public[:]) {
		return fmt.Errorf("key %s signs already", batch.KeyID(public[:]))
	}
	s.keys = append(s.keys, &signingKey{public: public, seq: s.seq, time: s.time})
	return nil
}

// checkSigner refuses a seal that names another key than the one that signs.
func (s *state) checkSigner(b *sealedBatch) error {
	if b.key != 0 && b.key != uint64(len(s.keys)) {
		return fmt.Errorf("batch %s is signed with key %d of %d", hexID(b.id), b.key, len(s.keys))
	}
	return nil
}

// checkSignature checks the signature of a batch's manifest, if it has one.
func (s *state) checkSignature(b *sealedBatch, manifest []byte) error {
	if err := s.checkSigner(b); err != nil || b.key == 0 {
		return err
	}
	k := s.keys[b.key-1]
	if !ed25519.Verify(k.public[:], manifest, b.signature[:]) {
		return fmt.Errorf("batch %s: the signature of its manifest is not one of key %s", hexID(b.id), k.id())
	}
	return nil
}

// introduceKey journals the key that the engine was opened with unless it signs already. It
// runs before the first window is handed to the settler.
func (s *sequencer) introduceKey() {
	private := s.e.o.SigningKey
	if private == nil || s.e.signAs.Load() != 0 {
		return
	}
	if public := private.Public().(ed25519.PublicKey); !s.state.signs(public) {
		s.command(kindKey, appendKey(nil, public))
		if err := s.state.applyKey([ed25519.PublicKeySize]byte(public)); err != nil {
			panic("BUG: " + err.Error())
		}
	}
	s.e.signAs.Store(uint64(len(s.state.keys)))
}

// sign signs a batch's manifest for its seal.
func (e *Engine) sign(b *sealedBatch, manifest []byte) {
	if e.o.SigningKey == nil {
		return
	}
	b.key = e.signAs.Load()
	copy(b.signature[:], ed25519.Sign(e.o.SigningKey, manifest))
}

// signatureOf is the key id and the signature of a batch; empty: it is not signed.
func (e *Engine) signatureOf(b *sealedBatch) (keyID string, signature []byte) {
	if b.key == 0 {
		return "", nil
	}
	return e.published.Load().keys[b.key-1].id(), append([]byte(nil), b.signature[:]...)
}

// signatureHeaders are the headers of a signed manifest's record.
func (e *Engine) signatureHeaders(b *sealedBatch) []Header {
	id, signature := e.signatureOf(b)
	if id == "" {
		return nil
	}
	return []Header{{Key: "key_id", Value: []byte(id)}, {Key: "signature", Value: base64.StdEncoding.AppendEncode(nil, signature)}}
}

// Keys lists the keys that sign manifests or once did, in the order in which they first signed. A
// key that signs again after another stands once. It refuses nothing; the server, which may be without an
// engine, does.
func (e *Engine) Keys() ([]SigningKey, *refusal.Refusal) {
	var out []SigningKey
	at := map[string]int{}
	keys := e.published.Load().keys
	for i, k := range keys {
		n, there := at[k.id()]
		if !there {
			n = len(out)
			at[k.id()] = n
			out = append(out, SigningKey{ID: k.id(), PublicKey: append([]byte(nil), k.public[:]...), Sequence: k.seq, Time: timeOf(k.time)})
		}
		out[n].Current = i == len(keys)-1 && e.o.SigningKey != nil
	}
	return out, nil
}
