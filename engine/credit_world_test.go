package engine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"farthing/journal"
	"farthing/refusal"
)

var creditSeed = flag.Uint64("credit-seed", 0, "run the simulation of prepaid credit with this seed alone, and log its steps")

// creditClock makes an engine ask for its time.
func creditClock(o *Options, now func() int64) {
	o.Clock = func() time.Time { return time.Unix(0, now()) }
	o.Now = now
}

// creditRig is one engine whose time the test moves and whose disk can lose power, beside its
// twin.
type creditRig struct {
	t    testing.TB
	rng  *rand.Rand
	now  atomic.Int64
	fs   *powerCut
	mu   sync.Mutex // of fs; nothing is noted at a cut
	e    *Engine
	m    *creditTwin
	tidy bool // Close went through

	last             string // how everything stood after the last step
	notesSeen        int
	wereOpen         map[string]bool   // holds, as the twin had it at the last look
	names            map[string]string // ids that the engine made up → as the twin calls them
	restarts, cuts   int
	done, no, dup    int
	jumps, windows   int
	shorts, captures int
	reasons          map[string]int // of refusals
}

func newCreditRig(t testing.TB, rng *rand.Rand, base time.Time, versions ...*modelVersion) *creditRig {
	r := &creditRig{t: t, rng: rng, m: newCreditTwin(base.UnixNano(), versions...), names: map[string]string{}, wereOpen: map[string]bool{}, reasons: map[string]int{}}
	r.now.Store(base.UnixNano())
	t.Cleanup(func() {
		if !r.tidy && r.e != nil {
			_ = r.e.Close() // the test failed, or is about something else; this ends its goroutines
		}
	})
	return r
}

// found gives the twin its engine, on an empty disk.
func (r *creditRig) found() { r.open(vfs.NewCrashableMem()) }

// open opens an engine on a disk.
func (r *creditRig) open(disk *vfs.MemFS) {
	r.t.Helper()
	r.fs = newPowerCut(disk, []int{0, 50, 100}[r.rng.IntN(3)], r.rng, &r.mu, func() {})
	e, err := Open(r.options(r.fs))
	if err != nil {
		r.t.Fatal(err)
	}
	r.e = e
}

func (r *creditRig) options(fs vfs.FS) Options {
	o := Options{Journal: journal.Options{Dir: "d", FS: fs, MemTableBytes: 64 << 10, HeadSync: time.Hour, Logger: quiet(),
		Fatal: func(err error) { panic(fmt.Sprintf("fatal: %v", err)) }},
		LedgerID: "credit", Logger: quiet(), DedupWindow: 20 * 365 * day, RunIdentities: 40, CheckpointBytes: 6000, world: surroundings{patient: true}}
	creditClock(&o, r.now.Load)
	return o
}

// restart closes the engine and opens it again.
func (r *creditRig) restart() {
	r.t.Helper()
	r.restarts++
	if err := r.e.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open(r.fs.mem)
	r.quiet()
}

// lose ends the engine as a power cut would and goes on with what the disk holds.
func (r *creditRig) lose() {
	r.t.Helper()
	r.cuts++
	disk := r.fs.finish()
	if err := r.e.Close(); err != nil {
		r.t.Fatal(err)
	}
	r.open(disk)
	r.quiet()
}

// quiet returns once the engine has done by itself all that is due: until two looks, each a
// command's turn on the sequencer, find the same, and the holds that the twin has ended since
// the last look have ended. Those that are captured as reported take a turn elsewhere.
func (r *creditRig) quiet() {
	r.t.Helper()
	r.still()
	for id := range r.wereOpen {
		if r.m.holds[id].state == Held {
			continue
		}
		for range 2000 {
			// One that is due says expired before it is.
			if h, no := r.e.Hold(id); no != nil || (h.State == r.m.holds[id].state && h.Released.String() == r.m.holds[id].released.String()) {
				break
			}
		}
	}
	clear(r.wereOpen)
	for _, h := range r.m.openHolds(nil) {
		r.wereOpen[h.id] = true
	}
	r.still()
}

