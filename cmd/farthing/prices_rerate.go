package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"farthing/bench"
	"farthing/bench/client"

	"github.com/jedib0t/go-pretty/v6/table"
)

// pricesRerateCmd is `farthing prices rerate`.
type pricesRerateCmd struct {
	repricingFlags
	serverFlags
	ID      string `name:"id" help:"Id of the rerate: repeated with the same id, nothing is posted twice. Default: made of the time." placeholder:"ID"`
	Confirm bool   `help:"Post without being asked."`
}

// Help is the long help of the command.
func (pricesRerateCmd) Help() string {
	return `For a price version that was put for the past: every event of the stretch that
the book now gives to this version, and another version rated, is taken back
and rated anew, by counter-transfers in the open settlement window. What was
paid goes back to where it came from.

First the difference is shown, by customer, model and component. It is posted
only after "y" on the terminal, or with --confirm; otherwise the command ends
with exit code 1 and nothing is posted.

    farthing prices rerate --version 2026-11-fixed --from 2026-11-01
    farthing prices rerate --version 2026-11-fixed --from 2026-11-01 --confirm

Once begun it goes on by itself, also when this command is stopped and when the
server restarts. The same command with the same --id follows it again.`
}

// errNotPosted ends a rerate that nobody confirmed.
var errNotPosted = errors.New("not confirmed: nothing was posted")

// Run shows the difference, asks, posts and follows.
func (c *pricesRerateCmd) Run(ctx *Context) error {
	server := c.client()
	defer server.Close()
	if c.ID != "" {
		switch _, err := server.RerateStatus(ctx.Ctx, c.ID); {
		case err == nil: // it was confirmed
			return c.post(ctx, server, 0)
		case client.CodeOf(err) != "not_found":
			return err
		}
	}
	events, err := c.preview(ctx, server)
	if err != nil || events == 0 {
		return err
	}
	if !c.Confirm && (!ctx.asks() || !confirmed(ctx.Stdin, ctx.Stdout)) {
		return errNotPosted
	}
	if c.ID == "" {
		c.ID = "rerate-" + time.Now().UTC().Format("20060102T150405.000000000Z")
	}
	return c.post(ctx, server, events)
}

// post begins the rerate, or finds it begun, and follows it.
func (c *pricesRerateCmd) post(ctx *Context, server *client.Client, events uint64) error {
	r, err := server.Rerate(ctx.Ctx, c.Version, c.ID, c.From, c.To)
	if client.CodeOf(err) != "" {
		return err
	}
	if err != nil {
		return fmt.Errorf("whether it has begun is not known; run it again with --id %s: %w", c.ID, err)
	}
	return c.follow(ctx, server, r, events)
}

// preview prints the difference and returns how many events it is about.
func (c *pricesRerateCmd) preview(ctx *Context, server *client.Client) (events uint64, err error) {
	progress := newWorkProgress(ctx, "looking at past events")
	r, err := server.PreviewRerate(ctx.Ctx, c.Version, c.From, c.To, progress.tell)
	progress.end()
	if err != nil {
		return 0, err
	}
	out := ctx.Stdout
	if r.Unpriced > 0 {
		_, err = fmt.Fprintf(out, "Events that have no price in version %s, and stay as they are: %s.\n", c.Version, bench.Thousands(int64(r.Unpriced)))
	}
	if r.Events == 0 {
		_, more := fmt.Fprintf(out, "There is nothing to post: from %s no event that version %s is for was rated with another one.\n", c.stretch(), c.Version)
		return 0, errors.Join(err, more)
	}
	_, more := fmt.Fprintf(out, "version %s rates %s events anew, from %s:\n", c.Version, bench.Thousands(int64(r.Events)), c.stretch())
	return r.Events, errors.Join(err, more, writeRepricing(out, &r, c.All, ctx.Interactive))
}

// confirmed asks, and takes nothing but y or yes for a yes.
func confirmed(in io.Reader, out io.Writer) bool {
	if _, err := fmt.Fprint(out, "post this? [y/N] "); err != nil {
		return false
	}
	answer, _ := bufio.NewReader(in).ReadString('\n') // an end without an answer is a no
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// followEvery is how often a rerate is asked how far it is.
const followEvery = 250 * time.Millisecond

// follow waits for the end of a rerate and prints what it moved. events is how many there
// will be; 0: not known.
func (c *pricesRerateCmd) follow(ctx *Context, server *client.Client, r client.Rerate, events uint64) error {
	progress := newWorkProgress(ctx, "posting "+c.ID)
	ticker := time.NewTicker(followEvery)
	defer ticker.Stop()
	for r.State != "done" {
		if events > 0 {
			progress.tell(r.Events, events)
		}
		select {
		case <-ticker.C:
		case <-ctx.Ctx.Done():
			progress.end()
			return fmt.Errorf("rerate %s goes on without us; follow it with --id %s", c.ID, c.ID)
		}
		err := client.Retry(ctx.Ctx, followEvery, func(call context.Context) (err error) {
			r, err = server.RerateStatus(call, c.ID)
			return err
		})
		if err != nil && ctx.Ctx.Err() == nil {
			progress.end()
			return fmt.Errorf("rerate %s goes on without us; follow it with --id %s: %w", c.ID, c.ID, err)
		}
	}
	progress.end()
	return writeRerate(ctx.Stdout, &r, ctx.Interactive)
}

func writeRerate(w io.Writer, r *client.Rerate, terminal bool) error {
	if _, err := fmt.Fprintf(w, "rerate %s is done: %s events rated anew with version %s\n", r.ID, bench.Thousands(int64(r.Events)), r.Version); err != nil {
		return err
	}
	if len(r.Totals) == 0 {
		return nil
	}
	t := newAmountTable(terminal, 2, 3, 4)
	t.AppendHeader(table.Row{"currency", "returned", "charged", "difference"})
	for _, total := range r.Totals {
		places := max(decimals(total.Returned), decimals(total.Charged))
		t.AppendRow(table.Row{total.Currency, total.Returned.StringFixed(places), total.Charged.StringFixed(places), signed(total.Difference, places)})
	}
	_, err := fmt.Fprintln(w, t.Render())
	return err
}
