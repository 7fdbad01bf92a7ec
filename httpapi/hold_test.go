package httpapi

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// results lets the engine answer with these.
func (r *rig) results(results ...engine.HoldResult) {
	r.engine.bookHolds = func(*engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal) {
		for i := range results {
			results[i].Index = uint32(i)
		}
		return results, 42, nil
	}
}

func shortOf(limit string) *refusal.Refusal {
	no := refusal.New(refusal.InsufficientFunds, "insufficient_funds", "it does not fit")
	no.Shortfall = &refusal.Shortfall{Account: "team", Limit: limit, Asked: "0.5", Left: "0.25"}
	return no
}

func refusedBy(no *refusal.Refusal) engine.HoldResult {
	return engine.HoldResult{Outcome: engine.HoldRefused, State: engine.HoldDenied, Refusal: no}
}

func (a reply) wantBody(t *testing.T, status int, body string) {
	t.Helper()
	if a.status != status || a.body != body {
		t.Errorf("%d, want %d\n got %s\nwant %s", a.status, status, a.body, body)
	}
}

func TestHoldAnswers(t *testing.T) {
	r := newRig(t, Options{})
	hold := holdOf(`"0.5"`)
	r.post("/v1/holds", hold).wantBody(t, 201,
		`{"id":"h1","account":"acme","state":"held","amount":"0.5","available":"99.25","expires":"2026-11-23T10:01:00Z","sequence":41}`)
	r.post("/v1/holds/h%2F1/extend", `{"id":"x1","amount":"1"}`).wantBody(t, 201,
		`{"id":"h/1","extension":"x1","state":"held","amount":"0.5","available":"99.25","expires":"2026-11-23T10:01:00Z","sequence":41}`)
	r.post("/v1/holds/h1/capture", `{"event":`+with()+`}`).wantBody(t, 201,
		`{"hold":"h1","state":"captured","charged":"0.5","released":"99.25","lost":"0","unpriced":false,"sequence":41}`)
	r.post("/v1/captures", `{"hold":"h1","amount":"0.5"}`).wantBody(t, 201,
		`{"hold":"h1","state":"captured","charged":"0.5","released":"99.25","lost":"0","unpriced":false,"sequence":41}`)
	r.post("/v1/holds/h1/void", `{}`).wantBody(t, 201, `{"hold":"h1","state":"voided","released":"0.5","sequence":41}`)
	r.do("POST", "/v1/holds/h1/void", "application/json", "", "Origin: null").wantBody(t, 201, `{"hold":"h1","state":"voided","released":"0.5","sequence":41}`)

	r.results(engine.HoldResult{Outcome: engine.HoldDone, State: engine.Held, Amount: half, Expires: someTime, Sequence: 5})
	r.post("/v1/holds", hold).wantBody(t, 201,
		`{"id":"h1","account":"acme","state":"held","amount":"0.5","available":null,"expires":"2026-11-23T10:00:00Z","sequence":5}`)
	r.results(engine.HoldResult{Outcome: engine.HoldDuplicate, State: engine.HoldCaptured, Amount: half, Sequence: 5})
	r.post("/v1/holds", hold).wantBody(t, 200,
		`{"id":"h1","account":"acme","state":"captured","amount":"0.5","sequence":5}`)
	r.results(engine.HoldResult{Outcome: engine.HoldDuplicate, State: engine.HoldCaptured, Lost: half, Unpriced: true, Sequence: 5})
	r.post("/v1/captures", `{"hold":"h1","amount":"0.5"}`).wantBody(t, 200,
		`{"hold":"h1","state":"captured","charged":"0","released":"0","lost":"0.5","unpriced":true,"sequence":5}`)
	r.results(engine.HoldResult{Outcome: engine.HoldDuplicate, State: engine.HoldVoided, Released: half, Sequence: 5})
	r.post("/v1/holds/h1/void", `{"id":"v","reason":"why"}`).wantBody(t, 200, `{"hold":"h1","state":"voided","released":"0.5","sequence":5}`)
}

