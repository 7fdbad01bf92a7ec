package engine

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farthing/money"
)

// placeHolds places n holds by amount on the accounts in turn, a thousand a request, from several
// callers. Ids have 32 characters.
func placeHolds(t testing.TB, e *Engine, n int, accounts []string, ttl time.Duration) {
	t.Helper()
	amount := mustAmount("0.000001")
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for {
				first := next.Add(1000) - 1000
				if first >= int64(n) {
					return
				}
				r := e.Acquire(100_000)
				for i := first; i < min(first+1000, int64(n)); i++ {
					b := r.Holds()
					b.Add(HoldOp{Kind: PlaceHold, Index: uint32(i - first), Hold: b.Intern(fmt.Appendf(nil, "hold-%027d", i)),
						Account: b.Intern([]byte(accounts[i%int64(len(accounts))])), Event: -1, Amount: amount, HasAmount: true, TTL: ttl}, r.Batch())
				}
				results, _, refused := e.BookHolds(r)
				if refused != nil {
					t.Error(refused)
				}
				for i := range results {
					if results[i].Outcome != HoldDone {
						t.Errorf("%+v", results[i])
					}
				}
				e.Release(r)
			}
		}()
	}
	wg.Wait()
}

// heldOf is what is held of an account.
func heldOf(t testing.TB, e *Engine, id string) money.Amount {
	t.Helper()
	a, refused := e.Account(id)
	if refused != nil {
		t.Fatal(refused)
	}
	return a.Held
}

// TestHoldsExpireWithinASecond: 250,000 holds that are due within one second are gone a second
// after the last was, and none before its time. On a machine that does much else the test allows
// three; what it took is in its log.
func TestHoldsExpireWithinASecond(t *testing.T) {
	n, most := 250_000, 3*time.Second
	if raceEnabled {
		n = 20_000
	}
	start := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC).UnixNano()
	var shift atomic.Int64
	r := newRig(t, func(o *Options) { o.Now = func() int64 { return start + shift.Load() } })
	r.account("acme", "customer", "postpaid")
	placeHolds(t, r.e, n, []string{"acme"}, 10*time.Second)
	all := heldOf(t, r.e, "acme")
	shift.Store(int64(10*time.Second) - 1)
	if got := heldOf(t, r.e, "acme"); got != all {
		t.Fatalf("%s are held before the time, %s were", got, all)
	}
	shift.Store(int64(11 * time.Second)) // all were due within this second
	began := time.Now()
	for !heldOf(t, r.e, "acme").IsZero() {
	}
	took := time.Since(began)
	t.Logf("%d holds expired in %v", n, took)
	if took > most {
		t.Errorf("%d due holds took %v to expire", n, took)
	}
	list, refused := r.e.Notifications(0, n+10)
	if refused != nil || len(list) != n || list[n-1].Number != uint64(n) {
		t.Fatalf("%d notifications, %v", len(list), refused)
	}
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkOpenHolds places ten million holds and tells what the process takes of memory then:
// go test ./engine -run none -bench OpenHolds -benchtime 1x -timeout 30m
func BenchmarkOpenHolds(b *testing.B) {
	const n = 10_000_000
	r := newRig(b, nil)
	accounts := make([]string, 1000)
	for i := range accounts {
		accounts[i] = fmt.Sprintf("customer-%04d", i)
		r.account(accounts[i], "customer", "postpaid")
	}
	for b.Loop() {
		placeHolds(b, r.e, n, accounts, 2*time.Hour)
	}
	open := 0
	if refused := r.e.do(func(s *sequencer) bool { open = s.state.holds.open; return false }); refused != nil || open != n {
		b.Fatal(open, refused)
	}
	b.ReportMetric(float64(residentBytes(b))/(1<<20), "MiB-resident")
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	b.ReportMetric(float64(m.HeapAlloc)/(1<<20), "MiB-heap")
	b.ReportMetric(n/b.Elapsed().Seconds(), "holds/s")
}

// residentBytes is what the process has in memory.
func residentBytes(b *testing.B) int64 {
	b.Helper()
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip("there is no /proc here")
	}
	var kib int64
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			if _, err := fmt.Sscan(rest, &kib); err != nil {
				b.Fatal(err)
			}
		}
	}
	return kib << 10
}
