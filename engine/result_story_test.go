package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/batch"
	"farthing/money"
)

// TestReturnedRollsOver has a payout come back in parts: below the minimum payout it rolls over
// from window to window, each line says what came back since the one before, and once it is enough
// it is paid again.
func TestReturnedRollsOver(t *testing.T) {
	r := newRig(t, nil)
	if _, _, no := r.e.CreateAccount(AccountSpec{ID: "prov", Currency: usd(), Kind: "provider", MinimumPayout: amount(t, "5")}); no != nil {
		t.Fatal(no)
	}
	r.account("acme", "customer", "prepaid")
	r.prices("v1", resultBook)
	if _, _, no := r.e.TopUp(TopUp{ID: "t", Account: "acme", Amount: amount(t, "10")}); no != nil {
		t.Fatal(no)
	}
	r.post(units("e1", "acme", "m", "10"))
	first, lines := r.window("w1")
	prov := lines["prov"].Line
	want := func(l batch.Line, direction, amount, carriedIn, returned, carriedOut string) {
		t.Helper()
		got := fmt.Sprintln(l.Direction, l.Amount, l.CarriedIn, l.Returned, l.CarriedOut)
		if got != fmt.Sprintln(direction, amount, carriedIn, returned, carriedOut) {
			t.Fatalf("got %s", got)
		}
	}
	want(lines["prov"], "pay", "10", "0", "0", "0")
	r.result("p", first, prov, ResultPartiallyPaid, "8")
	r.result("f", first, prov, ResultFailed, "")
	_, lines = r.window("w2")
	want(lines["prov"], "none", "0", "0", "2", "2")
	want(lines["operator"], "none", "0", "-10", "-2", "-12")
	if len(lines) != 2 {
		t.Fatalf("%v", lines)
	}
	r.reopen()
	r.result("b1", first, prov, ResultReturned, "1.5")
	r.result("b2", first, prov, ResultReturned, "1")
	_, lines = r.window("w3")
	want(lines["prov"], "none", "0", "2", "2.5", "4.5")
	if s := r.settle("idle"); len(s.Batches) != 0 {
		t.Fatalf("%+v", s)
	}
	r.result("b3", first, prov, ResultReturned, "")
	last, lines := r.window("w4")
	want(lines["prov"], "pay", "10", "4.5", "5.5", "0")
	r.result("end", last, lines["prov"].Line, ResultPaid, "")
	if r.posted("prov") != "0" || r.class("in_transit") != "0" || r.class("cash") != "0" {
		t.Fatal(r.posted("prov"), r.class("in_transit"), r.class("cash"))
	}
	r.verified()
}

// TestReturnedOfAClosedAccount: an account whose collection was paid is closed; then the payment
// comes back. It owes again, stays closed, and the next batch collects it again. A frozen one is
// no different.
func TestReturnedOfAClosedAccount(t *testing.T) {
	r := resultRig(t, nil)
	id, lines := r.window("w1")
	acme := lines["acme"].Line
	status := func(id, action string) error {
		_, _, no := r.e.SetStatus(StatusSpec{ID: id, Account: "acme", Action: action})
		if no != nil {
			return no
		}
		return nil
	}
	if err := status("c1", "close"); err == nil {
		t.Fatal("it is closed with a collection in transit")
	}
	if err := status("f1", "freeze"); err != nil {
		t.Fatal(err)
	}
	r.result("p", id, acme, ResultPaid, "")
	if err := status("c2", "close"); err != nil {
		t.Fatal(err)
	}
	r.result("b", id, acme, ResultReturned, "")
	if got := r.posted("acme"); got != "-10" {
		t.Fatalf("acme has %s", got)
	}
	again, lines := r.window("w2")
	if l := lines["acme"]; l.Direction != batch.Collect || l.Amount != amount(t, "10") || l.Returned != amount(t, "-10") {
		t.Fatalf("%+v", l)
	}
	r.result("p2", again, lines["acme"].Line, ResultPaid, "")
	if a, _ := r.e.Account("acme"); a.State != "closed" || !a.Posted.IsZero() {
		t.Fatalf("%+v", a)
	}
	r.verified()
}

