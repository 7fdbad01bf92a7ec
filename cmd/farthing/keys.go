package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"farthing/apikey"
)

type keysCmd struct {
	New keysNewCmd `cmd:"" help:"Make a key: the secret goes to standard error, its entry for the key file to standard output."`
}

type keysNewCmd struct {
	ID     string   `help:"Name of the key, as logs will show it." required:"" placeholder:"ID"`
	Scopes []string `help:"What the key may do: ingest (post usage; place, extend, capture and void holds), read (read everything), admin (everything), separated by commas." required:"" placeholder:"SCOPE"`
}

// Help is the long help of the command.
func (keysNewCmd) Help() string {
	return `The secret is shown once and stored nowhere. The key file holds only its
SHA-256, and must be readable by its owner alone:

    umask 077
    farthing keys new --id gateway-1 --scopes ingest >> keys.yaml
    farthing serve --data ./data --api-keys keys.yaml`
}

// Run makes one key.
func (c *keysNewCmd) Run(ctx *Context) error {
	scopes, unknown := apikey.ParseScopes(c.Scopes)
	if len(unknown) > 0 {
		return usageError{fmt.Errorf("unknown scope %s; known are %s", strings.Join(unknown, ", "), apikey.ScopeNames())}
	}
	var random [apikey.SecretBytes]byte
	_, _ = rand.Read(random[:]) // never fails: the runtime ends the process instead
	key, err := apikey.New(apikey.KeyID(c.ID), scopes, random)
	if err != nil {
		return usageError{err}
	}
	_, errSecret := fmt.Fprintf(ctx.Stderr, "The key, shown this once:\n\n    %s\n\n", key.Secret)
	_, errEntry := fmt.Fprint(ctx.Stdout, key.Entry)
	return errors.Join(errSecret, errEntry)
}
