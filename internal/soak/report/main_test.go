package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows")
	rows := `{"subject":"kills","test":"TestKills","seed":5,"seconds":12.4,"counts":{"crashes":200,"events lost":0},"ended":"2026-11-29T10:00:00Z"}
{"subject":"bits","test":"TestBits","counts":{"flipped":12000},"ended":"2026-11-29T11:00:00Z"}
`
	if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run([]string{path, "abc123"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"- commit: abc123\n", "- ended: 2026-11-29T11:00:00Z\n",
		"| kills | crashes 200, events lost 0 | 5 | 12 | `TestKills` |\n",
		"| bits | flipped 12,000 | – | – | `TestBits` |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, out.String())
		}
	}
}

func TestRefuses(t *testing.T) {
	f := func(content string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "rows")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run([]string{path, "x"}, &strings.Builder{}); err == nil {
			t.Errorf("%q made a page", content)
		}
	}
	f("")
	f("{\n")
	f("no JSON\n")
}
