package engine

import (
	"sort"
	"time"

	"farthing/journal"
)

// What history is still needed for.

// dropBoundary is a sequence that history may be dropped to, and why not further.
type dropBoundary struct {
	seq uint64
	why string
}

func (b *dropBoundary) lower(seq uint64, why string) {
	if seq < b.seq {
		*b = dropBoundary{seq, why}
	}
}

// dropLimit is how far history may be dropped now; 0: nothing, or too little to be worth it.
func (e *Engine) dropLimit() (uint64, error) {
	base := e.store.Base()
	limit, err := e.dropBound(base)
	if err != nil {
		return 0, err
	}
	e.retained.held(e, &limit)
	at, err := e.groupEnd(limit.seq, base.Seq)
	if err != nil || at.Seq <= max(base.Seq, e.published.Load().droppedTo(), 1) { // an imported ledger has what others dropped
		return 0, err
	}
	since := base.Time
	if base.Seq == 0 {
		since = e.born
	}
	if time.Duration(at.Time-since) < e.o.retainStep {
		return 0, nil
	}
	return at.Seq, nil
}

// held notes what keeps history from being dropped further, and says so when that changes.
func (r *retention) held(e *Engine, limit *dropBoundary) {
	if was := r.heldBy.Swap(&limit.why); was == nil || *was != limit.why {
		e.o.Logger.Info("history is kept", "from", limit.seq+1, "because_of", limit.why)
	}
}

// dropBound is the lowest of all that history is still needed for.
func (e *Engine) dropBound(base journal.Base) (dropBoundary, error) {
	limit := dropBoundary{e.store.Head().Seq - 1, "it is the head"}
	limit.lower(e.marks.checkpointed.load(), "the newest checkpoint")
	limit.lower(e.marks.indexed.load(), "the newest run")
	limit.lower(e.marks.evidenced.load(), "the evidence")
	limit.lower(e.forgottenTo(), "identities that are not forgotten")
	settled := uint64(0)
	t := e.published.Load()
	if n := len(t.windows); n > 0 {
		settled = t.windows[n-1].cut
	}
	limit.lower(settled, "windows that are not settled")
	unheard, err := e.noticeBound(t)
	if err != nil {
		return limit, err
	}
	limit.lower(unheard, "notifications that are not delivered")
	if limit.seq <= base.Seq {
		return limit, nil
	}
	old, err := e.olderThan(e.now()-int64(e.o.retainAge()), base.Seq, limit.seq)
	if err != nil {
		return limit, err
	}
	limit.lower(old, "age")
	if limit.seq > base.Seq {
		e.openBounds(&limit)
	}
	if limit.seq > base.Seq {
		err = e.lateBound(base.Seq, settled, &limit)
	}
	return limit, err
}

// olderThan is the last sequence, from base to limit, of a block that is not younger than a time.
func (e *Engine) olderThan(ns int64, base, limit uint64) (uint64, error) {
	var failed error
	n := sort.Search(int(limit-base), func(i int) bool {
		b, err := e.store.BlockAt(base + uint64(i) + 1)
		if err != nil {
			failed = err
			return true
		}
		return b.Time > ns
	})
	return base + uint64(n), failed
}

// noticeBound is the last sequence before all that notifications are made of which somebody has not got yet.
func (e *Engine) noticeBound(t *tables) (uint64, error) {
	needed := ^uint64(0)
	if e.o.NoticesNeeded != nil {
		needed = e.o.NoticesNeeded()
	}
	if at, err := e.noticeProgress().Position(); err != nil {
		return 0, err
	} else if e.o.NoticesPublished || at.Confirmed > 0 || at.Attempt != nil {
		needed = min(needed, at.Confirmed+1)
	}
	next := uint64(0)
	e.internal(func(s *sequencer) { next = s.state.nextNotice })
	if needed >= next {
		return ^uint64(0), nil
	}
	base := e.store.Base().Seq // what is dropped nobody can be told any more
	kept := sort.Search(len(t.notices), func(i int) bool { return t.notices[i].seq > base })
	i := max(sort.Search(len(t.notices), func(i int) bool { return t.notices[i].first > needed })-1, kept)
	limit, blocks := ^uint64(0), blockReader{e: e}
	for ; i < len(t.notices); i++ {
		limit = min(limit, t.notices[i].seq-1)
		c, err := blocks.at(t.notices[i].seq)
		if err != nil {
			return 0, err
		}
		if c.kind != kindExpire {
			continue
		}
		r := reader{p: c.payload}
		for _, h := range r.expiry().holds { // whose names the notifications show
			limit = min(limit, h.seq-1)
		}
	}
	return limit, nil
}

// openBounds lowers the limit below what is open: an unpriced event is rated, and a hold is captured, with what the journal says of it.
// What is opened while this looks is younger than the limit. Each visit to the sequencer is short.
func (e *Engine) openBounds(limit *dropBoundary) {
	for done := false; !done; {
		e.internal(func(s *sequencer) {
			u, end := &s.state.unpriced.rows, e.retained.row+usageVisit
			for ; e.retained.row < u.Len() && e.retained.row < end; e.retained.row++ {
				if row := u.At(e.retained.row); row.open {
					limit.lower(row.seq-1, "an event without a price")
					break
				}
			}
			done = e.retained.row < end
		})
	}
	for n, done := uint32(0), false; !done; {
		e.internal(func(s *sequencer) {
			rows, end := &s.state.holds.rows, n+usageVisit
			for ; n < rows.Len() && n < end; n++ {
				if row := rows.At(n); row.seq != 0 {
					limit.lower(row.seq-1, "an open hold")
				}
			}
			if n := len(s.state.rerates); n > 0 && s.state.rerates[n-1].done == 0 {
				limit.lower(0, "a rerate that is under way")
			}
			done = n >= rows.Len()
		})
	}
}

// groupEnd is the last end of a group at or before a sequence at which a state can be kept; none above base: zero.
func (e *Engine) groupEnd(seq, base uint64) (journal.Base, error) {
	windows := e.published.Load().windows
	for seq > base {
		if between(windows, seq) {
			i := windowIndex(windows, seq)
			if i == len(windows) || windows[i].cut != seq {
				i--
			}
			seq = windows[i].cut - 1
			continue
		}
		b, err := e.store.BlockAt(seq)
		if err != nil {
			return journal.Base{}, err
		}
		if b.Last == seq && b.Final {
			return journal.Base{Seq: b.Last, Hash: b.Hash, Time: b.Time}, nil
		}
		seq = b.First - 1
	}
	return journal.Base{}, nil
}
