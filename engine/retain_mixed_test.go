package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"farthing/internal/soak"
	"farthing/refusal"
)

// mixedRetention is a ledger with everything that speaks of what was before: amendments, holds, results, notifications. It drops history as closely
// as it can, so that the base comes to lie between nearly any two of them.
type mixedRetention struct {
	*retainRig
	rng     *rand.Rand
	events  []string // all
	open    []string // holds
	holds   []string // all
	batches []string
	results []LineResult // that were booked
	n       int
	drops   int
}

func (m *mixedRetention) id(prefix string) string {
	m.n++
	return fmt.Sprint(prefix, m.n)
}

// step does one thing and lets some hours pass.
func (m *mixedRetention) step() {
	m.t.Helper()
	switch m.rng.IntN(12) {
	case 0, 1, 2:
		c := llm(m.id("e"), "acme", "m1", m.rng.IntN(9999), 5)
		if m.rng.IntN(3) == 0 {
			c.kind = "later"
		}
		m.post(c)
		m.events = append(m.events, c.id)
	case 3:
		if n := len(m.events); n > 0 { // of what was dropped it is refused
			_, _, _ = m.e.Void(VoidSpec{ID: m.id("void"), Source: "gw", Event: m.events[max(0, n-1-m.rng.IntN(9))], Reason: "test"})
		}
	case 4, 5:
		id := m.id("h")
		if out := m.hold(HoldOp{Kind: PlaceHold, Amount: amount(m.t, "0.01"), HasAmount: true, TTL: time.Duration(1+m.rng.IntN(100)) * time.Hour}, id, "acme"); out.Outcome != HoldDone {
			m.t.Fatalf("%+v", out)
		}
		m.open, m.holds = append(m.open, id), append(m.holds, id)
	case 6, 7:
		m.endHold()
	case 8:
		m.reprice()
	default:
		for _, b := range m.settle(m.id("w")).Batches {
			m.batches = append(m.batches, b.BatchID)
		}
		if n := len(m.batches); n > 0 {
			at := m.batches[m.rng.IntN(n)]
			for line := range uint32(2) {
				r := LineResult{ID: m.id("res"), Batch: at, Line: line + 1, Status: []ResultStatus{ResultPaid, ResultFailed, ResultReturned}[m.rng.IntN(3)]}
				if _, created, no := m.e.Result(r); created && no == nil {
					m.results = append(m.results, r)
				}
			}
		}
	}
	m.pass(time.Duration(m.rng.IntN(30)) * time.Hour)
}

// reprice puts a version that prices what had no price, and rates some of the rest anew.
func (m *mixedRetention) reprice() {
	m.t.Helper()
	m.pass(time.Second) // no two versions are of one moment
	v := fmt.Sprintf(`{"effective_from":%q,"prices":[{"meter":"later","currency":"USD","match":{},"components":{"input":"0.000%d","output":"0"}},
		{"meter":"llm.tokens","currency":"USD","match":{},"components":{"input":"0.00000%d","output":"0"},"payee":"prov"}]}`, "2026-01-01T00:00:00Z", 1+m.rng.IntN(9), 1+m.rng.IntN(9))
	v = strings.Replace(v, "2026-01-01T00:00:00Z", time.Unix(0, m.now.Load()).Add(-time.Hour*300).UTC().Format(time.RFC3339), 1)
	version := m.id("book")
	m.prices(version, v)
	m.e.repriced()
	if _, _, no := m.e.Rerate(RerateSpec{ID: m.id("r"), Version: version, From: time.Unix(0, m.now.Load()).Add(-20 * time.Hour)}); no != nil && no.Reason != "history_exported" {
		m.t.Fatal(no)
	}
	m.e.repriced()
}

