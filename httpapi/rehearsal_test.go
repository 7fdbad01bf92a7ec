package httpapi

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"farthing/engine"
	"farthing/refusal"
)

// someRepricing is what a simulation finds.
func someRepricing(o engine.RepriceOptions) engine.Repricing {
	return engine.Repricing{Version: o.Version, From: o.From, To: o.To, Sequence: 99, Events: 5, Unpriced: 1,
		Totals: []engine.RepricedTotal{{Currency: usd, Was: amount("3"), Would: amount("2.5")}},
		Rows:   []engine.RepricedRow{{Currency: usd, Account: "acme", Model: "x", Component: "input", Events: 5, Was: amount("3"), Would: amount("2.5")}}}
}

const someResult = `"sequence":99,"events":5,"unpriced":1,"totals":[{"currency":"USD","was":"3","would":"2.5","difference":"-0.5"}],` +
	`"rows":[{"currency":"USD","account":"acme","model":"x","component":"input","events":5,"was":"3","would":"2.5","difference":"-0.5"}]}}` + "\n"

// checkLines checks each line of a stream against the contract.
func (r *rig) checkLines(body string) {
	r.t.Helper()
	media := map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/RepricingLine"}}
	for line := range strings.Lines(body) {
		for _, fault := range loadSchemas().bodyFaults(media, line) {
			r.t.Errorf("%s: %s", line, fault)
		}
	}
}

func TestSimulationsAndPreviews(t *testing.T) {
	r := newRig(t, Options{})
	var asked engine.RepriceOptions
	var simulated bool
	r.engine.reprice = func(o engine.RepriceOptions, s bool) (engine.Repricing, *refusal.Refusal) {
		asked, simulated = o, s
		return someRepricing(o), nil
	}
	got := r.get("/v1/prices/a%2Fb/simulation?from=2026-11-01&to=2026-12-01T01:00:00%2B01:00")
	got.want(t, 200, "")
	if want := `{"result":{"version":"a/b","from":"2026-11-01T00:00:00Z","to":"2026-12-01T00:00:00Z",` + someResult; got.body != want || !simulated {
		t.Errorf("\n got %s\nwant %s", got.body, want)
	}
	got = r.get("/v1/prices/v1/rerate")
	got.want(t, 200, "")
	if want := `{"result":{"version":"v1","from":null,"to":null,` + someResult; got.body != want || simulated || !asked.From.IsZero() || !asked.To.IsZero() {
		t.Errorf("\n got %s\nwant %s", got.body, want)
	}
	r.checkLines(got.body)
	head := r.do("HEAD", "/v1/prices/v1/rerate", "", "")
	head.want(t, 200, "")

	r.engine.reprice = func(engine.RepriceOptions, bool) (engine.Repricing, *refusal.Refusal) {
		t.Error("a refused request came through")
		return engine.Repricing{}, nil
	}
	for _, query := range []string{"?from=x", "?to=2026-13-01", "?from=2026-02-02&to=2026-02-01", "?from=2026-02-02&to=2026-02-02", "?from=", "?limit=1", "?from=2026-02-02&from=2026-02-02"} {
		r.get("/v1/prices/v1/simulation"+query).want(t, 422, "invalid")
		r.get("/v1/prices/v1/rerate"+query).want(t, 422, "invalid")
	}
	r.get("/v1/prices/a%20b/simulation").want(t, 422, "invalid")
	c := r.dial()
	c.send("GET /v1/prices/v1/simulation HTTP/1.0\r\nHost: localhost\r\n\r\n")
	old := c.receive("GET")
	old.want(t, 422, "invalid")
	r.post("/v1/prices/v1/simulation", `{}`).want(t, 405, "method_not_allowed")
}

