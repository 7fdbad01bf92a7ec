package compact

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

const seed = 7

func add(t testing.TB, b *Batch, events ...Event) []byte {
	t.Helper()
	for i := range events {
		if err := b.Add(&events[i]); err != nil {
			t.Fatal(err)
		}
	}
	return b.Append(nil)
}

func decode(body []byte) (*meter.Batch, *refusal.Refusal) {
	var b meter.Batch
	b.Reset(seed)
	_, no := Decode(body, &b)
	return &b, no
}

// TestFormat is the format of version 1, byte by byte. It must never change.
func TestFormat(t *testing.T) {
	at := time.Unix(0, 0x0102030405060708)
	var b Batch
	got := add(t, &b,
		Event{Source: "gw", ID: "e1", Subject: "acme", Type: "llm", Usage: []Component{{"output", 3e6}, {"input", 1_500_000}, {"cached", 0}},
			Dimensions: []meter.Dimension{{Key: "region", Value: "eu"}, {Key: "model", Value: "m"}}},
		Event{Source: "g2", ID: "e2", Subject: "b", Type: "api", Time: at},
		Event{Source: "gw", ID: "e3", Subject: "b", Type: "api", Time: at.Add(-1)})
	want := "46454201 03" +
		" 02 02 6777 02 6732" + // sources gw, g2
		" 02" +
		" 25 03 6c6c6d 02 05 696e707574 06 6f7574707574 02 05 6d6f64656c 01 6d 06 726567696f6e 02 6575" +
		" 0b 03 617069 01 04 63616c6c 00" +
		" 0102030405060708" +
		" 00 00 04 61636d65 02 6531 c18db701 06" + // 1,500,000 millionths, 3 units
		" 03 01 01 62 02 6532 00 02" +
		" 03 00 01 62 02 6533 01 02"
	if got, want := hex.EncodeToString(got), strings.ReplaceAll(want, " ", ""); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	b.Reset()
	if got := hex.EncodeToString(b.Append(nil)); got != "46454201"+"00"+"00"+"00"+"0000000000000000" || b.Len() != 0 {
		t.Errorf("after Reset: %s", got)
	}
	if _, no := decode(b.Append(nil)); no != nil {
		t.Error(no)
	}
}

// TestSameAsFields has random events, some of them bad, go in by the compact form and field by field, as JSON does.
func TestSameAsFields(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var b Batch
	for range 300 {
		b.Reset()
		var want meter.Batch
		want.Reset(seed)
		for i := range rng.IntN(60) {
			e := randomEvent(rng)
			add(t, &b, e)
			setFields(&want, i, &e)
		}
		got, no := decode(b.Append(nil))
		if no != nil {
			t.Fatal(no)
		}
		if diff := different(got, &want); diff != "" {
			t.Fatal(diff)
		}
	}
}

func randomEvent(rng *rand.Rand) Event {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	e := Event{Source: pick("gw", "gateway-2", "a", "sp ace"), ID: fmt.Sprint(pick("e", "01HZZZZZZZZZZZZZZZZZZZ", "é"), rng.IntN(1000)),
		Subject: pick("acme", "b", "c/d@e:f.g_h-i", ""), Type: pick("llm.tokens", "api.calls", "no good")}
	if rng.IntN(2) == 0 {
		e.Time = time.Unix(rng.Int64N(4e9)-1e9, rng.Int64N(1e9))
	}
	if rng.IntN(9) == 0 {
		e.Usage = []Component{}
	}
	for _, k := range rng.Perm(meter.MaxComponents)[:rng.IntN(4)] {
		e.Usage = append(e.Usage, Component{fmt.Sprint("c", k), money.Quantity(rng.Uint64N(3)) * money.Quantity(rng.Uint64N(uint64(money.QuantityMax)/2))})
	}
	if rng.IntN(20) == 0 {
		e.Usage = append(e.Usage, Component{"zz", money.QuantityMax + 1})
	}
	for _, k := range rng.Perm(meter.MaxDimensions)[:rng.IntN(4)] {
		e.Dimensions = append(e.Dimensions, meter.Dimension{Key: fmt.Sprint("d", k), Value: strings.Repeat(pick("v", "é", "\xff"), rng.IntN(3))})
	}
	return e
}

