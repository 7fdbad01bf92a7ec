package publish

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// feed reads the outbox ahead of a session and encodes what it finds, so that the next batch is ready when the one in flight is
// answered. It never waits for the session but to hand over.
type feed struct {
	box     Outbox
	encoder *encoder
	read    int // bytes asked of the outbox at once
	items   chan fed
	cancel  context.CancelFunc
	done    sync.WaitGroup
}

// fed is what a feed hands over: a chunk, the news that nothing is sealed, or the error that ends it.
type fed struct {
	chunk
	idle bool
	err  error
}

// feed starts reading after what is confirmed. Whoever calls it stops it.
func (s *session) feed(ctx context.Context) *feed {
	ctx, cancel := context.WithCancel(ctx)
	e := newEncoder(&s.r.o, s.r.batchLimit())
	f := &feed{box: s.r.box, encoder: e, read: max(e.limit, rawBytesMax), items: make(chan fed, 1), cancel: cancel}
	if e.codec == NoCompression {
		f.read = e.limit
	}
	f.done.Go(func() { f.run(ctx, s.confirmed+1) })
	return f
}

// stop ends the feed and waits: the outbox must not be asked after Run.
func (f *feed) stop() {
	f.cancel()
	f.done.Wait()
}

func (f *feed) run(ctx context.Context, next uint64) {
	for {
		changed := f.box.Changed() // before the look, so that nothing sealed in between is missed
		records, err := f.box.Records(next, f.read)
		if err != nil {
			f.hand(ctx, fed{err: fmt.Errorf("read outbox from %d: %w", next, err)})
			return
		}
		checkRecords(records, next)
		if len(records) == 0 {
			if !f.hand(ctx, fed{idle: true}) || pause(ctx, changed, maxPause) != nil {
				return
			}
		}
		for len(records) > 0 {
			c, err := f.encoder.encode(records)
			if !f.hand(ctx, fed{chunk: c, err: err}) || err != nil {
				return
			}
			records, next = records[c.records:], c.last+1
		}
	}
}

// maxPause is how long a feed trusts the outbox to say that something was sealed.
const maxPause = time.Hour

func (f *feed) hand(ctx context.Context, item fed) bool {
	select {
	case f.items <- item:
		return true
	case <-ctx.Done():
		return false
	}
}

// checkRecords asserts the outbox's promises.
func checkRecords(records []Record, from uint64) {
	for i := range records {
		if records[i].StreamSeq != from+uint64(i) {
			panic(fmt.Sprintf("BUG: the outbox gave stream_seq %d in place %d of records from %d", records[i].StreamSeq, i, from))
		}
		for _, h := range records[i].Headers {
			if isContractHeader(h.Key) {
				panic(fmt.Sprintf("BUG: the outbox gave stream_seq %d a header %s of its own", records[i].StreamSeq, h.Key))
			}
		}
	}
}
