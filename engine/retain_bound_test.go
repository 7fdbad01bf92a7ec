package engine

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farthing/journal"
	"farthing/refusal"
)

// forgotten waits until all runs that are old enough are forgotten.
func (x *retainRig) forgotten() {
	x.t.Helper()
	x.settleTidier()
}

// TestVerifyComparesACheckpointAtTheBase drops history just up to the newest checkpoint: verify, which walks from there, has to compare it
// nevertheless.
func TestVerifyComparesACheckpointAtTheBase(t *testing.T) {
	x := newRetainRig(t, func(o *Options) { o.CheckpointBytes = 1 << 30 })
	x.post(llm("a", "acme", "m1", 1000, 10))
	x.checkpointed()
	at := x.e.marks.checkpointed.load()
	x.post(llm("b", "acme", "m1", 1000, 10))
	x.settle("w1")
	x.pass(9 * day)
	x.post(llm("c", "acme", "m1", 1000, 10)) // the clock is looked at
	x.forgotten()
	if to := x.drop(); to != at {
		t.Fatalf("dropped to %d, the checkpoint is of %d", to, at)
	}
	report, err := verifyStore(x.e.store, nil)
	if err != nil || report.Checkpoints != 1 {
		t.Fatalf("%d checkpoints compared: %v", report.Checkpoints, err)
	}
	rebuild(t, x.e.store.(onDisk).Store, journal.KindCheckpoint, newestCheckpoint(t, x.e.store.(onDisk).Store).id, func(_ int, k, v []byte) ([]byte, []byte) {
		if v[0] == chunkRows {
			v[len(v)-17-16]++
		}
		return k, v
	})
	if report, err = verifyStore(x.e.store, nil); err == nil {
		t.Fatalf("a changed checkpoint at the base goes unnoticed: %+v", report)
	}
	t.Log(err)
}

// TestVoidIsAnsweredAgainOnceItsEventWasDropped voids an old event, which goes before the client asks again.
func TestVoidIsAnsweredAgainOnceItsEventWasDropped(t *testing.T) {
	x := newRetainRig(t, nil)
	x.old()
	spec := VoidSpec{ID: "v", Source: "gw", Event: "old-3", Reason: "wrong"}
	first, created, refused := x.e.Void(spec)
	if refused != nil || !created {
		t.Fatal(refused)
	}
	ev, refused := x.e.Event("gw", "old-3")
	if refused != nil {
		t.Fatal(refused)
	}
	if to := x.drop(); to < ev.Sequence || to >= first.Sequence {
		t.Fatalf("dropped to %d, the event is of %d, its void of %d", to, ev.Sequence, first.Sequence)
	}
	again, created, refused := x.e.Void(spec)
	if refused != nil || created || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", first) {
		t.Errorf("the void was answered\n%+v, again\n%+v, created %v, %v", first, again, created, refused)
	}
	for _, other := range []VoidSpec{{ID: "v", Source: "gw", Event: "old-3", Reason: "other"}, {ID: "v", Source: "gw", Event: "old-4", Reason: "wrong"}} {
		if _, _, refused := x.e.Void(other); refused == nil || refused.Code != refusal.IDConflict {
			t.Errorf("void %+v: %v", other, refused)
		}
	}
	for _, other := range []VoidSpec{{ID: "w", Source: "gw", Event: "old-3"}, {ID: "w", Source: "gw", Event: "none"}} {
		if _, _, refused := x.e.Void(other); refused == nil || refused.Code != refusal.NotFound {
			t.Errorf("void %+v: %v", other, refused)
		}
	}
}

// old books something and settles it; with thing, what a test adds.
func (x *retainRig) old(things ...func()) { // the first meanwhile, the second six days later
	x.t.Helper()
	for i := range 30 {
		if i == 20 {
			x.pass(time.Hour)
			if len(things) > 0 {
				things[0]()
			}
		}
		x.post(llm(fmt.Sprint("old-", i), "acme", "m1", 1000+i, 10))
	}
	x.settle("old")
	x.checkpointed()
	x.pass(6 * day)
	x.post(llm("six", "acme", "m1", 1000, 10))
	if len(things) > 1 {
		things[1]()
	}
	x.pass(3 * day)
	x.post(llm("nine", "acme", "m1", 1000, 10))
	x.settle("young")
	x.checkpointed()
	if !x.o.neverForget {
		x.forgotten()
	}
}

