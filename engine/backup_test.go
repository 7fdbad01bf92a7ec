package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"farthing/internal/soak"
	"farthing/journal"
	"farthing/refusal"
)

// TestBackupHoldsWhatWasAnswered takes backups while several goroutines are at work. Each is restored, verified and opened: everything that was answered before it was asked
// for is in it, retries are duplicates, and what it holds is what the model makes of its journal.
func TestBackupHoldsWhatWasAnswered(t *testing.T) {
	seed := soak.Seed(t)
	r := newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes, o.DedupWindow = 60, 4000, 100*day })
	a := newActivity(t, newWorld(r.base))
	a.found(r.e, 4)
	top := t.TempDir()
	backups, err := r.e.OpenBackups(filepath.Join(top, "backups"), seed%2 == 0)
	if err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		a.run(r.e, seed, 3, 1<<30, 4, stop.Load)
	}()
	promised := map[string]answers{}
	for n := range soak.Pick(3, 30) {
		a.mu.Lock()
		said := a.copyAnswers()
		a.mu.Unlock()
		id := fmt.Sprint("backup-", n)
		got, created, no := backups.Start(id, time.Minute)
		if no != nil || !created || got.State != BackupDone || got.Sequence < said.seq {
			t.Fatalf("answered up to %d, %+v %v %v", said.seq, got, created, no)
		}
		again, created, no := backups.Start(id, time.Minute)
		if no != nil || created || again.Sequence != got.Sequence || again.Hash != got.Hash {
			t.Fatalf("%+v again %+v %v %v", got, again, created, no)
		}
		promised[id] = said
	}
	stop.Store(true)
	<-ended
	backups.Close()
	list, more, no := backups.List("", 2)
	if no != nil || !more || len(list) != 2 || list[0].ID != "backup-0" {
		t.Fatalf("%+v %v %v", list, more, no)
	}
	for id, said := range promised {
		restored := r.o
		restored.Journal.Dir = filepath.Join(top, "restored-"+id)
		if _, _, err := Restore(RestoreOptions{From: filepath.Join(top, "backups", id), Data: restored.Journal}); err != nil {
			t.Fatal(err)
		}
		a.checkRestored(restored, &said)
	}
	soak.Report(t, "backups under load", soak.Counts{"backups restored": len(promised), "answers lost": 0})
}

