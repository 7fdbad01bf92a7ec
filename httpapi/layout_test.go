package httpapi

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"farthing/meter"
)

// writer writes events of one layout, as a client does.
type writer struct {
	colon, comma, open, close string
	top                       []string // keys in their order, with their quotes
	dimensions, components    []string
	usage                     int // at which place among the dimensions
	plain                     bool
}

func newWriter(random *rand.Rand) *writer {
	space := func() string { return pick(random, "", "", "", " ", "\n  ", "\t\r\n") }
	w := &writer{colon: space() + ":" + space(), comma: space() + "," + space(), open: "{" + space(), close: space() + "}",
		top: []string{`"id"`, `"source"`, `"type"`, `"subject"`}, plain: random.IntN(4) > 0}
	for _, key := range []string{`"time"`, `"data"`, `"data"`, `"specversion"`, `"datacontenttype"`, `"\u0074ime"`, `"traceparent"`, `"id"`, `"usage_format"`} {
		if random.IntN(3) == 0 || key == `"data"` {
			w.top = append(w.top, key)
		}
		if key == `"data"` && random.IntN(20) > 0 {
			continue
		}
	}
	if w.plain {
		w.top = append([]string{`"specversion"`}, w.top[:4]...)
		w.top = append(w.top, pick(random, `"time"`, `"datacontenttype"`), `"data"`)
	}
	random.Shuffle(len(w.top), func(i, j int) { w.top[i], w.top[j] = w.top[j], w.top[i] })
	for i := range random.IntN(5) {
		w.dimensions = append(w.dimensions, pick(random, `"model"`, `"region"`, `"service_tier"`, `"ä"`, `"m\u006fdel"`, fmt.Sprintf(`"d%d"`, i)))
	}
	for i := range random.IntN(5) {
		w.components = append(w.components, pick(random, `"input"`, `"output"`, `"cached_input"`, fmt.Sprintf(`"c%d"`, i)))
	}
	w.usage = random.IntN(len(w.dimensions) + 2) // the last: none
	return w
}

func pick(random *rand.Rand, from ...string) string { return from[random.IntN(len(from))] }

func (w *writer) object(keys []string, value func(key string) string) string {
	var members []string
	for _, key := range keys {
		members = append(members, key+w.colon+value(key))
	}
	return w.open + strings.Join(members, w.comma) + w.close
}

// odd are values that are not what most are. Some are no JSON.
var odd = []string{`null`, `true`, `{}`, `[1]`, `""`, `"\u0061"`, `"a\"b"`, `"a b"`, `"ä"`, `"\ud800"`, `"` + strings.Repeat("x", 129) + `"`,
	`"` + strings.Repeat("x", 300) + `"`, `-1`, `-0`, `01`, `00`, `0`, `1.5`, `1.`, `1e3`, `1e`, `12345678`, `123456789012`, `9000000000001`, `0.0000001`, `"1`, `{"a":1,"a":2}`, "\"\x01\"", "\"\xff\"", ``}

// event writes one with random values, of which one in `oddly` is odd.
func (w *writer) event(random *rand.Rand, oddly int) string {
	value := func(usual func() string) string {
		if random.IntN(oddly) == 0 {
			return pick(random, odd...)
		}
		return usual()
	}
	name := func() string { return `"` + "abcdefgh-1234567890"[:1+random.IntN(18)] + `"` }
	scalar := func() string {
		return pick(random, `"gpt-4o"`, `"gpt"`, `"eu-west"`, `"ü"`, "7", "1.5", "true", "false", `""`)
	}
	quantity := func() string {
		return fmt.Sprint(random.Uint64N(1<<(1+random.IntN(45))) * random.Uint64N(6) / 5)
	}
	usage := func() string { return w.object(w.components, func(string) string { return value(quantity) }) }
	data := func() string {
		keys := append([]string{}, w.dimensions...)
		if w.usage <= len(keys) {
			keys = append(keys[:w.usage:w.usage], append([]string{`"usage"`}, keys[w.usage:]...)...)
		}
		return w.object(keys, func(key string) string {
			if key == `"usage"` {
				return value(usage)
			}
			return value(scalar)
		})
	}
	return w.object(w.top, func(key string) string {
		switch key {
		case `"data"`:
			return value(data)
		case `"time"`, `"\u0074ime"`:
			return value(func() string {
				return fmt.Sprintf(`"2026-%02d-%02dT1%d:%02d:%02d%s"`, 1+random.IntN(12), 1+random.IntN(30), random.IntN(10), random.IntN(60), random.IntN(60), pick(random, "Z", ".123Z", ".1+01:00"))
			})
		case `"specversion"`:
			return value(func() string { return `"1.0"` })
		case `"datacontenttype"`:
			return value(func() string { return `"application/json"` })
		case `"usage_format"`:
			return pick(random, `"openai"`, `null`)
		}
		return value(name)
	})
}

