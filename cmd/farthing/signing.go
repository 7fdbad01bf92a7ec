package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"farthing/batch"
	"farthing/engine"
	"farthing/internal/private"
	"farthing/journal"
)

// A signing key is a file as `openssl genpkey -algorithm ed25519` makes it: PKCS#8 in PEM, for its
// owner alone. What checks signatures has the public half, also in PEM.

// signingKeyName is the key's file in the data directory, where none is named.
const signingKeyName = "signing-key.pem"

const (
	pemPrivate = "PRIVATE KEY"
	pemPublic  = "PUBLIC KEY"
)

// signingFlags name the key that manifests are signed with.
type signingFlags struct {
	SigningKey    string `help:"File of the Ed25519 key (PKCS#8, PEM) that settlement batches are signed with; farthing proof new-key makes one. Nobody but its owner may be able to read it. Default: signing-key.pem in the data directory, which is made at the first start." placeholder:"FILE"`
	NewSigningKey string `help:"Id (ed25519-…) of a key that the ledger does not know yet and is to sign with from this start on; farthing proof new-key and show-key print it. A key that is neither this one nor one that the ledger has signed with is refused." placeholder:"ID"`

	signing ed25519.PrivateKey // once loaded
}

// loadSigningKey reads the key. The one in the data directory is made if it is not there; one that
// was named has to be.
func (f *signingFlags) loadSigningKey(data string, log *slog.Logger) (err error) {
	path := f.SigningKey
	if path == "" {
		path = filepath.Join(data, signingKeyName)
		if isAbsent(path) {
			if err := journal.Prepare(journal.Options{Dir: data, Logger: log}); err != nil {
				return fmt.Errorf("%s: %w", data, err)
			}
			if f.signing, err = makeSigningKey(path); err != nil {
				return fmt.Errorf("--signing-key: %w", err)
			}
			log.Info("made a key to sign batches with", "file", path, "key_id", batch.KeyID(f.signing.Public().(ed25519.PublicKey)))
			return nil
		}
	}
	if f.signing, err = readSigningKey(path); err != nil {
		return fmt.Errorf("--signing-key: %w", err)
	}
	return nil
}

// otherKey says what to do about a key that is none of the ledger's.
func (f *signingFlags) otherKey(err error) error {
	if !errors.Is(err, engine.ErrOtherKey) {
		return err
	}
	id := batch.KeyID(f.signing.Public().(ed25519.PublicKey))
	return fmt.Errorf("%w. Put the ledger's key back (--signing-key, or %s in the data directory); only if this one is to sign from now on, start with --new-signing-key %s",
		err, signingKeyName, id)
}

// isAbsent says that no key was ever used from that file: nothing is signed before the key is on disk, so
// an empty file is what a power cut left of the first start. It is removed.
func isAbsent(path string) bool {
	info, err := os.Lstat(path)
	if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
		err = os.Remove(path)
		return err == nil
	}
	return errors.Is(err, fs.ErrNotExist)
}

// makeSigningKey makes a key and writes it to a file that is not there yet. It is on disk before
// anything is signed with it.
func makeSigningKey(path string) (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	err = pem.Encode(file, &pem.Block{Type: pemPrivate, Bytes: der})
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return nil, errors.Join(err, os.Remove(path))
	}
	return key, syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readSigningKey reads a private key that nobody but its owner may be able to read.
func readSigningKey(path string) (ed25519.PrivateKey, error) {
	text, err := private.Read(path, secretBytesMax)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != pemPrivate {
		return nil, fmt.Errorf("%s: no private key (PKCS#8, PEM, without a passphrase) in it; farthing proof new-key makes one", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	signing, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s: the key is no Ed25519 key", path)
	}
	return signing, nil
}

// readPublicKeys reads all public keys of a file, or of what another program writes to a pipe.
func readPublicKeys(path string) ([]ed25519.PublicKey, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }() // read only: closing cannot lose anything
	text, err := io.ReadAll(io.LimitReader(file, secretBytesMax+1))
	if err == nil && len(text) > secretBytesMax {
		err = fmt.Errorf("%s: larger than %d bytes", path, secretBytesMax)
	}
	if err != nil {
		return nil, err
	}
	keys, err := parsePublicKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

// parsePublicKeys reads public keys in PEM, at least one.
func parsePublicKeys(text []byte) (keys []ed25519.PublicKey, err error) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != pemPublic {
			return nil, fmt.Errorf("a %s is in it, wanted are public keys", block.Type)
		}
		key, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, err
		}
		public, ok := key.(ed25519.PublicKey)
		if !ok {
			return nil, errors.New("a key in it is no Ed25519 key")
		}
		keys = append(keys, public)
	}
	if len(keys) == 0 {
		return nil, errors.New("no public key (PEM) in it")
	}
	return keys, nil
}

// publicPEM is a public key as a file.
func publicPEM(key ed25519.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: pemPublic, Headers: nil, Bytes: der}), nil
}

// proofNewKeyCmd is `farthing proof new-key`.
type proofNewKeyCmd struct {
	File string `arg:"" help:"Where the key goes; nothing may be there yet."`
}

// Help is the long help of the command.
func (proofNewKeyCmd) Help() string {
	return `The public half goes to standard output, its id to standard error. Give file and id to
farthing serve; from that start on, batches are signed with it. Older keys stay in
GET /v1/keys.

    farthing proof new-key signing-2027.pem > public-2027.pem
    farthing serve --signing-key signing-2027.pem --new-signing-key ed25519-…`
}

// Run makes a key.
func (c *proofNewKeyCmd) Run(ctx *Context) error {
	key, err := makeSigningKey(c.File)
	if err != nil {
		return err
	}
	return writePublic(ctx, key.Public().(ed25519.PublicKey))
}

// proofShowKeyCmd is `farthing proof show-key`.
type proofShowKeyCmd struct {
	File string `arg:"" help:"File of a signing key."`
}

// Run prints the public half of a key.
func (c *proofShowKeyCmd) Run(ctx *Context) error {
	key, err := readSigningKey(c.File)
	if err != nil {
		return err
	}
	return writePublic(ctx, key.Public().(ed25519.PublicKey))
}

func writePublic(ctx *Context, key ed25519.PublicKey) error {
	text, err := publicPEM(key)
	if err != nil {
		return err
	}
	_, errNote := fmt.Fprintln(ctx.Stderr, batch.KeyID(key))
	_, err = ctx.Stdout.Write(text)
	return errors.Join(errNote, err)
}