// checkRestored opens a restored ledger and looks for what was answered.
func (a *activity) checkRestored(o Options, said *answers) {
	t := a.t
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	settled(t, e)
	e.repriced()
	settled(t, e)
	m := newModel(t, a.w)
	m.replay(e, e.store.Head().Seq)
	m.compare(e)
	for identity := range said.events {
		if !m.booked[identity] {
			t.Fatalf("event %q was answered and is not in the backup", identity)
		}
	}
	for id := range said.topUps {
		if !m.topUps[id] {
			t.Fatalf("top-up %s was answered and is not in the backup", id)
		}
	}
	for id, first := range said.closes {
		if again, created, no := e.CloseWindow(id, nil); created || no != nil || fmt.Sprintf("%+v", again) != fmt.Sprintf("%+v", first) {
			t.Fatalf("close %s answered %+v, now %+v (created %v, %v)", id, first, again, created, no)
		}
	}
	var calls []call
	for identity := range said.events {
		calls = append(calls, a.w.calls[identity])
	}
	if got := a.post(e, calls); got.Duplicates != len(calls) {
		t.Fatalf("%d of %d retries are duplicates", got.Duplicates, len(calls))
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(VerifyOptions{Journal: o.Journal}); err != nil {
		t.Fatal(err)
	}
}

// TestRestoreRefuses: a backup with a flipped bit in a table, one that lacks a file, one that says another ledger, and a directory that is in use. Nothing is left.
func TestRestoreRefuses(t *testing.T) {
	r := standard(t, nil)
	for n := range 20 {
		r.post(llm(fmt.Sprint("e", n), "acme", "m1", n, n))
	}
	r.settle("w")
	r.reopen() // so that there are tables
	r.post(llm("last", "acme", "m1", 7, 7))
	top := t.TempDir()
	backups, err := r.e.OpenBackups(filepath.Join(top, "backups"), false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, no := backups.Start("good", time.Minute); no != nil {
		t.Fatal(no)
	}
	good := filepath.Join(top, "backups", "good")
	store := filepath.Join(good, "ledger", "store")
	refuse := func(what string, change func(dir string)) {
		t.Helper()
		refusesToRestore(t, top, good, what, change)
	}
	entries, err := os.ReadDir(store)
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		name := entry.Name()
		if strings.HasSuffix(name, ".sst") || strings.HasPrefix(name, "MANIFEST") {
			refuse(name+" is gone", func(dir string) {
				if err := os.Remove(filepath.Join(dir, "ledger", "store", name)); err != nil {
					t.Fatal(err)
				}
			})
		}
	}
	refuse("the head record is gone", func(dir string) {
		if err := os.Remove(filepath.Join(dir, "ledger", "HEAD")); err != nil {
			t.Fatal(err)
		}
	})
	said, err := ReadBackup(good)
	if err != nil {
		t.Fatal(err)
	}
	sequence := fmt.Sprintf(`"sequence": %d`, said.Sequence)
	for _, lie := range [][2]string{{`"ledger": "test"`, `"ledger": "tset"`}, {`"partition": 0`, `"partition": 1`}, {said.Hash, strings.Repeat("0", 64)}, {said.Hash, ""},
		{sequence, fmt.Sprintf(`"sequence": %d`, said.Sequence-1)}, {sequence, `"sequence": 9999`}} {
		refuse("it says "+lie[1], func(dir string) { sayOtherwise(t, dir, lie[0], lie[1]) })
	}
	refuse("it does not say what it is", func(dir string) {
		if err := os.Remove(filepath.Join(dir, journal.DescriptionName)); err != nil {
			t.Fatal(err)
		}
	})
	backups.Close()
	r.close()
	if _, _, err := Restore(RestoreOptions{From: good, Data: r.o.Journal}); err == nil {
		t.Error("it was restored over a ledger")
	}
	r.open()
}

// sayOtherwise changes what a backup says of itself.
func sayOtherwise(t *testing.T, dir, old, lie string) {
	t.Helper()
	path := filepath.Join(dir, journal.DescriptionName)
	data, err := os.ReadFile(path)
	if err == nil && !strings.Contains(string(data), old) {
		err = fmt.Errorf("it has no %s: %s", old, data)
	}
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(data), old, lie, 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// refusesToRestore changes a copy of a backup and tries to restore it.
func refusesToRestore(t *testing.T, top, good, what string, change func(dir string)) {
	t.Helper()
	bad, to := filepath.Join(top, "bad"), filepath.Join(top, "to")
	if err := os.CopyFS(bad, os.DirFS(good)); err != nil {
		t.Fatal(err)
	}
	change(bad)
	if _, _, err := Restore(RestoreOptions{From: bad, Data: journal.Options{Dir: to, Logger: quiet()}}); err == nil {
		t.Errorf("%s: it was restored", what)
	}
	if _, err := os.Stat(to); !os.IsNotExist(err) {
		t.Errorf("%s: something was left: %v", what, err)
	}
	if err := os.RemoveAll(bad); err != nil {
		t.Fatal(err)
	}
}

// TestBackupIDs: an id is the name of a directory, and of nothing else.
func TestBackupIDs(t *testing.T) {
	f := func(id string, want bool) {
		t.Helper()
		if got := ValidBackupID(id); got != want {
			t.Errorf("%q: %v", id, got)
		}
	}
	f("nightly-2026-11-29", true)
	f("A.b_c", true)
	for _, bad := range []string{"", ".", "..", ".hidden", "a/b", "../a", `a\b`, "a\x00", "a b", "x.new", "ä", strings.Repeat("a", 65)} {
		f(bad, false)
	}
}

// TestBackupDirHoldsOtherThings shares the directory of backups with another ledger's backup, a directory that is none, and one with
// the name of an interrupted copy that is none: nobody is told that these are his backups, and nothing of it is removed.
func TestBackupDirHoldsOtherThings(t *testing.T) {
	r := standard(t, nil)
	dir := filepath.Join(t.TempDir(), "backups")
	put := func(name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(name)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put("notes/text")
	put("website.new/index.html")
	put("cut.new/ledger/store/000001.sst")
	backups, err := r.e.OpenBackups(dir, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.e.OpenBackups(dir, true); !errors.Is(err, journal.ErrLocked) {
		t.Fatalf("a second server with the same directory: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cut.new")); !errors.Is(err, os.ErrNotExist) {
		t.Error("what is left of a copy stays")
	}
	if _, created, no := backups.Start("mine", time.Minute); no != nil || !created {
		t.Fatal(no)
	}
	if err := os.CopyFS(filepath.Join(dir, "theirs"), os.DirFS(filepath.Join(dir, "mine"))); err != nil {
		t.Fatal(err)
	}
	said, err := os.ReadFile(filepath.Join(dir, "mine", journal.DescriptionName))
	if err != nil {
		t.Fatal(err)
	}
	theirs := strings.NewReplacer(`"ledger": "test"`, `"ledger": "tset"`, `"id": "mine"`, `"id": "theirs"`).Replace(string(said))
	if err := os.WriteFile(filepath.Join(dir, "theirs", journal.DescriptionName), []byte(theirs), 0o600); err != nil {
		t.Fatal(err)
	}
	for id, reason := range map[string]string{"theirs": "other_ledger", "notes": "not_a_backup", "LOCK": "not_a_backup"} {
		if got, _, no := backups.Start(id, time.Minute); no == nil || no.Code != refusal.IDConflict || no.Reason != reason {
			t.Errorf("%s: %+v %v", id, got, no)
		}
	}
	if _, _, no := backups.Start("website", time.Minute); no == nil {
		t.Error("a backup took the place of something else")
	}
	for _, name := range []string{"notes/text", "website.new/index.html"} {
		if text, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(text) != "precious" {
			t.Errorf("%s: %q %v", name, text, err)
		}
	}
	if info, err := os.Stat(filepath.Join(dir, "mine")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", info, err)
	}
	backups.Close()
	if backups, err = r.e.OpenBackups(dir, true); err != nil {
		t.Fatal(err)
	}
	backups.Close()
}
