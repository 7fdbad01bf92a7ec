package engine

import "farthing/refusal"

// ResultExported is the reason for which a result is not answered once more that was booked, with this content, in what is dropped.
const ResultExported = "result_exported"

// exported refuses what lies in a part of the history that was exported and dropped; it names the last manifest written for it, which names those
// before it. Files of an export are bounded by their size, and go on to the end of a window: their limits are not those of what was dropped.
func (e *Engine) exported(code string, seq uint64) *refusal.Refusal {
	after, p := e.published.Load().partOf(seq)
	if p == nil {
		return refusal.New(refusal.NotFound, code, "sequence %d was exported and is not stored any more", seq)
	}
	return refusal.New(refusal.NotFound, code, "sequence %d was exported and is not stored any more: sequences %d to %d are in the parts up to the one whose manifest has SHA-256 %s",
		seq, after+1, p.through, hexID(p.manifest))
}

// historyExported refuses a read that met the beginning of what is stored.
func (e *Engine) historyExported() *refusal.Refusal {
	return e.exported("history_exported", e.marks.dropped.load())
}

// unknownEvent refuses an event that is not found. Of one that was exported a run may still have the hash.
func (e *Engine) unknownEvent(source, id string, blocks *blockReader) *refusal.Refusal {
	switch dropped := e.marks.dropped.load(); {
	case blocks.gone != 0:
		return e.exported("event_exported", blocks.gone)
	case dropped != 0:
		return refusal.New(refusal.NotFound, "unknown_event",
			"there is no event %s of source %s; if it was booked at sequence %d or before, it is in an exported part", id, source, dropped)
	}
	return refusal.New(refusal.NotFound, "unknown_event", "there is no event %s of source %s", id, source)
}

// unknownHold refuses a hold that is not found.
func (e *Engine) unknownHold(id string, blocks *blockReader) *refusal.Refusal {
	switch dropped := e.marks.dropped.load(); {
	case blocks.gone != 0:
		return e.exported("hold_exported", blocks.gone)
	case dropped != 0:
		return refusal.New(refusal.NotFound, "unknown_hold", "there is no hold %s; if it was placed at sequence %d or before, it is in an exported part", id, dropped)
	}
	return refusal.New(refusal.NotFound, "unknown_hold", "there is no hold %s", id)
}

// keptFrom refuses a stretch of event times of which events may have been dropped: none is recorded more than aheadMax before its time.
func (t *tables) keptFrom(from int64) *refusal.Refusal {
	n := len(t.dropped)
	if n == 0 || from > t.dropped[n-1].time+int64(aheadMax) {
		return nil
	}
	return refusal.New(refusal.Invalid, "history_exported", "events up to %s were exported and are not stored any more; from must be later",
		timeOf(t.dropped[n-1].time+int64(aheadMax)).Format("2006-01-02T15:04:05.999999999Z"))
}
