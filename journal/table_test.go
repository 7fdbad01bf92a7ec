package journal

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

func TestTables(t *testing.T) {
	o := testOptions(t, vfs.NewMem())
	s := mustCreate(t, o)
	for _, id := range []uint64{0, 7, 300} {
		if err := buildTable(s, id); err != nil {
			t.Fatal(err)
		}
		mustCommit(t, s, 2, 9000)
	}
	if m := s.Metrics(); m.IngestBytes == 0 {
		t.Errorf("%+v", m)
	}
	for range 2 {
		if ids, err := s.Tables(KindIdentity); err != nil || !slices.Equal(ids, []uint64{0, 7, 300}) {
			t.Errorf("tables %v %v", ids, err)
		}
		if v, found, err := s.TableGet(KindIdentity, 7, counterKey(3)); err != nil || !found || !slices.Equal(v, counterKey(7)) {
			t.Errorf("get: %x %v %v", v, found, err)
		}
		if _, found, err := s.TableGet(KindIdentity, 7, counterKey(999)); err != nil || found {
			t.Errorf("get of nothing: %v %v", found, err)
		}
		n := 0
		if err := s.TableScan(KindCheckpoint, 300, nil, nil, func(_, _ []byte) (bool, error) { n++; return true, nil }); err != nil || uint64(n) != tableRows(300) {
			t.Errorf("scan: %d rows, %v", n, err)
		}
		mustClose(t, s)
		s = mustOpen(t, o)
	}
	if err := s.DropTable(KindIdentity, 7); err != nil {
		t.Fatal(err)
	}
	if ids, err := s.Tables(KindIdentity); err != nil || !slices.Equal(ids, []uint64{0, 300}) {
		t.Errorf("after dropping one: %v %v", ids, err)
	}
	checkStore(t, s)
	mustClose(t, s)
	s = mustOpen(t, o)
	defer mustClose(t, s)
	if _, found, err := s.TableGet(KindIdentity, 7, counterKey(3)); err != nil || found {
		t.Errorf("dropped table came back: %v %v", found, err)
	}
	if _, found, err := s.TableGet(KindCheckpoint, 7, counterKey(3)); err != nil || !found {
		t.Errorf("other kind of the same id: %v %v", found, err)
	}
}

// TestTableReplacesRemains: tables without marker are replaced, not merged with, when they are built again.
func TestTableReplacesRemains(t *testing.T) {
	s := mustCreate(t, testOptions(t, vfs.NewMem()))
	defer mustClose(t, s)
	f := func(keys string) {
		t.Helper()
		b, err := s.NewTable(KindStatement, 9)
		if err != nil {
			t.Fatal(err)
		}
		for _, key := range strings.Fields(keys) {
			if err := b.Add([]byte(key), []byte(keys)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Ingest([]*TableBuilder{b}, nil); err != nil {
			t.Fatal(err)
		}
		var got []string
		if err := s.TableScan(KindStatement, 9, nil, nil, func(k, _ []byte) (bool, error) { got = append(got, string(k)); return true, nil }); err != nil {
			t.Fatal(err)
		}
		if strings.Join(got, " ") != keys {
			t.Errorf("got %v, want %s", got, keys)
		}
	}
	f("a b c")
	f("b d")
	f("")
	f("a")
}

func TestTableOrderAndAbort(t *testing.T) {
	fs := vfs.NewMem()
	s := mustCreate(t, testOptions(t, fs))
	defer mustClose(t, s)
	b, err := s.NewTable(KindStatement, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Add([]byte("b"), nil); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"b", "a", ""} {
		func() {
			defer func() {
				if r := fmt.Sprint(recover()); !strings.HasPrefix(r, "BUG:") {
					t.Errorf("key %q: recovered %s", key, r)
				}
			}()
			t.Errorf("key %q: %v", key, b.Add([]byte(key), nil))
		}()
	}
	for range 2 {
		if err := b.Abort(); err != nil {
			t.Fatal(err)
		}
	}
	if names, err := fs.List(fs.PathJoin(testDir, liveName, buildName)); err != nil || len(names) != 0 {
		t.Errorf("left after abort: %v %v", names, err)
	}
}
