package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"farthing/engine"
	"farthing/httpapi"
	"farthing/publish"
	"farthing/webhook"

	"github.com/prometheus/client_golang/prometheus"
)

// drainMax bounds the wait for requests under way. httpapi gives a request a second
// to arrive and an answer two to be taken, so that only sealing a very large window
// can outlast it, and that is durable or not begun.
const drainMax = 45 * time.Second

// process is one run of `farthing serve`: what it starts, and the order in which
// it stops it. Its goroutine is the caller's; it owns every field that is not
// said to be shared.
type process struct {
	cmd    *serveCmd
	access *access
	log    *slog.Logger

	slot     *engineSlot   // shared with the HTTP goroutines
	webhooks *webhookSlot  // shared with the HTTP goroutines
	backups  *backupSlot   // shared with the HTTP goroutines
	groups   *groupMetrics // shared with the engine's commit path
	metrics  *ledgerMetrics
	server   *httpapi.Server

	listener net.Listener
	served   chan error // gets what Serve returned, once

	relays         []stream
	results        atomic.Pointer[publish.ResultsReader] // set once, before the slot is open; nil: results come over HTTP alone
	stopPublishing context.CancelFunc
	publishing     sync.WaitGroup // the relays, the webhooks, the reader of results and the log of sealed windows
}

// stream is a stream of records and the relay that publishes it.
type stream struct {
	relay *publish.Relay
	what  string // for the log
}

func newProcess(c *serveCmd, access *access, log *slog.Logger) *process {
	p := &process{cmd: c, access: access, log: log, slot: &engineSlot{}, webhooks: &webhookSlot{}, backups: &backupSlot{}, groups: newGroupMetrics(), served: make(chan error, 1)}
	p.metrics = newLedgerMetrics(p.slot, time.Now)
	o := httpapi.Options{Keys: access.keyring(), TLS: access.tls, Webhooks: p.webhooks, Logger: log,
		ConnectionsMax: c.connections(log), ConnectionsPerAddressMax: c.MaxConnectionsPerAddress, ArrivingMaxBytes: max(c.MaxBytes/2, 1),
		Collectors: []prometheus.Collector{p.groups, p.metrics, newWebhookMetrics(p.webhooks), access}}
	if c.BackupDir != "" {
		o.Backups = p.backups
	}
	if c.readsResults() {
		o.Results = p.resultFeed
	}
	p.server = httpapi.New(p.slot, o)
	return p
}

// run serves until ctx ends and returns nil once all that was begun is answered
// and the ledger is closed. The listener comes first, so that probes see the
// process alive, and not ready, during a long replay.
func (p *process) run(ctx context.Context) error {
	if os.Getenv("GOGC") == "" {
		// Nearly all of a large ledger's memory is tables without pointers, which cost the collector
		// nothing to look at: letting it come more than twice as often saves three tenths of the memory.
		debug.SetGCPercent(40)
	}
	listener, err := httpapi.Listen(ctx, p.cmd.Listen, p.access.keyring())
	if errors.Is(err, httpapi.ErrNotLoopback) {
		return usageError{fmt.Errorf("--listen: %w; to open it to others give --api-keys", err)}
	}
	if err != nil {
		return err
	}
	p.listener = listener
	address := listener.Addr().String()
	if p.cmd.ListenFile != "" {
		if err := writeListenFile(p.cmd.ListenFile, address); err != nil {
			return errors.Join(fmt.Errorf("--listen-file: %w", err), listener.Close())
		}
	}
	debug, err := startDebug(ctx, p.cmd.DebugListen)
	if err != nil {
		return errors.Join(usageError{err}, listener.Close())
	}
	defer func() { _ = debug.stop() }()
	p.log.Info("starting", "version", version, "address", address, "data", p.cmd.Data, "keys", p.access.keys != nil, "tls", p.access.tls != nil)
	p.access.warnOpen(address, httpapi.IsLoopback(listener.Addr()))
	defer p.access.start()()
	go func() { p.served <- p.server.Serve(listener) }()

	if err := p.cmd.loadSigningKey(p.cmd.Data, p.log); err != nil {
		return errors.Join(err, p.drain())
	}
	o := p.cmd.engineOptions(p)
	p.cmd.retention(p, &o)
	o.Abort = ctx.Done()
	e, err := engine.Open(o)
	if errors.Is(err, engine.ErrGivenUp) {
		p.log.Info("stopped", "cause", context.Cause(ctx), "while", "starting")
		return p.drain()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", p.cmd.Data, p.cmd.otherKey(err)), p.drain())
	}
	if err := errors.Join(p.cmd.open(e, p.backups), p.openStreams(e)); err != nil {
		return errors.Join(err, p.drain(), e.Close())
	}
	if p.cmd.Catalogue {
		if err := putCatalogue(e, p.log); err != nil {
			return errors.Join(err, p.drain(), e.Close())
		}
	}
	stats := e.Stats() // before the first request, which the log of windows must not miss
	p.slot.open(e)
	p.log.Info("ready", "ledger", e.LedgerID(), "partition", e.Partition(), "address", address,
		"sequence", stats.Durable, "start", stats.Start.Took.Round(time.Millisecond), "replayed", stats.Start.Replayed)
	p.startPublishing(e, stats)
	return p.stop(e, p.await(ctx))
}

