package httpapi

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"farthing/engine"
	"farthing/money"
	"farthing/refusal"
)

var eur, _ = money.Lookup("EUR")

// TestResults books a result of every status.
func TestResults(t *testing.T) {
	r := newRig(t, Options{})
	path := "/v1/settlements/" + someBatch + "/lines/3/result"
	got := r.books("POST", path, `{"id":"r/1","status":"paid"}`, engine.LineResult{ID: "r/1", Batch: someBatch, Line: 3, Status: engine.ResultPaid})
	sameText(t, got, `{"id":"r/1","batch_id":"`+someBatch+`","line":3,"status":"paid","amount":"12.34","reference":"","sequence":21,"time":"2026-11-23T10:00:00Z"}`)
	part := amount("1.5")
	for status, want := range map[string]engine.ResultStatus{"partially_paid": engine.ResultPartiallyPaid, "failed": engine.ResultFailed, "returned": engine.ResultReturned} {
		r.books("POST", path, `{"id":"r","status":"`+status+`","amount":"1.5","reference":"wire 7, ü"}`,
			engine.LineResult{ID: "r", Batch: someBatch, Line: 3, Status: want, Amount: &part, Reference: "wire 7, ü"})
	}
	first := r.post(path, `{"id":"r","status":"paid","amount":null}`)
	first.want(t, 201, "")
	if !strings.Contains(first.body, `"state":{"batch_id":"`+someBatch+`","line":3,"account":"acme","currency":"USD","direction":"collect","amount":"12.34","open":"12.34"`) {
		t.Error(first.body)
	}
}

// TestResultBodiesAreStrict sends what is no result: the engine is not asked.
func TestResultBodiesAreStrict(t *testing.T) {
	r := newRig(t, Options{})
	path := "/v1/settlements/" + someBatch + "/lines/3/result"
	f := func(body, reason string) { t.Helper(); r.refuses("POST", path, body, reason) }
	f(`{"status":"paid"}`, "missing_field")
	f(`{"id":"r"}`, "missing_field")
	f(`{"id":"r","status":null}`, "missing_field")
	f(`{"id":"a b","status":"paid"}`, "invalid_id")
	f(`{"id":"r","status":"settled"}`, "invalid_status")
	f(`{"id":"r","status":"Paid"}`, "invalid_status")
	f(`{"id":"r","status":7}`, "wrong_type")
	f(`{"id":"r","status":"paid","amount":1}`, "wrong_type")
	f(`{"id":"r","status":"paid","amount":"0"}`, "invalid_amount")
	f(`{"id":"r","status":"paid","amount":"-1"}`, "invalid_amount")
	f(`{"id":"r","status":"paid","amount":"0.0000000000000000001"}`, "invalid_amount")
	f(`{"id":"r","status":"paid","amount":"1000000000000000000000"}`, "amount_overflow")
	f(`{"id":"r","status":"paid","reference":"`+strings.Repeat("x", 257)+`"}`, "invalid_text")
	f(`{"id":"r","status":"paid","reference":"a\nb"}`, "invalid_text")
	f(`{"id":"r","status":"paid","batch":"x"}`, "unknown_field")
	f(`{"id":"r","id":"s","status":"paid"}`, "duplicate_key")
	for _, line := range []string{"x", "-1", "4294967296", "1.0"} {
		r.refuses("POST", "/v1/settlements/"+someBatch+"/lines/"+line+"/result", `{"id":"r","status":"paid"}`, "invalid_line")
	}
	r.post(path, `{"id":"r"`).want(t, 400, "malformed")
	r.do("POST", path, "text/plain", `{"id":"r","status":"paid"}`).want(t, 415, "unsupported_type")
	for _, no := range []*refusal.Refusal{refusal.New(refusal.ResultConflict, "result_conflict", "x"), refusal.New(refusal.IDConflict, "id_conflict", "x")} {
		r.engine.refused = no
		r.post(path, `{"id":"r","status":"paid"}`).want(t, 409, string(no.Code))
	}
	r.engine.refused = refusal.New(refusal.NotFound, "unknown_line", "x")
	r.post(path, `{"id":"r","status":"paid"}`).want(t, 404, "not_found")
}

func TestLineAndItsState(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.lines = [][]byte{openLine()}
	got := r.get("/v1/settlements/" + someBatch + "/lines/3")
	got.want(t, 200, "")
	record := strings.TrimSuffix(string(openLine()), "}")
	sameText(t, got.body, record+`,"state":{"batch_id":"`+someBatch+`","line":3,"account":"acme","currency":"USD","direction":"collect","amount":"12.34","open":"12.34","paid":"0",`+
		`"failed":"0","returned":"0","status":"open"}}`)
	if want := []string{someBatch, "3", someBatch, "3"}; !slices.Equal(r.engine.asked, want) {
		t.Errorf("asked %v", r.engine.asked)
	}
	r.get("/v1/settlements/"+someBatch+"/lines/0x3").want(t, 422, "invalid")
	r.get("/v1/settlements/"+someBatch+"/lines/3?x=1").want(t, 422, "invalid")
	r.engine.refused = refusal.New(refusal.NotFound, "unknown_batch", "x")
	r.get("/v1/settlements/"+someBatch+"/lines/3").want(t, 404, "not_found")
}