func (r *creditRig) still() {
	r.t.Helper()
	for last := uint64(0); ; {
		seq := uint64(0)
		if no := r.e.do(func(s *sequencer) bool {
			seq = s.state.seq
			return false
		}); no != nil {
			r.t.Fatal(no)
		}
		if seq == last {
			return
		}
		last = seq
	}
}

// advance lets time pass: mostly from one thing that is due to the next, at times at once, as
// if the machine had slept.
func (r *creditRig) advance(d time.Duration) {
	r.t.Helper()
	to := r.m.now + int64(d)
	jump := r.rng.IntN(5) == 0
	asleep := jump && r.rng.IntN(2) == 0
	if jump {
		r.jumps++
	}
	for r.m.now < to {
		at := to
		if next := r.m.next(); !jump && next > r.m.now {
			at = min(at, next)
		}
		if r.e == nil {
			r.m.advance(at)
			continue
		}
		if asleep {
			if err := r.e.Close(); err != nil {
				r.t.Fatal(err)
			}
		}
		r.now.Store(at)
		if asleep {
			r.open(r.fs.mem)
		}
		r.m.advance(at)
		r.quiet()
	}
}

// creditReply is what the engine answered.
type creditReply struct {
	created bool
	no      *refusal.Refusal
	hold    *HoldResult
	lost    bool // unpriced
}

// creditStep is something that is asked of both.
type creditStep struct {
	text   string
	twin   func(m *creditTwin) []creditAnswer
	engine func(r *creditRig) []creditReply
	again  bool // may be asked for again
}

// alone asks only the twin, and checks that what it refuses or knows changes nothing.
func (r *creditRig) alone(s *creditStep) {
	r.t.Helper()
	ended := r.m.someHolds(false)
	before := r.m.text(ended)
	changed := false
	for _, a := range s.twin(r.m) {
		r.count(&a)
		changed = changed || a.changes()
	}
	after := r.m.check(r.t) + r.m.text(ended)
	r.m.settle()
	if !changed && before != after {
		r.t.Fatalf("%s was refused, and changed\n%s", s.text, creditDiff(before, after))
	}
}

// run asks both and compares. In a crash the engine loses power while it works, and is asked
// again on what the disk holds: then it may have done it already. Of several operations the
// first ones would meet what the later ones left, so those have no crash.
func (r *creditRig) run(s *creditStep, crash bool) {
	r.t.Helper()
	if r.e == nil {
		r.alone(s)
		return
	}
	if *creditSeed != 0 {
		r.t.Logf("%s: %s", creditTime(r.m.now), s.text)
	}
	want := s.twin(r.m)
	r.m.settle()
	if crash = crash && len(want) == 1; crash {
		r.fs.arm(1 + r.rng.Int64N(8))
		s.engine(r)
		r.lose()
	}
	got := s.engine(r)
	r.quiet()
	if len(got) != len(want) {
		r.t.Fatalf("%s: %d answers, the twin has %d", s.text, len(got), len(want))
	}
	changed := false
	for i := range got {
		if why := want[i].differs(&got[i], crash); why != "" {
			r.t.Fatalf("%s, answer %d: %s\nanswered %s\nthe twin says %s", s.text, i, why, got[i].text(), want[i].text())
		}
		r.count(&want[i])
		changed = changed || want[i].changes() || (want[i].short != nil && got[i].hold != nil)
	}
	before := r.last
	r.compare(s.text)
	if !changed && !crash && before != "" && r.last != "" && before != r.last {
		r.t.Fatalf("%s was refused, and changed\n%s", s.text, creditDiff(before, r.last))
	}
}

func (r *creditRig) count(a *creditAnswer) {
	switch {
	case a.short != nil:
		r.shorts++
	case a.refused():
		r.no++
		r.reasons[string(a.faults[0].code)+" "+a.faults[0].reason]++
	case a.duplicate:
		r.dup++
	default:
		r.done++
		if a.state == HoldCaptured {
			r.captures++
		}
	}
}

