package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"farthing/engine"
	"farthing/journal"
	"farthing/money"
	"farthing/publish"
	"farthing/publish/kafkatest"
	"farthing/reconcile"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// errDead is what the outbox says once the ledger's machine has lost power.
var errDead = errors.New("dead")

// matrixSteps are the places of a record batch's way at which the machine of the ledger dies, in their order.
var matrixSteps = []string{"before the attempt", "after the attempt", "before the append", "after the append", "before the mark", "after the mark"}

// TestMatrixPowerCut is the fault matrix between ledger and broker: an engine on a disk that loses power at each step of publishing, with and
// without parts of what was not synced. What the disk then holds is opened again and publishes the rest. A consumer that
// follows the contract has every record once, byte for byte, and reconcile is green. The seed is printed.
func TestMatrixPowerCut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, where := range []string{"kfake", "kafka"} {
		t.Run(where, func(t *testing.T) {
			addr := matrixBroker(t, where)
			for i, step := range matrixSteps {
				for _, unsynced := range []int{0, 50} {
					t.Run(fmt.Sprintf("%s, %d %% of the unsynced data kept", step, unsynced), func(t *testing.T) {
						rng := rand.New(rand.NewPCG(seed, uint64(i*100+unsynced)))
						m := newMatrixLedger(t, addr)
						m.dieAt(step, 1+rng.IntN(3), vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng})
						m.recover(m.cut)
					})
				}
			}
		})
	}
}

// TestMatrixDiskFull has the disk full from when a batch is to be marked: the engine must stop the process, as it cannot know what
// is durable, and with room again nothing is lost and nothing sent twice.
func TestMatrixDiskFull(t *testing.T) {
	for _, where := range []string{"kfake", "kafka"} {
		t.Run(where, func(t *testing.T) {
			m := newMatrixLedger(t, matrixBroker(t, where))
			m.arm("before the mark", 2, func() error { m.full.Store(true); return nil })
			go func() { _ = m.relay.Run(m.ctx) }()
			select {
			case err := <-m.fatal:
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatalf("the engine stopped for %v", err)
				}
			case <-time.After(patience):
				t.Fatal("the engine goes on without a disk")
			}
			m.cancel()
			m.recover(m.disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))}))
		})
	}
}

// matrixBroker returns the address of a broker, in process or real.
func matrixBroker(t *testing.T, where string) string {
	t.Helper()
	if where == "kafka" {
		return kafkatest.Start(t)
	}
	fake, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	return fake.ListenAddrs()[0]
}

// matrixLedger is an engine in memory with three sealed windows, and a relay that has not begun.
type matrixLedger struct {
	t      *testing.T
	addr   string
	o      publish.Options
	disk   *vfs.MemFS
	full   atomic.Bool // the disk takes nothing any more
	fatal  chan error
	engine *engine.Engine
	relay  *publish.Relay
	proxy  *kafkatest.Proxy
	ctx    context.Context
	cancel context.CancelFunc

	mu    sync.Mutex
	step  string
	left  int // occurrences of the step until what happens there
	what  func() error
	cut   *vfs.MemFS // what the disk held at the cut
	ended error      // what every step answers from then on
}

// matrixWindows windows are sealed, with matrixPayers lines and the operator's each.
const (
	matrixWindows = 3
	matrixPayers  = 20
)

