package peers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Event is one event, rated already: the peers compute no prices.
type Event struct {
	// ID is unique, and 26 characters long, as the server's workloads have it.
	ID           string
	Payer, Payee int   // numbers of accounts
	Amount       int64 // in billionths
}

// Peer is an engine that is measured.
type Peer interface {
	// Name says which, and its version.
	Name() string
	// Notes say what it does less or more than the server.
	Notes() []string
	// Open opens accounts number 0 to accounts-1, with nothing in them.
	Open(ctx context.Context, accounts int) error
	// Connect returns one connection, which one goroutine uses.
	Connect(ctx context.Context) (Connection, error)
	// Balances sums up the events that are booked, and reads every balance.
	Balances(ctx context.Context) (events int64, balances []int64, err error)
	// Stop ends it, and removes what it stored.
	Stop() error
}

// Connection books events.
type Connection interface {
	// Book books the events that are not booked yet and returns once they are durable, and how many were new.
	Book(ctx context.Context, events []Event) (fresh int, err error)
	Close() error
}

// ErrMissing says why a peer is not measured: it is not installed.
var ErrMissing = errors.New("not installed")

// Options of a run.
type Options struct {
	Batch, Connections, Accounts int
	Warmup, Duration             time.Duration
	Seed                         uint64
}

// payees of all events are the last accounts, three as in the server's workloads.
const payees = 3

// Result is what a run came to.
type Result struct {
	Peer            string        `json:"peer"`
	Notes           []string      `json:"notes"`
	Batch           int           `json:"batch"`
	Connections     int           `json:"connections"`
	Accounts        int           `json:"accounts"`
	Duration        time.Duration `json:"duration_ns"`
	Events          uint64        `json:"events"` // within Duration
	EventsPerSecond int64         `json:"events_per_second"`
	P50             time.Duration `json:"p50_ns"` // of a batch
	P99             time.Duration `json:"p99_ns"`
}

// run is one under way.
type run struct {
	o         Options
	peer      Peer
	measuring atomic.Bool
	stopped   atomic.Bool
	sent      atomic.Uint64 // events within the time measured
}

// client is one connection's goroutine.
type client struct {
	rng      *rand.Rand
	conn     Connection
	prefix   string
	next     int
	latency  *hdrhistogram.Histogram
	balances []int64
	events   int64
}

// Run opens accounts, drives the peer and compares all balances with what was sent.
func Run(ctx context.Context, p Peer, o Options) (Result, error) {
	r := &run{o: o, peer: p}
	if err := p.Open(ctx, o.Accounts+payees); err != nil {
		return Result{}, fmt.Errorf("open accounts: %w", err)
	}
	clients := make([]*client, o.Connections)
	for i := range clients {
		conn, err := p.Connect(ctx)
		if err != nil {
			return Result{}, fmt.Errorf("connect: %w", err)
		}
		defer func() { _ = conn.Close() }()
		clients[i] = &client{rng: rand.New(rand.NewPCG(o.Seed, uint64(i))), conn: conn, prefix: fmt.Sprintf("01JB%06d", i),
			latency: hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 2), balances: make([]int64, o.Accounts+payees)}
	}
	result, err := r.drive(ctx, clients)
	if err != nil {
		return result, err
	}
	return result, r.check(ctx, clients)
}

func (r *run) drive(ctx context.Context, clients []*client) (Result, error) {
	var wg sync.WaitGroup
	failed := make(chan error, len(clients))
	for _, c := range clients {
		wg.Go(func() {
			for !r.stopped.Load() {
				if err := r.turn(ctx, c); err != nil {
					r.stopped.Store(true)
					failed <- err
				}
			}
		})
	}
	wait(ctx, r.o.Warmup)
	began := time.Now()
	r.measuring.Store(true)
	wait(ctx, r.o.Duration)
	events, took := r.sent.Load(), time.Since(began)
	r.stopped.Store(true)
	wg.Wait()
	close(failed)
	var err error
	for e := range failed {
		err = errors.Join(err, e)
	}
	all := clients[0].latency
	for _, c := range clients[1:] {
		all.Merge(c.latency)
	}
	return Result{
		Peer: r.peer.Name(), Notes: r.peer.Notes(), Batch: r.o.Batch, Connections: r.o.Connections, Accounts: r.o.Accounts, Duration: took, Events: events,
		EventsPerSecond: int64(float64(events) / took.Seconds()), P50: time.Duration(all.ValueAtQuantile(50)), P99: time.Duration(all.ValueAtQuantile(99)),
	}, errors.Join(err, ctx.Err())
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// turn books one batch of new events.
func (r *run) turn(ctx context.Context, c *client) error {
	events := make([]Event, r.o.Batch)
	for i := range events {
		c.next++
		events[i] = Event{ID: fmt.Sprintf("%s%016d", c.prefix, c.next), Payer: c.rng.IntN(r.o.Accounts), Payee: r.o.Accounts + c.rng.IntN(payees), Amount: 1 + c.rng.Int64N(30_000_000)}
	}
	began := time.Now()
	fresh, err := c.conn.Book(ctx, events)
	if err != nil {
		return err
	}
	if fresh != len(events) {
		return fmt.Errorf("%d of %d events are new", fresh, len(events))
	}
	for _, e := range events {
		c.balances[e.Payer] -= e.Amount
		c.balances[e.Payee] += e.Amount
	}
	c.events += int64(len(events))
	if r.measuring.Load() && !r.stopped.Load() {
		_ = c.latency.RecordValue(min(int64(time.Since(began)), int64(time.Minute)))
		r.sent.Add(uint64(len(events)))
	}
	return nil
}

// check compares every balance, and books one batch again: none of it is new.
func (r *run) check(ctx context.Context, clients []*client) error {
	want, events := make([]int64, r.o.Accounts+payees), int64(0)
	for _, c := range clients {
		events += c.events
		for i, n := range c.balances {
			want[i] += n
		}
	}
	again := []Event{{ID: fmt.Sprintf("%s%016d", clients[0].prefix, 1), Payer: 0, Payee: r.o.Accounts, Amount: 1}}
	if fresh, err := clients[0].conn.Book(ctx, again); err != nil || fresh != 0 {
		return fmt.Errorf("an event that was booked is new the second time: %d: %w", fresh, err)
	}
	n, got, err := r.peer.Balances(ctx)
	if err != nil {
		return fmt.Errorf("read the balances: %w", err)
	}
	if n != events {
		return fmt.Errorf("%d events are booked, %d were sent", n, events)
	}
	for i := range want {
		if got[i] != want[i] {
			return fmt.Errorf("account %d has %d billionths, want %d", i, got[i], want[i])
		}
	}
	return nil
}
