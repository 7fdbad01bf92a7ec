package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/shopspring/decimal"

	"farthing/batch"
	"farthing/money"
	"farthing/refusal"
)

// resultBook charges 1 for each unit; the provider has all of it.
const resultBook = `{"effective_from":"2026-01-01T00:00:00Z","prices":[
 {"meter":"m","currency":"USD","match":{},"components":{"u":{"unit":"1","quantity_decimals":2}},"payee":"prov","fee":"0"},
 {"meter":"own","currency":"USD","match":{},"components":{"u":{"unit":"1","quantity_decimals":2}}}]}`

func units(id, subject, kind, n string) call {
	return call{source: "s", id: id, subject: subject, kind: kind, usage: [][2]string{{"u", n}}}
}

// resultRig is a ledger with a provider, "prov", and customers that owe, whose window 1 is sealed.
func resultRig(t *testing.T, change func(*Options)) *rig {
	r := newRig(t, change)
	r.account("prov", "provider", "")
	r.account("acme", "customer", "postpaid")
	r.account("beta", "customer", "prepaid")
	r.prices("v1", resultBook)
	r.post(units("e1", "acme", "m", "10"))
	if _, _, no := r.e.TopUp(TopUp{ID: "t", Account: "beta", Amount: amount(t, "5")}); no != nil {
		t.Fatal(no)
	}
	return r
}

// verified closes a ledger and verifies it.
func (r *rig) verified() {
	r.t.Helper()
	r.close()
	if _, err := Verify(VerifyOptions{Journal: r.o.Journal}); err != nil {
		r.t.Fatal(err)
	}
	r.open()
}

// lines are a batch's lines by account.
func (r *rig) lines(id string) map[string]batch.Line {
	r.t.Helper()
	out := map[string]batch.Line{}
	for cursor := ""; ; {
		page, no := r.e.Lines(id, cursor, 1000)
		if no != nil {
			r.t.Fatal(no)
		}
		for _, record := range page.Items {
			_, l, err := batch.ParseLine(record)
			if err != nil {
				r.t.Fatal(err)
			}
			out[l.Account] = l
		}
		if cursor = page.Next; cursor == "" {
			return out
		}
	}
}

func (r *rig) window(id string) (batchID string, lines map[string]batch.Line) {
	r.t.Helper()
	s := r.settle(id)
	if len(s.Batches) != 1 {
		r.t.Fatalf("%+v", s)
	}
	return s.Batches[0].BatchID, r.lines(s.Batches[0].BatchID)
}

// result books a result that has to be new. An empty amount is none.
func (r *rig) result(id, batchID string, line uint32, status ResultStatus, sum string) LineResultAnswer {
	r.t.Helper()
	out, created, no := r.e.Result(r.spec(id, batchID, line, status, sum))
	if no != nil || !created || out.State == nil || out.ID != id || out.Sequence == 0 {
		r.t.Fatalf("result %s: %+v, created %v, %v", id, out, created, no)
	}
	return out
}

func (r *rig) spec(id, batchID string, line uint32, status ResultStatus, sum string) LineResult {
	r.t.Helper()
	x := LineResult{ID: id, Batch: batchID, Line: line, Status: status, Reference: "bank"}
	if sum != "" {
		a := amount(r.t, sum)
		x.Amount = &a
	}
	return x
}

func (r *rig) class(name string) string {
	r.t.Helper()
	books, no := r.e.TrialBalance()
	if no != nil || len(books) != 1 {
		r.t.Fatal(no, len(books))
	}
	for _, c := range books[0].Classes {
		if c.Class == name {
			return c.Credits.MustSub(c.Debits).String()
		}
	}
	return "0"
}

func (s *LineState) text() string {
	return fmt.Sprintf("%s open %s paid %s failed %s returned %s", s.Status, s.Open, s.Paid, s.Failed, s.Returned)
}

