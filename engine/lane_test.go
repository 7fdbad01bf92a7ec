package engine

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farthing/internal/soak"
	"farthing/refusal"
)

// try ingests events from any goroutine. A request that is not admitted is refused as overloaded.
func (r *rig) try(calls ...call) (IngestResult, *refusal.Refusal) {
	q := r.e.Acquire(200 * len(calls))
	if q == nil {
		return IngestResult{}, overloaded()
	}
	defer r.e.Release(q)
	fill(r.t, q.Batch(), calls)
	return r.e.Ingest(q)
}

// oldCalls books events and brings them to disk.
func (r *rig) oldCalls(n int) (old []call) {
	r.t.Helper()
	for i := range n {
		old = append(old, llm(fmt.Sprint("old", i), "acme", "m1", 1, 1))
	}
	r.post(old...)
	r.reopen()
	return old
}

// TestPaidClock: whatever the size of requests and however many there are at once, repeats get their share of the time
// beside others, and no less; without others they do not wait.
func TestPaidClock(t *testing.T) {
	const span, look = 5 * time.Second, 25 * time.Microsecond
	rng := rand.New(rand.NewPCG(soak.Seed(t), 3))
	for _, looks := range []int{1, 8, laneStep} {
		for _, callers := range []int{1, 3, 64} {
			var c paidClock
			next, worked, now := make([]int64, callers), int64(0), int64(time.Hour)
			end := now + int64(span)
			for now < end {
				first := 0 // who comes next
				for i := range next {
					if next[i] < next[first] {
						first = i
					}
				}
				took := time.Duration(looks) * (look/5 + time.Duration(rng.Int64N(int64(look*4/5))))
				now = max(now, next[first]) + int64(took)
				worked += int64(took)
				next[first] = max(now, c.charge(now, looks, took, true))
			}
			edges := 2 * time.Duration(callers*looks) * look // what nobody knew of before, and what is under way at the end
			if got := time.Duration(worked); got > (span+laneBurst)/lanePace+edges || got < span/lanePace*95/100 {
				t.Errorf("%d callers with %d look-ups each worked %v of %v", callers, looks, got, span)
			}
			if due := c.charge(now, looks, time.Second, false); due > now || c.ahead(now) > 0 {
				t.Errorf("alone they wait %v", time.Duration(due-now))
			}
		}
	}
}

// TestSmallRepeatsArePaced: many clients send old events again, a few a request. What they do beside others is bounded by the clock on the wall,
// whatever the machine can do.
func TestSmallRepeatsArePaced(t *testing.T) {
	r := standard(t, hurried)
	old := r.oldCalls(2000)
	for size, clients := range map[int]int{1: 16, 7: 8, 20: 4} {
		// run sends repeats from so many clients for a moment and returns how many requests there were and how long it took.
		run := func() (requests int64, took time.Duration) {
			var n atomic.Int64
			var wg sync.WaitGroup
			start := time.Now()
			for k := range clients {
				wg.Go(func() {
					for i := k; time.Since(start) < 60*time.Millisecond; i += clients {
						at := i * size % (len(old) - size)
						if got, refused := r.try(old[at : at+size]...); refused != nil || got.Duplicates != size {
							t.Errorf("%+v, %v", got, refused)
							return
						}
						n.Add(1)
					}
				})
			}
			wg.Wait()
			return n.Load(), time.Since(start)
		}
		lane := r.e.lane
		alone, aloneTook := run()
		lane.arrives() // somebody else has work all the time
		before := lane.small.worked
		beside, took := run()
		worked := time.Duration(lane.small.worked - before)
		lane.leaves()
		t.Logf("%d a request: %d alone in %v, %d beside others in %v, which is %v of work", size, alone, aloneTook, beside, took, worked)
		if most := int64((took + laneBurst) / (lanePace * laneRequest)); beside > most+int64(clients) {
			t.Errorf("%d a request: %d requests beside others in %v, at most %d are paid for", size, beside, took, most)
		}
		if worked == 0 || worked > (took+laneBurst)/lanePace+laneRequest {
			t.Errorf("%d a request: %v of work in %v beside others", size, worked, took)
		}
	}
}

// TestRepeatsLeaveRoom: repeats that wait hold half of the budget. Further ones are refused, new events are not.
func TestRepeatsLeaveRoom(t *testing.T) {
	r := standard(t, func(o *Options) { o.RequestsMax = 8; hurried(o) })
	old := r.oldCalls(200)
	lane := r.e.lane
	lane.turn <- struct{}{}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got, refused := r.try(old...); refused != nil || got.Duplicates != len(old) {
				t.Errorf("%+v, %v", got, refused)
			}
		})
	}
	for lane.inside.Load() < 4 {
		runtime.Gosched()
	}
	if _, refused := r.try(old...); refused == nil || refused.Reason != "overloaded" {
		t.Errorf("a fifth one: %v", refused)
	}
	if got := r.post(llm("new", "acme", "m1", 1, 1)); got.Accepted != 1 {
		t.Errorf("a new one: %+v", got)
	}
	lane.arrives()
	lane.small.due = lane.now() + int64(time.Hour)
	if _, refused := r.try(old[:1]...); refused == nil || refused.Reason != "overloaded" {
		t.Errorf("a small one with an hour before it: %v", refused)
	}
	lane.leaves()
	if s := r.e.Stats(); s.RepeatsWaiting != 4 || s.RepeatsRefused != 2 {
		t.Errorf("%d wait, %d refused", s.RepeatsWaiting, s.RepeatsRefused)
	}
	<-lane.turn
	wg.Wait()
	if lane.inside.Load() != 0 || lane.events.Load() != 0 || lane.bytes.Load() != 0 {
		t.Error("the lane is not empty")
	}
}

// TestCloseEndsTheLane: a stop does not wait until repeats are paid for. Those that have not been looked for are refused as draining.
func TestCloseEndsTheLane(t *testing.T) {
	r := standard(t, hurried)
	old := r.oldCalls(300)
	lane := r.e.lane
	lane.arrives()
	lane.large.due = lane.now() + int64(time.Hour) // the first one pays for its first part until then
	var drained atomic.Int64
	var answered atomic.Bool
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			switch got, refused := r.try(old...); {
			case refused != nil && refused.Reason == "draining":
				drained.Add(1)
			default:
				t.Errorf("%+v, %v", got, refused)
			}
		})
	}
	for lane.inside.Load() < 20 {
		runtime.Gosched()
	}
	lane.small.due = lane.now() + int64(laneWaitMax/2)
	wg.Go(func() { // it was looked for, so it is answered
		defer answered.Store(true)
		if got, refused := r.try(old[0]); refused != nil || got.Duplicates != 1 {
			t.Errorf("%+v, %v", got, refused)
		}
	})
	for lane.inside.Load() < 21 && !answered.Load() {
		runtime.Gosched()
	}
	start := time.Now()
	r.close()
	wg.Wait()
	if took := time.Since(start); took > 5*time.Second || drained.Load() != 20 {
		t.Errorf("it took %v, %d were refused as draining", took, drained.Load())
	}
	r.open()
}
