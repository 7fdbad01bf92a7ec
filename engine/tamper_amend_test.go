package engine

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"farthing/journal"
	"farthing/money"
)

// amended is a closed ledger and the commands that really followed: a void, a version that
// rates an unpriced event late and that a rerate gives to the past. Every case writes them
// again behind a copy of the ledger, one of them changed, and nothing after that one.
type amended struct {
	t        *testing.T
	dir      string
	o        Options
	head     uint64
	commands []forged
	tables   *tables // of the ledger in which they really followed
}

type forged struct {
	kind    byte
	payload []byte
}

// bytes is the command as a block holds it.
func (f *forged) bytes() []byte { return appendBytes([]byte{f.kind}, f.payload) }

// The second book gives every event another amount; some of both is counted.
const (
	tamperBook = `{"effective_from":"2026-01-01T00:00:00Z","prices":[
 {"meter":"x","currency":"USD","match":{},"components":{"call":{"graduated":[{"up_to":"10","unit":"1"},{"unit":"0.5"}]}},"payee":"prov","fee":"0.1"},
 {"meter":"y","currency":"USD","match":{},"components":{"call":"0.25"},"payee":"prov","fee":"0.1"}]}`
	tamperLater = `{"effective_from":"2026-01-02T00:00:00Z","prices":[
 {"meter":"x","currency":"USD","match":{},"components":{"call":{"graduated":[{"up_to":"10","unit":"2"},{"unit":"0.75"}]}},"payee":"prov","fee":"0.2"},
 {"meter":"y","currency":"USD","match":{},"components":{"call":"0.5"}},
 {"meter":"z","currency":"USD","match":{},"components":{"call":"3"}}]}`
)

func newAmended(t *testing.T) *amended {
	r := newRig(t, nil)
	for _, id := range []string{"acme", "beta"} {
		r.account(id, "customer", "prepaid")
	}
	r.account("prov", "provider", "")
	r.prices("v1", tamperBook)
	if _, _, refused := r.e.TopUp(TopUp{ID: "t", Account: "acme", Amount: amount(t, "12.5")}); refused != nil {
		t.Fatal(refused)
	}
	at := r.base.Add(-2 * time.Hour).UnixNano()
	post := func(id, subject, kind, q string, at int64) {
		r.post(call{source: "gw", id: id, subject: subject, kind: kind, usage: [][2]string{{"call", q}}, time: at})
	}
	post("x1", "acme", "x", "8", at)
	post("x2", "acme", "x", "9", at) // 2 + 3.5: takes the rest of the paid credit and owes
	post("x3", "acme", "x", "4", at)
	post("x4", "acme", "x", "3", at-int64(20*day)) // October's
	post("y1", "beta", "y", "5", at)
	post("z1", "beta", "z", "7", at)
	a := &amended{t: t, dir: r.o.Journal.Dir, o: r.o, head: r.e.store.Head().Seq}
	r.close()
	after := r.o
	after.Journal.Dir = t.TempDir()
	a.copyTo(after.Journal.Dir)
	e, err := Open(after)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, refused := e.Void(VoidSpec{Source: "gw", Event: "x2", ID: "void", Reason: "wrong"}); refused != nil {
		t.Fatal(refused)
	}
	(&rig{t: t, e: e}).prices("v2", tamperLater)
	e.repriced()
	if _, _, refused := e.Rerate(RerateSpec{ID: "rerate", Version: "v2"}); refused != nil {
		t.Fatal(refused)
	}
	e.repriced()
	err = e.store.Blocks(1, func(b *journal.Block) error {
		var c cursor
		c.reset(b.Body, b.First, b.Time, e.published.Load())
		for c.next() {
			if c.seq > a.head {
				a.commands = append(a.commands, forged{c.kind, append([]byte(nil), c.payload...)})
			}
		}
		return c.err()
	})
	a.tables = e.published.Load()
	if err == nil {
		err = e.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *amended) copyTo(dir string) {
	a.t.Helper()
	if err := os.CopyFS(dir, os.DirFS(a.dir)); err != nil {
		a.t.Fatal(err)
	}
}

// find returns the number of the nth amendment with an op.
func (a *amended) find(op amendOp, n int) int {
	a.t.Helper()
	for i, c := range a.commands {
		if c.kind == kindAmend && amendOp(c.payload[0]) == op {
			if n == 0 {
				return i
			}
			n--
		}
	}
	a.t.Fatalf("there is no amendment %d of %d", op, n)
	return 0
}

func (a *amended) findKind(kind byte) int {
	a.t.Helper()
	for i, c := range a.commands {
		if c.kind == kind {
			return i
		}
	}
	a.t.Fatalf("there is no command %x", kind)
	return 0
}

// amendment decodes a command.
func (a *amended) amendment(i int) *amendment {
	a.t.Helper()
	var out amendment
	r := reader{p: a.commands[i].payload}
	r.amendment(&out, a.tables)
	if err := r.end(); err != nil {
		a.t.Fatal(err)
	}
	return &out
}

// judge writes commands behind a copy of the ledger and returns what Verify and Open say.
func (a *amended) judge(t *testing.T, commands []forged) (verify, open error) {
	t.Helper()
	o := a.o
	o.Journal.Dir = t.TempDir()
	a.copyTo(o.Journal.Dir)
	var list [][]byte
	for i := range commands {
		list = append(list, commands[i].bytes())
	}
	forge(t, o.Journal, list...)
	tell := func(try func() error) (err error) {
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("PANIC: %v", p)
			}
		}()
		return try()
	}
	verify = tell(func() error {
		_, err := Verify(VerifyOptions{Journal: o.Journal})
		return err
	})
	open = tell(func() error {
		e, err := Open(o)
		if err == nil {
			e.repriced()
			err = e.Close()
		}
		return err
	})
	return verify, open
}

