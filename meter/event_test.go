package meter

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"farthing/money"
	"farthing/refusal"
)

// draft is an event as a test writes it.
type draft struct {
	source, id, subject, kind string
	time                      int64
	usage                     []component
	dims                      [][2]string
	noUsage                   bool
	raw                       string // with format 2, if not empty
}

func standardDraft() draft {
	return draft{source: "gw", id: "e1", subject: "acme", kind: "llm.tokens", time: NoTime,
		usage: []component{{[]byte("input"), 5e6}, {[]byte("output"), 7e6}}, dims: [][2]string{{"model", "m1"}, {"region", "eu"}}}
}

func (d *draft) put(b *Batch, index int) {
	b.Begin(index)
	b.SetSource([]byte(d.source))
	b.SetID([]byte(d.id))
	b.SetSubject([]byte(d.subject))
	b.SetType([]byte(d.kind))
	if d.time != NoTime {
		b.SetTime(d.time)
	}
	if !d.noUsage {
		b.Usage()
	}
	if d.raw != "" {
		b.SetRawUsage(2, []byte(d.raw))
	}
	for _, u := range d.usage {
		b.Component(u.name, u.quantity)
	}
	for _, x := range d.dims {
		b.Dimension([]byte(x[0]), []byte(x[1]))
	}
	b.End()
}

// hashes returns identity and content of a draft, which must be acceptable.
func hashes(t *testing.T, d draft) (identity, content uint64) {
	t.Helper()
	var b Batch
	b.Reset(42)
	d.put(&b, 0)
	if len(b.Events) != 1 {
		t.Fatalf("refused: %+v", b.Rejects)
	}
	e := &b.Events[0]
	if e.Time != d.time {
		t.Fatalf("time %d, want %d", e.Time, d.time)
	}
	return e.Identity, e.Content
}

// TestIdentityAndContent changes one thing at a time and says what must follow.
func TestIdentityAndContent(t *testing.T) {
	f := func(what string, sameIdentity, sameContent bool, change func(*draft)) {
		t.Helper()
		d := standardDraft()
		i0, c0 := hashes(t, d)
		change(&d)
		i1, c1 := hashes(t, d)
		if (i0 == i1) != sameIdentity || (c0 == c1) != sameContent {
			t.Errorf("%s: same identity %v, same content %v", what, i0 == i1, c0 == c1)
		}
	}
	f("nothing", true, true, func(*draft) {})
	f("time", true, true, func(d *draft) { d.time = 12345 })
	f("order of components", true, true, func(d *draft) { d.usage[0], d.usage[1] = d.usage[1], d.usage[0] })
	f("order of dimensions", true, true, func(d *draft) { d.dims[0], d.dims[1] = d.dims[1], d.dims[0] })
	f("a zero quantity more", true, true, func(d *draft) { d.usage = append(d.usage, component{[]byte("cached"), 0}) })
	f("the provider's own object", true, true, func(d *draft) { d.raw = `{"input_tokens": 5}` })
	f("source", false, true, func(d *draft) { d.source = "gx" })
	f("id", false, true, func(d *draft) { d.id = "e2" })
	f("where source ends", false, true, func(d *draft) { d.source, d.id = "g", "we1" })
	f("subject", true, false, func(d *draft) { d.subject = "beta" })
	f("type", true, false, func(d *draft) { d.kind = "llm.token" })
	f("quantity", true, false, func(d *draft) { d.usage[0].quantity++ })
	f("swapped quantities", true, false, func(d *draft) { d.usage[0].quantity, d.usage[1].quantity = d.usage[1].quantity, d.usage[0].quantity })
	f("component's name", true, false, func(d *draft) { d.usage[0].name = []byte("inputs") })
	f("a component less", true, false, func(d *draft) { d.usage = d.usage[:1] })
	f("dimension's value", true, false, func(d *draft) { d.dims[0][1] = "m2" })
	f("dimension's key", true, false, func(d *draft) { d.dims[0][0] = "modl" })
	f("a dimension less", true, false, func(d *draft) { d.dims = d.dims[:1] })
	f("an empty dimension more", true, false, func(d *draft) { d.dims = append(d.dims, [2]string{"z", ""}) })
	f("where key ends", true, false, func(d *draft) { d.dims[0] = [2]string{"mode", "lm1"} })

	one := standardDraft()
	one.noUsage, one.usage = true, nil
	explicit := standardDraft()
	explicit.usage = []component{{[]byte("call"), 1e6}}
	empty := standardDraft()
	empty.usage = nil
	_, a := hashes(t, one)
	_, b := hashes(t, explicit)
	_, c := hashes(t, empty)
	if a != b || a == c {
		t.Error("absent usage is one call; empty usage is none")
	}
}

