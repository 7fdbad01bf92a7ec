package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"farthing/bench"
	"farthing/engine"
	"farthing/journal"
)

// verifyCmd is `farthing verify`.
type verifyCmd struct {
	Data string `help:"The data directory. No server may be running on it." required:"" placeholder:"DIR"`
}

// Help is the long help of the command.
func (verifyCmd) Help() string {
	return `Reads the journal from its first command, checks the hash chain, rates and
posts everything again and compares what comes out with what is stored: every
amount and balance, every batch and line. Every block of every table file is
held against its checksum first. Nothing on disk is changed. The exit code is 0
only if all agrees; else the first difference is named, and of damage the file,
the sequences and what to do.`
}

// Run verifies and prints what was found to agree.
func (c *verifyCmd) Run(ctx *Context) error {
	var progress func(done, total uint64)
	if ctx.StderrTerminal {
		progress = percentLine(ctx.Stderr)
	}
	began := time.Now()
	report, err := c.verify(ctx, progress)
	if progress != nil {
		_, _ = fmt.Fprint(ctx.Stderr, "\r\x1b[K") // away with the progress line
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.Data, err)
	}
	return writeVerifyReport(ctx.Stdout, report, time.Since(began))
}

// verify runs the checker beside a watch on the context. The checker itself
// cannot be interrupted; since it only reads, it may be left to the end of the
// process, which comes next.
func (c *verifyCmd) verify(ctx *Context, progress func(done, total uint64)) (engine.VerifyReport, error) {
	type outcome struct {
		report engine.VerifyReport
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		report, err := engine.Verify(engine.VerifyOptions{Journal: journal.Options{Dir: c.Data, Logger: ctx.Log}, Progress: progress})
		done <- outcome{report, err}
	}()
	select {
	case o := <-done:
		return o.report, o.err
	case <-ctx.Ctx.Done():
		return engine.VerifyReport{}, errors.Join(errors.New("interrupted, nothing is known"), context.Cause(ctx.Ctx))
	}
}

// percentLine writes a line over itself, once a percent.
func percentLine(w io.Writer) func(done, total uint64) {
	shown := -1
	return func(done, total uint64) {
		percent := int(float64(done) / float64(max(total, 1)) * 100)
		if percent == shown {
			return
		}
		shown = percent
		_, _ = fmt.Fprintf(w, "\rverifying: %3d %% of %s commands", percent, bench.Thousands(int64(total)))
	}
}

// baseLine tells where the history begins; nothing if that is with the ledger.
func baseLine(r *engine.VerifyReport) string {
	if r.Base == 0 {
		return ""
	}
	return fmt.Sprintf("  begins       after sequence %s of %s, with the base %s; %s parts are exported\n", bench.Thousands(int64(r.Base)),
		time.Unix(0, r.BaseTime).UTC().Format(time.RFC3339), r.BaseHash, bench.Thousands(int64(r.Parts)))
}

func writeVerifyReport(w io.Writer, r engine.VerifyReport, took time.Duration) error {
	count := func(n uint64) string { return bench.Thousands(int64(n)) }
	_, err := fmt.Fprintf(w, `all agrees: %s commands verified in %v
  ledger       %s
%s  blocks       %s
  events       %s, %s of them unpriced
  accounts     %s
  windows      %s, with %s batches and %s lines
  checkpoints  %s
  id runs      %s
  table files  %s
  head         %s
`, count(r.Sequences-r.Base), took.Round(time.Millisecond), r.Ledger, baseLine(&r), count(r.Blocks), count(r.Events), count(r.Unpriced), count(r.Accounts),
		count(r.Windows), count(r.Batches), count(r.Lines), count(r.Checkpoints), count(r.Runs), count(r.Files), r.Head)
	return err
}
