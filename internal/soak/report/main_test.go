package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows")
	rows := `{"subject":"kills","test":"TestKills","commit":"old","counts":{"crashes":3},"ended":"2026-11-28T10:00:00Z"}
{"subject":"kills","test":"TestKills","commit":"abc123","seed":5,"seconds":12.4,"counts":{"events lost":0,"crashes":200},"ended":"2026-11-29T10:00:00Z"}
{"subject":"bits","test":"TestBits","commit":"abc124","counts":{"flipped":12000},"ended":"2026-11-29T11:00:00Z"}
`
	if err := os.WriteFile(path, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run([]string{path}, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n## kills\n\n`TestKills`, commit abc123, 2026-11-29 10:00:00 UTC, 12 s, seed 5\n", "| crashes | 200 |\n| events lost | 0 |\n",
		"\n## bits\n\n`TestBits`, commit abc124, 2026-11-29 11:00:00 UTC\n", "| flipped | 12,000 |\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the page lacks %q:\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "old") {
		t.Errorf("an earlier row of the same test is shown:\n%s", out.String())
	}
}

func TestRefuses(t *testing.T) {
	f := func(content string) {
		t.Helper()
		path := filepath.Join(t.TempDir(), "rows")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := run([]string{path}, &strings.Builder{}); err == nil {
			t.Errorf("%q made a page", content)
		}
	}
	f("")
	f("{\n")
	f("no JSON\n")
}
