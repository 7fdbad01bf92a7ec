package engine

import (
	"errors"
	"fmt"
	"time"

	"farthing/journal"
)

// exportPart exports what is going to be dropped, and what belongs to it.
func (e *Engine) exportPart(part *droppedPart) error {
	after, err := e.exportedTo()
	if err != nil {
		return err
	}
	through, err := e.exportTo(e.store.Base().Seq, part.through)
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

// exportedTo is how far the exports of what is dropped went; 0: nothing is.
func (e *Engine) exportedTo() (uint64, error) {
	base := e.store.Base().Seq
	if base == 0 {
		return 0, nil
	}
	return e.exportTo(0, base)
}

// exportTo is how far is exported with a stretch of history.
func (e *Engine) exportTo(_, through uint64) (uint64, error) {
	return e.sealAfter(through)
}

// sealAfter is the end of the group that seals the window of a command. An export goes as far: the tree of the window goes with its seal, so
// that what is dropped is proven from the export alone.
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