func newMatrixLedger(t *testing.T, addr string) *matrixLedger {
	t.Helper()
	m := &matrixLedger{t: t, addr: addr, disk: vfs.NewCrashableMem(), fatal: make(chan error, 100), proxy: kafkatest.NewProxy(t)}
	m.proxy.To(addr)
	fs := errorfs.Wrap(m.disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if m.full.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.ENOSPC
		}
		return nil
	}))
	m.engine = m.open(fs)
	m.sealWindows()
	topic := strings.NewReplacer("/", ".", " ", "-", ",", "", "%", "").Replace(t.Name()) + "." + m.engine.LedgerID()
	m.o = publish.Options{Brokers: []string{addr}, Topic: topic, Ledger: m.engine.LedgerID(), CreateTopics: true,
		MaxBatchBytes: 2 << 10, Compression: publish.NoCompression, RequestTimeout: 5 * time.Second,
		BackoffMin: time.Millisecond, BackoffMax: 50 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))}
	through := m.o
	through.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, m.proxy.Addr)
	}
	m.proxy.OnRequest(func(p kafkatest.Produce) bool { return p.Fence || m.at("before the append") == nil })
	m.proxy.OnAnswer(func(p kafkatest.Produce) bool { return p.Fence || m.at("after the append") == nil })
	relay, err := publish.New(through, steppedBox{outbox{m.engine.Outbox()}, m})
	m.must(err)
	m.relay = relay
	m.ctx, m.cancel = context.WithCancel(context.Background())
	t.Cleanup(m.cancel)
	return m
}

func (m *matrixLedger) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *matrixLedger) journalOptions(fs vfs.FS) journal.Options {
	return journal.Options{Dir: "ledger", FS: fs, Logger: slog.New(slog.DiscardHandler), Fatal: func(err error) {
		m.fatal <- err
		select {} // it must not return
	}}
}

func (m *matrixLedger) open(fs vfs.FS) *engine.Engine {
	m.t.Helper()
	e, err := engine.Open(engine.Options{Journal: m.journalOptions(fs), Logger: slog.New(slog.DiscardHandler)})
	m.must(err)
	return e
}

func (m *matrixLedger) sealWindows() {
	m.t.Helper()
	usd, ok := money.Lookup("USD")
	amount, err := money.Parse("12.34")
	if err != nil || !ok {
		m.t.Fatal(err)
	}
	for w := range matrixWindows {
		for i := range matrixPayers {
			id := fmt.Sprint("customer-", i)
			if w == 0 {
				if _, _, refused := m.engine.CreateAccount(engine.AccountSpec{ID: id, Currency: usd, Kind: "customer", Billing: "prepaid"}); refused != nil {
					m.t.Fatal(refused)
				}
			}
			if _, _, refused := m.engine.TopUp(engine.TopUp{ID: fmt.Sprint(w, "-", i), Account: id, Amount: amount}); refused != nil {
				m.t.Fatal(refused)
			}
		}
		if _, _, refused := m.engine.CloseWindow(fmt.Sprint("w", w), nil); refused != nil {
			m.t.Fatal(refused)
		}
	}
}

// arm has something happen when a step is come to for the nth time.
func (m *matrixLedger) arm(step string, nth int, what func() error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.step, m.left, m.what = step, nth, what
}

// at is called at each step; an error ends it.
func (m *matrixLedger) at(step string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended != nil || step != m.step {
		return m.ended
	}
	if m.left--; m.left == 0 {
		m.ended = m.what()
	}
	return m.ended
}

// dieAt runs the relay until power fails at the nth occurrence of the step.
func (m *matrixLedger) dieAt(step string, nth int, cfg vfs.CrashCloneCfg) {
	m.t.Helper()
	m.arm(step, nth, func() error {
		m.cut = m.disk.CrashClone(cfg)
		m.cancel()
		return errDead
	})
	m.must(m.relay.Run(m.ctx))
	_ = m.engine.Close()
	if m.cut == nil {
		m.t.Fatalf("%s: never came to it %d times: %+v", step, nth, m.relay.Stats())
	}
	m.t.Logf("dead %s, occurrence %d: %d sent", step, nth, m.relay.Stats().Sent)
}

// recover opens what a disk holds, publishes what is left, and checks the topic.
func (m *matrixLedger) recover(disk *vfs.MemFS) {
	m.t.Helper()
	e := m.open(disk)
	sealed, err := e.Outbox().Records(1, 1<<30)
	m.must(err)
	if len(sealed) != matrixWindows*(matrixPayers+2) {
		m.t.Fatalf("%d records are sealed", len(sealed))
	}
	relay, err := publish.New(m.o, outbox{e.Outbox()})
	m.must(err)
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	ran := make(chan error, 1)
	go func() { ran <- relay.Run(ctx) }()
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for relay.Stats().Confirmed != uint64(len(sealed)) {
		select {
		case err := <-ran:
			m.t.Fatalf("the relay ended with %v: %+v", err, relay.Stats())
		case <-again.C:
		}
	}
	s := relay.Stats()
	cancel()
	m.must(<-ran)
	m.must(e.Close())
	m.checkTopic(sealed, s)
	m.reconciles(disk)
}

