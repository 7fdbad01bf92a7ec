package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// memory watches the resident memory of a process.
type memory struct {
	peak atomic.Int64
	done chan struct{}
}

// memoryEvery is often enough to see what a settlement of a few hundred milliseconds takes.
const memoryEvery = 20 * time.Millisecond

func startMemory(pid int) *memory {
	m := &memory{done: make(chan struct{})}
	if pid == 0 {
		return m
	}
	go func() {
		tick := time.NewTicker(memoryEvery)
		defer tick.Stop()
		for {
			m.peak.Store(max(m.peak.Load(), residentBytes(pid)))
			select {
			case <-tick.C:
			case <-m.done:
				return
			}
		}
	}()
	return m
}

func (m *memory) most() int64 { return m.peak.Load() }

func (m *memory) stop() { close(m.done) }

// residentBytes is 0 where the system does not say.
func residentBytes(pid int) int64 {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}
