package apikey

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"farthing/internal/private"
)

func mustKey(t *testing.T, id KeyID, scopes Scopes, seed byte) Key {
	t.Helper()
	key, err := New(id, scopes, Limits{}, [SecretBytes]byte(bytes.Repeat([]byte{seed}, SecretBytes)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestAuthenticate(t *testing.T) {
	first, second := mustKey(t, "a", Ingest, 1), mustKey(t, "team/b@x", Read|Admin, 2)
	set, err := Parse([]byte(first.Entry + second.Entry))
	if err != nil {
		t.Fatal(err)
	}
	f := func(token string, wantID KeyID, wantScopes Scopes, wantOK bool) {
		t.Helper()
		got, ok := set.Find([]byte(token))
		if got.ID != wantID || got.Scopes != wantScopes || ok != wantOK {
			t.Errorf("Find(%q) = %+v, %v; want %q, %v, %v", token, got, ok, wantID, wantScopes, wantOK)
		}
	}
	f(first.Secret, "a", Ingest, true)
	f(second.Secret, "team/b@x", Read|Admin, true)
	f("", "", 0, false)
	f(first.Secret+"x", "", 0, false)
	f(first.Secret[:len(first.Secret)-1], "", 0, false)
	f(strings.ToUpper(first.Secret), "", 0, false)
	f(mustKey(t, "a", Ingest, 3).Secret, "", 0, false)
	// The hash is no password: who steals the file cannot log in with it.
	f(strings.Split(first.Entry, `"`)[3], "", 0, false)
}

func TestSecretIsNotInItsEntry(t *testing.T) {
	key := mustKey(t, "a", Read, 7)
	if !strings.HasPrefix(key.Secret, "farthing_") || len(key.Secret) != len("farthing_")+43 {
		t.Errorf("secret %q is not farthing_ and 43 characters", key.Secret)
	}
	if strings.Contains(key.Entry, strings.TrimPrefix(key.Secret, "farthing_")) {
		t.Error("the entry contains the secret")
	}
}

func TestNewRefuses(t *testing.T) {
	f := func(id KeyID, scopes Scopes) {
		t.Helper()
		if _, err := New(id, scopes, Limits{}, [SecretBytes]byte{}); !errors.Is(err, ErrEntry) {
			t.Errorf("New(%q, %v): error %v, want ErrEntry", id, scopes, err)
		}
	}
	f("", Read)
	f("a b", Read)
	f("a\n", Read)
	f(KeyID(strings.Repeat("a", 129)), Read)
	f("a", 0)
}

func TestParseRefuses(t *testing.T) {
	good := mustKey(t, "good", Read, 1).Entry
	hash := `hash: "sha256:` + strings.Repeat("ab", 32) + `"`
	f := func(text string, want error, mention string) {
		t.Helper()
		set, err := Parse([]byte(text))
		if !errors.Is(err, want) || !strings.Contains(fmt.Sprint(err), mention) || set != nil {
			t.Errorf("Parse(%q) = %v, %v; want %v mentioning %q", text, set, err, want, mention)
		}
	}
	f("", ErrFile, "no key")
	f("keys: 1", ErrFile, "list")
	f("- [", ErrFile, "")
	f(good+"---\n"+good, ErrFile, "more than one")
	f("- 1", ErrEntry, "want {id, hash, scopes}")
	f("- {id: a, scopes: [read]}", ErrEntry, "hash is missing")
	f("- {"+hash+", scopes: [read]}", ErrEntry, "id is missing")
	f("- {id: a, "+hash+"}", ErrEntry, "scopes is missing")
	f("- {id: a, id: b, "+hash+", scopes: [read]}", ErrEntry, "twice")
	f("- {id: a, "+hash+", scopes: [read], note: x}", ErrEntry, `unknown field "note"`)
	f("- {id: a, "+hash+", scopes: [root]}", ErrEntry, `"root"`)
	f("- {id: a, "+hash+", scopes: []}", ErrEntry, "at least one")
	f("- {id: a, "+hash+", scopes: read}", ErrEntry, "list")
	f("- {id: a b, "+hash+", scopes: [read]}", ErrEntry, "byte 2")
	f("- {id: a, hash: md5:00, scopes: [read]}", ErrEntry, "sha256:")
	f("- {id: a, hash: \"sha256:"+strings.Repeat("zz", 32)+"\", scopes: [read]}", ErrEntry, "hexadecimal")
	f(good+good, ErrDuplicate, `id "good" stands on line 1`)
	f(good+strings.Replace(good, "good", "other", 1), ErrDuplicate, "hash stands on line 1")
}

func TestParseReportsEverythingAndNoSecret(t *testing.T) {
	secret := mustKey(t, "a", Read, 5).Secret
	_, err := Parse([]byte("- {id: a, hash: " + secret + ", scopes: [root]}\n- {id: '!', scopes: [read]}\n"))
	text := fmt.Sprint(err)
	for _, want := range []string{"line 1: invalid entry: hash", `line 1: invalid entry: scopes: unknown "root"`, "line 2: invalid entry: id", "line 2: invalid entry: hash is missing"} {
		if !strings.Contains(text, want) {
			t.Errorf("the error does not mention %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, secret) {
		t.Errorf("the error shows a secret:\n%s", text)
	}
}

func TestLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	key := mustKey(t, "a", Ingest|Read, 9)
	if err := os.WriteFile(path, []byte("# our keys\n"+key.Entry), 0o600); err != nil {
		t.Fatal(err)
	}
	set, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := set.Find([]byte(key.Secret)); !ok || got.Scopes != Ingest|Read || set.Len() != 1 {
		t.Errorf("loaded %d keys, found %+v, %v", set.Len(), got, ok)
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o620, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); !errors.Is(err, ErrPermissions) || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: error %v, want ErrPermissions", mode, err)
		}
	}
	if _, err := Load(path + ".absent"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent file: error %v", err)
	}
	if _, err := Load(t.TempDir()); !errors.Is(err, private.ErrNoFile) {
		t.Errorf("a directory: error %v, want ErrFile", err)
	}
	large := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte("#"), fileBytesMax+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(large); !errors.Is(err, private.ErrNoFile) {
		t.Errorf("a large file: error %v, want ErrFile", err)
	}
}

func TestScopesText(t *testing.T) {
	f := func(scopes Scopes, want string) {
		t.Helper()
		if got := scopes.String(); got != want {
			t.Errorf("Scopes(%d) = %q, want %q", scopes, got, want)
		}
	}
	f(0, "")
	f(Ingest, "ingest")
	f(Read|Admin, "read, admin")
	f(Ingest|Read|Admin, ScopeNames())
}

// TestLoadDoesNotWaitForAPipe names a pipe that nobody writes to.
func TestLoadDoesNotWaitForAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); !errors.Is(err, private.ErrNoFile) {
		t.Errorf("error %v, want ErrFile", err)
	}
}
