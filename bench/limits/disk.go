package limits

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Fsync is the latency of an append and fsync on a disk.
type Fsync struct {
	Bytes  int           `json:"bytes"` // of each write
	Writes int           `json:"writes"`
	P50    time.Duration `json:"p50_ns"`
	P99    time.Duration `json:"p99_ns"`
	Max    time.Duration `json:"max_ns"`
}

// Writes is how fast a file grows whose writes are synced one after the other.
type Writes struct {
	Bytes          int   `json:"bytes"` // of each write
	BytesPerSecond int64 `json:"bytes_per_second"`
}

const (
	// fsyncBytes is a small group; the latency hardly depends on it below 64 KiB.
	fsyncBytes = 4096
	// writeBytes is the size at which a group of the server takes no further requests.
	writeBytes = 1 << 20
)

// MeasureFsync appends a few KiB, writes times, to a new file in dir and fsyncs each time. The file is removed. A figure of durable
// events is to be read against it.
func MeasureFsync(dir string, writes int) (Fsync, error) {
	h := hdrhistogram.New(int64(time.Microsecond), int64(time.Minute), 2)
	n := 0
	err := appendTo(dir, fsyncBytes, func(took time.Duration) bool {
		_ = h.RecordValue(min(int64(took), int64(time.Minute)))
		n++
		return n < writes
	})
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) }
	return Fsync{Bytes: fsyncBytes, Writes: n, P50: at(50), P99: at(99), Max: time.Duration(h.Max())}, err
}

// MeasureWrites appends MiB after MiB to a new file in dir for d, or until ctx ends, and fsyncs each. The file is removed.
func MeasureWrites(ctx context.Context, dir string, d time.Duration) (Writes, error) {
	began, n := time.Now(), 0
	err := appendTo(dir, writeBytes, func(time.Duration) bool {
		n++
		return time.Since(began) < d && ctx.Err() == nil
	})
	return Writes{Bytes: writeBytes, BytesPerSecond: int64(float64(n*writeBytes) / time.Since(began).Seconds())}, errors.Join(err, ctx.Err())
}

// appendTo appends blocks and fsyncs each, as long as more says so of the time it took.
func appendTo(dir string, size int, more func(took time.Duration) bool) (err error) {
	path := filepath.Join(dir, "limits-probe")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	block := make([]byte, size)
	for i := range block {
		block[i] = byte(i * 7) // not zeros, which some disks do not store
	}
	for {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return fmt.Errorf("measure the disk: %w", err)
		}
		if err := f.Sync(); err != nil {
			return fmt.Errorf("measure the disk: %w", err)
		}
		if !more(time.Since(began)) {
			return nil
		}
	}
}
