package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farthing/bench/twin"
)

// twinTarget drives the demo against the twin. A restart is an outage: what
// comes in meanwhile is booked or not, and never answered.
type twinTarget struct {
	*httptest.Server
	restarts int
	finish   error
}

func (t *twinTarget) URL() string { return t.Server.URL }

func (t *twinTarget) Restart(context.Context) error {
	t.restarts++
	t.CloseClientConnections()
	return nil
}

func (t *twinTarget) Finish(context.Context) (string, error) { return "all agrees", t.finish }

// runDemo runs a short demo with the handler in front of the twin.
func runDemo(t *testing.T, terminal bool, finish error, front func(next http.Handler) http.Handler) (string, *twinTarget, error) {
	t.Helper()
	target := &twinTarget{Server: httptest.NewServer(front(twin.New())), finish: finish}
	defer target.Close()
	var out bytes.Buffer
	d := &demo{
		cmd: &demoCmd{Duration: 600 * time.Millisecond, Seed: 3}, target: target, world: newDemoWorld(),
		out: newDemoPrinter(&Context{Stdout: &out, Interactive: terminal}),
	}
	ctx, cancel := context.WithTimeout(context.Background(), demoLimit)
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
		for _, want := range []string{"Settlement batches", "Trial balance", "kill -9", "farthing verify: all agrees"} {
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

// A server that says it booked a request and did not is found out by the sums,
// whatever else agrees.
func TestDemoFindsALoss(t *testing.T) {
	var posts atomic.Int64
	out, _, err := runDemo(t, false, nil, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/events" && posts.Add(1) == 3 {
				other := twin.New()
				replay := httptest.NewRecorder()
				prepareTwin(t, other)
				other.ServeHTTP(replay, r)
				w.WriteHeader(replay.Code)
				_, _ = w.Write(replay.Body.Bytes())
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	if err == nil {
		t.Fatalf("a lost request was not noticed\n%s", out)
	}
}

// prepareTwin gives a twin the demo's accounts and prices, so that it answers
// as the real one would.
func prepareTwin(t *testing.T, l *twin.Ledger) {
	t.Helper()
	server := httptest.NewServer(l)
	defer server.Close()
	if err := newDemoWorld().create(context.Background(), clientAt(server.URL)); err != nil {
		t.Error(err)
	}
}

func TestDemoFailsWithVerify(t *testing.T) {
	broken := errors.New("balance of acme-01 differs")
	out, _, err := runDemo(t, false, broken, straight)
	if !errors.Is(err, broken) || !strings.Contains(out, "FAIL farthing verify") {
		t.Errorf("got %v\n%s", err, out)
	}
}
