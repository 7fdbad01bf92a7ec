package engine

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"farthing/journal"
)

// retainEvery is how often the retention loop looks for history to drop, by the sequencer's clock.
const retainEvery = time.Hour

// retainSteps says how small parts get: a part covers at least this share of the retention. Each costs a replay of what it covers and a
// base of the size of a full checkpoint.
const retainSteps = 32

// identityGrace is how much longer than the dedup window identities are kept.
const identityGrace = 10 * time.Minute

// retention is what the engine keeps of its dropping of history.
type retention struct {
	mu   sync.Mutex    // held during a round
	row  uint32        // guarded by mu: of the unpriced list; none before it is open. Rows never open again
	poke chan struct{} // a token: there may be something to drop
	next int64         // when the sequencer pokes next; the sequencer's

	lastDrop atomic.Int64           // time of the last one since the start, ns; 0: none
	freed    atomic.Uint64          // bytes of blocks since the start
	heldBy   atomic.Pointer[string] // what kept the last round from going further
}

// retainAge is how old history must be to be dropped: what retries may ask for is younger. A hold may have been open
// for holdTTLMax before its end came into the dedup window.
func (o *Options) retainAge() time.Duration {
	return max(o.Retention, o.DedupWindow+identityGrace+time.Duration(holdTTLMax))
}

// startRetention starts the loop if history is to be dropped.
func (e *Engine) startRetention() {
	if e.o.Retention > 0 {
		e.spawn("retention", e.retainLoop)
	} else {
		close(e.retainDone)
	}
}

// retainLater pokes the retention loop once an hour, and soon after the start.
func (s *sequencer) retainLater() {
	if s.e.o.Retention == 0 {
		return
	}
	if now := s.nowOf(); now >= s.e.retained.next {
		s.e.retained.next = now + int64(retainEvery)
		select {
		case s.e.retained.poke <- struct{}{}:
		default:
		}
	}
}

// retainLoop drops history until told to stop.
func (e *Engine) retainLoop() {
	defer close(e.retainDone)
	for e.told(e.retained.poke, e.retainStop) {
		// A rerate that began meanwhile is a reason to keep it like others, and no fault.
		if _, err := e.dropHistory(); err != nil && !errors.Is(err, errStopped) && !errors.Is(err, errRerated) {
			e.o.Logger.Error("history could not be dropped; it is kept and tried again", "error", err)
		}
	}
}

// dropHistory exports and drops what is old enough, if it is enough to be worth it, and returns how far the history is dropped then. A crash at any
// point leaves what the next round goes on with: a base that is valid is exported and journaled, a part that is journaled is
// dropped. Until then nothing is missing from the store.
func (e *Engine) dropHistory() (uint64, error) {
	e.retained.mu.Lock()
	defer e.retained.mu.Unlock()
	if err := e.finishDrops(); err != nil {
		return 0, err
	}
	part, err := e.waitingBase()
	if err != nil {
		return 0, err
	}
	if part == nil {
		through, err := e.dropLimit()
		if err != nil || through == 0 {
			return e.store.Base().Seq, err
		}
		if part, err = e.makeBase(through); err != nil {
			return 0, fmt.Errorf("base of sequence %d: %w", through, err)
		}
	}
	if err := e.exportPart(part); err != nil {
		return 0, err
	}
	if err := e.journalBase(part); err != nil {
		return 0, err
	}
	return part.through, e.finishDrops()
}

// waitingBase is the part whose base an interrupted round left, if it is old enough still: the retention may be longer than it was.
func (e *Engine) waitingBase() (*droppedPart, error) {
	markers, err := baseMarkers(e.store)
	if err != nil {
		return nil, err
	}
	for _, m := range markers {
		if m.through <= e.published.Load().droppedTo() {
			continue
		}
		at, err := e.store.BaseAt(m.through)
		if err != nil {
			return nil, err
		}
		if at.Time <= e.now()-int64(e.o.retainAge()) {
			return &droppedPart{through: at.Seq, time: at.Time, chain: at.Hash, table: m.sum}, nil
		}
	}
	return nil, nil
}

// makeBase derives the state at a command from the base before it, which checks all that is going to be dropped, and writes it.
func (e *Engine) makeBase(through uint64) (*droppedPart, error) {
	at, err := e.store.BaseAt(through)
	if err != nil {
		return nil, err
	}
	from, err := start(e.store, e.retainAborted)
	if err != nil {
		return nil, err
	}
	if err := e.replayTo(&from, through); err != nil {
		return nil, err
	}
	if from.state.pending != nil || len(from.state.following) > 0 {
		return nil, errors.New("it lies between what belongs together")
	}
	header := baseHeader{born: e.born, at: at}
	sum, err := writeBase(e.store, &header, from.state, &from.evidence)
	return &droppedPart{through: at.Seq, time: at.Time, chain: at.Hash, table: sum}, err
}