func setFields(b *meter.Batch, index int, e *Event) {
	b.Begin(index)
	b.SetID([]byte(e.ID))
	b.SetSource([]byte(e.Source))
	b.SetSubject([]byte(e.Subject))
	b.SetType([]byte(e.Type))
	if !e.Time.IsZero() {
		b.SetTime(e.Time.UnixNano())
	}
	if e.Usage != nil {
		b.Usage()
	}
	for _, c := range e.Usage {
		if c.Quantity > money.QuantityMax {
			b.Refuse(refusal.Invalid, "quantity_overflow", "too much")
			continue
		}
		b.Component([]byte(c.Name), c.Quantity)
	}
	for _, d := range e.Dimensions {
		b.Dimension([]byte(d.Key), []byte(d.Value))
	}
	b.End()
}

// text is all that an event says, with its bytes instead of their places.
func text(b *meter.Batch, e *meter.Event) string {
	shape := b.ShapeOf(e)
	out := fmt.Sprintf("%d %q %q %x %x %x %d", e.Index, b.IdentityBytes(e), b.Bytes(e.Subject), b.Bytes(shape.Bytes), e.Identity, e.Content, e.Time)
	for i := range int(shape.Components) {
		out += " " + b.Quantity(e, i).String()
	}
	return out
}

// different says where two batches differ. Of refused events the first reason may be another, for it follows the order of the
// fields.
func different(got, want *meter.Batch) string {
	if len(got.Events) != len(want.Events) || len(got.Rejects) != len(want.Rejects) {
		return fmt.Sprintf("%d events, refused %+v, want %d, %+v", len(got.Events), got.Rejects, len(want.Events), want.Rejects)
	}
	for i := range got.Events {
		if a, b := text(got, &got.Events[i]), text(want, &want.Events[i]); a != b {
			return fmt.Sprintf("%s, want %s", a, b)
		}
	}
	for i, r := range got.Rejects {
		if w := want.Rejects[i]; r.Index != w.Index || r.ID != w.ID || r.Refusal.Code != w.Refusal.Code {
			return fmt.Sprintf("refused %+v, want %+v", r, w)
		}
	}
	return ""
}

// TestRefusedAlone is what refuses one event and not its neighbours.
func TestRefusedAlone(t *testing.T) {
	f := func(reason string, change func(*Event)) {
		t.Helper()
		good := Event{Source: "gw", ID: "e", Subject: "acme", Type: "llm", Usage: []Component{{"input", 1e6}}}
		bad := good
		bad.Usage = slices.Clone(good.Usage)
		change(&bad)
		var b Batch
		got, no := decode(add(t, &b, good, bad, good))
		if no != nil || len(got.Events) != 2 || len(got.Rejects) != 1 {
			t.Errorf("%s: %v, %d events, refused %+v", reason, no, len(got.Events), got.Rejects)
			return
		}
		if r := got.Rejects[0]; r.Index != 1 || r.Refusal.Reason != reason || r.Refusal.Code != refusal.Invalid || got.Events[1].Index != 2 {
			t.Errorf("refused %+v, want %s", r, reason)
		}
	}
	f("invalid_id", func(e *Event) { e.ID = "no good" })
	f("invalid_id", func(e *Event) { e.ID = "" })
	f("invalid_id", func(e *Event) { e.ID = strings.Repeat("x", 129) })
	f("invalid_id", func(e *Event) { e.Source = "é" })
	f("invalid_id", func(e *Event) { e.Subject = "" })
	f("invalid_id", func(e *Event) { e.Type = "a b" })
	f("invalid_component", func(e *Event) { e.Usage[0].Name = "a b" })
	f("invalid_component", func(e *Event) { e.Usage[0].Name = "" })
	f("invalid_dimension", func(e *Event) { e.Dimensions = []meter.Dimension{{Key: "", Value: "v"}} })
	f("invalid_dimension", func(e *Event) { e.Dimensions = []meter.Dimension{{Key: "\xff", Value: "v"}} })
	f("invalid_dimension", func(e *Event) { e.Dimensions = []meter.Dimension{{Key: "k", Value: "\xff"}} })
	f("quantity_overflow", func(e *Event) { e.Usage[0].Quantity = money.QuantityMax + 1 })
	f("quantity_overflow", func(e *Event) { e.Usage[0].Quantity = 1<<63 - 1 })
	long := strings.Repeat("x", 257) // what is too long for one event is no fault of the others
	f("invalid_id", func(e *Event) { e.Type = long[:129] })
	f("invalid_component", func(e *Event) { e.Usage[0].Name = long[:65] })
	f("invalid_dimension", func(e *Event) { e.Dimensions = []meter.Dimension{{Key: long[:65], Value: "v"}} })
	f("invalid_dimension", func(e *Event) { e.Dimensions = []meter.Dimension{{Key: "k", Value: long}} })
}

