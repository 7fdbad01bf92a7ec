package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
)

// DefaultResultsTopic is where results of lines come from.
const DefaultResultsTopic = "farthing.settlement-results"

// States of a ResultsReader beside idle, failing and refused.
const (
	StateReading State = "reading"  // reads, or waits for more
	StateNoTopic State = "no_topic" // the topic does not exist; it is looked for again
)

// Limits of a ResultsReader.
const (
	resultsAtOnce = 1000 // handed over at once
	refusedKept   = 100  // in Stats
	resultsWait   = 500 * time.Millisecond
	lookEvery     = 10 * time.Second
)

// ResultsLedger takes results. An error of any method is a failure of the environment: the reader waits and tries again from the
// positions it is given then.
type ResultsLedger interface {
	// Positions returns the next offset of each partition of the topic that has one.
	Positions(topic string) (map[int32]int64, error)
	// Results books what it can, durably, and says of each what came of it, in their order. The same may come again at any time.
	Results(list []Result) ([]ResultOutcome, error)
	// SetPosition says from where a partition is to be read on. It may be lost, but not before something that was set earlier.
	SetPosition(topic string, partition int32, next int64) error
}

// ResultOutcome is what came of a result. Code is empty if it is booked; it is Repeated if it was so before.
type ResultOutcome struct {
	Repeated             bool
	Code, Reason, Detail string
}

// ResultsReader reads the results topic, all its partitions, each message at least once, and hands them to the ledger. A message
// that is no result, or that the ledger refuses, is logged, counted and kept among the last 100; reading goes on behind it.
type ResultsReader struct {
	o       Options
	ledger  ResultsLedger
	log     *slog.Logger
	running atomic.Bool
	mu      sync.Mutex
	stats   ResultsStats

	// Owned by the goroutine in Run.
	broker  *broker
	backoff backoff
	lookAt  time.Time
	next    map[int32]int64 // nil: to be asked for
}

// ResultsStats is what metrics and the HTTP API need. Counters are of this process.
type ResultsStats struct {
	Topic      string
	State      State
	Partitions []ResultsPartition // by number
	// Applied counts results that were booked, Repeated those that had been before, Refused messages that booked nothing, Failures
	// what the reader waited after.
	Applied, Repeated, Refused, Failures uint64
	LastError                            string
	LastErrorAt                          time.Time
	Recent                               []RefusedResult // the last refused, newest first
}

// ResultsPartition is how far a partition was read.
type ResultsPartition struct {
	Partition int32
	Next      int64 // offset of the next message
}

// RefusedResult is a message that booked nothing. ID, BatchID and Line are as far as they could be read.
type RefusedResult struct {
	Topic                string
	Partition            int32
	Offset               int64
	Time                 time.Time // of the refusal
	ID, BatchID          string
	Line                 uint32
	Code, Reason, Detail string
}

// NewResultsReader returns a reader; it opens nothing. Of o it needs brokers and ledger; Topic defaults to DefaultResultsTopic, and
// what is about publishing does not apply.
func NewResultsReader(o Options, ledger ResultsLedger) (*ResultsReader, error) {
	setDefault(&o.Topic, DefaultResultsTopic)
	o = o.EnsureDefaults()
	if err := o.Validate(); err != nil {
		return nil, err
	}
	return &ResultsReader{o: o, ledger: ledger, log: o.Logger.With("topic", o.Topic), stats: ResultsStats{Topic: o.Topic, State: StateIdle}}, nil
}

// Stats returns the present figures. It may be called at any time.
func (r *ResultsReader) Stats() ResultsStats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Partitions, s.Recent = slices.Clone(s.Partitions), slices.Clone(s.Recent)
	slices.Reverse(s.Recent)
	return s
}

func (r *ResultsReader) update(f func(*ResultsStats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.stats)
}

// Run reads until ctx ends, and then returns nil.
func (r *ResultsReader) Run(ctx context.Context) error {
	if !r.running.CompareAndSwap(false, true) {
		return ErrRunning
	}
	defer r.running.Store(false)
	r.broker, r.backoff, r.next = newBroker(r.o), backoff{min: r.o.BackoffMin, max: r.o.BackoffMax}, nil
	defer func() { r.broker.close() }()
	for {
		err := r.round(ctx)
		if err == nil {
			r.backoff.reset()
			continue
		}
		if ctx.Err() != nil || r.wait(ctx, err) != nil {
			r.update(func(s *ResultsStats) { s.State = StateIdle })
			return nil
		}
	}
}

// wait reports what went wrong and lets some time pass.
func (r *ResultsReader) wait(ctx context.Context, err error) error {
	r.next = nil // what is durable is asked for again
	pauseFor, state, level := r.backoff.next(), StateFailing, slog.LevelWarn
	switch {
	case errors.Is(err, kafka.UnknownTopicOrPartition):
		pauseFor, state, level = max(pauseFor, min(lookEvery, 100*r.o.BackoffMin)), StateNoTopic, slog.LevelDebug
	case isRefused(err):
		state, level = StateRefused, slog.LevelError
	}
	r.log.Log(ctx, level, "reading of results waits", "error", err, "wait", pauseFor)
	r.update(func(s *ResultsStats) {
		s.State = state
		if state != StateNoTopic {
			s.Failures++
			s.LastError, s.LastErrorAt = err.Error(), r.o.Now()
		}
	})
	r.broker.reset()
	return pause(ctx, nil, pauseFor)
}

