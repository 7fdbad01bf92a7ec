package engine

import (
	"errors"
	"iter"
	"slices"
	"time"

	"farthing/journal"
)

// The tidier works behind the run builder: it merges runs (here) and forgets (forget.go). What it does
// changes no answer, so it may stop at any point and begin anew: a table without a marker is
// dropped at the next start, and one batch of markers turns the old runs into the new one.
type tidier struct {
	e    *Engine
	poke chan struct{} // a token: there may be something to do
	stop chan struct{} // closed: it gives up what it is at and ends
	done chan struct{}
	next int64 // when the sequencer pokes it next; the sequencer's
}

func newTidier(e *Engine) *tidier {
	return &tidier{e: e, poke: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

// tidyEvery is how often what may be forgotten is looked for.
const tidyEvery = time.Minute

// tidyLater pokes the tidier once a minute, by the sequencer's clock.
func (s *sequencer) tidyLater() {
	if now := s.nowOf(); now >= s.e.tidy.next {
		s.e.tidy.next = now + int64(tidyEvery)
		s.e.tidy.wake()
	}
}

func (t *tidier) wake() {
	select {
	case t.poke <- struct{}{}:
	default:
	}
}

// loop is the tidier's goroutine.
func (t *tidier) loop() {
	defer close(t.done)
	for t.e.told(t.poke, t.stop) {
		for more := true; more; {
			var err error
			if more, err = t.step(); errors.Is(err, errStopped) {
				return
			} else if tableFault(err) {
				t.e.o.Logger.Error("runs could not be merged; it is tried again with the next one", "error", err)
				more = false
			} else if err != nil {
				t.e.fail(err)
			}
		}
	}
}

// step does one thing that there is to do.
func (t *tidier) step() (more bool, err error) {
	if more, err = t.forget(); more || err != nil {
		return more, err
	}
	set := t.e.runs.load()
	for _, ep := range set.epochs {
		if ep.shared != nil && len(ep.runs) > 0 && (ep.full || len(ep.runs) >= epochSmall) {
			return true, t.merge(ep.runs, ep.full)
		}
	}
	if old := set.likeLarge(int64(t.e.o.DedupWindow) / 8); old != nil {
		return true, t.merge(old, true)
	}
	return t.mergeBySize()
}

// largeRuns is how many neighbouring large runs of about one size become one. A new event asks
// the filter of each run, so what it asks grows with the logarithm of what is remembered: at 200 million
// identities five filters instead of twelve, for one more pass over them.
const largeRuns = 4

// likeLarge returns the oldest large runs to be merged; nil: there are none. What together covers more
// time than span stays apart, since a run is forgotten as a whole.
func (s *runSet) likeLarge(span int64) []*runInfo {
	for i := 0; i+largeRuns <= len(s.epochs); i++ {
		var old []*runInfo
		least, most := 0, 0
		for _, e := range s.epochs[i : i+largeRuns] {
			if e.shared != nil {
				return nil // small ones follow
			}
			old = append(old, e.runs[0])
			if len(old) == 1 || e.count < least {
				least = e.count
			}
			most = max(most, e.count)
		}
		if most <= 2*least && old[largeRuns-1].newest-old[0].newest <= span {
			return old
		}
	}
	return nil
}

func (t *tidier) stopping() bool {
	select {
	case <-t.stop:
		return true
	default:
		return false
	}
}

// merge makes one run of neighbours: a large one of a full epoch or of other large ones.
func (t *tidier) merge(old []*runInfo, large bool) error {
	x, count := &t.e.runs, 0
	for _, r := range old {
		count += r.count
	}
	last := old[len(old)-1]
	merged := &runInfo{id: x.table(), from: old[0].from, to: last.to, first: old[0].first, last: last.last, newest: last.newest, large: large, filter: newFilter(count)}
	merged.blocks = len(merged.filter.blocks)
	b := tableSet{store: x.store}
	b.build(journal.KindIdentity, merged.id, func(out table) error {
		w := runWriter{t: out, info: merged, own: &merged.filter}
		if err := t.mergeInto(&w, old); err != nil {
			return err
		}
		return w.close()
	})
	b.build(journal.KindIdentityFilter, merged.id, merged.filter.write)
	if err := b.ingest(mergedMarkers(merged, old)...); err != nil {
		return err
	}
	x.change(func(next *runSet) { next.replace(old, merged) })
	t.e.merges.Add(1)
	return dropRuns(x.store, old)
}

// mergedMarkers turn old runs into the new one.
func mergedMarkers(merged *runInfo, old []*runInfo) []journal.Row {
	markers := []journal.Row{merged.marker()}
	for _, r := range old {
		markers = append(markers, journal.Row{Space: journal.SpaceMarker, Key: runKey(r.id), Delete: true})
	}
	return markers
}

// mergeInto gives the entries of runs to a writer by hash, and those of a hash by sequence.
func (t *tidier) mergeInto(w *runWriter, old []*runInfo) error {
	m, err := newRunMerge(t.e.runs.store, old)
	defer m.close()
	if err != nil {
		return err
	}
	work := time.Now()
	for n := 1; m.more(); n++ {
		if err := w.add(m.hash(), m.at()); err != nil {
			return err
		}
		if err := m.next(); err != nil {
			return err
		}
		if n%mergeStep == 0 {
			if err := t.pause(time.Since(work)); err != nil {
				return err
			}
			work = time.Now()
		}
	}
	return nil
}

// mergeStep is how many entries are merged between two pauses: some milliseconds.
const mergeStep = 32 << 10

// pause leaves others as much time as the tidier had, if they have work.
func (t *tidier) pause(worked time.Duration) error {
	if t.stopping() {
		return errStopped
	}
	if t.e.o.world.stages != nil {
		t.e.o.world.stages.yield()
		return nil
	}
	if t.e.admission.requests.Load() == 0 {
		return nil
	}
	timer := time.NewTimer(min(worked, 20*time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-t.stop:
		return errStopped
	}
}

// replace puts one run in the place of neighbours: large ones, or those of an epoch, which may have gained others meanwhile.
func (s *runSet) replace(old []*runInfo, merged *runInfo) {
	for i, e := range s.epochs {
		if len(e.runs) == 0 || e.runs[0].id != old[0].id {
			continue
		}
		whole := &epoch{runs: []*runInfo{merged}, count: merged.count, full: true}
		switch {
		case e.shared == nil:
			s.epochs = slices.Replace(s.epochs, i, i+len(old), whole)
		case merged.large && len(e.runs) == len(old):
			s.epochs[i] = whole
		default:
			next := *e
			next.runs = append([]*runInfo{merged}, e.runs[len(old):]...)
			s.epochs[i] = &next
		}
		s.dropped++
		return
	}
	panic("BUG: merged runs are gone")
}

// dropRuns drops the tables of runs whose markers are gone.
func dropRuns(store storage, runs []*runInfo) error {
	for _, r := range runs {
		for _, kind := range []journal.Kind{journal.KindIdentity, journal.KindIdentityFilter} {
			if err := store.DropTable(kind, r.id); err != nil {
				return err
			}
		}
	}
	return nil
}

// runMerge goes over the entries of runs by hash, then sequence. It keeps one row of each.
type runMerge struct {
	heap []*runCursor
	all  []*runCursor
}

// runCursor goes over the entries of one run.
type runCursor struct {
	run      *runInfo
	pull     func() ([]byte, error, bool)
	stop     func()
	row      []byte
	hash, at uint64
}

func newRunMerge(store storage, runs []*runInfo) (*runMerge, error) {
	m := &runMerge{}
	for _, r := range runs {
		c := &runCursor{run: r}
		c.pull, c.stop = iter.Pull2(tableRows(store, journal.KindIdentity, r.id))
		m.all = append(m.all, c)
		ok, err := c.next()
		if err != nil {
			return m, err
		}
		if ok {
			m.heap = append(m.heap, c)
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.down(i)
	}
	return m, nil
}

// tableRows yields the rows of a table; each is valid until the next one is asked for.
func tableRows(store storage, kind journal.Kind, id uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		ended := false
		err := store.TableScan(kind, id, nil, nil, func(_, row []byte) (bool, error) {
			ended = !yield(row, nil)
			return !ended, nil
		})
		if err != nil && !ended {
			yield(nil, err)
		}
	}
}

// next goes on to the run's next entry; false: that was the last.
func (c *runCursor) next() (bool, error) {
	for len(c.row) == 0 {
		row, err, ok := c.pull()
		if err != nil || !ok {
			return false, err
		}
		c.row = row
	}
	hash, at, rest, bad := cutIdentity(c.row, c.run.first)
	if bad || hash < c.hash {
		return false, c.run.damaged()
	}
	c.hash, c.at, c.row = hash, at, rest
	return true, nil
}

func (c *runCursor) before(d *runCursor) bool {
	return c.hash < d.hash || c.hash == d.hash && c.at < d.at
}

func (m *runMerge) more() bool   { return len(m.heap) > 0 }
func (m *runMerge) hash() uint64 { return m.heap[0].hash }
func (m *runMerge) at() uint64   { return m.heap[0].at }

// next goes on to the next entry of all.
func (m *runMerge) next() error {
	ok, err := m.heap[0].next()
	if err != nil {
		return err
	}
	if !ok {
		n := len(m.heap) - 1
		m.heap[0] = m.heap[n]
		m.heap = slices.Delete(m.heap, n, n+1)
	}
	m.down(0)
	return nil
}

func (m *runMerge) down(i int) {
	for {
		k := 2*i + 1
		if k >= len(m.heap) {
			return
		}
		if k+1 < len(m.heap) && m.heap[k+1].before(m.heap[k]) {
			k++
		}
		if !m.heap[k].before(m.heap[i]) {
			return
		}
		m.heap[i], m.heap[k] = m.heap[k], m.heap[i]
		i = k
	}
}

// close ends the scans.
func (m *runMerge) close() {
	for _, c := range m.all {
		c.stop()
	}
}