// endHold captures the oldest open hold by event or amount, extends it or voids it; it may have expired.
func (m *mixedRetention) endHold() {
	if len(m.open) == 0 {
		return
	}
	id := m.open[0]
	switch m.rng.IntN(4) {
	case 0:
		q := m.e.Acquire(1000)
		defer m.e.Release(q)
		c := llm(m.id("e"), "acme", "m1", 77, 5)
		fill(m.t, q.Batch(), []call{c})
		q.Holds().Add(HoldOp{Kind: CaptureHold, Hold: q.Holds().Intern([]byte(id))}, q.Batch())
		if out, _, no := m.e.BookHolds(q); no == nil && out[0].Outcome == HoldDone {
			m.events = append(m.events, c.id)
		}
	case 1:
		m.hold(HoldOp{Kind: CaptureHold, Amount: amount(m.t, "0.005"), HasAmount: true}, id, "")
	case 2:
		q := m.e.Acquire(1000)
		defer m.e.Release(q)
		b := q.Holds()
		b.Add(HoldOp{Kind: ExtendHold, Hold: b.Intern([]byte(id)), ID: b.Intern([]byte(m.id("x"))), Event: -1, Amount: amount(m.t, "0.001"), HasAmount: true, TTL: time.Hour}, q.Batch())
		_, _, _ = m.e.BookHolds(q)
		return
	case 3:
		m.hold(HoldOp{Kind: VoidHold}, id, "")
	}
	m.open = m.open[1:]
}

// answers is everything that can be asked, by what was asked.
func (m *mixedRetention) answers() map[string]string {
	out := map[string]string{}
	note := func(what string, v any, no *refusal.Refusal) {
		if no != nil {
			out[what] = "refused: " + string(no.Code) + " " + no.Reason
			if no.Code == refusal.Internal {
				m.t.Fatalf("%s: %v", what, no)
			}
			return
		}
		text, err := json.Marshal(v)
		if err != nil {
			m.t.Fatal(err)
		}
		out[what] = string(text)
	}
	for _, id := range m.events {
		e, no := m.e.Event("gw", id)
		note("event "+id, e, no)
		p, no := m.e.Proof("gw", id)
		note("proof "+id, p, no)
	}
	for _, id := range m.holds {
		h, no := m.e.Hold(id)
		note("hold "+id, h, no)
	}
	for _, w := range m.e.published.Load().windows {
		for _, account := range []string{"acme", "prov", "operator"} {
			st, no := m.e.WindowStatement(StatementOptions{Account: account, Window: w.number})
			note(fmt.Sprint("statement ", w.number, account), st, no)
		}
	}
	for _, id := range m.batches {
		lines, no := m.e.OpenLines(id, "", 100)
		note("open "+id, lines, no)
	}
	for _, account := range []string{"acme", "prov", "beta"} {
		page, no := m.e.Transfers(account, "", 1000)
		if no != nil {
			m.t.Fatal(no)
		}
		for _, item := range page.Items {
			out[fmt.Sprintf("%d %s", item.Sequence, account)] += fmt.Sprintf("%+v\n", item)
		}
		a, no := m.e.Account(account)
		a.Sequence = 0
		note("account "+account, a, no)
	}
	told, no := m.e.Notifications(0, 1000)
	if no != nil {
		m.t.Fatal(no)
	}
	for _, n := range told {
		out[fmt.Sprint("notification ", n.Number)] = string(n.JSON)
	}
	return out
}

// TestRetentionMixed drops history as closely as the limit lets it, amid amendments, holds, results and notifications that speak of what was before. What can be asked is
// answered as before, or refused by name; never by half, and never as damage. Each drop is verified.
func TestRetentionMixed(t *testing.T) {
	seed := soak.Seed(t)
	m := &mixedRetention{rng: rand.New(rand.NewPCG(seed, 66))}
	m.retainRig = newRetainRig(t, func(o *Options) { o.retainStep, o.RunIdentities, o.CheckpointBytes = 1, 3, 1000 })
	refused, held := map[string]int{}, map[string]int{}
	for n := range soak.Pick(40, 900) {
		if m.step(); n%8 == 7 {
			m.reprice()
		}
		if m.rng.IntN(4) == 0 {
			m.e.repriced()
			m.checkpointed()
		}
		settled(t, m.e)
		m.e.internal(func(*sequencer) {})
		m.settleTidier()
		before, was := m.answers(), m.e.store.Base().Seq
		if m.drop() == was {
			held[*m.e.retained.heldBy.Load()]++
			continue
		}
		m.drops++
		after := m.answers()
		m.compare(before, after, refused)
		if m.drops%4 == 0 {
			m.verify()
			m.compare(after, m.answers(), refused)
		}
	}
	m.retryResults(refused)
	m.verify()
	m.retryResults(refused)
	soak.Report(t, "history dropped between what speaks of it and what it speaks of, every answer as before or refused by name", soak.Counts{"drops": m.drops, "answers by half": 0})
	t.Logf("%d drops, held by %v, refused %v", m.drops, held, refused)
	if m.drops < 3 {
		t.Errorf("%d drops", m.drops)
	}
}

