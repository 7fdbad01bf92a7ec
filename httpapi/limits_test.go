package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/valyala/fasthttp"

	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

const eventsHead = "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"

// TestMoreElementsThanEventsFit posts elements that are too short for events. A
// refusal of each would cost many times what the body did.
func TestMoreElementsThanEventsFit(t *testing.T) {
	r := newRig(t, Options{})
	f := func(contentType, body string, refused bool) {
		t.Helper()
		got := r.do("POST", "/v1/events", contentType, body)
		if !refused {
			got.want(t, 200, "")
			return
		}
		got.want(t, 400, "malformed")
		if _, reason := got.problem(t); reason != "not_events" {
			t.Errorf("%d bytes: reason %s", len(body), reason)
		}
	}
	f("application/x-ndjson", strings.Repeat("1\n", 10_000), true)
	f("application/json", "["+strings.Repeat("1,", 9_999)+"1]", true)
	f("application/cloudevents-batch+json", "["+strings.Repeat("1,", 9_999)+"1]", true)
	f("application/json", "[7,8]", true)
	f("application/json", "[7,8"+strings.Repeat(" ", 32)+"]", false)
	f("application/x-ndjson", strings.Repeat("\n", 1000)+"1\n2\n", false) // empty lines are nothing
	shortest := `{"id":"a","source":"b","type":"c","subject":"d"}`
	f("application/json", "["+strings.Repeat(shortest+",", 999)+shortest+"]", false)

	// Without a declared length it is what arrived that counts.
	c := r.dial()
	c.send(eventsHead + "Transfer-Encoding: chunked\r\n\r\n5\r\n[7,8]\r\n0\r\n\r\n")
	got := c.receive("POST")
	got.want(t, 400, "malformed")
}

func TestListedRefusalsAreBounded(t *testing.T) {
	r := newRig(t, Options{})
	f := func(n int, more string) {
		t.Helper()
		got := r.do("POST", "/v1/events", "application/x-ndjson", strings.Repeat(strings.Repeat(" ", 40)+"1\n", n))
		got.want(t, 200, "")
		if listed := strings.Count(got.body, `"index":`); listed != min(n, rejectedMax) {
			t.Errorf("%d of %d are listed", listed, n)
		}
		if !strings.HasSuffix(got.body, "]"+more+`,"sequence":42}`) || len(got.body) > 160_000 {
			t.Errorf("%d bytes, end %s", len(got.body), got.body[len(got.body)-60:])
		}
	}
	f(rejectedMax, "")
	f(rejectedMax+1, `,"rejected_more":1`)
	f(meter.MaxBatchEvents, `,"rejected_more":9000`)
}

// TestLineIsNotRefusedUnderTheIDBefore has a line that cannot even be read after one
// whose id is known.
func TestLineIsNotRefusedUnderTheIDBefore(t *testing.T) {
	r := newRig(t, Options{})
	got := r.do("POST", "/v1/events", "application/x-ndjson", with()+"\n{\"id\":\"z\xff\"}\n"+with("id", `"c"`)+"\n[\n")
	got.want(t, 200, "")
	if !strings.Contains(got.body, `{"index":1,"id":"","code":"malformed"`) || !strings.Contains(got.body, `{"index":3,"id":"","code":"malformed"`) || !strings.Contains(got.body, `"accepted":2,`) {
		t.Error(got.body)
	}
}

// TestStalledBodiesGiveTheirBudgetBack has bodies of both kinds that stop, while the
// read timeout is far away.
func TestStalledBodiesGiveTheirBudgetBack(t *testing.T) {
	r := newRig(t, Options{ReadTimeout: time.Minute, BodyStall: 100 * time.Millisecond})
	f := func(text string) {
		t.Helper()
		c := r.dial()
		c.send(eventsHead + text)
		got := c.receive("POST")
		got.want(t, 408, "timeout")
		c.closed()
		<-r.engine.freed
	}
	f("Content-Length: 8000000\r\n\r\n" + strings.Repeat(" ", 20_000))
	f("Transfer-Encoding: chunked\r\n\r\n5\r\n[    \r\n")
	f("Transfer-Encoding: chunked\r\n\r\n")
}

