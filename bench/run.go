package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"farthing/bench/client"
)

// grace is how long after the end of a run a connection may still wait for its
// last answer: longer than any healthy group commit, replay of a restarted
// server not included.
const grace = 15 * time.Second

// SeriesTick is short enough to show a stall of a second, long enough that a group commit does not.
const SeriesTick = 250 * time.Millisecond

// Progress is where a run stands. Where the workload has holds, an event is a
// pair: a hold and its capture.
type Progress struct {
	Workload string
	Unit     string // events, pairs
	// Measuring is false during the warm-up.
	Measuring bool
	Elapsed   time.Duration
	// EventsPerSecond since the last call.
	EventsPerSecond int64
	Events          uint64 // since the start, warm-up included
	Retries         uint64
}

// run is one run under way.
type run struct {
	opts   Options
	tree   tree
	models []model
	client *client.Client

	workers []*worker // immutable; each is its goroutine's until wait

	prefix  string          // of ids
	bare    bool            // the server says nothing of itself
	series  []int64         // of Result
	windows []client.Closed // that were settled

	// The rest is shared with the workers.
	phase     atomic.Int32         // of a run that settles
	longest   [phases]atomic.Int64 // answer, in ns, by phase
	blocks    atomic.Uint64        // last block of ids given out
	stopped   atomic.Bool
	measuring atomic.Bool

	failure struct {
		sync.Once
		err error // set once, read after wait
	}
}

// Bare drives one workload at a server that answers as if it had booked everything, and checks nothing: what the generator, the
// connections and the library alone can do.
func Bare(ctx context.Context, opts Options) (Result, error) {
	opts = opts.withDefaults()
	if err := opts.Validate(); err != nil {
		return Result{}, err
	}
	r := newRun(opts, runPrefix(time.Now()))
	r.bare = true
	r.makeWorkers(ctx, r.prefix)
	return r.drive(ctx)
}

// Run runs one workload and checks the balances. The error says what went
// wrong with the run; the result is then incomplete. It takes Warmup +
// Duration, and time to open and read the accounts.
func Run(ctx context.Context, opts Options) (Result, error) {
	opts = opts.withDefaults()
	if err := opts.Validate(); err != nil {
		return Result{}, err
	}
	prefix := runPrefix(time.Now())
	r := newRun(opts, prefix)
	r.client = client.New(client.At(opts.URL), client.Options{Key: opts.Key})
	defer r.client.Close()
	if err := r.prepare(ctx); err != nil {
		return Result{}, fmt.Errorf("prepare the ledger: %w", err)
	}
	r.makeWorkers(ctx, prefix)
	result, err := r.drive(ctx)
	if err != nil {
		return result, err
	}
	if opts.Workload.Settles {
		result.Check, err = r.checkLines(ctx, result.Settle)
	} else {
		result.Check, err = r.check(ctx)
	}
	return result, err
}

func newRun(opts Options, prefix string) *run {
	return &run{opts: opts, prefix: prefix, tree: newTree(names{run: prefix}, opts.Accounts, opts.Chain), models: catalogue()[:opts.Models]}
}

// host is the server's host and port.
func (r *run) host() string {
	if u, err := url.Parse(r.opts.URL); err == nil {
		return u.Host
	}
	return r.opts.URL[len("http://"):]
}

// makeWorkers renders every request before the clock starts.
func (r *run) makeWorkers(ctx context.Context, prefix string) {
	host := r.host()
	render := &renderer{
		host: host, key: r.opts.Key, prefix: prefix, names: r.tree.names, models: r.models,
		payers: newPayers(r.opts.Workload, r.opts.Accounts, r.opts.Seed), workload: r.opts.Workload, holdBy: r.opts.HoldBy,
	}
	rng := rand.New(rand.NewPCG(r.opts.Seed, 1))
	for range r.opts.Connections {
		w := &worker{run: r, conn: newConn(dialer(ctx, host)), latency: newHistogram(), turns: render.turns(rng)}
		if r.opts.Rate > 0 {
			w.pace = newPace(r.opts.Rate/float64(r.opts.Connections), w.turns, rng.Uint64())
		}
		r.workers = append(r.workers, w)
	}
}

