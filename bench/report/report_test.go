package report

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"farthing/bench"
	"farthing/bench/limits"
	"farthing/bench/peers"
)

// sample is a report with everything in it.
func sample() *Report {
	rng := rand.New(rand.NewPCG(1, 2))
	run := func(workload string, rate int64) bench.Result {
		r := bench.Result{
			Workload: workload, Unit: "events", Accounts: 1000, Connections: 48, Events: 10 * uint64(rate), EventsPerSecond: rate, RequestsPerSecond: rate,
			Latency: bench.Latency{P50: 300 * time.Microsecond, P90: time.Millisecond, P99: 4 * time.Millisecond, P999: 9 * time.Millisecond, Max: 20 * time.Millisecond},
			Server:  &bench.Server{CPU: 10 * time.Duration(rate) * time.Microsecond, JournalBytes: 700 * rate, DiskBytes: 1500 * rate, Allocations: rate},
			Check:   bench.Check{Accounts: 1003, Events: 4000, Total: "1.5"},
		}
		r.Batch = map[string]int{"single": 1, "batch-1000": 1000}[workload]
		for range 40 {
			r.Series = append(r.Series, rate+rng.Int64N(rate/5))
		}
		return r
	}
	empty := run("single", 100_000)
	slow := run("single", 20_000)
	slow.Rate, slow.Latency.P99 = 20_000, 900*time.Microsecond
	slow.Share = 0.5
	paced := slow
	paced.Latency.P99 = 600 * time.Microsecond
	long := run("batch-1000", 1_000_000)
	long.Sustained, long.Resident, long.Duration = &bench.SustainedResult{Tail: 120 * time.Millisecond, Unindexed: 5, GenerationMax: 9}, 700<<20, 60*time.Second
	zipf := run("zipf", 1_000_000)
	zipf.Accounts, zipf.Resident, zipf.Booked = 1_000_000, 1536<<20, 20_000_001
	hot := run("hot", 900_000)
	hot.Accounts = 1
	fast := run("single", 60_000)
	fast.Rate = 60_000
	return &Report{
		Time: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), Version: "v9 <test>", Machine: bench.Machine{OS: "linux", Arch: "amd64", CPUs: 2, CPU: "X", Go: "go1"},
		Settings: []string{"--repeats=3"},
		Limits: &Limits{Fsync: limits.Fsync{Bytes: 4096, P50: 130 * time.Microsecond, P99: 300 * time.Microsecond, Max: time.Millisecond},
			Writes: limits.Writes{BytesPerSecond: 300 << 20}, CopyBytesPerSecond: 8 << 30, ScanBytesPerSecond: 500 << 20, ScanBytes: 200_000, ScanEvents: 1000, Empty: &empty, EmptyPaced: &paced},
		Runs:      []bench.Result{run("single", 61_000), run("single", 60_000), run("single", 70_000), run("batch-1000", 1_234_567), hot, zipf},
		Sustained: []Sustained{{Result: long, Disk: &Disk{Bytes: 70 * int64(long.Check.Events), Logs: 1 << 30, Written: 3 * long.Server.JournalBytes, Stop: time.Second, Start: 2 * time.Second}}},
		Rates:     []bench.Result{slow, fast},
		Restarts:  []Restart{{Accounts: 100_000, Events: 7_000_000, Stop: 80 * time.Millisecond, StartAfterStop: 90 * time.Millisecond, StartAfterKill: 300 * time.Millisecond}},
		Peers: []peers.Result{{Peer: "Other 1", Notes: []string{"does less"}, Batch: 1, EventsPerSecond: 6100, P50: time.Millisecond},
			{Peer: "Other 1", Notes: []string{"does less"}, Batch: 1000, EventsPerSecond: 123_456}, {Peer: "Redis 7.4", Batch: 1000, EventsPerSecond: 500_000}},
		Benchmarks: []Benchmark{{"Sequencer/accounts=10", "cpu-ns/event", 100}, {"Sequencer/accounts=1000", "cpu-ns/event", 140}, {"Sequencer/accounts=10000000", "cpu-ns/event", 250}},
		Stages: []Stages{{Title: "single", Events: 1000, Stages: []Stage{{"http", 9 * time.Millisecond}, {"sequencer", time.Millisecond}}},
			{Title: "batch-1000", Events: 1000, Stages: []Stage{{"sequencer", time.Millisecond}, {"indexer", 2 * time.Millisecond}}}},
		Verify: []string{"all agrees: 3,046,000 commands verified in 5.6s", "all agrees: 1,000 commands verified in 2ms", "something else"}, Unverified: 3, Skipped: []string{"nothing <was>"},
	}
}

