package engine

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/shopspring/decimal"

	"farthing/journal"
	"farthing/refusal"
)

// everything is work of every kind on one ledger, from several goroutines: the activity of one
// world (events, top-ups, versions, voids, rerates, windows, results), the steps of prepaid credit
// (accounts, holds, grants, refunds, moves, limits, settings, status, subscriptions), and what a
// server does beside the journal (two relays, webhooks). It notes what was promised; the lock of
// the activity covers all of it.
type everything struct {
	t    testing.TB
	seed uint64
	a    *activity
	w    *creditWorld // makes the steps; its twin is not compared here
	rng  *rand.Rand   // of the steps

	dedup time.Duration // how old an event may be

	promises // guarded by a.mu, but for answers, which is the activity's

	tried struct { // guarded by a.mu: what was submitted
		confirmed [2]uint64
		hook      uint64
	}
}

// promises are what was answered beside the activity's answers.
type promises struct {
	answers   answers
	steps     []ackedStep // of credit
	confirmed [2]uint64   // by the relays of settlements and of notifications
	hook      uint64      // number of the webhook's registry row
}

// ackedStep is a step with the answers that must be duplicates the next time.
type ackedStep struct {
	step    *creditStep
	replies []bool // which were booked
}

const worldHook = "hook-1"

// newEverything makes the work of a seed. The founding is done by found.
func newEverything(t *testing.T, seed uint64) *everything {
	x := &everything{t: t, seed: seed, w: newCreditWorld(t, seed, true), rng: rand.New(rand.NewPCG(seed, 11)), dedup: 20 * 365 * day}
	x.a = newActivity(t, newWorld(creditBase))
	v := x.a.w.versions["v1"]
	for _, p := range creditWorldBook("", creditBase, 1).prices {
		if p.meter != "api.calls" || p.currency != "USD" { // which the activity prices
			v.prices = append(v.prices, p)
		}
	}
	return x
}

func (x *everything) options(fs vfs.FS) Options {
	o := Options{Journal: journal.Options{Dir: "d", FS: fs, MemTableBytes: 64 << 10, CacheBytes: 1 << 20, HeadSync: time.Hour, Logger: quiet(),
		Fatal: func(err error) { panic(fmt.Sprintf("fatal: %v", err)) }},
		LedgerID: "everything", Logger: quiet(), DedupWindow: x.dedup, RunIdentities: 25, CheckpointBytes: 8000, SigningKey: testKey(1), world: surroundings{patient: true}}
	creditClock(&o, x.w.now.Load)
	return o
}

// worldCustomers is how many customers the activity has in each currency.
const worldCustomers = 3

// found makes accounts, the price book and the twin's accounts; all of it may be there.
func (x *everything) found(e *Engine) {
	x.t.Helper()
	x.foundActivity(e)
	for _, id := range x.w.m.names {
		x.step(e, x.w.createStep(x.w.m.accounts[id].spec))
	}
	for _, id := range []string{"one", "two", "three"} {
		x.step(e, x.w.topUpOf(id))
	}
}

// foundActivity makes the accounts of the activity and the price book.
func (x *everything) foundActivity(e *Engine) {
	x.a.account(e, AccountSpec{ID: "prov-EUR", Currency: currencyOf("EUR"), Kind: "provider", MinimumPayout: creditAmount(decimal.NewFromInt(3))})
	x.a.found(e, worldCustomers)
}

// work runs everything at once until each has done its share or stop says so.
func (x *everything) work(e *Engine, rounds int, stop func() bool) {
	var wg sync.WaitGroup
	seed := x.rng.Uint64()
	wg.Go(func() { x.a.run(e, seed, 2, rounds, worldCustomers, stop) })
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(seed, 12))
		for range rounds {
			if stop != nil && stop() {
				return
			}
			x.besides(e, rng)
		}
	})
	for range 2 * rounds {
		if stop != nil && stop() {
			break
		}
		x.credit(e)
	}
	wg.Wait()
}

// credit does the next step of prepaid credit, or lets time pass.
func (x *everything) credit(e *Engine) {
	if x.w.oneIn(7) {
		x.w.pass() // the twin's time
		x.w.now.Store(x.w.m.now)
		return
	}
	if s := x.w.next(); s != nil {
		s.twin(x.w.m)
		x.w.m.settle()
		x.step(e, s)
	}
}