// TestChunkedBodiesPayAsTheyGrow has many senders that only begin: together they
// take what they sent, not what they could.
func TestChunkedBodiesPayAsTheyGrow(t *testing.T) {
	r := newRig(t, Options{})
	c := r.dial()
	c.send(eventsHead + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", 70_000, "["+strings.Repeat(" ", 69_998)+"]"))
	got := c.receive("POST")
	got.want(t, 200, "")
	if got := fmt.Sprint(r.engine.budgets); got != "[65536 262144]" {
		t.Error(got)
	}

	r.engine.room = 1 // for the request, and not for its growth
	c = r.dial()
	c.send(eventsHead + "Transfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s", 70_000, strings.Repeat(" ", 70_000)))
	got = c.receive("POST")
	got.want(t, 429, "overloaded")
	if !got.close || got.header.Get("Retry-After") != "1" {
		t.Error(got)
	}
}

func TestReadChunked(t *testing.T) {
	f := func(size, limit int, wantErr error, grown ...int) {
		t.Helper()
		var asked []int
		var buffer []byte
		body := bytes.Repeat([]byte("x"), size)
		got, err := readChunked(bytes.NewReader(body), &buffer, min(firstBytes, limit), limit, &pacer{}, func(n int) bool {
			asked = append(asked, n)
			return true
		})
		if !errors.Is(err, wantErr) || (err == nil && !bytes.Equal(got, body)) || fmt.Sprint(asked) != fmt.Sprint(grown) {
			t.Errorf("%d of %d: %d bytes, %v, asked for %v", size, limit, len(got), err, asked)
		}
		if taken := append([]int{firstBytes}, asked...); cap(buffer) > taken[len(taken)-1]+1 {
			t.Errorf("%d of %d: a buffer of %d for a budget of %v", size, limit, cap(buffer), taken)
		}
	}
	f(0, 1<<20, nil)
	f(1000, 1<<20, nil)
	f(65535, 1<<20, nil)
	f(65536, 65536, nil)
	f(65537, 65536, errBodyTooLarge)
	f(65537, 1<<20, nil, 262144)
	f(262145, 1<<20, nil, 262144, 1<<20)
	f(1<<20, 1<<20, nil, 262144, 1<<20)
	f(1<<20+1, 1<<20, errBodyTooLarge, 262144, 1<<20)
}

// TestConnectionsOverTheLimit has requests under way on all connections that may be.
func TestConnectionsOverTheLimit(t *testing.T) {
	r := newRig(t, Options{ConnectionsMax: 2})
	entered, leave := make(chan struct{}), make(chan struct{})
	let := sync.OnceFunc(func() { close(leave) })
	t.Cleanup(let)
	r.engine.ingest = func(*engine.Request) (engine.IngestResult, *refusal.Refusal) {
		entered <- struct{}{}
		<-leave
		return engine.IngestResult{Accepted: 1, Sequence: 1}, nil
	}
	var kept []*conn
	for range 2 {
		c := r.dial()
		c.send(requestText("POST", "/v1/events", "application/json", with()))
		<-entered
		kept = append(kept, c)
	}
	for range 3 {
		c := r.dial()
		got := c.receive("GET") // before it has asked
		got.want(t, 429, "overloaded")
		if got.header.Get("Retry-After") != "1" || !got.close {
			t.Error(got)
		}
		c.closed()
	}
	let()
	for _, c := range kept {
		got := c.receive("POST")
		got.want(t, 200, "")
	}
	kept[0].send(requestText("GET", "/metrics", "", ""))
	if got := kept[0].receive("GET"); !strings.Contains(got.body, "farthing_http_connections_refused_total 3\n") {
		t.Error("not counted")
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(2, time.Second)
		for range 2 {
			if no := g.enter(); no != nil {
				t.Fatal(no)
			}
		}
		began := time.Now()
		if no := g.enter(); no == nil || no.Code != refusal.Overloaded || time.Since(began) != time.Second {
			t.Error(no, time.Since(began))
		}
		entered := make(chan *refusal.Refusal, 1)
		go func() { entered <- g.enter() }()
		synctest.Wait()
		g.leave()
		if no := <-entered; no != nil {
			t.Error(no)
		}
	})
}

