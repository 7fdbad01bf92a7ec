package private

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("hush"), 0o600); err != nil {
		t.Fatal(err)
	}
	f := func(mode os.FileMode, maxBytes int64, want error) {
		t.Helper()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if text, err := Read(path, maxBytes); !errors.Is(err, want) || (err == nil && string(text) != "hush") {
			t.Errorf("mode %04o, at most %d: %q, %v, want %v", mode, maxBytes, text, err, want)
		}
	}
	f(0o600, 4, nil)
	f(0o400, 4, nil)
	f(0o600, 3, ErrNoFile)
	f(0o640, 4, ErrOpen)
	f(0o604, 4, ErrOpen)
	f(0o601, 4, ErrOpen)
	if text, err := ReadPublic(path, 4); err != nil || string(text) != "hush" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := Read(filepath.Dir(path), 4); !errors.Is(err, ErrNoFile) {
		t.Errorf("a directory: %v", err)
	}
	if _, err := Read(path+"x", 4); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func(string, int64) ([]byte, error){Read, ReadPublic} {
		if _, err := read(pipe, 4); !errors.Is(err, ErrNoFile) || !strings.Contains(err.Error(), pipe+" is not a regular file") {
			t.Errorf("a pipe: %v", err)
		}
		if text, err := read(link, 4); err != nil || string(text) != "hush" {
			t.Errorf("a link to a file: %q, %v", text, err)
		}
	}
}

func TestStamp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, first, err := ReadStamped(path, 10)
	if err != nil || first != StampOf(path) || !first.Fresh(time.Now()) || first.Fresh(time.Now().Add(time.Minute)) {
		t.Fatalf("%+v, %v", first, err)
	}
	if err := os.WriteFile(path+".new", []byte("two"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
	second := StampOf(path)
	if second == first {
		t.Error("another file of the same size has the same stamp")
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if StampOf(path) == second {
		t.Error("another mode has the same stamp")
	}
	if (StampOf(path+"x") != Stamp{}) {
		t.Error("no file has a stamp")
	}
}
