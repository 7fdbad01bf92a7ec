package engine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"farthing/internal/bloom"
	"farthing/journal"
)

// A run is generations on disk: an immutable table of their identities sorted by hash, and the
// persisted filter of these. The run builder writes a small run of each generation; behind it
// the tidier merges the small runs of an epoch into a large one, and large ones into larger ones (merge.go), and takes the
// oldest out of deduplication once nobody may repeat what is in them (forget.go). The
// statement entries of the same sequences are tables of their own (postings.go), merged by size
// (statement_merge.go).
//
// An identity is stored once, in the journal; a run only says under which sequences
// identities of a hash are. A filter and a hash say maybe, the journal's record says yes.
//
// Entries are packed some 4 KiB to a row, because a row costs ten times what an entry
// costs. A row's key is the hash of its last entry, so that seeking a hash finds the row it
// would be in:
//
//	key    hash of the last entry (8, big-endian)
//	value  per entry: hash (8, big-endian) | uvarint (sequence − the run's first) × 2, + 1 if it is of no event
//
// Versions. A look at the runs is of version v when it saw the generations 0..v-1, in
// whatever runs they are: versions count generations, not runs. Then
//
//  1. the live runs of a set are contiguous: each begins with the generation that the one
//     before ends with, the last ends with version, and what lies before the first is forgotten;
//  2. a merge replaces neighbours by one run of the same generations and the same entries, so the
//     set before and the set after answer alike, and a look of version v stays one of version v;
//  3. a table goes only after a set without it was published, and every reader looks whether
//     that happened while it read (runIndex.look): it never mistakes a dropped table for an empty one;
//  4. forgetting is journaled before the set without these runs is published, and a request
//     that looked at another set than that is sent back once it is (sequencer.stale). So whoever
//     books an identity anew does it behind the command that allows it, and whoever meets the
//     new booking has looked where it is.
type runInfo struct {
	id          uint64 // of its tables
	from, to    uint64 // generations from..to-1
	first, last uint64 // sequences covered
	count       int
	special     int   // entries that are of no event
	newest      int64 // time of its newest command
	large       bool  // of a whole epoch, or of several
	archived    bool  // forgotten: for reads only
	blocks      int   // of its stored filter
	filter      filter
}

// epoch is runs that are asked together. Small ones share one more filter, large enough for
// epochRuns full ones from its start: asking each run's filter costs a cache miss a run and
// event, which at a million events a second and run soon is more than all the rest. A large
// run is an epoch by itself, and its filter serves.
type epoch struct {
	runs   []*runInfo
	shared *filter // nil: one large run
	room   int     // identities that shared is made for
	count  int
	full   bool // takes no more runs: waits to be merged
}

const (
	// epochRuns is how many full generations become one large run.
	epochRuns = 16
	// epochSmall bounds the runs of an epoch: clean stops leave runs that are not full.
	epochSmall = 32
)

// filter is the one that every event asks; no blocks: it is not in memory, and each run has to be
// asked.
func (e *epoch) filter() *filter {
	if e.shared != nil {
		return e.shared
	}
	return &e.runs[0].filter
}

// statementRun is a table of statement entries.
type statementRun struct {
	number      uint64 // of its table; older ones may have that of their generation
	first, last uint64
}

// runSet is the runs as of one moment; immutable but for shared filters, which only gain.
type runSet struct {
	version    uint64 // generations covered
	indexed    uint64 // the last sequence covered
	forgotten  uint64 // up to this sequence only kept identities are looked for
	epochs     []*epoch
	archived   []*runInfo // forgotten, oldest first
	kept       *keptRun   // what stays of the forgotten; nil: nothing
	statements []statementRun
	dropped    uint64 // counts changes that let tables go
}

// forgottenTime is up to when an event's time may be whose identity is forgotten; 0: none is.
func (s *runSet) forgottenTime() int64 {
	if n := len(s.archived); n > 0 {
		return s.archived[n-1].newest + int64(aheadMax)
	}
	return 0
}

// indexedTo is the last sequence that the runs cover.
func (s *runSet) indexedTo() uint64 { return s.indexed }

// live calls fn with every run that deduplication asks, oldest first.
func (s *runSet) live(fn func(*runInfo)) {
	for _, e := range s.epochs {
		for _, r := range e.runs {
			fn(r)
		}
	}
}