// bodies of events of a few writers, all of which mix.
func mixedBody(random *rand.Rand, f format) []byte {
	writers := make([]*writer, 1+random.IntN(3))
	for i := range writers {
		writers[i] = newWriter(random)
	}
	oddly := []int{10, 100, 1000}[random.IntN(3)]
	var events []string
	for range 1 + random.IntN(12) {
		e := writers[random.IntN(len(writers))].event(random, oddly)
		if f == formatNDJSON {
			e = strings.NewReplacer("\n", " ", "\r", " ").Replace(e) + pick(random, "", "", "", "", " ", "\r", " x")
		}
		events = append(events, e)
	}
	if f == formatNDJSON {
		return []byte(strings.Join(events, "\n"))
	}
	body := "[" + strings.Join(events, pick(random, ",", " ,\n")) + "]"
	if random.IntN(20) == 0 {
		i := random.IntN(len(body))
		body = body[:i] + body[min(len(body), i+1+random.IntN(4)):]
	}
	return []byte(body)
}

// TestLayoutsAgreeWithTwin decodes bodies whose events are alike, nearly alike, or not.
func TestLayoutsAgreeWithTwin(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 1500 {
		for _, f := range []format{formatJSON, formatNDJSON, formatCloudEventsBatch} {
			sameDecoding(t, f, mixedBody(random, f))
		}
	}
}

// FuzzLayouts reads an event twice, then another, and again the first.
func FuzzLayouts(f *testing.F) {
	seeds := seedBodies()
	for i, body := range seeds {
		f.Add([]byte(body), []byte(seeds[(i*7+1)%len(seeds)]))
	}
	f.Add([]byte(llmEvent(1)), []byte(strings.Replace(llmEvent(2), "310", "3.10", 1)))
	f.Add([]byte(with()), []byte(with("time", `"2026-11-23T10:00:61Z"`)))
	f.Add([]byte(with("data", `{"a":1,"b":true}`)), []byte(with("data", `{"a":01,"b":"true"}`)))
	f.Fuzz(func(t *testing.T, one, other []byte) {
		list := [][]byte{one, one, other, one, other}
		sameDecoding(t, formatNDJSON, bytes.Join(list, []byte("\n")))
		body := append(append([]byte("["), bytes.Join(list, []byte(","))...), ']')
		sameDecoding(t, formatJSON, body)
		sameDecoding(t, formatCloudEventsBatch, body)
	})
}

// laidOf decodes a body with d and returns how many of its events were read by a layout.
func laidOf(t *testing.T, d *decoder, f format, body string) (laid int) {
	t.Helper()
	var batch meter.Batch
	batch.Reset(1)
	d.batch, d.format, d.most = &batch, f, meter.MaxBatchEvents
	d.layouts.begin()
	defer d.layouts.end()
	for i, line := range strings.Split(body, "\n") {
		d.line([]byte(line), 0, i)
		if d.laid {
			laid++
		}
	}
	if len(batch.Rejects) != 0 {
		t.Fatal(batch.Rejects)
	}
	return laid
}

