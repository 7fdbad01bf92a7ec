package engine

import (
	"errors"
	"fmt"

	"farthing/journal"
)

// errTableGone: a marker names a table that the store does not hold, or not all of it. Pebble keeps
// its tables in a list of its own, so this is what a torn manifest comes to.
var errTableGone = errors.New("a table that its marker names is not all there")

// What to do about damage. The journal decides everything, so what was made from it can be made again.
const (
	restoreIt = "restore a backup: no other copy of these commands is in the directory"
	makeAnew  = "it was made from the journal: farthing export and farthing import make a new directory from that, or restore a backup"
	rowsLost  = "these rows stand beside the journal: restore a backup"
)

// explain adds to an error about damaged storage which sequences are concerned, which files, and what to
// do; it returns any other error as it is. store is nil if it did not open.
func explain(store storage, err error) error {
	var d *journal.DamageError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &d) && d.First != 0:
		return fmt.Errorf("%w; %s", err, restoreIt)
	case d != nil && d.Kind == journal.KindBase:
		return fmt.Errorf("%w; the history begins after sequence %d, with this table; %s", err, d.ID, restoreIt)
	case d != nil && d.Kind != 0 && store == nil:
		return fmt.Errorf("%w; %s", err, makeAnew)
	case d != nil && store == nil:
		return fmt.Errorf("%w; %s", err, rowsLost)
	case d != nil && d.Kind != 0:
		return fmt.Errorf("%w; %s; %s", err, concerned(store, d.Kind, d.ID), makeAnew)
	case d != nil:
		return fmt.Errorf("%w; the history ends at sequence %d; %s", err, store.Head().Seq, rowsLost)
	case errors.Is(err, errTableGone) && store != nil:
		return fmt.Errorf("%w; the history ends at sequence %d; a file is missing or cut short, most likely the manifest: %s; %s", err, store.Head().Seq, filesOf(store), makeAnew)
	}
	return err
}

// filesOf names the files of a store that is on a disk.
func filesOf(store storage) string {
	if s, ok := store.(onDisk); ok {
		return s.Files()
	}
	return "the store"
}

// concerned says which sequences a derived table is about.
func concerned(store storage, kind journal.Kind, id uint64) string {
	switch kind {
	case journal.KindCheckpoint:
		markers, err := checkpointMarkers(store)
		for i := range markers {
			if err == nil && markers[i].id == id {
				return fmt.Sprintf("it is of sequence %d", markers[i].seq)
			}
		}
	case journal.KindIdentity, journal.KindIdentityFilter:
		if value, there, err := store.Get(journal.SpaceMarker, runKey(id)); err == nil && there {
			if r, err := parseRun(runKey(id), value); err == nil {
				return fmt.Sprintf("it is of the sequences %d to %d", r.first, r.last)
			}
		}
	case journal.KindStatement:
		value, there, err := store.Get(journal.SpaceMarker, statementRunKey(id))
		r := reader{p: value}
		if first, last := r.uvarint(), r.uvarint(); err == nil && there && !r.bad {
			return fmt.Sprintf("it is of the sequences %d to %d", first, last)
		}
	}
	return fmt.Sprintf("the history ends at sequence %d", store.Head().Seq)
}

// filterGone says which filter is not there in full.
func filterGone(kind journal.Kind, number uint64, got, want int) error {
	return fmt.Errorf("%s %d has %d of %d blocks: %w", kind, number, got, want, errTableGone)
}