// all is every identity run, oldest first.
func (s *runSet) all() []*runInfo {
	out := slices.Clone(s.archived)
	s.live(func(r *runInfo) { out = append(out, r) })
	return out
}

// clone copies what changes replace: the lists, not the epochs.
func (s *runSet) clone() *runSet {
	next := *s
	next.epochs, next.archived, next.statements = slices.Clone(s.epochs), slices.Clone(s.archived), slices.Clone(s.statements)
	return &next
}

// runIndex publishes the current run set. The run builder and the tidier change it, under the lock.
type runIndex struct {
	store   storage
	perRun  int   // identities of a full generation
	budget  int64 // bytes of filters in memory
	evicted func(runs int)

	current atomic.Pointer[runSet]
	mu      sync.Mutex
	nextID  uint64 // of tables; under mu
	claimed bool   // somebody takes runs away that are out of deduplication (claim); under mu
}

func (x *runIndex) load() *runSet { return x.current.Load() }

// errSetMoved: a reader waited so long that it had better begin with the current set.
var errSetMoved = errors.New("the runs have moved on")

// look calls fn with the current set, again if tables of it went meanwhile, and returns the set
// that the result is of. What a reader finds missing in a table that is gone means nothing.
func (x *runIndex) look(fn func(*runSet) error) (*runSet, error) {
	for {
		set := x.load()
		err := fn(set)
		if x.load().dropped == set.dropped && !errors.Is(err, errSetMoved) {
			return set, err
		}
	}
}

// table gives out the next id of tables.
func (x *runIndex) table() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.nextID++
	return x.nextID
}

// change publishes what fn makes of a copy of the current set.
func (x *runIndex) change(fn func(*runSet)) *runSet {
	x.mu.Lock()
	defer x.mu.Unlock()
	next := x.load().clone()
	fn(next)
	if n := next.fit(x.budget); n > 0 && x.evicted != nil {
		x.evicted(n)
	}
	x.current.Store(next)
	return next
}

// filterBytes is the memory that the filters take.
func (s *runSet) filterBytes() (n int64) {
	for _, e := range s.epochs {
		if e.shared != nil {
			n += e.shared.bytes()
		}
	}
	s.live(func(r *runInfo) { n += r.filter.bytes() })
	if s.kept != nil {
		n += s.kept.filter.bytes()
	}
	return n
}

// fit takes filters of large runs out of memory, oldest first, until the rest fits the budget, and
// returns how many. Such a run is asked on disk about every event: exact, and slower.
func (s *runSet) fit(budget int64) (evicted int) {
	have := s.filterBytes()
	for i := 0; i < len(s.epochs) && have > budget; i++ {
		e := s.epochs[i]
		if e.shared != nil || e.runs[0].filter.blocks == nil {
			continue
		}
		have -= e.runs[0].filter.bytes()
		bare := *e.runs[0]
		bare.filter = filter{}
		s.epochs[i] = &epoch{runs: []*runInfo{&bare}, count: e.count, full: true}
		evicted++
	}
	return evicted
}

// enter adds a run behind the newest ones: to the epoch of a shared filter, which need not be
// there yet.
func (s *runSet) enter(r *runInfo, into *epoch) {
	s.version, s.indexed = r.to, r.last
	grown := &epoch{shared: into.shared, room: into.room}
	n := len(s.epochs)
	if n > 0 && s.epochs[n-1].shared == into.shared {
		grown.runs, grown.count = s.epochs[n-1].runs, s.epochs[n-1].count
		n--
	} else if n > 0 && s.epochs[n-1].shared != nil {
		whole := *s.epochs[n-1]
		whole.full = true
		s.epochs[n-1] = &whole
	}
	grown.runs, grown.count = append(slices.Clip(grown.runs), r), grown.count+r.count
	grown.full = grown.count > grown.room-grown.room/(2*epochRuns)
	s.epochs = append(s.epochs[:n], grown)
}

// open returns the epoch that a run of so many identities goes to: the last one, or a new one.
func (s *runSet) open(count, perRun int) *epoch {
	if n := len(s.epochs); n > 0 {
		if e := s.epochs[n-1]; e.shared != nil && !e.full && e.count+count <= e.room+e.room/8 {
			return e
		}
	}
	room := max(perRun, count) * epochRuns
	f := newFilter(room)
	return &epoch{shared: &f, room: room}
}

