package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"farthing/bench"
	"farthing/engine"
	"farthing/journal"
	"farthing/publish"
	"farthing/reconcile"

	"github.com/jedib0t/go-pretty/v6/table"
)

// reconcileCmd is `farthing reconcile`.
type reconcileCmd struct {
	Kafka        []string `help:"Brokers to read from, host:port separated by commas." required:"" placeholder:"BROKER"`
	KafkaTopic   string   `name:"topic" aliases:"kafka-topic" env:"FARTHING_KAFKA_TOPIC" help:"The topic." default:"farthing.settlements"`
	URL          string   `help:"The ledger's server; an address without http:// will do." placeholder:"URL" xor:"ledger" required:""`
	KeyFile      string   `help:"File with an API key of scope read, for --url." placeholder:"FILE"`
	Data         string   `help:"The ledger's data directory instead. No server may be running on it." placeholder:"DIR" xor:"ledger" required:""`
	AllowPending bool     `help:"Be content when the last batches are sealed and not yet published."`
	JSON         bool     `help:"Print the report as JSON."`

	kafkaFlags
}

// Help is the long help of the command.
func (reconcileCmd) Help() string {
	return `Reads the topic from its first record as a consumer does and compares each record
with the ledger's: every sealed batch must be there once, byte for byte, without a gap in
stream_seq, the lines adding up to their manifest, at the place that the ledger names. A
record that stands twice is reported and allowed if both are equal: consumers drop the second.
With --url the headers key_id and signature are compared too; a data directory does not tell them.

    farthing reconcile --kafka kafka-1:9092 --url http://127.0.0.1:8080

The exit code is 0 if all agrees, 1 if anything differs or is not yet published (see
--allow-pending), 2 for a wrong command line, 3 if broker, server or data could not be read.`
}

// Run compares and prints what was found.
func (c *reconcileCmd) Run(ctx *Context) error {
	if err := c.load(); err != nil {
		return usageError{err}
	}
	topic, err := publish.NewTopicReader(publish.Options{Brokers: c.Kafka, Topic: c.KafkaTopic, TLS: c.tls, SASL: c.sasl, Logger: ctx.Log})
	if err != nil {
		return usageError{err}
	}
	ledger, done, err := c.ledger(ctx)
	if err != nil {
		return err
	}
	o := reconcile.Options{Ledger: ledger, Topic: topic}
	if ctx.StderrTerminal {
		progress := newWorkProgress(ctx, "reading "+c.KafkaTopic)
		defer progress.end()
		o.Progress = progress.tell
	}
	report, err := reconcile.Run(ctx.Ctx, o)
	if err := errors.Join(err, done()); err != nil {
		return unknownError{err}
	}
	if err := c.write(ctx, &report); err != nil {
		return err
	}
	return report.Err(c.AllowPending)
}

// ledger opens the side that is right.
func (c *reconcileCmd) ledger(ctx *Context) (l reconcile.Ledger, done func() error, err error) {
	if c.Data == "" {
		key, err := c.key()
		if err != nil {
			return nil, nil, usageError{fmt.Errorf("--key-file: %w", err)}
		}
		server := serverFlags{Server: c.URL}
		h := reconcile.NewHTTP(server.url(), key)
		return h, func() error { h.Close(); return nil }, nil
	}
	if c.KeyFile != "" {
		return nil, nil, usageError{errors.New("--key-file is for --url; a data directory needs no key")}
	}
	sealed, err := engine.OpenSealed(journal.Options{Dir: c.Data, Logger: ctx.Log})
	if err != nil {
		return nil, nil, unknownError{fmt.Errorf("%s: %w", c.Data, err)}
	}
	return sealedLedger{sealed}, sealed.Close, nil
}

// key reads the API key; "" for none.
func (c *reconcileCmd) key() (string, error) {
	if c.KeyFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.KeyFile)
	key := strings.TrimSpace(string(text))
	if err == nil && (key == "" || strings.ContainsAny(key, " \n")) {
		err = fmt.Errorf("%s does not hold one key", c.KeyFile)
	}
	return key, err
}

// sealedLedger is a data directory as reconcile wants it.
type sealedLedger struct{ sealed *engine.Sealed }

// sealedPage is how many lines are read at once: some eight rows.
const sealedPage = 1024