// TestLayoutsAreUsed says which events are read by a layout: those which one of the same layout came before.
func TestLayoutsAreUsed(t *testing.T) {
	f := func(what string, want int, events ...string) {
		t.Helper()
		if got := laidOf(t, new(decoder), formatNDJSON, strings.Join(events, "\n")); got != want {
			t.Errorf("%s: %d events by a layout, want %d", what, got, want)
		}
	}
	usage := func(s string) string { return with("data", `{"usage":{"input":`+s+`}}`) }
	f("one", 0, with())
	f("two", 1, with(), with())
	f("two layouts", 2, with(), with("time", ""), with(), with("time", ""))
	f("an escaped value", 2, with(), with("data", `{"model":"\u006d","usage":{"input":3}}`), with(), with())
	f("escaped keys", 1, `{"\u0069d":"a","source":"s","type":"t","subject":"p"}`, `{"\u0069d":"b","source":"s","type":"t","subject":"p"}`)
	f("quantities", 6, usage("1"), usage("0"), usage("12345678"), usage("0.5"), usage("1e3"), usage("999999999999"), usage("9000000000000"))
	f("scalars", 3, with("data", `{"a":1}`), with("data", `{"a":true}`), with("data", `{"a":false}`), with("data", `{"a":-1.5e3}`))
	f("a string where a number was", 2, with("data", `{"a":1}`), with("data", `{"a":"1"}`), with("data", `{"a":2}`), with("data", `{"a":"2"}`))
	f("no usage", 1, with("data", `{"model":"m"}`), with("data", `{"model":"n"}`))
	f("no data", 1, with("data", ""), with("data", ""))
	f("null", 1, with("data", "null", "time", "null"), with("data", "null", "time", "null"))
	f("CloudEvents", 1, with("specversion", `"1.0"`, "datacontenttype", `"application/json"`), with("specversion", `"1.0"`, "datacontenttype", `"application/json"`))
	f("extensions", 0, with("ext", "1"), with("ext", "1"))
	f("a provider's usage", 0, with("usage_format", `"openai"`, "data", `{"usage":{"prompt_tokens":1}}`), with("usage_format", `"openai"`, "data", `{"usage":{"prompt_tokens":1}}`))
	f("an object among dimensions", 0, with("data", `{"a":{}}`), with("data", `{"a":{}}`))
}

// TestLayoutsOfNone: events that can have no layout are not gone over twice for ever.
func TestLayoutsOfNone(t *testing.T) {
	d := new(decoder)
	lines := strings.Repeat(with("traceparent", `"00"`)+"\n", 3*creditFirst)
	if n := laidOf(t, d, formatNDJSON, strings.TrimSpace(lines)); n != 0 || d.layouts.credit > 0 {
		t.Errorf("%d events by a layout, credit for %d", n, d.layouts.credit)
	}
}

// TestLayoutsGiveUp: where most events are in no layout, no more are tried.
func TestLayoutsGiveUp(t *testing.T) {
	var lines []string
	for i := range 4 * creditFirst {
		lines = append(lines, with("data", fmt.Sprintf(`{"d%d":1}`, i)))
	}
	d := new(decoder)
	if n := laidOf(t, d, formatNDJSON, strings.Join(lines, "\n")); n != 0 || d.layouts.credit > 0 {
		t.Errorf("%d events by a layout, credit for %d", n, d.layouts.credit)
	}
	if n := laidOf(t, d, formatNDJSON, with()+"\n"+with()); n != 1 {
		t.Errorf("the next body: %d events by a layout, want 1", n)
	}
}

// TestLayoutsAreBounded remembers far more layouts than there is room for.
func TestLayoutsAreBounded(t *testing.T) {
	d := new(decoder)
	for i := range 1000 {
		e := with("data", fmt.Sprintf(`{"d%d":1,%s"usage":%s}`, i, strings.Repeat(" ", i%1000), manyFields(1+i%meter.MaxComponents)))
		if n := laidOf(t, d, formatNDJSON, e+"\n"+e+"\n"+e); n != 2 {
			t.Fatalf("layout %d: %d events by it, want 2", i, n)
		}
		l := &d.layouts
		if len(l.steps) > stepsMax || len(l.forms) > layoutsMax {
			t.Fatalf("%d steps, %d forms", len(l.steps), len(l.forms))
		}
	}
	e := with("data", `{`+strings.Repeat(" ", literalSize*layoutStepsMax)+`}`)
	if n := laidOf(t, d, formatNDJSON, e+"\n"+e); n != 0 {
		t.Error("a layout beyond the limit is used")
	}
}

// TestLayoutKeepsNothingOfABody: buffers of requests are used again.
func TestLayoutKeepsNothingOfABody(t *testing.T) {
	d := new(decoder)
	var batch meter.Batch
	batch.Reset(1)
	body := llmArray(3)
	if no := d.run(formatJSON, body, meter.MaxBatchEvents, &batch); no != nil {
		t.Fatal(no)
	}
	clear(body)
	for i := range batch.Events {
		if got := eventText(&batch, i); !strings.Contains(got, "gateway-1") {
			t.Error(got)
		}
	}
	batch.Reset(1)
	if laidOf(t, d, formatNDJSON, llmEvent(1)) != 1 {
		t.Error("the layout is not remembered")
	}
}

