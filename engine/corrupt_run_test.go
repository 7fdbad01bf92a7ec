package engine

import (
	"cmp"
	"math/rand/v2"
	"path"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"farthing/internal/soak"
)

// TestCorruption damages every file of a ledger that has everything in it: a single bit flipped,
// the file gone, cut, zeroed, a page missing, an older copy of itself. Whatever was damaged, either
// all that is stored and all that verify reports is what it was, or the start or verify refuses and
// names the file and a sequence; and no start ever comes up with a shorter history.
func TestCorruption(t *testing.T) {
	run := soak.Start(t)
	r := newCorruptRig(t, run.Seed(), soak.Pick(25, 60))
	rng := rand.New(rand.NewPCG(run.Seed(), 21))
	list, flips := r.damages(rng, soak.Pick(1, 4000))
	rng.Shuffle(len(list), func(i, k int) { list[i], list[k] = list[k], list[i] })
	slices.SortStableFunc(list, func(a, b *damage) int { // most files are tables: the others come first
		return cmp.Compare(b2i(kindOfFile(a.file) == ".sst"), b2i(kindOfFile(b.file) == ".sst"))
	})
	budget := soak.Pick(8*time.Second, time.Hour)
	started := time.Now()
	var mu sync.Mutex
	var next, flipped, whole atomic.Int64
	seen, kinds := map[string]int{}, map[string]int{}
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for n := int(next.Add(1) - 1); n < len(list) && time.Since(started) < budget; n = int(next.Add(1) - 1) {
				d := list[n]
				got := r.try(d)
				if got.err != nil {
					r.named(d, got.err)
				}
				if flips[d] {
					flipped.Add(1)
				} else {
					whole.Add(1)
				}
				mu.Lock()
				seen[got.at]++
				kinds[kindOfFile(d.file)+" "+got.at]++
				mu.Unlock()
			}
		})
	}
	workers.Wait()
	t.Logf("by file: %v; verify: %+v", kinds, r.report)
	if seen["start"] == 0 || seen["nowhere"] == 0 {
		t.Errorf("not all of it happened: %v", seen)
	}
	run.Report("corrupt disk", soak.Counts{"files": len(r.files), "bits flipped": flipped.Load(), "files removed, cut or replaced": whole.Load(),
		"noticed at start": seen["start"], "noticed by verify": seen["verify"], "without effect": seen["nowhere"], "shorter histories opened": 0})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// kindOfFile is what a file of the directory is.
func kindOfFile(file string) string {
	name := path.Base(file)
	for _, prefix := range []string{"MANIFEST", "OPTIONS", "marker.manifest", "marker.format-version"} {
		if strings.HasPrefix(name, prefix) {
			return prefix
		}
	}
	if ext := path.Ext(name); ext != "" {
		return ext
	}
	return name
}

// damages are all whole damages, every bit of the head's slots in a full run, and per file at least one flipped bit, with so
// many more in all. Half of these are near the ends of a file, where its header and footer are.
func (r *corruptRig) damages(rng *rand.Rand, more int) (list []*damage, flips map[*damage]bool) {
	flips = map[*damage]bool{}
	sizes := map[string]int{}
	flip := func(file string, at int) {
		d := r.flip(file, at, uint(rng.IntN(8)))
		list, flips[d] = append(list, d), true
	}
	random := func(file string) {
		switch at, size := rng.IntN(64), sizes[file]; {
		case size == 0:
		case rng.IntN(2) == 0:
			flip(file, rng.IntN(size))
		case rng.IntN(2) == 0:
			flip(file, min(at, size-1))
		default:
			flip(file, max(size-1-at, 0))
		}
	}
	for _, file := range r.files {
		list = append(list, r.whole(file, rng)...)
		info, err := r.disk.Stat(file)
		if err != nil {
			r.t.Fatal(err)
		}
		sizes[file] = int(info.Size())
		random(file)
		if soak.Full() && path.Base(file) == "HEAD" {
			for at := range 84 {
				flip(file, at)
				flip(file, 4096+at)
			}
		}
	}
	for range more {
		random(r.files[rng.IntN(len(r.files))])
	}
	return list, flips
}

var anySequence = regexp.MustCompile(`sequences? \d+|last sequence is not known`)

// named checks that an error names the damaged file, or what it was one of if it is gone, and a sequence.
func (r *corruptRig) named(d *damage, err error) {
	text, name := err.Error(), path.Base(d.file)
	ok := strings.Contains(text, name)
	switch kind := kindOfFile(d.file); {
	case kind == ".sst":
		ok = ok || strings.Contains(text, strings.TrimSuffix(name, ".sst"))
	case kind == ".log":
		ok = ok || strings.Contains(text, "a log is missing")
	case strings.HasPrefix(kind, "marker."):
		ok = ok || strings.Contains(text, "no "+kind)
	case kind == "MANIFEST":
		ok = ok || strings.Contains(text, "manifest")
	}
	if !ok || !anySequence.MatchString(text) {
		r.t.Errorf("%s %s: the file or a sequence is not named in: %v", d.file, d.what, err)
	}
}

// TestDamagedWebhookRowIsNoticed: rows that nothing can be compared with are held against their checksums.
func TestDamagedWebhookRowIsNoticed(t *testing.T) {
	r := newCorruptRig(t, soak.Seed(t), 10)
	fs := cloneDisk(r.disk)
	o := r.x.options(fs)
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	secret := []byte(strings.Repeat("s3cret of an endpoint ", 300))
	if err := e.Webhooks().Save("hook-9", secret, secret); err != nil {
		t.Fatal(err)
	}
	for range 2 { // an open flushes what the log holds
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
		if e, err = Open(o); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	for _, file := range filesBelow(t, fs, "d") {
		data := readAll(t, fs, file)
		at := strings.Index(string(data), string(secret[:200]))
		if at < 0 || !strings.HasSuffix(file, ".sst") {
			continue
		}
		data[at+100] ^= 1
		overwrite(t, fs, file, data)
		_, err := Verify(r.verifyOptions(fs))
		if err == nil || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), "rows") {
			t.Errorf("a flipped bit in a webhook's secret in %s: %v", file, err)
		}
		return
	}
	t.Error("the rows of the webhook are in no table")
}