// step asks the engine and notes what it booked.
func (x *everything) step(e *Engine, s *creditStep) {
	replies := s.engine(&creditRig{t: x.w.t, e: e, names: x.names(e)})
	acked := ackedStep{step: s}
	booked := false
	for i := range replies {
		acked.replies = append(acked.replies, replies[i].created && replies[i].no == nil)
		booked = booked || acked.replies[i]
	}
	// Without an id of its own a put is new each time.
	if !booked || !s.again || strings.HasPrefix(s.text, "limits") || strings.HasPrefix(s.text, "settings") {
		return
	}
	x.a.mu.Lock()
	defer x.a.mu.Unlock()
	x.steps = append(x.steps, acked)
}

// names are what the twin calls the engine's top-up requests: some of them, which is enough for answers.
func (x *everything) names(e *Engine) map[string]string {
	out := map[string]string{}
	var all []TopUpRequest
	for _, account := range []string{"one", "two", "three"} {
		if page, no := e.TopUpRequests(account, "", 100); no == nil {
			all = append(all, page.Items...)
		}
	}
	// In the order they were raised, over all accounts: a place means the same request whenever it is asked.
	slices.SortFunc(all, func(a, b TopUpRequest) int { return cmp.Compare(a.Sequence, b.Sequence) })
	for i, q := range all {
		out[q.ID] = fmt.Sprintf("@request %d", i)
	}
	return out
}

// topUpOf is a large first top-up.
func (w *creditWorld) topUpOf(account string) *creditStep {
	u := TopUp{ID: "first-" + account, Account: account, Amount: creditAmount(decimal.NewFromInt(2000))}
	return creditOne("top-up "+creditText(u), func(m *creditTwin) creditAnswer { return m.topUp(u) }, func(e *Engine) (bool, *refusal.Refusal) {
		_, created, no := e.TopUp(u)
		return created, no
	})
}

// besides does what a server does beside the journal.
func (x *everything) besides(e *Engine, rng *rand.Rand) {
	switch rng.IntN(4) {
	case 0:
		o := e.Outbox()
		x.relay(e, 0, o.Records, o.Attempt, o.Confirm, rng)
	case 1:
		o := e.NoticeOutbox()
		x.relay(e, 1, o.Records, o.Attempt, o.Confirm, rng)
	case 2:
		x.a.mu.Lock()
		x.tried.hook++
		n := x.tried.hook
		x.a.mu.Unlock()
		if err := e.Webhooks().Save(worldHook, binary.BigEndian.AppendUint64(nil, n), binary.BigEndian.AppendUint64(nil, n)); err != nil {
			x.t.Errorf("webhook: %v", err)
			return
		}
		x.a.mu.Lock()
		x.hook = n
		x.a.mu.Unlock()
	default:
		x.otherHook(e, rng)
	}
}

// otherHook comes and goes; its position is written without waiting for the disk.
func (x *everything) otherHook(e *Engine, rng *rand.Rand) {
	w, err := e.Webhooks(), error(nil)
	switch rng.IntN(3) {
	case 0:
		err = w.Save("hook-2", []byte("asked"), []byte("at"))
	case 1:
		err = w.Delete("hook-2")
	default:
		x.a.mu.Lock()
		n := x.hook
		x.a.mu.Unlock()
		if n > 0 {
			err = w.Advance(worldHook, binary.BigEndian.AppendUint64(nil, n))
		}
	}
	if err != nil {
		x.t.Errorf("webhook: %v", err)
	}
}

