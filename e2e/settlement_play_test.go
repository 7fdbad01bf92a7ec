package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"farthing/bench/client"

	"github.com/twmb/franz-go/pkg/kgo"
)

// What dies, and in which window.
var (
	settlementKills = []int{6, 17}
	brokerRestart   = 11
)

// settlement plays a plan against a server, window by window, and has the oracle book the same.
type settlement struct {
	t       *testing.T
	rng     *rand.Rand
	plan    *settlementPlan
	signing *signing
	oracle  *settlementOracle
	bank    *payments
	flow    *flow
	client  *client.Client
	results *kgo.Client // nil: every result is posted
	broker  interface { // nil: nothing to restart
		Down() error
		Up() error
	}

	booked []*bill // and not taken back
	early  int     // straddling events that came before the cut
	late   int     // … and after it
	voided int

	produced atomic.Int64 // results on Kafka
}

// play settles every window of the plan.
func (s *settlement) play(ctx context.Context) {
	s.t.Helper()
	var jobs []job
	for _, a := range s.plan.accounts {
		jobs = append(jobs, func(ctx context.Context) error { return s.client.Open(ctx, a) })
		s.oracle.openAccount(a)
	}
	s.flow.run(ctx, jobs, nil)
	for i, book := range s.plan.books() {
		if err := s.client.PutPrices(ctx, fmt.Sprintf("fees-%d", i+1), book); err != nil {
			s.t.Fatal(err)
		}
	}
	for i := range s.plan.windows {
		s.window(ctx, i+1, &s.plan.windows[i])
	}
	// The bank has more to tell; it stands in the lines of a window that stays open.
	s.tell(ctx, nil, nil)
	s.bank.checkFeed(ctx, s.t, s.client, s.produced.Load())
}

// window sends everything of a window, closes it, and compares its lines.
func (s *settlement) window(ctx context.Context, number int, w *plannedWindow) {
	s.t.Helper()
	var jobs []job
	for _, batch := range w.batches {
		events := eventsOf(batch)
		jobs = append(jobs, s.flow.post(events), s.flow.post(events))
	}
	for _, t := range w.topups {
		top := func(ctx context.Context) error { return s.client.TopUp(ctx, t.account, t.id, t.amount) }
		jobs = append(jobs, top, top)
		s.oracle.topUp(t.account, t.amount.Decimal)
	}
	jobs = append(jobs, s.voids(w.voidEarlier, func(b *bill) bool {
		return number != quietWindow || b.payee == settlementProvider(quietProvider, "USD")
	})...)
	var kill func(ctx context.Context, done <-chan struct{}, total int) error
	if slices.Contains(settlementKills, number) {
		kill = s.kill
	}
	s.tell(ctx, jobs, kill)
	for _, batch := range w.batches {
		for _, b := range batch {
			s.oracle.use(b)
		}
		s.booked = append(s.booked, batch...)
	}
	own := len(s.booked) - billsIn(w.batches)
	s.flow.run(ctx, s.voidsFrom(w.voidSame, own, func(*bill) bool { return true }), nil)
	s.close(ctx, number, w)
}

func billsIn(batches [][]*bill) (n int) {
	for _, b := range batches {
		n += len(b)
	}
	return n
}

// tell runs the jobs and what the bank tells in the open window, and waits for what went through
// Kafka.
func (s *settlement) tell(ctx context.Context, jobs []job, conduct func(ctx context.Context, done <-chan struct{}, total int) error) {
	s.t.Helper()
	var waits []job
	for _, r := range s.bank.tell(s.oracle.window) {
		j := r.post(s.client)
		if r.kafka && s.results != nil {
			j = r.produce(s.results, &s.produced)
			if r.refused == nil {
				waits = append(waits, r.awaited(s.client))
			}
		}
		jobs = append(jobs, j)
		if r.twice {
			jobs = append(jobs, j)
		}
	}
	s.rng.Shuffle(len(jobs), func(i, j int) { jobs[i], jobs[j] = jobs[j], jobs[i] })
	s.flow.run(ctx, jobs, conduct)
	s.flow.run(ctx, waits, nil)
}

// kill kills the server once, among the jobs.
func (s *settlement) kill(ctx context.Context, done <-chan struct{}, total int) error {
	at := s.flow.marks(1, total)[0]
	s.t.Logf("kill -9 in window %d after %d of %d requests", s.oracle.window, at, total)
	for range at {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-done:
		}
	}
	if len(s.signing.keys) < len(settlementKills) && int(s.oracle.window) == settlementKills[len(settlementKills)-1] {
		s.signing.rotate(s.t)
	}
	return s.flow.crash(ctx)
}

// voids takes n drawn events back that were booked before.
func (s *settlement) voids(n int, which func(*bill) bool) []job { return s.voidsFrom(n, 0, which) }

