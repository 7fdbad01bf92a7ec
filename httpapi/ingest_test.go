package httpapi

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"farthing/compact"
	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

func TestEventsAnswer(t *testing.T) {
	r := newRig(t, Options{})
	f := func(contentType, body, want string) {
		t.Helper()
		got := r.do("POST", "/v1/events", contentType, body)
		got.want(t, 200, "")
		if got.body != want {
			t.Errorf("%s\n got %s\nwant %s", body, got.body, want)
		}
	}
	const none = `{"accepted":0,"duplicates":0,"unpriced":0,"rejected":[],"sequence":42}`
	const one = `{"accepted":1,"duplicates":0,"unpriced":0,"rejected":[],"sequence":42}`
	versioned := with("specversion", `"1.0"`)
	f("application/json", "[]", none)
	f("application/x-ndjson", "", none)
	f("application/json", with(), one)
	f("application/json; charset=utf-8", "["+with()+"]", one)
	f(`Application/JSON;Charset="UTF-8"`, with(), one)
	f("application/x-ndjson", with()+"\n", one)
	f("application/cloudevents+json", versioned, one)
	f("application/cloudevents-batch+json; charset=UTF-8", "["+versioned+"]", one)
	f("application/json", "["+with()+","+with("id", `"b\"c"`)+"]",
		`{"accepted":1,"duplicates":0,"unpriced":0,"rejected":[{"index":1,"id":"b_c","code":"invalid","reason":"invalid_id","detail":"id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @"}],"sequence":42}`)
	f("application/json", "["+with("id", "7")+","+usageEvent("-1")+"]",
		`{"accepted":0,"duplicates":0,"unpriced":0,"rejected":[{"index":0,"id":"","code":"invalid","reason":"wrong_type","detail":"id must be a string"},{"index":1,"id":"a","code":"invalid","reason":"negative_quantity","detail":"data.usage.input must not be negative"}],"sequence":42}`)
}

func TestOneRefusedEventIsTheAnswer(t *testing.T) {
	r := newRig(t, Options{})
	f := func(contentType, body string, status int, code, reason string) {
		t.Helper()
		got := r.do("POST", "/v1/events", contentType, body)
		got.want(t, status, code)
		if _, is := got.problem(t); is != reason {
			t.Errorf("%s: reason %s, want %s", body, is, reason)
		}
	}
	f("application/json", usageEvent("-1"), 422, "invalid", "negative_quantity")
	f("application/json", "["+usageEvent("-1")+"]", 422, "invalid", "negative_quantity")
	f("application/x-ndjson", "{", 400, "malformed", "syntax")
	f("application/cloudevents+json", with(), 422, "invalid", "missing_field")

	r.engine.ingest = func(q *engine.Request) (engine.IngestResult, *refusal.Refusal) {
		no := refusal.Refusal{Code: refusal.IDConflict, Reason: "content", Detail: "other content"}
		return engine.IngestResult{Rejected: []meter.Reject{{Index: 0, ID: "a", Refusal: no}}}, nil
	}
	f("application/json", with(), 409, "id_conflict", "content")

	// One refused beside a duplicate is not the only event.
	r.engine.ingest = func(q *engine.Request) (engine.IngestResult, *refusal.Refusal) {
		return engine.IngestResult{Duplicates: 1, Unpriced: 0, Rejected: q.Batch().Rejects, Sequence: 3}, nil
	}
	r.post("/v1/events", "["+with()+",7]").want(t, 200, "")
}

