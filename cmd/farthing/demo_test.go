package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// demoServer is the demo's server within the test: `farthing serve`, stopped and
// started again where a child process would be killed. It stands behind a
// handler, so that a test can tamper with answers.
type demoServer struct {
	t        *testing.T
	front    *httptest.Server
	data     string
	serving  *serving     // nil: stopped
	url      atomic.Value // string: of serving
	restarts int
	finish   error
}

func newDemoServer(t *testing.T, tamper func(next http.Handler) http.Handler) *demoServer {
	t.Helper()
	d := &demoServer{t: t, data: filepath.Join(t.TempDir(), "data")}
	d.start()
	t.Cleanup(d.stop)
	d.front = httptest.NewServer(tamper(http.HandlerFunc(d.forward)))
	t.Cleanup(d.front.Close)
	return d
}

func (d *demoServer) start() {
	d.t.Helper()
	d.serving = serveOn(d.t, "--data="+d.data, "--settle-every=24h")
	d.url.Store(d.serving.url)
}

// stop stops the server unless it is.
func (d *demoServer) stop() {
	d.t.Helper()
	if d.serving != nil {
		d.serving.stop()
		d.serving = nil
	}
}

// forward hands a request on; one that the server does not answer breaks the
// connection, as a killed server would.
func (d *demoServer) forward(w http.ResponseWriter, r *http.Request) {
	status, answer, err := relay(r, d.url.Load().(string))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

func relay(r *http.Request, to string) (status int, answer []byte, err error) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, to+r.RequestURI, r.Body)
	if err != nil {
		return 0, nil, err
	}
	out.Header.Set("Content-Type", r.Header.Get("Content-Type"))
	out.Close = true
	resp, err := testClient.Do(out)
	if err != nil {
		return 0, nil, err
	}
	answer, err = io.ReadAll(resp.Body)
	return resp.StatusCode, answer, errors.Join(err, resp.Body.Close())
}

func (d *demoServer) URL() string { return d.front.URL }

func (d *demoServer) Restart(context.Context) error {
	d.restarts++
	d.stop()
	d.start()
	return nil
}

// Finish verifies what the server leaves.
func (d *demoServer) Finish(context.Context) (string, error) {
	d.stop()
	ctx, out, stderr := testContext()
	if code := run([]string{"verify", "--data=" + d.data}, ctx); code != exitOK {
		return "", errors.New(stderr.String())
	}
	return out.String(), d.finish
}

// runDemo runs a short demo with the handler in front of the server.
func runDemo(t *testing.T, terminal bool, finish error, tamper func(next http.Handler) http.Handler) (string, *demoServer, error) {
	t.Helper()
	target := newDemoServer(t, tamper)
	target.finish = finish
	var out bytes.Buffer
	d := &demo{
		cmd: &demoCmd{Duration: 600 * time.Millisecond, Seed: 3}, target: target, world: newDemoWorld(time.Now()),
		out: newDemoPrinter(&Context{Stdout: &out, Interactive: terminal, Log: slog.New(slog.DiscardHandler)}),
	}
	ctx, cancel := context.WithTimeout(t.Context(), demoLimit)
	defer cancel()
	err := d.run(ctx)
	return out.String(), target, err
}

func straight(next http.Handler) http.Handler { return next }

func TestDemo(t *testing.T) {
	for _, terminal := range []bool{true, false} {
		out, target, err := runDemo(t, terminal, nil, straight)
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		if target.restarts != 1 {
			t.Errorf("%d restarts", target.restarts)
		}
		for _, want := range []string{
			"List prices", "Settlement batches", "Trial balance", "kill -9", "farthing verify: all agrees", "wait for a price", "demo-2 has one",
			"void of d", "graduated by the month", "One event explained", `{"prompt_tokens": `, "of version demo-1", "cached_input", "to atlas-models (payable)", "collect",
			"call-9: credit of lumen, asked 0.6, left 0.28", "call-12: budget of lumen-search, asked 0.6, left 0.18", "used 1, remaining 0", "answered: paid 2",
			"would have refused 6 of 9 holds", "3 topup.requested lumen: 2, as 0.23 is available", "while calls of lumen-search-bot hold 0.9 USD",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("%q is missing in\n%s", want, out)
			}
		}
		if escapes := strings.ContainsAny(out, "\x1b\r█"); escapes != terminal {
			t.Errorf("terminal %v, but escapes %v", terminal, escapes)
		}
		if strings.Contains(out, "FAIL") || strings.Contains(out, "✘") {
			t.Errorf("a check failed without an error:\n%s", out)
		}
	}
}

