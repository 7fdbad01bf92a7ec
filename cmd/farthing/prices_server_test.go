package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"farthing/bench/client"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/shopspring/decimal"
)

// call runs a command against the server.
func (s *serving) call(stdin string, args ...string) (code int, stdout, stderr string) {
	s.t.Helper()
	ctx, out, errs := testContext()
	limited, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	ctx.Ctx, ctx.Stdin = limited, strings.NewReader(stdin)
	code = run(append(args, "--server="+s.url), ctx)
	return code, out.String(), errs.String()
}

// repricedLedger serves a ledger with a price version v1, and 30 events of two customers and
// two models rated with it: alice's cost 0.10, bob's 0.20. One more has no price.
func repricedLedger(t *testing.T) *serving {
	t.Helper()
	s := serveOn(t, "--data="+t.TempDir())
	c := client.New(client.At(s.url), client.Options{})
	t.Cleanup(c.Close)
	for _, name := range []string{"alice", "bob"} {
		must(0, c.Open(t.Context(), client.Account{ID: name, Currency: "USD", Kind: "customer", Billing: "postpaid"}))(t)
	}
	if code, out, errs := s.call(`{"effective_from":"2020-01-01T00:00:00Z","prices":[{"meter":"llm.tokens","currency":"USD","match":{"model":"small"},"components":{"input":"0.01"}},`+
		`{"meter":"llm.tokens","currency":"USD","match":{"model":"large"},"components":{"input":"0.02"}}]}`, "prices", "put", "v1", "-"); code != exitOK ||
		out != "version v1 is put: 2 prices, effective from 2020-01-01T00:00:00Z\n" {
		t.Fatal(code, out, errs)
	}
	var events []client.Event
	for i := range 31 {
		e := client.Event{ID: fmt.Sprint(i), Source: "gw", Type: "llm.tokens", Subject: "alice", Time: time.Date(2026, 11, 2, 0, i, 0, 0, time.UTC), Model: "small", Usage: map[string]uint64{"input": 10}}
		switch {
		case i == 30:
			e.Model = "unheard-of"
		case i >= 20:
			e.Subject, e.Model = "bob", "large"
		}
		events = append(events, e)
	}
	if got := must(c.Post(t.Context(), events))(t); got.Accepted != 31 || got.Unpriced != 1 {
		t.Fatal(got)
	}
	return s
}

const fixedPrices = `{"effective_from":"2026-11-01T00:00:00Z","prices":[{"meter":"llm.tokens","currency":"USD","match":{"model":"small"},"components":{"input":"0.0075"}},` +
	`{"meter":"llm.tokens","currency":"USD","match":{"model":"large"},"components":{"input":"0.03"}}]}`