// TestRefusedWhole is what refuses a body.
func TestRefusedWhole(t *testing.T) {
	f := func(body, reason, detail string) {
		t.Helper()
		raw, err := hex.DecodeString(strings.ReplaceAll(body, " ", ""))
		if err != nil {
			t.Fatal(err)
		}
		_, no := decode(raw)
		if no == nil || no.Reason != reason || !strings.Contains(no.Detail, detail) {
			t.Errorf("%s: %v, want %s: %s", body, no, reason, detail)
		}
	}
	f("", "syntax", "does not begin with FEB")
	f("7b22", "syntax", "does not begin with FEB")
	f("46454202", "unsupported_version", "version 2")
	f("46454201", "syntax", "a number does not decode")
	f("46454201 914e 00 00 0000000000000000", "too_many_events", "at most 10000")
	f("46454201 05 00 00 0000000000000000", "syntax", "shorter than its number of events")
	f("46454201 00 00 00 00000000000000", "syntax", "base time")
	f("46454201 00 00 00 0000000000000000 00", "syntax", "something follows")
	f("46454201 00 914e", "syntax", "more entries")
	f("46454201 00 01 0561", "syntax", "longer than the body")
	f("46454201 00 00 01 03 016d21 0000000000000000", "syntax", "canonical") // 33 components that are not there
	f("46454201 00 00 01 03 016d00 0000000000000000", "syntax", "canonical")
	f("46454201 00 00 01 09 016d 02 0163 0161 00 0000000000000000", "syntax", "canonical") // c before a
	f("46454201 01 01 0167 01 06 016d010163 00 0000000000000000 02 00 0161 0162 02", "syntax", "not in its table")
	f("46454201 01 01 0167 01 06 016d010163 00 0000000000000000 00 01 0161 0162 02", "syntax", "not in its table")
	f("46454201 01 01 0167 01 06 016d010163 00 0000000000000000 01 00 0161 0162", "syntax", "a time does not decode")
	f("46454201 01 01 0167 01 06 016d010163 00 0000000000000000 00 00 0161 0162 ffffffffffffffffffff01", "syntax", "a number does not decode")
	body, err := hex.DecodeString("4645420101010167" + "01" + "06016d01016300" + "0000000000000000" + "00000161016200")
	if err != nil {
		t.Fatal(err)
	}
	got, no := decode(body)
	if no != nil || len(got.Rejects) != 1 || got.Rejects[0].Refusal.Reason != "zero_quantity" {
		t.Errorf("a quantity of zero: %v, %+v", no, got.Rejects)
	}
}

// TestCutShort has every beginning of a body refused, and every bit of it flipped without a panic.
func TestCutShort(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var b Batch
	for range 5 {
		e := randomEvent(rng)
		add(t, &b, e)
	}
	body := b.Append(nil)
	for n := range body {
		if _, no := decode(body[:n]); no == nil {
			t.Errorf("the first %d bytes of %d are taken", n, len(body))
		}
	}
	for i := range 8 * len(body) {
		body[i/8] ^= 1 << (i % 8)
		_, _ = decode(body)
		body[i/8] ^= 1 << (i % 8)
	}
}

func TestTimesAtTheEdge(t *testing.T) {
	var b Batch
	got, no := decode(add(t, &b, Event{Source: "s", ID: "1", Subject: "a", Type: "m", Time: time.Unix(0, 1<<62)},
		Event{Source: "s", ID: "2", Subject: "a", Type: "m", Time: time.Unix(0, -1<<62)}))
	if no != nil || len(got.Events) != 2 || got.Events[0].Time != 1<<62 || got.Events[1].Time != -1<<62 {
		t.Errorf("%v, %+v, %+v", no, got.Events, got.Rejects)
	}
	b.Reset()
	body := add(t, &b, Event{Source: "s", ID: "1", Subject: "a", Type: "m", Time: time.Unix(0, 1<<62)})
	body = append(body[:len(body)-2], 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 2) // the time: 2^63 − 1 above the base
	got, no = decode(body)
	if no != nil || len(got.Rejects) != 1 || got.Rejects[0].Refusal.Reason != "invalid_time" {
		t.Errorf("%v, %+v, %+v", no, got.Events, got.Rejects)
	}
}

