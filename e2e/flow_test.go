package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sort"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farthing/bench/client"
)

const (
	clients     = 8
	kills       = 3
	midWindows  = 6
	retryEvery  = 10 * time.Millisecond
	killLatency = 20 * time.Millisecond // a kill comes up to this after its mark
)

// target is the server under test.
type target interface {
	URL() string
	// Crash kills the server and starts it again on the same data.
	Crash(ctx context.Context) error
}

// flow plays a scenario against a target.
type flow struct {
	t      *testing.T
	rng    *rand.Rand // the conductor's
	target target
	client *client.Client

	accepted atomic.Int64 // events that answers called accepted
	windows  int          // the closer's: closed so far
}

// job is one request that must succeed: a batch of events or a top-up.
type job func(ctx context.Context) error

// play opens the accounts, sends everything twice from concurrent clients
// through kills and closing windows, and closes the last window.
func (f *flow) play(ctx context.Context, s *scenario, book client.Book) {
	f.t.Helper()
	var setup, jobs []job
	for _, a := range s.accounts {
		setup = append(setup, func(ctx context.Context) error { return f.client.Open(ctx, a) })
	}
	f.run(ctx, setup, nil)
	if err := f.client.PutPrices(ctx, "e2e-1", book); err != nil {
		f.t.Fatal(err)
	}
	var early []job
	for _, t := range s.topups {
		top := func(ctx context.Context) error { return f.client.TopUp(ctx, t.account, t.id, t.amount) }
		if t.early {
			early = append(early, top, top)
		} else {
			jobs = append(jobs, top, top)
		}
	}
	f.run(ctx, early, nil)
	for _, batch := range s.batches {
		jobs = append(jobs, f.post(batch), f.post(batch))
	}
	f.rng.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	f.run(ctx, jobs, f.conduct)
	f.closeWindow(ctx)
	if got := f.accepted.Load(); got > int64(len(s.events)) {
		f.t.Errorf("%d events were called accepted, only %d exist", got, len(s.events))
	}
}

// post is the job of sending one batch.
func (f *flow) post(batch []client.Event) job {
	return func(ctx context.Context) error {
		got, err := f.client.Post(ctx, batch)
		if err != nil {
			return err
		}
		if got.Accepted+got.Duplicates != len(batch) || got.Unpriced != 0 || len(got.Rejected) != 0 {
			return fmt.Errorf("%w: %d events came to %+v", errAnswer, len(batch), got)
		}
		f.accepted.Add(int64(got.Accepted))
		return nil
	}
}

// errAnswer: a success that is none.
var errAnswer = errors.New("wrong answer")

// run works the jobs off with concurrent clients, each retried until it is
// answered with success. conduct, if any, hears of every finished job.
func (f *flow) run(ctx context.Context, jobs []job, conduct func(ctx context.Context, done <-chan struct{}, total int) error) {
	f.t.Helper()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue := make(chan job, len(jobs))
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	done := make(chan struct{}, len(jobs))
	var workers sync.WaitGroup
	for range clients {
		workers.Go(func() {
			for j := range queue {
				if err := retry(ctx, j); err != nil {
					cancel(err)
					return
				}
				done <- struct{}{}
			}
		})
	}
	if conduct != nil {
		if err := conduct(ctx, done, len(jobs)); err != nil {
			cancel(err)
		}
	}
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		f.t.Fatal(err)
	}
}

// retry calls j until it succeeds. A wrong answer is final.
func retry(ctx context.Context, j job) error {
	var wrong error
	err := client.Retry(ctx, retryEvery, func(ctx context.Context) error {
		err := j(ctx)
		if errors.Is(err, errAnswer) {
			wrong = err
			return nil
		}
		return err
	})
	return errors.Join(wrong, err)
}

// conduct kills the server and closes windows when a drawn number of jobs is
// done. Windows close beside the traffic and beside the kills.
func (f *flow) conduct(ctx context.Context, done <-chan struct{}, total int) error {
	killAt, closeAt := f.marks(kills, total), f.marks(midWindows, total)
	f.t.Logf("of %d requests: kill -9 after %v, close after %v", total, killAt, closeAt)
	closing := make(chan struct{}, midWindows)
	var closer sync.WaitGroup
	closer.Go(func() {
		for range closing {
			f.closeWindow(ctx)
		}
	})
	defer closer.Wait()
	defer close(closing)
	for n := 1; n <= total; n++ {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-done:
		}
		for len(closeAt) > 0 && closeAt[0] <= n {
			closeAt = closeAt[1:]
			closing <- struct{}{}
		}
		for len(killAt) > 0 && killAt[0] <= n {
			killAt = killAt[1:]
			if err := f.crash(ctx); err != nil {
				return err
			}
		}
	}
	return nil
}

// marks draws n numbers between 5 % and 95 % of total, sorted.
func (f *flow) marks(n, total int) []int {
	var marks []int
	for range n {
		marks = append(marks, total/20+f.rng.IntN(max(1, total*9/10)))
	}
	sort.Ints(marks)
	return marks
}

// crash kills the server a moment from now, wherever its threads then are.
func (f *flow) crash(ctx context.Context) error {
	moment := time.NewTimer(time.Duration(f.rng.Int64N(int64(killLatency))))
	defer moment.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-moment.C:
		return f.target.Crash(ctx)
	}
}

// closeWindow closes the open window, through a crash if need be: the id makes
// the second try the same closing.
func (f *flow) closeWindow(ctx context.Context) client.Closed {
	f.windows++
	var closed client.Closed
	err := client.Retry(ctx, retryEvery, func(ctx context.Context) (err error) {
		closed, err = f.client.CloseWindow(ctx, fmt.Sprintf("e2e-window-%d", f.windows))
		return err
	})
	if err != nil {
		f.t.Errorf("close window %d: %v", f.windows, err)
	}
	return closed
}
