package suite

import (
	"context"
	"errors"
	"os"
	"time"

	"farthing/bench"
	"farthing/bench/child"
	"farthing/bench/limits"
	"farthing/bench/report"
)

// EmptyCommand is the command of Binary that serves an empty handler.
var EmptyCommand = []string{"bench", "empty"}

// Sizes and times of the limits.
const (
	fsyncs     = 2000 // the 99th percentile is that of twenty
	limitTime  = time.Second
	sampleSeed = 1
)

// limits measures what the machine can do.
func (s *suite) limits(ctx context.Context) error {
	l := &report.Limits{}
	s.report.Limits = l
	dir, err := os.MkdirTemp(s.Dir, "farthing-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if l.Fsync, err = limits.MeasureFsync(dir, fsyncs); err != nil {
		return err
	}
	if l.Writes, err = limits.MeasureWrites(ctx, dir, limitTime); err != nil {
		return err
	}
	l.CopyBytesPerSecond = limits.MeasureCopy(ctx, limitTime)
	batch := bench.SampleBody(1000, sampleSeed)
	l.ScanBytes, l.ScanEvents = len(batch), 1000
	if l.ScanBytesPerSecond, err = limits.MeasureScan(ctx, batch, limitTime); err != nil {
		return err
	}
	if s.Binary == "" {
		s.skip("an empty handler: the server was not started here")
		return ctx.Err()
	}
	single, err := bench.WorkloadsNamed("single")
	if err != nil {
		return err
	}
	l.Empty, err = s.empty(ctx, dir, s.runOf(single[0]))
	return err
}

// empty drives an empty handler.
func (s *suite) empty(ctx context.Context, dir string, o bench.Options) (*bench.Result, error) {
	server := child.New(child.Options{Binary: s.Binary, Scratch: dir, Command: EmptyCommand})
	if err := server.Start(ctx); err != nil {
		return nil, err
	}
	result, err := bench.Bare(ctx, s.at(o, server))
	return &result, errors.Join(err, server.Kill())
}

// emptyPaced drives an empty handler at the rate of an open loop of single: how late answers are on this machine without a ledger.
func (s *suite) emptyPaced(ctx context.Context, o bench.Options) error {
	dir, err := os.MkdirTemp(s.Dir, "farthing-bench-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s.report.Limits.EmptyPaced, err = s.empty(ctx, dir, o)
	return err
}