// TestOperationsReachTheEngine compares what the engine gets with what was sent.
func TestOperationsReachTheEngine(t *testing.T) {
	r := newRig(t, Options{})
	var got []string
	r.engine.bookHolds = func(q *engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal) {
		var results []engine.HoldResult
		for i := range q.Holds().Ops {
			op := &q.Holds().Ops[i]
			got = append(got, operationText(q.Holds(), q.Batch(), op))
			results = append(results, heldResult(op))
		}
		return results, 1, nil
	}
	f := func(target, contentType, body string, want ...string) {
		t.Helper()
		got = nil
		if a := r.do("POST", target, contentType, body); a.status > 201 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s\n got %s\nwant %s", body, got, want)
		}
	}
	const kind, lines = "application/json", "application/x-ndjson; charset=utf-8"
	f("/v1/holds", lines, holdOf(`"1"`)+"\n\n"+holdFor(`"2s"`),
		`1 0 hold=h1 id= account=acme currency= amount=1 ttl=0s`, `1 1 hold=h1 id= account=acme currency= amount=1 ttl=2s`)
	f("/v1/captures", kind, "["+captureOf(with())+","+`{"hold":"h2","amount":"2"}`+"]",
		`3 0 hold=h1 id= account= currency= amount= ttl=0s 0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=3 "model":"m"`,
		`3 1 hold=h2 id= account= currency= amount=2 ttl=0s`)
	f("/v1/holds/https%3A%2F%2Fx/extend", kind, `{"id":"x1","ttl":"5s"}`, `2 0 hold=https://x id=x1 account= currency= amount= ttl=5s`)
	f("/v1/holds/h1/capture", kind, `{"amount":"2"}`, `3 0 hold=h1 id= account= currency= amount=2 ttl=0s`)
	f("/v1/holds/h1/void", "", ``, `4 0 hold=h1 id= account= currency= amount= ttl=0s`)
	f("/v1/holds/h1/void", kind, " \n", `4 0 hold=h1 id= account= currency= amount= ttl=0s`)
	f("/v1/holds/h1/void", kind, `{"reason":"r"}`, `4 0 hold=h1 id= account= currency= amount= ttl=0s`)
}

// TestVoidWithoutABody has the ways in which clients send none.
func TestVoidWithoutABody(t *testing.T) {
	r := newRig(t, Options{})
	f := func(headers, body string) {
		t.Helper()
		c := r.dial()
		c.send("POST /v1/holds/h1/void HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n" + body)
		got := c.receive("POST")
		got.wantBody(t, 201, `{"hold":"h1","state":"voided","released":"0.5","sequence":41}`)
	}
	f("", "")
	f("Content-Length: 0\r\n", "")
	f("Content-Length: 0\r\nContent-Type: text/plain\r\n", "")
	f("Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")
}

func TestHoldLists(t *testing.T) {
	r := newRig(t, Options{})
	hold := holdOf(`"0.5"`)
	conflict := refusal.New(refusal.IDConflict, "content", "other content")
	frozen := refusal.New(refusal.Forbidden, "account_frozen", "team is frozen")
	f := func(target, body, want string, results ...engine.HoldResult) {
		t.Helper()
		r.results(results...)
		r.post(target, body).wantBody(t, 200, want)
	}
	done := engine.HoldResult{Outcome: engine.HoldDone, State: engine.Held, Amount: half}
	again := engine.HoldResult{Outcome: engine.HoldDuplicate, State: engine.Held, Amount: half}
	f("/v1/holds", "[]", `{"held":0,"duplicates":0,"refused":[],"rejected":[],"sequence":42}`)
	f("/v1/holds", "["+hold+"]", `{"held":1,"duplicates":0,"refused":[],"rejected":[],"sequence":42}`, done)
	f("/v1/holds", "["+strings.Repeat(hold+",", 5)+hold+"]",
		`{"held":2,"duplicates":1,"refused":[`+
			`{"index":1,"id":"h1","code":"insufficient_funds","reason":"insufficient_funds","detail":"it does not fit","account":"team","limit":"daily","asked":"0.5","left":"0.25"},`+
			`{"index":4,"id":"h1","code":"insufficient_funds","reason":"insufficient_funds","detail":"it does not fit","account":"team","limit":"credit","asked":"0.5","left":"0.25"}],"rejected":[`+
			`{"index":3,"id":"h1","code":"forbidden","reason":"account_frozen","detail":"team is frozen"}],"sequence":42}`,
		done, refusedBy(shortOf("daily")), again, refusedBy(frozen), refusedBy(shortOf("credit")), done)

	f("/v1/captures", "[]", `{"captured":0,"duplicates":0,"unpriced":0,"rejected":[],"sequence":42}`)
	capture := `{"hold":"h1","amount":"0.5"}`
	unpriced := engine.HoldResult{Outcome: engine.HoldDone, State: engine.HoldCaptured, Unpriced: true}
	f("/v1/captures", "["+strings.Repeat(capture+",", 3)+capture+"]",
		`{"captured":2,"duplicates":1,"unpriced":1,"rejected":[{"index":3,"id":"h1","code":"id_conflict","reason":"content","detail":"other content"}],"sequence":42}`,
		unpriced, again, done, refusedBy(conflict))
}

