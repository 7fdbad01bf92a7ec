package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"farthing/bench/client"

	"github.com/gowebpki/jcs"
	"github.com/shopspring/decimal"
)

// world is a small one: provider p takes a tenth less, q is paid from 5 on, both in dollars; c
// and d pay them; y and z are in yen.
type world struct {
	*settlementOracle
	t *testing.T
}

func newWorld(t *testing.T) *world {
	w := &world{newSettlementOracle(), t}
	for _, a := range []client.Account{{ID: "p", Currency: "USD", Kind: "provider"}, {ID: "q", Currency: "USD", Kind: "provider", MinimumPayout: "5"},
		{ID: "c", Currency: "USD", Kind: "customer"}, {ID: "d", Currency: "USD", Kind: "customer"},
		{ID: "y", Currency: "JPY", Kind: "provider"}, {ID: "z", Currency: "JPY", Kind: "customer"}} {
		w.openAccount(a)
	}
	return w
}

// bill makes a bill over an amount, a tenth of it the fee.
func (w *world) bill(payer, payee, amount string) *bill {
	d := decimal.RequireFromString(amount)
	e := client.Event{Subject: payer, Model: "m", Usage: map[string]uint64{"input": 10}}
	return &bill{event: e, payer: payer, payee: payee, input: d, fee: d.Shift(-1).Truncate(18)}
}

func (w *world) closes(want ...string) []*settledBatch {
	w.t.Helper()
	closed := w.close()
	var got []string
	for _, b := range closed {
		got = append(got, fmt.Sprint(b.currency, " ", b.events))
		for _, l := range b.lines {
			got = append(got, lineText(l.Line))
		}
	}
	if is, should := strings.Join(got, "\n"), strings.Join(want, "\n"); is != should {
		w.t.Fatalf("got\n%s\nwant\n%s", is, should)
	}
	return closed
}

func (w *world) result(l *settledLine, status, amount, moves string, refused error) {
	w.t.Helper()
	var asked *decimal.Decimal
	if amount != "" {
		d := decimal.RequireFromString(amount)
		asked = &d
	}
	got, err := w.settlementOracle.result(l, status, asked)
	if !errors.Is(err, refused) || err == nil && got.String() != moves {
		w.t.Fatalf("%s %s moves %s, %v; want %s, %v", status, amount, got, err, moves, refused)
	}
}

func (w *world) stands(l *settledLine, want string) {
	w.t.Helper()
	if got := fmt.Sprint(l.status(), " open ", l.open, " paid ", l.paid, " failed ", l.failed, " returned ", l.returned); got != want {
		w.t.Fatalf("%s: %s, want %s", l.Account, got, want)
	}
}

