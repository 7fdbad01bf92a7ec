package publish

import (
	"errors"
	"testing"
	"time"
)

func TestPublish(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		all := settlement("a", 1, 300)
		box := newBox(all[:100]...)
		o := c.options(t)
		o.MaxBatchBytes, o.Compression = 4<<10, NoCompression
		r := start(t, o, box)
		box.awaitConfirmed(t, 100)
		box.seal(all[100:101]...)
		box.awaitConfirmed(t, 101)
		box.seal(all[101:]...)
		box.awaitConfirmed(t, 300)
		r.stop(t)
		if s := r.relay.Stats(); s.Sent != 300 || s.Confirmed != 300 || s.Failures > s.Sessions*20 || s.Sessions != 1 || s.Batches < 10 {
			t.Fatalf("stats %+v", s)
		}
		if a := checkApplied(t, c, o, box, all); a.fences != 1 {
			t.Fatalf("%d fences", a.fences)
		}
		if len(box.attempts) != len(box.confirms) {
			t.Fatalf("%d attempts for %d batches", len(box.attempts), len(box.confirms))
		}
	})
}

func TestLargeRecords(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		all := settlement("a", 1, 12)
		for i := range all {
			all[i].Value = make([]byte, 300<<10)
			for j := range all[i].Value {
				all[i].Value[j] = byte('a' + (i+j)%26)
			}
		}
		box := newBox(all...)
		r := start(t, c.options(t), box)
		box.awaitConfirmed(t, 12)
		r.stop(t)
		checkApplied(t, c, c.options(t), box, all)
	})
}

var errCrash = errors.New("crashed")

// TestCrash ends the relay at every step of a batch's way and starts another one on what is durable.
func TestCrash(t *testing.T) {
	for _, at := range []struct {
		name string
		arm  func(box *memBox, w *wire, crash func() error)
	}{
		{"before records are read", func(b *memBox, _ *wire, crash func() error) { b.onRecords = crash }},
		{"before the attempt is durable", func(b *memBox, _ *wire, crash func() error) { b.onAttempt = crash }},
		{"after the attempt is durable", func(b *memBox, _ *wire, crash func() error) { b.afterAttempt = crash }},
		{"after the fence", func(_ *memBox, w *wire, crash func() error) {
			w.cutAnswers.Store(1)
			w.onCut = func() { _ = crash() }
		}},
		{"after the send", func(_ *memBox, w *wire, crash func() error) {
			w.skip.Store(2)
			w.cutAnswers.Store(1)
			w.onCut = func() { _ = crash() }
		}},
		{"before the confirmation is durable", func(b *memBox, _ *wire, crash func() error) { b.onConfirm = crash }},
		{"after the confirmation is durable", func(b *memBox, _ *wire, crash func() error) { b.afterConfirm = crash }},
	} {
		t.Run(at.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, c cluster) { crashAndRecover(t, c, at.arm) })
		})
	}
}

func crashAndRecover(t *testing.T, c cluster, arm func(*memBox, *wire, func() error)) {
	all := settlement("a", 1, 9)
	box, w := newBox(all...), &wire{}
	o := c.options(t)
	o.MaxBatchBytes = maxBatchBytesMin // three batches or more
	o.Dial = w.dial
	var r *run
	started := make(chan struct{})
	arm(box, w, func() error { <-started; r.cancel(); return errCrash })
	r = start(t, o, box)
	close(started)
	if err := r.ended(t); err != nil {
		t.Fatal(err)
	}
	next := box.copy() // without the hooks
	o.Dial = nil
	r = start(t, o, next)
	next.awaitConfirmed(t, 9)
	r.stop(t)
	checkApplied(t, c, o, next, all)
}

// TestInDoubt loses answers within a run: only the identical triple follows, and the topic has one copy.
func TestInDoubt(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		all := settlement("a", 1, 6)
		box, w := newBox(all...), &wire{}
		w.cutAnswers.Store(3) // the fence's and the first batch's
		o := c.options(t)
		o.Dial = w.dial
		r := start(t, o, box)
		box.awaitConfirmed(t, 6)
		if s := r.relay.Stats(); s.Resent < 3 || s.Sessions != 1 {
			t.Fatalf("stats %+v", s)
		}
		r.stop(t)
		checkApplied(t, c, o, box, all)
		if len(box.attempts) != 1 {
			t.Fatalf("attempts %+v, want the one triple", box.attempts)
		}
	})
}

