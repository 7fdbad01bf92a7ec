package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"farthing/engine"
	"farthing/httpapi"
	"farthing/internal/soak"
	"farthing/journal"
	"farthing/meter"
	"farthing/money"
)

// The load of TestOverloadSoak. A group takes 64 KiB and its fsync 40 ms, so that some 23,000 events a second go through; ten times
// as many are offered, in requests whose times are fixed beforehand.
const (
	overloadBatch  = 100
	overloadFsync  = 40 * time.Millisecond
	overloadBytes  = 64 << 20 // --max-bytes
	batchClients   = 240
	singleClients  = 24
	readers        = 8
	overloadPeriod = 95 * time.Millisecond // of one client
	overloadP99    = 250 * time.Millisecond
	overloadMemory = 640 << 20 // what the process may grow by: bodies 64 MiB, cache 64, memtables 256, identities 80, the generator's own
)

// overload is a server behind a slow disk, and the clients that ask too much of it.
type overload struct {
	t       *testing.T
	slow    atomic.Bool
	engine  *engine.Engine
	options engine.Options
	url     string
	client  *http.Client
	next    atomic.Uint64 // ids

	mu       sync.Mutex
	waits    [3][]time.Duration // of what was admitted, by kind
	admitted [3]int
	refused  [3]int
	accepted int // events, as answered
	bad      []string
}

const (
	kindBatch = iota
	kindSingle
	kindRead
)

// TestOverloadSoak offers ten times of what goes through, over real connections: what is admitted is answered within 250 ms, the rest is
// told at once to come back, memory stays within its bound, nothing that was answered is lost, and a second after the disk
// is fast again everything goes through.
func TestOverloadSoak(t *testing.T) {
	o := newOverload(t)
	before := memory()
	var highest atomic.Uint64
	watch, stop := context.WithCancel(t.Context())
	var watching sync.WaitGroup
	watching.Go(func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for watch.Err() == nil {
			highest.Store(max(highest.Load(), memory()))
			<-tick.C
		}
	})

	o.slow.Store(true)
	load := o.start()
	load.during(time.Second) // in which the server learns its rate
	first := o.take()
	load.during(soak.Pick(4*time.Second, time.Minute))
	during := o.take()
	o.slow.Store(false)
	load.during(time.Second)
	after := o.take()
	load.stop()
	stop()
	watching.Wait()

	for kind, name := range []string{"batches", "single events", "balances"} {
		if p := p99(during.waits[kind]); soak.Full() && p > overloadP99 { // the short run shares the machine with other tests
			t.Errorf("%s: the admitted wait %v (p99)", name, p)
		}
		if during.admitted[kind] == 0 {
			t.Errorf("%s: none was admitted", name)
		}
	}
	offered, went := during.sum(during.refused)+during.sum(during.admitted), during.sum(during.admitted)
	times := float64(during.events()) / float64(max(during.accepted, 1))
	if during.sum(during.refused) == 0 || soak.Full() && times < 9 {
		t.Errorf("%d events were offered, %d accepted: that is no overload", during.events(), during.accepted)
	}
	if grown := int64(highest.Load()) - int64(before); soak.Full() && grown > overloadMemory { // the short run has its disk in memory
		t.Errorf("memory grew by %d bytes", grown)
	}
	seconds := soak.Pick(4, 60)
	if got, slow := after.accepted, during.accepted/seconds; soak.Full() && got < 2*slow {
		t.Errorf("in the second after: %d events, %d a second before", got, slow)
	}
	rest := o.take()
	total := first.accepted + during.accepted + after.accepted + rest.accepted
	for _, text := range slices.Concat(first.bad, during.bad, after.bad, rest.bad) {
		t.Error(text)
	}
	booked := o.verified()
	if booked != uint64(total) {
		t.Errorf("%d events were answered as accepted, the journal has %d", total, booked)
	}
	soak.Report(t, "Overload, ten times of what goes through", soak.Counts{
		"events offered ÷ accepted": fmt.Sprintf("%.1f", times),
		"requests sent":             offered, "admitted": went, "refused": during.sum(during.refused), "events accepted": total,
		"events lost": total - int(booked), "p99 of batches": p99(during.waits[kindBatch]).String(), "p99 of single events": p99(during.waits[kindSingle]).String(),
		"p99 of balances": p99(during.waits[kindRead]).String(), "largest growth of memory, MiB": int(highest.Load()-min(before, highest.Load())) >> 20,
		"events a second, slow": during.accepted / seconds, "events in the second after": after.accepted,
	})
}

// memory is what the runtime holds of the system's memory.
func memory() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64() - s[1].Value.Uint64()
}

func p99(waits []time.Duration) time.Duration {
	if len(waits) == 0 {
		return 0
	}
	slices.Sort(waits)
	return waits[len(waits)*99/100]
}