func TestTable(t *testing.T) {
	var text strings.Builder
	sample().WriteTable(&text)
	for _, want := range []string{"1,234,567 events", "61,000 (60,000 – 70,000) events", "70 B", "150 B", "0.100", "checked: after 9 runs 9,027 balances", "fsync", "verify: all agrees in 2 ledgers of 3,047,000 commands; 3 more", "verify: something else",
		"1.5 GiB", "yes, and the dream", "no figure: batch-1000 ÷ PostgreSQL", "120ms", "700 MiB",
		"not measured: nothing", "0.61", "sequencer", "90 %", "60,000", "9ms", "stopped in 80ms", "Other 1: does less", "123,456", "10.0"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
}

func TestJSONHoldsEverything(t *testing.T) {
	var text strings.Builder
	want := sample()
	if err := want.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var got Report
	if err := json.Unmarshal([]byte(text.String()), &got); err != nil || !reflect.DeepEqual(&got, want) {
		t.Errorf("%v\n%+v\n%+v", err, got, want)
	}
}

// TestPage has every table and every plot, loads nothing, and spells no name as markup.
func TestPage(t *testing.T) {
	var text strings.Builder
	if err := sample().WriteHTML(&text); err != nil {
		t.Fatal(err)
	}
	if file := os.Getenv("FARTHING_PAGE"); file != "" {
		if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
			t.Error(err)
		}
	}
	got := text.String()
	if n := strings.Count(got, "<svg"); n != 6 {
		t.Errorf("%d plots", n)
	}
	for _, want := range []string{"v9 &lt;test&gt;", "nothing &lt;was&gt;", "61,000 (60,000 – 70,000)", "an empty handler", "900µs", "verify: all agrees in 2", "checked: after", "1.5 GiB", "No figure", "120ms", "Other 1: does less", "123,456", "10.0"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, not := range []string{"<script", "<link", "src=", "@import", "url("} {
		if strings.Contains(got, not) {
			t.Errorf("the page has %q", not)
		}
	}
	for rest := got; ; {
		_, after, found := strings.Cut(rest, "<svg")
		if !found {
			break
		}
		svg, more, _ := strings.Cut(after, "</svg>")
		rest = more
		for d := xml.NewDecoder(strings.NewReader("<svg" + svg + "</svg>")); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("a plot is no XML: %v", err)
			}
		}
	}
}

// TestEmptyReport writes what there is, which may be nothing.
func TestEmptyReport(t *testing.T) {
	for _, r := range []*Report{{}, {Runs: []bench.Result{{Workload: "single"}}}, {Limits: &Limits{}}} {
		var text strings.Builder
		r.WriteTable(&text)
		if err := r.WriteHTML(&text); err != nil {
			t.Error(err)
		}
		if len(r.Ratios()) > 0 {
			t.Errorf("%+v", r.Ratios())
		}
	}
}

// TestRatios divides by the limits of the same run; a figure without its limit gives none.
func TestRatios(t *testing.T) {
	r := sample()
	got := r.Ratios()
	find := func(what string) float64 {
		i := slices.IndexFunc(got, func(r Ratio) bool { return strings.HasPrefix(r.What+" ÷ "+r.Limit, what) })
		if i < 0 {
			t.Fatalf("no %q in %+v", what, got)
		}
		return got[i].Reached
	}
	if v := find("single, requests/s"); v != 0.61 {
		t.Error(v)
	}
	if v := find("single at 20,000/s"); v != 3 {
		t.Error(v)
	}
	if v := find("single at 20,000/s, p99 in µs ÷ an empty handler"); v != 1.5 {
		t.Error(v)
	}
	if v := find("batch-1000, events/s"); v < 0.23 || v > 0.24 { // 200 bytes an event, two processors
		t.Error(v)
	}
	r.Limits.Empty = nil
	if n := len(r.Ratios()); n != len(got)-1 {
		t.Errorf("%d of %d", n, len(got))
	}
}

// TestSpread takes the lower of two medians, so that it is a measurement.
func TestSpread(t *testing.T) {
	f := func(values []int64, want Spread[int64]) {
		t.Helper()
		if got := spreadOf(values); got != want {
			t.Errorf("%v: %+v", values, got)
		}
	}
	f(nil, Spread[int64]{})
	f([]int64{5}, Spread[int64]{5, 5, 5})
	f([]int64{9, 1}, Spread[int64]{1, 1, 9})
	f([]int64{3, 1, 2}, Spread[int64]{2, 1, 3})
}

