package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	kindLine     = "farthing.settlement.line.v1"
	kindManifest = "farthing.settlement.batch.v1"
)

// applier applies records of one partition.
type applier struct {
	db        *pgx.Conn
	topic     string
	partition int32
	keys      keyring
}

// prepare makes the tables and the partition's row, and returns where to read on. Two that start at once take turns.
func (a *applier) prepare(ctx context.Context) (next int64, err error) {
	err = pgx.BeginFunc(ctx, a.db, func(tx pgx.Tx) error {
		_, err1 := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtext('farthing consumer'))`)
		_, err2 := tx.Exec(ctx, schema)
		_, err3 := tx.Exec(ctx, `INSERT INTO stream (topic, partition, stream_seq, next_offset) VALUES ($1, $2, 0, 0) ON CONFLICT DO NOTHING`, a.topic, a.partition)
		err4 := tx.QueryRow(ctx, `SELECT next_offset FROM stream WHERE topic = $1 AND partition = $2`, a.topic, a.partition).Scan(&next)
		return errors.Join(err1, err2, err3, err4)
	})
	return next, err
}

// apply applies what is new of records in one transaction. If they have a gap, all before it is applied and the gap is the error.
func (a *applier) apply(ctx context.Context, records []*kgo.Record) error {
	if len(records) == 0 {
		return nil
	}
	var gap error
	err := pgx.BeginFunc(ctx, a.db, func(tx pgx.Tx) error {
		var last int64
		// The lock makes a second process wait, which then sees what this one has applied.
		err := tx.QueryRow(ctx, `SELECT stream_seq FROM stream WHERE topic = $1 AND partition = $2 FOR UPDATE`, a.topic, a.partition).Scan(&last)
		if err != nil {
			return err
		}
		fresh, last, end, stop := follow(records, last)
		gap = stop
		if err := a.applyAll(ctx, tx, fresh); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE stream SET stream_seq = $3, next_offset = $4 WHERE topic = $1 AND partition = $2`, a.topic, a.partition, last, end)
		return err
	})
	return errors.Join(err, gap)
}

// follow is the contract's rule: what is not greater than the last applied stream_seq is dropped, what has none is no record of the
// stream, and a greater one than the next is a gap, at which it ends. It returns what is to be applied, and the stream_seq and the
// offset reached.
func follow(records []*kgo.Record, last int64) (fresh []*kgo.Record, reached, end int64, gap error) {
	end = records[0].Offset
	for _, r := range records {
		text, ok := header(r, "stream_seq")
		if ok {
			seq, err := strconv.ParseInt(text, 10, 64)
			switch {
			case err != nil || seq < 1:
				return fresh, last, end, fmt.Errorf("offset %d: stream_seq %q is no number", r.Offset, text)
			case seq > last+1:
				return fresh, last, end, fmt.Errorf("gap: stream_seq %d follows %d at offset %d: nothing is applied from here on", seq, last, r.Offset)
			case seq == last+1:
				fresh = append(fresh, r)
				last = seq
			}
		}
		end = r.Offset + 1
	}
	return fresh, last, end, nil
}

func header(r *kgo.Record, key string) (value string, ok bool) {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value), true
		}
	}
	return "", false
}

// applyAll applies records in their order, consecutive lines by one statement.
func (a *applier) applyAll(ctx context.Context, tx pgx.Tx, records []*kgo.Record) error {
	var lines []string
	flush := func() error {
		if len(lines) == 0 {
			return nil
		}
		_, err := tx.Exec(ctx, `SELECT apply_lines($1)`, lines)
		lines = nil
		return err
	}
	for _, r := range records {
		switch kind, _ := header(r, "ce_type"); kind {
		case kindLine:
			lines = append(lines, string(r.Value))
		case kindManifest:
			if err := flush(); err != nil {
				return err
			}
			if err := a.applyManifest(ctx, tx, r); err != nil {
				return fmt.Errorf("batch %s at offset %d: %w", r.Key, r.Offset, err)
			}
		}
	}
	return flush()
}
