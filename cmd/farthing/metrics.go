package main

import (
	"runtime"
	"time"

	"farthing/engine"

	"github.com/prometheus/client_golang/prometheus"
)

// groupMetrics sees the groups of the engine go by.
type groupMetrics struct{ commands, bytes, seconds prometheus.Histogram }

var _ engine.Observer = (*groupMetrics)(nil)

func newGroupMetrics() *groupMetrics {
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets})
	}
	return &groupMetrics{
		commands: histogram("farthing_group_commands", "Commands (events and others) of a committed group.", prometheus.ExponentialBuckets(1, 4, 9)),
		bytes:    histogram("farthing_group_bytes", "Journal bytes of a committed group.", prometheus.ExponentialBuckets(256, 4, 9)),
		// A commit is one fsync: about 0.2 ms on a good disk, 10 ms on a spinning one.
		seconds: histogram("farthing_group_commit_seconds", "Seconds from a group's hand-over to the store until it was durable.",
			[]float64{.0001, .0002, .0005, .001, .002, .005, .01, .02, .05, .1, .25, 1, 5}),
	}
}

// GroupCommitted implements engine.Observer.
func (m *groupMetrics) GroupCommitted(commands, bytes int, took time.Duration) {
	m.commands.Observe(float64(commands))
	m.bytes.Observe(float64(bytes))
	m.seconds.Observe(took.Seconds())
}

// Describe implements prometheus.Collector.
func (m *groupMetrics) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, to) }

// Collect implements prometheus.Collector.
func (m *groupMetrics) Collect(to chan<- prometheus.Metric) {
	m.commands.Collect(to)
	m.bytes.Collect(to)
	m.seconds.Collect(to)
}

// ledgerMetrics shows the figures of engine and relays as of the scrape. Until
// the engine is open there are none of its own, and none of relays without
// brokers: an absent figure is truer than a zero.
type ledgerMetrics struct {
	slot *engineSlot
	now  func() time.Time

	build, ready  *prometheus.Desc
	watermark     *prometheus.Desc
	start         *prometheus.Desc
	kept          *prometheus.Desc
	figures       []figure[engine.Stats]
	outboxAge     *prometheus.Desc
	settlements   *relayMetrics
	notifications *relayMetrics
	results       *resultsMetrics
	transit       transitMetrics
}

// figure is one number of a set of statistics.
type figure[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*S) float64
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

func gauge[S any](name, help string, value func(*S) float64) figure[S] {
	return figure[S]{desc(name, help), prometheus.GaugeValue, value}
}

func counter[S any](name, help string, value func(*S) float64) figure[S] {
	return figure[S]{desc(name, help), prometheus.CounterValue, value}
}

func newLedgerMetrics(slot *engineSlot, now func() time.Time) *ledgerMetrics {
	return &ledgerMetrics{
		slot: slot, now: now,
		build:         desc("farthing_build_info", "Always 1; the version stands in the labels.", "version", "go"),
		ready:         desc("farthing_ready", "1 while writes are accepted, else 0."),
		watermark:     desc("farthing_watermark_sequence", "Sequence number that each stage of the ledger has reached.", "name"),
		start:         desc("farthing_start_seconds", "Seconds that parts of the last start took; parts may run beside each other, \"all\" is the whole.", "part"),
		kept:          desc("farthing_retention_kept", "1 for what kept the last look from dropping more history: \"age\" where nothing is in the way.", "because_of"),
		outboxAge:     desc("farthing_outbox_age_seconds", "Seconds since the window of the oldest batch that is not published was closed; 0 if there is none."),
		figures:       append(engineFigures(), storeFigures()...),
		settlements:   newRelayMetrics("farthing_relay_", "settlements"),
		notifications: newRelayMetrics("farthing_notification_relay_", "notifications"),
		results:       newResultsMetrics(),
		transit:       newTransitMetrics(),
	}
}

