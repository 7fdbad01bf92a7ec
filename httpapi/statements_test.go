package httpapi

import (
	"encoding/csv"
	"encoding/json"
	"errors"
	"html/template"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/refusal"
)

func TestStatementLines(t *testing.T) {
	r := newRig(t, Options{})
	got := r.get("/v1/accounts/a%2Fb/statements?limit=5&cursor=c")
	got.want(t, 200, "")
	sameText(t, got.body, `{"items":[{"window":7,"time":"2026-11-23T10:00:00Z","currency":"USD","batch_id":"`+someBatch+`","line":3,"opening":"-1.5","direction":"collect",`+
		`"amount":"12.34","closing":"0.0025","events":12,"status":"open"}],"next":"n"}`)
	if want := []string{"a/b", "c", "5"}; !slices.Equal(r.engine.asked, want) {
		t.Errorf("asked %v", r.engine.asked)
	}
	r.get("/v1/accounts/a/statements?window=1").want(t, 422, "invalid")
}

// TestStatementFormats has how a statement is asked for, and that every format adds up.
func TestStatementFormats(t *testing.T) {
	r := newRig(t, Options{})
	f := func(query, accept, kind string) reply {
		t.Helper()
		got := r.do("GET", "/v1/accounts/a%2Fb/statements/7"+query, "", "", "Accept: "+accept)
		got.want(t, 200, "")
		if is := got.header.Get("Content-Type"); is != kind {
			t.Errorf("%s, Accept %s: %s", query, accept, is)
		}
		if got.header.Get("Vary") != "Accept" {
			t.Error("without Vary: a cache would mix the formats")
		}
		return got
	}
	const jsonType, csvType, htmlType = "application/json", "text/csv; charset=utf-8; header=present", "text/html; charset=utf-8"
	browser := "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
	f("", "", jsonType)
	f("", "*/*", jsonType)
	f("", "image/png", jsonType)
	f("", browser, htmlType)
	f("", "text/csv", csvType)
	f("", "TEXT/CSV;q=0.5, text/html;q=0.4", csvType)
	f("", "text/*;q=0.5, text/csv;q=0.1", htmlType)
	f("", "application/json;q=0, */*", csvType)
	f("", "text/csv;q=1.5, text/html;q=0.001", htmlType)
	f("?format=json", browser, jsonType)
	body := f("?format=csv", browser, csvType)
	if name := body.header.Get("Content-Disposition"); name != `attachment; filename="statement-a_b-USD-7.csv"` {
		t.Error(name)
	}
	csvAddsUp(t, body.body)
	body = f("?format=html", "", htmlType)
	if body.header.Get("Content-Security-Policy") != statementPolicy || body.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Error(body.header)
	}
	jsonAddsUp(t, f("?format=json&currency=USD", "", jsonType).body)
	if last := r.engine.asked[len(r.engine.asked)-3:]; !slices.Equal(last, []string{"a/b", "7", "USD"}) {
		t.Errorf("asked %v", last)
	}
	for query, reason := range map[string]string{"7?format=pdf": "invalid_format", "7?currency=usd": "unknown_currency", "x": "invalid_window", "-1": "invalid_window",
		"18446744073709551616": "invalid_window", "7?at=1": "unknown_parameter"} {
		got := r.get("/v1/accounts/a/statements/" + query)
		got.want(t, 422, "invalid")
		if _, is := got.problem(t); is != reason {
			t.Errorf("%s: %s", query, is)
		}
	}
}

// csvAddsUp reads the table as a spreadsheet would: no text cell begins a formula, and the
// amounts make the last one.
func csvAddsUp(t *testing.T, body string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	sum := decimal.Decimal{}
	for _, row := range rows[1 : len(rows)-1] {
		sum = sum.Add(decimal.RequireFromString(row[10]))
		for _, cell := range row[:8] {
			if strings.ContainsAny(cell[:min(1, len(cell))], "=+-@\t\r") {
				t.Errorf("the cell %q is a formula", cell)
			}
		}
	}
	last := rows[len(rows)-1]
	if last[3] != "closing" || !sum.Equal(decimal.RequireFromString(last[10])) {
		t.Errorf("the rows make %s, the last says %v", sum, last)
	}
	if len(rows) != 1+1+4+5+1+1 || !strings.Contains(body, "'=cmd") {
		t.Errorf("%d rows:\n%s", len(rows), body)
	}
}

// jsonAddsUp adds up the items and the totals.
func jsonAddsUp(t *testing.T, body string) {
	t.Helper()
	var v struct {
		Opening, Closing                                                       decimal.Decimal
		Usage, Fees, Losses, Credits, Charges, Corrections, Returned, Payments []struct{ Amount decimal.Decimal }
		Totals                                                                 map[string]decimal.Decimal
	}
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatal(err)
	}
	items, totals := v.Opening, v.Opening
	for _, part := range [...][]struct{ Amount decimal.Decimal }{v.Usage, v.Fees, v.Losses, v.Credits, v.Charges, v.Corrections, v.Returned, v.Payments} {
		for _, item := range part {
			items = items.Add(item.Amount)
		}
	}
	for _, total := range v.Totals {
		totals = totals.Add(total)
	}
	if !items.Equal(v.Closing) || !totals.Equal(v.Closing) || len(v.Totals) != 8 {
		t.Errorf("items make %s, totals %s, closing is %s", items, totals, v.Closing)
	}
}

