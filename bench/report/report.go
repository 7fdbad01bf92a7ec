package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"farthing/bench"
	"farthing/bench/limits"
	"farthing/bench/peers"
)

// Report is all that was measured.
type Report struct {
	Time    time.Time     `json:"time"`
	Took    time.Duration `json:"took_ns"`
	Version string        `json:"version"` // of the program that measured
	Machine bench.Machine `json:"machine"`
	// Settings are the arguments that differ from the defaults.
	Settings []string `json:"settings,omitempty"`
	// Limits of the machine, measured in the same run; nil: they were not.
	Limits *Limits `json:"limits,omitempty"`
	// Runs in closed loops, the repeats of a workload one after the other.
	Runs []bench.Result `json:"runs"`
	// Sustained are runs that last until everything is settled.
	Sustained []Sustained `json:"sustained,omitempty"`
	// Rates are runs in open loops.
	Rates    []bench.Result `json:"rates,omitempty"`
	Restarts []Restart      `json:"restarts,omitempty"`
	// Peers are other engines that did the same.
	Peers []peers.Result `json:"peers,omitempty"`
	// Stages is what the server's processor time went to, by workload.
	Stages []Stages `json:"stages,omitempty"`
	// Verify is what `verify` said of the ledger of each run.
	Verify []string `json:"verify,omitempty"`
	// Unverified is how many ledgers were not, besides.
	Unverified int `json:"unverified,omitempty"`
	// Benchmarks are figures of Go's benchmarks of the same commit, taken right before.
	Benchmarks []Benchmark `json:"benchmarks,omitempty"`
	// Skipped is what was not measured, and why.
	Skipped []string `json:"skipped,omitempty"`
}

// Limits of a machine.
type Limits struct {
	Fsync  limits.Fsync  `json:"fsync"`
	Writes limits.Writes `json:"synced_writes"`
	// CopyBytesPerSecond and ScanBytesPerSecond are those of one processor; the scan is of a request of batch-1000, of ScanBytes and ScanEvents.
	CopyBytesPerSecond int64 `json:"copy_bytes_per_second"`
	ScanBytesPerSecond int64 `json:"scan_bytes_per_second"`
	ScanBytes          int   `json:"scan_bytes"`
	ScanEvents         int   `json:"scan_events"`
	// Empty is the workload single at a handler that does nothing, the median of runs by turns with single; nil: the server was not started here.
	Empty *bench.Result `json:"empty,omitempty"`
	// EmptyPaced is the same in an open loop, at the rate of single at half its capacity; nil: that was not measured.
	EmptyPaced *bench.Result `json:"empty_paced,omitempty"`
}

// Sustained is a run that lasts until everything is settled, and what it left on disk.
type Sustained struct {
	bench.Result
	Disk *Disk `json:"disk,omitempty"` // nil: the server was not started here
}

// Disk is what a ledger takes once it has been stopped, started, left alone until it compacts no more, and stopped again.
type Disk struct {
	// Bytes is what all files occupy but for the write-ahead logs, and Logs what those do: they are kept at their full size for
	// reuse, and after that start nothing is in them alone.
	Bytes int64 `json:"bytes"`
	Logs  int64 `json:"logs_bytes"`
	// Written is what the system counts as written by the process, from its start to its stop under load; 0: it does not.
	Written int64 `json:"written_bytes,omitempty"`
	// Stop and Start are how long the server took for that right after the load.
	Stop  time.Duration `json:"stop_ns"`
	Start time.Duration `json:"start_ns"`
}

// Restart is how long a server was away.
type Restart struct {
	Accounts int    `json:"accounts"`
	Events   uint64 `json:"events"` // of the ledger at the end
	// Stop is from SIGTERM to the end of the process, the others from the start of one until it takes writes.
	Stop           time.Duration `json:"stop_ns"`
	StartAfterStop time.Duration `json:"start_after_stop_ns"`
	StartAfterKill time.Duration `json:"start_after_kill_ns"`
}

// Stages is what the server's processor time went to in one run.
type Stages struct {
	Title  string  `json:"title"`
	Events uint64  `json:"events"` // while the profile was taken
	Stages []Stage `json:"stages"`
}

// Stage is a part of the server's work.
type Stage struct {
	Name string        `json:"name"`
	CPU  time.Duration `json:"cpu_ns"`
}

// WriteJSON writes the report indented, with the targets, which follow from it.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		*Report
		Targets []Target `json:"targets"`
	}{r, r.Targets()})
}

// ReadJSON reads what WriteJSON has written.
func ReadJSON(from io.Reader) (*Report, error) {
	r := new(Report)
	if err := json.NewDecoder(from).Decode(r); err != nil {
		return nil, fmt.Errorf("read a report: %w", err)
	}
	return r, nil
}

// Spread is the median of some measurements, and their range.
type Spread[T cmp.Ordered] struct{ Median, Min, Max T }

func spreadOf[T cmp.Ordered](values []T) (s Spread[T]) {
	if len(values) == 0 {
		return s
	}
	sorted := slices.Sorted(slices.Values(values))
	return Spread[T]{sorted[(len(sorted)-1)/2], sorted[0], sorted[len(sorted)-1]}
}

// Summary is what the repeats of a workload have in common.
type Summary struct {
	Title, Unit           string
	Runs                  []bench.Result
	Accounts, Connections int
	Rate, Requests        Spread[int64] // a second
	P50, P99              Spread[time.Duration]
	Retries               uint64
	// Of each event: processor time of server and generator, the server's allocations, bytes of the journal and bytes written in all.
	ServerCPU, GeneratorCPU     Spread[time.Duration]
	Allocations, Journal, Wrote Spread[float64]
	// Told says that the server's own figures are known.
	Told bool
}