// TestContentHashAgrees computes the hash of every accepted event from its parts, as
// replay does, for random events of one batch.
func TestContentHashAgrees(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	var b Batch
	for round := range 20 {
		b.Reset(rng.Uint64())
		for i := range 50 {
			d := draft{source: fmt.Sprint("s", rng.IntN(3)), id: fmt.Sprint("e", i), subject: fmt.Sprint("c", rng.IntN(9)), kind: "m", time: NoTime}
			for k := range rng.IntN(MaxComponents + 1) {
				d.usage = append(d.usage, component{fmt.Append(nil, "c", k), money.Quantity(rng.IntN(3)) * money.Quantity(rng.Uint32())})
			}
			for k := range rng.IntN(MaxDimensions + 1) {
				d.dims = append(d.dims, [2]string{fmt.Sprint("d", k), strings.Repeat("v", rng.IntN(MaxDimensionBytes+1))})
			}
			if rng.IntN(2) == 0 {
				d.raw = fmt.Sprintf(`{"n":%d}`, rng.Uint64())
			}
			rng.Shuffle(len(d.usage), func(i, j int) { d.usage[i], d.usage[j] = d.usage[j], d.usage[i] })
			rng.Shuffle(len(d.dims), func(i, j int) { d.dims[i], d.dims[j] = d.dims[j], d.dims[i] })
			d.put(&b, i)
		}
		if len(b.Events) != 50 || b.Len() != 50 {
			t.Fatalf("round %d: refused %+v", round, b.Rejects)
		}
		for i := range b.Events {
			checkEvent(t, &b, &b.Events[i])
		}
	}
}

func checkEvent(t *testing.T, b *Batch, e *Event) {
	t.Helper()
	raw := b.Bytes(b.ShapeOf(e).Bytes)
	shape, err := ParseShape(raw)
	if err != nil || !bytes.Equal(shape.Append(nil), raw) {
		t.Fatalf("shape %x: %v", raw, err)
	}
	components := int(b.ShapeOf(e).Components)
	if len(shape.Components) != components {
		t.Fatalf("%d components, the shape has %d", components, len(shape.Components))
	}
	var quantities []money.Quantity
	for i := range components {
		quantities = append(quantities, b.Quantity(e, i))
		if quantities[i] == 0 {
			t.Fatal("a zero quantity was kept")
		}
	}
	if got := ContentHash(b.Bytes(e.Subject), raw, quantities, b.seed); got != e.Content {
		t.Fatalf("content %x from parts, %x in the batch", got, e.Content)
	}
	identity := string(b.Bytes(e.Source)) + "\x00" + string(b.Bytes(e.ID))
	if string(b.IdentityBytes(e)) != identity {
		t.Fatalf("identity %q, want %q", b.IdentityBytes(e), identity)
	}
}

