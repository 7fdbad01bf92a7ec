package engine

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"farthing/internal/soak"
)

// flowModel is a model of everything behind the flow: clients that send whatever the rate, a ring, groups of at most so
// many journal bytes, and a committer that takes its time. Time is simulated.
type flowModel struct {
	t   *testing.T
	f   *flow
	rng *rand.Rand

	commit func(now int64, bytes int) time.Duration // of a group
	perSec [flowClasses]float64                     // requests offered a second
	body   [flowClasses]int64
	shrink int64 // body bytes of a journal byte

	now     int64
	next    [flowClasses]int64 // when the next request of a class comes
	ring    []lined
	filling []lined
	bytes   int // of filling
	begun   int64

	waits    [flowClasses][]time.Duration
	admitted [flowClasses]int
	refused  [flowClasses]int
	served   int64 // body bytes
	limits   []int64
}

type lined struct {
	ticket flowTicket
	at     int64
}

const modelGroupBytes = 1 << 20

func newFlowModel(t *testing.T, target time.Duration) *flowModel {
	seed := soak.Seed(t)
	l := &flowModel{t: t, f: newFlow(target, modelGroupBytes), rng: rand.New(rand.NewPCG(seed, 1)), shrink: 2}
	l.body = [flowClasses]int64{200, 200_000}
	return l
}

// arrive lets requests come until end.
func (l *flowModel) arrive(end int64) {
	for {
		class := 0
		for c := range l.next {
			if l.perSec[c] > 0 && (l.perSec[class] == 0 || l.next[c] < l.next[class]) {
				class = c
			}
		}
		if l.perSec[class] == 0 || l.next[class] >= end {
			break
		}
		at := l.next[class]
		l.next[class] += 1 + int64(l.rng.ExpFloat64()*float64(time.Second)/l.perSec[class])
		for int64(l.f.slot.Load()) < at/int64(slotTime) {
			l.f.tick()
		}
		if !l.f.room(class) {
			l.refused[class]++
			continue
		}
		q := lined{at: at}
		l.f.take(&q.ticket, l.body[class])
		l.f.enqueue(&q.ticket)
		l.admitted[class]++
		l.ring = append(l.ring, q)
	}
	l.fill(end)
}

// fill takes from the ring what the open group has room for.
func (l *flowModel) fill(now int64) {
	for len(l.ring) > 0 && l.bytes < modelGroupBytes {
		if len(l.filling) == 0 {
			l.begun = now
		}
		l.bytes += int(l.ring[0].ticket.cost / l.shrink)
		l.filling, l.ring = append(l.filling, l.ring[0]), l.ring[1:]
	}
}

// run simulates until a time.
func (l *flowModel) run(until time.Duration) {
	end := int64(until)
	for c := range l.next {
		l.next[c] = max(l.next[c], l.now)
	}
	for l.now < end {
		if len(l.filling) == 0 { // idle: a millisecond at a time
			l.now += int64(time.Millisecond)
			l.arrive(l.now)
			continue
		}
		group, begun, full := l.filling, l.begun, l.bytes >= modelGroupBytes || len(l.ring) > 0
		took := l.commit(l.now, l.bytes)
		l.filling, l.bytes = nil, 0
		l.fill(l.now)
		for step := range int64(10) { // what arrives meanwhile fills the next one
			l.arrive(l.now + int64(took)*(step+1)/10)
		}
		l.now += int64(took)
		var cost [flowClasses]int64
		for _, q := range group {
			cost[q.ticket.class] += q.ticket.cost
			l.waits[q.ticket.class] = append(l.waits[q.ticket.class], time.Duration(l.now-q.at))
			l.served += q.ticket.cost
		}
		l.f.group(cost, full, begun, l.now)
		l.limits = append(l.limits, l.f.limit.Load())
	}
}

func (l *flowModel) reset() {
	l.waits, l.admitted, l.refused, l.served, l.limits = [flowClasses][]time.Duration{}, [flowClasses]int{}, [flowClasses]int{}, 0, nil
}

