package engine

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"time"

	"farthing/journal"
)

// Statement runs are merged by size, and so are archived identity runs: each clean stop leaves one, and a read of an
// account, or of an id that nobody knows, asks them all. Neighbours of about one size become one: going from any
// run to older ones, as many as are no larger than all before them together. So sizes double, and there are few runs
// below the largest size that is merged. That is one full epoch: what is below a base is dropped by runs, and a run
// that begins below it stays as a whole.
//
// Dropping takes the oldest away while the tidier may be merging them, so the two exclude each other
// (runIndex.claim): a drop that comes second leaves it to the tidier.

// tierRuns is how many neighbours are merged at least: each entry is written again once per so many of its size.
// tierRunsMax is how many at most, since a row of each is in memory.
const (
	tierRuns    = 8
	tierRunsMax = 64
)

// tier picks neighbours to be merged by their sizes, oldest first: from..to-1; none if both are equal.
func tier(sizes []uint64, most uint64) (from, to int) {
	for to = len(sizes); to >= tierRuns; to-- {
		sum := sizes[to-1]
		for from = to - 1; from > 0 && to-from < tierRunsMax && sizes[from-1] <= sum && sum+sizes[from-1] <= most; from-- {
			sum += sizes[from-1]
		}
		if to-from >= tierRuns {
			return from, to
		}
	}
	return 0, 0
}

// tierMost is the largest size that merging by size makes, in commands or identities.
func (x *runIndex) tierMost() uint64 { return epochRuns * uint64(x.perRun) }

// statementsToMerge returns neighbouring statement runs to be merged, if there are any.
func (s *runSet) statementsToMerge(most uint64) []statementRun {
	sizes := make([]uint64, len(s.statements))
	for i := range sizes {
		sizes[i] = s.statements[i].last - s.statements[i].first + 1
	}
	from, to := tier(sizes, most)
	return s.statements[from:to:to]
}

// archivedToMerge returns neighbouring archived runs to be merged, if there are any.
func (s *runSet) archivedToMerge(most uint64) []*runInfo {
	sizes := make([]uint64, len(s.archived))
	for i := range sizes {
		sizes[i] = uint64(s.archived[i].count) + 1
	}
	from, to := tier(sizes, most)
	return s.archived[from:to:to]
}

// claim lets one at a time take runs that are out of deduplication away, without waiting; false: another is at it.
func (x *runIndex) claim() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.claimed {
		return false
	}
	x.claimed = true
	return true
}

func (x *runIndex) release() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.claimed = false
}

// dropDerived drops the runs of dropped commands. Its caller has the claim.
func (x *runIndex) dropDerived(through uint64) error {
	return errorOr(x.dropStatements(through), func() error { return x.dropForgotten(through) })
}

// mergeBySize does one merge by size.
func (t *tidier) mergeBySize() (more bool, err error) {
	x := &t.e.runs
	if !x.claim() {
		return false, nil // the history is being dropped
	}
	defer x.release()
	if err := x.dropDerived(t.e.store.Base().Seq); err != nil { // what was being merged when it was dropped
		return false, err
	}
	set := x.load()
	if old := set.statementsToMerge(x.tierMost()); len(old) > 0 {
		return true, t.mergeStatements(old)
	}
	if old := set.archivedToMerge(x.tierMost()); len(old) > 0 {
		return true, t.mergeArchived(old)
	}
	return false, nil
}

// mergeStatements makes one run of neighbours.
func (t *tidier) mergeStatements(old []statementRun) error {
	x := &t.e.runs
	merged := statementRun{number: x.table(), first: old[0].first, last: old[len(old)-1].last}
	b := tableSet{store: x.store}
	b.build(journal.KindStatement, merged.number, func(out table) error { return t.mergeLists(old, out.Add) })
	markers := []journal.Row{merged.marker()}
	for i := range old {
		markers = append(markers, journal.Row{Space: journal.SpaceMarker, Key: statementRunKey(old[i].number), Delete: true})
	}
	if err := b.ingest(markers...); err != nil {
		return err
	}
	x.change(func(next *runSet) {
		at := slices.Index(next.statements, old[0])
		next.statements = slices.Replace(next.statements, at, at+len(old), merged)
	})
	t.e.statementMerges.Add(1)
	for i := range old {
		if err := x.store.DropTable(journal.KindStatement, old[i].number); err != nil {
			return err
		}
	}
	return nil
}

// mergedList is how many sequences of an account a merged run has in one list at most.
const mergedList = 512

