package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gowebpki/jcs"
	"github.com/shopspring/decimal"

	"farthing/money"
)

// canonical is what an independent RFC 8785 implementation makes of a value.
func canonical(t testing.TB, v any) string {
	t.Helper()
	plain, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jcs.Transform(plain)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// batchAtTheEdges has the largest numbers and the longest texts there are.
func batchAtTheEdges(t testing.TB) (Manifest, []Line, [][]byte) {
	t.Helper()
	long := strings.Repeat("AZaz09._:-/@", 11)[:idBytesMax]
	half := money.FromWords(math.MaxInt64, math.MaxUint64)
	half, _ = half.Cut(0)
	positions := []Position{
		{Account: long, Kind: Customer, GrossDebits: half, CarriedIn: exact(decimal.New(5, -18)), Receivable: half, Events: numberMax},
		{Account: OperatorAccount, Kind: Operator, Returned: exact(decimal.New(-1, -18))},
		{Account: "zz", Kind: Provider, GrossCredits: half, Returned: exact(decimal.New(1, -18)), Payable: half.MustAdd(exact(decimal.New(1, -18)))},
	}
	lines, sums, err := netAll(positions, 3)
	if err != nil {
		t.Fatal(err)
	}
	kwd, _ := money.Lookup("KWD")
	cut := Cut{
		Ledger: long, Partition: math.MaxUint32, Window: numberMax, Currency: kwd, First: numberMax, Last: numberMax,
		Time: math.MaxInt64, Events: numberMax, MerkleRoot: sha256.Sum256([]byte("m")), Previous: sha256.Sum256([]byte("p")),
		FirstStreamSeq: numberMax,
	}
	scope := cut.Scope()
	m, err := NewManifest(cut, len(lines), sums, HashLines(&scope, lines))
	if err != nil {
		t.Fatal(err)
	}
	return m, lines, records(&scope, lines)
}

func TestCanonicalLine(t *testing.T) {
	m, lines, recs := batchAtTheEdges(t)
	for i, l := range lines {
		want := canonical(t, map[string]any{
			"batch_id": hex.EncodeToString(m.BatchID[:]), "currency": "KWD", "window": m.Window, "partition": m.Partition,
			"line": l.Line, "account": l.Account, "direction": l.Direction.String(), "amount": l.Amount.Decimal().String(),
			"gross_debits": l.GrossDebits.Decimal().String(), "gross_credits": l.GrossCredits.Decimal().String(),
			"returned": l.Returned.Decimal().String(), "carried_in": l.CarriedIn.Decimal().String(),
			"carried_out": l.CarriedOut.Decimal().String(), "events": l.Events,
		})
		if string(recs[i]) != want {
			t.Errorf("got  %s\nwant %s", recs[i], want)
		}
		scope, back, err := ParseLine(recs[i])
		if err != nil || back != l || scope != m.Scope() {
			t.Errorf("%s reads back as %+v, %+v, %v", recs[i], scope, back, err)
		}
	}
}

func TestCanonicalManifest(t *testing.T) {
	m, lines, recs := batchAtTheEdges(t)
	text := func(h [32]byte) string { return hex.EncodeToString(h[:]) }
	id := sha256.Sum256([]byte(canonical(t, []any{m.Ledger, m.Partition, m.Window, "KWD", m.First, m.Last})))
	want := canonical(t, map[string]any{
		"batch_id": text(id), "ledger": m.Ledger, "partition": m.Partition, "window": m.Window, "currency": "KWD",
		"first_sequence": m.First, "last_sequence": m.Last, "time": time.Unix(0, m.Time).UTC(), "events": m.Events,
		"lines": len(lines), "merkle_root": text(m.MerkleRoot), "lines_hash": text(sha256.Sum256(slices.Concat(recs...))),
		"previous": text(m.Previous), "first_stream_seq": m.FirstStreamSeq,
		"sums": map[string]string{
			"paid": m.Sums.Paid.Decimal().String(), "collected": m.Sums.Collected.Decimal().String(),
			"gross_debits": m.Sums.GrossDebits.Decimal().String(), "gross_credits": m.Sums.GrossCredits.Decimal().String(),
			"returned": "0", "carried_in": m.Sums.CarriedIn.Decimal().String(), "carried_out": m.Sums.CarriedOut.Decimal().String(),
		},
	})
	got := m.AppendJSON(nil)
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if m.Hash() != sha256.Sum256([]byte(want)) {
		t.Error("hash is not that of the canonical bytes")
	}
	if back, err := ParseManifest(got); err != nil || back != m {
		t.Errorf("reads back as %+v, %v", back, err)
	}
}

func TestNewManifestRefuses(t *testing.T) {
	sound, _, _ := batchAtTheEdges(t)
	f := func(what string, want error, change func(c *Cut, s *Sums, lines *int)) {
		t.Helper()
		cut, sums, lines := sound.Cut, sound.Sums, int(sound.Lines)
		change(&cut, &sums, &lines)
		m, err := NewManifest(cut, lines, sums, sound.LinesHash)
		if !errors.Is(err, want) || (err != nil && m != Manifest{}) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	f("nothing", nil, func(*Cut, *Sums, *int) {})
	f("ledger", ErrRange, func(c *Cut, _ *Sums, _ *int) { c.Ledger = "a b" })
	f("currency", ErrRange, func(c *Cut, _ *Sums, _ *int) { c.Currency = money.Currency{} })
	f("order", ErrRange, func(c *Cut, _ *Sums, _ *int) { c.Last-- })
	f("last", ErrRange, func(c *Cut, _ *Sums, _ *int) { c.Last++ })
	f("window", ErrRange, func(c *Cut, _ *Sums, _ *int) { c.Window++ })
	f("stream", ErrRange, func(c *Cut, _ *Sums, _ *int) { c.FirstStreamSeq++ })
	f("time", ErrRange, func(c *Cut, _ *Sums, _ *int) { c.Time = -1 })
	f("lines", ErrRange, func(_ *Cut, _ *Sums, n *int) { *n = 1 })
	f("negative lines", ErrRange, func(_ *Cut, _ *Sums, n *int) { *n = -1 })
	f("events", ErrUnbalanced, func(c *Cut, _ *Sums, _ *int) { c.Events-- })
	f("gross", ErrUnbalanced, func(_ *Cut, s *Sums, _ *int) { s.GrossDebits = units(1) })
	f("returned", ErrUnbalanced, func(_ *Cut, s *Sums, _ *int) { s.Returned = units(1) })
	f("paid", ErrUnbalanced, func(_ *Cut, s *Sums, _ *int) { s.Paid = units(1) })
	f("carried", ErrUnbalanced, func(_ *Cut, s *Sums, _ *int) { s.CarriedIn = units(1) })
}

// Whatever byte of a batch is changed, and to whatever, it is noticed.
func TestVerifyNoticesEveryByte(t *testing.T) {
	m, _, recs := batchAtTheEdges(t)
	for i := range recs {
		for at := range recs[i] {
			for _, to := range []byte{0, ' ', '"', '0', '1', '9', 'a', recs[i][at] ^ 1, recs[i][at] ^ 0x20} {
				changed := slices.Clone(recs)
				changed[i] = slices.Clone(recs[i])
				changed[i][at] = to
				if same := to == recs[i][at]; same != (verify(&m, changed) == nil) {
					t.Fatalf("line %d, byte %d to %q: verified", i, at, to)
				}
			}
		}
	}
	whole := m.AppendJSON(nil)
	for at := range whole {
		for _, to := range []byte{' ', '"', '0', '1', 'a', 'F', whole[at] ^ 1} {
			changed := slices.Clone(whole)
			changed[at] = to
			back, err := ParseManifest(changed)
			if err == nil && !bytes.Equal(back.AppendJSON(nil), changed) {
				t.Fatalf("byte %d to %q: read as something else", at, to)
			}
			if err == nil && to != whole[at] && back.Hash() == m.Hash() {
				t.Fatalf("byte %d to %q: same hash", at, to)
			}
		}
	}
}

func TestVerifyLinesRefuses(t *testing.T) {
	m, lines, recs := batchAtTheEdges(t)
	f := func(what string, want error, m Manifest, recs ...[]byte) {
		t.Helper()
		if err := verify(&m, recs); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", what, err, want)
		}
	}
	f("nothing", nil, m, recs...)
	f("last line missing", ErrMismatch, m, recs[:2]...)
	f("first line missing", ErrMismatch, m, recs[1:]...)
	f("line twice", ErrMismatch, m, recs[0], recs[0], recs[1], recs[2])
	f("lines swapped", ErrMismatch, m, recs[1], recs[0], recs[2])
	f("cut off", ErrFormat, m, recs[0][:100])
	f("empty", ErrFormat, m, []byte{})
	f("no lines", ErrMismatch, m)
	scope := m.Scope()
	other := scope
	other.Window--
	f("other window", ErrMismatch, m, lines[0].AppendJSON(nil, &other))
	wrong := lines[0]
	wrong.CarriedOut = units(1)
	f("equation", ErrEquation, m, wrong.AppendJSON(nil, &scope))
	unsorted := lines[1]
	unsorted.Account, unsorted.Line = lines[0].Account, 2
	f("account twice", ErrMismatch, m, recs[0], unsorted.AppendJSON(nil, &scope))
	changed := m
	changed.Lines++
	f("more lines said", ErrMismatch, changed, recs...)
	changed = m
	changed.LinesHash[0] ^= 1
	f("other hash", ErrMismatch, changed, recs...)
	changed = m
	changed.Sums.Paid, changed.Sums.Collected = money.Amount{}, money.Amount{}
	f("other sums", ErrMismatch, changed, recs...)
	changed = m
	changed.Window--
	f("id of another cut", ErrMismatch, changed, recs...)
	noOperator := m
	l := lines[1]
	l.Account = "oper"
	f("no operator", ErrMismatch, noOperator, recs[0], l.AppendJSON(nil, &scope), recs[2])
}

func TestLineRefuses(t *testing.T) {
	lines, _, err := netAll(sound(), 3)
	if err != nil {
		t.Fatal(err)
	}
	f := func(what string, change func(l *Line)) {
		t.Helper()
		l := lines[0]
		change(&l)
		if err := l.check(3); !errors.Is(err, ErrEquation) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	f("number 0", func(l *Line) { l.Line = 0 })
	f("negative amount", func(l *Line) { l.Amount = l.Amount.Neg() })
	f("parts of a minor unit", func(l *Line) { l.Amount = exact(decimal.New(1, -4)) })
	f("amount without direction", func(l *Line) { l.Direction = None })
	f("direction without amount", func(l *Line) { l.Amount = money.Amount{} })
	f("other direction", func(l *Line) { l.Direction = Pay })
	f("operator paid", func(l *Line) { l.Account = OperatorAccount })
	f("negative gross", func(l *Line) { l.GrossDebits = units(-1) })
}

func TestEncodingBugsPanic(t *testing.T) {
	f := func(what string, encode func()) {
		t.Helper()
		defer func() {
			if text, _ := recover().(string); !strings.HasPrefix(text, "BUG:") {
				t.Errorf("%s: recovered %q", what, text)
			}
		}()
		encode()
	}
	f("account", func() { (&Line{Account: `a"b`}).AppendJSON(nil, &Scope{}) })
	f("number", func() { (&Line{Account: "a", Events: 1 << 53}).AppendJSON(nil, &Scope{}) })
	f("direction", func() { (&Line{Account: "a", Direction: 3}).AppendJSON(nil, &Scope{}) })
	f("ledger", func() { ID("", 0, 0, money.Currency{}, 0, 0) })
}

func FuzzParseLine(f *testing.F) {
	_, _, recs := batchAtTheEdges(f)
	for _, r := range recs {
		f.Add(r)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		scope, line, err := ParseLine(data)
		if err != nil {
			return
		}
		if again := line.AppendJSON(nil, &scope); !bytes.Equal(again, data) {
			t.Fatalf("%q reads as %q", data, again)
		}
		if out, err := jcs.Transform(data); err != nil || !bytes.Equal(out, data) {
			t.Fatalf("%q is not canonical: %q, %v", data, out, err)
		}
	})
}

func FuzzParseManifest(f *testing.F) {
	m, _, _ := batchAtTheEdges(f)
	f.Add(m.AppendJSON(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if err != nil {
			return
		}
		if again := m.AppendJSON(nil); !bytes.Equal(again, data) {
			t.Fatalf("%q reads as %q", data, again)
		}
		if out, err := jcs.Transform(data); err != nil || !bytes.Equal(out, data) {
			t.Fatalf("%q is not canonical: %q, %v", data, out, err)
		}
	})
}