// TestRejectedAreInTheOrderOfTheRequest mixes what decoding refused with what the engine did.
func TestRejectedAreInTheOrderOfTheRequest(t *testing.T) {
	r := newRig(t, Options{})
	conflict := refusal.New(refusal.IDConflict, "content", "other")
	r.engine.bookHolds = func(q *engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal) {
		var results []engine.HoldResult
		for i := range q.Holds().Ops {
			op := &q.Holds().Ops[i]
			result := heldResult(op)
			if op.Index != 3 {
				result = engine.HoldResult{Outcome: engine.HoldRefused, Index: op.Index, Refusal: conflict}
			}
			results = append(results, result)
		}
		return results, 42, nil
	}
	const good, bad = `{"hold":"h1","amount":"0.5"}`, `{"hold":"h 2","amount":"0.5"}`
	got := r.post("/v1/captures", "["+strings.Join([]string{bad, good, bad, good, good, bad, good}, ",")+"]")
	var indexes []string
	for _, part := range strings.Split(got.body, `"index":`)[1:] {
		indexes = append(indexes, part[:strings.IndexByte(part, ',')])
	}
	if s := strings.Join(indexes, " "); got.status != 200 || s != "0 1 2 4 5 6" || !strings.Contains(got.body, `"captured":1,`) {
		t.Errorf("%s: %s", s, got.body)
	}
}

func TestListsOfRefusedOperationsAreBounded(t *testing.T) {
	r := newRig(t, Options{})
	const n = rejectedMax + 7
	r.engine.bookHolds = func(q *engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal) {
		results := make([]engine.HoldResult, len(q.Holds().Ops))
		for i := range results {
			results[i] = refusedBy(shortOf("credit"))
			results[i].Index = q.Holds().Ops[i].Index
		}
		return results, 42, nil
	}
	bad := jsonObject("id", `"h1"`, "account", `"a b"`, "amount", `"1"`)
	body := "[" + strings.Repeat(holdOf(`"1"`)+","+bad+",", n-1) + holdOf(`"1"`) + "," + bad + "]"
	got := r.post("/v1/holds", body)
	got.want(t, 200, "")
	for part, times := range map[string]int{`"refused_more":7,`: 1, `"rejected_more":7,`: 1, `"code":"insufficient_funds"`: rejectedMax, `"code":"invalid"`: rejectedMax,
		fmt.Sprintf(`"index":%d,`, 2*rejectedMax-1): 1, fmt.Sprintf(`"index":%d,`, 2*rejectedMax): 0} {
		if c := strings.Count(got.body, part); c != times {
			t.Errorf("%s is there %d times, want %d", part, c, times)
		}
	}
}

func TestTheOnlyOperationsRefusalIsTheAnswer(t *testing.T) {
	r := newRig(t, Options{})
	f := func(target, contentType, body string, status int, code, reason string) reply {
		t.Helper()
		got := r.do("POST", target, contentType, body)
		got.want(t, status, code)
		if _, is := got.problem(t); is != reason {
			t.Errorf("%s: reason %s, want %s", body, is, reason)
		}
		return got
	}
	const kind, lines = "application/json", "application/x-ndjson"
	hold := holdOf(`"0.5"`)
	r.engine.bookHolds = func(*engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal) {
		panic("BUG: the engine was asked for nothing")
	}
	f("/v1/holds", kind, holdOf(`"0"`), 422, "invalid", "invalid_amount")
	f("/v1/holds", kind, "["+holdOf(`"0"`)+"]", 422, "invalid", "invalid_amount")
	f("/v1/holds", lines, "{", 400, "malformed", "syntax")
	f("/v1/captures", kind, captureOf(usageEvent("-1")), 422, "invalid", "negative_quantity")
	f("/v1/holds/h1/extend", kind, `{}`, 422, "invalid", "missing_field")
	f("/v1/holds/h1/capture", kind, `{}`, 422, "invalid", "amount_or_event")
	f("/v1/holds/h1/void", kind, `{"x":1}`, 422, "invalid", "unknown_field")

	r.results(refusedBy(shortOf("daily")))
	for _, body := range []string{hold, "[" + hold + "]"} {
		got := f("/v1/holds", kind, body, 402, "insufficient_funds", "insufficient_funds")
		if !strings.HasSuffix(got.body, `,"account":"team","limit":"daily","asked":"0.5","left":"0.25"}`) {
			t.Error(got.body)
		}
	}
	f("/v1/holds/h1/extend", kind, `{"id":"x1","amount":"1"}`, 402, "insufficient_funds", "insufficient_funds")
	for _, c := range []struct {
		code   refusal.Code
		status int
	}{{refusal.HoldConflict, 409}, {refusal.AccountConflict, 409}, {refusal.IDConflict, 409}, {refusal.NotFound, 404}, {refusal.Forbidden, 403}, {refusal.Invalid, 422}} {
		r.results(refusedBy(refusal.New(c.code, "why", "")))
		f("/v1/captures", kind, `{"hold":"h1","amount":"1"}`, c.status, string(c.code), "why")
		f("/v1/captures", lines, `{"hold":"h1","amount":"1"}`, c.status, string(c.code), "why")
		f("/v1/holds/h1/void", "", "", c.status, string(c.code), "why")
	}

	r.engine.bookHolds = func(*engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal) {
		return nil, 0, refusal.New(refusal.NotReady, "draining", "")
	}
	f("/v1/holds", kind, hold, 503, "not_ready", "draining")
}

