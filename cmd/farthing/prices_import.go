package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"farthing/meter"
	"farthing/prices"
)

// priceListBytesMax bounds a price list; the public one has under a megabyte.
const priceListBytesMax = 64 << 20

type pricesImportCmd struct {
	File            string    `arg:"" help:"The list, or - for standard input." placeholder:"FILE"`
	Format          string    `help:"Format of the list: ${enum}." enum:"litellm,csv" required:"" placeholder:"FORMAT"`
	VersionID       string    `name:"price-version" aliases:"version" help:"Id of the version, for the hint on how to put it. Default: the format and the start of the list's SHA-256." placeholder:"ID"`
	EffectiveFrom   time.Time `help:"When the version comes into force, RFC 3339. Default: 1970, so for every event. No two versions may share a time." placeholder:"TIME"`
	PayeeByProvider bool      `help:"LiteLLM only: pay each price to the account named like its provider. Create the accounts first. Default: the operator."`
	IncludeFree     bool      `help:"LiteLLM only: also import entries whose every price is zero. Default: list them as unpriced."`
	Output          string    `aliases:"out" short:"o" help:"Where the version goes; - is standard output." default:"-" placeholder:"FILE"`
	Report          string    `help:"Where every entry and field goes with what became of it: JSON if the name ends in .json, else tab-separated. Default: nowhere." placeholder:"FILE"`
	Verbose         bool      `short:"v" help:"Name every entry and field that was not imported, and every derived price, not only their number."`
}

// Help is the long help of the command.
func (pricesImportCmd) Help() string {
	var columns strings.Builder
	for _, c := range prices.Columns {
		fmt.Fprintf(&columns, "\n\n    %s: %s.", c.Name, c.Means)
	}
	return `The version is JSON for PUT /v1/prices/{version}. It goes to standard output
or to -o; what could not be imported, and why, goes to standard error.

    farthing prices import --format litellm model_prices.json -o book.json
    curl -X PUT -H 'Content-Type: application/json' --data-binary @book.json \
        http://127.0.0.1:8080/v1/prices/litellm-2026-11

litellm: every entry of the list becomes a price or is counted with a reason,
and so is every price field in it. An event names its model as the dimension
"model" and its tier, if not the standard one, as "service_tier": batch,
priority or flex. Tokens count as input, cached_input, cache_write, output,
reasoning and so on; each token belongs to one of them.

csv: the first row names the columns, in any order. Each row prices one
component; rows with the same meter, currency and match columns make one price.
A component has one row, or one for each tier, or one and further ones with
above and of. A table with a problem is not imported; all problems are told at
once with row and column. The columns:` + columns.String()
}

// Run converts the list.
func (c *pricesImportCmd) Run(ctx *Context) error {
	if c.Format != "litellm" && (c.PayeeByProvider || c.IncludeFree) {
		return usageError{errors.New("--payee-by-provider and --include-free are for --format litellm")}
	}
	text, err := c.read(ctx)
	if err != nil {
		return err
	}
	version := c.VersionID
	if version == "" {
		sum := sha256.Sum256(text)
		version = c.Format + "-" + hex.EncodeToString(sum[:6])
	}
	if !meter.ValidID([]byte(version)) {
		return usageError{fmt.Errorf("--price-version %q is no id: want 1 to %d of A-Z a-z 0-9 . _ : - / @", version, meter.MaxIDBytes)}
	}
	doc, report, err := c.convert(text)
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	if err := c.report(ctx, report); err != nil {
		return err
	}
	if len(doc.Prices) == 0 {
		return fmt.Errorf("%s: nothing in it can be imported", c.File)
	}
	body := doc.AppendJSON(nil)
	if _, refused := meter.ParseVersion(version, body); refused != nil {
		return fmt.Errorf("%s: a server would refuse the version:\n  %s", c.File, strings.Join(refused.Problems, "\n  "))
	}
	if err := c.write(ctx, body); err != nil {
		return err
	}
	_, err = fmt.Fprintf(ctx.Stderr, "put it as /v1/prices/%s\n", version)
	return err
}

func (c *pricesImportCmd) convert(text []byte) (*prices.Document, *prices.Report, error) {
	opts := prices.Options{EffectiveFrom: c.EffectiveFrom, PayeeByProvider: c.PayeeByProvider, IncludeFree: c.IncludeFree}
	if c.Format == "csv" {
		return prices.ImportCSV(text, opts)
	}
	return prices.ImportLiteLLM(text, opts)
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

func (c *pricesImportCmd) report(ctx *Context, report *prices.Report) error {
	if err := report.Write(ctx.Stderr, c.Verbose); err != nil || c.Report == "" {
		return err
	}
	file, err := os.Create(c.Report)
	if err != nil {
		return err
	}
	return errors.Join(report.WriteFor(c.Report, file), file.Close())
}

func (c *pricesImportCmd) write(ctx *Context, body []byte) error {
	if c.Output == "-" {
		_, err := ctx.Stdout.Write(body)
		return err
	}
	return os.WriteFile(c.Output, body, 0o644)
}
