//go:build linux

package engine

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"farthing/internal/soak"
	"farthing/journal"
	"farthing/meter"
	"farthing/money"
)

// restartWorld is a ledger of many accounts and events, built without HTTP: what a restart is measured on.
type restartWorld struct {
	t        testing.TB
	e        *Engine
	accounts int
	seed     uint64
	names    [][]byte
}

// restartOptions are those of `farthing serve`, defaults everywhere.
func restartOptions(dir string) Options {
	return Options{Journal: journal.Options{Dir: dir, Logger: quiet()}, DiskStallAfter: time.Minute, DiskStallMax: time.Hour, LedgerID: "restart", Logger: quiet(),
		world: surroundings{patient: !soak.Full()}}
}

const restartModels = 8

func newRestartWorld(t testing.TB, e *Engine, accounts int, seed uint64) *restartWorld {
	w := &restartWorld{t: t, e: e, accounts: accounts, seed: seed, names: make([][]byte, accounts)}
	for i := range w.names {
		w.names[i] = fmt.Appendf(nil, "customer-%07d", i)
	}
	return w
}

// workers runs fn from several goroutines over the numbers from 0 to n-1.
func (w *restartWorld) workers(goroutines, n int, fn func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				fn(i)
			}
		})
	}
	wg.Wait()
}

// found makes accounts and prices.
func (w *restartWorld) found() {
	w.workers(1, 1, func(int) { w.account("prov", "provider", "") })
	w.workers(1000, w.accounts, func(i int) { w.account(string(w.names[i]), "customer", "postpaid") })
	var prices []string
	for m := range restartModels {
		prices = append(prices, fmt.Sprintf(`{"meter":"llm.tokens","currency":"USD","match":{"model":"m%d"},"components":{"input":"0.000002%d","output":"0.00001"},"payee":"prov","fee":"0.1"}`, m, m))
	}
	v, refused := meter.ParseVersion("v1", fmt.Appendf(nil, `{"effective_from":"2020-01-01T00:00:00Z","prices":[%s]}`, strings.Join(prices, ",")))
	if refused == nil {
		_, _, refused = w.e.PutPrices(v, nil)
	}
	if refused != nil {
		w.t.Error(refused)
	}
}

func (w *restartWorld) account(id, kind, billing string) {
	if _, _, refused := w.e.CreateAccount(AccountSpec{ID: id, Currency: usd(), Kind: kind, Billing: billing}); refused != nil {
		w.t.Error(refused)
	}
}

// restartBatch is how many events a request has.
const restartBatch = 2000

// post books requests first to last-1 of restartBatch events each; every account uses two models. It stops
// early when told.
func (w *restartWorld) post(first, last int, stop func() bool) {
	w.workers(16, last-first, func(i int) {
		if stop != nil && stop() {
			return
		}
		w.request(first + i)
	})
}