// The marker of a run: what makes its tables valid.
const (
	markLarge = 1 << iota
	markArchived
)

func (r *runInfo) marker() journal.Row {
	flags := uint64(0)
	if r.large {
		flags |= markLarge
	}
	if r.archived {
		flags |= markArchived
	}
	var v []byte
	for _, n := range [...]uint64{flags, r.from, r.to, r.first, r.last, uint64(r.count), uint64(r.special), uint64(r.newest), uint64(r.blocks)} {
		v = binary.AppendUvarint(v, n)
	}
	return journal.Row{Space: journal.SpaceMarker, Key: runKey(r.id), Value: v}
}

func parseRun(key, value []byte) (*runInfo, error) {
	r := reader{p: value}
	flags := r.uvarint()
	info := &runInfo{from: r.uvarint(), to: r.uvarint(), first: r.uvarint(), last: r.uvarint(), count: int(r.uvarint()), special: int(r.uvarint()),
		newest: int64(r.uvarint()), blocks: int(r.uvarint()), large: flags&markLarge != 0, archived: flags&markArchived != 0}
	if len(key) != 9 || r.end() != nil || info.from >= info.to || info.blocks <= 0 || info.blocks > filterBlocksMax || info.count < 0 {
		return nil, fmt.Errorf("identity run %x: its marker does not decode", key[1:])
	}
	info.id = binary.BigEndian.Uint64(key[1:])
	return info, nil
}

// filterBlocksMax bounds a stored filter: 64 GiB.
const filterBlocksMax = 1 << 30

func runKey(id uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'r'}, id) }

func (r *statementRun) marker() journal.Row {
	v := binary.AppendUvarint(binary.AppendUvarint(nil, r.first), r.last)
	return journal.Row{Space: journal.SpaceMarker, Key: statementRunKey(r.number), Value: v}
}

func statementRunKey(number uint64) []byte { return binary.BigEndian.AppendUint64([]byte{'s'}, number) }