// A server that says it booked requests and did not is found out by the sums,
// although every answer is right. Another server gives the answers to the second
// sender, of which no event is looked at by itself.
func TestDemoFindsALoss(t *testing.T) {
	var lost atomic.Int64
	out, _, err := runDemo(t, false, nil, func(next http.Handler) http.Handler {
		other := preparedServer(t)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			r.Body = io.NopCloser(bytes.NewReader(body))
			if r.URL.Path != "/v1/events" || !bytes.Contains(body, []byte(`"d1-`)) {
				next.ServeHTTP(w, r)
				return
			}
			lost.Add(1)
			status, answer, err := relay(r, other)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			w.WriteHeader(status)
			_, _ = w.Write(answer)
		})
	})
	if !errors.Is(err, errDemo) || !strings.Contains(out, "FAIL gross amounts") || !strings.Contains(out, "FAIL every customer's usage") {
		t.Errorf("%d lost requests were not noticed: %v\n%s", lost.Load(), err, out)
	}
}

// preparedServer is another server with the demo's accounts and prices, so that
// it answers as the right one would.
func preparedServer(t *testing.T) (url string) {
	t.Helper()
	s := serveOn(t, "--data="+filepath.Join(t.TempDir(), "data"), "--settle-every=24h")
	t.Cleanup(s.stop)
	c := clientAt(s.url)
	defer c.Close()
	if err := newDemoWorld(time.Now()).create(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	return s.url
}

// Wrong amounts of one event are found where it is explained, although every
// sum agrees.
func TestDemoFindsAWrongExplanation(t *testing.T) {
	out, _, err := runDemo(t, false, nil, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || !strings.HasPrefix(r.URL.Path, "/v1/events/") {
				next.ServeHTTP(w, r)
				return
			}
			said := httptest.NewRecorder()
			next.ServeHTTP(said, r)
			_, _ = w.Write(bytes.Replace(said.Body.Bytes(), []byte(`"component":"cached_input","quantity":"`), []byte(`"component":"cached_input","quantity":"1`), 1))
		})
	})
	if !errors.Is(err, errDemo) || strings.Count(out, "FAIL") != 1 || !strings.Contains(out, "FAIL the explained event") {
		t.Errorf("a wrong explanation was not noticed: %v\n%s", err, out)
	}
}

func TestDemoFailsWithVerify(t *testing.T) {
	broken := errors.New("balance of acme-01 differs")
	out, _, err := runDemo(t, false, broken, straight)
	if !errors.Is(err, broken) || !strings.Contains(out, "FAIL farthing verify") {
		t.Errorf("got %v\n%s", err, out)
	}
}

// T(Q) at the edges of its tiers.
func TestDemoCallsCost(t *testing.T) {
	price := newDemoWorld(time.Now()).calls["JPY"]
	f := func(calls uint64, want string) {
		t.Helper()
		if got := price.cost(calls).String(); got != want {
			t.Errorf("%d calls cost %s, want %s", calls, got, want)
		}
	}
	f(0, "0")
	f(100, "0")
	f(101, "0.053")
	f(10_000, "524.7")
	f(10_001, "524.741")
	f(20_000, "934.7")
}

// What a provider reports is divided as its documentation says.
func TestDemoReports(t *testing.T) {
	f := func(r demoReport, want map[string]uint64) {
		t.Helper()
		got := r.components()
		for name, quantity := range want {
			if got[name] != quantity {
				t.Errorf("%+v: %s is %d, want %d", r, name, got[name], quantity)
			}
		}
	}
	openAI := &openAIReport{Prompt: 2006, Completion: 300, Total: 2306}
	openAI.PromptDetails.Cached, openAI.CompletionDetails.Reasoning = 1920, 44
	f(openAI, map[string]uint64{"input": 86, "cached_input": 1920, "output": 256, "reasoning": 44})
	f(&anthropicReport{Input: 21, Write: 188_086, Read: 5, Output: 393},
		map[string]uint64{"input": 21, "cache_write": 188_086, "cached_input": 5, "output": 393})
}