func TestOpenLines(t *testing.T) {
	r := newRig(t, Options{})
	got := r.get("/v1/settlements/" + someBatch + "/lines?status=open&cursor=4&limit=7")
	got.want(t, 200, "")
	if !strings.HasPrefix(got.body, `{"items":[{"batch_id":"`+someBatch+`","line":3,`) || !strings.HasSuffix(got.body, `"next":"9"}`) {
		t.Error(got.body)
	}
	if want := []string{"open", someBatch, "4", "7"}; !slices.Equal(r.engine.asked, want) {
		t.Errorf("asked %v", r.engine.asked)
	}
	r.get("/v1/settlements/"+someBatch+"/lines?status=paid").want(t, 422, "invalid")
	r.get("/v1/settlements/"+someBatch+"/lines?status=").want(t, 422, "invalid")
}

// TestInTransit has pages of one, and totals that do not depend on the page.
func TestInTransit(t *testing.T) {
	r := newRig(t, Options{})
	r.server.now = func() time.Time { return someTime }
	got := r.get("/v1/in-transit?limit=1&cursor=1")
	got.want(t, 200, "")
	sum := func(age, batches, lines, pay, collect string) string {
		return `{"age":"` + age + `","batches":` + batches + `,"lines":` + lines + `,"pay":"` + pay + `","collect":"` + collect + `"}`
	}
	sameText(t, got.body, `{"items":[{"batch_id":"`+someBatch+`","window":2,"currency":"EUR","time":"2026-11-22T10:00:00Z","age_seconds":86400,"lines":1,"pay":"0","collect":"7"}],"next":"2","totals":[`+
		`{"currency":"EUR","batches":1,"lines":1,"pay":"0","collect":"7","ages":[`+sum("1d", "1", "1", "0", "7")+`,`+sum("3d", "0", "0", "0", "0")+`,`+sum("7d", "0", "0", "0", "0")+`,`+sum("older", "0", "0", "0", "0")+`]},`+
		`{"currency":"USD","batches":2,"lines":5,"pay":"1.75","collect":"2","ages":[`+sum("1d", "1", "2", "0.25", "0")+`,`+sum("3d", "0", "0", "0", "0")+`,`+sum("7d", "0", "0", "0", "0")+`,`+sum("older", "1", "3", "1.5", "2")+`]}]}`)
	if ahead := r.get("/v1/in-transit?cursor=2"); !strings.Contains(ahead.body, `"age_seconds":0`) {
		t.Error(ahead.body)
	}
	r.get("/v1/in-transit?limit=0").want(t, 422, "invalid")
}

func TestAgeGroups(t *testing.T) {
	f := func(d time.Duration, want string) {
		t.Helper()
		if got := inTransitAges[ageGroup(d)].name; got != want {
			t.Errorf("%s: %s", d, got)
		}
	}
	f(0, "1d")
	f(24*time.Hour, "1d")
	f(24*time.Hour+1, "3d")
	f(72*time.Hour, "3d")
	f(72*time.Hour+1, "7d")
	f(168*time.Hour, "7d")
	f(168*time.Hour+1, "older")
	f(1<<63-1, "older")
}

func TestResultFeed(t *testing.T) {
	newRig(t, Options{}).get("/v1/settlement-results").want(t, 404, "not_found")
	feed := ResultFeed{Topic: "farthing.settlement-results", State: "reading", Partitions: []ResultPartition{{0, 12}}, Applied: 9, Repeated: 2, Refused: 1}
	r := newRig(t, Options{Results: func() ResultFeed { return feed }})
	got := r.get("/v1/settlement-results")
	got.want(t, 200, "")
	sameText(t, got.body, `{"topic":"farthing.settlement-results","partitions":[{"partition":0,"next_offset":12}],"state":"reading","applied":9,"repeated":2,"refused":1,"last_error":null,"last_error_at":null,"recent":[]}`)
	feed.LastError, feed.LastAt = "no broker", someTime
	feed.Recent = []RefusedResult{{Offset: 7, Time: someTime, ID: "r", Batch: someBatch, Line: 3, Code: "result_conflict", Reason: "result_conflict", Detail: "x"}}
	got = r.get("/v1/settlement-results")
	got.want(t, 200, "")
	if !strings.Contains(got.body, `"last_error":"no broker"`) || !strings.Contains(got.body, `"recent":[{"partition":0,"offset":7,"time":"2026-11-23T10:00:00Z","id":"r"`) {
		t.Error(got.body)
	}
	r.get("/v1/settlement-results?x=1").want(t, 422, "invalid")
}

// TestResultRoutesNeedScopes has who may do what.
func TestResultRoutesNeedScopes(t *testing.T) {
	want := map[string]Scopes{}
	for _, rt := range append(resultRoutes(), statementRoutes()...) {
		want[rt.method] |= rt.scope
	}
	if !reflect.DeepEqual(want, map[string]Scopes{"GET": ScopeRead, "POST": ScopeAdmin}) {
		t.Error(want)
	}
}
