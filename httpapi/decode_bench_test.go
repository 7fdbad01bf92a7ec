package httpapi

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/go-faster/jx"

	"farthing/meter"
	"farthing/money"
)

// llmEvent is the canonical event of about 200 bytes.
func llmEvent(i int) string {
	return fmt.Sprintf(`{"id":"req-%08d","source":"gateway-1","type":"llm.tokens","subject":"customer-%03d","time":"2026-11-23T10:00:00.123Z","data":{"model":"gpt-4o","region":"eu-west","usage":{"input":%d,"cached_input":1024,"output":310}}}`,
		i, i%500, 1200+i%1000)
}

func llmArray(n int) []byte {
	events := make([]string, n)
	for i := range events {
		events[i] = llmEvent(i)
	}
	return []byte("[" + strings.Join(events, ",") + "]")
}

func llmLines(n int) []byte {
	var b strings.Builder
	for i := range n {
		b.WriteString(llmEvent(i))
		b.WriteByte('\n')
	}
	return []byte(b.String())
}

const benchEvents = 1000

// benchmarkDecode reads bodies of the same size by turns.
func benchmarkDecode(b *testing.B, f format, bodies ...[]byte) {
	var batch meter.Batch
	b.SetBytes(int64(len(bodies[0])))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		batch.Reset(1)
		if no := decodeEvents(f, bodies[i%len(bodies)], meter.MaxBatchEvents, &batch); no != nil {
			b.Fatal(no)
		}
		if len(batch.Events) != benchEvents || len(batch.Rejects) != 0 {
			b.Fatal("wrong result", batch.Rejects)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEvents, "ns/event")
}

func BenchmarkDecodeArray(b *testing.B)  { benchmarkDecode(b, formatJSON, llmArray(benchEvents)) }
func BenchmarkDecodeNDJSON(b *testing.B) { benchmarkDecode(b, formatNDJSON, llmLines(benchEvents)) }

// BenchmarkDecodeMixed reads events as farthing bench sends them: what differs from one to the next cannot be foreseen,
// nor learnt by a processor's predictors, as there are many bodies.
func BenchmarkDecodeMixed(b *testing.B) {
	models := []string{"gpt-4o", "gpt-4o-mini", "claude-sonnet-4", "claude-3.5-haiku", "gemini-2.5-pro", "gemini-2.5-flash", "mistral-large", "llama-3.3-70b"}
	random := rand.New(rand.NewPCG(1, 1))
	bodies := make([][]byte, 20)
	for k := range bodies {
		events := make([]string, benchEvents)
		for i := range events {
			events[i] = fmt.Sprintf(`{"id":"01K9ZQ7P-%08d-%04d","source":"gateway-%d","type":"llm.tokens","subject":"bench-%07d","data":{"model":"%s","usage":{"input":%d,"cached_input":%d,"output":%d}}}`,
				k*77, i, random.IntN(4), random.IntN(100_000), models[random.IntN(len(models))], 1+random.IntN(2000), random.IntN(2)*random.IntN(2000), 1+random.IntN(800))
		}
		bodies[k] = []byte("[" + strings.Join(events, ",") + "]")
	}
	benchmarkDecode(b, formatJSON, bodies...)
}

// BenchmarkDecodeUnlike is the worst for layouts: each second event has one of its own, so half of the tries are in
// vain as late as can be, and what was learnt is of no use.
func BenchmarkDecodeUnlike(b *testing.B) {
	events := strings.Split(string(llmLines(benchEvents)), "\n")[:benchEvents]
	for i := range events {
		if i%2 == 1 {
			events[i] = strings.Replace(events[i], `"output"`, fmt.Sprintf(`"out%d"`, i), 1)
		}
	}
	benchmarkDecode(b, formatJSON, []byte("["+strings.Join(events, ",")+"]"))
}