// TestBadOperationRequests has the requests that are refused whole, and that none of them
// reaches the engine.
func TestBadOperationRequests(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.bookHolds = func(*engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal) {
		panic("BUG: the engine was asked")
	}
	f := func(target, contentType, body string, status int, code string, headers ...string) {
		t.Helper()
		r.do("POST", target, contentType, body, headers...).want(t, status, code)
	}
	const kind = "application/json"
	hold := holdOf(`"0.5"`)
	f("/v1/holds", kind, "", 400, "malformed")
	f("/v1/holds", kind, "["+hold+",{]", 400, "malformed")
	f("/v1/holds", kind, hold+hold, 400, "malformed")
	f("/v1/holds", kind, "\"\xff\"", 400, "malformed")
	f("/v1/holds", kind, "["+strings.Repeat(hold+",", meter.MaxBatchEvents)+hold+"]", 413, "too_large")
	f("/v1/holds", kind, "["+strings.Repeat("0,", 1000)+"0]", 400, "malformed")
	f("/v1/holds/h1/extend", kind, `[{"id":"x","amount":"1"}]`, 400, "malformed")
	f("/v1/holds/h1/void", kind, `[]`, 400, "malformed")
	f("/v1/holds?ttl=5m", kind, hold, 422, "invalid")
	f("/v1/events?x", kind, "{}", 422, "invalid")
	// A web page can send no content type but those of forms, or none, and names itself.
	f("/v1/holds/h1/void", "", "", 415, "unsupported_type", "Origin: null")
	f("/v1/holds/h1/void", "text/plain", "", 415, "unsupported_type", "Origin: https://example.com")
	for _, other := range []string{"", "text/plain", "application/cloudevents+json", "application/cloudevents-batch+json", "application/json; charset=latin1"} {
		f("/v1/holds", other, hold, 415, "unsupported_type")
		f("/v1/captures", other, captureOf(with()), 415, "unsupported_type")
		f("/v1/holds/h1/void", other, "{}", 415, "unsupported_type")
	}
	f("/v1/holds/h1/capture", "application/x-ndjson", `{"amount":"1"}`, 415, "unsupported_type")
	f("/v1/holds", kind, hold, 415, "unsupported_type", "Content-Encoding: br")
	f("/v1/holds/h%20/capture", kind, `{"amount":"1"}`, 422, "invalid")
	f("/v1/holds/h1/void", kind, `{"reason":"`+strings.Repeat("x", coldBodyMaxBytes)+`"}`, 413, "too_large")
	f("/v1/holds//void", kind, "", 404, "not_found")
}

