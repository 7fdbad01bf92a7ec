package main

import (
	"slices"
	"strconv"
	"sync/atomic"

	"farthing/publish"
	"farthing/webhook"

	"github.com/prometheus/client_golang/prometheus"
)

// relayMetrics are the figures of one relay.
type relayMetrics struct {
	relay atomic.Pointer[publish.Relay] // set once, before the slot is open; nil: there is none

	state, lastError, warning *prometheus.Desc
	figures                   []figure[publish.Stats]
}

// newRelayMetrics names the figures of a relay; those of settlements have the shorter
// prefix, which they had when there was one relay.
func newRelayMetrics(prefix, what string) *relayMetrics {
	return &relayMetrics{
		state:     desc(prefix+"state", "1 for the state that the publisher of "+what+" is in, else 0; fenced, forked and lost are final and need an operator.", "state"),
		lastError: desc(prefix+"last_failure_timestamp_seconds", "Unix time in seconds of the publisher's last failure; 0 if there was none."),
		warning:   desc(prefix+"topic_warning", "1 for a setting of the topic that endangers "+what+", else 0; the log says why.", "setting"),
		figures:   relayFigures(prefix),
	}
}

func relayFigures(prefix string) []figure[publish.Stats] {
	type s = publish.Stats
	return []figure[s]{
		gauge(prefix+"confirmed_records", "Last stream_seq that this process knows to stand in Kafka.", func(s *s) float64 { return float64(s.Confirmed) }),
		gauge(prefix+"next_offset", "Offset in the topic after the last confirmed record or fence.", func(s *s) float64 { return float64(s.NextOffset) }),
		gauge(prefix+"producer_epoch", "Producer epoch of the session; -1 before the first.", func(s *s) float64 { return float64(s.Epoch) }),
		counter(prefix+"sent_records_total", "Records confirmed by the answer to their send.", func(s *s) float64 { return float64(s.Sent) }),
		counter(prefix+"found_records_total", "Records that a read-back found in the topic.", func(s *s) float64 { return float64(s.Found) }),
		counter(prefix+"sends_total", "Confirmed sends, of one record batch each.", func(s *s) float64 { return float64(s.Batches) }),
		counter(prefix+"resends_total", "Sends that were repeated because their answer was in doubt.", func(s *s) float64 { return float64(s.Resent) }),
		counter(prefix+"sessions_total", "Producer epochs opened, with one fence record each.", func(s *s) float64 { return float64(s.Sessions) }),
		counter(prefix+"failures_total", "Failures of broker or network that the publisher waited after.", func(s *s) float64 { return float64(s.Failures) }),
	}
}

// relayStates are all that publish.Stats may show.
var relayStates = [...]publish.State{
	publish.StateIdle, publish.StateStarting, publish.StatePublishing, publish.StateWaiting,
	publish.StateFailing, publish.StateRefused, publish.StateFenced, publish.StateForked, publish.StateLost,
}

func (m *relayMetrics) describe(to chan<- *prometheus.Desc) {
	to <- m.state
	to <- m.lastError
	to <- m.warning
	for _, f := range m.figures {
		to <- f.desc
	}
}

func (m *relayMetrics) collect(to chan<- prometheus.Metric) {
	relay := m.relay.Load()
	if relay == nil {
		return
	}
	stats := relay.Stats()
	collect(m.figures, &stats, to)
	for _, state := range relayStates {
		to <- prometheus.MustNewConstMetric(m.state, prometheus.GaugeValue, truth(stats.State == state), string(state))
	}
	for _, setting := range publish.WarningSettings() {
		warned := slices.ContainsFunc(stats.Warnings, func(w publish.Warning) bool { return w.Setting == setting })
		to <- prometheus.MustNewConstMetric(m.warning, prometheus.GaugeValue, truth(warned), setting)
	}
	failed := 0.0
	if !stats.LastErrorAt.IsZero() {
		failed = float64(stats.LastErrorAt.UnixMilli()) / 1000
	}
	to <- prometheus.MustNewConstMetric(m.lastError, prometheus.GaugeValue, failed)
}

