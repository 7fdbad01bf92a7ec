package suite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"farthing/bench"
	"farthing/bench/child"
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
	// Repeats of each workload; 0: three of those that are held against others, two of the rest.
	Repeats int
	// Run has what all runs have in common; workload, rate, URL and process are filled in.
	Run bench.Options
	// Sustained is how long batch-1000 is driven until everything has to be settled, and half of that compact; 0: they are not.
	Sustained time.Duration
	// Identities is how many events the runs of the workloads hot and zipf go on to; each is run once then. 0: they are as the others.
	Identities uint64
	// Shares of a workload's capacity are what its open loops send; none: there are none. Only single events and batches of 1,000 have them.
	Shares []float64
	// Limits has the limits of the machine measured, Restart a restart, Profile where the processor time goes.
	Limits, Restart, Profile bool
	// ProfileTime is how long processor time is sampled, in whole seconds; 0: two.
	ProfileTime time.Duration
	// ProfileDir gets the profiles of processor time, allocations, waits and locks, for pprof, if there is a Profile; "": nobody does.
	ProfileDir string
	// Peers has the other engines that are installed do the same; TigerBeetle is that program, "": none.
	Peers       bool
	TigerBeetle string
	// Verify says which ledgers `verify` reads afterwards.
	Verify Verify
	Say    func(what string) // what begins; nil: nobody is told
}

// Verify says which ledgers are verified: that of the first run of a kind, all, or none. Balances are compared after every run.
type Verify string

// The values of Verify.
const (
	VerifyFirst Verify = "first"
	VerifyAll   Verify = "all"
	VerifyNone  Verify = "none"
)

// suite is one under way.
type suite struct {
	Options
	report   *report.Report
	verified map[string]bool // kinds of runs
	empties  []bench.Result  // runs of the empty handler, by their rate
}

// Run runs everything and returns what was measured until then, also with an error.
func Run(ctx context.Context, o Options) (*report.Report, error) {
	if o.Say == nil {
		o.Say = func(string) {}
	}
	s := &suite{Options: o, report: &report.Report{Time: time.Now().UTC(), Machine: bench.ThisMachine()}, verified: map[string]bool{}}
	err := s.run(ctx)
	s.report.Took = time.Since(s.report.Time)
	return s.report, err
}

func (s *suite) skip(format string, args ...any) {
	s.report.Skipped = append(s.report.Skipped, fmt.Sprintf(format, args...))
}

// closed measures one workload once.
func (s *suite) closed(ctx context.Context, w bench.Workload) error {
	o, kind := s.runOf(w), w.Name
	if w.Identities && s.Identities > 0 {
		o.Reach, kind = s.Identities, "" // its ledger takes longer to verify than it took to make
	}
	if s.besideEmpty(w) {
		if err := s.emptyBeside(ctx, o); err != nil {
			return err
		}
	}
	return s.with(ctx, kind, nil, func(server *child.Server) error {
		result, err := bench.Run(ctx, s.at(o, server))
		if err == nil {
			s.report.Runs = append(s.report.Runs, result)
		}
		return err
	})
}

// runOf is what a run of the workload is told.
func (s *suite) runOf(w bench.Workload) bench.Options {
	o := s.Run
	o.Workload, o.Duration = w, s.durationOf(w)
	return o
}

// usualDuration is how long a run is measured if nobody says otherwise.
const usualDuration = 3 * time.Second

func (s *suite) durationOf(w bench.Workload) time.Duration {
	return cmp.Or(s.Run.Duration, w.Duration, usualDuration)
}

// at fills in which server is measured.
func (s *suite) at(o bench.Options, server *child.Server) bench.Options {
	if server != nil {
		o.URL, o.PID = server.URL(), server.PID()
	}
	return o
}

// with runs what measures a server of its own, and verifies and removes what that leaves; without a binary it is handed nil. Of each kind
// of run the first ledger is verified, unless all are or none is; one without a kind is not.
func (s *suite) with(ctx context.Context, kind string, args []string, measure func(*child.Server) error) (err error) {
	if s.Binary == "" {
		return measure(nil)
	}
	dir, err := os.MkdirTemp(s.Dir, "farthing-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	data := filepath.Join(dir, "data")
	args = append(args, "--settle-every=0") // nothing but the run closes a window: that collects, and no balance is then what was sent
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
	if s.Verify == VerifyNone || s.Verify != VerifyAll && (kind == "" || s.verified[kind]) {
		s.report.Unverified++
		return nil
	}
	s.verified[kind] = true
	said, err := child.Verify(ctx, s.Binary, data)
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(said, "\n")
	s.report.Verify = append(s.report.Verify, first)
	return nil
}
