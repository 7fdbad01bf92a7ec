package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"farthing/bench"
	"farthing/bench/child"
	"farthing/bench/limits"
	"farthing/bench/report"
)

// Options of a suite.
type Options struct {
	// Binary is the farthing executable whose `serve` is measured; "": the server at Run.URL is.
	Binary string
	// Dir is where the data directories are made and removed: the disk that is measured.
	Dir string
	// ServeArgs returns further arguments of `serve`, for each server anew: a topic belongs to one ledger. nil: there are none.
	ServeArgs func() []string
	Workloads []bench.Workload
	// Repeats of each workload; 1 at least.
	Repeats int
	// Run has what all runs have in common; workload, rate, URL and process are filled in.
	Run bench.Options
	// Shares of a workload's capacity are what its open loops send; none: there are none. Only single events and batches of 1,000 have them.
	Shares []float64
	// Limits has the limits of the machine measured, Restart a restart, Profile where the processor time goes.
	Limits, Restart, Profile bool
	// ProfileDir gets the profiles of processor time, allocations, waits and locks, for pprof, if there is a Profile; "": nobody does.
	ProfileDir string
	// Peers has the other engines that are installed do the same; TigerBeetle is that program, "": none.
	Peers       bool
	TigerBeetle string
	Say         func(what string) // what begins; nil: nobody is told
}

// suite is one under way.
type suite struct {
	Options
	report *report.Report
}

// EmptyCommand is the command of Binary that serves an empty handler.
var EmptyCommand = []string{"bench", "empty"}

// restartAccounts makes a state worth loading.
const restartAccounts = 100_000

// Run runs everything and returns what was measured until then, also with an error.
func Run(ctx context.Context, o Options) (*report.Report, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	s := &suite{Options: o, report: &report.Report{Time: time.Now().UTC(), Machine: bench.ThisMachine()}}
	return s.report, s.run(ctx)
}

func (s *suite) run(ctx context.Context) error {
	if s.Limits {
		if err := s.limits(ctx); err != nil {
			return err
		}
	}
	for _, w := range s.Workloads {
		for n := range max(s.Repeats, 1) {
			s.Say(fmt.Sprintf("%s, %d of %d", w.Name, n+1, max(s.Repeats, 1)))
			result, err := s.closed(ctx, w)
			if err != nil {
				return fmt.Errorf("%s: %w", w.Name, err)
			}
			s.report.Runs = append(s.report.Runs, result)
		}
	}
	for _, more := range []func(context.Context) error{s.rates, s.restart, s.peers, s.profiles} {
		if err := more(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *suite) skip(format string, args ...any) {
	s.report.Skipped = append(s.report.Skipped, fmt.Sprintf(format, args...))
}

// closed measures one workload once.
func (s *suite) closed(ctx context.Context, w bench.Workload) (result bench.Result, err error) {
	o := s.Run
	o.Workload = w
	var args []string
	if w.Settles {
		args = append(args, "--settle-every=0") // nothing but the run closes a window
	}
	err = s.with(ctx, args, func(server *child.Server) error {
		result, err = bench.Run(ctx, s.at(o, server))
		return err
	})
	return result, err
}

// at fills in which server is measured.
func (s *suite) at(o bench.Options, server *child.Server) bench.Options {
	if server != nil {
		o.URL, o.PID = server.URL(), server.PID()
	}
	return o
}

// with runs what measures a server of its own, and verifies and removes what that leaves; without a binary it is handed nil.
func (s *suite) with(ctx context.Context, args []string, measure func(*child.Server) error) (err error) {
	if s.Binary == "" {
		return measure(nil)
	}
	dir, err := os.MkdirTemp(s.Dir, "farthing-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	if s.ServeArgs != nil {
		args = append(args, s.ServeArgs()...)
	}
	server := child.New(child.Options{Binary: s.Binary, Data: data, Scratch: dir, Args: args})
	if err := server.Start(ctx); err != nil {
		return err
	}
	if err := measure(server); err != nil {
		return errors.Join(err, server.Terminate())
	}
	if err := server.Terminate(); err != nil {
		return err
	}
	said, err := child.Verify(ctx, s.Binary, data)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(said, "\n")
	s.report.Verify = append(s.report.Verify, first)
	return nil
}

// rates measures open loops at shares of what went through.
func (s *suite) rates(ctx context.Context) error {
	for _, summary := range s.report.Summaries() {
		w, ok := s.paced(summary.Title)
		if !ok {
			continue
		}
		for _, share := range s.Shares {
			o := s.Run
			o.Workload, o.Rate = w, share*float64(summary.Rate.Median)
			s.Say(fmt.Sprintf("%s at %s a second", w.Name, bench.Thousands(int64(o.Rate))))
			err := s.with(ctx, nil, func(server *child.Server) error {
				result, err := bench.Run(ctx, s.at(o, server))
				s.report.Rates = append(s.report.Rates, result)
				return err
			})
			if err != nil {
				return fmt.Errorf("%s at a rate: %w", w.Name, err)
			}
		}
	}
	return nil
}

// paced is the workload of that title, if it is one whose latency is measured.
func (s *suite) paced(title string) (bench.Workload, bool) {
	for _, w := range s.Workloads {
		if w.Name == title && (title == "single" || title == "batch-1000") {
			return w, true
		}
	}
	return bench.Workload{}, false
}

// restart measures how long a server is away, after a stop and after a kill.
func (s *suite) restart(ctx context.Context) error {
	if !s.Restart {
		return nil
	}
	if s.Binary == "" {
		s.skip("restart: the server was not started here")
		return nil
	}
	s.Say("restart")
	o := s.Run
	o.Workload = bench.Workload{Name: "restart", Batch: 1000, Connections: 48, Accounts: restartAccounts, Variants: 2}
	return s.with(ctx, nil, func(server *child.Server) error {
		var r report.Restart
		load := func() error {
			result, err := bench.Run(ctx, s.at(o, server))
			r.Accounts, r.Events = r.Accounts+result.Accounts, r.Events+result.Check.Events
			return err
		}
		timed := func(took *time.Duration, what func() error) error {
			began := time.Now()
			err := what()
			*took = time.Since(began)
			return err
		}
		start := func() error { return server.Start(ctx) }
		err := load()
		for _, step := range []func() error{
			func() error { return timed(&r.Stop, server.Terminate) },
			func() error { return timed(&r.StartAfterStop, start) },
			load,
			server.Kill,
			func() error { return timed(&r.StartAfterKill, start) },
		} {
			if err == nil {
				err = step()
			}
		}
		s.report.Restarts = append(s.report.Restarts, r)
		return err
	})
}

// Sizes and times of the limits.
const (
	fsyncs     = 500
	limitTime  = time.Second
	sampleSeed = 1
)

// limits measures what the machine can do.
func (s *suite) limits(ctx context.Context) error {
	s.Say("limits of the machine")
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
	server := child.New(child.Options{Binary: s.Binary, Scratch: dir, Command: EmptyCommand})
	if err := server.Start(ctx); err != nil {
		return err
	}
	o := s.at(s.Run, server)
	single, err := bench.WorkloadsNamed("single")
	if err != nil {
		return err
	}
	o.Workload = single[0]
	empty, err := bench.Bare(ctx, o)
	l.Empty = &empty
	return errors.Join(err, server.Kill())
}
