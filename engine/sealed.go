package engine

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"slices"

	"farthing/batch"
	"farthing/journal"
)

// Sealed reads the sealed batches of a data directory that no server has open. Nothing on disk is changed.
type Sealed struct {
	store   storage
	lines   map[[32]byte]uint32
	batches []Batch
}

// OpenSealed opens a data directory to read its batches. The manifest's row is written in one with the seal, so what has one is sealed;
// the journal is not replayed for it, which Verify does.
func OpenSealed(o journal.Options) (*Sealed, error) {
	store, err := opened(journal.OpenReadOnly(o))
	if err != nil {
		return nil, err
	}
	s := &Sealed{store: store, lines: map[[32]byte]uint32{}}
	if err := s.load(); err != nil {
		return nil, cmp.Or(err, store.Close())
	}
	return s, nil
}

// Close closes the data directory.
func (s *Sealed) Close() error { return s.store.Close() }

func (s *Sealed) load() error {
	at, err := (progress{store: s.store}).Position()
	if err != nil {
		return err
	}
	type found struct {
		Batch
		first uint64
	}
	var all []found
	err = s.store.Scan(journal.SpaceManifest, nil, bytes.Repeat([]byte{0xff}, 33), func(key, value []byte) (bool, error) {
		m, err := batch.ParseManifest(value)
		if err != nil {
			return false, fmt.Errorf("manifest %x: %w", key, err)
		}
		b := Batch{BatchID: hexID(m.BatchID), Manifest: bytes.Clone(value)}
		if last := m.FirstStreamSeq + uint64(m.Lines); last <= at.Confirmed {
			if b.Published, err = s.published(m.FirstStreamSeq, last); err != nil {
				return false, err
			}
		}
		s.lines[m.BatchID] = m.Lines
		all = append(all, found{b, m.FirstStreamSeq})
		return true, nil
	})
	if err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b found) int { return cmp.Compare(a.first, b.first) })
	for i := range all {
		s.batches = append(s.batches, all[i].Batch)
	}
	return nil
}

func (s *Sealed) published(first, last uint64) (*Publication, error) {
	p := progress{store: s.store}
	from, ok, err := p.offsetOf(first)
	if err != nil || !ok {
		return nil, missing(fmt.Sprintf("confirmation of record %d", first), err)
	}
	to, ok, err := p.offsetOf(last)
	if err != nil || !ok {
		return nil, missing(fmt.Sprintf("confirmation of record %d", last), err)
	}
	return &Publication{Topic: to.Topic, Partition: to.Partition, FirstOffset: from.FirstOffset, LastOffset: to.FirstOffset}, nil
}

// Batches lists the sealed batches in the order of the stream.
func (s *Sealed) Batches() []Batch { return s.batches }

// Lines returns at most limit line records of a batch, from a number on.
func (s *Sealed) Lines(batchID string, from uint32, limit int) (out [][]byte, err error) {
	var id [32]byte
	if n, err := hex.Decode(id[:], []byte(batchID)); err != nil || n != len(id) {
		return nil, fmt.Errorf("%q is not a batch id", batchID)
	}
	lines, ok := s.lines[id]
	if !ok || from == 0 || from > lines {
		return nil, missing(fmt.Sprintf("line %d of batch %s", from, batchID), nil)
	}
	err = scanLines(s.store, id, lines, from, func(_ uint32, record []byte) bool {
		out = append(out, bytes.Clone(record))
		return len(out) < limit
	})
	return out, err
}
