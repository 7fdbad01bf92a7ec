package report

import (
	"fmt"
	"strings"
	"time"

	"farthing/bench"
)

// Target is what the engine is to reach, and what it reached in this run.
type Target struct {
	What string `json:"what"`
	// Got is the figure, Of what it was divided by, "" if by nothing; both for people.
	Got string `json:"got"`
	Of  string `json:"of,omitempty"`
	// Value is held to Goal; Less says that it is to be at most that. Dream is better still.
	Value float64 `json:"value"`
	Goal  float64 `json:"goal"`
	Dream float64 `json:"dream"`
	Less  bool    `json:"at_most"`
	Unit  string  `json:"unit"`
	Met   bool    `json:"met"`
	// Missing says why there is no figure; "": there is one.
	Missing string `json:"missing,omitempty"`
}

// goal of a target: what it is, and how it is written.
type goal struct {
	what        string
	value       float64
	dream       float64
	less        bool
	unit        string
	measured    func(*Report) (value float64, got, of string)
	withoutThat string // why there is no figure
}

// The units of targets.
const (
	unitTimes    = "×"
	unitPerSec   = "events/s"
	unitPerEvent = "an event"
	unitBytes    = "bytes an event"
	unitGiB      = "GiB"
	unitNs       = "ns an event"
)

const memoryIdentities = 20_000_000

// goals are those of the engine on a machine with two processors that it shares with the load generator.
var goals = []goal{
	{"single: requests/s ÷ those of an empty handler", 0.75, 0.85, false, unitTimes, (*Report).singleByEmpty, "single and the limits were not measured together"},
	{"batch-1000: events/s sustained, until all are indexed and in evidence", 1_600_000, 2_500_000, false, unitPerSec, sustainedOf("batch-1000"), "no sustained run of batch-1000"},
	{"batch-1000: events/s in a burst", 2_200_000, 3_500_000, false, unitPerSec, (*Report).burst, "batch-1000 was not measured"},
	{"batch-1000 ÷ PostgreSQL, in batches of 1,000", 10, 15, false, unitTimes, batchBy("PostgreSQL"), "PostgreSQL or batch-1000 was not measured"},
	{"batch-1000 ÷ Redis, in batches of 1,000", 8, 15, false, unitTimes, batchBy("Redis"), "Redis or batch-1000 was not measured"},
	{"batch-1000 ÷ TigerBeetle, in batches", 2, 4, false, unitTimes, batchBy("TigerBeetle"), "TigerBeetle or batch-1000 was not measured"},
	{"compact: events/s sustained, until all are indexed and in evidence", 2_500_000, 5_000_000, false, unitPerSec, sustainedOf("compact"), "no sustained run of compact"},
	{"hot (one account) ÷ zipf (1,000,000 accounts)", 0.95, 1, false, unitTimes, (*Report).hotByZipf, "hot and zipf were not measured together"},
	{"single at half capacity: p99 ÷ p99 of an fsync", 5, 3, true, unitTimes, (*Report).latencyByFsync, "single was not measured at half its capacity, or the limits were not"},
	{"batch-1000: allocations, whole server", 0.05, 0.01, true, unitPerEvent, (*Report).allocations, "batch-1000 was not measured, or the server does not say"},
	{"batch-1000: on disk after settling down, ids of 26 characters", 80, 48, true, unitBytes, (*Report).onDisk, "no sustained run of batch-1000 on a server started here"},
	{"batch-1000: bytes written to disk ÷ bytes of journal, sustained", 4.5, 3, true, unitTimes, (*Report).amplification, "no sustained run of batch-1000, or the server does not say"},
	{"zipf: resident, 1,000,000 accounts, 20,000,000 identities", 2, 1, true, unitGiB, (*Report).resident, "zipf did not go on to 20,000,000 events"},
	{"sequencer alone: processor time, 1,000 accounts", 150, 80, true, unitNs, (*Report).sequencer, "no figures of BenchmarkSequencer were given"},
	{"sequencer alone: 10,000,000 accounts ÷ 10 accounts", 2, 1.3, true, unitTimes, (*Report).manyAccounts, "no figures of BenchmarkSequencer were given"},
}

// Targets holds the report to what is to be reached.
func (r *Report) Targets() (all []Target) {
	for _, g := range goals {
		t := Target{What: g.what, Goal: g.value, Dream: g.dream, Less: g.less, Unit: g.unit}
		if t.Value, t.Got, t.Of = g.measured(r); t.Value > 0 {
			t.Met = t.Value >= g.value
			if g.less {
				t.Met = t.Value <= g.value
			}
		} else {
			t.Value, t.Got, t.Of, t.Missing = 0, "", "", g.withoutThat
		}
		all = append(all, t)
	}
	return all
}

func (r *Report) summary(title string) *Summary {
	for _, s := range r.Summaries() {
		if s.Title == title {
			return &s
		}
	}
	return nil
}

func (r *Report) sustainedRun(workload string) *Sustained {
	for i := range r.Sustained {
		if r.Sustained[i].Workload == workload {
			return &r.Sustained[i]
		}
	}
	return nil
}

func (r *Report) singleByEmpty() (value float64, got, of string) {
	s := r.summary("single")
	if s == nil || r.Limits == nil || r.Limits.Empty == nil {
		return 0, "", ""
	}
	empty := r.Limits.Empty.RequestsPerSecond
	return float64(s.Requests.Median) / float64(max(empty, 1)), bench.Thousands(s.Requests.Median) + "/s", bench.Thousands(empty) + "/s"
}

func sustainedOf(workload string) func(*Report) (float64, string, string) {
	return func(r *Report) (value float64, got, of string) {
		s := r.sustainedRun(workload)
		if s == nil {
			return 0, "", ""
		}
		return float64(s.EventsPerSecond), fmt.Sprintf("%s events", bench.Thousands(int64(s.Events))), fmt.Sprintf("%.1f s", s.Duration.Seconds())
	}
}

