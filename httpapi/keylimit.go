package httpapi

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"farthing/refusal"
)

// Key is a known API key.
type Key struct {
	ID     string
	Scopes Scopes
	Limit  KeyLimit // nil: none
}

// KeyLimit bounds what a key uses. It is called by many goroutines at once.
type KeyLimit interface {
	// Request takes one request. When it is too early, limit says of what there is no
	// more ("requests", "bytes"), and wait until when.
	Request(now time.Time) (wait time.Duration, limit string)
	// Bytes takes so many bytes of a body, or gives them back; they may be more than
	// there are, which the next request waits for.
	Bytes(now time.Time, n int64)
}

// retryAfterMax bounds what a client is told to wait.
const retryAfterMax = time.Hour

func newKeyLimited() *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "farthing_http_key_limited_total",
		Help: "Requests refused because an API key was over its limit, by the key's id and what was used up: requests or bytes.",
	}, []string{"key", "limit"})
}

// limitKey refuses a request of a key that has used up what it may.
func (s *Server) limitKey(c *call) *refusal.Refusal {
	if c.key.Limit == nil {
		return nil
	}
	wait, limit := c.key.Limit.Request(s.now())
	if limit == "" {
		return nil
	}
	s.metrics.keyLimited.WithLabelValues(c.key.ID, limit).Inc()
	c.retryAfter = min(wait, retryAfterMax)
	return refusal.New(refusal.KeyLimit, limit, "this API key has used up its %s of this second; try again after the time in Retry-After", limit)
}

// charge counts bytes of a body against the key's limit.
func (c *call) charge(now time.Time, n int) {
	if c.key.Limit != nil {
		c.key.Limit.Bytes(now, int64(n))
	}
}

// writeRetryAfter says when to try again, where that is known.
func (c *call) writeRetryAfter() {
	if c.retryAfter > 0 {
		seconds := int64((c.retryAfter + time.Second - 1) / time.Second)
		c.ctx.Response.Header.Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
}
