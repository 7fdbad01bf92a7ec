package bench

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// pace says when a worker of an open loop sends. The times are drawn as those of independent callers are (the gaps are exponential)
// and do not depend on the answers: a worker that is late sends at once, and its request's latency counts from when it was due, so that a
// server that stalls is charged for all who would have come meanwhile. Its worker's goroutine owns it.
type pace struct {
	rng  *rand.Rand
	mean float64 // ns between two turns
	due  time.Time
}

// waitMax bounds how long a worker sleeps before it looks whether the run has ended.
const waitMax = 100 * time.Millisecond

// newPace is that of one worker, with so many events a second in its turns.
func newPace(perSecond float64, turns []*turn, seed uint64) *pace {
	events := 0
	for _, t := range turns {
		events += len(t.draws)
	}
	return &pace{rng: rand.New(rand.NewPCG(seed, 4)), mean: float64(events) / float64(len(turns)) / perSecond * float64(time.Second)}
}

// wait returns when the next turn is due, or the run is over, and when it was. A nil pace does not wait.
func (p *pace) wait(stopped *atomic.Bool) time.Time {
	if p == nil {
		return time.Time{}
	}
	if p.due.IsZero() {
		p.due = time.Now()
	}
	p.due = p.due.Add(time.Duration(p.rng.ExpFloat64() * p.mean))
	for !stopped.Load() {
		left := time.Until(p.due)
		if left <= 0 {
			break
		}
		time.Sleep(min(left, waitMax))
	}
	return p.due
}