func TestSimulateAndRerate(t *testing.T) {
	s := repricedLedger(t)
	f := func(want int, stdin string, args []string, mentions ...string) {
		t.Helper()
		code, out, errs := s.call(stdin, args...)
		if code != want {
			t.Errorf("%q: exit code %d, want %d: %s%s", args, code, want, out, errs)
		}
		spaces := regexp.MustCompile(`[ |+-]*\|[ ]*`).ReplaceAllString(out+errs, "|")
		for _, mention := range mentions {
			if !strings.Contains(spaces, mention) {
				t.Errorf("%q: no %q in:\n%s", args, mention, spaces)
			}
		}
	}
	put := []string{"prices", "put", "v2", "-"}
	f(exitOK, fixedPrices, put, "version v2 is put: 2 prices, effective from 2026-11-01T00:00:00Z")
	f(exitOK, fixedPrices, put, "version v2 is there already")
	f(exitFailure, `{}`, put, "effective_from must be", "prices is empty", "was refused: ")
	f(exitFailure, `{`, put, "malformed")

	difference := []string{"customer|model|component|events|was|would be|difference USD", "bob|large|input|10|2.0|3.0|+1.0", "alice|small|input|20|2.0|1.5|-0.5", "sum|4.0|4.5|+0.5"}
	simulate := []string{"prices", "simulate", "--version=v2"}
	f(exitOK, "", simulate, append(difference, "on 30 events, the first event to the last", "no price in this version, and are in no sum: 1")...)
	f(exitOK, "", append(simulate, "--from=2026-11-02T00:20:00Z", "--to=2026-11-03"), "on 10 events", "sum|2|3|+1")
	f(exitOK, "", append(simulate, "--to=2026-11-02"), "on 0 events")
	f(exitFailure, "", append(simulate, "--to=yesterday"), "422", "RFC 3339")
	f(exitFailure, "", []string{"prices", "simulate", "--version=v3"}, "there is no price version v3")
	_, out, _ := s.call("", append(simulate, "--json")...)
	var r client.Repricing
	if err := json.Unmarshal([]byte(out), &r); err != nil || r.Events != 30 || len(r.Rows) != 2 || r.Totals[0].Difference.String() != "0.5" {
		t.Error(out, err)
	}

	rerate := []string{"prices", "rerate", "--version=v2", "--from=2026-11-02"}
	f(exitFailure, "y\n", rerate, append(difference, "not confirmed: nothing was posted")...) // nobody is there to answer
	c := client.New(client.At(s.url), client.Options{})
	defer c.Close()
	owes := func(account, want string) {
		t.Helper()
		if b := must(c.Balance(t.Context(), account))(t); b.Posted.String() != want {
			t.Errorf("%s has %s, want %s", account, b.Posted, want)
		}
	}
	owes("alice", "-2")
	owes("bob", "-2")
	f(exitOK, "", append(rerate, "--confirm", "--id=fix-1"), append(difference, "rerate fix-1 is done: 30 events rated anew with version v2", "USD|4.0|4.5|+0.5")...)
	owes("alice", "-1.5")
	owes("bob", "-3")
	f(exitOK, "", append(rerate, "--id=fix-1"), "rerate fix-1 is done: 30 events")
	f(exitFailure, "", []string{"prices", "rerate", "--version=v1", "--id=fix-1", "--confirm"}, "409")
	f(exitOK, "", append(rerate, "--confirm"), "There is nothing to post")
	f(exitFailure, "", []string{"prices", "rerate", "--version=v3", "--confirm"}, "there is no price version v3")
	owes("alice", "-1.5")
	s.expectMetrics("\nfarthing_unpriced_events 1\n")
	s.stop()
}

