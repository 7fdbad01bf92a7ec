package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
		Warmup: 20 * time.Millisecond, Duration: 250 * time.Millisecond,
	}
}

func TestRunWorkloads(t *testing.T) {
	for _, w := range Workloads() {
		w.Batch = min(w.Batch, 100) // the twin is slow, under -race above all
		f := func(name string, accounts int, change func(o *Options)) {
			t.Run(name, func(t *testing.T) {
				server := httptest.NewServer(twin.New())
				defer server.Close()
				opts := tiny(server.URL, w)
				change(&opts)
				got, err := Run(context.Background(), opts)
				if err != nil {
					t.Fatal(err)
				}
				perTurn := uint64(1)
				if w.Holds {
					perTurn = 2
				}
				if got.Events == 0 || got.Check.Events < got.Events || !w.Mixed && got.Events*perTurn != got.Requests*uint64(got.Batch) {
					t.Errorf("events %d, requests %d, booked %d", got.Events, got.Requests, got.Check.Events)
				}
				if got.Check.Accounts != accounts+providers || got.Latency.P50 <= 0 || got.Latency.P50 > got.Latency.Max {
					t.Errorf("check %+v, latency %+v", got.Check, got.Latency)
				}
				if got.Retries != 0 {
					t.Errorf("retries %d on a healthy server", got.Retries)
				}
			})
		}
		f(w.Name, 20, func(*Options) {})
		f(w.Name+", one account", 1, func(o *Options) { o.Accounts = 1 })
		if w.Holds {
			f(w.Name+", chains", 20+2+1+1, func(o *Options) { o.Chain = true })
			f(w.Name+", one chain", chainDepth, func(o *Options) { o.Chain, o.Accounts = true, 1 })
			f(w.Name+", amounts", 20, func(o *Options) { o.HoldBy, o.Batch = HoldByAmount, 7 })
		}
	}
}

// takesTraffic says whether a request is one of the workers'.
func takesTraffic(path string) bool {
	return path == "/v1/events" || strings.HasPrefix(path, "/v1/holds") || path == "/v1/captures"
}

// A server that breaks connections after having booked, and one that is
// overloaded now and then, must not disturb the sums.
func TestRunRetries(t *testing.T) {
	for _, w := range []Workload{{Name: "test", Batch: 10, Variants: 2}, {Name: "holds", Holds: true, Batch: 10, Variants: 2}, {Name: "pairs", Holds: true, Batch: 1, Variants: 2}} {
		ledger := twin.New()
		var calls atomic.Int64
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !takesTraffic(r.URL.Path) {
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
		got, err := Run(context.Background(), tiny(server.URL, w))
		server.Close()
		if err != nil || got.Retries == 0 {
			t.Errorf("%s: %d retries, %v", w.Name, got.Retries, err)
		}
	}
}

// faulty returns a server that answers the workers' requests with f.
func faulty(t *testing.T, f http.HandlerFunc) string {
	return between(t, func(_ *twin.Ledger, w http.ResponseWriter, r *http.Request) { f(w, r) })
}

// between returns a server whose traffic goes through f.
func between(t *testing.T, f func(l *twin.Ledger, w http.ResponseWriter, r *http.Request)) string {
	ledger := twin.New()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if takesTraffic(r.URL.Path) {
			f(ledger, w, r)
			return
		}
		ledger.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func say(s string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s)) }
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
	f("an ack that booked nothing", ErrSum, say(`{"accepted":2,"duplicates":0}`))
	f("half an ack", ErrRefused, say(`{"accepted":1,"duplicates":0}`))
	f("new ids called duplicates", ErrRefused, say(`{"accepted":0,"duplicates":2}`))
	f("a refusal", ErrRefused, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnprocessableEntity) })
}

func TestRunFindsWithHolds(t *testing.T) {
	f := func(name string, want error, mention string, answer func(l *twin.Ledger, w http.ResponseWriter, r *http.Request)) {
		t.Run(name, func(t *testing.T) {
			t.Helper()
			opts := tiny(between(t, answer), Workload{Name: "test", Holds: true, Batch: 2, Variants: 1})
			opts.Chain = true
			_, err := Run(context.Background(), opts)
			if !errors.Is(err, want) || !strings.Contains(err.Error(), mention) {
				t.Errorf("got %v, want %v that says %q", err, want, mention)
			}
		})
	}
	instead := func(path string, answer http.HandlerFunc) func(*twin.Ledger, http.ResponseWriter, *http.Request) {
		return func(l *twin.Ledger, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == path {
				answer(w, r)
				return
			}
			l.ServeHTTP(w, r)
		}
	}
	f("holds acked and not placed", ErrRefused, "not_found", instead("/v1/holds", say(`{"held":2,"duplicates":0}`)))
	f("a hold that did not fit", ErrRefused, "1 new, 0 duplicates of 2", instead("/v1/holds", say(`{"held":1,"duplicates":0,"refused":[{}]}`)))
	f("captures acked and not booked", ErrSum, "want", instead("/v1/captures", say(`{"captured":2,"duplicates":0}`)))
	f("events booked and holds left", ErrSum, "held, want 0", func(l *twin.Ledger, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/captures" {
			l.ServeHTTP(w, r)
			return
		}
		var captures []struct{ Event json.RawMessage }
		if err := json.NewDecoder(r.Body).Decode(&captures); err != nil {
			t.Error(err)
		}
		events := fmt.Sprintf("[%s,%s]", captures[0].Event, captures[1].Event)
		l.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(r.Context(), http.MethodPost, "/v1/events", strings.NewReader(events)))
		say(`{"captured":2,"duplicates":0}`)(w, r)
	})
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
