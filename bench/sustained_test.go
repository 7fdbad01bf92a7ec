package bench

import (
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

// lagging is a server whose metrics say that evidence and index come behind what is durable, until they were asked for often enough.
func lagging(t *testing.T, evidenced, indexed func(asked int64) uint64) string {
	ledger := twin.New()
	var asked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			ledger.ServeHTTP(w, r)
			return
		}
		n := asked.Add(1)
		fmt.Fprintf(w, "# TYPE farthing_group_bytes histogram\nfarthing_group_bytes_bucket{le=\"+Inf\"} %d\nfarthing_group_bytes_sum %d\nfarthing_group_bytes_count %d\n", n, 1000*n, n)
		fmt.Fprintf(w, "# TYPE farthing_store_wal_bytes_total counter\nfarthing_store_wal_bytes_total %d\n", 2000*n)
		fmt.Fprint(w, "# TYPE farthing_watermark_sequence gauge\n")
		for name, value := range map[string]uint64{"durable": 3_000_000, "evidenced": evidenced(n), "indexed": indexed(n)} {
			fmt.Fprintf(w, "farthing_watermark_sequence{name=%q} %d\n", name, value)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func always(n uint64) func(int64) uint64 { return func(int64) uint64 { return n } }

// TestSustained counts everything from the first request, and waits for evidence and for the index, of which an open generation may
// be missing.
func TestSustained(t *testing.T) {
	f := func(name string, evidenced, indexed func(int64) uint64) {
		t.Run(name, func(t *testing.T) {
			o := tiny(lagging(t, evidenced, indexed), Workload{Name: "test", Batch: 10, Variants: 2})
			o.Sustained, o.Warmup = true, time.Hour
			got, err := Run(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if s := got.Sustained; s == nil || s.Tail < 3*settleEvery || s.Unindexed > s.GenerationMax || got.Duration < o.Duration+s.Tail {
				t.Errorf("%+v of %v", s, got.Duration)
			}
			if got.Events == 0 || got.Events != got.Check.Events || got.Events != got.Booked {
				t.Errorf("%d events of %d", got.Events, got.Check.Events)
			}
			if s := got.Server; s == nil || s.JournalBytes != 5000 || s.DiskBytes != 10_000 { // asked before, five times after, and at the end
				t.Errorf("%+v", s)
			}
		})
	}
	late := func(before, after uint64) func(int64) uint64 {
		return func(asked int64) uint64 {
			if asked < 5 {
				return before
			}
			return after
		}
	}
	f("evidence", late(2_999_999, 3_000_000), always(3_000_000))
	f("index", always(3_000_000), late(1_000_000, 2_000_000))

	silent := httptest.NewServer(twin.New())
	defer silent.Close()
	o := tiny(silent.URL, Workload{Name: "test", Batch: 10, Variants: 2})
	o.Sustained = true
	if _, err := Run(t.Context(), o); !errors.Is(err, errNoMarks) {
		t.Error(err)
	}
}

// TestReach goes on beyond the time until there are so many events.
func TestReach(t *testing.T) {
	server := httptest.NewServer(twin.New())
	defer server.Close()
	o := tiny(server.URL, Workload{Name: "test", Batch: 10, Variants: 2})
	o.Duration, o.Reach = 10*time.Millisecond, 1500
	got, err := Run(t.Context(), o)
	if err != nil || got.Booked < o.Reach || got.Events > got.Booked {
		t.Errorf("%d events, %d in all: %v", got.Events, got.Booked, err)
	}
}

// TestCalm returns once two looks agree, and at a server that says nothing at once.
func TestCalm(t *testing.T) {
	if err := Calm(t.Context(), lagging(t, always(1), always(1))); err != nil {
		t.Error(err)
	}
	server := httptest.NewServer(twin.New())
	defer server.Close()
	if err := Calm(t.Context(), server.URL); err != nil {
		t.Error(err)
	}
	if err := Calm(t.Context(), "http://127.0.0.1:1"); err == nil || !strings.Contains(err.Error(), "metrics") {
		t.Error(err)
	}
}