func engineFigures() []figure[engine.Stats] {
	type s = engine.Stats
	return []figure[s]{
		gauge("farthing_ring_depth", "Requests queued before the sequencer.", func(s *s) float64 { return float64(s.RingDepth) }),
		gauge("farthing_admitted_requests", "Requests admitted and not answered yet.", func(s *s) float64 { return float64(s.Requests) }),
		gauge("farthing_admitted_events", "Budget of events that admitted requests hold.", func(s *s) float64 { return float64(s.Events) }),
		gauge("farthing_admitted_bytes", "Budget of body bytes that admitted requests hold.", func(s *s) float64 { return float64(s.Bytes) }),
		gauge("farthing_queue_bytes", "Body bytes, and a constant for each request, that wait for their group or are in it.", func(s *s) float64 { return float64(s.QueueCost) }),
		gauge("farthing_queue_limit_bytes", "Bound of farthing_queue_bytes: the measured rate times --queue-target, and never below two full groups.", func(s *s) float64 { return float64(s.QueueLimit) }),
		counter("farthing_queue_refused_total", "Requests refused with 429 because of farthing_queue_limit_bytes.", func(s *s) float64 { return float64(s.QueueRefused) }),
		gauge("farthing_repeats_waiting", "Requests that wait because they send old events again while others have work.", func(s *s) float64 { return float64(s.RepeatsWaiting) }),
		counter("farthing_repeats_refused_total", "Requests refused with 429 because too many of these wait.", func(s *s) float64 { return float64(s.RepeatsRefused) }),
		gauge("farthing_disk_free_bytes", "Free bytes of the data directory's file system; 0: it does not tell. Below --min-free changes are refused.", func(s *s) float64 { return float64(s.DiskFree) }),
		gauge("farthing_disk_total_bytes", "Size of the data directory's file system; 0: it does not tell.", func(s *s) float64 { return float64(s.DiskTotal) }),
		gauge("farthing_commit_age_seconds", "Seconds that the commit under way has taken; 0: there is none. Above 1 requests are refused.", func(s *s) float64 { return s.CommitAge.Seconds() }),
		gauge("farthing_accounts", "Accounts of participants.", func(s *s) float64 { return float64(s.Accounts) }),
		gauge("farthing_shapes", "Sets of meter, dimensions and components that events have come with.", func(s *s) float64 { return float64(s.Shapes) }),
		gauge("farthing_sources", "Sources that events have come from.", func(s *s) float64 { return float64(s.Sources) }),
		gauge("farthing_price_versions", "Versions in the price book.", func(s *s) float64 { return float64(s.PriceVersions) }),
		gauge("farthing_unpriced_events", "Events that wait for a price: money not charged. Alarm on it with the rule farthing_unpriced_events > 0 for 5m; GET /v1/unpriced says what is missing.", func(s *s) float64 { return float64(s.Unpriced) }),
		gauge("farthing_replayed_commands", "Commands that the last start replayed: those after the newest checkpoint, 0 after a clean stop.", func(s *s) float64 { return float64(s.Start.Replayed) }),
		gauge("farthing_reread_commands", "Commands that the last start read again, for identities that were in no run yet; the replayed ones are among them.", func(s *s) float64 { return float64(s.Start.Reread) }),
		gauge("farthing_identity_runs", "Sorted runs of event ids on disk that deduplication knows.", func(s *s) float64 { return float64(s.Runs) }),
		gauge("farthing_statement_runs", "Sorted runs on disk of the movements of accounts.", func(s *s) float64 { return float64(s.StatementRuns) }),
		gauge("farthing_identity_runs_forgotten", "Runs whose ids may be booked again; they serve reads only.", func(s *s) float64 { return float64(s.ForgottenRuns) }),
		gauge("farthing_identity_filter_bytes", "Memory of the filters of event ids.", func(s *s) float64 { return float64(s.FilterBytes) }),
		gauge("farthing_identity_runs_on_disk", "Runs whose filter does not fit --dedup-memory: asked on disk about each event.", func(s *s) float64 { return float64(s.RunsWithoutFilter) }),
		counter("farthing_identity_merges_total", "Merges of runs of event ids.", func(s *s) float64 { return float64(s.Merges) }),
		gauge("farthing_settlement_windows", "Settlement windows sealed since the ledger's birth.", func(s *s) float64 { return float64(s.Windows) }),
		gauge("farthing_retention_first_sequence", "First sequence that is stored; what lies before it was exported and dropped.", func(s *s) float64 { return float64(s.Dropped + 1) }),
		gauge("farthing_retention_last_drop_seconds", "Unix time of the last drop of history since the start; 0: none.", func(s *s) float64 { return float64(s.LastDrop) / 1e9 }),
		counter("farthing_retention_dropped_bytes_total", "Bytes of journal dropped since the start.", func(s *s) float64 { return float64(s.DroppedBytes) }),
		gauge("farthing_outbox_sealed_records", "Settlement records sealed since the ledger's birth: the last stream_seq.", func(s *s) float64 { return float64(s.SealedStream) }),
		gauge("farthing_outbox_published_records", "Settlement records that stand in Kafka: the last confirmed stream_seq.", func(s *s) float64 { return float64(s.PublishedStream) }),
		gauge("farthing_outbox_depth_records", "Settlement records sealed and not published.", func(s *s) float64 { return float64(s.SealedStream) - float64(s.PublishedStream) }),
	}
}

