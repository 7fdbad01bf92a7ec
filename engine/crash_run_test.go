package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/internal/soak"
)

// TestCrashPoints cuts the power before and after the syncs of runs of everything there is, and at
// random changes, with nothing, half and all of what was not synced on the disk, from the creation of the
// ledger on, and goes on from one of the disks. In a full run every sync of every run is cut.
func TestCrashPoints(t *testing.T) {
	run := soak.Start(t)
	seeds, cycles, rounds := soak.Pick(1, 40), soak.Pick(2, 3), soak.Pick(6, 12)
	every, most := soak.Pick(12, 1), soak.Pick(40, 1<<30)
	budget := soak.Pick(15*time.Second, 10*time.Minute)
	started := time.Now()
	crashes, syncs, redone, resumed, ledgers := 0, 0, int64(0), int64(0), 0
	for n := 0; n < seeds && time.Since(started) < budget; n++ {
		x := newEverything(t, run.Seed()+uint64(n))
		ledgers++
		disk := vfs.NewCrashableMem()
		for range cycles {
			r := newPointRig(x, disk, every, most)
			if err := r.run(rounds); err != nil {
				t.Fatal(err)
			}
			if len(r.lost) > 0 {
				t.Fatalf("seed %d:\n%s", run.Seed()+uint64(n), r.losses())
			}
			crashes, syncs = crashes+r.taken, syncs+r.syncs
			redone, resumed = redone+r.redone.Load(), resumed+r.resumed.Load()
			if r.next == nil {
				break
			}
			disk = r.next.disk
			x.resume(&r.next.was)
		}
	}
	if crashes == 0 {
		t.Error("the power did not fail")
	}
	run.Report("power cuts, whole engine in process", soak.Counts{"ledgers": ledgers, "crashes survived": crashes, "sync points passed": syncs,
		"before there was a ledger": redone, "settlements resumed": resumed, "events lost": 0, "events doubled": 0})
}

// TestCrashRigNoticesLies plants faults that the rig has to find: a disk that syncs nothing, and a log that is not on
// disk when its group is answered.
func TestCrashRigNoticesLies(t *testing.T) {
	seed := soak.Seed(t)
	f := func(name string, lies func(path string) bool) {
		t.Helper()
		r := newPointRig(newEverything(t, seed), vfs.NewCrashableMem(), 10, 30)
		r.fs.lies = lies
		if err := r.run(4); err != nil {
			t.Fatal(err)
		}
		if len(r.lost) == 0 {
			t.Errorf("%s: the rig noticed nothing in %d crashes", name, r.taken)
		} else {
			t.Logf("%s: noticed in %d of %d crashes, first %s: %v", name, len(r.lost), r.taken, r.lost[0].point, r.lost[0].err)
		}
	}
	f("no sync", func(string) bool { return true })
	f("answers before the log is on disk", func(path string) bool { return strings.HasSuffix(path, ".log") })
}