// TestTwoRelays has a relay on a copy of the outbox take over while the first one's send is on its way.
func TestTwoRelays(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		all := settlement("a", 1, 9)
		box, w := newBox(all[:3]...), &wire{}
		o := c.options(t)
		old := start(t, o, box)
		box.awaitConfirmed(t, 3)
		old.stop(t)

		o.Dial = w.dial
		box.seal(all[3:6]...)
		old = start(t, o, box) // its fence and records 4 to 6 go through
		box.awaitConfirmed(t, 6)
		twin := box.copy()
		g := newGate()
		w.gate.Store(g)
		box.seal(all[6:]...)
		<-g.come // records 7 to 9 are on their way

		o.Dial = nil
		twin.seal(all[6:]...)
		successor := start(t, o, twin)
		twin.awaitConfirmed(t, 9)
		close(g.open)
		if err := old.ended(t); !errors.Is(err, ErrFenced) {
			t.Fatalf("the old relay ended with %v", err)
		}
		if s := old.relay.Stats(); s.State != StateFenced {
			t.Fatalf("stats %+v", s)
		}
		successor.stop(t)
		checkApplied(t, c, o, twin, all)
	})
}

// TestSleeper has the old relay renew its epoch after it was replaced: it must not replace its successor. kfake takes the
// claim of a stale epoch, so this needs the real broker.
func TestSleeper(t *testing.T) {
	t.Run("kafka", func(t *testing.T) {
		c := realCluster(t)
		all := settlement("a", 1, 6)
		box := newBox(all[:3]...)
		clock := newClock()
		o := c.options(t)
		sleeper := o
		sleeper.Now = clock.now
		old := start(t, sleeper, box)
		box.awaitConfirmed(t, 3)
		twin := box.copy()
		successor := start(t, o, twin)
		twin.seal(all[3:]...)
		twin.awaitConfirmed(t, 6)
		clock.add(DefaultRenewEvery)
		box.seal(all[3:]...) // wakes it
		if err := old.ended(t); !errors.Is(err, ErrFenced) {
			t.Fatalf("the old relay ended with %v", err)
		}
		successor.stop(t)
		checkApplied(t, c, o, twin, all)
	})
}

// TestRenew has the epoch renewed in time, without a second copy of anything.
func TestRenew(t *testing.T) {
	onBoth(t, func(t *testing.T, c cluster) {
		all := settlement("a", 1, 6)
		box := newBox(all[:3]...)
		clock := newClock()
		o := c.options(t)
		o.Now = clock.now
		r := start(t, o, box)
		box.awaitConfirmed(t, 3)
		clock.add(DefaultRenewEvery)
		box.seal(all[3:]...)
		box.awaitConfirmed(t, 6)
		if s := r.relay.Stats(); s.Sessions != 2 || s.Epoch != 1 {
			t.Fatalf("stats %+v", s)
		}
		r.stop(t)
		checkApplied(t, c, o, box, all)
	})
}

// clock is a wall clock that a test moves on. It begins in the past: brokers refuse times an hour ahead.
type clock struct{ at chan time.Time }

func newClock() *clock {
	c := &clock{at: make(chan time.Time, 1)}
	c.at <- time.Now().Add(-2 * DefaultRenewEvery)
	return c
}

func (c *clock) now() time.Time { at := <-c.at; c.at <- at; return at }

func (c *clock) add(d time.Duration) { c.at <- (<-c.at).Add(d) }

// TestForked has two ledgers of one id publish different histories.
func TestForked(t *testing.T) {
	for _, f := range []struct {
		name    string
		records []Record // of the second ledger, which took its copy after 3
	}{
		{"other content", append(settlement("a", 1, 4), settlement("b", 5, 6)...)},
		{"behind what was published", settlement("a", 1, 4)},
	} {
		t.Run(f.name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, c cluster) {
				all := settlement("a", 1, 6)
				box := newBox(all[:3]...)
				o := c.options(t)
				r := start(t, o, box)
				box.awaitConfirmed(t, 3)
				fork := box.copy()
				box.seal(all[3:]...)
				box.awaitConfirmed(t, 6)
				r.stop(t)

				fork.records = f.records
				r = start(t, o, fork)
				if err := r.ended(t); !errors.Is(err, ErrForked) {
					t.Fatalf("ended with %v", err)
				}
				if s := r.relay.Stats(); s.State != StateForked || s.LastError == "" {
					t.Fatalf("stats %+v", s)
				}
				if fork.pos.Confirmed != 3 || len(fork.attempts) != 0 {
					t.Fatalf("the fork was left at %+v", fork.pos)
				}
				if a := checkApplied(t, c, o, box, all); a.fences != 1 {
					t.Fatalf("the fork has appended: %d fences", a.fences)
				}
			})
		})
	}
}