// retryResults sends all results again: none is booked twice, however long ago it was.
func (m *mixedRetention) retryResults(refused map[string]int) {
	m.t.Helper()
	m.settleTidier() // it journals what it forgets
	before := m.e.store.Head().Seq
	for _, r := range m.results {
		_, created, no := m.e.Result(r)
		if created || no != nil && no.Reason != ResultExported {
			m.t.Fatalf("%+v sent again: created %v, %v", r, created, no)
		}
		if no != nil {
			refused[ResultExported]++
		}
	}
	if m.e.store.Head().Seq != before {
		m.t.Fatal("something was booked")
	}
}

func (m *mixedRetention) compare(before, after map[string]string, refused map[string]int) {
	m.t.Helper()
	base := m.e.store.Base().Seq
	for _, what := range slices.Sorted(maps.Keys(before)) {
		now, there := after[what]
		if now == before[what] {
			continue
		}
		var seq uint64
		if _, err := fmt.Sscanf(what, "%d", &seq); err == nil && !there && seq <= base {
			continue // a transfer: the list begins later
		}
		if strings.HasPrefix(what, "notification ") && (!there || strings.Contains(now, `"hold":null`)) {
			continue // it begins later as well; what was said of a hold that was placed before is said without its id
		}
		if reason, cut := strings.CutPrefix(now, "refused: not_found "); cut && (strings.HasSuffix(reason, "_exported") || reason == "unknown_event" || reason == "unknown_hold") {
			refused[what[:4]+" "+reason]++
			continue
		}
		m.t.Fatalf("base %d: %s was\n%s\nand is\n%s", base, what, before[what], now)
	}
}

// TestRetentionLonger: a base that an interrupted round left is not dropped to when history has to be kept longer since, and is when it need not be.
func TestRetentionLonger(t *testing.T) {
	x := newRetainRig(t, func(o *Options) { o.retainStep = 1 })
	for day := range 30 {
		for i := range 6 {
			x.post(llm(fmt.Sprint(day, "-", i), "acme", "m1", i, day))
		}
		x.settle(fmt.Sprint("w", day))
		x.pass(24 * time.Hour)
	}
	x.checkpointed()
	x.settleTidier()
	x.fail = errors.New("no room")
	if _, err := x.e.dropHistory(); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Fatal(err)
	}
	markers, err := baseMarkers(x.e.store)
	if err != nil || len(markers) != 1 {
		t.Fatal(markers, err)
	}
	x.o.Retention = 365 * 24 * time.Hour
	x.reopen()
	if to := x.drop(); to != 0 {
		t.Fatalf("dropped to %d", to)
	}
	x.o.Retention = 0
	x.reopen()
	if to := x.drop(); to != markers[0].through {
		t.Fatalf("dropped to %d, the base is of %d", to, markers[0].through)
	}
	x.verify()
}