func p99(waits []time.Duration) time.Duration {
	if len(waits) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(waits))
	return s[len(s)*99/100]
}

// TestFlowOverload offers several times (ten in a full run) what a line with commits of different lengths can take: the waits of what is admitted stay below
// 250 ms, nothing of the capacity is lost to the limit, and the limit does not swing.
func TestFlowOverload(t *testing.T) {
	f := func(commit time.Duration, small, large float64) {
		t.Helper()
		l := newFlowModel(t, 100*time.Millisecond)
		l.commit = func(_ int64, bytes int) time.Duration { return commit + time.Duration(bytes)*10 }
		full := commit + time.Duration(modelGroupBytes)*10
		capacity := float64(modelGroupBytes*l.shrink) / full.Seconds()
		const seconds = 4 // in one, few large requests come, and one in two hundred runs of a case saw less than a tenth of them
		times := soak.Pick(3.0, 10.0)
		l.perSec = [flowClasses]float64{times * capacity * small / float64(l.body[0]+requestCost), times * capacity * large / float64(l.body[1]+requestCost)}
		l.run(2 * time.Second) // what it takes to learn is below
		l.reset()
		l.run((2 + seconds) * time.Second)
		for class, waits := range l.waits {
			if p := p99(waits); p > 250*time.Millisecond {
				t.Errorf("commits of %v, %v small, %v large: class %d waits %v (p99)", commit, small, large, class, p)
			}
		}
		if got := float64(l.served) / seconds; got < 0.9*capacity {
			t.Errorf("commits of %v, %v small, %v large: %.0f bytes a second go through of %.0f", commit, small, large, got, capacity)
		}
		for class, share := range []float64{small, large} {
			// Somebody who offers enough gets at least a tenth of what there is.
			got := 0.0
			for range l.waits[class] {
				got += float64(l.body[class] + requestCost)
			}
			if share > 0 && got < 0.1*float64(l.served) {
				t.Errorf("commits of %v, %v small, %v large: class %d gets %.3f of it", commit, small, large, class, got/float64(l.served))
			}
		}
		low, high := slices.Min(l.limits), slices.Max(l.limits)
		if float64(high) > 1.5*float64(low) {
			t.Errorf("commits of %v, %v small, %v large: the limit swings from %d to %d", commit, small, large, low, high)
		}
	}
	all := []time.Duration{time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 70 * time.Millisecond}
	for _, commit := range soak.Pick(all[2:4], all) {
		f(commit, 0, 1)
		f(commit, 1, 0)
		f(commit, 0.5, 0.5)
		f(commit, 0.05, 0.95)
		f(commit, 0.95, 0.05)
	}
}

// TestFlowRecovers makes commits slow and fast again under the same load: what waits follows within a second, and so does the rate.
func TestFlowRecovers(t *testing.T) {
	l := newFlowModel(t, 100*time.Millisecond)
	slow, fast := 50*time.Millisecond, 2*time.Millisecond
	l.commit = func(now int64, bytes int) time.Duration {
		if now > int64(2*time.Second) && now < int64(6*time.Second) {
			return slow + time.Duration(bytes)*10
		}
		return fast + time.Duration(bytes)*10
	}
	capacity := float64(modelGroupBytes*l.shrink) / (fast + modelGroupBytes*10).Seconds()
	l.perSec = [flowClasses]float64{1000, 1.5 * capacity / 200_000}
	l.run(2 * time.Second)
	l.run(3 * time.Second) // a second to learn that it is slow
	l.reset()
	l.run(6 * time.Second)
	for class, waits := range l.waits {
		if p := p99(waits); p > 250*time.Millisecond {
			t.Errorf("slow: class %d waits %v", class, p)
		}
	}
	l.run(6200 * time.Millisecond)
	l.reset()
	l.run(7200 * time.Millisecond)
	if got := float64(l.served); got < 0.93*capacity {
		t.Errorf("fast again: %.0f of %.0f bytes in the second that begins 200 ms after", got, capacity)
	}
}

