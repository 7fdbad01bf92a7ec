package httpapi

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"farthing/meter"
	"farthing/money"
	"farthing/refusal"
	"farthing/usage"
)

// The dumb twin of the decoder: it parses every event into a tree with
// encoding/json, and then looks at the tree. It must agree with decodeEvents on
// every input: the same code for the whole, the same events, the same codes for
// the same indexes.

// timeSyntax is RFC 3339; package time is laxer about hours of one digit, commas
// and offsets.
var timeSyntax = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// node is a JSON value with duplicate keys kept.
type node struct {
	kind  byte // '{', '[', '"', '0', 't' (both booleans), 'n'
	text  string
	keys  []string
	items []*node
}

// parseTree returns nil when raw is not JSON, not UTF-8 or nested too deeply.
func parseTree(raw []byte) *node {
	if !utf8.Valid(raw) || !json.Valid(raw) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	n := treeOf(dec)
	if n.depth() > depthMax {
		return nil
	}
	return n
}

func treeOf(dec *json.Decoder) *node {
	token, err := dec.Token()
	if err != nil {
		panic(err) // json.Valid said it is
	}
	switch t := token.(type) {
	case json.Delim:
		n := &node{kind: byte(t)}
		for dec.More() {
			if t == '{' {
				key, err := dec.Token()
				if err != nil {
					panic(err)
				}
				n.keys = append(n.keys, key.(string))
			}
			n.items = append(n.items, treeOf(dec))
		}
		if _, err := dec.Token(); err != nil {
			panic(err)
		}
		return n
	case string:
		return &node{kind: '"', text: t}
	case json.Number:
		return &node{kind: '0', text: t.String()}
	case bool:
		return &node{kind: 't', text: strconv.FormatBool(t)}
	}
	return &node{kind: 'n'}
}

func (n *node) depth() int {
	deepest := 0
	for _, item := range n.items {
		deepest = max(deepest, item.depth())
	}
	if n.kind == '{' || n.kind == '[' {
		return deepest + 1
	}
	return deepest
}

func (n *node) duplicate() bool {
	seen := map[string]bool{}
	for _, key := range n.keys {
		if seen[key] {
			return true
		}
		seen[key] = true
	}
	for _, item := range n.items {
		if item.duplicate() {
			return true
		}
	}
	return false
}

func (n *node) field(name string) *node {
	for i, key := range n.keys {
		if key == name && n.items[i].kind != 'n' {
			return n.items[i]
		}
	}
	return nil
}

// loneSurrogate looks for half a surrogate pair in the raw text of valid JSON.
func loneSurrogate(raw string) bool {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		if raw[i+1] != 'u' {
			i++
			continue
		}
		switch class := strings.ToLower(raw[i+2 : i+4]); {
		case class >= "d8" && class <= "db":
			rest := strings.ToLower(raw[i+6:])
			if len(rest) < 6 || rest[:2] != `\u` || rest[2:4] < "dc" || rest[2:4] > "df" {
				return true
			}
			i += 11
		case class >= "dc" && class <= "df":
			return true
		default:
			i += 5
		}
	}
	return false
}

// twinDecode is decodeEvents, done dumbly.
func twinDecode(f format, body []byte, batch *meter.Batch) refusal.Code {
	return twinElements(f, body, func(index int, raw string, tree *node) {
		batch.Begin(index)
		if tree == nil {
			batch.Refuse(refusal.Malformed, "", "")
			batch.End()
			return
		}
		twinEvent(f, raw, tree, batch)
	})
}

// twinElements calls each for every element of a body, with nil for a line that is broken.
func twinElements(f format, body []byte, each func(index int, raw string, tree *node)) refusal.Code {
	if f == formatNDJSON {
		n := 0
		for _, line := range strings.Split(string(body), "\n") {
			if strings.Trim(line, " \t\r") == "" {
				continue
			}
			each(n, line, parseTree([]byte(line)))
			n++
		}
		return ""
	}
	if !utf8.Valid(body) || !json.Valid(body) {
		return refusal.Malformed
	}
	raws := []json.RawMessage{body}
	switch first := strings.Trim(string(body), " \t\r\n")[0]; {
	case first == '{' && f != formatCloudEventsBatch:
	case first == '[' && f != formatCloudEvents && f != formatOne:
		raws = nil // not to be decoded into body's memory
		if err := json.Unmarshal(body, &raws); err != nil {
			return refusal.Malformed
		}
	default:
		return refusal.Malformed
	}
	for i, raw := range raws {
		tree := parseTree(raw)
		if tree == nil {
			return refusal.Malformed
		}
		each(i, string(raw), tree)
	}
	return ""
}