// TestRefusals is the table of everything an event can be refused for.
func TestRefusals(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	many := func(n int) (out []component) {
		for i := range n {
			out = append(out, component{fmt.Append(nil, "c", i), 1})
		}
		return out
	}
	wide := func(n int) (out [][2]string) {
		for i := range n {
			out = append(out, [2]string{fmt.Sprint("d", i), "v"})
		}
		return out
	}
	f := func(reason string, change func(*draft)) {
		t.Helper()
		d := standardDraft()
		change(&d)
		var b Batch
		b.Reset(1)
		d.put(&b, 17)
		if reason == "" {
			if len(b.Events) != 1 || b.Events[0].Index != 17 {
				t.Errorf("refused: %+v", b.Rejects)
			}
			return
		}
		if len(b.Rejects) != 1 || len(b.Events) != 0 || b.Len() != 1 {
			t.Errorf("%s: not refused", reason)
			return
		}
		if r := b.Rejects[0]; r.Refusal.Code != refusal.Invalid || r.Refusal.Reason != reason || r.Index != 17 || r.Refusal.Detail == "" {
			t.Errorf("want %s, got %+v", reason, r)
		}
	}
	for _, set := range []func(*draft, string){
		func(d *draft, v string) { d.source = v }, func(d *draft, v string) { d.id = v },
		func(d *draft, v string) { d.subject = v }, func(d *draft, v string) { d.kind = v },
	} {
		for _, bad := range []string{"", "a b", "a\x00b", "ä", "a#b", long(129)} {
			f("invalid_id", func(d *draft) { set(d, bad) })
		}
		for _, good := range []string{"a", "A-Z._:-/@9", long(128)} {
			f("", func(d *draft) { set(d, good) })
		}
	}
	for _, bad := range []string{"", "in put", "ü", long(65)} {
		f("invalid_component", func(d *draft) { d.usage[0].name = []byte(bad) })
	}
	f("", func(d *draft) { d.usage[0].name = []byte(long(64)) })
	f("duplicate_key", func(d *draft) { d.usage[0].name = []byte("output") })
	f("duplicate_key", func(d *draft) { d.usage = append(d.usage, component{[]byte("input"), 0}) })
	f("too_many_components", func(d *draft) { d.usage = many(MaxComponents + 1) })
	f("", func(d *draft) { d.usage = many(MaxComponents) })
	for _, bad := range []string{"", "\xff", long(65)} {
		f("invalid_dimension", func(d *draft) { d.dims[0][0] = bad })
	}
	f("invalid_dimension", func(d *draft) { d.dims[0][1] = long(257) })
	f("invalid_dimension", func(d *draft) { d.dims[0][1] = "\xc3" })
	f("", func(d *draft) { d.dims[0] = [2]string{long(64), long(256)} })
	f("", func(d *draft) { d.dims[0] = [2]string{"schlüssel", ""} })
	f("duplicate_key", func(d *draft) { d.dims[0][0] = "region" })
	f("usage_too_large", func(d *draft) { d.raw = `"` + long(MaxRawUsageBytes-1) + `"` })
	f("usage_too_large", func(d *draft) { d.raw = `"` + long(MaxRawUsageBytes-2) + `\u0041"` })
	f("", func(d *draft) { d.raw = `"` + long(MaxRawUsageBytes-2) + `"` })
	f("", func(d *draft) { d.raw = "[" + strings.Repeat(" ", 2*MaxRawUsageBytes) + "]" })
	f("too_many_dimensions", func(d *draft) { d.dims = wide(MaxDimensions + 1) })
	f("", func(d *draft) { d.dims = wide(MaxDimensions) })
}

// TestRefusalOrder shows that the first fault counts, that missing names are told, that
// a name given twice is refused, and which id the answer shows.
func TestRefusalOrder(t *testing.T) {
	f := func(wantReason, wantDetail, wantID string, build func(*Batch)) {
		t.Helper()
		var b Batch
		b.Reset(1)
		b.Begin(3)
		build(&b)
		b.End()
		if len(b.Rejects) != 1 {
			t.Errorf("%s: accepted", wantReason)
			return
		}
		r := b.Rejects[0]
		if r.Refusal.Reason != wantReason || !strings.Contains(r.Refusal.Detail, wantDetail) || r.ID != wantID {
			t.Errorf("got %+v, want %s (%s) for %q", r, wantReason, wantDetail, wantID)
		}
	}
	names := func(b *Batch) {
		b.SetSource([]byte("s"))
		b.SetID([]byte("i"))
		b.SetSubject([]byte("c"))
		b.SetType([]byte("m"))
	}
	f("missing_field", "id is missing", "", func(b *Batch) {})
	f("missing_field", "source is missing", "i", func(b *Batch) { b.SetID([]byte("i")) })
	f("missing_field", "type is missing", "i", func(b *Batch) { b.SetID([]byte("i")); b.SetSource([]byte("s")) })
	f("missing_field", "subject is missing", "i", func(b *Batch) { b.SetID([]byte("i")); b.SetSource([]byte("s")); b.SetType([]byte("t")) })
	f("duplicate_key", "id is given twice", "i", func(b *Batch) { names(b); b.SetID([]byte("j")) })
	f("duplicate_key", "type is given twice", "i", func(b *Batch) { names(b); b.SetType([]byte("m")) })
	f("first", "the first counts", "i", func(b *Batch) {
		names(b)
		b.Refuse(refusal.Malformed, "first", "the %s counts", "first")
		b.Component([]byte("in put"), 1)
	})
	f("invalid_id", "id must be", "a_b__c", func(b *Batch) { b.SetID([]byte("a b\x00\nc")) })
	f("invalid_id", "id must be", strings.Repeat("y", 32), func(b *Batch) { b.SetID([]byte(strings.Repeat("y", 200))) })
}

