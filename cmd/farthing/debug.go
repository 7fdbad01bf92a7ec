package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"

	"farthing/httpapi"
)

// debugServer serves Go's profiles on a listener of its own, loopback only: they
// show what the process does, not what is in it, but slow it down while read.
type debugServer struct {
	http http.Server
	done chan struct{}
}

// One wait of so many nanoseconds, and one of so many contended locks, is recorded.
const (
	blockProfileRate     = 100_000
	mutexProfileFraction = 100
)

// startDebug listens on addr; nil without one.
func startDebug(ctx context.Context, addr string) (*debugServer, error) {
	if addr == "" {
		return nil, nil
	}
	listener, err := httpapi.Listen(ctx, addr, nil) // refuses anything but loopback
	if err != nil {
		return nil, fmt.Errorf("--debug-listen: %w", err)
	}
	// Sampled so thinly, waits and contended locks cost nothing that can be measured.
	runtime.SetBlockProfileRate(blockProfileRate)
	runtime.SetMutexProfileFraction(mutexProfileFraction)
	mux := http.NewServeMux()
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	d := &debugServer{http: http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}, done: make(chan struct{})}
	go func() {
		defer close(d.done)
		if err := d.http.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			panic("BUG: debug server: " + err.Error())
		}
	}()
	return d, nil
}

// stop ends the server at once and waits for its goroutine.
func (d *debugServer) stop() error {
	if d == nil {
		return nil
	}
	err := d.http.Close()
	<-d.done
	return err
}
