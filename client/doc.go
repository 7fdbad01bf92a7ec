// Package client sends usage events to a Farthing server in the compact form (package compact).
//
//	c := client.New("http://127.0.0.1:8080", client.Options{Key: key})
//	var batch compact.Batch
//	err := batch.Add(&compact.Event{Source: "gateway-1", ID: "01J…", Subject: "acme", Type: "llm.tokens",
//		Usage: []compact.Component{{Name: "input", Quantity: q}}})
//	result, err := c.Send(ctx, &batch)
//
// What Send returns without an error is durable. A request whose answer was lost, or that was refused for want of room, is sent again until ctx ends: the
// identities of its events make that safe, and what had been booked counts as a duplicate then.
//
// A Client is safe for concurrent use.
package client
