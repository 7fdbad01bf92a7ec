package engine

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"farthing/journal"
	"farthing/ledger"
	"farthing/meter"
	"farthing/refusal"
)

// TestPriceVersionsCanBeReadBack puts versions at the bounds of time in other offsets: what
// is accepted has to survive a restart, what would not is refused.
func TestPriceVersionsCanBeReadBack(t *testing.T) {
	f := func(from string, accepted bool) {
		t.Helper()
		r := standard(t, nil)
		v, refused := meter.ParseVersion("edge", fmt.Appendf(nil,
			`{"effective_from":%q,"prices":[{"meter":"m","currency":"USD","match":{},"components":{"call":"1"}}]}`, from))
		if refused == nil {
			_, _, refused = r.e.PutPrices(v, nil)
		}
		if (refused == nil) != accepted {
			t.Errorf("%s: %v", from, refused)
		}
		r.reopen()
	}
	f("1970-01-01T00:30:00+01:00", false)
	f("1970-01-01T00:30:00-01:00", true)
	f("2200-12-31T23:30:00-01:00", false)
	f("2200-12-31T23:30:00+01:00", true)
}

func TestLimitsAreBounded(t *testing.T) {
	r := standard(t, nil)
	huge := amount(t, "170141183460469231731.687303715884105727")
	for _, spec := range []AccountSpec{
		{ID: "a", Currency: usd(), Kind: "customer", Billing: "prepaid", OverdraftLimit: &huge},
		{ID: "b", Currency: usd(), Kind: "provider", MinimumPayout: huge},
	} {
		if _, _, refused := r.e.CreateAccount(spec); refused == nil || refused.Code != refusal.Invalid {
			t.Errorf("%s: %v", spec.ID, refused)
		}
	}
}