// resultsMetrics are the figures of the reader of results.
type resultsMetrics struct {
	reader atomic.Pointer[publish.ResultsReader] // set once, before the slot is open; nil: there is none

	state, next *prometheus.Desc
	figures     []figure[publish.ResultsStats]
}

func newResultsMetrics() *resultsMetrics {
	type s = publish.ResultsStats
	return &resultsMetrics{
		state: desc("farthing_results_state", "1 for the state that the reader of results is in, else 0.", "state"),
		next:  desc("farthing_results_next_offset", "Offset of the next message to read.", "partition"),
		figures: []figure[s]{
			counter("farthing_results_applied_total", "Results from the topic that were booked.", func(s *s) float64 { return float64(s.Applied) }),
			counter("farthing_results_repeated_total", "Results from the topic that had been booked before.", func(s *s) float64 { return float64(s.Repeated) }),
			counter("farthing_results_refused_total", "Messages of the topic that booked nothing; GET /v1/settlement-results has the last ones. Alarm on it: a payment may be waiting for its result.", func(s *s) float64 { return float64(s.Refused) }),
			counter("farthing_results_failures_total", "Failures that the reader of results waited after.", func(s *s) float64 { return float64(s.Failures) }),
		},
	}
}

var resultsStates = [...]publish.State{publish.StateIdle, publish.StateReading, publish.StateNoTopic, publish.StateFailing, publish.StateRefused}

func (m *resultsMetrics) describe(to chan<- *prometheus.Desc) {
	to <- m.state
	to <- m.next
	for _, f := range m.figures {
		to <- f.desc
	}
}

func (m *resultsMetrics) collect(to chan<- prometheus.Metric) {
	reader := m.reader.Load()
	if reader == nil {
		return
	}
	stats := reader.Stats()
	collect(m.figures, &stats, to)
	for _, state := range resultsStates {
		to <- prometheus.MustNewConstMetric(m.state, prometheus.GaugeValue, truth(stats.State == state), string(state))
	}
	for _, p := range stats.Partitions {
		to <- prometheus.MustNewConstMetric(m.next, prometheus.GaugeValue, float64(p.Next), strconv.Itoa(int(p.Partition)))
	}
}

// webhookMetrics shows the figures of the webhooks; none until the ledger is open.
type webhookMetrics struct {
	slot    *webhookSlot
	figures []figure[webhook.Stats]
}

func newWebhookMetrics(slot *webhookSlot) *webhookMetrics {
	type s = webhook.Stats
	return &webhookMetrics{slot, []figure[s]{
		counter("farthing_webhook_deliveries_total", "Notifications that endpoints of webhooks have taken.", func(s *s) float64 { return float64(s.Delivered) }),
		counter("farthing_webhook_failures_total", "Attempts to deliver to an endpoint that failed.", func(s *s) float64 { return float64(s.Failed) }),
		gauge("farthing_webhook_active_endpoints", "Endpoints of webhooks that are delivered to.", func(s *s) float64 { return float64(s.Active) }),
		gauge("farthing_webhook_failing_endpoints", "Active endpoints whose last attempt failed.", func(s *s) float64 { return float64(s.Failing) }),
		gauge("farthing_webhook_disabled_endpoints", "Endpoints that failed for so long, or asked for it, that nothing is delivered to them; GET /v1/webhooks says why.", func(s *s) float64 { return float64(s.Disabled) }),
	}}
}

// Describe implements prometheus.Collector.
func (m *webhookMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, f := range m.figures {
		to <- f.desc
	}
}

// Collect implements prometheus.Collector.
func (m *webhookMetrics) Collect(to chan<- prometheus.Metric) {
	if d, no := m.slot.get(); no == nil {
		stats := d.Stats()
		collect(m.figures, &stats, to)
	}
}
