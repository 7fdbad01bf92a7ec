package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"farthing/bench/client"

	"github.com/shopspring/decimal"
)

// SettleResult is what closing a window came to while events went on coming in.
type SettleResult struct {
	Participants int    `json:"participants"` // with a line, the operator not counted
	Events       uint64 `json:"events"`       // of the window
	// Before and During are the events a second over Duration before the request to close, and from it
	// to its answer.
	Before int64 `json:"events_per_second_before"`
	During int64 `json:"events_per_second_during"`
	// Seal is from the request to close the window to its answer, which comes once it is sealed.
	Seal time.Duration `json:"seal_ns"`
	// LongestBefore is the longest that a request of events took before; LongestCut in the second after
	// the request to close, or as long as that took; LongestDuring from there to its answer.
	LongestBefore time.Duration `json:"longest_before_ns"`
	LongestCut    time.Duration `json:"longest_cut_ns"`
	LongestDuring time.Duration `json:"longest_during_ns"`
	// MemoryGrowth is how much more memory the server's process had in between than at most before; 0
	// when its process is not known.
	MemoryGrowth int64 `json:"memory_growth_bytes"`
	// LinesPerSecond is the lines of the window by the time from its seal until they were all
	// published; 0: they are not.
	LinesPerSecond int64 `json:"lines_per_second,omitempty"`
	// Proofs is how many proofs of inclusion were asked for, and what they took.
	Proofs   int           `json:"proofs"`
	ProofP50 time.Duration `json:"proof_p50_ns"`
	ProofMax time.Duration `json:"proof_max_ns"`
}

// Write writes the result for people.
func (s *SettleResult) Write(w io.Writer, run *Result) {
	line := func(format string, args ...any) {
		fmt.Fprintf(w, "%s: "+format+"\n", append([]any{run.Title()}, args...)...)
	}
	line("a window of %s participants and %s events was sealed %v after it was asked for",
		Thousands(int64(s.Participants)), Thousands(int64(s.Events)), Short(s.Seal))
	line("ingest: %s events/s before, %s meanwhile", Thousands(s.Before), Thousands(s.During))
	line("the longest answer to events: %v before, %v around the cut, %v until the seal", Short(s.LongestBefore), Short(s.LongestCut), Short(s.LongestDuring))
	if s.MemoryGrowth > 0 {
		line("the server took up to %s MiB more", Thousands(s.MemoryGrowth>>20))
	}
	if s.LinesPerSecond > 0 {
		line("%s lines/s were published", Thousands(s.LinesPerSecond))
	}
	if s.Proofs > 0 {
		line("a proof of inclusion took %v (p50), %v (max)", Short(s.ProofP50), Short(s.ProofMax))
	}
	line("%s events, the lines of %s participants and the trial balance equal what was sent: USD %s",
		Thousands(int64(run.Check.Events)), Thousands(int64(run.Check.Accounts)), run.Check.Total)
}

// The parts of a run that closes a window, for the longest answers.
const (
	phaseNone = iota
	phaseBefore
	phaseCut
	phaseDuring
	phases
)

// settle fills the window, closes it while events come in, and says what that was like. The workers
// run until it returns.
func (r *run) settle(ctx context.Context) (*SettleResult, error) {
	if err := r.fill(ctx); err != nil {
		return nil, err
	}
	memory := startMemory(r.opts.PID)
	defer memory.stop()
	r.phase.Store(phaseBefore)
	r.measuring.Store(true)
	from := r.take()
	r.pause(ctx, from.at, r.opts.Duration, 0)
	r.measuring.Store(false)
	before := r.take()
	most := memory.most()
	out := &SettleResult{Before: perSecond(before.events-from.events, before.at.Sub(from.at))}

	r.phase.Store(phaseCut)
	cut := time.AfterFunc(time.Second, func() { r.phase.CompareAndSwap(phaseCut, phaseDuring) })
	defer cut.Stop()
	closed, err := r.closeWindow(ctx, "during")
	if err != nil {
		return nil, err
	}
	after := r.take()
	r.phase.Store(phaseNone)
	out.Seal, out.During = after.at.Sub(before.at), perSecond(after.events-before.events, after.at.Sub(before.at))
	out.MemoryGrowth = max(0, memory.most()-most)
	for phase, to := range []*time.Duration{phaseBefore: &out.LongestBefore, phaseCut: &out.LongestCut, phaseDuring: &out.LongestDuring} {
		if to != nil {
			*to = time.Duration(r.longest[phase].Load())
		}
	}
	r.windows = append(r.windows, closed)
	return out, r.afterSeal(ctx, out, closed)
}

var errStopped = errors.New("the run was stopped")

