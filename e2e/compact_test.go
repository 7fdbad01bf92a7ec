package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	sender "farthing/client"
	"farthing/compact"
	"farthing/meter"
)

// TestCompact sends events in the compact form to a real server, and the same ones again in both forms.
func TestCompact(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	e := startExplained(ctx, t, build(ctx, t, t.TempDir()), nil)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	post := func(method, path, body string) error {
		_, _, err := e.client.Do(ctx, method, path, "application/json", []byte(body))
		return err
	}
	must(post("POST", "/v1/accounts", `{"id":"acme","kind":"customer","currency":"USD","billing":"postpaid"}`))
	must(post("PUT", "/v1/prices/v1", `{"effective_from":"2026-01-01T00:00:00Z","prices":[{"meter":"llm.tokens","currency":"USD","match":{"model":"m"},`+
		`"components":{"input":{"unit":"0.001","quantity_decimals":1},"output":"0.01"}}]}`))

	var batch compact.Batch
	json, at := "[", time.Date(2026, 11, 2, 3, 4, 5, 6, time.UTC)
	const events = 200
	for i := range events {
		event := compact.Event{Source: fmt.Sprint("gw-", i%3), ID: fmt.Sprint("e", i), Subject: "acme", Type: "llm.tokens", Time: at,
			Usage: []compact.Component{{Name: "output", Quantity: 2e6}, {Name: "input", Quantity: 1_500_000}, {Name: "cached", Quantity: 0}}, Dimensions: []meter.Dimension{{Key: "model", Value: "m"}}}
		must(batch.Add(&event))
		if i > 0 {
			json += ","
		}
		json += fmt.Sprintf(`{"id":"e%d","source":"gw-%d","subject":"acme","type":"llm.tokens","time":"2026-11-02T03:04:05.000000006Z","data":{"model":"m","usage":{"input":1.5,"output":2}}}`, i, i%3)
	}
	c := sender.New(e.server.URL(), sender.Options{})
	first, err := c.Send(ctx, &batch)
	must(err)
	again, err := c.Send(ctx, &batch)
	must(err)
	if first.Accepted != events || len(first.Rejected) != 0 || again.Accepted != 0 || again.Duplicates != events || again.Sequence < first.Sequence {
		t.Fatalf("%+.500v, again %+.500v", first, again)
	}
	asJSON, err := e.client.PostRaw(ctx, "application/json", []byte(json+"]"))
	must(err)
	if asJSON.Duplicates != events || asJSON.Accepted != 0 {
		t.Errorf("as JSON: %+v", asJSON)
	}

	batch.Reset()
	must(batch.Add(&compact.Event{Source: "gw-0", ID: "e0", Subject: "acme", Type: "llm.tokens", Usage: []compact.Component{{Name: "output", Quantity: 3e6}}, Dimensions: []meter.Dimension{{Key: "model", Value: "m"}}}))
	must(batch.Add(&compact.Event{Source: "gw-0", ID: "new", Subject: "nobody", Type: "llm.tokens"}))
	other, err := c.Send(ctx, &batch)
	must(err)
	if len(other.Rejected) != 2 || other.Rejected[0].Code != "id_conflict" || other.Rejected[1].Code != "not_found" {
		t.Errorf("%+v", other)
	}
	balance, err := e.client.Balance(ctx, "acme")
	must(err)
	if got := balance.Posted.String(); got != "-4.3" { // 200 × (1.5 × 0.001 + 2 × 0.01)
		t.Errorf("acme has %s", got)
	}
	booked, err := e.client.Booked(ctx, "gw-1", "e1")
	must(err)
	if booked.Subject != "acme" || len(booked.Components) != 2 || booked.Amount.String() != "0.0215" {
		t.Errorf("%+v", booked)
	}
	must(e.server.Terminate())
}
