package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"farthing/prices/catalogue"
)

type pricesCatalogueCmd struct {
	EffectiveFrom time.Time `help:"When the version comes into force, RFC 3339; it has the prices that the vendors list for that moment. Default: 1970, so for every event, with the prices of the day on which they were read." placeholder:"TIME"`
	Table         bool      `help:"Print a table for humans instead: the standard tier per million tokens, where and when it was read."`
	Output        string    `short:"o" help:"Where the result goes; - is standard output." default:"-" placeholder:"FILE"`
}

// Help is the long help of the command.
func (pricesCatalogueCmd) Help() string {
	return `The catalogue holds list prices of widely used models, with the vendor's page
and the day on which each was read. Without --table the result is a version for
PUT /v1/prices/{version}:

    farthing prices catalogue > book.json
    curl -X PUT -H 'Content-Type: application/json' --data-binary @book.json \
        http://127.0.0.1:8080/v1/prices/catalogue-1

An event names its model as the dimension "model" and its tier, if not the
standard one, as "service_tier": batch, flex, priority or off_peak.`
}

// Run prints the catalogue. Announced changes of prices go to standard error:
// each needs a version of its own.
func (c *pricesCatalogueCmd) Run(ctx *Context) error {
	list, from := catalogue.Open(), c.EffectiveFrom
	if from.IsZero() {
		from = time.Unix(0, 0)
	}
	if c.Table {
		return c.write(ctx, []byte(catalogueTable(list.Models(), from)))
	}
	if err := c.write(ctx, list.Document(from)); err != nil {
		return err
	}
	return writeChanges(ctx.Stderr, list.Changes(), from)
}

func (c *pricesCatalogueCmd) write(ctx *Context, text []byte) error {
	if c.Output == "-" {
		_, err := ctx.Stdout.Write(text)
		return err
	}
	return os.WriteFile(c.Output, text, 0o644)
}

func writeChanges(w io.Writer, changes []catalogue.Change, from time.Time) error {
	for _, change := range changes {
		if !change.At.After(from) {
			continue
		}
		at := change.At.Format(time.RFC3339)
		if _, err := fmt.Fprintf(w, "prices of %s change at %s: put a version made with --effective-from %s, too\n",
			strings.Join(change.Models, ", "), at, at); err != nil {
			return err
		}
	}
	return nil
}

func catalogueTable(models []catalogue.Model, at time.Time) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Options.DrawBorder = false
	t.Style().Options.SeparateColumns = false
	t.Style().Format.Header = text.FormatDefault
	right := func(name string) table.ColumnConfig {
		return table.ColumnConfig{Name: name, Align: text.AlignRight, AlignHeader: text.AlignRight}
	}
	t.SetColumnConfigs([]table.ColumnConfig{right("Input"), right("Cached"), right("Output")})
	t.AppendHeader(table.Row{"Vendor", "Model", "Input", "Cached", "Output", "Also", "Read", "From", "Page"})
	for i := range models {
		t.AppendRow(catalogueRow(&models[i], at))
	}
	return t.Render() + "\n"
}

func catalogueRow(m *catalogue.Model, at time.Time) table.Row {
	sets := m.Sets(at)
	prices := map[string]string{}
	for _, c := range sets[0].Components {
		switch {
		case !c.Stated:
		case c.AboveTokens != "":
			prices[c.Name] = c.Unit + " (above " + c.AboveTokens + ": " + c.AboveUnit + ")"
		default:
			prices[c.Name] = c.Unit
		}
	}
	var tiers []string
	for _, set := range sets[1:] {
		tiers = append(tiers, set.Tier)
	}
	return table.Row{
		m.Vendor, m.Names[0], prices["input"], prices["cached_input"], prices["output"],
		strings.Join(tiers, " "), m.Read, string(m.From), m.Page,
	}
}
