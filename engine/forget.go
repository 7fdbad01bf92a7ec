package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/zeebo/xxh3"

	"farthing/journal"
)

// Forgetting. An identity is remembered while its event may be sent again: an event's time may be ahead
// of ours by aheadMax, and one older than the dedup window is refused whoever sends it. So once
// the newest command of the oldest run is older than both, nothing of it has to be known any
// more. That is journaled, because what is booked after it depends on it: the command
//
//	22 forget {through}
//
// says that identities of events at or below a sequence may be booked again, those of holds,
// their extensions and their ends if the hold ended at or below it, those of results never. A run
// that is forgotten has no filter and is not asked about new events; reads still find its
// events, as long as the journal has them. What has to stay goes to the kept run.
const forgetMargin = 2 * aheadMax

func hashIdentity(id []byte, seed uint64) uint64 { return xxh3.HashSeed(id, seed) }

// forgettable is the last sequence of the runs whose newest command is before a time; 0: there is none.
func (s *runSet) forgettable(before int64) (through uint64) {
	for _, e := range s.epochs {
		for _, r := range e.runs {
			if r.newest >= before {
				return through
			}
			through = r.last
		}
	}
	return through
}

// forget forgets what is old enough, and ends what a start interrupted.
func (t *tidier) forget() (more bool, err error) {
	e := t.e
	set := e.runs.load()
	through := set.forgettable(e.now() - int64(e.o.DedupWindow) - int64(forgetMargin))
	if through > e.mayForget.Load() && !e.o.neverForget {
		e.internal(func(s *sequencer) {
			s.command(kindForget, binary.AppendUvarint(nil, through))
			s.state.forgotten = through
		})
		e.mayForget.Store(through)
	}
	if through = e.mayForget.Load(); through <= set.forgotten || set.oldest() > through {
		return false, nil
	}
	return true, t.archive(set, through)
}

// oldest is the last sequence of the oldest live run. In an imported ledger it need not end where the history was forgotten
// to: then it is remembered whole until all of it is forgotten.
func (s *runSet) oldest() uint64 {
	if len(s.epochs) == 0 {
		return ^uint64(0)
	}
	return s.epochs[0].runs[0].last
}

// applyForget is replay's.
func (s *state) applyForget(payload []byte) error {
	r := reader{p: payload}
	through := r.uvarint()
	if err := r.end(); err != nil {
		return err
	}
	if through <= s.forgotten || through >= s.seq {
		return fmt.Errorf("what is forgotten up to %d cannot be forgotten up to %d", s.forgotten, through)
	}
	s.forgotten = through
	return nil
}

// archive takes the runs up to a sequence out of the live ones.
func (t *tidier) archive(set *runSet, through uint64) error {
	x := &t.e.runs
	var old, archived []*runInfo
	special := 0
	set.live(func(r *runInfo) {
		if r.last > through {
			return
		}
		gone := *r
		gone.archived, gone.filter = true, filter{}
		old, archived = append(old, r), append(archived, &gone)
		special += r.special
	})
	through = old[len(old)-1].last
	b := tableSet{store: x.store}
	kept := set.kept
	switch {
	case special > 0:
		kept = t.keep(&b, set, through)
	case kept != nil: // nothing of it has ended
		same := keptRun{id: kept.id, through: through, count: kept.count, blocks: kept.blocks, filter: kept.filter}
		kept = &same
	}
	var markers []journal.Row
	for _, r := range archived {
		markers = append(markers, r.marker())
	}
	if set.kept != nil {
		markers = append(markers, journal.Row{Space: journal.SpaceMarker, Key: keptKey(set.kept.id), Delete: true})
	}
	if kept != nil {
		markers = append(markers, kept.marker()) // behind the deletion: it may be of the same key
	}
	if err := b.ingest(markers...); err != nil {
		return err
	}
	x.change(func(next *runSet) { next.forget(len(old), archived, kept) })
	return t.dropFilters(set, kept, old)
}