func twinEvent(f format, raw string, n *node, batch *meter.Batch) {
	invalid := func(bad bool) {
		if bad {
			batch.Refuse(refusal.Invalid, "", "")
		}
	}
	invalid(n.kind != '{')
	invalid(n.duplicate())
	invalid(loneSurrogate(raw))
	invalid(f.cloudEvents() && n.field("specversion") == nil)
	invalid(n.field("data_base64") != nil)
	for name, set := range map[string]func([]byte){
		"id": batch.SetID, "source": batch.SetSource, "type": batch.SetType, "subject": batch.SetSubject,
		"time": func(v []byte) {
			var at time.Time
			err := at.UnmarshalText(v)
			invalid(err != nil || !timeSyntax.Match(v) || at.UTC().Year() < 1970 || at.UTC().Year() > 2200)
			if err == nil {
				batch.SetTime(at.UnixNano())
			}
		},
		"specversion":     func(v []byte) { invalid(string(v) != "1.0") },
		"datacontenttype": func(v []byte) { invalid(!isJSONType(v)) },
	} {
		if v := n.field(name); v != nil {
			invalid(v.kind != '"')
			set([]byte(v.text))
		}
	}
	data := n.field("data")
	formats := []*node{n.field(usageFormatKey)}
	if data != nil {
		invalid(data.kind != '{')
		formats = append(formats, data.field(usageFormatKey))
		twinData(data, batch, formats[0] != nil || formats[1] != nil)
	}
	twinProvider(raw, data, formats, batch)
	batch.End()
}

// twinProvider does what usage_format asks for.
func twinProvider(raw string, data *node, formats []*node, batch *meter.Batch) {
	var format usage.Format
	for _, n := range formats {
		if n == nil {
			continue
		}
		f, ok := usage.ParseFormat([]byte(n.text))
		if !ok || n.kind != '"' || format != 0 && f != format {
			batch.Refuse(refusal.Invalid, "", "")
			return
		}
		format = f
	}
	if format == 0 {
		return
	}
	var event, inside map[string]json.RawMessage // not a struct, whose keys match in any case
	if data == nil || data.kind != '{' || data.field("usage") == nil || json.Unmarshal([]byte(raw), &event) != nil || json.Unmarshal(event["data"], &inside) != nil {
		batch.Refuse(refusal.Invalid, "", "")
		return
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, inside["usage"]); err != nil || compact.Len() > meter.MaxRawUsageBytes {
		batch.Refuse(refusal.Invalid, "", "")
		return
	}
	batch.SetRawUsage(byte(format), compact.Bytes())
	parts, tier, no := format.Normalise(compact.Bytes(), nil)
	if no != nil {
		batch.Refuse(no.Code, "", "")
		return
	}
	for _, c := range parts {
		batch.Component([]byte(c.Name), c.Quantity)
	}
	own := ""
	if given := data.field("service_tier"); given != nil && (given.kind == '"' || given.kind == '0' || given.kind == 't') {
		own = usage.Tier([]byte(given.text))
	}
	switch {
	case own != "" && tier != "" && own != tier:
		batch.Refuse(refusal.Invalid, "", "")
	case own == "":
		own = tier
	}
	if own != "" && own != usage.Standard {
		batch.Dimension([]byte("service_tier"), []byte(own))
	}
}

func twinData(data *node, batch *meter.Batch, provider bool) {
	for i, key := range data.keys {
		v := data.items[i]
		switch {
		case key == usageFormatKey, provider && (key == "usage" || key == "service_tier"):
		case key == "usage" && v.kind == '{':
			batch.Usage()
			for k, name := range v.keys {
				q, err := money.ParseQuantity([]byte(v.items[k].text))
				if v.items[k].kind != '0' || err != nil {
					batch.Refuse(refusal.Invalid, "", "")
				}
				batch.Component([]byte(name), q)
			}
		case key == "usage":
			if v.kind != 'n' {
				batch.Refuse(refusal.Invalid, "", "")
			}
		case v.kind == '"' || v.kind == '0' || v.kind == 't':
			batch.Dimension([]byte(key), []byte(v.text))
		}
	}
}

