package engine

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"farthing/batch"
	"farthing/journal"
	"farthing/money"
)

// closing compares a slice of closing transfers with the netted lines.
func (v *verifier) closing(c *closingSlice) error {
	b := v.batchOf(c.currency)
	if b == nil || int(c.first) != v.closings[c.currency]+1 || int(c.first)-1+len(c.lines) > int(b.manifest.Lines) {
		return fmt.Errorf("window %d: closing transfers of %s that netting does not give", c.window, c.currency.Code())
	}
	for i, got := range c.lines {
		n := int(c.first) - 1 + i
		if want := b.closings[n/closingLines][n%closingLines]; got != want {
			return fmt.Errorf("window %d, line %d, account %s: the journal moves %s and carries %s, netting gives %s and %s", c.window, n+1,
				v.job.tables.people[want.account].ID, got.signed, got.carried, want.signed, want.carried)
		}
	}
	v.closings[c.currency] += len(c.lines)
	return nil
}

func (v *verifier) batchOf(c money.Currency) *netBatch {
	for i := range v.batches {
		if v.batches[i].manifest.Currency == c {
			return &v.batches[i]
		}
	}
	return nil
}

// seal compares the sealed batches, their manifests and their lines with the netted ones, which
// are made once more: this time their records too.
func (v *verifier) seal(c sealCommand) error {
	if v.job == nil || v.job.window.number != c.window {
		return nil // out of order, which applying it will say
	}
	stored := lineCheck{store: v.store}
	batches, err := v.job.net(v.roots, stored.put)
	if err != nil {
		return err
	}
	if len(c.batches) != len(batches) {
		return fmt.Errorf("window %d: %d batches are sealed, netting gives %d", c.window, len(c.batches), len(batches))
	}
	for i := range batches {
		m := &batches[i].manifest
		want := batches[i].sealed()
		want.key, want.signature = c.batches[i].key, c.batches[i].signature
		if c.batches[i] != want {
			return fmt.Errorf("window %d: batch %s differs from what netting gives: %+v, %+v", c.window, hexID(c.batches[i].id), c.batches[i], want)
		}
		manifest, ok, err := v.store.Get(journal.SpaceManifest, m.BatchID[:])
		if err != nil || !ok {
			return missing("manifest of batch "+hexID(m.BatchID), err)
		}
		if !bytes.Equal(manifest, m.AppendJSON(nil)) {
			return fmt.Errorf("batch %s: the stored manifest differs from the one that follows from the journal", hexID(m.BatchID))
		}
		if err := v.replay.state.checkSignature(&c.batches[i], manifest); err != nil {
			return err
		}
		if c.batches[i].key != 0 {
			v.report.Signatures++
		}
		if err := stored.end(m); err != nil {
			return err
		}
		v.report.Batches++
		v.report.Lines += uint64(m.Lines)
	}
	if stored.differs != "" {
		return errors.New(stored.differs)
	}
	v.job, v.batches = nil, nil
	if err := v.sealedTiles(c.window); err != nil {
		return err
	}
	if c.window == v.halfway {
		return v.keptTiles(c.window, c.batches)
	}
	return nil
}

// lineCheck compares rows of line records with those that are stored. It goes on after the first that
// differs: where the sealed batch differs as well, that says more.
type lineCheck struct {
	store   storage
	differs string // what differs first; empty: nothing
}

func (l *lineCheck) put(key, want []byte) error {
	if l.differs != "" {
		return nil
	}
	id, first := hex.EncodeToString(key[:32]), binary.BigEndian.Uint32(key[32:])
	got, ok, err := l.store.Get(journal.SpaceLines, key)
	switch {
	case err != nil:
		return err
	case !ok:
		l.differs = fmt.Sprintf("batch %s: line %d is missing", id, first)
	case !bytes.Equal(got, want):
		a, b, n := reader{p: got}, reader{p: want}, first
		for len(a.p) > 0 && len(b.p) > 0 && bytes.Equal(a.bytes(), b.bytes()) && !a.bad {
			n++
		}
		l.differs = fmt.Sprintf("batch %s, line %d: the stored record differs from the one that follows from the journal", id, n)
	}
	return nil
}

// end refuses lines beyond a batch's last one.
func (l *lineCheck) end(m *batch.Manifest) error {
	if l.differs != "" {
		return nil
	}
	last := (m.Lines-1)/stagedLines*stagedLines + 1
	return l.store.Scan(journal.SpaceLines, lineKey(m.BatchID, last+1), lineKey(m.BatchID, ^uint32(0)), func([]byte, []byte) (bool, error) {
		l.differs = fmt.Sprintf("batch %s: there are lines after the last one, %d", hexID(m.BatchID), m.Lines)
		return false, nil
	})
}
