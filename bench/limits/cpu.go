package limits

import (
	"context"
	"fmt"
	"time"

	"github.com/valyala/fastjson"
)

// copyBytes is more than any processor caches, so that memory is measured.
const copyBytes = 256 << 20

// MeasureCopy copies memory for d, or until ctx ends, and returns the bytes a second of one processor.
func MeasureCopy(ctx context.Context, d time.Duration) (bytesPerSecond int64) {
	from, to := make([]byte, copyBytes), make([]byte, copyBytes)
	copy(to, from) // the pages are there before the clock starts
	return perSecond(ctx, d, copyBytes, func() { copy(to, from) })
}

// MeasureScan validates a JSON body again and again for d, or until ctx ends, and returns the bytes a second of one processor. Nothing is kept of what
// is read.
func MeasureScan(ctx context.Context, body []byte, d time.Duration) (bytesPerSecond int64, err error) {
	if err := fastjson.ValidateBytes(body); err != nil {
		return 0, fmt.Errorf("measure the scan of JSON: %w", err)
	}
	return perSecond(ctx, d, len(body), func() { _ = fastjson.ValidateBytes(body) }), nil
}

// perSecond repeats what handles so many bytes.
func perSecond(ctx context.Context, d time.Duration, bytes int, once func()) int64 {
	began, n := time.Now(), 0
	for time.Since(began) < d && ctx.Err() == nil {
		once()
		n++
	}
	return int64(float64(n) * float64(bytes) / time.Since(began).Seconds())
}
