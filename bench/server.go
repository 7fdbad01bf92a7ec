package bench

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/common/expfmt"
	prom "github.com/prometheus/common/model"

	dto "github.com/prometheus/client_model/go"
)

// Server is what the server says of itself in its metrics: what it did within the time measured, and what it is at the end of that.
type Server struct {
	CPU time.Duration `json:"cpu_ns"` // of all its threads
	// JournalBytes are those of the groups that were committed; DiskBytes all that was written for them: log, flushes, compactions and tables.
	JournalBytes int64 `json:"journal_bytes"`
	DiskBytes    int64 `json:"disk_bytes_written"`
	// Groups were committed, each with one fsync.
	Groups int64 `json:"groups"`
	// Allocations of the whole process, the runtime's included.
	Allocations int64 `json:"allocations"`
	// Resident is its memory, StoreBytes what its data takes on disk.
	Resident   int64 `json:"resident_bytes"`
	StoreBytes int64 `json:"store_bytes"`
}

// serverMetrics are read at two moments.
type serverMetrics struct {
	cpu, groups, journal, written, allocations float64
	resident, store                            float64
	durable, indexed, evidenced                float64 // watermarks
	tables                                     float64 // bytes written by flushes, compactions and ingested tables
}

const metricsMax = 4 << 20

// scrape reads the server's metrics. One that has none of ours gives nothing.
func (r *run) scrape(ctx context.Context) (*serverMetrics, error) {
	if r.bare {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.opts.URL+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{}).Do(req) // ctx is the bound
	if err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, nil
	}
	parser := expfmt.NewTextParser(prom.LegacyValidation)
	families, err := parser.TextToMetricFamilies(io.LimitReader(resp.Body, metricsMax))
	if err != nil {
		return nil, fmt.Errorf("read the metrics: %w", err)
	}
	if families["farthing_group_bytes"] == nil {
		return nil, nil
	}
	value := func(name string) float64 { return sumOf(families[name]) }
	marks := watermarks(families["farthing_watermark_sequence"])
	groups := families["farthing_group_bytes"].GetMetric()[0].GetHistogram()
	tables := value("farthing_store_flushed_bytes_total") + value("farthing_store_compacted_bytes_total") + value("farthing_store_ingested_bytes_total")
	return &serverMetrics{
		cpu: value("process_cpu_seconds_total"), resident: value("process_resident_memory_bytes"), allocations: value("go_memstats_mallocs_total"),
		groups: float64(groups.GetSampleCount()), journal: groups.GetSampleSum(), store: value("farthing_store_disk_bytes"),
		tables: tables, written: value("farthing_store_wal_bytes_total") + tables,
		durable: marks["durable"], indexed: marks["indexed"], evidenced: marks["evidenced"],
	}, nil
}

// watermarks are the values of a family by the label name.
func watermarks(family *dto.MetricFamily) map[string]float64 {
	out := map[string]float64{}
	for _, m := range family.GetMetric() {
		for _, l := range m.GetLabel() {
			if l.GetName() == "name" {
				out[l.GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return out
}

// sumOf adds up the values of a family of counters or gauges.
func sumOf(family *dto.MetricFamily) (sum float64) {
	for _, m := range family.GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
	}
	return sum
}

// since is what happened between two moments; nil if either is not known.
func (m *serverMetrics) since(from *serverMetrics) *Server {
	if m == nil || from == nil {
		return nil
	}
	return &Server{
		CPU: time.Duration((m.cpu - from.cpu) * float64(time.Second)), JournalBytes: int64(m.journal - from.journal), DiskBytes: int64(m.written - from.written),
		Groups: int64(m.groups - from.groups), Allocations: int64(m.allocations - from.allocations), Resident: int64(m.resident), StoreBytes: int64(m.store),
	}
}