// TestRetryOfLongHold: a hold that was extended for weeks, and whose placing is dropped, has just ended. Whoever did not get the answer asks again.
func TestRetryOfLongHold(t *testing.T) {
	x := newRetainRig(t, func(o *Options) { o.retainStep = 1 })
	ids := []string{"captured", "voided", "by-event"}
	for _, id := range ids {
		if out := x.hold(HoldOp{Kind: PlaceHold, Amount: amount(t, "0.01"), HasAmount: true, TTL: 48 * time.Hour}, id, "acme"); out.Outcome != HoldDone {
			t.Fatalf("%+v", out)
		}
	}
	for day := range 20 {
		for i := range 4 {
			x.post(llm(fmt.Sprint(day, "-", i), "acme", "m1", i, day))
		}
		x.settle(fmt.Sprint("w", day))
		x.pass(24 * time.Hour)
		for _, id := range ids {
			q := x.e.Acquire(1000)
			b := q.Holds()
			b.Add(HoldOp{Kind: ExtendHold, Hold: b.Intern([]byte(id)), ID: b.Intern([]byte(fmt.Sprint(id, day))), Event: -1, TTL: 48 * time.Hour}, q.Batch())
			if out, _, no := x.e.BookHolds(q); no != nil || out[0].Outcome != HoldDone {
				t.Fatalf("%+v %v", out, no)
			}
			x.e.Release(q)
		}
	}
	end := func(want HoldOutcome) {
		t.Helper()
		if out := x.hold(HoldOp{Kind: CaptureHold, Amount: amount(t, "0.005"), HasAmount: true}, "captured", ""); out.Outcome != want {
			t.Errorf("captured: %+v", out)
		}
		if out := x.hold(HoldOp{Kind: VoidHold}, "voided", ""); out.Outcome != want {
			t.Errorf("voided: %+v", out)
		}
		q := x.e.Acquire(1000)
		defer x.e.Release(q)
		fill(t, q.Batch(), []call{llm("of-hold", "acme", "m1", 77, 5)})
		q.Holds().Add(HoldOp{Kind: CaptureHold, Hold: q.Holds().Intern([]byte("by-event"))}, q.Batch())
		if out, _, no := x.e.BookHolds(q); no != nil || out[0].Outcome != want {
			t.Errorf("by event: %+v %v", out, no)
		}
	}
	end(HoldDone)
	x.checkpointed()
	x.settleTidier()
	if x.drop() < 10 {
		t.Fatal("nothing was dropped")
	}
	end(HoldDuplicate)
	if out := x.hold(HoldOp{Kind: CaptureHold, Amount: amount(t, "0.006"), HasAmount: true}, "captured", ""); out.Refusal == nil || out.Refusal.Reason != "hold_captured" {
		t.Errorf("another amount: %+v", out)
	}
	if out := x.hold(HoldOp{Kind: VoidHold}, "captured", ""); out.Refusal == nil || out.Refusal.Reason != "hold_captured" {
		t.Errorf("void of a captured one: %+v", out)
	}
}

// TestStoppedExport: an export that ends because the engine closes is no failure.
func TestStoppedExport(t *testing.T) {
	began := make(chan struct{})
	x := newRetainRig(t, func(o *Options) {
		o.retainStep = 1
		o.Export = func(p ExportPart) ([32]byte, error) {
			close(began)
			<-p.Stop
			return [32]byte{}, errors.New("context canceled")
		}
	})
	for day := range 20 {
		x.post(llm(fmt.Sprint(day, "-"), "acme", "m1", 1, day), llm(fmt.Sprint(day, "+"), "acme", "m1", 1, day))
		x.settle(fmt.Sprint("w", day))
		x.pass(24 * time.Hour)
	}
	x.checkpointed()
	x.settleTidier()
	failed := make(chan error)
	e := x.e
	go func() { _, err := e.dropHistory(); failed <- err }()
	<-began
	x.close()
	if err := <-failed; !errors.Is(err, errStopped) {
		t.Error(err)
	}
	x.open()
	x.verify()
}

// TestNotificationsAllDropped: who has been told everything is not told that something is missing.
func TestNotificationsAllDropped(t *testing.T) {
	x := newRetainRig(t, func(o *Options) { o.retainStep = 1 })
	if out := x.hold(HoldOp{Kind: PlaceHold, Amount: amount(t, "0.01"), HasAmount: true, TTL: time.Hour}, "h", "acme"); out.Outcome != HoldDone {
		t.Fatalf("%+v", out)
	}
	for day := range 30 {
		for i := range 6 {
			x.post(llm(fmt.Sprint(day, "-", i), "acme", "m1", i, day))
		}
		x.settle(fmt.Sprint("w", day))
		x.pass(24 * time.Hour)
	}
	told, no := x.e.Notifications(0, 100)
	if no != nil || len(told) == 0 {
		t.Fatal(told, no)
	}
	x.checkpointed()
	x.settleTidier()
	if x.drop() == 0 {
		t.Fatal("nothing was dropped")
	}
	if list, no := x.e.Notifications(0, 100); no != nil || len(list) != 0 {
		t.Fatalf("%v, %v", list, no)
	}
	if list, no := x.e.Notifications(told[len(told)-1].Number, 100); no != nil || len(list) != 0 {
		t.Errorf("after the last: %v, %v", list, no)
	}
	if last := x.e.LastNotification(); last != told[len(told)-1].Number {
		t.Errorf("the last is %d", last)
	}
	x.reopen()
	if last := x.e.LastNotification(); last != told[len(told)-1].Number {
		t.Errorf("after a restart the last is %d", last)
	}
}