// keeping is something that has to keep history from being dropped.
type keeping struct {
	name, why string
	change    func(o *Options)
	before    func(x *retainRig) // when what is to be dropped is booked
	six       func(x *retainRig) // six days later
	later     func(x *retainRig) // when it is old
	release   func(x *retainRig)
}

func (k *keeping) run(t *testing.T) {
	var lines keptLog
	x := newRetainRig(t, func(o *Options) {
		o.retainStep, o.Logger = 1, slog.New(&lines)
		if k.change != nil {
			k.change(o)
		}
	})
	at := uint64(0)
	x.old(func() {
		at = x.e.store.Head().Seq
		if k.before != nil {
			k.before(x)
		}
	}, func() {
		if k.six != nil {
			k.six(x)
		}
	})
	if k.later != nil {
		k.later(x)
	}
	said := 0
	for round := range 3 {
		if to := x.drop(); to > at {
			t.Fatalf("dropped to %d, what is needed was booked after %d", to, at)
		}
		if why := x.e.Stats().KeptBecauseOf; why != k.why {
			t.Fatalf("history is kept because of %q, not %q", why, k.why)
		}
		if got := lines.of(k.why); got == 0 || round > 0 && got != said {
			t.Errorf("the log says so %d times, and said so %d times before", got, said)
		} else {
			said = got
		}
	}
	k.release(x)
	if to := x.drop(); to <= at {
		t.Fatalf("dropped to %d, nothing is needed after %d: %q", to, at, x.e.Stats().KeptBecauseOf)
	}
	if why := x.e.Stats().KeptBecauseOf; lines.of(why) == 0 {
		t.Errorf("released, history is kept because of %q, of which the log says nothing", why)
	}
	x.verify()
}

// keptLog counts what the log says keeps history.
type keptLog struct {
	mu   sync.Mutex
	said map[string]int
}

// Enabled wants everything.
func (*keptLog) Enabled(context.Context, slog.Level) bool { return true }

// Handle counts.
func (l *keptLog) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "because_of" {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.said == nil {
				l.said = map[string]int{}
			}
			l.said[a.Value.String()]++
		}
		return true
	})
	return nil
}

// WithAttrs changes nothing.
func (l *keptLog) WithAttrs([]slog.Attr) slog.Handler { return l }

// WithGroup changes nothing.
func (l *keptLog) WithGroup(string) slog.Handler { return l }

func (l *keptLog) of(why string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said[why]
}

// expired places a hold that nobody asks for again: a notification tells of its end.
func (x *retainRig) expired() {
	if out := x.hold(HoldOp{Kind: PlaceHold, Amount: amount(x.t, "0.01"), HasAmount: true, TTL: time.Second}, "short", "acme"); out.Outcome != HoldDone {
		x.t.Fatalf("%+v", out)
	}
	x.pass(time.Hour)
	x.post(llm("after", "acme", "m1", 1, 1))
	for x.e.LastNotification() == 0 { // it is due
		x.e.internal(func(*sequencer) {})
	}
}

