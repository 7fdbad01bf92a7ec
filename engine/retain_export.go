package engine

import (
	"errors"
	"fmt"
	"sort"
	"time"

	"farthing/journal"
)

// What is exported when history is dropped goes on behind it, so that the export alone proves every event that was dropped: to the seal of the window
// that the base cuts, with which its tree goes, and of the last window in which an event before the base was rated.

// exportPart exports what is going to be dropped, and what belongs to it.
func (e *Engine) exportPart(part *droppedPart) error {
	after, err := e.exportedTo()
	if err != nil {
		return err
	}
	through, err := e.exportEnd(e.store.Base().Seq, part.through)
	if err != nil {
		return err
	}
	through = max(through, after)
	start := time.Now()
	source, err := e.Exporter()
	if err != nil {
		return err
	}
	source.aborted = e.retainAborted
	if part.manifest, err = e.o.Export(ExportPart{After: after, Through: through, Source: source, Stop: e.retainStop}); err != nil {
		if stopped := e.retainAborted(); stopped != nil {
			return stopped
		}
		return fmt.Errorf("export of sequences %d to %d: %w", after+1, through, err)
	}
	e.o.Logger.Info("history was exported", "first", after+1, "last", through, "manifest", hexID(part.manifest), "took", time.Since(start))
	return nil
}

// exportedTo is how far the exports of what was dropped went; 0: nothing was. It follows from the journal, as each of them did.
func (e *Engine) exportedTo() (uint64, error) {
	base := e.store.Base().Seq
	if base == 0 {
		return 0, nil
	}
	return e.exportEnd(0, base)
}

// exportEnd is how far an export of a stretch of history goes.
func (e *Engine) exportEnd(after, through uint64) (uint64, error) {
	rated, err := e.lastRating(after, through)
	if err != nil {
		return 0, err
	}
	return e.sealAfter(max(through, rated))
}

// lateEvent is an event that had no price when it came, and its last amendment.
type lateEvent struct{ origin, last uint64 }

// lateEvents lists those of a stretch of history that stand as a command behind another one. Each visit to the sequencer is short.
func (e *Engine) lateEvents(after, through, behind uint64) (out []lateEvent) {
	for row, begun, done := uint32(0), false, false; !done; {
		e.internal(func(s *sequencer) {
			rows := &s.state.unpriced.rows
			if !begun {
				row = uint32(sort.Search(int(rows.Len()), func(i int) bool { return rows.At(uint32(i)).seq > after }))
				begun = true
			}
			for end := min(row+usageVisit, rows.Len()); row < end; row++ {
				origin := rows.At(row).seq
				if origin > through {
					done = true
					return
				}
				if last, _ := s.state.amends.last(origin); last > behind {
					out = append(out, lateEvent{origin, last})
				}
			}
			done = row >= rows.Len()
		})
	}
	return out
}

// lastRating is the last command behind a stretch of history that rated an event of it which had no price when it came: it has the event's leaf. 0: none.
func (e *Engine) lastRating(after, through uint64) (last uint64, err error) {
	blocks := blockReader{e: e}
	for _, late := range e.lateEvents(after, through, through) {
		if late.last <= last {
			continue
		}
		rated, err := blocks.ratedAt(late.origin, late.last)
		if errors.Is(err, journal.ErrDropped) {
			continue // the rating lies in the stretch
		}
		if err == nil {
			err = e.retainAborted()
		}
		if err != nil {
			return 0, err
		}
		last = max(last, rated)
	}
	return last, nil
}

// lateBound lowers the limit below an event whose rating is not settled yet: it would have no proof once it is dropped.
func (e *Engine) lateBound(base, settled uint64, limit *dropBoundary) error {
	blocks := blockReader{e: e}
	for _, late := range e.lateEvents(base, limit.seq, settled) {
		rated, err := blocks.ratedAt(late.origin, late.last)
		if err == nil {
			err = e.retainAborted()
		}
		if err != nil {
			return err
		}
		if rated > settled {
			limit.lower(late.origin-1, "an event that was rated and not settled since")
			return nil
		}
	}
	return nil
}

// sealAfter is the end of the group that seals the window of a command.
func (e *Engine) sealAfter(seq uint64) (through uint64, err error) {
	windows := e.published.Load().windows
	i := windowIndex(windows, seq)
	if i == len(windows) {
		return 0, fmt.Errorf("sequence %d is not settled", seq)
	}
	e.await(&e.marks.durable, windows[i].sealed)
	err = e.store.Blocks(windows[i].sealed, func(b *journal.Block) error {
		if !b.Final {
			return nil
		}
		through = b.Last
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && through == 0 {
		err = fmt.Errorf("window %d is sealed at %d, where no group ends", windows[i].number, windows[i].sealed)
	}
	return through, err
}
