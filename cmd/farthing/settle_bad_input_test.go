package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// badSettlement is a ledger with lines in every state.
type badSettlement struct {
	badCredit
	batch string         // of the first window
	lines map[string]int // by account
}

// TestSettleBadInput sends what no client should send about settlements to a real server. Each is
// refused with its code and reason and changes nothing that can be read; and no refusal uses up
// an id.
func TestSettleBadInput(t *testing.T) {
	b := &badSettlement{badCredit: badCredit{serving: serveOn(t, "--data="+t.TempDir(), "--settle-every=0s"), t: t}}
	defer b.stop()
	b.furnish()
	b.closes()
	b.unknown()
	b.amounts()
	b.states()
	b.forms()
	b.statements()
	b.idsAreFree()
}

// refuses compares beside the rest what GET shows of the settlements.
func (b *badSettlement) refuses(method, path, body string, status int, code, reason string) {
	b.t.Helper()
	before := b.settled()
	got, text := send(b.t, method, b.url+path, "", body)
	var problem struct{ Code, Reason string }
	if err := json.Unmarshal([]byte(text), &problem); err != nil || got != status || problem.Code != code || problem.Reason != reason {
		b.t.Errorf("%s %s %s: %d %s, want %d %s %s", method, path, body, got, text, status, code, reason)
	}
	if after := b.settled(); after != before {
		b.t.Errorf("%s %s %s changed\n%s\nto\n%s", method, path, body, before, after)
	}
}

// settled is what GET shows of settlements, accounts and books, sequences included.
func (b *badSettlement) settled() string {
	b.t.Helper()
	paths := []string{"/v1/settlements", "/v1/settlements/" + b.batch + "/lines", "/v1/settlements/" + b.batch + "/lines?status=open", "/v1/trial-balance", "/v1/accounts?limit=1000"}
	for account, line := range b.lines {
		paths = append(paths, fmt.Sprintf("/v1/settlements/%s/lines/%d", b.batch, line), "/v1/accounts/"+account+"/transfers")
	}
	out := map[string]string{}
	for _, path := range paths {
		status, text := b.get(path, "")
		if status != 200 {
			b.t.Fatalf("GET %s: %d %s", path, status, text)
		}
		out[path] = text
	}
	text, err := json.Marshal(out) // sorted
	if err != nil {
		b.t.Fatal(err)
	}
	return string(text)
}

func (b *badSettlement) furnish() {
	b.t.Helper()
	for _, id := range []string{"open", "part", "paid", "failed", "returned", "small"} {
		b.books("POST", "/v1/accounts", fmt.Sprintf(`{"id":%q,"kind":"customer","currency":"USD","billing":"postpaid"}`, id))
	}
	b.books("POST", "/v1/accounts", `{"id":"child","kind":"customer","currency":"USD","parent":"open"}`)
	b.books("PUT", "/v1/prices/v", `{"effective_from":"2026-01-01T00:00:00Z","prices":[{"meter":"calls","currency":"USD","components":{"call":"2.5"}},{"meter":"bits","currency":"USD","components":{"call":"0.001"}}]}`)
	for _, id := range []string{"open", "part", "paid", "failed", "returned"} {
		b.books("POST", "/v1/events", usageOf("e-"+id, id))
	}
	b.books("POST", "/v1/events", `{"id":"e-small","source":"g","type":"bits","subject":"small"}`)
	b.books("POST", "/v1/settlements", `{"id":"close-1","window":1}`)
	b.batch, b.lines = batchAndLines(b.t, b.serving)
	b.result("part", `{"id":"r-part","status":"partially_paid","amount":"1"}`)
	b.result("paid", `{"id":"r-paid","status":"paid"}`)
	b.result("failed", `{"id":"r-failed","status":"failed"}`)
	b.result("returned", `{"id":"r-returned-1","status":"paid"}`)
	b.result("returned", `{"id":"r-returned-2","status":"returned"}`)
	b.books("POST", "/v1/events", usageOf("e-2", "open"))
}