// sameDecoding compares the decoder with its twin on one body.
func sameDecoding(t *testing.T, f format, body []byte) {
	t.Helper()
	var got, want meter.Batch
	got.Reset(7)
	want.Reset(7)
	wantCode := twinDecode(f, body, &want)
	var gotCode refusal.Code
	no := decodeEvents(f, body, meter.MaxBatchEvents, &got)
	if no != nil {
		gotCode = no.Code
	}
	if gotCode != wantCode {
		t.Fatalf("format %d: %q: code %q (%v), twin says %q", f, body, gotCode, no, wantCode)
	}
	if gotCode != "" {
		return
	}
	if len(got.Rejects) != len(want.Rejects) || len(got.Events) != len(want.Events) {
		t.Fatalf("format %d: %q: %d events, %v; twin says %d events, %v",
			f, body, len(got.Events), got.Rejects, len(want.Events), want.Rejects)
	}
	for i, r := range got.Rejects {
		if w := want.Rejects[i]; r.Index != w.Index || r.Refusal.Code != w.Refusal.Code {
			t.Fatalf("format %d: %q: refused %+v, twin says %+v", f, body, r, w)
		}
	}
	for i := range got.Events {
		if a, b := eventText(&got, i), eventText(&want, i); a != b {
			t.Fatalf("format %d: %q: event\n%s\ntwin says\n%s", f, body, a, b)
		}
		a, b := &got.Events[i], &want.Events[i]
		if a.Identity != b.Identity || a.Content != b.Content || a.SubjectHash != b.SubjectHash || got.ShapeOf(a).Hash != want.ShapeOf(b).Hash {
			t.Fatalf("format %d: %q: the hashes of event %d differ", f, body, i)
		}
	}
}

// eventText is all that a record says, with its bytes instead of their places.
func eventText(b *meter.Batch, i int) string {
	e := &b.Events[i]
	var quantities []string
	for k := range int(b.ShapeOf(e).Components) {
		quantities = append(quantities, b.Quantity(e, k).String())
	}
	when := "-"
	if e.Time != meter.NoTime {
		when = time.Unix(0, e.Time).UTC().Format(time.RFC3339Nano)
	}
	shape, err := meter.ParseShape(b.Bytes(b.ShapeOf(e).Bytes))
	if err != nil {
		panic(err)
	}
	var s strings.Builder
	s.WriteString(strconv.Itoa(int(e.Index)) + " " + strconv.Quote(string(b.IdentityBytes(e))) + " " + string(b.Bytes(e.Subject)))
	s.WriteString(" " + when + " " + shape.Type)
	for k, name := range shape.Components {
		s.WriteString(" " + name + "=" + quantities[k])
	}
	for _, d := range shape.Dimensions {
		s.WriteString(" " + strconv.Quote(d.Key) + ":" + strconv.Quote(d.Value))
	}
	if raw := b.Bytes(e.Raw); len(raw) > 0 {
		s.WriteString(" raw " + strconv.Itoa(int(raw[0])) + string(raw[1:]))
	}
	return s.String()
}

func fuzzFormat(f *testing.F, format format) {
	for _, body := range seedBodies() {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { sameDecoding(t, format, body) })
}

func FuzzDecodeJSON(f *testing.F)             { fuzzFormat(f, formatJSON) }
func FuzzDecodeNDJSON(f *testing.F)           { fuzzFormat(f, formatNDJSON) }
func FuzzDecodeCloudEvents(f *testing.F)      { fuzzFormat(f, formatCloudEvents) }
func FuzzDecodeCloudEventsBatch(f *testing.F) { fuzzFormat(f, formatCloudEventsBatch) }

// FuzzParseTime holds the time parser against time.Time's own.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"2026-11-23T10:00:00Z", "2024-02-29T23:59:59.999999999+14:00", "2023-02-29T00:00:00Z",
		"1970-01-01T00:00:00+00:01", "2200-12-31T23:59:59Z", "2201-01-01T00:00:00Z", "2026-11-23T24:00:00Z", "2026-11-23T10:00:60Z",
		"2026-11-23T10:00:00.1234567891Z", "2026-11-23t10:00:00z", "2026-11-23T10:00:00", "2026-11-23T10:00:00,5Z", "2026-11-23T1:00:00Z",
		"2026-11-23T10:00:00.Z", "2026-11-23T10:00:00-23:59", "2026-11-23T10:00:00+24:00", "2026-00-01T00:00:00Z", "0000-01-01T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ns, ok := parseTime([]byte(s))
		var at time.Time
		err := at.UnmarshalText([]byte(s))
		want := err == nil && timeSyntax.MatchString(s) && at.UTC().Year() >= yearMin && at.UTC().Year() <= yearMax
		if ok != want || (ok && ns != at.UnixNano()) {
			t.Fatalf("%q: %d %v, time says %v %v", s, ns, ok, at, err)
		}
		// As another time than the one before, and as one of the same minute.
		var m lastMinute
		for _, before := range []string{"2026-11-23T10:00:00Z", s, s} {
			m.parse([]byte(before))
			if again, taken := m.parse([]byte(s)); again != ns || taken != ok {
				t.Fatalf("%q after %q: %d %v, alone %d %v", s, before, again, taken, ns, ok)
			}
		}
	})
}