// readRuns reads the markers of all runs into a set without filters, and the last id of a table.
func readRuns(store storage, perRun int) (*runSet, uint64, error) {
	set, lastID := &runSet{}, uint64(0)
	var runs []*runInfo
	err := store.Scan(journal.SpaceMarker, []byte{'r'}, []byte{'r' + 1}, func(key, value []byte) (bool, error) {
		info, err := parseRun(key, value)
		if err == nil {
			runs, lastID = append(runs, info), max(lastID, info.id)
		}
		return true, err
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(runs, func(a, b *runInfo) int { return cmp.Compare(a.from, b.from) })
	for i, r := range runs {
		if i > 0 && (r.from != set.version || r.first != set.indexed+1 || (r.archived && !runs[i-1].archived)) {
			return nil, 0, fmt.Errorf("run %d of generations from %d does not follow the one before it", r.id, r.from)
		}
		set.restore(r, perRun)
	}
	if set.kept, err = readKept(store); err != nil {
		return nil, 0, err
	}
	if set.kept != nil {
		lastID = max(lastID, set.kept.id)
		if set.kept.through != set.forgotten {
			return nil, 0, fmt.Errorf("kept identities are of sequences up to %d, forgotten is up to %d", set.kept.through, set.forgotten)
		}
	}
	set.statements, err = readStatements(store)
	for i := range set.statements {
		lastID = max(lastID, set.statements[i].number)
	}
	return set, lastID, err
}

// restore puts a run that was read behind the others.
func (s *runSet) restore(r *runInfo, perRun int) {
	switch {
	case r.archived:
		s.archived = append(s.archived, r)
		s.version, s.indexed, s.forgotten = r.to, r.last, r.last
	case r.large:
		s.version, s.indexed = r.to, r.last
		s.epochs = append(s.epochs, &epoch{runs: []*runInfo{r}, count: r.count, full: true})
	default:
		s.enter(r, s.open(r.count, perRun))
	}
}

// readStatements reads the markers of the statement index.
func readStatements(store storage) (out []statementRun, err error) {
	err = store.Scan(journal.SpaceMarker, []byte{'s'}, []byte{'s' + 1}, func(key, value []byte) (bool, error) {
		r := reader{p: value}
		run := statementRun{first: r.uvarint(), last: r.uvarint()}
		if len(key) != 9 || r.end() != nil {
			return false, fmt.Errorf("statement run %x: its marker does not decode", key[1:])
		}
		run.number = binary.BigEndian.Uint64(key[1:])
		out = append(out, run)
		return true, nil
	})
	slices.SortFunc(out, func(a, b statementRun) int { return cmp.Compare(a.first, b.first) })
	for i := range out {
		if err == nil && i > 0 && out[i].first <= out[i-1].last {
			err = fmt.Errorf("statement run %d does not follow the one before it", out[i].number)
		}
	}
	return out, err
}

// loadRuns reads the runs with as many filters as the budget has room for, newest first, and those of
// the small ones, which it always keeps.
func (x *runIndex) loadRuns(parallel int) error {
	set, lastID, err := readRuns(x.store, x.perRun)
	if err != nil {
		return err
	}
	x.nextID = lastID
	if err := x.loadFilters(set, parallel); err != nil {
		return err
	}
	x.current.Store(set)
	return nil
}

// loadFilters reads filters. What is to be read is decided first; each goes by itself.
func (x *runIndex) loadFilters(set *runSet, parallel int) error {
	var jobs []func() error
	have := int64(0)
	if k := set.kept; k != nil {
		jobs = append(jobs, func() error { return k.filter.load(x.store, k.id, k.blocks) })
		have += int64(k.blocks) * bloom.BlockBytes
	}
	missing := 0
	for i := len(set.epochs) - 1; i >= 0; i-- {
		e := set.epochs[i]
		if e.shared == nil {
			r := e.runs[0]
			if have += int64(r.blocks) * bloom.BlockBytes; have > x.budget {
				missing++
				continue
			}
			jobs = append(jobs, func() error { return r.filter.load(x.store, r.id, r.blocks) })
			continue
		}
		have += e.shared.bytes()
		jobs = append(jobs, func() error {
			for _, r := range e.runs {
				if err := errorOr(r.filter.load(x.store, r.id, r.blocks), func() error { return x.learn(r, e.shared) }); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if missing > 0 && x.evicted != nil {
		x.evicted(missing)
	}
	return inParallel(parallel, jobs)
}

func errorOr(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

// inParallel runs jobs on so many goroutines and waits for them; one alone runs them here.
func inParallel(parallel int, jobs []func() error) error {
	if parallel <= 1 {
		for _, job := range jobs {
			if err := job(); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64
	errs := make([]error, len(jobs))
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(jobs)); i = next.Add(1) - 1 {
				errs[i] = jobs[i]()
			}
		})
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// learn adds all identities of a run to a filter. They come by hash, and so does the filter's memory.
func (x *runIndex) learn(r *runInfo, f *filter) error {
	return scanRun(x.store, r, func(hash, _ uint64) error {
		f.add(hash)
		return nil
	})
}

// scanRun calls fn with every entry of a run: its hash, its sequence × 2, + 1 if it is of no event.
func scanRun(store storage, r *runInfo, fn func(hash, at uint64) error) error {
	return store.TableScan(journal.KindIdentity, r.id, nil, nil, func(_, row []byte) (bool, error) {
		for len(row) > 0 {
			hash, at, rest, bad := cutIdentity(row, r.first)
			if bad {
				return false, r.damaged()
			}
			if err := fn(hash, at); err != nil {
				return false, err
			}
			row = rest
		}
		return true, nil
	})
}

func (r *runInfo) damaged() error {
	return fmt.Errorf("identity run %d of sequences %d to %d: a row does not decode", r.id, r.first, r.last)
}

// cutIdentity decodes the first entry of a row of a run that begins at first.
func cutIdentity(p []byte, first uint64) (hash, at uint64, rest []byte, bad bool) {
	if len(p) < 9 {
		return 0, 0, nil, true
	}
	hash = binary.BigEndian.Uint64(p)
	v, n := binary.Uvarint(p[8:])
	if n <= 0 {
		return 0, 0, nil, true
	}
	return hash, first<<1 + v, p[8+n:], false
}
