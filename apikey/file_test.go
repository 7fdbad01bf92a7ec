package apikey

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"farthing/internal/private"
)

// openFile opens a key file and notes what it tells of changes.
func openFile(t *testing.T, path string) (*File, func() string) {
	t.Helper()
	var mu sync.Mutex
	var told []string
	f, err := Open(path, func(keys int, err error) {
		mu.Lock()
		defer mu.Unlock()
		text := strings.Repeat("k", keys)
		if err != nil {
			text += "!"
		}
		told = append(told, text)
	})
	if err != nil {
		t.Fatal(err)
	}
	return f, func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(told, " ")
	}
}

// TestFileChangesCountAtOnce adds and revokes while tokens are asked for.
func TestFileChangesCountAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	first, second := mustKey(t, "first", Read, 1), mustKey(t, "second", Ingest, 2)
	if err := Add(path, first.Entry); err != nil {
		t.Fatal(err)
	}
	file, told := openFile(t, path)
	known := func(key Key, want bool) {
		t.Helper()
		if _, ok := file.Authenticate([]byte(key.Secret)); ok != want {
			t.Errorf("found %v, want %v (%s)", ok, want, told())
		}
	}
	settled := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		<-time.After(Settled)
	}
	for range 20 {
		known(first, true)
		known(second, false)
		settled(Add(path, second.Entry))
		known(first, true)
		known(second, true)
		settled(Revoke(path, "second"))
	}
	settled(Revoke(path, "first")) // the last one: nobody is let in
	known(first, false)
	if err := Revoke(path, "first"); !errors.Is(err, ErrUnknown) {
		t.Error(err)
	}
	settled(Add(path, first.Entry))
	known(first, true)
	if err := Add(path, first.Entry); !errors.Is(err, ErrDuplicate) {
		t.Error(err)
	}
}

// TestBrokenFileChangesNothing damages a file in several ways, and mends it.
func TestBrokenFileChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	key := mustKey(t, "a", Read, 1)
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path+".new", []byte(text), 0o600), os.Chmod(path+".new", mode), os.Rename(path+".new", path)); err != nil {
			t.Fatal(err)
		}
		<-time.After(Settled)
	}
	write(key.Entry, 0o600)
	file, told := openFile(t, path)
	f := func(broken error) {
		t.Helper()
		if _, ok := file.Authenticate([]byte(key.Secret)); !ok {
			t.Error("the key is gone")
		}
		if err := file.Broken(); !errors.Is(err, broken) || (broken == nil && err != nil) {
			t.Errorf("broken: %v, want %v", err, broken)
		}
	}
	f(nil)
	write("- [", 0o600)
	f(ErrFile)
	f(ErrFile)
	write(key.Entry, 0o644)
	f(private.ErrOpen)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	<-time.After(Settled)
	f(os.ErrNotExist)
	if err := Revoke(path, "a"); err == nil {
		t.Error("revoked from no file")
	}
	write(key.Entry, 0o600)
	f(nil)
	if got := told(); got != "k! k! k! k" {
		t.Errorf("told %q", got)
	}
}

// TestFileChangedInPlace is changed within a clock tick, to the same size.
func TestFileChangedInPlace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	one, two := mustKey(t, "a", Read, 1), mustKey(t, "a", Read, 2)
	if err := os.WriteFile(path, []byte(one.Entry), 0o600); err != nil {
		t.Fatal(err)
	}
	file, _ := openFile(t, path)
	if err := os.WriteFile(path, []byte(two.Entry), 0o600); err != nil {
		t.Fatal(err)
	}
	<-time.After(100 * time.Millisecond)
	if _, ok := file.Authenticate([]byte(two.Secret)); !ok {
		t.Error("the change was missed")
	}
}

