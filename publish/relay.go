package publish

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"
)

// Relay publishes one outbox to one partition. See the package comment for the procedure.
//
// Guarantees, with an Outbox that keeps its promises:
//
//  1. Records reach the topic in StreamSeq order without gaps.
//  2. No StreamSeq is sent with two contents.
//  3. A record is confirmed only where it stands in the topic, acknowledged by all in-sync replicas.
//  4. Within the broker's memory of the producer every record is appended once; beyond it, a second copy has equal content, and
//     consumers drop it by its stream_seq.
type Relay struct {
	o       Options
	box     Outbox
	log     *slog.Logger
	tracker tracker
	running atomic.Bool

	// Owned by the goroutine in Run.
	broker  *broker
	backoff backoff
	held    producer // what the coordinator gave this run last
	// topicMax is the topic's max.message.bytes, refusedBytes the size of the batch refused last as too large in spite of it; 0: unknown.
	topicMax, refusedBytes int
}

// New returns a relay for box; it opens nothing. The error wraps ErrOptions and names every problem.
func New(o Options, box Outbox) (*Relay, error) {
	o = o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	r := &Relay{o: o, box: box, log: o.Logger.With("topic", o.Topic, "partition", o.Partition)}
	r.tracker.stats = Stats{State: StateIdle, ProducerID: -1, Epoch: -1}
	return r, nil
}

// Stats returns the present figures. It may be called at any time.
func (r *Relay) Stats() Stats { return r.tracker.read() }

// Run publishes until ctx ends, then returns nil, or until the relay must not go on: ErrFenced, ErrForked, ErrLost. Environment
// failures are logged, shown in Stats, and retried for ever with back-off. A send in flight when ctx ends is left open;
// the next Run settles it.
func (r *Relay) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer r.running.Store(false)
	r.broker, r.held = newBroker(r.o), noProducer
	defer func() { r.broker.close() }()
	r.backoff = backoff{min: r.o.BackoffMin, max: r.o.BackoffMax}
	for {
		err := r.session(ctx)
		if ctx.Err() != nil {
			r.tracker.setState(StateIdle)
			return nil
		}
		if state, final := finalState(err); final {
			r.log.Error("publishing stopped", "error", err)
			r.tracker.update(func(st *Stats) { st.State = state; st.LastError = err.Error(); st.LastErrorAt = r.o.Now() })
			return err
		}
		if errors.Is(err, errRenew) {
			r.refusedBytes = 0 // the topic may take more by now
			continue
		}
		if r.failed(ctx, err) != nil {
			r.tracker.setState(StateIdle)
			return nil
		}
	}
}

// session opens an epoch and publishes under it; it ends with an error always.
func (r *Relay) session(ctx context.Context) error {
	s, err := r.open(ctx)
	if err != nil {
		return err
	}
	return s.publish(ctx)
}

// finalState says whether err ends the relay.
func finalState(err error) (State, bool) {
	switch {
	case errors.Is(err, ErrFenced):
		return StateFenced, true
	case errors.Is(err, ErrForked):
		return StateForked, true
	case errors.Is(err, ErrLost):
		return StateLost, true
	}
	return "", false
}

// failed is the one place for environment failures: it reports err, drops connections and metadata, and waits. Its error is ctx's.
func (r *Relay) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	wait := r.backoff.next()
	level, state := slog.LevelWarn, StateFailing
	switch {
	case isComingUp(err):
		level, state = slog.LevelInfo, StateStarting
	case isRefused(err):
		level, state = slog.LevelError, StateRefused
	}
	r.log.Log(ctx, level, "publishing waits", "error", err, "wait", wait)
	r.tracker.update(func(st *Stats) {
		st.State, st.LastError, st.LastErrorAt = state, err.Error(), r.o.Now()
		st.Failures++
	})
	r.broker.reset()
	return pause(ctx, nil, wait)
}

// pause returns when changed is closed, after at most the given time, or with ctx's error when it ends.
func pause(ctx context.Context, changed <-chan struct{}, atMost time.Duration) error {
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-changed:
		return nil
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// backoff doubles from min to max until reset.
type backoff struct{ min, max, wait time.Duration }

func (b *backoff) next() time.Duration {
	b.wait = min(max(b.min, 2*b.wait), b.max)
	return b.wait
}

func (b *backoff) reset() { b.wait = 0 }