// request books the events of one request; their ids are a function of its number.
func (w *restartWorld) request(number int) {
	q := w.e.Acquire(200 * restartBatch)
	for q == nil { // more is asked for than goes through
		runtime.Gosched()
		q = w.e.Acquire(200 * restartBatch)
	}
	defer w.e.Release(q)
	rng := rand.New(rand.NewPCG(w.seed, uint64(number)))
	batch := q.Batch()
	var raw [16]byte
	id := make([]byte, 0, 36)
	for i := range restartBatch {
		n := (number*restartBatch + i) % w.accounts
		binary.LittleEndian.PutUint64(raw[:], rng.Uint64())
		binary.LittleEndian.PutUint64(raw[8:], rng.Uint64())
		id = fmt.Appendf(id[:0], "%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:])
		batch.Begin(i)
		batch.SetSource([]byte("gateway-1"))
		batch.SetID(id)
		batch.SetSubject(w.names[n])
		batch.SetType([]byte("llm.tokens"))
		batch.Component([]byte("input"), money.Quantity(rng.IntN(4000))*1e6)
		batch.Component([]byte("output"), money.Quantity(1+rng.IntN(1000))*1e6)
		batch.Dimension([]byte("model"), []byte{'m', '0' + byte((n+(number&1))%restartModels)})
		batch.End()
	}
	if out, refused := w.e.Ingest(q); refused != nil || out.Accepted != restartBatch {
		w.t.Errorf("request %d: %+v %v", number, out, refused)
	}
}

// coldCache asks the kernel to drop the files of a directory from its cache, so that a start reads the disk.
func coldCache(t testing.TB, dir string) {
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return err
		}
		return unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// cpuTime is the processor time this process has used: on a busy machine it says more than the clock.
func cpuTime(t testing.TB) time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The environment of the process that is killed: the directory, and accounts and seed.
const (
	restartDir  = "FARTHING_TEST_RESTART_DIR"
	restartPlan = "FARTHING_TEST_RESTART_PLAN"
)

// TestRestartSoak builds a ledger, stops it cleanly, starts it, loads it with as much as lies between two
// checkpoints, kills it with kill -9, and starts it again.
func TestRestartSoak(t *testing.T) {
	if os.Getenv(restartDir) != "" {
		t.Skip("this is the process that is to be killed")
	}
	accounts, events := restartSizes()
	run := soak.Start(t)
	seed := run.Seed()
	dir := filepath.Join(t.TempDir(), "data")
	if keep := os.Getenv("FARTHING_TEST_RESTART_LEDGER"); keep != "" {
		dir = keep
	}
	stop := buildLedger(t, dir, accounts, events, seed)
	clean := measureStarts(t, dir, "after a clean stop")
	if clean.Replayed != 0 {
		t.Errorf("%d commands were replayed after a clean stop", clean.Replayed)
	}
	runUntilKilled(t, dir, accounts, seed+1)
	killed := measureStart(t, dir, "after kill -9")
	t.Logf("stop %v, start %v and %v", stop, clean.Took, killed.Took)
	run.Report("restart", soak.Counts{"accounts": accounts, "events": events, "stop ms": stop.Milliseconds(),
		"start after stop ms": clean.Took.Milliseconds(), "start after kill ms": killed.Took.Milliseconds(), "replayed after kill": killed.Replayed})
	if soak.Full() {
		bound(t, "stop", stop, 5*time.Second)
		bound(t, "start after a clean stop", clean.Took, 5*time.Second)
		bound(t, "start after kill -9", killed.Took, 15*time.Second)
	}
}

// buildLedger builds the ledger, unless it is there already, and returns how long its clean stop took.
func buildLedger(t *testing.T, dir string, accounts, events int, seed uint64) time.Duration {
	began := time.Now()
	e, err := Open(restartOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("opened: %+v", e.Stats().Start)
	w := newRestartWorld(t, e, accounts, seed)
	if e.Stats().Durable < uint64(events) {
		w.found()
		t.Logf("%d accounts after %v", accounts, time.Since(began).Round(time.Millisecond))
		w.post(0, events/restartBatch, nil)
		t.Logf("%d events after %v", events, time.Since(began).Round(time.Millisecond))
	}
	if t.Failed() {
		t.FailNow()
	}
	stop := timed(func() { err = e.Close() })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("stop: %v", stop)
	return stop
}

// restartSizes are the accounts and events; FARTHING_TEST_RESTART_EVENTS overrides the latter.
func restartSizes() (accounts, events int) {
	accounts, events = soak.Pick(10_000, 1_000_000), soak.Pick(150_000, 100_000_000)
	if n, err := strconv.Atoi(os.Getenv("FARTHING_TEST_RESTART_EVENTS")); err == nil {
		events = n
	}
	return accounts, events
}

func bound(t *testing.T, what string, took, atMost time.Duration) {
	t.Helper()
	if took > atMost {
		t.Errorf("%s took %v, want at most %v", what, took, atMost)
	}
}

func timed(fn func()) time.Duration {
	began := time.Now()
	fn()
	return time.Since(began)
}

// measureStarts is the median of three starts from a cold cache, each of which ends in a clean stop.
func measureStarts(t *testing.T, dir, what string) Start {
	first := measureStart(t, dir, what)
	second, third := measureStart(t, dir, what), measureStart(t, dir, what)
	for _, s := range []Start{second, third} {
		if min(first.Took, second.Took, third.Took) < s.Took && s.Took < max(first.Took, second.Took, third.Took) {
			return s
		}
	}
	return first
}

func measureStart(t *testing.T, dir, what string) Start {
	coldCache(t, dir)
	before := cpuTime(t)
	e, err := Open(restartOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	cpu := cpuTime(t) - before
	s := e.Stats().Start
	text := ""
	for _, p := range s.Parts {
		text += fmt.Sprintf(" %s %v", p.Name, p.Took.Round(time.Millisecond))
	}
	t.Logf("start %s: %v (%v of processor time), %d replayed, %d read again:%s", what, s.Took.Round(time.Millisecond),
		cpu.Round(time.Millisecond), s.Replayed, s.Reread, text)
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	return s
}

// runUntilKilled starts this binary on the ledger, lets it post until nearly as much lies behind the last
// checkpoint as ever does, and kills it while it goes on.
func runUntilKilled(t *testing.T, dir string, accounts int, seed uint64) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestRestartVictim$", "-test.v")
	cmd.Env = append(os.Environ(), restartDir+"="+dir, fmt.Sprintf("%s=%d %d", restartPlan, accounts, seed))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ready := false
	for lines := bufio.NewScanner(out); !ready && lines.Scan(); {
		if ready = lines.Text() == readyToDie; !ready {
			t.Log("the other process: ", lines.Text())
		}
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	if !ready {
		t.Fatal("the other process ended before it was killed")
	}
}

// readyToDie is what the other process says when it may be killed.
const readyToDie = "ready to be killed"

// TestRestartVictim is the process that is killed.
func TestRestartVictim(t *testing.T) {
	dir := os.Getenv(restartDir)
	if dir == "" {
		t.Skip("runs as a process of TestRestartSoak")
	}
	var accounts int
	var seed uint64
	if _, err := fmt.Sscan(os.Getenv(restartPlan), &accounts, &seed); err != nil {
		t.Fatal(err)
	}
	e, err := Open(restartOptions(dir))
	if err != nil {
		t.Fatal(err)
	}
	w := newRestartWorld(t, e, accounts, seed)
	// Two checkpoints pass, so that deltas are there; then as much is posted as lies between two of them.
	var told sync.Once
	begun := e.Stats()
	full := func() bool {
		now := e.Stats()
		if !soak.Full() {
			return now.Durable-begun.Durable > 100_000
		}
		if now.Durable == begun.Durable {
			return false
		}
		perCommand := float64(now.Store.WALBytes) / float64(now.Durable-begun.Durable)
		return now.Store.WALBytes > uint64(2*e.o.CheckpointBytes) &&
			float64(now.Durable-now.Checkpointed)*perCommand > 0.95*float64(e.o.CheckpointBytes)
	}
	w.post(0, 1<<30, func() bool {
		if full() {
			told.Do(func() { fmt.Println(readyToDie) })
		}
		return false
	})
}
