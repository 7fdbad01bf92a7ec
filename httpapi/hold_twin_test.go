package httpapi

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"farthing/engine"
	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
)

// The dumb twin of reading operations: it looks at each as a tree, and lets the twin of
// events read what is inside.

// operationReading is a way in which operations come in.
type operationReading struct {
	kind   engine.HoldOpKind
	path   string
	format format
}

var operationReadings = []operationReading{
	{engine.PlaceHold, "", formatJSON}, {engine.PlaceHold, "", formatNDJSON},
	{engine.CaptureHold, "", formatJSON}, {engine.CaptureHold, "", formatNDJSON},
	{engine.ExtendHold, "p/1", formatOne}, {engine.CaptureHold, "p/1", formatOne}, {engine.VoidHold, "p/1", formatOne},
}

// decoded is what was read from a body, as text.
type decoded struct {
	code    refusal.Code
	ops     []string
	rejects []string
}

// read lets the decoder read a body.
func (r operationReading) read(body string) (d decoded, holds *engine.HoldBatch, batch *meter.Batch) {
	holds, batch = &engine.HoldBatch{}, &meter.Batch{}
	batch.Reset(7)
	var path []byte
	if r.path != "" {
		path = []byte(r.path)
	}
	if no := decodeOperations(r.kind, path, r.format, []byte(body), meter.MaxBatchEvents, holds, batch); no != nil {
		return decoded{code: no.Code}, holds, batch
	}
	events := 0
	for i := range holds.Ops {
		op := &holds.Ops[i]
		d.ops = append(d.ops, operationText(holds, batch, op))
		if op.Event >= 0 {
			events++
		}
	}
	if events != len(batch.Events) {
		panic("an event without an operation")
	}
	for _, no := range batch.Rejects {
		d.rejects = append(d.rejects, rejectText(no.Index, no.ID, no.Refusal.Code))
	}
	return d, holds, batch
}

// rejectText leaves out the id of a broken line, which the twin cannot read.
func rejectText(index uint32, id string, code refusal.Code) string {
	if code == refusal.Malformed {
		id = ""
	}
	return fmt.Sprint(index, " ", id, " ", code)
}

func operationText(h *engine.HoldBatch, b *meter.Batch, op *engine.HoldOp) string {
	amount, event := "", ""
	if op.HasAmount {
		amount = op.Amount.String()
	}
	if op.Event >= 0 {
		event = " " + eventText(b, int(op.Event))
	}
	return fmt.Sprintf("%d %d hold=%s id=%s account=%s currency=%s amount=%s ttl=%s%s", op.Kind, op.Index,
		h.Bytes(op.Hold), h.Bytes(op.ID), h.Bytes(op.Account), op.Currency, amount, op.TTL, event)
}

var twinFields = map[engine.HoldOpKind][]string{
	engine.PlaceHold:   {"id", "account", "amount", "currency", "ttl", "estimate"},
	engine.ExtendHold:  {"id", "amount", "ttl", "event"},
	engine.CaptureHold: {"amount", "event"},
	engine.VoidHold:    {"id", "reason"},
}

// twinRead reads a body dumbly.
func (r operationReading) twinRead(body string) (d decoded) {
	d.code = twinElements(r.format, []byte(body), func(index int, raw string, tree *node) {
		if tree == nil {
			d.rejects = append(d.rejects, rejectText(uint32(index), "", refusal.Malformed))
			return
		}
		w := twinOperation{reading: r, index: index, raw: raw, text: map[string]string{}}
		op, ok := w.read(tree)
		if ok {
			d.ops = append(d.ops, op)
			return
		}
		var b meter.Batch // which makes an id printable
		b.Begin(index)
		b.Refuse(refusal.Invalid, "", "")
		if w.hasHold {
			b.SetID([]byte(w.hold))
		}
		b.End()
		d.rejects = append(d.rejects, rejectText(uint32(index), b.Rejects[0].ID, refusal.Invalid))
	})
	if d.code != "" {
		return decoded{code: d.code}
	}
	return d
}

type twinOperation struct {
	reading operationReading
	index   int
	raw     string
	text    map[string]string
	bad     bool
	hold    string
	hasHold bool
}

func (w *twinOperation) refuse(bad bool) { w.bad = w.bad || bad }