// TestLongAnswersAreCounted has long answers that fit and that do not, and clients
// that take them and that do not.
func TestLongAnswersAreCounted(t *testing.T) {
	r := newRig(t, Options{})
	long := strings.Repeat("x", longAnswerBytes)
	r.engine.account.Spec.Metadata = []byte(`{"x":"` + long + `"}`)
	r.server.unread.max = longAnswerBytes + 1000
	c := r.dial()
	for range 3 { // each is given back when the next request comes
		c.send(requestText("GET", "/v1/accounts/a", "", ""))
		got := c.receive("GET")
		got.want(t, 200, "")
		if !strings.Contains(got.body, long) {
			t.Fatal("another answer")
		}
	}
	c.send(requestText("GET", "/healthz", "", ""))
	got := c.receive("GET")
	got.want(t, 200, "")
	if n := r.server.unread.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are counted that were taken", n)
	}

	r.server.unread.bytes.Store(longAnswerBytes) // of clients that do not read
	r.get("/v1/accounts/a").want(t, 429, "overloaded")
	r.engine.existing = true // what tells of a booking is sent all the same
	r.post("/v1/accounts", `{"id":"a","currency":"USD","kind":"provider","metadata":{"x":"`+strings.Repeat("x", 4000)+`"}}`).want(t, 200, "")
	r.engine.ingest = func(q *engine.Request) (engine.IngestResult, *refusal.Refusal) {
		return engine.IngestResult{Rejected: rejects(rejectedMax, 100), Sequence: 42}, nil
	}
	r.post("/v1/events", with()).want(t, 200, "")
	r.server.unread.bytes.Add(-longAnswerBytes)
}

// rejects are so many refused events with a long text each.
func rejects(n, detailBytes int) []meter.Reject {
	list := make([]meter.Reject, n)
	for i := range list {
		list[i] = meter.Reject{Index: uint32(i), Refusal: refusal.Refusal{Code: refusal.Invalid, Detail: strings.Repeat("x", detailBytes)}}
	}
	return list
}

// TestUnreadAnswerIsCutOff has a client that is sent more than its socket takes and
// does not read: it has as long as any, and drainTake once the server drains.
func TestUnreadAnswerIsCutOff(t *testing.T) {
	t.Run("slow", func(t *testing.T) { testUnreadAnswer(t, 100*time.Millisecond) })
	t.Run("draining", func(t *testing.T) { testUnreadAnswer(t, time.Hour) })
}

func testUnreadAnswer(t *testing.T, timeout time.Duration) {
	r := newRig(t, Options{WriteTimeout: timeout})
	entered := make(chan struct{})
	r.engine.ingest = func(*engine.Request) (engine.IngestResult, *refusal.Refusal) {
		defer close(entered)
		return engine.IngestResult{Rejected: rejects(rejectedMax, 16<<10), Sequence: 42}, nil
	}
	c := r.dial()
	c.send(requestText("POST", "/v1/events", "application/json", with()))
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*drainTake)
	defer cancel()
	if err := r.server.Drain(ctx); err != nil { // waits for the answer
		t.Fatal(err)
	}
	if n := r.server.unread.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are still counted", n)
	}
	if n, err := io.Copy(io.Discard, c.r); n == 0 || n >= 16<<20 {
		t.Errorf("%d bytes were sent, %v", n, err)
	}
}

func TestConnectionsDrainByTheirDeadline(t *testing.T) {
	s := testConnections(1)
	socket := &deadlineConn{}
	c := newClientConn(socket, s, nil)
	ok := s.add(c)
	c.begin()
	if !ok || s.add(newClientConn(&deadlineConn{}, s, nil)) {
		t.Fatal("the limit is not kept")
	}
	at := func(seconds int) time.Time { return someTime.Add(time.Duration(seconds) * time.Second) }
	f := func(want time.Time) {
		t.Helper()
		if !socket.read.Equal(want) {
			t.Errorf("deadline %v, want %v", socket.read, want)
		}
	}
	set := func(t time.Time) {
		_ = c.SetReadDeadline(t)
		_, _ = c.Read(nil)
	}
	set(at(30))
	f(at(30))
	c.hurry(at(5))
	f(at(5))
	c.hurry(at(60)) // never beyond the request's own
	f(at(30))
	s.drain(at(10))
	f(at(10))
	c.hurry(at(5))
	f(at(5))
	set(at(40))
	f(at(10))
	set(time.Time{})
	f(at(10))
	_ = c.Close()
	if !s.add(newClientConn(&deadlineConn{}, s, nil)) {
		t.Error("closing did not make room")
	}
}