// TestTargets divides by the limits and peers of the same run, and says of what has no figure why.
func TestTargets(t *testing.T) {
	want := map[string]string{
		"single: requests/s": "0.61 no", "batch-1000: events/s sustained": "1e+06 no", "batch-1000: events/s in a burst": "1.234567e+06 no",
		"batch-1000 ÷ PostgreSQL": "0 –", "batch-1000 ÷ Redis": "2.469134 no", "batch-1000 ÷ TigerBeetle": "0 –", "compact": "0 –", "hot": "0.9 no",
		"single at half": "3 yes, and the dream", "batch-1000: allocations": "0.1 no", "batch-1000: on disk": "70 yes", "batch-1000: bytes written": "3 yes, and the dream",
		"zipf: resident": "1.5 yes", "sequencer alone: processor": "140 yes", "sequencer alone: 10,000,000": "2.5 no",
	}
	got := sample().Targets()
	if len(got) != len(want) {
		t.Errorf("%d targets", len(got))
	}
	for start, figure := range want {
		i := slices.IndexFunc(got, func(t Target) bool { return strings.HasPrefix(t.What, start) })
		if i < 0 {
			t.Errorf("no %q", start)
		} else if text := fmt.Sprint(got[i].Value, " ", got[i].Verdict()); text != figure || (got[i].Missing == "") == (got[i].Verdict() == "–") {
			t.Errorf("%s: %s, want %s (%+v)", start, text, figure, got[i])
		}
	}
	if missing := (&Report{}).Targets(); slices.ContainsFunc(missing, func(t Target) bool { return t.Missing == "" || t.Met }) {
		t.Errorf("%+v", missing)
	}
}

// TestMarkdown has as many cells in each row as its table has columns.
func TestMarkdown(t *testing.T) {
	var text strings.Builder
	sample().WriteMarkdown(&text)
	for _, want := range []string{"| single: requests/s ÷ those of an empty handler | 0.61 × | ≥ 0.75 | ≥ 0.85 | no |", "v9 <test>", "1,234,567", "Other 1: does less", "not measured: nothing",
		"| sequencer | 1µs | 1µs |", "| http | 9µs | – |"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("%q is missing in\n%s", want, text.String())
		}
	}
	columns := 0
	for line := range strings.Lines(text.String()) {
		n := strings.Count(line, "|")
		switch {
		case n == 0:
			columns = 0
		case columns == 0:
			columns = n
		case n != columns:
			t.Errorf("%d bars instead of %d: %s", n, columns, line)
		}
	}
	new(Report).WriteMarkdown(&text)
}

// TestReadJSON gives the report back.
func TestReadJSON(t *testing.T) {
	var text strings.Builder
	if err := sample().WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadJSON(strings.NewReader(text.String())); err != nil || !reflect.DeepEqual(got, sample()) || !strings.Contains(text.String(), `"targets"`) {
		t.Errorf("%v: %+v", err, got)
	}
	if _, err := ReadJSON(strings.NewReader("{")); err == nil {
		t.Error("half a report is read")
	}
}

// TestReadBenchmarks takes the least of repeats, of the unit that is asked for.
func TestReadBenchmarks(t *testing.T) {
	const text = `goos: linux
BenchmarkSequencer/accounts=10-2         	    2000	       392.8 cpu-ns/event	       0 B/op
BenchmarkSequencer/accounts=10-2         	    2000	       364.5 cpu-ns/event	       0 B/op
BenchmarkOther   	    2000	       1.5 ns/op
BenchmarkSequencer/accounts=1000         	    2000	       1e3 cpu-ns/event
PASS`
	want := []Benchmark{{"Sequencer/accounts=10", "cpu-ns/event", 364.5}, {"Sequencer/accounts=1000", "cpu-ns/event", 1000}}
	if got, err := ReadBenchmarks(strings.NewReader(text), "cpu-ns/event"); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
	for _, bad := range []string{"", "BenchmarkX 1 many cpu-ns/event", "BenchmarkX 1 5 ns/op"} {
		if got, err := ReadBenchmarks(strings.NewReader(bad), "cpu-ns/event"); !errors.Is(err, ErrBenchmarks) {
			t.Errorf("%q: %+v %v", bad, got, err)
		}
	}
}