// forget moves the oldest n live runs to the archived ones.
func (s *runSet) forget(n int, archived []*runInfo, kept *keptRun) {
	s.archived = append(s.archived, archived...)
	s.kept, s.forgotten = kept, archived[len(archived)-1].last
	s.dropped++
	for n > 0 {
		e := s.epochs[0]
		if n >= len(e.runs) {
			n -= len(e.runs)
			s.epochs = s.epochs[1:]
			continue
		}
		rest := *e
		rest.runs = slices.Clone(e.runs[n:])
		s.epochs[0], n = &rest, 0
	}
}

// dropFilters drops the tables that forgetting makes useless.
func (t *tidier) dropFilters(before *runSet, kept *keptRun, old []*runInfo) error {
	store := t.e.runs.store
	for _, r := range old {
		if err := store.DropTable(journal.KindIdentityFilter, r.id); err != nil {
			return err
		}
	}
	if k := before.kept; k != nil && k.id != kept.id {
		return errorOr(store.DropTable(journal.KindKept, k.id), func() error { return store.DropTable(journal.KindIdentityFilter, k.id) })
	}
	return nil
}

// keep builds the next kept run.
func (t *tidier) keep(b *tableSet, set *runSet, through uint64) *keptRun {
	p := keeper{seed: t.e.seed, open: map[[2]uint64][]keptEntry{}}
	k := &keptRun{id: t.e.runs.table(), through: through}
	before := 0
	if set.kept != nil {
		before = set.kept.count
		b.err = set.kept.scan(t.e.runs.store, p.take)
	}
	if b.err == nil {
		b.err = t.walk(&p, set.forgotten+1, through)
	}
	entries := p.entries()
	k.filter = newFilter(len(entries) + before)
	k.blocks = len(k.filter.blocks)
	b.build(journal.KindKept, k.id, func(out table) error { return writeKept(t.e.runs.store, set.kept, entries, out, k) })
	b.build(journal.KindIdentityFilter, k.id, k.filter.write)
	return k
}

var errWalked = errors.New("walked far enough")

// walk gives the keeper a stretch of the journal.
func (t *tidier) walk(p *keeper, from, through uint64) error {
	var c cursor
	blocks, work := 0, time.Now()
	err := t.e.store.Blocks(from, func(b *journal.Block) error {
		c.reset(b.Body, b.First, b.Time, t.e.published.Load())
		for c.next() {
			if c.seq < from || c.seq > through {
				continue
			}
			if err := p.command(&c); err != nil {
				return fmt.Errorf("sequence %d: %w", c.seq, err)
			}
		}
		if err := c.err(); err != nil {
			return err
		}
		if b.Last >= through {
			return errWalked
		}
		if blocks++; blocks%walkStep == 0 {
			if err := t.pause(time.Since(work)); err != nil {
				return err
			}
			work = time.Now()
		}
		return nil
	})
	if errors.Is(err, errWalked) {
		return nil
	}
	return err
}

// walkStep is how many blocks are walked between two pauses: some milliseconds.
const walkStep = 16

// forgottenTo is the last sequence of which only kept identities are remembered. The journal up to there
// is needed for reads alone.
func (e *Engine) forgottenTo() uint64 { return e.runs.load().forgotten }

// dropForgotten drops the archived runs of a history that is dropped up to a sequence. The newest one
// stays: it says where the runs begin.
func (x *runIndex) dropForgotten(through uint64) error {
	var gone []*runInfo
	set := x.load()
	for i, r := range set.archived {
		if r.last <= through && i < len(set.archived)-1 {
			gone = append(gone, r)
		}
	}
	if len(gone) == 0 {
		return nil
	}
	var rows []journal.Row
	for _, r := range gone {
		rows = append(rows, journal.Row{Space: journal.SpaceMarker, Key: runKey(r.id), Delete: true})
	}
	if err := x.store.Write(rows, true); err != nil {
		return err
	}
	x.change(func(next *runSet) {
		next.archived = next.archived[len(gone):]
		next.dropped++
	})
	return dropRuns(x.store, gone)
}