// round asks each partition once.
func (r *ResultsReader) round(ctx context.Context) error {
	if now := r.o.Now(); r.next == nil || !now.Before(r.lookAt) {
		if err := r.look(ctx); err != nil {
			return err
		}
		r.lookAt = now.Add(lookEvery)
	}
	atMost := max(resultsWait/time.Duration(len(r.next)), 10*time.Millisecond)
	var away error // a partition that cannot be read holds up none of the others
	for _, p := range r.partitions() {
		r.broker.o.Partition = p
		messages, next, err := r.broker.results(ctx, r.next[p], atMost)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			next, err = r.inRange(ctx, p)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil && away == nil:
			away = err
		case err == nil && next != r.next[p]:
			if err := r.take(p, messages, next); err != nil {
				return err
			}
		}
	}
	if away == nil {
		r.update(func(s *ResultsStats) { s.State = StateReading })
	}
	return away
}

// take hands over what was read of a partition, and goes on behind it.
func (r *ResultsReader) take(p int32, messages []message, next int64) error {
	for list := range slices.Chunk(messages, resultsAtOnce) {
		if err := r.hand(list); err != nil {
			return err
		}
	}
	if err := r.ledger.SetPosition(r.o.Topic, p, next); err != nil {
		return fmt.Errorf("record the position in %s/%d: %w", r.o.Topic, p, err)
	}
	r.next[p] = next
	r.showPositions()
	return nil
}

func (r *ResultsReader) partitions() []int32 {
	list := make([]int32, 0, len(r.next))
	for p := range r.next {
		list = append(list, p)
	}
	slices.Sort(list)
	return list
}

// look finds the partitions of the topic, which may become more, and where they were read up to.
func (r *ResultsReader) look(ctx context.Context) error {
	parts, err := r.broker.partitions(ctx)
	if err != nil {
		return err
	}
	known, err := r.ledger.Positions(r.o.Topic)
	if err != nil {
		return fmt.Errorf("read the positions of %s: %w", r.o.Topic, err)
	}
	next := make(map[int32]int64, len(parts))
	for _, p := range parts {
		next[p] = known[p]
		if at, ok := r.next[p]; ok {
			next[p] = at
		}
	}
	r.next = next
	r.showPositions()
	return nil
}

// inRange is for a position that the partition has not: it was passed by retention, or the topic is another one of that name. What is
// there is read from its beginning: results that were booked before are recognised.
func (r *ResultsReader) inRange(ctx context.Context, p int32) (int64, error) {
	first, end, err := r.broker.bounds(ctx)
	if err != nil {
		return 0, err
	}
	r.log.Warn("results cannot be read on where reading ended, and are read from the first that is there", "partition", p,
		"position", r.next[p], "first_offset", first, "end_offset", end)
	return first, nil
}

func (r *ResultsReader) showPositions() {
	list := make([]ResultsPartition, 0, len(r.next))
	for _, p := range r.partitions() {
		list = append(list, ResultsPartition{p, r.next[p]})
	}
	r.update(func(s *ResultsStats) { s.Partitions = list })
}

// message is a record of the results topic.
type message struct {
	Result
	bad *badResult
}

// hand gives the results among the messages to the ledger, and reports the others.
func (r *ResultsReader) hand(list []message) error {
	good := make([]Result, 0, len(list))
	for i := range list {
		if list[i].bad == nil {
			good = append(good, list[i].Result)
		}
	}
	var outcomes []ResultOutcome
	if len(good) > 0 {
		var err error
		if outcomes, err = r.ledger.Results(good); err != nil {
			return fmt.Errorf("book results of %s: %w", r.o.Topic, err)
		}
		if len(outcomes) != len(good) {
			panic(fmt.Sprintf("BUG: %d outcomes of %d results", len(outcomes), len(good)))
		}
	}
	for i := range list {
		m := &list[i]
		if bad := m.bad; bad != nil {
			r.refuse(&m.Result, bad.code, bad.reason, bad.detail)
			continue
		}
		o := outcomes[0]
		outcomes = outcomes[1:]
		switch {
		case o.Code != "":
			r.refuse(&m.Result, o.Code, o.Reason, o.Detail)
		case o.Repeated:
			r.update(func(s *ResultsStats) { s.Repeated++ })
		default:
			r.update(func(s *ResultsStats) { s.Applied++ })
		}
	}
	return nil
}

// refuse reports a message that booked nothing. The log has no reference and no amount.
func (r *ResultsReader) refuse(m *Result, code, reason, detail string) {
	r.log.Warn("a result is refused", "partition", m.Partition, "offset", m.Offset, "id", cut(m.ID), "batch_id", cut(m.BatchID), "line", m.Line,
		"code", code, "reason", reason, "detail", detail)
	refused := RefusedResult{Topic: r.o.Topic, Partition: m.Partition, Offset: m.Offset, Time: r.o.Now(), ID: cut(m.ID), BatchID: cut(m.BatchID),
		Line: m.Line, Code: code, Reason: reason, Detail: detail}
	r.update(func(s *ResultsStats) {
		s.Refused++
		if len(s.Recent) == refusedKept {
			s.Recent = slices.Delete(s.Recent, 0, 1)
		}
		s.Recent = append(s.Recent, refused)
	})
}

// cut bounds what a stranger wrote: ids have at most 128 bytes.
func cut(s string) string { return s[:min(len(s), 128)] }