// TestRefusedSimulations are refused before the first progress, and after.
func TestRefusedSimulations(t *testing.T) {
	r := newRig(t, Options{})
	progress := false
	var no *refusal.Refusal
	r.engine.reprice = func(o engine.RepriceOptions, _ bool) (engine.Repricing, *refusal.Refusal) {
		if progress {
			if err := o.Progress(1, 10); err != nil {
				t.Error(err)
			}
			<-r.engine.freed // so that the stream has begun
		}
		return engine.Repricing{}, no
	}
	no = refusal.New(refusal.NotFound, "unknown_version", "there is none")
	r.get("/v1/prices/v1/simulation").want(t, 404, "not_found")
	no = refusal.New(refusal.Overloaded, "simulations_running", "two run")
	if got := r.get("/v1/prices/v1/simulation"); got.status != 429 || got.header.Get("Retry-After") == "" {
		t.Error(got)
	}
	progress, no = true, refusal.New(refusal.Internal, "journal", "it is damaged")
	c := r.dial()
	c.send(requestText("GET", "/v1/prices/v1/simulation", "", ""))
	stream := c.stream()
	if line := stream.line(); line != `{"progress":{"done":1,"total":10}}`+"\n" {
		t.Error(line)
	}
	r.engine.freed <- struct{}{}
	rest := stream.rest()
	r.checkLines(rest)
	if !strings.HasSuffix(rest, `{"problem":{"type":"urn:farthing:problem:internal","title":"Something is wrong on our side","status":500,"detail":"it is damaged","code":"internal","reason":"journal"}}`+"\n") {
		t.Error(rest)
	}
	c.send(requestText("GET", "/healthz", "", "")) // the connection goes on
	next := c.receive("GET")
	next.want(t, 200, "")

	r.engine.reprice = func(engine.RepriceOptions, bool) (engine.Repricing, *refusal.Refusal) { panic("at once") }
	r.get("/v1/prices/v1/simulation").want(t, 500, "internal")
	if !strings.Contains(r.logged.String(), "at once") {
		t.Error("the panic is not in the log")
	}
}

// lineStream reads the lines of an answer while it comes.
type lineStream struct {
	t    testing.TB
	body io.ReadCloser
	r    *bufio.Reader
}

func (c *conn) stream() *lineStream {
	c.t.Helper()
	resp, err := http.ReadResponse(c.r, &http.Request{Method: http.MethodGet})
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/x-ndjson" {
		c.t.Fatal(resp.StatusCode, resp.Header)
	}
	return &lineStream{c.t, resp.Body, bufio.NewReader(resp.Body)}
}

func (s *lineStream) line() string {
	s.t.Helper()
	line, err := s.r.ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	return line
}

func (s *lineStream) rest() string {
	s.t.Helper()
	rest, err := io.ReadAll(s.r)
	if err := errors.Join(err, s.body.Close()); err != nil {
		s.t.Fatal(err)
	}
	return string(rest)
}

// endless is a simulation that goes on until it is stopped, and says so.
func endless(stopped chan<- error) func(engine.RepriceOptions, bool) (engine.Repricing, *refusal.Refusal) {
	return func(o engine.RepriceOptions, _ bool) (engine.Repricing, *refusal.Refusal) {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for done := uint64(0); ; done++ {
			if err := o.Progress(done, 1<<40); err != nil {
				stopped <- err
				return engine.Repricing{}, refusal.New(refusal.Timeout, "aborted", "the caller went away")
			}
			<-tick.C
		}
	}
}

func TestSimulationEndsWhenTheClientGoes(t *testing.T) {
	r := newRig(t, Options{})
	stopped := make(chan error, 1)
	r.engine.reprice = endless(stopped)
	c := r.dial()
	c.send(requestText("GET", "/v1/prices/v1/simulation", "", ""))
	c.stream().line()
	if err := c.Conn.(*net.TCPConn).SetLinger(0); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-stopped; !errors.Is(err, engine.ErrAborted) {
		t.Error(err)
	}
	head := r.do("HEAD", "/v1/prices/v1/simulation", "", "")
	head.want(t, 200, "")
	if err := <-stopped; !errors.Is(err, engine.ErrAborted) {
		t.Error(err)
	}
}

