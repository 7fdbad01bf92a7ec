package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"farthing/meter"
)

// TestPricesCatalogue: what the command prints can be put as it is, and it
// says which versions are needed later.
func TestPricesCatalogue(t *testing.T) {
	ctx, stdout, stderr := testContext()
	if code := run([]string{"prices", "catalogue"}, ctx); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	version, refused := meter.ParseVersion("catalogue-1", stdout.Bytes())
	if refused != nil {
		t.Fatal(refused)
	}
	if version.EffectiveFrom != 0 {
		t.Errorf("in force from %d, want 1970", version.EffectiveFrom)
	}
	if !strings.Contains(stderr.String(), "--effective-from 2026-12-01T00:00:00Z") {
		t.Errorf("no word of the price that changes then:\n%s", stderr)
	}
	file := filepath.Join(t.TempDir(), "book.json")
	ctx, _, stderr = testContext()
	if code := run([]string{"prices", "catalogue", "--effective-from=2030-01-01T00:00:00Z", "-o", file}, ctx); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var later struct {
		EffectiveFrom string `json:"effective_from"`
	}
	if err := json.Unmarshal(text, &later); err != nil || later.EffectiveFrom != "2030-01-01T00:00:00Z" || stderr.Len() != 0 {
		t.Errorf("%+v, %v: %s", later, err, stderr)
	}
}

func TestPricesCatalogueTable(t *testing.T) {
	ctx, stdout, stderr := testContext()
	if code := run([]string{"prices", "catalogue", "--table"}, ctx); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	lines := strings.Split(stdout.String(), "\n")
	for _, line := range lines {
		if strings.Contains(line, " gemini-2.5-pro ") {
			for _, want := range []string{"Google", "1.25 (above 200000: 2.5)", "batch", "2026-11-24", "https://ai.google.dev/gemini-api/docs/pricing"} {
				if !strings.Contains(line, want) {
					t.Errorf("no %q in %s", want, line)
				}
			}
			return
		}
	}
	t.Errorf("gemini-2.5-pro is not among %d lines", len(lines))
}