// TestBatchIsReusable shows that nothing of an event or a request leaks into the next.
func TestBatchIsReusable(t *testing.T) {
	var b Batch
	b.Reset(1)
	d := standardDraft()
	d.time = 99
	d.put(&b, 0)
	bad := standardDraft()
	bad.id = "no good"
	bad.put(&b, 1)
	next := draft{source: "s", id: "i", subject: "c", kind: "m", time: NoTime, noUsage: true}
	next.put(&b, 2)
	if b.Len() != 3 || len(b.Events) != 2 || len(b.Rejects) != 1 {
		t.Fatalf("%d events, %d rejects", len(b.Events), len(b.Rejects))
	}
	e := &b.Events[1]
	shape, err := ParseShape(b.Bytes(b.ShapeOf(e).Bytes))
	if err != nil || e.Time != NoTime || e.Index != 2 || len(shape.Dimensions) != 0 || len(shape.Components) != 1 || b.Quantity(e, 0) != 1e6 {
		t.Fatalf("the third event is %+v, shape %+v, %v", e, shape, err)
	}
	b.Reset(2)
	if b.Len() != 0 {
		t.Fatal("Reset leaves events")
	}
	d.put(&b, 0)
	checkEvent(t, &b, &b.Events[0])
}

// TestValidID asks about every byte at every place of ids of every length.
func TestValidID(t *testing.T) {
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:-/@"
	text := bytes.Repeat([]byte(" "), MaxIDBytes+2) // what stands around an id does not count
	for n := 1; n <= MaxIDBytes; n++ {
		copy(text[1:], bytes.Repeat([]byte("x"), n))
		id := text[1 : 1+n : 1+n]
		for at := range id {
			for c := range 256 {
				id[at] = byte(c)
				want := strings.IndexByte(allowed, byte(c)) >= 0
				if got := ValidID(id); got != want {
					t.Fatalf("%q: %v", id, got)
				}
			}
			id[at] = 'x'
		}
	}
	if ValidID(nil) || ValidID(bytes.Repeat([]byte("x"), MaxIDBytes+1)) {
		t.Error("an id has 1 to 128 bytes")
	}
}

// TestSharedShapes has more shapes in a batch than are found again, and events of each by turns.
func TestSharedShapes(t *testing.T) {
	var b Batch
	b.Reset(3)
	kinds := 3 * shapesRecent
	for i := range 3 * kinds {
		d := draft{source: "s", id: fmt.Sprint(i), subject: "c", kind: fmt.Sprint("m", i%kinds), time: NoTime}
		d.put(&b, i)
	}
	for i := range b.Events {
		e := &b.Events[i]
		checkEvent(t, &b, e)
		if shape, err := ParseShape(b.Bytes(b.ShapeOf(e).Bytes)); err != nil || shape.Type != fmt.Sprint("m", i%kinds) {
			t.Fatalf("event %d has the shape %+v, %v", i, shape, err)
		}
	}
	few := len(b.Shapes)
	b.Reset(3)
	for i := range 100 {
		d := draft{source: "s", id: fmt.Sprint(i), subject: "c", kind: "m", time: NoTime}
		d.put(&b, i)
	}
	if few < kinds || few > 3*kinds || len(b.Shapes) != 1 {
		t.Errorf("%d shapes of %d kinds, %d of one", few, kinds, len(b.Shapes))
	}
}