// TestResultsAndCredit: a collection in transit is no credit; what is spent meanwhile is owed when
// it fails. Statements say what came back and from where.
func TestResultsAndCredit(t *testing.T) {
	r := resultRig(t, nil)
	id, lines := r.window("w1")
	free := func(want string) {
		t.Helper()
		if a, no := r.e.Account("beta"); no != nil || a.Available == nil || a.Available.String() != want {
			t.Fatalf("available %v, want %s (%v)", a.Available, want, no)
		}
	}
	r.post(units("b1", "beta", "own", "12")) // beta has 5, and owes 7 then
	free("-7")
	id2, lines2 := r.window("w2")
	free("-7") // collected, and not here yet
	if _, _, no := r.e.TopUp(TopUp{ID: "t2", Account: "beta", Amount: amount(t, "9")}); no != nil {
		t.Fatal(no)
	}
	free("2")
	if _, _, no := r.e.Refund(RefundSpec{ID: "r", Account: "beta", Amount: amount(t, "2.01")}); no == nil || no.Shortfall.Left != "2" {
		t.Fatal(no)
	}
	r.result("x", id2, lines2["beta"].Line, ResultPartiallyPaid, "3")
	free("5")
	r.post(units("b2", "beta", "own", "6"))
	free("-1")
	r.result("y", id2, lines2["beta"].Line, ResultFailed, "") // 4, of which 3 are there
	free("-1")
	r.result("z", id2, lines2["beta"].Line, ResultReturned, "2")
	free("-3")
	page, no := r.e.Transfers("beta", "", 100)
	if no != nil {
		t.Fatal(no)
	}
	var got []string
	for _, x := range page.Items {
		if x.Batch == id2 {
			got = append(got, fmt.Sprint(x.Reason, " ", x.ID, " ", x.Amount, " ", x.Account, " ", x.Class))
		}
	}
	want := []string{"collection  7 operator in_transit", "failed y -3 operator in_transit", "failed y -1 operator in_transit", "returned z -2 operator cash"}
	if !slices.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	r.result("w", id, lines["prov"].Line, ResultFailed, "")
	if page, no = r.e.Transfers("prov", "", 100); no != nil || len(page.Items) != 3 || page.Items[2].Reason != "failed" || page.Items[2].Amount != amount(t, "10") ||
		page.Items[2].Batch != id {
		t.Fatalf("%+v, %v", page, no)
	}
	r.verified()
}

// TestFailedAloneClosesAWindow: a window in which nothing happened but that a payout failed is not
// idle: the timer closes it.
func TestFailedAloneClosesAWindow(t *testing.T) {
	r, move := clockRig(t, time.Date(2026, 11, 1, 12, 30, 0, 0, time.UTC), func(o *Options) { o.SettleEvery = time.Hour })
	r.post(llm("e1", "acme", "m1", 5_000_000, 5))
	move(time.Date(2026, 11, 1, 13, 30, 0, 0, time.UTC))
	r.closes(1)
	id := hexID(r.e.published.Load().windows[0].batches[0].id)
	lines := r.lines(id)
	move(time.Date(2026, 11, 1, 14, 30, 0, 0, time.UTC))
	r.closes(1)
	r.result("f", id, lines["prov"].Line, ResultFailed, "")
	r.reopen()
	move(time.Date(2026, 11, 1, 15, 30, 0, 0, time.UTC))
	r.closes(2)
	w := r.e.published.Load().windows[1]
	if len(w.batches) != 1 || w.batches[0].lines != 2 || w.batches[0].events != 0 {
		t.Fatalf("%+v", w.batches)
	}
	move(time.Date(2026, 11, 1, 16, 30, 0, 0, time.UTC))
	r.closes(2)
	r.verified()
}

// TestOutcomesAgainstTwin puts random results of random lines into the table and into a map.
func TestOutcomesAgainstTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(rand.Uint64(), 9))
	ten := money.FromWords(0, 1e19)
	for _, lines := range []uint32{1, 255, 256, 257, 1500} {
		w := &window{batches: []sealedBatch{{lines: lines, pays: lines}, {lines: lines, pays: lines}}}
		st := &state{}
		st.sealBatches(w)
		twin := map[uint32]lineParts{}
		for range 3 * lines {
			line := 1 + rng.Uint32N(lines)
			if rng.IntN(2) == 0 {
				line = lines/2 + 1 + rng.Uint32N(lines-lines/2) // the first half stays thin
			}
			parts, ok := twin[line]
			if !ok {
				parts = lineParts{open: ten}
			}
			status := resultStatuses[rng.IntN(4)]
			left := parts.about(status)
			if left.IsZero() {
				continue
			}
			if rng.IntN(8) == 0 && (status == ResultPartiallyPaid || status == ResultReturned) {
				left = leastOf(left, money.FromWords(0, 1e18))
			}
			parts = parts.moved(status, left)
			twin[line] = parts
			st.results.transit.Mut(1).pay = st.results.transit.At(1).pay.MustAdd(ten) // never short
			st.results.put(&lineResult{batch: 1, line: line, status: status, whole: ten, amount: left}, parts)
		}
		var open []uint32
		for line := uint32(1); line <= lines; line++ {
			want, ok := twin[line]
			if !ok {
				want = lineParts{open: ten}
			}
			got := st.lineParts(1, line, ten)
			if got.text(ten) != want.text(ten) {
				t.Fatalf("line %d is %s, the twin has %s", line, got.text(ten), want.text(ten))
			}
			if got.last, want.last = 0, 0; got != want {
				t.Fatalf("line %d: %+v, the twin has %+v", line, got, want)
			}
			if st.lineParts(0, line, ten).open != ten {
				t.Fatalf("line %d of another batch is not open", line)
			}
			if !want.open.IsZero() {
				open = append(open, line)
			}
		}
		for _, limit := range []int{1, 7, 5000} {
			var got []uint32
			for next := uint32(1); next != 0; {
				var page []uint32
				page, next = st.results.mayBeOpen(1, next, lines, limit, nil)
				got = append(got, page...)
			}
			if !slices.Equal(got, open) || int(st.results.transit.At(1).lines) != len(open) {
				t.Fatalf("open %v, the twin has %v, %d counted", got, open, st.results.transit.At(1).lines)
			}
		}
	}
}