// TestClosedWindowsLetGoOfTheirRows closes windows of a ledger with many accounts and looks
// at what stays in memory.
func TestClosedWindowsLetGoOfTheirRows(t *testing.T) {
	r := standard(t, nil)
	for i := range 3000 {
		r.account(fmt.Sprint("c", i), "customer", "postpaid")
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	r.settle("w0")
	before := heap()
	const windows = 40
	for i := range windows {
		r.settle(fmt.Sprint("x", i))
	}
	// 40 windows of 3,000 rows of 144 bytes would be 17 MB.
	if grown := int64(heap()) - int64(before); grown > 4<<20 {
		t.Fatalf("%d windows hold %d bytes", windows, grown)
	}
}

// TestClockBehindGenesis starts again with a clock that went back before anything but the
// genesis was journaled.
func TestClockBehindGenesis(t *testing.T) {
	r := newRig(t, nil)
	r.close()
	r.base = r.base.Add(-time.Hour)
	r.open()
	r.account("acme", "customer", "postpaid")
}

// TestForgedJournal commits groups that chain and decode but say what no sequencer would
// have written. Opening and verifying name them.
func TestForgedJournal(t *testing.T) {
	f := func(name, want string, commands ...[]byte) {
		t.Helper()
		r := standard(t, nil)
		r.close()
		forge(t, r.o.Journal, commands...)
		for _, try := range []func() error{
			func() error { _, err := Verify(VerifyOptions{Journal: r.o.Journal}); return err },
			func() error { _, err := Open(r.o); return err },
		} {
			if err := try(); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	command := func(kind byte, payload []byte) []byte { return appendBytes([]byte{kind}, payload) }
	person := func(change func(*ledger.Participant)) []byte {
		p := &ledger.Participant{ID: "new", Currency: usd(), Kind: ledger.Customer, Billing: ledger.Prepaid}
		change(p)
		return command(kindAccount, appendParticipant(nil, p))
	}
	f("account twice", "created twice", person(func(p *ledger.Participant) { p.ID = "acme" }))
	f("account of no kind", "kind must be", person(func(p *ledger.Participant) { p.Kind = 9 }))
	f("account with a quote", "id must be", person(func(p *ledger.Participant) { p.ID = `a"b` }))
	f("operator", "always exists", person(func(p *ledger.Participant) { p.ID = "operator" }))
	top := func(u topUp) []byte { return command(kindTopUp, u.append(nil)) }
	one := amount(t, "1")
	f("top-up twice", "booked twice", top(topUp{id: "t", account: 2, amount: one}), top(topUp{id: "t", account: 2, amount: one}))
	f("top-up below zero", "above 0", top(topUp{id: "t", account: 2, amount: one.Neg()}))
	f("top-up of a provider", "no customer", top(topUp{id: "t", account: 1, amount: one}))
	f("top-up of nobody", "of no account", top(topUp{id: "t", account: 99, amount: one}))
	prices := func(id, body string) []byte { return command(kindPrices, appendBytes(appendBytes(nil, id), body)) }
	f("unknown payee", "no provider", prices("v2", strings.Replace(strings.ReplaceAll(standardBook, "prov", "nobody"), "2026-01", "2026-02", 1)))
	f("same moment", "same moment", prices("v2", standardBook))
	f("version twice", "put twice", prices("v1", strings.Replace(standardBook, "2026-01", "2026-02", 1)))
	f("seal without cut", "out of order", command(kindSeal, (&sealCommand{window: 1}).append(nil)))
	f("closing without cut", "closing", command(kindClosing, (&closingSlice{window: 1, currency: usd(), first: 1}).append(nil)))
	f("genesis again", "second genesis", command(kindGenesis, (&genesis{version: 1, ledgerID: "x"}).append(nil)))
	event := func(account ledger.Ref) []byte {
		shape := meter.Shape{Type: "nothing"}
		return appendEvent(nil, &eventRecord{source: []byte("s"), id: []byte("i"), account: account, reason: noPrice, raw: shape.Append(nil)}, 0, 0)
	}
	f("event of a provider", "no customer", event(1))
	f("event of nobody", "does not decode", event(77))
}

// forge appends one group with the given commands to a ledger.
func forge(t *testing.T, o journal.Options, commands ...[]byte) {
	t.Helper()
	s, err := journal.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	head := s.Head()
	var body []byte
	for _, c := range commands {
		body = append(body, c...)
	}
	err = s.Commit(&journal.Group{Time: head.Time, Blocks: []journal.BlockInput{
		{First: head.Seq + 1, Last: head.Seq + uint64(len(commands)), Body: body}}})
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestMissingLinesAreNoEmptyList takes the staged lines of a sealed batch away: whoever
// reads them is told, instead of getting none.
func TestMissingLinesAreNoEmptyList(t *testing.T) {
	r := standard(t, nil)
	r.post(llm("e1", "acme", "m1", 5000, 5))
	s := r.settle("w")
	_, b, _ := r.e.findBatch(s.Batches[0].BatchID)
	row := journal.Row{Space: journal.SpaceLines, Key: lineKey(b.id, 1), Delete: true}
	if err := r.e.store.Write([]journal.Row{row}, true); err != nil {
		t.Fatal(err)
	}
	if _, err := r.e.Outbox().Records(1, 1<<20); err == nil {
		t.Error("the outbox hands out a batch without its lines")
	}
	if _, refused := r.e.Lines(s.Batches[0].BatchID, "", 10); refused == nil || refused.Code != refusal.Internal {
		t.Errorf("lines: %v", refused)
	}
	if _, refused := r.e.Event("gw", "e1"); refused == nil || refused.Code != refusal.Internal {
		t.Errorf("event: %v", refused)
	}
	if got := r.post(llm("e2", "acme", "m1", 5, 5)); got.Accepted != 1 {
		t.Errorf("a damaged old batch stops new events: %+v", got)
	}
}

// TestRefusedEventLeavesNothing: a shape is interned only once its event is accepted.
func TestRefusedEventLeavesNothing(t *testing.T) {
	r := standard(t, nil)
	before := r.e.Stats()
	half := call{source: "gw", id: "f", subject: "acme", kind: "api.calls", usage: [][2]string{{"call", "0.5"}}}
	if got := r.post(half); len(got.Rejected) != 1 || got.Rejected[0].Refusal.Reason != "fractional_quantity" {
		t.Fatalf("%+v", got)
	}
	if after := r.e.Stats(); after.Durable != before.Durable || after.Shapes != before.Shapes || after.Sources != before.Sources {
		t.Fatalf("a refused event changed %+v to %+v", before, after)
	}
}

// TestClosedEngineRefuses asks everything of an engine that was closed.
func TestClosedEngineRefuses(t *testing.T) {
	r := standard(t, nil)
	r.post(llm("e1", "acme", "m1", 5000, 5))
	s := r.settle("w")
	e := r.e
	r.close()
	f := func(name string, refused *refusal.Refusal) {
		t.Helper()
		if refused == nil || refused.Code != refusal.NotReady {
			t.Errorf("%s: %v", name, refused)
		}
	}
	_, refused := e.Account("acme")
	f("account", refused)
	_, refused = e.Transfers("operator", "", 10)
	f("transfers", refused)
	_, refused = e.Event("gw", "e1")
	f("event", refused)
	_, refused = e.Settlement(s.Batches[0].BatchID)
	f("settlement", refused)
	_, refused = e.Settlements("", 10)
	f("settlements", refused)
	_, refused = e.Lines(s.Batches[0].BatchID, "", 10)
	f("lines", refused)
	_, refused = e.Unpriced("", 10)
	f("unpriced", refused)
	_, _, refused = e.Usage("acme", time.Time{}, time.Time{})
	f("usage", refused)
	_, _, refused = e.CloseWindow("x", nil)
	f("close", refused)
	if e.Acquire(10) != nil {
		t.Error("a closed engine takes requests")
	}
	if _, err := e.Outbox().Records(1, 100); err == nil {
		t.Error("the outbox of a closed engine answers")
	}
}

// TestUsageOfManyRows reads more rows than one visit copies.
func TestUsageOfManyRows(t *testing.T) {
	r := standard(t, nil)
	base := r.base.Add(-30 * 24 * time.Hour)
	var calls []call
	const days, dims = 30, 200
	r.prices("v2", `{"effective_from":"2026-01-02T00:00:00Z","prices":[
	 {"meter":"x","currency":"USD","match":{},"components":{"call":"1"}},
	 {"meter":"x","currency":"USD","match":{"k":"v"},"components":{"call":"2"}}]}`)
	for d := range days {
		for k := range dims {
			calls = append(calls, call{source: "gw", id: fmt.Sprintf("u%d-%d", d, k), subject: "acme", kind: "x",
				dims: [][2]string{{"k", fmt.Sprint(k)}}, time: base.Add(time.Duration(d) * 24 * time.Hour).UnixNano()})
		}
	}
	for len(calls) > 0 {
		n := min(1000, len(calls))
		if got := r.post(calls[:n]...); got.Accepted != n {
			t.Fatalf("%+v", got)
		}
		calls = calls[n:]
	}
	rows, _, refused := r.e.Usage("acme", time.Time{}, time.Time{})
	if refused != nil || len(rows) != days*dims {
		t.Fatalf("%d rows, %v", len(rows), refused)
	}
	part, _, _ := r.e.Usage("acme", base.Add(24*time.Hour).Truncate(24*time.Hour), base.Add(48*time.Hour).Truncate(24*time.Hour))
	if len(part) != dims {
		t.Fatalf("%d rows of one day", len(part))
	}
}

// TestFatalReachesTheOptions: without a Fatal of the caller's there is the journal's.
func TestFatalReachesTheOptions(t *testing.T) {
	o := Options{Journal: journal.Options{Dir: t.TempDir()}}
	o.ensureDefaults()
	if o.Journal.Fatal == nil {
		t.Fatal("nothing stops the process")
	}
	o.LedgerID = "no id"
	if err := o.Validate(); err == nil {
		t.Error("a ledger id with a space is taken")
	}
}
