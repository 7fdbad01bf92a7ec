package e2e

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"farthing/bench/audit"
	"farthing/bench/child"
	"farthing/bench/client"
	"farthing/internal/soak"

	"github.com/shopspring/decimal"
)

// TestKills kills the server again and again while several clients send everything that moves money. What was
// acknowledged is there exactly once after each start, and what was in doubt is repeated under its ids; after each
// start the balances are those of a model that knows only sums.
func TestKills(t *testing.T) {
	run := soak.Start(t)
	kills := soak.Pick(5, 200)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(kills+60)*10*time.Second)
	defer cancel()
	dir := t.TempDir()
	binary := build(ctx, t, dir)
	r := newKillRig(t, run.Seed(), binary, dir)
	r.start(ctx)
	r.found(ctx)
	for round := range kills {
		r.work(ctx, round, r.kill)
		if r.rng.IntN(4) == 0 {
			r.killStart(ctx)
		}
		r.start(ctx)
		r.check(ctx, round)
	}
	r.checkWindows(ctx)
	if err := r.server.Terminate(); err != nil {
		t.Error(err)
	}
	said, err := child.Verify(ctx, binary, r.data)
	if err != nil {
		t.Error(err)
	}
	r.start(ctx)
	r.replayedNothing(ctx)
	r.check(ctx, kills)
	r.notices(ctx)
	t.Logf("%d operations in doubt, %d of which had been booked; verify: %s", r.doubts, r.booked, said)
	run.Report("kill -9 under load", soak.Counts{"crashes survived": r.crashes, "events acknowledged": r.events, "operations acknowledged": r.operations,
		"windows closed": len(r.closes), "events lost": r.lost, "balances that differ": r.wrong})
}

// TestStops ends the server with SIGTERM under the same load: what was admitted is answered, everything else is
// refused or finds the connection closed, it is over within 5 s with exit code 0, and the next start replays nothing.
func TestStops(t *testing.T) {
	run := soak.Start(t)
	stops := soak.Pick(4, 100)
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(stops+60)*10*time.Second)
	defer cancel()
	dir := t.TempDir()
	r := newKillRig(t, run.Seed(), build(ctx, t, dir), dir)
	r.start(ctx)
	r.found(ctx)
	var longest time.Duration
	for round := range stops {
		r.work(ctx, round, func() {
			began := time.Now()
			if err := r.server.Terminate(); err != nil {
				t.Error(err)
			}
			longest = max(longest, time.Since(began))
		})
		if r.rng.IntN(3) == 0 {
			r.stopStart(ctx)
		}
		r.start(ctx)
		r.replayedNothing(ctx)
		r.check(ctx, round)
	}
	r.checkWindows(ctx)
	t.Logf("the longest stop took %v", longest)
	if longest > stopMax {
		t.Errorf("a stop took %v, want at most %v", longest, stopMax)
	}
	run.Report("SIGTERM under load", soak.Counts{"stops": stops, "longest ms": longest.Milliseconds(), "events acknowledged": r.events,
		"events lost": r.lost, "balances that differ": r.wrong})
}

// stopMax bounds a stop; machines that run other things at the same time are given more.
var stopMax = soak.Pick(20*time.Second, 5*time.Second)

// killRig is a server that is killed, its clients, and what they know.
type killRig struct {
	t      *testing.T
	rng    *rand.Rand
	seed   uint64
	server *child.Server
	client *client.Client
	binary string
	data   string
	log    *serverLog

	balances map[string]decimal.Decimal // that there must be, without what was settled
	voidable []*killOp                  // single events that were acknowledged and not voided
	next     atomic.Uint64              // of ids

	mu    sync.Mutex // of the three below
	done  []*killOp  // acknowledged since the last check
	doubt []*killOp  // sent, and not answered

	closes map[string]string // what a window's close was answered, by its id

	batches map[string]audit.Batch // sealed, by id

	crashes, events, operations, doubts, booked int
	lost, wrong                                 int
	complain                                    func(format string, args ...any)
}

// serverLog keeps what the server says. What it says on a start may come after it has answered that it is ready.
type serverLog struct {
	mu   sync.Mutex
	all  strings.Builder
	more chan struct{} // something came since it was received from
}

func newServerLog() *serverLog { return &serverLog{more: make(chan struct{}, 1)} }

func (l *serverLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.more <- struct{}{}:
	default:
	}
	return l.all.Write(p)
}