// The oracle of settlement, worked by hand.
func TestSettlementOracle(t *testing.T) {
	w := newWorld(t)
	w.topUp("c", decimal.RequireFromString("4"))
	w.use(w.bill("c", "p", "3.333"))
	w.use(w.bill("c", "q", "5"))
	w.use(w.bill("d", "q", "0.5"))
	w.use(w.bill("z", "y", "1000.5"))
	void := w.bill("d", "p", "0.000000000000000001")
	w.use(void)
	closed := w.closes(
		"JPY 1",
		"1 operator none 0: in 0 + returned 0 + 100.05 - 0, out 100.05, 0 events",
		"2 y pay 900: in 0 + returned 0 + 900.45 - 0, out 0.45, 0 events",
		"3 z collect 1000: in 0 + returned 0 + 0 - 1000.5, out -0.5, 1 events",
		"USD 4",
		"1 c collect 4.33: in 0 + returned 0 + 4 - 8.333, out -0.003, 2 events",
		"2 d collect 0.5: in 0 + returned 0 + 0 - 0.500000000000000001, out -0.000000000000000001, 2 events",
		"3 operator none 0: in 0 + returned 0 + 0.8833 - 4, out -3.1167, 0 events",
		"4 p pay 2.99: in 0 + returned 0 + 2.999700000000000001 - 0, out 0.009700000000000001, 0 events",
		"5 q none 0: in 0 + returned 0 + 4.95 - 0, out 4.95, 0 events",
	)
	dollars := closed[1]
	c, d, p := dollars.lines[0], dollars.lines[1], dollars.lines[3]
	w.result(c, "partially_paid", "4.34", "", errInvalidAmount)
	w.result(c, "partially_paid", "4", "4", nil)
	w.stands(c, "partially_paid open 0.33 paid 4 failed 0 returned 0")
	w.result(c, "paid", "0.32", "", errInvalidAmount)
	w.result(c, "failed", "", "0.33", nil)
	w.stands(c, "paid open 0 paid 4 failed 0.33 returned 0")
	w.result(c, "paid", "", "", errResultConflict)
	w.result(c, "returned", "1", "1", nil)
	w.result(c, "returned", "3.01", "", errInvalidAmount)
	w.result(c, "returned", "", "3", nil)
	w.stands(c, "returned open 0 paid 0 failed 0.33 returned 4")
	w.result(c, "returned", "", "", errResultConflict)
	w.result(d, "failed", "", "0.5", nil)
	w.result(d, "paid", "", "", errResultConflict)
	w.stands(d, "failed open 0 paid 0 failed 0.5 returned 0")
	w.result(p, "returned", "", "", errResultConflict)
	w.result(p, "paid", "", "2.99", nil)
	w.result(p, "returned", "2", "2", nil)
	w.stands(p, "paid open 0 paid 0.99 failed 0 returned 2")
	w.result(dollars.lines[2], "paid", "", "", errResultConflict)
	w.stands(closed[0].lines[1], "open open 900 paid 0 failed 0 returned 0")
	if lines, pay, collect := closed[0].transit(); lines != 2 || pay.String() != "900" || collect.String() != "1000" {
		t.Errorf("in transit: %d %s %s", lines, pay, collect)
	}
	if lines, pay, collect := dollars.transit(); lines != 0 || !pay.IsZero() || !collect.IsZero() {
		t.Errorf("in transit: %d %s %s", lines, pay, collect)
	}
	if w.cash["USD"].String() != "3.01" { // 4 + 4 − 4 − 2.99 + 2
		t.Errorf("cash %s", w.cash["USD"])
	}

	w.void(void)
	w.use(w.bill("c", "q", "0.06"))
	w.closes(
		"USD 1",
		"1 c collect 4.39: in -0.003 + returned -4.33 + 0 - 0.06, out -0.003, 1 events",
		"2 d collect 0.5: in -0.000000000000000001 + returned -0.5 + 0.000000000000000001 - 0, out 0, 0 events",
		"3 operator none 0: in -3.1167 + returned 2.83 + 0.006 - 0, out -0.2807, 0 events",
		"4 p pay 2: in 0.009700000000000001 + returned 2 + 0 - 0.000000000000000001, out 0.0097, 0 events",
		"5 q pay 5: in 4.95 + returned 0 + 0.054 - 0, out 0.004, 0 events",
	)
	w.closes()
}

// clone is what a server says that agrees with the oracle.
func clone(b *settledBatch) (lines []client.Line) {
	for _, l := range b.lines {
		lines = append(lines, l.Line)
	}
	return lines
}

// settledWorld is the first window's batch in dollars.
func settledWorld(t *testing.T) (*world, *settledBatch) {
	w := newWorld(t)
	w.topUp("c", decimal.RequireFromString("4"))
	w.use(w.bill("c", "p", "7.777"))
	w.use(w.bill("d", "p", "3"))
	return w, w.close()[0]
}