// relay publishes some records: an attempt, then where they stand.
func (x *everything) relay(e *Engine, stream int, records func(uint64, int) ([]Record, error), attempt func(Attempt) error, confirm func(Confirmation) error, rng *rand.Rand) {
	x.a.mu.Lock()
	from := x.confirmed[stream] + 1
	x.a.mu.Unlock()
	list, err := records(from, 4000)
	if err != nil {
		x.t.Errorf("records from %d: %v", from, err)
	}
	if len(list) == 0 {
		return
	}
	last := list[rng.IntN(min(len(list), 5))].StreamSeq
	x.a.mu.Lock()
	x.tried.confirmed[stream] = last
	if stream == 0 {
		for i := range list {
			x.a.stream[list[i].StreamSeq] = recordText(&list[i])
		}
	}
	x.a.mu.Unlock()
	if err = attempt(Attempt{ProducerID: 7, Epoch: 1, Sequence: int32(from), First: from, Last: last}); err == nil {
		err = confirm(Confirmation{First: from, Last: last, Topic: "t", BaseOffset: int64(from), NextOffset: int64(last + 1)})
	}
	if err != nil {
		x.t.Errorf("relay %d: %v", stream, err)
		return
	}
	x.a.mu.Lock()
	x.confirmed[stream] = last
	x.a.mu.Unlock()
}

// promisedLocked copies what was promised so far; the caller holds the lock.
func (x *everything) promisedLocked() promises {
	return promises{x.a.copyAnswers(), slices.Clone(x.steps), x.confirmed, x.hook}
}

// resume goes on from a disk on which this was promised.
func (x *everything) resume(p *promises) {
	x.a.answers = p.answers.copyAnswers()
	x.steps, x.confirmed, x.hook = slices.Clone(p.steps), p.confirmed, p.hook
}

// canonical is the whole state as bytes that depend on the journal alone: row by row, but for holds,
// whose rows are used again, by id.
func canonical(s *state) []byte {
	out := binary.AppendUvarint(nil, s.seq)
	for _, table := range s.rowTables() {
		if table.kind == chunkHolds || table.kind == chunkParts {
			continue
		}
		out = binary.AppendUvarint(append(out, table.kind), uint64(table.len()))
		for i := range table.len() {
			out = append(out, table.encode(i)...)
		}
	}
	var holds []string
	for n := range s.holds.rows.Len() {
		h := *s.holds.rows.At(n)
		if h.seq == 0 {
			continue
		}
		parts := s.holds.reserved(&h, nil).Parts
		h.parts = 0
		holds = append(holds, fmt.Sprintf("%+v %+v\n", h, parts))
	}
	slices.Sort(holds)
	out = append(out, strings.Join(holds, "")...)
	job := checkpointJob{to: s.extent(), tables: s.tables, logs: s.logs()}
	chunks := map[byte][]byte{}
	job.appendTables(func(chunk []byte) { chunks[chunk[0]] = append(chunks[chunk[0]], chunk...) })
	for kind := range 256 {
		out = append(out, chunks[byte(kind)]...)
	}
	return s.appendTotals(out)
}

// replayed applies the journal of a store from its first command.
func replayed(store storage) (*state, error) {
	first, err := readGenesis(store)
	if err != nil {
		return nil, err
	}
	p := replayer{state: newState(first.genesis)}
	p.state.time = first.time
	p.after = func(c *cursor) error {
		if c.kind == kindCut {
			p.state.completeSnapshot()
		}
		return nil
	}
	err = store.Blocks(1, func(b *journal.Block) error {
		if b.First == 1 {
			return nil
		}
		return p.block(b)
	})
	return p.state, err
}

// equalsReplay waits until the engine has nothing to do and compares its state with that of the
// twin that applies its journal from the first command, byte by byte.
func equalsReplay(e *Engine) error { return equalsReplayOf(e, e.store) }

// equalsReplayOf takes the history from elsewhere: the engine's store need not have all of it.
func equalsReplayOf(e *Engine, history storage) error {
	var own []byte
	for last := uint64(0); ; {
		seq := uint64(0)
		if no := e.do(func(s *sequencer) bool {
			seq = s.state.seq
			if s.state.pending == nil && seq == last {
				own = canonical(s.state)
			}
			return false
		}); no != nil {
			return no
		}
		if own != nil {
			break
		}
		last = seq
	}
	twin, err := replayed(history)
	if err != nil {
		return err
	}
	if want := canonical(twin); !bytes.Equal(own, want) {
		return fmt.Errorf("state of sequence %d: %d bytes, the replayed journal makes %d other ones", twin.seq, len(own), len(want))
	}
	return nil
}