// TestCorrectedEventOverHTTP takes an event through a rerate and a void, and reads it.
func TestCorrectedEventOverHTTP(t *testing.T) {
	s := repricedLedger(t)
	post := func(want int, path, body string) string {
		t.Helper()
		status, answer := send(t, http.MethodPost, s.url+path, "", body)
		if status != want {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		return answer
	}
	s.call(fixedPrices, "prices", "put", "v2", "-")
	if code, out, errs := s.call("", "prices", "rerate", "--version=v2", "--confirm", "--id=fix-1"); code != exitOK {
		t.Fatal(out, errs)
	}
	first := post(201, "/v1/events/gw/0/void", `{"id":"void-1","reason":"sent twice"}`)
	if again := post(200, "/v1/events/gw/0/void", `{"id":"void-2","reason":"another"}`); again != first || !strings.Contains(first, `"amount":"0.075"`) {
		t.Error(first, again)
	}
	post(409, "/v1/events/gw/1/void", `{"id":"void-1","reason":"sent twice"}`)
	post(404, "/v1/events/gw/99/void", `{"id":"void-3"}`)
	status, page := s.get("/v1/events/gw/0", "")
	for _, mention := range []string{`"state":"voided"`, `"amount":"0.1"`, `"kind":"rerate","id":"fix-1"`, `"amount":"-0.1"`, `"amount":"0.075"`, `"kind":"void","id":"void-1","reason":"sent twice"`, `"amount":"-0.075"`} {
		if status != 200 || !strings.Contains(page, mention) {
			t.Errorf("no %s in %s", mention, page)
		}
	}
	_, list := s.get("/v1/unpriced?by=model", "")
	if !strings.Contains(list, `"summary":{"events":1,"counts":[{"dimensions":{"model":"unheard-of"},"events":1}]`) {
		t.Error(list)
	}
	s.stop()
}

func TestRerateIsConfirmed(t *testing.T) {
	f := func(answer string, want bool) {
		t.Helper()
		var asked strings.Builder
		if got := confirmed(strings.NewReader(answer), &asked); got != want || asked.String() != "post this? [y/N] " {
			t.Errorf("%q: %v, %s", answer, got, &asked)
		}
	}
	f("y\n", true)
	f(" YES \n", true)
	f("y", true)
	f("", false)
	f("\n", false)
	f("n\n", false)
	f("yy\n", false)
	f("no\ny\n", false)
}

// TestServerAddress is the table of how a server may be named.
func TestServerAddress(t *testing.T) {
	f := func(flag, want string) {
		t.Helper()
		if got := (&serverFlags{Server: flag}).url(); got != want {
			t.Errorf("%s: %s, want %s", flag, got, want)
		}
	}
	f("http://127.0.0.1:8080", "http://127.0.0.1:8080")
	f("https://meter.example.org/", "https://meter.example.org")
	f("127.0.0.1:8080", "http://127.0.0.1:8080")
	f("localhost:8080/", "http://localhost:8080")
	f("[::1]:8080", "http://[::1]:8080")
	f("meter.example.org", "http://meter.example.org")
}

// TestServerWithoutScheme asks a server that is named as --listen names it.
func TestServerWithoutScheme(t *testing.T) {
	s := serveOn(t, "--data="+t.TempDir())
	s.url = strings.TrimPrefix(s.url, "http://")
	if code, out, errs := s.call(fixedPrices, "prices", "put", "v1", "-"); code != exitOK {
		t.Error(code, out, errs)
	}
	s.stop()
}

func TestWorkProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := func(terminal bool, want string) {
			t.Helper()
			ctx, _, stderr := testContext()
			ctx.StderrTerminal, ctx.Interactive = terminal, !terminal // the line goes to Stderr, whatever Stdout is
			p := newWorkProgress(ctx, "posting")
			for done := range uint64(11) {
				p.tell(done, 10)
				<-time.After(time.Second)
			}
			p.end()
			if got := stderr.String(); !strings.HasSuffix(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		f(false, "posting:  50 %\nposting: 100 %\n")
		f(true, "\rposting "+text.FgCyan.Sprint(strings.Repeat("█", 30))+" 100 %\r\x1b[K")
		p := newWorkProgress(&Context{Stderr: io.Discard, StderrTerminal: true}, "posting")
		p.tell(0, 0)
		p.tell(9, 5) // more than was announced
	})
}

// TestManyRows shows the largest differences, and sums that are whole all the same.
func TestManyRows(t *testing.T) {
	m := func(d decimal.Decimal) client.Money { return client.Money{Decimal: d} }
	var r client.Repricing
	total := client.RepricedTotal{Currency: "USD"}
	for i := range 60 {
		was, would := decimal.NewFromInt(int64(i)), decimal.New(int64(25*i), -1)
		if i%2 == 1 {
			would = decimal.New(int64(-5*i), -1)
		}
		r.Rows = append(r.Rows, client.RepricedRow{Currency: "USD", Account: fmt.Sprint("c", i), Model: "m", Component: "input", Events: 1, Was: m(was), Would: m(would), Difference: m(would.Sub(was))},
			client.RepricedRow{Currency: "JPY", Account: fmt.Sprint("j", i)})
		total.Was.Decimal, total.Would.Decimal = total.Was.Add(was), total.Would.Add(would)
		total.Difference.Decimal = total.Difference.Add(would.Sub(was))
	}
	r.Totals = []client.RepricedTotal{total}
	some, all := repricingTable(&r, &total, false, false), repricingTable(&r, &total, true, false)
	if n := strings.Count(some, "| m "); n != rowsShown {
		t.Errorf("%d rows are shown", n)
	}
	if n := strings.Count(all, "| m "); n != 60 || strings.Contains(all, "more rows") || strings.Contains(all, "j1") {
		t.Errorf("%d rows are shown with --all", n)
	}
	squeezed := strings.ReplaceAll(some, " ", "")
	for _, want := range []string{"|c59|m|input|1|59.0|-29.5|-88.5|\n|c58|", "|c10|m|input|1|10.0|25.0|+15.0|\n|(10morerows)||||45.0|", "|sum||||1770.0|"} {
		if !strings.Contains(squeezed, want) {
			t.Errorf("no %s in\n%s", want, some)
		}
	}
}
