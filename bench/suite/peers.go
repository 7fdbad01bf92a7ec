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

// peers measures the other engines that are installed.
func (s *suite) peers(ctx context.Context) error {
	if !s.Peers {
		return nil
	}
	for _, start := range []func(dir string) (peers.Peer, error){
		func(dir string) (peers.Peer, error) { return peers.NewPostgres(ctx, dir) },
		func(dir string) (peers.Peer, error) { return peers.NewRedis(ctx, dir) },
		func(dir string) (peers.Peer, error) { return peers.NewTigerBeetle(ctx, s.TigerBeetle, dir) },
	} {
		for _, b := range peerBatches {
			err := s.peer(ctx, start, b.batch, b.connections)
			if errors.Is(err, peers.ErrMissing) {
				s.skip("%v", err)
				break
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// peer measures one, in a directory of its own that its user can enter.
func (s *suite) peer(ctx context.Context, start func(dir string) (peers.Peer, error), batch, connections int) (err error) {
	dir, err := os.MkdirTemp(s.Dir, "farthing-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // PostgreSQL does not run as root
		return err
	}
	p, err := start(dir)
	if err != nil {
		return err
	}
	s.Say(fmt.Sprintf("%s, %s at once", p.Name(), bench.Thousands(int64(batch))))
	result, err := peers.Run(ctx, p, peers.Options{Batch: batch, Connections: connections, Accounts: peerAccounts,
		Warmup: s.Run.Warmup, Duration: max(s.Run.Duration, 100*time.Millisecond), Seed: s.Run.Seed})
	if err != nil {
		return errors.Join(fmt.Errorf("%s: %w", p.Name(), err), p.Stop())
	}
	s.report.Peers = append(s.report.Peers, result)
	return p.Stop()
}
