package publish

import (
	"sync"
	"time"
)

// State says what a relay is doing.
type State string

// The states of a relay. The last three are final.
const (
	StateIdle       State = "idle"       // Run was not called, or has returned without an error
	StateStarting   State = "starting"   // opening an epoch: producer id, fence, read-back
	StatePublishing State = "publishing" // sending
	StateWaiting    State = "waiting"    // everything sealed is confirmed
	StateFailing    State = "failing"    // waiting after an environment failure, see LastError
	StateRefused    State = "refused"    // as failing, by a broker that does not accept us or that we must not trust
	StateFenced     State = "fenced"     // ErrFenced
	StateForked     State = "forked"     // ErrForked
	StateLost       State = "lost"       // ErrLost
)

// Stats is what metrics and readiness need. Counters are of this process.
type Stats struct {
	State State
	// Confirmed is the last confirmed StreamSeq, NextOffset the offset after it or after the last fence.
	Confirmed  uint64
	NextOffset int64
	// ProducerID and Epoch are of the present session, -1 before the first.
	ProducerID int64
	Epoch      int16
	// Sent counts records confirmed by an answer to their send, Found those that a read-back found in the topic.
	Sent, Found uint64
	// Batches counts confirmed sends, Resent repeated ones, Sessions opened epochs (one fence each), Failures all
	// environment failures.
	Batches, Resent, Sessions, Failures uint64
	// LastError is the text of the last failure, kept after recovery; LastErrorAt is its time.
	LastError   string
	LastErrorAt time.Time
	// Warnings are what the topic's settings endanger, as of the last session's start.
	Warnings []Warning
}

// tracker guards the Stats: Run writes, anyone reads.
type tracker struct {
	mu    sync.Mutex
	stats Stats
}

func (t *tracker) update(f func(*Stats)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.stats)
}

func (t *tracker) read() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.stats
}

func (t *tracker) setState(s State) { t.update(func(st *Stats) { st.State = s }) }
