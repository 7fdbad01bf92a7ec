package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"farthing/bench"
	"farthing/bench/peers"
)

// peerBatches are what peers are measured with: event by event, and in batches.
var peerBatches = []struct{ batch, connections int }{{1, 64}, {1000, 16}}

// peerAccounts are as many as the workloads single and batch-1000 have.
const peerAccounts = 1000

// planPeers plans to measure the other engines that are installed.
func (s *suite) planPeers(add func(string, time.Duration, func(context.Context) error)) {
	if !s.Peers {
		return
	}
	for _, p := range []struct {
		name  string
		start func(ctx context.Context, dir string) (peers.Peer, error)
	}{
		{"PostgreSQL", func(ctx context.Context, dir string) (peers.Peer, error) { return peers.NewPostgres(ctx, dir) }},
		{"Redis", func(ctx context.Context, dir string) (peers.Peer, error) { return peers.NewRedis(ctx, dir) }},
		{"TigerBeetle", func(ctx context.Context, dir string) (peers.Peer, error) {
			return peers.NewTigerBeetle(ctx, s.TigerBeetle, dir)
		}},
	} {
		missing := false
		for _, b := range peerBatches {
			add(fmt.Sprintf("%s, %s at once", p.name, bench.Thousands(int64(b.batch))), aroundRun+s.Run.Warmup+s.rateTime(), func(ctx context.Context) error {
				if missing {
					return nil
				}
				err := s.peer(ctx, p.start, b.batch, b.connections)
				if missing = errors.Is(err, peers.ErrMissing); missing {
					s.skip("%v", err)
					return nil
				}
				return err
			})
		}
	}
}

// peer measures one, in a directory of its own that its user can enter.
func (s *suite) peer(ctx context.Context, start func(context.Context, string) (peers.Peer, error), batch, connections int) (err error) {
	dir, err := os.MkdirTemp(s.Dir, "farthing-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL does not run as root
		return err
	}
	p, err := start(ctx, dir)
	if err != nil {
		return err
	}
	result, err := peers.Run(ctx, p, peers.Options{Batch: batch, Connections: connections, Accounts: peerAccounts,
		Warmup: s.Run.Warmup, Duration: max(s.rateTime(), 100*time.Millisecond), Seed: s.Run.Seed})
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", p.Name(), err), p.Stop())
	}
	s.report.Peers = append(s.report.Peers, result)
	return p.Stop()
}
