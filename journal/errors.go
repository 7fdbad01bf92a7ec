package journal

import "errors"

// Errors of opening. None of them has changed anything on disk.
var (
	// ErrNoLedger: the directory holds no ledger; Create makes one.
	ErrNoLedger = errors.New("journal: no ledger in this directory")
	// ErrNotEmpty: Create found something in the directory that is not the remains of an interrupted Create.
	ErrNotEmpty = errors.New("journal: directory is not empty")
	// ErrHeadWithoutStore: there is a head record, but no store that it could be the head of.
	ErrHeadWithoutStore = errors.New("journal: head record without store")
	// ErrStoreWithoutHead: there is a store, but no head record that says how far it must reach.
	ErrStoreWithoutHead = errors.New("journal: store without head record")
	// ErrShortHistory: the journal lacks a sequence that the head record or a later block says was committed.
	ErrShortHistory = errors.New("journal: history is shorter than it was")
	// ErrLocked: another process, or another Store of this process, has the directory open.
	ErrLocked = errors.New("journal: directory is in use")
)

// Errors of reading and writing.
var (
	// ErrNoRoom: the disk that a copy would go to is too full for it.
	ErrNoRoom = errors.New("journal: not enough space for the copy")
	// ErrStopped: a copy was told to stop before it was whole.
	ErrStopped = errors.New("journal: the copy was stopped")
	// ErrCorrupt: stored bytes are not what was written; the text names the sequence or the file.
	ErrCorrupt = errors.New("journal: corrupt")
	// ErrDropped: the history before the base was dropped; Store.Base says where that is.
	ErrDropped = errors.New("journal: this part of the history was dropped")
	// ErrReadOnly: the store was opened by OpenReadOnly.
	ErrReadOnly = errors.New("journal: store is read-only")
)
