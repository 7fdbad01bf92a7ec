package bench

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// Machine is where a figure was taken.
type Machine struct {
	OS   string `json:"os"`
	Arch string `json:"arch"`
	CPUs int    `json:"cpus"`
	CPU  string `json:"cpu"` // as the system names it, "" when it does not
	Go   string `json:"go"`
}

// ThisMachine describes the machine we run on.
func ThisMachine() Machine {
	return Machine{OS: runtime.GOOS, Arch: runtime.GOARCH, CPUs: runtime.NumCPU(), CPU: cpuName(), Go: runtime.Version()}
}

// String is the machine in one line.
func (m Machine) String() string {
	return fmt.Sprintf("%d × %s, %s/%s, %s", m.CPUs, m.CPU, m.OS, m.Arch, m.Go)
}

func cpuName() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// FsyncResult is the latency of an append and fsync on a disk.
type FsyncResult struct {
	Bytes  int           `json:"bytes"`
	Writes int           `json:"writes"`
	P50    time.Duration `json:"p50_ns"`
	P99    time.Duration `json:"p99_ns"`
	Max    time.Duration `json:"max_ns"`
}

// fsyncBytes is a small group; the latency hardly depends on it below 64 KiB.
const fsyncBytes = 4096

// FsyncProbe appends writes times to a new file in dir and fsyncs each time.
// The file is removed. A figure of durable events is to be read against it.
func FsyncProbe(dir string, writes int) (result FsyncResult, err error) {
	path := filepath.Join(dir, "fsync-probe")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return FsyncResult{}, fmt.Errorf("fsync probe: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(path)) }()
	h, block := newHistogram(), make([]byte, fsyncBytes)
	for range writes {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return FsyncResult{}, fmt.Errorf("fsync probe: %w", err)
		}
		if err := f.Sync(); err != nil {
			return FsyncResult{}, fmt.Errorf("fsync probe: %w", err)
		}
		_ = h.RecordValue(min(int64(time.Since(began)), int64(time.Minute)))
	}
	at := func(q float64) time.Duration { return time.Duration(h.ValueAtQuantile(q)) }
	return FsyncResult{Bytes: fsyncBytes, Writes: writes, P50: at(50), P99: at(99), Max: time.Duration(h.Max())}, nil
}