// await waits for the signal, or for the listener to fail.
func (p *process) await(ctx context.Context) error {
	select {
	case <-ctx.Done():
		p.log.Info("stopping", "cause", context.Cause(ctx))
		return nil
	case err := <-p.served:
		p.served <- nil // drain has nothing to wait for
		return fmt.Errorf("the listener failed: %w", orStopped(err))
	}
}

func orStopped(err error) error {
	if err == nil {
		return errors.New("it was closed")
	}
	return err
}

// stop ends what run started, in the order in which one needs the other: HTTP
// needs the engine to answer, relays and webhooks need its store.
func (p *process) stop(e *engine.Engine, cause error) error {
	p.slot.drain()
	e.Stopping()
	began := time.Now()
	p.backups.close() // requests wait for it
	err := p.drain()
	if errors.Is(err, context.DeadlineExceeded) {
		// Everything admitted is answered by the engine; who does not read is cut off.
		p.log.Warn("some clients did not take their answers", "waited", drainMax)
		err = nil
	}
	p.stopPublishing()
	p.publishing.Wait()
	stats := e.Stats()
	err = errors.Join(cause, err, e.Close())
	if err == nil {
		p.log.Info("stopped", "sequence", stats.Durable, "took", time.Since(began).Round(time.Millisecond))
	}
	return err
}

// drain answers what was begun and closes the listener. Closing it here as well
// ends a server that had not begun to serve yet, which Drain does not see.
func (p *process) drain() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainMax)
	defer cancel()
	if err := p.server.Drain(ctx); err != nil {
		return err
	}
	if err := p.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return <-p.served
}

// openStreams makes what hands the ledger's streams on: relays, if there are brokers,
// and the dispatcher of webhooks.
func (p *process) openStreams(e *engine.Engine) error {
	dispatcher, err := webhook.New(p.cmd.webhookOptions(e, p.log), e.Webhooks(), noticeSource{e})
	if err != nil {
		return err
	}
	p.webhooks.dispatcher.Store(dispatcher)
	if len(p.cmd.Kafka) == 0 {
		return nil
	}
	if err := p.openResults(e); err != nil {
		return err
	}
	settlements, err := p.newRelay(p.cmd.publishOptions(e.LedgerID(), e.Partition()), e.Outbox(), "settlements")
	if err != nil {
		return err
	}
	p.metrics.settlements.relay.Store(settlements)
	if p.cmd.KafkaNotificationsTopic == "" {
		return nil
	}
	notifications, err := p.newRelay(p.cmd.noticeOptions(e.LedgerID(), e.Partition()), e.NoticeOutbox(), "notifications")
	if err == nil {
		p.metrics.notifications.relay.Store(notifications)
	}
	return err
}

func (p *process) newRelay(o publish.Options, box ledgerOutbox, what string) (*publish.Relay, error) {
	o.Logger = p.log
	relay, err := publish.New(o, outbox{box})
	p.relays = append(p.relays, stream{relay, what})
	return relay, err
}

// startPublishing starts the relays, the webhooks, and the log of sealed windows.
func (p *process) startPublishing(e *engine.Engine, seen engine.Stats) {
	ctx, cancel := context.WithCancel(context.Background())
	p.stopPublishing = cancel
	p.publishing.Go(func() { p.logSeals(ctx, e, seen) })
	p.publishing.Go(func() { p.webhooks.dispatcher.Load().Run(ctx) })
	p.publishing.Go(func() { p.readResults(ctx) })
	for _, s := range p.relays {
		p.publishing.Go(func() { p.relay(ctx, s) })
	}
}

// relay runs a relay. Its end is no reason to stop serving: the ledger is
// whole, and its records wait in the outbox for an operator to decide.
func (p *process) relay(ctx context.Context, s stream) {
	if err := s.relay.Run(ctx); err != nil {
		p.log.Error("records are not published any more; the server goes on and they stay in the outbox",
			"stream", s.what, "error", err, "confirmed", s.relay.Stats().Confirmed)
	}
}

// logSeals logs what was sealed after seen, whoever closed the window.
func (p *process) logSeals(ctx context.Context, e *engine.Engine, seen engine.Stats) {
	box := e.Outbox()
	for {
		changed := box.Changed()
		if now := e.Stats(); now.Windows > seen.Windows {
			p.log.Info("window sealed", "windows", now.Windows, "records", now.SealedStream-seen.SealedStream, "stream", now.SealedStream)
			seen = now
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}