// stateTable is the contract's table of results, for a line of 10: how a line came to stand, and
// what then comes of each status with each amount: what is moved, C a conflict, A another amount is
// needed.
var stateTable = struct {
	amounts string
	rows    []stateRow
}{"-    1    4    6    10   11   0    -1   0.001", []stateRow{
	{"", "open open 10 paid 0 failed 0 returned 0", [4]string{
		"10 A A A 10 A A A A", "10 1 4 6 10 A A A A", "10 A A A 10 A A A A", "C C C C C A A A C"}},
	{"paid", "paid open 0 paid 10 failed 0 returned 0", [4]string{
		"C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C", "10 1 4 6 10 A A A A"}},
	{"partially_paid 10", "paid open 0 paid 10 failed 0 returned 0", [4]string{
		"C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C", "10 1 4 6 10 A A A A"}},
	{"failed", "failed open 0 paid 0 failed 10 returned 0", [4]string{
		"C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C"}},
	{"paid, returned", "returned open 0 paid 0 failed 0 returned 10", [4]string{
		"C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C"}},
	{"partially_paid 4", "partially_paid open 6 paid 4 failed 0 returned 0", [4]string{
		"6 A A 6 A A A A A", "6 1 4 6 A A A A A", "6 A A 6 A A A A A", "4 1 4 A A A A A A"}},
	{"partially_paid 4, paid", "paid open 0 paid 10 failed 0 returned 0", [4]string{
		"C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C", "10 1 4 6 10 A A A A"}},
	{"partially_paid 4, failed", "paid open 0 paid 4 failed 6 returned 0", [4]string{
		"C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C", "4 1 4 A A A A A A"}},
	{"partially_paid 4, failed, returned", "returned open 0 paid 0 failed 6 returned 4", [4]string{
		"C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C"}},
	{"partially_paid 4, returned", "open open 6 paid 0 failed 0 returned 4", [4]string{
		"6 A A 6 A A A A A", "6 1 4 6 A A A A A", "6 A A 6 A A A A A", "C C C C C A A A C"}},
	{"partially_paid 4, returned, failed", "failed open 0 paid 0 failed 6 returned 4", [4]string{
		"C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C"}},
	{"partially_paid 4, returned 1", "partially_paid open 6 paid 3 failed 0 returned 1", [4]string{
		"6 A A 6 A A A A A", "6 1 4 6 A A A A A", "6 A A 6 A A A A A", "3 1 A A A A A A A"}},
	{"paid, returned 3", "paid open 0 paid 7 failed 0 returned 3", [4]string{
		"C C C C C A A A C", "C C C C C A A A C", "C C C C C A A A C", "7 1 4 6 A A A A A"}},
	{"none", "none open 0 paid 0 failed 0 returned 0", [4]string{
		"C C C C C C A A C", "C C C C C C A A C", "C C C C C C A A C", "C C C C C C A A C"}},
}}

type stateRow struct {
	way   string    // results that led to it
	state string    // how the line stands then
	then  [4]string // paid, partially_paid, failed, returned: by amount
}

var resultStatuses = [...]ResultStatus{ResultPaid, ResultPartiallyPaid, ResultFailed, ResultReturned}

// TestResultStateTable goes through the table row by row, for collections and for payouts. A
// refusal changes nothing; what was moved is where it has to be, and comes back in the next line.
func TestResultStateTable(t *testing.T) {
	for _, kind := range []string{"customer", "provider"} {
		t.Run(kind, func(t *testing.T) {
			x := newTableRun(t, kind)
			for i := range stateTable.rows {
				for s := range resultStatuses {
					for k, want := range strings.Fields(stateTable.rows[i].then[s]) {
						x.one(&stateTable.rows[i], resultStatuses[s], strings.Fields(stateTable.amounts)[k], want)
					}
				}
			}
			x.finish()
		})
	}
}

// tableRun has one line for each case of the table.
type tableRun struct {
	*rig
	kind, batch string
	lines       map[string]batch.Line
	back        map[string]decimal.Decimal // by account, what failed or was returned
	paid, open  decimal.Decimal
	n           int
}

