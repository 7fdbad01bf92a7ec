package e2e

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farthing/bench/client"
)

const (
	gatewayKills = 2
	// reconnectEvery is far above retryEvery: two hundred streams that knock at a dead server
	// would keep it from coming back.
	reconnectEvery = 50 * time.Millisecond
	lostWithin     = 3 * time.Millisecond // an answer is lost up to this after its request
)

// gateway serves the streams of a plan.
type gateway struct {
	t      *testing.T
	seed   uint64
	plan   *gatewayPlan
	client *client.Client
	lost   atomic.Int64   // requests whose answer was not waited for
	again  atomic.Int64   // requests sent twice
	down   [][2]time.Time // when there was no server; the conductor's
}

// serve runs all streams, a fixed number of them at once, and tells of each that ended.
func (g *gateway) serve(ctx context.Context, conduct func(ctx context.Context, done <-chan struct{}, total int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	queue, done := make(chan *stream), make(chan struct{}, len(g.plan.streams))
	var all sync.WaitGroup
	for range gatewayStreams {
		all.Go(func() {
			for s := range queue {
				if err := g.stream(ctx, s); err != nil {
					cancel(fmt.Errorf("stream %d of %s: %w", s.n, s.key, err))
					return
				}
				done <- struct{}{}
			}
		})
	}
	all.Go(func() {
		defer close(queue)
		for _, s := range g.plan.streams {
			select {
			case queue <- s:
			case <-ctx.Done():
				return
			}
		}
	})
	if err := conduct(ctx, done, len(g.plan.streams)); err != nil {
		cancel(err)
	}
	all.Wait()
	return context.Cause(ctx)
}

// stream serves one request.
func (g *gateway) stream(ctx context.Context, s *stream) error {
	rng := rand.New(rand.NewPCG(g.seed, uint64(s.n)))
	restarted := time.Now()
	ok, err := g.hold(ctx, rng, s)
	if err != nil || !ok {
		return err
	}
	output := s.estimated
	for i, x := range s.longer {
		before := time.Now()
		granted, err := g.prolong(ctx, rng, s, i, x)
		if err != nil || s.late {
			return s.checkLate(err, restarted)
		}
		if granted {
			output += x.output
			if x.ttl != 0 {
				restarted = before
			}
		}
	}
	switch s.fate {
	case abandoned:
		return nil
	case cancelled:
		err = g.void(ctx, rng, s)
	case served:
		s.sent = s.used
		if !s.stubborn {
			s.sent = s.so(output) // it was cut off where its credit ended
		}
		err = g.capture(ctx, rng, s)
	}
	return s.checkLate(err, restarted)
}

// checkLate refuses that a hold has expired before its time.
func (s *stream) checkLate(err error, restarted time.Time) error {
	if err == nil && s.late && time.Since(restarted) < s.ttl {
		return fmt.Errorf("%w: the hold ended %v after its ttl of %v began", errAnswer, time.Since(restarted), s.ttl)
	}
	return err
}

// ended says whether an operation came too late for its hold.
func ended(err error) bool {
	switch client.ReasonOf(err) {
	case "hold_expired", "hold_captured", "event_already_booked", "id_conflict":
		return true
	}
	return client.CodeOf(err) == "id_conflict"
}

// hold places the stream's hold; false: it was refused.
func (g *gateway) hold(ctx context.Context, rng *rand.Rand, s *stream) (bool, error) {
	h := client.NewHold{ID: s.id(), Account: s.key, TTL: s.ttl}
	if s.byAmount {
		amount := client.Money{Decimal: s.estimateCost()}
		h.Amount = &amount
	} else {
		h.Estimate = &client.Estimate{Type: gatewayMeter, Model: s.model.name, Usage: s.estimate()}
	}
	type answer struct {
		held    client.Held
		refused *client.Shortfall
	}
	a, err := send(ctx, g, rng, func(ctx context.Context) (answer, error) {
		held, err := g.client.Hold(ctx, h)
		if short, ok := client.ShortfallOf(err); ok {
			return answer{refused: &short}, nil
		}
		return answer{held: held}, err
	}, func(a, b answer) bool {
		if a.refused != nil || b.refused != nil {
			return a.refused != nil && b.refused != nil && sameShortfall(*a.refused, *b.refused)
		}
		return sameHeld(a.held, b.held)
	})
	if s.held, s.refused = a.held, a.refused; s.refused != nil && s.refused.Limit == "credit" {
		select {
		case s.org.short <- struct{}{}:
		default:
		}
	}
	return err == nil && s.refused == nil, err
}

func sameShortfall(a, b client.Shortfall) bool {
	return a.Account == b.Account && a.Limit == b.Limit && a.Asked.Equal(b.Asked.Decimal) && a.Left.Equal(b.Left.Decimal)
}

// sameHeld leaves out what a repeated answer has not.
func sameHeld(a, b client.Held) bool {
	return a.ID == b.ID && a.Extension == b.Extension && a.State == b.State && a.Amount.Equal(b.Amount.Decimal) && a.Sequence == b.Sequence
}

// prolong extends the stream's hold; false: that was refused, or the hold is gone.
func (g *gateway) prolong(ctx context.Context, rng *rand.Rand, s *stream, i int, x prolonging) (bool, error) {
	e := client.Extension{ID: fmt.Sprintf("%s-ext-%d", s.used.ID, i), TTL: x.ttl}
	done := prolonged{id: e.ID}
	if x.output > 0 {
		amount := client.Money{Decimal: s.model.cost(client.Event{Usage: map[string]uint64{"output": x.output}})}
		e.Amount, done.amount = &amount, amount.Decimal
	}
	if x.reports {
		report := s.so(s.used.Usage["output"] * uint64(i+1) / uint64(len(s.longer)+1))
		e.Event, done.report = &report, &report
	}
	held, err := send(ctx, g, rng, func(ctx context.Context) (client.Held, error) { return g.client.Extend(ctx, s.id(), e) }, sameHeld)
	if short, ok := client.ShortfallOf(err); ok {
		if !short.Asked.GreaterThan(short.Left.Decimal) {
			return false, fmt.Errorf("%w: refused where it fits: %+v", errAnswer, short)
		}
		if done.unsure = errors.Is(err, errUnsure); done.unsure {
			s.extended = append(s.extended, done)
		}
		return false, nil
	}
	if s.late = ended(err); s.late {
		return false, nil
	}
	if err == nil {
		s.extended = append(s.extended, done)
		s.held.Amount, s.held.Expires = held.Amount, held.Expires
	}
	return err == nil, err
}

func (g *gateway) capture(ctx context.Context, rng *rand.Rand, s *stream) error {
	got, err := send(ctx, g, rng, func(ctx context.Context) (client.Captured, error) { return g.client.Capture(ctx, s.id(), s.sent) },
		func(a, b client.Captured) bool {
			return a.Hold == b.Hold && a.State == b.State && a.Sequence == b.Sequence && a.Unpriced == b.Unpriced &&
				a.Charged.Equal(b.Charged.Decimal) && a.Released.Equal(b.Released.Decimal) && a.Lost.Equal(b.Lost.Decimal)
		})
	if s.late = ended(err); s.late {
		return nil
	}
	if err == nil {
		s.captured = &got
	}
	return err
}

func (g *gateway) void(ctx context.Context, rng *rand.Rand, s *stream) error {
	got, err := send(ctx, g, rng, func(ctx context.Context) (client.VoidedHold, error) { return g.client.VoidHold(ctx, s.id()) },
		func(a, b client.VoidedHold) bool {
			return a.Hold == b.Hold && a.State == b.State && a.Sequence == b.Sequence && a.Released.Equal(b.Released.Decimal)
		})
	if s.late = ended(err); s.late {
		return nil
	}
	if err == nil {
		s.voided = &got
	}
	return err
}

// errUnsure comes with the refusal of a request that may be under way once more: its first
// sending was given up, and the server may come to it yet. Of what a refusal does not use up the
// id, only the history tells what became of it.
var errUnsure = errors.New("it was sent before")

// send carries a request through crashes. Some are sent twice: one in forty without waiting for
// the first answer, one in forty after it. Two successes must be one.
func send[T any](ctx context.Context, g *gateway, rng *rand.Rand, op func(context.Context) (T, error), same func(a, b T) bool) (last T, err error) {
	draw, patience := rng.IntN(40), time.Duration(rng.Int64N(int64(lostWithin)))
	first, firstErr := last, errors.New("there is none")
	if draw == 0 {
		g.lost.Add(1)
		short, cancel := context.WithTimeout(ctx, patience)
		first, firstErr = op(short)
		cancel()
	}
	attempt := func() (out T, err error) {
		err = client.Retry(ctx, reconnectEvery, func(ctx context.Context) (err error) {
			out, err = op(ctx)
			return err
		})
		return out, err
	}
	last, err = attempt()
	if draw == 1 {
		g.again.Add(1)
		first, firstErr = last, err
		last, err = attempt()
	}
	switch {
	case firstErr == nil && err != nil:
		err = fmt.Errorf("%w: refused after it was done: %w", errAnswer, err)
	case firstErr == nil && !same(first, last):
		err = fmt.Errorf("%w: first %+v, then %+v", errAnswer, first, last)
	case draw == 0 && err != nil && client.CodeOf(firstErr) == "":
		err = errors.Join(errUnsure, err)
	}
	return last, err
}
