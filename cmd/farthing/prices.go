package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"farthing/meter"
	"farthing/prices"
)

// priceListBytesMax bounds a price list; the public one has under a megabyte.
const priceListBytesMax = 64 << 20

type pricesCmd struct {
	Import    pricesImportCmd    `cmd:"" help:"Convert a public price list into a price book version."`
	Catalogue pricesCatalogueCmd `cmd:"" help:"Print the list prices that come with the program as a price book version."`
}

type pricesImportCmd struct {
	File            string    `arg:"" help:"The list, or - for standard input." placeholder:"FILE"`
	Format          string    `help:"Format of the list: ${enum}." enum:"litellm" required:"" placeholder:"FORMAT"`
	VersionID       string    `name:"price-version" aliases:"version" help:"Id of the version, for the hint on how to put it. Default: litellm- and the start of the list's SHA-256." placeholder:"ID"`
	EffectiveFrom   time.Time `help:"When the version comes into force, RFC 3339. Default: 1970, so for every event. No two versions may share a time." placeholder:"TIME"`
	PayeeByProvider bool      `help:"Pay each price to the account named like its provider. Create the accounts first. Default: the operator."`
	IncludeFree     bool      `help:"Also import entries whose every price is zero. Default: list them as unpriced."`
	Output          string    `short:"o" help:"Where the version goes; - is standard output." default:"-" placeholder:"FILE"`
	Verbose         bool      `short:"v" help:"List every entry and field that was not imported, not only their number."`
}

// Help is the long help of the command.
func (pricesImportCmd) Help() string {
	return `The version is JSON for PUT /v1/prices/{version}. It goes to standard output
or to -o; what could not be imported, and why, goes to standard error. Every
entry of the list either becomes a price or is counted there.

    farthing prices import --format litellm model_prices.json -o book.json
    curl -X PUT -H 'Content-Type: application/json' --data-binary @book.json \
        http://127.0.0.1:8080/v1/prices/litellm-2026-11

An event names its model as the dimension "model". Tokens count as input,
cached_input, cache_write, output, reasoning_output and so on; each token
belongs to one of them.`
}

// Run converts the list.
func (c *pricesImportCmd) Run(ctx *Context) error {
	text, err := c.read(ctx)
	if err != nil {
		return err
	}
	version := c.VersionID
	if version == "" {
		sum := sha256.Sum256(text)
		version = "litellm-" + hex.EncodeToString(sum[:6])
	}
	if !meter.ValidID([]byte(version)) {
		return usageError{fmt.Errorf("--price-version %q is no id: want 1 to %d of A-Z a-z 0-9 . _ : - / @", version, meter.MaxIDBytes)}
	}
	doc, report, err := prices.ImportLiteLLM(text, prices.Options{
		EffectiveFrom:   c.EffectiveFrom,
		PayeeByProvider: c.PayeeByProvider,
		IncludeFree:     c.IncludeFree,
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if err := report.Write(ctx.Stderr, c.Verbose); err != nil {
		return err
	}
	if len(doc.Prices) == 0 {
		return fmt.Errorf("%s: nothing in it can be imported", c.File)
	}
	if err := c.write(ctx, doc.AppendJSON(nil)); err != nil {
		return err
	}
	_, err = fmt.Fprintf(ctx.Stderr, "put it as /v1/prices/%s\n", version)
	return err
}

func (c *pricesImportCmd) read(ctx *Context) (text []byte, err error) {
	in := ctx.Stdin
	if c.File != "-" {
		file, err := os.Open(c.File)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }() // read only: closing cannot lose anything
		in = file
	}
	text, err = io.ReadAll(io.LimitReader(in, priceListBytesMax+1))
	if err == nil && len(text) > priceListBytesMax {
		err = errors.New("larger than 64 MiB")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.File, err)
	}
	return text, nil
}

func (c *pricesImportCmd) write(ctx *Context, body []byte) error {
	if c.Output == "-" {
		_, err := ctx.Stdout.Write(body)
		return err
	}
	return os.WriteFile(c.Output, body, 0o644)
}
