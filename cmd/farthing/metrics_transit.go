package main

import (
	"time"

	"farthing/engine"

	"github.com/prometheus/client_golang/prometheus"
)

// transitMetrics shows what waits for results. Amounts are not among them: a metric is a float.
// GET /v1/in-transit has them.
type transitMetrics struct{ lines, oldest *prometheus.Desc }

func newTransitMetrics() transitMetrics {
	return transitMetrics{
		lines:  desc("farthing_in_transit_lines", "Lines of settlement batches that have an amount in transit: they wait for a result.", "currency"),
		oldest: desc("farthing_in_transit_oldest_seconds", "Seconds since the window of the oldest batch was closed that has an amount in transit, to participants (pay) or from them (collect).", "currency", "direction"),
	}
}

func (m *transitMetrics) describe(to chan<- *prometheus.Desc) {
	to <- m.lines
	to <- m.oldest
}

// collect goes over the batches in transit, the oldest first.
func (m *transitMetrics) collect(e *engine.Engine, age func(time.Time) float64, to chan<- prometheus.Metric) {
	lines, oldest := map[string]float64{}, map[[2]string]float64{}
	for cursor, more := "", true; more; more = cursor != "" {
		page, no := e.InTransit(cursor, 1000)
		if no != nil {
			return // it is stopping: an absent figure is truer than a part of it
		}
		for i := range page.Items {
			b := &page.Items[i]
			currency := b.Currency.Code()
			lines[currency] += float64(b.Lines)
			for _, d := range [...]struct {
				direction string
				none      bool
			}{{"pay", b.Pay.IsZero()}, {"collect", b.Collect.IsZero()}} {
				key := [2]string{currency, d.direction}
				if _, seen := oldest[key]; !seen && !d.none {
					oldest[key] = age(b.Time)
				}
			}
		}
		cursor = page.Next
	}
	for currency, n := range lines {
		to <- prometheus.MustNewConstMetric(m.lines, prometheus.GaugeValue, n, currency)
	}
	for key, seconds := range oldest {
		to <- prometheus.MustNewConstMetric(m.oldest, prometheus.GaugeValue, seconds, key[0], key[1])
	}
}