// TestHoldsAreAdmittedLikeEvents: no room is told before the body, and what is taken for one
// is enough for as many operations as it can have.
func TestHoldsAreAdmittedLikeEvents(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.room = 0
	for _, target := range []string{"/v1/holds", "/v1/captures", "/v1/holds/h1/extend", "/v1/holds/h1/capture", "/v1/holds/h1/void"} {
		c := r.dial()
		c.send("POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n" + strings.Repeat(" ", 20_000))
		got := c.receive("POST") // the rest of the body never comes
		got.want(t, 429, "overloaded")
		if got.header.Get("Retry-After") != "1" {
			t.Error(got.header)
		}
		r.checkContract("POST", target, got)
	}
	r.engine.room = -1
	hold, capture := holdOf(`"0.5"`), `{"hold":"h","amount":"1"}`
	f := func(target, body string, want int) {
		t.Helper()
		r.engine.budgets = nil
		r.do("POST", target, "application/x-ndjson", body).want(t, 200, "")
		if len(r.engine.budgets) != 1 || r.engine.budgets[0] != want {
			t.Errorf("%s: took %v, want %d", target, r.engine.budgets, want)
		}
	}
	f("/v1/holds", strings.Repeat(hold+"\n", 100), 100*(len(hold)+1))
	n := 100 * (len(capture) + 1)
	f("/v1/captures", strings.Repeat(capture+"\n", 100), (n*4+2)/3)
	if events, captures := ((n*4+2)/3)/eventMinBytes+1, operationsIn(engine.CaptureHold, n); events < captures || captures < 100 {
		t.Errorf("room for %d, and read as up to %d", events, captures)
	}

	r.engine.budgets = nil
	c := r.dial()
	text := strings.Repeat(capture+"\n", 3000)
	c.send("POST /v1/captures HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(text), text))
	got := c.receive("POST")
	got.wantBody(t, 200, `{"captured":3000,"duplicates":0,"unpriced":0,"rejected":[],"sequence":42}`)
	if took := fmt.Sprint(r.engine.budgets); took != "[87382 349526]" {
		t.Error(took)
	}
}

func TestScopesOfHolds(t *testing.T) {
	r := newRig(t, Options{Keys: testKeys{"i": ScopeIngest, "r": ScopeRead}})
	f := func(method, target, key, body string, status int) {
		t.Helper()
		if got := r.do(method, target, "application/json", body, "Authorization: Bearer "+key); got.status != status {
			t.Errorf("%s %s with %s: %d, want %d", method, target, key, got.status, status)
		}
	}
	for target, body := range map[string]string{"/v1/holds": holdOf(`"1"`), "/v1/captures": `{"hold":"h1","amount":"1"}`, "/v1/holds/h1/capture": `{"amount":"1"}`,
		"/v1/holds/h1/extend": `{"id":"x","amount":"1"}`, "/v1/holds/h1/void": `{}`} {
		f("POST", target, "i", body, 201)
		f("POST", target, "r", body, 403)
	}
	f("GET", "/v1/holds/h1", "r", "", 200)
	f("GET", "/v1/holds/h1", "i", "", 403)
	r.engine.notReady = true
	f("POST", "/v1/holds", "i", holdOf(`"1"`), 503)
	f("GET", "/v1/holds/h1", "r", "", 200)
}

func TestExpectOfHolds(t *testing.T) {
	r := newRig(t, Options{})
	f := func(target, contentType string, length, status int) {
		t.Helper()
		c := r.dial()
		c.send(fmt.Sprintf("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", target, contentType, length))
		if got := c.receive("POST"); got.status != status {
			t.Errorf("%s %s: %d, want %d", target, contentType, got.status, status)
		}
	}
	f("/v1/holds", "application/x-ndjson", 100, 100)
	f("/v1/holds", "application/cloudevents+json", 100, 415)
	f("/v1/captures", "application/json", BodyMaxBytes, 100)
	f("/v1/captures", "application/json", BodyMaxBytes+1, 413)
	f("/v1/holds/h1/extend", "application/x-ndjson", 100, 415)
	f("/v1/holds/h1/void", "application/json", coldBodyMaxBytes+1, 413)
}

func TestHoldView(t *testing.T) {
	r := newRig(t, Options{})
	r.get("/v1/holds/h%2F1").wantBody(t, 200, `{"id":"h/1","account":"acme","currency":"USD","state":"held","amount":"0.5","charged":"0","released":"0","lost":"0","ttl":"1m0s",`+
		`"created":"2026-11-23T10:00:00Z","expires":"2026-11-23T10:01:00Z","ended":null,"sequence":7,"end":null,"estimate":null,"grants":[],"extensions":[],"captured":null,"refused":null,"would_have_refused":[]}`)

	r.engine.hold = engine.HoldView{Account: "acme", Currency: usd, State: engine.HoldCaptured, Amount: half, Charged: amount("0.25"), Released: amount("0.25"), Lost: amount("1"),
		TTL: 90 * time.Second, Created: someTime, Expires: someTime.Add(time.Minute), Ended: someTime.Add(time.Second), Sequence: 7, End: 9,
		Estimate: &engine.Estimate{Type: "t", Dimensions: []meter.Dimension{{Key: "model", Value: "m"}}, Usage: []engine.EventComponent{{Component: "input", Quantity: money.Quantity(1_500_000)}}, Version: "v1"},
		Grants:   []engine.HoldGrant{{Grant: "g1", Amount: half}},
		Extensions: []engine.HoldExtension{{ID: "x1", Amount: half, TTL: time.Hour, Time: someTime, Sequence: 8, Reported: true},
			{ID: "x2", Time: someTime, Sequence: 8}},
		Source: "s", Event: "e", WouldRefuse: []string{"acme/daily"}}
	r.get("/v1/holds/h1").wantBody(t, 200, `{"id":"h1","account":"acme","currency":"USD","state":"captured","amount":"0.5","charged":"0.25","released":"0.25","lost":"1","ttl":"1m30s",`+
		`"created":"2026-11-23T10:00:00Z","expires":"2026-11-23T10:01:00Z","ended":"2026-11-23T10:00:01Z","sequence":7,"end":9,`+
		`"estimate":{"type":"t","dimensions":{"model":"m"},"usage":[{"component":"input","quantity":"1.5"}],"version":"v1"},"grants":[{"grant":"g1","amount":"0.5"}],`+
		`"extensions":[{"id":"x1","amount":"0.5","ttl":"1h0m0s","time":"2026-11-23T10:00:00Z","sequence":8,"reported":true},{"id":"x2","amount":"0","ttl":null,"time":"2026-11-23T10:00:00Z","sequence":8,"reported":false}],`+
		`"captured":{"source":"s","event":"e"},"refused":null,"would_have_refused":["acme/daily"]}`)

	r.engine.hold = engine.HoldView{Account: "acme", Currency: usd, State: engine.HoldDenied, Amount: half, Created: someTime, Expires: someTime, Refused: shortOf("daily").Shortfall}
	if got := r.get("/v1/holds/h1"); !strings.Contains(got.body, `"refused":{"account":"team","limit":"daily","asked":"0.5","left":"0.25"}`) {
		t.Error(got.body)
	}
	r.get("/v1/holds/h%20").want(t, 422, "invalid")
	r.get("/v1/holds/h?x=1").want(t, 422, "invalid")
	r.engine.refused = refusal.New(refusal.NotFound, "unknown_hold", "")
	r.get("/v1/holds/h").want(t, 404, "not_found")
}

func TestHoldMetrics(t *testing.T) {
	r := newRig(t, Options{})
	hold := holdOf(`"0.5"`)
	done := engine.HoldResult{Outcome: engine.HoldDone, State: engine.Held}
	r.results(done, engine.HoldResult{Outcome: engine.HoldDuplicate}, refusedBy(shortOf("credit")))
	r.post("/v1/holds", "["+hold+","+hold+","+hold+",7]")
	r.post("/v1/holds", holdOf(`"0"`))
	r.results(refusedBy(shortOf("credit")))
	r.post("/v1/holds", hold)
	r.results(engine.HoldResult{Outcome: engine.HoldDone, Unpriced: true}, refusedBy(refusal.New(refusal.HoldConflict, "hold_expired", "")))
	r.post("/v1/captures", `[{"hold":"h1","amount":"1"},{"hold":"h2","amount":"1"}]`)
	r.results(done)
	r.post("/v1/holds/some-id/extend", `{"id":"x","ttl":"5s"}`)
	r.post("/v1/holds/some-id/void", `{}`)
	got := r.get("/metrics")
	for _, line := range []string{
		`{code="",operation="hold",outcome="done"} 1`,
		`{code="",operation="hold",outcome="duplicate"} 1`,
		`{code="insufficient_funds",operation="hold",outcome="refused"} 2`,
		`{code="invalid",operation="hold",outcome="refused"} 2`,
		`{code="",operation="capture",outcome="done"} 1`,
		`{code="",operation="capture",outcome="unpriced"} 1`,
		`{code="hold_conflict",operation="capture",outcome="refused"} 1`,
		`{code="",operation="extension",outcome="done"} 1`,
		`{code="",operation="void",outcome="done"} 1`,
	} {
		if !strings.Contains(got.body, "farthing_hold_operations_total"+line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if !strings.Contains(got.body, `farthing_http_requests_total{code="201",route="POST /v1/holds/{id}/void"} 1`) || strings.Contains(got.body, "some-id") {
		t.Error("the routes are not counted by their patterns")
	}
}