// TestStatementPage wants a page that has all the figures, loads nothing, runs nothing, and
// spells out what clients put into their words.
func TestStatementPage(t *testing.T) {
	r := newRig(t, Options{})
	page := r.get("/v1/accounts/acme/statements/7?format=html").body
	v := statementView(ptr(someStatement()))
	for _, s := range v.sections {
		for _, want := range []string{">" + s.Total + "<", template.HTMLEscapeString(statementTitle(s.Key))} {
			if !s.Empty() && !strings.Contains(page, want) {
				t.Errorf("the page lacks %q", want)
			}
		}
		for _, u := range s.Usage {
			if !strings.Contains(page, ">"+u.Amount+"<") || !strings.Contains(page, template.HTMLEscapeString(u.ComponentName())) {
				t.Errorf("the page lacks %+v", u)
			}
		}
		for _, i := range s.Items {
			if !strings.Contains(page, ">"+i.Amount+"<") || !strings.Contains(page, template.HTMLEscapeString(statementTitle(i.Reason))) {
				t.Errorf("the page lacks %+v", i)
			}
		}
	}
	for _, never := range []string{"<script", "http:", "https:", "//", "<b>", "src=", "@import", "url(", "<nil>", "0xc0"} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
	if strings.Contains(page, "operator&#39;s fee") || strings.Contains(page, "Fees") {
		t.Error("the page has a part that is empty")
	}
}

func ptr[T any](v T) *T { return &v }

func TestStatementTitles(t *testing.T) {
	f := func(word, want string) {
		t.Helper()
		if got := statementTitle(word); got != want {
			t.Errorf("%q: %q", word, got)
		}
	}
	f("", "")
	f("topup", "Top-ups")
	f("some_new_reason", "Some new reason")
}

func TestGuardedCells(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := guarded(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	f("", "")
	f("gpt-4o", "gpt-4o")
	f("=1+1", "'=1+1")
	f("+1", "'+1")
	f("-1", "'-1")
	f("@SUM(A1)", "'@SUM(A1)")
	f("\t=1", "'\t'=1")
	f("＝1", "'＝1")
	f("a=1", "a=1")
	f(" =1", " '=1")
	f("a;=1", "a;'=1")
	f("a,\"=1", "a,\"'=1")
	f("a\r\n=1", "a\r\n'=1")
	f("gpt-4, o-mini", "gpt-4, o-mini")
	f("a=b", "a=b")
}

// TestStatementStops has a client go away while its statement is derived: the work ends, and
// the next one has its turn. A client that is there, even one that has sent more, is waited for.
func TestStatementStops(t *testing.T) {
	r := newRig(t, Options{})
	begun, ended := make(chan struct{}, 1), make(chan error, 1)
	r.engine.derive = func(progress func() error) error {
		begun <- struct{}{}
		deadline := time.Now().Add(10 * time.Second)
		err := progress()
		for err == nil && time.Now().Before(deadline) {
			err = progress()
		}
		ended <- err
		return err
	}
	c := r.dial()
	c.send(requestText("GET", "/v1/accounts/a/statements/7", "", ""))
	<-begun
	select {
	case err := <-ended:
		t.Fatalf("it ended while the client waits: %v", err)
	default:
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Fatal("it went on without a client")
	}

	r.engine.derive = func(progress func() error) error {
		for range 1000 {
			if err := progress(); err != nil {
				return err
			}
		}
		return nil
	}
	c = r.dial()
	two := requestText("GET", "/v1/accounts/a/statements/7", "", "")
	c.send(two + two)
	for range 2 {
		if got := c.receive("GET"); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

// TestStatementsTakeTurns fills the places: one more is told to come back.
func TestStatementsTakeTurns(t *testing.T) {
	r := newRig(t, Options{})
	r.server.statements.wait = 0
	begun, free := make(chan struct{}), make(chan struct{})
	r.engine.derive = func(func() error) error {
		begun <- struct{}{}
		<-free
		return nil
	}
	var waiting []*conn
	for range statementsMax {
		c := r.dial()
		c.send(requestText("GET", "/v1/accounts/a/statements/7", "", ""))
		waiting = append(waiting, c)
		<-begun
	}
	r.get("/v1/accounts/a/statements/7").want(t, 429, "overloaded")
	close(free)
	for _, c := range waiting {
		if got := c.receive("GET"); got.status != 200 {
			t.Errorf("%d %s", got.status, got.body)
		}
	}
}

func TestStatementRefusals(t *testing.T) {
	r := newRig(t, Options{})
	f := func(no *refusal.Refusal, status int, code string) {
		t.Helper()
		r.engine.refused = no
		r.get("/v1/accounts/a/statements/7?format=csv").want(t, status, code)
	}
	f(refusal.New(refusal.NotFound, "no_line", "x"), 404, "not_found")
	f(refusal.New(refusal.SettlementConflict, "not_settled", "x"), 409, "settlement_conflict")
	f(refusal.New(refusal.Internal, "statement_disagrees", "x"), 500, "internal")
	f(refusal.New(refusal.Invalid, "statement_too_long", "x"), 422, "invalid")
	if !strings.Contains(r.logged.String(), "statement_disagrees") {
		t.Error("a statement that disagrees is not logged")
	}
	r.engine.refused = nil
	r.engine.derive = func(func() error) error { return errors.New("stop") }
	r.get("/v1/accounts/a/statements/7").want(t, 408, "timeout")
}
