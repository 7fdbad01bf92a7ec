package main

import (
	"fmt"
	"log/slog"
	"time"

	"farthing/engine"
	"farthing/meter"
	"farthing/prices/catalogue"
)

// putCatalogue puts the price catalogue into a ledger that has no price version yet: one
// version in force for every event, and one for each day on which a vendor has announced
// other prices. A ledger with a book of its own is left alone, and that is logged.
func putCatalogue(e *engine.Engine, log *slog.Logger) error {
	if n := e.Stats().PriceVersions; n > 0 {
		log.Info("--catalogue: the price book is left alone, the ledger has one", "versions", n)
		return nil
	}
	list := catalogue.Open()
	moments := []time.Time{time.Unix(0, 0).UTC()}
	for _, change := range list.Changes() {
		moments = append(moments, change.At)
	}
	put := map[string]bool{}
	for i, from := range moments {
		id := "catalogue"
		if i > 0 {
			id += "-" + from.Format("2006-01-02")
		}
		if put[id] {
			continue
		}
		v, faults := meter.ParseVersion(id, list.Document(from))
		if _, _, refused := e.PutPrices(v, faults); refused != nil {
			return fmt.Errorf("--catalogue: %w", refused)
		}
		put[id] = true
		log.Info("catalogue put", "version", id, "effective_from", from, "prices", len(v.Prices))
	}
	return nil
}
