package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"farthing/batch"
	"farthing/ledger"
	"farthing/money"
	"farthing/refusal"
)

// statementTwin derives a statement the slow way: from the transfers that the account shows, and
// each event's components from its explanation.
type statementTwin struct {
	reasons map[string]money.Amount // of transfers
	rows    map[string]money.Amount // by kind, meter, model and component
}

// everyStatement asks for the statement of every line of every sealed batch and compares it with
// its twin. It returns what it saw, by reason and kind.
func everyStatement(t *testing.T, e *Engine) map[string]int {
	t.Helper()
	seen, all := map[string]int{}, map[string][]Transfer{}
	for _, w := range e.published.Load().windows {
		events := eventsOf(t, e, w)
		for k := range w.batches {
			b := &w.batches[k]
			err := scanLines(e.store, b.id, b.lines, 1, func(_ uint32, record []byte) bool {
				_, l, err := batch.ParseLine(record)
				if err != nil {
					t.Fatal(err)
				}
				c := b.currency
				s, refused := e.WindowStatement(StatementOptions{Account: l.Account, Window: w.number, Currency: &c})
				if refused != nil {
					t.Fatalf("%s in window %d: %v", l.Account, w.number, refused)
				}
				addsUpToLine(t, &s, &l)
				if l.Account != batch.OperatorAccount {
					if all[l.Account] == nil {
						all[l.Account] = allTransfers(t, e, l.Account)
					}
					twin := newStatementTwin(&s, all[l.Account], events)
					twin.compare(t, &s)
				}
				for _, row := range append(s.Usage, s.Corrections...) {
					seen[row.Kind]++
				}
				for name, part := range s.items() {
					for _, item := range part {
						seen[name+" "+item.Reason]++
					}
				}
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return seen
}

func (s *WindowStatement) items() map[string][]StatementItem {
	return map[string][]StatementItem{"fees": s.Fees, "losses": s.Losses, "credits": s.Credits, "charges": s.Charges, "returned": s.Returned, "payments": s.Payments}
}

// addsUpToLine adds up what a reader of the statement adds up.
func addsUpToLine(t *testing.T, s *WindowStatement, l *batch.Line) {
	t.Helper()
	sum := s.Opening
	for _, row := range append(append([]StatementUsage(nil), s.Usage...), s.Corrections...) {
		sum = sum.MustAdd(row.Amount)
	}
	for _, part := range s.items() {
		for _, item := range part {
			sum = sum.MustAdd(item.Amount)
		}
	}
	if sum != s.Closing || s.Opening != l.CarriedIn || s.Closing != l.CarriedOut || s.Events != l.Events || s.Amount != l.Amount {
		t.Fatalf("the statement's items make %s: %+v; the line is %+v", sum, s, l)
	}
}

func allTransfers(t *testing.T, e *Engine, account string) (all []Transfer) {
	t.Helper()
	for cursor := ""; ; {
		page, refused := e.Transfers(account, cursor, 1000)
		if refused != nil {
			t.Fatal(refused)
		}
		all = append(all, page.Items...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// windowEvent is an event that a window rated or corrected, and who pays for it.
type windowEvent struct {
	Event
	root string
}

// eventsOf explains every event that a window rated or corrected.
func eventsOf(t *testing.T, e *Engine, w *window) (out []windowEvent) {
	t.Helper()
	people, known := e.published.Load().people, map[string]bool{}
	blocks := blockReader{e: e}
	for seq := w.first; seq <= w.cut; seq++ {
		c, err := blocks.at(seq)
		if err != nil {
			t.Fatal(err)
		}
		ev := &c.event
		if c.kind == kindAmend {
			a, err := c.amendment()
			if err != nil {
				t.Fatal(err)
			}
			ev = &a.old
		} else if !c.isEvent() {
			continue
		}
		source, id, root := string(ev.source), string(ev.id), people[people[ev.account].Root].ID
		if known[source+"|"+id] {
			continue
		}
		known[source+"|"+id] = true
		shown, refused := e.Event(source, id)
		if refused != nil {
			t.Fatal(refused)
		}
		out = append(out, windowEvent{shown, root})
	}
	return out
}

func newStatementTwin(s *WindowStatement, all []Transfer, events []windowEvent) *statementTwin {
	w := &statementTwin{reasons: map[string]money.Amount{}, rows: map[string]money.Amount{}}
	for _, x := range all {
		if x.Sequence < s.FirstSequence || x.Sequence > s.Cut || x.Reason == "collection" || x.Reason == "payout" {
			continue
		}
		reason := strings.TrimSuffix(x.Reason, "_fee")
		if reason == "fee" {
			reason = "usage"
		}
		w.reasons[reason] = w.reasons[reason].MustAdd(x.Amount)
	}
	for i := range events {
		if s.Kind == "provider" || events[i].root == s.Account {
			w.event(s, &events[i].Event)
		}
	}
	return w
}

// event adds the components of the event's ratings that posted in the statement's window.
func (w *statementTwin) event(s *WindowStatement, ev *Event) {
	model := "none"
	for _, d := range ev.Dimensions {
		if d.Key == "model" {
			model = "model " + d.Value
		}
	}
	add := func(kind string, r *Rating) {
		if r == nil || r.Sequence < s.FirstSequence || r.Sequence > s.Cut {
			return
		}
		for _, c := range r.Components {
			amount := c.Amount
			if s.Kind == "customer" {
				amount = amount.Neg()
			} else if !earns(r, s.Account) {
				continue
			}
			key := fmt.Sprint(kind, "|", ev.Type, "|", model, "|", c.Component)
			w.rows[key] = w.rows[key].MustAdd(amount)
		}
	}
	kind := "usage"
	if ev.Rating != nil && ev.Rating.Sequence != ev.Sequence {
		kind = "late"
	}
	add(kind, ev.Rating)
	for _, c := range ev.Corrections {
		add(c.Kind, c.Back)
		add(c.Kind, c.New)
	}
}

// earns reports whether an account is the payee of a rating.
func earns(r *Rating, account string) bool {
	for _, x := range r.Transfers {
		if x.Credit == account || x.Debit == account {
			return true
		}
	}
	return false
}

func (w *statementTwin) compare(t *testing.T, s *WindowStatement) {
	t.Helper()
	got := map[string]money.Amount{}
	add := func(reason string, amount money.Amount) { got[reason] = got[reason].MustAdd(amount) }
	for _, row := range append(append([]StatementUsage(nil), s.Usage...), s.Corrections...) {
		model := "none"
		if row.Model != nil {
			model = "model " + *row.Model
		}
		key := fmt.Sprint(row.Kind, "|", row.Meter, "|", model, "|", row.Component)
		if want, there := w.rows[key]; want != row.Amount || !there {
			t.Fatalf("%s in window %d: %s is %s, the events' explanations make %s", s.Account, s.Window, key, row.Amount, want)
		}
		delete(w.rows, key)
		if row.Kind == "late" {
			row.Kind = "usage"
		}
		add(row.Kind, row.Amount)
	}
	for key, left := range w.rows {
		if !left.IsZero() {
			t.Fatalf("%s in window %d: %s is missing, the events' explanations make %s", s.Account, s.Window, key, left)
		}
	}
	for _, item := range append(append([]StatementItem(nil), s.Fees...), s.Losses...) {
		reason := strings.TrimSuffix(strings.TrimSuffix(item.Reason, "_fee"), "_loss")
		if reason == "fee" || reason == "loss" {
			reason = "usage"
		}
		add(reason, item.Amount)
	}
	for _, part := range [...][]StatementItem{s.Credits, s.Charges, s.Returned} {
		for _, item := range part {
			add(item.Reason, item.Amount)
		}
	}
	for reason, want := range w.reasons {
		if got[reason] != want {
			t.Fatalf("%s in window %d: %s is %s, the transfers make %s", s.Account, s.Window, reason, got[reason], want)
		}
		delete(got, reason)
	}
	for reason, left := range got {
		if !left.IsZero() {
			t.Fatalf("%s in window %d: %s is %s, no transfer says so", s.Account, s.Window, reason, left)
		}
	}
}

// TestStatementOfAWindow shows every part of a statement once.
func TestStatementOfAWindow(t *testing.T) {
	r := newRig(t, nil)
	r.account("acme", "customer", "postpaid")
	r.account("prov", "provider", "")
	r.prices("v1", standardBook)
	r.post(llm("e1", "acme", "m1", 1000, 100), llm("e2", "acme", "m2", 1000, 100), llm("e3", "acme", "m1", 1000, 0), llm("e4", "acme", "none", 5, 0))
	r.settle("w1")
	if _, _, refused := r.e.TopUp(TopUp{ID: "t1", Account: "acme", Amount: amount(t, "0.01")}); refused != nil {
		t.Fatal(refused)
	}
	if _, _, refused := r.e.Void(VoidSpec{Source: "gw", Event: "e1", ID: "void"}); refused != nil {
		t.Fatal(refused)
	}
	r.prices("v2", strings.ReplaceAll(strings.ReplaceAll(standardBook, "2026-01", "2026-02"), `"m2"`, `"none"`))
	r.e.repriced()
	r.settle("w2")

	s, refused := r.e.WindowStatement(StatementOptions{Account: "acme", Window: 1})
	if refused != nil {
		t.Fatal(refused)
	}
	if got := statementText(&s); got != `opening 0
usage llm.tokens m1 input 2 x 2000: -0.005
usage llm.tokens m1 output 1 x 100: -0.001
usage llm.tokens m2 input 1 x 1000: -0.001
usage llm.tokens m2 output 1 x 100: -0.0002
closing -0.0072` {
		t.Error(got)
	}
	s, refused = r.e.WindowStatement(StatementOptions{Account: "prov", Window: 1})
	if refused != nil {
		t.Fatal(refused)
	}
	if got := statementText(&s); got != `opening 0
usage llm.tokens m1 input 2 x 2000: 0.005
usage llm.tokens m1 output 1 x 100: 0.001
usage llm.tokens m2 input 1 x 1000: 0.001
usage llm.tokens m2 output 1 x 100: 0.0002
fees fee 2: -0.0006
closing 0.0066` {
		t.Error(got)
	}
	s, refused = r.e.WindowStatement(StatementOptions{Account: "acme", Window: 2})
	if refused != nil {
		t.Fatal(refused)
	}
	if got := statementText(&s); got != `opening -0.0072
credits topup 1: 0.01
late llm.tokens none input 1 x 5: -0.000005
void llm.tokens m1 input 1 x -1000: 0.0025
void llm.tokens m1 output 1 x -100: 0.001
closing 0.006295` {
		t.Error(got)
	}
	s, refused = r.e.WindowStatement(StatementOptions{Account: "operator", Window: 1})
	if refused != nil {
		t.Fatal(refused)
	}
	if got := statementText(&s); got != "opening 0\nfees fee 2: 0.0006\nclosing 0.0006" {
		t.Error(got)
	}
	everyStatement(t, r.e)
}

func statementText(s *WindowStatement) string {
	var out strings.Builder
	fmt.Fprintf(&out, "opening %s\n", s.Opening)
	rows := func(list []StatementUsage) {
		for _, u := range list {
			fmt.Fprintf(&out, "%s %s %s %s %d x %s: %s\n", u.Kind, u.Meter, *u.Model, u.Component, u.Events, u.Quantity, u.Amount)
		}
	}
	items := func(name string, list []StatementItem) {
		for _, i := range list {
			fmt.Fprintf(&out, "%s %s %d: %s\n", name, i.Reason, i.Count, i.Amount)
		}
	}
	rows(s.Usage)
	items("fees", s.Fees)
	items("losses", s.Losses)
	items("credits", s.Credits)
	items("charges", s.Charges)
	rows(s.Corrections)
	items("returned", s.Returned)
	items("payments", s.Payments)
	fmt.Fprintf(&out, "closing %s", s.Closing)
	return out.String()
}

// TestStatementRefusals asks for statements that there are not.
func TestStatementRefusals(t *testing.T) {
	r := newRig(t, nil)
	r.account("acme", "customer", "postpaid")
	r.account("quiet", "customer", "prepaid")
	r.account("prov", "provider", "")
	if _, _, refused := r.e.CreateAccount(AccountSpec{ID: "team", Currency: usd(), Kind: "customer", Parent: "acme"}); refused != nil {
		t.Fatal(refused)
	}
	r.prices("v1", standardBook)
	f := func(account string, window uint64, code refusal.Code, reason, detail string) {
		t.Helper()
		_, no := r.e.WindowStatement(StatementOptions{Account: account, Window: window})
		if no == nil || no.Code != code || no.Reason != reason || !strings.Contains(no.Detail, detail) {
			t.Errorf("window %d of %s: %v", window, account, no)
		}
	}
	f("operator", 1, refusal.SettlementConflict, "not_settled", "window 1")
	r.post(llm("e1", "team", "m1", 1, 1))
	r.settle("w1")
	r.post(llm("e2", "acme", "m1", 1, 1))
	r.settle("w2")
	if _, _, refused := r.e.TopUp(TopUp{ID: "t", Account: "quiet", Amount: amount(t, "1")}); refused != nil {
		t.Fatal(refused)
	}
	r.settle("w3")
	r.post(llm("e3", "acme", "m1", 1, 1))
	r.settle("w4")

	f("nobody", 1, refusal.NotFound, "unknown_account", "nobody")
	f("team", 1, refusal.Invalid, "not_a_root", "its root is acme")
	f("acme", 0, refusal.NotFound, "unknown_window", "window 0")
	f("acme", 5, refusal.SettlementConflict, "not_settled", "window 5")
	f("acme", 6, refusal.NotFound, "unknown_window", "the open one is 5")
	f("acme", 3, refusal.NotFound, "no_line", "the nearest are in 2 and 4")
	f("quiet", 1, refusal.NotFound, "no_line", "the nearest are in 3")
	eur := money.CurrencyAt(0)
	if _, no := r.e.WindowStatement(StatementOptions{Account: "acme", Window: 1, Currency: &eur}); no == nil || no.Reason != "no_line" {
		t.Errorf("in another currency: %v", no)
	}
	stop := func() error { return ErrAborted }
	if _, no := r.e.WindowStatement(StatementOptions{Account: "acme", Window: 1, Progress: stop}); no == nil || no.Reason != "aborted" {
		t.Errorf("stopped: %v", no)
	}

	page, no := r.e.Statements("acme", "", 2)
	if no != nil || len(page.Items) != 2 || page.Items[0].Window != 1 || page.Items[1].Window != 2 || page.Next == "" {
		t.Fatalf("lines of acme: %+v %v", page, no)
	}
	if page, no = r.e.Statements("acme", page.Next, 2); no != nil || len(page.Items) != 1 || page.Items[0].Window != 4 || page.Next != "" {
		t.Errorf("lines of acme: %+v %v", page, no)
	}
	if _, no = r.e.Statements("team", "", 2); no == nil || no.Reason != "not_a_root" {
		t.Errorf("lines of a node: %v", no)
	}
	if page, no = r.e.Statements("operator", "", 10); no != nil || len(page.Items) != 4 {
		t.Errorf("lines of the operator: %+v %v", page, no)
	}
}

// TestStatementDisagrees spoils the line that a statement has to add up to: it is refused.
func TestStatementDisagrees(t *testing.T) {
	l := batch.Line{Line: 1, Account: "a", GrossCredits: amount(t, "2"), CarriedIn: amount(t, "1"), CarriedOut: amount(t, "3"), Events: 1}
	f := func(want string, change func(*statementSum)) {
		t.Helper()
		s := &statementSum{events: 1, total: amount(t, "2"), sections: map[itemKey]*statementItem{}}
		s.gross.credits = amount(t, "2")
		change(s)
		err := s.check(&l)
		if (err == nil) != (want == "") || (err != nil && !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	one := amount(t, "1")
	f("", func(*statementSum) {})
	f("gross_credits", func(s *statementSum) { s.gross.credits = one })
	f("gross_debits", func(s *statementSum) { s.gross.debits = one })
	f("events", func(s *statementSum) { s.events = 2 })
	f("carried_out", func(s *statementSum) { s.total = one })
	f("returned", func(s *statementSum) {
		s.sections[itemKey{sectionReturned, "failed"}] = &statementItem{StatementItem: StatementItem{Amount: one}}
	})
	f("out of range", func(s *statementSum) { s.overflow = true })

	r := newRig(t, nil)
	if no := r.e.statementFailed(errTooLong); no.Reason != "statement_too_long" {
		t.Error(no)
	}
	if no := r.e.statementFailed(errors.New("x")); no.Code != refusal.Internal {
		t.Error(no)
	}
}

// TestStatementOfManyModels has more models than a statement lists.
func TestStatementOfManyModels(t *testing.T) {
	s := newStatementSum(0, &ledger.Participant{ID: "operator", Kind: ledger.Operator})
	for i := range statementRowsMax + 5 {
		s.row(statementKey{kind: plainUsage, model: fmt.Sprint(i), hasModel: true}).events++
	}
	s.row(statementKey{kind: "void", component: "x"}).events++
	s.row(statementKey{kind: plainUsage, model: "3", hasModel: true}).events++
	var out WindowStatement
	s.render(&out)
	last := out.Usage[len(out.Usage)-1]
	if len(out.Usage) != statementRowsMax+1 || !last.Rest || last.Events != 5 || last.Quantity != "" || len(out.Corrections) != 1 || !out.Corrections[0].Rest {
		t.Errorf("%d rows, the last %+v; %+v", len(out.Usage), last, out.Corrections)
	}
}
