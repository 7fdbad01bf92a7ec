package soak

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	f := func(v any, want string) {
		t.Helper()
		if got := Text(v); got != want {
			t.Errorf("Text(%v) = %q, want %q", v, got, want)
		}
	}
	f(0, "0")
	f(999, "999")
	f(1000, "1,000")
	f(uint64(200_000_000), "200,000,000")
	f(-1234567, "-1,234,567")
	f("7.6 s", "7.6 s")
	f(float64(1234), "1,234") // as JSON gives it back
	f(float64(200_000_000), "200,000,000")
	f(0.25, "0.25")
}

func TestSizesAndSeed(t *testing.T) {
	t.Setenv(sizeVariable, "")
	if Full() || Pick(5, 200) != 5 {
		t.Error("a run without the variable is not the small one")
	}
	t.Setenv(sizeVariable, "full")
	if !Full() || Pick(5, 200) != 200 {
		t.Error("a full run has not the full size")
	}
	t.Setenv(seedVariable, "42")
	if got := Seed(t); got != 42 {
		t.Errorf("seed %d", got)
	}
}

func TestReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rows")
	t.Setenv(reportVariable, path)
	t.Setenv(sizeVariable, "")
	Report(t, "nothing of a small run", nil)
	t.Setenv(sizeVariable, "full")
	t.Setenv(seedVariable, "7")
	t.Setenv(commitVariable, "abc")
	Start(t).Report("crashes", Counts{"crashes": 200, "lost": 0})
	Report(t, "more", Counts{"n": 1})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines: %s", len(lines), data)
	}
	var row Row
	if err := json.Unmarshal([]byte(lines[0]), &row); err != nil {
		t.Fatal(err)
	}
	if row.Subject != "crashes" || row.Seed != 7 || row.Commit != "abc" || row.Test != "TestReport" || Text(row.Counts["crashes"]) != "200" {
		t.Errorf("row %+v", row)
	}
}
