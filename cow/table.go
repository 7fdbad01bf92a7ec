package cow

// pageRows is the rows of a page: large enough that the page list stays short,
// small enough that growing never copies rows nor zeroes more than some 200 KiB.
const (
	pageBits = 10
	pageRows = 1 << pageBits
	pageMask = pageRows - 1
)

type page[R any] [pageRows]entry[R]

// entry has the epoch beside its row: among millions of rows in random order each would be a cache miss of its own.
type entry[R any] struct {
	epoch uint32 // of the row's last change
	row   R
}

// Table is a table of rows numbered from 0. The zero value is empty and ready.
//
// Guarantees:
//  1. A snapshot emits each row that existed at Begin exactly once, as it was then.
//  2. Mut costs one comparison when no snapshot runs or the row was saved before.
//  3. Rows never move: a pointer from Mut is valid until the next Begin.
type Table[R any] struct {
	pages  []*page[R]
	newest []uint32 // by page: the epoch of the last change in it
	len    uint32
	epoch  uint32 // current; a row changed since the last Begin carries it
	fresh  uint32 // rows that carry it

	// The running snapshot; limit 0 when none.
	active bool
	limit  uint32                     // rows that existed at Begin
	cursor uint32                     // rows below were visited
	since  uint32                     // rows last changed before this epoch are left out
	saved  [][]savedRow[R]            // in lists of at most savedRows; only the last may be short
	now    func(index uint32, row *R) // takes a row about to change at once; nil: it is saved
}

// savedRows is the length of a list of saved rows: growing one list for all would copy them over
// and over, some hundred megabytes at once in the end.
const savedRows = 256

type savedRow[R any] struct {
	index uint32
	row   R
}

// Len returns the number of rows.
func (t *Table[R]) Len() uint32 { return t.len }

// Epoch returns the current epoch: what a later snapshot gives as since to get
// only rows changed from now on, if Begin is called now.
func (t *Table[R]) Epoch() uint32 { return t.epoch }

// Append adds a row and returns its number.
func (t *Table[R]) Append(r R) uint32 {
	i := t.len
	if i&pageMask == 0 {
		t.addPage()
	}
	t.pages[i>>pageBits][i&pageMask] = entry[R]{t.epoch, r}
	t.newest[i>>pageBits] = t.epoch
	t.len++
	t.fresh++
	return i
}

func (t *Table[R]) addPage() { t.pages, t.newest = append(t.pages, new(page[R])), append(t.newest, 0) }

// Changed returns how many rows were added or changed since the last Begin or Restored.
func (t *Table[R]) Changed() uint32 { return t.fresh }

// At returns row i for reading.
func (t *Table[R]) At(i uint32) *R { return &t.pages[i>>pageBits][i&pageMask].row }

// Mut returns row i for changing; its old value goes to the running snapshot if
// that has not seen it yet.
func (t *Table[R]) Mut(i uint32) *R {
	e := &t.pages[i>>pageBits][i&pageMask]
	if e.epoch != t.epoch {
		t.firstChange(e, i)
	}
	return &e.row
}

func (t *Table[R]) firstChange(e *entry[R], i uint32) {
	if t.active && i >= t.cursor && i < t.limit && e.epoch >= t.since {
		if t.now != nil {
			t.now(i, &e.row)
		} else {
			t.save(i, &e.row)
		}
	}
	e.epoch, t.newest[i>>pageBits] = t.epoch, t.epoch
	t.fresh++
}

func (t *Table[R]) save(i uint32, row *R) {
	if n := len(t.saved); n == 0 || len(t.saved[n-1]) == savedRows {
		t.saved = append(t.saved, make([]savedRow[R], 0, savedRows))
	}
	last := &t.saved[len(t.saved)-1]
	*last = append(*last, savedRow[R]{i, *row})
}

// Begin starts a snapshot of the rows as they are now, of those changed in epoch
// since or later (0: all). It returns the epoch that begins, to be given as since
// for the snapshot that follows this one. One snapshot runs at a time.
func (t *Table[R]) Begin(since uint32) uint32 {
	if t.active {
		panic("BUG: a snapshot is running")
	}
	t.epoch++
	t.fresh = 0
	t.active, t.limit, t.cursor, t.since = true, t.len, 0, since
	return t.epoch
}

// Stream starts a snapshot of all rows as they are now that keeps no copies: a row about to
// change is emitted at once, from within Mut. The others come with Step.
func (t *Table[R]) Stream(emit func(index uint32, row *R)) {
	t.Begin(0)
	t.now = emit
}

// Active reports whether a snapshot is running.
func (t *Table[R]) Active() bool { return t.active }

// Step emits saved rows and visits further ones, n in all; it returns true when the
// snapshot is complete. The row given to emit is valid only during the call. A streamed
// snapshot goes to what Stream was given, and emit is not asked.
func (t *Table[R]) Step(n int, emit func(index uint32, row *R)) bool {
	if !t.active {
		return true
	}
	if t.now != nil {
		emit = t.now
	}
	for n > 0 && len(t.saved) > 0 {
		list := &t.saved[len(t.saved)-1]
		last := &(*list)[len(*list)-1]
		emit(last.index, &last.row)
		if *list = (*list)[:len(*list)-1]; len(*list) == 0 {
			*list = nil
			t.saved = t.saved[:len(t.saved)-1]
		}
		n--
	}
	for ; n > 0 && t.cursor < t.limit; n-- {
		i := t.cursor
		if i&pageMask == 0 && t.newest[i>>pageBits] < t.since { // nothing in the page is newer
			t.cursor = min(i+pageRows, t.limit)
			continue
		}
		if e := &t.pages[i>>pageBits][i&pageMask]; e.epoch != t.epoch && e.epoch >= t.since {
			emit(i, &e.row)
		}
		t.cursor++
	}
	if t.cursor == t.limit && len(t.saved) == 0 {
		t.Abort()
	}
	return !t.active
}

// Abort ends a running snapshot without emitting the rest.
func (t *Table[R]) Abort() { t.active, t.saved, t.now = false, nil, nil }

// Grow makes the table n rows long, with zero rows, unless it is that long already.
func (t *Table[R]) Grow(n uint32) {
	for pages := (uint64(n) + pageMask) >> pageBits; uint64(len(t.pages)) < pages; {
		t.addPage()
	}
	t.len = max(t.len, n)
}

// Restore puts a row where a snapshot had it, growing the table as needed; rows
// come in any order. Used to load a checkpoint into an empty table. Within what Grow
// made, several goroutines may restore different rows.
func (t *Table[R]) Restore(i uint32, r R) {
	if i >= t.len {
		t.Grow(i + 1)
	}
	*t.At(i) = r
}

// Restored ends loading: rows loaded count as unchanged, and the epoch returned
// is what the next snapshot gives as since to get only later changes.
func (t *Table[R]) Restored() uint32 {
	t.epoch++
	t.fresh = 0
	return t.epoch
}