func newTableRun(t *testing.T, kind string) *tableRun {
	x := &tableRun{kind: kind, back: map[string]decimal.Decimal{}}
	x.rig = newRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes = 100, 20000 })
	x.account("payer", "customer", "postpaid")
	cases := len(stateTable.rows) * len(resultStatuses) * len(strings.Fields(stateTable.amounts))
	var prices []string
	for i := range cases {
		id := fmt.Sprintf("x%04d", i)
		if x.kind == "customer" {
			x.account(id, "customer", "postpaid")
			continue
		}
		x.account(id, "provider", "")
		prices = append(prices, fmt.Sprintf(`{"meter":"m","currency":"USD","match":{"to":%q},"components":{"u":"1"},"payee":%q,"fee":"0"}`, id, id))
	}
	if x.kind == "customer" {
		prices = append(prices, `{"meter":"m","currency":"USD","match":{},"components":{"u":"1"}}`)
	}
	x.prices("v", `{"effective_from":"2026-01-01T00:00:00Z","prices":[`+strings.Join(prices, ",")+`]}`)
	for i := range cases {
		c := units(fmt.Sprint("e", i), "payer", "m", "10")
		c.dims = [][2]string{{"to", fmt.Sprintf("x%04d", i)}}
		if x.kind == "customer" {
			c = units(fmt.Sprint("e", i), fmt.Sprintf("x%04d", i), "m", "10")
		}
		if got := x.post(c); got.Accepted != 1 || got.Unpriced != 0 {
			t.Fatalf("%+v", got)
		}
	}
	x.batch, x.lines = x.window("w1")
	return x
}

func (x *tableRun) one(row *stateRow, status ResultStatus, sum, want string) {
	x.t.Helper()
	account := fmt.Sprintf("x%04d", x.n)
	line := x.lines[account].Line
	if row.way == "none" {
		account, line = "operator", x.lines["operator"].Line
	}
	label := fmt.Sprintf("%s of a line after %q, amount %s", status, row.way, sum)
	first := x.n
	x.n++
	for _, step := range strings.Split(row.way, ", ") {
		if word, a, _ := strings.Cut(step, " "); word != "" && word != "none" {
			s, ok := ParseResultStatus(word)
			if !ok {
				x.t.Fatal(step)
			}
			x.note(account, x.result(fmt.Sprint("s", first, "-", word, a), x.batch, line, s, a))
		}
	}
	before, no := x.e.LineState(x.batch, line)
	if no != nil || before.text() != row.state {
		x.t.Fatalf("%s: %s, want %s (%v)", label, before.text(), row.state, no)
	}
	head := x.e.store.Head().Seq
	got, created, no := x.e.Result(x.spec(fmt.Sprint("r", first), x.batch, line, status, map[bool]string{true: "", false: sum}[sum == "-"]))
	x.judge(label, want, &got, created, no)
	if after, _ := x.e.LineState(x.batch, line); no != nil && (after.text() != before.text() || x.e.store.Head().Seq != head) {
		x.t.Fatalf("%s was refused and changed %s to %s", label, before.text(), after.text())
	} else if no == nil && after.text() != got.State.text() {
		x.t.Fatalf("%s is answered %s, then shown as %s", label, got.State.text(), after.text())
	}
	if no == nil {
		x.note(account, got)
	}
}

func (x *tableRun) judge(label, want string, got *LineResultAnswer, created bool, no *refusal.Refusal) {
	x.t.Helper()
	switch want {
	case "C":
		if no == nil || no.Code != refusal.ResultConflict || no.Reason != "result_conflict" {
			x.t.Fatalf("%s: %+v, %v, want a conflict", label, got, no)
		}
	case "A":
		if no == nil || no.Code != refusal.Invalid || no.Reason != "invalid_amount" {
			x.t.Fatalf("%s: %+v, %v, want invalid_amount", label, got, no)
		}
	default:
		if no != nil || !created || got.Amount.String() != want {
			x.t.Fatalf("%s: %+v, %v, want %s", label, got, no, want)
		}
	}
}

// note adds up what was booked.
func (x *tableRun) note(account string, a LineResultAnswer) {
	sum := a.Amount.Decimal()
	switch a.Status {
	case ResultFailed:
		x.back[account] = x.back[account].Add(sum)
		x.open = x.open.Sub(sum)
	case ResultReturned:
		x.back[account], x.paid = x.back[account].Add(sum), x.paid.Sub(sum)
	default:
		x.paid, x.open = x.paid.Add(sum), x.open.Sub(sum)
	}
}