func TestAddRefuses(t *testing.T) {
	var b Batch
	good := Event{Source: "s", ID: "1", Subject: "a", Type: "m"}
	before := string(add(t, &b, good))
	f := func(change func(*Event)) {
		t.Helper()
		e := good
		change(&e)
		if err := b.Add(&e); !errors.Is(err, ErrEvent) {
			t.Errorf("%v", err)
		}
		if string(b.Append(nil)) != before {
			t.Error("a refused event changed the batch")
		}
	}
	f(func(e *Event) { e.Usage = []Component{{"a", 1}, {"b", 1}, {"a", 1}} })
	f(func(e *Event) { e.Usage = []Component{{"a", 0}, {"a", 1}} })
	f(func(e *Event) { e.Time = time.Date(2611, 6, 21, 4, 34, 33, 0, time.UTC) })
	f(func(e *Event) { e.Dimensions = []meter.Dimension{{Key: "k"}, {Key: "k", Value: "v"}} })
	f(func(e *Event) { e.Dimensions = make([]meter.Dimension, meter.MaxDimensions+1) })
	f(func(e *Event) {
		for i := range meter.MaxComponents + 1 {
			e.Usage = append(e.Usage, Component{fmt.Sprint(i), 1})
		}
	})
	for b.Len() < meter.MaxBatchEvents {
		add1(t, &b, &good)
	}
	before = string(b.Append(nil))
	f(func(*Event) {})
	if n, no := Count([]byte(before)); n != meter.MaxBatchEvents || no != nil {
		t.Error(n, no)
	}
}

func add1(t *testing.T, b *Batch, e *Event) {
	t.Helper()
	if err := b.Add(e); err != nil {
		t.Fatal(err)
	}
}