// batchAndLines finds the only batch and the lines of its accounts.
func batchAndLines(t *testing.T, s *serving) (id string, numbers map[string]int) {
	t.Helper()
	var batches struct {
		Items []struct {
			ID string `json:"batch_id"`
		}
	}
	_, text := s.get("/v1/settlements", "")
	if err := json.Unmarshal([]byte(text), &batches); err != nil || len(batches.Items) != 1 {
		t.Fatalf("%v %s", err, text)
	}
	var lines struct {
		Items []struct {
			Line    int
			Account string
		}
	}
	_, text = s.get("/v1/settlements/"+batches.Items[0].ID+"/lines", "")
	if err := json.Unmarshal([]byte(text), &lines); err != nil {
		t.Fatal(err)
	}
	numbers = map[string]int{}
	for _, l := range lines.Items {
		numbers[l.Account] = l.Line
	}
	return batches.Items[0].ID, numbers
}

func (b *badSettlement) path(account string) string {
	return fmt.Sprintf("/v1/settlements/%s/lines/%d/result", b.batch, b.lines[account])
}

func (b *badSettlement) result(account, body string) {
	b.t.Helper()
	b.books("POST", b.path(account), body)
}

// no sends a result that must be refused, always with the same fresh id.
func (b *badSettlement) no(account, more string, status int, code, reason string) {
	b.t.Helper()
	b.refuses("POST", b.path(account), `{"id":"fresh",`+more+`}`, status, code, reason)
}

func (b *badSettlement) closes() {
	b.refuses("POST", "/v1/settlements", `{"id":"close-1","window":2}`, 409, "id_conflict", "id_conflict")
	b.refuses("POST", "/v1/settlements", `{"id":"close-1"}`, 409, "id_conflict", "id_conflict")
	b.refuses("POST", "/v1/settlements", `{"id":"fresh-close","window":1}`, 409, "window_conflict", "window_conflict")
	b.refuses("POST", "/v1/settlements", `{"id":"fresh-close","window":3}`, 409, "window_conflict", "window_conflict")
	b.refuses("POST", "/v1/settlements", `{"id":"fresh-close","window":-1}`, 422, "invalid", "wrong_type")
	b.refuses("POST", "/v1/settlements", `{"id":"a b"}`, 422, "invalid", "invalid_id")
	b.refuses("POST", "/v1/settlements", `{"id":"fresh-close","at":"now"}`, 422, "invalid", "unknown_field")
}

func (b *badSettlement) unknown() {
	paid := `{"id":"fresh","status":"paid"}`
	for _, batch := range []string{"x", strings.Repeat("0", 64), strings.ToUpper(b.batch), b.batch + "0"} {
		b.refuses("POST", "/v1/settlements/"+batch+"/lines/1/result", paid, 404, "not_found", "unknown_batch")
		b.refuses("GET", "/v1/settlements/"+batch+"/lines/1", "", 404, "not_found", "unknown_batch")
		b.refuses("GET", "/v1/settlements/"+batch+"/lines?status=open", "", 404, "not_found", "unknown_batch")
	}
	for _, line := range []string{"0", fmt.Sprint(len(b.lines) + 1), "4294967295"} {
		b.refuses("POST", "/v1/settlements/"+b.batch+"/lines/"+line+"/result", paid, 404, "not_found", "unknown_line")
		b.refuses("GET", "/v1/settlements/"+b.batch+"/lines/"+line, "", 404, "not_found", "unknown_line")
	}
	b.refuses("GET", "/v1/settlements/"+b.batch+"/lines?status=paid", "", 422, "invalid", "invalid_status")
	b.refuses("GET", "/v1/settlement-results", "", 404, "not_found", "no_results_topic")
}

func (b *badSettlement) amounts() {
	for _, status := range []string{"paid", "partially_paid", "failed"} {
		b.no("open", `"status":"`+status+`","amount":"2.51"`, 422, "invalid", "invalid_amount")
		b.no("open", `"status":"`+status+`","amount":"0.001"`, 422, "invalid", "invalid_amount")
		b.no("open", `"status":"`+status+`","amount":"-1"`, 422, "invalid", "invalid_amount")
		b.no("open", `"status":"`+status+`","amount":"0"`, 422, "invalid", "invalid_amount")
	}
	b.no("open", `"status":"paid","amount":"1"`, 422, "invalid", "invalid_amount")
	b.no("open", `"status":"failed","amount":"1"`, 422, "invalid", "invalid_amount")
	b.no("part", `"status":"partially_paid","amount":"1.51"`, 422, "invalid", "invalid_amount")
	b.no("part", `"status":"returned","amount":"1.01"`, 422, "invalid", "invalid_amount")
	b.no("paid", `"status":"returned","amount":"2.51"`, 422, "invalid", "invalid_amount")
	b.no("paid", `"status":"returned","amount":"0.0000000000000000001"`, 422, "invalid", "invalid_amount")
}