// TestBadRequests has the requests that are refused whole.
func TestBadRequests(t *testing.T) {
	r := newRig(t, Options{})
	f := func(contentType, body string, status int, code string, headers ...string) {
		t.Helper()
		r.do("POST", "/v1/events", contentType, body, headers...).want(t, status, code)
	}
	f("application/json", "", 400, "malformed")
	f("application/json", "{", 400, "malformed")
	f("application/json", "["+with()+",{]", 400, "malformed")
	f("application/json", "nonsense", 400, "malformed")
	f("application/json", "\"\xff\"", 400, "malformed")
	f("application/json", "["+strings.Repeat(with()+",", meter.MaxBatchEvents)+with()+"]", 413, "too_large")
	f("", with(), 415, "unsupported_type")
	f("text/plain", with(), 415, "unsupported_type")
	f("application/xml", with(), 415, "unsupported_type")
	f("application/x-www-form-urlencoded", with(), 415, "unsupported_type")
	f("multipart/form-data; boundary=x", with(), 415, "unsupported_type")
	f("application/json; charset=iso-8859-1", with(), 415, "unsupported_type")
	for _, encoding := range []string{"deflate", "br", "gzip, zstd"} {
		f("application/json", with(), 415, "unsupported_type", "Content-Encoding: "+encoding)
	}
	f("application/json", with(), 200, "", "Content-Encoding: identity")
	r.do("POST", "/v1/accounts", "text/plain", "{}").want(t, 415, "unsupported_type")
	r.do("POST", "/v1/accounts", "application/x-ndjson", "{}").want(t, 415, "unsupported_type")
	if n := len(r.engine.specs); n != 0 {
		t.Errorf("%d accounts were made", n)
	}
}