// ready returns the line that ends the last start.
func (l *serverLog) ready(ctx context.Context) (string, error) {
	for {
		log := l.text()
		_, log, _ = strings.Cut(log[max(0, strings.LastIndex(log, "msg=starting")):], "msg=ready")
		if line, _, whole := strings.Cut(log, "\n"); whole {
			return line, nil
		}
		select {
		case <-l.more:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (l *serverLog) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

func newKillRig(t *testing.T, seed uint64, binary, dir string) *killRig {
	r := &killRig{t: t, binary: binary, seed: seed, rng: rand.New(rand.NewPCG(seed, 3)), data: filepath.Join(dir, "data"), log: newServerLog(),
		balances: map[string]decimal.Decimal{}, closes: map[string]string{}, batches: map[string]audit.Batch{}, complain: t.Errorf}
	// Small bounds, so that a kill meets checkpoints and runs as they are written.
	r.server = child.New(child.Options{Binary: binary, Data: r.data, Scratch: dir, Log: r.log,
		Args: []string{"--settle-every", "0", "--checkpoint-bytes", "65536", "--run-identities", "500"}})
	r.client = client.New(r.server.URL, client.Options{})
	t.Cleanup(func() {
		_ = r.server.Kill() // does nothing after Terminate
		r.client.Close()
		if log := r.log.text(); t.Failed() {
			t.Logf("the server's log ends:\n%s", log[max(0, len(log)-4000):])
		}
	})
	return r
}

func (r *killRig) start(ctx context.Context) {
	if err := r.server.Start(ctx); err != nil {
		r.t.Fatal(err)
	}
}

func (r *killRig) kill() {
	if err := r.server.Kill(); err != nil {
		r.t.Error(err)
	}
	r.crashes++
}

// replayedNothing checks what the last start said.
func (r *killRig) replayedNothing(ctx context.Context) {
	r.t.Helper()
	if line, err := r.log.ready(ctx); err != nil || !strings.HasSuffix(line, " replayed=0") {
		r.t.Errorf("a start after a clean stop says %q: %v", line, err)
	}
}

// stopStart sends SIGTERM to a server that may not have come up yet: it ends with exit code 0 all the same.
func (r *killRig) stopStart(ctx context.Context) {
	cmd := exec.CommandContext(ctx, r.binary, "serve", "--data", r.data, "--listen", "127.0.0.1:0")
	out, err := cmd.StderrPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		r.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && !strings.Contains(lines.Text(), "msg=starting") {
	}
	timer := time.NewTimer(time.Duration(r.rng.IntN(20_000)) * time.Microsecond)
	defer timer.Stop()
	<-timer.C
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		r.t.Error(err)
	}
	said := ""
	for lines.Scan() {
		said += lines.Text() + "\n"
	}
	if err := cmd.Wait(); err != nil {
		r.t.Errorf("SIGTERM during a start: %v\n%s", err, said)
	}
}

// killStart kills a server that may not have come up yet.
func (r *killRig) killStart(ctx context.Context) {
	soon, cancel := context.WithTimeout(ctx, time.Duration(r.rng.IntN(40))*time.Millisecond)
	defer cancel()
	if r.server.Start(soon) == nil { // else it was killed
		if err := r.server.Kill(); err != nil {
			r.t.Fatal(err)
		}
	}
	r.crashes++
}

// killCustomers are prepaid with plenty of credit, but for the last two, who owe.
const killCustomers = 6

func killCustomer(i int) string { return fmt.Sprintf("customer-%d", i) }

// killPrice is what an event costs; all of it is the provider's.
var killPrice = decimal.RequireFromString("0.0125")

// found makes the accounts and prices.
func (r *killRig) found(ctx context.Context) {
	must := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	must(r.client.Open(ctx, client.Account{ID: "prov", Currency: "USD", Kind: "provider"}))
	for i := range killCustomers {
		billing := "prepaid"
		if i >= killCustomers-2 {
			billing = "postpaid"
		}
		must(r.client.Open(ctx, client.Account{ID: killCustomer(i), Currency: "USD", Kind: "customer", Billing: billing}))
		if billing == "prepaid" {
			must(r.client.TopUp(ctx, killCustomer(i), "first-"+killCustomer(i), client.M("1000000")))
			r.balances[killCustomer(i)] = decimal.NewFromInt(1_000_000)
		}
	}
	must(r.client.PutPrices(ctx, "v1", client.Book{EffectiveFrom: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), Prices: []client.Price{
		{Meter: "api.calls", Currency: "USD", Match: map[string]string{}, Components: rawComponents("call", killPrice.String()), Payee: "prov"}}}))
}

// work lets clients send, and ends the server when they have been answered some times.
func (r *killRig) work(ctx context.Context, round int, end func()) {
	var clients sync.WaitGroup
	var killed atomic.Bool
	voidable := r.voidable
	r.voidable = nil
	const workers = 6
	for w := range workers {
		rng := rand.New(rand.NewPCG(r.seed, uint64(round*workers+w)+1000))
		var mine []*killOp // each event is voided by one client
		for i := w; i < len(voidable); i += workers {
			mine = append(mine, voidable[i])
		}
		clients.Go(func() {
			for !killed.Load() {
				op := r.draw(rng, w, &mine)
				err := op.send(ctx, r.client)
				r.mu.Lock()
				if err == nil {
					r.done = append(r.done, op)
				} else {
					r.doubt = append(r.doubt, op)
				}
				r.mu.Unlock()
				if err != nil && !client.Temporary(err) {
					r.complain("%s: %v", op.id, err)
				}
				if err != nil {
					return
				}
			}
		})
	}
	r.awaitDone(ctx, 20+r.rng.IntN(300))
	end()
	killed.Store(true)
	clients.Wait()
	if r.t.Failed() {
		r.t.FailNow()
	}
}

// awaitDone waits until so many operations were acknowledged, or a while.
func (r *killRig) awaitDone(ctx context.Context, n int) {
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && ctx.Err() == nil; <-ticker.C {
		r.mu.Lock()
		done := len(r.done)
		r.mu.Unlock()
		if done >= n {
			return
		}
	}
}

// check repeats what was in doubt and then all that was acknowledged, which must be there already, and compares
// all balances.
func (r *killRig) check(ctx context.Context, round int) {
	for _, op := range r.doubt {
		op.fresh = 0
		if err := client.Retry(ctx, 20*time.Millisecond, func(ctx context.Context) error { return op.send(ctx, r.client) }); err != nil {
			r.t.Fatalf("round %d: %s, repeated: %v", round, op.id, err)
		}
		r.doubts++
		if op.fresh == 0 && len(op.events) > 0 {
			r.booked++
		}
	}
	r.done = append(r.done, r.doubt...)
	r.doubt = nil
	r.sendAgain(ctx, round)
	for _, op := range r.done {
		if op.fresh > 0 {
			r.lost += op.fresh
			r.complain("round %d: %d events of %s were acknowledged and are gone", round, op.fresh, op.id)
		}
		r.count(op)
	}
	r.done = nil
	r.compare(ctx, round)
	if r.t.Failed() {
		r.t.FailNow()
	}
}

// sendAgain repeats all that was acknowledged.
func (r *killRig) sendAgain(ctx context.Context, round int) {
	var clients sync.WaitGroup
	var next atomic.Int64
	for range 6 {
		clients.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(r.done)); i = next.Add(1) - 1 {
				op := r.done[i]
				if op.fresh = 0; op.send(ctx, r.client) != nil {
					r.complain("round %d: %s, sent again: %v", round, op.id, op.send(ctx, r.client))
				}
			}
		})
	}
	clients.Wait()
}

