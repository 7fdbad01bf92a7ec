package main

import (
	"fmt"

	"farthing/bench"
)

// pricesSimulateCmd is `farthing prices simulate`.
type pricesSimulateCmd struct {
	repricingFlags
	serverFlags
	JSON bool `name:"json" help:"Print the result as JSON, as the server sent it, with every row."`
}

// Help is the long help of the command.
func (pricesSimulateCmd) Help() string {
	return `Rates the events of a stretch of time as if the price version had been in force,
and prints what would differ, by customer, model and component. Nothing is
posted. Events that no version priced count with what this one makes of them;
voided ones do not count.

    farthing prices put 2027-draft book.json   # effective in the future
    farthing prices simulate --version 2027-draft --from 2026-11-01 --to 2026-12-01

The work is the server's; it takes a share of it for as long as it lasts, and
ends when this command does.`
}

// Run asks the server and prints the result.
func (c *pricesSimulateCmd) Run(ctx *Context) error {
	server := c.client()
	defer server.Close()
	progress := newWorkProgress(ctx, "simulating "+c.Version)
	r, err := server.Simulate(ctx.Ctx, c.Version, c.From, c.To, progress.tell)
	progress.end()
	if err != nil {
		return err
	}
	if c.JSON {
		_, err := fmt.Fprintf(ctx.Stdout, "%s\n", r.Raw)
		return err
	}
	if _, err := fmt.Fprintf(ctx.Stdout, "version %s on %s events, %s:\n", c.Version, bench.Thousands(int64(r.Events)), c.stretch()); err != nil {
		return err
	}
	if err := writeRepricing(ctx.Stdout, &r, c.All, ctx.Interactive); err != nil {
		return err
	}
	if r.Unpriced > 0 {
		_, err = fmt.Fprintf(ctx.Stdout, "Events that have no price in this version, and are in no sum: %s.\n", bench.Thousands(int64(r.Unpriced)))
	}
	return err
}
