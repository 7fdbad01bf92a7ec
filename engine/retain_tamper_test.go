package engine

import (
	"encoding/binary"
	"errors"
	"os"
	"strings"
	"testing"

	"farthing/journal"
)

// droppedRig is a closed ledger whose history goes on from a base; waiting: from the genesis yet, its base is written and no command
// names it.
func droppedRig(t *testing.T, waiting bool) *retainRig {
	x := newRetainRig(t, func(o *Options) { o.retainStep = 1 })
	x.old()
	if waiting {
		x.fail = errors.New("no room")
		if _, err := x.e.dropHistory(); err == nil {
			t.Fatal("it was exported")
		}
	} else if x.drop() == 0 {
		t.Fatal("nothing was dropped")
	}
	x.close()
	return x
}

// tamper changes a copy of a ledger and looks who notices: verify has to, and a start may; it never comes up with less than there was.
func (x *retainRig) tamper(name, words string, change func(t *testing.T, s *journal.Store)) {
	x.t.(*testing.T).Run(name, func(t *testing.T) {
		r := &rig{t: t, o: x.o}
		r.o.Journal.Dir = t.TempDir()
		if err := os.CopyFS(r.o.Journal.Dir, os.DirFS(x.o.Journal.Dir)); err != nil {
			t.Fatal(err)
		}
		var head journal.Head
		var base journal.Base
		withStore(t, r, func(s *journal.Store) {
			change(t, s)
			head, base = s.Head(), s.Base()
		})
		report, err := Verify(VerifyOptions{Journal: r.o.Journal})
		if err == nil {
			t.Fatalf("verify is content: %+v", report)
		}
		if !strings.Contains(err.Error(), words) || !anySequence.MatchString(err.Error()) {
			t.Errorf("%v\ndoes not say %q and a sequence", err, words)
		}
		e, opening := Open(r.o)
		if opening != nil {
			t.Log("the start says ", opening, "; verify ", err)
			return
		}
		if got := e.store.Head().Seq; got < head.Seq || e.store.Base() != base {
			t.Errorf("it opens from %d to %d, and was from %d to %d", e.store.Base().Seq, got, base.Seq, head.Seq)
		}
		if err := e.Close(); err != nil {
			t.Log("the end says ", err)
		}
		if _, again := Verify(VerifyOptions{Journal: r.o.Journal}); again == nil {
			t.Errorf("a run made verify content, which said %v", err)
		}
	})
}

// TestTamperedBase changes the base that the history goes on from, and its marker.
func TestTamperedBase(t *testing.T) {
	x := droppedRig(t, false)
	chunk := func(kind byte, change func(v []byte) []byte) func(*testing.T, *journal.Store) {
		return func(t *testing.T, s *journal.Store) {
			met := false
			rebuild(t, s, journal.KindBase, s.Base().Seq, func(_ int, k, v []byte) ([]byte, []byte) {
				if v[0] == kind {
					met = true
					v = change(v)
				}
				return k, v
			})
			if !met {
				t.Fatalf("there is no chunk %c", kind)
			}
		}
	}
	flip := func(at int) func(v []byte) []byte {
		return func(v []byte) []byte {
			v[(len(v)+at)%len(v)] ^= 1
			return v
		}
	}
	gone := func([]byte) []byte { return nil }
	x.tamper("birth", "base of sequence", chunk(chunkBase, flip(2)))
	x.tamper("hash of the chain", "base of sequence", chunk(chunkBase, flip(-1)))
	x.tamper("balance", "base of sequence", chunk(chunkRows, flip(-17-16)))
	x.tamper("totals", "base of sequence", chunk(chunkHeader, flip(-14)))
	x.tamper("header gone", "base of sequence", chunk(chunkBase, gone))
	x.tamper("rows gone", "base of sequence", chunk(chunkRows, gone))
	x.tamper("evidence gone", "base of sequence", chunk(chunkEvidence, gone)) // the last chunk
	x.tamper("table gone", "base of sequence", func(t *testing.T, s *journal.Store) {
		if err := s.DropTable(journal.KindBase, s.Base().Seq); err != nil {
			t.Fatal(err)
		}
	})
	x.tamper("marker gone", "base of sequence", func(t *testing.T, s *journal.Store) {
		write(t, s, journal.Row{Space: journal.SpaceMarker, Key: baseMarkerKey(s.Base().Seq), Delete: true})
	})
	x.tamper("marker of another table", "base of sequence", func(t *testing.T, s *journal.Store) {
		write(t, s, journal.Row{Space: journal.SpaceMarker, Key: baseMarkerKey(s.Base().Seq), Value: make([]byte, 32)})
	})
	x.tamper("marker cut short", "base of sequence", func(t *testing.T, s *journal.Store) {
		write(t, s, journal.Row{Space: journal.SpaceMarker, Key: baseMarkerKey(s.Base().Seq), Value: make([]byte, 31)})
	})
}

// TestForgedBaseCommand commits commands 23 that say of what was exported what is not so. What they say of the part's manifest only the
// part can tell.
func TestForgedBaseCommand(t *testing.T) {
	x := droppedRig(t, true)
	forge := func(change func(p *droppedPart)) func(*testing.T, *journal.Store) {
		return func(t *testing.T, s *journal.Store) {
			markers, err := baseMarkers(onDisk{s})
			if err != nil || len(markers) != 1 {
				t.Fatal(markers, err)
			}
			at, err := s.BaseAt(markers[0].through)
			if err != nil {
				t.Fatal(err)
			}
			p := droppedPart{through: at.Seq, time: at.Time, chain: at.Hash, table: markers[0].sum}
			change(&p)
			payload := p.append(nil)
			body := append(binary.AppendUvarint([]byte{kindBase}, uint64(len(payload))), payload...)
			head := s.Head()
			g := journal.Group{Time: head.Time, Blocks: []journal.BlockInput{{First: head.Seq + 1, Last: head.Seq + 1, Body: body}}}
			if err := s.Commit(&g); err != nil {
				t.Fatal(err)
			}
		}
	}
	x.tamper("sequence before", "sequence", forge(func(p *droppedPart) { p.through-- }))
	x.tamper("sequence of the future", "sequence", forge(func(p *droppedPart) { p.through += 1000 }))
	x.tamper("time", "sequence", forge(func(p *droppedPart) { p.time++ }))
	x.tamper("chain", "the chain has", forge(func(p *droppedPart) { p.chain[7] ^= 1 }))
	x.tamper("table", "base of sequence", forge(func(p *droppedPart) { p.table[7] ^= 1 }))
	x.t.(*testing.T).Run("as it is", func(t *testing.T) { // the forger can do it right
		withStore(t, x.rig, func(s *journal.Store) { forge(func(*droppedPart) {})(t, s) })
		if report, err := Verify(VerifyOptions{Journal: x.o.Journal}); err != nil || report.Parts != 1 {
			t.Fatal(report, err)
		}
	})
}
