package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"farthing/batch"
	"farthing/bench/client"
	"farthing/export"
	"farthing/proof"

	"github.com/jedib0t/go-pretty/v6/table"
)

// proofCmd is `farthing proof`.
type proofCmd struct {
	Fetch   proofFetchCmd   `cmd:"" help:"Get the proof of an event, its manifest and the chain of manifests from a server, as files."`
	Check   proofCheckCmd   `cmd:"" help:"Check such files offline, knowing only the public key."`
	NewKey  proofNewKeyCmd  `cmd:"" help:"Make a key that signs manifests, for serve --signing-key."`
	ShowKey proofShowKeyCmd `cmd:"" help:"Print the public half of a signing key."`
}

// The files of a proof.
const (
	proofName    = "proof.json"
	manifestName = "manifest.json"
	chainName    = "chain.ndjson"
	keysName     = "keys.pem"
)

// proofCheckCmd is `farthing proof check`.
type proofCheckCmd struct {
	Proof    string   `help:"The proof: what GET /v1/events/{source}/{id}/proof answered." required:"" placeholder:"FILE"`
	Manifest string   `help:"The batch's manifest: what GET /v1/settlements/{batch_id} answered." required:"" placeholder:"FILE"`
	Chain    string   `help:"The currency's manifests, oldest first: a list, or one a line. Default: the chain is not checked." placeholder:"FILE"`
	Keys     []string `name:"key" help:"File of public keys (PEM) that are trusted, from somebody who is." required:"" placeholder:"FILE"`
}

// Help is the long help of the command.
func (proofCheckCmd) Help() string {
	return `Nothing is asked of anybody: the leaf is hashed up to the root of the tree, which has to be the
one in the manifest, which has to be signed by a key that is trusted; with --chain, each manifest
has to name the one before.

    farthing proof fetch --source gateway-1 --id req-81f3 --dir proof
    farthing proof check --proof proof/proof.json --manifest proof/manifest.json \
        --chain proof/chain.ndjson --key trusted.pem

The exit code is 0 if everything is so, 1 if anything is not, 2 for a wrong command line or a file
that cannot be read as what it should be.`
}

// Run checks and prints what was found.
func (c *proofCheckCmd) Run(ctx *Context) error {
	in, err := c.input()
	if err != nil {
		return usageError{err}
	}
	report := proof.Check(in)
	if err := writeReport(ctx, &report); err != nil {
		return err
	}
	return report.Err()
}

// proofBytesMax bounds the files: a chain of a century of hours is below it.
const proofBytesMax = 1 << 30

func (c *proofCheckCmd) input() (in proof.Input, err error) {
	for _, path := range c.Keys {
		keys, err := readPublicKeys(path)
		if err != nil {
			return in, fmt.Errorf("--key: %w", err)
		}
		in.Keys = append(in.Keys, keys...)
	}
	text, err := readBounded(c.Proof, proofBytesMax)
	if err == nil {
		in.Document, err = proof.ParseDocument(text)
	}
	if err != nil {
		return in, fmt.Errorf("--proof %s: %w", c.Proof, err)
	}
	manifests, err := readManifests(c.Manifest)
	switch {
	case err != nil:
		return in, fmt.Errorf("--manifest %s: %w", c.Manifest, err)
	case len(manifests) != 1:
		return in, fmt.Errorf("--manifest %s: it holds %d manifests; want the one of the proof", c.Manifest, len(manifests))
	}
	in.Manifest = manifests[0]
	if c.Chain != "" {
		if in.Chain, err = readManifests(c.Chain); err != nil {
			return in, fmt.Errorf("--chain %s: %w", c.Chain, err)
		}
	}
	return in, nil
}

func readManifests(path string) ([]*proof.Manifest, error) {
	text, err := readBounded(path, proofBytesMax)
	if err != nil {
		return nil, err
	}
	return proof.ParseManifests(text)
}

func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > most {
		return nil, fmt.Errorf("it is larger than %d bytes", most)
	}
	return os.ReadFile(path)
}

func writeReport(ctx *Context, r *proof.Report) error {
	t := newAmountTable(ctx.Interactive)
	for _, f := range r.Findings {
		verdict := "yes"
		if f.Err != nil {
			verdict = "NO: " + f.Err.Error()
		}
		t.AppendRow(table.Row{f.What, verdict})
	}
	_, err := fmt.Fprintln(ctx.Stdout, t.Render())
	if e := r.Event; e != nil && err == nil {
		var usage []string
		for _, name := range slices.Sorted(maps.Keys(e.Usage)) {
			usage = append(usage, name+" "+e.Usage[name])
		}
		verdict := "proven"
		if r.Err() != nil {
			verdict = "NOT proven"
		}
		_, err = fmt.Fprintf(ctx.Stdout, "%s: %s of source %s, %s: %s paid %s %s for %s (%s), price version %s\n",
			verdict, e.ID, e.Source, e.Time, e.Subject, e.Amount, r.Currency, e.Type, strings.Join(usage, ", "), e.PriceVersion)
	}
	return err
}