// FuzzDecode has bytes of any kind. What is taken says the same when it is written and read again.
func FuzzDecode(f *testing.F) {
	rng := rand.New(rand.NewPCG(5, 6))
	var b Batch
	for n := range 20 {
		b.Reset()
		for range n {
			e := randomEvent(rng)
			add(f, &b, e)
		}
		f.Add(b.Append(nil))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, no := decode(body)
		if no != nil {
			return
		}
		if n, no := Count(body); no != nil || n != got.Len() {
			t.Fatalf("counted %d, %v; there are %d", n, no, got.Len())
		}
		again, no := decode(written(t, got))
		if no != nil {
			t.Fatal(no)
		}
		for i := range got.Events {
			got.Events[i].Index = uint32(i) // refused ones are gone
		}
		got.Rejects = nil
		if diff := different(again, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// written writes the events of a batch.
func written(t *testing.T, from *meter.Batch) []byte {
	t.Helper()
	var b Batch
	for i := range from.Events {
		e := &from.Events[i]
		shape, err := meter.ParseShape(from.Bytes(from.ShapeOf(e).Bytes))
		if err != nil {
			t.Fatal(err)
		}
		out := Event{Source: string(from.Bytes(e.Source)), ID: string(from.Bytes(e.ID)), Subject: string(from.Bytes(e.Subject)), Type: shape.Type,
			Usage: []Component{}, Dimensions: shape.Dimensions}
		if e.Time != meter.NoTime {
			out.Time = time.Unix(0, e.Time)
		}
		for k, name := range shape.Components {
			out.Usage = append(out.Usage, Component{name, from.Quantity(e, k)})
		}
		add1(t, &b, &out)
	}
	return b.Append(nil)
}

func BenchmarkDecode(b *testing.B) {
	var batch Batch
	for i := range 1000 {
		add(b, &batch, Event{Source: fmt.Sprint("gateway-", i%4), ID: fmt.Sprintf("01HZX3J9V2D8K5M7Q0R4T6W%03d", i), Subject: fmt.Sprint("acct-", i), Type: "llm.tokens",
			Usage: []Component{{"input", money.Quantity(1+i) * 1e6}, {"cached_input", 64e6}, {"output", 310e6}}, Dimensions: []meter.Dimension{{Key: "model", Value: fmt.Sprint("model-", i%8)}}})
	}
	body := batch.Append(nil)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	var into meter.Batch
	for b.Loop() {
		into.Reset(seed)
		if _, no := Decode(body, &into); no != nil {
			b.Fatal(no)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/event")
}

// TestExampleOfTheDocs reads the example of docs/compact.md.
func TestExampleOfTheDocs(t *testing.T) {
	doc, err := os.ReadFile("../docs/compact.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(doc), "An example,")
	var body []byte
	for line := range strings.Lines(example) {
		left, _, _ := strings.Cut(strings.TrimSpace(line), "   ") // what it means stands behind
		if b, err := hex.DecodeString(strings.ReplaceAll(left, " ", "")); err == nil {
			body = append(body, b...)
		}
	}
	got, no := decode(body)
	if no != nil || len(got.Events) != 2 {
		t.Fatalf("%x: %v, refused %+v", body, no, got.Rejects)
	}
	var want meter.Batch
	want.Reset(seed)
	setFields(&want, 0, &Event{Source: "gw", ID: "e1", Subject: "acme", Type: "llm", Usage: []Component{{"out", 3e6}}, Dimensions: []meter.Dimension{{Key: "k"}}})
	setFields(&want, 1, &Event{Source: "gw", ID: "e2", Subject: "b", Type: "api", Time: time.Unix(0, 1)})
	if diff := different(got, &want); diff != "" {
		t.Error(diff)
	}
}

// TestManyNames has an event with more components and dimensions than one may have, beside a good one.
func TestManyNames(t *testing.T) {
	var b Batch
	body := add(t, &b, Event{Source: "gw", ID: "1", Subject: "acme", Type: "m", Usage: []Component{{"c", 1e6}}})
	good, rest := body[len("FEB\x01\x01\x01\x02gw\x01"):], []byte(nil) // the table of shapes, base time, event
	shape := []byte("\x01m")
	shape = append(shape, meter.MaxComponents+1)
	for i := range meter.MaxComponents + 1 {
		shape = append(shape, 2, 'a', byte('A'+i))
	}
	shape = append(shape, 0)
	body = append([]byte("FEB\x01\x02\x01\x02gw\x02"), byte(len(shape)))
	body = append(append(body, shape...), good[:len(good)-len("\x00\x00\x04acme\x011\x02")]...)
	rest = append(rest, "\x00\x00\x04acme\x012"...)
	for range meter.MaxComponents + 1 {
		rest = append(rest, 2)
	}
	body = append(append(body, rest...), "\x02\x00\x04acme\x011\x02"...)
	got, no := decode(body)
	if no != nil || len(got.Events) != 1 || len(got.Rejects) != 1 || got.Rejects[0].Refusal.Reason != "too_many_components" {
		t.Errorf("%x: %v, %d events, %+v", body, no, len(got.Events), got.Rejects)
	}
}

// TestRecordsMax has a small body whose events, each with its shape, come to more than a body of JSON may have.
func TestRecordsMax(t *testing.T) {
	e := Event{Source: "gw", Subject: "acme", Type: "m"}
	for i := range meter.MaxDimensions {
		e.Dimensions = append(e.Dimensions, meter.Dimension{Key: fmt.Sprint("k", i), Value: strings.Repeat("v", meter.MaxDimensionBytes)})
	}
	var b Batch
	for i := range 1900 {
		e.ID = fmt.Sprint(i)
		add1(t, &b, &e)
	}
	var into meter.Batch
	into.Reset(seed)
	size, no := Decode(b.Append(nil), &into)
	if no != nil || size < 1900*meter.MaxDimensions*meter.MaxDimensionBytes || size > recordsMax {
		t.Fatal(size, no)
	}
	for i := range 200 {
		e.ID = fmt.Sprint("x", i)
		add1(t, &b, &e)
	}
	if _, no := decode(b.Append(nil)); no == nil || no.Code != refusal.TooLarge || no.Reason != "records_too_large" {
		t.Error(no)
	}
}