func storeFigures() []figure[engine.Stats] {
	type s = engine.Stats
	return []figure[s]{
		gauge("farthing_store_disk_bytes", "Bytes of the store on disk.", func(s *s) float64 { return float64(s.Store.DiskBytes) }),
		gauge("farthing_store_memtable_bytes", "Bytes of memory in memtables.", func(s *s) float64 { return float64(s.Store.MemTableBytes) }),
		gauge("farthing_store_cache_bytes", "Bytes of memory in the block cache.", func(s *s) float64 { return float64(s.Store.CacheBytes) }),
		gauge("farthing_store_l0_files", "Tables in level 0.", func(s *s) float64 { return float64(s.Store.L0Files) }),
		gauge("farthing_store_l0_sublevels", "Layers of level 0 that a read passes.", func(s *s) float64 { return float64(s.Store.L0Sublevels) }),
		gauge("farthing_store_compaction_debt_bytes", "Bytes that compaction is estimated to have before it.", func(s *s) float64 { return float64(s.Store.CompactionDebt) }),
		counter("farthing_store_wal_bytes_total", "Bytes written to the write-ahead log since the start.", func(s *s) float64 { return float64(s.Store.WALBytes) }),
		counter("farthing_store_flushed_bytes_total", "Bytes written by flushes since the start.", func(s *s) float64 { return float64(s.Store.FlushBytes) }),
		counter("farthing_store_compacted_bytes_total", "Bytes rewritten by compactions since the start.", func(s *s) float64 { return float64(s.Store.CompactBytes) }),
		counter("farthing_store_ingested_bytes_total", "Bytes of ingested tables since the start.", func(s *s) float64 { return float64(s.Store.IngestBytes) }),
		counter("farthing_store_stalls_total", "Times that writes waited for a flush or a compaction.", func(s *s) float64 { return float64(s.Store.Stalls) }),
		counter("farthing_store_stall_seconds_total", "Seconds that writes waited for flushes and compactions.", func(s *s) float64 { return s.Store.StallTime.Seconds() }),
	}
}

// Describe implements prometheus.Collector.
func (m *ledgerMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.build, m.ready, m.watermark, m.start, m.kept, m.outboxAge} {
		to <- d
	}
	for _, f := range m.figures {
		to <- f.desc
	}
	m.settlements.describe(to)
	m.notifications.describe(to)
	m.results.describe(to)
	m.transit.describe(to)
}

// Collect implements prometheus.Collector.
func (m *ledgerMetrics) Collect(to chan<- prometheus.Metric) {
	set := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	set(m.build, 1, version, runtime.Version())
	set(m.ready, truth(m.slot.Ready()))
	e, no := m.slot.get()
	if no != nil {
		return
	}
	stats := e.Stats()
	collect(m.figures, &stats, to)
	set(m.watermark, float64(stats.Durable), "durable")
	set(m.watermark, float64(stats.Evidenced), "evidenced")
	set(m.watermark, float64(stats.Indexed), "indexed")
	set(m.watermark, float64(stats.Checkpointed), "checkpointed")
	set(m.watermark, float64(stats.Sealed), "sealed")
	set(m.watermark, float64(stats.Dropped), "dropped")
	for _, part := range stats.Start.Parts {
		set(m.start, part.Took.Seconds(), part.Name)
	}
	set(m.start, stats.Start.Took.Seconds(), "all")
	if stats.KeptBecauseOf != "" {
		set(m.kept, 1, stats.KeptBecauseOf)
	}
	set(m.outboxAge, m.age(stats.OldestUnpublishedTime))
	m.transit.collect(e, func(t time.Time) float64 { return m.age(t.UnixNano()) }, to)
	m.settlements.collect(to)
	m.notifications.collect(to)
	m.results.collect(to)
}

// age is the seconds since a time in nanoseconds, 0 for none. The ledger's clock
// may run ahead of the wall clock, so it is never below 0.
func (m *ledgerMetrics) age(ns int64) float64 {
	if ns == 0 {
		return 0
	}
	return max(0, m.now().Sub(time.Unix(0, ns)).Seconds())
}

func collect[S any](figures []figure[S], stats *S, to chan<- prometheus.Metric) {
	for _, f := range figures {
		to <- prometheus.MustNewConstMetric(f.desc, f.kind, f.value(stats))
	}
}

func truth(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
