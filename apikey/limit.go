package apikey

import (
	"sync/atomic"
	"time"
)

// Limits is what a key may use. A zero rate is no limit.
type Limits struct {
	RequestsPerSecond, BytesPerSecond int64
	// RequestBurst and ByteBurst are what may come at once after a pause; zero: what a
	// second allows.
	RequestBurst, ByteBurst int64
}

// limitMax bounds every field of Limits, so that no sum of times overflows.
const limitMax = 1_000_000_000

// Limiter counts what a key uses. It is safe for concurrent use, and asking it costs one
// compare-and-swap.
type Limiter struct {
	limits          Limits
	began           time.Time // times count from here, whatever the clock on the wall does
	requests, bytes bucket
}

func newLimiter(l Limits) *Limiter {
	return &Limiter{limits: l, began: time.Now(), requests: newBucket(l.RequestsPerSecond, l.RequestBurst), bytes: newBucket(l.BytesPerSecond, l.ByteBurst)}
}

// Request asks for one request. When it is too early, limit names what was used up, and
// wait says until when. The length of a body is not known yet, so of bytes it is asked
// whether any are left, and Bytes takes them: the body that uses them up is still read, and
// what it used beyond them is waited for.
func (l *Limiter) Request(now time.Time) (wait time.Duration, limit string) {
	at := int64(now.Sub(l.began))
	if wait := l.bytes.left(at); wait > 0 {
		return wait, "bytes"
	}
	if wait := l.requests.take(at); wait > 0 {
		return wait, "requests"
	}
	return 0, ""
}

// Bytes takes bytes, or gives them back.
func (l *Limiter) Bytes(now time.Time, n int64) { l.bytes.use(int64(now.Sub(l.began)), n) }

// bucket is the generic cell rate algorithm: instead of tokens it keeps the time at which
// all that was used will have been earned again.
type bucket struct {
	rate  int64 // a second; 0: no limit
	burst int64 // how far earned may lie ahead, in nanoseconds
	// earned is a time in nanoseconds since Limiter.began.
	earned atomic.Int64
}

func newBucket(rate, burst int64) bucket {
	if rate == 0 {
		return bucket{}
	}
	if burst == 0 {
		burst = rate
	}
	return bucket{rate: rate, burst: cost(burst, rate)}
}

// cost is how long n take to be earned. n is at most limitMax, or a body.
func cost(n, rate int64) int64 { return n * int64(time.Second) / rate }

// take uses one, or says how long to wait for it.
func (b *bucket) take(at int64) time.Duration {
	if b.rate == 0 {
		return 0
	}
	for {
		earned := b.earned.Load()
		next := max(earned, at) + cost(1, b.rate)
		if over := next - at - b.burst; over > 0 {
			return time.Duration(over)
		}
		if b.earned.CompareAndSwap(earned, next) {
			return 0
		}
	}
}

// left says how long to wait until there is something.
func (b *bucket) left(at int64) time.Duration {
	if b.rate == 0 {
		return 0
	}
	return time.Duration(max(0, b.earned.Load()-at-b.burst+1))
}

// use takes n whether there are as many or not.
func (b *bucket) use(at, n int64) {
	if b.rate == 0 || n == 0 {
		return
	}
	for {
		earned := b.earned.Load()
		if b.earned.CompareAndSwap(earned, max(earned, at)+cost(n, b.rate)) {
			return
		}
	}
}