// refused wants Verify to name a sequence, and neither Verify nor Open to panic.
func (a *amended) refused(name string, seq uint64, commands []forged) {
	a.t.Run(name, func(t *testing.T) {
		verify, open := a.judge(t, commands)
		if verify == nil || !strings.Contains(verify.Error(), fmt.Sprintf("sequence %d", seq)) {
			t.Errorf("verify does not name sequence %d: %v", seq, verify)
		}
		for _, err := range []error{verify, open} {
			if err != nil && strings.Contains(err.Error(), "PANIC") {
				t.Error(err)
			}
		}
	})
}

// changed writes the commands up to amendment i, that one changed.
func (a *amended) changed(name string, i int, change func(*amendment)) {
	a.t.Helper()
	am := a.amendment(i)
	change(am)
	list := append(append([]forged(nil), a.commands[:i]...), forged{kindAmend, am.append(nil)})
	a.refused(name, a.head+uint64(i)+1, list)
}

// upTo is the first n commands and others behind them.
func (a *amended) upTo(n int, more ...forged) []forged {
	return append(append([]forged(nil), a.commands[:n]...), more...)
}

// rerateJob is the rerate's first command, changed.
func (a *amended) rerateJob(change func(*rerateJob)) forged {
	r := reader{p: a.commands[a.findKind(kindRerate)].payload}
	job := r.rerate()
	change(job)
	return forged{kindRerate, job.append(nil)}
}