func (e *Engine) retainAborted() error {
	select {
	case <-e.retainStop:
		return errStopped
	default:
		return nil
	}
}

// replayTo brings a state and its trees from where the stored history begins to a command.
func (e *Engine) replayTo(from *loadedBase, through uint64) error {
	trees := &from.evidence
	p := replayer{state: from.state}
	p.after = func(c *cursor) error {
		var a *amendment
		switch c.kind {
		case kindAmend:
			var err error
			if a, err = c.amendment(); err != nil {
				return err
			}
		case kindCut:
			trees.cut()
		}
		trees.command(c, a)
		return nil
	}
	err := e.store.Blocks(0, func(b *journal.Block) error {
		if err := e.retainAborted(); err != nil {
			return err
		}
		if b.First > 1 {
			trees.block(b.Body)
			if err := p.block(b); err != nil {
				return err
			}
			trees.rows = trees.rows[:0] // they were written when the block was new
		}
		if b.Final {
			if err := balancedAt(from.state.ledger, b.Last); err != nil {
				return err
			}
		}
		if b.Last >= through {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	if err == nil && from.state.seq != through {
		err = fmt.Errorf("the replay ends at %d", from.state.seq)
	}
	return err
}

// journalBase journals that a part was exported, unless something has begun meanwhile that needs it.
func (e *Engine) journalBase(part *droppedPart) (err error) {
	e.internal(func(s *sequencer) {
		if err = s.state.checkBase(part); err == nil {
			s.command(kindBase, part.append(nil))
			s.state.applyBase(part)
		}
	})
	return err
}

// finishDrops drops what is journaled as exported: the blocks first, then what is derived of them, then the base before.
func (e *Engine) finishDrops() error {
	e.await(&e.marks.durable, e.store.Head().Seq)
	dropped := e.published.Load().dropped
	if len(dropped) == 0 {
		return nil
	}
	part := dropped[len(dropped)-1]
	if there, err := e.hasBase(part); err != nil || !there {
		return err // an import has the history that others dropped, and no base: the next part goes further
	}
	if part.through > e.store.Base().Seq {
		if at, err := e.store.BaseAt(part.through); err != nil || at.Hash != part.chain {
			return errors.Join(err, fmt.Errorf("sequence %d has another hash than its base", part.through))
		}
		e.marks.drop(part.through) // no reader begins below it from here on
		freed, err := e.store.DropBlocks(part.through)
		if err != nil {
			return err
		}
		e.retained.lastDrop.Store(e.now())
		e.retained.freed.Add(freed)
		e.o.Logger.Info("history was dropped", "to", part.through, "of", timeOf(part.time), "bytes", freed)
	}
	if e.runs.claim() { // else the tidier is merging some of them, and drops them later
		err := e.runs.dropDerived(part.through)
		e.runs.release()
		if err != nil {
			return err
		}
	}
	e.tidy.wake()
	return dropBases(e.store, part.through)
}

// hasBase reports whether the base of a part is there: without it nothing may be dropped.
func (e *Engine) hasBase(part *droppedPart) (bool, error) {
	markers, err := baseMarkers(e.store)
	return slices.Contains(markers, baseMarker{part.through, part.table}), err
}

// dropStatements removes the statement runs that are of dropped commands alone: markers first.
func (x *runIndex) dropStatements(through uint64) error {
	var gone []statementRun
	var rows []journal.Row
	for _, r := range x.load().statements {
		if r.last <= through {
			gone = append(gone, r)
			rows = append(rows, journal.Row{Space: journal.SpaceMarker, Key: statementRunKey(r.number), Delete: true})
		}
	}
	if len(gone) == 0 {
		return nil
	}
	if err := x.store.Write(rows, true); err != nil {
		return err
	}
	x.change(func(next *runSet) {
		next.statements = next.statements[len(gone):]
		next.dropped++
	})
	for i := range gone {
		if err := x.store.DropTable(journal.KindStatement, gone[i].number); err != nil {
			return err
		}
	}
	return nil
}

// dropBases removes the bases before one: markers first.
func dropBases(store storage, through uint64) error {
	markers, err := baseMarkers(store)
	if err != nil {
		return err
	}
	for _, m := range markers {
		if m.through >= through {
			continue
		}
		row := journal.Row{Space: journal.SpaceMarker, Key: baseMarkerKey(m.through), Delete: true}
		if err := store.Write([]journal.Row{row}, true); err != nil {
			return err
		}
		if err := store.DropTable(journal.KindBase, m.through); err != nil {
			return err
		}
	}
	return nil
}