// TestBrokenLineOfALayoutKeepsItsID: what is after an event refuses it.
func TestBrokenLineOfALayoutKeepsItsID(t *testing.T) {
	var batch meter.Batch
	batch.Reset(1)
	if no := decodeEvents(formatNDJSON, []byte(llmEvent(1)+"\n"+llmEvent(2)+"}\n"+llmEvent(3)), meter.MaxBatchEvents, &batch); no != nil {
		t.Fatal(no)
	}
	if len(batch.Events) != 2 || len(batch.Rejects) != 1 || batch.Rejects[0].ID != "req-00000002" || batch.Rejects[0].Index != 1 {
		t.Errorf("%d events, %+v", len(batch.Events), batch.Rejects)
	}
}

// TestKnownShapes decodes bodies of one layout whose events differ in what shapes depend on, each a little.
func TestKnownShapes(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		layout := pick(random, `{"model":"%s","region":"%s","usage":{"a":%s,"b":%s}}`, `{"model":"%s","usage":{"a":%[3]s,"b":%[4]s},"region":"%[2]s"}`,
			`{"usage":{"a":%[3]s,"b":%[4]s},"model":"%[1]s"}`, `{"usage":{"a":%[3]s},"n":%[4]s,"region":"%[2]s"}`, `{"usage":{"a":%[3]s}}`)
		var events []string
		for i := range 40 {
			word := func() string {
				return pick(random, "", "a", "b", "gpt-4o", "gpt-4o-mini", "gpt-4o-maxi", "gpt-4x-mini")
			}
			data, _, _ := strings.Cut(fmt.Sprintf(layout, word(), word(), pick(random, "0", "0.0", "1"), pick(random, "0", "7", "70")), "%!")
			events = append(events, with("id", fmt.Sprintf(`"%d"`, i), "type", pick(random, `"t"`, `"llm.tokens"`, `"llm.tokena"`), "data", data))
		}
		sameDecoding(t, formatJSON, []byte("["+strings.Join(events, ",")+"]"))
		sameDecoding(t, formatNDJSON, []byte(strings.Join(events, "\n")))
	}
}

// TestLayoutsAgreeOnEach holds single differences against the twin, after events that taught the layout.
func TestLayoutsAgreeOnEach(t *testing.T) {
	f := func(events ...string) {
		t.Helper()
		sameDecoding(t, formatNDJSON, []byte(strings.Join(events, "\n")))
	}
	usage := func(s string) string { return with("data", `{"usage":{"input":`+s+`,"output":1234567890}}`) }
	for _, s := range []string{"01", "00", "0", "0.5", "1.", "1e3", "1e", "-1", "7654321", "87654321", "", "x", "1 ", `"1"`} {
		f(usage("1"), usage(s), usage("2"))
	}
	var zeros, layouts []string
	for i := range 1000 {
		zeros = append(zeros, with("data", fmt.Sprintf(`{"usage":{"a":%d,"b":%d,"c":%d,"d":%d,"e":%d,"f":%d,"g":%d,"h":%d,"i":%d,"j":%d}}`,
			i&1, i&2, i&4, i&8, i&16, i&32, i&64, i&128, i&256, i&512)))
	}
	f(zeros...) // more shapes than are known at a time
	for i := range 3 * layoutsMax {
		e := with("data", fmt.Sprintf(`{"model":"m","usage":{"c%d":1}}`, i))
		layouts = append(layouts, e, e, e, e, e)
		if i < layoutsMax {
			layouts = append(layouts, layouts[0])
		}
	}
	f(layouts...) // more layouts than are remembered at a time, with the same dimensions
}

// TestForgottenLayoutsTakeShapesAlong: what is known of shapes names forms, whose memory the next layouts get.
func TestForgottenLayoutsTakeShapesAlong(t *testing.T) {
	d := new(decoder)
	var batch meter.Batch
	batch.Reset(1)
	d.batch, d.format, d.most = &batch, formatNDJSON, meter.MaxBatchEvents
	d.layouts.begin()
	for i := range 5 * layoutsMax {
		e := []byte(with("data", fmt.Sprintf(`{"d%d":1}`, i)))
		before := len(d.layouts.forms)
		d.line(e, 0, 0)
		if now := len(d.layouts.forms); now < before && len(d.layouts.slots) != 0 {
			t.Fatalf("after %d layouts %d shapes are known", i, len(d.layouts.slots))
		}
		for range creditMiss {
			d.line(e, 0, 0)
		}
	}
	if len(d.layouts.slots) == 0 {
		t.Error("no shape is known")
	}
}
