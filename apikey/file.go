package apikey

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"farthing/internal/private"
)

// askEvery is how long an answer about the file holds: the time after which a change of
// it counts for every request. Asking costs a microsecond or two.
const askEvery = time.Millisecond

// Settled is how long after a change of the file no request can be answered by what it
// said before: whoever changes it and waits so long has made the change.
const Settled = 10 * askEvery

// File is a key file that may change while it is used. A change counts from the next
// request on: before a token is looked up, the file is asked whether it is still the one
// that was read, unless that was less than a millisecond ago. A file that cannot be read
// changes nothing: the keys of before stay, and Broken says so.
//
// All of it is safe for concurrent use.
type File struct {
	path    string
	changed func(keys int, err error) // told of each change; under mu

	set   atomic.Pointer[Set]
	now   func() time.Time
	began time.Time    // set by Open
	asked atomic.Int64 // nanoseconds since began, whatever the clock on the wall does; what the file was then is in set

	mu     sync.Mutex
	stamp  private.Stamp // of what was read last, well or not; under mu
	fresh  bool          // it might have changed since without another stamp; under mu
	broken atomic.Pointer[error]
}

// Open reads a key file. changed is told, from then on, how many keys there are after a
// change, or why the keys of before stay.
func Open(path string, changed func(keys int, err error)) (*File, error) {
	f := &File{path: path, changed: changed, now: time.Now}
	set, stamp, err := load(path)
	if err != nil {
		return nil, err
	}
	f.began = f.now()
	f.asked.Store(-int64(askEvery)) // it was read before began
	f.stamp, f.fresh = stamp, stamp.Fresh(f.began)
	f.set.Store(set)
	return f, nil
}

// Authenticate is Set.Find on the file as it is now.
func (f *File) Authenticate(token []byte) (Found, bool) {
	if now := f.now().Sub(f.began); now-time.Duration(f.asked.Load()) >= askEvery {
		f.ask(now)
	}
	return f.set.Load().Find(token)
}

// Refresh reads the file if it has changed. Nobody needs to call it for the keys' sake, but
// without requests nobody else finds out that a file is broken.
func (f *File) Refresh() { f.ask(f.now().Sub(f.began)) }

// Broken is why the file's last change does not count; nil: it does.
func (f *File) Broken() error {
	if err := f.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// Len is the number of keys.
func (f *File) Len() int { return f.set.Load().Len() }

// ask compares the file with what was read. Others wait meanwhile: none of them may
// answer by what the file said before.
func (f *File) ask(since time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked.Load() > int64(since) {
		return // somebody else has asked since
	}
	now := f.now()
	if stamp := private.StampOf(f.path); stamp != f.stamp || (f.fresh && !stamp.Fresh(now)) {
		f.readLocked(stamp, now)
	}
	f.asked.Store(int64(now.Sub(f.began)))
}

func (f *File) readLocked(seen private.Stamp, now time.Time) {
	same := seen == f.stamp // and read again only because that proves nothing
	set, stamp, err := load(f.path)
	if err != nil {
		f.stamp, f.fresh = seen, seen.Fresh(now)
		if !same || f.broken.Load() == nil {
			f.broken.Store(&err)
			f.changed(f.Len(), err)
		}
		return
	}
	f.stamp, f.fresh = stamp, stamp.Fresh(now)
	was := f.broken.Swap(nil)
	old := f.set.Load()
	if was == nil && old.equal(set) {
		return
	}
	set.keepLimiters(old)
	f.set.Store(set)
	f.changed(set.Len(), nil)
}

func load(path string) (*Set, private.Stamp, error) {
	text, stamp, err := private.ReadStamped(path, fileBytesMax)
	if err != nil {
		return nil, stamp, err
	}
	set, err := Parse(text)
	if err != nil {
		return nil, stamp, fmt.Errorf("%s: %w", path, err)
	}
	return set, stamp, nil
}
