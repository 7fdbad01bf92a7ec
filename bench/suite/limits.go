package suite

import (
	"cmp"
	"context"
	"errors"
	"os"
	"slices"
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
	}
	return ctx.Err()
}

// empty drives an empty handler.
func (s *suite) empty(ctx context.Context, o bench.Options) (result bench.Result, err error) {
	dir, err := os.MkdirTemp(s.Dir, "farthing-bench-")
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	server := child.New(child.Options{Binary: s.Binary, Scratch: dir, Command: EmptyCommand})
	if err := server.Start(ctx); err != nil {
		return result, err
	}
	result, err = bench.Bare(ctx, s.at(o, server))
	return result, errors.Join(err, server.Kill())
}

// besideEmpty reports whether an empty handler is driven beside a workload.
func (s *suite) besideEmpty(w bench.Workload) bool {
	return w.Name == "single" && s.Limits && s.Binary != ""
}

// emptyBeside measures the empty handler right before a run of single, of which it is a limit: a machine may be twice as fast a
// minute later. What counts is the median.
func (s *suite) emptyBeside(ctx context.Context, o bench.Options) error {
	result, err := s.empty(ctx, o)
	if err != nil {
		return err
	}
	s.empties = append(s.empties, result)
	slices.SortFunc(s.empties, func(a, b bench.Result) int { return cmp.Compare(a.RequestsPerSecond, b.RequestsPerSecond) })
	s.report.Limits.Empty = &s.empties[(len(s.empties)-1)/2]
	return nil
}

// emptyPaced drives an empty handler at the rate of an open loop of single: how late answers are on this machine without a ledger.
func (s *suite) emptyPaced(ctx context.Context, o bench.Options) error {
	result, err := s.empty(ctx, o)
	if err == nil {
		s.report.Limits.EmptyPaced = &result
	}
	return err
}