// finish checks the books, a restart, and the next window.
func (x *tableRun) finish() {
	sign := decimal.NewFromInt(1)
	if x.kind == "customer" {
		sign = sign.Neg()
	}
	all := decimal.NewFromInt(int64(10 * (len(x.lines) - 2))) // but the payer's, or nobody's, and the operator's
	if x.kind == "customer" {
		all = decimal.NewFromInt(int64(10 * (len(x.lines) - 1)))
	}
	check := func() {
		x.t.Helper()
		for account, sum := range x.back {
			if got := x.posted(account); got != sum.Mul(sign).String() {
				x.t.Fatalf("%s has %s, %s came back", account, got, sum)
			}
		}
		payer := decimal.Zero // what the payer of providers owes is in transit too
		if x.kind == "provider" {
			payer = all
		}
		if got, want := x.class("in_transit"), all.Add(x.open).Mul(sign).Sub(payer).String(); got != want {
			x.t.Fatalf("%s in transit, want %s", got, want)
		}
		if got, want := x.class("cash"), x.paid.Mul(sign).String(); got != want {
			x.t.Fatalf("%s in cash, want %s", got, want)
		}
	}
	check()
	x.verified()
	check()
	_, lines := x.window("w2")
	var sum decimal.Decimal
	for account, back := range x.back {
		l := lines[account]
		if !l.Returned.Decimal().Equal(back.Mul(sign)) || !l.Signed().Decimal().Equal(back.Mul(sign)) {
			x.t.Fatalf("line of %s: %+v, %s came back", account, l, back)
		}
		sum = sum.Add(l.Returned.Decimal())
	}
	if got := lines["operator"].Returned.Decimal(); !got.Equal(sum.Neg()) || len(lines) != len(x.back)+1 {
		x.t.Fatalf("operator %s, others %s, %d lines", got, sum, len(lines))
	}
	x.verified()
}

// TestLatePaidNeverPaysTwice has a payout fail, be paid in the next batch, and a "paid" of the
// first one come late: under its own id, under the id of the failure, and again.
func TestLatePaidNeverPaysTwice(t *testing.T) {
	r := resultRig(t, nil)
	first, lines := r.window("w1")
	prov := lines["prov"].Line
	r.result("f", first, prov, ResultFailed, "")
	second, again := r.window("w2")
	if l := again["prov"]; l.Amount != amount(t, "10") || l.Returned != amount(t, "10") {
		t.Fatalf("%+v", l)
	}
	r.result("p", second, again["prov"].Line, ResultPaid, "")
	cash := r.class("cash")
	for _, id := range []string{"late", "late", "f", "p"} {
		_, created, no := r.e.Result(r.spec(id, first, prov, ResultPaid, ""))
		if no == nil || created {
			t.Fatalf("%s: the late result is booked", id)
		}
		if want := map[bool]refusal.Code{true: refusal.ResultConflict, false: refusal.IDConflict}[id == "late"]; no.Code != want {
			t.Fatalf("%s: %v", id, no)
		}
	}
	if got := r.class("cash"); got != cash || r.posted("prov") != "0" {
		t.Fatalf("cash %s, was %s; prov has %s", got, cash, r.posted("prov"))
	}
	r.verified()
}

