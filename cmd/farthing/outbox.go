package main

import (
	"farthing/engine"
	"farthing/publish"
)

// outbox is an outbox of the ledger as the relay wants it. The engine knows nothing
// of Kafka and the relay nothing of the ledger, so each has types of its own.
type outbox struct{ box ledgerOutbox }

// ledgerOutbox is that of settlements or that of notifications.
type ledgerOutbox interface {
	Records(from uint64, maxBytes int) ([]engine.Record, error)
	Position() (engine.Position, error)
	Attempt(engine.Attempt) error
	Confirm(engine.Confirmation) error
	ConfirmAttempt(engine.Confirmation, engine.Attempt) error
	Changed() <-chan struct{}
}

var (
	_ publish.Outbox = outbox{}
	_ ledgerOutbox   = (*engine.Outbox)(nil)
	_ ledgerOutbox   = (*engine.NoticeOutbox)(nil)
)

// Records implements publish.Outbox.
func (o outbox) Records(from uint64, maxBytes int) ([]publish.Record, error) {
	sealed, err := o.box.Records(from, maxBytes)
	if err != nil {
		return nil, err
	}
	records := make([]publish.Record, len(sealed))
	for i, r := range sealed {
		records[i] = publish.Record{StreamSeq: r.StreamSeq, Type: r.Type, ID: r.ID, Key: r.Key, Value: r.Value, Headers: headers(r.Headers)}
	}
	return records, nil
}

func headers(of []engine.Header) []publish.Header {
	if len(of) == 0 {
		return nil // of nearly every record
	}
	out := make([]publish.Header, len(of))
	for i, h := range of {
		out[i] = publish.Header(h)
	}
	return out
}

// Position implements publish.Outbox.
func (o outbox) Position() (publish.Position, error) {
	p, err := o.box.Position()
	return publish.Position{Confirmed: p.Confirmed, Topic: p.Topic, Partition: p.Partition, Offset: p.Offset,
		NextOffset: p.NextOffset, Attempt: (*publish.Attempt)(p.Attempt)}, err
}

// Attempt implements publish.Outbox.
func (o outbox) Attempt(a publish.Attempt) error { return o.box.Attempt(engine.Attempt(a)) }

// Confirm implements publish.Outbox.
func (o outbox) Confirm(c publish.Confirmation) error { return o.box.Confirm(engine.Confirmation(c)) }

// ConfirmAttempt implements publish.Outbox.
func (o outbox) ConfirmAttempt(c publish.Confirmation, a publish.Attempt) error {
	return o.box.ConfirmAttempt(engine.Confirmation(c), engine.Attempt(a))
}

// Changed implements publish.Outbox.
func (o outbox) Changed() <-chan struct{} { return o.box.Changed() }