// TestFlowAdmitsBelowCapacity offers less than what goes through, in bursts: nothing is refused.
func TestFlowAdmitsBelowCapacity(t *testing.T) {
	l := newFlowModel(t, 100*time.Millisecond)
	l.commit = func(_ int64, bytes int) time.Duration { return 2*time.Millisecond + time.Duration(bytes)*10 }
	capacity := float64(modelGroupBytes*l.shrink) / (2*time.Millisecond + modelGroupBytes*10).Seconds()
	l.perSec = [flowClasses]float64{2000, 0.8 * capacity / 200_000}
	l.run(10 * time.Second)
	if l.refused != [flowClasses]int{} {
		t.Errorf("refused %v beside %v", l.refused, l.admitted)
	}
}

// TestFlowFatBodies has bodies of which little is journaled, so that a full group costs more than is assumed before one was seen: the limit grows until
// groups are full.
func TestFlowFatBodies(t *testing.T) {
	l := newFlowModel(t, 100*time.Millisecond)
	l.shrink = 30
	l.body[largeRequest] = 1 << 20
	l.commit = func(int64, int) time.Duration { return 90 * time.Millisecond }
	l.perSec[largeRequest] = 5000
	l.run(10 * time.Second)
	l.reset()
	l.run(12 * time.Second)
	if want := 0.9 * float64(modelGroupBytes*l.shrink) / 0.09; float64(l.served)/2 < want {
		t.Errorf("%.0f bytes a second of %.0f", float64(l.served)/2, want)
	}
}

// TestFlowSlowDisk has commits that take far longer than the target, and a request or two in each, one of which came as the group before was handed
// over: that looks like a full group of next to nothing. A few clients are no overload.
func TestFlowSlowDisk(t *testing.T) {
	f := newFlow(100*time.Millisecond, modelGroupBytes)
	now := int64(0)
	for range 100 {
		begun := now
		now += int64(300 * time.Millisecond)
		q := flowTicket{}
		f.take(&q, 0)
		f.enqueue(&q)
		f.group([flowClasses]int64{q.cost, 0}, true, begun, now)
	}
	for range 6 {
		for _, bytes := range []int64{0, 12_000} {
			if _, class := costOf(bytes); !f.room(class) {
				t.Fatalf("refused with %d queued, the limit is %d", f.queuedCost(), f.limit.Load())
			}
			q := flowTicket{}
			f.take(&q, bytes)
			f.enqueue(&q)
		}
	}
}

// TestFlowSlowSenders admits requests whose bodies do not come: they keep nobody out once they are late, and have to ask again.
func TestFlowSlowSenders(t *testing.T) {
	f := newFlow(100*time.Millisecond, modelGroupBytes)
	var held []*flowTicket
	for f.room(largeRequest) {
		q := &flowTicket{}
		f.take(q, 100_000)
		held = append(held, q)
	}
	if f.room(largeRequest) || !f.room(smallRequest) {
		t.Fatal("small requests have no room of their own")
	}
	f.tick()
	if f.room(largeRequest) {
		t.Error("bodies of the last 100 ms do not count")
	}
	f.tick()
	if !f.room(largeRequest) {
		t.Error("bodies that are late keep others out")
	}
	for _, q := range held { // all of them come at once
		if f.current(q) {
			f.enqueue(q)
		}
	}
	if queued, limit := f.queuedCost(), f.limit.Load(); queued > limit+100_000+requestCost {
		t.Errorf("%d are queued, the limit is %d", queued, limit)
	}
	for range 3 * arrivingSlots {
		f.tick()
	}
	for _, q := range held {
		f.leave(q)
	}
	for i := range f.arriving {
		for class := range f.arriving[i] {
			if n := f.arriving[i][class].Load(); n != 0 {
				t.Fatalf("slot %d keeps %d", i, n)
			}
		}
	}
}