// TestHistoryIsKept: each thing that still needs history keeps it, which is said once, and lets it go when it needs it no more.
func TestHistoryIsKept(t *testing.T) {
	var needed atomic.Uint64
	f := func(k keeping) { t.Run(k.name, k.run) }
	f(keeping{name: "nothing", why: "age", change: func(o *Options) { o.Retention = 100 * day }, release: func(x *retainRig) {
		x.o.Retention = 0
		x.reopen()
	}})
	f(keeping{name: "event", why: "an event without a price", before: func(x *retainRig) { x.post(llm("free", "acme", "nothing", 1, 1)) },
		release: func(x *retainRig) { x.void("free") }})
	f(keeping{name: "hold", why: "an open hold", before: func(x *retainRig) {
		x.hold(HoldOp{Kind: PlaceHold, Amount: amount(x.t, "0.01"), HasAmount: true, TTL: 168 * time.Hour}, "long", "acme")
	}, six: func(x *retainRig) {
		if out := x.hold(HoldOp{Kind: ExtendHold, Amount: amount(x.t, "0.01"), HasAmount: true, TTL: 168 * time.Hour}, "long", "x1"); out.Outcome != HoldDone {
			x.t.Fatalf("%+v", out)
		}
	}, release: func(x *retainRig) {
		if out := x.hold(HoldOp{Kind: VoidHold}, "long", ""); out.Outcome != HoldDone {
			x.t.Fatalf("%+v", out)
		}
	}})
	f(keeping{name: "webhook", why: "notifications that are not delivered", change: func(o *Options) { o.NoticesNeeded = needed.Load },
		before: func(x *retainRig) {
			needed.Store(1)
			x.expired()
		}, release: func(*retainRig) { needed.Store(^uint64(0)) }})
	f(keeping{name: "topic", why: "notifications that are not delivered", change: func(o *Options) { o.NoticesPublished = true },
		before: (*retainRig).expired, release: (*retainRig).publishNotices})
	f(keeping{name: "rerate", why: "a rerate that is under way", later: func(x *retainRig) {
		x.e.repriced() // it looks no more
		x.e.internal(func(s *sequencer) { s.state.rerates = append(s.state.rerates, &rerateJob{id: "endless"}) })
	}, release: func(x *retainRig) {
		x.e.internal(func(s *sequencer) { s.state.rerates = s.state.rerates[:len(s.state.rerates)-1] })
	}})
	f(keeping{name: "identities", why: "identities that are not forgotten", change: func(o *Options) { o.neverForget = true }, release: func(x *retainRig) {
		x.o.neverForget = false
		x.reopen()
		x.forgotten()
	}})
	f(keeping{name: "dedup window", why: "identities that are not forgotten", change: func(o *Options) { o.DedupWindow = 30 * day }, release: func(x *retainRig) {
		x.pass(40 * day)
		x.post(llm("late", "acme", "m1", 1, 1))
		x.checkpointed()
		x.forgotten()
	}})
}

// publishNotices publishes all notifications.
func (x *retainRig) publishNotices() {
	box := x.e.NoticeOutbox()
	list, err := box.Records(1, 1<<20)
	if err != nil || len(list) == 0 {
		x.t.Fatal(len(list), err)
	}
	last := uint64(len(list))
	if err := box.Attempt(Attempt{ProducerID: 7, Epoch: 1, First: 1, Last: last}); err != nil {
		x.t.Fatal(err)
	}
	if err := box.Confirm(Confirmation{First: 1, Last: last, Topic: "t", BaseOffset: 1, NextOffset: int64(last + 1)}); err != nil {
		x.t.Fatal(err)
	}
}

// TestSettlementsAreKeptForTheirTopic: records of settlement that nobody has published need no history, and are what they were.
func TestSettlementsAreKeptForTheirTopic(t *testing.T) {
	x := newRetainRig(t, func(o *Options) { o.retainStep = 1 })
	x.old()
	read := func() (out string) {
		records, err := x.e.Outbox().Records(1, 1<<20)
		if err != nil || len(records) == 0 {
			t.Fatal(len(records), err)
		}
		for i := range records {
			out += recordText(&records[i]) + "\n"
		}
		return out
	}
	before := read()
	if x.drop() == 0 {
		t.Fatalf("nothing is dropped because of %q", x.e.Stats().KeptBecauseOf)
	}
	if after := read(); after != before {
		t.Error("records changed: ", firstDifference(before, after))
	}
	x.reopen()
	if after := read(); after != before {
		t.Error("records changed by a restart: ", firstDifference(before, after))
	}
}
