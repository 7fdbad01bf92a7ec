package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"farthing/engine"
	"farthing/journal"
	"farthing/prices/catalogue"
)

// TestCatalogueIsPutOnce puts the catalogue into an empty ledger, and into none that has a book.
func TestCatalogueIsPutOnce(t *testing.T) {
	o := engine.Options{Journal: journal.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)}, Logger: slog.New(slog.DiscardHandler)}
	e, err := engine.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	for range 2 {
		log.Reset()
		if err := putCatalogue(e, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
			t.Fatal(err)
		}
	}
	if line := log.String(); strings.Count(line, "\n") != 1 || !strings.Contains(line, "the price book is left alone") {
		t.Errorf("the second time: %q", line)
	}
	days := map[string]bool{}
	for _, change := range catalogue.Open().Changes() {
		days[change.At.Format("2006-01-02")] = true
	}
	page, refused := e.PriceVersions("", 100)
	if refused != nil || len(page.Items) != 1+len(days) {
		t.Fatalf("%d versions, want 1 and one for each of %v (%v)", len(page.Items), days, refused)
	}
	if first := page.Items[0].Version; first.ID != "catalogue" || first.EffectiveFrom != 0 || len(first.Prices) < 60 {
		t.Fatalf("version %s from %d with %d prices", first.ID, first.EffectiveFrom, len(first.Prices))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
}
