package httpapi

import (
	"github.com/prometheus/client_golang/prometheus"

	"farthing/engine"
	"farthing/meter"
)

// operationNames are the words for operations on holds.
var operationNames = [...]string{engine.PlaceHold: "hold", engine.ExtendHold: "extension", engine.CaptureHold: "capture", engine.VoidHold: "void"}

// holdMetrics counts operations on holds.
type holdMetrics struct {
	outcomes *prometheus.CounterVec
	// common are looked up once, by engine.HoldOpKind.
	common [len(operationNames)]struct{ done, duplicate, unpriced prometheus.Counter }
}

func newHoldMetrics() (m holdMetrics) {
	m.outcomes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "farthing_hold_operations_total",
		Help: "Operations on holds (hold, extension, capture, void) by outcome: done (captures of unpriced events among them), duplicate, unpriced, refused. Refused ones have the code of their refusal.",
	}, []string{"operation", "outcome", "code"})
	for kind, name := range operationNames {
		if name == "" {
			continue
		}
		at := &m.common[kind]
		at.done = m.outcomes.WithLabelValues(name, "done", "")
		at.duplicate = m.outcomes.WithLabelValues(name, "duplicate", "")
		at.unpriced = m.outcomes.WithLabelValues(name, "unpriced", "")
	}
	return m
}

// count counts the operations of one request.
func (m *holdMetrics) count(kind engine.HoldOpKind, sum *operationSum, results []engine.HoldResult, rejects []meter.Reject) {
	at := &m.common[kind]
	count(at.done, sum.done)
	count(at.duplicate, sum.duplicates)
	count(at.unpriced, sum.unpriced)
	name := operationNames[kind]
	for i := range rejects {
		m.outcomes.WithLabelValues(name, "refused", string(rejects[i].Refusal.Code)).Inc()
	}
	for i := range results {
		if results[i].Outcome == engine.HoldRefused {
			m.outcomes.WithLabelValues(name, "refused", string(results[i].Refusal.Code)).Inc()
		}
	}
}