func (g *creditReply) text() string {
	out := fmt.Sprintf("created %v", g.created)
	if g.no != nil {
		out = fmt.Sprintf("%s %s: %s", g.no.Code, g.no.Reason, g.no.Detail)
		if g.no.Shortfall != nil {
			out += fmt.Sprintf(" %+v", *g.no.Shortfall)
		}
	}
	if g.hold != nil {
		out += " " + creditText(*g.hold)
	}
	return out
}

func (a *creditAnswer) text() string {
	if s := a.short; s != nil {
		return fmt.Sprintf("%s of %s leaves %s, asked %s", s.limit, s.account, s.left, s.asked)
	}
	if a.refused() {
		return fmt.Sprint(a.faults)
	}
	return fmt.Sprintf("duplicate %v, unpriced %v, %s amount %s charged %s released %s lost %s expires %s available %s", a.duplicate, a.unpriced, a.state, a.amount, a.charged,
		a.released, a.net, creditTime(a.expires), creditOptional(a.available))
}

// differs says how an answer differs from what it has to be.
func (a *creditAnswer) differs(g *creditReply, crash bool) string {
	switch {
	case a.any:
		return ""
	case a.refused() != (g.no != nil):
		return "one refuses"
	case g.no != nil:
		return a.refusalDiffers(g.no)
	case !crash && !a.loose && a.duplicate == g.created:
		return "one says it is a duplicate"
	case a.unpriced != g.lost && g.created:
		return "one has no price"
	case g.hold != nil && g.created:
		return a.holdDiffers(g.hold)
	}
	return ""
}

func (a *creditAnswer) refusalDiffers(no *refusal.Refusal) string {
	found := false
	for _, f := range a.faults {
		found = found || ((f.code == "" || f.code == no.Code) && (f.reason == "" || f.reason == no.Reason))
	}
	if !found {
		return "refused for another reason"
	}
	s := a.short
	if (s != nil) != (no.Shortfall != nil) {
		return "one says what did not fit"
	}
	if s == nil {
		return ""
	}
	// What is left may be shown as it is or, when nothing is, as 0.
	left := no.Shortfall.Left == s.left.String() || (s.left.IsNegative() && no.Shortfall.Left == "0")
	if (s.account != "" && no.Shortfall.Account != s.account) || (s.limit != "" && no.Shortfall.Limit != s.limit) ||
		no.Shortfall.Asked != s.asked.String() || !left {
		return "something else did not fit"
	}
	return ""
}

func (a *creditAnswer) holdDiffers(h *HoldResult) string {
	switch {
	case h.State != a.state || h.Amount.String() != a.amount.String():
		return "another state or amount"
	case h.Charged.String() != a.charged.String() || h.Released.String() != a.released.String() || h.Lost.String() != a.net.String():
		return "charged, released or lost"
	case a.state == Held && h.Expires.UnixNano() != a.expires:
		return "another expiry"
	case a.one && creditOf(h.Available) != creditOptional(a.available):
		return "another available amount"
	}
	return ""
}

// creditDiff shows the lines that two texts do not share.
func creditDiff(was, is string) string {
	lines := func(s string) map[string]bool {
		out := map[string]bool{}
		for line := range strings.Lines(s) {
			out[strings.TrimSpace(line)] = true
		}
		return out
	}
	a, b := lines(was), lines(is)
	var out strings.Builder
	for line := range strings.Lines(was) {
		if !b[strings.TrimSpace(line)] {
			fmt.Fprintf(&out, "- %s\n", strings.TrimSpace(line))
		}
	}
	for line := range strings.Lines(is) {
		if !a[strings.TrimSpace(line)] {
			fmt.Fprintf(&out, "+ %s\n", strings.TrimSpace(line))
		}
	}
	return out.String()
}
