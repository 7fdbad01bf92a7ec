package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

func arrayOf(n int, element func(int) string) []byte {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = element(i)
	}
	return []byte("[" + strings.Join(parts, ",") + "]")
}

// holdArray has holds by amount.
func holdArray(n int) []byte {
	return arrayOf(n, func(i int) string {
		return fmt.Sprintf(`{"id":"hold-%08d","account":"customer-%03d","amount":"0.0%d","ttl":"60s","currency":"USD"}`, i, i%500, 1200+i%1000)
	})
}

// estimateArray has holds by what they will use.
func estimateArray(n int) []byte {
	return arrayOf(n, func(i int) string {
		return fmt.Sprintf(`{"id":"hold-%08d","account":"customer-%03d","estimate":{"type":"llm.tokens","data":{"model":"gpt-4o","usage":{"input":%d,"output":4096}}},"ttl":"2m"}`, i, i%500, 1200+i%1000)
	})
}

// captureArray has captures of events.
func captureArray(n int) []byte {
	return arrayOf(n, func(i int) string { return fmt.Sprintf(`{"hold":"hold-%08d","event":%s}`, i, llmEvent(i)) })
}

// operationBench is a request for reading operations into, again and again.
type operationBench struct {
	holds engine.HoldBatch
	batch meter.Batch
	runs  int
}

// reset makes it fresh. The memory of ids is the engine's to keep between requests; here it
// grows and is let go of now and then.
func (o *operationBench) reset() {
	if o.runs++; o.runs%256 == 0 {
		o.holds = engine.HoldBatch{Ops: o.holds.Ops}
	}
	o.holds.Ops = o.holds.Ops[:0]
	o.batch.Reset(1)
}

func benchmarkOperations(b *testing.B, kind engine.HoldOpKind, body []byte) {
	var o operationBench
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		o.reset()
		if no := decodeOperations(kind, nil, formatJSON, body, meter.MaxBatchEvents, &o.holds, &o.batch); no != nil {
			b.Fatal(no)
		}
		if len(o.holds.Ops) != benchEvents || len(o.batch.Rejects) != 0 {
			b.Fatal("wrong result", o.batch.Rejects)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEvents, "ns/operation")
}

func BenchmarkDecodeHolds(b *testing.B) {
	benchmarkOperations(b, engine.PlaceHold, holdArray(benchEvents))
}

func BenchmarkDecodeEstimates(b *testing.B) {
	benchmarkOperations(b, engine.PlaceHold, estimateArray(benchEvents))
}

func BenchmarkDecodeCaptures(b *testing.B) {
	benchmarkOperations(b, engine.CaptureHold, captureArray(benchEvents))
}

func TestOperationsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	late := strings.ReplaceAll(string(captureArray(50)), `"usage":{"input":`, `"usage":{"prompt_tokens":`)
	late = strings.ReplaceAll(strings.ReplaceAll(late, `"cached_input":1024,"output"`, `"completion_tokens"`), `}}}`, `},"usage_format":"openai"}}`)
	for _, c := range []struct {
		name string
		kind engine.HoldOpKind
		body []byte
	}{
		{"holds", engine.PlaceHold, holdArray(50)},
		{"estimates", engine.PlaceHold, estimateArray(50)},
		{"captures", engine.CaptureHold, captureArray(50)},
		{"captures of a provider's usage", engine.CaptureHold, []byte(late)},
	} {
		var o operationBench
		n := testing.AllocsPerRun(200, func() {
			o.reset()
			if no := decodeOperations(c.kind, nil, formatJSON, c.body, meter.MaxBatchEvents, &o.holds, &o.batch); no != nil || len(o.holds.Ops) != 50 {
				t.Fatal(no, o.batch.Rejects)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations for 50 operations", c.name, n)
		}
	}
}

// holdingEngine hands out one request again and again, and holds all that is asked.
type holdingEngine struct {
	*fakeEngine
	request *engine.Request
	results []engine.HoldResult
	runs    int
}

func (e *holdingEngine) Acquire(int) *engine.Request {
	if e.runs++; e.request == nil || e.runs%256 == 0 { // see operationBench
		e.request = &engine.Request{}
	}
	h := e.request.Holds()
	h.Ops = h.Ops[:0]
	e.request.Batch().Reset(1)
	return e.request
}

func (e *holdingEngine) Release(*engine.Request) {}

func (e *holdingEngine) BookHolds(r *engine.Request) ([]engine.HoldResult, uint64, *refusal.Refusal) {
	e.results = e.results[:0]
	for i := range r.Holds().Ops {
		e.results = append(e.results, heldResult(&r.Holds().Ops[i]))
	}
	return e.results, 42, nil
}

func newHoldCall(target string, body []byte) *directCall {
	d := newDirectCall("application/json", body)
	d.ctx.Request.Header.SetRequestURI(target)
	return d
}

// TestHoldsDoNotAllocate leaves out requests about a hold in the path, which is copied.
func TestHoldsDoNotAllocate(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool drop what it is given")
	}
	s := New(&holdingEngine{fakeEngine: newFake()}, Options{})
	f := func(target string, body []byte, status int, allocations float64) {
		t.Helper()
		call := newHoldCall(target, body)
		allocated := testing.AllocsPerRun(100, func() {
			call.run(s)
			if call.ctx.Response.StatusCode() != status {
				t.Fatal(string(call.ctx.Response.Body()))
			}
		})
		if allocated > allocations {
			t.Errorf("%s: %v allocations for a body of %d bytes, want %v", target, allocated, len(body), allocations)
		}
	}
	one := func(array []byte) []byte { return array[1 : len(array)-1] }
	f("/v1/holds", holdArray(1000), 200, 0)
	f("/v1/holds", estimateArray(1000), 200, 0)
	f("/v1/captures", captureArray(1000), 200, 0)
	f("/v1/holds", one(holdArray(1)), 201, 0)
	f("/v1/captures", one(captureArray(1)), 201, 0)
	f("/v1/holds/h1/capture", []byte(`{"event":`+with()+`}`), 201, 2)
	f("/v1/holds/h1/void", nil, 201, 2)
}

func benchmarkHoldHandler(b *testing.B, target string, body []byte, operations int) {
	s := New(&holdingEngine{fakeEngine: newFake()}, Options{})
	call := newHoldCall(target, body)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		call.run(s)
	}
	if status := call.ctx.Response.StatusCode(); status > 201 {
		b.Fatal(string(call.ctx.Response.Body()))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(operations), "ns/operation")
}

func BenchmarkHoldHandler1(b *testing.B) {
	body := holdArray(1)
	benchmarkHoldHandler(b, "/v1/holds", body[1:len(body)-1], 1)
}

func BenchmarkHoldHandler1000(b *testing.B) {
	benchmarkHoldHandler(b, "/v1/holds", holdArray(1000), 1000)
}

func BenchmarkCaptureHandler1000(b *testing.B) {
	benchmarkHoldHandler(b, "/v1/captures", captureArray(1000), 1000)
}