// BenchmarkDecodeProvider reads the same usage as a provider sends it.
func BenchmarkDecodeProvider(b *testing.B) {
	body := strings.ReplaceAll(string(llmArray(benchEvents)), `"usage":{"input":`, `"usage_format":"openai","usage":{"completion_tokens":310,"prompt_tokens_details":{"cached_tokens":1024},"prompt_tokens":`)
	benchmarkDecode(b, formatJSON, []byte(strings.ReplaceAll(body, `,"cached_input":1024,"output":310}`, `}`)))
}

// BenchmarkBatchAlone is what filling the batch costs without reading any JSON:
// the floor of every decoder.
func BenchmarkBatchAlone(b *testing.B) {
	var batch meter.Batch
	id, source, kind, subject := []byte("req-00000001"), []byte("gateway-1"), []byte("llm.tokens"), []byte("customer-001")
	model, gpt, region, eu := []byte("model"), []byte("gpt-4o"), []byte("region"), []byte("eu-west")
	input, cached, output := []byte("input"), []byte("cached_input"), []byte("output")
	for b.Loop() {
		batch.Reset(1)
		for i := range benchEvents {
			batch.Begin(i)
			batch.SetID(id)
			batch.SetSource(source)
			batch.SetType(kind)
			batch.SetSubject(subject)
			batch.SetTime(1)
			batch.Dimension(model, gpt)
			batch.Dimension(region, eu)
			batch.Component(input, 1200)
			batch.Component(cached, 1024)
			batch.Component(output, 310)
			batch.End()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEvents, "ns/event")
}

// BenchmarkDecodeJX reads the same array with jx, and without the checks for
// duplicate keys: the library that the scanner replaced.
func BenchmarkDecodeJX(b *testing.B) {
	body := llmArray(benchEvents)
	var batch meter.Batch
	d := jx.GetDecoder()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	j := jxDecoder{batch: &batch}
	each := j.event
	for b.Loop() {
		batch.Reset(1)
		d.ResetBytes(body)
		j.index = 0
		if err := d.Arr(each); err != nil {
			b.Fatal(err)
		}
		if len(batch.Events) != benchEvents || len(batch.Rejects) != 0 {
			b.Fatal("wrong result", batch.Rejects)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEvents, "ns/event")
}

type jxDecoder struct {
	batch *meter.Batch
	index int
}

func (j *jxDecoder) event(d *jx.Decoder) error {
	j.batch.Begin(j.index)
	j.index++
	it, err := d.ObjIter()
	if err != nil {
		return err
	}
	for it.Next() {
		if err := j.field(d, it.Key()); err != nil {
			return err
		}
	}
	j.batch.End()
	return it.Err()
}

func (j *jxDecoder) field(d *jx.Decoder, key []byte) error {
	if string(key) == "data" {
		return j.data(d)
	}
	f := fieldOf(key)
	v, err := d.StrBytes()
	if err != nil {
		return err
	}
	switch f {
	case fieldID:
		j.batch.SetID(v)
	case fieldSource:
		j.batch.SetSource(v)
	case fieldType:
		j.batch.SetType(v)
	case fieldSubject:
		j.batch.SetSubject(v)
	case fieldTime:
		ns, _ := parseTime(v)
		j.batch.SetTime(ns)
	}
	return nil
}

func (j *jxDecoder) data(d *jx.Decoder) error {
	it, err := d.ObjIter()
	if err != nil {
		return err
	}
	for it.Next() {
		key := it.Key()
		if string(key) == "usage" {
			err = j.usage(d)
		} else {
			var v []byte
			if v, err = d.StrBytes(); err == nil {
				j.batch.Dimension(key, v)
			}
		}
		if err != nil {
			return err
		}
	}
	return it.Err()
}

func (j *jxDecoder) usage(d *jx.Decoder) error {
	it, err := d.ObjIter()
	if err != nil {
		return err
	}
	for it.Next() {
		key := it.Key()
		n, err := d.Num()
		if err != nil {
			return err
		}
		q, err := money.ParseQuantity(n)
		if err != nil {
			return err
		}
		j.batch.Component(key, q)
	}
	return it.Err()
}
