package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"farthing/engine"
)

// TestExportDirNotMounted: once something was dropped, nothing is made where the directory of exports is not.
func TestExportDirNotMounted(t *testing.T) {
	var c serveCmd
	c.Retain, c.ExportDir = time.Hour, filepath.Join(t.TempDir(), "disk", "exports")
	var o engine.Options
	c.retention(&process{}, &o)
	_, err := o.Export(engine.ExportPart{After: 7, Through: 9})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "mounted") || !strings.Contains(err.Error(), "--export-dir") {
		t.Error(err)
	}
	if _, err := os.Stat(c.ExportDir); !errors.Is(err, os.ErrNotExist) {
		t.Error("it was made")
	}
}

// TestRetainFlags: what cannot be meant is refused before anything is opened.
func TestRetainFlags(t *testing.T) {
	data := t.TempDir()
	f := func(want string, flags retainFlags) {
		t.Helper()
		err := flags.problem(data)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", flags, err, want)
		}
	}
	f("negative", retainFlags{Retain: -1, ExportDir: "/x"})
	f("needs --export-dir", retainFlags{Retain: time.Hour})
	f("in the data directory", retainFlags{Retain: time.Hour, ExportDir: filepath.Join(data, "exports")})
	f("in the data directory", retainFlags{Retain: time.Hour, ExportDir: data})
	f("in the data directory", retainFlags{ExportDir: filepath.Join(data, "..", filepath.Base(data), "a", "b")})
	f("", retainFlags{Retain: time.Hour, ExportDir: data + "-exports"})
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(data, link); err != nil {
		t.Fatal(err)
	}
	f("in the data directory", retainFlags{Retain: time.Hour, ExportDir: link})
	f("in the data directory", retainFlags{Retain: time.Hour, ExportDir: filepath.Join(link, "new")})
}