func TestSimulationEndsWhenTheServerDrains(t *testing.T) {
	r := newRig(t, Options{})
	stopped := make(chan error, 1)
	r.engine.reprice = endless(stopped)
	c := r.dial()
	c.send(requestText("GET", "/v1/prices/v1/rerate", "", ""))
	stream := c.stream()
	stream.line()
	drained := make(chan error, 1)
	go func() { drained <- r.server.Drain(context.Background()) }()
	if err := <-stopped; !errors.Is(err, engine.ErrAborted) {
		t.Error(err)
	}
	if rest := stream.rest(); !strings.Contains(rest, `{"problem":`) || !strings.Contains(rest, `"code":"not_ready","reason":"draining"`) {
		t.Error(rest)
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// manyRows is a result of some megabytes.
func manyRows(o engine.RepriceOptions, _ bool) (engine.Repricing, *refusal.Refusal) {
	v := someRepricing(o)
	for len(v.Rows) < 50_000 {
		v.Rows = append(v.Rows, v.Rows[0])
	}
	return v, nil
}

func TestLongResultsAreCounted(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.reprice = manyRows
	c := r.dial()
	c.send(requestText("GET", "/v1/prices/v1/simulation", "", ""))
	if n := strings.Count(c.stream().rest(), `"account":"acme"`); n != 50_000 {
		t.Errorf("%d rows came", n)
	}
	c.send(requestText("GET", "/healthz", "", ""))
	next := c.receive("GET")
	next.want(t, 200, "")
	if n := r.server.unread.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are counted that were taken", n)
	}
	r.server.unread.max = 1 << 20
	r.get("/v1/prices/v1/simulation").want(t, 429, "overloaded")
	if n := r.server.unread.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are counted of an answer that was refused", n)
	}
}

// TestResultThatIsNotTaken waits for the server to give up on a client that does not read.
func TestResultThatIsNotTaken(t *testing.T) {
	r := newRig(t, Options{WriteTimeout: 50 * time.Millisecond})
	r.engine.reprice = manyRows
	c := r.dial()
	c.send(requestText("GET", "/v1/prices/v1/simulation", "", ""))
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	open := func() int {
		r.server.conns.mu.Lock()
		defer r.server.conns.mu.Unlock()
		return len(r.server.conns.open)
	}
	for began := time.Now(); open() > 0 || r.server.unread.bytes.Load() != 0; <-tick.C {
		if time.Since(began) > 10*time.Second {
			t.Fatal("the connection is still open")
		}
	}
}

// TestLinesOfARehearsal goes through what a stream says when.
func TestLinesOfARehearsal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(newFake(), Options{WriteTimeout: 10 * time.Second})
		conn := &writeDeadlineConn{}
		r := &rehearsal{server: s, conn: conn, begun: make(chan struct{}), ended: make(chan struct{})}
		f := func(want string) {
			t.Helper()
			buffer := make([]byte, 7) // shorter than a line
			var got strings.Builder
			for !strings.HasSuffix(got.String(), "\n") {
				n, err := r.Read(buffer)
				if err != nil {
					t.Fatal(err)
				}
				got.Write(buffer[:n])
			}
			if got.String() != want+"\n" {
				t.Errorf("got %s, want %s", got.String(), want)
			}
			if !conn.write.Equal(time.Now().Add(10 * time.Second)) {
				t.Errorf("%s: the deadline is in %v", want, time.Until(conn.write))
			}
		}
		progress := func(done uint64) {
			t.Helper()
			if err := r.progress(done, 100); err != nil {
				t.Fatal(err)
			}
		}
		began := time.Now()
		progress(0)
		f(`{"progress":{"done":0,"total":100}}`)
		if !time.Now().Equal(began) {
			t.Error("the first line did not come at once")
		}
		f(`{"progress":{"done":0,"total":100}}`) // no progress, but the client may have gone
		progress(60)
		progress(70)
		f(`{"progress":{"done":70,"total":100}}`)
		progress(36) // it has to go over the events twice
		f(`{"progress":{"done":70,"total":100}}`)
		progress(90)
		f(`{"progress":{"done":90,"total":100}}`)
		if took := time.Since(began); took != 4*progressEvery {
			t.Errorf("five lines took %v", took)
		}
		r.last = []byte("{}\n")
		close(r.ended)
		f(`{}`)
		if n, err := r.Read(make([]byte, 9)); n != 0 || !errors.Is(err, io.EOF) {
			t.Error(n, err)
		}
		if took := time.Since(began); took != 4*progressEvery {
			t.Errorf("the last line took %v", took)
		}
		if err := errors.Join(r.Close(), r.Close()); err != nil {
			t.Error(err)
		}
		if err := r.progress(91, 100); !errors.Is(err, engine.ErrAborted) {
			t.Error(err)
		}
	})
}

// writeDeadlineConn keeps the write deadline it was given.
type writeDeadlineConn struct {
	net.Conn
	write time.Time
}

func (c *writeDeadlineConn) SetWriteDeadline(t time.Time) error { c.write = t; return nil }
