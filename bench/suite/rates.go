package suite

import (
	"context"
	"fmt"
	"slices"
	"time"

	"farthing/bench"
	"farthing/bench/child"
	"farthing/bench/report"
)

// restartAccounts makes a state worth loading.
const restartAccounts = 100_000

// pacedWorkloads are those whose latency is measured.
var pacedWorkloads = []string{"single", "batch-1000"}

// planRates plans open loops at shares of what went through.
func (s *suite) planRates(add func(string, time.Duration, func(context.Context) error)) {
	for _, w := range s.Workloads {
		if !slices.Contains(pacedWorkloads, w.Name) {
			continue
		}
		for _, share := range s.Shares {
			took := aroundRun + s.Run.Warmup + s.rateTime()
			if s.pacesEmpty(w, share) {
				took += s.Run.Warmup + s.rateTime()
			}
			add(fmt.Sprintf("%s at %.0f %% of what went through", w.Name, 100*share), took, func(ctx context.Context) error { return s.rate(ctx, w, share) })
		}
	}
}

func (s *suite) rateTime() time.Duration { return s.durationOf(bench.Workload{}) }

// rate measures an open loop at a share of what went through.
func (s *suite) rate(ctx context.Context, w bench.Workload, share float64) error {
	o := s.runOf(w)
	o.Duration = s.rateTime()
	for _, summary := range s.report.Summaries() {
		if summary.Title == w.Name {
			o.Rate = share * float64(summary.Rate.Median)
		}
	}
	if o.Rate <= 0 {
		s.skip("%s at %.0f %%: nothing went through", w.Name, 100*share)
		return nil
	}
	if err := s.with(ctx, "", nil, func(server *child.Server) error {
		result, err := bench.Run(ctx, s.at(o, server))
		result.Share = share
		s.report.Rates = append(s.report.Rates, result)
		return err
	}); err != nil || !s.pacesEmpty(w, share) {
		return err
	}
	return s.emptyPaced(ctx, o)
}

// pacesEmpty reports whether an empty handler is driven at the same rate.
func (s *suite) pacesEmpty(w bench.Workload, share float64) bool {
	return s.besideEmpty(w) && share == report.HalfCapacity
}

// restart measures how long a server is away, after a stop and after a kill.
func (s *suite) restart(ctx context.Context) error {
	if s.Binary == "" {
		s.skip("restart: the server was not started here")
		return nil
	}
	o := s.runOf(bench.Workload{Name: "restart", Batch: 1000, Connections: 48, Accounts: restartAccounts, Variants: 2})
	return s.with(ctx, "restart", nil, func(server *child.Server) error {
		var r report.Restart
		load := func() error {
			result, err := bench.Run(ctx, s.at(o, server))
			r.Accounts, r.Events = r.Accounts+result.Accounts, r.Events+result.Check.Events
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

func timed(took *time.Duration, what func() error) error {
	began := time.Now()
	err := what()
	*took = time.Since(began)
	return err
}