// drive runs the workers through warm-up and measurement and waits for them.
func (r *run) drive(ctx context.Context) (Result, error) {
	memory := startMemory(r.opts.PID)
	defer memory.stop()
	var m span
	if r.opts.Sustained {
		r.begin(ctx, &m)
	}
	var wg sync.WaitGroup
	for _, w := range r.workers {
		wg.Go(w.loop)
	}
	began := time.Now()
	if !r.opts.Sustained {
		r.pause(ctx, began, r.opts.Warmup, 0)
		r.begin(ctx, &m)
	}
	var settled *SettleResult
	if r.opts.Workload.Settles {
		var err error
		if settled, err = r.settle(ctx); err != nil {
			r.fail(err)
		}
	} else {
		r.measuring.Store(true)
		r.pause(ctx, began, r.opts.Duration, r.opts.Reach)
	}
	if !r.opts.Sustained {
		r.end(ctx, &m)
	}
	r.measuring.Store(false)
	r.stopped.Store(true)
	r.wait(ctx, &wg)
	if r.opts.Sustained && r.failure.err == nil {
		var err error
		if m.settled, err = r.settleDown(ctx); err != nil {
			r.failure.err = err
		}
		r.end(ctx, &m)
	}
	result := r.result(m.from, m.to)
	result.GeneratorCPU = m.cpuTo - m.cpuFrom
	result.Settle, result.Server, result.Sustained, result.Resident = settled, m.serverTo.since(m.serverFrom), m.settled, memory.most()
	return result, errors.Join(r.failure.err, ctx.Err())
}

// span is what is known of the beginning and the end of a measurement.
type span struct {
	from, to             totals
	cpuFrom, cpuTo       time.Duration
	serverFrom, serverTo *serverMetrics
	settled              *SustainedResult
}

func (r *run) begin(ctx context.Context, m *span) {
	m.serverFrom = r.mustScrape(ctx)
	m.from, m.cpuFrom = r.take(), cpuTime()
}

func (r *run) end(ctx context.Context, m *span) {
	m.to, m.cpuTo = r.take(), cpuTime()
	m.serverTo = r.mustScrape(ctx)
}

func (r *run) mustScrape(ctx context.Context) *serverMetrics {
	m, err := r.scrape(ctx)
	if err != nil {
		r.fail(err)
	}
	return m
}

// wait waits for the workers, and breaks their connections when that takes too long.
func (r *run) wait(ctx context.Context, wg *sync.WaitGroup) {
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
		r.abort(ctx.Err())
		<-done
	case <-time.After(grace):
		r.abort(fmt.Errorf("%w within %v of the end", ErrStuck, grace))
		<-done
		for _, w := range r.workers {
			if w.said != "" {
				r.failure.err = fmt.Errorf("%w; the server said %s", r.failure.err, w.said)
				break
			}
		}
	}
}

// pause reports progress each second until d has passed and so many events were sent, the run has failed or
// ctx has ended.
func (r *run) pause(ctx context.Context, began time.Time, d time.Duration, reach uint64) {
	end := time.NewTimer(d)
	defer end.Stop()
	tick := time.NewTicker(SeriesTick)
	defer tick.Stop()
	last := r.take()
	told, passed := last, false
	for !r.stopped.Load() && (!passed || last.events < reach) {
		select {
		case <-end.C:
			passed, last = true, r.take()
		case <-ctx.Done():
			return
		case <-tick.C:
			now := r.take()
			if r.measuring.Load() {
				r.series = append(r.series, perSecond(now.events-last.events, now.at.Sub(last.at)))
			}
			if last = now; r.opts.Progress != nil && now.at.Sub(told.at) > time.Second-SeriesTick/2 {
				r.opts.Progress(r.progress(began, told, now))
				told = now
			}
		}
	}
}

func (r *run) progress(began time.Time, last, now totals) Progress {
	return Progress{
		Workload: r.opts.Workload.Name, Unit: r.opts.Workload.Unit(), Measuring: r.measuring.Load(), Elapsed: now.at.Sub(began),
		EventsPerSecond: perSecond(now.events-last.events, now.at.Sub(last.at)),
		Events:          now.events, Retries: now.retries,
	}
}

// fail stops the run for the first reason given.
func (r *run) fail(err error) {
	r.failure.Do(func() { r.failure.err = err })
	r.stopped.Store(true)
}

// abort also breaks the connections, so that waiting workers return.
func (r *run) abort(err error) {
	r.fail(err)
	for _, w := range r.workers {
		w.conn.abort()
	}
}

// totals are the counters of all workers at one moment.
type totals struct {
	at                        time.Time
	events, requests, retries uint64
}

func (r *run) take() totals {
	t := totals{at: time.Now()}
	for _, w := range r.workers {
		t.requests += w.requests.Load()
		t.events += w.events.Load()
		t.retries += w.retries.Load()
	}
	return t
}

// cpuTime is the processor time this process has used.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func perSecond(n uint64, d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64(float64(n) / d.Seconds())
}
