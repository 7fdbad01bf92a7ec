package engine

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"farthing/internal/soak"
	"farthing/money"
)

// dedupLoad books events with random UUIDs, a thousand a request, straight into the engine.
type dedupLoad struct {
	*rig
	seed     uint64
	accounts [][]byte
	next     atomic.Uint64 // of new batches
	booked   atomic.Uint64
	repeated atomic.Uint64
}

const dedupBatch = 1000

// uuid is the nth identity: two outputs of splitmix64.
func (l *dedupLoad) uuid(n uint64, out *[36]byte) {
	mix := func(x uint64) uint64 {
		x += l.seed
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		return x ^ x>>31
	}
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], mix(2*n*0x9e3779b97f4a7c15))
	binary.BigEndian.PutUint64(raw[8:], mix((2*n+1)*0x9e3779b97f4a7c15))
	raw[6], raw[8] = raw[6]&0x0f|0x40, raw[8]&0x3f|0x80
	hex.Encode(out[:8], raw[:4])
	hex.Encode(out[9:13], raw[4:6])
	hex.Encode(out[14:18], raw[6:8])
	hex.Encode(out[19:23], raw[8:10])
	hex.Encode(out[24:], raw[10:])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
}

// send sends a batch, a new one or one that was sent before, and checks that every event of it is new, or
// none is.
func (l *dedupLoad) send(batch uint64, fresh bool) {
	l.sendSome(batch*dedupBatch, dedupBatch, fresh)
}

// sendSome sends so many events from one on.
func (l *dedupLoad) sendSome(first uint64, count int, fresh bool) {
	q := l.e.Acquire(200 * count)
	for q == nil {
		runtime.Gosched()
		q = l.e.Acquire(200 * count)
	}
	b := q.Batch()
	input, output := money.Quantity(1200e6), money.Quantity(310e6)
	var id [36]byte
	for i := range uint64(count) {
		n := first + i
		l.uuid(n, &id)
		b.Begin(int(i))
		b.SetSource([]byte("gateway-1"))
		b.SetID(id[:])
		b.SetSubject(l.accounts[n*7919%uint64(len(l.accounts))])
		b.SetType([]byte("llm.tokens"))
		b.Component([]byte("input"), input)
		b.Component([]byte("output"), output)
		b.Dimension([]byte("model"), []byte("m1"))
		b.End()
	}
	out, refused := l.e.Ingest(q)
	l.e.Release(q)
	switch {
	case refused != nil:
		l.t.Errorf("%d from %d: %v", count, first, refused)
	case fresh && out.Accepted != count:
		l.t.Errorf("%d new from %d: %+v", count, first, out)
	case !fresh && out.Duplicates != count:
		l.t.Errorf("%d from %d again: %+v", count, first, out)
	}
	if fresh {
		l.booked.Add(uint64(count))
	} else {
		l.repeated.Add(uint64(count))
	}
}

// fill books new events from several callers until there are so many in all. It returns the rate, and the time of
// all cores that an event took, which others on the machine change less.
func (l *dedupLoad) fill(upTo uint64) (rate, cpu float64) {
	before, start, used := l.booked.Load(), time.Now(), coresTime()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for {
				n := l.next.Add(1) - 1
				if n*dedupBatch >= upTo {
					l.next.Add(^uint64(0))
					return
				}
				l.send(n, true)
			}
		})
	}
	wg.Wait()
	n := float64(l.booked.Load() - before)
	return n / time.Since(start).Seconds(), float64((coresTime() - used).Nanoseconds()) / n / 1000
}

// coresTime is what the process has used so far.
func coresTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// run books new events from four callers for a while, with so many others that repeat old events, so many a
// request, and returns both rates.
func (l *dedupLoad) run(d time.Duration, repeaters, size int) (fresh, repeats float64) {
	booked, repeated, start := l.booked.Load(), l.repeated.Load(), time.Now()
	old := l.next.Load() * dedupBatch
	var wg, others sync.WaitGroup
	for range 4 {
		others.Go(func() {
			for time.Since(start) < d {
				l.send(l.next.Add(1)-1, true)
			}
		})
	}
	for k := range uint64(repeaters) {
		wg.Go(func() {
			for i := k; time.Since(start) < d; i += uint64(repeaters) {
				at := (i*7919*dedupBatch + i*131%dedupBatch) % (old - old/8)
				l.sendSome(at/uint64(size)*uint64(size), size, false)
			}
		})
	}
	others.Wait()
	fresh = float64(l.booked.Load()-booked) / time.Since(start).Seconds()
	wg.Wait()
	return fresh, float64(l.repeated.Load()-repeated) / time.Since(start).Seconds()
}

