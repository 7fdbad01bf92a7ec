package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"farthing/proof"
)

// demoProof is the files that prove the explained event when the server is gone.
type demoProof struct {
	dir    string
	report proof.Report // once checked
}

// fetchProof writes the proof of an event, its manifest, the chain and the public key to files.
func (d *demo) fetchProof(ctx context.Context, x demoExplained) (p demoProof, err error) {
	if p.dir, err = os.MkdirTemp("", "farthing-demo-proof-"); err != nil {
		return p, err
	}
	for name, read := range map[string]func() ([]byte, error){
		proofName: func() ([]byte, error) {
			return get(ctx, d.client, "/v1/events/"+url.PathEscape(x.event.Source)+"/"+url.PathEscape(x.event.ID)+"/proof")
		},
		manifestName: func() ([]byte, error) { return get(ctx, d.client, "/v1/settlements/"+x.booked.BatchID) },
		chainName:    func() ([]byte, error) { return chainOf(ctx, d.client, x.booked.Currency) },
		keysName:     func() ([]byte, error) { return publicKeysOf(ctx, d.client) },
	} {
		text, err := read()
		if err == nil {
			err = os.WriteFile(filepath.Join(p.dir, name), text, 0o600)
		}
		if err != nil {
			return p, errors.Join(err, p.remove())
		}
	}
	return p, nil
}

func (p *demoProof) remove() error { return os.RemoveAll(p.dir) }

// check does what `farthing proof check` does, and wants the event to be the one that was sent.
func (p *demoProof) check(x demoExplained) error {
	at := func(name string) string { return filepath.Join(p.dir, name) }
	in, err := (&proofCheckCmd{Proof: at(proofName), Manifest: at(manifestName), Chain: at(chainName), Keys: []string{at(keysName)}}).input()
	if err != nil {
		return err
	}
	p.report = proof.Check(in)
	if err := p.report.Err(); err != nil {
		return fmt.Errorf("%w: %w", errDemo, err)
	}
	if e := p.report.Event; e == nil || e.Source != x.event.Source || e.ID != x.event.ID || e.Subject != x.event.Subject || e.Amount != x.booked.Amount.String() {
		return fmt.Errorf("%w: the proof is of %+v, not of %s at %s", errDemo, e, x.event.ID, x.booked.Amount)
	}
	return nil
}

// proof prints what was found.
func (p *demoPrinter) proof(x *demoProof) {
	fmt.Fprintf(p.w, "\nThe same event proven when the server is gone, from four files: farthing proof check\n\n")
	for _, f := range x.report.Findings {
		verdict := "yes"
		if f.Err != nil {
			verdict = "no: " + f.Err.Error()
		}
		p.say("", "%s: %s", f.What, verdict)
	}
}