func TestMetrics(t *testing.T) {
	r := newRig(t, Options{})
	r.engine.ingest = func(q *engine.Request) (engine.IngestResult, *refusal.Refusal) {
		return engine.IngestResult{Accepted: 3, Duplicates: 2, Unpriced: 1, Rejected: q.Batch().Rejects, Sequence: 3}, nil
	}
	r.post("/v1/events", "["+with()+",7,8]")
	r.post("/v1/events", "["+with()+",7,8]")
	r.post("/v1/events", "{")
	r.get("/v1/accounts/some-id")
	r.do("GET", "/nowhere/some-id", "", "")
	got := r.get("/metrics")
	got.want(t, 200, "")
	for _, line := range []string{
		`farthing_events_total{code="",outcome="accepted"} 6`,
		`farthing_events_total{code="",outcome="duplicate"} 4`,
		`farthing_events_total{code="",outcome="unpriced"} 2`,
		`farthing_events_total{code="invalid",outcome="rejected"} 4`,
		`farthing_http_requests_total{code="200",route="POST /v1/events"} 2`,
		`farthing_http_requests_total{code="400",route="POST /v1/events"} 1`,
		`farthing_http_requests_total{code="200",route="GET /v1/accounts/{id}"} 1`,
		`farthing_http_requests_total{code="404",route="none"} 1`,
		`farthing_http_request_seconds_count{route="POST /v1/events"} 3`,
	} {
		if !strings.Contains(got.body, line+"\n") {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(got.body, "some-id") {
		t.Error("an id became a label")
	}
	if !bytes.Contains([]byte(got.body), []byte("go_goroutines")) {
		t.Error("the collectors are missing")
	}
}

func TestStringsInAnswers(t *testing.T) {
	for _, s := range []string{"", "plain", "\"\\\b\n\x00\x1f\x7f", "äöü€😀", "\xff\xfea", "\u2028"} {
		got := appendString(nil, s)
		var back string
		if err := json.Unmarshal(got, &back); err != nil || back != strings.ToValidUTF8(s, "\ufffd") && s != "\xff\xfea" {
			t.Errorf("%q: %s, %v", s, got, err)
		}
	}
	if got := string(appendString(nil, "\xff\xfea")); got != "\"\ufffd\ufffda\"" {
		t.Error(got)
	}
}

// directCall is a request that goes straight to the handler, without a socket.
type directCall struct {
	ctx    fasthttp.RequestCtx
	body   []byte
	reader bytes.Reader
}

func newDirectCall(contentType string, body []byte) *directCall {
	d := &directCall{body: body}
	d.ctx.Request.Header.SetMethod("POST")
	d.ctx.Request.Header.SetRequestURI("/v1/events")
	d.ctx.Request.Header.SetHost("localhost")
	d.ctx.Request.Header.SetContentType(contentType)
	return d
}

func (d *directCall) run(s *Server) {
	d.ctx.Response.Reset()
	d.reader.Reset(d.body)
	d.ctx.Request.SetBodyStream(&d.reader, len(d.body))
	s.handle(&d.ctx)
}

// reusingEngine hands out one request again and again, as the real one does.
type reusingEngine struct {
	*fakeEngine
	request engine.Request
}

func (e *reusingEngine) Acquire(int) *engine.Request {
	e.request.Batch().Reset(1)
	return &e.request
}

func (e *reusingEngine) Grow(*engine.Request, int) bool { return true }

func (e *reusingEngine) Release(*engine.Request) {}

func TestIngestDoesNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	s := New(&reusingEngine{fakeEngine: newFake()}, Options{})
	for _, n := range []int{1, 1000} {
		call := newDirectCall("application/json", llmArray(n))
		allocated := testing.AllocsPerRun(100, func() {
			call.run(s)
			if call.ctx.Response.StatusCode() != 200 {
				t.Fatal(string(call.ctx.Response.Body()))
			}
		})
		if allocated != 0 {
			t.Errorf("%v allocations for a request of %d events", allocated, n)
		}
	}
	call := newDirectCall("application/x-ndjson", llmLines(1))
	call.run(s)
	if got, want := string(call.ctx.Response.Body()), `{"accepted":1,"duplicates":0,"unpriced":0,"rejected":[],"sequence":42}`; got != want {
		t.Error(got)
	}
}

func benchmarkHandler(b *testing.B, events int) {
	s := New(&reusingEngine{fakeEngine: newFake()}, Options{})
	call := newDirectCall("application/json", llmArray(events))
	b.ReportAllocs()
	b.SetBytes(int64(len(call.body)))
	for b.Loop() {
		call.run(s)
	}
	if call.ctx.Response.StatusCode() != 200 {
		b.Fatal(string(call.ctx.Response.Body()))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(events), "ns/event")
}

func BenchmarkHandler1(b *testing.B)    { benchmarkHandler(b, 1) }
func BenchmarkHandler1000(b *testing.B) { benchmarkHandler(b, 1000) }

func BenchmarkParseTime(b *testing.B) {
	at := []byte("2026-11-23T10:00:00.123Z")
	for b.Loop() {
		if _, ok := parseTime(at); !ok {
			b.Fatal("no time")
		}
	}
}

// TestCompactEvents posts compact batches.
func TestCompactEvents(t *testing.T) {
	r := newRig(t, Options{})
	var b compact.Batch
	for _, id := range []string{"a", "b c", "d"} {
		if err := b.Add(&compact.Event{Source: "gw", ID: id, Subject: "acme", Type: "api.calls"}); err != nil {
			t.Fatal(err)
		}
	}
	body := string(b.Append(nil))
	got := r.do("POST", "/v1/events", compact.MediaType, body)
	got.want(t, 200, "")
	if want := `{"accepted":2,"duplicates":0,"unpriced":0,"rejected":[{"index":1,"id":"b_c","code":"invalid","reason":"invalid_id",` +
		`"detail":"id must be 1 to 128 of A-Z a-z 0-9 . _ : - / @"}],"sequence":42}`; got.body != want {
		t.Errorf("\n got %s\nwant %s", got.body, want)
	}
	r.do("POST", "/v1/events", compact.MediaType, body[:len(body)-1]).want(t, 400, "malformed")
	r.do("POST", "/v1/events", compact.MediaType, "[]").want(t, 400, "malformed")
	r.do("POST", "/v1/events", compact.MediaType, "FEB\x02\x00").want(t, 400, "malformed")
	r.do("POST", "/v1/events", compact.MediaType, zstdOf(t, body), "Content-Encoding: zstd").want(t, 200, "")
	r.do("POST", "/v1/holds", compact.MediaType, body).want(t, 415, "unsupported_type")
	r.engine.room = 1 // for the body, and not for what its events come to
	r.do("POST", "/v1/events", compact.MediaType, body).want(t, 429, "overloaded")
}