func heapBytes() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// newDedupLoad opens a ledger to be filled with so many identities.
func newDedupLoad(t *testing.T, seed, size uint64) *dedupLoad {
	l := &dedupLoad{seed: seed}
	l.rig = newRig(t, func(o *Options) {
		hurried(o)
		o.Clock = nil
		if size < 10_000_000 {
			o.RunIdentities = int(size) / 64
		}
	})
	l.account("prov", "provider", "")
	for i := range 1000 {
		l.accounts = append(l.accounts, fmt.Appendf(nil, "customer-%06d", i))
		l.account(string(l.accounts[i]), "customer", "postpaid")
	}
	l.prices("v1", standardBook)
	return l
}

// fillAll fills the window and notes the rates at its begin and its end.
func (l *dedupLoad) fillAll(size uint64, out soak.Counts) {
	part := max(size/40, 25*dedupBatch)
	l.fill(part / 4) // what starts once
	empty, emptyCPU := l.fill(part)
	for upTo := 2 * part; upTo < size; upTo += max(part, 5_000_000) {
		rate, cpu := l.fill(upTo)
		if size >= 10_000_000 {
			s := l.e.Stats()
			l.t.Logf("%d identities: %.0f/s, %.2f µs; %d runs, %d large, %d MiB of filters", l.booked.Load(), rate, cpu, s.Runs, s.LargeRuns, s.FilterBytes>>20)
		}
	}
	full, fullCPU := l.fill(l.booked.Load() + part)
	s := l.e.Stats()
	out["events/s, empty window"], out["events/s, full window"], out["of empty"] = int(empty), int(full), ratio(full, empty)
	out["cpu µs/event, empty"], out["cpu µs/event, full"] = fmt.Sprintf("%.2f", emptyCPU), fmt.Sprintf("%.2f", fullCPU)
	out["runs"], out["large runs"], out["MiB of filters"] = s.Runs, s.LargeRuns, s.FilterBytes>>20
}

// repeatOld measures new events alone and beside clients that repeat old ones, in turn: four with batches, 64 with single events.
func (l *dedupLoad) repeatOld(out soak.Counts) {
	d := soak.Pick(time.Second, 10*time.Second)
	if raceEnabled {
		d = 250 * time.Millisecond
	}
	var alone, beside, repeats, singles, single []float64
	for range soak.Pick(2, 6) {
		a, _ := l.run(d, 0, 1)
		b, r := l.run(d, 4, dedupBatch)
		c, s := l.run(d, 64, 1)
		alone, beside, repeats, singles, single = append(alone, a), append(beside, b), append(repeats, r), append(singles, c), append(single, s)
	}
	out["events/s alone"], out["events/s beside repeats"], out["repeats/s"] = int(median(alone)), int(median(beside)), int(median(repeats))
	out["events/s beside single repeats"], out["single repeats/s"] = int(median(singles)), int(median(single))
	out["of alone"], out["of alone, single repeats"] = ratio(median(beside), median(alone)), ratio(median(singles), median(alone))
}

// restart measures a restart and what of it is the runs.
func (l *dedupLoad) restart(out soak.Counts) {
	lap := func(name string, what func()) {
		start, used := time.Now(), coresTime()
		what()
		out[name] = fmt.Sprintf("%v, %v of cores", time.Since(start).Round(time.Millisecond), (coresTime() - used).Round(time.Millisecond))
	}
	lap("close", l.close)
	lap("start", l.open)
	lap("start, runs", func() { // the same set once more
		again := runIndex{store: l.e.store, perRun: l.o.RunIdentities, budget: 1 << 40}
		if err := again.loadRuns(l.o.loaders()); err != nil {
			l.t.Fatal(err)
		}
	})
}

// TestDedupSoak fills the window with random UUIDs and measures what deduplication costs then: new events against the
// rate on an empty window, new events beside clients that send old batches again, memory, and the time of a restart. Full size:
// 200 million identities, some 25 GB under TMPDIR. FARTHING_DEDUP_IDENTITIES sets another size.
func TestDedupSoak(t *testing.T) {
	size := uint64(soak.Pick(2_000_000, 200_000_000))
	if raceEnabled {
		size = 50_000
	}
	if text := os.Getenv("FARTHING_DEDUP_IDENTITIES"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		size = n
	}
	run := soak.Start(t)
	l, out := newDedupLoad(t, run.Seed(), size), soak.Counts{}
	heap := heapBytes()
	l.fillAll(size, out)
	index := int64(heapBytes()) - int64(heap)
	out["MiB of heap gained"] = index >> 20
	l.repeatOld(out)
	l.restart(out)
	for i := range uint64(soak.Pick(50, 1000)) {
		l.send(i*7919%l.next.Load(), false)
	}
	booked := l.booked.Load()
	out["identities"], out["new events taken for old"], out["old events taken for new"] = booked, 0, 0
	run.Report("deduplication at size", out)
	if index > 1<<30 {
		t.Errorf("the index takes %d MiB", index>>20)
	}
	if soak.Full() {
		return
	}
	l.close()
	report, err := Verify(VerifyOptions{Journal: l.o.Journal})
	if err != nil || report.Events != booked {
		t.Fatalf("%+v, %v", report, err)
	}
}

func ratio(a, b float64) string { return fmt.Sprintf("%.2f", a/b) }

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}