// A line that is wrong anywhere is found.
func TestSettlementDifferences(t *testing.T) {
	f := func(what string, faults int, wrong func(lines []client.Line) []client.Line) {
		t.Helper()
		_, b := settledWorld(t)
		if got := b.differences(wrong(clone(b))); len(got) != faults {
			t.Errorf("%s: %d faults, want %d: %v", what, len(got), faults, got)
		}
	}
	same := func(change func(l *client.Line)) func(lines []client.Line) []client.Line {
		return func(lines []client.Line) []client.Line {
			change(&lines[0])
			return lines
		}
	}
	least := func(m *client.Money) { m.Decimal = m.Add(decimal.New(1, -18)) }
	f("nothing", 0, same(func(*client.Line) {}))
	f("line", 1, same(func(l *client.Line) { l.Line++ }))
	f("account", 1, same(func(l *client.Line) { l.Account = "d" }))
	f("direction", 1, same(func(l *client.Line) { l.Direction = "pay" }))
	f("amount", 1, same(func(l *client.Line) { least(&l.Amount) }))
	f("carried in", 1, same(func(l *client.Line) { least(&l.CarriedIn) }))
	f("returned", 1, same(func(l *client.Line) { least(&l.Returned) }))
	f("debits", 1, same(func(l *client.Line) { least(&l.GrossDebits) }))
	f("credits", 1, same(func(l *client.Line) { least(&l.GrossCredits) }))
	f("carried out", 1, same(func(l *client.Line) { least(&l.CarriedOut) }))
	f("events", 1, same(func(l *client.Line) { l.Events++ }))
	f("a line less", 1, func(lines []client.Line) []client.Line { return lines[:len(lines)-1] })
	f("a line twice", 1, func(lines []client.Line) []client.Line { return append(lines, lines[0]) })
	f("order", 2, func(lines []client.Line) []client.Line { lines[0], lines[1] = lines[1], lines[0]; return lines })
}