func (s *settlement) voidsFrom(n, from int, which func(*bill) bool) (jobs []job) {
	if len(s.booked) == from {
		return nil
	}
	for tries := 0; n > 0 && tries < 10_000; tries++ {
		i := from + s.rng.IntN(len(s.booked)-from)
		b := s.booked[i]
		if b == nil || !which(b) {
			continue
		}
		s.booked[i] = nil
		s.oracle.void(b)
		s.voided++
		n--
		jobs = append(jobs, func(ctx context.Context) error {
			got, err := s.client.Void(ctx, b.event.Source, b.event.ID, "void-"+b.event.ID, "acceptance")
			if err == nil && !got.Amount.Equal(b.amount()) {
				err = fmt.Errorf("%w: the void of %s gives back %s, want %s", errAnswer, b.event.ID, got.Amount, b.amount())
			}
			return err
		})
	}
	return append(jobs, jobs...)
}

// close closes the window while events come in, and asks on which side of the cut they fell.
func (s *settlement) close(ctx context.Context, number int, w *plannedWindow) {
	s.t.Helper()
	restart := number == brokerRestart && s.broker != nil
	if restart {
		if err := s.broker.Down(); err != nil {
			s.t.Fatal(err)
		}
	}
	var beside []job
	for _, batch := range w.straddling {
		beside = append(beside, s.flow.post(eventsOf(batch)))
	}
	var closing sync.WaitGroup
	var closed client.Closed
	closing.Go(func() { closed = s.flow.closeWindow(ctx) })
	s.flow.run(ctx, beside, nil)
	closing.Wait()
	if closed.Window != uint64(number) {
		s.t.Fatalf("window %d was closed, want %d", closed.Window, number)
	}
	after := s.straddle(ctx, number, w)
	want := s.oracle.close()
	for _, b := range after {
		s.oracle.use(b)
	}
	s.settled(ctx, want, closed)
	if restart {
		if err := s.broker.Up(); err != nil {
			s.t.Fatal(err)
		}
		s.t.Logf("the broker was down while window %d closed", number)
	}
}

// straddle books those events that fell into the closed window and returns the others.
func (s *settlement) straddle(ctx context.Context, number int, w *plannedWindow) (after []*bill) {
	s.t.Helper()
	for _, b := range slices.Concat(w.straddling...) {
		got, err := s.client.Booked(ctx, b.event.Source, b.event.ID)
		if err != nil {
			s.t.Fatal(err)
		}
		s.booked = append(s.booked, b)
		if got.Window == uint64(number) {
			s.oracle.use(b)
			s.early++
			continue
		}
		after = append(after, b)
		s.late++
	}
	return after
}

// settled compares a window's batches with the oracle's, and tells the bank of them.
func (s *settlement) settled(ctx context.Context, want []*settledBatch, closed client.Closed) {
	s.t.Helper()
	if len(closed.Batches) != len(want) {
		s.t.Fatalf("window %d has batches %+v, want %d", closed.Window, closed.Batches, len(want))
	}
	for i, b := range want {
		b.id = closed.Batches[i].BatchID
		lines, err := s.client.Lines(ctx, b.id)
		if err != nil {
			s.t.Fatal(err)
		}
		faults := b.differences(lines)
		for _, fault := range faults {
			s.t.Error(fault)
		}
		if len(faults) > 0 {
			s.t.FailNow() // what follows would differ too
		}
		s.bank.hear(b)
	}
}

// checkCoverage checks that the run had what it is for: a draw that leaves something out proves
// nothing of it.
func (s *settlement) checkCoverage() {
	s.t.Helper()
	seen := map[string]int{}
	for _, b := range s.oracle.batches {
		for _, l := range b.lines {
			seen[b.currency+" "+l.party.kind+" "+l.Direction]++
			switch {
			case l.party.kind == "provider" && l.CarriedOut.IsNegative():
				seen["a provider owes"]++
			case l.party.kind == "provider" && l.Direction == "none" && l.CarriedOut.IsPositive():
				seen["less than the minimum payout"]++
			case l.party.kind == "customer" && l.CarriedOut.IsPositive():
				seen["credit is left"]++
			}
			if !l.Returned.IsZero() {
				seen[b.currency+" returned of "+l.party.kind]++
			}
			if !l.flows.voided.IsZero() {
				seen["voided"]++
			}
			if !l.open.IsZero() {
				seen["in transit"]++
			}
		}
	}
	for word, n := range s.bank.told {
		seen[word] += n
	}
	s.t.Logf("%d batches; straddling events: %d before the cut, %d after it; %d voids; %v", len(s.oracle.batches), s.early, s.late, s.voided, seen)
	must := []string{"a provider owes", "less than the minimum payout", "credit is left", "voided", "in transit"}
	for _, currency := range settlementCurrencies {
		must = append(must, currency+" provider pay", currency+" customer collect", currency+" customer none", currency+" operator none")
	}
	if s.results != nil {
		for _, status := range []string{"paid", "partially_paid", "failed", "returned", "refused"} {
			must = append(must, "POST "+status, "Kafka "+status) // of what is drawn for Kafka
		}
		must = append(must, "USD returned of customer", "JPY returned of customer", "USD returned of operator")
	}
	for _, word := range must {
		if seen[word] == 0 {
			s.t.Errorf("the run had no case of: %s", word)
		}
	}
}