func testConnections(n int) *connections {
	return newConnections(&Options{ConnectionsMax: n}, newMetrics(nil, nil), &unreadAnswers{})
}

// TestDeadlinesMoveRarely has requests follow each other on a connection: the socket's deadlines are moved for the first, never
// before what was asked for, and a hurry, a drain or a closer deadline takes effect at once.
func TestDeadlinesMoveRarely(t *testing.T) {
	socket := &deadlineConn{}
	s := testConnections(1)
	c := newClientConn(socket, s, nil)
	request := func(timeout time.Duration, more bool) (read, write time.Time) {
		c.between = true
		read = time.Now().Add(parkAfter)
		_ = c.SetReadDeadline(time.Now().Add(time.Minute)) // of the wait
		_, _ = c.Read(nil)
		if at := socket.read; at.Before(read) || at.After(time.Now().Add(parkAfter+parkAfter/deadlineSlack)) {
			t.Fatalf("waits until %v for %v", at, read)
		}
		read = time.Now().Add(timeout)
		_ = c.SetReadDeadline(read)
		if more { // the request is not there whole
			_, _ = c.Read(nil)
			if at := socket.read; at.Before(read) || at.After(read.Add(time.Second)) {
				t.Fatalf("reads until %v for %v", at, read)
			}
		}
		write = time.Now().Add(timeout)
		_ = c.SetWriteDeadline(write)
		if at := socket.write; at.Before(write) || at.After(write.Add(time.Second)) {
			t.Fatalf("writes until %v for %v", at, write)
		}
		return read, write
	}
	for range 100 {
		request(10*time.Second, false)
	}
	if socket.moved > 4 { // 2, unless the test was held up
		t.Errorf("moved %d times", socket.moved)
	}
	request(10*time.Second, true)
	request(time.Second, true) // a closer one

	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	soon := time.Now().Add(time.Millisecond)
	c.hurry(soon)
	_, _ = c.Read(nil)
	if !socket.read.Equal(soon) {
		t.Errorf("hurried until %v, want %v", socket.read, soon)
	}
	by := time.Now().Add(time.Second)
	s.drain(by)
	_ = c.SetReadDeadline(time.Now().Add(time.Minute))
	_, _ = c.Read(nil)
	_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
	if at := time.Now().Add(drainTake); socket.read.After(by) || socket.write.After(at) {
		t.Errorf("drains until %v and %v, want %v and %v", socket.read, socket.write, by, at)
	}
}

// TestOwnAnswersHaveADeadline has fasthttp answer by itself, long after the answer before: it has as long as any, once.
func TestOwnAnswersHaveADeadline(t *testing.T) {
	socket := &deadlineConn{}
	s := newConnections(&Options{ConnectionsMax: 1, WriteTimeout: 10 * time.Second}, newMetrics(nil, nil), &unreadAnswers{})
	c := newClientConn(socket, s, nil)
	_ = c.SetWriteDeadline(time.Now().Add(-time.Hour)) // of the answer before
	_, _ = c.Write(nil)
	if old := socket.write; !old.Before(time.Now()) {
		t.Fatalf("an answer's deadline moved to %v while it is sent", old)
	}
	s.state(c, fasthttp.StateActive)
	want := time.Now().Add(10 * time.Second)
	_, _ = c.Write(nil)
	got, moved := socket.write, socket.moved
	if got.Before(want) {
		t.Errorf("it has until %v, want %v", got, want)
	}
	if _, _ = c.Write(nil); socket.moved != moved {
		t.Error("who takes it in pieces has the time for each")
	}
}

type deadlineConn struct {
	net.Conn
	read, write time.Time
	moved       int
}

func (d *deadlineConn) SetReadDeadline(t time.Time) error  { d.read = t; d.moved++; return nil }
func (d *deadlineConn) SetWriteDeadline(t time.Time) error { d.write = t; d.moved++; return nil }
func (d *deadlineConn) Read([]byte) (int, error)           { return 0, nil }
func (d *deadlineConn) Write([]byte) (int, error)          { return 0, nil }
func (d *deadlineConn) Close() error                       { return nil }
func (d *deadlineConn) RemoteAddr() net.Addr               { return nil }