// TestResultLists pages through what is in transit and which lines are open.
func TestResultLists(t *testing.T) {
	r := newRig(t, nil)
	r.account("prov", "provider", "")
	r.prices("v1", resultBook)
	for i := range 600 {
		id := fmt.Sprintf("c%03d", i)
		r.account(id, "customer", "postpaid")
		kind, n := "m", "10"
		if i%5 == 4 { // its line moves nothing
			n = "0"
		}
		r.post(units("e"+id, id, kind, n))
	}
	id, lines := r.window("w1")
	r.post(units("last", "c000", "m", "7"))
	later, _ := r.window("w2")
	var results []LineResult
	var open []uint32
	for account, l := range lines {
		switch {
		case l.Direction == batch.None:
		case account == "prov" || l.Line%7 == 0:
			open = append(open, l.Line)
		case l.Line%11 == 0:
			results = append(results, r.spec("r"+account, id, l.Line, ResultPartiallyPaid, "4"))
			open = append(open, l.Line)
		default:
			results = append(results, r.spec("r"+account, id, l.Line, resultStatuses[[2]int{0, 2}[l.Line%2]], ""))
		}
	}
	out, no := r.e.Results(results)
	if no != nil {
		t.Fatal(no)
	}
	for i := range out {
		if out[i].Refusal != nil {
			t.Fatal(out[i].Refusal)
		}
	}
	slices.Sort(open)
	sums := r.openLines(id, open)
	page, no := r.e.InTransit("", 1)
	if no != nil || len(page.Items) != 1 || page.Next == "" {
		t.Fatalf("%+v %v", page, no)
	}
	if x := page.Items[0]; x.Batch != id || x.Window != 1 || int(x.Lines) != len(open) || !x.Pay.Decimal().Equal(sums["pay"]) || !x.Collect.Decimal().Equal(sums["collect"]) || x.Time.IsZero() {
		t.Fatalf("%+v, %d open lines of %v", x, len(open), sums)
	}
	if page, no = r.e.InTransit(page.Next, 10); no != nil || len(page.Items) != 1 || page.Items[0].Batch != later || page.Items[0].Lines != 2 || page.Next != "" {
		t.Fatalf("%+v %v", page, no)
	}
	for i, n := range open {
		r.result(fmt.Sprint("end", i), id, n, ResultFailed, "")
	}
	if page, no = r.e.InTransit("", 10); no != nil || len(page.Items) != 1 || page.Items[0].Batch != later {
		t.Fatalf("%+v %v", page, no)
	}
	if list, no := r.e.OpenLines(id, "", 10); no != nil || len(list.Items) != 0 || list.Next != "" {
		t.Fatalf("%+v %v", list, no)
	}
	r.verified()
}

// openLines pages through the open lines of a batch, which have to be these, and sums them up by
// direction.
func (r *rig) openLines(id string, want []uint32) (sums map[string]decimal.Decimal) {
	r.t.Helper()
	var got []uint32
	sums = map[string]decimal.Decimal{}
	for cursor := ""; ; {
		page, no := r.e.OpenLines(id, cursor, 13)
		if no != nil || len(page.Items) > 13 {
			r.t.Fatal(no)
		}
		for _, s := range page.Items {
			got = append(got, s.Line)
			sums[s.Direction] = sums[s.Direction].Add(s.Open.Decimal())
			if one, _ := r.e.LineState(id, s.Line); one != s {
				r.t.Fatalf("%+v, alone %+v", s, one)
			}
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	if !slices.Equal(got, want) {
		r.t.Fatalf("open: %v, want %v", got, want)
	}
	return sums
}

// TestResultsAreToldOf: a collection that comes back takes the credit below its mark, which is told
// right after the result; one that is paid lets it be told again.
func TestResultsAreToldOf(t *testing.T) {
	r := resultRig(t, nil)
	r.post(units("b1", "beta", "own", "12"))
	id, lines := r.window("w1")
	if _, _, no := r.e.TopUp(TopUp{ID: "t2", Account: "beta", Amount: amount(t, "20")}); no != nil {
		t.Fatal(no)
	}
	low := amount(t, "15")
	if _, _, no := r.e.PutSettings(SettingsSpec{Account: "beta", Excess: "allow", Abandoned: "void", CreditLow: &low}); no != nil {
		t.Fatal(no)
	}
	told := func() int {
		t.Helper()
		list, no := r.e.Notifications(0, 100)
		if no != nil {
			t.Fatal(no)
		}
		return len(list)
	}
	before := told() // 13: 7 of 20 are in transit
	r.result("p", id, lines["beta"].Line, ResultPaid, "")
	if n := told(); n != before {
		t.Fatalf("%d notifications of 20, were %d", n, before)
	}
	r.result("b", id, lines["beta"].Line, ResultReturned, "")
	if n := told(); n != before+1 {
		t.Fatalf("%d notifications, were %d", n, before)
	}
	r.verified()
}