func (w *twinOperation) read(n *node) (op string, ok bool) {
	r := w.reading
	w.hold, w.hasHold = r.path, r.path != ""
	if r.kind == engine.CaptureHold && r.path != "" && isTwinEvent(n) {
		return w.capturedEvent(n)
	}
	known, holdField := twinFields[r.kind], ""
	switch {
	case r.kind == engine.PlaceHold:
		holdField = "id"
	case r.kind == engine.CaptureHold && r.path == "":
		holdField = "hold"
		known = append([]string{"hold"}, known...)
	}
	w.refuse(n.kind != '{' || n.duplicate() || loneSurrogate(w.raw))
	for i, key := range n.keys {
		v := n.items[i]
		w.refuse(!slices.Contains(known, key))
		if v.kind == 'n' || key == "event" || key == "estimate" {
			continue
		}
		w.refuse(v.kind != '"')
		if v.kind == '"' {
			w.text[key] = v.text
			if key == holdField && slices.Contains(known, key) {
				w.hold, w.hasHold = v.text, true
			}
		}
	}
	id := func(name string, required bool) {
		text, given := w.text[name]
		w.refuse(required && !given || given && !meter.ValidID([]byte(text)))
	}
	id("id", r.kind == engine.PlaceHold || r.kind == engine.ExtendHold)
	id("account", r.kind == engine.PlaceHold)
	id("hold", holdField == "hold")
	w.refuse(len(w.text["reason"]) > 500 || strings.ContainsFunc(w.text["reason"], func(c rune) bool { return c < 32 || c == 127 }))
	event := w.event(n)
	amount := w.amount()
	ttl := w.ttl()
	_, timed := w.text["ttl"]
	switch r.kind {
	case engine.PlaceHold, engine.CaptureHold:
		w.refuse((amount == "") == (event == ""))
	case engine.ExtendHold:
		w.refuse(amount == "" && event == "" && !timed)
	}
	if code, given := w.text["currency"]; given {
		_, is := money.Lookup(code)
		w.refuse(!is)
	}
	id0 := w.text["id"]
	if r.kind == engine.PlaceHold {
		id0 = ""
	}
	return fmt.Sprintf("%d %d hold=%s id=%s account=%s currency=%s amount=%s ttl=%s%s", r.kind, w.index,
		w.hold, id0, w.text["account"], w.text["currency"], amount, ttl, event), !w.bad
}

// isTwinEvent reports whether the body of a capture is the event itself.
func isTwinEvent(n *node) bool {
	has := func(keys ...string) bool {
		return slices.ContainsFunc(keys, func(key string) bool { return slices.Contains(n.keys, key) })
	}
	return n.kind == '{' && has("id", "source", "type", "subject", "data") && !has("amount", "event")
}

func (w *twinOperation) capturedEvent(n *node) (op string, ok bool) {
	var b meter.Batch
	b.Reset(7)
	b.Begin(w.index)
	twinEvent(formatJSON, w.raw, n, &b)
	if len(b.Rejects) > 0 {
		return "bad", false
	}
	return fmt.Sprintf("%d %d hold=%s id= account= currency= amount= ttl=0s %s", w.reading.kind, w.index, w.hold, eventText(&b, 0)), true
}

var amountSyntax = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

func (w *twinOperation) amount() string {
	text, given := w.text["amount"]
	if !given {
		return ""
	}
	if !amountSyntax.MatchString(text) {
		w.bad = true
		return text
	}
	d := decimal.RequireFromString(text)
	w.refuse(d.Sign() <= 0 || d.GreaterThan(decimal.New(1, 12)) || !d.Equal(d.Truncate(18)))
	return d.String()
}

func (w *twinOperation) ttl() time.Duration {
	text, given := w.text["ttl"]
	if !given {
		return 0
	}
	d, err := time.ParseDuration(text)
	w.refuse(err != nil || d < time.Second || d > 7*24*time.Hour || len(text) > 32)
	return d
}

// event is the text of the event in the operation, or of its estimate as an event; empty:
// there is none.
func (w *twinOperation) event(n *node) string {
	var fields map[string]json.RawMessage
	if n.kind != '{' || json.Unmarshal([]byte(w.raw), &fields) != nil {
		return ""
	}
	name := "event"
	if w.reading.kind == engine.PlaceHold {
		name = "estimate"
	}
	of := n.field(name)
	if of == nil {
		return ""
	}
	raw := string(fields[name])
	if name == "estimate" {
		if of.kind != '{' {
			w.bad = true
			return "bad"
		}
		for _, key := range of.keys {
			w.refuse(key != "type" && key != "data")
		}
		var inside map[string]json.RawMessage
		if json.Unmarshal(fields[name], &inside) != nil || w.bad || inside["type"] == nil {
			w.bad = true
			return "bad"
		}
		raw = fmt.Sprintf(`{"source":"-","id":%q,"subject":%q,"type":%s`, w.hold, w.text["account"], inside["type"])
		if inside["data"] != nil {
			raw += `,"data":` + string(inside["data"])
		}
		raw += "}"
	}
	tree := parseTree([]byte(raw))
	var b meter.Batch
	b.Reset(7)
	b.Begin(w.index)
	twinEvent(formatJSON, raw, tree, &b)
	if len(b.Rejects) > 0 {
		w.bad = true
		return "bad"
	}
	return " " + eventText(&b, 0)
}