func newOverload(t *testing.T) *overload {
	o := &overload{t: t}
	// The short run's disk is in memory, so that it is as slow as the test says and not as whatever else runs here makes it. The
	// full one runs alone, and its memory is measured.
	disk, dir := vfs.FS(vfs.NewMem()), "d"
	if soak.Full() {
		disk, dir = vfs.Default, t.TempDir()
	}
	fs := errorfs.Wrap(disk, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if o.slow.Load() && strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData) {
			<-time.After(overloadFsync)
		}
		return nil
	}))
	log := slog.New(slog.DiscardHandler)
	o.options = engine.Options{Journal: journal.Options{Dir: dir, FS: fs, Logger: log}, Logger: log, GroupBytes: 64 << 10,
		BytesMax: overloadBytes, DiskStallAfter: 10 * time.Second}
	e, err := engine.Open(o.options)
	if err != nil {
		t.Fatal(err)
	}
	o.engine = e
	usd, _ := money.Lookup("USD")
	if _, _, no := e.CreateAccount(engine.AccountSpec{ID: "acme", Currency: usd, Kind: "customer", Billing: "postpaid"}); no != nil {
		t.Fatal(no)
	}
	v, no := meter.ParseVersion("v1", []byte(`{"effective_from":"2026-01-01T00:00:00Z","prices":[{"meter":"api.calls","currency":"USD","match":{},"components":{"call":"0.0004"}}]}`))
	if no == nil {
		_, _, no = e.PutPrices(v, nil)
	}
	if no != nil {
		t.Fatal(no)
	}
	slot := &engineSlot{}
	slot.open(e)
	server := httpapi.New(slot, httpapi.Options{Logger: log})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := server.Drain(ctx); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := o.engine.Close(); err != nil {
			t.Error(err)
		}
	})
	o.url = "http://" + listener.Addr().String()
	o.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
	return o
}

// overloadRun is the clients at work.
type overloadRun struct {
	stopped chan struct{}
	clients sync.WaitGroup
}

func (o *overload) start() *overloadRun {
	r := &overloadRun{stopped: make(chan struct{})}
	for i := range batchClients + singleClients + readers {
		kind := kindBatch
		switch {
		case i >= batchClients+singleClients:
			kind = kindRead
		case i >= batchClients:
			kind = kindSingle
		}
		r.clients.Go(func() {
			tick := time.NewTicker(overloadPeriod)
			defer tick.Stop()
			for {
				select {
				case <-r.stopped:
					return
				case <-tick.C:
					o.ask(kind)
				}
			}
		})
	}
	return r
}

func (r *overloadRun) during(d time.Duration) { <-time.After(d) }

func (r *overloadRun) stop() {
	close(r.stopped)
	r.clients.Wait()
}

// ask sends one request and notes what came of it.
func (o *overload) ask(kind int) {
	var body bytes.Buffer
	n := 0
	switch kind {
	case kindBatch:
		n = overloadBatch
	case kindSingle:
		n = 1
	}
	for range n { // spelled out: formatting would take the processors that the server needs
		body.WriteString(`{"id":"event-`)
		body.WriteString(strconv.FormatUint(o.next.Add(1)+1e12, 10))
		body.WriteString(`","source":"gateway-1","type":"api.calls","subject":"acme","data":{"region":"eu-central-1","path":"/v1/things"}}` + "\n")
	}
	var answer *http.Response
	var err error
	began := time.Now()
	if kind == kindRead {
		answer, err = o.client.Get(o.url + "/v1/accounts/acme")
	} else {
		answer, err = o.client.Post(o.url+"/v1/events", "application/x-ndjson", &body)
	}
	if err != nil {
		o.note(func() { o.bad = append(o.bad, err.Error()) })
		return
	}
	text, err := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	took := time.Since(began)
	var result struct{ Accepted int }
	if answer.StatusCode == http.StatusOK && err == nil && kind != kindRead {
		err = json.Unmarshal(text, &result)
	}
	o.note(func() {
		switch {
		case err == nil && answer.StatusCode == http.StatusOK && result.Accepted == n:
			o.admitted[kind]++
			o.accepted += n
			o.waits[kind] = append(o.waits[kind], took)
		case answer.StatusCode == http.StatusTooManyRequests && answer.Header.Get("Retry-After") == "1":
			o.refused[kind]++
		default:
			o.bad = append(o.bad, fmt.Sprint(answer.StatusCode, " ", answer.Header, " ", string(text), " ", err))
		}
	})
}

func (o *overload) note(fn func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	fn()
}

// overloadCounts is what came of requests in some time.
type overloadCounts struct {
	waits             [3][]time.Duration
	admitted, refused [3]int
	accepted          int
	bad               []string
}

// take returns what was noted since the last time.
func (o *overload) take() (c overloadCounts) {
	o.note(func() {
		c = overloadCounts{o.waits, o.admitted, o.refused, o.accepted, o.bad}
		o.waits, o.admitted, o.refused, o.accepted, o.bad = [3][]time.Duration{}, [3]int{}, [3]int{}, 0, nil
	})
	return c
}

func (overloadCounts) sum(n [3]int) int { return n[0] + n[1] + n[2] }

// events is how many were offered.
func (c *overloadCounts) events() int {
	return overloadBatch*(c.admitted[kindBatch]+c.refused[kindBatch]) + c.admitted[kindSingle] + c.refused[kindSingle]
}

// verified closes the ledger and counts its events, derived from the journal anew.
func (o *overload) verified() uint64 {
	o.client.CloseIdleConnections()
	if err := o.engine.Close(); err != nil {
		o.t.Fatal(err)
	}
	report, err := engine.Verify(engine.VerifyOptions{Journal: o.options.Journal})
	if err != nil {
		o.t.Fatal(err)
	}
	return report.Events
}