// proofFetchCmd is `farthing proof fetch`.
type proofFetchCmd struct {
	Source   string `help:"The event's source." required:"" placeholder:"SOURCE"`
	ID       string `help:"The event's id." required:"" placeholder:"ID"`
	Dir      string `help:"Directory for the files; made if it is not there." default:"." placeholder:"DIR"`
	Parts    string `help:"Export that has the event (serve --export-dir, farthing export), for one that the server has dropped: the proof is made of its files." placeholder:"DIR"`
	Sequence uint64 `help:"With --parts: the event's sequence, if it is known. Reading then begins at its part." placeholder:"N"`

	serverFlags
}

// Help is the long help of the command.
func (proofFetchCmd) Help() string {
	return `It writes proof.json, manifest.json, chain.ndjson (all manifests of the currency up to the newest)
and keys.pem, the server's public keys. A key proves nothing to whoever got it from the server that is to
be checked: get it once from somebody you trust.

A server that exports and drops old history (serve --retain) answers 404 for the proof of what it dropped.
The parts have all that such a proof is made of, and it is the same as before:

    farthing proof fetch --parts export --source gateway-1 --id req-81f3 --dir proof

Manifests and keys stay on the server and come from there. The parts are read, and checked, from the event to
the seal of its window: without --sequence from the first one on. An id that was used again after the ledger
forgot it stands for its first event, unless --sequence says which one.`
}

// Run gets the files.
func (c *proofFetchCmd) Run(ctx *Context) error {
	if c.Sequence > 0 && c.Parts == "" {
		return usageError{errors.New("--sequence goes with --parts")}
	}
	api := c.client()
	defer api.Close()
	document, err := c.document(ctx, api)
	if err != nil {
		return err
	}
	d, err := proof.ParseDocument(document)
	if err != nil {
		return err
	}
	manifest, err := get(ctx.Ctx, api, "/v1/settlements/"+url.PathEscape(d.BatchID))
	if err != nil {
		return err
	}
	chain, err := chainOf(ctx.Ctx, api, d.Currency)
	if err != nil {
		return err
	}
	keys, err := publicKeysOf(ctx.Ctx, api)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.Dir, 0o755); err != nil {
		return err
	}
	for name, text := range map[string][]byte{proofName: document, manifestName: manifest, chainName: chain, keysName: keys} {
		if err := os.WriteFile(filepath.Join(c.Dir, name), text, 0o644); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(ctx.Stdout, "%s, %s, %s and %s are in %s\n", proofName, manifestName, chainName, keysName, c.Dir)
	return err
}

// document is the proof itself, from the server or made of exported parts.
func (c *proofFetchCmd) document(ctx *Context, api *client.Client) ([]byte, error) {
	if c.Parts == "" {
		return get(ctx.Ctx, api, "/v1/events/"+url.PathEscape(c.Source)+"/"+url.PathEscape(c.ID)+"/proof")
	}
	progress := newWorkProgress(ctx, "reading")
	p, err := export.Prove(ctx.Ctx, export.ProveOptions{Dir: c.Parts, Source: c.Source, ID: c.ID, Sequence: c.Sequence, Progress: progress.tell})
	progress.end()
	if err != nil {
		return nil, fmt.Errorf("--parts %s: %w", c.Parts, err)
	}
	d, err := proof.New(&proof.Parts{BatchID: p.Batch, Window: p.Window, Currency: p.Currency, Leaf: p.Leaf, Shape: p.Shape,
		Index: p.Index, Size: p.Size, Path: p.Path, Root: p.Root})
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	text := json.NewEncoder(&out) // as the server spells it
	text.SetEscapeHTML(false)
	err = text.Encode(d)
	return out.Bytes(), err
}

// get asks a server for a JSON document.
func get(ctx context.Context, api *client.Client, path string) ([]byte, error) {
	status, body, err := api.Do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %d: %s", path, status, body)
	}
	return append(body, '\n'), nil
}

// chainOf returns all manifests of a currency, one a line, oldest first.
func chainOf(ctx context.Context, api *client.Client, currency string) ([]byte, error) {
	var out []byte
	for cursor := ""; ; {
		body, err := get(ctx, api, "/v1/settlements?limit=1000&cursor="+url.QueryEscape(cursor))
		if err != nil {
			return nil, err
		}
		var page struct {
			Items []json.RawMessage `json:"items"`
			Next  string            `json:"next"`
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, err
		}
		for _, item := range page.Items {
			var of struct {
				Currency string `json:"currency"`
			}
			if err := json.Unmarshal(item, &of); err != nil {
				return nil, err
			}
			if of.Currency == currency {
				out = append(append(out, item...), '\n')
			}
		}
		if cursor = page.Next; cursor == "" {
			return out, nil
		}
	}
}

// publicKeysOf returns the server's public keys as PEM.
func publicKeysOf(ctx context.Context, api *client.Client) ([]byte, error) {
	body, err := get(ctx, api, "/v1/keys")
	if err != nil {
		return nil, err
	}
	var keys struct {
		Items []struct {
			PublicKey string `json:"public_key"`
		} `json:"items"`
	}
	if err := json.Unmarshal(body, &keys); err != nil {
		return nil, err
	}
	var out []byte
	for _, k := range keys.Items {
		public, err := base64.StdEncoding.DecodeString(k.PublicKey)
		if err != nil || len(public) != ed25519.PublicKeySize {
			return nil, errors.Join(err, errors.New("the server has a key that is no Ed25519 key"))
		}
		text, err := publicPEM(public)
		if err != nil {
			return nil, err
		}
		out = append(append(out, "# "+batch.KeyID(public)+"\n"...), text...)
	}
	return out, nil
}