// manifestOf is a manifest that agrees with the batch; change may spoil it.
func manifestOf(t *testing.T, b *settledBatch, change func(m map[string]any)) []byte {
	t.Helper()
	sums := map[string]string{}
	for name, sum := range b.sums() {
		sums[name] = sum.String()
	}
	m := map[string]any{"ledger": "l", "partition": 0, "window": b.window, "currency": b.currency, "first_sequence": 1, "last_sequence": 9,
		"batch_id": b.id, "events": b.events, "lines": len(b.lines), "sums": sums, "previous": strings.Repeat("0", 64)}
	change(m)
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err = jcs.Transform(raw); err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestManifestFaults(t *testing.T) {
	f := func(what string, faults int, before []byte, change func(m map[string]any)) {
		t.Helper()
		_, b := settledWorld(t)
		b.id = hashOf(`["l",0,1,"USD",1,9]`)
		if got := b.manifestFaults(manifestOf(t, b, change), before); len(got) != faults {
			t.Errorf("%s: %d faults, want %d: %v", what, len(got), faults, got)
		}
	}
	f("nothing", 0, nil, func(map[string]any) {})
	for _, name := range []string{"ledger", "partition", "first_sequence", "last_sequence"} {
		f(name, 1, nil, func(m map[string]any) { m[name] = map[bool]any{true: "k", false: 5}[name == "ledger"] })
	}
	f("window", 2, nil, func(m map[string]any) { m["window"] = 2 })
	f("currency", 2, nil, func(m map[string]any) { m["currency"] = "JPY" })
	f("batch id", 2, nil, func(m map[string]any) { m["batch_id"] = strings.Repeat("0", 64) })
	f("events", 1, nil, func(m map[string]any) { m["events"] = 3 })
	f("lines", 1, nil, func(m map[string]any) { m["lines"] = 3 })
	for _, name := range []string{"carried_in", "carried_out", "collected", "gross_credits", "gross_debits", "paid", "returned"} {
		f(name, 1, nil, func(m map[string]any) { m["sums"].(map[string]string)[name] += "1" })
		f(name+" left out", 2, nil, func(m map[string]any) { delete(m["sums"].(map[string]string), name) })
	}
	f("a first one that follows another", 1, []byte("before"), func(map[string]any) {})
	f("the one before", 0, []byte("before"), func(m map[string]any) { m["previous"] = hashOf("before") })
	f("another before", 1, []byte("before"), func(m map[string]any) { m["previous"] = hashOf("befor") })
	f("no JSON", 1, nil, func(m map[string]any) { m["events"] = "three" })
}

// A topic that lacks a batch, or has one too many, is found.
func TestTopicFaults(t *testing.T) {
	w, b := settledWorld(t)
	b.id = hashOf(`["l",0,1,"USD",1,9]`)
	read := func() *settlements {
		s := newSettlements()
		s.sealed[b.id] = manifestOf(t, b, func(map[string]any) {})
		for _, l := range b.lines {
			raw, err := json.Marshal(l.Line)
			if err != nil {
				t.Fatal(err)
			}
			s.lines[b.id] = append(s.lines[b.id], raw)
		}
		return s
	}
	f := func(what string, faults int, wrong func(s *settlements)) {
		t.Helper()
		s := read()
		wrong(s)
		if got := w.topicFaults(s); len(got) != faults {
			t.Errorf("%s: %d faults, want %d: %v", what, len(got), faults, got)
		}
	}
	f("nothing", 0, func(*settlements) {})
	f("a line less", 1, func(s *settlements) { s.lines[b.id] = s.lines[b.id][1:][:0] })
	f("one batch more", 1, func(s *settlements) { s.sealed["x"] = json.RawMessage("{}") })
	f("another amount", 1, func(s *settlements) {
		s.lines[b.id][0] = json.RawMessage(strings.Replace(string(s.lines[b.id][0]), `"amount":"3.77"`, `"amount":"3.78"`, 1))
	})
}

func TestTrialFaults(t *testing.T) {
	w, b := settledWorld(t)
	w.result(b.lines[0], "partially_paid", "1", "1", nil)
	delete(w.house, "JPY")
	moved := map[string]decimal.Decimal{"USD": decimal.RequireFromString("5")}
	f := func(what string, faults int, accounts string, debits string, moved map[string]decimal.Decimal) {
		t.Helper()
		rows := []client.Trial{{Currency: "USD", Debits: client.M(debits), Credits: client.M("30"), Accounts: json.RawMessage(accounts)}}
		if got := w.trialFaults(rows, moved); len(got) != faults {
			t.Errorf("%s: %d faults, want %d: %v", what, len(got), faults, got)
		}
	}
	const right = `{"cash":{"debits":"5","credits":"0"},"in_transit":{"debits":"6.77","credits":"10.69"},"payable":{"debits":"9.69","credits":"9.6993"},
		"paid":{"debits":"4","credits":"4"},"receivable":{"debits":"6.777","credits":"6.77"}}`
	f("nothing", 0, right, "30", moved)
	f("another book of the bank", 1, right, "30", map[string]decimal.Decimal{"USD": decimal.RequireFromString("4.99")})
	f("unbalanced", 1, right, "31", moved)
	for _, class := range []string{"cash", "in_transit", "payable", "paid", "receivable"} {
		spoiled := strings.Replace(right, `"`+class+`":{"debits":"`, `"`+class+`":{"debits":"1`, 1)
		f(class, map[string]int{"cash": 2}[class]+map[bool]int{true: 0, false: 1}[class == "cash"], spoiled, "30", moved)
	}
	if got := w.trialFaults(nil, moved); len(got) != 1 {
		t.Errorf("no rows: %v", got)
	}
}

// The plan has what the run is to show, and its price is the list's.
func TestSettlementPlan(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var trace []traced
	for i := range 4800 {
		trace = append(trace, traced{time.Unix(int64(i), 0), rng.Uint64N(4000), 1 + rng.Uint64N(900)})
	}
	var listed []model
	for i := range 40 {
		listed = append(listed, model{name: fmt.Sprint("m", i), input: decimal.New(int64(i+1), -7), output: decimal.New(int64(4*i+1), -7)})
	}
	p := newSettlementPlan(rng, trace, listed, time.Now())
	if len(p.windows) != settlementWindows || len(p.models) != settlementModels || len(p.accounts) != settlementCustomers+2*providers {
		t.Fatalf("%d windows, %d models, %d accounts", len(p.windows), len(p.models), len(p.accounts))
	}
	seen, fees, cut := map[string]bool{}, map[string]bool{}, 0
	for n, w := range p.windows {
		for _, b := range append(append([][]*bill{}, w.batches...), w.straddling...) {
			for _, c := range b {
				if seen[c.event.ID] {
					t.Fatalf("%s twice", c.event.ID)
				}
				seen[c.event.ID] = true
				if n+1 == quietWindow && c.payee == settlementProvider(quietProvider, "USD") {
					t.Errorf("window %d is not quiet", n+1)
				}
				for _, plan := range feePlans {
					for provider, share := range plan {
						if c.payee[:10] == settlementProvider(fmt.Sprint(provider), "")[:10] && c.fee.Equal(c.amount().Mul(decimal.RequireFromString(share)).Truncate(18)) {
							fees[share] = true
						}
					}
				}
				if c.fee.Exponent() == -18 {
					cut++
				}
			}
		}
	}
	if len(seen) != len(trace) || len(fees) != 6 || cut == 0 {
		t.Errorf("%d events, fees %v, %d cut", len(seen), fees, cut)
	}
	for i, book := range p.books() {
		if len(book.Prices) != 2*settlementModels || book.EffectiveFrom.After(p.now) {
			t.Errorf("version %d: %d prices from %v", i, len(book.Prices), book.EffectiveFrom)
		}
	}
}

// One event, by hand, in both currencies and under both plans.
func TestSettlementBill(t *testing.T) {
	turn := time.Unix(1000, 0)
	p := &settlementPlan{turn: turn}
	m := model{name: "m", provider: "2", input: decimal.RequireFromString("0.0000025"), output: decimal.RequireFromString("0.000010001")}
	f := func(currency string, at time.Time, want string) {
		t.Helper()
		b := p.charge(client.Event{Subject: "c", Time: at, Model: "m", Usage: map[string]uint64{"input": 1001, "output": 7}}, m, currency)
		if got := fmt.Sprint(b.payee, " ", b.input, " + ", b.output, ", fee ", b.fee); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	f("USD", turn.Add(-1), "provider-2/USD 0.0025025 + 0.000070007, fee 0.000183251424539257")
	f("USD", turn, "provider-2/USD 0.0025025 + 0.000070007, fee 0.000085750233333333")
	f("JPY", turn, "provider-2/JPY 0.375375 + 0.01050105, fee 0.012862534999999987")
}

// What the bank is answered is compared: each wrong answer is noticed.
func TestBankNotices(t *testing.T) {
	var status int
	var answer string
	c := client.New(client.At(answering(t, &status, &answer)), client.Options{})
	f := func(what string, fails bool, code int, text string, refused error) {
		t.Helper()
		status, answer = code, text
		_, b := settledWorld(t)
		r := &bankResult{line: b.lines[0], id: "r", status: "paid", moves: decimal.RequireFromString("3.77"), refused: refused}
		if err := r.post(c)(context.Background()); (err != nil) != fails {
			t.Errorf("%s: %v", what, err)
		}
	}
	f("right", false, 201, `{"status":"paid","amount":"3.77"}`, nil)
	f("another amount", true, 201, `{"status":"paid","amount":"3.76"}`, nil)
	f("another status", true, 201, `{"status":"failed","amount":"3.77"}`, nil)
	f("refused", true, 409, `{"code":"result_conflict","reason":"result_conflict"}`, nil)
	f("rightly refused", false, 409, `{"code":"result_conflict","reason":"result_conflict"}`, errResultConflict)
	f("refused otherwise", true, 422, `{"code":"invalid","reason":"invalid_amount"}`, errResultConflict)
	f("paid twice", true, 201, `{"status":"paid","amount":"3.77"}`, errResultConflict)
	f("busy", true, 503, `{"code":"not_ready"}`, errResultConflict)
}

// answering is a server that gives one answer.
func answering(t *testing.T, status *int, answer *string) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(*status)
		fmt.Fprint(w, *answer)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func hashOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// A line's state is compared in each of its parts.
func TestLineStateEqual(t *testing.T) {
	w, b := settledWorld(t)
	l := b.lines[0]
	w.result(l, "partially_paid", "1", "1", nil)
	f := func(want bool, s string) {
		t.Helper()
		var state client.LineState
		if err := json.Unmarshal([]byte(s), &state); err != nil {
			t.Fatal(err)
		}
		if l.equal(&state) != want {
			t.Errorf("%s: %v", s, !want)
		}
	}
	f(true, `{"status":"partially_paid","open":"2.77","paid":"1","failed":"0","returned":"0"}`)
	f(false, `{"status":"open","open":"2.77","paid":"1","failed":"0","returned":"0"}`)
	f(false, `{"status":"partially_paid","open":"2.76","paid":"1","failed":"0","returned":"0"}`)
	f(false, `{"status":"partially_paid","open":"2.77","paid":"1.01","failed":"0","returned":"0"}`)
	f(false, `{"status":"partially_paid","open":"2.77","paid":"1","failed":"0.01","returned":"0"}`)
	f(false, `{"status":"partially_paid","open":"2.77","paid":"1","failed":"0","returned":"0.01"}`)
}
