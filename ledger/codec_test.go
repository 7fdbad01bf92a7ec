package ledger

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"

	"farthing/money"
)

// TestCodecRoundTrip encodes and decodes the rows, grants and totals of a random history, one
// after the other in one buffer, restores a ledger from them, and goes on with it.
func TestCodecRoundTrip(t *testing.T) {
	h := newHistory(t, 9, "USD", "KWD")
	for range 700 {
		h.step()
	}
	var buf []byte
	for i := range h.l.Rows.Len() {
		buf = h.l.Rows.At(i).Append(buf)
	}
	for i := range h.l.Grants.Len() {
		buf = h.l.Grants.At(i).Append(buf)
	}
	all := h.l.AllTotals()
	for i := range all {
		buf = all[i].Append(buf)
	}
	restored := New(1)
	for i := range h.l.Rows.Len() {
		row, rest, err := DecodeRow(buf)
		if err != nil || row != *h.l.Rows.At(i) {
			t.Fatalf("row %d: %+v %v", i, row, err)
		}
		restored.Rows.Restore(i, row)
		buf = rest
	}
	for i := range h.l.Grants.Len() {
		g, rest, err := DecodeGrant(buf)
		if err != nil || g != *h.l.Grants.At(i) {
			t.Fatalf("grant %d: %+v %v", i, g, err)
		}
		restored.Grants.Restore(i, g)
		buf = rest
	}
	totals := make([]Totals, len(all))
	for i := range all {
		var err error
		if totals[i], buf, err = DecodeTotals(buf); err != nil || totals[i] != all[i] {
			t.Fatalf("totals %d: %+v %v", i, totals[i], err)
		}
	}
	if len(buf) != 0 {
		t.Fatalf("%d bytes are left", len(buf))
	}
	restored.Restore(h.l.Participants(), totals, h.l.Window())
	restored.RestoreGivenBack(h.l.GivenBack())
	h.l = restored
	h.w.compare(t, h.l, false)
	for range 300 {
		h.step()
		h.w.compare(t, h.l, false)
	}
}

// TestCodecKeepsEveryField encodes values that differ in every field, those that are added later
// too.
func TestCodecKeepsEveryField(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 100 {
		var row Row
		fill(t, rng, reflect.ValueOf(&row).Elem())
		if got, rest, err := DecodeRow(append(row.Append(nil), 7)); err != nil || got != row || len(rest) != 1 {
			t.Fatalf("%+v was read as %+v, %v", row, got, err)
		}
		var g Grant
		fill(t, rng, reflect.ValueOf(&g).Elem())
		if got, rest, err := DecodeGrant(append(g.Append(nil), 7)); err != nil || got != g || len(rest) != 1 {
			t.Fatalf("%+v was read as %+v, %v", g, got, err)
		}
		var totals Totals
		fill(t, rng, reflect.ValueOf(&totals).Elem())
		if got, rest, err := DecodeTotals(append(totals.Append(nil), 7)); err != nil || got != totals || len(rest) != 1 {
			t.Fatalf("%+v was read as %+v, %v", totals, got, err)
		}
	}
}

// fill sets every field of v, and what is in them, to something random.
func fill(t *testing.T, rng *rand.Rand, v reflect.Value) {
	t.Helper()
	switch v.Interface().(type) {
	case money.Amount:
		v.Set(reflect.ValueOf(money.FromWords(int64(rng.Uint64()|1), rng.Uint64())))
		return
	case GrantKind:
		v.Set(reflect.ValueOf(PaidKind + GrantKind(rng.IntN(3))))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, rng, v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(t, rng, v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int64:
		v.SetInt(int64(rng.Uint64()))
	case reflect.Uint32, reflect.Uint64:
		v.SetUint(rng.Uint64() >> (64 - v.Type().Bits()))
	default:
		t.Fatalf("a field of kind %s", v.Kind())
	}
}

// decoder reads one value and encodes it again.
type decoder struct {
	name string
	size int
	read func(src []byte) (again, rest []byte, err error)
}

var decoders = []decoder{
	{"row", rowBytes, func(src []byte) ([]byte, []byte, error) {
		r, rest, err := DecodeRow(src)
		return r.Append(nil), rest, err
	}},
	{"grant", grantBytes, func(src []byte) ([]byte, []byte, error) {
		g, rest, err := DecodeGrant(src)
		return g.Append(nil), rest, err
	}},
	{"totals", totalsBytes, func(src []byte) ([]byte, []byte, error) {
		t, rest, err := DecodeTotals(src)
		return t.Append(nil), rest, err
	}},
}

// samples are one encoded value for each decoder.
func samples() [][]byte {
	one := money.FromWords(0, 1)
	return [][]byte{(&Row{Paid: Balance{one, one}, Events: 3}).Append(nil), (&Grant{Credit: Balance{Credits: one}, Expires: Never, Kind: PromoKind, Linked: true}).Append(nil),
		(&Totals{Moved: one, Used: true}).Append(nil)}
}

// TestDecodersRefuse cuts encoded values at every length, and writes into them what no value has.
func TestDecodersRefuse(t *testing.T) {
	for i, d := range decoders {
		valid := samples()[i]
		if again, rest, err := d.read(valid); err != nil || !bytes.Equal(again, valid) || len(rest) != 0 || len(valid) != d.size {
			t.Fatalf("%s of %d bytes: %v", d.name, len(valid), err)
		}
		for n := range d.size {
			if _, rest, err := d.read(valid[:n]); !errors.Is(err, ErrRow) || len(rest) != n {
				t.Fatalf("%s of %d bytes: %v", d.name, n, err)
			}
		}
		amounts := map[string]int{"row": 10, "grant": 4, "totals": 2*int(NumClasses) + 4}[d.name]
		for n := range amounts { // the one pattern that is no amount
			bad := bytes.Clone(valid)
			binary.LittleEndian.PutUint64(bad[16*n:], 1<<63)
			binary.LittleEndian.PutUint64(bad[16*n+8:], 0)
			if _, _, err := d.read(bad); !errors.Is(err, ErrRow) {
				t.Fatalf("%s with a bad amount %d: %v", d.name, n, err)
			}
		}
	}
	f := func(decoder, fromEnd int, b byte) {
		t.Helper()
		bad := samples()[decoder]
		bad[len(bad)-fromEnd] = b
		if _, _, err := decoders[decoder].read(bad); !errors.Is(err, ErrRow) {
			t.Errorf("%s with byte %d: %v", decoders[decoder].name, b, err)
		}
	}
	f(1, 2, 0) // a grant of no kind
	f(1, 2, 4)
	f(1, 1, 4) // flags that mean nothing
	f(1, 1, 255)
	f(2, 1, 2)
	f(2, 1, 255)
}

// FuzzDecoders reads anything as any value: it is refused, or it is what the value is written as.
func FuzzDecoders(f *testing.F) {
	for i, sample := range samples() {
		f.Add(uint8(i), sample)
		f.Add(uint8(i), append(sample, 1, 2, 3))
		f.Add(uint8(i), bytes.Repeat([]byte{0xff}, len(sample)))
	}
	f.Fuzz(func(t *testing.T, which uint8, src []byte) {
		d := decoders[int(which)%len(decoders)]
		again, rest, err := d.read(src)
		if err != nil {
			if !errors.Is(err, ErrRow) {
				t.Fatal(err)
			}
			return
		}
		if !bytes.Equal(again, src[:d.size]) || !bytes.Equal(rest, src[d.size:]) {
			t.Fatalf("%s %x was read as %x, %d bytes left", d.name, src, again, len(rest))
		}
	})
}
