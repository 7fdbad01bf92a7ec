package httpapi

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"farthing/engine"
	"farthing/internal/soak"
	"farthing/journal"
)

// realRig is a rig over an engine with a ledger, and the account that honest clients post for.
func realRig(t *testing.T, o Options, bytesMax int64) *rig {
	t.Helper()
	e, err := engine.Open(engine.Options{Journal: journal.Options{Dir: t.TempDir()}, BytesMax: bytesMax})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	r := newRigOf(t, e, o)
	r.post("/v1/accounts", `{"id":"acme","currency":"USD","kind":"customer","billing":"postpaid"}`).want(t, 201, "")
	return r
}

// TestSoakHalfSentBodies has many senders who declare 8 MiB and stop halfway. They do not
// get more memory than bodies on their way may have, and honest clients are served meanwhile,
// from the first moment on.
func TestSoakHalfSentBodies(t *testing.T) {
	n := soak.Pick(60, 500)
	const budget = 64 << 20
	r := realRig(t, Options{ArrivingMaxBytes: budget / 2}, budget)
	h := r.startHonest()
	before := settledMemory()
	half := strings.Repeat(" ", 4<<20)
	head := eventsHead + fmt.Sprintf("Content-Length: %d\r\n\r\n", BodyMaxBytes)
	var most int64
	for i := range n {
		c := r.dial()
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)) // it may be refused amid it
		_, _ = c.Write([]byte(head + half))
		if i%10 == 0 {
			most = max(most, memory()-before)
		}
	}
	// One who sends it all gets in, for whose sake those who stall go.
	body := "[" + with() + "]"
	body += strings.Repeat(" ", 4<<20)
	for try := 0; ; try++ {
		if got := r.post("/v1/events", body); got.status == 200 || try == 20 {
			got.want(t, 200, "")
			break
		}
		<-time.After(100 * time.Millisecond)
	}
	served, p99 := h.done(soakLatency)
	if most > 2*budget {
		t.Errorf("%d bytes were held", most)
	}
	soak.Report(t, "half-sent bodies of 8 MiB", soak.Counts{"bodies": int64(n), "honest requests served": int64(served),
		"honest p99 µs": p99.Microseconds(), "memory MiB": most >> 20})
}

// TestSoakSlowSenders has many who send a body byte by byte.
func TestSoakSlowSenders(t *testing.T) {
	n := soak.Pick(200, 2000)
	r := realRig(t, Options{BodyStall: 300 * time.Millisecond}, 0)
	h := r.startHonest()
	var all []*conn
	for range n {
		c := r.dial()
		c.send(eventsHead + "Content-Length: 100000\r\n\r\n" + strings.Repeat(" ", 9000))
		all = append(all, c)
	}
	for range 5 {
		for _, c := range all {
			_, _ = c.Write([]byte(" ")) // it may be closed
		}
		<-time.After(50 * time.Millisecond)
	}
	for _, c := range all {
		if got := c.receive("POST"); got.status != 429 { // so many at once are more than are let in
			got.want(t, 408, "timeout")
		}
	}
	served, p99 := h.done(soakLatency)
	soak.Report(t, "slow senders", soak.Counts{"bodies": int64(n), "honest requests served": int64(served), "honest p99 µs": p99.Microseconds()})
}

// TestStalledBodyGivesItsRoomToOthers has a budget that one body fills, and then stalls.
func TestStalledBodyGivesItsRoomToOthers(t *testing.T) {
	r := newRig(t, Options{ArrivingMaxBytes: 1 << 20, BodyStall: time.Minute, ReadTimeout: time.Minute})
	slow := r.dial()
	slow.send(eventsHead + "Content-Length: 8000000\r\n\r\n" + strings.Repeat(" ", 1<<20))
	for r.server.arrivals.bytes.Load() <= 1<<20 {
		runtime.Gosched()
	}
	other := eventsHead + "Content-Length: 500000\r\n\r\n" + "[]" + strings.Repeat(" ", 500_000-2)
	began := time.Now()
	for refused := 0; ; refused++ {
		c := r.dial()
		c.send(other)
		got := c.receive("POST")
		if got.status == 200 {
			if refused == 0 {
				t.Error("there was room from the beginning")
			}
			break
		}
		got.want(t, 429, "overloaded")
		if time.Since(began) > 5*time.Second {
			t.Fatal("it keeps its room")
		}
	}
	got := slow.receive("POST")
	got.want(t, 429, "overloaded")
	if _, reason := got.problem(t); reason != "stalled" {
		t.Error(reason)
	}
	if left := r.server.arrivals.bytes.Load(); left != 0 {
		t.Errorf("%d bytes are still counted", left)
	}
}

// TestFastThenStalled has a body whose first part came fast: that is no credit for a long
// pause.
func TestFastThenStalled(t *testing.T) {
	r := newRig(t, Options{BodyStall: 100 * time.Millisecond, ReadTimeout: time.Minute})
	c := r.dial()
	began := time.Now()
	c.send(eventsHead + "Content-Length: 8000000\r\n\r\n" + strings.Repeat(" ", 4<<20))
	got := c.receive("POST")
	got.want(t, 408, "timeout")
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it held its budget for %v", took)
	}
}

// TestDeepAndHugeInput has input whose size is in its depth, its headers or its numbers.
func TestDeepAndHugeInput(t *testing.T) {
	r := realRig(t, Options{}, 0)
	h := r.startHonest()
	before := settledMemory()
	deep := strings.Repeat("[", BodyMaxBytes-1)
	object := strings.Repeat(`{"a":`, BodyMaxBytes/5-1)
	for _, body := range []string{deep, object, `{"data":` + deep[:1<<20], `[` + strings.Repeat("9", 1<<20) + `]`, `"` + strings.Repeat(`\u0000`, 1<<18) + `"`} {
		for _, kind := range []string{"application/json", "application/x-ndjson", "application/cloudevents+json", "application/cloudevents-batch+json"} {
			if got := r.do("POST", "/v1/events", kind, body); got.status < 400 || got.status >= 500 {
				t.Errorf("%s %.20s: %d %.100s", kind, body, got.status, got.body)
			}
		}
	}
	r.post("/v1/accounts", strings.Repeat(`{"metadata":`, 5000)).want(t, 400, "malformed")
	r.do("PUT", "/v1/prices/v1", "application/json", deep).want(t, 400, "malformed")
	for range 50 {
		c := r.raw("GET /healthz HTTP/1.1\r\nHost: localhost\r\n")
		_ = c.SetDeadline(time.Now().Add(time.Second))
		for range 100 {
			if _, err := c.Write([]byte("X-" + strings.Repeat("y", 1000) + ": z\r\n")); err != nil {
				break
			}
		}
	}
	c := r.dial()
	c.send("GET /" + strings.Repeat("a", 9000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
	got := c.receive("GET")
	got.want(t, 413, "too_large")
	h.done(soakLatency)
	if held := memory() - before; held > 64<<20 {
		t.Errorf("%d bytes are held", held)
	}
}