// Batches implements reconcile.Ledger.
func (l sealedLedger) Batches(context.Context) ([]reconcile.Batch, error) {
	var out []reconcile.Batch
	for _, b := range l.sealed.Batches() {
		item := reconcile.Batch{Manifest: b.Manifest}
		if p := b.Published; p != nil {
			item.Published = &reconcile.Place{Topic: p.Topic, Partition: p.Partition, FirstOffset: p.FirstOffset, LastOffset: p.LastOffset}
		}
		out = append(out, item)
	}
	return out, nil
}

// Lines implements reconcile.Ledger.
func (l sealedLedger) Lines(_ context.Context, batchID string, from uint32) ([][]byte, error) {
	return l.sealed.Lines(batchID, from, sealedPage)
}

func (c *reconcileCmd) write(ctx *Context, r *reconcile.Report) error {
	if c.JSON {
		e := json.NewEncoder(ctx.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(r.View(c.AllowPending))
	}
	return writeReconciled(ctx.Stdout, r, c.AllowPending, ctx.Interactive)
}

// writeReconciled writes the report for people.
func writeReconciled(w io.Writer, r *reconcile.Report, allowPending, terminal bool) error {
	count := func(n uint64) string { return bench.Thousands(int64(n)) }
	verdict := "all agrees"
	if !r.Green(allowPending) {
		verdict = "NOT all agrees"
	}
	_, err := fmt.Fprintf(w, `%s: topic %s/%d, offsets %d to %d, against ledger %s
  records      %s read: %s applied, %s equal repeats, %s fences, %s of others without stream_seq
  batches      %s sealed, %s whole in the topic
  pending      %s records of %s batches
  differences  %s
`, verdict, r.Topic, r.Partition, r.FirstOffset, r.EndOffset, r.Ledger, count(r.Read), count(r.Applied), count(r.Repeats), count(r.Fences),
		count(r.Foreign), count(r.Batches), count(r.Whole), count(r.Pending.Records), count(r.Pending.Batches), count(r.DifferenceCount()))
	for _, t := range []table.Writer{currencyTable(r, terminal), sourceTable(r, terminal), differenceTable(r, terminal)} {
		if t.Length() > 0 && err == nil {
			_, err = fmt.Fprintln(w, t.Render())
		}
	}
	return err
}

func currencyTable(r *reconcile.Report, terminal bool) table.Writer {
	t := newAmountTable(terminal, 3, 4, 5, 6)
	t.AppendHeader(table.Row{"currency", "", "batches", "lines", "paid", "collected"})
	for _, c := range r.Currencies {
		for _, side := range []struct {
			name  string
			tally reconcile.Tally
		}{{"ledger", c.Sealed}, {"topic", c.Found}} {
			t.AppendRow(table.Row{c.Currency, side.name, bench.Thousands(int64(side.tally.Batches)), bench.Thousands(int64(side.tally.Lines)),
				side.tally.Paid, side.tally.Collected})
		}
	}
	return t
}

// sourceTable names who else writes to the topic. It is empty where nobody does.
func sourceTable(r *reconcile.Report, terminal bool) table.Writer {
	t := newAmountTable(terminal, 2, 3)
	t.AppendHeader(table.Row{"records of others, by ce_source", "with stream_seq", "without"})
	for _, s := range r.Sources {
		if !s.Known {
			t.AppendRow(table.Row{s.Source, bench.Thousands(int64(s.Records)), bench.Thousands(int64(s.Control))})
		}
	}
	return t
}

func differenceTable(r *reconcile.Report, terminal bool) table.Writer {
	t := newAmountTable(terminal, 2, 3, 5)
	t.AppendHeader(table.Row{"difference", "stream_seq", "offset", "batch", "line", ""})
	for _, d := range r.Differences {
		seq, offset, line := fmt.Sprint(d.StreamSeq), "", ""
		if d.Last > d.StreamSeq {
			seq = fmt.Sprintf("%d–%d", d.StreamSeq, d.Last)
		}
		if d.Offset != nil {
			offset = fmt.Sprint(*d.Offset)
		}
		if d.Line > 0 {
			line = fmt.Sprint(d.Line)
		}
		t.AppendRow(table.Row{string(d.Kind), seq, offset, fmt.Sprintf("%.12s", d.BatchID), line, d.Detail})
	}
	if more := r.DifferenceCount() - uint64(len(r.Differences)); more > 0 {
		t.AppendRow(table.Row{fmt.Sprintf("(%s more)", bench.Thousands(int64(more)))})
	}
	return t
}