func (b *badSettlement) states() {
	conflict := func(account string, statuses ...string) {
		b.t.Helper()
		for _, status := range statuses {
			b.no(account, `"status":"`+status+`"`, 409, "result_conflict", "result_conflict")
		}
	}
	conflict("open", "returned")
	conflict("paid", "paid", "partially_paid", "failed")
	conflict("failed", "paid", "partially_paid", "failed", "returned")
	conflict("returned", "paid", "partially_paid", "failed", "returned")
	conflict("operator", "paid", "partially_paid", "failed", "returned")
	conflict("small", "paid", "returned")
}

func (b *badSettlement) forms() {
	b.no("open", `"status":"settled"`, 422, "invalid", "invalid_status")
	b.no("open", `"amount":"1"`, 422, "invalid", "missing_field")
	b.no("open", `"status":"paid","paid":true`, 422, "invalid", "unknown_field")
	b.no("open", `"status":"paid","amount":2.5`, 422, "invalid", "wrong_type")
	b.no("open", `"status":"paid","reference":"`+strings.Repeat("x", 257)+`"`, 422, "invalid", "invalid_text")
	// An id that was used: for another line, status, amount, reference.
	b.refuses("POST", b.path("open"), `{"id":"r-paid","status":"paid"}`, 409, "id_conflict", "id_conflict")
	b.refuses("POST", b.path("paid"), `{"id":"r-paid","status":"returned"}`, 409, "id_conflict", "id_conflict")
	b.refuses("POST", b.path("paid"), `{"id":"r-paid","status":"paid","amount":"2.5"}`, 409, "id_conflict", "id_conflict")
	b.refuses("POST", b.path("paid"), `{"id":"r-paid","status":"paid","reference":"x"}`, 409, "id_conflict", "id_conflict")
}

func (b *badSettlement) statements() {
	get := func(path string, status int, code, reason string) {
		b.t.Helper()
		b.refuses("GET", "/v1/accounts/"+path, "", status, code, reason)
	}
	get("child/statements/1", 422, "invalid", "not_a_root")
	get("child/statements", 422, "invalid", "not_a_root")
	get("nobody/statements/1", 404, "not_found", "unknown_account")
	get("open/statements/0", 404, "not_found", "unknown_window")
	get("open/statements/2", 409, "settlement_conflict", "not_settled")
	get("open/statements/3", 404, "not_found", "unknown_window")
	get("open/statements/x", 422, "invalid", "invalid_window")
	get("open/statements/1?format=pdf", 422, "invalid", "invalid_format")
	get("open/statements/1?currency=EUR", 404, "not_found", "no_line")
}

// idsAreFree uses the ids of the refusals, and repeats what was booked.
func (b *badSettlement) idsAreFree() {
	b.result("open", `{"id":"fresh","status":"paid","amount":"2.5"}`)
	if status, text := send(b.t, "POST", b.url+b.path("open"), "", `{"id":"fresh","status":"paid","amount":"2.5"}`); status != 200 {
		b.t.Errorf("repeated: %d %s", status, text)
	}
	if status, text := send(b.t, "POST", b.url+"/v1/settlements", "", `{"id":"fresh-close","window":2}`); status != 201 {
		b.t.Errorf("the id of a refused close: %d %s", status, text)
	}
	for _, want := range []string{`farthing_in_transit_lines{currency="USD"} `, `farthing_in_transit_oldest_seconds{currency="USD",direction="collect"} `} {
		if _, text := b.get("/metrics", ""); !strings.Contains(text, want) {
			t := strings.Index(text, "farthing_in_transit")
			b.t.Errorf("the metrics lack %q: %s", want, text[max(0, t):min(len(text), max(0, t)+400)])
		}
	}
	status, text := b.get("/v1/accounts/failed/statements/2?format=csv", "")
	if status != 200 || !strings.Contains(text, "returned,failed,,,,1,,-2.5\n") || !strings.Contains(text, "payments,collection,,,,1,,2.5\n") {
		b.t.Errorf("%d %s", status, text)
	}
}