func (r *Report) burst() (value float64, got, of string) {
	s := r.summary("batch-1000")
	if s == nil {
		return 0, "", ""
	}
	return float64(s.Rate.Median), fmt.Sprintf("median of %d", len(s.Runs)), fmt.Sprintf("%.1f s each", s.Runs[0].Duration.Seconds())
}

func batchBy(peer string) func(*Report) (float64, string, string) {
	return func(r *Report) (value float64, got, of string) {
		for _, c := range r.Comparisons() {
			if c.Batch > 1 && strings.HasPrefix(c.Peer, peer) && c.Ours > 0 && c.EventsPerSecond > 0 {
				return c.Times, bench.Thousands(c.Ours) + "/s", bench.Thousands(c.EventsPerSecond) + "/s"
			}
		}
		return 0, "", ""
	}
}

func (r *Report) hotByZipf() (value float64, got, of string) {
	hot, zipf := r.summary("hot"), r.summary("zipf")
	if hot == nil || zipf == nil {
		return 0, "", ""
	}
	return float64(hot.Rate.Median) / float64(max(zipf.Rate.Median, 1)), bench.Thousands(hot.Rate.Median) + "/s", bench.Thousands(zipf.Rate.Median) + "/s"
}

// HalfCapacity is the share of what went through at which the latency of single counts.
const HalfCapacity = 0.5

func (r *Report) latencyByFsync() (value float64, got, of string) {
	for _, run := range r.Rates {
		if run.Workload == "single" && run.Share == HalfCapacity && r.Limits != nil && r.Limits.Fsync.P99 > 0 {
			p99, fsync := run.Latency.P99, r.Limits.Fsync.P99
			return float64(p99) / float64(fsync), bench.Short(p99).String(), bench.Short(fsync).String()
		}
	}
	return 0, "", ""
}

func (r *Report) allocations() (value float64, got, of string) {
	if s := r.summary("batch-1000"); s != nil && s.Told {
		return s.Allocations.Median, "", ""
	}
	return 0, "", ""
}

func (r *Report) onDisk() (value float64, got, of string) {
	s := r.sustainedRun("batch-1000")
	if s == nil || s.Disk == nil {
		return 0, "", ""
	}
	return float64(s.Disk.Bytes) / float64(max(s.Check.Events, 1)), fmt.Sprintf("%s MiB", bench.Thousands(s.Disk.Bytes>>20)), bench.Thousands(int64(s.Check.Events)) + " events"
}

func (r *Report) amplification() (value float64, got, of string) {
	s := r.sustainedRun("batch-1000")
	if s == nil || s.Server == nil || s.Server.JournalBytes <= 0 {
		return 0, "", ""
	}
	wrote, journal := s.Server.DiskBytes, s.Server.JournalBytes
	if s.Disk != nil {
		wrote = max(wrote, s.Disk.Written) // what the system counts has the stop as well
	}
	return float64(wrote) / float64(journal), fmt.Sprintf("%s MiB", bench.Thousands(wrote>>20)), fmt.Sprintf("%s MiB", bench.Thousands(journal>>20))
}

func (r *Report) resident() (value float64, got, of string) {
	s := r.summary("zipf")
	if s == nil || s.Accounts < 1_000_000 {
		return 0, "", ""
	}
	for _, run := range s.Runs {
		if run.Booked >= memoryIdentities && float64(run.Resident) > value {
			value, of = float64(run.Resident), bench.Thousands(int64(run.Booked))+" events"
		}
	}
	return value / (1 << 30), fmt.Sprintf("%s MiB at most", bench.Thousands(int64(value)>>20)), of
}

func (r *Report) sequencer() (value float64, got, of string) {
	return r.benchmark("Sequencer/accounts=1000"), "", ""
}

func (r *Report) manyAccounts() (value float64, got, of string) {
	many, few := r.benchmark("Sequencer/accounts=10000000"), r.benchmark("Sequencer/accounts=10")
	if few <= 0 {
		return 0, "", ""
	}
	return many / few, nanos(many), nanos(few)
}

func nanos(ns float64) string { return bench.Short(time.Duration(ns)).String() }

// Shown writes a figure of the target's unit.
func (t *Target) Shown(v float64) string {
	switch t.Unit {
	case unitPerSec:
		return bench.Thousands(int64(v))
	case unitTimes, unitGiB:
		return trimmed(fmt.Sprintf("%.2f", v))
	case unitPerEvent:
		return trimmed(fmt.Sprintf("%.4f", v))
	}
	return fmt.Sprintf("%.0f", v)
}

// trimmed drops zeros at the end of a fraction.
func trimmed(s string) string { return strings.TrimSuffix(strings.TrimRight(s, "0"), ".") }

// Bound writes a goal.
func (t *Target) Bound(v float64) string {
	if t.Less {
		return "≤ " + t.Shown(v)
	}
	return "≥ " + t.Shown(v)
}

// Verdict says whether the target was met.
func (t *Target) Verdict() string {
	switch {
	case t.Missing != "":
		return "–"
	case !t.Met:
		return "no"
	case t.Less && t.Value <= t.Dream, !t.Less && t.Value >= t.Dream:
		return "yes, and the dream"
	}
	return "yes"
}

// From says what the figure comes from.
func (t *Target) From() string {
	if t.Of == "" {
		return t.Got
	}
	switch t.Unit {
	case unitTimes:
		return t.Got + " ÷ " + t.Of
	case unitPerSec:
		return t.Got + " in " + t.Of
	}
	return t.Got + ", " + t.Of
}
