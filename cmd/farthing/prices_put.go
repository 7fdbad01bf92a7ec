package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"farthing/bench"
	"farthing/bench/client"
)

// pricesPutCmd is `farthing prices put`.
type pricesPutCmd struct {
	serverFlags
	ID   string `arg:"" name:"version" help:"Id of the version." placeholder:"VERSION"`
	File string `arg:"" help:"The version as JSON, or - for standard input." placeholder:"FILE"`
}

// Help is the long help of the command.
func (pricesPutCmd) Help() string {
	return `The file is what PUT /v1/prices/{version} takes, and what "farthing prices import"
and "farthing prices catalogue" write. A version never changes: put again with
the same content it is there already, with other content it is refused. If
anything is wrong with it, nothing of it is taken, and all problems are listed.`
}

// versionBytesMax is one more than the server reads.
const versionBytesMax = 8<<20 + 1

// Run puts the version and tells what the server says.
func (c *pricesPutCmd) Run(ctx *Context) error {
	body, err := c.read(ctx)
	if err != nil {
		return err
	}
	server := c.client()
	defer server.Close()
	status, answer, err := server.Do(ctx.Ctx, http.MethodPut, "/v1/prices/"+url.PathEscape(c.ID), "application/json", body)
	var no *client.Problem
	if errors.As(err, &no) {
		for _, problem := range no.Problems {
			if _, err := fmt.Fprintln(ctx.Stderr, problem); err != nil {
				return err
			}
		}
		if len(no.Problems) > 0 {
			return fmt.Errorf("version %s was refused: nothing of it was taken", c.ID)
		}
	}
	if err != nil {
		return err
	}
	var put struct {
		EffectiveFrom string `json:"effective_from"`
		PriceCount    int64  `json:"price_count"`
	}
	if err := json.Unmarshal(answer, &put); err != nil {
		return fmt.Errorf("unexpected answer: %w", err)
	}
	state := "put"
	if status == http.StatusOK {
		state = "there already"
	}
	_, err = fmt.Fprintf(ctx.Stdout, "version %s is %s: %s prices, effective from %s\n", c.ID, state, bench.Thousands(put.PriceCount), put.EffectiveFrom)
	return err
}

func (c *pricesPutCmd) read(ctx *Context) ([]byte, error) {
	if c.File == "-" {
		return io.ReadAll(io.LimitReader(ctx.Stdin, versionBytesMax))
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only: closing cannot lose anything
	return io.ReadAll(io.LimitReader(f, versionBytesMax))
}
