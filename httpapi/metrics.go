package httpapi

import (
	"bytes"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"

	"farthing/engine"
	"farthing/refusal"
)

// noRoute is the route label of requests that have none.
const noRoute = "none"

// latencyBuckets run from a cached read to the read timeout. A group commit is
// about a millisecond, where they are closest.
var latencyBuckets = []float64{.0001, .00025, .0005, .001, .002, .003, .005, .0075, .01, .02, .05, .1, .25, 1, 5, 30}

// metrics counts what the server does. Everything here is safe for concurrent use.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	outcomes *prometheus.CounterVec

	accepted, duplicates, unpriced prometheus.Counter
	turnedAway                     prometheus.Counter // connections over the limit
	evicted                        prometheus.Counter // connections closed to make room
	keyLimited                     *prometheus.CounterVec
	holds                          holdMetrics
	// routes has one entry per route and a last one for requests without a route.
	routes []routeMetrics
}

// routeMetrics holds the counters of one route. The common statuses are looked up
// once; the vector would hash its labels every time.
type routeMetrics struct {
	name    string
	ok      [2]atomic.Pointer[prometheus.Counter] // of statuses 200 and 201
	latency prometheus.Observer
}

func newMetrics(routes []route, more []prometheus.Collector) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "farthing_http_requests_total",
			Help: "Requests answered, by route (its pattern, or none) and HTTP status.",
		}, []string{"route", "code"}),
		outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "farthing_events_total",
			Help: "Usage events by outcome: accepted (the unpriced ones among them), duplicate, unpriced, rejected. Rejected ones have the code of their refusal.",
		}, []string{"outcome", "code"}),
		turnedAway: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "farthing_http_connections_refused_total",
			Help: "Connections answered 429 because as many as allowed were open.",
		}),
		evicted: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "farthing_http_connections_evicted_total",
			Help: "Connections closed because they had waited longest for their client when a new one needed the place.",
		}),
		routes: make([]routeMetrics, len(routes)+1),
	}
	latency := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "farthing_http_request_seconds",
		Help:    "Time from the request's headers to its answer, by route.",
		Buckets: latencyBuckets,
	}, []string{"route"})
	for i := range m.routes {
		name := noRoute
		if i < len(routes) {
			name = routes[i].method + " " + routes[i].pattern
		}
		m.routes[i].name, m.routes[i].latency = name, latency.WithLabelValues(name)
	}
	m.accepted = m.outcomes.WithLabelValues("accepted", "")
	m.duplicates = m.outcomes.WithLabelValues("duplicate", "")
	m.unpriced = m.outcomes.WithLabelValues("unpriced", "")
	m.holds, m.keyLimited = newHoldMetrics(), newKeyLimited()
	m.registry.MustRegister(m.requests, m.outcomes, m.holds.outcomes, m.turnedAway, m.evicted, m.keyLimited, latency,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.registry.MustRegister(more...)
	return m
}

// request counts one answered request; r is nil when no route was found.
func (m *metrics) request(r *route, status int, took time.Duration) {
	at := &m.routes[len(m.routes)-1]
	if r != nil {
		at = &m.routes[r.index]
	}
	at.latency.Observe(took.Seconds())
	if status != 200 && status != 201 {
		m.requests.WithLabelValues(at.name, strconv.Itoa(status)).Inc()
		return
	}
	ok := &at.ok[status-200]
	counter := ok.Load()
	if counter == nil {
		c := m.requests.WithLabelValues(at.name, strconv.Itoa(status))
		counter = &c
		ok.Store(counter) // whoever stores last stores the same counter
	}
	(*counter).Inc()
}

// events counts the events of one request.
func (m *metrics) events(r *engine.IngestResult) {
	count(m.accepted, r.Accepted)
	count(m.duplicates, r.Duplicates)
	count(m.unpriced, r.Unpriced)
	for i := range r.Rejected {
		m.outcomes.WithLabelValues("rejected", string(r.Rejected[i].Refusal.Code)).Inc()
	}
}

func count(c prometheus.Counter, n int) {
	if n > 0 {
		c.Add(float64(n))
	}
}

// getMetrics answers in the Prometheus text format.
func (s *Server) getMetrics(c *call) (answer, *refusal.Refusal) {
	families, err := s.metrics.registry.Gather()
	if err != nil {
		// Part of the metrics is better than none; the fault is a collector's.
		s.log.Error("gathering metrics", "error", err)
	}
	var out bytes.Buffer
	format := expfmt.NewFormat(expfmt.TypeTextPlain)
	enc := expfmt.NewEncoder(&out, format)
	for _, family := range families {
		if err := enc.Encode(family); err != nil {
			panic("BUG: a metric family does not encode: " + err.Error())
		}
	}
	c.ctx.Response.Header.SetContentType(string(format))
	return answer{}, s.send(c, out.Bytes(), false)
}