// TestForgedAmendments changes what amendments say.
func TestForgedAmendments(t *testing.T) {
	a := newAmended(t)
	for n := range len(a.commands) + 1 {
		if n > 0 && a.commands[n-1].kind == kindRerate || n == len(a.commands) {
			if verify, open := a.judge(t, a.commands[:n]); verify != nil || open != nil {
				t.Fatalf("the true commands are refused: %v, %v", verify, open)
			}
		}
	}
	unit := money.FromWords(0, 1)
	void, rated, lift, again, direct := a.find(amendVoid, 0), a.find(amendRated, 0), a.find(amendRerated, 0), a.find(amendRerated, 1), a.find(amendRerated, 2)
	a.changed("void of another amount", void, func(m *amendment) { m.old.amount = m.old.amount.MustAdd(unit) })
	a.changed("void of another amount and split", void, func(m *amendment) {
		m.old.amount, m.old.split.Paid = m.old.amount.MustAdd(unit), m.old.split.Paid.MustAdd(unit)
	})
	a.changed("void to other sources", void, func(m *amendment) {
		m.old.split.Paid, m.old.split.Receivable = m.old.split.Receivable, m.old.split.Paid
	})
	a.changed("counter", void, func(m *amendment) { m.old.before[0] += 1_000_000 })
	a.changed("no counter", void, func(m *amendment) { m.old.counted = 0 })
	a.changed("origin of another event", void, func(m *amendment) { m.origin, m.prev = m.origin+1, m.prev+1 })
	a.changed("origin of the future", void, func(m *amendment) { m.origin, m.prev = m.origin+1000, m.prev+1000 })
	a.changed("origin itself", void, func(m *amendment) { m.origin, m.prev = a.head+1, a.head+1 })
	a.changed("prev of another event", void, func(m *amendment) { m.prev-- })
	a.changed("prev of the future", void, func(m *amendment) { m.prev += 1000 })
	a.changed("another payer", void, func(m *amendment) { m.old.account++ })
	a.changed("more usage than was counted", void, func(m *amendment) { m.old.quantities[0] *= 100 })
	a.changed("of another month", void, func(m *amendment) { m.old.time -= int64(20 * day) })
	a.changed("of a month without usage", void, func(m *amendment) { m.old.time -= int64(200 * day) })
	a.changed("origin that is no event", void, func(m *amendment) { m.origin, m.prev = 3, 3 })
	a.changed("origin of the genesis", void, func(m *amendment) { m.origin, m.prev = 1, 1 })
	a.changed("another source", void, func(m *amendment) { m.old.source = []byte("other") })
	a.changed("another id", void, func(m *amendment) { m.old.id = []byte("x1") })
	a.changed("a provider as payer", void, func(m *amendment) { m.old.account += 2 })
	a.changed("less usage", void, func(m *amendment) { m.old.quantities[0] -= 1_000_000 })
	a.changed("of another moment", void, func(m *amendment) { m.old.time++ })
	a.changed("void of what had no price", void, func(m *amendment) { m.old.reason = noPrice })
	a.changed("void for no reason known", void, func(m *amendment) { m.old.reason = numUnpricedReasons })
	a.changed("an op that is none", void, func(m *amendment) { m.op = amendRerated + 1 })

	a.changed("late rating of another amount", rated, func(m *amendment) { m.new.amount = m.new.amount.MustAdd(unit) })
	a.changed("late rating from other sources", rated, func(m *amendment) {
		m.new.split.Paid, m.new.split.Receivable = m.new.split.Receivable, m.new.split.Paid
	})
	a.changed("late rating under another version", rated, func(m *amendment) { m.new.version = 0 })
	a.changed("late rating of another shape", rated, func(m *amendment) { m.new.shape = 0 })
	a.changed("late rating of more usage", rated, func(m *amendment) { m.old.quantities[0]++ })
	a.changed("late rating of a priced event", rated, func(m *amendment) { m.origin, m.prev = m.origin-1, m.prev-1 })
	a.changed("late rating for another reason", rated, func(m *amendment) { m.old.reason = componentUnpriced })
	a.changed("late rating with dimensions", rated, func(m *amendment) { m.new.extras = appendBytes(appendBytes(nil, "k"), "v") })

	a.changed("rerate that takes back another amount", lift, func(m *amendment) { m.old.amount = m.old.amount.MustAdd(unit) })
	a.changed("rerate by no rerate", lift, func(m *amendment) { m.job = 7 })
	a.changed("rerate of a rating under the new version", lift, func(m *amendment) { m.old.version = 1 })
	a.changed("rating anew of another amount", again, func(m *amendment) { m.new.amount = m.new.amount.MustSub(unit) })
	a.changed("rating anew under the old version", again, func(m *amendment) { m.new.version = 0 })
	a.changed("rating anew with more usage", again, func(m *amendment) { m.old.quantities[0] += 1_000_000; m.new.quantities = m.old.quantities })
	a.changed("rerate of another amount", direct, func(m *amendment) { m.new.amount = m.new.amount.MustSub(unit) })
	a.changed("rerate that returns another amount", direct, func(m *amendment) { m.old.amount = m.old.amount.MustSub(unit) })
	a.changed("rerate that only voids", direct, func(m *amendment) { m.op, m.id = amendVoid, "x"; m.old.amount = m.old.amount.MustAdd(unit) })
}