// Summaries are those of the closed loops, in the order they were run.
func (r *Report) Summaries() []Summary { return summarise(r.Runs) }

func summarise(runs []bench.Result) (all []Summary) {
	for _, run := range runs {
		at := slices.IndexFunc(all, func(s Summary) bool { return s.Title == run.Title() })
		if at < 0 {
			at = len(all)
			all = append(all, Summary{Title: run.Title(), Unit: run.Unit, Accounts: run.Accounts, Connections: run.Connections})
		}
		all[at].Runs = append(all[at].Runs, run)
	}
	for i := range all {
		all[i].sum()
	}
	return all
}

// sum reads the spreads off the runs.
func (s *Summary) sum() {
	s.Told = true
	for _, run := range s.Runs {
		s.Retries += run.Retries
		s.Told = s.Told && run.Server != nil
	}
	s.Rate, s.Requests = over(s.Runs, func(r *bench.Result) int64 { return r.EventsPerSecond }), over(s.Runs, func(r *bench.Result) int64 { return r.RequestsPerSecond })
	s.P50, s.P99 = over(s.Runs, func(r *bench.Result) time.Duration { return r.Latency.P50 }), over(s.Runs, func(r *bench.Result) time.Duration { return r.Latency.P99 })
	s.GeneratorCPU = over(s.Runs, func(r *bench.Result) time.Duration { return r.GeneratorCPU / time.Duration(max(r.Events, 1)) })
	if s.Told {
		each := func(what func(*bench.Server) int64) Spread[float64] {
			return over(s.Runs, func(r *bench.Result) float64 { return float64(what(r.Server)) / float64(max(r.Events, 1)) })
		}
		s.ServerCPU = over(s.Runs, func(r *bench.Result) time.Duration { return r.Server.CPU / time.Duration(max(r.Events, 1)) })
		s.Allocations = each(func(s *bench.Server) int64 { return s.Allocations })
		s.Journal = each(func(s *bench.Server) int64 { return s.JournalBytes })
		s.Wrote = each(func(s *bench.Server) int64 { return s.DiskBytes })
	}
}

func over[T cmp.Ordered](runs []bench.Result, what func(*bench.Result) T) Spread[T] {
	values := make([]T, len(runs))
	for i := range runs {
		values[i] = what(&runs[i])
	}
	return spreadOf(values)
}

// Ratio says how much of a limit a workload reaches.
type Ratio struct {
	What    string // the workload's figure
	Limit   string
	Got     float64
	Of      float64
	Reached float64 // Got ÷ Of; of latencies a factor above the limit
}

// Comparison is a peer's figure beside ours.
type Comparison struct {
	peers.Result
	// Ours is the median of the workload of the same kind, 0: it was not measured; Times is that by the peer's.
	Ours  int64
	Times float64
}

// Comparisons holds the peers to the workloads single and batch-1000 of the same run.
func (r *Report) Comparisons() (all []Comparison) {
	ours := map[int]int64{}
	for _, s := range r.Summaries() {
		if s.Title == "single" || s.Title == "batch-1000" {
			ours[s.Runs[0].Batch] = s.Rate.Median
		}
	}
	for _, p := range r.Peers {
		c := Comparison{Result: p, Ours: ours[p.Batch]}
		c.Times = float64(c.Ours) / float64(max(p.EventsPerSecond, 1))
		all = append(all, c)
	}
	return all
}

// Ratios holds the medians to the limits of the same run.
func (r *Report) Ratios() (all []Ratio) {
	if r.Limits == nil {
		return nil
	}
	add := func(what, limit string, got, of float64) {
		if got > 0 && of > 0 {
			all = append(all, Ratio{What: what, Limit: limit, Got: got, Of: of, Reached: got / of})
		}
	}
	l := r.Limits
	for _, s := range r.Summaries() {
		switch {
		case s.Title == "single" && l.Empty != nil:
			add("single, requests/s", "an empty handler, requests/s", float64(s.Requests.Median), float64(l.Empty.RequestsPerSecond))
		case s.Title == "batch-1000" && l.ScanBytes > 0:
			perEvent := float64(l.ScanBytes) / float64(l.ScanEvents)
			add("batch-1000, events/s", "scanning their JSON on all processors, events/s", float64(s.Rate.Median),
				float64(l.ScanBytesPerSecond)*float64(r.Machine.CPUs)/perEvent)
			add("batch-1000, bytes/s written", "synced writes of a MiB one by one, bytes/s", s.Wrote.Median*float64(s.Rate.Median), float64(l.Writes.BytesPerSecond))
			add("batch-1000, bytes/s of bodies", "copying memory, bytes/s", perEvent*float64(s.Rate.Median), float64(l.CopyBytesPerSecond))
		}
	}
	for _, run := range r.Rates {
		if run.Workload == "single" {
			add(run.Title()+", p99 in µs", "fsync of the disk, p99 in µs", micros(run.Latency.P99), micros(l.Fsync.P99))
			if l.EmptyPaced != nil && run.Share == HalfCapacity {
				add(run.Title()+", p99 in µs", "an empty handler at that rate, p99 in µs", micros(run.Latency.P99), micros(l.EmptyPaced.Latency.P99))
			}
		}
	}
	return all
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
