package reconcile

// View returns the report for JSON. Its names are part of what scripts rely on.
func (r *Report) View(allowPending bool) any {
	type records struct {
		Read    uint64 `json:"read"`
		Applied uint64 `json:"applied"`
		Repeats uint64 `json:"repeats"`
		Fences  uint64 `json:"fences"`
		Foreign uint64 `json:"foreign"`
	}
	type tally struct {
		Batches   uint64 `json:"batches"`
		Lines     uint64 `json:"lines"`
		Paid      string `json:"paid"`
		Collected string `json:"collected"`
	}
	type currency struct {
		Currency string `json:"currency"`
		Sealed   tally  `json:"sealed"`
		Found    tally  `json:"found"`
	}
	v := struct {
		Green       bool            `json:"green"`
		Ledger      string          `json:"ledger"`
		Topic       string          `json:"topic"`
		Partition   uint32          `json:"partition"`
		FirstOffset int64           `json:"first_offset"`
		EndOffset   int64           `json:"end_offset"`
		Records     records         `json:"records"`
		Batches     uint64          `json:"batches"`
		Whole       uint64          `json:"whole"`
		Currencies  []currency      `json:"currencies"`
		Sources     []Source        `json:"sources"`
		Pending     Pending         `json:"pending"`
		Count       uint64          `json:"difference_count"`
		ByKind      map[Kind]uint64 `json:"differences_by_kind"`
		Differences []Difference    `json:"differences"`
	}{Green: r.Green(allowPending), Ledger: r.Ledger, Topic: r.Topic, Partition: r.Partition, FirstOffset: r.FirstOffset, EndOffset: r.EndOffset,
		Records: records{r.Read, r.Applied, r.Repeats, r.Fences, r.Foreign}, Batches: r.Batches, Whole: r.Whole, Currencies: []currency{},
		Sources: append([]Source{}, r.Sources...), Pending: r.Pending, Count: r.DifferenceCount(), ByKind: r.Count,
		Differences: append([]Difference{}, r.Differences...)}
	text := func(t Tally) tally { return tally{t.Batches, t.Lines, t.Paid.String(), t.Collected.String()} }
	for _, c := range r.Currencies {
		v.Currencies = append(v.Currencies, currency{c.Currency, text(c.Sealed), text(c.Found)})
	}
	return v
}