// sameOperations compares the decoder with its twin on one body.
func sameOperations(t *testing.T, r operationReading, body string) {
	t.Helper()
	got, _, _ := r.read(body)
	want := r.twinRead(body)
	if got.code != want.code || !slices.Equal(got.ops, want.ops) || !slices.Equal(got.rejects, want.rejects) {
		t.Fatalf("%+v: %q:\n%+v\ntwin says\n%+v", r, body, got, want)
	}
}

func TestOperationsAgreeWithTwin(t *testing.T) {
	for _, r := range operationReadings {
		for _, body := range operationSeeds() {
			sameOperations(t, r, body)
			sameOperations(t, r, "["+body+"]")
		}
	}
}

// TestOperationsAgreeWithTwinAtRandom has operations of random fields, some of them damaged.
func TestOperationsAgreeWithTwinAtRandom(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	seeds := operationSeeds()
	good, bad := 0, 0
	for range 6000 {
		r := operationReadings[random.IntN(len(operationReadings))]
		body := randomOperations(random, r)
		if random.IntN(2) == 0 {
			body = string(damaged(random, []byte(body), seeds))
		}
		sameOperations(t, r, body)
		d, _, _ := r.read(body)
		good += len(d.ops)
		bad += len(d.rejects)
	}
	if good < 1000 || bad < 1000 {
		t.Errorf("%d operations and %d refusals: the test does not see enough of one", good, bad)
	}
}

func randomOperations(random *rand.Rand, r operationReading) string {
	n, separator, begin, end := 1, "", "", ""
	switch {
	case r.format == formatNDJSON:
		n, separator = 1+random.IntN(4), "\n"
	case r.format == formatJSON && random.IntN(3) > 0:
		n, separator, begin, end = random.IntN(4), ",", "[", "]"
	}
	ops := make([]string, n)
	for i := range ops {
		ops[i] = randomOperation(random, r)
	}
	return begin + strings.Join(ops, separator) + end
}

// randomOperation has the fields that its kind needs, most of the time, in any order.
func randomOperation(random *rand.Rand, r operationReading) string {
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	var fields []string
	add := func(often int, key string, values ...string) {
		if random.IntN(20) < often {
			fields = append(fields, fmt.Sprintf(`%s%q%s:%s%s`, pick("", " "), key, pick("", " "), pick("", "\t"), pick(values...)))
		}
	}
	amounts := []string{`"1"`, `"0.5"`, `"12.50"`, `"0.000000000000000001"`, `"1000000000000"`, `"1.0000000000000000000"`, `"999999999999.999999999999999999"`,
		`"0"`, `"-1"`, `"1e3"`, `"0.0000000000000000001"`, `1`, `null`, `"\u0031"`}
	ttls := []string{`"60s"`, `"1.5s"`, `"168h"`, `"1h30m"`, `"0.5s"`, `"168h1ns"`, `60`, `""`, `null`}
	events := []string{with(), with("time", ""), with("data", `{"usage":{"prompt_tokens":1},"usage_format":"openai"}`), with("subject", `"\u0061"`), usageEvent("-1"), `null`, `7`}
	byAmount := random.IntN(2) * 18
	switch r.kind {
	case engine.PlaceHold:
		add(19, "id", `"h1"`, `"\u0068-2"`, `"h/3"`, `"h 4"`)
		add(19, "account", `"acme"`, `"a\u0062"`)
		add(byAmount, "amount", amounts...)
		add(18-byAmount, "estimate", `{"type":"t"}`, `{"type":"t","data":{"model":"m","usage":{"input":3}}}`, `{"data":{"usage":{"inputTokens":9},"usage_format":"bedrock"},"type":"t\u0031"}`,
			`{"data":null,"type":"t"}`, `{"data":{}}`, `{"type":"t","x":1}`, `{"type":null}`, `null`, `[]`)
		add(6, "currency", `"USD"`, `"EUR"`, `"XXX"`, `null`)
	case engine.ExtendHold:
		add(19, "id", `"x1"`, `"x/\u0032"`)
		add(10, "amount", amounts...)
		add(10, "event", events...)
	case engine.CaptureHold:
		if r.path != "" && random.IntN(3) == 0 {
			return pick(events[:5]...)
		}
		if r.path == "" {
			add(19, "hold", `"h1"`, `"\u0068-2"`)
		}
		add(byAmount, "amount", amounts...)
		add(18-byAmount, "event", events...)
	default:
		add(10, "id", `"v1"`, `""`)
		add(10, "reason", `"why"`, `"\u007f"`, `null`)
	}
	add(6, "ttl", ttls...)
	add(1, "other", `{"a":[1]}`)
	add(1, "id", `"twice"`)
	random.Shuffle(len(fields), func(i, k int) { fields[i], fields[k] = fields[k], fields[i] })
	return "{" + strings.Join(fields, ",") + "}"
}

func FuzzDecodeOperations(f *testing.F) {
	for _, body := range operationSeeds() {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body string) {
		for _, r := range operationReadings {
			sameOperations(t, r, body)
		}
	})
}