// TestEditKeepsTheRest has comments, an order, and a file that is linked to.
func TestEditKeepsTheRest(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "keys.yaml"), filepath.Join(t.TempDir(), "link.yaml")
	a, b := mustKey(t, "a", Read, 1), mustKey(t, "b", Read, 2)
	if err := errors.Join(os.WriteFile(path, []byte("# ours\n"+a.Entry+"# theirs\n"+b.Entry), 0o600), os.Symlink(path, link)); err != nil {
		t.Fatal(err)
	}
	limited, err := New("c", Admin, Limits{RequestsPerSecond: 5, ByteBurst: 7, BytesPerSecond: 3}, [SecretBytes]byte{3})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Add(link, limited.Entry), Revoke(link, "a")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	set, err := Parse(text)
	if err != nil || set.Len() != 2 || set.entries[0].id != "b" || set.entries[1].limits.ByteBurst != 7 || !strings.Contains(string(text), "# theirs") {
		t.Errorf("%v\n%s", err, text)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Error(left, err)
	}
	if err := errors.Join(os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	if err := Revoke(path, "b"); !errors.Is(err, ErrPermissions) {
		t.Error(err)
	}
}

// TestEditsAtOnce loses none of many.
func TestEditsAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.yaml")
	var all sync.WaitGroup
	const n = 20
	for i := range n {
		entry := mustKey(t, KeyID("k"+string(rune('a'+i))), Read, byte(i)).Entry
		all.Go(func() {
			if err := Add(path, entry); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if set, err := Load(path); err != nil || set.Len() != n {
		t.Error(set, err)
	}
}

func TestLimiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(Limits{RequestsPerSecond: 10, RequestBurst: 3, BytesPerSecond: 1000})
		f := func(wantLimit string, wantWait time.Duration) {
			t.Helper()
			if wait, limit := l.Request(time.Now()); limit != wantLimit || wait.Round(time.Microsecond) != wantWait {
				t.Errorf("%q for %v, want %q for %v", limit, wait, wantLimit, wantWait)
			}
		}
		f("", 0)
		f("", 0)
		f("", 0)
		f("requests", 100*time.Millisecond)
		<-time.After(100 * time.Millisecond)
		f("", 0)
		f("requests", 100*time.Millisecond)
		<-time.After(time.Hour) // a long pause is no more than a burst
		f("", 0)
		f("", 0)
		f("", 0)
		f("requests", 100*time.Millisecond)
		<-time.After(time.Second)
		l.Bytes(time.Now(), 5000) // more than there is
		f("bytes", 4*time.Second)
		l.Bytes(time.Now(), -4500)
		f("", 0)

		none := newLimiter(Limits{RequestsPerSecond: 1})
		none.Bytes(time.Now(), 1<<40)
		if _, limit := none.Request(time.Now()); limit != "" {
			t.Error(limit)
		}
	})
}

// TestLimitsAreKept reads a file again: what was used stays used, new limits begin anew.
func TestLimitsAreKept(t *testing.T) {
	parse := func(text string) *Set {
		t.Helper()
		set, err := Parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	key := mustKey(t, "a", Read, 1)
	old := parse(key.Entry + "  requests_per_second: 5\n")
	same, other, none := parse(key.Entry+"  requests_per_second: 5\n"), parse(key.Entry+"  requests_per_second: 6\n"), parse(key.Entry)
	for _, set := range []*Set{same, other, none} {
		set.keepLimiters(old)
	}
	if same.entries[0].limiter != old.entries[0].limiter || other.entries[0].limiter == old.entries[0].limiter || none.entries[0].limiter != nil {
		t.Error("the wrong ones were kept")
	}
	f := func(more string) {
		t.Helper()
		if _, err := Parse([]byte(key.Entry + more)); !errors.Is(err, ErrEntry) {
			t.Errorf("%q: %v", more, err)
		}
	}
	f("  requests_per_second: 0\n")
	f("  requests_per_second: -1\n")
	f("  requests_per_second: 1.5\n")
	f("  requests_per_second: [1]\n")
	f("  bytes_per_second: 1000000001\n")
	f("  request_burst: 5\n")
	f("  byte_burst: 5\n")
}

func BenchmarkAuthenticate(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.yaml")
	key, err := New("a", Read, Limits{RequestsPerSecond: 1_000_000_000, BytesPerSecond: 1_000_000_000}, [SecretBytes]byte{1})
	if err != nil {
		b.Fatal(err)
	}
	if err := Add(path, key.Entry); err != nil {
		b.Fatal(err)
	}
	file, err := Open(path, func(int, error) {})
	if err != nil {
		b.Fatal(err)
	}
	token := []byte(key.Secret)
	for b.Loop() {
		found, ok := file.Authenticate(token)
		if _, limit := found.Limiter.Request(time.Now()); !ok || limit != "" {
			b.Fatal(ok, limit)
		}
	}
}