// TestForgedOrderOfAmendments leaves commands out, repeats them and puts others in between.
func TestForgedOrderOfAmendments(t *testing.T) {
	a := newAmended(t)
	void, rated, lift, again := a.find(amendVoid, 0), a.find(amendRated, 0), a.find(amendRerated, 0), a.find(amendRerated, 1)
	rerate, end := a.findKind(kindRerate), a.findKind(kindRerated)
	f := func(name string, wrong int, commands ...forged) {
		t.Helper()
		a.refused(name, a.head+uint64(wrong)+1, commands)
	}
	upTo := a.upTo
	same := a.commands[void]
	f("void twice", void+1, upTo(void+1, same)...)
	twice := a.amendment(void)
	twice.id, twice.prev = "another", a.head+uint64(void)+1
	f("void of a voided event", void+1, upTo(void+1, forged{kindAmend, twice.append(nil)})...)
	other := a.amendment(lift) // a rating that stands, under the id of a void
	other.op, other.id = amendVoid, "void"
	f("void id twice", rerate+1, upTo(rerate+1, forged{kindAmend, other.append(nil)})...)
	f("late rating twice", rated+1, upTo(rated+1, a.commands[rated])...)
	f("rerated twice", lift+1, upTo(lift+1, a.commands[lift])...)
	f("rating anew twice", again+1, upTo(again+1, a.commands[again])...)
	f("rerated before the rerate", rerate, upTo(rerate, a.commands[lift])...)
	f("rerated after the rerate", end+1, upTo(end+1, a.commands[lift])...)
	f("end before anything", rerate, upTo(rerate, a.commands[end])...)
	f("end twice", end+1, upTo(end+1, a.commands[end])...)
	f("rerate twice", rerate+1, upTo(rerate+1, a.commands[rerate])...)
	f("a second rerate beside", rerate+1, upTo(rerate+1, a.rerateJob(func(j *rerateJob) { j.id = "beside" }))...)
	f("rerate to no version", rerate, upTo(rerate, a.rerateJob(func(j *rerateJob) { j.version = 9 }))...)
	f("rerate of no time", rerate, upTo(rerate, a.rerateJob(func(j *rerateJob) { j.to = j.from }))...)
	a.refused("event outside of the rerate's stretch", a.head+uint64(lift)+1, a.upTo(rerate, append([]forged{a.rerateJob(func(j *rerateJob) { j.to = j.from + 1 })}, a.commands[rerate+1:lift+1]...)...))
	a.refused("rerate to another version", a.head+uint64(lift)+1, a.upTo(rerate, append([]forged{a.rerateJob(func(j *rerateJob) { j.version = 0 })}, a.commands[rerate+1:lift+1]...)...))
	never := a.rerateJob(func(j *rerateJob) { j.id = "never" })
	never.kind = kindRerated
	f("end of another rerate", end, upTo(end, never)...)
}