// mergeLists gives the lists of runs as rows, account by account, those of an account in the order of the runs.
func (t *tidier) mergeLists(old []statementRun, add func(key, value []byte) error) error {
	cursors := make([]*statementCursor, 0, len(old))
	for i := range old {
		c := openStatements(t.e.runs.store, &old[i])
		defer c.stop()
		if err := c.next(); err != nil {
			return err
		}
		cursors = append(cursors, c)
	}
	w := statementWriter{add: add}
	work, seqs, entries := time.Now(), []uint64(nil), 0
	for {
		cursors = slices.DeleteFunc(cursors, func(c *statementCursor) bool { return c.ended })
		if len(cursors) == 0 {
			return w.close()
		}
		account := cursors[0].account
		for _, c := range cursors {
			account = min(account, c.account)
		}
		for _, c := range cursors {
			for !c.ended && c.account == account {
				seqs, entries = append(seqs, c.seqs...), entries+len(c.seqs)
				if err := errorOr(w.lists(account, &seqs, mergedList), c.next); err != nil {
					return err
				}
			}
		}
		if err := w.lists(account, &seqs, 1); err != nil {
			return err
		}
		if entries >= mergeStep {
			if err := t.pause(time.Since(work)); err != nil {
				return err
			}
			work, entries = time.Now(), 0
		}
	}
}

// statementCursor goes over the lists of a statement run.
type statementCursor struct {
	run     *statementRun
	pull    func() ([]byte, error, bool)
	stop    func()
	row     reader
	account uint64
	seqs    []uint64
	ended   bool
}

func openStatements(store storage, run *statementRun) *statementCursor {
	c := &statementCursor{run: run}
	c.pull, c.stop = iter.Pull2(tableRows(store, journal.KindStatement, run.number))
	return c
}

// next goes on to the next list.
func (c *statementCursor) next() error {
	for len(c.row.p) == 0 {
		row, err, ok := c.pull()
		if err != nil || !ok {
			c.ended = true
			return err
		}
		c.row = reader{p: row}
	}
	account := c.row.uvarint()
	n, at := c.row.uvarint(), uint64(0)
	c.seqs = c.seqs[:0]
	for range min(n, uint64(len(c.row.p))) {
		at += c.row.uvarint()
		c.seqs = append(c.seqs, at)
	}
	if c.row.bad || account < c.account || uint64(len(c.seqs)) != n || n == 0 || c.seqs[0] < c.run.first || at > c.run.last {
		return fmt.Errorf("statement run %d of sequences %d to %d: a row does not decode", c.run.number, c.run.first, c.run.last)
	}
	c.account = account
	return nil
}

// statementWriter writes lists as rows.
type statementWriter struct {
	add func(key, value []byte) error
	row []byte
	key [12]byte
}

// lists writes what is full of an account's sequences, in lists of mergedList, and keeps the rest if it is below least.
func (w *statementWriter) lists(account uint64, seqs *[]uint64, least int) error {
	rest := *seqs
	for len(rest) >= least && len(rest) > 0 {
		n := min(len(rest), mergedList)
		if err := w.list(account, rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	*seqs = append((*seqs)[:0], rest...)
	return nil
}

// list appends sequences of an account, ascending.
func (w *statementWriter) list(account uint64, seqs []uint64) error {
	w.row = binary.AppendUvarint(w.row, account)
	w.row = binary.AppendUvarint(w.row, uint64(len(seqs)))
	last := uint64(0)
	for _, s := range seqs {
		w.row = binary.AppendUvarint(w.row, s-last)
		last = s
	}
	binary.BigEndian.PutUint32(w.key[:], uint32(account))
	binary.BigEndian.PutUint64(w.key[4:], last)
	if len(w.row) < statementRowBytes {
		return nil
	}
	return w.close()
}

// close ends the row, if there is one.
func (w *statementWriter) close() error {
	if len(w.row) == 0 {
		return nil
	}
	err := w.add(w.key[:], w.row)
	w.row = w.row[:0]
	return err
}

// mergeArchived makes one archived run of neighbours. It has no filter, as they have none.
func (t *tidier) mergeArchived(old []*runInfo) error {
	x, last := &t.e.runs, old[len(old)-1]
	merged := &runInfo{id: x.table(), from: old[0].from, to: last.to, first: old[0].first, last: last.last, newest: last.newest,
		large: true, archived: true, blocks: last.blocks}
	b := tableSet{store: x.store}
	b.build(journal.KindIdentity, merged.id, func(out table) error {
		w := runWriter{t: out, info: merged}
		return errorOr(t.mergeInto(&w, old), w.close)
	})
	if err := b.ingest(mergedMarkers(merged, old)...); err != nil {
		return err
	}
	x.change(func(next *runSet) {
		at := slices.Index(next.archived, old[0])
		next.archived = slices.Replace(next.archived, at, at+len(old), merged)
		next.dropped++
	})
	t.e.merges.Add(1)
	return dropRuns(x.store, old)
}
