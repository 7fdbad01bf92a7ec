package bench

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Result is the outcome of one run. Durations are nanoseconds in JSON.
type Result struct {
	Workload string `json:"workload"`
	// Unit is what is counted: events, or pairs of a hold and its capture, each of
	// which books an event.
	Unit        string        `json:"unit"`
	HoldBy      string        `json:"hold_by,omitempty"` // estimate, amount; "": no holds
	Chain       bool          `json:"chain,omitempty"`
	Batch       int           `json:"batch"`
	Connections int           `json:"connections"`
	Accounts    int           `json:"accounts"`
	Models      int           `json:"models"`
	Seed        uint64        `json:"seed"`
	Warmup      time.Duration `json:"warmup_ns"`
	Duration    time.Duration `json:"duration_ns"` // measured
	// Events and Requests answered within Duration.
	Events            uint64  `json:"events"`
	Requests          uint64  `json:"requests"`
	EventsPerSecond   int64   `json:"events_per_second"`
	RequestsPerSecond int64   `json:"requests_per_second"`
	Latency           Latency `json:"latency"`
	// Rate is what an open loop was to send a second; 0: a closed loop.
	Rate float64 `json:"rate,omitempty"`
	// Share is what part of the capacity that is; 0: nobody says.
	Share float64 `json:"share,omitempty"`
	// Series is the events a second of each quarter of a second that was measured.
	Series []int64 `json:"series,omitempty"`
	// Retries of the whole run: answers of 429 or 503, broken connections.
	Retries uint64 `json:"retries"`
	// GeneratorCPU is the processor time of this process within Duration.
	GeneratorCPU time.Duration `json:"generator_cpu_ns"`
	Server       *Server       `json:"server,omitempty"` // nil: it does not say
	// Resident is the most memory that the server's process had while it was measured; 0: not known.
	Resident int64 `json:"resident_max_bytes,omitempty"`
	// Booked is the events when the measurement ended, those of the warm-up included.
	Booked uint64 `json:"booked"`
	// Sustained is how that was left behind; nil: the run was none of that kind.
	Sustained *SustainedResult `json:"sustained,omitempty"`
	Check     Check            `json:"check"`
	Settle    *SettleResult    `json:"settle,omitempty"`
}

// Latency of a request, from before the write to the whole answer, or in an open loop from when it was due, exact to
// 1 %.
type Latency struct {
	P50  time.Duration `json:"p50_ns"`
	P90  time.Duration `json:"p90_ns"`
	P99  time.Duration `json:"p99_ns"`
	P999 time.Duration `json:"p999_ns"`
	Max  time.Duration `json:"max_ns"`
}

// latencyOf reads the percentiles of a histogram.
func latencyOf(h *hdrhistogram.Histogram) Latency {
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) }
	return Latency{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(h.Max())}
}

func (r *run) result(from, to totals) Result {
	o := r.opts
	all := newHistogram()
	for _, w := range r.workers {
		all.Merge(w.latency)
	}
	elapsed := to.at.Sub(from.at)
	events, requests := to.events-from.events, to.requests-from.requests
	return Result{
		Workload: o.Workload.Name, Unit: o.Workload.Unit(), HoldBy: o.HoldBy, Chain: o.Chain, Batch: o.Workload.Batch, Connections: o.Connections,
		Accounts: o.Accounts, Models: o.Models, Seed: o.Seed, Warmup: o.Warmup, Duration: elapsed,
		Events: events, Requests: requests,
		EventsPerSecond: perSecond(events, elapsed), RequestsPerSecond: perSecond(requests, elapsed),
		Latency: latencyOf(all), Rate: o.Rate, Series: r.series,
		Retries: r.take().retries, Booked: to.events,
	}
}

// Title names the run for people.
func (r *Result) Title() string {
	if r.Chain {
		return r.Workload + ", chains"
	}
	if r.Rate > 0 {
		return fmt.Sprintf("%s at %s/s", r.Workload, Thousands(int64(r.Rate)))
	}
	return r.Workload
}

// Thousands writes n with separators, as 1,234,567.
func Thousands(n int64) string {
	if n < 0 {
		return "-" + Thousands(-n)
	}
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", Thousands(n/1000), n%1000)
}

// Short drops the digits of a duration that nobody reads.
func Short(d time.Duration) time.Duration {
	switch {
	case d >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond)
	case d >= time.Microsecond:
		return d.Round(10 * time.Nanosecond)
	}
	return d
}
