package main

import (
	"fmt"
	"io"
	"time"

	"farthing/bench"
	"farthing/engine"
	"farthing/journal"
)

// restoreCmd is `farthing restore`.
type restoreCmd struct {
	From string `help:"The directory of a backup." required:"" placeholder:"DIR"`
	Data string `help:"The data directory to be: absent or empty." required:"" placeholder:"DIR"`
	Link bool   `help:"Use hard links for files that never change, where the disk is the same. They are lost together then."`
}

// Help is the long help of the command.
func (restoreCmd) Help() string {
	return `Copies a backup to a new data directory, and verifies the copy in full, as farthing
verify does, before it is in its place: after an error there is nothing there.

Put the key that signs batches into the directory, or name it with --signing-key,
before the server starts: it does not go on with another one. What was answered after
the backup is lost; clients that send it again are booked. If settlements after
the backup were published, the relay refuses to go on (state forked): read
docs/operations.md first.`
}

// Run restores.
func (c *restoreCmd) Run(ctx *Context) error {
	began := time.Now()
	copying, verifying := newWorkProgress(ctx, "copying"), newWorkProgress(ctx, "verifying")
	o := engine.RestoreOptions{From: c.From, Data: journal.Options{Dir: c.Data, Logger: ctx.Log}, Link: c.Link, Progress: copying.tell}
	o.Verifying = func(done, total uint64) {
		copying.end()
		verifying.tell(done, total)
	}
	said, report, err := engine.Restore(o)
	copying.end()
	verifying.end()
	if err != nil {
		return fmt.Errorf("%s: %w", c.From, err)
	}
	if _, err := fmt.Fprintf(ctx.Stdout, "restored backup %s of %s to %s\n", said.ID, said.Time.Format(time.RFC3339), c.Data); err != nil {
		return err
	}
	return writeVerifyReport(ctx.Stdout, report, time.Since(began))
}

func thousands(n uint64) string { return bench.Thousands(int64(n)) }

// writeParts says what an export holds.
func writeParts(w io.Writer, what string, parts, commands, last uint64) error {
	_, err := fmt.Fprintf(w, "%s: %s parts with %s commands, to sequence %s\n", what, thousands(parts), thousands(commands), thousands(last))
	return err
}
