package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"farthing/engine"
	"farthing/export"
)

// retainFlags say how long settled history stays in the data directory.
type retainFlags struct {
	Retain       time.Duration `help:"Export settled history that is older than this to --export-dir and drop it from the data directory. What retries may ask for stays whatever this says: --dedup-window and a week. 0 keeps everything." default:"0" placeholder:"DURATION"`
	ExportDir    string        `help:"Directory that takes what --retain drops, and keeps it: farthing import makes a ledger of it again. Nobody else may write to it." placeholder:"DIR"`
	ExportFormat string        `help:"Format of --export-dir: ndjson or parquet." default:"ndjson" enum:"ndjson,parquet"`
}

func (f *retainFlags) problem(data string) error {
	switch {
	case f.Retain < 0:
		return errors.New("--retain is negative")
	case f.Retain > 0 && f.ExportDir == "":
		return errors.New("--retain needs --export-dir: nothing is dropped that is not exported")
	case f.ExportDir == "":
		return nil
	}
	inside, err := dirWithin(data, f.ExportDir)
	if err == nil && inside {
		err = errors.New("--export-dir is in the data directory, which is the ledger's alone")
	}
	return err
}

// retention sets what the engine needs to drop history.
func (c *serveCmd) retention(p *process, o *engine.Options) {
	if c.Retain == 0 {
		return
	}
	o.Retention, o.NoticesPublished = c.Retain, len(c.Kafka) > 0 && c.KafkaNotificationsTopic != ""
	o.NoticesNeeded = func() uint64 {
		if d := p.webhooks.dispatcher.Load(); d != nil {
			return d.Needed()
		}
		return 0 // not known yet
	}
	o.Export = func(part engine.ExportPart) (manifest [32]byte, err error) {
		if _, err := os.Stat(c.ExportDir); part.After > 0 && err != nil { // else it might be made where a disk is not mounted
			return manifest, fmt.Errorf("--export-dir: is its disk mounted? Make the directory if exported parts are to go on in an empty one: %w", err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			select {
			case <-part.Stop:
				cancel()
			case <-ctx.Done():
			}
		}()
		out, err := export.Write(ctx, part.Source, export.Options{Dir: c.ExportDir, Encoding: export.Encoding(c.ExportFormat),
			After: part.After, Through: part.Through})
		return out.Manifest, err
	}
}
