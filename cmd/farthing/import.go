package main

import (
	"fmt"
	"time"

	"farthing/export"
	"farthing/journal"
)

// importCmd is `farthing import`.
type importCmd struct {
	From string `help:"Directory of an export." required:"" placeholder:"DIR"`
	Data string `help:"The data directory to be: absent or empty." required:"" placeholder:"DIR"`
}

// Help is the long help of the command.
func (importCmd) Help() string {
	return `Makes a ledger of an export: the same history to the last hash, and so the same
balances, batches, proofs and identities. Everything is checked as farthing export
check does, and then derived anew as farthing verify does, before it is in its
place: after an error there is nothing there. Webhooks and keys are no part of an
export. What farthing restore says of Kafka holds here too.`
}

// Run imports.
func (c *importCmd) Run(ctx *Context) error {
	began := time.Now()
	reading, verifying := newWorkProgress(ctx, "reading"), newWorkProgress(ctx, "verifying")
	report, err := export.Import(ctx.Ctx, export.ImportOptions{Dir: c.From, Data: journal.Options{Dir: c.Data, Logger: ctx.Log}, Progress: reading.tell,
		Verifying: func(done, total uint64) {
			reading.end()
			verifying.tell(done, total)
		}})
	reading.end()
	verifying.end()
	if err != nil {
		return fmt.Errorf("%s: %w", c.From, err)
	}
	if _, err := fmt.Fprintf(ctx.Stdout, "imported %s to %s\n", c.From, c.Data); err != nil {
		return err
	}
	return writeVerifyReport(ctx.Stdout, report, time.Since(began))
}
