package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"farthing/apikey"
)

type keysCmd struct {
	New    keysNewCmd    `cmd:"" help:"Make a key: the secret goes to standard error, its entry for the key file to standard output."`
	Add    keysAddCmd    `cmd:"" help:"Make a key and put it into a key file, also while a server uses it."`
	Revoke keysRevokeCmd `cmd:"" help:"Take a key out of a key file: a server that uses it refuses the key's next request."`
}

// keyFlags say what a new key may do.
type keyFlags struct {
	ID                string   `help:"Name of the key, as logs will show it." required:"" placeholder:"ID"`
	Scopes            []string `help:"What the key may do: ingest (post usage; place, extend, capture and void holds), read (read everything), admin (everything), separated by commas." required:"" placeholder:"SCOPE"`
	RequestsPerSecond int64    `help:"Requests the key may make; more are answered 429. Default: no limit." placeholder:"N"`
	RequestBurst      int64    `help:"Requests that may come at once. Default: what a second allows." placeholder:"N"`
	BytesPerSecond    int64    `help:"Bytes of bodies the key may send, decompressed. Default: no limit." placeholder:"N"`
	ByteBurst         int64    `help:"Bytes that may come at once; one body may be larger, and is waited for. Default: what a second allows." placeholder:"N"`
}

// make makes the key. Its secret is nowhere but in what it returns.
func (c *keyFlags) make() (apikey.Key, error) {
	scopes, unknown := apikey.ParseScopes(c.Scopes)
	if len(unknown) > 0 {
		return apikey.Key{}, usageError{fmt.Errorf("unknown scope %s; known are %s", strings.Join(unknown, ", "), apikey.ScopeNames())}
	}
	limits := apikey.Limits{RequestsPerSecond: c.RequestsPerSecond, RequestBurst: c.RequestBurst, BytesPerSecond: c.BytesPerSecond, ByteBurst: c.ByteBurst}
	var random [apikey.SecretBytes]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime ends the process instead
	key, err := apikey.New(apikey.KeyID(c.ID), scopes, limits, random)
	if err == nil {
		_, err = apikey.Parse([]byte(key.Entry)) // a burst without its rate
	}
	if err != nil {
		return apikey.Key{}, usageError{err}
	}
	return key, nil
}

func showSecret(ctx *Context, key apikey.Key) error {
	_, err := fmt.Fprintf(ctx.Stderr, "The key, shown this once:\n\n    %s\n\n", key.Secret)
	return err
}

type keysNewCmd struct{ keyFlags }

// Help is the long help of the command.
func (keysNewCmd) Help() string {
	return `The secret is shown once and stored nowhere. The key file holds only its
SHA-256, and must be readable by its owner alone:

    umask 077
    farthing keys new --id gateway-1 --scopes ingest >> keys.yaml
    farthing serve --data ./data --api-keys keys.yaml

farthing keys add does the same in one step.`
}

// Run makes one key.
func (c *keysNewCmd) Run(ctx *Context) error {
	key, err := c.make()
	if err != nil {
		return err
	}
	errSecret := showSecret(ctx, key)
	_, errEntry := fmt.Fprint(ctx.Stdout, key.Entry)
	return errors.Join(errSecret, errEntry)
}

type keysAddCmd struct {
	keyFlags

	File string `arg:"" help:"The key file; it is made if it is not there."`
}

// Help is the long help of the command.
func (keysAddCmd) Help() string {
	return `The secret is shown once, on standard error, and stored nowhere. A server that uses
the file knows the key when the command has ended.

    farthing keys add keys.yaml --id gateway-1 --scopes ingest --requests-per-second 200`
}

// Run makes a key and adds it. The secret is shown once the key is good for something.
func (c *keysAddCmd) Run(ctx *Context) error {
	key, err := c.make()
	if err != nil {
		return err
	}
	if err := apikey.Add(c.File, key.Entry); err != nil {
		return err
	}
	<-time.After(apikey.Settled)
	return showSecret(ctx, key)
}

type keysRevokeCmd struct {
	File string `arg:"" help:"The key file."`
	ID   string `help:"Name of the key." required:"" placeholder:"ID"`
}

// Help is the long help of the command.
func (keysRevokeCmd) Help() string {
	return `When the command has ended, a server on this machine that uses the file refuses every
further request with the key, also on connections that are open. Answers under way
are finished.

    farthing keys revoke keys.yaml --id gateway-1`
}

// Run takes a key out.
func (c *keysRevokeCmd) Run(*Context) error {
	if err := apikey.Revoke(c.File, apikey.KeyID(c.ID)); err != nil {
		return err
	}
	<-time.After(apikey.Settled)
	return nil
}
