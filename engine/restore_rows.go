package engine

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// rowWork decodes the rows of one checkpoint on several goroutines.
type rowWork struct {
	before [numRowTables]uint64        // rows before this checkpoint
	rows   [numRowTables]atomic.Uint64 // rows of it
	todo   chan rowChunk
	free   chan []byte // buffers, to be filled again
	done   sync.WaitGroup
	mu     sync.Mutex
	failed error // under mu: the first
}

// rowChunk is a chunk of rows and where they go.
type rowChunk struct {
	table *rowTable
	rows  *atomic.Uint64
	bytes []byte
}

// rowChunksQueued bounds what is read and not decoded: 1 MiB.
const rowChunksQueued = 16

func newRowWork() *rowWork {
	w := &rowWork{todo: make(chan rowChunk, rowChunksQueued), free: make(chan []byte, rowChunksQueued)}
	for range runtime.GOMAXPROCS(0) {
		w.done.Go(w.run)
	}
	return w
}

// add hands a copy of a chunk over. What the rows are checked against must be there.
func (w *rowWork) add(t *rowTable, rows *atomic.Uint64, p []byte) {
	var buf []byte
	select {
	case buf = <-w.free:
	default:
	}
	w.todo <- rowChunk{t, rows, append(buf[:0], p...)}
}

// wait ends the work and returns what was wrong first.
func (w *rowWork) wait() error {
	close(w.todo)
	w.done.Wait()
	return w.failed
}

func (w *rowWork) run() {
	for c := range w.todo {
		n, err := c.decode()
		c.rows.Add(n)
		if err != nil {
			w.mu.Lock()
			if w.failed == nil {
				w.failed = fmt.Errorf("rows of table %s: %w", c.table.name, err)
			}
			w.mu.Unlock()
		}
		select {
		case w.free <- c.bytes:
		default:
		}
	}
}

// decode puts the rows where they were and counts them.
func (c *rowChunk) decode() (n uint64, err error) {
	defer func() { refuseBroken(recover(), &err, "row %d of a chunk", n) }()
	r := reader{p: c.bytes}
	for ; len(r.p) > 0 && !r.bad; n++ {
		c.table.restore(&r, r.uvarint())
	}
	return n, r.end()
}
