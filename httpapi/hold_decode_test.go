package httpapi

import (
	"fmt"
	"strings"
	"testing"

	"farthing/engine"
	"farthing/meter"
	"farthing/refusal"
)

// jsonObject writes an object of keys and raw values; keys without a value are left out.
func jsonObject(fields ...string) string {
	var parts []string
	for i := 0; i < len(fields); i += 2 {
		if fields[i+1] != "" {
			parts = append(parts, fmt.Sprintf("%q:%s", fields[i], fields[i+1]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// The readings by name.
var (
	readHolds    = operationReadings[0]
	readCaptures = operationReadings[2]
	readExtend   = operationReadings[4]
	readCapture  = operationReadings[5]
	readVoid     = operationReadings[6]
)

func holdOf(amount string) string {
	return jsonObject("id", `"h1"`, "account", `"acme"`, "amount", amount)
}

func holdFor(ttl string) string {
	return jsonObject("id", `"h1"`, "account", `"acme"`, "amount", `"1"`, "ttl", ttl)
}

func holdBy(estimate string) string {
	return jsonObject("id", `"h1"`, "account", `"acme"`, "estimate", estimate)
}

func captureOf(event string) string { return jsonObject("hold", `"h1"`, "event", event) }

var goodOperations = []struct {
	reading    operationReading
	body, want string
}{
	{readHolds, holdOf(`"0.5"`), `1 0 hold=h1 id= account=acme currency= amount=0.5 ttl=0s`},
	{readHolds, holdOf(`"12.50"`), `1 0 hold=h1 id= account=acme currency= amount=12.5 ttl=0s`},
	{readHolds, holdOf(`"0.000000000000000001"`), `1 0 hold=h1 id= account=acme currency= amount=0.000000000000000001 ttl=0s`},
	{readHolds, holdOf(`"0.1000000000000000000000"`), `1 0 hold=h1 id= account=acme currency= amount=0.1 ttl=0s`},
	{readHolds, holdOf(`"1000000000000"`), `1 0 hold=h1 id= account=acme currency= amount=1000000000000 ttl=0s`},
	{readHolds, holdFor(`"1s"`), `1 0 hold=h1 id= account=acme currency= amount=1 ttl=1s`},
	{readHolds, holdFor(`"1.5s"`), `1 0 hold=h1 id= account=acme currency= amount=1 ttl=1.5s`},
	{readHolds, holdFor(`"168h"`), `1 0 hold=h1 id= account=acme currency= amount=1 ttl=168h0m0s`},
	{readHolds, holdFor(`"1h2m3s"`), `1 0 hold=h1 id= account=acme currency= amount=1 ttl=1h2m3s`},
	{readHolds, jsonObject("ttl", "null", "estimate", "null", "currency", `"USD"`, "amount", `"1"`, "account", `"acme"`, "id", `"h1"`),
		`1 0 hold=h1 id= account=acme currency=USD amount=1 ttl=0s`},
	{readHolds, ` { "\u0069d" : "\u0068/1" , "account":"\u0061cme", "amount" : "\u0031" } `, `1 0 hold=h/1 id= account=acme currency= amount=1 ttl=0s`},
	{readHolds, holdBy(`{"type":"t"}`), `1 0 hold=h1 id= account=acme currency= amount= ttl=0s 0 "-\x00h1" acme - t call=1`},
	{readHolds, holdBy(`{"type":"t","data":null}`), `1 0 hold=h1 id= account=acme currency= amount= ttl=0s 0 "-\x00h1" acme - t call=1`},
	{readHolds, jsonObject("estimate", `{"data":{"model":"m","usage":{"output":4,"input":3}},"type":"t"}`, "account", `"acme"`, "id", `"h1"`, "ttl", `"2m"`),
		`1 0 hold=h1 id= account=acme currency= amount= ttl=2m0s 0 "-\x00h1" acme - t input=3 output=4 "model":"m"`},
	{readHolds, holdBy(`{"type":"t","data":{"usage_format":"openai","usage":{"prompt_tokens":9}}}`),
		`1 0 hold=h1 id= account=acme currency= amount= ttl=0s 0 "-\x00h1" acme - t input=9 raw 1{"prompt_tokens":9}`},
	// A late format: the estimate is read again, and the escaped names before it live on.
	{readHolds, jsonObject("id", `"\u0068/1"`, "account", `"\u0061cme"`, "estimate", `{"type":"\u0074","data":{"x":"\u0079","usage":{"prompt_tokens":9},"usage_format":"openai"}}`),
		`1 0 hold=h/1 id= account=acme currency= amount= ttl=0s 0 "-\x00h/1" acme - t input=9 "x":"y" raw 1{"prompt_tokens":9}`},
	{readCaptures, jsonObject("hold", `"h1"`, "amount", `"0.5"`), `3 0 hold=h1 id= account= currency= amount=0.5 ttl=0s`},
	{readCaptures, captureOf(with()), `3 0 hold=h1 id= account= currency= amount= ttl=0s 0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=3 "model":"m"`},
	{readCaptures, jsonObject("event", with("time", "", "ext", `{"a":1}`, "specversion", `"1.0"`), "hold", `"h1"`, "amount", "null"),
		`3 0 hold=h1 id= account= currency= amount= ttl=0s 0 "s\x00a" acme - llm.tokens input=3 "model":"m"`},
	{readCaptures, jsonObject("hold", `"\u0068/1"`, "event", with("data", `{"usage":{"input_tokens":9},"usage_format":"anthropic"}`)),
		`3 0 hold=h/1 id= account= currency= amount= ttl=0s 0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=9 raw 2{"input_tokens":9}`},
	{readCaptures, captureOf(with("usage_format", `"openai"`, "data", `{"usage":{"prompt_tokens":9}}`)),
		`3 0 hold=h1 id= account= currency= amount= ttl=0s 0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=9 raw 1{"prompt_tokens":9}`},
	{readCapture, with(), `3 0 hold=p/1 id= account= currency= amount= ttl=0s 0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=3 "model":"m"`},
	{readCapture, with("data", `{"usage":{"prompt_tokens":9},"usage_format":"openai"}`), `3 0 hold=p/1 id= account= currency= amount= ttl=0s 0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=9 raw 1{"prompt_tokens":9}`},
	{readCapture, `{"amount":"3"}`, `3 0 hold=p/1 id= account= currency= amount=3 ttl=0s`},
	{readCapture, `{"event":` + with() + `}`, `3 0 hold=p/1 id= account= currency= amount= ttl=0s 0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=3 "model":"m"`},
	{readExtend, `{"id":"x1","amount":"3"}`, `2 0 hold=p/1 id=x1 account= currency= amount=3 ttl=0s`},
	{readExtend, `{"ttl":"90s","id":"x1"}`, `2 0 hold=p/1 id=x1 account= currency= amount= ttl=1m30s`},
	{readExtend, `{"id":"x1","event":` + with() + `,"ttl":"5s","amount":"1"}`,
		`2 0 hold=p/1 id=x1 account= currency= amount=1 ttl=5s 0 "s\x00a" acme 2026-11-23T10:00:00Z llm.tokens input=3 "model":"m"`},
	{readVoid, `{}`, `4 0 hold=p/1 id= account= currency= amount= ttl=0s`},
	{readVoid, `{"id":"v1","reason":"gone"}`, `4 0 hold=p/1 id=v1 account= currency= amount= ttl=0s`},
}

// badOperations are refused alone, with the reason.
var badOperations = []struct {
	name    string
	reading operationReading
	body    string
	reason  string
}{
	{"number", readHolds, `7`, "wrong_type"},
	{"null", readHolds, `null`, "wrong_type"},
	{"list", readHolds, `[1]`, "wrong_type"},
	{"no id", readHolds, jsonObject("account", `"acme"`, "amount", `"1"`), "missing_field"},
	{"null id", readHolds, jsonObject("id", "null", "account", `"acme"`, "amount", `"1"`), "missing_field"},
	{"id as a number", readHolds, jsonObject("id", "7", "account", `"acme"`, "amount", `"1"`), "wrong_type"},
	{"bad id", readHolds, jsonObject("id", `"h 1"`, "account", `"acme"`, "amount", `"1"`), "invalid_id"},
	{"empty id", readHolds, jsonObject("id", `""`, "account", `"acme"`, "amount", `"1"`), "invalid_id"},
	{"long id", readHolds, jsonObject("id", `"`+strings.Repeat("x", 129)+`"`, "account", `"acme"`, "amount", `"1"`), "invalid_id"},
	{"no account", readHolds, jsonObject("id", `"h1"`, "amount", `"1"`), "missing_field"},
	{"bad account", readHolds, jsonObject("id", `"h1"`, "account", `"ä"`, "amount", `"1"`), "invalid_id"},
	{"neither", readHolds, jsonObject("id", `"h1"`, "account", `"acme"`), "amount_or_estimate"},
	{"both null", readHolds, jsonObject("id", `"h1"`, "account", `"acme"`, "amount", "null", "estimate", "null"), "amount_or_estimate"},
	{"both", readHolds, jsonObject("id", `"h1"`, "account", `"acme"`, "amount", `"1"`, "estimate", `{"type":"t"}`), "amount_or_estimate"},
	{"amount as a number", readHolds, holdOf(`1.5`), "wrong_type"},
	{"amount as an object", readHolds, holdOf(`{}`), "wrong_type"},
	{"amount zero", readHolds, holdOf(`"0"`), "invalid_amount"},
	{"amount minus zero", readHolds, holdOf(`"-0"`), "invalid_amount"},
	{"negative amount", readHolds, holdOf(`"-0.5"`), "invalid_amount"},
	{"19 places", readHolds, holdOf(`"0.0000000000000000001"`), "invalid_amount"},
	{"19 places of a large amount", readHolds, holdOf(`"999.1234567890123456789"`), "invalid_amount"},
	{"amount with an exponent", readHolds, holdOf(`"1e3"`), "invalid_amount"},
	{"amount with a plus", readHolds, holdOf(`"+1"`), "invalid_amount"},
	{"amount with a space", readHolds, holdOf(`" 1"`), "invalid_amount"},
	{"amount with a zero before it", readHolds, holdOf(`"01"`), "invalid_amount"},
	{"amount without digits", readHolds, holdOf(`""`), "invalid_amount"},
	{"amount above the most", readHolds, holdOf(`"1000000000000.000000000000000001"`), "invalid_amount"},
	{"amount out of range", readHolds, holdOf(`"` + strings.Repeat("9", 60) + `"`), "invalid_amount"},
	{"unknown currency", readHolds, jsonObject("id", `"h1"`, "account", `"acme"`, "amount", `"1"`, "currency", `"usd"`), "unknown_currency"},
	{"currency as a number", readHolds, jsonObject("id", `"h1"`, "account", `"acme"`, "amount", `"1"`, "currency", `840`), "wrong_type"},
	{"short ttl", readHolds, holdFor(`"999.999999ms"`), "invalid_ttl"},
	{"long ttl", readHolds, holdFor(`"168h0m0.000000001s"`), "invalid_ttl"},
	{"ttl without a unit", readHolds, holdFor(`"60"`), "invalid_ttl"},
	{"negative ttl", readHolds, holdFor(`"-60s"`), "invalid_ttl"},
	{"ttl in days", readHolds, holdFor(`"1d"`), "invalid_ttl"},
	{"empty ttl", readHolds, holdFor(`""`), "invalid_ttl"},
	{"ttl of many digits", readHolds, holdFor(`"` + strings.Repeat("0", 40) + `60s"`), "invalid_ttl"},
	{"ttl out of range", readHolds, holdFor(`"99999999999999999999h"`), "invalid_ttl"},
	{"ttl as a number", readHolds, holdFor(`60`), "wrong_type"},
	{"unknown field", readHolds, jsonObject("id", `"h1"`, "account", `"acme"`, "amount", `"1"`, "note", `"x"`), "unknown_field"},
	{"field of a capture", readHolds, jsonObject("id", `"h1"`, "account", `"acme"`, "event", with()), "unknown_field"},
	{"field in another case", readHolds, jsonObject("ID", `"h1"`, "account", `"acme"`, "amount", `"1"`), "unknown_field"},
	{"key twice", readHolds, jsonObject("id", `"h1"`, "account", `"acme"`, "amount", `"1"`, "id", `"h1"`), "duplicate_key"},
	{"key twice, once null", readHolds, jsonObject("id", `"h1"`, "account", `"acme"`, "amount", `"1"`, "ttl", "null", "ttl", `"2s"`), "duplicate_key"},
	{"key twice, escaped", readHolds, `{"id":"h1","account":"acme","amount":"1","\u0061mount":"1"}`, "duplicate_key"},
	{"half a surrogate pair", readHolds, jsonObject("id", `"h1"`, "account", `"acme"`, "estimate", `{"type":"t","data":{"x":"\ud800"}}`), "invalid_string"},
	{"estimate as a number", readHolds, holdBy(`7`), "wrong_type"},
	{"estimate as a list", readHolds, holdBy(`[{}]`), "wrong_type"},
	{"estimate without a type", readHolds, holdBy(`{"data":{"usage":{"input":1}}}`), "missing_field"},
	{"estimate of a null type", readHolds, holdBy(`{"type":null}`), "missing_field"},
	{"estimate of a wrong type", readHolds, holdBy(`{"type":7}`), "wrong_type"},
	{"estimate of a bad type", readHolds, holdBy(`{"type":"a b"}`), "invalid_id"},
	{"estimate with more", readHolds, holdBy(`{"type":"t","subject":"acme"}`), "unknown_field"},
	{"estimate with data as text", readHolds, holdBy(`{"type":"t","data":"x"}`), "wrong_type"},
	{"estimate with a type twice", readHolds, holdBy(`{"type":"t","type":"t"}`), "duplicate_key"},
	{"estimate with data twice", readHolds, holdBy(`{"type":"t","data":null,"data":{}}`), "duplicate_key"},
	{"estimate with a dimension twice", readHolds, holdBy(`{"type":"t","data":{"x":1,"x":2}}`), "duplicate_key"},
	{"estimate of a negative quantity", readHolds, holdBy(`{"type":"t","data":{"usage":{"input":-1}}}`), "negative_quantity"},
	{"estimate of an unknown format", readHolds, holdBy(`{"type":"t","data":{"usage":{"input":1},"usage_format":"x"}}`), "unknown_usage_format"},
	{"no hold", readCaptures, `{"amount":"1"}`, "missing_field"},
	{"bad hold", readCaptures, `{"hold":"h 1","amount":"1"}`, "invalid_id"},
	{"hold as a number", readCaptures, `{"hold":1,"amount":"1"}`, "wrong_type"},
	{"capture of nothing", readCaptures, `{"hold":"h1"}`, "amount_or_event"},
	{"capture of both", readCaptures, jsonObject("hold", `"h1"`, "event", with(), "amount", `"1"`), "amount_or_event"},
	{"capture of zero", readCaptures, `{"hold":"h1","amount":"0"}`, "invalid_amount"},
	{"capture with an id", readCaptures, `{"id":"c1","hold":"h1","amount":"1"}`, "unknown_field"},
	{"capture of a number as an event", readCaptures, captureOf(`7`), "wrong_type"},
	{"capture of an event without an id", readCaptures, captureOf(with("id", "")), "missing_field"},
	{"capture of a bad event after a good field", readCaptures, captureOf(usageEvent("-1")), "negative_quantity"},
	{"capture of two events", readCaptures, jsonObject("event", with(), "hold", `"h1"`, "event", with()), "duplicate_key"},
	{"hold in a body about a path", readCapture, `{"hold":"h1","amount":"1"}`, "unknown_field"},
	{"extension without an id", readExtend, `{"amount":"1"}`, "missing_field"},
	{"extension of nothing", readExtend, `{"id":"x1"}`, "missing_field"},
	{"extension of nulls", readExtend, `{"id":"x1","ttl":null,"amount":null,"event":null}`, "missing_field"},
	{"extension by an estimate", readExtend, `{"id":"x1","estimate":{"type":"t"}}`, "unknown_field"},
	{"extension by a bad event", readExtend, `{"id":"x1","ttl":"60s","event":` + with("subject", "") + `}`, "missing_field"},
	{"extension by zero", readExtend, `{"id":"x1","amount":"0","ttl":"60s"}`, "invalid_amount"},
	{"void with more", readVoid, `{"amount":"1"}`, "unknown_field"},
	{"void with a bad id", readVoid, `{"id":""}`, "invalid_id"},
	{"void with a long reason", readVoid, `{"reason":"` + strings.Repeat("x", 501) + `"}`, "invalid_reason"},
	{"void with a control character", readVoid, `{"reason":"\n"}`, "invalid_reason"},
	{"void with a reason of a wrong type", readVoid, `{"reason":[]}`, "wrong_type"},
}

// operationSeeds is the corpus that fuzzing starts from.
func operationSeeds() []string {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	out := []string{"", " ", "[]", "[[]]", "{}", "null", `"x"`, "\n{}\n", "{", `{"hold":"h1"`, `{"hold":"h1","event":{"id":"e"`, string(holdArray(2)), string(captureArray(2)),
		jsonObject("other", deep(depthMax-1)), jsonObject("other", deep(depthMax)), captureOf(deep(depthMax - 1)), captureOf(deep(depthMax)),
		captureOf(with("ext", deep(depthMax-2))), captureOf(with("ext", deep(depthMax-1))),
		holdBy(`{"type":"t","data":{"x":` + deep(depthMax-3) + `}}`), holdBy(`{"type":"t","data":{"x":` + deep(depthMax-2) + `}}`),
		holdBy(`{"type":"t","data":{"x":`) + `,"amount":"1"}`, holdOf(`"1"`) + "x", holdOf(`"1"`) + holdOf(`"2"`), holdOf(`"1`), holdOf(`1.`)}
	for _, o := range goodOperations {
		out = append(out, o.body)
	}
	for _, o := range badOperations {
		out = append(out, o.body)
	}
	return out
}

func TestGoodOperations(t *testing.T) {
	for _, o := range goodOperations {
		d, _, _ := o.reading.read(o.body)
		if d.code != "" || len(d.rejects) > 0 || len(d.ops) != 1 || d.ops[0] != o.want {
			t.Errorf("%s\n got %+v\nwant %s", o.body, d, o.want)
		}
	}
}

// TestBadOperations puts each bad operation between two good ones, in an array and as lines:
// it is refused with its reason, and they are not touched.
func TestBadOperations(t *testing.T) {
	for _, o := range badOperations {
		if o.reading.path != "" {
			_, holds, batch := o.reading.read(o.body)
			wantReject(t, o.name, holds, batch, 0, o.reason, "p/1", 0)
			continue
		}
		first, last := holdBy(`{"type":"first"}`), holdBy(`{"type":"last"}`)
		if o.reading.kind == engine.CaptureHold {
			first, last = captureOf(with("id", `"first"`)), captureOf(with("id", `"last"`))
		}
		for f, body := range map[format]string{
			formatJSON:   "[" + first + "," + o.body + "," + last + "]",
			formatNDJSON: first + "\n" + o.body + "\n" + last,
		} {
			r := o.reading
			r.format = f
			d, holds, batch := r.read(body)
			if d.code != "" || len(holds.Ops) != 2 || len(batch.Events) != 2 || holds.Ops[0].Index != 0 || holds.Ops[1].Index != 2 || holds.Ops[1].Event != 1 {
				t.Fatalf("%s: the neighbours: %+v", o.name, d)
			}
			if !strings.Contains(d.ops[0], "first") || !strings.Contains(d.ops[1], "last") {
				t.Errorf("%s: the neighbours: %+v", o.name, d)
			}
			id := ""
			if strings.Contains(o.body, `"id":"h1"`) || strings.Contains(o.body, `"hold":"h1"`) {
				id = "h1"
			}
			wantReject(t, o.name, holds, batch, 1, o.reason, id, 2)
		}
	}
}

func wantReject(t *testing.T, name string, holds *engine.HoldBatch, batch *meter.Batch, index uint32, reason, id string, ops int) {
	t.Helper()
	if len(holds.Ops) != ops || len(batch.Rejects) != 1 || batch.Rejects[0].Index != index {
		t.Fatalf("%s: %d operations, refused %+v", name, len(holds.Ops), batch.Rejects)
	}
	r := batch.Rejects[0]
	if r.Refusal.Code != refusal.Invalid || r.Refusal.Reason != reason {
		t.Errorf("%s: %s %s (%s), want %s", name, r.Refusal.Code, r.Refusal.Reason, r.Refusal.Detail, reason)
	}
	if id != "" && r.ID != id {
		t.Errorf("%s: refused under %q, want %q", name, r.ID, id)
	}
}

// TestRefusedEventsHaveTheHoldsID: the client knows its operations by their holds.
func TestRefusedEventsHaveTheHoldsID(t *testing.T) {
	f := func(r operationReading, body, want string) {
		t.Helper()
		_, _, batch := r.read(body)
		if len(batch.Rejects) != 1 || batch.Rejects[0].ID != want {
			t.Errorf("%s: %+v, want it under %s", body, batch.Rejects, want)
		}
	}
	lines := operationReadings[3]
	f(readCaptures, captureOf(usageEvent("-1")), "h1")
	f(readCaptures, jsonObject("event", usageEvent("-1"), "hold", `"h 1"`), "h_1")
	f(readCaptures, `{"event":`+with()+`}`, "")
	f(lines, `{"hold":"h1","event":{"id":"e1","source":`, "h1")
	f(lines, `{"event":{"id":"e1","source":`, "")
	f(lines, `{"event":{"id":"e1"},"hold":"h1"`, "h1")
	f(operationReadings[1], `{"id":"h1","account`, "h1")
	f(lines, captureOf(with())+"x", "h1")
}

func TestOperationBodies(t *testing.T) {
	f := func(r operationReading, body string, code refusal.Code, ops int) {
		t.Helper()
		d, _, _ := r.read(body)
		if d.code != code || len(d.ops) != ops {
			t.Errorf("%.60q: %q, %d operations, want %q, %d", body, d.code, len(d.ops), code, ops)
		}
	}
	hold := holdOf(`"1"`)
	full := strings.Repeat(hold+",", meter.MaxBatchEvents-1) + hold
	lines := operationReadings[1]
	f(readHolds, "", refusal.Malformed, 0)
	f(readHolds, "7", refusal.Malformed, 0)
	f(readHolds, "[]", "", 0)
	f(readHolds, "["+hold+",{]", refusal.Malformed, 0)
	f(readHolds, "["+hold+"] x", refusal.Malformed, 0)
	f(readHolds, "["+full+"]", "", meter.MaxBatchEvents)
	f(readHolds, "["+full+","+hold+"]", refusal.TooLarge, 0)
	f(lines, "", "", 0)
	f(lines, hold+"\n{\n\n"+hold, "", 2)
	f(lines, strings.ReplaceAll(full, "},", "}\n")+"\n"+hold, refusal.TooLarge, 0)
	f(lines, "\xff\n"+hold, "", 1)
	f(readHolds, "[\"\xff\"]", refusal.Malformed, 0)
	f(readVoid, "[{}]", refusal.Malformed, 0)
	f(readExtend, `[{"id":"x1","amount":"1"}]`, refusal.Malformed, 0)
	f(readCapture, "{}{}", refusal.Malformed, 0)
	f(readCapture, "[]", refusal.Malformed, 0)
}

// TestOperationsInABody: what is too short to be operations is refused without looking at each,
// and the shortest captures are not.
func TestOperationsInABody(t *testing.T) {
	f := func(kind engine.HoldOpKind, op string, n int, want refusal.Code) {
		t.Helper()
		body := []byte(strings.Repeat(op+"\n", n))
		holds, batch := &engine.HoldBatch{}, &meter.Batch{}
		var got refusal.Code
		if no := decodeOperations(kind, nil, formatNDJSON, body, operationsIn(kind, len(body)), holds, batch); no != nil {
			got = no.Code
		}
		if got != want || got == "" && len(holds.Ops)+len(batch.Rejects) != n {
			t.Errorf("%d of %s: %q, want %q", n, op, got, want)
		}
	}
	f(engine.CaptureHold, `{"hold":"h","amount":"1"}`, 1000, "")
	f(engine.PlaceHold, `{"id":"h","account":"a","amount":"1"}`, 1000, "")
	f(engine.CaptureHold, `{"hold":"h"}`, 1000, refusal.Malformed)
	f(engine.PlaceHold, `{"id":"h","account":"a"}`, 1000, refusal.Malformed)
	f(engine.PlaceHold, `{"id":"h","account":"a","amount":"1"}`, meter.MaxBatchEvents+1, refusal.TooLarge)
	f(engine.PlaceHold, `{}`, 1, "")
}

// TestNothingOfABodyIsLeft reads a hold with everything, and then one that lacks it.
func TestNothingOfABodyIsLeft(t *testing.T) {
	_, holds, _ := readHolds.read("[" + jsonObject("id", `"h1"`, "account", `"acme"`, "amount", `"1"`, "currency", `"USD"`, "ttl", `"5s"`) + "," + holdBy(`{"type":"t"}`) + "]")
	if op := holds.Ops[1]; op.HasAmount || !op.Amount.IsZero() || op.TTL != 0 || !op.Currency.IsZero() || op.Event != 0 {
		t.Errorf("%+v", op)
	}
	_, holds, batch := readCaptures.read("[" + captureOf(with()) + "," + jsonObject("hold", `"h2"`, "amount", `"1"`) + "]")
	if op := holds.Ops[1]; op.Event != -1 || len(batch.Events) != 1 {
		t.Errorf("%+v", op)
	}
}
