package engine

import (
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"farthing/journal"
	"farthing/meter"
	"farthing/money"
)

// BenchmarkSequencer measures what the sequencer does with requests of 1,000 new events, by itself: duplicate or new, account, price, posting,
// encoding, the identity added. No other stage runs: requests are executed on the benchmark's goroutine, a full group is thrown away, and a full
// generation is taken as written. The figure is the processor time of this thread alone, so neither filling requests, nor the
// garbage collector's other threads, nor what else runs on the machine is in it.
//
// Requests are filled right before they are executed, as they are in a server, and have ids of 26 characters and random accounts, each of
// which has had an event before: the first one makes its row of usage.
func BenchmarkSequencer(b *testing.B) {
	for _, accounts := range []int{10, 1_000, 1_000_000, 10_000_000} {
		b.Run(fmt.Sprintf("accounts=%d", accounts), func(b *testing.B) {
			if need := int64(accounts) * aloneAccountBytes; need > availableBytes() {
				b.Skipf("%d accounts take %d MiB, which this machine does not have", accounts, need>>20)
			}
			defer debug.SetGCPercent(debug.SetGCPercent(50)) // as serve sets it
			runtime.LockOSThread()                           // threadTime is that of one thread
			defer runtime.UnlockOSThread()
			a := newAloneSequencer(b, accounts)
			a.everybody()
			a.cpu = 0
			b.ResetTimer()
			for range b.N {
				a.request()
			}
			b.ReportMetric(float64(a.cpu.Nanoseconds())/float64(b.N*aloneEvents), "cpu-ns/event")
			b.ReportMetric(0, "ns/op") // of filling as well
		})
	}
}

// aloneAccountBytes is what an account takes at most while it is opened and has its first event, the collector's share included.
const aloneAccountBytes = 1200

// availableBytes is the memory that nothing else needs; where the system does not say, a lot.
func availableBytes() int64 {
	raw, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return math.MaxInt64
	}
	_, after, _ := strings.Cut(string(raw), "MemAvailable:")
	fields := strings.Fields(after)
	if len(fields) == 0 {
		return math.MaxInt64
	}
	kib, err := strconv.ParseInt(fields[0], 10, 64)
	if err != nil {
		return math.MaxInt64
	}
	return kib << 10
}

// aloneEvents is how many events a request of BenchmarkSequencer has.
const aloneEvents = 1000

// aloneSequencer is one without other stages.
type aloneSequencer struct {
	*sequencer
	x        *indexer // which is not asked by itself
	tb       testing.TB
	q        *Request
	accounts int
	next     uint64
	id, name []byte
	source   []byte
	kinds    [3][]byte // meter, dimension, and the components in turn
	model    []byte
	inTurn   bool          // accounts have events in turn, not at random
	cpu      time.Duration // of executing requests
}

func newAloneSequencer(tb testing.TB, accounts int) *aloneSequencer {
	tb.Helper()
	o := Options{Journal: journal.Options{Dir: tb.TempDir(), Logger: quiet()}, LedgerID: "alone", Logger: quiet()}
	o.ensureDefaults()
	store, err := openStore(&o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	e := newEngine(o, store, newHealth(&o))
	s, x, err := e.recover()
	if err != nil {
		tb.Fatal(err)
	}
	a := &aloneSequencer{sequencer: s, x: x, tb: tb, accounts: accounts, id: make([]byte, 26), source: []byte("gateway-1"), model: []byte("m1"),
		kinds: [3][]byte{[]byte("llm.tokens"), []byte("model"), []byte("input")}}
	a.open("prov", "provider", "")
	for i := range accounts {
		a.open(string(a.nameOf(i)), "customer", "postpaid")
	}
	v, refused := meter.ParseVersion("v1", []byte(standardBook))
	if refused != nil {
		tb.Fatal(refused)
	}
	a.command(kindPrices, appendBytes(appendBytes(nil, v.ID), v.Canonical))
	a.state.applyPrices(v)
	if a.q = e.Acquire(200 * aloneEvents); a.q == nil {
		tb.Fatal("no room")
	}
	tb.Cleanup(func() { e.Release(a.q) })
	return a
}

func (a *aloneSequencer) nameOf(i int) []byte {
	a.name = append(a.name[:0], "customer-00000000"...)
	for at := len(a.name) - 1; i > 0; at-- {
		a.name[at] += byte(i % 10)
		i /= 10
	}
	return a.name
}

func (a *aloneSequencer) open(id, kind, billing string) {
	p, refused := participantOf(&AccountSpec{ID: id, Currency: usd(), Kind: kind, Billing: billing})
	if refused != nil {
		a.tb.Fatal(refused)
	}
	a.command(kindAccount, appendParticipant(nil, p))
	a.state.applyAccount(p)
	a.handOffToNobody()
}

// everybody gives each account an event, and the processor something to learn.
func (a *aloneSequencer) everybody() {
	a.inTurn = true
	for range max(200, a.accounts/aloneEvents) {
		a.request()
	}
	a.inTurn = false
}

// request fills a request of new events and executes it.
func (a *aloneSequencer) request() {
	a.fill()
	began := threadTime(a.tb)
	a.execute(a.q)
	a.handOffToNobody()
	a.cpu += threadTime(a.tb) - began
	if a.q.again || a.q.result.Accepted != aloneEvents || a.q.result.Unpriced != 0 {
		a.tb.Fatalf("%+v", a.q.result)
	}
}

// fill fills the request anew.
func (a *aloneSequencer) fill() {
	batch := &a.q.batch
	batch.Reset(a.e.seed)
	a.q.result = IngestResult{}
	a.q.runs = a.ids.oldest()
	var raw [16]byte
	input, output := money.Quantity(1200e6), money.Quantity(310e6)
	for i := range aloneEvents {
		a.next++
		binary.BigEndian.PutUint64(raw[:], a.next)
		binary.BigEndian.PutUint64(raw[8:], a.next*0x9e3779b97f4a7c15)
		aloneIDs.Encode(a.id, raw[:])
		batch.Begin(i)
		batch.SetSource(a.source)
		batch.SetID(a.id)
		n := a.next
		if !a.inTurn {
			n = n * 0x9e3779b97f4a7c15 >> 32
		}
		batch.SetSubject(a.nameOf(int(n % uint64(a.accounts))))
		batch.SetType(a.kinds[0])
		batch.Component(a.kinds[2], input)
		batch.Component(aloneOutput, output)
		batch.Dimension(a.kinds[1], a.model)
		batch.End()
	}
}

var (
	aloneIDs    = base32.HexEncoding.WithPadding(base32.NoPadding)
	aloneOutput = []byte("output")
)

// handOffToNobody does what handing a full group on does, and fills the same one again.
func (a *aloneSequencer) handOffToNobody() {
	if a.g.bytes < a.e.o.GroupBytes {
		return
	}
	if err := a.state.ledger.Balanced(); err != nil {
		a.tb.Fatal(err)
	}
	if g := a.ids.freeze(a.g.last, a.state.time); g != nil {
		a.ids.drop(g.number + 1)
	}
	a.g.reset()
}

// threadTime is the processor time of the thread that runs this goroutine.
func threadTime(tb testing.TB) time.Duration {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(t.Nano())
}
