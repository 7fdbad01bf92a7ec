package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"farthing/journal"
)

// command runs a command line and returns exit code, output and messages.
func command(t *testing.T, args ...string) (code int, out, messages string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code = run(args, &Context{Ctx: t.Context(), Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr})
	return code, stdout.String(), stderr.String()
}

// TestProof proves an event with the files that a server gave and its public key, over a change of keys,
// while no server runs.
func TestProof(t *testing.T) {
	dir := t.TempDir()
	data, files := filepath.Join(dir, "data"), filepath.Join(dir, "files")
	s := serveOn(t, "--data="+data, "--settle-every=0")
	s.settleOnce(1)
	s.stop()
	own := filepath.Join(data, signingKeyName)
	if info := must(os.Stat(own))(t); info.Mode().Perm() != 0o600 {
		t.Errorf("the key that was made has mode %04o", info.Mode().Perm())
	}
	code, firstPublic, _ := command(t, "proof", "show-key", own)
	if code != exitOK {
		t.Fatal(code)
	}
	next := filepath.Join(dir, "next.pem")
	code, nextPublic, nextID := command(t, "proof", "new-key", next)
	if code != exitOK {
		t.Fatal(code)
	}
	nextID = strings.TrimSpace(nextID)

	if code, _, messages := command(t, "serve", "--data="+data, "--listen=127.0.0.1:0", "--signing-key="+next); code != exitFailure || !strings.Contains(messages, "--new-signing-key "+nextID) {
		t.Errorf("a key that the ledger does not know: %d %s", code, messages)
	}
	s = serveOn(t, "--data="+data, "--settle-every=0", "--signing-key="+next, "--new-signing-key="+nextID)
	s.settleOnce(2)
	s.settleOnce(3)
	if code, out, messages := command(t, "proof", "fetch", "--server="+s.url, "--source=t", "--id=e2", "--dir="+files); code != exitOK {
		t.Fatal(code, out, messages)
	}
	s.stop()

	trusted := writeFile(t, firstPublic+nextPublic)
	args := []string{"proof", "check", "--proof=" + filepath.Join(files, proofName), "--manifest=" + filepath.Join(files, manifestName), "--chain=" + filepath.Join(files, chainName)}
	for _, keys := range []string{trusted, filepath.Join(files, keysName)} {
		code, out, messages := command(t, append(args, "--key="+keys)...)
		if code != exitOK || !strings.Contains(out, "all 3 manifests of the chain are signed") || !strings.Contains(out, "\nproven: e2 of source t") || !strings.Contains(out, "acme paid 1.25 USD for call (call 1)") || strings.Contains(out, "NO") {
			t.Errorf("exit code %d\n%s%s", code, out, messages)
		}
	}
	code, out, messages := command(t, append(args, "--key="+writeFile(t, nextPublic))...)
	if code != exitFailure || !strings.Contains(messages, "none of those given") || !strings.Contains(out, "NO") {
		t.Errorf("the first key is not trusted: exit code %d\n%s%s", code, out, messages)
	}
	forged := filepath.Join(files, proofName)
	text := must(os.ReadFile(forged))(t)
	if err := os.WriteFile(forged, bytes.Replace(text, []byte(`"1.25"`), []byte(`"1.24"`), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, messages := command(t, append(args, "--key="+trusted)...); code != exitFailure || !strings.Contains(out, "\nNOT proven: e2") || !strings.Contains(messages, "event is not what the leaf says") {
		t.Errorf("a forged proof: exit code %d: %s%s", code, out, messages)
	}
}

// TestOpensslMakesKeys reads a key that another program made, and that one reads ours.
func TestOpensslMakesKeys(t *testing.T) {
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("no openssl here")
	}
	path := filepath.Join(t.TempDir(), "key.pem")
	if out, err := exec.Command(openssl, "genpkey", "-algorithm", "ed25519", "-out", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := exec.Command(openssl, "pkey", "-in", path, "-pubout").Output()
	if err != nil {
		t.Fatal(err)
	}
	if code, out, messages := command(t, "proof", "show-key", path); code != exitOK || out != string(want) {
		t.Errorf("exit code %d\n%s%s, want\n%s", code, out, messages, want)
	}
	ours := filepath.Join(t.TempDir(), "ours.pem")
	_, public, _ := command(t, "proof", "new-key", ours)
	if got, err := exec.Command(openssl, "pkey", "-in", ours, "-pubout").Output(); err != nil || string(got) != public {
		t.Errorf("%v\n%s, want\n%s", err, got, public)
	}
}

// TestSigningKeyRefused: a start with a key file that is open to others, or is no key, changes nothing.
func TestSigningKeyRefused(t *testing.T) {
	good := filepath.Join(t.TempDir(), "key.pem")
	_, public, _ := command(t, "proof", "new-key", good)
	f := func(want, text string, mode os.FileMode) {
		t.Helper()
		path := writeFile(t, text)
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		data := filepath.Join(t.TempDir(), "data")
		code, _, messages := command(t, "serve", "--data="+data, "--listen=127.0.0.1:0", "--signing-key="+path)
		if code != exitFailure || !strings.Contains(messages, want) || !strings.Contains(messages, "--signing-key") {
			t.Errorf("exit code %d: %s, want %q", code, messages, want)
		}
		if _, err := os.Stat(data); err == nil {
			t.Error("a data directory was made")
		}
	}
	key := string(must(os.ReadFile(good))(t))
	f("chmod 600", key, 0o640)
	f("chmod 600", key, 0o604)
	f("no private key", "", 0o600)
	f("no private key", public, 0o600)
	f("", strings.Replace(key, "MC4CAQ", "MC4CAA", 1), 0o600)
	if code, _, messages := command(t, "proof", "new-key", good); code != exitFailure || !strings.Contains(messages, "exists") {
		t.Errorf("a key is written over another: %d %s", code, messages)
	}
}

// TestSigningKeyOfFirstStart: the key is made beside a ledger or where one can be, in a directory that is its owner's alone, and
// over what a power cut left of it; nothing is put into a directory that is something else.
func TestSigningKeyOfFirstStart(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	parent := t.TempDir()
	data := filepath.Join(parent, "new")
	var f signingFlags
	if err := f.loadSigningKey(data, log); err != nil || f.signing == nil {
		t.Fatal(err)
	}
	if info := must(os.Stat(data))(t); info.Mode().Perm() != 0o700 {
		t.Errorf("the data directory has mode %04o", info.Mode().Perm())
	}

	path := filepath.Join(data, signingKeyName)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	var again signingFlags
	if err := again.loadSigningKey(data, log); err != nil || again.signing.Equal(f.signing) {
		t.Errorf("over an empty file: %v", err)
	}
	var same signingFlags
	if err := same.loadSigningKey(data, log); err != nil || !same.signing.Equal(again.signing) {
		t.Errorf("the key that was made is not the one that is read: %v", err)
	}

	foreign := filepath.Join(parent, "foreign")
	if err := os.MkdirAll(filepath.Join(foreign, "photos"), 0o755); err != nil {
		t.Fatal(err)
	}
	var none signingFlags
	if err := none.loadSigningKey(foreign, log); !errors.Is(err, journal.ErrNotEmpty) {
		t.Errorf("a directory of something else: %v", err)
	}
	if entries := must(os.ReadDir(foreign))(t); len(entries) != 1 {
		t.Errorf("it now holds %v", entries)
	}
}

// TestSecretIsNoPipe: a start does not wait for what may never come.
func TestSecretIsNoPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readSigningKey(path); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
	p := newPair(t, 1, nil)
	cert, key := writeFile(t, string(p.pem)), writeFile(t, string(p.keyPEM(t)))
	if err := os.Chmod(key, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []accessFlags{{TLSCert: path, TLSKey: key}, {TLSCert: cert, TLSKey: path}, {TLSCert: cert, TLSKey: key, TLSClientCA: path}} {
		if _, _, err := f.readTLS(); err == nil || !strings.Contains(err.Error(), "--tls-") || !strings.Contains(err.Error(), path+" is not a regular file") {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
