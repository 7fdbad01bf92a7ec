package engine

import (
	"strings"
	"testing"

	"farthing/batch"
	"farthing/journal"
	"farthing/money"
)

// tampered is a closed ledger with runs, checkpoints and sealed windows, copied for every
// change that somebody makes to it.
func tamperedRig(t *testing.T) *rig {
	r := standard(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes = 20, 1500 })
	for window := range 3 {
		for i := range 12 {
			r.post(llm(string(rune('a'+window))+string(rune('a'+i)), "acme", "m1", 1000*i, 77), llm(string(rune('A'+window))+string(rune('a'+i)), "beta", "m2", 5, i))
		}
		r.settle(string(rune('0' + window)))
	}
	r.post(llm("last", "acme", "nothing", 1, 1))
	r.close()
	return r
}

// withStore opens the raw store and changes something.
func withStore(t *testing.T, r *rig, change func(*journal.Store)) {
	t.Helper()
	store, err := journal.Open(r.o.Journal)
	if err != nil {
		t.Fatal(err)
	}
	change(store)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// firstRow returns the key and a copy of the value of the first row of a space.
func firstRow(t *testing.T, s *journal.Store, space journal.Space, lo []byte) (key, value []byte) {
	t.Helper()
	err := s.Scan(space, lo, nil, func(k, v []byte) (bool, error) {
		key, value = append([]byte(nil), k...), append([]byte(nil), v...)
		return false, nil
	})
	if err != nil || key == nil {
		t.Fatalf("no row: %v", err)
	}
	return key, value
}

func write(t *testing.T, s interface {
	Write([]journal.Row, bool) error
}, row journal.Row) {
	t.Helper()
	if err := s.Write([]journal.Row{row}, true); err != nil {
		t.Fatal(err)
	}
}

// rebuild replaces a table by its own rows, changed.
func rebuild(t *testing.T, s *journal.Store, kind journal.Kind, id uint64, change func(n int, key, value []byte) (newKey, newValue []byte)) {
	t.Helper()
	type row struct{ key, value []byte }
	var rows []row
	n := 0
	err := s.TableScan(kind, id, nil, nil, func(k, v []byte) (bool, error) {
		key, value := change(n, append([]byte(nil), k...), append([]byte(nil), v...))
		n++
		if value != nil {
			rows = append(rows, row{key, value})
		}
		return true, nil
	})
	if err != nil || n == 0 {
		t.Fatalf("table %x %d has %d rows: %v", kind, id, n, err)
	}
	if err := s.DropTable(kind, id); err != nil {
		t.Fatal(err)
	}
	b, err := s.NewTable(kind, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if err := b.Add(r.key, r.value); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ingest([]*journal.TableBuilder{b}, nil); err != nil {
		t.Fatal(err)
	}
}

func newestCheckpoint(t *testing.T, s *journal.Store) checkpointMarker {
	t.Helper()
	markers, err := checkpointMarkers(onDisk{s})
	if err != nil || len(markers) == 0 {
		t.Fatalf("%d checkpoints: %v", len(markers), err)
	}
	return markers[len(markers)-1]
}

// tampering returns the function that runs one change and wants words that tell of it.
func tampering(t *testing.T) func(name, words string, change func(*testing.T, *journal.Store)) {
	return func(name, words string, change func(*testing.T, *journal.Store)) {
		t.Run(name, func(t *testing.T) {
			r := tamperedRig(t)
			if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
				t.Fatalf("before: %v", err)
			}
			withStore(t, r, func(s *journal.Store) { change(t, s) })
			report, err := Verify(VerifyOptions{Journal: r.o.Journal})
			if err == nil {
				t.Fatalf("verify is content: %+v", report)
			}
			if !strings.Contains(err.Error(), words) {
				t.Errorf("%v\ndoes not say %q", err, words)
			}
		})
	}
}

// TestVerifyNamesChangedBatches is the table of changes to stored manifests and lines and
// of the words that tell about them.
func TestVerifyNamesChangedBatches(t *testing.T) {
	f := tampering(t)
	f("manifest", "the stored manifest differs", func(t *testing.T, s *journal.Store) {
		k, v := firstRow(t, s, journal.SpaceManifest, nil)
		write(t, s, journal.Row{Space: journal.SpaceManifest, Key: k, Value: []byte(strings.Replace(string(v), `"events":24`, `"events":25`, 1))})
	})
	f("manifest gone", "manifest of batch ", func(t *testing.T, s *journal.Store) {
		k, _ := firstRow(t, s, journal.SpaceManifest, nil)
		write(t, s, journal.Row{Space: journal.SpaceManifest, Key: k, Delete: true})
	})
	f("line", "line 1: the stored record differs", func(t *testing.T, s *journal.Store) {
		k, v := firstRow(t, s, journal.SpaceLines, nil)
		r := reader{p: v}
		scope, line, err := batch.ParseLine(r.bytes())
		if err != nil {
			t.Fatal(err)
		}
		line.CarriedIn = line.CarriedIn.MustAdd(money.FromWords(0, 1))
		line.CarriedOut = line.CarriedOut.MustAdd(money.FromWords(0, 1))
		changed := append(appendBytes(nil, line.AppendJSON(nil, &scope)), r.p...)
		write(t, s, journal.Row{Space: journal.SpaceLines, Key: k, Value: changed})
	})
	f("lines gone", "line 1 is missing", func(t *testing.T, s *journal.Store) {
		k, _ := firstRow(t, s, journal.SpaceLines, nil)
		write(t, s, journal.Row{Space: journal.SpaceLines, Key: k, Delete: true})
	})
	f("a line more", "line 5: the stored record differs", func(t *testing.T, s *journal.Store) {
		k, v := firstRow(t, s, journal.SpaceLines, nil)
		r := reader{p: v}
		write(t, s, journal.Row{Space: journal.SpaceLines, Key: k, Value: appendBytes(append([]byte(nil), v...), r.bytes())})
	})
}

// TestVerifyNamesChangedCheckpoints does the same with checkpoints.
func TestVerifyNamesChangedCheckpoints(t *testing.T) {
	f := tampering(t)
	f("checkpoint's balance", "account ", func(t *testing.T, s *journal.Store) {
		rebuild(t, s, journal.KindCheckpoint, newestCheckpoint(t, s).id, func(n int, k, v []byte) ([]byte, []byte) {
			if v[0] == chunkRows {
				v[len(v)-17-16]++ // low bytes of the last row's carried_in
			}
			return k, v
		})
	})
	f("checkpoint's header", "totals, windows or stream position differ", func(t *testing.T, s *journal.Store) {
		rebuild(t, s, journal.KindCheckpoint, newestCheckpoint(t, s).id, func(n int, k, v []byte) ([]byte, []byte) {
			if v[0] == chunkHeader {
				v[len(v)-14] ^= 1 // event count of the last currency
			}
			return k, v
		})
	})
	f("checkpoint's chunk gone", "chunk", func(t *testing.T, s *journal.Store) {
		rebuild(t, s, journal.KindCheckpoint, newestCheckpoint(t, s).id, func(n int, k, v []byte) ([]byte, []byte) {
			if n == 1 {
				return nil, nil
			}
			return k, v
		})
	})
	f("checkpoint's hash", "names another hash", func(t *testing.T, s *journal.Store) {
		m := newestCheckpoint(t, s)
		m.hash[5] ^= 1
		job := checkpointJob{id: m.id, prev: m.prev, deltas: m.deltas, seq: m.seq}
		write(t, s, job.marker(journal.Head{Hash: m.hash}))
	})
}

// TestVerifyNamesChangedRuns does the same with identity runs and their filters.
func TestVerifyNamesChangedRuns(t *testing.T) {
	f := tampering(t)
	f("identity's sequence", "identity run 1", func(t *testing.T, s *journal.Store) {
		rebuild(t, s, journal.KindIdentity, 1, func(n int, k, v []byte) ([]byte, []byte) {
			v[8]++ // the first entry's distance from the run's first sequence
			return k, v
		})
	})
	f("identity's hash", "identity run 1", func(t *testing.T, s *journal.Store) {
		rebuild(t, s, journal.KindIdentity, 1, func(n int, k, v []byte) ([]byte, []byte) {
			v[7] ^= 1
			return k, v
		})
	})
	f("identity gone", "identity run 1 of sequences", func(t *testing.T, s *journal.Store) {
		rebuild(t, s, journal.KindIdentity, 1, func(n int, k, v []byte) ([]byte, []byte) {
			_, _, rest, bad := cutIdentity(v, 0)
			if bad {
				t.Fatal("a row does not decode")
			}
			return k, rest
		})
	})
	f("filter", "identity run 1: its filter misses", func(t *testing.T, s *journal.Store) {
		rebuild(t, s, journal.KindIdentityFilter, 1, func(n int, k, v []byte) ([]byte, []byte) {
			clear(v)
			return k, v
		})
	})
	f("run's end", "identity run", func(t *testing.T, s *journal.Store) {
		set, _, err := readRuns(onDisk{s}, 1)
		if err != nil {
			t.Fatal(err)
		}
		all := set.all()
		last := *all[len(all)-1]
		last.last += 1 << 20
		write(t, s, last.marker())
	})
	f("run in the middle gone", "run ", func(t *testing.T, s *journal.Store) {
		write(t, s, journal.Row{Space: journal.SpaceMarker, Key: runKey(2), Delete: true})
	})
}

// TestVerifyNoticesACheckpointOffTheChain gives the newest checkpoint a sequence at which
// no group ends, so that there is nothing to compare it with.
func TestVerifyNoticesACheckpointOffTheChain(t *testing.T) {
	f := tampering(t)
	f("checkpoint of a sequence inside a group", "checkpoint", func(t *testing.T, s *journal.Store) {
		m := newestCheckpoint(t, s)
		b, err := s.BlockAt(2)
		for seq := uint64(3); err == nil && b.First == b.Last; seq++ {
			b, err = s.BlockAt(seq)
		}
		if err != nil {
			t.Fatal(err)
		}
		job := checkpointJob{id: m.id, prev: m.prev, deltas: m.deltas, seq: b.First}
		write(t, s, job.marker(journal.Head{Hash: m.hash}))
	})
	f("checkpoint of the future", "checkpoint", func(t *testing.T, s *journal.Store) {
		m := newestCheckpoint(t, s)
		job := checkpointJob{id: m.id, prev: m.prev, deltas: m.deltas, seq: m.seq + 1000}
		write(t, s, job.marker(journal.Head{Hash: m.hash}))
	})
}

// TestVerifyNoticesAWrongStatementIndex changes a sequence in the statement index.
func TestVerifyNoticesAWrongStatementIndex(t *testing.T) {
	f := tampering(t)
	f("statement index", "statement", func(t *testing.T, s *journal.Store) {
		rebuild(t, s, journal.KindStatement, 1, func(n int, k, v []byte) ([]byte, []byte) {
			v[len(v)-1]++ // the last sequence of the last list
			return k, v
		})
	})
}
