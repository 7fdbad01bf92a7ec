package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// SustainedResult is how a sustained run was left behind. Its figure counts all events by the time from the first request until they were
// settled: every command is in the evidence, and every identity is in a run on disk but for those of the generation that is still
// open, which becomes one when it is full and is looked up in memory until then.
type SustainedResult struct {
	// Tail is from the last answer until everything was settled.
	Tail time.Duration `json:"tail_ns"`
	// Unindexed is the commands whose identities are in the open generation; GenerationMax is what such a one takes.
	Unindexed     uint64 `json:"unindexed"`
	GenerationMax uint64 `json:"generation_max"`
}

const (
	// generationMax is what the server keeps in memory before it becomes a run: 2²⁰ identities, and what else its last group had.
	generationMax = 1<<20 + 1<<17
	settleEvery   = 20 * time.Millisecond
	settleMax     = 10 * time.Minute
)

var errNoMarks = errors.New("the server does not say what is indexed and evidenced")

// settleDown waits until everything that was answered is settled.
func (r *run) settleDown(ctx context.Context) (*SustainedResult, error) {
	ctx, cancel := context.WithTimeout(ctx, settleMax)
	defer cancel()
	began := time.Now()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		m, err := r.scrape(ctx)
		if err != nil {
			return nil, err
		}
		if m == nil || m.durable == 0 {
			return nil, errNoMarks
		}
		if m.evidenced == m.durable && m.durable-m.indexed <= generationMax {
			return &SustainedResult{Tail: time.Since(began), Unindexed: uint64(m.durable - m.indexed), GenerationMax: generationMax}, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait until everything is settled: %w", ctx.Err())
		}
	}
}

const (
	calmFor = time.Second
	calmMax = 2 * time.Minute
)

// Calm waits until a server at url, which nobody uses, has written nothing to its tables for a second.
func Calm(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, calmMax)
	defer cancel()
	tick := time.NewTicker(calmFor)
	defer tick.Stop()
	r := &run{opts: Options{URL: url}}
	for before := -1.0; ; {
		m, err := r.scrape(ctx)
		if err != nil {
			return err
		}
		if m == nil || m.tables == before {
			return nil
		}
		before = m.tables
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("wait until the store is calm: %w", ctx.Err())
		}
	}
}