// checkTopic reads with an independent client, by the contract.
func (m *matrixLedger) checkTopic(sealed []engine.Record, s publish.Stats) {
	m.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(m.addr), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{m.o.Topic: {0: kgo.NewOffset().AtStart()}}))
	m.must(err)
	defer client.Close()
	ends, err := kadm.NewClient(client).ListEndOffsets(m.t.Context(), m.o.Topic)
	m.must(errors.Join(err, ends.Error()))
	end, _ := ends.Lookup(m.o.Topic, 0)
	ctx, cancel := context.WithTimeout(m.t.Context(), patience)
	defer cancel()
	applied, dropped, fences := 0, 0, 0
	for next := int64(0); next < end.Offset; {
		fetches := client.PollFetches(ctx)
		m.must(fetches.Err())
		for _, r := range fetches.Records() {
			next = r.Offset + 1
			text, ok := headerOf(r, "stream_seq")
			if !ok {
				fences++
				continue
			}
			seq, err := strconv.Atoi(text)
			m.must(err)
			if seq > applied+1 || seq < 1 {
				m.t.Fatalf("a gap: stream_seq %d at offset %d after %d", seq, r.Offset, applied)
			}
			if want := sealed[seq-1]; !bytes.Equal(r.Value, want.Value) || !bytes.Equal(r.Key, want.Key) {
				m.t.Fatalf("stream_seq %d at offset %d has other content than was sealed", seq, r.Offset)
			}
			if seq <= applied {
				dropped++
				continue
			}
			applied++
		}
	}
	m.t.Logf("%d records applied, %d stand a second time, %d fences; %d sent, %d found, %d resends, %d sessions", applied, dropped, fences, s.Sent, s.Found, s.Resent, s.Sessions)
	if applied != len(sealed) || dropped != 0 {
		m.t.Fatalf("applied %d and dropped %d, want %d and 0", applied, dropped, len(sealed))
	}
}

func headerOf(r *kgo.Record, key string) (string, bool) {
	for _, h := range r.Headers {
		if h.Key == key {
			return string(h.Value), true
		}
	}
	return "", false
}

// reconciles holds the topic against the ledger on the disk.
func (m *matrixLedger) reconciles(disk *vfs.MemFS) {
	m.t.Helper()
	sealed, err := engine.OpenSealed(m.journalOptions(disk))
	m.must(err)
	defer func() { m.must(sealed.Close()) }()
	topic, err := publish.NewTopicReader(m.o)
	m.must(err)
	report, err := reconcile.Run(m.t.Context(), reconcile.Options{Ledger: sealedLedger{sealed}, Topic: topic})
	m.must(err)
	if !report.Green(false) {
		m.t.Fatalf("reconcile: %+v", report)
	}
}

// steppedBox tells of the steps at the outbox.
type steppedBox struct {
	publish.Outbox
	m *matrixLedger
}

func (b steppedBox) step(before, after string, do func() error) error {
	if err := b.m.at(before); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return b.m.at(after)
}

func (b steppedBox) Attempt(a publish.Attempt) error {
	return b.step("before the attempt", "after the attempt", func() error { return b.Outbox.Attempt(a) })
}

func (b steppedBox) Confirm(c publish.Confirmation) error {
	return b.step("before the mark", "after the mark", func() error { return b.Outbox.Confirm(c) })
}

// ConfirmAttempt is a mark, and an attempt in the same write.
func (b steppedBox) ConfirmAttempt(c publish.Confirmation, a publish.Attempt) error {
	return b.step("before the mark", "after the mark", func() error {
		return b.step("before the attempt", "after the attempt", func() error { return b.Outbox.ConfirmAttempt(c, a) })
	})
}
