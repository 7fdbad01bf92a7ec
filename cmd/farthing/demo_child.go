package main

import (
	"context"
	"io"

	"farthing/bench/child"
)

// demoChild is the demo's server: this binary as a child process.
type demoChild struct {
	server *child.Server
	dir    string
}

func startDemoChild(ctx *Context, dir string, showLog bool) (*demoChild, error) {
	var log io.Writer
	if showLog {
		log = ctx.Stderr
	}
	// Windows are closed by the demo itself, so the timer stays out of it.
	server, err := newChild(dir, []string{"--settle-every=24h"}, log)
	if err != nil {
		return nil, err
	}
	return &demoChild{server: server, dir: dir}, server.Start(ctx.Ctx)
}

// URL of the running server.
func (d *demoChild) URL() string { return d.server.URL() }

// Restart kills the server with SIGKILL and starts it on the same data.
func (d *demoChild) Restart(ctx context.Context) error {
	if err := d.server.Kill(); err != nil {
		return err
	}
	return d.server.Start(ctx)
}

// Finish ends the server with SIGTERM, which must give exit 0, and verifies.
func (d *demoChild) Finish(ctx context.Context) (string, error) {
	if err := d.server.Terminate(); err != nil {
		return "", err
	}
	return verifyChild(ctx, d.dir)
}