// TestResultBadInput is what is refused before a line is looked at, and after.
func TestResultBadInput(t *testing.T) {
	r := resultRig(t, nil)
	id, lines := r.window("w1")
	good := r.spec("r", id, lines["acme"].Line, ResultPaid, "")
	head := r.e.store.Head().Seq
	f := func(code refusal.Code, reason string, change func(*LineResult)) {
		t.Helper()
		x := good
		change(&x)
		_, created, no := r.e.Result(x)
		if refused(t, no, code, reason); created || r.e.store.Head().Seq != head {
			t.Fatal("something was booked")
		}
	}
	f(refusal.Invalid, "invalid_id", func(x *LineResult) { x.ID = "" })
	f(refusal.Invalid, "invalid_id", func(x *LineResult) { x.ID = "a b" })
	f(refusal.Invalid, "invalid_status", func(x *LineResult) { x.Status = 0 })
	f(refusal.Invalid, "invalid_status", func(x *LineResult) { x.Status = 5 })
	f(refusal.Invalid, "invalid_reference", func(x *LineResult) { x.Reference = strings.Repeat("x", 257) })
	f(refusal.Invalid, "invalid_reference", func(x *LineResult) { x.Reference = "\xff" })
	f(refusal.NotFound, "unknown_batch", func(x *LineResult) { x.Batch = "" })
	f(refusal.NotFound, "unknown_batch", func(x *LineResult) { x.Batch = strings.Repeat("0", 64) })
	f(refusal.NotFound, "unknown_batch", func(x *LineResult) { x.Batch = strings.ToUpper(id) })
	f(refusal.NotFound, "unknown_line", func(x *LineResult) { x.Line = 0 })
	f(refusal.NotFound, "unknown_line", func(x *LineResult) { x.Line = uint32(len(lines)) + 1 })
	f(refusal.Invalid, "invalid_amount", func(x *LineResult) { x.Amount = new(money.Amount) })
	f(refusal.ResultConflict, "result_conflict", func(x *LineResult) { x.Line = lines["beta"].Line })
	f(refusal.ResultConflict, "result_conflict", func(x *LineResult) { x.Line = lines["operator"].Line })
	if _, no := r.e.LineState(id, 99); no == nil || no.Reason != "unknown_line" {
		t.Fatal(no)
	}
	if _, no := r.e.OpenLines("x", "", 10); no == nil || no.Reason != "unknown_batch" {
		t.Fatal(no)
	}
}

// TestResultRepeats: a result again is answered as it was, from memory, from a run, after a
// restart, and within one list; with other content it is refused.
func TestResultRepeats(t *testing.T) {
	r := resultRig(t, func(o *Options) { o.RunIdentities, o.CheckpointBytes = 4, 2000 })
	id, lines := r.window("w1")
	part := r.spec("r1", id, lines["acme"].Line, ResultPartiallyPaid, "4")
	rest := r.spec("r2", id, lines["acme"].Line, ResultPaid, "")
	out, no := r.e.Results([]LineResult{part, rest, part, r.spec("r3", id, 99, ResultPaid, ""), rest})
	if no != nil || !out[0].Created || !out[1].Created || out[2].Created || out[4].Created || out[3].Refusal == nil {
		t.Fatalf("%+v, %v", out, no)
	}
	first := []LineResultAnswer{out[0].Answer, out[1].Answer}
	if first[0].State.text() != "partially_paid open 6 paid 4 failed 0 returned 0" || first[1].Amount.String() != "6" {
		t.Fatalf("%+v", first)
	}
	repeated := func(got LineResultAnswer, created bool, no *refusal.Refusal, want LineResultAnswer) {
		t.Helper()
		if no != nil || created || got.State != nil || *got.Amount != *want.Amount || got.Sequence != want.Sequence || !got.Time.Equal(want.Time) || got.ID != want.ID {
			t.Fatalf("%+v (created %v, %v), was %+v", got, created, no, want)
		}
	}
	again := func() {
		t.Helper()
		for i, x := range []LineResult{part, rest} {
			got, created, no := r.e.Result(x)
			repeated(got, created, no, first[i])
			six := amount(t, "6")
			for _, other := range []LineResult{{x.ID, id, lines["prov"].Line, x.Status, x.Amount, x.Reference}, {x.ID, id, x.Line, ResultFailed, x.Amount, x.Reference},
				{x.ID, id, x.Line, x.Status, &six, x.Reference}, {x.ID, id, x.Line, x.Status, x.Amount, ""}} {
				_, _, no := r.e.Result(other)
				refused(t, no, refusal.IDConflict, "id_conflict")
			}
		}
	}
	repeated(out[2].Answer, out[2].Created, out[2].Refusal, first[0])
	repeated(out[4].Answer, out[4].Created, out[4].Refusal, first[1])
	again()
	for i := range 12 {
		r.post(units(fmt.Sprint("more", i), "acme", "m", "1"))
	}
	again()
	r.verified()
	again()
	if s, _ := r.e.LineState(id, lines["acme"].Line); s.text() != "paid open 0 paid 10 failed 0 returned 0" {
		t.Fatal(s.text())
	}
}
