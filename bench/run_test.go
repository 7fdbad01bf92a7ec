package bench

import (
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

// tiny is a workload small enough for a test; it is the real one otherwise.
func tiny(url string, w Workload) Options {
	return Options{
		URL: url, Workload: w, Connections: 3, Accounts: 20, Models: 4, Seed: 7,
		Warmup: 20 * time.Millisecond, Duration: 100 * time.Millisecond,
	}
}

func TestRunWorkloads(t *testing.T) {
	for _, w := range Workloads() {
		t.Run(w.Name, func(t *testing.T) {
			w.Batch = min(w.Batch, 100) // the twin is slow, under -race above all
			ledger := twin.New()
			server := httptest.NewServer(ledger)
			defer server.Close()
			got, err := Run(context.Background(), tiny(server.URL, w))
			if err != nil {
				t.Fatal(err)
			}
			if got.Events == 0 || got.Check.Events < got.Events || got.Events != got.Requests*uint64(w.Batch) {
				t.Errorf("events %d, requests %d, booked %d", got.Events, got.Requests, got.Check.Events)
			}
			if got.Check.Accounts != 20+providers || got.Latency.P50 <= 0 || got.Latency.P50 > got.Latency.Max {
				t.Errorf("check %+v, latency %+v", got.Check, got.Latency)
			}
			if got.Retries != 0 {
				t.Errorf("retries %d on a healthy server", got.Retries)
			}
		})
	}
}

// A server that breaks connections after having booked, and one that is
// overloaded now and then, must not disturb the sums.
func TestRunRetries(t *testing.T) {
	ledger := twin.New()
	var calls atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/events" {
			ledger.ServeHTTP(w, r)
			return
		}
		switch calls.Add(1) % 7 {
		case 2:
			http.Error(w, `{"code":"overloaded"}`, http.StatusTooManyRequests)
		case 4:
			ledger.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		default:
			ledger.ServeHTTP(w, r)
		}
	}))
	defer server.Close()
	got, err := Run(context.Background(), tiny(server.URL, Workload{Name: "test", Batch: 10, Variants: 2}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Retries == 0 {
		t.Error("no retries counted")
	}
}

// faulty returns a server that answers event requests with f.
func faulty(t *testing.T, f http.HandlerFunc) string {
	ledger := twin.New()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/events" {
			f(w, r)
			return
		}
		ledger.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestRunFinds(t *testing.T) {
	f := func(name string, want error, answer http.HandlerFunc) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			_, err := Run(context.Background(), tiny(faulty(t, answer), Workload{Name: "test", Batch: 2, Variants: 1}))
			if !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		})
	}
	say := func(s string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
	}
	f("an ack that booked nothing", ErrSum, say(`{"accepted":2,"duplicates":0}`))
	f("half an ack", ErrRefused, say(`{"accepted":1,"duplicates":0}`))
	f("new ids called duplicates", ErrRefused, say(`{"accepted":0,"duplicates":2}`))
	f("a refusal", ErrRefused, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnprocessableEntity) })
}

func TestRunEndsWithContext(t *testing.T) {
	held := make(chan struct{})
	url := faulty(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-held:
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_, err := Run(ctx, tiny(url, Workload{Name: "test", Batch: 1, Variants: 1}))
	close(held)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestOptionsReportEveryProblem(t *testing.T) {
	err := Options{URL: "https://x/y", Workload: Workload{Batch: 20_000}, Connections: -1, Accounts: -1, Models: 99, Duration: -1}.Validate()
	for _, word := range []string{"url", "batch", "variants", "connections", "duration", "accounts", "models"} {
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not named in: %v", word, err)
		}
	}
	if _, err := WorkloadsNamed("nothing"); !errors.Is(err, ErrOptions) {
		t.Errorf("got %v", err)
	}
}

func TestReport(t *testing.T) {
	fsync, err := FsyncProbe(t.TempDir(), 3)
	if err != nil || fsync.P50 <= 0 || fsync.Max < fsync.P50 {
		t.Fatalf("fsync probe: %+v, %v", fsync, err)
	}
	var table, json strings.Builder
	r := Report{Machine: ThisMachine(), Fsync: &fsync, Runs: []Result{{
		Workload: "single", EventsPerSecond: 1234567, Check: Check{Accounts: 3, Events: 4000, Total: "1.5"},
	}}, Verify: "all agrees"}
	r.WriteTable(&table)
	for _, want := range []string{"1,234,567", "4,000 events", "USD 1.5", "fsync", "verify: all agrees"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("%q is missing in\n%s", want, table.String())
		}
	}
	if err := r.WriteJSON(&json); err != nil || !strings.Contains(json.String(), `"events_per_second": 1234567`) {
		t.Errorf("%v\n%s", err, json.String())
	}
}