// count takes an acknowledged operation into the model.
func (r *killRig) count(op *killOp) {
	r.operations++
	r.events += len(op.events)
	for _, e := range op.effects {
		r.balances[e.account] = r.balances[e.account].Add(e.amount)
	}
	if op.kind == killSingle {
		r.voidable = append(r.voidable, op)
	}
	if op.kind == killClose {
		if before, there := r.closes[op.id]; there && before != op.answer {
			r.complain("close %s was answered %s, and then %s", op.id, before, op.answer)
		}
		r.closes[op.id] = op.answer
	}
}

// compare holds the balances against the model: what is not there any more was settled.
func (r *killRig) compare(ctx context.Context, round int) {
	r.readNew(ctx)
	settled := map[string]decimal.Decimal{}
	for _, b := range r.batches {
		for _, line := range b.Lines {
			settled[line.Account] = settled[line.Account].Add(line.Signed())
		}
	}
	for account, want := range r.balances {
		got, err := r.client.Balance(ctx, account)
		if err != nil {
			r.t.Fatal(err)
		}
		if !got.Held.IsZero() {
			r.complain("round %d: %s holds %s, and all holds have ended", round, account, got.Held)
		}
		if !got.Posted.Add(settled[account]).Equal(want) {
			r.wrong++
			r.complain("round %d: %s has %s and settled %s, the sum of all is %s", round, account, got.Posted, settled[account], want)
		}
	}
}

// readNew reads the batches that were sealed since.
func (r *killRig) readNew(ctx context.Context) {
	manifests, err := r.client.Settlements(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if len(manifests) < len(r.batches) {
		r.complain("%d batches of %d are left", len(manifests), len(r.batches))
	}
	for _, m := range manifests {
		if _, there := r.batches[m.BatchID]; there {
			continue
		}
		lines, err := r.client.Lines(ctx, m.BatchID)
		if err != nil {
			r.t.Fatal(err)
		}
		r.batches[m.BatchID] = audit.Batch{Manifest: m, Lines: lines}
	}
}

// notices shows that the checks can fail: an operation that was never sent counts as lost, and a balance that is
// an event off as wrong.
func (r *killRig) notices(ctx context.Context) {
	said := 0
	r.complain = func(string, ...any) { said++ }
	lost, wrong := r.lost, r.wrong
	never := &killOp{kind: killBatch, id: "never", account: killCustomer(0)}
	never.event(0)
	r.done = append(r.done, never)
	r.balances["prov"] = r.balances["prov"].Add(killPrice)
	r.check(ctx, -1)
	if said != 2 || r.lost != lost+1 || r.wrong != wrong+1 {
		r.t.Errorf("of two planted faults %d were noticed", said)
	}
	r.lost, r.wrong = lost, wrong
}

// checkWindows holds all batches to the contract.
func (r *killRig) checkWindows(ctx context.Context) {
	checkAudit(r.t, readBatches(ctx, r.t, r.client), r.kinds())
}

func (r *killRig) kinds() map[string]string {
	kinds := map[string]string{"prov": "provider"}
	for i := range killCustomers {
		kinds[killCustomer(i)] = "customer"
	}
	return kinds
}
