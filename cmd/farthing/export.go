package main

import (
	"errors"
	"fmt"
	"time"

	"farthing/engine"
	"farthing/export"
	"farthing/journal"
)

// exportCmd is `farthing export` and what is below it.
type exportCmd struct {
	Write exportWriteCmd `cmd:"" default:"withargs" help:"Write the history of a data directory as files."`
	Check exportCheckCmd `cmd:"" help:"Check that an export is whole."`
}

type exportWriteCmd struct {
	Data         string `help:"The data directory. No server may be running on it; a restored backup will do." required:"" placeholder:"DIR"`
	To           string `help:"Directory for the files. What it holds of the same ledger is kept and gone on from." required:"" placeholder:"DIR"`
	Format       string `help:"How commands are written: ${enum}." enum:"ndjson,parquet" default:"ndjson"`
	PartCommands uint64 `help:"Commands after which a part ends." default:"4000000" group:"Advanced"`
	PartBytes    int64  `help:"Bytes of commands after which a part ends." default:"1073741824" group:"Advanced"`
}

// Help is the long help of the command.
func (exportWriteCmd) Help() string {
	return `Every command of the journal becomes a row: what it says in words, and its exact
bytes. Files are NDJSON compressed with gzip, or Parquet, in parts with a manifest
each; docs/export.md describes them. An export that is stopped goes on where it
was, and so does one that was made last month.

    farthing export --data ./restored --to ./export --format parquet
    farthing export check ./export
    farthing import --from ./export --data ./again`
}

// Run exports.
func (c *exportWriteCmd) Run(ctx *Context) error {
	if c.PartCommands == 0 || c.PartBytes <= 0 {
		return usageError{errors.New("--part-commands and --part-bytes must be positive")}
	}
	src, err := engine.OpenExporter(journal.Options{Dir: c.Data, Logger: ctx.Log})
	if err != nil {
		return fmt.Errorf("%s: %w", c.Data, err)
	}
	progress := newWorkProgress(ctx, "exporting")
	out, err := export.Write(ctx.Ctx, src, export.Options{Dir: c.To, Encoding: export.Encoding(c.Format), PartCommands: c.PartCommands,
		PartBytes: c.PartBytes, Progress: progress.tell})
	progress.end()
	if err := errors.Join(err, src.Close()); err != nil {
		return fmt.Errorf("%s: %w", c.To, err)
	}
	if out.Kept > 0 {
		if _, err := fmt.Fprintf(ctx.Stdout, "%s parts were there\n", thousands(out.Kept)); err != nil {
			return err
		}
	}
	return writeParts(ctx.Stdout, "exported", out.Parts, out.Commands, out.Last)
}

type exportCheckCmd struct {
	Dir string `arg:"" help:"Directory of an export." placeholder:"DIR"`
}

// Help is the long help of the command.
func (exportCheckCmd) Help() string {
	return `Reads every file, makes the blocks of the journal of the commands' bytes, and checks
their hash chain, that every column is what the bytes say, that the rows are those
of the batches that were sealed, and that the parts follow each other. The exit
code is 0 only if all is in order; else the first file that is not is named, with
the sequence.`
}

// Run checks.
func (c *exportCheckCmd) Run(ctx *Context) error {
	began := time.Now()
	progress := newWorkProgress(ctx, "checking")
	r, err := export.Check(ctx.Ctx, export.CheckOptions{Dir: c.Dir, Progress: progress.tell})
	progress.end()
	if err != nil {
		return fmt.Errorf("%s: %w", c.Dir, err)
	}
	if _, err := fmt.Fprintf(ctx.Stdout, "in order: checked in %v\n  ledger     %s\n  parts      %s\n  sequences  %s to %s\n  blocks     %s\n  rows       %s\n  head       %s\n",
		time.Since(began).Round(time.Millisecond), r.Ledger, thousands(r.Parts), thousands(r.First), thousands(r.Last), thousands(r.Blocks), thousands(r.Rows), r.Head); err != nil {
		return err
	}
	if r.First > 1 {
		_, err = fmt.Fprintf(ctx.Stdout, "the history before sequence %s is not here\n", thousands(r.First))
	}
	return err
}