// fill waits until as many events are in as the window is to have.
func (r *run) fill(ctx context.Context) error {
	for began := time.Now(); r.take().events < r.opts.Events; {
		r.pause(ctx, began, time.Second, 0)
		if r.stopped.Load() {
			return errStopped // it has failed already, and keeps its first reason
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// closeWindow closes the open window on a connection of its own, which waits as long as it takes.
func (r *run) closeWindow(ctx context.Context, id string) (client.Closed, error) {
	c := newConn(dialer(ctx, r.host()))
	defer c.drop()
	defer context.AfterFunc(ctx, c.abort)()
	e := post(http.MethodPost, "/v1/settlements", map[string]string{"id": r.tree.names.run + "-" + id})
	body, err := r.errand(ctx, c, e)
	if err != nil {
		return client.Closed{}, fmt.Errorf("close the window: %w", err)
	}
	var closed client.Closed
	return closed, readInto(e, body, &closed)
}

// afterSeal measures what can be done with a sealed window.
func (r *run) afterSeal(ctx context.Context, out *SettleResult, closed client.Closed) error {
	if len(closed.Batches) != 1 {
		return fmt.Errorf("%w: %d batches of a window in one currency", ErrSum, len(closed.Batches))
	}
	b := closed.Batches[0]
	out.Participants = b.Lines - 1
	if r.opts.Published {
		began := time.Now()
		if err := r.awaitPublished(ctx, b.BatchID); err != nil {
			return err
		}
		out.LinesPerSecond = perSecond(uint64(b.Lines), time.Since(began))
	}
	return r.proofs(ctx, out)
}

// awaitPublished asks for a batch until it is published.
func (r *run) awaitPublished(ctx context.Context, batch string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		raw, err := r.client.RawSettlement(ctx, batch)
		if err != nil {
			return err
		}
		var m client.Manifest
		if err := json.Unmarshal(raw, &m); err != nil {
			return fmt.Errorf("%w: settlement %s: %w", ErrProtocol, batch, err)
		}
		if m.Published != nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// proofsMax is how many proofs are asked for, one after the other.
const proofsMax = 200

// proofs asks for proofs of the first events that were sent, beside ingest. A server without them is
// no error.
func (r *run) proofs(ctx context.Context, out *SettleResult) error {
	c := newConn(dialer(ctx, r.host()))
	defer c.drop()
	defer context.AfterFunc(ctx, c.abort)()
	took := newHistogram()
	for n := range proofsMax {
		w := r.workers[n%len(r.workers)]
		first := w.turns[0] // each worker's first turn
		i := n / len(r.workers) % len(first.draws)
		var digits [idBlockLen + idIndexLen]byte
		base32(digits[:idBlockLen], w.firstBlock.Load())
		base32(digits[idBlockLen:], uint64(i))
		path := fmt.Sprintf("/v1/events/gateway-%d/%s%s/proof", first.draws[i].payer%4, url.PathEscape(r.prefix), digits)
		began := time.Now()
		_, err := r.errand(ctx, c, errand{http.MethodGet, path, nil})
		if p := (*client.Problem)(nil); n == 0 && errors.As(err, &p) && p.Status == http.StatusNotFound {
			return nil
		}
		if err != nil {
			return fmt.Errorf("a proof of an event: %w", err)
		}
		_ = took.RecordValue(min(int64(time.Since(began)), int64(time.Minute)))
		out.Proofs++
	}
	out.ProofP50, out.ProofMax = time.Duration(took.ValueAtQuantile(50)), time.Duration(took.Max())
	return nil
}

// checkLines closes what came in since and compares the lines of both windows with what was sent times
// its price. Call it after the workers have ended.
func (r *run) checkLines(ctx context.Context, out *SettleResult) (Check, error) {
	closed, err := r.closeWindow(ctx, "after")
	if err != nil {
		return Check{}, err
	}
	r.windows = append(r.windows, closed)
	debits, credits, events := map[string]decimal.Decimal{}, map[string]decimal.Decimal{}, map[string]uint64{}
	for n, w := range r.windows {
		for _, b := range w.Batches {
			lines, err := r.client.Lines(ctx, b.BatchID)
			if err != nil {
				return Check{}, err
			}
			for _, l := range lines {
				debits[l.Account] = debits[l.Account].Add(l.GrossDebits.Decimal)
				credits[l.Account] = credits[l.Account].Add(l.GrossCredits.Decimal)
				events[l.Account] += l.Events
				if n == 0 {
					out.Events += l.Events
				}
			}
		}
	}
	b := r.expected()
	for i := range b.spent {
		name := r.tree.names.payer(i)
		if want := billionths(b.spent[i]); !debits[name].Equal(want) || events[name] != b.calls[i] {
			return Check{}, fmt.Errorf("%w: the lines of %s come to %s and %d events, want %s and %d", ErrSum, name, debits[name], events[name], want, b.calls[i])
		}
	}
	total := uint64(0)
	for i, earned := range b.earned {
		name := r.tree.names.provider(i)
		if want := billionths(earned); !credits[name].Equal(want) {
			return Check{}, fmt.Errorf("%w: the lines of %s come to %s, want %s", ErrSum, name, credits[name], want)
		}
		total += earned
	}
	return Check{Accounts: len(b.spent) + providers, Events: b.events, Total: billionths(total).String()}, r.checkTrial(ctx)
}
